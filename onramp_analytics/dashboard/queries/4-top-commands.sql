-- Top ten commands
-- Which commands were used most in the last 30 days?
-- ActionsTable
--
-- `other` is all commands that OnRamp does not publish: none of them.
select
    properties.command as command,
    uniqExact(uuid) as runs,
    uniqExact(distinct_id) as installations
from events
where event = 'command_executed' and properties.command != 'other' and timestamp >= now() - interval 30 day
group by command
order by runs desc, installations desc, command
limit 10
