"""What ministries and provinces printed, beside what the warehouse computes: the register of printed figures.

Two files of ``dbt_project/seeds`` hold it: ``published_figure.csv`` and ``indicator_target.csv``. The verdict on a
figure is computed where it is read, by the rules of ``_COMPARED``; nothing of it is typed in.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import psycopg
from psycopg import sql

from p06.errors import P06Error
from p06.project import MartColumn
from p06.settings import settings

FIGURES, TARGETS = "published_figure", "indicator_target"
_STORED = (
    "figure_id", "name_en", "name_vi", "printed", "parts_are_all", "readings", "unit", "document", "as_of", "as_of_is",
    "period", "area_level", "area_code", "indicator_code", "note_en", "note_vi",
)  # fmt: skip
_TARGET = ("indicator_code", "target", "by", "document", "note_en", "note_vi")
_ROLES = ("total", "parts", "numerator", "denominator", "percent", "change")
_NUMBER = re.compile(r"([<>~] )?([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.([0-9]+))?( [KM])?( %)?")
_SCALE = {None: 1, " K": 10**3, " M": 10**6}


@dataclass(frozen=True)
class Printed:
    """A printed number: its value, the range of values that are printed so, and the unit of its last digit."""

    text: str
    value: Decimal
    low: Decimal
    high: Decimal
    step: Decimal


def number(text: str) -> Printed:
    """Read a number as printed: ``72,847``, ``99.8 %``, ``17.1 M``, ``> 5,000`` (over), ``< 15 M`` (nearly), ``~ 75 %``.

    A whole number without a scale is exact; any other stands for all that round to it. Over, nearly and about reach as
    far as one unit of the last digit that is not a nought. Raises ValueError on anything else.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError("not a number as reports print it")
    bound, whole, decimals, scale, percent = match.groups()
    digits = len(decimals or "")
    unit = Decimal(_SCALE[scale]) / 10**digits
    value = Decimal(whole.replace(",", "") + "." + (decimals or "0")) * _SCALE[scale]
    if bound:
        plain = whole.replace(",", "")
        reach = unit if digits or scale else Decimal(10 ** (len(plain) - len(plain.rstrip("0"))))
        low, high = value - reach * (bound != "> "), value + reach * (bound != "< ")
        return Printed(text, value, max(low, Decimal(0)), high, unit)
    half = unit / 2 if digits or scale or percent else Decimal(0)
    return Printed(text, value, value - half, value + half, unit)


def stamp() -> str:
    """A hash of the two files and of what is made of them."""
    digest = hashlib.sha256()
    for name in (FIGURES, TARGETS):
        digest.update(_content(name))
    digest.update(repr((_FIGURE, _COMPARISON, _TARGETS, _CHANGE)).encode())
    digest.update(_COMPARED.encode() + _CHANGED.encode())
    return digest.hexdigest()


def load(connection: psycopg.Connection[Any], known: dict[str, str]) -> dict[str, str]:
    """Replace the tables whose file is another than ``known`` says (role builder); returns name -> hash of those.

    Readers see the old content until the commit. Raises P06Error P06-BUILD-007 when a file cannot be read.
    """
    loaded = {}
    for name, fill in ((FIGURES, _load_figures), (TARGETS, _load_targets)):
        content = _content(name)
        sha256 = hashlib.sha256(content).hexdigest()
        if known.get(name) == sha256:
            continue
        line = 1
        try:
            rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True))
            connection.execute(sql.SQL("delete from {}").format(sql.Identifier("build", name)))
            for row in rows:
                line += 1
                fill(connection, {column: value or None for column, value in row.items()})
        except (
            UnicodeError, csv.Error, KeyError, TypeError, AttributeError, ValueError, InvalidOperation,
            psycopg.DataError, psycopg.IntegrityError,
        ) as error:  # fmt: skip
            raise P06Error("P06-BUILD-007", file=f"seeds/{name}.csv", line=line) from error
        loaded[name] = sha256
    return loaded


