-- An indicator of the nation, month by month
-- Một chỉ tiêu toàn quốc theo từng kỳ
select to_char(period, 'YYYY-MM') as period, numerator, denominator, round(value, 4) as value
from marts.indicator
where indicator_code = 'health_insurance_coverage' and area_level = 'nation'
order by period;
