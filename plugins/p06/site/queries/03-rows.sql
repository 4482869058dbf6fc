-- What became of every row received
-- Mỗi dòng đã nhận đi về đâu
select to_char(period, 'YYYY-MM') as period, source, received, duplicates, quarantined, staged, matched, conflicting, unmatched
from marts.reconciliation
order by period, source;
