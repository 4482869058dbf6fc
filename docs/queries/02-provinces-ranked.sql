-- Các tỉnh theo tỷ lệ có thẻ căn cước, tháng mới nhất · Provinces by the share of citizens with an identity card, newest month
select
    a.name as province,
    i.numerator,
    i.denominator,
    round(i.value, 4) as value,
    rank() over (order by i.value desc) as place
from marts.indicator as i
inner join marts.dim_area as a
    on a.level = i.area_level and a.code = i.area_code
    and a.valid_from <= i.period and (a.valid_to is null or a.valid_to > i.period)
where i.indicator_code = 'id_card_rate' and i.area_level = 'province'
    and i.period = (select max(period) from marts.indicator)
order by place, province;
