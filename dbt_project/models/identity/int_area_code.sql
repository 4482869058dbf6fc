-- one row per level, area list a code may be sent under, code and range of periods: the area the code means then
{{ config(schema='build', materialized='kept_table', kept_while=var('area_lists')) }}

with recursive
areas as (
    select
        level,
        code,
        parent_code,
        valid_from,
        coalesce(valid_to, 'infinity') as valid_to
    from {{ source('reference', 'dim_area') }}
),

successors as (
    select
        level,
        old_code,
        new_code,
        effective_date,
        kind = 'split' as is_split
    from {{ source('reference', 'area_change') }}
    where is_default
),

editions as (
    select
        edition,
        lead(edition, 1, 'infinity') over (order by edition) as next_edition
    from (
        values (date '1900-01-01')
        {%- for day in var('area_editions') %}, (date '{{ day }}'){% endfor %}
    ) as days (edition)
),

read_as as (
    select
        areas.level,
        editions.edition,
        areas.code,
        editions.edition as at_edition,
        editions.next_edition,
        areas.code as area_code,
        false as is_default_successor
    from editions
    inner join areas on areas.valid_to > editions.edition and areas.valid_from < editions.next_edition
    union
    select
        r.level,
        r.edition,
        r.code,
        e.edition,
        e.next_edition,
        coalesce(s.new_code, r.area_code),
        r.is_default_successor or coalesce(s.is_split, false)
    from read_as as r
    inner join editions as e on e.edition = r.next_edition
    left join successors as s
        on s.level = r.level
        and s.old_code = r.area_code
        and s.effective_date = e.edition
),

parents as (
    select distinct on (a.level, a.code, e.edition)
        a.level,
        a.code,
        e.edition,
        coalesce(a.parent_code, a.code) as province_code
    from areas as a
    inner join editions as e on a.valid_to > e.edition and a.valid_from < e.next_edition
    order by a.level, a.code, e.edition, a.valid_from desc
)

-- An area is in force in a period when it is on the period's last day; a code sent under a list before that list
-- took effect is read as it stands.
select
    r.level,
    r.edition,
    r.code,
    case
        when r.at_edition = r.edition then '-infinity'
        else date_trunc('month', r.at_edition)::date
    end as valid_from,
    case
        when r.next_edition = 'infinity' then 'infinity'
        else date_trunc('month', r.next_edition)::date
    end as valid_to,
    r.area_code,
    r.at_edition as area_edition,
    p.province_code,
    r.is_default_successor
from read_as as r
left join parents as p
    on p.level = r.level
    and p.code = r.area_code
    and p.edition = r.at_edition
