-- one row per record: how it was matched, how sure that is, and to whom
{{ config(materialized='ephemeral') }}

with
decided as (
    select
        i.source,
        i.file_no,
        i.line,
        coalesce(i.match_method, l.match_method, 'none') as match_method,
        l.weight,
        coalesce(i.citizen_token, l.citizen_token) as citizen_token,
        coalesce(i.residence_province_code, l.residence_province_code) as residence_province_code
    from {{ ref('int_match_id') }} as i
    left join {{ ref('int_match_late') }} as l
        on l.source = i.source
        and l.file_no = i.file_no
        and l.line = i.line
)

select
    source,
    file_no,
    line,
    match_method,
    coalesce(weight::numeric(5, 4), {{ match_confidence('match_method') }}) as match_confidence,
    citizen_token,
    residence_province_code
from decided
