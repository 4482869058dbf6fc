"""Replay: accepted extracts judged again from landing, under code lists that were mended since.

The replay is staged beside the accepted rows, gate 1 judges it, and one transaction puts it in their place: the same
extract under a higher replay number, which makes its months stale. Nothing readers see changes before that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from p06 import contract as contracts
from p06 import database, fault, gate, landing, ledger, load, lock, quarantine, seal, staging
from p06 import manifest as manifests
from p06.contract import Contract
from p06.errors import Busy, GateBlocked, P06Error
from p06.landing import Delivery
from p06.ledger import Connection, Counts, Extract
from p06.manifest import Manifest
from p06.period import Period

REPLAYED, UNCHANGED, BLOCKED, FAILED = "replayed", "unchanged", "blocked", "failed"
LISTS = ("area_list_missing", "unknown_code")  # reasons a mended code list can take away
_RANK = (1, 3, 4, 6)  # which exit code wins over several extracts

Report = Callable[[str], None]


@dataclass(frozen=True)
class Replayed:
    """One extract after a replay; ``before`` counts its rows in quarantine until now."""

    source: str
    period: str
    extract_id: str
    outcome: str
    before: int
    quarantined: int | None = None
    staged: int | None = None
    replay_number: int | None = None
    error: P06Error | None = None

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        error = {"code": self.error.code, "where": self.error.where} if self.error else None
        return {**self.__dict__, "error": error}


class _Unchanged(Exception):
    """The replay gives what is accepted already; its transaction is undone."""


def replay(source: str | None = None, period: Period | None = None, report: Report | None = None) -> list[Replayed]:
    """Judge again what a mended code list may have freed; with source and period named, whatever is in quarantine.

    The failure of one extract never stops the others.
    """
    say = report or (lambda _: None)
    results = []
    with database.connect("loader", autocommit=True) as connection:
        staging.sync(connection)
        for one in _waiting(connection, source, period):
            say(f"{one.extract_id}: judging again")
            results.append(_safely(connection, one))
            say(f"{one.extract_id}: {results[-1].outcome}")
    return results


def exit_code(results: Iterable[Replayed]) -> int:
    """0, or the exit code that matters most."""
    found = {result.error.exit_code for result in results if result.error is not None}
    return next((code for code in _RANK if code in found), 0)


def _waiting(connection: Connection, source: str | None, period: Period | None) -> list[Extract]:
    reasons = None if source is not None and period is not None else list(LISTS)
    names = connection.execute(
        "select a.extract_id from control.accepted as a where (%(source)s::text is null or a.source = %(source)s)"
        " and (%(period)s::date is null or a.period = %(period)s)"
        " and exists (select from control.quarantine_fault as f where f.extract_id = a.extract_id"
        "  and (%(reasons)s::text[] is null or f.reasons && %(reasons)s)) order by a.source, a.period",
        {"source": source, "period": period.first_day if period else None, "reasons": reasons},
    ).fetchall()
    return [one for (name,) in names if (one := ledger.extract(connection, name))]


def _safely(connection: Connection, one: Extract) -> Replayed:
    """The result of a replay. An exception that is not ours may quote a row, so only its kind is told."""
    failed = Replayed(one.source, str(one.period), one.extract_id, FAILED, one.counts.quarantined)
    try:
        return _replay(connection, one)
    except GateBlocked as error:
        return replace(failed, outcome=BLOCKED, error=error)
    except P06Error as error:
        return replace(failed, error=error)
    except Exception as error:
        kind = f"{type(error).__module__}.{type(error).__name__}"
        return replace(failed, error=P06Error("P06-QUAR-006", extract=one.extract_id, kind=kind))


def _replay(connection: Connection, one: Extract) -> Replayed:
    contract = contracts.load(one.source)
    if contract.at(one.period).hash != one.contract_hash:
        raise P06Error("P06-QUAR-003", extract=one.extract_id)
    with ledger.held(connection, one.source, str(one.period)):
        one = ledger.extract(connection, one.extract_id) or one  # another replay may have ended while this one waited
        delivery, manifest = _delivery_of(one)
        number = _number(connection, one)
        leaf = _leaf_name(manifest, number)
        attempt = ledger.begin(connection, one.source, one.period.first_day, _key_of(connection, one))
        state, named = "failed", None
        try:
            counts = _stage(connection, contract, one, manifest, delivery.folder, leaf, number, attempt)
            fault.point("replay.staged")
            key = gate.source_key(one.source)
            if gate.judge_extract(contract, one.extract_id, leaf).outcome == "blocked":
                _end(connection, one, number, "blocked")
                raise GateBlocked("P06-QUAR-004", extract=one.extract_id)
            fault.point("replay.judged")
            _accept(connection, one, leaf, counts, number, key, attempt)
            state = load.ACCEPTED
            fault.point("replay.accepted")
        except _Unchanged:
            state, named = "duplicate", one.extract_id
            same = one.counts
            return Replayed(
                one.source, str(one.period), one.extract_id, UNCHANGED, same.quarantined, same.quarantined, same.staged,
                number - 1,
            )  # fmt: skip
        finally:
            if state != load.ACCEPTED and not connection.closed:
                ledger.end(connection, attempt, state, named)
    quarantine.give_back(connection, contract, one.extract_id)
    return Replayed(
        one.source, str(one.period), one.extract_id, REPLAYED, one.counts.quarantined, counts.quarantined, counts.staged,
        number,
    )  # fmt: skip


def _delivery_of(one: Extract) -> tuple[Delivery, Manifest]:
    """The delivery an extract was made from, or another of the same content. Raises P06Error P06-QUAR-002."""
    found = []
    for delivery in landing.deliveries(one.source, str(one.period)):
        try:
            _, manifest = manifests.read(delivery)
        except (P06Error, OSError):
            continue
        if manifest.content_hash == one.content_hash:
            found.append((manifests.kept(delivery) != one.delivery, delivery, manifest))
    if not found:
        raise P06Error("P06-QUAR-002", extract=one.extract_id)
    _, delivery, manifest = min(found, key=lambda item: (item[0], item[1].name))
    return delivery, replace(manifest, revision=one.revision)


def _number(connection: Connection, one: Extract) -> int:
    row = connection.execute(
        "select replay_number + 1 from control.extract where extract_id = %s", (one.extract_id,)
    ).fetchone()
    return int(row[0]) if row else 1


def _leaf_name(manifest: Manifest, number: int) -> str:
    """A leaf beside the extract's own, of the same form."""
    digest = hashlib.sha256(f"{manifest.extract_id}#{number}".encode()).hexdigest()[:8]
    return staging.leaf_name(manifest)[:-8] + digest


