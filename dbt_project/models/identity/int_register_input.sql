-- one row per accepted register extract: all give links between numbers, those up to the horizon give rows
{% set none_yet = {'key': 0, 'period': '1900-01-01', 'area_edition': '1900-01-01'} %}
select
    i.extract_key,
    i.period,
    i.area_edition,
    i.period <= date '{{ var("register_horizon") }}' as gives_rows
from (
    values
    {%- for extract in var('register') or [none_yet] %}
    ({{ extract['key'] }}::bigint, date '{{ extract["period"] }}', date '{{ extract["area_edition"] }}'){{ ',' if not loop.last }}
    {%- endfor %}
) as i (extract_key, period, area_edition)
