-- Versions
-- Which version of onramp-analytics do installations run?
-- ActionsTable over 90 days
select
    version,
    count() as installations
from (
    select
        distinct_id,
        argMax(properties.`$lib_version`, toDate(timestamp)) as version
    from events
    where toDate(timestamp) between {first} and {last} and distinct_id in {installations}
    group by distinct_id
)
group by version
order by installations desc, version
limit 50000
