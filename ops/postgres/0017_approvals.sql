-- Approvals: what asks for one, who answered, and the footnotes a release carries. Nothing is published past a gate.
set role p06_owner;

-- what gate 2 decided beside passed or blocked; empty until it was judged
alter table control.build add column approval text check (approval in ('none', 'asked'));
comment on column control.build.approval is 'Whether somebody must approve the build before it is published: none or asked; empty while not judged.';

-- one row per question, never changed and never removed; the newest of a build is the one that counts
create table control.approval_request (
    request_id bigint generated always as identity primary key,
    build_id bigint not null references control.build,
    period date not null,
    fingerprint text not null,
    gate_key text not null,
    asks jsonb not null,
    evidence jsonb not null,
    asked_by text not null,
    role text not null default session_user,
    asked_at timestamptz not null default clock_timestamp(),
    answer_by timestamptz not null,
    check (answer_by > asked_at)
);
create index on control.approval_request (build_id);
create index on control.approval_request (period);
comment on table control.approval_request is 'What waits, or waited, for a person: one build and its inputs.';
comment on column control.approval_request.asks is 'Why it is asked: the contracts and checks that want it.';
comment on column control.approval_request.evidence is 'The failing checks with their figures; never a value of a person.';
comment on column control.approval_request.answer_by is 'Nobody having answered until then, nothing is published; it can be asked again.';

-- one row per answer, never changed and never removed; written by quality.answer_approval alone
create table control.approval_answer (
    answer_id bigint generated always as identity primary key,
    request_id bigint not null unique references control.approval_request,
    build_id bigint not null references control.build,
    period date not null,
    fingerprint text not null,
    verdict text not null check (verdict in ('approve', 'reject')),
    who text not null,
    role text not null default session_user,
    via text not null check (via in ('cli', 'airflow', 'page')),
    why text,
    at timestamptz not null default clock_timestamp(),
    carried_from bigint references control.approval_answer
);
create index on control.approval_answer (build_id);
comment on table control.approval_answer is 'Who approved or rejected a build, when, why and by which way.';
comment on column control.approval_answer.who is 'The account of the operating system (cli) or of Airflow (airflow, page).';
comment on column control.approval_answer.role is 'The login of the database that wrote it.';
comment on column control.approval_answer.carried_from is 'The answer this one repeats: the same question about a build made again of the same inputs.';

-- one row per question, and what became of it; of a build only the newest counts
create view control.approval as
select
    r.request_id,
    r.build_id,
    r.period,
    r.fingerprint,
    r.gate_key,
    r.asks,
    r.evidence,
    r.asked_by,
    r.asked_at,
    r.answer_by,
    a.verdict,
    a.who,
    a.role,
    a.via,
    a.why,
    a.at,
    case
        when exists (
            select from control.approval_request as n where n.build_id = r.build_id and n.request_id > r.request_id
        ) then 'repeated'
        when b.state = 'published' then 'published'
        when a.verdict = 'reject' then 'rejected'
        -- an approved build whose register state is written anew is as good as built until it is judged again
        when b.state not in ('passed', 'built') or exists (
            select from control.build as n
            where n.period = b.period and n.build_id > b.build_id and n.state in ('built', 'passed', 'blocked', 'published')
        ) then 'overtaken'
        when a.verdict = 'approve' then 'approved'
        when r.answer_by <= clock_timestamp() then 'expired'
        else 'waiting'
    end as state
from control.approval_request as r
inner join control.build as b on b.build_id = r.build_id
left join control.approval_answer as a on a.request_id = r.request_id;
comment on view control.approval is 'Each question, its answer and its state: waiting, approved, rejected, expired, published; overtaken by another build, or repeated by a later question about the same.';

-- what quality officers read
create view quality.approval as
select
    request_id, build_id, period, state, asks, evidence, asked_by, asked_at, answer_by, verdict, who, role, via, why, at
from control.approval;
comment on view quality.approval is 'What waits for a quality officer, and what they answered · Việc chờ cán bộ chất lượng duyệt và câu trả lời';

-- The one way to answer. Raises P06-APPROVAL-001 when nothing waits under that number, 002 when it was answered already.
create function quality.answer_approval(request bigint, verdict text, who text, via text, why text)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    asked control.approval_request;
begin
    select r.* into asked from control.approval_request as r where r.request_id = request for update;
    if exists (select from control.approval_answer as a where a.request_id = request) then
        raise exception 'P06-APPROVAL-002 answered already' using errcode = 'unique_violation';
    end if;
    if not exists (select from control.approval as w where w.request_id = request and w.state = 'waiting') then
        raise exception 'P06-APPROVAL-001 nothing waits under this number' using errcode = 'no_data_found';
    end if;
    insert into control.approval_answer (request_id, build_id, period, fingerprint, verdict, who, via, why)
    values (request, asked.build_id, asked.period, asked.fingerprint, verdict, who, via, why);
    if verdict = 'reject' then
        insert into control.hold (period, kind, fingerprint, gate_key, build_id, who, why)
        values (asked.period, 'rejected', asked.fingerprint, asked.gate_key, asked.build_id, who, why)
        on conflict (period) do update set
            kind = excluded.kind, fingerprint = excluded.fingerprint, gate_key = excluded.gate_key,
            build_id = excluded.build_id, who = excluded.who, why = excluded.why, model_hash = null,
            at = clock_timestamp();
    end if;