def _content(name: str) -> bytes:
    try:
        return (settings().dbt_project / "seeds" / f"{name}.csv").read_bytes()
    except OSError as error:
        raise P06Error("P06-BUILD-007", file=f"seeds/{name}.csv") from error


def _load_figures(connection: psycopg.Connection[Any], row: dict[str, str | None]) -> None:
    numbers = []
    for role in _ROLES:
        texts = (row[role] or "").split("+") if row[role] else []
        for place, one in enumerate(map(number, texts), 1):
            kind = "part" if role == "parts" else role
            numbers.append((row["figure_id"], kind, place, one.text, one.value, one.low, one.high, one.step))
    stored = {name: row[name] for name in _STORED}
    _insert(connection, FIGURES, stored | {
        "readings": (row["readings"] or "").split("|") if row["readings"] else [],
        "period": f"{row['period']}-01",
    })  # fmt: skip
    connection.cursor().executemany(
        "insert into build.published_number (figure_id, role, place, printed, value, low, high, step)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s)",
        numbers,
    )


def _load_targets(connection: psycopg.Connection[Any], row: dict[str, str | None]) -> None:
    _insert(connection, TARGETS, {name: row[name] for name in _TARGET})


def _insert(connection: psycopg.Connection[Any], table: str, values: dict[str, Any]) -> None:
    connection.execute(
        sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier("build", table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join([sql.Placeholder()] * len(values)),
        ),
        list(values.values()),
    )


def compared() -> list[dict[str, Any]]:
    """Every comparison an analyst sees, by figure; the printed numbers first."""
    from psycopg.rows import dict_row

    from p06 import database

    with database.connect("analyst") as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select * from marts.published_comparison order by figure_id, comparison <> 'printed'"
        ).fetchall()


View = tuple[str, str, str, str, tuple[MartColumn, ...], str, str]


def views() -> Iterator[View]:
    """The views readers see, as ``marts`` makes them: schema, name, descriptions, columns, alias, from clause."""
    yield (
        "marts", "published_figure", "The figures ministries and provinces printed, one row each",
        "Các số liệu bộ ngành và địa phương đã in, mỗi dòng một số liệu", _FIGURE, "t", f"({_FIGURES}) as t",
    )  # fmt: skip
    yield (
        "marts", "published_comparison", "Each printed figure beside what follows from the numbers printed with it, and "
        "beside what the warehouse computes, with a verdict",
        "Mỗi số liệu đã in đối chiếu với các số in kèm và với số kho dữ liệu tính được, kèm kết luận", _COMPARISON, "t",
        f"({_COMPARED}) as t",
    )  # fmt: skip
    yield (
        "marts", "indicator_target", "What an indicator is meant to reach, and by when",
        "Mức chỉ tiêu cần đạt và thời hạn", _TARGETS, "t", "build.indicator_target as t",
    )  # fmt: skip
    yield (
        "marts", "indicator_change", "Each indicator of the nation and of today's provinces beside its value of the month "
        "before, and beside its target",
        "Mỗi chỉ tiêu của cả nước và các tỉnh hiện nay so với kỳ trước và với mức cần đạt", _CHANGE, "t",
        f"({_CHANGED}) as t",
    )  # fmt: skip


