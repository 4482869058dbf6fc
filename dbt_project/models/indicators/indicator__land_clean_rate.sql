-- one row per area: parcels, and how many of them are in data group 1
select
    'land_clean_rate' as indicator_code,
    {{ area_level() }} as area_level,
    {{ area_code() }} as area_code,
    count(distinct parcel_id) filter (where is_clean) as numerator,
    count(distinct parcel_id) as denominator
from {{ ref('int_parcel') }} as parcels
group by grouping sets ((), (province_code), (commune_code))
