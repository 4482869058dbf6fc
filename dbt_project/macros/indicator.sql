{# An indicator over areas: numerator and denominator of the nation, its provinces and communes; the value follows from them. #}
{% macro area_level() -%}
    case
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

{# A share from 0 to 1, to ten decimals. #}
{% macro share(numerator, denominator) -%}
    round({{ numerator }}::numeric / {{ denominator }}, 10)::numeric(12, 10)
{%- endmacro %}
