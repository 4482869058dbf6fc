-- one row per figure and area: units whose land records are digitised, and parcels; a unit digitises no more parcels than it has
{{ reported(month(ref('fct_land_digitisation')), {
    'land_unit_digitised_rate': [none, "count(*) filter (where digitisation_status = 'completed')", 'count(*)'],
    'land_parcel_digitised_rate': [none, 'coalesce(sum(least(parcels_digitised, parcels_total)), 0)', 'coalesce(sum(parcels_total), 0)'],
    'land_parcels_digitised': ['parcel', 'coalesce(sum(least(parcels_digitised, parcels_total)), 0)'],
}) }}
