-- What each build counted, by a few codes: gate 2 compares a month with the months published before it.
set role p06_owner;

-- one row per build, mart, measure and key
create table quality.profile (
    period date not null,
    build_id bigint not null,
    mart text not null,
    measure text not null,
    key text not null,
    value numeric not null,
    primary key (build_id, mart, measure, key)
);
comment on table quality.profile is 'What a build counted under each key of a measure (rows by province, by code, by order of magnitude …), written when gate 2 judged it. Measure # names, as its key, the definition the counts were taken by.';

grant select, insert, delete on quality.profile to p06_builder;
grant select on quality.profile to p06_publisher, p06_quality;

alter table quality.check_result add column title_en text;
alter table quality.check_result add column title_vi text;
alter table quality.check_result add column reason_vi text;
alter table quality.check_result add column waiver_lapsed text;
comment on column quality.check_result.reason is 'Why the check is asked, in English; reason_vi in Vietnamese.';
comment on column quality.check_result.waived_by is 'Owner, end and reason of the waiver under which a failed check was let pass.';
comment on column quality.check_result.waiver_lapsed is 'Why a waiver of this check did not let it pass: expired, or exceeded.';
