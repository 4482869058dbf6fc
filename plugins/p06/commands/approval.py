"""``p06 approvals``, ``p06 approve``, ``p06 reject``: what waits for a quality officer, and the answer."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from p06.commands.alerts import send_what_waits
from p06.commands.printing import show_json, show_table
from p06.commands.progress import Bar
from p06.errors import Waiting

PeriodArgument = Annotated[str, typer.Argument(metavar="PERIOD", help="A month, YYYY-MM.")]
Why = Annotated[str, typer.Option(help="Kept in the ledger; no names, no numbers of people.")]


def approvals(
    everything: Annotated[bool, typer.Option("--all", help="Also what was answered, published or overtaken.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """What waits for a quality officer, until when, and the evidence: the checks that failed, with their figures.

    Việc chờ cán bộ chất lượng duyệt, hạn trả lời và bằng chứng: các phép kiểm chưa đạt kèm số liệu.
    """
    from p06 import answer

    found = answer.pending(everything)
    if as_json:
        show_json([question.as_dict() for question in found])
        return
    if not found:
        print("nothing waits for approval", file=sys.stderr)
        return
    show_table(
        "Approvals",
        ("question", "period", "build", "state", "answer by", "asked because", "answered by", "via", "why"),
        [
            (
                q.request_id, q.period, q.build_id, q.state, q.answer_by.isoformat(timespec="seconds"),
                "; ".join(q.reasons), q.who, q.via, q.why,
            )
            for q in found
        ],
    )  # fmt: skip
    show_table(
        "Evidence",
        ("question", "subject", "month", "check", "what ought to be", "observed", "threshold", "waived by"),
        [
            (
                q.request_id, one.get("source") or one["mart"], one.get("extract_period"), one["check"], one["title_en"],
                one.get("observed"), one.get("threshold"), one.get("waived_by"),
            )
            for q in found
            for one in q.evidence
        ],
    )  # fmt: skip


def approve(period: PeriodArgument, why: Why) -> None:
    """Approve what waits, and publish the very build that was asked about."""
    from p06 import answer, site
    from p06.period import Period

    with Bar("publishing") as bar:
        result = answer.answer(Period.parse(period), "approve", why, bar)
        assert result is not None
        if result.outcome == "published":
            site.renew(bar)
    send_what_waits(_progress)
    if result.error is not None:
        if not isinstance(result.error, Waiting):
            print(f"{result.period}  approved, not published yet", file=sys.stderr)
        raise result.error
    print(f"{result.period}  approved  {result.release_id or result.outcome}")


def reject(period: PeriodArgument, why: Why) -> None:
    """Reject what waits: nothing is published, and the period is held until inputs, suites or waivers change."""
    from p06 import answer
    from p06.period import Period

    month = Period.parse(period)
    answer.answer(month, "reject", why, _progress)
    print(f"{month}  rejected; the last release is still served")


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
