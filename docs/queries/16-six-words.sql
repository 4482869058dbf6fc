-- Sáu tiêu chí của mỗi nguồn: số đo kỳ mới nhất và kỳ trước · The six words of each source: the newest month's measures beside the month before
select
    s.source,
    s.word,
    s.measure,
    round(s.value, 4) as value,
    round(b.value, 4) as month_before,
    s.unit
from marts.scorecard as s
left join marts.scorecard as b
    on b.period = s.period - interval '1 month'
    and b.source = s.source
    and b.province_code = s.province_code
    and b.measure = s.measure
where s.period = (select max(period) from marts.indicator) and s.province_code = 'VN'
order by s.source, s.word, s.measure;
