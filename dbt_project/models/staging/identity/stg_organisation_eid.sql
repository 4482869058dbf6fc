-- one row per accepted organisation of the period
select
    record_key,
    file_no,
    line,
    organisation_code,
    organisation_kind,
    registered_on,
    account_status,
    commune_code
from {{ staged('organisation_eid') }}
