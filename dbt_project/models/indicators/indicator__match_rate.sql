-- one row per source and area: its rows, and how many of them were matched; provinces where the rows name an area
{%- for contract in matched_sources() %}
{{ 'union all' if not loop.first }}
select
    'match_rate.{{ contract["source"] }}' as indicator_code,
    {% if has_commune(contract) or has_province(contract) -%}
    case when grouping(province_code) = 0 then 'province' else 'nation' end as area_level,
    case when grouping(province_code) = 0 then province_code else 'VN' end as area_code,
    {%- else -%}
    'nation' as area_level,
    'VN' as area_code,
    {%- endif %}
    count(*) filter (where match_method not in ('none', 'conflict')) as numerator,
    count(*) as denominator
from {{ month(ref(contract['mart'])) }} as facts
{%- if has_commune(contract) or has_province(contract) %}
group by grouping sets ((), (province_code))
{%- endif %}
{%- endfor %}
