{#
    A table whose rows say in which register states they are visible: from_state up to, but not including, to_state.
    The model gives the rows of the next state for the citizens in its scope; only differences are written, ahead of
    the pointer, so that nobody sees them before the release moves it. What an unpublished build wrote before is undone
    first.
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
    {{ get_assert_columns_equivalent(sql) }}
    {% call statement('main') %}
        delete from {{ target_relation }} where from_state > {{ var('state_before') }};
        update {{ target_relation }} set to_state = null where to_state > {{ var('state_before') }};

        create temporary table {{ fresh }} on commit drop as
        {{ sql }};
        analyze {{ fresh }};

        update {{ target_relation }} as t
        set to_state = {{ var('state_after') }}
        where t.to_state is null
            {% if scope -%}
            and t.{{ scope }} in (select a.{{ scope }} from {{ this.incorporate(path={"identifier": 'int_affected', "schema": 'vault'}) }} as a)
            {%- endif %}
            and not exists (select 1 from {{ fresh }} as n where {{ same }});

        insert into {{ target_relation }} ({{ columns | join(', ') }}, from_state)
        select n.{{ columns | join(', n.') }}, {{ var('state_after') }}
        from {{ fresh }} as n
        where not exists (select 1 from {{ target_relation }} as t where t.to_state is null and {{ same }});

        {% for indexed in config.get('indexed', []) %}
        create index if not exists {{ this.identifier }}_{{ indexed | join('_') }} on {{ target_relation }} ({{ indexed | join(', ') }});
        {% endfor %}
        {% for name, rows in config.get('indexed_rows', {}).items() %}
        create index if not exists {{ this.identifier }}_{{ name }} on {{ target_relation }} {{ rows }};
        {% endfor %}
        create index if not exists {{ this.identifier }}_from_state on {{ target_relation }} using brin (from_state);
        create index if not exists {{ this.identifier }}_to_state on {{ target_relation }} (to_state) where to_state is not null;
    {% endcall %}
    {% do adapter.commit() %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
