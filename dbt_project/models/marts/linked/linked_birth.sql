-- one row per birth registered in the period or the months before that are followed, as of the period
{{ config(tags=['followed'], indexed=[['citizen_token']]) }}

with
births as (
    select * from {{ ref('int_followed_event') }} where event_kind = 'birth'
),

-- the register comes by the month: a child was in it by the last day of the first month that holds it
entries as (
    select
        h.root_id,
        min(h.valid_from) as entered_in
    from {{ ref('citizen_history') }} as h
    where {{ visible('h') }} and h.valid_from <= {{ period() }} and h.root_id in (select root_id from births)
    group by h.root_id
),

-- TE is the card of children under six
health_cards as (
    select
        m.citizen_token,
        min(s.card_valid_from) as valid_from
    from {{ ref('stg_social_security_participation') }} as s
    inner join {{ ref('int_match') }} as m
        on m.source = 'social_security_participation'
        and m.file_no = s.file_no
        and m.line = s.line
    where
        m.citizen_token in (select citizen_token from births)
        and (s.object_code = 'TE' or s.insurance_card_no like 'TE%')
        and coalesce(s.card_valid_from, '-infinity') <= {{ as_of() }}
        and coalesce(s.card_valid_to, 'infinity') >= {{ as_of() }}
    group by m.citizen_token
),

steps as (
    select
        b.sent_in,
        b.record_key,
        b.citizen_token,
        b.province_code,
        b.commune_code,
        b.event_on,
        b.registered_on,
        e.entered_in,
        h.valid_from as card_valid_from,
        {{ step_state('b.root_id is not null', 'b.registered_on', 'number') }} as number_state,
        {{ step_state('b.root_id is not null and b.residence_commune_code is not null', 'b.registered_on', 'residence') }} as residence_state,
        {% if received('social_security_participation') -%}
        {{ step_state('h.citizen_token is not null', 'b.registered_on', 'health_card') }}
        {%- else -%}
        'not_received'
        {%- endif %} as health_card_state
    from births as b
    left join entries as e on e.root_id = b.root_id
    left join health_cards as h on h.citizen_token = b.citizen_token
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
    number_state,
    entered_in as in_register_from,
    {{ days_until(month_end('entered_in')) }} as days_to_register,
    residence_state,
    card_valid_from as health_card_valid_from,
    {{ days_until('card_valid_from') }} as days_to_health_card,
    health_card_state,
    {{ as_of() }} - registered_on as days_since,
    {{ chain_state(['number_state', 'residence_state', 'health_card_state']) }} as state
from steps
