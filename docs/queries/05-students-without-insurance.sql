-- Học sinh, sinh viên chưa có bảo hiểm y tế, theo tỉnh cư trú · Students without health insurance, by province of residence
select
    residence_province_code,
    count(*) as students,
    count(*) filter (where not has_health_insurance) as without_insurance,
    round(avg((not has_health_insurance)::integer), 4) as share
from marts.citizen_month
where period = (select max(period) from marts.indicator) and status = 'alive' and is_student
group by residence_province_code
order by share desc, residence_province_code;
