-- The ledger: what was delivered, loaded, accepted, built and published.
set role p06_owner;

-- one row per try to load a delivery
create table control.load_attempt (
    attempt_id bigint generated always as identity primary key,
    source text not null,
    period date not null,
    delivery text not null,
    state text not null default 'running'
        check (state in ('running', 'accepted', 'blocked', 'refused', 'duplicate', 'superseded', 'failed')),
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    extract_id text,
    mismatches jsonb not null default '[]'
);
create index on control.load_attempt (source, period);
comment on table control.load_attempt is 'One row per try to load a delivery; mismatches names each reason of a refusal by code and place, never by value.';

-- one row per extract that was staged
create table control.extract (
    extract_id text primary key,
    source text not null,
    period date not null check (extract(day from period) = 1),
    revision integer not null check (revision >= 1),
    content_hash text not null,
    admin_code_version date not null,
    produced_at timestamptz not null,
    manifest jsonb not null,
    delivery text not null,
    contract_version text not null,
    contract_hash text not null,
    replay_number integer not null default 0,
    received bigint not null,
    duplicates bigint not null,
    quarantined bigint not null,
    staged bigint not null,
    staging_table text not null,
    quarantine_table text not null,
    state text not null default 'staged' check (state in ('staged', 'blocked', 'accepted', 'superseded')),
    gate_key text,
    attempt_id bigint not null references control.load_attempt,
    staged_at timestamptz not null default clock_timestamp(),
    accepted_at timestamptz,
    check (received = duplicates + quarantined + staged)
);
create index on control.extract (source, period);
comment on column control.extract.gate_key is 'Hash of the suite and the waivers under which gate 1 last judged the extract.';

-- the winning extract of each source and period
create table control.accepted (
    source text not null,
    period date not null,
    extract_id text not null references control.extract,
    revision_floor integer not null,
    accepted_at timestamptz not null default clock_timestamp(),
    primary key (source, period)
);
comment on column control.accepted.revision_floor is 'The highest revision stated for this content; a revision not above it changes nothing.';

-- backfills that are open: a release leaves their months alone until they close
create table control.backfill (
    backfill_id bigint generated always as identity primary key,
    first_period date not null,
    last_period date not null,
    sources text[] not null,
    reason text,
    host text not null,
    pid integer not null,
    process_started double precision not null,
    opened_at timestamptz not null default clock_timestamp(),
    closed_at timestamptz
);

-- one row per build; its inputs are pinned from the start
create table control.build (
    build_id bigint generated always as identity primary key,
    period date not null,
    fingerprint text not null,
    inputs jsonb not null,
    model_hash text not null,
    gate_key text,
    register_state_before bigint not null,
    register_state_after bigint not null,
    state text not null default 'running'
        check (state in ('running', 'built', 'passed', 'blocked', 'failed', 'published', 'dropping', 'dropped')),
    host text not null,
    pid integer not null,
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz
);
create index on control.build (period);

create table control.build_extract (
    build_id bigint not null references control.build,
    source text not null,
    period date not null,
    extract_id text not null references control.extract,
    primary key (build_id, source, period)
);
comment on table control.build_extract is 'The extracts a build reads; staging keeps an extract while a running build names it here.';

create table control.release (
    release_id text primary key,
    period date not null,
    number integer not null,
    build_id bigint not null unique references control.build,
    fingerprint text not null,
    model_hash text not null,
    gate text not null check (gate in ('clean', 'warnings')),
    approved_by text,
    register_state_before bigint not null,
    register_state_after bigint not null,
    published_at timestamptz not null default clock_timestamp(),
    kept boolean not null default true,
    unique (period, number)
);

-- the pointer every mart view joins: one row per published period
create table control.published (
    period date primary key,
    build_id bigint not null,
    release_id text not null references control.release
);

-- the register state every reader of dim_citizen sees: one row
create table control.register_state (
    singleton boolean primary key default true check (singleton),
    state bigint not null
);
insert into control.register_state (state) values (0);

create table control.pointer_event (
    event_id bigint generated always as identity primary key,
    period date not null,
    kind text not null check (kind in ('publish', 'rollback')),
    from_release text references control.release,
    to_release text not null references control.release,
    who text not null,
    why text,
    at timestamptz not null default clock_timestamp()
);

-- periods the sweep and a bare release leave alone until their fingerprint, suites or waivers change
create table control.hold (
    period date primary key,
    kind text not null check (kind in ('rollback', 'blocked', 'rejected')),
    fingerprint text not null,
    gate_key text not null,
    build_id bigint references control.build,
    who text not null,
    why text,
    at timestamptz not null default clock_timestamp()
);

create table control.access_log (
    entry_id bigint generated always as identity primary key,
    who text not null default session_user,
    purpose text,
    object text not null,
    at timestamptz not null default clock_timestamp()
);

grant select, insert, update on control.load_attempt, control.extract, control.accepted to p06_loader;
grant select on control.build, control.build_extract, control.register_state to p06_loader;
grant select on all tables in schema control to p06_builder, p06_publisher;
grant insert, update on control.build, control.build_extract to p06_builder;
grant insert, update, delete on control.hold to p06_builder, p06_publisher;
grant insert, update on control.release, control.published, control.pointer_event, control.build to p06_publisher;
grant update on control.register_state to p06_publisher;
grant insert, update on control.backfill to p06_publisher;
grant select on control.backfill to p06_loader;
