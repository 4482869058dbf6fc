-- one row per record: what its citizen_id decides; a record still open keeps the values the next steps ask for
with
found as (
    select
        r.source,
        r.file_no,
        r.line,
        case
            when n.citizen_id is null then null
            when {{ two_of_three_agree('r', 'n') }} then n.leads_by
            else 'conflict'
        end as match_method,
        lower(r.full_name) <> n.name_norm as name_differs,
        case when n.citizen_id is not null then coalesce(r.birth_date = n.birth_date, false) end as birth_date_agrees,
        case when n.citizen_id is not null then coalesce(r.sex = n.sex, false) end as sex_agrees,
        n.root_id,
        n.citizen_token,
        n.residence_province_code,
        n.residence_commune_code,
        r.citizen_id,
        r.old_id,
        r.full_name,
        r.birth_date,
        r.sex,
        r.commune_code,
        r.insurance_card_no
    from {{ ref('int_record') }} as r
    left join {{ ref('int_register_number') }} as n on n.citizen_id = r.citizen_id
)

select
    source,
    file_no,
    line,
    match_method,
    coalesce(name_differs, false) as name_differs,
    birth_date_agrees,
    sex_agrees,
    case when match_method <> 'conflict' then root_id end as root_id,
    case when match_method <> 'conflict' then citizen_token end as citizen_token,
    case when match_method <> 'conflict' then residence_province_code end as residence_province_code,
    case when match_method <> 'conflict' then residence_commune_code end as residence_commune_code,
    case when match_method is null then citizen_id end as citizen_id,
    case when match_method is null then old_id end as old_id,
    case when match_method is null then full_name end as full_name,
    case when match_method is null then birth_date end as birth_date,
    case when match_method is null then sex end as sex,
    case when match_method is null then commune_code end as commune_code,
    case when match_method is null then insurance_card_no end as insurance_card_no
from found
