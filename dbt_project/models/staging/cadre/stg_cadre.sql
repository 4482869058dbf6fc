-- one row per accepted file of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    profile_no,
    cadre_kind,
    organisation_code,
    employment_status,
    changed_on,
    synchronised_on
from {{ staged('cadre') }}
