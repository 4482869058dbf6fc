"""The use case: build, gate and publish stale periods, oldest first; each step can be run again after a crash."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import psycopg

from p06 import alert, approval, database, fault, footnote, lineage, lock, publish, record, seal, steward
from p06.build import BuildSpec
from p06.errors import Busy, GateBlocked, NotReady, P06Error, Waiting
from p06.memory import only_new_garbage
from p06.period import Period
from p06.plan import Ledger, plan

LOCK = 0x503039
Report = Callable[[str], None]
Outcome = Literal["published", "unchanged", "held", "not ready", "in backfill", "waiting", "blocked", "busy", "failed"]


@dataclass(frozen=True)
class Result:
    """What became of one period."""

    period: Period
    outcome: Outcome
    release_id: str | None = None
    detail: tuple[str, ...] = ()
    error: P06Error | None = None


def release(
    periods: Sequence[Period] = (), rebuild: bool = False, report: Report = lambda text: None, why: str | None = None
) -> list[Result]:
    """Build, gate and publish the stale periods among those named (all by default), oldest first.

    A period that fails, is blocked or is held by another run never stops the others.
    """
    results = []
    with database.connect("publisher", autocommit=True) as connection:
        entries = {entry.period: entry for entry in plan(connection)}
        known = Ledger(connection).periods
    wanted = sorted(set(periods)) or known
    for period in wanted:
        entry = entries.get(period)
        if entry is None and not (rebuild and periods and period in known):
            if periods:
                missing = period not in known
                results.append(
                    Result(
                        period, "not ready" if missing else "unchanged", error=_not_ready(period) if missing else None
                    )
                )
            continue
        if entry is not None and not _wanted(entry.state, named=bool(periods), rebuild=rebuild):
            if entry.state == "not ready":
                results.append(
                    Result(period, "not ready", detail=entry.missing, error=_not_ready(period, entry.missing))
                )
            elif entry.state == "waiting":
                results.append(_waiting(period, entry.reasons))
            elif entry.state != "outdated" or periods:
                outcome: Outcome = "unchanged" if entry.state == "outdated" else entry.state  # type: ignore[assignment]
                results.append(Result(period, outcome, detail=entry.reasons))
            continue
        results.append(_one(period, report, why, rebuild, entry is not None and entry.state == "held"))
    return results


def exit_code(results: Sequence[Result], named: bool) -> int:
    """1 outranks 3 outranks 6 outranks 5; a period that is unready or waits counts only when it was named."""
    outcomes = {result.outcome for result in results}
    if "failed" in outcomes:
        return 1
    if "blocked" in outcomes:
        return 3
    if "busy" in outcomes:
        return 6
    return 5 if named and outcomes & {"not ready", "waiting"} else 0


def build(period: Period, report: Report = lambda text: None) -> int:
    """Build every mart of the period next to what readers see; returns the build id.

    Raises Busy P06-RELEASE-001, NotReady P06-RELEASE-007, BuildFailed P06-BUILD-… when dbt fails; the period is held
    when it would fail again.
    """
    from p06 import build as dbt
    from p06 import marts

    with _alone():
        marts.sync()
        with database.connect("builder", autocommit=True) as connection:
            _forget_dead_builds(connection)
            spec = _start(connection, period)
            fault.point("build.started")
            try:
                with lineage.run("build", period, build=spec.build_id) as told:
                    told.reads(lineage.pinned, spec)
                    told.writes(lineage.built, connection, spec.build_id)
                    failed = dbt.build(spec, report)
            except BaseException as error:
                with connection.transaction():
                    _finish(connection, spec.build_id, "failed")
                    if isinstance(error, dbt.BuildFailed) and not isinstance(error, dbt.BuildInterrupted):
                        _remember_failure(connection, spec, error)
                raise
            fault.point("build.built")
            with connection.transaction():
                for test in failed:
                    _record_failed_test(connection, spec, test)
                if failed:
                    seal.enter(connection, "check_result", [f"dbt:{spec.build_id}"])
                _finish(connection, spec.build_id, "built")
        fault.point("build.recorded")
        return spec.build_id


def approved(period: Period, report: Report = lambda text: None) -> int | None:
    """The build of the period that was approved and has only to be published; None when it must be built (again).

    It must be built when nobody approved one, when inputs, suites or waivers changed since or a waiver ended, and after
    a rollback. When other months undid the register state it wrote, that alone is written anew and the build is to be judged again.
    """
    from p06 import gate as gates

    with _alone(), database.connect("builder", autocommit=True) as connection:
        question = approval.standing(connection, period).get(period)
        if question is None or question.state != "approved" or not _holds(connection, question, gates.marts_key()):
            return None
        if _states(connection, question) is None:
            _renew_register(connection, question, report)
        return question.build_id


def ask_again(period: Period) -> bool:
    """Ask once more about a build that was rejected, or that nobody answered for in time; whether there is such a build.

    There is none when inputs, suites or waivers changed since, when a waiver ended, or after a rollback: it must be built
    again.
    """
    from p06 import gate as gates

    with _alone(), database.connect("builder", autocommit=True) as connection, connection.transaction():
        question = approval.standing(connection, period).get(period)
        if question is None or question.state not in ("rejected", "expired"):
            return False
        if not _holds(connection, question, gates.marts_key()):
            return False
        approval.ask_again(connection, question, _who())
        fault.point("approval.asked")
    return True


def gate(build_id: int) -> str:
    """Judge a build; returns pass or warnings, and asks for an approval where a contract or check wants one.

    A build that was asked about is not judged again. Raises GateBlocked P06-GATE-100 and holds the period when it is
    blocked.
    """
    from p06 import gate as gates
    from p06 import marts

    with _alone(), database.connect("builder", autocommit=True) as connection:
        marts.sync()  # the build may be of before an upgrade
        row = connection.execute(
            "select period, fingerprint, state, approval from control.build where build_id = %s", (build_id,)
        ).fetchone()
        if row is not None and row[2] == "published":
            return "pass"
        if row is not None and row[2] == "passed" and row[3] == "asked":
            return "warnings" if footnote.findings(connection, build_id) else "pass"
        if row is None or row[2] not in ("built", "passed", "blocked"):
            raise P06Error("P06-RELEASE-004", build=build_id, state=row and row[2])
        period, fingerprint = Period.of(row[0]), row[1]
        with lineage.run("gate.marts", period, build=build_id) as told:
            verdict = gates.judge_build(period, build_id)
            told.reads(lineage.built, connection, build_id, verdict.results)
            told.about(outcome=verdict.outcome)
        fault.point("gate.judged")
        broken = connection.execute(
            'select distinct "check" from quality.check_result where build_id = %s and run = %s and not success'
            " and severity = 'block' and waived_by is null order by 1",
            (build_id, f"dbt:{build_id}"),
        ).fetchall()
        blocked = verdict.outcome == "blocked" or bool(broken)
        measured = None if blocked else record.measure(connection, build_id)
        if not blocked:
            lock.patiently(lambda: marts.renew_plans(connection, build_id), "P06-RELEASE-001")
        checks = [f"{result.mart or result.source}.{result.check}" for result in verdict.results if result.blocks]
        checks += [name for (name,) in broken]
        with connection.transaction():
            if measured is not None:
                record.keep(connection, build_id, measured)
            _finish(connection, build_id, "blocked" if blocked else "passed", gates.marts_key())
            if blocked:
                publish.hold(connection, period, "blocked", fingerprint, gates.marts_key(), build_id, _who(), "gate 2")
                about = f"build {build_id} {gates.marts_key()}"
                alert.note(connection, "gate_blocked", about, period=period, what=str(period), checks=checks)
            else:
                _ask_where_wanted(connection, build_id, gates.marts_key())
        fault.point("gate.recorded")
    if blocked:
        raise GateBlocked("P06-GATE-100", period=period, build=build_id, checks=" ".join(checks))
    return verdict.outcome


def publish_build(build_id: int, why: str | None = None) -> str:
    """Publish a build that passed; returns the release id. Raises Waiting while it must be approved and is not.

    Raises P06Error P06-RELEASE-002 when suites or waivers changed since it was asked about, or when a waiver has ended
    that let it pass, or let a source be missing.
    """
    from p06 import gate as gates
    from p06 import marts

    with (
        _alone(),
        database.connect("publisher", autocommit=True) as connection,
        lineage.run("release", build=build_id) as told,
    ):
        told.reads(lineage.built, connection, build_id)
        passed = connection.execute(
            "select period, approval = 'asked' and gate_key is distinct from %s, f.document::jsonb ? 'edition'"
            " from control.build left join control.build_figure as f using (build_id)"
            " where build_id = %s and state = 'passed'",
            (gates.marts_key(), build_id),
        ).fetchone()
        if passed is not None:
            period, judged_otherwise = Period.of(passed[0]), passed[1]
            if not passed[2]:
                marts.sync()  # it passed before an upgrade
            evidence = (one.as_dict() for one in footnote.findings(connection, build_id))
            if judged_otherwise or approval.lapsed(evidence) or Ledger(connection).missing(period):
                raise P06Error("P06-RELEASE-002", period=period, build=build_id)
        with only_new_garbage():  # the rows of the pointer are locked meanwhile
            release_id = lock.patiently(lambda: publish.publish(connection, build_id, _who(), why), "P06-RELEASE-001")
        told.writes(lineage.published, release_id)
        told.about(release=release_id)
        return release_id


def rollback(period: Period, to: str | None = None, why: str | None = None) -> publish.Rollback:
    """Undo: readers see a kept release again at once, and nothing builds the period until its inputs change."""
    from p06 import gate as gates

    with (
        _alone(),
        database.connect("publisher", autocommit=True) as connection,
        lineage.run("rollback", period) as told,
    ):
        key = gates.marts_key()
        moved = lock.patiently(lambda: publish.rollback(connection, period, to, _who(), why, key), "P06-RELEASE-001")
        told.writes(lineage.published, moved.to_release)
        told.about(release=moved.to_release)
        return moved


def clean(kept: int = publish.KEPT, patience: float = 5.0) -> list[str]:
    """Drop the leaves of builds no reader can ask for any more; returns the names of the dropped tables.

    Kept are, per period, the current release and the newest ``kept`` releases, the newest blocked build, and
    whatever is running; and what a transaction that was open when nobody could go back to a build any more may still
    read in its snapshot: such transactions are waited for ``patience`` seconds, then left to the next call. Register
    extracts that only such builds read leave the vault (``register rows of …``).
    """
    from p06 import build as dbt
    from p06 import marts

    with _alone(), database.connect("builder", autocommit=True) as connection:
        _forget_dead_builds(connection)
        with database.connect("publisher", autocommit=True) as publisher:
            # first nobody may go back to them, then whoever may have seen them ends, then they go
            doomed = lock.patiently(lambda: publish.doom(publisher, kept), "P06-RELEASE-001")
            fault.point("cleanup.marked")
            unseen = publish.unseen(publisher, doomed, patience)
            dropped = marts.drop_builds(connection, unseen)
            gone = sorted(set(unseen) - marts.builds_with_leaves(connection))
            record.forget(publisher, gone)
        fault.point("cleanup.noted")
        steward.forget(connection)
        return dropped + [f"register rows of {extract_id}" for extract_id in dbt.forget_states(connection)]


def _one(period: Period, report: Report, why: str | None, rebuild: bool, held: bool) -> Result:
    try:
        with _alone():
            if held and not rebuild and ask_again(period):
                return _waiting(period)
            build_id = None if rebuild else approved(period, report)
            if build_id is None:
                report(f"{period} building")
                build_id = build(period, report)
                report(f"{period} gate")
            outcome = gate(build_id)
            release_id = publish_build(build_id, why)
        report(f"{period} published as {release_id}" + (" with warnings" if outcome == "warnings" else ""))
        return Result(period, "published", release_id)
    except Waiting as error:
        return Result(period, "waiting", detail=(str(error),), error=error)
    except Busy as error:
        return Result(period, "busy", detail=(str(error),), error=error)
    except NotReady as error:
        return Result(period, "not ready", detail=(str(error),), error=error)
    except GateBlocked as error:
        return Result(period, "blocked", detail=(str(error),), error=error)
    except P06Error as error:
        return Result(period, "failed", detail=(str(error),), error=error)
    except (psycopg.Error, OSError) as error:
        lost = P06Error("P06-RELEASE-008", period=period, kind=type(error).__name__)
        return Result(period, "failed", detail=(str(lost),), error=lost)


def _wanted(state: str, named: bool, rebuild: bool) -> bool:
    if state == "outdated":
        return rebuild
    if state == "not ready":
        return False
    if state == "waiting":
        return named and rebuild
    return state in ("stale", "approved") or named


def _waiting(period: Period, reasons: Sequence[str] = ()) -> Result:
    error = Waiting("P06-RELEASE-011", period=period)
    return Result(period, "waiting", detail=tuple(reasons) or (str(error),), error=error)


def _holds(connection: psycopg.Connection[Any], question: approval.Question, gate_key: str) -> bool:
    """Whether what was asked about still stands."""
    with connection.transaction():
        ledger = Ledger(connection)
        same = ledger.inputs(question.period).fingerprint == question.fingerprint and not ledger.missing(
            question.period
        )
        unchanged = question.gate_key == gate_key and not approval.lapsed(question.evidence)
        return same and unchanged and not publish.overtaken(connection, question.build_id)


def _states(connection: psycopg.Connection[Any], question: approval.Question) -> tuple[int, int] | None:
    with connection.transaction():
        return publish.register_states(connection, Ledger(connection), question.period, question.build_id)


def _renew_register(connection: psycopg.Connection[Any], question: approval.Question, report: Report) -> None:
    """Write the state of the register that publishing the build needs; the build is as good as built then, not judged."""
    from p06 import build as dbt

    report(f"{question.period} register")
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        spec = _spec(connection, Ledger(connection), question.period, question.build_id)
    failed = dbt.write_state(spec, report) if spec.state_after != spec.state_before else []
    fault.point("approval.renewed")
    with connection.transaction():
        for test in failed:
            _record_failed_test(connection, spec, test)
        connection.execute(
            "update control.build set register_state_before = %s, register_state_after = %s, state = 'built'"
            " where build_id = %s and state in ('passed', 'built')",
            (spec.state_before, spec.state_after, question.build_id),
        )
        _pin(connection, spec)
        if failed:
            seal.enter(connection, "check_result", [f"dbt:{spec.build_id}"])


def _ask_where_wanted(connection: psycopg.Connection[Any], build_id: int, gate_key: str) -> None:
    """Say in the ledger whether the build needs an approval, and ask for it; not again when it was asked the same."""
    found = footnote.findings(connection, build_id)
    asks = approval.wanted(connection, build_id, found)
    connection.execute(
        "update control.build set approval = %s where build_id = %s", ("asked" if asks else "none", build_id)
    )
    if asks and not approval.was_asked(connection, build_id, gate_key, asks, found):
        approval.ask(connection, build_id, gate_key, asks, found, _who())


def _not_ready(period: Period, missing: Sequence[str] = ()) -> NotReady:
    return NotReady("P06-RELEASE-007", period=period, missing=" ".join(missing) or None)


def _start(connection: psycopg.Connection[Any], period: Period) -> BuildSpec:
    """Open a build: read its inputs and pin them in one transaction."""
    from p06 import build as dbt

    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        ledger = Ledger(connection)
        missing = ledger.missing(period)
        if missing or not any(ref.period <= period for ref in ledger.register):
            raise _not_ready(period, missing)
        inputs, spec = ledger.inputs(period), _spec(connection, ledger, period)
        row = connection.execute(
            "insert into control.build (period, fingerprint, inputs, model_hash, register_state_before,"
            " register_state_after, host, pid) values (%s, %s, %s, %s, %s, %s, %s, %s) returning build_id",
            (
                period.first_day, inputs.fingerprint, json.dumps(inputs.content), dbt.model_hash(), spec.state_before,
                spec.state_after, socket.gethostname(), os.getpid(),
            ),
        ).fetchone()  # fmt: skip
        assert row is not None
        spec = replace(spec, build_id=row[0])
        _pin(connection, spec)
    return spec


def _spec(connection: psycopg.Connection[Any], ledger: Ledger, period: Period, build_id: int = 0) -> BuildSpec:
    """What a build of the period reads now, and the register states before and after it."""
    from p06 import build as dbt

    inputs = ledger.inputs(period)
    newest = publish.newest_released(connection)
    horizon = max(period, newest) if newest else period
    pointer = connection.execute("select state from control.register_state").fetchone()
    assert pointer is not None
    before = pointer[0]
    highest = connection.execute("select coalesce(max(register_state_after), 0) from control.build").fetchone()
    assert highest is not None
    following = max(before, highest[0]) + 1  # a number is never used again, not even that of an undone state
    after = before if dbt.register_is_current(connection, before, inputs.register, horizon) else following
    return BuildSpec(
        build_id=build_id,
        period=period,
        extracts=inputs.extracts,
        register=inputs.register,
        horizon=horizon,
        state_before=before,
        state_after=after,
        model=inputs.model,
        decisions=inputs.decisions,
        earlier=inputs.earlier,
    )


def _pin(connection: psycopg.Connection[Any], spec: BuildSpec) -> None:
    """Say in the ledger which extracts the build reads, those of its register state and of months before included."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into control.build_extract (build_id, source, period, extract_id) values (%s, %s, %s, %s)"
            " on conflict (build_id, source, period) do update set extract_id = excluded.extract_id",
            [
                (spec.build_id, ref.source, ref.period.first_day, ref.extract_id)
                for ref in (*spec.extracts.values(), *spec.register, *spec.earlier)
            ],
        )


