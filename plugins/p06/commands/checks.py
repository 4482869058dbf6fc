"""``p06 checks``: what the gates ask, how much each check weighs and who answers for it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from p06.commands.printing import show_json, show_table
from p06.errors import UsageError


def checks(
    subject: Annotated[
        str | None, typer.Argument(metavar="[SUBJECT]", help="A source or mart; all by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """What the gates ask of extracts and marts: every check with its weight, threshold and owner."""
    from p06 import suite
    from p06.dimension import DIMENSIONS

    suites = [loaded for loaded in suite.load_all() if subject in (None, loaded.name)]
    if not suites:
        raise UsageError("P06-GATE-001", subject=subject if subject and subject.isidentifier() else None)
    if as_json:
        show_json([_told(loaded.kind, loaded.name, check) for loaded in suites for check in loaded.checks])
        return
    show_table(
        "Checks",
        ("subject", "check", "dimension", "severity", "threshold", "owner", "what"),
        [
            (
                *(loaded.name, check.id, DIMENSIONS[check.dimension].vi, check.severity),
                *(check.threshold(), check.owner, check.title["en"]),
            )
            for loaded in suites
            for check in loaded.checks
        ],
    )


def _told(kind: str, name: str, check: Any) -> dict[str, Any]:
    from p06.dimension import DIMENSIONS

    word = DIMENSIONS[check.dimension]
    return {
        "kind": kind,
        "subject": name,
        "check": check.id,
        "dimension": check.dimension,
        "dimension_vi": word.vi,
        "dimension_en": word.en,
        "iso_25012": list(word.iso),
        "severity": check.severity,
        "owner": check.owner,
        "title": dict(check.title),
        "reason": dict(check.reason),
        "threshold": check.threshold(),
    }
