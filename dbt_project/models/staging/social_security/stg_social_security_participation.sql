-- one row per accepted participant of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    social_insurance_no,
    insurance_card_no,
    object_code,
    benefit_level,
    participation,
    unit_code,
    contribution_amount,
    card_valid_from,
    card_valid_to,
    commune_code
from {{ staged('social_security_participation') }}
