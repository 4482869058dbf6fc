-- one row per figure and area: payments, and how many of them went to an account
{{ reported(month(ref('fct_social_security_payment')), {
    'social_security_payments': ['payment', 'count(*)'],
    'noncash_payment_rate': [none, "count(*) filter (where payment_method = 'bank_account')", 'count(*)'],
}) }}
