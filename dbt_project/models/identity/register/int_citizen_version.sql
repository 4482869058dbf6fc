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
        h.eid_level,
        h.citizen_id,
        h.full_name,
        h.birth_date,
        date_trunc('month', h.id_card_issued_on)::date as card_from
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

-- a card dated ahead counts from the month whose last day reaches it, as in citizen_month
carded as (
    select
        r.citizen_token,
        p.valid_from,
        p.valid_to,
        r.sex,
        r.birth_year,
        r.residence_commune_code,
        r.residence_province_code,
        r.status,
        coalesce(r.card_from <= p.valid_from, false) as has_id_card,
        r.eid_level,
        r.citizen_id,
        r.full_name,
        r.birth_date
    from (
        select
            w.*,
            case
                when w.card_from > w.valid_from
                    and (w.valid_to is null or w.card_from < w.valid_to)
                    and w.card_from <= date '{{ var("register_horizon") }}'
                    then w.card_from
            end as split_on
        from resided as w
    ) as r
    cross join lateral (
        select
            r.valid_from,
            coalesce(r.split_on, r.valid_to) as valid_to
        union all
        select
            r.split_on,
            r.valid_to
        where r.split_on is not null
    ) as p
),

changes as (
    select
        r.*,
        lag(r.valid_to) over citizen is not distinct from r.valid_from
        and lag(row(r.{{ published | join(', r.') }})) over citizen
            is not distinct from row(r.{{ published | join(', r.') }}) as continues
    from carded as r
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
