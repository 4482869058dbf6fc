-- one row per count and area of the period
{{ config(materialized='month_partition', contract={'enforced': true}) }}

select
    indicator_code,
    {{ period() }} as period,
    area_level,
    area_code,
    numerator as value,
    unit
from {{ ref('int_reported') }}
where unit is not null
