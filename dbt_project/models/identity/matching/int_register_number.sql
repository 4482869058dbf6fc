-- one row per number that leads to a citizen of the register as of the period; is_newest marks one row per citizen
with
citizens as not materialized (
    select
        h.root_id,
        h.citizen_token,
        h.citizen_id,
        h.name_norm,
        h.birth_date,
        h.sex,
        h.old_id,
        coalesce(a.area_code, h.residence_code) as residence_commune_code,
        a.province_code as residence_province_code,
        a.area_valid_from as residence_valid_from,
        coalesce(a.is_default_successor, false) as is_default_residence,
        h.status,
        h.death_date,
        h.id_card_issued_on,
        h.eid_level,
        h.valid_from
    from {{ ref('citizen_history') }} as h
    left join {{ ref('int_area_in_period') }} as a
        on a.level = 'commune'
        and a.edition = h.residence_edition
        and a.code = h.residence_code
    where {{ visible('h') }} and {{ valid_in_period('h') }}
),

joined_numbers as (
    select
        c.citizen_id,
        c.root_id,
        coalesce(c.superseded_from <= {{ period() }}, false) as is_superseded
    from {{ ref('citizen_root') }} as c
    where {{ visible('c') }}
),

-- numbers of one citizen that no row has superseded can be several: a hit on each is a hit
still_held as (
    select distinct on (j.citizen_id)
        j.citizen_id,
        j.root_id,
        r.is_removed
    from joined_numbers as j
    inner join {{ ref('register_row') }} as r on r.citizen_id = j.citizen_id
    inner join {{ ref('int_register_input') }} as i on i.extract_key = r.extract_key
    where not j.is_superseded and r.period <= {{ period() }}
    order by j.citizen_id, r.period desc
),

other_numbers as (
    select citizen_id, root_id, 'previous_id' as leads_by from joined_numbers where is_superseded
    union all
    select citizen_id, root_id, 'id' from still_held where not is_removed
)

select
    c.citizen_id,
    'id' as leads_by,
    true as is_newest,
    c.root_id,
    c.citizen_token,
    c.name_norm,
    c.birth_date,
    c.sex,
    c.old_id,
    c.residence_commune_code,
    c.residence_province_code,
    c.residence_valid_from,
    c.is_default_residence,
    c.status,
    c.death_date,
    c.id_card_issued_on,
    c.eid_level,
    c.valid_from
from citizens as c
union all
select
    o.citizen_id,
    o.leads_by,
    false as is_newest,
    c.root_id,
    c.citizen_token,
    c.name_norm,
    c.birth_date,
    c.sex,
    c.old_id,
    c.residence_commune_code,
    c.residence_province_code,
    c.residence_valid_from,
    c.is_default_residence,
    c.status,
    c.death_date,
    c.id_card_issued_on,
    c.eid_level,
    c.valid_from
from other_numbers as o
inner join citizens as c on c.root_id = o.root_id and c.citizen_id <> o.citizen_id
