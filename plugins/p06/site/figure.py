"""The drawings of the pages, as SVG inside them: no script, no address, readable in black and white.

Altair draws what has axes; what is only boxes (tile map, sums, bars, states) is put together here. Every
drawing has a title and a description, and the page shows the same numbers as a table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from markupsafe import Markup, escape

from p06.period import Period, months
from p06.site.evidence import Answer, Edition, Figure, Sum
from p06.site.tiles import Tile
from p06.site.words import Words

INK = "#1f2328"
FAINT = "#5b6470"
LINE = "#1d4e79"
FONT = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
WIDTH = 340  # of a drawing, in its own units: at this width its letters are readable on a telephone

_NAMESPACE = re.compile(r'\s(?:xmlns(?::\w+)?|version|aria-\w+|role|pointer-events)="[^"]*"')
_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"[^>]*>')
_EMPTY = re.compile(
    r'<path class="(?:background|foreground)"[^>]*?(?:display="none"|d="M0,0h0v0h0Z")[^>]*?/?>(?:</path>)?'
)


@dataclass(frozen=True)
class Part:
    """A part of a bar: rows, the kind that colours it, and its name."""

    kind: str
    name: str
    rows: int


def trend(figures: Sequence[Figure], editions: Sequence[Edition], words: Words, name: str) -> Markup:
    """A line over the months, broken where one was not published; hollow marks are earlier editions of a month."""
    import altair as alt

    known = {Period.of(one.period): one.value for one in figures}
    span = [*months(min(known), max(known))]
    now: list[dict[str, Any]] = [{"month": words.period(period), "value": known.get(period)} for period in span]
    order: list[str] = [row["month"] for row in now]
    before: list[dict[str, Any]] = [
        {"month": words.period(Period.of(one.period)), "value": one.value}
        for one in editions
        if not any(one.period == f.period and one.value == f.value for f in figures)
    ]
    x = alt.X("month:O", sort=order, title=None, axis=alt.Axis(labelAngle=-90 if len(order) > 6 else 0))
    values: list[float] = [*known.values(), *(row["value"] for row in before)]
    low, high = _span(values)
    y = alt.Y(
        "value:Q", title=None, scale=alt.Scale(domain=[low, high], nice=False),
        axis=alt.Axis(format=".1%" if high - low < 0.1 else ".0%", tickCount=5),
    )  # fmt: skip
    line = (
        alt.Chart({"values": now})
        .mark_line(color=LINE, strokeWidth=2, invalid="break-paths-filter-domains")
        .encode(x=x, y=y)
    )
    points = alt.Chart({"values": now}).mark_point(color=LINE, filled=True, size=34, opacity=1).encode(x=x, y=y)
    layers = [line, points]
    if before:
        layers.append(
            alt.Chart({"values": before})
            .mark_point(color="#8a3b12", filled=False, shape="diamond", size=48, strokeWidth=1.4, opacity=1)
            .encode(x=x, y=y)
        )
    chart = alt.layer(*layers).properties(width=WIDTH - 56, height=150)
    first, last = figures[0], figures[-1]
    about = words.t(
        "figure.trend_about", first=words.period(Period.of(first.period)), from_=words.percent(first.value),
        last=words.period(Period.of(last.period)), to=words.percent(last.value),
    )  # fmt: skip
    if before:
        about += " " + words.t("figure.trend_editions")
    return _drawn(chart, words, words.t("figure.trend_title", name=name), about)


def bar(share: float) -> Markup:
    """A bar inside a table's cell, beside the number it draws."""
    width = max(0.0, min(1.0, share)) * 100
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="rail" width="100" height="8"/><rect class="fill" width="{}" height="8"/></svg>'
    ).format(f"{width:.2f}")


