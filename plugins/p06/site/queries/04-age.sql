-- Health visits and their cost, by age, in the newest month
-- Lượt khám và chi phí theo độ tuổi, kỳ mới nhất
select age / 10 * 10 as age_from, count(*) as citizens, round(avg(health_visits), 2) as visits, sum(health_amount) as amount
from marts.citizen_month
where period = (select max(period) from marts.release where current) and status = 'alive'
group by 1
order by 1;
