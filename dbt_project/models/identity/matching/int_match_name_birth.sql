-- one row per record of the other sources still open that is found by name, birth date and sex, and commune where compared
{% set open_rows %}
    select o.*
    from {{ ref('int_open_record') }} as o
    left join {{ ref('int_match_insurance_no') }} as i
        on i.source = o.source
        and i.file_no = o.file_no
        and i.line = o.line
    where o.source <> 'social_security_participation' and i.source is null
{% endset %}
{{ match_by_name_and_birth(open_rows) }}
