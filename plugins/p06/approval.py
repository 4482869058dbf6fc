"""The ledger of approvals: what a contract or a check asks of a quality officer, and what they answered.

A question is about one build and its inputs; neither it nor its answer is ever changed. The database takes answers
through one function only, and makes no release of a build that was asked about and not approved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

import psycopg
from psycopg.types.json import Jsonb

from p06 import alert, contract, footnote, seal, suite
from p06.errors import P06Error, UsageError, Waiting
from p06.footnote import Finding
from p06.period import Period

State = Literal["waiting", "approved", "rejected", "expired", "overtaken", "repeated", "published"]
Verdict = Literal["approve", "reject"]
Via = Literal["cli", "airflow", "page"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhd])")


@dataclass(frozen=True)
class Question:
    """A question about a build, and its answer. ``asks`` and ``evidence`` hold names and figures only."""

    request_id: int
    period: Period
    build_id: int
    fingerprint: str
    gate_key: str
    asks: tuple[dict[str, Any], ...]
    evidence: tuple[dict[str, Any], ...]
    asked_by: str
    asked_at: datetime
    answer_by: datetime
    state: State
    verdict: Verdict | None = None
    who: str | None = None
    role: str | None = None
    via: Via | None = None
    why: str | None = None
    at: datetime | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is asked, in words."""
        return tuple(
            f"contract {ask['contract']}: {ask['approval']}" if "contract" in ask else f"check {ask['check']}"
            for ask in self.asks
        )

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        hidden = ("fingerprint", "gate_key")
        values = {name: value for name, value in self.__dict__.items() if name not in hidden and value is not None}
        return values | {"period": str(self.period)}


def within() -> timedelta:
    """How long an officer has to answer: three days, or ``P06_APPROVAL_WITHIN`` (90s, 30m, 12h, 7d).

    Raises UsageError P06-APPROVAL-005.
    """
    span = _SPAN.fullmatch(os.environ.get("P06_APPROVAL_WITHIN", "3d"))
    if span is None:
        raise UsageError("P06-APPROVAL-005", variable="P06_APPROVAL_WITHIN")
    return timedelta(**{_UNITS[span[2]]: int(span[1])})


