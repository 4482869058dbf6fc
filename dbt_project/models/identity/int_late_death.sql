-- one row per citizen whose death before the period is reported in the period; the first register month reports nothing late
select d.root_id
from {{ ref('int_register_number') }} as d
where
    d.is_newest
    and d.status = 'deceased'
    and d.death_date < {{ period() }}
    and d.valid_from = {{ period() }}
    and {{ period() }} > (select min(i.period) from {{ ref('int_register_input') }} as i)
    and not exists (
        select 1
        from {{ ref('citizen_history') }} as h
        where
            h.root_id = d.root_id
            and {{ visible('h') }}
            and h.status = 'deceased'
            and h.valid_to = {{ period() }}
    )
