-- one row per citizen whom the register extracts changed since the visible state touch
{%- set said = [
    'citizen_id', 'previous_citizen_id', 'is_removed', 'old_id', 'full_name', 'birth_date', 'sex', 'residence_commune_code',
    'status', 'death_date', 'id_card_issued_on', 'eid_level',
] %}
{%- set reached = [var('register_horizon_before'), var('register_horizon')] | sort %}

with
changed_numbers as (
    {% if var('register_everyone') -%}
    select r.citizen_id
    from {{ ref('register_row') }} as r
    inner join {{ ref('int_register_input') }} as i on i.extract_key = r.extract_key
    union
    select root_id as citizen_id from vault.citizen_history where to_state is null
    {%- else -%}
    select unnest(array[r.citizen_id, r.previous_citizen_id]) as citizen_id
    from {{ ref('register_row') }} as r
    where
    {%- for extract in var('register_changed') %}
        {{ 'or ' if not loop.first }}(r.period = date '{{ extract["period"] }}' and r.extract_key = {{ extract["key"] }})
    {%- else %}
        false
    {%- endfor %}
    {%- for extract in var('register_corrected') %}
    union
    -- of a correction those whose rows differ
    select unnest(array[b.citizen_id, b.previous_citizen_id, a.citizen_id, a.previous_citizen_id])
    from (
        select {{ said | join(', ') }} from {{ ref('register_row') }}
        where period = date '{{ extract["period"] }}' and extract_key = {{ extract["key"] }}
    ) as b
    full join (
        select {{ said | join(', ') }} from {{ ref('register_row') }}
        where period = date '{{ extract["period"] }}' and extract_key = {{ extract["by"] }}
    ) as a on a.citizen_id = b.citizen_id
    where (a.{{ said | join(', a.') }}) is distinct from (b.{{ said | join(', b.') }})
    {%- endfor %}
    union
    -- whose card is dated ahead, to a month that one of the two states reaches and the other does not
    select h.root_id
    from vault.citizen_history as h
    where
        h.id_card_issued_on >= h.valid_from + interval '1 month'
        and h.id_card_issued_on >= date '{{ reached[0] }}' + interval '1 month'
        and h.id_card_issued_on < date '{{ reached[1] }}' + interval '1 month'
        and h.from_state <= {{ var('state_before') }}
        and (h.to_state is null or h.to_state > {{ var('state_before') }})
    {%- endif %}
),

roots as (
    select coalesce(after.root_id, c.citizen_id) as root_id
    from changed_numbers as c
    left join {{ ref('citizen_root') }} as after on after.citizen_id = c.citizen_id and after.to_state is null
    where c.citizen_id is not null
    union
    select coalesce(before.root_id, c.citizen_id)
    from changed_numbers as c
    left join {{ ref('citizen_root') }} as before
        on before.citizen_id = c.citizen_id
        and before.from_state <= {{ var('state_before') }}
        and (before.to_state is null or before.to_state > {{ var('state_before') }})
    where c.citizen_id is not null
)

select
    r.root_id,
    t.citizen_token
from roots as r
left join {{ source('vault', 'citizen_token') }} as t on t.citizen_id = r.root_id
