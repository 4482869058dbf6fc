-- one row per area: living citizens aged 14 and over, and how many of them have an electronic identity of level 2
select
    'eid_level2_rate' as indicator_code,
    {{ area_level(parts=true) }} as area_level,
    {{ area_code() }} as area_code,
    commune_valid_from,
    is_default_residence,
    count(*) filter (where eid_level = '2') as numerator,
    count(*) as denominator
from (
    select
        residence_province_code as province_code,
        residence_commune_code as commune_code,
        residence_valid_from as commune_valid_from,
        is_default_residence,
        eid_level
    from {{ month(ref('citizen_month')) }} as citizens
    where status = 'alive' and age >= 14
) as adults
group by {{ by_area_and_part() }}
