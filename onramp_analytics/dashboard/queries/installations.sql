-- The installations that the other queries are about: this replaces their placeholder "installations".
--
-- An installation is active if it sent any event between the first and the last day. It counts once its events
-- arrived on two days that are far enough apart: 0 days for the maintainers, 7 for the public page.
select distinct_id
from events
where properties.`$lib` = 'onramp-analytics' and toDate(timestamp) <= {last} and toDate(created_at) <= {made}
group by distinct_id
having max(toDate(timestamp)) >= {first}
    and dateDiff('day', min(toDate(created_at)), max(toDate(created_at))) >= {apart}
