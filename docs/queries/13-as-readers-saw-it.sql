-- Các chỉ tiêu đúng như người đọc thấy vào một thời điểm (ở đây: hiện tại) · The indicators as readers saw them at a moment (here: now)
select
    indicator_code,
    to_char(period, 'YYYY-MM') as period,
    numerator,
    denominator,
    round(value, 4) as value
from marts.indicator_as_published(current_timestamp)
where area_level = 'nation'
order by indicator_code, period;
