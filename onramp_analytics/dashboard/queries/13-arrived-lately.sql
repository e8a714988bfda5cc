-- Arrived in three days
-- How many events arrived today and in the two days before?
-- BoldNumber over 30 days
--
-- For an alert: if the number is less than 1, no events arrive any more.
select uniqExact(uuid) as events
from events
where properties.`$lib` = 'onramp-analytics' and toDate(created_at) > {made} - interval 3 day
limit 50000
