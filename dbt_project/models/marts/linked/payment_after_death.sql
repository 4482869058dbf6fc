-- one row per payment of the period, other than a funeral allowance, dated after the death of whom it is for
-- depends on {{ ref('int_followed_event') }}
{{ config(tags=['of_social_security_payment'], indexed=[['citizen_token']]) }}

with
-- who is dead by the register of the period, or by a death registered in the months that are followed
dead_of_register as (
    select
        citizen_token,
        death_date as died_on
    from {{ ref('int_register_number') }}
    where is_newest and status = 'deceased' and death_date is not null
),

dead_of_civil_status as (
    {% if received_in_window('civil_status_event') -%}
    select
        citizen_token,
        min(event_on) as died_on
    from {{ ref('int_followed_event') }}
    where event_kind = 'death' and citizen_token is not null
    group by citizen_token
    {%- else -%}
    select null::uuid as citizen_token, null::date as died_on where false
    {%- endif %}
)

select
    {{ period() }} as period,
    f.record_key,
    f.citizen_token,
    f.province_code,
    f.benefit_kind,
    f.payment_method,
    f.paid_on,
    coalesce(r.died_on, c.died_on) as died_on,
    case when r.died_on is not null then 'register' else 'civil_status' end as known_from,
    f.paid_on - coalesce(r.died_on, c.died_on) as days_after_death,
    f.amount
from {{ month(ref('fct_social_security_payment')) }} as f
left join dead_of_register as r on r.citizen_token = f.citizen_token
left join dead_of_civil_status as c on c.citizen_token = f.citizen_token
where f.benefit_kind <> 'funeral_allowance' and f.paid_on > coalesce(r.died_on, c.died_on)
