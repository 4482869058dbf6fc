-- one row per figure and area: certificates issued in the period, and of the nation how many provinces issued any
{{ reported(month(ref('fct_judicial_certificate')), {
    'judicial_certificates_issued': ['certificate', "count(*) filter (where certificate_status = 'issued')"],
}) }}
union all
{{ reported(month(ref('fct_judicial_certificate')), {
    'judicial_localities': ['province', "count(distinct province_code) filter (where certificate_status = 'issued')"],
}, by_province=false) }}
