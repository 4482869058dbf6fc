-- one row per citizen number and register extract the vault does not hold yet
select
    sent.extract_key,
    sent.period,
    sent.citizen_id,
    sent.previous_citizen_id,
    sent.record_op,
    sent.old_id,
    sent.full_name,
    sent.birth_date,
    sent.sex,
    sent.residence_commune_code,
    sent.status,
    sent.death_date,
    sent.id_card_issued_on,
    sent.eid_level
from (
    {{ staged_register() }}
) as sent
