{# What the build is about: its period, its number, the extracts pinned for it. #}

{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}

{# The first day of the period. #}
{% macro period() -%} date '{{ var("period") }}' {%- endmacro %}

{# The last day of the period. #}
{% macro as_of() -%} date '{{ var("as_of") }}' {%- endmacro %}

{# Whether an extract of the source was accepted for the period. #}
{% macro received(source_name) -%}
    {{ return(source_name in var('extracts')) }}
{%- endmacro %}

{# The first day of the area list a source's extract was sent under. #}
{% macro area_edition(source_name) -%}
    date '{{ var("extracts")[source_name]["area_edition"] if received(source_name) else "1900-01-01" }}'
{%- endmacro %}

{# The rows of one month in this build; how a model reads another. #}
{% macro month(relation) -%}
    (select * from {{ relation }} where period = {{ period() }} and build_id = {{ var("build_id") }})
{%- endmacro %}

{# Whether a row of a system-versioned table is part of the register state this build reads. #}
{% macro visible(alias) -%}
    {{ alias }}.from_state <= {{ var("state_after") }}
    and ({{ alias }}.to_state is null or {{ alias }}.to_state > {{ var("state_after") }})
{%- endmacro %}

{# Whether a period lies in [valid_from, valid_to). #}
{% macro valid_in_period(alias) -%}
    {{ alias }}.valid_from <= {{ period() }} and ({{ alias }}.valid_to is null or {{ alias }}.valid_to > {{ period() }})
{%- endmacro %}

{# The leaf of the source's pinned extract; no rows of the right shape when none was received. #}
{% macro staged(source_name) -%}
    {%- set parent = source('staging', source_name) -%}
    {%- if received(source_name) -%}
        {{ parent.incorporate(path={"identifier": var('extracts')[source_name]['leaf']}) }}
    {%- else -%}
        (select {{ typed_nulls(source_name) }} where false)
    {%- endif -%}
{%- endmacro %}

{% macro typed_nulls(source_name) -%}
    null::date as period, null::text as extract_id, null::smallint as file_no, null::bigint as line, null::uuid as record_key
    {%- for column in contracts()[source_name]['columns'] -%}
        , null::{{ column['type'] }} as {{ column['name'] }}
    {%- endfor -%}
{%- endmacro %}

{# The contracts of the sources that have a fact mart, by name; without those the build has nothing to do for: neither
   received for the period nor due. While the project is parsed all of them stand here, so that dbt knows every ref. #}
{% macro fact_sources() -%}
    {{ return(contracts().values() | selectattr('mart') | rejectattr('source', 'in', var('left_out')) | sort(attribute='source') | list) }}
{%- endmacro %}

{# The contracts of the sources whose rows are matched against the register, by name; without those left out. #}
{% macro matched_sources() -%}
    {{ return(contracts().values() | selectattr('matched') | rejectattr('source', 'in', var('left_out')) | sort(attribute='source') | list) }}
{%- endmacro %}

{# Whether the source states a commune in the period. #}
{% macro has_commune(contract) -%}
    {{ return(contract['commune_column'] and contract['commune_span'][0] <= var('period') <= contract['commune_span'][1]) }}
{%- endmacro %}

{# Whether the source states a province, and no commune, in the period. #}
{% macro has_province(contract) -%}
    {{ return(contract['province_column'] and contract['province_span'][0] <= var('period') <= contract['province_span'][1]) }}
{%- endmacro %}

{# A citizen's count or sum of a source: 0 without rows, null when the source was not received. #}
{% macro counted(column, source_name) -%}
    {{ 'coalesce(' ~ column ~ ', 0)' if received(source_name) else 'null' }}
{%- endmacro %}

{# A citizen's flag from a source: false without rows, null when the source was not received. #}
{% macro flagged(column, source_name) -%}
    {{ 'coalesce(' ~ column ~ ', false)' if received(source_name) else 'null::boolean' }}
{%- endmacro %}

{#
    First in each transaction that writes: a run that was taken for dead, and whose build another gave up, writes nothing
    more. Tables of work and the register's next state are shared by all builds.
#}
{% macro fence() -%}
    select control.fence({{ var("build_id") }});
{%- endmacro %}
