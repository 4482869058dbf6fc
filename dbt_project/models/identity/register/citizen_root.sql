-- one row per number that is joined to another, and register state
{{ config(materialized='system_versioned', key=['citizen_id'], indexed=[['citizen_id'], ['root_id']], contract={'enforced': true}) }}

with recursive
links as (
    select
        r.citizen_id,
        r.previous_citizen_id,
        min(r.period) as stated_in
    from {{ ref('register_row') }} as r
    inner join {{ ref('int_register_input') }} as i on i.extract_key = r.extract_key
    where r.previous_citizen_id is not null and r.previous_citizen_id <> r.citizen_id
    group by r.citizen_id, r.previous_citizen_id
),

persons as (
    select
        n.citizen_id,
        n.group_id
    from vault.linked_numbers(
        (select array_agg(citizen_id order by citizen_id, previous_citizen_id) from links),
        (select array_agg(previous_citizen_id order by citizen_id, previous_citizen_id) from links)
    ) as n
),

-- the number that states no previous one; the smallest of several, or of all in a circle
roots as (
    select
        p.group_id,
        count(distinct p.citizen_id)::integer as numbers,
        coalesce(min(p.citizen_id) filter (where l.citizen_id is null), min(p.citizen_id)) as root_id
    from persons as p
    left join (select distinct citizen_id from links) as l on l.citizen_id = p.citizen_id
    group by p.group_id
),

-- How many numbers stand before one. A chain is shorter than its group; who comes by more steps stands in a circle or
-- behind one, and all of those count alike. Beyond a hundred steps nothing is told apart.
steps as (
    select
        p.citizen_id,
        0 as depth,
        r.numbers
    from persons as p
    inner join roots as r on r.group_id = p.group_id
    where p.citizen_id = r.root_id or not exists (select 1 from links as l where l.citizen_id = p.citizen_id)
    union
    select
        l.citizen_id,
        s.depth + 1,
        s.numbers
    from steps as s
    inner join links as l on l.previous_citizen_id = s.citizen_id
    where s.depth < least(2 * s.numbers, 200)
),

depths as (
    select
        citizen_id,
        least(max(depth), max(numbers), 100) as depth
    from steps
    group by citizen_id
),

superseded as (
    select
        previous_citizen_id as citizen_id,
        min(stated_in) as superseded_from
    from links
    group by previous_citizen_id
)

select
    p.citizen_id,
    r.root_id,
    s.superseded_from,
    coalesce(d.depth, 100) as depth
from persons as p
inner join roots as r on r.group_id = p.group_id
left join depths as d on d.citizen_id = p.citizen_id
left join superseded as s on s.citizen_id = p.citizen_id
