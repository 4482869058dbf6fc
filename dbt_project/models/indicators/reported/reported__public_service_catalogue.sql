-- one row per figure and area: services due, and how many of them are integrated
{{ reported(month(ref('fct_public_service_catalogue')), {
    'service_integration_rate': [none, "count(*) filter (where due = 'yes' and integrated = 'yes')", "count(*) filter (where due = 'yes')"],
}) }}
