-- one row per record still open whose old nine-digit number belongs to exactly one citizen of the register
with
open_records as (
    select * from {{ ref('int_match_id') }} where match_method is null and old_id is not null
),

owners as (
    select
        c.old_id,
        min(c.citizen_id) as citizen_id
    from {{ ref('int_register_number') }} as c
    where c.is_newest and c.old_id in (select old_id from open_records)
    group by c.old_id
    having count(*) = 1
),

found as (
    select
        r.source,
        r.file_no,
        r.line,
        {{ two_of_three_agree('r', 'n') }} as agrees,
        n.root_id,
        n.citizen_token,
        n.residence_province_code
    from open_records as r
    inner join owners as o on o.old_id = r.old_id
    inner join {{ ref('int_register_number') }} as n on n.is_newest and n.citizen_id = o.citizen_id
)

select
    source,
    file_no,
    line,
    case when agrees then 'old_id' else 'conflict' end as match_method,
    case when agrees then root_id end as root_id,
    case when agrees then citizen_token end as citizen_token,
    case when agrees then residence_province_code end as residence_province_code
from found
