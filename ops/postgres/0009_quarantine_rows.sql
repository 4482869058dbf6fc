-- A masked look at a few rows of a large extract masks these alone: the function takes a reason and how many at most.
set role p06_owner;

drop view quality.quarantined_row;
drop function quality.quarantined_rows(text, date);

-- Rows in quarantine as quality officers may see them, of extracts nothing outranks. Naming a source and a period reads
-- these alone.
create function quality.quarantined_rows(
    of_source text default null, of_period date default null, of_reason text default null, most bigint default null
)
returns table (
    source text, period date, "extract" text, revision integer, state text,
    file_no smallint, line bigint, record_no bigint, reasons text[], columns text[], shape text
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    one record;
    found bigint;
begin
    for one in
        select e.extract_id, e.source, e.period, e.revision, e.state, e.quarantine_table
        from control.extract as e
        where e.quarantined > 0
            and e.state <> 'superseded'
            and (of_source is null or e.source = of_source)
            and (of_period is null or e.period = of_period)
            and to_regclass(format('quarantine.%I', e.quarantine_table)) is not null
        order by e.source, e.period, e.revision, e.extract_id
    loop
        exit when most <= 0;
        return query execute format(
            'select $1, $2, $3, $4, $5, r.file_no, r.line, r.record_no, r.reasons, r.columns, quality.shape(r.raw)'
            ' from (select q.* from quarantine.%I as q where $6 is null or $6 = any (q.reasons)'
            '  order by q.file_no, q.line, q.record_no limit $7) as r order by r.file_no, r.line, r.record_no',
            one.quarantine_table
        ) using one.source, one.period, one.extract_id, one.revision, one.state, of_reason, most;
        get diagnostics found = row_count;
        most := most - found;
    end loop;
end
$$;

create view quality.quarantined_row as select * from quality.quarantined_rows();
comment on view quality.quarantined_row is 'Rows in quarantine with their raw text masked to its shape; the function quarantined_rows(source, period, reason, most) reads one source and month alone.';

revoke all on function quality.quarantined_rows(text, date, text, bigint) from public;
grant execute on function quality.quarantined_rows(text, date, text, bigint) to p06_quality;
grant select on quality.quarantined_row to p06_quality;
