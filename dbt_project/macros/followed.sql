{# What is registered in a month is followed through the months after it, each build as of its own period. #}

{# The rows of a source of the period and of the months before that a build follows, with the month each was sent in. #}
{% macro staged_in_window(source_name, columns) -%}
    {%- set extracts = var('earlier') | selectattr('source', 'equalto', source_name) | list -%}
    {%- for extract in extracts %}
    select
        date '{{ extract["period"] }}' as sent_in,
        date '{{ extract["area_edition"] }}' as area_edition,
        {{ columns | join(',\n        ') }}
    from {{ source('staging', source_name).incorporate(path={"identifier": extract['leaf']}) }}
    union all
    {%- endfor %}
    select
        {{ period() }} as sent_in,
        {{ area_edition(source_name) }} as area_edition,
        {{ columns | join(',\n        ') }}
    from {{ staged(source_name) }} as sent
{%- endmacro %}

{# Whether an extract of the source was accepted for the period or a month before that a build follows. #}
{% macro received_in_window(source_name) -%}
    {{ return(received(source_name) or (var('earlier') | selectattr('source', 'equalto', source_name) | list | length > 0)) }}
{%- endmacro %}

{#
    To whom the register as of the period leads each row: by its number, by its old number, or, when it states neither, by
    name, birth date and sex that belong to exactly one citizen. As the matching cascade, for rows of months whose own
    matching is as of those months.
#}
{% macro led_to(rows) -%}
select
    r.row_key,
    n.root_id
from {{ rows }} as r
inner join {{ ref('int_register_number') }} as n on n.citizen_id = r.citizen_id
where {{ two_of_three_agree('r', 'n') }}
union all
select
    r.row_key,
    n.root_id
from {{ rows }} as r
inner join (
    select
        old_id,
        min(citizen_id) as citizen_id
    from {{ ref('int_register_number') }}
    where is_newest and old_id in (select old_id from {{ rows }})
    group by old_id
    having count(*) = 1
) as o on o.old_id = r.old_id
inner join {{ ref('int_register_number') }} as n on n.is_newest and n.citizen_id = o.citizen_id
where
    {{ two_of_three_agree('r', 'n') }}
    and not exists (select 1 from {{ ref('int_register_number') }} as k where k.citizen_id = r.citizen_id)
union all
select
    r.row_key,
    c.root_id
from {{ rows }} as r
inner join (
    select
        name_norm,
        birth_date,
        sex,
        min(root_id) as root_id
    from {{ ref('int_register_number') }}
    where is_newest and birth_date in (select birth_date from {{ rows }} where citizen_id is null and old_id is null)
    group by name_norm, birth_date, sex
    having count(*) = 1
) as c
    on c.birth_date = r.birth_date
    and c.sex = r.sex
    and c.name_norm = {{ normalised_name('r.full_name') }}
where r.citizen_id is null and r.old_id is null
{%- endmacro %}

{# Where a step stands on the last day of the period: done, waiting, or overdue after so many days. #}
{% macro step_state(is_done, since, step) -%}
    case
        when {{ is_done }} then 'done'
        when {{ as_of() }} - {{ since }} > {{ var('linked_within')[step] }} then 'overdue'
        else 'waiting'
    end
{%- endmacro %}

{# Where a chain stands: overdue when a step is, complete when all are done; a step nobody could look at is not done. #}
{% macro chain_state(steps) -%}
    case
        when 'overdue' in ({{ steps | join(', ') }}) then 'overdue'
        when {{ steps | join(" = 'done' and ") }} = 'done' then 'complete'
        else 'waiting'
    end
{%- endmacro %}

{# Days from the registration to a later day; none when that day lies before it. #}
{% macro days_until(day) -%}
    case when {{ day }} is not null then greatest({{ day }} - registered_on, 0) end
{%- endmacro %}

{# The last day of the month that begins on a day. #}
{% macro month_end(first_day) -%}
    ({{ first_day }} + interval '1 month' - interval '1 day')::date
{%- endmacro %}
