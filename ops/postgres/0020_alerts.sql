-- The outbox of alerts, and how long an analyst's statement may run.

-- An analyst may ask for more (set statement_timeout); nobody is to keep a core busy by forgetting a where clause.
do $$ begin
    execute format('alter role p06_analyst in database %I set statement_timeout = %L', current_database(), '10min');
    execute format('alter role p06_identified in database %I set statement_timeout = %L', current_database(), '10min');
end $$;

set role p06_owner;

-- one row per event somebody is to hear of, written in the transaction of the event
create table control.alert (
    alert_id bigint generated always as identity primary key,
    kind text not null check (kind ~ '^[a-z][a-z_]{0,62}$'),
    about text not null,
    source text,
    period date,
    facts jsonb not null default '{}',
    noted_at timestamptz not null default clock_timestamp(),
    addressed_at timestamptz,
    unique (kind, about)
);
create index on control.alert (alert_id) where addressed_at is null;
comment on table control.alert is 'Events to tell, each once whatever is tried again. about names the event; facts are names, codes and counts, never a value of a person or a figure of a check.';
comment on column control.alert.addressed_at is 'When it was settled who is to hear of it.';

-- one row per alert and recipient
create table control.alert_delivery (
    alert_id bigint not null references control.alert on delete cascade,
    channel text not null,
    recipient text not null,
    attempts integer not null default 0,
    next_at timestamptz not null default clock_timestamp(),
    sent_at timestamptz,
    given_up_at timestamptz,
    failure text,
    primary key (alert_id, channel, recipient)
);
create index on control.alert_delivery (next_at) where sent_at is null and given_up_at is null;
comment on column control.alert_delivery.failure is 'Kind of the last failure; never what the receiver said.';

grant select, insert on control.alert to p06_loader, p06_builder, p06_publisher;
grant update (addressed_at) on control.alert to p06_publisher;
grant select, insert, update on control.alert_delivery to p06_publisher;
