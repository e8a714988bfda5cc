-- Arrivals
-- How many events arrived on each day, and from how many installations?
-- ActionsLineGraph over 30 days
--
-- By the day of arrival: by their own day the newest events are never in yet. This is the query to set an alert on.
select
    toDate(created_at) as day,
    uniqExact(uuid) as events,
    uniqExact(distinct_id) as installations
from events
where properties.`$lib` = 'onramp-analytics' and toDate(created_at) between {first} and {made}
group by day
order by day
limit 50000
