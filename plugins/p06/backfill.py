"""The use case: months loaded again through Airflow's own backfill (or here, when Airflow is down), each released once.

While the ledger's row is open, releases leave the months from its first one on alone; when its process dies, the
watch closes it, or the next release or backfill.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from p06 import airflow_api, contract, database, watch
from p06.errors import P06Error
from p06.landing import Delivery
from p06.period import Period

Report = Callable[[str], None]
AT_ONCE = 4  # runs of one load at a time
PATIENCE = 6 * 3600.0  # seconds for the loads, for the releases under way then, and for those started


@dataclass
class Backfill:
    """What a backfill did, or would do."""

    periods: list[str]
    sources: list[str]
    dry_run: bool
    through: str = ""
    pending: list[str] = field(default_factory=list)
    accepted: dict[str, int] = field(default_factory=dict)
    marts: list[str] = field(default_factory=list)
    releases: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0
    # of a dry run alone
    extracts: list[dict[str, Any]] = field(default_factory=list)  # what is pending, as its manifests state it
    rows: dict[str, int] = field(default_factory=dict)  # pending, and of the accepted extracts of these months
    expected_minutes: float | None = None
    based_on: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        span = self.periods[0] if len(self.periods) == 1 else f"{self.periods[0]}..{self.periods[-1]}"
        told = [f"periods   {span}", f"sources   {' '.join(self.sources)}"]
        if self.dry_run:
            told += [
                f"pending   {one['source']} {one['period']}  revision {one['revision']}, {one['rows']} rows"
                for one in self.extracts
            ]
            told += [f"accepted  {source}: {count} extracts in these months" for source, count in self.accepted.items()]
            told += [f"rows      {self.rows['pending']} pending, {self.rows['accepted']} accepted"]
            told += [f"release   {period}  {state}" for period, state in self.releases.items()]
            told += [f"marts     {' '.join(self.marts)}"]
            told += [f"minutes   {self.expected_minutes:.1f}, one after another: {self.based_on}"]
            return [*told, "nothing was changed"]
        told += [f"pending   {item}" for item in self.pending]
        told.append(f"through   {self.through}")
        return told + [f"release   {period}  {state}" for period, state in self.releases.items()]


def backfill(
    periods: Sequence[Period],
    source: str | None = None,
    dry_run: bool = False,
    reason: str | None = None,
    report: Report = lambda text: None,
) -> Backfill:
    """Load the periods of one source (all by default) again, then release what became stale, each period once.

    Raises UnknownSource, Busy P06-STACK-011, P06Error P06-STACK-006 when Airflow's runs do not end.
    """
    from p06 import load

    known = [contract.load(source).source] if source else list(contract.load_all())
    pending = [
        (delivery, period)
        for period in periods
        for delivery in load.pending(source, period)
        if delivery.source in known
    ]
    sources = known if source else _concerned(periods, pending)
    done = Backfill(
        [str(period) for period in periods],
        sources,
        dry_run,
        pending=[
            f"{one.source} {period}" for one, period in sorted(pending, key=lambda item: (item[0].source, item[1]))
        ],
    )
    if dry_run:
        _foretell(done, periods, pending)
        return done
    watch.close_dead_backfills()  # one that was killed would hold these very months back
    airflow = _airflow()
    done.through = "Airflow" if airflow else "this process"
    with _open_in_ledger(periods, sources, reason):
        if airflow:
            loaded = _load_through_airflow(airflow, periods, sources, report)
        else:
            loaded = _load_here(periods, source, report)
    released = _release_through_airflow(airflow, done, report) if airflow else _release_here(done, report)
    done.exit_code = next((code for code in (1, 3, 4, 6, 5) if code in (loaded, released)), 0)
    return done


def _foretell(done: Backfill, periods: Sequence[Period], pending: Sequence[tuple[Delivery, Period]]) -> None:
    """What the ledger holds of these months, which releases and marts would follow, and how long that takes."""
    from p06 import build, estimate, marts, plan

    contracts = contract.load_all()
    done.extracts = [_stated(delivery, period) for delivery, period in pending]
    with database.connect("publisher", autocommit=True) as connection:
        rows = connection.execute(
            "select a.source, count(*), sum(e.received)::bigint from control.accepted a inner join control.extract e"
            " using (extract_id) where a.source = any(%s) and a.period between %s and %s group by 1 order by 1",
            (done.sources, periods[0].first_day, periods[-1].first_day),
        ).fetchall()
        states = {entry.period: entry.state for entry in plan.plan(connection)}
        ledger = plan.Ledger(connection)
        loads, builds = estimate.of_loads(connection), estimate.of_builds(connection)
    done.accepted = {source: count for source, count, _ in rows}
    done.rows = {
        "pending": sum(one["rows"] for one in done.extracts),
        "accepted": sum(received for _, _, received in rows),
    }
    coming = {(delivery.source, period) for delivery, period in pending}
    built = _foretell_releases(done, periods, coming, states, ledger)
    sizes = [_rows_read(period, done.extracts, ledger) for period in built]
    seconds = loads.seconds([one["rows"] for one in done.extracts]) + builds.seconds(sizes)
    done.expected_minutes = round(seconds / 60, 2)
    done.based_on = estimate.based_on(loads, builds)
    register = any(contracts[source].kind == "register" for source in done.sources)
    facts = {str(known.mart) for known in contracts.values() if known.mart}
    followed = facts if register else {str(contracts[source].mart) for source in done.sources}
    made: set[str] = set()
    expected = _expected(ledger, coming)
    for period in built or periods:
        received = expected.get(period, {})
        read = {*received, *(source for source, _ in build.followed(expected, period))}
        made |= {*marts.of_a_month(period, received)} - build.not_made(period, read)
    done.marts = [
        *(["dim_citizen"] if register else []),
        *(mart for mart in sorted(made) if mart not in facts or mart in followed),
    ]


def _concerned(periods: Sequence[Period], pending: Sequence[tuple[Delivery, Period]]) -> list[str]:
    """The sources a load of these months has to do with: those due, received or waiting to be."""
    from p06 import load

    concerned = {delivery.source for delivery, _ in pending}
    concerned |= {extract.source for extract in load.to_gate(None, None) if extract.period in periods}
    with database.connect("publisher", autocommit=True) as connection:
        concerned |= {
            source
            for (source,) in connection.execute(
                "select distinct source from control.accepted where period between %s and %s",
                (periods[0].first_day, periods[-1].first_day),
            ).fetchall()
        }
    return [
        source
        for source, known in contract.load_all().items()
        if source in concerned or any(known.is_due(period) for period in periods)
    ]


def _foretell_releases(
    done: Backfill,
    periods: Sequence[Period],
    coming: set[tuple[str, Period]],
    states: Mapping[Period, str],
    ledger: Any,
) -> list[Period]:
    """Say what becomes of each month; returns those that would be built."""
    from p06.build import followed

    named = {period for _, period in coming}
    changed = min((period for source, period in coming if contract.load(source).kind == "register"), default=None)
    later = {period for period in ledger.periods if changed is not None and period > changed}
    expected = _expected(ledger, coming)
    behind = {period for period in ledger.periods if coming & {*followed(expected, period)}} - later
    built = []
    for period in sorted({*named, *later, *behind, *(set(states) & set(periods))}):
        if period not in named and period not in later and period not in behind:
            done.releases[str(period)] = states[period]
            built += [period] if states[period] == "stale" else []
            continue
        lacking = [
            name
            for name in ledger.missing(period)
            if (name.partition(" ")[0], Period.parse(name.partition(" ")[2] or str(period))) not in coming
        ]
        if lacking:
            done.releases[str(period)] = f"would wait, not received: {', '.join(lacking)}"
            continue
        built.append(period)
        done.releases[str(period)] = (
            "would be released if what is pending is accepted"
            if period in named
            else "would be released again if what is pending of months before is accepted"
            if period in behind
            else f"would be released again if the register of {changed} is accepted"
        )
    return built


def _expected(ledger: Any, coming: set[tuple[str, Period]]) -> dict[Period, dict[str, tuple[str, Period]]]:
    """Month -> source -> both, of what is accepted and of what would be."""
    expected = {period: {source: (source, period) for source in refs} for period, refs in ledger.accepted.items()}
    for one in coming:
        expected.setdefault(one[1], {})[one[0]] = one
    return expected


def _stated(delivery: Delivery, period: Period) -> dict[str, Any]:
    """What a pending delivery's manifest says; 0 rows when it cannot be read, which the load will refuse."""
    revision, rows = 0, 0
    try:
        manifest = json.loads(delivery.manifest or b"")
        revision, rows = int(manifest["revision"]), sum(int(file["rows"]) for file in manifest["files"])
    except (ValueError, KeyError, TypeError, RecursionError, OSError):
        pass
    return {
        "source": delivery.source,
        "period": str(period),
        "delivery": delivery.name,
        "revision": revision,
        "rows": rows,
    }


