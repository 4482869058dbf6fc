-- one row per record still open that linkage, or a steward, gives to a citizen of the register
{{ config(materialized='ephemeral') }}

select
    l.source,
    l.file_no,
    l.line,
    'linked' as match_method,
    c.root_id,
    c.citizen_token,
    c.residence_province_code,
    l.weight
from {{ source('vault', 'int_linked') }} as l
inner join {{ ref('int_open_record') }} as o
    on o.source = l.source
    and o.file_no = l.file_no
    and o.line = l.line
inner join {{ ref('int_register_number') }} as c on c.is_newest and c.root_id = l.root_id
where {{ var('linked') }}  -- else the rows are those of another build
