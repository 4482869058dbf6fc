{#
    One month of one build as a leaf of build.<model>, which is partitioned by period, then by build.
    The leaf is made alone, checked, then attached: readers wait for nothing. A build that runs again replaces the rows
    of its own leaf and touches no other.
#}
{% materialization month_partition, adapter='postgres' %}
    {%- set parent = this.incorporate(type='table') -%}
    {%- set month_name = this.identifier ~ '__' ~ var('period')[:4] ~ var('period')[5:7] -%}
    {%- set month_table = this.incorporate(path={"identifier": month_name}) -%}
    {%- set leaf = this.incorporate(path={"identifier": month_name ~ '__' ~ var('build_id')}) -%}
    {{ get_assert_columns_equivalent(sql) }}

    {%- set known = run_query(
        "select to_regclass('" ~ month_table ~ "') is not null as has_month, to_regclass('" ~ leaf ~ "') is not null"
        ~ " and exists (select 1 from pg_inherits where inhrelid = to_regclass('" ~ leaf ~ "')) as has_leaf"
    ) -%}
    {%- set has_month, has_leaf = known.rows[0][0], known.rows[0][1] -%}
    {%- set parent_columns = run_query(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = '" ~ parent
        ~ "'::regclass and attnum > 0 and not attisdropped order by attnum"
    ).rows -%}

    {%- set projected -%}
        select
        {%- for column, type in parent_columns %}
            {% if column == 'build_id' -%} {{ var('build_id') }}::bigint
            {%- elif column in model.columns -%} built.{{ column }}::{{ type }}
            {%- else -%} null::{{ type }}
            {%- endif %} as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
        from (
            {{ sql }}
        ) as built
    {%- endset -%}

    {% call statement('main') %}
        {{ fence() }}
        {% if not has_month %}
        create table {{ month_table }} (like {{ parent }}) partition by list (build_id);
        alter table {{ parent }} attach partition {{ month_table }} for values in ({{ period() }});
        {% endif %}
        {% if has_leaf %}
        delete from {{ leaf }};
        insert into {{ leaf }} ({{ parent_columns | map('first') | join(', ') }})
        {{ projected }};
        {% else %}
        drop table if exists {{ leaf }};
        create table {{ leaf }} as
        {{ projected }};
        alter table {{ leaf }}
            alter period set not null,
            alter build_id set not null,
            add check (period = {{ period() }} and build_id = {{ var('build_id') }});
        {% for columns in config.get('indexed', []) %}
        create index on {{ leaf }} ({{ columns | join(', ') }});
        {% endfor %}
        alter table {{ month_table }} attach partition {{ leaf }} for values in ({{ var('build_id') }});
        {% endif %}
        analyze {{ leaf }};
    {% endcall %}
    {% do adapter.commit() %}
    {{ return({'relations': [parent]}) }}
{% endmaterialization %}
