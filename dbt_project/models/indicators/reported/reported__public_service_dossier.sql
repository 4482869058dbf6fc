-- one row per figure and area: dossiers received, by what became of them and how they came; 9 and 10 are processed, 3, 7 and 8 ended otherwise
{{ reported(month(ref('fct_public_service_dossier')), {
    'dossiers_received': ['dossier', 'count(*)'],
    'dossiers_processed': ['dossier', "count(*) filter (where dossier_status in ('9', '10'))"],
    'dossiers_pending': ['dossier', "count(*) filter (where dossier_status in ('1', '2', '4', '5', '6'))"],
    'dossiers_ended_otherwise': ['dossier', "count(*) filter (where dossier_status in ('3', '7', '8'))"],
    'dossier_processed_rate': [none, "count(*) filter (where dossier_status in ('9', '10'))", 'count(*)'],
    'dossier_online_rate': [none, "count(*) filter (where channel = 'online')", 'count(*)'],
}) }}
