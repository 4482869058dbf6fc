{#
    A table whose rows say in which register states they are visible: from_state up to, but not including, to_state.
    The model gives the rows of the next state for the citizens in its scope; only differences are written, ahead of
    the pointer, so that nobody sees them before the release moves it. What an unpublished build wrote before is undone
    first. The rows in scope are found one by one through the index of the scope, or, of more than `scan_share` of all,
    in one pass over the table.
#}
{% materialization system_versioned, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set columns = model.columns.keys() | list -%}
    {%- set key = config.require('key') -%}
    {%- set scope = config.get('scope') -%}
    {%- set fresh = this.identifier ~ '__fresh' -%}
    {%- set same -%}
        {% for column in key %}n.{{ column }} = t.{{ column }} and {% endfor -%}
        (n.{{ columns | join(', n.') }}) is not distinct from (t.{{ columns | join(', t.') }})
    {%- endset -%}
    {%- set held = this.identifier ~ '__held' -%}
    {%- set affected = this.incorporate(path={"identifier": 'int_affected', "schema": 'vault'}) -%}
    {%- set by_index = scope and run_query(
        "select (select count(*) from " ~ affected ~ ") < " ~ var('scan_share') ~ " * reltuples"
        ~ " from pg_class where oid = '" ~ target_relation ~ "'::regclass"
    ).rows[0][0] -%}
    {{ get_assert_columns_equivalent(sql) }}
    {% call statement('main') %}
        {{ fence() }}
        delete from {{ target_relation }} where from_state > {{ var('state_before') }};
        update {{ target_relation }} set to_state = null where to_state > {{ var('state_before') }};

        create temporary table {{ fresh }} on commit drop as
        {{ sql }};
        analyze {{ fresh }};

        create temporary table {{ held }} on commit drop as
        {% if by_index -%}
        select h.*
        from {{ affected }} as a
        cross join lateral (
            select t.ctid as place, t.{{ columns | join(', t.') }}
            from {{ target_relation }} as t
            where t.{{ scope }} = a.{{ scope }} and t.to_state is null
            offset 0
        ) as h;
        {%- else -%}
        select t.ctid as place, t.{{ columns | join(', t.') }}
        from {{ target_relation }} as t
        where t.to_state is null
            {%- if scope %} and t.{{ scope }} in (select a.{{ scope }} from {{ affected }} as a){% endif %};
        {%- endif %}
        analyze {{ held }};

        update {{ target_relation }} as closed
        set to_state = {{ var('state_after') }}
        from {{ held }} as t
        where closed.ctid = t.place and not exists (select 1 from {{ fresh }} as n where {{ same }});

        insert into {{ target_relation }} ({{ columns | join(', ') }}, from_state)
        select n.{{ columns | join(', n.') }}, {{ var('state_after') }}
        from {{ fresh }} as n
        where not exists (select 1 from {{ held }} as t where {{ same }});

        {% for indexed in config.get('indexed', []) %}
        create index if not exists {{ this.identifier }}_{{ indexed | join('_') }} on {{ target_relation }} ({{ indexed | join(', ') }});
        {% endfor %}
        {% for name, rows in config.get('indexed_rows', {}).items() %}
        create index if not exists {{ this.identifier }}_{{ name }} on {{ target_relation }} {{ rows }};
        {% endfor %}
        create index if not exists {{ this.identifier }}_from_state on {{ target_relation }} using brin (from_state);
        create index if not exists {{ this.identifier }}_to_state on {{ target_relation }} (to_state) where to_state is not null;
        {{ analyse_when_grown(target_relation) }}
    {% endcall %}
    {% do adapter.commit() %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{#
    Statistics anew once a table has grown by a tenth: its size is known, and a month adds fiftieths. The fence stands here
    too, at the end of what `held_extracts` adds, whose own file names every row the vault holds.
#}
{% macro analyse_when_grown(relation) -%}
    {{ fence() }}
    do $$
    begin
        if not exists (
            select 1 from pg_stats where schemaname = '{{ relation.schema }}' and tablename = '{{ relation.identifier }}'
        ) or pg_relation_size('{{ relation }}') > 1.1 * current_setting('block_size')::integer
            * (select relpages from pg_class where oid = '{{ relation }}'::regclass)
        then
            analyze {{ relation }};
        end if;
    end
    $$;
{%- endmacro %}
