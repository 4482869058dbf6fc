-- one row per row of a source and kind of finding about who that is
with
findings as (
    {%- for step in ['number', 'old_id', 'departed', 'several_fit', 'register'] %}
    select
        source,
        file_no,
        line,
        kind,
        null::smallint as other_file_no,
        null::bigint as other_line
    from {{ ref('int_finding_' ~ step) }}
    union all
    {%- endfor %}
    select
        source,
        file_no,
        line,
        kind,
        other_file_no,
        other_line
    from {{ ref('int_finding_two_people') }}
)

{% set places = {'population_register': 'int_register_sent'} %}
{%- for contract in matched_sources() %}
{%- do places.update({contract['source']: 'stg_' ~ contract['source']}) %}
{%- endfor %}
{%- for source_name, model_name in places.items() %}
{{ 'union all' if not loop.first }}
select
    {{ period() }} as period,
    f.source,
    r.record_key,
    f.file_no,
    f.line,
    f.kind,
    f.other_file_no,
    f.other_line
from findings as f
inner join {{ ref(model_name) }} as r
    on r.file_no = f.file_no
    and r.line = f.line
where f.source = '{{ source_name }}'
{%- endfor %}