def _finish(connection: psycopg.Connection[Any], build_id: int, state: str, gate_key: str | None = None) -> None:
    """Move a build on. Raises P06Error P06-RELEASE-003 when another run, thinking this one dead, has given it up."""
    moved = connection.execute(
        "update control.build set state = %s, gate_key = coalesce(%s, gate_key), ended_at = clock_timestamp()"
        " where build_id = %s and state = any(%s) returning 1",
        (state, gate_key, build_id, _BEFORE[state]),
    ).fetchone()
    if moved is None and state != "failed":
        raise P06Error("P06-RELEASE-003", build=build_id)


_JUDGED = ["built", "passed", "blocked"]
_BEFORE = {"failed": ["running"], "built": ["running"], "passed": _JUDGED, "blocked": _JUDGED}


def _forget_dead_builds(connection: psycopg.Connection[Any]) -> None:
    """Under the lock nothing else builds: what is still called running belongs to a process that died."""
    connection.execute(
        "update control.build set state = 'failed', ended_at = clock_timestamp() where state = 'running'"
    )


def _remember_failure(connection: psycopg.Connection[Any], spec: BuildSpec, error: P06Error) -> None:
    """Hold the period: these inputs and models fail whenever they are tried."""
    fingerprint, model_hash = connection.execute(  # type: ignore[misc]
        "select fingerprint, model_hash from control.build where build_id = %s", (spec.build_id,)
    ).fetchone()
    publish.hold(
        connection, spec.period, "failed", fingerprint, "", spec.build_id, _who(), str(error), model_hash=model_hash
    )


def _record_failed_test(connection: psycopg.Connection[Any], spec: BuildSpec, test: Any) -> None:
    connection.execute(
        'insert into quality.check_result (period, mart, "check", dimension, severity, success, observed, threshold,'
        " run, owner, build_id) values (%s, %s, %s, 'sach', 'block', false, %s, '0', %s, 'data engineering', %s)",
        (spec.period.first_day, test.model, test.name, str(test.failures), f"dbt:{spec.build_id}", spec.build_id),
    )


_holding = False


@contextmanager
def _alone() -> Iterator[None]:
    """One build, gate or pointer move at a time; a session lock, so that a killed process lets go of it.

    Entered again by whoever holds it, so that a period's build, gate and publication can run under one lock.
    """
    global _holding
    if _holding:
        yield
        return
    with database.connect("publisher", autocommit=True) as connection:
        held = connection.execute("select pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        if held is None or not held[0]:
            raise Busy("P06-RELEASE-001")
        _holding = True
        try:
            yield
        finally:
            _holding = False
            with suppress(psycopg.Error):  # the server forgets it with the session, but not before the next one asks
                connection.execute("select pg_advisory_unlock(%s)", (LOCK,))


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
