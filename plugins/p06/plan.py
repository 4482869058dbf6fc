"""Which periods are stale, and why: the ledger's accepted extracts against the inputs of the current release."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import psycopg
from psycopg import sql

from p06 import approval, codelist, contract, reason, steward, token
from p06.build import ExtractRef, followed, not_made
from p06.period import Period, months
from p06.reason import REGISTER, Delivered, Reason
from p06.settings import settings

if TYPE_CHECKING:
    from p06.linkage import Model

State = Literal["stale", "outdated", "held", "not ready", "in backfill", "waiting", "approved"]


@dataclass(frozen=True)
class Inputs:
    """Everything a build of one period reads; two builds with one fingerprint give the same marts."""

    period: Period
    extracts: dict[str, ExtractRef]
    register: tuple[ExtractRef, ...]
    content: dict[str, Any]
    model: Model | None = None  # when linkage is enabled
    decisions: tuple[steward.Decision, ...] = ()  # of stewards, about records the extracts hold
    earlier: tuple[ExtractRef, ...] = ()  # of the months before, for what is followed from month to month

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical content."""
        return _fingerprint(self.content)

    @property
    def known_as(self) -> frozenset[str]:
        """The fingerprint, and the one this content had while links of nobody known were told apart from no links."""
        if self.content["joined_later"]:
            return frozenset({self.fingerprint})
        return frozenset({self.fingerprint, _fingerprint(self.content | {"joined_later": _nobody_joined()})})


def _fingerprint(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _nobody_joined() -> str:
    return token.keyed_digest("links", [])


@dataclass(frozen=True)
class Entry:
    """One period that is not simply up to date; ``rebuilds`` names the marts a release of it would build."""

    period: Period
    state: State
    causes: tuple[Reason, ...]
    missing: tuple[str, ...] = ()
    rebuilds: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """The causes as sentences; what is missing is told by ``missing``."""
        return tuple(cause.sentence for cause in self.causes if cause.kind != "not_received")

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "period": str(self.period),
            "state": self.state,
            "reasons": self.reasons,
            "missing": self.missing,
            "causes": [cause.as_dict() for cause in self.causes],
            "rebuilds": self.rebuilds,
        }

    @property
    def releasable(self) -> bool:
        """Whether a bare release would publish it: build it first, or what was approved as it stands."""
        return self.state in ("stale", "approved")


