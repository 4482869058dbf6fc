-- one row per figure of the nation: customer files, and the institutions they are of
{{ reported(month(ref('fct_bank_kyc')), {
    'kyc_records': ['file', 'count(*)'],
    'kyc_credit_institutions': ['institution', "count(distinct institution_code) filter (where institution_kind = 'credit_institution')"],
    'kyc_payment_intermediaries': ['institution', "count(distinct institution_code) filter (where institution_kind = 'payment_intermediary')"],
}, by_province=false) }}
