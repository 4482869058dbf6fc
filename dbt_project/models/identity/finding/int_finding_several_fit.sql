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
    inner join {{ ref('int_finding_outcome') }} as u
        on u.source = o.source
        and u.file_no = o.file_no
        and u.line = o.line
        and u.status is null
    where o.citizen_id is null and o.old_id is null
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
