-- one row per accepted member of the period
select
    record_key,
    file_no,
    line,
    citizen_id,
    old_id,
    full_name,
    birth_date,
    sex,
    member_no,
    card_dossier,
    commune_code
from {{ staged('party_member') }}
