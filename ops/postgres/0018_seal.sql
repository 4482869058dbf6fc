-- A seal over the ledger: a chain of entries, each with a keyed code over what a row says and over the entry before it.
-- The key never enters the database. And one record for each release: what went into it and what came out.
set role p06_owner;

-- one row per release: its record, as canonical JSON
create table control.release_record (
    release_id text primary key references control.release,
    document text not null
);
comment on table control.release_record is 'What went into a release and what came out, as JSON with sorted keys; written in the transaction that publishes it.';
grant select, insert on control.release_record to p06_publisher;

-- one row per build that passed its gate: rows and digest of its marts, kept when its rows are dropped
create table control.build_figure (
    build_id bigint primary key references control.build,
    document text not null
);
comment on table control.build_figure is 'Rows and digest of each mart of a build and its records by match method, as JSON with sorted keys.';
grant select, insert on control.build_figure to p06_builder, p06_publisher;

-- one row per entry, numbered without gaps; never changed and never removed
create table control.seal (
    entry_no bigint primary key check (entry_no >= 1),
    at timestamptz not null,
    subject text not null,
    key text not null,
    content text not null,
    key_id text not null,
    mac bytea not null
);
comment on table control.seal is 'The chain over the ledger: mac is the HMAC-SHA256 of the mac before it and of this entry; p06 verify checks it.';
comment on column control.seal.content is 'What the row of the ledger said when it was entered; what is private or long as its SHA-256.';
comment on column control.seal.key_id is 'Tells keys apart; it says nothing about the key.';

create index on quality.check_result (run);

