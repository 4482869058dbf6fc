-- one row per citizen and range of periods in which no published attribute changed
{%- set published = ['sex', 'birth_year', 'residence_commune_code', 'residence_province_code', 'status', 'has_id_card', 'eid_level'] %}

with
-- a reform gives another residence although no register row says so
resided as (
    select
        h.citizen_token,
        greatest(h.valid_from, a.valid_from) as valid_from,
        nullif(least(
            h.valid_to,
            case when a.valid_to <= date '{{ var("register_horizon") }}' then a.valid_to end
        ), 'infinity') as valid_to,
        h.sex,
        extract(year from h.birth_date)::integer as birth_year,
        coalesce(a.area_code, h.residence_code) as residence_commune_code,
        a.province_code as residence_province_code,
        h.status,
        h.has_id_card,
        h.eid_level,
        h.citizen_id,
        h.full_name,
        h.birth_date
    from {{ ref('int_affected') }} as c
    inner join {{ ref('citizen_history') }} as h on h.root_id = c.root_id and h.to_state is null
    left join {{ ref('int_area_code') }} as a
        on a.level = 'commune'
        and a.edition = h.residence_edition
        and a.code = h.residence_code
        and a.valid_from < coalesce(h.valid_to, 'infinity')
        and a.valid_to > h.valid_from
        and a.valid_from <= date '{{ var("register_horizon") }}'
),

changes as (
    select
        r.*,
        lag(r.valid_to) over citizen is not distinct from r.valid_from
        and lag(row(r.{{ published | join(', r.') }})) over citizen
            is not distinct from row(r.{{ published | join(', r.') }}) as continues
    from resided as r
    window citizen as (partition by r.citizen_token order by r.valid_from)
),

versions as (
    select
        c.*,
        count(*) filter (where not c.continues) over (partition by c.citizen_token order by c.valid_from) as version
    from changes as c
)

-- identity is that of the last register row inside the version
select distinct on (v.citizen_token, v.version)
    v.citizen_token,
    min(v.valid_from) over (partition by v.citizen_token, v.version) as valid_from,
    v.valid_to,
    v.{{ published | join(',\n    v.') }},
    v.citizen_id,
    v.full_name,
    v.birth_date
from versions as v
order by v.citizen_token, v.version, v.valid_from desc
