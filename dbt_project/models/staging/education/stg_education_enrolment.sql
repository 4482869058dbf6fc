-- one row per accepted enrolment of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    student_code,
    school_code,
    level,
    grade,
    school_year,
    enrolment_status,
    commune_code
from {{ staged('education_enrolment') }}