def lapsed(evidence: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a waiver has ended that let a check of a mart pass; ``evidence`` as of ``Finding.as_dict``.

    An extract accepted under a waiver stays accepted. Raises SuiteError P06-GATE-007.
    """
    passed = {
        one["waived_by"] for one in evidence if one.get("mart") and "waived_by" in one and one["severity"] == "block"
    }
    return bool(passed) and not passed <= {waiver.named for waiver in suite.waivers() if waiver.in_force()}


def wanted(connection: psycopg.Connection[Any], build_id: int, found: Sequence[Finding]) -> tuple[dict[str, Any], ...]:
    """Who asks for an approval of a build that passed its gate: contracts of its month's sources, then checks.

    A contract that says ``always`` asks for every month that holds its data; ``on_warnings`` when a check of the
    month's extract, of its fact or of a mart of several sources warned or was waived. Extracts of the register's earlier
    months were asked about in their own.
    """
    rows = connection.execute(
        "select distinct e.source, b.period from control.build_extract as e inner join control.build as b using (build_id)"
        " where e.build_id = %s and e.period = b.period",
        (build_id,),
    ).fetchall()
    known, asks = contract.load_all(), list[dict[str, Any]]()
    ours = [
        one for one in found if one.extract_period is None or one.extract_period.first_day in {day for _, day in rows}
    ]
    for source, _ in sorted(rows):
        rule = known[source].approval if source in known else "always"  # nobody says any more that it may pass
        concerned = any(source in footnote.sources_of(one) for one in ours)
        if rule == "always" or (rule == "on_warnings" and concerned):
            asks.append({"contract": source, "approval": rule})
    asks += [{"check": f"{one.subject}.{one.check}"} for one in ours if footnote.asking(one)]
    return tuple(asks)


def ask(
    connection: psycopg.Connection[Any],
    build_id: int,
    gate_key: str,
    asks: Sequence[dict[str, Any]],
    found: Sequence[Finding],
    who: str,
) -> None:
    """Enter the question about a build, in the transaction that says it passed its gate (role builder).

    What held the period is forgotten. When the same question was approved for an earlier build of the same inputs that
    another month overtook, that answer holds for this one.
    """
    evidence = [one.as_dict() for one in found]
    row = connection.execute(
        "insert into control.approval_request (build_id, period, fingerprint, gate_key, asks, evidence, asked_by, answer_by)"
        " select build_id, period, fingerprint, %s, %s, %s, %s, clock_timestamp() + %s from control.build where build_id = %s"
        " returning request_id, period",
        (gate_key, Jsonb(list(asks)), Jsonb(evidence), who, within(), build_id),
    ).fetchone()
    assert row is not None
    connection.execute("select control.carry_approval(%s)", (row[0],))
    connection.execute("delete from control.hold where period = %s", (row[1],))
    _tell(connection, row[0])
    seal.enter_entered(connection)


def was_asked(
    connection: psycopg.Connection[Any],
    build_id: int,
    gate_key: str,
    asks: Sequence[dict[str, Any]],
    found: Sequence[Finding],
) -> bool:
    """Whether the newest question about the build is this very one: the same suites, reasons and figures."""
    row = connection.execute(
        "select gate_key = %s and asks = %s and evidence = %s from control.approval"
        " where build_id = %s and state <> 'repeated'",
        (gate_key, Jsonb(list(asks)), Jsonb([one.as_dict() for one in found]), build_id),
    ).fetchone()
    return bool(row and row[0])


def ask_again(connection: psycopg.Connection[Any], question: Question, who: str) -> None:
    """The same question about the same build once more: it was rejected, or nobody answered in time (role builder)."""
    row = connection.execute(
        "insert into control.approval_request (build_id, period, fingerprint, gate_key, asks, evidence, asked_by, answer_by)"
        " select build_id, period, fingerprint, gate_key, asks, evidence, %s, clock_timestamp() + %s"
        " from control.approval_request where request_id = %s returning request_id",
        (who, within(), question.request_id),
    ).fetchone()
    assert row is not None
    connection.execute("delete from control.hold where period = %s", (question.period.first_day,))
    _tell(connection, row[0])
    seal.enter_entered(connection)


def _tell(connection: psycopg.Connection[Any], request_id: int) -> None:
    """Let officers know of a question, unless an answer already holds for it."""
    row = connection.execute(
        "select period, evidence from control.approval where request_id = %s and state = 'waiting'", (request_id,)
    ).fetchone()
    if row is not None:
        checks = sorted({f"{one.get('source') or one.get('mart')}.{one['check']}" for one in row[1]})
        about = f"question {request_id}"
        alert.note(connection, "approval_waiting", about, period=Period.of(row[0]), checks=checks)


def questions(connection: psycopg.Connection[Any], period: Period | None = None) -> list[Question]:
    """Every question ever asked (about a period), oldest first; of a build the last one counts."""
    rows = connection.execute(
        "select request_id, period, build_id, fingerprint, gate_key, asks, evidence, asked_by, asked_at, answer_by, state,"
        " verdict, who, role, via, why, at from control.approval"
        " where %(period)s::date is null or period = %(period)s order by request_id",
        {"period": period.first_day if period else None},
    ).fetchall()
    return [_question(*row) for row in rows]


def _question(request_id: int, first_day: date, build_id: int, fingerprint: str, key: str, *rest: Any) -> Question:
    asks, evidence, asked_by, asked_at, answer_by, state, *answer_given = rest
    verdict, name, role, via, why, at = answer_given
    return Question(
        request_id, Period.of(first_day), build_id, fingerprint, key, tuple(asks), tuple(evidence), asked_by, asked_at,
        answer_by, state, verdict, name, role, via, why, at,
    )  # fmt: skip


def standing(connection: psycopg.Connection[Any], period: Period | None = None) -> dict[Period, Question]:
    """Period -> the newest question about it that still matters: of a build neither published nor overtaken."""
    return {
        question.period: question
        for question in questions(connection, period)
        if question.state in ("waiting", "approved", "rejected", "expired")
    }


def approver(connection: psycopg.Connection[Any], build_id: int) -> str | None:
    """Who approved a build; None when nobody had to.

    Raises Waiting P06-RELEASE-011 while nobody has answered, P06-RELEASE-012 when it was rejected, P06-RELEASE-013 when
    the time to answer is over; P06Error P06-RELEASE-004 when nobody decided yet whether it must be asked.
    """
    row = connection.execute("select approval from control.build where build_id = %s", (build_id,)).fetchone()
    if row is None or row[0] is None:
        raise P06Error("P06-RELEASE-004", build=build_id)
    if row[0] == "none":
        return None
    newest = connection.execute(
        "select period, state, verdict, who from control.approval where build_id = %s and state <> 'repeated'",
        (build_id,),
    ).fetchone()
    if newest is not None and newest[2] == "approve":
        return str(newest[3])
    period, state = (Period.of(newest[0]), newest[1]) if newest else (None, "waiting")
    code = {"rejected": "P06-RELEASE-012", "expired": "P06-RELEASE-013"}.get(state, "P06-RELEASE-011")
    raise Waiting(code, period=period, build=build_id)


def answer(
    connection: psycopg.Connection[Any], request_id: int, verdict: Verdict, who: str, via: Via, why: str | None
) -> None:
    """Write an answer (role quality, in autocommit).

    Raises UsageError P06-APPROVAL-001 when nothing waits under that number, 002 when it was answered already.
    """
    try:
        with connection.transaction():
            connection.execute(
                "select quality.answer_approval(%s, %s, %s, %s, %s)", (request_id, verdict, who, via, why or None)
            )
            seal.enter_entered(connection)
    except psycopg.errors.UniqueViolation:
        raise UsageError("P06-APPROVAL-002", request=request_id) from None
    except psycopg.errors.NoDataFound:
        raise UsageError("P06-APPROVAL-001", request=request_id) from None
