"""Sources by months: what is due, what arrived, what was refused, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator

from p06.site import subject
from p06.site.evidence import TREND, Evidence
from p06.site.page import Page
from p06.site.words import Words

TOGETHER = 7  # sources beside each other; more have no room for their names
FEWER = 12  # months, where there are so many sources that the page would never end; a source's page has them all


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """The table of the newest months, and a page for each source with every extract and refusal."""
    titles = {name: subject.title(found, words, name) for name in found.contracts}
    names = [name for name in found.contracts if name not in found.idle]
    parts = [names[first : first + TOGETHER] for first in range(0, len(names), TOGETHER)]
    shown = found.periods[-(TREND if len(parts) == 1 else FEWER) :][::-1]
    tables = [
        ({source: titles[source] for source in part},
         [(period, [subject.standing(found, source, period) for source in part]) for period in shown])
        for part in parts
    ]  # fmt: skip
    yield Page("deliveries.html", "deliveries", "deliveries.html", words.t("deliveries.title"),
               {"tables": tables, "titles": titles, "shown": TREND if len(parts) == 1 else FEWER, "whole": len(parts) == 1})  # fmt: skip
    for source, known in found.contracts.items():
        standings = [subject.standing(found, source, period) for period in reversed(found.periods)]
        yield Page(
            f"deliveries/{source}.html", "deliveries", "delivery.html", titles[source],
            {"contract": known, "standings": standings},
            trail=(("deliveries.html", words.t("deliveries.title")),),
        )  # fmt: skip
