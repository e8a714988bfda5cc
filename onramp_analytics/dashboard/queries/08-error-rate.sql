-- Error rate by command
-- Which commands fail, on how many installations, and how often?
-- ActionsTable over 30 days
--
-- Ctrl-C (`signal_INT`) is not a failure: `make logs` ends with it. Nothing connects the two events of a run that was
-- interrupted, so the number of interruptions is subtracted from the number of runs. The command that fails on most
-- installations comes first.
select
    command,
    failed_on,
    failures,
    runs,
    round(100 * failures / runs, 1) as error_rate_percent
from (
    select
        properties.command as command,
        uniqExactIf(distinct_id, event = 'error_occurred' and properties.error_type != 'signal_INT') as failed_on,
        uniqExactIf(uuid, event = 'error_occurred' and properties.error_type != 'signal_INT') as failures,
        uniqExactIf(uuid, event = 'command_executed')
        - uniqExactIf(uuid, event = 'error_occurred' and properties.error_type = 'signal_INT') as runs
    from events
    where event in ('command_executed', 'error_occurred')
        and toDate(timestamp) between {first} and {last}
        and distinct_id in {installations}
    group by command
)
where runs > 0
order by failed_on desc, failures desc, command
limit 50000
