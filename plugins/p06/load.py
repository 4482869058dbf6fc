"""Loading: what is pending in landing is verified, staged, gated and accepted. Knows nothing of Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from p06 import alert, database, fault, landing, ledger, lineage, lock, pull, quarantine, staging, token
from p06 import contract as contracts
from p06 import manifest as manifests
from p06.area_codes import AreaCodes
from p06.contract import Contract
from p06.errors import Busy, GateBlocked, P06Error, Refused, UsageError
from p06.landing import Delivery
from p06.ledger import Connection, Counts, Extract
from p06.manifest import Manifest
from p06.period import Period

STAGED, ACCEPTED, BLOCKED, REFUSED = "staged", "accepted", "blocked", "refused"
DUPLICATE, SUPERSEDED, FAILED, BUSY, UNFINISHED = "duplicate", "superseded", "failed", "busy", "unfinished"
_PATIENCE = 30.0  # seconds for whoever reads the staged rows or the quarantine of the source
_RANK = (1, 3, 4, 6)  # which exit code wins over several deliveries

Report = Callable[[str], None]


@dataclass(frozen=True)
class StageResult:
    """What became of a delivery: ``staged``, ``duplicate`` or ``superseded``; reasons count quarantined rows."""

    outcome: str
    extract_id: str
    revision: int
    counts: Counts | None = None
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadResult:
    """One delivery after a load; ``error`` says why when it was not accepted."""

    source: str
    period: str
    delivery: str
    outcome: str
    revision: int | None = None
    extract_id: str | None = None
    received: int | None = None
    duplicates: int | None = None
    quarantined: int | None = None
    staged: int | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    error: P06Error | None = None

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        shown = {name: value for name, value in self.__dict__.items() if name != "error"}
        if self.error is not None:
            mismatches = self.error.mismatches if isinstance(self.error, Refused) else ()
            shown["error"] = {
                "code": self.error.code,
                "where": self.error.where,
                "mismatches": [{"code": one.code, "where": one.where} for one in mismatches],
            }
        return shown


def pending(source: str | None = None, period: Period | None = None) -> list[Delivery]:
    """Deliveries not settled yet, lowest revision of each source and period first; without those still being written.

    Those of a landing that is a URL are brought here first. Raises P06Error P06-PULL-002 .. 016 when it is away.
    """
    pull.bring(source, str(period) if period else None)
    return _pending(source, period)


def _pending(source: str | None, period: Period | None) -> list[Delivery]:
    with database.connect("loader", autocommit=True) as connection:
        return [delivery for delivery in _open(connection, source, period) if not _unwritten(delivery)]


def waiting() -> list[Delivery]:
    """Deliveries that lie here and are not settled yet, without asking a landing that is a URL."""
    return _pending(None, None)


def unfinished(source: str | None = None, period: Period | None = None) -> list[Delivery]:
    """Deliveries without a manifest: their sender is still writing."""
    return [one for one in landing.deliveries(source, str(period) if period else None) if _unwritten(one)]


def stage(delivery: Delivery) -> StageResult:
    """Verify a delivery and stream it into a new staging leaf and quarantine.

    Raises Refused P06-LOAD-001 with every mismatch, P06-LOAD-002 without a manifest, P06-LOAD-030 on a revision
    conflict; Busy P06-LOAD-033; P06Error P06-LOAD-032 when the sums do not hold (nothing is kept then), P06-QUAR-005
    when the return files cannot be written (the next run writes them and goes on).
    """
    month, place = _month(delivery), manifests.shown(delivery)
    period = Period.of(month) if month != ledger.NO_PERIOD else None
    with lineage.run(f"load.{manifests.kept_source(delivery)}", period, delivery=place) as told:
        if (known := contracts.load_all().get(delivery.source)) is not None:
            told.reads(lineage.delivered, known, place)
        done = _stage_held(delivery)
        told.about(extract=done.extract_id, outcome=done.outcome)
        if done.outcome == STAGED and known is not None and (counts := done.counts) is not None:
            told.writes(lineage.staged, known, done.extract_id, counts.staged, counts.quarantined)
        return done


def _stage_held(delivery: Delivery) -> StageResult:
    with database.connect("loader", autocommit=True) as connection:
        staging.sync(connection)
        if delivery.manifest is None:
            raise Refused("P06-LOAD-002", delivery=manifests.shown(delivery))
        known, month = manifests.kept_source(delivery), _month(delivery)
        with ledger.held(connection, known, str(Period.of(month))):
            key = _key(delivery)
            attempt = ledger.begin(connection, known, month, key)
            fault.point("load.started")
            try:
                done = _stage(connection, delivery, attempt)
            except Refused as error:
                refused = error if error.where.get("delivery") else _placed(delivery, error)
                with connection.transaction():
                    ledger.end(connection, attempt, REFUSED, mismatches=refused.mismatches or (refused,))
                    _tell_refusal(connection, delivery, key, refused)
                raise refused from None
            except Exception:
                if not connection.closed:
                    ledger.end(connection, attempt, FAILED)
                raise
        if done.outcome == STAGED:
            quarantine.give_back(connection, contracts.load(delivery.source), done.extract_id)
            fault.point("load.returned")
        return done


def gate_extract(extract_id: str) -> str:
    """Ask gate 1 about a staged extract; returns ``pass``, ``warnings`` or ``blocked``."""
    from p06 import gate

    with database.connect("loader", autocommit=True) as connection:
        one = _known(connection, extract_id)
        key = gate.source_key(one.source)
        contract = contracts.load(one.source)
        staging.extend(connection, contract, one.staging_table)
        with lineage.run(f"gate.{one.source}", one.period, extract=extract_id) as told:
            verdict = gate.judge_extract(contract, extract_id)
            told.reads(lineage.judged_extract, contract, extract_id, verdict.results)
            told.about(outcome=verdict.outcome)
        with connection.transaction():
            ledger.judged(connection, one, key, verdict.outcome == "blocked")
            if verdict.outcome == "blocked":
                checks = [result.check for result in verdict.results if result.blocks]
                about, what = f"{extract_id} {key}", extract_id
                alert.note(connection, "gate_blocked", about, one.source, one.period, what=what, checks=checks)
    fault.point("load.gated")
    return verdict.outcome


def accept(extract_id: str) -> str:
    """Make an extract the accepted one of its period when its revision is the highest.

    Returns ``accepted``, ``duplicate`` or ``superseded``. Raises GateBlocked P06-LOAD-037 when gate 1 has not let it
    pass; Refused P06-LOAD-030 when another content was accepted under its revision meanwhile; Busy P06-LOAD-033,
    P06-LOAD-038.
    """
    with database.connect("loader", autocommit=True) as connection:
        one = _known(connection, extract_id)
        with ledger.held(connection, one.source, str(one.period)):
            outcome = lock.patiently(
                lambda: _accept(connection, extract_id), "P06-LOAD-033", _PATIENCE, source=one.source, period=one.period
            )
    if outcome == REFUSED:
        raise _conflict(one)
    fault.point("load.accepted")
    return outcome


def load(source: str | None = None, period: Period | None = None, report: Report | None = None) -> list[LoadResult]:
    """Stage, gate and accept everything pending, and gate again what is blocked under other suites or waivers.

    The failure of one delivery never stops the others.
    """
    say = report or (lambda _: None)
    brought = pull.bring(source, str(period) if period else None)
    results = [_unbrought(one) for one in brought if one.error is not None]
    with database.connect("loader", autocommit=True) as connection:
        staging.sync(connection)
        open_ = list(_open(connection, source, period))
    for delivery in open_:
        if _unwritten(delivery):
            results.append(
                _result(delivery, UNFINISHED, error=P06Error("P06-LOAD-002", delivery=manifests.shown(delivery)))
            )
            continue
        say(f"{manifests.shown(delivery)}: loading")
        results.append(_load_one(delivery))
        say(f"{manifests.shown(delivery)}: {results[-1].outcome}")
    seen = {result.extract_id for result in results}
    for one in to_gate(source, period):
        if one.extract_id not in seen:
            say(f"{one.extract_id}: at the gate")
            results.append(_load_extract(one))
    try:
        with database.connect("loader", autocommit=True) as connection:
            quarantine.mend(connection, source, period)
    except P06Error as error:  # it stops no load; the next one tries again
        say(str(error))
    return results


def exit_code(results: Iterable[LoadResult]) -> int:
    """0, or the exit code that matters most: failed 1, blocked 3, refused 4, busy 6."""
    codes = {FAILED: 1, BLOCKED: 3, REFUSED: 4, BUSY: 6}
    found = {codes[result.outcome] for result in results if result.outcome in codes}
    return next((code for code in _RANK if code in found), 0)


def stage_pending(source: str, period: Period) -> list[str]:
    """Stage what is pending and return the extracts the gate has to judge, lowest revision first.

    When nothing can go on, the first refusal or failure is raised.
    """
    brought = pull.bring(source, str(period))
    failure = next((one.error for one in brought if one.outcome in (pull.FAILED, pull.REFUSED)), None)
    for delivery in _pending(source, period):
        try:
            stage(delivery)
        except Exception as error:
            failure = failure or _failed(delivery, error).error
    extracts = [one.extract_id for one in to_gate(source, period)]
    if failure is not None and not extracts:
        raise failure
    return extracts


def gate_many(extract_ids: Sequence[str]) -> list[str]:
    """Gate 1 for each; returns those that passed. Raises GateBlocked P06-LOAD-036 when none did."""
    passed = [one for one in extract_ids if gate_extract(one) != BLOCKED]
    if extract_ids and not passed:
        raise _blocked(extract_ids[-1])
    return passed


def accept_many(extract_ids: Sequence[str]) -> list[str]:
    """Accept each in turn; returns those that are accepted now. Raises the first refusal when none is."""
    accepted, refused = [], None
    for one in extract_ids:
        try:
            if accept(one) == ACCEPTED:
                accepted.append(one)
        except Refused as error:
            refused = refused or error
    if refused is not None and not accepted:
        raise refused
    return accepted


def _open(connection: Connection, source: str | None, period: Period | None) -> Iterable[Delivery]:
    for_good, under_contract = ledger.settled(connection)
    found = []
    for delivery in landing.deliveries(source, str(period) if period else None):
        try:
            key = _key(delivery)
        except FileNotFoundError:  # taken away meanwhile
            continue
        except OSError:  # staging it will say why
            found.append(delivery)
            continue
        if key not in under_contract and key.rpartition("-")[0] not in for_good:
            found.append(delivery)
    return sorted(found, key=lambda one: (one.source, one.period, _stated_revision(one), one.name))


def _key(delivery: Delivery) -> str:
    """What the ledger remembers a delivery by: its place, its state, and the shape of its month it was judged by."""
    contract = "none"
    with suppress(UsageError):  # of a source without a contract, then of a folder that names no month
        known = contracts.load(delivery.source)
        contract = known.hash[:8]
        contract = known.at(Period.parse(delivery.period)).hash[:8]
    return f"{manifests.kept(delivery)}#{delivery.state}-{contract}"


def _unwritten(delivery: Delivery) -> bool:
    """Whether its sender has not finished; a delivery that cannot be read is not taken for one."""
    try:
        return delivery.manifest is None
    except OSError:
        return False


def _stated_revision(delivery: Delivery) -> int:
    try:
        found = json.loads(delivery.manifest or b"")["revision"]
    except (ValueError, KeyError, TypeError, RecursionError, OSError):
        return 0
    return found if type(found) is int else 0


def _month(delivery: Delivery) -> date:
    try:
        return Period.parse(delivery.period).first_day
    except UsageError:
        return ledger.NO_PERIOD


def _placed(delivery: Delivery, error: Refused) -> Refused:
    """The same refusal, saying which delivery."""
    mismatches = error.mismatches or [P06Error(error.code, **error.where)]
    if error.code == "P06-LOAD-030":
        return Refused(error.code, (), delivery=manifests.shown(delivery), **error.where)
    return manifests.refusal(delivery, list(mismatches))


def _tell_refusal(connection: Connection, delivery: Delivery, key: str, error: Refused) -> None:
    """Note the refusal for whoever is to hear of it: once for each state of the delivery and contract it met."""
    codes = list(dict.fromkeys(one.code for one in error.mismatches or (error,)))
    month = _month(delivery)
    period = Period.of(month) if month != ledger.NO_PERIOD else None
    place, source = manifests.shown(delivery), manifests.kept_source(delivery)
    alert.note(connection, "delivery_refused", key, source, period, delivery=place, codes=codes)


def _known(connection: Connection, extract_id: str) -> Extract:
    one = ledger.extract(connection, extract_id)
    if one is None:
        raise P06Error("P06-LOAD-035")
    return one


def _stage(connection: Connection, delivery: Delivery, attempt: int) -> StageResult:
    from p06 import workers
    from p06.intake import Intake

    contract, manifest = manifests.read(delivery)
    sign = token.record_signer(contract.source) if staging.has_record_key(contract) else None
    with Intake(contract, manifest, delivery.folder, sign, workers.worth(manifest)) as intake:
        if settled := _without_staging(connection, contract, manifest, intake.verify, attempt):
            return settled
        headers = intake.check_headers()
        if headers:
            raise Refused("P06-LOAD-001", [*headers, *intake.verify()])
        leaf = staging.leaf_name(manifest)
        with connection.transaction():
            staging.create(connection, contracts.load(contract.source), leaf)  # with the columns of all periods
            counts, reasons = _pour(connection, contract, manifest, intake, leaf)
            areas = intake.area_codes
            ledger.store(connection, contract, manifest, manifests.kept(delivery), counts, (leaf, leaf), attempt, areas)
            if not ledger.is_latest(connection, attempt, manifest.source, manifest.period.first_day):
                raise Busy("P06-LOAD-038", source=manifest.source, period=manifest.period)
            fault.point("load.reconciled")
        fault.point("load.staged")
    return StageResult(STAGED, manifest.extract_id, manifest.revision, counts, reasons)


def _without_staging(
    connection: Connection,
    contract: Contract,
    manifest: Manifest,
    verify: Callable[[], list[P06Error]],
    attempt: int,
) -> StageResult | None:
    """The answer when the rows need not be read: a duplicate, an older revision, or one that is staged already."""
    period = manifest.period.first_day
    before = ledger.accepted(connection, manifest.source, period)
    held = ledger.extract(connection, manifest.extract_id)
    outcome = _rank(connection, manifest, before)
    if outcome is None and held and held.state in (STAGED, BLOCKED) and held.contract_hash == contract.hash:
        outcome = STAGED
    if outcome is None:
        return None
    mismatches = verify()
    if outcome in (DUPLICATE, STAGED):  # the records were counted then
        known = held if outcome == STAGED else ledger.extract(connection, before.extract_id) if before else None
        rows = {file["sha256"]: file["rows"] for file in known.manifest["files"]} if known else {}
        mismatches += [
            P06Error("P06-LOAD-016", file=file.number, stated=file.rows, found=rows[file.sha256])
            for file in manifest.files
            if file.rows != rows.get(file.sha256, file.rows)
        ]
    if mismatches:
        raise Refused("P06-LOAD-001", mismatches)
    if outcome == REFUSED:
        raise Refused("P06-LOAD-030", revision=manifest.revision)
    if outcome == STAGED and held:
        ledger.take_over(connection, held, attempt)
        return StageResult(STAGED, held.extract_id, held.revision, held.counts)
    with connection.transaction():
        if outcome == DUPLICATE:
            ledger.raise_floor(connection, manifest.source, period, manifest.revision)
        ledger.end(connection, attempt, outcome, before.extract_id if before and outcome == DUPLICATE else None)
    return StageResult(outcome, manifest.extract_id, manifest.revision)


def _rank(connection: Connection, manifest: Manifest, before: ledger.Accepted | None) -> str | None:
    """What the accepted extract makes of this one: ``duplicate``, ``superseded``, ``refused``, or None: it outranks it."""
    if before is None:
        return None
    if before.content_hash == manifest.content_hash:
        return DUPLICATE
    if ledger.was_accepted_otherwise(connection, manifest) or manifest.revision == before.revision_floor:
        return REFUSED
    return SUPERSEDED if manifest.revision < before.revision_floor else None


def restage(
    connection: Connection, contract: Contract, manifest: Manifest, folder: Path, leaf: str
) -> tuple[Counts, AreaCodes | None]:
    """The rows of a delivery judged anew into a leaf of another name; in the caller's transaction.

    ``contract`` is the whole one, with the columns of all periods.

    Raises what staging raises: Refused P06-LOAD-001, P06-LOAD-031; P06Error P06-LOAD-032.
    """
    from p06 import workers
    from p06.intake import Intake

    sign = token.record_signer(contract.source) if staging.has_record_key(contract) else None
    shape = contract.at(manifest.period)
    with Intake(shape, manifest, folder, sign, workers.worth(manifest)) as intake:
        if headers := intake.check_headers():
            raise Refused("P06-LOAD-001", headers)
        staging.create(connection, contract, leaf)
        counts, _ = _pour(connection, shape, manifest, intake, leaf)
        return counts, intake.area_codes


def _pour(
    connection: Connection, contract: Contract, manifest: Manifest, intake: Any, leaf: str
) -> tuple[Counts, dict[str, int]]:
    """Rows into the leaf, the rest into quarantine; in the caller's transaction. Raises P06Error P06-LOAD-032."""
    from p06.reading import ahead

    batches = ahead(intake.batches())
    try:
        copied = staging.copy(connection, contract, leaf, batches, intake.columns)
    finally:
        batches.close()
    fault.point("load.copied")
    duplicates = intake.duplicates()
    places = list(zip(duplicates["file"].tolist(), duplicates["line"].tolist(), strict=True))
    conflicts = 0

    def rejected() -> Iterable[Any]:
        nonlocal conflicts
        yield from intake.quarantined(duplicates)
        for one in intake.conflicts(duplicates):
            conflicts += 1
            places.append((one.file, one.line))
            yield one

    written = quarantine.write(connection, contract, leaf, manifest, rejected())
    intake.check_unchanged()
    removed = staging.remove(connection, leaf, places) if places else 0
    fault.point("load.judged")
    staging.finish(connection, contract, leaf, manifest)
    staging.name_citizens(connection, contract, leaf)
    counts = Counts(manifest.rows, len(duplicates), written.rows, copied - removed)
    if (
        copied != intake.passed
        or counts.received != intake.received
        or counts.received != counts.duplicates + counts.quarantined + counts.staged
    ):
        raise P06Error("P06-LOAD-032", source=manifest.source, period=manifest.period, **asdict(counts))
    return counts, dict(sorted(written.reasons.items()))