_PLACE = (
    MartColumn("period", "date", "first day of the month the figure speaks about", "ngày đầu của tháng số liệu nói tới"),
    MartColumn("area_level", "text", "nation, province, district or commune", "cấp: cả nước, tỉnh, huyện, xã"),
    MartColumn("area_code", "text", "code of the area in force in the period; VN for the nation",
               "mã đơn vị hành chính có hiệu lực trong kỳ; VN là cả nước"),
    MartColumn("indicator_code", "text", "the indicator or count that speaks of the same, empty when none does",
               "chỉ tiêu hoặc số đếm cùng nội dung, để trống nếu không có"),
    MartColumn("unit", "text", "what is counted", "đơn vị được đếm"),
    MartColumn("document", "text", "the document that printed it", "văn bản in số liệu"),
)  # fmt: skip
_NAMES = (
    MartColumn("figure_id", "text", "the document's number and a letter", "số văn bản và chữ cái"),
    MartColumn("name_en", "text", "what it counts, in English", "nội dung, bằng tiếng Anh"),
    MartColumn("name_vi", "text", "what it counts, in Vietnamese", "nội dung, bằng tiếng Việt"),
    MartColumn(
        "printed", "text", "the figure as printed, its words in English", "số liệu như bản in, lời bằng tiếng Anh"
    ),
)
_FIGURE = (
    *_NAMES,
    MartColumn("numerator", "numeric", "how many of them, as printed", "tử số như bản in"),
    MartColumn("denominator", "numeric", "out of how many; empty when it is not printed",
               "mẫu số; để trống nếu bản in không có"),
    MartColumn("percent", "numeric", "the share in per cent, as printed", "tỷ lệ phần trăm như bản in"),
    MartColumn("total", "numeric", "the number printed alone, or as the sum of the parts", "con số in riêng, hoặc tổng"),
    MartColumn("parts", "numeric[]", "the numbers it is the sum of", "các số thành phần"),
    MartColumn("change", "numeric", "the change on the period before, as printed", "mức thay đổi so với kỳ trước như bản in"),
    MartColumn("readings", "text[]", "ways to read it that the text leaves open", "các cách hiểu mà văn bản để ngỏ"),
    MartColumn("as_of", "date", "the day it speaks about", "ngày chốt số liệu"),
    MartColumn("as_of_is", "text", "whether that day is stated or inferred", "ngày đó được nêu (stated) hay suy ra (inferred)"),
    *_PLACE,
    MartColumn("note_en", "text", "what a reader should know, in English", "lưu ý, bằng tiếng Anh"),
    MartColumn("note_vi", "text", "what a reader should know, in Vietnamese", "lưu ý, bằng tiếng Việt"),
)  # fmt: skip
_COMPARISON = (
    *_NAMES,
    MartColumn("comparison", "text", "printed (with the numbers printed beside it) or warehouse (with what the warehouse "
               "computes of that month and area)", "printed (với các số in kèm) hoặc warehouse (với số kho tính được)"),
    MartColumn("rule", "text", "what was computed: sum, part_sum, share, change, reading, indicator, count or none",
               "phép tính: sum, part_sum, share, change, reading, indicator, count hoặc none"),
    MartColumn("verdict", "text", "match, truncation (the last digit was cut off, not rounded), discrepancy, ambiguous (the "
               "text can be read in ways that differ), derived (computed, not printed) or not_available (nothing to "
               "compare with)", "match (khớp), truncation (cắt bỏ thay vì làm tròn), discrepancy (lệch), ambiguous (không rõ "
               "nghĩa), derived (suy ra, không in) hoặc not_available (không có gì để so)"),
    MartColumn("printed_value", "numeric", "the printed number that is compared, empty when it is derived",
               "con số in được so sánh, để trống nếu suy ra"),
    MartColumn("printed_low", "numeric", "least value that is printed so", "giá trị nhỏ nhất được in như vậy"),
    MartColumn("printed_high", "numeric", "greatest value that is printed so", "giá trị lớn nhất được in như vậy"),
    MartColumn("computed_value", "numeric", "what follows from the other numbers, or what the warehouse computes; shares in "
               "per cent", "giá trị tính được; tỷ lệ tính bằng phần trăm"),
    MartColumn("computed_low", "numeric", "least value the rounding of those numbers allows", "giá trị nhỏ nhất do làm tròn"),
    MartColumn("computed_high", "numeric", "greatest value the rounding of those numbers allows", "giá trị lớn nhất do làm tròn"),
    MartColumn("likely_error", "numeric", "root of the sum of squares of what each rounding moves it by; beyond it all "
               "roundings would have to go to their ends together",
               "căn bậc hai của tổng bình phương các sai số làm tròn"),
    MartColumn("difference", "numeric", "computed less printed", "giá trị tính được trừ giá trị in"),
    *_PLACE,
    MartColumn("note_en", "text", "what a reader should know, in English", "lưu ý, bằng tiếng Anh"),
    MartColumn("note_vi", "text", "what a reader should know, in Vietnamese", "lưu ý, bằng tiếng Việt"),
)  # fmt: skip
_TARGETS = (
    MartColumn("indicator_code", "text", "the indicator", "mã chỉ tiêu"),
    MartColumn("target", "numeric", "the share it is meant to reach, from 0 to 1", "tỷ lệ cần đạt, từ 0 đến 1"),
    MartColumn("by", "date", "the day by which", "thời hạn"),
    MartColumn("document", "text", "the document that says so", "văn bản quy định"),
    MartColumn("note_en", "text", "what a reader should know, in English", "lưu ý, bằng tiếng Anh"),
    MartColumn("note_vi", "text", "what a reader should know, in Vietnamese", "lưu ý, bằng tiếng Việt"),
)
_CHANGE = (
    MartColumn("indicator_code", "text", "the indicator", "mã chỉ tiêu"),
    MartColumn("period", "date", "first day of the month the data speak about", "ngày đầu của tháng dữ liệu"),
    MartColumn("area_level", "text", "nation or province", "cấp: cả nước, tỉnh"),
    MartColumn("area_code", "text", "code of today's province; VN for the nation", "mã tỉnh hiện nay; VN là cả nước"),
    MartColumn("value", "numeric", "the share, from 0 to 1", "tỷ lệ, từ 0 đến 1"),
    MartColumn("previous_value", "numeric", "that of the month before, empty when it is not published",
               "tỷ lệ của kỳ trước, để trống nếu chưa công bố"),
    MartColumn("change_points", "numeric", "change on the month before, in percentage points",
               "thay đổi so với kỳ trước, tính bằng điểm phần trăm"),
    MartColumn("target", "numeric", "the share it is meant to reach, empty when there is none", "tỷ lệ cần đạt"),
    MartColumn("target_by", "date", "the day by which", "thời hạn"),
    MartColumn("target_points", "numeric", "percentage points above the target, below it when negative",
               "điểm phần trăm vượt mức cần đạt, âm là còn thiếu"),
)  # fmt: skip

