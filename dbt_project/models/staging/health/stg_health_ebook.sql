-- one row per accepted health book of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    book_no,
    created_on,
    integrated,
    integrated_on,
    facility_code,
    commune_code
from {{ staged('health_ebook') }}
