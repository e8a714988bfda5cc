-- Enabled overrides
-- Which overrides do installations have enabled now?
-- ActionsTable over 90 days
--
-- Of the installations that were active in that time. Events have a day but no time of day. So each day has a net: how
-- often the override was enabled minus how often it was disabled, counted by uuid. The newest day decides whose net is not
-- zero or on which the installation reported everything that is enabled: there, a net of zero means enabled in that
-- report and disabled later. `custom` stands for all overrides that OnRamp does not publish, so its nets since the newest
-- of these reports are added up.
select
    override,
    count() as installations
from (
    select
        distinct_id,
        override,
        argMax(net, day) as last_net,
        sumIf(net, day >= arrayMax(counted_on)) as total
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
    ) as nets
    inner join {full_counts} as counts on nets.distinct_id = counts.installation
    where net != 0 or has(counted_on, day)
    group by distinct_id, override
)
where if(override = 'custom', total, last_net) > 0
group by override
order by installations desc, override
limit 50000
