-- one row per accepted province and service of the period
select
    record_key,
    file_no,
    line,
    province_code,
    service_code,
    due,
    integrated,
    integrated_on
from {{ staged('public_service_catalogue') }}
