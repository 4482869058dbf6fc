{#
    Figures over the rows of one fact, in one pass: of the nation and, where the rows have a province, of its provinces.
    Each stands under its code as [unit, numerator, denominator]: a share has a denominator and no unit, a count a unit
    and no denominator.
#}
{% macro reported(rows, figures, by_province=true) -%}
select
    f.indicator_code,
    a.area_level,
    a.area_code,
    f.numerator,
    f.denominator,
    f.unit
from (
    select
        {% if by_province -%}
        case when grouping(province_code) = 0 then 'province' else 'nation' end as area_level,
        case when grouping(province_code) = 0 then province_code else 'VN' end as area_code
        {%- else -%}
        'nation' as area_level,
        'VN' as area_code
        {%- endif %}
        {%- for figure in figures.values() %},
        ({{ figure[1] }})::bigint as numerator_{{ loop.index }},
        {{ '(' ~ figure[2] ~ ')' if figure[2] else 'null' }}::bigint as denominator_{{ loop.index }}
        {%- endfor %}
    from {{ rows }} as facts
    {%- if by_province %}
    group by grouping sets ((), (province_code))
    {%- endif %}
) as a
cross join lateral (
    values
    {%- for code, figure in figures.items() %}
    ('{{ code }}', a.numerator_{{ loop.index }}, a.denominator_{{ loop.index }}, {{ "'" ~ figure[0] ~ "'" if figure[0] else 'null' }}){{ ',' if not loop.last }}
    {%- endfor %}
) as f (indicator_code, numerator, denominator, unit)
{%- endmacro %}
