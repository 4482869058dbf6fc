-- one row per accepted account of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    account_no,
    level,
    registered_on,
    activated_on,
    account_status,
    health_card_on_app,
    commune_code
from {{ staged('eid_account') }}
