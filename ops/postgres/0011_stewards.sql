-- Stewards: pairs of a record and a citizen that linkage is not sure of, and what stewards decided about them.
-- A decision speaks of content, not of rows: record is a keyed HMAC of what a row of a source says about a person, pair
-- a keyed HMAC of that and of the citizen's number; the key never enters the database. No table here holds a name or a
-- number that is not in the vault already.
create schema steward authorization p06_owner;

set role p06_owner;

-- whoever looks at two people side by side needs no mart
revoke usage on schema marts from p06_steward;
revoke select on all tables in schema marts from p06_steward;
alter default privileges for role p06_owner in schema marts revoke select on tables from p06_steward;

-- one row per content that was ever decided about; the birth date finds its rows quickly and is empty while unknown
create table vault.steward_content (
    content_no bigint generated always as identity primary key,
    record text not null unique check (record ~ '^[0-9a-f]{32}$'),
    source text not null,
    birth_date date
);

-- one row per entry, never changed and never removed; the latest of a pair is in force
create table vault.steward_decision (
    entry_id bigint generated always as identity primary key,
    pair text not null check (pair ~ '^[0-9a-f]{20}$'),
    record text not null references vault.steward_content (record),
    citizen_token uuid not null,
    verdict text not null check (verdict in ('accept', 'reject', 'undone')),
    weight numeric(5, 4) not null check (weight between 0 and 1),
    who text not null,
    role text not null default session_user,
    why text,
    at timestamptz not null default clock_timestamp()
);
create index on vault.steward_decision (pair, entry_id);
create index on vault.steward_decision (record);
comment on column vault.steward_decision.citizen_token is 'Token of the number that was the citizen''s root when decided; a build follows it to the root of today.';
comment on column vault.steward_decision.weight is 'Linkage weight the steward saw; the confidence of the rows an accepted pair matches.';

create view vault.steward_in_force as
select
    l.entry_id,
    l.pair,
    l.record,
    c.source,
    l.citizen_token,
    l.verdict,
    l.weight
from (
    select distinct on (d.pair) d.* from vault.steward_decision as d order by d.pair, d.entry_id desc
) as l
inner join vault.steward_content as c on c.record = l.record
where l.verdict <> 'undone';

-- one row per pair and build: what linkage proposed, and what agrees; where the record stands, not what it says
create table vault.steward_queue (
    build_id bigint not null,
    period date not null,
    source text not null,
    pair text not null,
    record text not null,
    root_id bigint not null,
    citizen_token uuid not null,
    proposal text not null check (proposal in ('ask', 'link')),
    weight numeric(5, 4) not null,
    name text not null,
    birth_date text not null,
    sex text not null,
    commune text not null,
    number text not null,
    rows bigint not null,
    decided_as text,
    leaf text not null,
    commune_column text,
    file_no smallint not null,
    line bigint not null,
    record_birth_date date,
    register_state bigint not null,
    primary key (build_id, pair)
);
create index on vault.steward_queue (pair);
comment on column vault.steward_queue.decided_as is 'The pair under which it was decided, when the citizen''s root was another number then.';

-- what linkage and stewards link in the build under way; the next build makes it anew
create unlogged table vault.int_linked (
    source text not null,
    file_no smallint not null,
    line bigint not null,
    root_id bigint not null,
    weight numeric(5, 4) not null
);

-- which extracts hold rows of a content decided about: each leaf is read once for each
create table control.steward_scan (
    leaf text primary key,
    scanned_to bigint not null
);
create table control.steward_touch (
    leaf text not null,
    content_no bigint not null,
    primary key (leaf, content_no)
);
comment on table control.steward_scan is 'Contents up to this number were looked for in the staging table.';

grant usage on schema vault to p06_publisher;
grant execute on function vault.normalise_name(text) to p06_publisher;
grant select on vault.steward_content, vault.steward_in_force to p06_builder, p06_publisher;
grant update (birth_date) on vault.steward_content to p06_publisher;
grant select, insert, delete on vault.steward_queue to p06_builder;
grant select, insert, truncate, maintain on vault.int_linked to p06_builder;
grant select, insert, update on control.steward_scan, control.steward_touch to p06_publisher;
grant select, delete on control.steward_scan, control.steward_touch to p06_builder;

