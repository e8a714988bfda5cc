-- Change of the error rate
-- By how many percentage points does the share of failed runs in the last 30 days differ from that in the 30 days before?
-- BoldNumber over 30 days
--
-- For an alert: if the number is more than 5, for example, commands fail more often. An interrupted run (`signal_INT`)
-- is not a failure.
select
    round(if(runs > 0, 100 * failures / runs, 0) - if(runs_before > 0, 100 * failures_before / runs_before, 0), 1) as points
from (
    select
        uniqExactIf(uuid, event = 'command_executed' and toDate(timestamp) >= {first}) as runs,
        uniqExactIf(uuid, event = 'command_executed' and toDate(timestamp) < {first}) as runs_before,
        uniqExactIf(uuid, event = 'error_occurred' and toDate(timestamp) >= {first}) as failures,
        uniqExactIf(uuid, event = 'error_occurred' and toDate(timestamp) < {first}) as failures_before
    from events
    where (event = 'command_executed' or (event = 'error_occurred' and properties.error_type != 'signal_INT'))
        and toDate(timestamp) between {first} - interval 30 day and {last}
)
limit 50000
