-- one row per accepted answer of the period
select
    record_key,
    file_no,
    line,
    feedback_no,
    dossier_no,
    satisfied,
    channel,
    given_on,
    commune_code
from {{ staged('citizen_feedback') }}
