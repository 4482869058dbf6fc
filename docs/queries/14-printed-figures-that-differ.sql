-- Số liệu đã in lệch với các số in kèm hoặc với kho dữ liệu · Printed figures that differ from the numbers beside them or from the warehouse
select
    c.document,
    c.figure_id,
    c.printed,
    c.comparison,
    c.verdict,
    c.computed_value,
    c.difference
from marts.published_comparison as c
where c.verdict in ('truncation', 'discrepancy', 'ambiguous')
order by c.document, c.figure_id, c.comparison;
