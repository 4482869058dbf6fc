-- one row per accepted visit of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    visit_id,
    facility_code,
    insurance_card_no,
    admitted_at,
    discharged_at,
    main_diagnosis,
    total_amount,
    insurance_paid,
    patient_paid
from {{ staged('health_visit') }}
