"""Figures of restricted sources that speak of too few records to be shown; the marts keep them exact.

A figure of fewer records than ``least`` is withheld, the threshold rule of official statistics: counts below 10 do not
leave the safe settings of the United Kingdom's Office for National Statistics, and the handbook on statistical
disclosure control of the European Statistical System asks for a threshold and for secondary suppression besides. So
where the others would tell it by subtraction, the next larger ones are withheld with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p06 import footnote
from p06.limits import number
from p06.period import Period
from p06.scorecard import NATION

if TYPE_CHECKING:
    from p06.site.evidence import Evidence, Figure

LEAST = 10  # records
Place = tuple[str, Period, str]  # source, month, code of the area: VN, two digits of a province or five of a commune


@dataclass(frozen=True)
class Withheld:
    """A figure that is there and not shown."""

    code: str
    period: Period
    level: str
    area: str


def least() -> int:
    """How many records a figure of a restricted source must speak of: P06_SHOWN_FROM, 10 by default, 1 shows all.

    Raises UsageError P06-CONFIG-001.
    """
    return number("P06_SHOWN_FROM") or LEAST


def too_small(sizes: Mapping[str, int], limit: int) -> set[str]:
    """Which parts of a shown sum are withheld: those below the limit, and with them the next larger ones until at least
    two are, with at least the limit between them; else the sum would tell what they are."""
    hidden = {name for name, size in sizes.items() if size < limit}
    rest = sorted((size, name) for name, size in sizes.items() if name not in hidden)
    while hidden and rest and (len(hidden) < 2 or sum(sizes[name] for name in hidden) < limit):
        hidden.add(rest.pop(0)[1])
    return hidden


def sources(found: Evidence, code: str) -> frozenset[str]:
    """The restricted sources an indicator is computed from."""
    return frozenset(name for name in footnote.computed_from(code) if _is_restricted(found, name))


def withhold(found: Evidence) -> None:
    """Take what is too small out of the evidence, and note what was taken: an area for all figures of a source."""
    codes = {one.code for one in (*found.figures, *found.communes)} | {one.code for one in found.editions}
    of = {code: sources(found, code) for code in codes}
    places = _places(found, of)

    def is_hidden(code: str, period: Period, area: str) -> bool:
        return any((source, period, area) in places for source in of[code])

    def shown(figures: Iterable[Figure]) -> list[Figure]:
        kept = []
        for one in figures:
            period = Period.of(one.period)
            if is_hidden(one.code, period, one.area):
                found.withheld.append(Withheld(one.code, period, one.level, one.area))
            else:
                kept.append(one)
        return kept

    found.figures, found.communes = shown(found.figures), shown(found.communes)
    found.editions = [
        one
        for one in found.editions
        if not of[one.code] or (one.denominator >= least() and not is_hidden(one.code, Period.of(one.period), NATION))
    ]
    found.matched = [one for one in found.matched if (one[1], found.released[-1], one[0]) not in places]
    found.scores = [
        one
        for one in found.scores
        if one.province_code == NATION or (one.source, Period.of(one.period), one.province_code) not in places
    ]
    found.withheld_places = frozenset(places)


def _places(found: Evidence, of: Mapping[str, Iterable[str]]) -> set[Place]:
    """Where each restricted source has too few records, the nation first: below what is withheld nothing is shown."""
    groups: dict[tuple[int, str, Period, str, str], dict[str, int]] = defaultdict(dict)  # level, …, code, area above
    for one in found.figures:
        level, above = (0, "") if one.level == "nation" else (1, NATION)
        for source in of[one.code]:
            groups[level, source, Period.of(one.period), one.code, above][one.area] = one.denominator
    for one in found.communes:
        province = found.commune_names.get(one.area, ("", ""))[1]
        for source in of[one.code]:
            groups[2, source, Period.of(one.period), one.code, province][one.area] = one.denominator
    for score in found.scores:
        if score.measure == "matched" and _is_restricted(found, score.source):
            level, above = (0, "") if score.province_code == NATION else (1, NATION)
            groups[level, score.source, Period.of(score.period), "", above][score.province_code] = score.denominator
    for province, source, _, records in found.matched:
        if _is_restricted(found, source):
            sizes = groups[1, source, found.released[-1], "-", NATION]
            sizes[province] = sizes.get(province, 0) + records
    places: set[Place] = set()
    for (_, source, period, _, above), sizes in sorted(groups.items(), key=lambda group: group[0]):
        hidden = set(sizes) if (source, period, above) in places else too_small(sizes, least())
        places |= {(source, period, area) for area in hidden}
    return places


def _is_restricted(found: Evidence, source: str) -> bool:
    return source in found.contracts and found.contracts[source].restricted


def names(found: Evidence, code: str, period: Period, province: str | None = None) -> list[str]:
    """The provinces of a month, or the communes of a province, whose figure is withheld, by name."""
    known = found.provinces_in(period)
    told = [one for one in found.withheld if (one.code, one.period) == (code, period)]
    if province is None:
        return [known.get(one.area, one.area) for one in told if one.level == "province"]
    communes = [found.commune_names.get(one.area, (one.area, "")) for one in told if one.level == "commune"]
    return [name for name, parent in communes if parent == province]
