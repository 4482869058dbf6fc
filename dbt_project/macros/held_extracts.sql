{# Rows of register extracts, kept by extract: those the vault does not hold yet are added, each once. #}
{% materialization held_extracts, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set columns = model.columns.keys() | join(', ') -%}
    {{ get_assert_columns_equivalent(sql) }}
    {% call statement('main') %}
        {% for extract in var('register_new') %}
        insert into vault.register_extract (extract_key, extract_id, period, area_edition)
        values ({{ extract['key'] }}, '{{ extract['extract_id'] }}', date '{{ extract['period'] }}', date '{{ extract['area_edition'] }}');
        {% endfor %}
        insert into {{ target_relation }} ({{ columns }})
        select {{ columns }} from (
            {{ sql }}
        ) as fresh;
        create index if not exists {{ this.identifier }}_citizen_id on {{ target_relation }} (citizen_id);
        create index if not exists {{ this.identifier }}_linked on {{ target_relation }} (previous_citizen_id) where previous_citizen_id is not null;
        create index if not exists {{ this.identifier }}_period on {{ target_relation }} using brin (period);
        {% if var('register_new') %}
        {{ analyse_when_grown(target_relation) }}
        {% endif %}
    {% endcall %}
    {% do adapter.commit() %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{# What the register's extracts say that is kept. #}
{% macro register_columns() -%}
    {{ return([
        'citizen_id', 'previous_citizen_id', 'record_op', 'old_id', 'full_name', 'birth_date', 'sex', 'residence_commune_code',
        'status', 'death_date', 'id_card_issued_on', 'eid_level',
    ]) }}
{%- endmacro %}

{# What all register extracts the vault does not hold yet say, each row with the key of its extract. #}
{% macro staged_register() -%}
    {%- set columns = register_columns() | join(', ') -%}
    {%- for extract in var('register_new') %}
        {{ 'union all' if not loop.first }}
        {%- if extract['follows'] %}
        {{ snapshot_changes(extract) }}
        {%- else %}
        select {{ extract['key'] }}::bigint as extract_key, period, {{ columns }} from {{ staged_leaf(extract['leaf']) }}
        {%- endif %}
    {%- else %}
        select null::bigint as extract_key, period, {{ columns }} from (select {{ typed_nulls('population_register') }}) as none_new where false
    {%- endfor -%}
{%- endmacro %}

{% macro staged_leaf(leaf) -%}
    {{ source('staging', 'population_register').incorporate(path={"identifier": leaf}) }}
{%- endmacro %}

{#
    A snapshot as changes: its rows that are not those of the register before it, and a removal of each number it holds
    no longer. A row sent under another area list says something else, though its digits be equal.
#}
{% macro snapshot_changes(extract) -%}
    {%- set columns = register_columns() -%}
    {%- set of_new = "date '" ~ extract['area_edition'] ~ "' as area_edition" -%}
    select
        {{ extract['key'] }}::bigint as extract_key,
        date '{{ extract["period"] }}' as period,
        coalesce(n.citizen_id, b.citizen_id) as citizen_id,
        {%- for column in columns if column != 'citizen_id' %}
        {{ "case when n.citizen_id is null then 'remove' else n.record_op end as record_op" if column == 'record_op' else 'n.' ~ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from (select {{ columns | join(', ') }}, {{ of_new }} from {{ staged_leaf(extract['leaf']) }}) as n
    full join (
        {%- if extract['follows'] | length > 1 %}
        select distinct on (citizen_id) {{ columns | join(', ') }}, area_edition
        from (
            {%- for earlier in extract['follows'] %}
            {{ 'union all' if not loop.first }}
            select {{ columns | join(', ') }}, date '{{ earlier["area_edition"] }}' as area_edition, period from {{ staged_leaf(earlier['leaf']) }}
            {%- endfor %}
        ) as sent_before
        order by citizen_id, period desc
        {%- else %}
        select {{ columns | join(', ') }}, date '{{ extract["follows"][0]["area_edition"] }}' as area_edition from {{ staged_leaf(extract['follows'][0]['leaf']) }}
        {%- endif %}
    ) as b on b.citizen_id = n.citizen_id
    where
        case
            when n.citizen_id is null then b.record_op is distinct from 'remove'
            else (n.{{ columns | join(', n.') }}, n.area_edition) is distinct from (b.{{ columns | join(', b.') }}, b.area_edition)
        end
{%- endmacro %}
