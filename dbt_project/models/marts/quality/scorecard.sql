-- one row per source, province (VN: the whole source) and measure of one of the six words; what a source cannot state has no row
-- depends on {{ ref('int_finding_bearer') }} {{ ref('int_match_id') }} {{ ref('int_match_late') }} {{ ref('int_area_in_period') }}
{%- for contract in contracts().values() %} {{ source('staging', contract['source']) }}{% endfor %}
{%- set received_sources = [] %}
{%- for contract in contracts().values() | sort(attribute='source') if received(contract['source']) %}
{%- do received_sources.append(contract) %}
{%- endfor %}
{%- set sums = scorecard_sums() %}
with
-- few rows: what was found on a row, and whether the number it states bears another name in the register
findings as materialized (
    select
        source,
        file_no,
        line,
        bool_or(kind in ('deceased_served', 'deceased_listed', 'deceased_holder_long')) as is_dead,
        bool_or(kind in ('number_two_people', 'old_number_two_people')) as is_shared,
        bool_or(kind = 'number_other_source') as is_elsewhere,
        bool_or(kind like 'register\_%') as is_double,
        bool_or(kind = 'other_name') as has_other_name
    from (
        select
            source,
            file_no,
            line,
            kind
        from {{ month(ref('identity_finding')) }} as found
        union all
        select
            source,
            file_no,
            line,
            'other_name'
        from {{ ref('int_finding_bearer') }}
        where led_by = 'citizen_id' and name_norm is distinct from bearer_name_norm
    ) as kinds
    group by source, file_no, line
),

added_up as materialized (
    {%- for contract in received_sources %}
    {{ 'union all' if not loop.first }}
    {{ scorecard_counts(contract) }}
    {%- else %}
    select
        null::text as source,
        null::text as province_code,
        null::integer as day_step,
        {%- for name in sums %}
        null::bigint as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    where false
    {%- endfor %}
),

-- the whole source counts also what lies in no province
by_province as (
    select
        source,
        case when grouping(province_code) = 0 then province_code else 'VN' end as province_code,
        {%- for name in sums %}
        sum({{ name }}) as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from added_up
    group by grouping sets ((source), (source, province_code))
),

matches as (
    select
        source,
        case when grouping(province_code) = 0 then province_code else 'VN' end as province_code,
        coalesce(sum(records) filter (where match_method not in ('none', 'conflict')), 0) as matched,
        sum(records) as records
    from {{ month(ref('match_summary')) }} as methods
    where source in ({% for contract in matched_sources() %}'{{ contract["source"] }}'{{ ', ' if not loop.last }}{% else %}null{% endfor %})
    group by grouping sets ((source), (source, province_code))
),

-- an extract speaks for its source as a whole: what was left out states no province
extracts as (
    select
        e.source,
        e.received,
        e.duplicates,
        e.quarantined,
        (
            select count(distinct (f.file_no, f.line))
            from {{ source('quality', 'failed_row') }} as f
            where f.extract = e.extract_id and f.reason = 'key_conflict'
        ) as key_conflicts,
        e.described,
        e.columns,
        e.has_legal_basis
    from (
        values
        (null::text, null::text, null::bigint, null::bigint, null::bigint, null::integer, null::integer, null::integer)
        {%- for contract in received_sources %}
        {%- set extract = var('extracts')[contract['source']] %},
        ('{{ contract["source"] }}', '{{ extract["extract_id"] }}', {{ extract['received'] }}, {{ extract['duplicates'] }}, {{ extract['quarantined'] }}, {{ contract['described'] }}, {{ contract['columns'] | length }}, {{ contract['has_legal_basis'] | int }})
        {%- endfor %}
    ) as e (source, extract_id, received, duplicates, quarantined, described, columns, has_legal_basis)
    where e.source is not null
),

-- of a state every commune has rows; of events or changes some months have none
communes as (
    {%- for contract in received_sources if contract['kind'] == 'state' and has_commune(contract) %}
    select
        '{{ contract["source"] }}' as source,
        a.area_code,
        a.province_code,
        bool_or(sent.code is not null) as is_named
    from {{ ref('int_area_in_period') }} as a
    left join (
        select distinct {{ contract['commune_column'] }} as code
        from {{ staged(contract['source']) }} as s
    ) as sent on sent.code = a.code
    where a.level = 'commune' and a.edition = {{ area_edition(contract['source']) }}
    group by a.area_code, a.province_code
    union all
    {%- endfor %}
    select null::text as source, null::text as area_code, null::text as province_code, null::boolean as is_named
    where false
),

