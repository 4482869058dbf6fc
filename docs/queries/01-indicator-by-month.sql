-- Một chỉ tiêu của cả nước theo tháng · An indicator of the nation, month by month
select
    to_char(period, 'YYYY-MM') as period,
    numerator,
    denominator,
    round(value, 4) as value
from marts.indicator
where indicator_code = 'health_insurance_coverage' and area_level = 'nation'
order by period;
