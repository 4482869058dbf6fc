-- one row per record that is nobody's, or that of a citizen who is not alive in the register
{{ config(materialized='ephemeral') }}

with
departed as (
    select
        c.citizen_token,
        c.status,
        c.death_date,
        l.root_id is not null as is_late
    from {{ ref('int_register_number') }} as c
    left join {{ ref('int_late_death') }} as l on l.root_id = c.root_id
    where c.is_newest and c.status <> 'alive'
)

select
    m.source,
    m.file_no,
    m.line,
    d.status,
    d.death_date,
    d.is_late
from {{ ref('int_match') }} as m
left join departed as d on d.citizen_token = m.citizen_token
where m.match_method = 'none' or d.citizen_token is not null