def _accept(connection: Connection, extract_id: str) -> str:
    with connection.transaction():
        connection.execute(f"set local lock_timeout = '{lock.WAIT}'")
        one = _known(connection, extract_id)
        if one.state == ACCEPTED:
            return ACCEPTED
        if one.state == SUPERSEDED:
            return REFUSED if ledger.was_refused(connection, one) else SUPERSEDED
        if one.state != STAGED or one.gate_key is None:
            raise GateBlocked("P06-LOAD-037", extract=extract_id)
        before = ledger.accepted(connection, one.source, one.period.first_day, lock=True)
        if before is not None and before.content_hash == one.content_hash:
            ledger.raise_floor(connection, one.source, one.period.first_day, one.revision)
            return _outranked(connection, one, DUPLICATE)
        if before is not None and (
            one.revision == before.revision_floor or ledger.was_accepted_otherwise(connection, one)
        ):
            ledger.supersede(connection, extract_id)
            quarantine.settle(connection, one.source, one.period.first_day)
            ledger.end(connection, one.attempt_id, REFUSED, mismatches=[_conflict(one)])
            codes = [_conflict(one).code]
            alert.note(
                connection, "delivery_refused", extract_id, one.source, one.period, delivery=extract_id, codes=codes
            )
            return REFUSED
        if before is not None and one.revision < before.revision_floor:
            return _outranked(connection, one, SUPERSEDED)
        staging.attach(connection, one.source, one.period, (one.staging_table, one.quarantine_table))
        ledger.move(connection, one, before)
        quarantine.settle(connection, one.source, one.period.first_day)
        fault.point("load.accepting")
    return ACCEPTED


