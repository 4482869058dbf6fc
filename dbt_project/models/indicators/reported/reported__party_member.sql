-- one row per figure and area: members, and how many of them have a card dossier
{{ reported(month(ref('fct_party_member')), {
    'party_card_dossier_rate': [none, "count(*) filter (where card_dossier <> 'not_started')", 'count(*)'],
}) }}
