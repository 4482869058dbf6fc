-- one row per area: living citizens, and how many of them have health insurance; none when social security was not received
select
    'health_insurance_coverage' as indicator_code,
    {{ area_level(parts=true) }} as area_level,
    {{ area_code() }} as area_code,
    commune_valid_from,
    is_default_residence,
    count(*) filter (where has_health_insurance) as numerator,
    count(has_health_insurance) as denominator
from (
    select
        residence_province_code as province_code,
        residence_commune_code as commune_code,
        residence_valid_from as commune_valid_from,
        is_default_residence,
        has_health_insurance
    from {{ month(ref('citizen_month')) }} as citizens
    where status = 'alive'
) as living
group by {{ by_area_and_part() }}
