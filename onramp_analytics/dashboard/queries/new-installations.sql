-- How many installations count in this edition, and did not count in the one before it?
select count() as installations
from {installations}
where distinct_id not in {known}
limit 50000
