-- one row per citizen, range of periods in which nothing about the citizen changed, and register state
{{ config(materialized='system_versioned', key=['root_id', 'valid_from'], scope='root_id', indexed=[['root_id']], indexed_rows={'card_dated_ahead': "(id_card_issued_on) where id_card_issued_on >= valid_from + interval '1 month'"}, contract={'enforced': true}) }}

{#- The name as sent stands here beside its normalised form, because identified.dim_citizen shows the last one sent
inside each of its versions. Versions that readers see know no names, and matching compares the normalised form. #}
{%- set attributes = [
    'citizen_id', 'full_name', 'name_norm', 'birth_date', 'sex', 'old_id', 'residence_code', 'residence_edition', 'status',
    'death_date', 'id_card_issued_on', 'eid_level',
] %}

with
-- every number of the affected citizens; a joined number belongs to its root alone, and is known to be superseded
-- once the month that says so is within the horizon
numbers as (
    select
        a.root_id,
        a.citizen_token,
        a.root_id as citizen_id,
        null::date as superseded_from,
        0 as depth,
        false as is_joined
    from {{ ref('int_affected') }} as a
    where not exists (
        select 1 from {{ ref('citizen_root') }} as c where c.citizen_id = a.root_id and c.to_state is null
    )
    union all
    select
        a.root_id,
        a.citizen_token,
        c.citizen_id,
        case when c.superseded_from <= date '{{ var("register_horizon") }}' then c.superseded_from end,
        c.depth,
        true
    from {{ ref('int_affected') }} as a
    inner join {{ ref('citizen_root') }} as c on c.root_id = a.root_id and c.to_state is null
),

sent as (
    select
        n.root_id,
        n.citizen_token,
        n.is_joined,
        n.superseded_from,
        n.depth,
        r.period,
        lead(r.period) over (partition by r.citizen_id order by r.period) as next_period,
        min(r.period) over (partition by r.citizen_id) as first_period,
        r.is_removed,
        r.citizen_id,
        r.full_name,
        r.name_norm,
        r.birth_date,
        r.sex,
        r.old_id,
        r.residence_commune_code as residence_code,
        i.area_edition as residence_edition,
        r.status,
        r.death_date,
        r.id_card_issued_on,
        r.eid_level
    from numbers as n
    inner join {{ ref('register_row') }} as r on r.citizen_id = n.citizen_id
    inner join {{ ref('int_register_input') }} as i on i.extract_key = r.extract_key and i.gives_rows
),

-- a number is held from its row to its next one, until it is removed or another row states it as previous
held as (
    select
        s.*,
        s.period as valid_from,
        least(s.next_period, s.superseded_from) as valid_to
    from sent as s
    where not s.is_removed and (s.superseded_from is null or s.superseded_from > s.period)
),

joined_days as (
    select root_id, valid_from as day from held where is_joined
    union
    select root_id, valid_to from held where is_joined and valid_to is not null
),

joined_ranges as (
    select
        root_id,
        day as valid_from,
        lead(day) over (partition by root_id order by day) as valid_to
    from joined_days
),

-- the state of a citizen with several numbers is that of the newest number still held: the one furthest along the
-- chain, then the one that appeared last, then the greatest
states as (
    select
        h.root_id,
        h.citizen_token,
        h.valid_from,
        h.valid_to,
        h.{{ attributes | join(',\n        h.') }}
    from held as h
    where not h.is_joined
    union all
    (
        select distinct on (j.root_id, j.valid_from)
            h.root_id,
            h.citizen_token,
            j.valid_from,
            j.valid_to,
            h.{{ attributes | join(',\n            h.') }}
        from joined_ranges as j
        inner join held as h
            on h.root_id = j.root_id
            and h.valid_from <= j.valid_from
            and (h.valid_to is null or h.valid_to > j.valid_from)
        where h.is_joined
        order by j.root_id, j.valid_from, h.depth desc, h.first_period desc, h.citizen_id desc
    )
),

changes as (
    select
        s.*,
        lag(s.valid_to) over citizen is not distinct from s.valid_from
        and lag(row(s.{{ attributes | join(', s.') }})) over citizen
            is not distinct from row(s.{{ attributes | join(', s.') }}) as continues
    from states as s
    window citizen as (partition by s.root_id order by s.valid_from)
),

versions as (
    select
        c.*,
        count(*) filter (where not c.continues) over (partition by c.root_id order by c.valid_from) as version
    from changes as c
)

select distinct on (v.root_id, v.version)
    v.root_id,
    v.citizen_token,
    min(v.valid_from) over (partition by v.root_id, v.version) as valid_from,
    v.valid_to,
    v.{{ attributes | join(',\n    v.') }}
from versions as v
order by v.root_id, v.version, v.valid_from desc
