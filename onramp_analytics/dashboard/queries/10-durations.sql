-- Duration by command
-- How long do successful runs of a command take?
-- ActionsTable over 30 days
--
-- `typical` is the median of the installations' own medians, so that one busy host counts as much as any other.
select
    command,
    count() as installations,
    round(median(own_median) / 1000, 2) as typical_seconds,
    round(sum(own_sum) / sum(own_runs) / 1000, 2) as mean_seconds
from (
    select
        distinct_id,
        command,
        median(milliseconds) as own_median,
        sum(milliseconds) as own_sum,
        count() as own_runs
    from (
        select distinct
            uuid,
            distinct_id,
            properties.command as command,
            toFloat(properties.duration_ms) as milliseconds
        from events
        where event = 'command_executed'
            and toBool(properties.success)
            and toDate(timestamp) between {first} and {last}
            and distinct_id in {installations}
    )
    group by distinct_id, command
)
group by command
order by typical_seconds desc, command
limit 50000
