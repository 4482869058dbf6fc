-- one row per record and kind: it is that of someone dead, gone abroad, cancelled or removed, or of a number replaced
{{ config(materialized='ephemeral') }}

with
gone as (
    select
        c.citizen_token,
        c.status,
        c.death_date,
        c.root_id in (select root_id from {{ ref('int_late_death') }}) as is_late
    from {{ ref('int_register_number') }} as c
    where c.is_newest and c.status <> 'alive'
),

served as (
    {%- for step in ['int_match_id', 'int_match_late'] %}
    {{ 'union all' if not loop.first }}
    select
        m.source,
        m.file_no,
        m.line,
        g.status,
        g.death_date,
        g.is_late
    from {{ ref(step) }} as m
    inner join gone as g on g.citizen_token = m.citizen_token
    {%- endfor %}
),

-- the day of the service, in Vietnam, where a row is one service
services as (
    {%- for contract in matched_sources() if contract['service_column'] %}
    {{ 'union all' if not loop.first }}
    select
        '{{ contract["source"] }}' as source,
        file_no,
        line,
        ({{ contract['service_column'] }} at time zone interval '7 hours')::date as served_on
    from {{ staged(contract['source']) }} as sent
    {%- else %}
    select null::text as source, null::smallint as file_no, null::bigint as line, null::date as served_on where false
    {%- endfor %}
),

departed as (
    select
        s.source,
        s.file_no,
        s.line,
        case
            when s.status = 'cancelled' then 'number_cancelled'
            when s.source in ('{{ sources_of_the_dead() | join("', '") }}') then null
            when s.status = 'emigrated' and s.source not in ('{{ holder_sources() | join("', '") }}') then 'emigrated_listed'
            when s.status <> 'deceased' then null
            when v.source is not null then case when v.served_on > s.death_date then 'deceased_served' end
            when s.death_date >= {{ period() }} then null
            -- the register itself did not know before this month
            when s.is_late then 'death_reported_late'
            when s.source not in ('{{ holder_sources() | join("', '") }}') then 'deceased_listed'
            -- an estate takes its time: a year
            when s.death_date < {{ period() }} - interval '1 year' then 'deceased_holder_long'
            else 'deceased_holder'
        end as kind
    from served as s
    left join services as v
        on v.source = s.source
        and v.file_no = s.file_no
        and v.line = s.line
),

open_numbers as (
    select
        source,
        file_no,
        line,
        citizen_id
    from {{ ref('int_match_id') }}
    where match_method is null and citizen_id is not null
),

once_held as (
    select distinct r.citizen_id
    from {{ ref('register_row') }} as r
    inner join {{ ref('int_register_input') }} as i on i.extract_key = r.extract_key
    where r.period <= {{ period() }} and r.citizen_id in (select citizen_id from open_numbers)
)

select
    source,
    file_no,
    line,
    kind
from departed
where kind is not null
union all
select
    o.source,
    o.file_no,
    o.line,
    case when h.citizen_id is null then 'number_unknown' else 'number_removed' end
from open_numbers as o
left join once_held as h on h.citizen_id = o.citizen_id
union all
select
    source,
    file_no,
    line,
    'previous_number'
from {{ ref('int_match_id') }}
where match_method = 'previous_id'
