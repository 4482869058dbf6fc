-- one row per indicator of the nation and of today's provinces
{{ config(materialized='month_partition', contract={'enforced': true}) }}

with
-- the list in force on the period's last day, and what its provinces have become
todays_provinces as (
    select
        code,
        area_code as todays_code
    from {{ ref('int_area_code') }}
    where
        level = 'province'
        and valid_to = 'infinity'
        and edition = (select max(edition) from {{ ref('int_area_code') }} where level = 'province' and edition <= {{ as_of() }})
),

restated as (
    select
        i.indicator_code,
        i.area_level,
        case when i.area_level = 'nation' then i.area_code else coalesce(t.todays_code, i.area_code) end as area_code,
        i.numerator,
        i.denominator
    from {{ month(ref('indicator')) }} as i
    left join todays_provinces as t on t.code = i.area_code
    where
        i.area_level in ('nation', 'province')
        and (i.indicator_code <> 'land_clean_rate' or i.area_level = 'nation')
),

-- a parcel sent under two provinces that have become one counts once
restated_parcels as (
    select
        coalesce(t.todays_code, p.province_code) as province_code,
        p.parcel_id,
        p.is_clean
    from {{ ref('int_parcel') }} as p
    left join todays_provinces as t on t.code = p.province_code
    where p.province_code is not null
),

sums as (
    select
        indicator_code,
        area_level,
        area_code,
        sum(numerator)::bigint as numerator,
        sum(denominator)::bigint as denominator
    from restated
    group by indicator_code, area_level, area_code
    union all
    select
        'land_clean_rate',
        'province',
        province_code,
        count(distinct parcel_id) filter (where is_clean),
        count(distinct parcel_id)
    from restated_parcels
    group by province_code
)

select
    indicator_code,
    {{ period() }} as period,
    area_level,
    area_code,
    numerator,
    denominator,
    {{ share('numerator', 'denominator') }} as value
from sums