class Ledger:
    """One consistent reading of the ledger, from which each period's inputs are derived."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.contracts = contract.load_all()
        self.accepted: dict[Period, dict[str, ExtractRef]] = {}
        self.marks: dict[str, tuple[str, str, int]] = {}
        for row in connection.execute(_ACCEPTED).fetchall():
            ref = ExtractRef(
                extract_id=row[0],
                source=row[1],
                period=Period.of(row[2]),
                leaf=row[3],
                revision=row[4],
                admin_code_version=row[5],
                received=row[6],
                duplicates=row[7],
                quarantined=row[8],
                staged=row[9],
            )
            self.accepted.setdefault(ref.period, {})[ref.source] = ref
            self.marks[ref.extract_id] = (ref.extract_id, row[10], row[11])
        self.register = tuple(
            refs[REGISTER] for _, refs in sorted(self.accepted.items(), key=lambda item: item[0]) if REGISTER in refs
        )
        self._links: list[tuple[Period, int, int]] | None = None
        self.model = _linkage_model()
        self.decisions = steward.in_force(connection)
        self._touched: dict[str, frozenset[str]] | None = None

    @property
    def periods(self) -> list[Period]:
        """Every period something was accepted for, oldest first."""
        return sorted(self.accepted)

    def inputs(self, period: Period) -> Inputs:
        """What a build of the period would read now."""
        extracts = {name: ref for name, ref in self.accepted.get(period, {}).items() if name != REGISTER}
        decided = self._decided(extracts)
        pairs = {pair for by_pair in decided.values() for pair in by_pair}
        decisions = tuple(decision for decision in self.decisions if decision.pair in pairs)
        content = {
            "extracts": {name: self.marks[ref.extract_id] for name, ref in sorted(extracts.items())},
            "register": [
                (str(ref.period), *self.marks[ref.extract_id], *self._form(ref))
                for ref in self.register
                if ref.period <= period
            ],
            "joined_later": self._joined_later(period, {decision.citizen for decision in decisions}),
            "reference": {name: codelist.hash(name) for name in ("area", "area_change")},
        }
        if self.model is not None:
            content["linkage"] = self.model.hash
        if decided:
            content["decisions"] = decided
        earlier = followed(self.accepted, period)
        if earlier:
            content["earlier"] = [(ref.source, str(ref.period), *self.marks[ref.extract_id]) for ref in earlier]
        return Inputs(period, extracts, self.register, json.loads(json.dumps(content)), self.model, decisions, earlier)

    def _form(self, ref: ExtractRef) -> tuple[str, ...]:
        """Named where it is not the changes alone."""
        form = self.contracts[REGISTER].register_form(ref.period)
        return () if form == "changes" else (form,)

    def missing(self, period: Period) -> tuple[str, ...]:
        """Sources due for the period, neither accepted nor waived, and register months missing before it."""
        from p06 import suite

        present = self.accepted.get(period, {})
        absent = [
            source
            for source, known in self.contracts.items()
            if source not in present and known.is_due(period) and suite.source_waived(source, period) is None
        ]
        if self.register:
            held = {ref.period for ref in self.register}
            first = self.register[0].period
            absent += [
                f"{REGISTER} {month}"
                for month in months(first, period)
                if month not in held and month != period and suite.source_waived(REGISTER, month) is None
            ]
        if REGISTER not in absent and not any(ref.period <= period for ref in self.register):
            absent.append(REGISTER)
        return tuple(absent)

    def _decided(self, extracts: dict[str, ExtractRef]) -> dict[str, dict[str, str]]:
        """Source -> pair -> what a steward decided, of the decisions about records these extracts hold."""
        if not self.decisions:
            return {}
        if self._touched is None:
            sources = {decision.source for decision in self.decisions}
            refs = [ref for accepted in self.accepted.values() for ref in accepted.values() if ref.source in sources]
            self._touched = steward.touches(self.connection, {ref.leaf: ref.source for ref in refs})
        rejected_too = self.model is not None
        found = {
            source: steward.marks(self.decisions, self._touched.get(ref.leaf, frozenset()), rejected_too)
            for source, ref in sorted(extracts.items())
        }
        return {source: marks for source, marks in found.items() if marks}

    def delivered(self, extract_ids: Iterable[str]) -> dict[str, Delivered]:
        """What the ledger says of these extracts, accepted now or once."""
        floors = {ref.extract_id: ref.revision for refs in self.accepted.values() for ref in refs.values()}
        rows = self.connection.execute(
            "select extract_id, source, to_char(period, 'YYYY-MM'), revision, accepted_at at time zone 'UTC',"
            " staged_at at time zone 'UTC', contract_version from control.extract where extract_id = any(%s)",
            (sorted(set(extract_ids)),),
        ).fetchall()
        return {
            name: Delivered(name, source, month, floors.get(name, revision), accepted, staged, version)
            for name, source, month, revision, accepted, staged, version in rows
        }

    def joining(self, period: Period) -> tuple[str, ...]:
        """The register months after the period that join numbers known up to it."""
        later = [(month, {number, previous}) for month, number, previous in self._all_links() if month > period]
        known = self._known(sorted({number for _, pair in later for number in pair}), period)
        return tuple(str(month) for month in sorted({month for month, pair in later if pair & known}))

    def _joined_later(self, period: Period, decided: Set[UUID]) -> str:
        """A keyed hash of the numbers known up to the period whose person, or place in it, changes through later links.

        Of several numbers of one person the one furthest along the chain tells the state, in every month that holds it.
        A number that stewards decided about, by its token, counts beside them: it may be first heard of after the
        period, and lead to somebody known in it through a link that is later still.
        """
        links = self._all_links()
        later = [(number, previous) for month, number, previous in links if month > period]
        if not later:
            return ""  # as when nobody known is among them: the month stays as it is
        earlier = [(number, previous) for month, number, previous in links if month <= period]
        after, before = roots([*earlier, *later]), roots(earlier)
        order, order_before = depths([*earlier, *later]), depths(earlier)
        moved = sorted(
            number
            for number, root in after.items()
            if before.get(number, number) != root or order[number] != order_before.get(number, 0)
        )
        known = self._known(moved, period)
        if decided:
            known |= {number for number, named in token.citizen_tokens(moved) if named in decided}
        if not known:
            return ""
        return token.keyed_digest(
            "links", [f"{number}>{after[number]} {order[number]}" for number in moved if number in known]
        )

    def _all_links(self) -> list[tuple[Period, int, int]]:
        if self._links is None:
            self._links = [
                (ref.period, number, previous)
                for ref in self.register
                for number, previous in self.connection.execute(
                    sql.SQL(
                        "select citizen_id, previous_citizen_id from {} where previous_citizen_id is not null order by 1, 2"
                    ).format(sql.Identifier("staging", ref.leaf))
                ).fetchall()
            ]
        return self._links

    def _known(self, numbers: Sequence[int], period: Period) -> set[int]:
        """Which of the numbers a register extract up to the period names."""
        known: set[int] = set()
        for ref in self.register:
            if numbers and ref.period <= period:
                query = sql.SQL("select citizen_id from {leaf} where citizen_id = any(%s)").format(
                    leaf=sql.Identifier("staging", ref.leaf)
                )
                known |= {number for (number,) in self.connection.execute(query, (list(numbers),)).fetchall()}
        return known


def _linkage_model() -> Model | None:
    """The model when it is enabled; only then are the libraries imported that it needs. Raises P06-LINK-001, 002."""
    try:
        if json.loads((settings().linkage / "model.json").read_bytes())["enabled"] is False:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        pass  # whoever reads it says what is wrong with it
    from p06 import linkage

    model = linkage.load()
    return model if model.enabled else None


def roots(links: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Number -> root for every number of a (number, previous number) chain.

    Numbers joined by links are one person; the root is the number that states no previous one
    (the smallest of several, or of all in a circle).
    """
    parent: dict[int, int] = {}

    def find(number: int) -> int:
        parent.setdefault(number, number)
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    stating = set()
    for number, previous in links:
        if number == previous:
            continue
        stating.add(number)
        parent[find(number)] = find(previous)
    members: dict[int, list[int]] = {}
    for number in parent:
        members.setdefault(find(number), []).append(number)
    return {
        number: min([candidate for candidate in group if candidate not in stating] or group)
        for group in members.values()
        for number in group
    }


