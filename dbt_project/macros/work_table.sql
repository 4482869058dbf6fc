{# A table of one build, rebuilt by the next; unlogged, for a crash loses nothing that is not made again. #}
{% materialization work_table, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {% call statement('main') %}
        {{ fence() }}
        drop table if exists {{ target_relation }};
        create unlogged table {{ target_relation }} as
        {{ sql }};
        {% for columns in config.get('indexed', []) %}
        create index on {{ target_relation }} ({{ columns | join(', ') }});
        {% endfor %}
        analyze {{ target_relation }};
    {% endcall %}
    {% do adapter.commit() %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
