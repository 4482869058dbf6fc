-- What every area has become; and to which area lists the commune codes of an extract belong.
set role p06_owner;

alter table control.extract add column area_codes jsonb;
alter table control.replay add column area_codes jsonb;
comment on column control.extract.area_codes is 'Rows by the area lists their commune code belongs to: counts and days, never a code.';

-- one row per area and unit of today that holds it or a part of it
create view build.area_path as
with recursive
editions as (
    select
        edition,
        lead(edition, 1, 'infinity') over (order by edition) as next_edition
    from (
        select date '1900-01-01' as edition
        union
        select effective_date from build.area_change
    ) as days
),

path as (
    select
        a.level,
        a.code,
        a.valid_from,
        e.next_edition,
        a.code as today_code,
        true as is_default,
        null::date as changed_on
    from build.dim_area as a
    inner join editions as e on e.edition <= a.valid_from and a.valid_from < e.next_edition
    union all
    select
        p.level,
        p.code,
        p.valid_from,
        e.next_edition,
        coalesce(c.new_code, p.today_code),
        p.is_default and coalesce(c.is_default, true),
        case when c.new_code is null then p.changed_on else e.edition end
    from path as p
    inner join editions as e on e.edition = p.next_edition
    left join build.area_change as c
        on c.level = p.level
        and c.old_code = p.today_code
        and c.effective_date = e.edition
)

select
    level,
    code,
    valid_from,
    today_code,
    bool_or(is_default) as is_default,
    max(changed_on) as changed_on
from path
where next_edition = 'infinity'
group by level, code, valid_from, today_code;

-- one row per area (level, code, valid_from): what stands for it today, written whenever the area lists change
create table build.area_today (
    level text not null,
    code text not null,
    valid_from date not null,
    valid_to date,
    name text not null,
    today_code text,
    today_name text,
    today_province_code text,
    change text not null check (change in ('none', 'whole', 'split')),
    changed_on date,
    allocation_quality text not null check (allocation_quality in ('exact', 'default', 'unknown')),
    successors integer not null,
    split_predecessors integer not null,
    primary key (level, code, valid_from)
);

grant select on build.area_path, build.area_today to p06_builder, p06_publisher;
grant insert, update, delete on build.area_today to p06_builder;
