-- one row per accepted dose of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    dose_id,
    vaccine_code,
    dose_no,
    vaccinated_on,
    facility_code,
    verification
from {{ staged('health_vaccination') }}
