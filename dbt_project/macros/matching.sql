{# The words of the matching cascade. #}

{# At least two of normalised full name, birth date and sex agree; the name is only asked when it decides. #}
{% macro two_of_three_agree(row, citizen) -%}
    case
        when {{ row }}.birth_date = {{ citizen }}.birth_date and {{ row }}.sex = {{ citizen }}.sex then true
        when {{ row }}.birth_date = {{ citizen }}.birth_date or {{ row }}.sex = {{ citizen }}.sex
            then coalesce(({{ normalised_name(row ~ '.full_name') }}) = {{ citizen }}.name_norm, false)
        else false
    end
{%- endmacro %}

{# One fixed number per method. #}
{% macro match_confidence(method) -%}
    case {{ method }}
        when 'id' then 1.0
        when 'previous_id' then 0.99
        when 'old_id' then 0.97
        when 'insurance_no' then 0.95
        when 'name_birth' then 0.9
        else 0
    end::numeric(5, 4)
{%- endmacro %}

{#
    name_birth: rows that state neither number, whose normalised name, birth date and sex (and commune, where the
    source has one it compares) belong to exactly one citizen of the register, while no row of the source still open
    with these values states a number.
#}
{% macro match_by_name_and_birth(open_rows) -%}
with
open_rows as (
    {{ open_rows }}
),

asked as (
    select
        o.source,
        o.name_norm,
        o.birth_date,
        o.sex,
        o.commune_code
    from open_rows as o
    group by o.source, o.name_norm, o.birth_date, o.sex, o.commune_code
    having bool_and(o.citizen_id is null and o.old_id is null)
),

answered as (
    select
        a.source,
        a.name_norm,
        a.birth_date,
        a.sex,
        a.commune_code,
        min(c.root_id) as root_id,
        (array_agg(c.citizen_token))[1] as citizen_token,
        min(c.residence_province_code) as residence_province_code
    from asked as a
    inner join {{ ref('int_register_number') }} as c
        on c.is_newest
        and c.name_norm = a.name_norm
        and c.birth_date = a.birth_date
        and c.sex = a.sex
        and (a.commune_code is null or a.commune_code = c.residence_commune_code)
    group by a.source, a.name_norm, a.birth_date, a.sex, a.commune_code
    having count(*) = 1
)

select
    o.source,
    o.file_no,
    o.line,
    'name_birth' as match_method,
    a.root_id,
    a.citizen_token,
    a.residence_province_code
from open_rows as o
inner join answered as a
    on a.source = o.source
    and a.name_norm = o.name_norm
    and a.birth_date = o.birth_date
    and a.sex = o.sex
    and a.commune_code is not distinct from o.commune_code
{%- endmacro %}

{# Sources whose rows say what somebody holds: an account or a parcel stays the dead's until the estate is settled. #}
{% macro holder_sources() -%}
    {{ return(contracts().values() | selectattr('deceased', 'equalto', 'hold') | map(attribute='source') | sort | list) }}
{%- endmacro %}

{# Sources in which the dead stand as they should: the register of deaths, the allowance for a funeral. #}
{% macro sources_of_the_dead() -%}
    {{ return(contracts().values() | selectattr('deceased', 'equalto', 'listed') | map(attribute='source') | sort | list) }}
{%- endmacro %}
