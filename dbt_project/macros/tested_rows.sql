{# What a test looks at: of a month's mart the rows of this build, of a system-versioned table those this build reads. #}
{% macro get_where_subquery(relation) -%}
    {%- if not execute or relation.identifier is none -%}
        {{ return(relation) }}
    {%- endif -%}
    {%- set kinds = {} -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.alias == relation.identifier -%}
        {%- do kinds.update({'kind': node.config.materialized}) -%}
    {%- endfor -%}
    {%- if kinds.get('kind') == 'month_partition' -%}
        {%- do return('(select * from ' ~ relation ~ ' where period = ' ~ period() ~ ' and build_id = ' ~ var('build_id') ~ ')') -%}
    {%- elif kinds.get('kind') == 'system_versioned' -%}
        {%- do return('(select * from ' ~ relation ~ ' as v where ' ~ visible('v') ~ ')') -%}
    {%- else -%}
        {%- do return(relation) -%}
    {%- endif -%}
{%- endmacro %}
