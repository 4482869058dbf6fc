-- Công dân còn sống theo nhóm tuổi và giới tính · Living citizens by age group and sex
select
    age / 5 * 5 as age_from,
    count(*) filter (where sex = 'F') as female,
    count(*) filter (where sex = 'M') as male,
    count(*) as citizens
from marts.citizen_month
where period = (select max(period) from marts.indicator) and status = 'alive'
group by 1
order by 1;
