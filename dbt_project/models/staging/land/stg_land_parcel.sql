-- one row per accepted holder of a parcel of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    parcel_id,
    holder_no,
    commune_code,
    map_sheet,
    parcel_no,
    land_type,
    area_m2,
    share_percent,
    certificate_serial,
    certificate_issued_on,
    data_group
from {{ staged('land_parcel') }}
