-- one row per record whose numbers decided nothing, with its name in the form that is compared
select
    r.source,
    r.file_no,
    r.line,
    r.citizen_id,
    r.old_id,
    r.full_name,
    {{ normalised_name('r.full_name') }} as name_norm,
    r.birth_date,
    r.sex,
    coalesce(a.area_code, r.commune_code) as commune_code,
    right(r.insurance_card_no, 10) as social_insurance_no
from {{ ref('int_match_id') }} as r
left join {{ ref('int_match_old_id') }} as o
    on o.source = r.source
    and o.file_no = r.file_no
    and o.line = r.line
left join {{ ref('int_area_code') }} as a
    on a.level = 'commune'
    and a.code = r.commune_code
    and {{ valid_in_period('a') }}
    and a.edition = case r.source
        {%- for contract in matched_sources() %}
        when '{{ contract["source"] }}' then {{ area_edition(contract['source']) }}
        {%- endfor %}
    end
where r.match_method is null and o.source is null
