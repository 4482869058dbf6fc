-- one row per source, province and method
{%- for contract in fact_sources() %}
{{ 'union all' if not loop.first }}
select
    period,
    '{{ contract["source"] }}' as source,
    province_code,
    match_method,
    count(*) as records
from {{ month(ref(contract['mart'])) }} as facts
group by period, province_code, match_method
{%- endfor %}
