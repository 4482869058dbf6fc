{# A table that is made anew only when its SQL, or what `kept_while` names, is another; its comment says of what it was made. #}
{% materialization kept_table, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set made_of = local_md5(sql ~ config.require('kept_while')) -%}
    {%- set known = run_query("select obj_description(to_regclass('" ~ target_relation ~ "'), 'pg_class')").rows[0][0] -%}
    {% call statement('main') %}
        {{ fence() }}
        {% if known == made_of %}
        select 1 as kept;
        {% else %}
        drop table if exists {{ target_relation }};
        create table {{ target_relation }} as
        {{ sql }};
        analyze {{ target_relation }};
        comment on table {{ target_relation }} is '{{ made_of }}';
        {% endif %}
    {% endcall %}
    {% do adapter.commit() %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
