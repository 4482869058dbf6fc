{# Each test looks at the rows of this build alone: get_where_subquery gives it those. #}

{# No two rows have the same values in these columns. #}
{% test unique_grain(model, columns) %}
select {{ columns | join(', ') }}
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

{# None of these columns is empty. #}
{% test complete(model, columns) %}
select 1 as missing
from {{ model }}
where num_nulls({{ columns | join(', ') }}) > 0
{% endtest %}

{# The column holds one of these values. #}
{% test one_of(model, column, values) %}
select 1 as other
from {{ model }}
where {{ column }} is null or {{ column }} not in ('{{ values | join("', '") }}')
{% endtest %}

{# The condition holds for every row. #}
{% test always_true(model, condition) %}
select 1 as broken
from {{ model }}
where not coalesce({{ condition }}, false)
{% endtest %}

{# Ranges of one key do not overlap. #}
{% test ranges_apart(model, key) %}
select 1 as overlapping
from (
    select
        valid_from,
        valid_to,
        lead(valid_from) over (partition by {{ key }} order by valid_from) as next_from
    from {{ model }}
) as ranges
where valid_to <= valid_from or next_from < coalesce(valid_to, 'infinity')
{% endtest %}

{# Each citizen named has a version of dim_citizen valid in the period. #}
{% test in_register(model, column) %}
select 1 as unknown
from {{ model }} as m
left join {{ get_where_subquery(ref('dim_citizen')) }} as d
    on d.citizen_token = m.{{ column }} and {{ valid_in_period('d') }}
where m.{{ column }} is not null and d.citizen_token is null
{% endtest %}

{# Each source received for the period stands in the column. #}
{% test received_sources_stand(model, column) %}
select 1 as absent
from (
    select null::text as source
    {%- for source_name in var('extracts') %}
    union all select '{{ source_name }}'
    {%- endfor %}
) as received
left join {{ model }} as m on m.{{ column }} = received.source
where received.source is not null and m.{{ column }} is null
{% endtest %}

{# The sums by source are the published rows of the reconciliation. #}
{% test sums_to_published(model, column, by) %}
select 1 as unequal
from {{ get_where_subquery(ref('reconciliation')) }} as r
left join (
    select {{ by }} as source, sum({{ column }}) as total from {{ model }} group by {{ by }}
) as m on m.source = r.source
where r.published is not null and coalesce(m.total, 0) <> r.published
{% endtest %}

{# Over the areas of a level, no indicator counts more than the nation does, but for parcels sent under two areas. #}
{% test parts_within_nation(model, level) %}
select 1 as exceeding
from (
    select
        indicator_code,
        sum(denominator) filter (where area_level = '{{ level }}') as parts,
        sum(denominator) filter (where area_level = 'nation') as nation
    from {{ model }}
    where indicator_code <> 'land_clean_rate'
    group by indicator_code
) as sums
where parts > nation or nation is null
{% endtest %}

{# Restated communes hold what the communes of the period hold, but for parcels sent under two communes. #}
{% test communes_kept(model) %}
select 1 as unequal
from (
    select
        indicator_code,
        sum(numerator) as numerator,
        sum(denominator) as denominator
    from {{ model }}
    where indicator_code <> 'land_clean_rate'
    group by indicator_code
) as restated
full join (
    select
        indicator_code,
        sum(numerator) as numerator,
        sum(denominator) as denominator
    from {{ get_where_subquery(ref('indicator')) }} as figures
    where area_level = 'commune' and indicator_code <> 'land_clean_rate'
    group by indicator_code
) as reported on reported.indicator_code = restated.indicator_code
where (restated.numerator, restated.denominator) is distinct from (reported.numerator, reported.denominator)
{% endtest %}
