-- Mọi chỉ tiêu của cả nước, tháng này và tháng trước · Every indicator of the nation, this month and the month before
select
    n.indicator_code,
    round(b.value, 4) as month_before,
    round(n.value, 4) as this_month,
    round(n.value - b.value, 4) as change
from marts.indicator as n
left join marts.indicator as b
    on b.indicator_code = n.indicator_code and b.area_level = n.area_level and b.area_code = n.area_code
    and b.period = n.period - interval '1 month'
where n.area_level = 'nation' and n.period = (select max(period) from marts.indicator)
order by n.indicator_code;
