-- Scaffolded services
-- How many installations enabled a service with a scaffold, and how many installations one without? How many different services were there of each kind?
-- ActionsTable over 90 days
select
    toBool(properties.has_scaffold) as has_scaffold,
    uniqExact(distinct_id) as installations,
    uniqExact(properties.service_name) as services
from events
where event = 'service_enabled'
    and toDate(timestamp) <= {last}
    and distinct_id in {installations}
group by has_scaffold
order by has_scaffold desc
limit 50000
