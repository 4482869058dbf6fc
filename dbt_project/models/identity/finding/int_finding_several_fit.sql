-- one row per record without a number that several citizens fit
{{ config(materialized='ephemeral') }}

with
open_rows as (
    select
        o.source,
        o.file_no,
        o.line,
        o.name_norm,
        o.birth_date,
        o.sex,
        o.commune_code
    from {{ ref('int_open_record') }} as o
    left join {{ ref('int_match_late') }} as l
        on l.source = o.source
        and l.file_no = o.file_no
        and l.line = o.line
    where o.citizen_id is null and o.old_id is null and l.source is null
),

fitting as (
    select
        o.source,
        o.file_no,
        o.line
    from open_rows as o
    inner join {{ ref('int_register_number') }} as c
        on c.is_newest
        and c.name_norm = o.name_norm
        and c.birth_date = o.birth_date
        and c.sex = o.sex
        and (o.commune_code is null or o.commune_code = c.residence_commune_code)
    group by o.source, o.file_no, o.line
    having count(*) > 1
)

select
    source,
    file_no,
    line,
    'several_fit' as kind
from fitting
