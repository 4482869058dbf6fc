{# vault.normalise_name (as of migration 0007), called only for names that are not in that form already but for case. #}
{% macro normalised_name(name) -%}
    case
        when {{ name }} is nfc normalized and {{ name }} ~ '^\w+( \w+)*$' and lower({{ name }}) !~ '[òóỏõọ][ae]|[ùúủũụ]y'
            then lower({{ name }})
        else vault.normalise_name({{ name }})
    end
{%- endmacro %}
