-- one row per accepted payment of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    payment_id,
    benefit_kind,
    payment_method,
    paid_on,
    amount,
    commune_code
from {{ staged('social_security_payment') }}
