"""Reconciliation: every row received is somewhere, drawn so that the eye can add it up."""

from __future__ import annotations

from collections.abc import Iterator

from p06.period import Period
from p06.site import figure, subject
from p06.site.evidence import Evidence
from p06.site.page import Page
from p06.site.words import Words

METHODS = ("id", "previous_id", "old_id", "insurance_no", "name_birth", "linked", "conflict", "none")


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """The newest month, and a page for each month readers see."""
    months = found.released[::-1]
    title = words.t("reconciliation.title")
    yield _month(found, words, months[0] if months else None, months, "reconciliation.html", title, ())
    for period in months:
        yield _month(found, words, period, months, f"reconciliation/{period}.html", f"{title}: {words.month(period)}",
                     (("reconciliation.html", title),))  # fmt: skip


def _month(
    found: Evidence,
    words: Words,
    period: Period | None,
    months: list[Period],
    address: str,
    title: str,
    trail: tuple[tuple[str, str], ...],
) -> Page:
    rows = [one for one in found.sums if period and Period.of(one.period) == period]
    methods: dict[str, dict[str, int]] = {}
    for day, source, method, records in found.methods:
        if period and Period.of(day) == period:
            methods.setdefault(source, {})[method] = records
    content = {
        "of_period": period,
        "rows": [(one, subject.title(found, words, one.source), figure.sums(one, words, subject.title(found, words, one.source)))
                 for one in rows],
        "months": [(month, all(one.adds_up for one in found.sums if Period.of(one.period) == month)) for month in months],
        "methods": methods,
        "method_names": METHODS,
        "titles": {name: subject.title(found, words, name) for name in found.contracts},
        "total": sum(one.received for one in rows),
    }  # fmt: skip
    return Page(address, "reconciliation", "reconciliation.html", title, content, trail)
