-- Adoption
-- How many installations have analytics on?
-- ActionsTable
--
-- An installation counts when it sent anything in that time; `ever` is as far back as the project keeps events. A rate
-- cannot be had: who never opted in sends nothing. `reset-id` makes an old installation a new one.
select
    uniqExactIf(distinct_id, timestamp >= now() - interval 7 day) as last_7_days,
    uniqExactIf(distinct_id, timestamp >= now() - interval 30 day) as last_30_days,
    uniqExact(distinct_id) as ever
from events
where properties.`$lib` = 'onramp-analytics'
