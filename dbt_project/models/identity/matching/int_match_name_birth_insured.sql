-- one row per participant still open who is found by name, birth date, sex and commune; health cards ask for these first
{% set open_rows %}
    select * from {{ ref('int_open_record') }} where source = 'social_security_participation'
{% endset %}
{{ match_by_name_and_birth(open_rows) }}
