-- Enabled services
-- Which services do installations have enabled now?
-- ActionsTable over 90 days
--
-- Of the installations that were active in that time. Events carry the day and no time of day, so what happened within
-- a day has no order: the state is the net (enabled minus disabled, by uuid) of the last day whose net is not zero.
-- `custom` stands for all services that OnRamp does not publish, so its nets are added up.
select
    service,
    count() as installations
from (
    select
        distinct_id,
        service,
        argMax(net, day) as last_net,
        sum(net) as total
    from (
        select
            distinct_id,
            properties.service_name as service,
            toDate(timestamp) as day,
            uniqExactIf(uuid, event = 'service_enabled') - uniqExactIf(uuid, event = 'service_disabled') as net
        from events
        where event in ('service_enabled', 'service_disabled')
            and toDate(timestamp) <= {last}
            and distinct_id in {installations}
        group by distinct_id, service, day
        having net != 0
    )
    group by distinct_id, service
)
where if(service = 'custom', total, last_net) > 0
group by service
order by installations desc, service
limit 50000
