-- A masked look at rows that raise a question about who that is, of what is published.
set role p06_owner;

-- The first rows of each kind by file and line; of a row only the shape of its numbers, name, birth date and sex.
create function quality.identity_examples(of_source text, of_period date, most integer default 3)
returns table (
    kind text, file_no smallint, file_name text, line bigint, other_file_no smallint, other_line bigint, shape text
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    sent record;
    text_of_row text := 'null::text';
    rows_sent text := '(select null::smallint as file_no, null::bigint as line where false)';
begin
    select p.build_id, e.manifest -> 'files' as files, regexp_replace(e.staging_table, '^.*\.', '') as leaf
    into sent
    from control.published as p
    inner join control.build_extract as b on b.build_id = p.build_id and b.period = p.period and b.source = of_source
    inner join control.extract as e on e.extract_id = b.extract_id
    where p.period = of_period;
    if not found then
        return;
    end if;
    -- a superseded extract may be gone from staging: the places are known still
    if to_regclass(format('staging.%I', sent.leaf)) is not null then
        rows_sent := format('staging.%I', sent.leaf);
        text_of_row := 'quality.shape(convert_to(concat_ws('','', coalesce(lpad(s.citizen_id::text, 12, ''0''), ''''),'
            ' coalesce(s.old_id, ''''), s.full_name, s.birth_date::text, s.sex), ''UTF8''))';
    end if;
    return query execute format(
        'select l.kind, l.file_no, $4 -> (l.file_no - 1) ->> ''name'', l.line, l.other_file_no, l.other_line, %s'
        ' from (select f.*, row_number() over (partition by f.kind order by f.file_no, f.line) as place'
        '  from build.identity_finding as f where f.period = $1 and f.build_id = $2 and f.source = $3) as l'
        ' left join %s as s on s.file_no = l.file_no and s.line = l.line'
        ' where l.place <= $5 order by l.kind, l.file_no, l.line',
        text_of_row, rows_sent
    ) using of_period, sent.build_id, of_source, sent.files, most;
end
$$;
comment on function quality.identity_examples(text, date, integer) is 'Examples of quality.identity_finding of one source and month, masked to their shape.';

revoke all on function quality.identity_examples(text, date, integer) from public;
grant execute on function quality.identity_examples(text, date, integer) to p06_quality;