_FIGURES = """
select
    f.*,
    n.numerator,
    n.denominator,
    n.percent,
    n.total,
    n.parts,
    n.change
from build.published_figure as f
left join (
    select
        figure_id,
        max(value) filter (where role = 'numerator') as numerator,
        max(value) filter (where role = 'denominator') as denominator,
        max(value) filter (where role = 'percent') as percent,
        max(value) filter (where role = 'total') as total,
        array_agg(value order by place) filter (where role = 'part') as parts,
        max(value) filter (where role = 'change') as change
    from build.published_number
    group by figure_id
) as n using (figure_id)
"""

# One row per figure and comparison. A verdict asks whether the range of values that are printed so meets the value
# computed, give or take its likely error: of exact numbers that is half a unit of the last printed digit.
_COMPARED = """
with
-- the parts of a sum as one number; the likely error of a sum is the root of the sum of squares
numbers as (
    select
        figure_id,
        role,
        sum(value) as value,
        sum(low) as low,
        sum(high) as high,
        sqrt(sum(((high - low) / 2) ^ 2)) as error,
        max(step) as step
    from build.published_number
    group by figure_id, role
),

-- per cent, with what the rounding of both allows
shares as (
    select
        n.figure_id,
        100 * n.value / d.value as value,
        100 * n.low / d.high as low,
        100 * n.high / d.low as high,
        100 * n.value / d.value * sqrt((n.error / n.value) ^ 2 + (d.error / d.value) ^ 2) as error
    from numbers as n
    inner join numbers as d on d.figure_id = n.figure_id and d.role = 'denominator' and d.low > 0
    where n.role = 'numerator' and n.value > 0
),

-- what the month before would have been, by each way to read the change
changes as (
    select
        c.figure_id,
        least(p.value - c.value, p.value / (1 + c.value / 100)) as low,
        greatest(p.value - c.value, p.value / (1 + c.value / 100)) as high,
        case when f.readings = array['relative'] then p.value / (1 + c.value / 100) else p.value - c.value end as value,
        c.error + p.error as error
    from numbers as c
    inner join numbers as p on p.figure_id = c.figure_id and p.role = 'percent'
    inner join build.published_figure as f on f.figure_id = c.figure_id
    where c.role = 'change'
),

-- one rule for each figure: the first that its numbers allow
printed as (
    select
        f.figure_id,
        'printed' as comparison,
        case
            when c.figure_id is not null then 'change'
            when cardinality(f.readings) > 1 then 'reading'
            when s.figure_id is not null then 'share'
            when a.figure_id is not null and f.parts_are_all then 'sum'
            when a.figure_id is not null then 'part_sum'
            else 'none'
        end as rule,
        case
            when c.figure_id is not null then cardinality(f.readings) > 1 and c.high - c.low > c.error
            else cardinality(f.readings) > 1
        end as is_ambiguous,
        case
            when c.figure_id is not null then null
            when s.figure_id is not null then p.value
            else t.value
        end as printed_value,
        case when c.figure_id is null then case when s.figure_id is not null then p.low else t.low end end as printed_low,
        case when c.figure_id is null then case when s.figure_id is not null then p.high else t.high end end as printed_high,
        case when s.figure_id is not null then p.step else t.step end as step,
        case when c.figure_id is not null and cardinality(f.readings) > 1 then null else coalesce(c.value, s.value, a.value) end as computed_value,
        coalesce(c.low, s.low, a.low) as computed_low,
        coalesce(c.high, s.high, a.high) as computed_high,
        coalesce(c.error, s.error, a.error) as likely_error
    from build.published_figure as f
    left join changes as c on c.figure_id = f.figure_id
    left join shares as s on s.figure_id = f.figure_id
    left join numbers as p on p.figure_id = f.figure_id and p.role = 'percent'
    left join numbers as t on t.figure_id = f.figure_id and t.role = 'total'
    left join numbers as a on a.figure_id = f.figure_id and a.role = 'part'
),

-- the communes of a district add up to it; districts ended with June 2025
districts as (
    select
        i.indicator_code,
        i.period,
        a.district_code as area_code,
        sum(i.numerator) as numerator,
        sum(i.denominator) as denominator
    from build.published_figure as f
    inner join build.indicator as i on i.indicator_code = f.indicator_code and i.period = f.period and i.area_level = 'commune'
    inner join control.published as e on e.period = i.period and e.build_id = i.build_id
    inner join build.dim_area as a
        on a.level = 'commune'
        and a.code = i.area_code
        and a.district_code = f.area_code
        and coalesce(a.valid_to, 'infinity') > i.period
    where f.area_level = 'district'
    group by i.indicator_code, i.period, a.district_code
),

measured as (
    select
        f.figure_id,
        'indicator' as rule,
        100 * i.numerator::numeric / i.denominator as value
    from build.published_figure as f
    inner join build.indicator as i
        on i.indicator_code = f.indicator_code
        and i.period = f.period
        and i.area_level = f.area_level
        and i.area_code = f.area_code
    inner join control.published as e on e.period = i.period and e.build_id = i.build_id
    union all
    select
        f.figure_id,
        'indicator',
        100 * d.numerator / d.denominator
    from build.published_figure as f
    inner join districts as d
        on d.indicator_code = f.indicator_code
        and d.period = f.period
        and d.area_code = f.area_code
    where f.area_level = 'district' and d.denominator > 0
    union all
    select
        f.figure_id,
        'count',
        i.value::numeric
    from build.published_figure as f
    inner join build.indicator_count as i
        on i.indicator_code = f.indicator_code
        and i.period = f.period
        and i.area_level = f.area_level
        and i.area_code = f.area_code
    inner join control.published as e on e.period = i.period and e.build_id = i.build_id
),

-- the number a figure states: its share, printed or from its numerator and denominator, else its total, else its sum
warehouse as (
    select
        f.figure_id,
        'warehouse' as comparison,
        coalesce(m.rule, 'none') as rule,
        false as is_ambiguous,
        coalesce(p.value, s.value, t.value, a.value) as printed_value,
        coalesce(p.low, s.low, t.low, a.low) as printed_low,
        coalesce(p.high, s.high, t.high, a.high) as printed_high,
        coalesce(p.step, case when s.figure_id is null then t.step end) as step,
        m.value as computed_value,
        m.value as computed_low,
        m.value as computed_high,
        0.000001 as likely_error
    from build.published_figure as f
    left join measured as m on m.figure_id = f.figure_id
    left join shares as s on s.figure_id = f.figure_id
    left join numbers as p on p.figure_id = f.figure_id and p.role = 'percent'
    left join numbers as t on t.figure_id = f.figure_id and t.role = 'total'
    left join numbers as a on a.figure_id = f.figure_id and a.role = 'part'
),

judged as (
    select
        c.*,
        case
            when c.is_ambiguous then 'ambiguous'
            when c.rule = 'none' then 'not_available'
            when c.printed_value is null then 'derived'
            -- the text does not say that the parts are all: they may stay below the total
            when c.rule = 'part_sum' then case when c.computed_low <= c.printed_high then 'derived' else 'discrepancy' end
            when c.computed_value - c.likely_error <= c.printed_high and c.computed_value + c.likely_error >= c.printed_low then 'match'
            when floor(c.computed_value / c.step) * c.step = c.printed_value then 'truncation'
            else 'discrepancy'
        end as verdict
    from (select * from printed union all select * from warehouse) as c
)

select
    f.figure_id,
    f.name_en,
    f.name_vi,
    f.printed,
    j.comparison,
    j.rule,
    j.verdict,
    trim_scale(j.printed_value) as printed_value,
    trim_scale(j.printed_low) as printed_low,
    trim_scale(j.printed_high) as printed_high,
    trim_scale(round(j.computed_value, 6)) as computed_value,
    trim_scale(round(j.computed_low, 6)) as computed_low,
    trim_scale(round(j.computed_high, 6)) as computed_high,
    trim_scale(round(j.likely_error, 6)) as likely_error,
    trim_scale(round(j.computed_value - j.printed_value, 6)) as difference,
    f.period,
    f.area_level,
    f.area_code,
    f.indicator_code,
    f.unit,
    f.document,
    f.note_en,
    f.note_vi
from build.published_figure as f
inner join judged as j on j.figure_id = f.figure_id
"""

# Today's provinces, since a code can have meant another province a month ago.
_CHANGED = """
with
figures as (
    select
        i.indicator_code,
        i.period,
        i.area_level,
        i.area_code,
        i.numerator,
        i.denominator
    from build.indicator_restated as i
    inner join control.published as e on e.period = i.period and e.build_id = i.build_id
)

select
    n.indicator_code,
    n.period,
    n.area_level,
    n.area_code,
    round(n.numerator::numeric / n.denominator, 10) as value,
    round(b.numerator::numeric / b.denominator, 10) as previous_value,
    round(100 * (n.numerator::numeric / n.denominator - b.numerator::numeric / b.denominator), 6) as change_points,
    t.target,
    t."by" as target_by,
    round(100 * (n.numerator::numeric / n.denominator - t.target), 6) as target_points
from figures as n
left join figures as b
    on b.indicator_code = n.indicator_code
    and b.area_level = n.area_level
    and b.area_code = n.area_code
    and b.period = (n.period - interval '1 month')::date
left join build.indicator_target as t on t.indicator_code = n.indicator_code
"""
