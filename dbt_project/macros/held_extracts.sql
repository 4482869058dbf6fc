{# Rows of register extracts, kept by extract: those the vault does not hold yet are added, each once. #}
{% materialization held_extracts, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set columns = model.columns.keys() | join(', ') -%}
    {{ get_assert_columns_equivalent(sql) }}
    {% call statement('main') %}
        {% for extract in var('register_new') %}
        insert into vault.register_extract (extract_key, extract_id, period)
        values ({{ extract['key'] }}, '{{ extract['extract_id'] }}', date '{{ extract['period'] }}');
        {% endfor %}
        insert into {{ target_relation }} ({{ columns }})
        select {{ columns }} from (
            {{ sql }}
        ) as fresh;
        create index if not exists {{ this.identifier }}_citizen_id on {{ target_relation }} (citizen_id);
        create index if not exists {{ this.identifier }}_linked on {{ target_relation }} (previous_citizen_id) where previous_citizen_id is not null;
        create index if not exists {{ this.identifier }}_period on {{ target_relation }} using brin (period);
        {% if var('register_new') %}
        analyze {{ target_relation }};
        {% endif %}
    {% endcall %}
    {% do adapter.commit() %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{#
    The leaves of all register extracts the vault does not hold yet, each row with the key of its extract. Columns by
    name: a leaf from before the contract gained a column has it at its end.
#}
{% macro staged_register() -%}
    {%- set parent = source('staging', 'population_register') -%}
    {%- for extract in var('register_new') %}
        {{ 'union all' if not loop.first }}
        select {{ extract['key'] }}::bigint as extract_key, leaf.period
        {%- for column in contracts()['population_register']['columns'] -%}
            , leaf.{{ column['name'] }}
        {%- endfor %} from {{ parent.incorporate(path={"identifier": extract['leaf']}) }} as leaf
    {%- else %}
        select null::bigint as extract_key, {{ typed_nulls('population_register') }} where false
    {%- endfor -%}
{%- endmacro %}
