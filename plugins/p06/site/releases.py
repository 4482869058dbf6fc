"""Releases: each stays as it was; what it was made of, what its gate said, who let it pass, what it changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from p06.period import Period
from p06.site import subject
from p06.site.evidence import TREND, Answer, Arrival, Edition, Evidence, PointerChange, Release
from p06.site.page import Page
from p06.site.words import Words

MOVES = 50  # of pointers, on the first page


@dataclass(frozen=True)
class Input:
    """An extract of the release's own month, and the one the release before was made of."""

    source: str
    title: str
    arrival: Arrival | None
    extract: str
    before: str | None


@dataclass(frozen=True)
class Moved:
    """An indicator of the nation in this release, and in the one before of the same month."""

    code: str
    now: Edition
    before: Edition | None

    @property
    def changed(self) -> bool:
        """Whether the figure is another one."""
        return self.before is not None and (self.now.numerator, self.now.denominator) != (
            self.before.numerator,
            self.before.denominator,
        )


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """The list with every move of a pointer, and a page for each release."""
    title = words.t("releases.title")
    years = sorted({one.period.year for one in found.releases}, reverse=True)
    newest = {period.first_day for period in found.released[-TREND:]}
    yield _list(
        found, title, years, None, [one for one in found.releases if one.period in newest], found.changes[-MOVES:]
    )
    for year in years:
        rows = [one for one in found.releases if one.period.year == year]
        yield _list(found, title, years, year, rows, [one for one in found.changes if one.period.year == year])
    extracts = {one.extract: one for one in found.arrivals}
    own: dict[str, list[tuple[str, str]]] = {}  # release -> (source, extract) of its month
    others: dict[str, int] = {}  # release -> register extracts of other months
    periods = {one.release_id: one.period for one in found.releases}
    for release_id, source, period, extract in found.inputs:
        if period == periods.get(release_id):
            own.setdefault(release_id, []).append((source, extract))
        elif source in found.contracts and found.contracts[source].kind == "register":
            others[release_id] = others.get(release_id, 0) + 1
    editions: dict[str, dict[str, Edition]] = {}
    for one in found.editions:
        editions.setdefault(one.release_id, {})[one.code] = one
    for release in found.releases:
        before = _before(found, release)
        inputs = own.get(release.release_id, [])
        past = dict(own.get(before.release_id, [])) if before else {}
        names = {extract for _, extract in inputs}
        failed = [one for one in found.failures if one.build_id == release.build_id or one.extract_id in names]
        content = {
            "release": release,
            "of_period": Period.of(release.period),
            "before": before,
            "inputs": [
                Input(source, subject.title(found, words, source), extracts.get(extract), extract, past.get(source))
                for source, extract in inputs
            ],
            "register_others": others.get(release.release_id, 0),
            "failed": [(one, _title(found, words, one)) for one in failed],
            "indicators": [
                Moved(code, one, editions.get(before.release_id, {}).get(code) if before else None)
                for code, one in editions.get(release.release_id, {}).items()
            ],
            "changes": [one for one in found.changes if release.release_id in (one.from_release, one.to_release)],
        }
        yield Page(f"releases/{release.release_id}.html", "releases", "release.html",
                   words.t("releases.one", name=release.release_id), content,
                   trail=(("releases.html", title),))  # fmt: skip


def _list(
    found: Evidence, title: str, years: list[int], year: int | None, rows: list[Release], changes: list[PointerChange]
) -> Page:
    """The releases of the newest months, or of the months of a year."""
    content = {
        "releases": sorted(rows, key=lambda one: (one.period, one.number), reverse=True),
        "held": found.held if year is None else [],
        "changes": changes[::-1],
        "years": years,
        "year": year,
    }
    if year is None:
        return Page("releases.html", "releases", "releases.html", title, content)
    return Page(f"releases/{year}.html", "releases", "releases.html", f"{title}: {year}", content,
                (("releases.html", title),))  # fmt: skip


def _before(found: Evidence, release: Release) -> Release | None:
    same = [one for one in found.releases if one.period == release.period and one.number < release.number]
    return max(same, key=lambda one: one.number, default=None)


def _title(found: Evidence, words: Words, answer: Answer) -> str:
    return subject.check_title(words, found.checks.get((answer.subject, answer.check)), answer.check)
