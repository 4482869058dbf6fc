-- one row per record that a step after the citizen_id decided; the weight is that of linkage
{%- for step in ['int_match_old_id', 'int_match_name_birth_insured', 'int_match_insurance_no', 'int_match_name_birth', 'int_match_linked'] %}
{{ 'union all' if not loop.first }}
select
    source,
    file_no,
    line,
    match_method,
    citizen_token,
    residence_province_code,
    {{ 'weight' if step == 'int_match_linked' else 'null::numeric as weight' }}
from {{ ref(step) }}
{%- endfor %}
