-- one row per record that a step after the citizen_id decided
{%- for step in ['int_match_old_id', 'int_match_name_birth_insured', 'int_match_insurance_no', 'int_match_name_birth'] %}
{{ 'union all' if not loop.first }}
select
    source,
    file_no,
    line,
    match_method,
    citizen_token,
    residence_province_code
from {{ ref(step) }}
{%- endfor %}
