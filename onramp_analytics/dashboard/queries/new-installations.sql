-- How many installations count on this page, and did not count on the page before it?
select count() as installations
from {installations}
where distinct_id not in {known}
limit 50000
