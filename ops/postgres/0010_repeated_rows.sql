-- Rows of extracts outranked before there were sums of faults: those the accepted extract still holds are repeated.
set role p06_owner;

with fault as (
    select f.extract_id, k.kind, sum(f.rows) as rows
    from control.quarantine_fault as f
    cross join lateral (
        select array_agg(concat_ws(' ', u.reason, u.failed) order by u.reason, u.failed) as kind
        from unnest(f.reasons, f.columns) as u (reason, failed)
    ) as k
    group by f.extract_id, k.kind
),
again as (
    select s.extract_id, sum(least(o.rows, n.rows)) as repeated
    from control.quarantine_state as s
    inner join fault as o on o.extract_id = s.extract_id
    inner join fault as n on n.extract_id = s.closed_by and n.kind = o.kind
    where s.repeated = 0
    group by s.extract_id
)
update control.quarantine_state as s
set repeated = a.repeated, corrected = s.rows - a.repeated
from again as a
where a.extract_id = s.extract_id;
