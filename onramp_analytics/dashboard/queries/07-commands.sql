-- Commands
-- Which commands do installations use?
-- ActionsTable over 30 days
--
-- Ordered by installations and then by the days on which they used the command. The runs do not count, because one
-- host that runs make from cron can make more runs than all others together. `other` stands for all commands that
-- OnRamp does not publish.
select
    properties.command as command,
    uniqExact(distinct_id) as installations,
    uniqExact(distinct_id, toDate(timestamp)) as installation_days,
    uniqExact(uuid) as runs
from events
where event = 'command_executed'
    and toDate(timestamp) between {first} and {last}
    and distinct_id in {installations}
group by command
order by installations desc, installation_days desc, command
limit 50000
