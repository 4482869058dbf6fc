{# An indicator over areas: numerator and denominator of the nation, its provinces and communes; the value follows from them. #}
{% macro area_level(parts=false) -%}
    case
        {% if parts -%}
        when grouping(commune_valid_from) = 0 then 'commune_part'
        {% endif -%}
        when grouping(commune_code) = 0 then 'commune'
        when grouping(province_code) = 0 then 'province'
        else 'nation'
    end
{%- endmacro %}

{% macro area_code() -%}
    case
        when grouping(commune_code) = 0 then commune_code
        when grouping(province_code) = 0 then province_code
        else 'VN'
    end
{%- endmacro %}

{# The nation, its provinces and communes; and of each commune the residents the register names there apart from those a
   default successor put there: the parts that indicator_commune_restated adds up. #}
{% macro by_area_and_part() -%}
    grouping sets ((), (province_code), (commune_code), (commune_code, commune_valid_from, is_default_residence))
{%- endmacro %}

{# A share from 0 to 1, to ten decimals. #}
{% macro share(numerator, denominator) -%}
    round({{ numerator }}::numeric / {{ denominator }}, 10)::numeric(12, 10)
{%- endmacro %}

{# How surely rows of a commune lie in the commune of today they are counted under: the worse of how the code was read in
   the period, and how the commune of the period got to today. #}
{% macro allocation_quality(is_default, quality) -%}
    case
        when {{ quality }} = 'exact' and not {{ is_default }} then 'exact'
        when coalesce({{ quality }}, 'unknown') = 'unknown' then 'unknown'
        else 'default'
    end
{%- endmacro %}