def spark(values: Sequence[float | None]) -> Markup | None:
    """A line as high as a letter, beside the numbers it draws; broken where a month has none. None without two numbers."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    low, top = min(known), max(known)
    step = 92 / max(len(values) - 1, 1)
    parts: list[str] = []
    run: list[str] = []
    for index, value in enumerate([*values, None]):
        if value is not None:
            y = 10.0 if top == low else 17 - 14 * (value - low) / (top - low)
            run.append(f"{4 + step * index:.1f},{y:.1f}")
        elif run:
            parts.append(f'<polyline points="{" ".join(run)}"/>' if len(run) > 1 else "")
            last, run = run[-1], []
    end_x, _, end_y = last.partition(",")
    parts.append(f'<circle cx="{end_x}" cy="{end_y}" r="2.4"/>')
    return Markup('<svg class="spark" viewBox="0 0 100 20" aria-hidden="true" focusable="false">{}</svg>').format(
        Markup("".join(parts))
    )


def tile_map(
    tiles: Sequence[Tile], values: Mapping[str, float], names: Mapping[str, str], words: Words, name: str
) -> Markup:
    """One tile per province of the month, where it lies; darker is more, and the figure stands in it."""
    wide, high, gap = 66.0, 38.0, 3.0
    columns = max(tile.column for tile in tiles) + 1
    rows = max(tile.row for tile in tiles) + 1
    low, top = min(values.values(), default=0.0), max(values.values(), default=1.0)
    parts = []
    for tile in tiles:
        x, y = tile.column * (wide + gap), tile.row * (high + gap)
        value = values.get(tile.code)
        fill = "#ffffff" if value is None else _shade((value - low) / (top - low) if top > low else 0.5)
        shown = "–" if value is None else words.percent(value)
        parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" rx="2" fill="{fill}" stroke="#8fa3b5"/>'
            f'<text x="{x + wide / 2:g}" y="{y + 16:g}" text-anchor="middle" font-size="8.6" fill="{INK}">'
            f"{escape(tile.short or names.get(tile.code, tile.code))}</text>"
            f'<text x="{x + wide / 2:g}" y="{y + 29:g}" text-anchor="middle" font-size="10" font-weight="600" fill="{INK}">'
            f"{escape(shown)}</text>"
        )
    about = words.t("figure.map_about", low=words.percent(low), high=words.percent(top), count=words.number(len(tiles)))
    return _svg(
        columns * (wide + gap) - gap, rows * (high + gap) - gap, "".join(parts),
        words.t("figure.map_title", name=name), about, "map",
    )  # fmt: skip


def sums(one: Sum, words: Words, source: str) -> Markup:
    """Three bars of one scale under each other: what was received, what became of it, what became of the staged rows."""
    split = [
        Part("staged", words.t("word.staged"), one.staged),
        Part("quarantined", words.t("word.quarantined"), one.quarantined),
        Part("duplicates", words.t("word.duplicates"), one.duplicates),
    ]
    bars = [[Part("received", words.t("word.received"), one.received)], split]
    if one.matched is not None:
        bars.append(
            [
                Part("matched", words.t("word.matched"), one.matched),
                Part("conflicting", words.t("word.conflicting"), one.conflicting or 0),
                Part("unmatched", words.t("word.unmatched"), one.unmatched or 0),
            ]
        )
    if one.published is not None:
        bars.append([Part("published", words.t("word.published"), one.published)])
    whole = max(one.received, 1)
    parts, height = [], 0.0
    for bar in bars:
        x = 0.0
        for part in bar:
            width = WIDTH * part.rows / whole
            if width:
                parts.append(
                    f'<rect class="part {part.kind}" x="{x:.2f}" y="{height:g}" width="{width:.2f}" height="18"/>'
                )
            if width > 108:
                parts.append(
                    f'<text class="on" x="{x + 4:.2f}" y="{height + 13:g}" font-size="10.5">'
                    f"{escape(part.name)} {escape(words.number(part.rows))}</text>"
                )
            x += width
        height += 21
    about = words.t(
        "figure.sums_about", received=words.number(one.received), duplicates=words.number(one.duplicates),
        quarantined=words.number(one.quarantined), staged=words.number(one.staged),
    )  # fmt: skip
    return _svg(WIDTH, height - 3, "".join(parts), words.t("figure.sums_title", source=source), about, "sums")


def states(answers: Sequence[tuple[Period, Answer | None]], words: Words, name: str) -> Markup:
    """A row of marks, one a month: a filled circle passed, a triangle warned, a square blocked, a diamond waived."""
    parts = []
    step = WIDTH / max(len(answers), 12)
    for index, (period, answer) in enumerate(answers):
        x = step * (index + 0.5)
        parts.append(_shape(answer.state if answer else "none", x, 12))
        if len(answers) <= 12 or index % 3 == 0:
            parts.append(
                f'<text x="{max(x, 12):.1f}" y="34" text-anchor="middle" font-size="7.5" fill="{FAINT}">'
                f"{period.month:02d}/{period.year % 100:02d}</text>"
            )
    return _svg(
        WIDTH, 40, "".join(parts), words.t("figure.states_title", name=name), words.t("figure.states_about"), "states"
    )


def values(answers: Sequence[tuple[Period, Answer | None]], words: Words, name: str) -> Markup | None:
    """The figures a check observed as a line, where they are numbers."""
    points = []
    for index, (_, answer) in enumerate(answers):
        try:
            points.append((index, float((answer.observed or "").partition(";")[0]) if answer else math.nan))
        except ValueError:
            return None
    known = [(index, value) for index, value in points if math.isfinite(value)]
    if len(known) < 2 or len({value for _, value in known}) < 2:
        return None
    low, top = min(value for _, value in known), max(value for _, value in known)
    step = WIDTH / max(len(answers), 12)
    placed = [(step * (index + 0.5), 52 - 40 * (value - low) / (top - low)) for index, value in known]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    parts = f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="1.6"/>' + "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{LINE}"/>' for x, y in placed
    )
    about = words.t("figure.values_about", low=words.figure(str(low)), high=words.figure(str(top)))
    return _svg(WIDTH, 60, parts, words.t("figure.values_title", name=name), about, "values")


def lineage(columns: Sequence[Sequence[tuple[str, str]]], edges: Sequence[tuple[str, str]], words: Words) -> Markup:
    """Boxes in columns, an arrow from each to what is made of it; a box is (name, kind), one without a name a gap."""
    wide, high, apart, between = 178.0, 22.0, 8.0, 40.0
    tallest = max(len(column) for column in columns)
    height = tallest * (high + apart)
    places: dict[str, tuple[float, float]] = {}
    boxes = []
    for number, column in enumerate(columns):
        x = number * (wide + between)
        top = (height - len(column) * (high + apart)) / 2
        for index, (name, kind) in enumerate(column):
            if not name:
                continue
            y = top + index * (high + apart)
            places[name] = (x, y)
            boxes.append(
                f'<rect class="box {kind}" x="{x + 0.5:g}" y="{y + 0.5:g}" width="{wide - 1:g}" height="{high:g}" rx="2"/>'
                f'<text x="{x + 6:g}" y="{y + 15:g}" font-size="9.5" fill="{INK}">{escape(name)}</text>'
            )
    arrows = []
    for start, end in edges:
        (x, y), (to_x, to_y) = places[start], places[end]
        x, y, to_y = x + wide, y + high / 2, to_y + high / 2
        bend = (to_x - x) / 2
        arrows.append(
            f'<path d="M{x:g},{y:g} C{x + bend:g},{y:g} {to_x - bend:g},{to_y:g} {to_x - 4:g},{to_y:g}"'
            f' fill="none" stroke="#8fa3b5"/>'
            f'<path d="M{to_x - 5:g},{to_y - 3:g} L{to_x:g},{to_y:g} L{to_x - 5:g},{to_y + 3:g} Z" fill="#8fa3b5"/>'
        )
    width = len(columns) * (wide + between) - between
    return _svg(
        width,
        height,
        "".join(arrows + boxes),
        words.t("figure.lineage_title"),
        words.t("figure.lineage_about"),
        "lineage",
    )


def mark(kind: str) -> Markup:
    """A small sign that goes before a word; its shape tells the same as its colour."""
    return Markup('<svg class="sign {}" viewBox="0 0 12 12" aria-hidden="true" focusable="false">{}</svg>').format(
        kind, Markup(_shape(kind, 6, 6))
    )


def _shape(kind: str, x: float, y: float) -> str:
    match kind:
        case "passed" | "released" | "clean":
            return f'<circle class="s-good" cx="{x:.1f}" cy="{y:g}" r="4.2"/>'
        case "warned" | "late" | "warnings":
            return f'<path class="s-warn" d="M{x:.1f},{y - 5:g} l5.2,9.4 h-10.4 z"/>'
        case "blocked" | "refused" | "held":
            return f'<rect class="s-bad" x="{x - 4.4:.1f}" y="{y - 4.4:g}" width="8.8" height="8.8"/>'
        case "waived" | "accepted" | "superseded":
            return f'<path class="s-open" d="M{x:.1f},{y - 5:g} l5,5 l-5,5 l-5,-5 z"/>'
        case "info":
            return f'<path class="s-open" d="M{x - 4:.1f},{y:g} h8"/>'
    return f'<circle class="s-none" cx="{x:.1f}" cy="{y:g}" r="3.8"/>'


def _shade(share: float) -> str:
    """From a pale to a middle blue; dark letters stay readable on all of it."""
    light, dark = (0xF3, 0xF7, 0xFB), (0x93, 0xB9, 0xDB)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(light, dark, strict=True))


def _span(values: Sequence[float]) -> tuple[float, float]:
    """A range around the values with some air, inside 0 to 1."""
    low, high = min(values), max(values)
    air = max((high - low) * 0.15, 0.005)
    return max(0.0, low - air), min(1.0, high + air)


def _svg(width: float, height: float, body: str, title: str, about: str, kind: str) -> Markup:
    return Markup(
        '<svg class="drawing {}" viewBox="0 0 {} {}" role="img" aria-label="{}" focusable="false">'
        "<title>{}</title><desc>{}</desc>{}</svg>"
    ).format(kind, f"{width:g}", f"{height:g}", f"{title}. {about}", title, about, Markup(body))


def _drawn(chart: Any, words: Words, title: str, about: str) -> Markup:
    import vl_convert

    spec = chart.configure(**_look()).to_dict()
    svg = vl_convert.vegalite_to_svg(spec, format_locale=_number_locale(words.language))
    size = _SIZE.search(svg)
    assert size is not None
    body = svg[size.end() : svg.rindex("</svg>")]
    body = _EMPTY.sub("", _NAMESPACE.sub("", body))
    return _svg(float(size[1]), float(size[2]), body, title, about, "chart")


def _number_locale(language: str) -> dict[str, Any]:
    marks = {"vi": (",", "."), "en": (".", ",")}[language]
    return {"decimal": marks[0], "thousands": marks[1], "grouping": [3], "currency": ["", ""]}


@cache
def _look() -> dict[str, Any]:
    text = {"labelFont": FONT, "titleFont": FONT, "labelFontSize": 9, "labelColor": INK, "gridColor": "#dfe4ea",
            "domainColor": "#8fa3b5", "tickColor": "#8fa3b5", "labelLimit": 110}  # fmt: skip
    return {"aria": False, "background": "transparent", "padding": 2, "axis": text, "view": {"stroke": None}}
