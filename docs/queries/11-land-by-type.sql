-- Diện tích đất theo loại và nhóm dữ liệu · Land by type and data group
select
    land_type,
    data_group,
    count(distinct record_key) as holdings,
    sum(area_m2 * share_percent / 100) as area_m2
from marts.fct_land_holding
where period = (select max(period) from marts.indicator)
group by land_type, data_group
order by area_m2 desc, land_type, data_group;