def _rows_read(period: Period, extracts: Sequence[dict[str, Any]], ledger: Any) -> int:
    """The rows a build of the month would read: its own and the register's up to it, what is pending in the place of
    what is accepted."""
    sizes = {(source, month): ref.staged for month, refs in ledger.accepted.items() for source, ref in refs.items()}
    sizes |= {(one["source"], Period.parse(one["period"])): one["rows"] for one in extracts}
    registers = {source for source, known in ledger.contracts.items() if known.kind == "register"}
    return sum(
        rows for (source, month), rows in sizes.items() if month == period or (source in registers and month < period)
    )


def _airflow() -> airflow_api.Client | None:
    """Airflow, when it answers and its scheduler lives."""
    try:
        client = airflow_api.connect()
        with client:
            return client if client.health().get("scheduler") == "healthy" else None
    except P06Error:
        return None


@contextmanager
def _open_in_ledger(periods: Sequence[Period], sources: Sequence[str], reason: str | None) -> Iterator[int]:
    """A row of ``control.backfill``, closed whatever happens inside."""
    import psutil

    with database.connect("publisher") as connection:
        row = connection.execute(
            "insert into control.backfill (first_period, last_period, sources, reason, host, pid, process_started)"
            " values (%s, %s, %s, %s, %s, %s, %s) returning backfill_id",
            (
                periods[0].first_day, periods[-1].first_day, list(sources), reason,
                socket.gethostname(), os.getpid(), psutil.Process().create_time(),
            ),
        ).fetchone()  # fmt: skip
        connection.commit()
    assert row is not None
    try:
        yield row[0]
    finally:
        with database.connect("publisher") as connection:
            connection.execute(
                "update control.backfill set closed_at = clock_timestamp() where backfill_id = %s", (row[0],)
            )
            connection.commit()


