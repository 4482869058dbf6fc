-- one row per figure and area: a share when it has a denominator, else a count
-- depends on the models of all sources; those of a source that was not received give no rows
{{ config(materialized='work_table', schema='build') }}
{%- set sources = [
    'bank_kyc', 'citizen_feedback', 'civil_status_event', 'eid_account',
    'health_ebook', 'id_card_issuance', 'judicial_certificate', 'land_digitisation',
    'organisation_eid', 'party_member', 'public_service_catalogue', 'public_service_dossier',
    'social_security_payment',
] %}

{%- for source_name in sources if source_name in contracts() %}
-- depends on {{ ref('reported__' ~ source_name) }}
{%- endfor %}

{% for source_name in sources if source_name in contracts() and received(source_name) %}
select
    indicator_code,
    area_level,
    area_code,
    numerator,
    denominator,
    unit
from {{ ref('reported__' ~ source_name) }}
where area_code is not null
union all
{%- endfor %}
select
    null::text as indicator_code,
    null::text as area_level,
    null::text as area_code,
    null::bigint as numerator,
    null::bigint as denominator,
    null::text as unit
where false
