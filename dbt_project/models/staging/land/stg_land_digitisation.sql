-- one row per accepted unit of the period
select
    record_key,
    file_no,
    line,
    province_code,
    unit_code,
    unit_level,
    digitisation_status,
    parcels_total,
    parcels_digitised
from {{ staged('land_digitisation') }}
