-- Error rate by command
-- Which commands failed in the last 30 days, and how often?
-- ActionsTable
--
-- What failed most often comes first. `other` is all commands that OnRamp does not publish. `distinct` folds an event
-- that was delivered twice. `toBool` reads `success` whether or not PostHog has noticed that it is a boolean.
select
    command,
    count() as runs,
    countIf(not success) as failures,
    round(100 * countIf(not success) / count(), 1) as error_rate_percent
from (
    select distinct
        uuid,
        properties.command as command,
        toBool(properties.success) as success
    from events
    where event = 'command_executed' and timestamp >= now() - interval 30 day
)
group by command
order by failures desc, runs, command
limit 100
