-- one row per figure and area: answers of citizens, and how many of them are satisfied
{{ reported(month(ref('fct_citizen_feedback')), {
    'satisfaction_rate': [none, "count(*) filter (where satisfied = 'yes')", 'count(*)'],
}) }}
