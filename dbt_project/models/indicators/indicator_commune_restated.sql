-- one row per indicator, commune of today and allocation quality
{{ config(materialized='month_partition', contract={'enforced': true}) }}

with
parts as (
    {%- for code in ['id_card_rate', 'eid_level2_rate', 'health_insurance_coverage'] %}
    {{ 'union all' if not loop.first }}
    select
        indicator_code,
        area_code,
        commune_valid_from,
        is_default_residence as is_default,
        numerator,
        denominator
    from {{ ref('indicator__' ~ code) }}
    where area_level = 'commune_part' and denominator > 0 and area_code is not null
    {%- endfor %}
),

communes_today as (
    select
        code,
        valid_from,
        today_code,
        allocation_quality
    from {{ source('reference', 'area_today') }}
    where level = 'commune'
),

restated as (
    select
        p.indicator_code,
        coalesce(t.today_code, p.area_code) as area_code,
        {{ allocation_quality('p.is_default', 't.allocation_quality') }} as allocation_quality,
        p.area_code as former_code,
        p.numerator,
        p.denominator
    from parts as p
    left join communes_today as t on t.code = p.area_code and t.valid_from = p.commune_valid_from
),

-- a parcel sent under two communes that have become one counts once
restated_parcels as (
    select
        coalesce(t.today_code, p.commune_code) as area_code,
        {{ allocation_quality('p.is_default_commune', 't.allocation_quality') }} as allocation_quality,
        p.commune_code as former_code,
        p.parcel_id,
        p.is_clean
    from {{ ref('int_parcel') }} as p
    left join communes_today as t on t.code = p.commune_code and t.valid_from = p.commune_valid_from
    where p.commune_code is not null
),

sums as (
    select
        indicator_code,
        area_code,
        allocation_quality,
        count(distinct former_code) as units,
        sum(numerator)::bigint as numerator,
        sum(denominator)::bigint as denominator
    from restated
    group by indicator_code, area_code, allocation_quality
    union all
    select
        'land_clean_rate',
        area_code,
        allocation_quality,
        count(distinct former_code),
        count(distinct parcel_id) filter (where is_clean),
        count(distinct parcel_id)
    from restated_parcels
    group by area_code, allocation_quality
)

select
    indicator_code,
    {{ period() }} as period,
    area_code,
    allocation_quality,
    units::integer as units,
    numerator,
    denominator,
    {{ share('numerator', 'denominator') }} as value
from sums
