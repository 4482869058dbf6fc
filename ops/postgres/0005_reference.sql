-- Areas as the code lists state them, and what the register's history needs from the database.
set role p06_owner;

-- one row per (level, code, valid_from)
create table build.dim_area (
    level text not null,
    code text not null,
    valid_from date not null,
    valid_to date,
    name text not null,
    parent_code text,
    district_code text,
    primary key (level, code, valid_from)
);

-- one row per edge from an old unit to a new one
create table build.area_change (
    level text not null,
    old_code text not null,
    new_code text not null,
    effective_date date not null,
    kind text not null,
    weight numeric,
    is_default boolean not null,
    primary key (level, old_code, new_code, effective_date)
);

-- which content of a code list the two tables hold
create table build.reference_list (
    name text primary key,
    sha256 text not null
);

grant select, insert, update, delete on build.dim_area, build.area_change, build.reference_list to p06_builder;
grant select on build.dim_area, build.area_change to p06_publisher;

-- register extracts whose rows vault.register_row holds; the key names the extract and how many rows it staged
create table vault.register_extract (
    extract_key bigint primary key,
    extract_id text not null,
    period date not null
);

-- what each register state was written from: 'rows' up to its horizon, 'links' all accepted
create table vault.register_state_extract (
    state bigint not null,
    part text not null check (part in ('rows', 'links')),
    extract_key bigint not null,
    primary key (state, part, extract_key)
);

-- the models and area lists a register state was written with: others, and everyone is written anew
create table vault.register_state_code (
    state bigint primary key,
    code_hash text not null
);

grant select, insert, update, delete
on vault.register_extract, vault.register_state_extract, vault.register_state_code
to p06_builder;

-- Joins numbers that are linked, however long or wide the chain: the smallest number is passed on until nothing moves.
create function vault.linked_numbers(numbers bigint[], previous_numbers bigint[])
returns table (citizen_id bigint, group_id bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    moved bigint;
begin
    create temporary table linked_edge on commit drop as
    select l.a, l.b from unnest(numbers, previous_numbers) as l (a, b)
    union
    select l.b, l.a from unnest(numbers, previous_numbers) as l (a, b);
    create temporary table linked_group on commit drop as
    select distinct e.a as number, e.a as least_number from pg_temp.linked_edge as e;
    create unique index on pg_temp.linked_group (number);
    analyze pg_temp.linked_edge, pg_temp.linked_group;
    loop
        update pg_temp.linked_group as g
        set least_number = m.least_number
        from (
            select e.a as number, min(n.least_number) as least_number
            from pg_temp.linked_edge as e
            inner join pg_temp.linked_group as n on n.number = e.b
            group by e.a
        ) as m
        where m.number = g.number and m.least_number < g.least_number;
        get diagnostics moved = row_count;
        exit when moved = 0;
        -- a long chain halves with every round
        update pg_temp.linked_group as g
        set least_number = n.least_number
        from pg_temp.linked_group as n
        where n.number = g.least_number and n.least_number < g.least_number;
    end loop;
    return query select g.number, g.least_number from pg_temp.linked_group as g;
    drop table pg_temp.linked_edge, pg_temp.linked_group;
end
$$;
grant execute on function vault.linked_numbers(bigint[], bigint[]) to p06_builder;
