-- one row per visit still open whose health card carries the social insurance number of exactly one matched citizen
with
open_visits as (
    select * from {{ ref('int_open_record') }} where source = 'health_visit' and social_insurance_no is not null
),

participants as (
    select
        s.social_insurance_no,
        coalesce(i.root_id, o.root_id, n.root_id) as root_id
    from {{ ref('stg_social_security_participation') }} as s
    left join {{ ref('int_match_id') }} as i
        on i.source = 'social_security_participation'
        and i.file_no = s.file_no
        and i.line = s.line
    left join {{ ref('int_match_old_id') }} as o
        on o.source = 'social_security_participation'
        and o.file_no = s.file_no
        and o.line = s.line
    left join {{ ref('int_match_name_birth_insured') }} as n
        on n.file_no = s.file_no
        and n.line = s.line
    where s.social_insurance_no in (select social_insurance_no from open_visits)
),

holders as (
    select
        social_insurance_no,
        min(root_id) as root_id
    from participants
    group by social_insurance_no
    having count(distinct root_id) = 1
)

select
    v.source,
    v.file_no,
    v.line,
    'insurance_no' as match_method,
    c.root_id,
    c.citizen_token,
    c.residence_province_code
from open_visits as v
inner join holders as h on h.social_insurance_no = v.social_insurance_no
inner join {{ ref('int_register_number') }} as c on c.is_newest and c.root_id = h.root_id
where {{ two_of_three_agree('v', 'c') }}
