-- Events of the month
-- How many events arrived since the first of the month?
-- BoldNumber over 30 days
--
-- For an alert: above 80 % of what your plan takes in a month.
select count() as events
from events
where properties.`$lib` = 'onramp-analytics' and toDate(created_at) >= toStartOfMonth({made})
limit 50000
