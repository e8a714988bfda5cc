-- Arrivals
-- How many events arrived on each day, and from how many installations?
-- ActionsLineGraph over 30 days
--
-- Events are counted on the day of their arrival, because the newest ones are still queued on the users' machines.
select
    toDate(created_at) as day,
    uniqExact(uuid) as events,
    uniqExact(distinct_id) as installations
from events
where properties.`$lib` = 'onramp-analytics' and toDate(created_at) between {first} and {made}
group by day
order by day
limit 50000
