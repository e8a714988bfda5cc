-- Installations
-- How many installations are active, how many of them are new, and how many sent any service event?
-- ActionsTable over 90 days
--
-- There is no adoption rate: an installation that never opted in sends nothing. `reset-id` makes an old installation a
-- new one, so it counts twice for up to 90 days. An installation that was removed counts for 90 days, too.
select
    uniqExactIf(distinct_id, toDate(timestamp) >= {first}) as active,
    uniqExactIf(distinct_id, toDate(timestamp) >= {first})
    - uniqExactIf(distinct_id, toDate(timestamp) < {first}) as new,
    uniqExactIf(distinct_id, event in ('service_enabled', 'service_disabled')) as with_services
from events
where toDate(timestamp) <= {last} and distinct_id in {installations}
limit 50000
