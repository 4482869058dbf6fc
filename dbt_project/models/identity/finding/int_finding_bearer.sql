-- one row per record whose number leads to someone of the register with another name, or who is no match; and to whom
with
doubted as (
    select
        source,
        file_no,
        line,
        'citizen_id' as led_by,
        match_method = 'conflict' as is_conflict
    from {{ ref('int_match_id') }}
    where match_method = 'conflict' or name_differs
    union all
    select
        source,
        file_no,
        line,
        'old_id',
        true
    from {{ ref('int_match_late') }}
    where match_method = 'conflict'
),

-- source by source: the planner knows how many rows each has, and nothing of their union
stated as (
    {%- for contract in matched_sources() %}
    {{ 'union all' if not loop.first }}
    select
        d.source,
        d.file_no,
        d.line,
        d.led_by,
        d.is_conflict,
        r.citizen_id,
        r.old_id,
        {{ normalised_name('r.full_name') }} as name_norm,
        r.birth_date,
        r.sex
    from doubted as d
    inner join {{ ref('stg_' ~ contract['source']) }} as r
        on r.file_no = d.file_no
        and r.line = d.line
    where d.source = '{{ contract["source"] }}'
    {%- endfor %}
),

led as (
    select
        s.*,
        n.root_id,
        n.name_norm as bearer_name_norm,
        n.birth_date as bearer_birth_date,
        n.sex as bearer_sex,
        n.residence_commune_code as bearer_commune_code
    from stated as s
    inner join {{ ref('int_register_number') }} as n on n.citizen_id = s.citizen_id
    where s.led_by = 'citizen_id'
    union all
    select
        s.*,
        n.root_id,
        n.name_norm,
        n.birth_date,
        n.sex,
        n.residence_commune_code
    from stated as s
    inner join {{ ref('int_register_number') }} as n on n.is_newest and n.old_id = s.old_id
    where s.led_by = 'old_id'
)

-- may_be_twin stands here because the planner knows how often a column is true, and not how often such a condition holds
select
    source,
    file_no,
    line,
    led_by,
    is_conflict,
    citizen_id,
    name_norm,
    birth_date,
    sex,
    root_id,
    bearer_name_norm,
    bearer_birth_date,
    bearer_sex,
    bearer_commune_code,
    led_by = 'citizen_id'
    and birth_date = bearer_birth_date
    and name_norm <> bearer_name_norm
    and split_part(name_norm, ' ', 1) = split_part(bearer_name_norm, ' ', 1) as may_be_twin
from led
where is_conflict or name_norm is distinct from bearer_name_norm
