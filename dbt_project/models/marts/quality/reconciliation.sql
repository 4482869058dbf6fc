-- one row per source received for the period
with
stated as (
    select
        s.source,
        s.revision,
        s.received,
        s.duplicates,
        s.quarantined,
        s.staged
    from (
        values
        (null::text, null::integer, null::bigint, null::bigint, null::bigint, null::bigint)
        {%- for source_name, extract in var('extracts').items() %},
        ('{{ source_name }}', {{ extract['revision'] }}, {{ extract['received'] }}, {{ extract['duplicates'] }}, {{ extract['quarantined'] }}, {{ extract['staged'] }})
        {%- endfor %}
    ) as s (source, revision, received, duplicates, quarantined, staged)
    where s.source is not null
),

published_rows as (
    {%- for contract in fact_sources() %}
    {{ 'union all' if not loop.first }}
    select
        '{{ contract["source"] }}' as source,
        count(*) filter (where match_method not in ('none', 'conflict')) as matched,
        count(*) filter (where match_method = 'conflict') as conflicting,
        count(*) filter (where match_method = 'none') as unmatched,
        count(*) as published
    from {{ month(ref(contract['mart'])) }} as facts
    {%- endfor %}
)

select
    {{ period() }} as period,
    s.source,
    s.revision,
    s.received,
    s.duplicates,
    s.quarantined,
    s.staged,
    p.matched,
    p.conflicting,
    p.unmatched,
    p.published
from stated as s
left join published_rows as p on p.source = s.source
