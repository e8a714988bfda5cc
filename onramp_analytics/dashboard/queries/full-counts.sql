-- The days of the full counts of each installation: this replaces the placeholder "full_counts" of the other queries.
--
-- With its first command of each half-year (January to June, July to December), an installation reports everything that
-- is enabled. So the first day with any event in a half-year counts as that day. After `reset-id` there is no full
-- count, but nothing shows that, so the first day counts as one all the same.
select
    installation,
    groupArray(first_day) as counted_on
from (
    select
        distinct_id as installation,
        toYear(toDate(timestamp)) * 2 + if(toMonth(toDate(timestamp)) > 6, 1, 0) as half_year,
        min(toDate(timestamp)) as first_day
    from events
    where properties.`$lib` = 'onramp-analytics' and toDate(timestamp) <= {last}
    group by installation, half_year
)
group by installation
