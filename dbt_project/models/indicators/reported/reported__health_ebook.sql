-- one row per figure and area: electronic health books, and how many of them are integrated
{{ reported(month(ref('fct_health_ebook')), {
    'health_books_created': ['book', 'count(*)'],
    'health_books_integrated': ['book', "count(*) filter (where integrated = 'yes')"],
    'health_book_integration_rate': [none, "count(*) filter (where integrated = 'yes')", 'count(*)'],
}) }}
