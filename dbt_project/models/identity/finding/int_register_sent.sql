-- one row per row of the period's register extract, where it stands and which numbers it states
{{ config(materialized='ephemeral') }}

select
    null::uuid as record_key,
    file_no,
    line,
    citizen_id,
    previous_citizen_id,
    old_id,
    birth_date,
    status,
    record_op
from {{ staged('population_register') }} as sent
