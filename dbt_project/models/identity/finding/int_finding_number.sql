-- one row per record and kind: its number is someone else's, split by what disagrees; or it is that of a likely twin
{{ config(materialized='ephemeral') }}

with
disagreements as (
    select
        source,
        file_no,
        line,
        case
            when sex = bearer_sex then 'conflict_name_birth'
            when birth_date = bearer_birth_date then 'conflict_name_sex'
            when name_norm = bearer_name_norm then 'conflict_birth_sex'
            else 'conflict_all'
        end as kind
    from {{ ref('int_finding_bearer') }}
    where is_conflict
),

-- two of three agree between twins of one sex: such a row is matched, to the wrong one
twins as (
    select distinct
        b.source,
        b.file_no,
        b.line,
        'twin_number' as kind
    from {{ ref('int_finding_bearer') }} as b
    inner join {{ ref('int_register_number') }} as c
        on c.is_newest
        and c.name_norm = b.name_norm
        and c.birth_date = b.birth_date
        and c.sex = b.sex
        and c.residence_commune_code = b.bearer_commune_code
        and c.root_id <> b.root_id
    where b.may_be_twin
)

select
    source,
    file_no,
    line,
    kind
from disagreements
union all
select
    source,
    file_no,
    line,
    kind
from twins
