{# The words of the scorecard: what is counted of a source's rows. Measures are defined in models/marts/quality/_scorecard.yml. #}

{# What is added up over rows, by name; of a source that cannot state one it is null, and the measure has no row. #}
{% macro scorecard_sums() -%}
    {{ return(['staged', 'numbers', 'numbers_found', 'names_agree', 'birth_dates_agree', 'sexes_agree', 'numbers_dated',
               'numbers_fit_birth', 'numbered_rows', 'fields_filled', 'fields', 'coded_rows', 'current_codes',
               'residences_compared', 'residences_agree', 'dead_listed', 'numbers_shared', 'numbers_elsewhere',
               'register_doubles']) }}
{%- endmacro %}

{# Days between two days as a step of a ladder: exact up to ninety, then thirty at a time up to ten years; none are below 0.
   Rows are added up by step, so that no row is sorted for a percentile. #}
{% macro day_step(first, last) -%}
    {%- set steps = range(1, 92) | list + range(121, 3632, 30) | list -%}
    width_bucket({{ last }} - {{ first }}, array[{{ steps | join(', ') }}])
{%- endmacro %}

{# The days a step stands for: its upper end. #}
{% macro days_of_step(step) -%}
    case when {{ step }} <= 90 then {{ step }} else 90 + ({{ step }} - 90) * 30 end
{%- endmacro %}

{# The day of a moment in Vietnam. #}
{% macro day_in_vietnam(moment) -%}
    ({{ moment }} at time zone interval '7 hours')::date
{%- endmacro %}

{# Whether a column of the contract is in force in the period. #}
{% macro in_span(span) -%}
    {{ return(span[0] <= var('period') <= span[1]) }}
{%- endmacro %}

{#
    The rows of a source added up by province and days. One pass over the staged rows: a row's province is that of its
    commune, else the one it states, else that of the matched citizen's residence, as in the fact mart.
#}
{% macro scorecard_counts(contract) -%}
{%- set source_name = contract['source'] -%}
{%- set names = contract['columns'] | map(attribute='name') | list -%}
{%- set by_commune = has_commune(contract) -%}
{%- set by_province = has_province(contract) -%}
{%- set matched = contract['matched'] -%}
{%- set service = contract['service_column'] -%}
{%- set types = {} -%}
{%- for column in contract['columns'] -%}{%- do types.update({column['name']: column['type']}) -%}{%- endfor -%}
{%- set served_on = 's.' ~ service if types.get(service) == 'date' else day_in_vietnam('s.' ~ service) -%}
{%- set optional = [] -%}
{%- for column in contract['optional'] if in_span(column['span']) -%}{%- do optional.append('s.' ~ column['name']) -%}{%- endfor -%}
{%- set dated = contract['has_identity'] and 'citizen_id' in names and 'birth_date' in names -%}
{%- set numbers = [] -%}
{%- for name in ['citizen_id', 'old_id'] if name in names -%}{%- do numbers.append('s.' ~ name) -%}{%- endfor -%}
select
    '{{ source_name }}' as source,
    {% if by_commune or by_province -%}
    a.province_code
    {%- elif matched -%}
    coalesce(m.residence_province_code, l.residence_province_code) as province_code
    {%- else -%}
    null::text as province_code
    {%- endif %},
    {% if service and contract['has_update'] -%}
    {{ day_step(served_on, day_in_vietnam('s.updated_at')) }}
    {%- elif contract['has_update'] -%}
    {{ day_step(day_in_vietnam('s.updated_at'), as_of()) }}
    {%- else -%}
    null::integer
    {%- endif %} as day_step,
    count(*) as staged,
    {%- if matched and 'citizen_id' in names %}
    count(s.citizen_id) as numbers,
    count(m.sex_agrees) as numbers_found,
    count(m.sex_agrees) - count(*) filter (where f.has_other_name) as names_agree,
    count(*) filter (where m.birth_date_agrees) as birth_dates_agree,
    count(*) filter (where m.sex_agrees) as sexes_agree,
    {%- else %}
    null::bigint as numbers,
    null::bigint as numbers_found,
    null::bigint as names_agree,
    null::bigint as birth_dates_agree,
    null::bigint as sexes_agree,
    {%- endif %}
    {%- if dated %}
    count(s.birth_date) filter (where s.citizen_id is not null) as numbers_dated,
    count(*) filter (
        where date_part('year', s.birth_date) = 1900 + s.citizen_id / 100000000 % 10 / 2 * 100 + s.citizen_id / 1000000 % 100
    ) as numbers_fit_birth,
    {%- else %}
    null::bigint as numbers_dated,
    null::bigint as numbers_fit_birth,
    {%- endif %}
    {%- if matched and numbers %}
    count(*) filter (where num_nonnulls({{ numbers | join(', ') }}) > 0) as numbered_rows,
    {%- else %}
    null::bigint as numbered_rows,
    {%- endif %}
    {%- if optional %}
    sum(num_nonnulls({{ optional | join(', ') }})) as fields_filled,
    {{ optional | length }} * count(*) as fields,
    {%- else %}
    null::bigint as fields_filled,
    null::bigint as fields,
    {%- endif %}
    {%- if by_commune %}
    count(s.{{ contract['commune_column'] }}) as coded_rows,
    count(*) filter (where a.area_code = a.code and a.area_valid_from = a.sent_valid_from) as current_codes,
    {%- else %}
    null::bigint as coded_rows,
    null::bigint as current_codes,
    {%- endif %}
    {%- if by_commune and matched and contract['compared_commune'] %}
    count(*) filter (where m.residence_commune_code is not null and a.area_code is not null) as residences_compared,
    count(*) filter (where m.residence_commune_code = a.area_code) as residences_agree,
    {%- else %}
    null::bigint as residences_compared,
    null::bigint as residences_agree,
    {%- endif %}
    {%- if matched %}
    {{ "null::bigint" if contract['deceased'] == 'listed' else "count(*) filter (where f.is_dead)" }} as dead_listed,
    count(*) filter (where f.is_shared) as numbers_shared,
    count(*) filter (where f.is_elsewhere) as numbers_elsewhere,
    {%- else %}
    null::bigint as dead_listed,
    null::bigint as numbers_shared,
    null::bigint as numbers_elsewhere,
    {%- endif %}
    {{ "count(*) filter (where f.is_double)" if contract['kind'] == 'register' else "null::bigint" }} as register_doubles
from {{ staged(source_name) }} as s
{%- if matched %}
left join {{ ref('int_match_id') }} as m
    on m.source = '{{ source_name }}'
    and m.file_no = s.file_no
    and m.line = s.line
{%- if not (by_commune or by_province) %}
left join {{ ref('int_match_late') }} as l
    on l.source = '{{ source_name }}'
    and l.file_no = s.file_no
    and l.line = s.line
{%- endif %}
{%- endif %}
{%- if by_commune or by_province %}
left join {{ ref('int_area_in_period') }} as a
    on a.level = '{{ 'commune' if by_commune else 'province' }}'
    and a.edition = {{ area_edition(source_name) }}
    and a.code = s.{{ contract['commune_column'] if by_commune else contract['province_column'] }}
{%- endif %}
{%- if matched or contract['kind'] == 'register' %}
left join findings as f
    on f.source = '{{ source_name }}'
    and f.file_no = s.file_no
    and f.line = s.line
{%- endif %}
group by 2, 3
{%- endmacro %}
