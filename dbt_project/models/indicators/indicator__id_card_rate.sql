-- one row per area: living citizens aged 14 and over, and how many of them hold an identity card
select
    'id_card_rate' as indicator_code,
    {{ area_level(parts=true) }} as area_level,
    {{ area_code() }} as area_code,
    commune_valid_from,
    is_default_residence,
    count(*) filter (where has_id_card) as numerator,
    count(*) as denominator
from (
    select
        residence_province_code as province_code,
        residence_commune_code as commune_code,
        residence_valid_from as commune_valid_from,
        is_default_residence,
        has_id_card
    from {{ month(ref('citizen_month')) }} as citizens
    where status = 'alive' and age >= 14
) as adults
group by {{ by_area_and_part() }}