communes_by_province as (
    select
        source,
        case when grouping(province_code) = 0 then province_code else 'VN' end as province_code,
        count(*) filter (where is_named) as named,
        count(*) as in_force
    from communes
    group by grouping sets ((source), (source, province_code))
),

shares as (
    select
        b.source,
        b.province_code,
        v.measure,
        v.numerator,
        v.denominator
    from by_province as b
    cross join lateral (
        values
        ('id_found', b.numbers_found, b.numbers),
        ('name_agrees', b.names_agree, b.numbers_found),
        ('birth_date_agrees', b.birth_dates_agree, b.numbers_found),
        ('sex_agrees', b.sexes_agree, b.numbers_found),
        ('number_fits_birth', b.numbers_fit_birth, b.numbers_dated),
        ('number_stated', b.numbered_rows, b.staged),
        ('fields_filled', b.fields_filled, b.fields),
        ('shared_numbers', b.numbers_shared, b.numbered_rows),
        ('register_doubles', b.register_doubles, b.staged),
        ('dead_listed', b.dead_listed, b.staged),
        ('codes_current', b.current_codes, b.coded_rows),
        ('residence_agrees', b.residences_agree, b.residences_compared),
        ('number_elsewhere', b.numbers_elsewhere, b.numbers)
    ) as v (measure, numerator, denominator)
    union all
    select
        source,
        province_code,
        'matched',
        matched,
        records
    from matches
    union all
    select
        source,
        province_code,
        'communes_named',
        named,
        in_force
    from communes_by_province
    union all
    select
        e.source,
        'VN',
        v.measure,
        v.numerator,
        v.denominator
    from extracts as e
    cross join lateral (
        values
        ('duplicate_rows', e.duplicates, e.received),
        ('quarantined_rows', e.quarantined, e.received),
        ('key_conflicts', e.key_conflicts, e.received),
        ('columns_described', e.described, e.columns),
        ('legal_basis_stated', e.has_legal_basis, 1)
    ) as v (measure, numerator, denominator)
),

-- the rows of a province up to each number of days, and all of them
waits as (
    select
        d.source,
        p.province_code,
        {{ days_of_step('d.day_step') }} as days,
        sum(sum(d.staged)) over (partition by d.source, p.province_code order by d.day_step) as rows_up_to,
        sum(sum(d.staged)) over (partition by d.source, p.province_code) as all_rows
    from added_up as d
    cross join lateral (values (d.province_code), ('VN')) as p (province_code)
    where d.day_step is not null and p.province_code is not null
    group by d.source, p.province_code, d.day_step
),

percentiles as (
    select
        source,
        province_code,
        case
            when source in ({% for contract in received_sources if contract['service_column'] %}'{{ contract["source"] }}', {% endfor %}'')
                then 'entry'
            else 'age'
        end as kind,
        min(days) filter (where rows_up_to * 2 >= all_rows) as p50,
        min(days) filter (where rows_up_to * 100 >= all_rows * 95) as p95,
        max(all_rows) as all_rows
    from waits
    group by source, province_code
),

measured as (
    select
        source,
        province_code,
        measure,
        numerator::bigint as numerator,
        denominator::bigint as denominator,
        round(numerator::numeric / denominator, 10) as value
    from shares
    where denominator > 0 and numerator is not null
    union all
    select
        source,
        province_code,
        kind || '_p50',
        null::bigint,
        all_rows::bigint,
        p50::numeric
    from percentiles
    union all
    select
        source,
        province_code,
        kind || '_p95',
        null::bigint,
        all_rows::bigint,
        p95::numeric
    from percentiles
),

defined as (
    select
        d.measure,
        d.word,
        d.unit
    from (
        values
        (null::text, null::text, null::text)
        {%- for one in (model.config.meta.measures if execute else []) %},
        ('{{ one.measure }}', '{{ one.word }}', '{{ one.unit }}')
        {%- endfor %}
    ) as d (measure, word, unit)
)

select
    {{ period() }} as period,
    m.source,
    m.province_code,
    d.word,
    m.measure,
    m.numerator,
    m.denominator,
    m.value::numeric(16, 10) as value,
    d.unit
from measured as m
left join defined as d on d.measure = m.measure
where m.province_code is not null
