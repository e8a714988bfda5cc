-- Top ten services
-- Which services are enabled most?
-- ActionsTable
--
-- By installations, so that one that enables a service again and again counts once. As far back as the project keeps
-- events, since a service is enabled rarely. `custom` is all services that OnRamp does not publish: none of them.
select
    properties.service_name as service,
    uniqExact(distinct_id) as installations,
    uniqExact(uuid) as times_enabled
from events
where event = 'service_enabled' and properties.service_name != 'custom'
group by service
order by installations desc, times_enabled desc, service
limit 10
