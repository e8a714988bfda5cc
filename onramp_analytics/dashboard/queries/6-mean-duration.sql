-- Mean duration by command
-- How long did commands take in the last 30 days, failed ones too?
-- ActionsTable
--
-- The median is beside the mean, which one very long run moves. `other` is all commands that OnRamp does not publish.
-- `distinct` folds an event that was delivered twice.
select
    command,
    count() as runs,
    round(avg(milliseconds) / 1000, 2) as mean_seconds,
    round(median(milliseconds) / 1000, 2) as median_seconds
from (
    select distinct
        uuid,
        properties.command as command,
        toFloat(properties.duration_ms) as milliseconds
    from events
    where event = 'command_executed' and timestamp >= now() - interval 30 day
)
group by command
order by mean_seconds desc, command
limit 100
