-- What readers saw at a moment: each move of a pointer remembers the register state it left visible.
set role p06_owner;

alter table control.pointer_event add column register_state bigint;
comment on column control.pointer_event.register_state is 'The register state readers saw from this move on.';

-- Of moves made before: a release shows the state it was built on or wrote, and goes on from the one visible before it.
update control.pointer_event as e
set register_state = coalesce(
    case when e.kind = 'publish' then (
        select r.register_state_after from control.release as r where r.release_id = e.to_release
    ) end,
    (
        select r.register_state_before
        from control.pointer_event as n
        inner join control.release as r on r.release_id = n.to_release
        where n.event_id > e.event_id and n.kind = 'publish'
        order by n.event_id
        limit 1
    ),
    (select s.state from control.register_state as s)
);
alter table control.pointer_event alter column register_state set not null;

-- When readers saw what: a release from the moment its row names, other moves from their own.
create view control.pointer_move as
select
    e.event_id,
    e.period,
    e.to_release as release_id,
    r.build_id,
    r.kept,
    e.register_state,
    case when e.kind = 'publish' then r.published_at else e.at end as at
from control.pointer_event as e
inner join control.release as r on r.release_id = e.to_release;
comment on view control.pointer_move is 'Each move of a pointer: which release of which period readers saw from when on.';

-- one row per period: the release readers saw at that moment
create function control.published_at(moment timestamptz)
returns table (period date, release_id text, build_id bigint, kept boolean)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select distinct on (m.period) m.period, m.release_id, m.build_id, m.kept
    from control.pointer_move as m
    where m.at <= moment
    order by m.period, m.event_id desc;
end;
comment on function control.published_at is 'Per period the release readers saw at a moment.';

-- The register state readers saw at that moment; null before the first release.
create function control.register_state_at(moment timestamptz)
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select m.register_state
    from control.pointer_move as m
    where m.at <= moment
    order by m.event_id desc
    limit 1;
end;
comment on function control.register_state_at is 'The register state readers saw at a moment.';
