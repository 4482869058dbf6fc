-- Một con số qua các lần công bố · One figure through all its editions
select
    release_id,
    published_at,
    numerator,
    denominator,
    round(value, 6) as value,
    value is distinct from lag(value) over (order by published_at, release_id) as changed
from marts.indicator_edition
where indicator_code = 'id_card_rate' and area_level = 'nation'
    and period = (select max(period) from marts.indicator)
order by published_at, release_id;
