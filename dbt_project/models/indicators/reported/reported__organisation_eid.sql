-- one row per figure and area: accounts of organisations that are not closed
{{ reported(month(ref('fct_organisation_eid')), {
    'organisation_accounts': ['account', "count(*) filter (where account_status <> 'closed')"],
}) }}
