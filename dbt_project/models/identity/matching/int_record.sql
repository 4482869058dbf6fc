-- one row per staged row of every source that is matched against the register
{{ config(materialized='ephemeral') }}

{% for contract in matched_sources() %}
{{ 'union all' if not loop.first }}
select
    '{{ contract["source"] }}' as source,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    {{ contract['compared_commune'] or 'null::text' }} as commune_code,
    {{ contract['insurance_column'] or 'null::text' }} as insurance_card_no
from {{ ref('stg_' ~ contract['source']) }}
{%- endfor %}