def _key_of(connection: Connection, one: Extract) -> str:
    """What the ledger remembers the accepted delivery by: the attempt settles nothing else."""
    row = connection.execute(
        "select t.delivery from control.extract as e inner join control.load_attempt as t using (attempt_id)"
        " where e.extract_id = %s",
        (one.extract_id,),
    ).fetchone()
    return str(row[0]) if row else one.delivery


def _stage(
    connection: Connection,
    contract: Contract,
    one: Extract,
    manifest: Manifest,
    folder: Path,
    leaf: str,
    number: int,
    attempt: int,
) -> Counts:
    """Stage the replay beside the accepted rows. Raises _Unchanged when it gives the same; Busy P06-LOAD-038."""
    with connection.transaction():
        counts, areas = load.restage(connection, contract, manifest, folder, leaf)
        if not _differs(connection, one.quarantine_table, leaf):
            raise _Unchanged
        connection.execute(
            "insert into control.replay (extract_id, replay_number, leaf, received, duplicates, quarantined, staged,"
            " area_codes) values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (extract_id, replay_number) do update set"
            " leaf = excluded.leaf, received = excluded.received, duplicates = excluded.duplicates,"
            " quarantined = excluded.quarantined, staged = excluded.staged,"
            " area_codes = excluded.area_codes, state = 'staged',"
            " started_at = clock_timestamp(), ended_at = null",
            (
                *(one.extract_id, number, leaf, counts.received, counts.duplicates, counts.quarantined, counts.staged),
                Jsonb(areas.as_dict()) if areas else None,
            ),
        )
        if not ledger.is_latest(connection, attempt, one.source, one.period.first_day):
            raise Busy("P06-LOAD-038", source=one.source, period=one.period)
    return counts


def _differs(connection: Connection, before: str, after: str) -> bool:
    """Whether two leaves hold other places or reasons; equal quarantine means equal staged rows, the files being equal."""
    row = connection.execute(
        sql.SQL(
            "select exists ((select {columns} from {before} except select {columns} from {after})"
            " union all (select {columns} from {after} except select {columns} from {before}))"
        ).format(
            columns=sql.SQL("file_no, line, reasons, columns"),
            before=sql.Identifier("quarantine", before),
            after=sql.Identifier("quarantine", after),
        )
    ).fetchone()
    return bool(row and row[0])


def _accept(
    connection: Connection, one: Extract, leaf: str, counts: Counts, number: int, gate_key: str, attempt: int
) -> None:
    """Put the replay in the place of the accepted rows and close its attempt, in one transaction. Raises Busy P06-LOAD-033, P06-LOAD-038."""

    def put() -> None:
        with connection.transaction():
            connection.execute(f"set local lock_timeout = '{lock.WAIT}'")
            before = ledger.accepted(connection, one.source, one.period.first_day, lock=True)
            if before is None or before.extract_id != one.extract_id:
                raise Busy("P06-LOAD-038", source=one.source, period=one.period)
            staging.attach(connection, one.source, one.period, (leaf, leaf))
            changed = connection.execute(
                "update control.extract set received = %s, duplicates = %s, quarantined = %s, staged = %s,"
                " staging_table = %s, quarantine_table = %s, replay_number = %s, gate_key = %s, area_codes = ("
                "  select r.area_codes from control.replay as r where r.extract_id = %s and r.replay_number = %s),"
                " staged_at = clock_timestamp() where extract_id = %s and replay_number = %s",
                (
                    *(counts.received, counts.duplicates, counts.quarantined, counts.staged),
                    *(leaf, leaf, number, gate_key, one.extract_id, number, one.extract_id, number - 1),
                ),
            )
            if changed.rowcount != 1:
                raise Busy("P06-LOAD-038", source=one.source, period=one.period)
            freed = max(one.counts.quarantined - counts.quarantined, 0)
            quarantine.note(connection, one.source, one.period, one.extract_id, one.revision, leaf, freed)
            _end(connection, one, number, load.ACCEPTED)
            ledger.end(connection, attempt, load.ACCEPTED, one.extract_id)
            seal.enter(connection, "extract", [one.extract_id])
            fault.point("replay.accepting")

    lock.patiently(put, "P06-LOAD-033", source=one.source, period=one.period)


def _end(connection: Connection, one: Extract, number: int, state: str) -> None:
    connection.execute(
        "update control.replay set state = %s, ended_at = clock_timestamp() where extract_id = %s and replay_number = %s",
        (state, one.extract_id, number),
    )
