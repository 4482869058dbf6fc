"""Expected against arrived: starts loads, finds forgotten releases, names what is overdue, tidies up.

Nothing here decides what a month contains; the calendar is asked only for deadlines.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

from p06 import airflow_api, alert, answer, contract, database
from p06.errors import Busy, P06Error, UsageError
from p06.period import Period, months

Report = Callable[[str], None]
VIETNAM = timezone(timedelta(hours=7))  # no summer time since 1975
BACK_OFF = timedelta(minutes=15)  # what failed is not tried again sooner without a hand
_ABANDONED = "1 hour"  # a backfill of another host that long without an active load has lost its process


def start_loads(report: Report = lambda text: None) -> list[str]:
    """Start the load of every source and period with work to do, unless it waits, runs or failed a moment ago.

    A delivery that belongs to no contract or no month has no load; it is refused here. Returns ``source period`` of
    each run started.
    """
    waiting = sorted(_waiting(report))
    if not waiting:
        return []
    started = []
    with airflow_api.connect() as airflow:
        busy = airflow.active() | airflow.failed_within(BACK_OFF)
        for source, period in waiting:
            if (f"load__{source}", str(period)) not in busy:
                airflow.trigger(f"load__{source}", period)
                report(f"load of {source} {period} started")
                started.append(f"{source} {period}")
    return started


def _waiting(report: Report) -> set[tuple[str, Period]]:
    """(source, period) of pending deliveries, and of extracts staged but not decided under the present suites."""
    from p06 import load

    known = contract.load_all()
    found = {(extract.source, extract.period) for extract in load.to_gate(None, None)}
    for delivery in load.pending():
        try:
            period = Period.parse(delivery.period)
        except UsageError:
            period = None
        if period is not None and delivery.source in known:
            found.add((delivery.source, period))
            continue
        try:
            load.stage(delivery)
        except P06Error as error:
            report(str(error))
    return found


def forgotten() -> list[str]:
    """The stale periods no release waits or runs for, nor failed for a moment ago; oldest first."""
    from p06 import plan

    stale = plan.stale_periods()
    if not stale:
        return []
    with airflow_api.connect() as airflow:
        busy = airflow.active() | airflow.failed_within(BACK_OFF)
    return [str(period) for period in stale if ("release", str(period)) not in busy]


def ask_officers(report: Report = lambda text: None) -> list[str]:
    """Let Airflow ask for every approval that waits, and end the questions that were answered elsewhere.

    Returns ``period asked`` and ``period approve|reject`` of each.
    """
    done = answer.carry_to_airflow(report)
    waiting = answer.forgotten()
    if waiting:
        with airflow_api.connect() as airflow:
            recent = airflow.failed_within(BACK_OFF)
            for period in waiting:
                if (answer.DAG, str(period)) not in recent:
                    airflow.trigger(answer.DAG, period)
                    done.append(f"{period} asked")
    for line in done:
        report(line)
    return done


def overdue(today: date | None = None) -> list[str]:
    """One sentence per source that misses months whose deadline has passed, by the calendar of Vietnam.

    A source is expected from the first month the warehouse holds of anything that was due, or its ``due_from`` when that
    is later: months of long ago that a sender adds of its own accord make nobody else late.
    """
    return [
        f"{source} {span} not received, due by day {contract.load(source).deadline_day}"
        for source, missing in late(today or vietnam_day()).items()
        for span in _spans(missing)
    ]


def vietnam_day(moment: datetime | None = None) -> date:
    """The day it is in Vietnam (now, or at a moment with an offset): deadlines are days there."""
    return (moment or datetime.now(timezone.utc)).astimezone(VIETNAM).date()


def tell(today: date | None = None, report: Report = lambda text: None) -> None:
    """Note every deadline that was missed, once a source and month, then send what the outbox holds.

    A configuration that cannot be read is reported and everything waits; a receiver that is down holds up nothing.
    """
    with database.connect("publisher") as connection:
        for source, missing in late(today or vietnam_day()).items():
            about, spans, day = f"{source} {missing[-1]}", _spans(missing), contract.load(source).deadline_day
            alert.note(connection, "deadline_missed", about, source, missing[-1], months=spans, day=day)
        connection.commit()
    try:
        alert.send(report)
    except P06Error as error:
        report(str(error))


def late(today: date) -> dict[str, list[Period]]:
    """The months each source misses although their deadline lies before ``today``, oldest first."""
    from p06 import suite

    with database.connect("publisher", autocommit=True) as connection:
        rows = connection.execute("select source, period from control.accepted").fetchall()
    held = {(source, Period.of(first_day)) for source, first_day in rows}
    contracts = contract.load_all()
    first = min((at for source, at in held if source in contracts and contracts[source].is_due(at)), default=None)
    if first is None:
        return {}
    found = {
        source: [
            period
            for period in expected(promised, first, today)
            if (source, period) not in held and suite.source_waived(source, period) is None
        ]
        for source, promised in contracts.items()
    }
    return {source: missing for source, missing in found.items() if missing}


def expected(promised: contract.Contract, first: Period, today: date) -> Iterator[Period]:
    """The periods from ``first`` (or ``due_from``) on whose deadline lies before ``today``."""
    start = max(first, promised.due_from) if promised.due_from else first
    last = Period.of(today).shift(-1)
    if today.day <= promised.deadline_day:
        last = last.shift(-1)
    yield from months(start, last)


def tidy(report: Report = lambda text: None) -> list[str]:
    """Close backfills whose process died, drop builds and staging tables nobody needs. Returns what was done."""
    from p06 import release, staging

    done = [f"backfill {number} closed: its process is gone" for number in close_dead_backfills()]
    try:
        done += [f"dropped {name}" for name in release.clean()]
        with database.connect("loader", autocommit=True) as connection:
            done += [f"dropped {name}" for name in staging.drop_orphans(connection)]
    except Busy:
        report("a release is running; tidying waits for the next round")
    for line in done:
        report(line)
    return done


def close_dead_backfills() -> list[int]:
    """Close the open backfills whose process is gone, so that releases of their months go on; returns their numbers."""
    with database.connect("publisher") as connection:
        rows = connection.execute(
            "select backfill_id, host, pid, process_started, opened_at < clock_timestamp() - %s::interval"
            " from control.backfill where closed_at is null",
            (_ABANDONED,),
        ).fetchall()
        dead = [number for number, host, pid, started, old in rows if _is_dead(host, pid, started, old)]
        connection.execute(
            "update control.backfill set closed_at = clock_timestamp() where backfill_id = any(%s) and closed_at is null",
            (dead,),
        )
        connection.commit()
    return dead


def _is_dead(host: str, pid: int, started: float, old: bool) -> bool:
    import psutil

    if host != socket.gethostname():
        return old and not _loads_active()
    try:
        return abs(psutil.Process(pid).create_time() - started) >= 1
    except psutil.NoSuchProcess:
        return True


def _loads_active() -> bool:
    try:
        with airflow_api.connect() as airflow:
            return any(dag_id.startswith("load__") for dag_id, _ in airflow.active())
    except P06Error:
        return False


def _spans(periods: Iterable[Period]) -> list[str]:
    """Runs of neighbouring months as ``A..B``."""
    spans: list[list[Any]] = []
    for period in periods:
        if spans and spans[-1][1].shift(1) == period:
            spans[-1][1] = period
        else:
            spans.append([period, period])
    return [str(first) if first == last else f"{first}..{last}" for first, last in spans]
