-- one row per record without a number that several citizens fit
{{ config(materialized='ephemeral') }}

with
fitting as (
    select
        o.source,
        o.file_no,
        o.line
    from {{ ref('int_open_record') }} as o
    inner join {{ ref('int_register_number') }} as c
        on c.is_newest
        and c.name_norm = o.name_norm
        and c.birth_date = o.birth_date
        and c.sex = o.sex
        and (o.commune_code is null or o.commune_code = c.residence_commune_code)
    where o.citizen_id is null and o.old_id is null
    group by o.source, o.file_no, o.line
    having count(*) > 1
),

open_still as (
    select
        source,
        file_no,
        line
    from fitting
    except
    select
        source,
        file_no,
        line
    from {{ ref('int_match_late') }}
)

select
    source,
    file_no,
    line,
    'several_fit' as kind
from open_still