def _conflict(one: Extract) -> Refused:
    return Refused("P06-LOAD-030", revision=one.revision, extract=one.extract_id)


def _outranked(connection: Connection, one: Extract, outcome: str) -> str:
    ledger.supersede(connection, one.extract_id)
    quarantine.settle(connection, one.source, one.period.first_day)
    ledger.end(connection, one.attempt_id, outcome)
    return outcome


def to_gate(source: str | None, period: Period | None) -> list[Extract]:
    """Extracts waiting for the gate: staged, or blocked under suites or waivers that changed since."""
    from p06 import gate

    with database.connect("loader", autocommit=True) as connection:
        found = ledger.undecided(connection, source, period.first_day if period else None)
    known = contracts.load_all()
    keys = {name: gate.source_key(name) for name in {one.source for one in found if one.state == BLOCKED} & set(known)}
    return [one for one in found if one.source in known and (one.state == STAGED or one.gate_key != keys[one.source])]


def _load_one(delivery: Delivery) -> LoadResult:
    try:
        done = stage(delivery)
    except Exception as error:
        return _failed(delivery, error)
    figures: dict[str, Any] = {"revision": done.revision, "extract_id": done.extract_id, "reasons": done.reasons}
    if done.counts is not None:
        figures |= asdict(done.counts)
    if done.outcome != STAGED:
        return _result(delivery, done.outcome, **figures)
    return _decide(delivery, done.extract_id, figures)


