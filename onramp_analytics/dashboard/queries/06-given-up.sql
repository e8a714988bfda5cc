-- Given up within 30 days
-- Which services and overrides do installations disable within 30 days of enabling them?
-- ActionsTable over 365 days
--
-- The state on a day follows from the nets as in "Enabled services". An enabling counts if the state before it was off,
-- and if the installation did not report everything that is enabled on that day. Each installation counts once per
-- name. `custom` stands for many names, so it has no state that could change.
select
    name,
    count() as installations
from (
    select
        distinct_id,
        name,
        counted_on,
        groupArrayIf(day, net > 0) as on_days,
        groupArrayIf(day, net <= 0) as off_days
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
    ) as nets
    inner join {full_counts} as counts on nets.distinct_id = counts.installation
    where net != 0 or has(counted_on, day)
    group by distinct_id, name, counted_on
)
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