def depths(links: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Number -> how many numbers stand before it, by the longest way, as ``citizen_root`` counts them.

    Those in a circle, or behind one, have no such number: the links of all of them stand for it, below zero.
    """
    before: dict[int, set[int]] = {}
    behind: dict[int, list[int]] = {}
    for number, previous in {(number, previous) for number, previous in links if number != previous}:
        before.setdefault(number, set()).add(previous)
        before.setdefault(previous, set())
        behind.setdefault(previous, []).append(number)
    found = {number: 0 for number, stated in before.items() if not stated}
    ready, waiting = list(found), {number: len(stated) for number, stated in before.items()}
    while ready:
        previous = ready.pop()
        for number in behind.get(previous, ()):
            found[number] = max(found.get(number, 0), found[previous] + 1)
            waiting[number] -= 1
            if not waiting[number]:
                ready.append(number)
    circling = sorted((number, previous) for number, stated in before.items() if waiting[number] for previous in stated)
    mark = -1 - int.from_bytes(hashlib.sha256(repr(circling).encode()).digest()[:8], "big") if circling else 0
    return found | {number: mark for number, count in waiting.items() if count}


def plan(connection: psycopg.Connection[Any]) -> list[Entry]:
    """Every period that is stale, outdated, held or waiting, oldest first; nothing for those up to date.

    ``connection`` is in autocommit: the plan is read in one snapshot of its own.
    """
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        return _plan(connection, Ledger(connection))


def _plan(connection: psycopg.Connection[Any], ledger: Ledger) -> list[Entry]:
    from p06 import build, gate

    model_hash, gate_key = build.model_hash(), gate.marts_key()
    current = {
        Period.of(row[0]): row[1:]
        for row in connection.execute(
            "select r.period, r.fingerprint, r.model_hash, b.inputs, r.release_id from control.published p"
            " join control.release r using (release_id) join control.build b on b.build_id = r.build_id"
        ).fetchall()
    }
    holds = {
        Period.of(row[0]): row[1:]
        for row in connection.execute(
            "select period, kind, fingerprint, gate_key, model_hash, why from control.hold"
        ).fetchall()
    }
    questions = approval.standing(connection)
    entries = []
    for period in sorted({*ledger.periods, *current}):
        inputs = ledger.inputs(period)
        released = current.get(period)
        hold = holds.get(period)
        held = hold is not None and hold[1] in inputs.known_as and _still(hold, gate_key, model_hash)
        missing = ledger.missing(period)
        question = None if held or missing else _still_asked(questions.get(period), inputs, gate_key)
        if question is None and not held and released is not None and released[0] in inputs.known_as:
            if released[1] != model_hash:
                rebuilds = _rebuilds(connection, ledger, period)
                entries.append(Entry(period, "outdated", (reason.models(str(period), released[3]),), rebuilds=rebuilds))
            continue
        causes = (
            (reason.first(str(period)),)
            if released is None
            else tuple(_differences(period, released[2], inputs.content, ledger))
        )
        rebuilds = _rebuilds(connection, ledger, period)
        if held and hold is not None:
            causes = (reason.held(str(period), hold[0], hold[4]), *causes)
            entries.append(Entry(period, "held", causes, rebuilds=rebuilds))
        elif question is not None:
            entries.append(_asked(period, question, causes, _in_backfill(connection, period)))
        elif missing:
            causes = (*causes, *(reason.not_received(str(period), name) for name in missing))
            entries.append(Entry(period, "not ready", causes, missing))
        elif _in_backfill(connection, period):
            entries.append(Entry(period, "in backfill", (*causes, reason.in_backfill(str(period))), rebuilds=rebuilds))
        else:
            entries.append(Entry(period, "stale", causes, rebuilds=rebuilds))
    return entries


def _still_asked(question: approval.Question | None, inputs: Inputs, gate_key: str) -> approval.Question | None:
    """The question about a period while it speaks of today's inputs, suites and waivers in force; a rejection is a hold."""
    if question is None or question.state == "rejected":
        return None
    same = question.fingerprint in inputs.known_as and question.gate_key == gate_key
    return question if same and not approval.lapsed(question.evidence) else None


def _asked(period: Period, question: approval.Question, causes: tuple[Reason, ...], in_backfill: bool) -> Entry:
    told = reason.asked(str(period), question.state, question.answer_by, question.who, question.reasons)
    if in_backfill:
        return Entry(period, "in backfill", (told, *causes, reason.in_backfill(str(period))))
    state: State = "held" if question.state == "expired" else "waiting" if question.state == "waiting" else "approved"
    return Entry(period, state, (told, *causes))


def _rebuilds(connection: psycopg.Connection[Any], ledger: Ledger, period: Period) -> tuple[str, ...]:
    """The marts a release of the period would build: all of the month, and the citizens' history when it moves."""
    from p06 import marts

    received = ledger.accepted.get(period, {})
    idle = not_made(period, {*received, *(ref.source for ref in followed(ledger.accepted, period))})
    return (
        *(("dim_citizen",) if moves_history(connection, ledger, period) else ()),
        *(name for name in marts.of_a_month(period, received) if name not in idle),
    )


def moves_history(connection: psycopg.Connection[Any], ledger: Ledger, period: Period) -> bool:
    """Whether the register readers see was written from other extracts, or does not reach the period."""
    row = connection.execute(
        "select b.build_id, (select max(period) from control.published) from control.register_state s"
        " inner join control.release r on r.register_state_after = s.state"
        " inner join control.build b on b.build_id = r.build_id order by b.build_id desc limit 1"
    ).fetchone()
    if row is None or row[1] is None or row[1] < period.first_day:
        return True
    pinned = connection.execute(
        "select extract_id from control.build_extract where build_id = %s and source = %s", (row[0], REGISTER)
    ).fetchall()
    return {extract_id for (extract_id,) in pinned} != {ref.extract_id for ref in ledger.register}


def _still(hold: tuple[Any, ...], gate_key: str, model_hash: str) -> bool:
    """Whether what a hold depends on beside the inputs is as it was: (kind, fingerprint, gate key, model hash, why)."""
    if hold[0] == "failed":
        return bool(hold[3] == model_hash)
    return bool(hold[0] == "rollback" or hold[2] == gate_key)


def would_build(entries: Sequence[Entry]) -> list[str]:
    """What a bare release would do, in lines; empty when it would build nothing."""
    approved = [str(entry.period) for entry in entries if entry.state == "approved"]
    told = [f"a release would publish what was approved: {' '.join(approved)}"] if approved else []
    periods = [entry for entry in entries if entry.state == "stale"]
    if not periods:
        return told
    built = sorted({name for entry in periods for name in entry.rebuilds})
    named = " ".join(str(entry.period) for entry in periods)
    return [
        *told,
        f"a release would build {len(periods)} month{'s' * (len(periods) > 1)}: {named}",
        f"         marts: {' '.join(built)}",
    ]


def wake(period: Period) -> bool:
    """Whether a bare release would build or publish the period now."""
    return period in stale_periods()


def stale_periods() -> list[Period]:
    """The periods a bare release would build or publish now, oldest first."""
    from p06 import database

    with database.connect("publisher", autocommit=True) as connection:
        return [entry.period for entry in plan(connection) if entry.releasable]


def _in_backfill(connection: psycopg.Connection[Any], period: Period) -> bool:
    return bool(
        connection.execute(
            "select 1 from control.backfill where closed_at is null and first_period <= %s limit 1", (period.first_day,)
        ).fetchone()
    )


def _differences(period: Period, before: dict[str, Any], after: dict[str, Any], ledger: Ledger) -> list[Reason]:
    """What tells two contents apart, one function for each part of them."""
    month = str(period)
    told: list[Reason] = []
    told += _moved_extracts(month, before, after, ledger)
    joined = before["joined_later"]
    if after["joined_later"] != ("" if joined == _nobody_joined() else joined):
        told.append(reason.joined(month, ledger.joining(period)))
    lists = [name for name in after["reference"] if before["reference"].get(name) != after["reference"][name]]
    if lists:
        told.append(reason.areas(month, lists))
    return told + _linkage_differences(month, before, after)


def _linkage_differences(month: str, before: dict[str, Any], after: dict[str, Any]) -> list[Reason]:
    """The same for linkage and stewards' decisions; those about a source's new rows came with the rows."""
    told = []
    if before.get("linkage") != after.get("linkage"):
        told.append(reason.linkage(month, bool(before.get("linkage")), bool(after.get("linkage"))))
    earlier, later = before.get("decisions", {}), after.get("decisions", {})
    same = {source for source in {*earlier, *later} if before["extracts"].get(source) == after["extracts"].get(source)}
    told += [
        reason.decided(month, sentence)
        for sentence in steward.told(
            {pair: mark for source in same for pair, mark in earlier.get(source, {}).items()},
            {pair: mark for source in same for pair, mark in later.get(source, {}).items()},
        )
    ]
    return told


def _moved_extracts(month: str, before: dict[str, Any], after: dict[str, Any], ledger: Ledger) -> list[Reason]:
    """The month's own extracts, then the register months up to it, then those of months before that are followed."""

    def marks(content: dict[str, Any]) -> dict[tuple[int, str], Sequence[Any]]:
        own = {(0, source): mark for source, mark in content["extracts"].items()}
        own |= {(1, at): mark for at, *mark in content["register"]}
        return own | {(2, f"{source} {at}"): mark for source, at, *mark in content.get("earlier", ())}

    old, new = marks(before), marks(after)
    apart = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    known = ledger.delivered(mark[0] for key in apart for mark in (old.get(key), new.get(key)) if mark)
    return [told for key in apart for told in reason.moved(month, old.get(key), new.get(key), known)]


# The revision is the highest under which the content was stated, so that it does not depend on which came first.
_ACCEPTED = """
select e.extract_id, e.source, e.period, e.staging_table, a.revision_floor, e.admin_code_version,
    e.received, e.duplicates, e.quarantined, e.staged, e.contract_hash, e.replay_number
from control.accepted as a
join control.extract as e using (extract_id)
"""
