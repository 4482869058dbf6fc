-- one row per accepted dossier of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    dossier_no,
    procedure_code,
    procedure_group,
    channel,
    received_on,
    due_on,
    processed_on,
    dossier_status,
    commune_code
from {{ staged('public_service_dossier') }}
