-- Figures a later release of the same month changed
-- Số liệu đã thay đổi ở bản công bố sau của cùng kỳ
select indicator_code, to_char(period, 'YYYY-MM') as period, min(value) as lowest, max(value) as highest, count(*) as editions
from marts.indicator_edition
where area_level = 'nation'
group by indicator_code, period
having min(value) <> max(value)
order by indicator_code, period;