def _load_extract(one: Extract) -> LoadResult:
    figures = {"revision": one.revision, "extract_id": one.extract_id, **asdict(one.counts)}
    place = Delivery(one.source, str(one.period), one.extract_id, landing.root())
    return _decide(place, one.extract_id, figures)


def _decide(delivery: Delivery, extract_id: str, figures: dict[str, Any]) -> LoadResult:
    """Gate and accept a staged extract."""
    try:
        if gate_extract(extract_id) == BLOCKED:
            return _result(delivery, BLOCKED, error=_blocked(extract_id), **figures)
        return _result(delivery, accept(extract_id), **figures)
    except Exception as error:
        return _failed(delivery, error, **figures)


def _blocked(extract_id: str) -> GateBlocked:
    with database.connect("loader", autocommit=True) as connection:
        checks = ledger.blocking_checks(connection, extract_id)
    return GateBlocked("P06-LOAD-036", extract=extract_id, checks=" ".join(checks) or None)


def _failed(delivery: Delivery, error: Exception, **figures: Any) -> LoadResult:
    """The result of an exception. One that is not ours may quote a row, so only its kind is told."""
    if isinstance(error, Refused):
        return _result(delivery, REFUSED, error=error, **figures)
    if isinstance(error, Busy):
        return _result(delivery, BUSY, error=error, **figures)
    if isinstance(error, P06Error):
        return _result(delivery, FAILED, error=error, **figures)
    kind = f"{type(error).__module__}.{type(error).__name__}"
    return _result(
        delivery, FAILED, error=P06Error("P06-LOAD-043", delivery=manifests.shown(delivery), kind=kind), **figures
    )


def _unbrought(one: pull.PullResult) -> LoadResult:
    """A delivery that lies in the store of ``P06_LANDING`` and could not be brought here."""
    return LoadResult(one.source, one.period or "…", one.delivery or "…", one.outcome, error=one.error)


def _result(delivery: Delivery, outcome: str, **figures: Any) -> LoadResult:
    source, period, name = manifests.shown(delivery).split("/")
    return LoadResult(source, period, name, outcome, **figures)