-- The pairs of published builds, and of the newest build of a month that was never published when a gate blocked it.
create view vault.steward_standing as
select
    q.*,
    d.verdict as decision,
    exists (
        select from vault.steward_in_force as o
        where o.record = q.record and o.verdict = 'accept' and o.pair <> coalesce(q.decided_as, q.pair)
    ) as settled_by_another
from vault.steward_queue as q
left join vault.steward_in_force as d on d.pair = coalesce(q.decided_as, q.pair)
where q.build_id in (
    select p.build_id from control.published as p
    union all
    select b.build_id
    from (
        select distinct on (n.period) n.build_id, n.period, n.state from control.build as n order by n.period, n.build_id desc
    ) as b
    where b.state = 'blocked' and not exists (select from control.published as p where p.period = b.period)
);

create view steward.pair as
select
    s.pair,
    s.source,
    s.period,
    s.proposal,
    s.weight,
    s.name,
    s.birth_date,
    s.sex,
    s.commune,
    s.number,
    s.rows,
    s.decision,
    s.settled_by_another
from vault.steward_standing as s;
comment on view steward.pair is 'One row per pair and month: what linkage proposes, what agrees (yes, near, no, or absent), the rows it touches, and the decision in force. Holds no values.';

create view steward.decision as
select
    d.entry_id,
    d.pair,
    c.source,
    d.record,
    d.citizen_token,
    d.verdict,
    d.weight,
    d.who,
    d.role,
    d.why,
    d.at,
    f.entry_id is not null as in_force
from vault.steward_decision as d
inner join vault.steward_content as c on c.record = d.record
left join vault.steward_in_force as f on f.entry_id = d.entry_id;
comment on view steward.decision is 'Every entry; the latest of a pair is in force unless it is undone. Holds no values.';

-- One decision at a time: what is in force is read after the lock is held.
create function vault.steward_lock() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'decisions are taken in read committed' using errcode = 'P6S00';
    end if;
    perform pg_advisory_xact_lock(5255225);
end $$;

create function vault.steward_enter(
    of_pair text, of_record text, of_source text, of_birth_date date, of_citizen uuid, new_verdict text,
    of_weight numeric, by_whom text, because text
) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    present text;
begin
    select f.verdict into present from vault.steward_in_force as f where f.pair = of_pair;
    if new_verdict = 'undone' and present is null then
        raise exception 'nothing in force' using errcode = 'P6S05';
    elsif present = new_verdict then
        return 'unchanged';
    elsif new_verdict <> 'undone' and present is not null then
        raise exception 'decided otherwise' using errcode = 'P6S03';
    elsif new_verdict = 'accept' and exists (
        select from vault.steward_in_force as f
        where f.record = of_record and f.verdict = 'accept' and f.pair <> of_pair
    ) then
        raise exception 'another citizen is accepted' using errcode = 'P6S04';
    end if;
    insert into vault.steward_content as c (record, source, birth_date) values (of_record, of_source, of_birth_date)
    on conflict (record) do update set birth_date = excluded.birth_date where c.birth_date is null;
    insert into vault.steward_decision (pair, record, citizen_token, verdict, weight, who, why)
    values (of_pair, of_record, of_citizen, new_verdict, of_weight, by_whom, because);
    return 'entered';
end $$;

