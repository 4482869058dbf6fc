-- one row per death registered in the period or the months before that are followed, as of the period
{{ config(tags=['followed'], indexed=[['citizen_token']]) }}

with
deaths as (
    select
        *,
        coalesce(root_id, unknown_number) as person_id
    from {{ ref('int_followed_event') }}
    where event_kind = 'death'
),

-- the register comes by the month: the first one that knows the citizen dead
deregistered as (
    select
        h.root_id,
        min(h.valid_from) as deregistered_in
    from {{ ref('citizen_history') }} as h
    where
        {{ visible('h') }}
        and h.valid_from <= {{ period() }}
        and h.status = 'deceased'
        and h.root_id in (select root_id from deaths)
    group by h.root_id
),

payments as (
    select
        d.record_key,
        min(p.paid_on) filter (where p.benefit_kind = 'funeral_allowance') as allowance_paid_on,
        count(*) filter (where p.benefit_kind <> 'funeral_allowance' and p.paid_on > d.event_on) as payments_after_death,
        sum(p.amount) filter (where p.benefit_kind <> 'funeral_allowance' and p.paid_on > d.event_on) as amount_after_death,
        max(p.paid_on) filter (where p.benefit_kind <> 'funeral_allowance' and p.paid_on > d.event_on) as last_paid_on,
        bool_or(p.benefit_kind <> 'funeral_allowance' and p.paid_on > d.event_on and p.sent_in = {{ period() }}) as is_still_paid
    from deaths as d
    inner join {{ ref('int_followed_payment') }} as p on p.root_id = d.person_id
    group by d.record_key
),

steps as (
    select
        d.sent_in,
        d.record_key,
        d.citizen_token,
        d.province_code,
        d.commune_code,
        d.event_on,
        d.registered_on,
        r.deregistered_in,
        p.allowance_paid_on,
        p.payments_after_death,
        p.amount_after_death,
        p.last_paid_on,
        p.is_still_paid,
        {{ step_state("coalesce(d.status = 'deceased', false)", 'd.registered_on', 'deregistration') }} as deregistration_state,
        {% if received_in_window('social_security_payment') -%}
        {{ step_state('p.allowance_paid_on is not null', 'd.registered_on', 'allowance') }}
        {%- else -%}
        'not_received'
        {%- endif %} as allowance_state
    from deaths as d
    left join deregistered as r on r.root_id = d.root_id
    left join payments as p on p.record_key = d.record_key
)

select
    {{ period() }} as period,
    record_key,
    sent_in as event_period,
    citizen_token,
    province_code,
    commune_code,
    event_on,
    registered_on,
    deregistered_in as deregistered_from,
    {{ days_until(month_end('deregistered_in')) }} as days_to_deregister,
    deregistration_state,
    allowance_paid_on,
    {{ days_until('allowance_paid_on') }} as days_to_allowance,
    allowance_state,
    {{ 'coalesce(payments_after_death, 0)' if received_in_window('social_security_payment') else 'null' }}::integer as payments_after_death,
    {{ 'coalesce(amount_after_death, 0)' if received_in_window('social_security_payment') else 'null' }}::numeric(18, 2) as amount_after_death,
    last_paid_on,
    {{ 'coalesce(is_still_paid, false)' if received('social_security_payment') else 'null::boolean' }} as is_still_paid,
    {{ as_of() }} - registered_on as days_since,
    {{ chain_state(['deregistration_state', 'allowance_state']) }} as state
from steps
