-- Who sees and decides what on the pages behind Airflow's login. A person or a province is a row here, never code.
set role p06_owner;

-- one row per entry, never changed and never removed; the newest of an account, duty and province is in force
create table control.duty_entry (
    entry_id bigint generated always as identity primary key,
    account text not null check (account ~ '^[[:alnum:]_.@-]{1,100}$'),
    duty text not null check (duty in ('reader', 'steward')),
    province text check (province ~ '^[0-9]{2}$'),
    since date,
    given boolean not null,
    who text not null check (length(who) between 1 and 100),
    role text not null default session_user,
    why text check (length(why) <= 500),
    at timestamptz not null default clock_timestamp(),
    check ((province is null) = (since is null))
);
create index on control.duty_entry (account, duty);
comment on table control.duty_entry is 'Duties given to accounts of Airflow and taken back. reader: pages of a province; steward: pairs to decide. Approvals are P06_OFFICERS.';
comment on column control.duty_entry.province is 'Code of the province; empty: the whole nation.';
comment on column control.duty_entry.since is 'First day of the area the code names; with the code its key in dim_area: a code may mean another province later.';

-- one row per duty in force
create view quality.duty as
select account, duty, province, since, who, why, at
from (
    select distinct on (account, duty, province, since) *
    from control.duty_entry
    order by account, duty, province, since, entry_id desc
) as newest
where given;
comment on view quality.duty is 'Who reads or decides for which province, or for the nation (province empty) · Ai xem hoặc quyết định cho tỉnh nào, hay toàn quốc (để trống tỉnh)';

-- one row per duty of a province and area it reaches: the province today, and every unit that became it
create view quality.duty_area as
select distinct d.account, d.duty, reached.code, reached.valid_from
from quality.duty as d
inner join build.area_today as held
    on held.level = 'province' and held.code = d.province and held.valid_from = d.since
inner join build.area_today as reached on reached.level = 'province' and reached.today_code = held.today_code;
comment on view quality.duty_area is 'Provinces a duty reaches, by code and first day: that of today and those that became it · Các tỉnh thuộc phạm vi: tỉnh hiện nay và các tỉnh đã nhập vào';

-- The province of each standing pair: where the register has the citizen in the newest month of the pair. Rows of
-- people the published register does not know have no province, and are the nation's stewards'.
create function steward.pair_province()
returns table (pair text, province text, since date)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass('build.dim_citizen') is null then
        return;
    end if;
    return query
    select distinct on (s.pair) s.pair, a.code, a.valid_from
    from vault.steward_standing as s
    left join build.dim_citizen as c
        on c.citizen_token = s.citizen_token
        and c.from_state <= s.register_state and (c.to_state is null or c.to_state > s.register_state)
        and c.valid_from <= s.period and (c.valid_to is null or c.valid_to > s.period)
    left join build.dim_area as a
        on a.level = 'province' and a.code = c.residence_province_code
        and a.valid_from <= s.period and (a.valid_to is null or a.valid_to > s.period)
    order by s.pair, s.period desc;
end $$;
comment on function steward.pair_province is 'Pair -> province of the citizen''s residence, by code and first day; empty when not known.';
revoke all on function steward.pair_province() from public;

grant select on quality.duty, quality.duty_area to p06_quality;
grant execute on function steward.pair_province() to p06_steward;
