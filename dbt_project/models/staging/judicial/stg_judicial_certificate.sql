-- one row per accepted certificate requested of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    certificate_no,
    certificate_status,
    requested_on,
    issued_on,
    channel,
    commune_code
from {{ staged('judicial_certificate') }}
