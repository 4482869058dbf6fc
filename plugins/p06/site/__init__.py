"""The pages: what arrived, what was wrong, who must act, what was published, and whether a figure can be relied on.

Static, in Vietnamese and English, made from the warehouse alone: the same content gives the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from p06.errors import P06Error
from p06.settings import settings
from p06.site import place

if TYPE_CHECKING:
    from p06.site.evidence import Evidence

Report = Callable[[str], None]
AREAS = "areas.json"  # which pages and files are a province's (``code@first day``), or the ``nation``'s alone


@dataclass(frozen=True)
class Written:
    """What was written: where, how much, and whether it differs from what was shown before."""

    folder: Path
    pages: int
    bytes: int
    largest: int
    changed: bool


def folder() -> Path | None:
    """Where the pages of this warehouse lie: P06_SITE, by default the home's ``site``; None when it is ``off``."""
    stated = os.environ.get("P06_SITE") or str(settings().home / "site")
    return None if stated == "off" else Path(stated).absolute()


def write(to: Path | None = None, move: Callable[[int, int], None] = lambda done, of: None) -> Written:
    """Make every page and show them in one step; ``move`` hears how many of the sections are done.

    Raises UsageError P06-SITE-001 when something else stands there, P06Error P06-SITE-002 when it cannot be written.
    """
    from p06.site import evidence, page

    target = (to or folder() or settings().home / "site").absolute()
    place.check(target)
    mark = f"{page.version()} {evidence.mark()}\n"
    made = dict(files(evidence.read(), move))
    html = [len(content) for path, content in made.items() if path.endswith(".html")]
    changed = place.show(target, made, mark)
    return Written(target, len(html), sum(map(len, made.values())), max(html), changed)


def renew(report: Report = lambda text: None, make: bool = False) -> bool:
    """Write the pages again if the warehouse has moved on; whether they were written. Never raises.

    They are kept up to date once somebody has asked for them, or ``make`` does.
    """
    try:
        from p06.site import evidence, page

        target = folder()
        if target is None or (place.shown_mark(target) is None and not make):
            return False
        if place.shown_mark(target) == f"{page.version()} {evidence.mark()}\n":
            return False
        written = write(target)
    except Exception as error:  # a page must never cost a release
        report(f"P06-SITE-003 {error.code if isinstance(error, P06Error) else type(error).__name__}")
        return False
    report(f"site: {written.pages} pages in {written.folder.name}")
    return True


def files(found: Evidence, move: Callable[[int, int], None] = lambda done, of: None) -> Iterator[tuple[str, bytes]]:
    """Path below the site -> content; ``move`` hears how many of the sections are done."""
    from p06.site import (
        committee,
        data,
        deliveries,
        help,
        indicators,
        overview,
        page,
        provinces,
        quality,
        reconciliation,
        releases,
        scorecard,
    )
    from p06.site.figure import mark
    from p06.site.words import LANGUAGES, Words

    newest = found.current[found.released[-1]] if found.released else None
    areas: dict[str, str] = {}
    yield page.STYLE, page.style()
    for language in LANGUAGES:
        words = Words(language)
        common = {"newest_release": newest, "sign": mark}
        sections = (
            overview, deliveries, quality, scorecard, committee, reconciliation, indicators, provinces, releases, data,
            help,
        )  # fmt: skip
        for number, section in enumerate(sections):
            move(LANGUAGES.index(language) * len(sections) + number, len(LANGUAGES) * len(sections))
            for one in section.pages(found, words):
                if one.area is not None:
                    areas[f"{language}/{one.address}"] = one.area
                yield f"{language}/{one.address}", page.render(one, words, common)
    yield "index.html", page.entrance()
    for name, content, area in indicators.files(found):
        if area is not None:
            areas[name] = area
        yield name, content
    yield AREAS, (json.dumps(areas, indent=0, sort_keys=True) + "\n").encode()
