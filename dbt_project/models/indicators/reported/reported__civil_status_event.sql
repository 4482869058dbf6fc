-- one row per figure and area: digitised records, each event once, and how many of them are joined to the register
{{ reported(month(ref('fct_civil_status_event')), {
    'civil_status_records_digitised': ['record', "count(*) filter (where subject_no = 1 and digitised = 'yes')"],
    'civil_status_population_basis_rate': [none, "count(*) filter (where subject_no = 1 and digitised = 'yes' and population_basis = 'yes')", "count(*) filter (where subject_no = 1 and digitised = 'yes')"],
}) }}
