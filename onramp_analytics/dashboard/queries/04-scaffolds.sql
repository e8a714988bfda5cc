-- Scaffolded services
-- How many installations enabled a service that has a scaffold? How many enabled one that has none? How many different services of each kind are there?
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
