-- one row per record and kind: another record states its number for evidently another person, of another name and birth date
with
-- whoever agrees with the register is its bearer: of two people on one number one does not, or the register knows neither
suspected as (
    select
        citizen_id,
        false as is_known
    from {{ ref('int_match_id') }}
    where match_method is null and citizen_id is not null
    union
    select
        citizen_id,
        true
    from {{ ref('int_finding_bearer') }}
    where led_by = 'citizen_id' and is_conflict
),

-- of an old number with one owner only the others' rows are at hand
suspected_old as (
    select
        source,
        old_id
    from {{ ref('int_finding_old_number') }}
    where source <> 'population_register'
    group by source, old_id
    having max(owners) = 1 or min(birth_date) <> max(birth_date)
),

stated as (
    {%- for contract in matched_sources() %}
    {%- for number, suspects in [('citizen_id', 'suspected'), ('old_id', 'suspected_old')] %}
    select
        '{{ contract["source"] }}' as source,
        r.file_no,
        r.line,
        '{{ 'number_two_people' if number == 'citizen_id' else 'old_number_two_people' }}' as kind,
        r.{{ number }}::text as number,
        {{ 's.is_known' if number == 'citizen_id' else 'true' }} as is_known,
        {{ normalised_name('r.full_name') }} as name_norm,
        r.birth_date
    from {{ ref('stg_' ~ contract['source']) }} as r
    inner join {{ suspects }} as s on s.{{ number }} = r.{{ number }}
    {%- if number == 'old_id' %} and s.source = '{{ contract["source"] }}'{% endif %}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- of the people on a number, those that share neither name nor birth date with one of them
people as (
    select
        p.*,
        count(*) over (partition by p.kind, p.source, p.number)
        - count(*) over (partition by p.kind, p.source, p.number, p.name_norm)
        - count(*) over (partition by p.kind, p.source, p.number, p.birth_date)
        + 1 as others
    from (select distinct kind, source, number, name_norm, birth_date from stated) as p
),

people_anywhere as (
    select
        p.*,
        count(*) over (partition by p.number)
        - count(*) over (partition by p.number, p.name_norm)
        - count(*) over (partition by p.number, p.birth_date)
        + 1 as others
    from (
        select distinct
            number,
            name_norm,
            birth_date
        from stated
        where kind = 'number_two_people' and not is_known
    ) as p
),

-- the row to compare with is the first that states the number, else the last
placed as (
    select
        s.*,
        first_value(s.file_no) over number_rows as first_file_no,
        first_value(s.line) over number_rows as first_line,
        first_value(s.name_norm) over number_rows as first_name,
        first_value(s.birth_date) over number_rows as first_birth,
        last_value(s.file_no) over number_rows as last_file_no,
        last_value(s.line) over number_rows as last_line,
        last_value(s.name_norm) over number_rows as last_name,
        last_value(s.birth_date) over number_rows as last_birth
    from stated as s
    window number_rows as (
        partition by s.kind, s.source, s.number
        order by s.file_no, s.line rows between unbounded preceding and unbounded following
    )
)

select
    s.source,
    s.file_no,
    s.line,
    s.kind,
    case
        when s.name_norm <> s.first_name and s.birth_date <> s.first_birth then s.first_file_no
        when s.name_norm <> s.last_name and s.birth_date <> s.last_birth then s.last_file_no
    end as other_file_no,
    case
        when s.name_norm <> s.first_name and s.birth_date <> s.first_birth then s.first_line
        when s.name_norm <> s.last_name and s.birth_date <> s.last_birth then s.last_line
    end as other_line
from placed as s
inner join people as p
    on p.kind = s.kind
    and p.source = s.source
    and p.number = s.number
    and p.name_norm = s.name_norm
    and p.birth_date = s.birth_date
where p.others > 0
union all
select
    s.source,
    s.file_no,
    s.line,
    'number_other_source',
    null,
    null
from stated as s
inner join people as p
    on p.kind = s.kind
    and p.source = s.source
    and p.number = s.number
    and p.name_norm = s.name_norm
    and p.birth_date = s.birth_date
inner join people_anywhere as a
    on a.number = s.number
    and a.name_norm = s.name_norm
    and a.birth_date = s.birth_date
where s.kind = 'number_two_people' and not s.is_known and p.others = 0 and a.others > 0
