"""The use case: months loaded again through Airflow's own backfill (or here, when Airflow is down), each released once.

While the ledger's row is open, releases leave the months from its first one on alone; when its process dies, the
watch closes it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from p06 import airflow_api, contract, database
from p06.errors import P06Error
from p06.period import Period

Report = Callable[[str], None]
AT_ONCE = 4  # runs of one load at a time
PATIENCE = 6 * 3600.0  # seconds for the loads, and again for the releases


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

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        span = self.periods[0] if len(self.periods) == 1 else f"{self.periods[0]}..{self.periods[-1]}"
        told = [f"periods   {span}", f"sources   {' '.join(self.sources)}"]
        told += [f"pending   {item}" for item in self.pending]
        if self.dry_run:
            told += [f"accepted  {source}: {count} extracts in these months" for source, count in self.accepted.items()]
            told += [f"release   {period}  {state}" for period, state in self.releases.items()]
            return [*told, f"marts     {' '.join(self.marts)}", "nothing was changed"]
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

    sources = [contract.load(source).source] if source else list(contract.load_all())
    pending = [
        (delivery.source, period)
        for period in periods
        for delivery in load.pending(source, period)
        if delivery.source in sources
    ]
    done = Backfill(
        [str(period) for period in periods],
        sources,
        dry_run,
        pending=[f"{name} {period}" for name, period in sorted(pending)],
    )
    if dry_run:
        _foretell(done, periods, [period for _, period in pending])
        return done
    airflow = _airflow()
    done.through = "Airflow" if airflow else "this process"
    with _open_in_ledger(periods, sources, reason):
        if airflow:
            loaded = _load_through_airflow(airflow, periods, sources, report)
        else:
            loaded = _load_here(periods, source, report)
    released = _release_through_airflow(airflow, done, report) if airflow else _release_here(done, report)
    done.exit_code = next((code for code in (1, 3, 4, 5) if code in (loaded, released)), 0)
    return done


def _foretell(done: Backfill, periods: Sequence[Period], pending: Sequence[Period]) -> None:
    """What the ledger holds of these months, and which releases and marts would follow."""
    from p06 import plan

    contracts = contract.load_all()
    with database.connect("publisher", autocommit=True) as connection:
        rows = connection.execute(
            "select source, count(*) from control.accepted where source = any(%s) and period between %s and %s"
            " group by source order by source",
            (done.sources, periods[0].first_day, periods[-1].first_day),
        ).fetchall()
        states = {entry.period: entry.state for entry in plan.plan(connection)}
    done.accepted = dict(rows)
    touched = {*pending, *(period for period in states if period in set(periods))}
    done.releases = {
        str(period): "would be released if what is pending is accepted" if period in pending else states[period]
        for period in sorted(touched)
    }
    facts = sorted({str(contracts[source].mart) for source in done.sources if contracts[source].mart})
    register = any(contracts[source].kind == "register" for source in done.sources)
    if register:
        facts = sorted({str(promised.mart) for promised in contracts.values() if promised.mart})
    done.marts = [
        *(["dim_citizen"] if register else []),
        *facts,
        "citizen_month",
        "indicator",
        "match_summary",
        "reconciliation",
    ]


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
        active = {run.key: run for run in airflow.runs("release", airflow_api.ACTIVE)}
        runs = [active.get(str(period)) or airflow.trigger("release", period) for period in stale]
        report(f"{len(runs)} releases started")
        states = {run.key: run.state for run in airflow.wait(runs, PATIENCE)}
    return _tell_releases(done, stale, {str(key) for key, state in states.items() if state != "success"})


def _tell_releases(done: Backfill, stale: Sequence[Period], failed: set[str]) -> int:
    from p06 import plan

    with database.connect("publisher", autocommit=True) as connection:
        left = {entry.period: entry for entry in plan.plan(connection)}
    for period in stale:
        done.releases[str(period)] = left[period].state if period in left else "published"
    if any(str(period) in failed and period in left and left[period].state != "held" for period in stale):
        return 1
    return 3 if any(period in left and left[period].state == "held" for period in stale) else 0


def _load_here(periods: Sequence[Period], source: str | None, report: Report) -> int:
    from p06 import load

    results = [result for period in periods for result in load.load(source, period, report)]
    return load.exit_code(results)


def _release_here(done: Backfill, report: Report) -> int:
    from p06 import release

    results = release.release((), report=report)
    done.releases = {str(result.period): result.outcome for result in results if result.outcome != "unchanged"}
    return release.exit_code(results, False)
