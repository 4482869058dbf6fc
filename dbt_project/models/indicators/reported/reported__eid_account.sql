-- one row per figure and area: accounts that are not closed, and how many of them show the health-insurance card
{{ reported(month(ref('fct_eid_account')), {
    'eid_accounts': ['account', "count(*) filter (where account_status <> 'closed')"],
    'eid_accounts_level_2': ['account', "count(*) filter (where account_status <> 'closed' and level = '2')"],
    'health_card_on_app_rate': [none, "count(*) filter (where account_status <> 'closed' and health_card_on_app = 'yes')", "count(*) filter (where account_status <> 'closed')"],
}) }}