-- The pair a beginning of its name means, of those standing and those ever decided.
create function vault.steward_named(beginning text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found text[];
begin
    if beginning !~ '^[0-9a-f]{4,20}$' then
        raise exception 'not a pair' using errcode = 'P6S01';
    end if;
    select array_agg(distinct k.pair) into found
    from (
        select s.pair from vault.steward_standing as s
        union
        select d.pair from vault.steward_decision as d
    ) as k
    where starts_with(k.pair, beginning);
    if found is null then
        raise exception 'no such pair' using errcode = 'P6S01';
    elsif cardinality(found) > 1 then
        raise exception 'several pairs' using errcode = 'P6S02';
    end if;
    return found[1];
end $$;

create function steward.decide(beginning text, new_verdict text, by_whom text, because text default null)
returns table (pair text, outcome text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text;
    standing record;
    known record;
begin
    perform vault.steward_lock();
    wanted := vault.steward_named(beginning);
    select s.* into standing from vault.steward_standing as s where s.pair = wanted order by s.period desc limit 1;
    wanted := coalesce(standing.decided_as, wanted);
    select d.*, c.source into known
    from vault.steward_decision as d
    inner join vault.steward_content as c on c.record = d.record
    where d.pair = wanted
    order by d.entry_id desc limit 1;
    return query select wanted, vault.steward_enter(
        wanted,
        coalesce(known.record, standing.record),
        coalesce(known.source, standing.source),
        standing.record_birth_date,
        coalesce(known.citizen_token, standing.citizen_token),
        new_verdict,
        coalesce(standing.weight, known.weight),
        by_whom,
        because
    );
end $$;

create function steward.replay(
    of_pair text, of_record text, of_source text, of_citizen uuid, new_verdict text, of_weight numeric, by_whom text
) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vault.steward_lock();
    if new_verdict not in ('accept', 'reject') then
        raise exception 'not a verdict' using errcode = 'P6S06';
    end if;
    return vault.steward_enter(
        of_pair, of_record, of_source, null, of_citizen, new_verdict, of_weight, by_whom, 'from another warehouse'
    );
end $$;

-- Initials; the year; the last three digits.
create function vault.steward_mask(kind text, value text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
return case kind
    when 'name' then (
        select string_agg(left(w.word, 1) || '…', ' ' order by w.place)
        from regexp_split_to_table(normalize(value, NFC), '\s+') with ordinality as w (word, place)
        where w.word <> ''
    )
    when 'date' then left(value, 4) || '-··-··'
    when 'number' then repeat('·', greatest(length(value) - 3, 0)) || right(value, 3)
    else value
end;

-- Both sides of a standing pair beside each other, of the newest month that has it. What is revealed is written down.
create function steward.side_by_side(beginning text, reveal boolean, by_whom text)
returns table (pair text, source text, period date, field text, record_says text, register_says text, agrees text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text := vault.steward_named(beginning);
    one record;
    said jsonb;
    known record;
begin
    select s.* into one from vault.steward_standing as s where s.pair = wanted order by s.period desc limit 1;
    if one.pair is null then
        raise exception 'not standing' using errcode = 'P6S07';
    end if;
    if reveal then
        insert into control.access_log (purpose, object)
        values ('steward show for ' || by_whom, 'pair ' || wanted || ' ' || to_char(one.period, 'YYYY-MM'));
    end if;
    if to_regclass(format('staging.%I', one.leaf)) is not null then
        execute format('select to_jsonb(t) from staging.%I as t where t.file_no = $1 and t.line = $2', one.leaf)
        into said using one.file_no, one.line;
    end if;
    select h.* into known
    from vault.citizen_history as h
    where h.root_id = one.root_id
        and h.from_state <= one.register_state
        and (h.to_state is null or h.to_state > one.register_state)
        and h.valid_from <= one.period
        and (h.valid_to is null or h.valid_to > one.period);
    return query
    select wanted, one.source, one.period, f.field,
        case when reveal then f.record_says else vault.steward_mask(f.kind, f.record_says) end,
        case when reveal then f.register_says else vault.steward_mask(f.kind, f.register_says) end,
        f.agrees
    from (
        values
        (1, 'name', 'name', said ->> 'full_name', known.full_name, one.name),
        (2, 'birth_date', 'date', said ->> 'birth_date', known.birth_date::text, one.birth_date),
        (3, 'sex', 'plain', said ->> 'sex', known.sex, one.sex),
        (4, 'commune', 'plain', said ->> one.commune_column, known.residence_code, one.commune),
        (5, 'citizen_id', 'number', lpad(said ->> 'citizen_id', 12, '0'), lpad(known.citizen_id::text, 12, '0'), one.number),
        (6, 'old_id', 'number', said ->> 'old_id', known.old_id, null)
    ) as f (place, field, kind, record_says, register_says, agrees)
    order by f.place;
end $$;

grant usage on schema steward to p06_steward;
grant select on steward.pair, steward.decision to p06_steward;
grant execute on function
steward.decide(text, text, text, text),
steward.replay(text, text, text, uuid, text, numeric, text),
steward.side_by_side(text, boolean, text)
to p06_steward;
