-- one row per citizen of the register alive, or deceased in the period
{{ config(indexed=[['citizen_token']]) }}

with
citizens as (
    select
        c.citizen_token,
        c.residence_province_code,
        c.residence_commune_code,
        c.residence_valid_from,
        c.is_default_residence,
        c.sex,
        extract(year from age(
            case when c.status = 'deceased' then c.death_date else {{ as_of() }} end,
            c.birth_date
        ))::integer as age,
        c.status,
        coalesce(c.id_card_issued_on <= {{ as_of() }}, false) as has_id_card,
        c.eid_level
    from {{ ref('int_register_number') }} as c
    where
        c.is_newest
        and (
            c.status = 'alive'
            or (c.status = 'deceased' and c.death_date between {{ period() }} and {{ as_of() }})
            or c.root_id in (select root_id from {{ ref('int_late_death') }})
        )
),

students as (
    select distinct citizen_token
    from {{ month(ref('fct_education_enrolment')) }} as enrolments
    where citizen_token is not null and enrolment_status = 'studying'
),

visits_by_citizen as (
    select
        citizen_token,
        count(*) as health_visits,
        sum(total_amount) as health_amount
    from {{ month(ref('fct_health_visit')) }} as visits
    where citizen_token is not null
    group by citizen_token
),

kyc_by_citizen as (
    select
        citizen_token,
        count(*) as kyc_records,
        count(*) filter (where biometric_match = 'matched') as kyc_biometric_matched
    from {{ month(ref('fct_bank_kyc')) }} as customer_files
    where citizen_token is not null
    group by citizen_token
)

-- a citizen without rows has 0 and false for a source that was received, null for one that was not
select
    {{ period() }} as period,
    c.citizen_token,
    c.residence_province_code,
    c.residence_commune_code,
    c.residence_valid_from,
    c.is_default_residence,
    c.sex,
    c.age,
    c.status,
    c.has_id_card,
    c.eid_level,
    {{ 's.citizen_token is not null' if received('education_enrolment') else 'null::boolean' }} as is_student,
    {{ counted('v.health_visits', 'health_visit') }}::integer as health_visits,
    {{ counted('v.health_amount', 'health_visit') }}::numeric(18, 2) as health_amount,
    {{ flagged('p.has_health_insurance', 'social_security_participation') }} as has_health_insurance,
    {{ flagged('p.has_social_insurance', 'social_security_participation') }} as has_social_insurance,
    {{ counted('k.kyc_records', 'bank_kyc') }}::integer as kyc_records,
    {{ counted('k.kyc_biometric_matched', 'bank_kyc') }}::integer as kyc_biometric_matched,
    {{ counted('l.land_parcels', 'land_parcel') }}::integer as land_parcels,
    {{ counted('l.land_area_m2', 'land_parcel') }}::numeric as land_area_m2
from citizens as c
left join students as s on s.citizen_token = c.citizen_token
left join visits_by_citizen as v on v.citizen_token = c.citizen_token
left join {{ ref('int_citizen_participation') }} as p on p.citizen_token = c.citizen_token
left join kyc_by_citizen as k on k.citizen_token = c.citizen_token
left join {{ ref('int_citizen_land') }} as l on l.citizen_token = c.citizen_token
