-- Adoption over time
-- How many installations sent something in each of the last 26 weeks, and how many of them for the first time?
-- ActionsLineGraph
--
-- Weeks begin on Monday; the last one is not over.
select
    week,
    count() as installations,
    countIf(week = first_week) as first_seen
from (
    select
        distinct_id,
        toStartOfWeek(min(timestamp), 1) as first_week,
        arrayJoin(groupUniqArray(toStartOfWeek(timestamp, 1))) as week
    from events
    where properties.`$lib` = 'onramp-analytics'
    group by distinct_id
)
where week > toStartOfWeek(now() - interval 26 week, 1)
group by week
order by week
