-- The loop of quarantine: what is open, what a later delivery closed, what was judged again; and a masked look at it.
set role p06_owner;

-- one row per set of faults of an extract: rows that fail for the same reasons in the same columns
create table control.quarantine_fault (
    extract_id text not null,
    reasons text[] not null,
    columns text[] not null,
    rows bigint not null check (rows > 0)
);
create index on control.quarantine_fault (extract_id);

-- one row per extract that put rows into quarantine
create table control.quarantine_state (
    extract_id text primary key,
    source text not null,
    period date not null,
    revision integer not null,
    rows bigint not null,
    corrected bigint not null default 0,
    repeated bigint not null default 0,
    replayed bigint not null default 0,
    opened_at timestamptz not null default clock_timestamp(),
    closed_at timestamptz,
    closed_by text,
    check (closed_at is null or rows = corrected + repeated)
);
create index on control.quarantine_state (source, period);
comment on table control.quarantine_state is 'Rows of an extract are open until an extract that outranks it is accepted; then as many as bear faults that extract still holds are repeated, the others corrected. replayed left quarantine by a replay under mended code lists.';

-- one row per replay of an accepted extract; a staged one waits for gate 1 beside what readers see
create table control.replay (
    extract_id text not null references control.extract,
    replay_number integer not null check (replay_number >= 1),
    leaf text not null,
    received bigint not null,
    duplicates bigint not null,
    quarantined bigint not null,
    staged bigint not null,
    state text not null default 'staged' check (state in ('staged', 'accepted', 'blocked')),
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    primary key (extract_id, replay_number),
    check (received = duplicates + quarantined + staged)
);

grant select, insert, update, delete on control.quarantine_fault, control.quarantine_state to p06_loader;
grant select, insert, update on control.replay to p06_loader;

-- extracts staged before this page was turned
insert into control.quarantine_fault (extract_id, reasons, columns, rows)
select r.extract, r.reasons, r.columns, count(*)
from (
    select
        f.extract,
        array_agg(f.reason order by f.reason, f."column") as reasons,
        array_agg(f."column" order by f.reason, f."column") as columns
    from quality.failed_row as f
    inner join control.extract as e on e.extract_id = f.extract
    group by f.extract, f.file_no, f.line
) as r
group by r.extract, r.reasons, r.columns;

insert into control.quarantine_state (extract_id, source, period, revision, rows, opened_at)
select e.extract_id, e.source, e.period, e.revision, e.quarantined, e.staged_at
from control.extract as e
where e.quarantined > 0;

update control.quarantine_state as s
set corrected = s.rows, closed_at = clock_timestamp(), closed_by = a.extract_id
from control.extract as e
inner join control.accepted as a on a.source = e.source and a.period = e.period
where e.extract_id = s.extract_id and e.state = 'superseded';

create view quality.quarantine_state as
select
    s.period,
    s.source,
    s.extract_id as extract,
    s.revision,
    s.rows,
    case when s.closed_at is null then s.rows else 0 end as open,
    s.corrected,
    s.repeated,
    s.replayed,
    s.opened_at,
    s.closed_at,
    s.closed_by,
    (
        select coalesce(jsonb_object_agg(r.reason, r.rows), '{}')
        from (
            select d.reason, sum(f.rows) as rows
            from control.quarantine_fault as f
            cross join lateral (select distinct u.reason from unnest(f.reasons) as u (reason)) as d
            where f.extract_id = s.extract_id
            group by d.reason
        ) as r
    ) as reasons
from control.quarantine_state as s;
comment on view quality.quarantine_state is 'One row per extract with rows in quarantine: open until an extract that outranks it is accepted, then corrected or repeated. Holds no values.';

-- The shape of a record: digits become 9, letters A, runs longer than twelve are cut; the same as returnfile.mask.
-- Neighbouring bytes beyond ASCII become one A, so no encoding is needed. chr(57344) stands for a backslash meanwhile.
create function quality.shape(raw bytea) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
    with
    escaped as (select replace(encode(substr(raw, 1, 2000), 'escape'), '\\', chr(57344)) as t),
    letters as (select regexp_replace(e.t, '(\\[0-7]{3})+', 'A', 'g') as t from escaped as e),
    masked as (
        select
            translate(
                l.t,
                'abcdefghijklmnopqrstuvwxyzBCDEFGHIJKLMNOPQRSTUVWXYZ012345678',
                repeat('A', 51) || repeat('9', 9)
            ) as t
        from letters as l
    ),
    spaced as (select regexp_replace(m.t, '[\u0001-\u001f\u007f]', ' ', 'g') as t from masked as m),
    short as (
        select regexp_replace(regexp_replace(s.t, '(A{12})A+', '\1~', 'g'), '(9{12})9+', '\1~', 'g') as t from spaced as s
    )
    select left(replace(s.t, chr(57344), '\'), 300) from short as s
$$;

-- Rows in quarantine as quality officers may see them, of extracts nothing outranks. Naming a source and a period reads
-- these alone.
create function quality.quarantined_rows(of_source text default null, of_period date default null)
returns table (
    source text, period date, "extract" text, revision integer, state text,
    file_no smallint, line bigint, record_no bigint, reasons text[], columns text[], shape text
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    one record;
begin
    for one in
        select e.extract_id, e.source, e.period, e.revision, e.state, e.quarantine_table
        from control.extract as e
        where e.quarantined > 0
            and e.state <> 'superseded'
            and (of_source is null or e.source = of_source)
            and (of_period is null or e.period = of_period)
            and to_regclass(format('quarantine.%I', e.quarantine_table)) is not null
        order by e.source, e.period, e.revision
    loop
        return query execute format(
            'select $1, $2, $3, $4, $5, q.file_no, q.line, q.record_no, q.reasons, q.columns, quality.shape(q.raw)'
            ' from quarantine.%I as q order by q.file_no, q.line',
            one.quarantine_table
        ) using one.source, one.period, one.extract_id, one.revision, one.state;
    end loop;
end
$$;

create view quality.quarantined_row as select * from quality.quarantined_rows();
comment on view quality.quarantined_row is 'Rows in quarantine with their raw text masked to its shape; the function quarantined_rows(source, period) reads one source and month alone.';

revoke all on function quality.shape(bytea), quality.quarantined_rows(text, date) from public;
grant execute on function quality.shape(bytea), quality.quarantined_rows(text, date) to p06_quality;
grant select on quality.quarantine_state, quality.quarantined_row to p06_quality;
