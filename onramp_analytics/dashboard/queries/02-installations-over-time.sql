-- Installations over time
-- How many installations sent something in each week, and how many of them for the first time?
-- ActionsLineGraph over 365 days
--
-- Weeks begin on Monday. The first and the last one can be incomplete, and events arrive days later.
select
    week,
    count() as installations,
    countIf(week = first_week) as first_seen
from (
    select
        distinct_id,
        toStartOfWeek(min(toDate(timestamp)), 1) as first_week,
        arrayJoin(groupUniqArray(toStartOfWeek(toDate(timestamp), 1))) as week
    from events
    where toDate(timestamp) <= {last} and distinct_id in {installations}
    group by distinct_id
)
where week >= toStartOfWeek({first}, 1)
group by week
order by week
limit 50000
