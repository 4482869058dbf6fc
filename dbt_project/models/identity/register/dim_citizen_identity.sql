-- one row per citizen, version of dim_citizen and register state: who that is
{{ config(materialized='system_versioned', key=['citizen_token', 'valid_from'], scope='citizen_token', indexed=[['citizen_token']], contract={'enforced': true}) }}

select
    citizen_token,
    valid_from,
    citizen_id,
    full_name,
    birth_date
from {{ ref('int_citizen_version') }}
