-- Công dân chuyển tỉnh cư trú, theo tháng · Citizens who moved to another province, by month
select
    to_char(n.valid_from, 'YYYY-MM') as period,
    b.residence_province_code as from_province,
    n.residence_province_code as to_province,
    count(*) as citizens
from marts.dim_citizen as n
inner join marts.dim_citizen as b on b.citizen_token = n.citizen_token and b.valid_to = n.valid_from
where n.residence_province_code <> b.residence_province_code
group by 1, 2, 3
order by citizens desc, 1, 2, 3;
