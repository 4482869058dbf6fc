-- one row per figure and area: cards and certificates issued in the period, and cards by the age of their holders
{{ reported(month(ref('fct_id_card_issuance')), {
    'id_cards_issued': ['card', "count(*) filter (where document = 'card')"],
    'id_cards_issued_under_14': ['card', "count(*) filter (where document = 'card' and age_group in ('under_6', '6_to_13'))"],
    'id_cards_issued_under_6': ['card', "count(*) filter (where document = 'card' and age_group = 'under_6')"],
    'id_cards_issued_6_to_13': ['card', "count(*) filter (where document = 'card' and age_group = '6_to_13')"],
    'id_certificates_issued': ['certificate', "count(*) filter (where document = 'certificate')"],
    'id_card_under_14_share': [none, "count(*) filter (where document = 'card' and age_group in ('under_6', '6_to_13'))", "count(*) filter (where document = 'card')"],
}) }}
