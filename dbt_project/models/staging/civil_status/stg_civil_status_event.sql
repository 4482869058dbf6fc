-- one row per accepted event and person of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    event_no,
    subject_no,
    event_kind,
    event_on,
    registered_on,
    digitised,
    population_basis,
    commune_code
from {{ staged('civil_status_event') }}
