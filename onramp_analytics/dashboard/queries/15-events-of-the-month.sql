-- Events of the month
-- How many events arrived since the first of the month?
-- BoldNumber over 30 days
--
-- For an alert: if the number is more than 80% of what your plan includes, further events may be dropped soon.
select count() as events
from events
where properties.`$lib` = 'onramp-analytics' and toDate(created_at) >= toStartOfMonth({made})
limit 50000
