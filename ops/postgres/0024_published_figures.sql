-- Figures as reports print them, the numbers they state, and the targets of indicators; loaded from dbt_project/seeds.
set role p06_owner;

-- one row per printed figure
create table build.published_figure (
    figure_id text primary key,
    name_en text not null,
    name_vi text not null,
    printed text not null,
    parts_are_all boolean,
    readings text[] not null,
    unit text not null,
    document text not null,
    as_of date not null,
    as_of_is text not null check (as_of_is in ('stated', 'inferred')),
    period date not null,
    area_level text not null check (area_level in ('nation', 'province', 'district', 'commune')),
    area_code text not null,
    indicator_code text,
    note_en text,
    note_vi text,
    check (extract(day from period) = 1)
);

-- one row per printed number: its value, the range of values that are printed so, and the unit of its last digit
create table build.published_number (
    figure_id text not null references build.published_figure on delete cascade,
    role text not null check (role in ('total', 'part', 'numerator', 'denominator', 'percent', 'change')),
    place integer not null,
    printed text not null,
    value numeric not null,
    low numeric not null,
    high numeric not null,
    step numeric not null check (step > 0),
    primary key (figure_id, role, place),
    check (low <= value and value <= high),
    check (role = 'part' or place = 1)
);

-- one row per indicator that has a target
create table build.indicator_target (
    indicator_code text primary key,
    target numeric not null check (target between 0 and 1),
    "by" date not null,
    document text not null,
    note_en text,
    note_vi text
);

grant select, insert, update, delete
on build.published_figure, build.published_number, build.indicator_target
to p06_builder;
