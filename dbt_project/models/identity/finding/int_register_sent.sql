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
    coalesce(record_op, 'upsert') as record_op  -- as the register's history reads it
from {{ staged('population_register') }} as sent
