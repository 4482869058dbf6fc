-- Số dòng nhận được đã đi đâu; hai vế luôn bằng nhau · What became of the rows received; both sides always agree
select
    to_char(period, 'YYYY-MM') as period,
    source,
    received,
    duplicates,
    quarantined,
    staged,
    matched,
    conflicting,
    unmatched,
    received = duplicates + quarantined + staged as adds_up
from marts.reconciliation
order by period, source;
