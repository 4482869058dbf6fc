-- one row per indicator and area of the period
{{ config(materialized='month_partition', contract={'enforced': true}) }}

with
counts as (
    {%- for code in ['id_card_rate', 'eid_level2_rate', 'health_insurance_coverage', 'kyc_biometric_rate', 'land_clean_rate', 'match_rate'] %}
    {{ 'union all' if not loop.first }}
    select
        indicator_code,
        area_level,
        area_code,
        numerator,
        denominator
    from {{ ref('indicator__' ~ code) }}
    {%- endfor %}
    union all
    select
        indicator_code,
        area_level,
        area_code,
        numerator,
        denominator
    from {{ ref('int_reported') }}
    where unit is null
)

select
    indicator_code,
    {{ period() }} as period,
    area_level,
    area_code,
    numerator,
    denominator,
    {{ share('numerator', 'denominator') }} as value
from counts
where denominator > 0 and area_code is not null and area_level <> 'commune_part'
