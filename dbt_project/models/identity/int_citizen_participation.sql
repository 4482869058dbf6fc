-- one row per citizen with a matched participation: whether one insures the citizen's health, and whether one is social insurance
select
    m.citizen_token,
    bool_or(
        s.insurance_card_no is not null
        and coalesce(s.card_valid_from, '-infinity') <= {{ as_of() }}
        and coalesce(s.card_valid_to, 'infinity') >= {{ as_of() }}
    ) as has_health_insurance,
    bool_or(s.participation in ('compulsory', 'voluntary', 'pension')) as has_social_insurance
from {{ ref('stg_social_security_participation') }} as s
inner join {{ ref('int_match') }} as m
    on m.source = 'social_security_participation'
    and m.file_no = s.file_no
    and m.line = s.line
where m.citizen_token is not null
group by m.citizen_token
