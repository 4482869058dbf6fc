-- one row per level, area list a code may be sent under and code: the area it names, and the one it is read as in the period
{{ config(schema='build') }}

with
codes as (
    select
        level,
        edition,
        code,
        area_code,
        area_edition,
        province_code,
        is_default_successor
    from {{ ref('int_area_code') }} as c
    where {{ valid_in_period('c') }}
),

-- within one list a unit can have several rows, as when it gets another name: the one of the period's last day counts,
-- for a code sent ahead of its list the first one
named_areas as (
    select distinct on (a.level, a.code, e.edition)
        a.level,
        a.code,
        e.edition,
        a.valid_from
    from {{ source('reference', 'dim_area') }} as a
    inner join (
        select
            edition,
            lead(edition, 1, 'infinity') over (order by edition) as next_edition
        from (select distinct edition from {{ ref('int_area_code') }}) as days
    ) as e on coalesce(a.valid_to, 'infinity') > e.edition and a.valid_from < e.next_edition
    order by
        a.level,
        a.code,
        e.edition,
        a.valid_from <= {{ as_of() }} desc,
        case when a.valid_from <= {{ as_of() }} then a.valid_from end desc,
        a.valid_from
)

select
    c.level,
    c.edition,
    c.code,
    s.valid_from as sent_valid_from,
    c.area_code,
    r.valid_from as area_valid_from,
    c.province_code,
    c.is_default_successor
from codes as c
left join named_areas as s
    on s.level = c.level
    and s.code = c.code
    and s.edition = c.edition
left join named_areas as r
    on r.level = c.level
    and r.code = c.area_code
    and r.edition = c.area_edition
