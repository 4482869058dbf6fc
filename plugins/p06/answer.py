"""The use case: a quality officer approves or rejects a build that waits, and what follows from it.

The ledger decides. An answer given at the command line is carried to the run of Airflow that shows the question, one
given in Airflow is written to the ledger by that run; whichever reaches the ledger first is the answer.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Callable
from dataclasses import replace

from p06 import airflow_api, approval, database, fault, publish, release
from p06.approval import Question, Verdict, Via
from p06.errors import P06Error, UsageError
from p06.period import Period
from p06.plan import Ledger

Report = Callable[[str], None]
DAG = "approval"
APPROVE, REJECT = "Approve", "Reject"  # what Airflow's operator calls them
WHY_LIMIT = 500
_NOT_RUNNING = "P06-STACK-004"
_NUMBER = re.compile(r"#([0-9]+)$")


def pending(everything: bool = False) -> list[Question]:
    """What waits for an officer, was approved and is not published yet, or ran out of time; or every question ever.

    A question whose inputs, suites or waivers changed since it was asked, or whose waiver has ended, is ``overtaken``.
    """
    from p06 import gate

    with database.connect("publisher", autocommit=True) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        found = approval.questions(connection)
        ledger, key = Ledger(connection), gate.marts_key()
        for index, question in enumerate(found):
            if question.state in ("waiting", "approved", "expired"):
                same = (
                    ledger.inputs(question.period).fingerprint == question.fingerprint
                    and key == question.gate_key
                    and not approval.lapsed(question.evidence)
                    and not ledger.missing(question.period)
                    and not publish.overtaken(connection, question.build_id)
                )
                found[index] = question if same else replace(question, state="overtaken")
    return [question for question in found if everything or question.state in ("waiting", "approved", "expired")]


def waiting(period: Period) -> Question | None:
    """The question about a period that still matters: waiting, approved, rejected or out of time; None otherwise."""
    with database.connect("publisher", autocommit=True) as connection:
        return approval.standing(connection, period).get(period)


def asked(build_id: int) -> bool:
    """Whether somebody must still answer for a build."""
    with database.connect("publisher", autocommit=True) as connection:
        return any(q.build_id == build_id and q.state == "waiting" for q in approval.standing(connection).values())


def answer(period: Period, verdict: Verdict, why: str, report: Report = lambda text: None) -> release.Result | None:
    """Approve or reject at the command line; what became of the period after an approval, None after a rejection.

    An approval publishes the very build that was asked about. Whoever gave the answer may give it again, to finish what
    a killed process left, while that is what readers see. Raises UsageError P06-APPROVAL-001 when nothing of the
    period waits, 002 when it was answered, 003 when the question is no longer the same, 004 without a why.
    """
    why = why.strip()
    if not 0 < len(why) <= WHY_LIMIT:
        raise UsageError("P06-APPROVAL-004")
    question = next((q for q in reversed(pending(everything=True)) if q.period == period), None)
    mine = question is not None and (question.verdict, question.who, question.via) == (verdict, who(), "cli")
    if question is not None and question.state == "published":
        mine = mine and not _undone(question)
    if question is None or question.state == "expired" or (question.verdict and not mine):
        raise UsageError("P06-APPROVAL-002" if question and question.verdict else "P06-APPROVAL-001", period=period)
    if question.state == "overtaken":
        raise UsageError("P06-APPROVAL-003", period=period)
    if question.state == "waiting":
        enter(question.request_id, verdict, who(), "cli", why)
    fault.point("approval.answered")
    result = None
    if verdict == "approve" and question.state == "published":
        result = release.Result(period, "published", release.publish_build(question.build_id))
    elif verdict == "approve":
        result = release.release([period], report=report)[0]
    fault.point("approval.told")
    carry_to_airflow(report)
    return result


def _undone(question: Question) -> bool:
    """Whether readers no longer see what was published by its answer."""
    with database.connect("publisher", autocommit=True) as connection:
        return publish.overtaken(connection, question.build_id)


def give(request_id: int, verdict: Verdict, name: str, why: str, report: Report = lambda text: None) -> None:
    """Approve or reject on a page, as an account of Airflow; Airflow's run of the question publishes what was approved.

    Raises UsageError P06-APPROVAL-001 when nothing waits under that number, 002 when somebody answered in between, 003
    when the question is no longer the same, 004 without a why, 006 when the account is no officer's.
    """
    why = why.strip()
    if not 0 < len(why) <= WHY_LIMIT:
        raise UsageError("P06-APPROVAL-004")
    if name not in airflow_api.officers():
        raise UsageError("P06-APPROVAL-006", variable="P06_OFFICERS")
    question = next((one for one in pending(everything=True) if one.request_id == request_id), None)
    if question is not None and question.verdict:
        raise UsageError("P06-APPROVAL-002", period=question.period)
    if question is not None and question.state == "overtaken":
        raise UsageError("P06-APPROVAL-003", period=question.period)
    if question is None or question.state != "waiting":
        raise UsageError("P06-APPROVAL-001", request=request_id)
    enter(request_id, verdict, name, "page", why)
    fault.point("approval.answered")
    carry_to_airflow(report)


def enter(request_id: int, verdict: Verdict, name: str, via: Via, why: str | None) -> None:
    """Write an answer into the ledger as a quality officer. Raises UsageError P06-APPROVAL-001, 002."""
    with database.connect("quality", autocommit=True) as connection:
        approval.answer(connection, request_id, verdict, name, via, why)


def settled(request_id: int) -> Question | None:
    """A question as it stands now, by its number; None when there is no such question."""
    with database.connect("publisher", autocommit=True) as connection:
        return next((q for q in approval.questions(connection) if q.request_id == request_id), None)


def carry_to_airflow(report: Report = lambda text: None) -> list[str]:
    """End the runs of Airflow that still show a question the ledger has an answer to, or asks no more.

    Returns ``period verdict`` of each. Nothing happens when Airflow does not answer: the watch does it later.
    """
    done = []
    try:
        with airflow_api.connect() as airflow:
            shown = [(number, one) for one in airflow.questions(DAG) if (number := number_of(one.subject))]
            for number, one in shown:
                question = settled(number)
                if question is not None and question.state == "waiting":
                    continue
                option = APPROVE if question is not None and question.verdict == "approve" else REJECT
                if airflow.respond(DAG, one, option):
                    done.append(f"{question.period if question else number} {option.lower()}")
    except P06Error as error:
        if error.code != _NOT_RUNNING:
            report(f"Airflow was not told: {error}")
    return done


def forgotten() -> list[Period]:
    """The periods that wait for an officer without a run of Airflow that asks; oldest first."""
    with database.connect("publisher", autocommit=True) as connection:
        found = sorted(q.period for q in approval.standing(connection).values() if q.state == "waiting")
    if not found:
        return []
    with airflow_api.connect() as airflow:
        busy = airflow.active()
    return [period for period in found if (DAG, str(period)) not in busy]


def subject(question: Question) -> str:
    """The headline of a question in Airflow; its number stands last."""
    return f"Duyệt công bố kỳ {question.period} · Approve {question.period} #{question.request_id}"


def number_of(headline: str) -> int | None:
    """The number of the question a headline names."""
    found = _NUMBER.search(headline)
    return int(found[1]) if found else None


def body(question: Question) -> str:
    """The evidence in Markdown, Vietnamese first: figures only."""
    lines = [
        f"Lượt dựng {question.build_id} đã qua cổng chất lượng. Trả lời trước {question.answer_by:%Y-%m-%d %H:%M} UTC,"
        " nếu không kỳ này không được công bố.",
        "",
        f"Build {question.build_id} has passed its gate. Answer by {question.answer_by:%Y-%m-%d %H:%M} UTC, or the period"
        " is not published.",
        "",
        f"**Cần duyệt vì · Asked by:** {'; '.join(question.reasons)}",
        "",
    ]
    if not question.evidence:
        return "\n".join([*lines, "Không có cảnh báo · No warning."])
    lines += [
        "| Đối tượng · Subject | Phép kiểm · Check | Kết quả · Observed | Ngưỡng · Threshold | Miễn trừ · Waived by |",
        "|---|---|---|---|---|",
    ]
    for one in question.evidence:
        of = one.get("source") or one["mart"]
        month = one.get("extract_period")
        cells = (
            f"{of} {month}" if month else of,
            f"{one['title_vi']} · {one['title_en']} (`{one['check']}`)",
            one.get("observed") or "–",
            one.get("threshold") or "–",
            one.get("waived_by") or "",
        )
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def who() -> str:
    """The account of the operating system, as the ledger names it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
