-- What the pages show of the ledger: what arrived, what was refused, what each release was made of, which way pointers moved.
set role p06_owner;

-- one row per extract that was staged
create view quality.arrival as
select
    e.source,
    e.period,
    e.extract_id as extract,
    e.revision,
    e.state,
    a.extract_id is not null as accepted,
    e.produced_at,
    e.staged_at,
    e.accepted_at,
    e.contract_version,
    e.admin_code_version,
    e.received,
    e.duplicates,
    e.quarantined,
    e.staged
from control.extract as e
left join control.accepted as a on a.extract_id = e.extract_id;
comment on view quality.arrival is 'One row per extract that was staged: which revision, when it came, what became of its rows. Holds no names of files or folders.';

-- one row per delivery that was refused and did not become an extract
create view quality.refusal as
select
    t.source,
    t.period,
    t.state,
    t.started_at as at,
    array(
        select distinct m.value ->> 'code'
        from jsonb_array_elements(t.mismatches) as m
        where m.value ->> 'code' ~ '^P06-[A-Z]+-[0-9]{3}$'
        order by 1
    ) as codes
from control.load_attempt as t
where t.state = 'refused';
comment on view quality.refusal is 'One row per refusal, with the codes of its reasons (`p06 explain`). Holds no names of files or folders.';

-- one row per release and extract its build read
create view quality.release_extract as
select
    r.release_id,
    i.source,
    i.period,
    i.extract_id as extract
from control.release as r
inner join control.build_extract as i on i.build_id = r.build_id;
comment on view quality.release_extract is 'The extracts a release was built from; of the register also those of earlier months.';

-- one row per move of a pointer
create view quality.pointer_change as
select
    e.event_id,
    e.period,
    e.kind,
    e.from_release,
    e.to_release,
    e.who,
    e.why,
    e.at
from control.pointer_event as e;
comment on view quality.pointer_change is 'Each publication and each rollback: from which release to which, by whom and why.';

-- one row per period that is left alone
create view quality.held_period as
select
    h.period,
    h.kind,
    h.at
from control.hold as h;
comment on view quality.held_period is 'Periods the sweep leaves alone until their inputs, suites or waivers change: blocked, failed, rejected or rolled back.';

grant select on quality.arrival, quality.refusal, quality.release_extract, quality.pointer_change, quality.held_period to p06_quality;
