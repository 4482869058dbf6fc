-- Chỉ tiêu quy về các tỉnh hiện nay, so sánh được trước và sau tháng 7 năm 2025 · An indicator by today's provinces, comparable before and after July 2025
select
    to_char(i.period, 'YYYY-MM') as period,
    a.name as province_today,
    i.numerator,
    i.denominator,
    round(i.value, 4) as value
from marts.indicator_restated as i
inner join marts.dim_area as a on a.level = 'province' and a.code = i.area_code and a.valid_to is null
where i.indicator_code = 'id_card_rate' and i.area_level = 'province'
order by period, value desc, province_today;
