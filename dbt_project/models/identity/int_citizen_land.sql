-- one row per citizen with a matched holding: how many parcels, and the citizen's shares of their area
select
    m.citizen_token,
    count(distinct s.parcel_id) as land_parcels,
    trim_scale(sum(s.area_m2 * s.share_percent) * 0.01) as land_area_m2
from {{ ref('stg_land_parcel') }} as s
inner join {{ ref('int_match') }} as m
    on m.source = 'land_parcel'
    and m.file_no = s.file_no
    and m.line = s.line
where m.citizen_token is not null
group by m.citizen_token
