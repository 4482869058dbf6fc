"""Sources by months: what is due, what arrived, what was refused, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator

from p06.site import subject
from p06.site.evidence import TREND, Evidence
from p06.site.page import Page
from p06.site.words import Words


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """The table of the newest months, and a page for each source with every extract and refusal."""
    titles = {name: subject.title(found, words, name) for name in found.contracts}
    shown = {name: title for name, title in titles.items() if name not in found.idle}
    table = [
        (period, [subject.standing(found, source, period) for source in shown])
        for period in found.periods[-TREND:][::-1]
    ]
    yield Page("deliveries.html", "deliveries", "deliveries.html", words.t("deliveries.title"),
               {"table": table, "titles": shown})  # fmt: skip
    for source, known in found.contracts.items():
        standings = [subject.standing(found, source, period) for period in reversed(found.periods)]
        yield Page(
            f"deliveries/{source}.html", "deliveries", "delivery.html", titles[source],
            {"contract": known, "standings": standings},
            trail=(("deliveries.html", words.t("deliveries.title")),),
        )  # fmt: skip
