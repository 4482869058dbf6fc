-- one row per citizen whose death before the period is reported in the period: the month before knew otherwise
select d.root_id
from {{ ref('int_register_number') }} as d
inner join {{ ref('citizen_history') }} as h
    on h.root_id = d.root_id
    and h.valid_to = {{ period() }}
    and {{ visible('h') }}
where
    d.is_newest
    and d.status = 'deceased'
    and d.death_date < {{ period() }}
    and d.valid_from = {{ period() }}
    and h.status <> 'deceased'
