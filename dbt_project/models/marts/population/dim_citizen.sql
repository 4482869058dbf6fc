-- one row per citizen, range of periods in which no published attribute changed, and register state
{{ config(materialized='system_versioned', key=['citizen_token', 'valid_from'], scope='citizen_token', indexed=[['citizen_token']], tags=['register']) }}

select
    citizen_token,
    valid_from,
    valid_to,
    sex,
    birth_year,
    residence_commune_code,
    residence_province_code,
    status,
    has_id_card,
    eid_level
from {{ ref('int_citizen_version') }}
