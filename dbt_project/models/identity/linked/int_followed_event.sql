-- one row per birth or death registered in the months that are followed, as told last, and the citizen it is about
{{ config(tags=['followed']) }}
{%- set columns = [
    'record_key', 'citizen_id', 'old_id', 'full_name', 'birth_date', 'sex', 'event_kind', 'event_on', 'registered_on',
    'commune_code',
] %}

with
sent as (
    {{ staged_in_window('civil_status_event', columns) }}
),

newest as (
    select distinct on (record_key)
        record_key as row_key,
        sent_in,
        area_edition,
        {{ columns | join(',\n        ') }}
    from sent
    order by record_key, sent_in desc
),

-- books of former years that are digitised now are no events of now
told_last as (
    select * from newest
    where event_kind in ('birth', 'death') and registered_on >= date '{{ var("followed_from") }}'
),

persons as (
    {{ led_to('told_last') }}
)

select
    t.sent_in,
    t.record_key,
    t.event_kind,
    t.event_on,
    t.registered_on,
    -- a number the register does not know yet; one that it knows for somebody else names nobody
    case when k.citizen_id is null then t.citizen_id end as unknown_number,
    p.root_id,
    c.citizen_token,
    c.status,
    c.residence_commune_code,
    a.province_code,
    t.commune_code
from told_last as t
left join persons as p on p.row_key = t.row_key
left join {{ ref('int_register_number') }} as c on c.is_newest and c.root_id = p.root_id
left join {{ ref('int_register_number') }} as k on k.citizen_id = t.citizen_id
left join {{ ref('int_area_in_period') }} as a
    on a.level = 'commune'
    and a.edition = t.area_edition
    and a.code = t.commune_code
