-- one row per record that states an old nine-digit number of the register: how many citizens have it, and one of them
with
stated as (
    select
        source,
        file_no,
        line,
        old_id,
        birth_date
    from {{ ref('int_record') }}
    where old_id is not null
    union all
    select
        'population_register',
        file_no,
        line,
        old_id,
        birth_date
    from {{ ref('int_register_sent') }}
    where old_id is not null and record_op = 'upsert'
),

owners as (
    select
        old_id,
        count(*) as owners,
        min(root_id) as root_id
    from {{ ref('int_register_number') }}
    where is_newest and old_id in (select old_id from stated)
    group by old_id
)

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
