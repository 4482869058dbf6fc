-- one row per accepted customer file of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    institution_code,
    customer_ref,
    institution_kind,
    channel,
    biometric_match,
    matched_at,
    account_status
from {{ staged('bank_kyc') }}