create function control.seal_hash(value text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
return encode(sha256(convert_to(value, 'UTF8')), 'hex');

-- What the rows of one kind say: all of them, or those with these keys. Columns added later are not in it.
create function control.seal_rows(of_subject text, of_keys text[] default null)
returns table (key text, content text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
begin
    case of_subject
    when 'load_attempt' then
        return query
        select a.attempt_id::text, jsonb_build_object(
            'source', a.source, 'period', a.period, 'delivery', a.delivery, 'state', a.state,
            'started_at', a.started_at, 'ended_at', a.ended_at, 'extract', a.extract_id,
            'mismatches', control.seal_hash(a.mismatches::text))::text
        from control.load_attempt as a
        where a.state <> 'running' and (of_keys is null or a.attempt_id = any(of_keys::bigint[]))
        order by a.attempt_id;
    when 'extract' then
        return query
        select e.extract_id, jsonb_build_object(
            'source', e.source, 'period', e.period, 'revision', e.revision, 'content_hash', e.content_hash,
            'admin_code_version', e.admin_code_version, 'produced_at', e.produced_at, 'delivery', e.delivery,
            'contract_version', e.contract_version, 'contract_hash', e.contract_hash, 'replay', e.replay_number,
            'received', e.received, 'duplicates', e.duplicates, 'quarantined', e.quarantined, 'staged', e.staged,
            'staging_table', e.staging_table, 'quarantine_table', e.quarantine_table, 'accepted_at', e.accepted_at,
            'manifest', control.seal_hash(e.manifest::text))::text
        from control.extract as e
        where e.accepted_at is not null and (of_keys is null or e.extract_id = any(of_keys))
        order by e.extract_id;
    when 'accepted' then
        return query
        select concat_ws(' ', a.source, to_char(a.period, 'YYYY-MM')), jsonb_build_object(
            'extract', a.extract_id, 'revision_floor', a.revision_floor, 'accepted_at', a.accepted_at)::text
        from control.accepted as a
        where of_keys is null or concat_ws(' ', a.source, to_char(a.period, 'YYYY-MM')) = any(of_keys)
        order by 1;
    when 'check_result' then
        return query
        select r.run, jsonb_build_object('rows', count(*), 'answers', control.seal_hash(string_agg(r.said, e'\n' order by r.said collate pg_catalog."C")))::text
        from (
            select c.run, jsonb_build_array(
                c.period, c.source, c.mart, c."check", c.dimension, c.severity, c.success, c.observed, c.threshold, c.owner,
                c.reason, c.waived_by, c.extract_id, c.build_id, c.at)::text as said
            from quality.check_result as c
            where of_keys is null or c.run = any(of_keys)
        ) as r
        group by r.run
        order by r.run;
    when 'build' then
        return query
        select b.build_id::text, jsonb_build_object(
            'period', b.period, 'fingerprint', b.fingerprint, 'model_hash', b.model_hash, 'gate_key', b.gate_key,
            'register_state_before', b.register_state_before, 'register_state_after', b.register_state_after,
            'started_at', b.started_at, 'approval', b.approval, 'inputs', control.seal_hash(b.inputs::text), 'extracts', (
                select control.seal_hash(string_agg(
                    concat_ws(' ', x.source, x.period, x.extract_id), e'\n' order by x.source collate pg_catalog."C", x.period))
                from control.build_extract as x where x.build_id = b.build_id))::text
        from control.build as b
        where exists (select from control.release as r where r.build_id = b.build_id)
            and (of_keys is null or b.build_id = any(of_keys::bigint[]))
        order by b.build_id;
    when 'release' then
        return query
        select r.release_id, jsonb_build_object(
            'period', r.period, 'number', r.number, 'build', r.build_id, 'fingerprint', r.fingerprint,
            'model_hash', r.model_hash, 'gate', r.gate, 'approved_by', r.approved_by,
            'register_state_before', r.register_state_before, 'register_state_after', r.register_state_after,
            'published_at', r.published_at)::text
        from control.release as r
        where of_keys is null or r.release_id = any(of_keys)
        order by r.period, r.number;
    when 'release_record' then
        return query
        select r.release_id, jsonb_build_object('document', control.seal_hash(r.document))::text
        from control.release_record as r
        where of_keys is null or r.release_id = any(of_keys)
        order by r.release_id;
    when 'pointer_event' then
        return query
        select e.event_id::text, jsonb_build_object(
            'period', e.period, 'kind', e.kind, 'from_release', e.from_release, 'to_release', e.to_release,
            'who', e.who, 'why', e.why, 'at', e.at, 'register_state', e.register_state)::text
        from control.pointer_event as e
        where of_keys is null or e.event_id = any(of_keys::bigint[])
        order by e.event_id;
    when 'indicator_edition' then
        -- the table is made with the first build
        if to_regclass('build.indicator_edition') is not null then
            return query execute
                'select i.release_id, jsonb_build_object(''rows'', count(*), ''figures'','
                ' control.seal_hash(string_agg(i.said, e''\n'' order by i.said collate pg_catalog."C")))::text'
                ' from (select x.release_id, concat_ws(''|'', x.indicator_code, x.period, x.area_level, x.area_code,'
                '  x.numerator, x.denominator, x.value) as said'
                '  from build.indicator_edition as x where $1 is null or x.release_id = any($1)) as i'
                ' group by i.release_id order by i.release_id'
            using of_keys;
        end if;
    when 'approval_request' then
        return query
        select q.request_id::text, jsonb_build_object(
            'build', q.build_id, 'period', q.period, 'fingerprint', q.fingerprint, 'gate_key', q.gate_key,
            'asked_by', q.asked_by, 'role', q.role, 'asked_at', q.asked_at, 'answer_by', q.answer_by,
            'asks', control.seal_hash(q.asks::text), 'evidence', control.seal_hash(q.evidence::text))::text
        from control.approval_request as q
        where of_keys is null or q.request_id = any(of_keys::bigint[])
        order by q.request_id;
    when 'approval_answer' then
        return query
        select a.answer_id::text, jsonb_build_object(
            'request', a.request_id, 'build', a.build_id, 'period', a.period, 'fingerprint', a.fingerprint,
            'verdict', a.verdict, 'who', a.who, 'role', a.role, 'via', a.via, 'why', a.why, 'at', a.at,
            'carried_from', a.carried_from)::text
        from control.approval_answer as a
        where of_keys is null or a.answer_id = any(of_keys::bigint[])
        order by a.answer_id;
    when 'footnote' then
        return query
        select n.release_id, jsonb_build_object('rows', count(*), 'notes', control.seal_hash(string_agg(n.said, e'\n' order by n.number)))::text
        from (
            select f.release_id, f.number, jsonb_build_array(
                f.number, f.period, f.source, f.mart, f.indicator_code, f."check", f.dimension, f.severity, f.text_en,
                f.text_vi, f.observed, f.threshold, f.waived_by, f.extract_period)::text as said
            from control.footnote as f
            where of_keys is null or f.release_id = any(of_keys)
        ) as n
        group by n.release_id
        order by n.release_id;
    when 'steward_decision' then
        return query
        select d.entry_id::text, jsonb_build_object(
            'pair', d.pair, 'record', d.record, 'verdict', d.verdict, 'weight', d.weight, 'who', d.who, 'role', d.role,
            'at', d.at, 'citizen', control.seal_hash(d.citizen_token::text), 'why', control.seal_hash(d.why))::text
        from vault.steward_decision as d
        where of_keys is null or d.entry_id = any(of_keys::bigint[])
        order by d.entry_id;
    when 'access_log' then
        return query
        select l.entry_id::text, jsonb_build_object(
            'who', l.who, 'purpose', l.purpose, 'object', l.object, 'at', l.at)::text
        from control.access_log as l
        where of_keys is null or l.entry_id = any(of_keys::bigint[])
        order by l.entry_id;
    end case;
end
$$;
comment on function control.seal_rows is 'What the rows of one kind of the ledger say, as the chain covers them; all of them, or those with these keys.';

-- The rows this transaction has added to the books that functions of the database write.
create function control.seal_entered() returns table (subject text, key text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select 'steward_decision'::text, d.entry_id::text
    from vault.steward_decision as d
    where d.xmin = pg_current_xact_id()::xid
    union all
    select 'access_log'::text, l.entry_id::text
    from control.access_log as l
    where l.xmin = pg_current_xact_id()::xid
    union all
    select 'approval_request'::text, q.request_id::text
    from control.approval_request as q
    where q.xmin = pg_current_xact_id()::xid
    union all
    select 'approval_answer'::text, a.answer_id::text
    from control.approval_answer as a
    where a.xmin = pg_current_xact_id()::xid;
end;

-- The newest entry, with the chain held until the transaction ends; nothing when there is no chain yet.
create function control.seal_head() returns table (entry_no bigint, mac bytea, key_id text, at timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'the chain is written in read committed' using errcode = 'P6C00';
    end if;
    perform pg_advisory_xact_lock(5255226);
    return query
    select s.entry_no, s.mac, s.key_id, clock_timestamp()
    from (values (1)) as always (there)
    left join lateral (select n.* from control.seal as n order by n.entry_no desc limit 1) as s on true;
end
$$;

create function control.seal_append(
    first_no bigint, at timestamptz, subjects text[], keys text[], contents text[], by_key text, macs bytea[]
) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if first_no <> coalesce((select max(s.entry_no) from control.seal as s), 0) + 1 then
        raise exception 'the chain has grown meanwhile' using errcode = 'P6C00';
    end if;
    insert into control.seal (entry_no, at, subject, key, content, key_id, mac)
    select first_no + u.place - 1, seal_append.at, u.subject, u.key, u.content, by_key, u.mac
    from unnest(subjects, keys, contents, macs) with ordinality as u (subject, key, content, mac, place);
end
$$;

revoke all on function
control.seal_hash(text), control.seal_rows(text, text[]), control.seal_entered(), control.seal_head(),
control.seal_append(bigint, timestamptz, text[], text[], text[], text, bytea[])
from public;
grant usage on schema control to p06_steward, p06_quality;
grant execute on function
control.seal_rows(text, text[]), control.seal_entered(), control.seal_head(),
control.seal_append(bigint, timestamptz, text[], text[], text[], text, bytea[])
to p06_loader, p06_builder, p06_publisher, p06_steward, p06_quality;
