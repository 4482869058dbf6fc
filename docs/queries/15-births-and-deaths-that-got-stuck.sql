-- Khai sinh và khai tử quá hạn ở từng bước, theo tỉnh · Births and deaths overdue, by province and step
select
    to_char(b.period, 'YYYY-MM') as period,
    b.province_code,
    'birth' as event,
    count(*) as followed,
    count(*) filter (where b.state = 'overdue') as overdue,
    count(*) filter (where b.number_state = 'overdue') as not_in_register,
    count(*) filter (where b.health_card_state = 'overdue') as no_card_or_still_paid
from marts.linked_birth as b
group by b.period, b.province_code
union all
select
    to_char(d.period, 'YYYY-MM'),
    d.province_code,
    'death',
    count(*),
    count(*) filter (where d.state = 'overdue'),
    count(*) filter (where d.deregistration_state = 'overdue'),
    count(*) filter (where d.is_still_paid)
from marts.linked_death as d
group by d.period, d.province_code
order by period, province_code, event;
