-- one row per row of the period's register extract and kind: numbers the register itself gives twice
{{ config(materialized='ephemeral') }}

with
sent as (
    select * from {{ ref('int_register_sent') }} where record_op = 'upsert'
),

entered as materialized (
    select
        s.file_no,
        s.line,
        c.root_id,
        c.name_norm,
        c.birth_date,
        c.sex,
        c.residence_commune_code
    from sent as s
    inner join {{ ref('int_register_number') }} as c on c.is_newest and c.citizen_id = s.citizen_id
    where c.status = 'alive'
),

doubles as (
    select distinct
        e.file_no,
        e.line,
        'register_double' as kind
    from entered as e
    inner join {{ ref('int_register_number') }} as c
        on c.is_newest
        and c.status = 'alive'
        and c.name_norm = e.name_norm
        and c.birth_date = e.birth_date
        and c.sex = e.sex
        and c.residence_commune_code = e.residence_commune_code
        and c.root_id <> e.root_id
),

shared_old_numbers as (
    select
        file_no,
        line,
        'register_old_number' as kind
    from {{ ref('int_finding_old_number') }}
    where source = 'population_register' and owners > 1
),

replaced_but_alive as (
    select
        s.file_no,
        s.line,
        'register_previous_alive' as kind
    from sent as s
    inner join {{ ref('citizen_root') }} as r on r.citizen_id = s.citizen_id and {{ visible('r') }}
    where r.superseded_from <= {{ period() }} and s.status = 'alive'
),

claimed_twice as (
    select distinct
        s.file_no,
        s.line,
        'register_previous_twice' as kind
    from sent as s
    inner join {{ ref('register_row') }} as r
        on r.previous_citizen_id = s.previous_citizen_id
        and r.citizen_id <> s.citizen_id
        and r.period <= {{ period() }}
    inner join {{ ref('int_register_input') }} as i on i.extract_key = r.extract_key
    where s.previous_citizen_id is not null
)
{% for kind in ['doubles', 'shared_old_numbers', 'replaced_but_alive', 'claimed_twice'] %}
{{ 'union all' if not loop.first }}
select
    'population_register' as source,
    file_no,
    line,
    kind
from {{ kind }}
{%- endfor %}
