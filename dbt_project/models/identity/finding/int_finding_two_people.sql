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
    from {{ staged(contract['source']) }} as r
    inner join {{ suspects }} as s on s.{{ number }} = r.{{ number }}
    {%- if number == 'old_id' %} and s.source = '{{ contract["source"] }}'{% endif %}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- a person on a number counts once, however many rows; here: in the source, anywhere: in all of them
marked as (
    select
        s.*,
        (row_number() over (
            partition by s.kind, s.source, s.number, s.name_norm, s.birth_date order by s.file_no, s.line
        ) = 1)::integer as is_first_here,
        (row_number() over (
            partition by s.kind, s.number, s.name_norm, s.birth_date order by s.source, s.file_no, s.line
        ) = 1)::integer as is_first_anywhere
    from stated as s
),

-- of all people on a number, those that share neither name nor birth date with this one; windows, for the planner knows
-- nothing of these rows and would choose loops for joins
counted as (
    select
        m.*,
        sum(m.is_first_here) over (partition by m.kind, m.source, m.number)
        - sum(m.is_first_here) over (partition by m.kind, m.source, m.number, m.name_norm)
        - sum(m.is_first_here) over (partition by m.kind, m.source, m.number, m.birth_date)
        + 1 as others_here,
        sum(m.is_first_anywhere) over (partition by m.kind, m.number)
        - sum(m.is_first_anywhere) over (partition by m.kind, m.number, m.name_norm)
        - sum(m.is_first_anywhere) over (partition by m.kind, m.number, m.birth_date)
        + 1 as others_anywhere,
        first_value(m.file_no) over number_rows as first_file_no,
        first_value(m.line) over number_rows as first_line,
        first_value(m.name_norm) over number_rows as first_name,
        first_value(m.birth_date) over number_rows as first_birth,
        last_value(m.file_no) over number_rows as last_file_no,
        last_value(m.line) over number_rows as last_line,
        last_value(m.name_norm) over number_rows as last_name,
        last_value(m.birth_date) over number_rows as last_birth
    from marked as m
    window number_rows as (
        partition by m.kind, m.source, m.number
        order by m.file_no, m.line rows between unbounded preceding and unbounded following
    )
)

-- the row to compare with is the first that states the number, else the last
select
    source,
    file_no,
    line,
    case when others_here > 0 then kind else 'number_other_source' end as kind,
    case
        when others_here = 0 then null
        when name_norm <> first_name and birth_date <> first_birth then first_file_no
        when name_norm <> last_name and birth_date <> last_birth then last_file_no
    end as other_file_no,
    case
        when others_here = 0 then null
        when name_norm <> first_name and birth_date <> first_birth then first_line
        when name_norm <> last_name and birth_date <> last_birth then last_line
    end as other_line
from counted
where others_here > 0 or (kind = 'number_two_people' and not is_known and others_anywhere > 0)
