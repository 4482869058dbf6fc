{# The fact mart of a source, derived from its contract: what all facts share, then its measures and codes. #}
{% macro fact(source_name) -%}
{%- set contract = contracts()[source_name] -%}
{%- set by_commune = has_commune(contract) -%}
{%- set by_province = has_province(contract) -%}
-- one row per staged row of {{ source_name }}
-- depends on {{ ref('int_area_in_period') }}
with
staged_rows as (
    select * from {{ ref('stg_' ~ source_name) }}
)
{%- if contract['matched'] %},

matches as (
    select * from {{ ref('int_match') }} where source = '{{ source_name }}'
)
{%- endif %}

select
    {{ period() }} as period,
    s.record_key,
    {% if contract['matched'] -%}
    m.citizen_token,
    coalesce(m.match_method, 'none') as match_method,
    coalesce(m.match_confidence, 0) as match_confidence,
    {%- else -%}
    null::uuid as citizen_token,
    'none' as match_method,
    0::numeric(5, 4) as match_confidence,
    {%- endif %}
    {% if by_commune or by_province -%}
    a.province_code
    {%- elif contract['matched'] -%}
    m.residence_province_code as province_code
    {%- else -%}
    null::text as province_code
    {%- endif %}
    {%- if contract['commune_column'] %},
    {{ 's.' ~ contract['commune_column'] if by_commune else 'null::text' }} as commune_code,
    {{ 'a.sent_valid_from' if by_commune else 'null::date' }} as commune_valid_from
    {%- endif %}
    {%- for column in contract['measures'] %},
    s.{{ column }}
    {%- endfor %}
from staged_rows as s
{%- if contract['matched'] %}
left join matches as m on m.file_no = s.file_no and m.line = s.line
{%- endif %}
{%- if by_commune or by_province %}
left join {{ ref('int_area_in_period') }} as a
    on a.level = '{{ 'commune' if by_commune else 'province' }}'
    and a.edition = {{ area_edition(source_name) }}
    and a.code = s.{{ contract['commune_column'] if by_commune else contract['province_column'] }}
{%- endif %}
{%- endmacro %}
