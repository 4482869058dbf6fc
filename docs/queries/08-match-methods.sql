-- Mỗi nguồn khớp với công dân bằng cách nào · How each source's rows found their citizen
select
    source,
    match_method,
    sum(records) as records,
    round(sum(records) / sum(sum(records)) over (partition by source), 4) as share
from marts.match_summary
where period = (select max(period) from marts.indicator)
group by source, match_method
order by source, records desc, match_method;
