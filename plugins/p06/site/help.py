"""Help: the words a newcomer learns, what every code means, whom to ask."""

from __future__ import annotations

from collections.abc import Iterator

from p06.errors import messages
from p06.site import subject
from p06.site.evidence import Evidence
from p06.site.page import Page
from p06.site.words import Words

WORDS = ("contract", "period", "extract", "quarantine", "gate", "release")


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """Words and whom to ask, and the codes on a page of their own."""
    title = words.t("help.title")
    owners: dict[str, set[str]] = {}
    for suite in found.suites.values():
        for check in suite.checks:
            owners.setdefault(check.owner, set()).add(suite.name)
    yield Page(
        "help.html", "help", "help.html", title,
        {"six": WORDS, "dimensions": subject.DIMENSIONS, "contracts": list(found.contracts.values()),
         "desks": {name: words.pair(*known.desk) for name, known in found.contracts.items()},
         "titles": {name: subject.title(found, words, name) for name in found.contracts},
         "owners": sorted((owner, sorted(names)) for owner, names in owners.items())},
    )  # fmt: skip
    codes = sorted(messages())
    reasons = [code for code in codes if not code.startswith("P06-")]
    groups: dict[str, list[str]] = {}
    for code in codes:
        if code.startswith("P06-"):
            groups.setdefault(code.split("-")[1], []).append(code)
    yield Page("help/codes.html", "help", "codes.html", words.t("help.codes"), {"reasons": reasons, "groups": groups},
               (("help.html", title),))  # fmt: skip
