-- Editions of the indicators belong to builds: they are kept, and what they say worked out, when a build passes its
-- gate, so that publishing copies and reads none of them. marts.sync takes the release's name out of the table.
set role p06_owner;

-- marts.sync makes the table with the first build; one of before is written by functions alone from now on, and the chain is
-- checked by build before anything is built again
do $$ begin
    if to_regclass('build.indicator_edition') is not null then
        create index indicator_edition_build_id_idx on build.indicator_edition (build_id);
        revoke insert on build.indicator_edition from p06_publisher;
        grant select on build.indicator_edition to p06_builder;
    end if;
end $$;

alter table control.build_figure add column entered boolean not null default false;
comment on column control.build_figure.entered is 'Whether the chain covers it; those of before migration 0028 were never entered.';

-- What the indicators of a build say, as the chain covers them under the build's release; null when there are none.
create function control.seal_edition(of_build bigint) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    said jsonb;
begin
    -- the table is made with the first build
    if to_regclass('build.indicator_edition') is not null then
        execute
            'select jsonb_build_object(''rows'', count(*), ''figures'','
            ' control.seal_hash(string_agg(i.said, e''\n'' order by i.said collate pg_catalog."C")))'
            ' from (select concat_ws(''|'', x.indicator_code, x.period, x.area_level, x.area_code,'
            '  x.numerator, x.denominator, x.value) as said'
            '  from build.indicator_edition as x where x.build_id = $1) as i having count(*) > 0'
        into said using of_build;
    end if;
    return said;
end
$$;
comment on function control.seal_edition is 'What the indicators of a build say, as the chain covers them; null when there are none.';

-- Keeps the indicators a build has now, whatever was kept of it before, and says what they say. Those of a release stay.
create function control.keep_edition(of_build bigint) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    its_period date;
begin
    select b.period into strict its_period from control.build as b where b.build_id = of_build for update;
    if not exists (select from control.release as r where r.build_id = of_build) then
        execute 'delete from build.indicator_edition where build_id = $1' using of_build;
        execute
            'insert into build.indicator_edition select i.* from build.indicator as i'
            ' where i.period = $2 and i.build_id = $1'
        using of_build, its_period;
    end if;
    return control.seal_edition(of_build);
end
$$;
comment on function control.keep_edition is 'Keeps the indicators of a build as they are now, unless a release has made them an edition; returns what they say.';

-- Deletes the indicators kept of builds that are being dropped and that no release published.
create function control.forget_editions(of_builds bigint[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- cleanup may come before the first build, which the table is made with
    if to_regclass('build.indicator_edition') is not null then
        delete from build.indicator_edition as i
        using control.build as b
        where b.build_id = any(of_builds) and b.state = 'dropping' and i.build_id = b.build_id
            and not exists (select from control.release as r where r.build_id = b.build_id);
    end if;
end
$$;
comment on function control.forget_editions is 'Deletes the indicators kept of builds that are being dropped and that no release published.';

-- What the rows of one kind say: all of them, or those with these keys. Columns added later are not in it.
create or replace function control.seal_rows(of_subject text, of_keys text[] default null)
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
    when 'build_figure' then
        return query
        select f.build_id::text, jsonb_build_object('document', control.seal_hash(f.document))::text
        from control.build_figure as f
        where f.entered and (of_keys is null or f.build_id = any(of_keys::bigint[]))
        order by f.build_id;
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
        return query
        select r.release_id, s.said::text
        from control.release as r
        cross join lateral control.seal_edition(r.build_id) as s (said)
        where (of_keys is null or r.release_id = any(of_keys)) and s.said is not null
        order by r.release_id;
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

revoke all on function control.seal_edition(bigint), control.keep_edition(bigint), control.forget_editions(bigint[]) from public;
grant execute on function control.keep_edition(bigint) to p06_builder, p06_publisher;
grant execute on function control.forget_editions(bigint[]) to p06_publisher;

comment on table control.build_figure is 'Rows and digest of each mart of a build, its records by match method, what its indicators say and what they change, as JSON with sorted keys.';
