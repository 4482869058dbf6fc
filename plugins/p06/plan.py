"""Which periods are stale, and why: the ledger's accepted extracts against the inputs of the current release."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import sql

from p06 import codelist, contract, steward, token
from p06.build import ExtractRef
from p06.period import Period, months
from p06.settings import settings

if TYPE_CHECKING:
    from p06.linkage import Model

State = Literal["stale", "outdated", "held", "not ready", "in backfill"]
REGISTER = "population_register"


@dataclass(frozen=True)
class Inputs:
    """Everything a build of one period reads; two builds with one fingerprint give the same marts."""

    period: Period
    extracts: dict[str, ExtractRef]
    register: tuple[ExtractRef, ...]
    content: dict[str, Any]
    model: Model | None = None  # when linkage is enabled
    decisions: tuple[steward.Decision, ...] = ()  # of stewards, about records the extracts hold

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical content."""
        return hashlib.sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """One period that is not simply up to date."""

    period: Period
    state: State
    reasons: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def releasable(self) -> bool:
        """Whether a bare release would build it."""
        return self.state == "stale"


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
        content = {
            "extracts": {name: self.marks[ref.extract_id] for name, ref in sorted(extracts.items())},
            "register": [
                (str(ref.period), *self.marks[ref.extract_id], *self._form(ref))
                for ref in self.register
                if ref.period <= period
            ],
            "joined_later": self._joined_later(period),
            "reference": {name: codelist.hash(name) for name in ("area", "area_change")},
        }
        if self.model is not None:
            content["linkage"] = self.model.hash
        decided = self._decided(extracts)
        if decided:
            content["decisions"] = decided
        pairs = {pair for by_pair in decided.values() for pair in by_pair}
        decisions = tuple(decision for decision in self.decisions if decision.pair in pairs)
        return Inputs(period, extracts, self.register, json.loads(json.dumps(content)), self.model, decisions)

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
            if source not in present
            and (known.due_from is None or known.due_from <= period)
            and suite.source_waived(source, period) is None
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

    def _joined_later(self, period: Period) -> str:
        """A keyed hash of the numbers known up to the period whose person changes through later links."""
        links = self._all_links()
        later = [(number, previous) for month, number, previous in links if month > period]
        if not later:
            return ""
        earlier = [(number, previous) for month, number, previous in links if month <= period]
        after, before = roots([*earlier, *later]), roots(earlier)
        moved = sorted(number for number, root in after.items() if before.get(number, number) != root)
        known = self._known(moved, period)
        return token.keyed_digest("links", [f"{number}>{after[number]}" for number in moved if number in known])

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
    entries = []
    for period in sorted({*ledger.periods, *current}):
        inputs = ledger.inputs(period)
        released = current.get(period)
        hold = holds.get(period)
        held = hold is not None and hold[1] == inputs.fingerprint and _still(hold, gate_key, model_hash)
        if not held and released is not None and released[0] == inputs.fingerprint:
            if released[1] != model_hash:
                reason = (
                    f"the models changed since release {released[3]}; `p06 release {period} --rebuild` builds it again"
                )
                entries.append(Entry(period, "outdated", (reason,)))
            continue
        reasons = ("never released",) if released is None else tuple(_differences(released[2], inputs.content))
        missing = ledger.missing(period)
        if held and hold is not None:
            failure = (str(hold[4]),) if hold[0] == "failed" and hold[4] else ()
            entries.append(Entry(period, "held", (_HELD[hold[0]], *failure, *reasons)))
        elif missing:
            entries.append(Entry(period, "not ready", reasons, missing))
        elif _in_backfill(connection, period):
            entries.append(Entry(period, "in backfill", reasons))
        else:
            entries.append(Entry(period, "stale", reasons))
    return entries


def _still(hold: tuple[Any, ...], gate_key: str, model_hash: str) -> bool:
    """Whether what a hold depends on beside the inputs is as it was: (kind, fingerprint, gate key, model hash, why)."""
    if hold[0] == "failed":
        return bool(hold[3] == model_hash)
    return bool(hold[0] == "rollback" or hold[2] == gate_key)


def wake(period: Period) -> bool:
    """Whether a bare release would build the period now."""
    return period in stale_periods()


def stale_periods() -> list[Period]:
    """The periods a bare release would build now, oldest first."""
    from p06 import database

    with database.connect("publisher", autocommit=True) as connection:
        return [entry.period for entry in plan(connection) if entry.releasable]


def _in_backfill(connection: psycopg.Connection[Any], period: Period) -> bool:
    return bool(
        connection.execute(
            "select 1 from control.backfill where closed_at is null and first_period <= %s limit 1", (period.first_day,)
        ).fetchone()
    )


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Sentences that tell two contents apart."""
    told = []
    for source in sorted({*before["extracts"], *after["extracts"]}):
        old, new = before["extracts"].get(source), after["extracts"].get(source)
        if old == new:
            continue
        if old is None:
            told.append(f"{source} arrived: {new[0]}")
        elif new is None:
            told.append(f"{source} is no longer accepted")
        elif old[0] != new[0]:
            told.append(f"{source} was corrected: {new[0]} replaces {old[0]}")
        else:
            told.append(f"{source} was replayed")
    old_register = {entry[0]: entry[1:] for entry in before["register"]}
    for month, *mark in after["register"]:
        if old_register.pop(month, None) != mark:
            told.append(f"the register month {month} changed: {mark[0]}")
    told += [f"the register month {month} is no longer accepted" for month in old_register]
    if before["joined_later"] != after["joined_later"]:
        told.append("a later register month joined numbers of one person")
    if before["reference"] != after["reference"]:
        told.append("the list of areas changed")
    told += _linkage_differences(before, after)
    return told


def _linkage_differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The same for linkage and stewards' decisions; those about a source's new rows came with the rows."""
    told = []
    if before.get("linkage") != after.get("linkage"):
        verb = "changed" if before.get("linkage") and after.get("linkage") else "was switched"
        switched = "" if verb == "changed" else " on" if after.get("linkage") else " off"
        told.append(f"the linkage model {verb}{switched}")
    earlier, later = before.get("decisions", {}), after.get("decisions", {})
    same = {source for source in {*earlier, *later} if before["extracts"].get(source) == after["extracts"].get(source)}
    told += steward.told(
        {pair: mark for source in same for pair, mark in earlier.get(source, {}).items()},
        {pair: mark for source in same for pair, mark in later.get(source, {}).items()},
    )
    return told


_HELD = {
    "rollback": "rolled back; it stays so until its inputs change or the period is named",
    "blocked": "a gate blocked it; it stays so until its inputs, suites or waivers change or the period is named",
    "failed": "its build failed and would fail again; it stays so until its inputs or models change or the period is named",
    "rejected": "it was rejected; it stays so until its inputs, suites or waivers change or the period is named",
}

# The revision is the highest under which the content was stated, so that it does not depend on which came first.
_ACCEPTED = """
select e.extract_id, e.source, e.period, e.staging_table, a.revision_floor, e.admin_code_version,
    e.received, e.duplicates, e.quarantined, e.staged, e.contract_hash, e.replay_number
from control.accepted as a
join control.extract as e using (extract_id)
"""


def first_day(periods: Sequence[Period]) -> list[date]:
    """The periods as the database stores them."""
    return [period.first_day for period in periods]
