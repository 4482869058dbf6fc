-- What quality officers read: results of every check, failed rows without values.
set role p06_owner;

create table quality.check_result (
    period date not null,
    source text,
    mart text,
    "check" text not null,
    dimension text not null check (dimension in ('dung', 'du', 'sach', 'song', 'thong_nhat', 'dung_chung')),
    severity text not null check (severity in ('block', 'warn', 'info')),
    success boolean not null,
    observed text,
    threshold text,
    run text not null,
    owner text not null,
    reason text,
    waived_by text,
    extract_id text,
    build_id bigint,
    at timestamptz not null default clock_timestamp(),
    check ((source is null) <> (mart is null))
);
create index on quality.check_result (period, run);
comment on column quality.check_result.dimension is 'One of the six words: dung (đúng, accurate), du (đủ, complete), sach (sạch, clean), song (sống, live), thong_nhat (thống nhất, unified), dung_chung (dùng chung, shared).';
comment on column quality.check_result.run is 'extract:<extract_id> for gate 1, build:<build_id> for gate 2.';

-- one row per failed column of a quarantined row; no values
create table quality.failed_row (
    source text not null,
    period date not null,
    extract text not null,
    file_no integer not null,
    line bigint not null,
    "column" text,
    reason text not null
);
create index on quality.failed_row (extract);

-- counts of the accepted extracts; a row with several reasons counts under each
create view quality.quarantine_summary as
select
    f.period,
    f.source,
    f.reason,
    count(distinct (f.file_no, f.line)) as rows
from quality.failed_row as f
inner join control.accepted as a on a.extract_id = f.extract
group by f.period, f.source, f.reason;

grant select, insert on quality.check_result to p06_loader, p06_builder, p06_publisher;
grant select, insert, delete on quality.failed_row to p06_loader;
grant select on quality.failed_row to p06_builder, p06_publisher;
grant select on quality.check_result, quality.failed_row, quality.quarantine_summary to p06_quality;
