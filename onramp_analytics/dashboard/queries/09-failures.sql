-- Failures
-- How do commands fail?
-- ActionsTable over 30 days
--
-- An interrupted command (`signal_INT`) is listed here, and counts as a failure nowhere else.
select
    properties.command as command,
    properties.error_type as error_type,
    uniqExact(distinct_id) as installations,
    uniqExact(uuid) as times
from events
where event = 'error_occurred'
    and toDate(timestamp) between {first} and {last}
    and distinct_id in {installations}
group by command, error_type
order by installations desc, times desc, command, error_type
limit 50000
