-- one row per record and kind: its old number belongs to several citizens, or to another one than its citizen_id
{{ config(materialized='ephemeral') }}

with
led as (
    select
        o.source,
        o.file_no,
        o.line,
        o.owners,
        o.root_id as owner_id,
        i.match_method,
        coalesce(i.root_id, b.root_id) as bearer_id
    from {{ ref('int_finding_old_number') }} as o
    inner join {{ ref('int_match_id') }} as i
        on i.source = o.source
        and i.file_no = o.file_no
        and i.line = o.line
    left join {{ ref('int_finding_bearer') }} as b
        on b.source = o.source
        and b.file_no = o.file_no
        and b.line = o.line
        and b.led_by = 'citizen_id'
    where o.owners > 0
)

select
    source,
    file_no,
    line,
    case when owners = 1 then 'numbers_disagree' else 'old_number_shared' end as kind
from led
where
    (owners = 1 and bearer_id <> owner_id)
    -- a citizen_id that leads to someone needs no old number
    or (owners > 1 and match_method is null)
