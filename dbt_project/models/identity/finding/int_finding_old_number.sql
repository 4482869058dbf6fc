-- one row per record whose old nine-digit number is not plainly its citizen's own; how many citizens have it, and one of them
with
stated as (
    {%- for contract in matched_sources() %}
    select
        '{{ contract["source"] }}' as source,
        file_no,
        line,
        citizen_id,
        old_id,
        birth_date
    from {{ ref('stg_' ~ contract['source']) }}
    where old_id is not null
    union all
    {%- endfor %}
    select
        'population_register',
        file_no,
        line,
        citizen_id,
        old_id,
        birth_date
    from {{ ref('int_register_sent') }}
    where old_id is not null and record_op = 'upsert'
),

owners as (
    select
        old_id,
        count(*) as owners,
        min(root_id) as root_id,
        min(citizen_id) as citizen_id,
        min(birth_date) as birth_date
    from {{ ref('int_register_number') }}
    where is_newest and old_id in (select old_id from stated)
    group by old_id
)

-- the owner's own row states the owner's number, or no number and the owner's birth date
select
    s.source,
    s.file_no,
    s.line,
    s.old_id,
    s.birth_date,
    coalesce(o.owners, 0) as owners,
    o.root_id
from stated as s
left join owners as o on o.old_id = s.old_id
where
    o.owners is distinct from 1
    or s.citizen_id <> o.citizen_id
    or (s.citizen_id is null and s.birth_date <> o.birth_date)
