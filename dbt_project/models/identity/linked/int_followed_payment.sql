-- one row per payment of the months that are followed to somebody whose death was registered in them
{{ config(tags=['followed']) }}
{%- set columns = [
    'record_key', 'citizen_id', 'old_id', 'full_name', 'birth_date', 'sex', 'benefit_kind', 'paid_on', 'amount',
] %}

with
sent as (
    {{ staged_in_window('social_security_payment', columns) }}
),

deaths as (
    select * from {{ ref('int_followed_event') }} where event_kind = 'death'
),

-- of millions of payments those that can be the dead's: by a number that leads to one, or that the event states, else by
-- old number or birth date
dead_numbers as (
    select n.citizen_id
    from {{ ref('int_register_number') }} as n
    where n.root_id in (select root_id from deaths)
    union
    select unknown_number from deaths where unknown_number is not null
),

-- a sender may use a number of a payment again in another month
candidates as (
    select
        s.*,
        case when s.citizen_id in (select unknown_number from deaths) then s.citizen_id end as unknown_number,
        md5(s.sent_in || ' ' || s.record_key)::uuid as row_key
    from sent as s
    where
        s.citizen_id in (select citizen_id from dead_numbers)
        or (s.citizen_id is null and s.birth_date in (
            select n.birth_date
            from {{ ref('int_register_number') }} as n
            where n.root_id in (select root_id from deaths)
        ))
),

persons as (
    {{ led_to('candidates') }}
)

select
    c.sent_in,
    c.record_key,
    coalesce(p.root_id, c.unknown_number) as root_id,
    c.benefit_kind,
    c.paid_on,
    c.amount
from candidates as c
left join persons as p on p.row_key = c.row_key
where coalesce(p.root_id, c.unknown_number) is not null
