-- Lượt khám và chi phí theo nhóm bệnh (ba ký tự đầu ICD-10) · Visits and their cost by group of diagnosis (first three characters of ICD-10)
select
    left(main_diagnosis, 3) as diagnosis_group,
    count(*) as visits,
    count(citizen_token) as matched,
    sum(total_amount) as total,
    sum(patient_paid) as paid_by_patients
from marts.fct_health_visit
where period = (select max(period) from marts.indicator)
group by 1
order by total desc, diagnosis_group
fetch first 20 rows only;