end
$function$;
comment on function quality.answer_approval is 'Approve or reject what waits; a rejection holds the period as a block does.';

-- A build that was approved and then overtaken by another month's register is made again. The answer holds for it when
-- the question is the same one: month, inputs, suites, reasons and every figure of the evidence. Returns whether it did.
create function control.carry_approval(request bigint)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    insert into control.approval_answer (
        request_id, build_id, period, fingerprint, verdict, who, role, via, why, carried_from
    )
    select n.request_id, n.build_id, n.period, n.fingerprint, a.verdict, a.who, a.role, a.via, a.why, a.answer_id
    from control.approval_request as n
    inner join control.approval_request as o on o.request_id = (
        select max(e.request_id) from control.approval_request as e where e.period = n.period and e.request_id < n.request_id
    )
    inner join control.approval_answer as a on a.request_id = o.request_id and a.verdict = 'approve'
    inner join control.build as m on m.build_id = n.build_id
    inner join control.build as b on b.build_id = o.build_id and b.build_id < n.build_id and b.model_hash = m.model_hash
        and b.state in ('built', 'passed', 'dropping', 'dropped')
    where n.request_id = request
        and (o.fingerprint, o.gate_key, o.asks, o.evidence) = (n.fingerprint, n.gate_key, n.asks, n.evidence)
    on conflict (request_id) do nothing;
    return found;
end
$function$;
comment on function control.carry_approval is 'Repeat the answer to the same question about an earlier build of the same inputs.';

-- What a release says beside its figures. Written with the release; which ones readers see follows the pointer.
create table control.footnote (
    release_id text not null references control.release,
    number integer not null,
    period date not null,
    source text,
    mart text not null,
    indicator_code text,
    "check" text not null,
    dimension text not null,
    severity text not null,
    text_en text not null,
    text_vi text not null,
    observed text,
    threshold text,
    waived_by text,
    extract_period date,
    primary key (release_id, number)
);

-- Nothing becomes a release unless its gate and, where asked for, a person let it: no program can forget to look.
create function control.check_release()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    made control.build;
    approved control.approval_answer;
begin
    select b.* into made from control.build as b where b.build_id = new.build_id;
    if made.build_id is null or made.period <> new.period or made.fingerprint <> new.fingerprint
        or made.state <> 'passed' or made.approval is null or not control.passed_gate(made.build_id) then
        raise exception 'P06-RELEASE-004 the build has not passed its gate' using errcode = 'check_violation';
    end if;
    if made.approval = 'asked' then
        select a.* into approved
        from control.approval_answer as a
        where a.verdict = 'approve' and a.fingerprint = made.fingerprint and a.request_id = (
            select max(r.request_id) from control.approval_request as r where r.build_id = made.build_id
        );
        if approved.answer_id is null then
            raise exception 'P06-RELEASE-011 the build waits for approval' using errcode = 'check_violation';
        end if;
    end if;
    if new.approved_by is distinct from approved.who then
        raise exception 'P06-RELEASE-011 a release names who approved it' using errcode = 'check_violation';
    end if;
    return new;
end
$function$;

-- whether the last judgement of a build stands stored, and no check that blocks failed without a named waiver
create function control.passed_gate(build bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select coalesce(bool_and(c.success or c.severity <> 'block' or c.waived_by is not null), false)
        and count(*) filter (where c.run <> 'dbt:' || build) > 0
    from quality.check_result as c
    inner join control.build as b on b.build_id = c.build_id and b.period = c.period
    where c.build_id = build and c.run in (
        'dbt:' || build,
        (
            select l.run
            from quality.check_result as l
            where l.period = b.period and l.build_id = build and l.run like 'build:%'
            order by l.at desc
            limit 1
        )
    );
end;

create trigger gate_and_approval before insert on control.release
for each row execute function control.check_release();

-- the pointer names a release together with its own build and month
alter table control.release add constraint release_of_build unique (release_id, period, build_id);
alter table control.published add constraint published_release
foreign key (release_id, period, build_id) references control.release (release_id, period, build_id);

-- of a release only whether it is still kept ever changes
revoke update on control.release from p06_publisher;
grant update (kept) on control.release to p06_publisher;

grant select on control.approval_request, control.approval_answer, control.approval, control.footnote
to p06_builder, p06_publisher;
grant insert on control.approval_request to p06_builder;
grant execute on function control.carry_approval(bigint) to p06_builder;
grant execute on function control.passed_gate(bigint) to p06_publisher;
grant insert on control.footnote to p06_publisher;
grant select on quality.approval to p06_quality;
grant execute on function quality.answer_approval(bigint, text, text, text, text) to p06_quality;