def _load_through_airflow(
    client: airflow_api.Client, periods: Sequence[Period], sources: Sequence[str], report: Report
) -> int:
    """Airflow's backfill of each load; returns the exit code."""
    with client as airflow:
        opened: dict[int, list[airflow_api.Run]] = {}
        try:
            for source in sources:
                number, runs = airflow.backfill(f"load__{source}", periods[0], periods[-1], AT_ONCE)
                report(f"{source}: {len(runs)} loads started")
                opened[number] = runs
            ended = airflow.wait([run for runs in opened.values() for run in runs], PATIENCE)
        finally:
            for number in opened:
                airflow.end_backfill(number)
    failed = [run for run in ended if run.state != "success"]
    for run in failed:
        report(f"{run.dag_id} {run.key} failed")
    return _why_loads_failed(failed) if failed else 0


def _why_loads_failed(failed: Sequence[airflow_api.Run]) -> int:
    """3 when gates blocked every failed load, 4 when deliveries were refused, else 1: from the newest attempts."""
    with database.connect("publisher", autocommit=True) as connection:
        states = {
            (row or ("failed",))[0]
            for row in (
                connection.execute(
                    "select state from control.load_attempt where source = %s and period = %s"
                    " order by attempt_id desc limit 1",
                    (run.source, Period.parse(str(run.key)).first_day),
                ).fetchone()
                for run in failed
            )
        }
    return next(
        (code for state, code in (("failed", 1), ("running", 1), ("blocked", 3), ("refused", 4)) if state in states), 1
    )


def _release_through_airflow(client: airflow_api.Client, done: Backfill, report: Report) -> int:
    """A release run for each stale period, oldest first; returns the exit code."""
    from p06 import plan

    stale = plan.stale_periods()
    with client as airflow:
        months = {str(period) for period in stale}
        under_way = [run for run in airflow.runs("release", airflow_api.ACTIVE) if run.key in months]
        if under_way:
            report(f"{len(under_way)} releases under way")
        airflow.wait(under_way, PATIENCE)
        # One that asked the ledger while the backfill was open ended without a release, one that built before it fails
        # to publish what has changed since: those months are asked for now.
        left = [period for period in plan.stale_periods() if period in stale]
        runs = [airflow.trigger("release", period) for period in left]
        report(f"{len(runs)} releases started")
        failed = {run.key for run in airflow.wait(runs, PATIENCE) if run.state != "success"}
    return _tell_releases(done, stale, {str(key) for key in failed})


def _tell_releases(done: Backfill, stale: Sequence[Period], failed: set[str]) -> int:
    from p06 import plan

    with database.connect("publisher", autocommit=True) as connection:
        left = {entry.period: entry for entry in plan.plan(connection)}
    for period in stale:
        done.releases[str(period)] = left[period].state if period in left else "published"
    if any(str(period) in failed and period in left and left[period].state != "held" for period in stale):
        return 1
    states = {left[period].state for period in stale if period in left}
    return 3 if "held" in states else 6 if states & {"stale", "in backfill"} else 0


def _load_here(periods: Sequence[Period], source: str | None, report: Report) -> int:
    from p06 import load

    results = [result for period in periods for result in load.load(source, period, report)]
    return load.exit_code(results)


def _release_here(done: Backfill, report: Report) -> int:
    from p06 import release

    results = release.release((), report=report)
    done.releases = {str(result.period): result.outcome for result in results if result.outcome != "unchanged"}
    return release.exit_code(results, False)
