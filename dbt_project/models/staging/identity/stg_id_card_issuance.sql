-- one row per accepted application of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    application_no,
    document,
    issue_reason,
    age_group,
    issued_on,
    commune_code
from {{ staged('id_card_issuance') }}
