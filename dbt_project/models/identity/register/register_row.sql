-- one row per accepted register extract and citizen number
{{ config(materialized='held_extracts', contract={'enforced': true}) }}

select
    extract_key,
    period,
    citizen_id,
    previous_citizen_id,
    coalesce(record_op = 'remove', false) as is_removed,
    old_id,
    full_name,
    {{ normalised_name('full_name') }} as name_norm,
    birth_date,
    sex,
    residence_commune_code,
    status,
    death_date,
    id_card_issued_on,
    eid_level
from {{ ref('stg_population_register') }}
