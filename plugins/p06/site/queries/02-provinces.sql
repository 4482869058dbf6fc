-- Provinces by the share of citizens with an identity card; a code is read as of the month
-- Các tỉnh theo tỷ lệ có thẻ căn cước; mã được hiểu theo kỳ dữ liệu
select a.name, i.numerator, i.denominator, round(i.value, 3) as value
from marts.indicator as i
inner join marts.dim_area as a
    on a.level = i.area_level and a.code = i.area_code
    and a.valid_from <= i.period and (a.valid_to is null or a.valid_to > i.period)
where i.indicator_code = 'id_card_rate' and i.area_level = 'province'
    and i.period = (select max(period) from marts.release where current)
order by i.value, a.name;
