-- Enabled overrides
-- Which overrides do installations have enabled now?
-- ActionsTable over 90 days
--
-- Of the installations that were active in that time. Events carry the day and no time of day, so what happened within
-- a day has no order: the state is the net (enabled minus disabled, by uuid) of the last day whose net is not zero.
-- `custom` stands for all overrides that OnRamp does not publish, so its nets are added up.
select
    override,
    count() as installations
from (
    select
        distinct_id,
        override,
        argMax(net, day) as last_net,
        sum(net) as total
    from (
        select
            distinct_id,
            properties.override_name as override,
            toDate(timestamp) as day,
            uniqExactIf(uuid, event = 'override_enabled') - uniqExactIf(uuid, event = 'override_disabled') as net
        from events
        where event in ('override_enabled', 'override_disabled')
            and toDate(timestamp) <= {last}
            and distinct_id in {installations}
        group by distinct_id, override, day
        having net != 0
    )
    group by distinct_id, override
)
where if(override = 'custom', total, last_net) > 0
group by override
order by installations desc, override
limit 50000
