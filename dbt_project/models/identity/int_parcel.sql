-- one row per parcel and area it was sent with: whether it is in data group 1
select
    s.parcel_id,
    coalesce(a.area_code, s.commune_code) as commune_code,
    a.province_code,
    a.area_valid_from as commune_valid_from,
    coalesce(a.is_default_successor, false) as is_default_commune,
    bool_or(s.data_group = '1') as is_clean
from {{ ref('stg_land_parcel') }} as s
left join {{ ref('int_area_in_period') }} as a
    on a.level = 'commune'
    and a.edition = {{ area_edition('land_parcel') }}
    and a.code = s.commune_code
group by
    s.parcel_id,
    coalesce(a.area_code, s.commune_code),
    a.province_code,
    a.area_valid_from,
    coalesce(a.is_default_successor, false)
