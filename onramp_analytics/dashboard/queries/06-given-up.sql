-- Given up within 30 days
-- Which services and overrides do installations disable within 30 days of enabling them?
-- ActionsTable over 365 days
--
-- An enabling counts if the net state before it was off, and if its day is not the installation's first day of that
-- half-year: on that day the installation reports everything that is enabled. Each installation counts once per name.
-- `custom` stands for many names, so it has no state that could change.
select
    name,
    count() as installations
from (
    select
        distinct_id,
        name,
        groupArrayIf(day, net > 0) as on_days,
        groupArrayIf(day, net < 0) as off_days
    from (
        select
            distinct_id,
            coalesce(properties.service_name, concat(properties.override_name, ' (override)')) as name,
            toDate(timestamp) as day,
            uniqExactIf(uuid, event in ('service_enabled', 'override_enabled'))
            - uniqExactIf(uuid, event in ('service_disabled', 'override_disabled')) as net
        from events
        where event in ('service_enabled', 'service_disabled', 'override_enabled', 'override_disabled')
            and coalesce(properties.service_name, properties.override_name) != 'custom'
            and toDate(timestamp) <= {last}
            and distinct_id in {installations}
        group by distinct_id, name, day
        having net != 0
    )
    group by distinct_id, name
) as changes
inner join (
    select
        installation,
        groupArray(first_day) as counted_on
    from (
        select
            distinct_id as installation,
            toYear(toDate(timestamp)) * 2 + if(toMonth(toDate(timestamp)) > 6, 1, 0) as half_year,
            min(toDate(timestamp)) as first_day
        from events
        where properties.`$lib` = 'onramp-analytics'
        group by installation, half_year
    )
    group by installation
) as counts on changes.distinct_id = counts.installation
where arrayExists(
    day -> day >= {first}
        and not has(counted_on, day)
        and arrayMax(arrayFilter(before -> before < day, on_days))
            <= arrayMax(arrayFilter(before -> before < day, off_days))
        and arrayExists(after -> after > day and dateDiff('day', day, after) <= 30, off_days),
    on_days
)
group by name
order by installations desc, name
limit 50000
