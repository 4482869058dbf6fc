"""What publishing costs, and whom it makes wait: pointers moved under readers, one of whom keeps a transaction open.

    .venv/bin/python bench/publish.py [--citizens 20000] [--publishes 60]

One month of a hand-staged country is built once; its later builds are copies of its leaves, made outside the clock.
While five are published and two rolled back, a reader holds a repeatable-read transaction over all marts for 60 s; then
what is no longer kept is cleaned up, and the next five come. Another reader asks the same short question all the time:
what it waits at worst during each kind of work stands beside what it waits while nothing happens, with as many builds
there, and while a build is copied.
Limits: publish p99 200 ms, rollback 1 s, a reader's worst delay 100 ms.
"""

from __future__ import annotations

import argparse
import bisect
import importlib.util
import multiprocessing
import multiprocessing.synchronize
import shutil
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from p06.period import Period

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT)]

_spec = importlib.util.spec_from_file_location("bench_build", ROOT / "bench" / "build.py")
assert _spec is not None and _spec.loader is not None
months = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = months
_spec.loader.exec_module(months)

QUIET = ("nothing", "a copy of a build")
HELD = 60.0  # seconds the long reader keeps its transaction
OVER_ONE = 5  # publications meanwhile
ASKED = "select * from marts.citizen_month where period = %s limit 1"


def passed(period: Period, source_build: int) -> int:
    """A copy of a build, measured for its record as a gate does it; returns its id."""
    from tests.faults.scene import forge

    from p06 import database, record

    build_id = forge(period, source_build, publish_it=False)
    with database.connect("builder") as connection:
        record.keep(connection, build_id, record.measure(connection, build_id))
    return build_id


class Work:
    """What is under way and since when, by the machine's clock."""

    def __init__(self) -> None:
        self.moments: list[tuple[float, str]] = []

    def begins(self, work: str) -> None:
        """From now on it is this."""
        self.moments.append((time.perf_counter(), work))

    def clocked(self, work: str, do: Callable[[], object]) -> float:
        """Seconds it took."""
        self.begins(work)
        began = time.perf_counter()
        do()
        took = time.perf_counter() - began
        time.sleep(0.05)  # the first question after it
        self.begins("nothing")
        return took

    def delays(self, asked: list[tuple[float, float]]) -> dict[str, list[float]]:
        """Seconds of each question, by the work whose time its own overlaps; what is limited goes first."""
        found: dict[str, list[float]] = {}
        moments = [moment for moment, _ in self.moments]
        for began, took in asked:
            first, last = bisect.bisect(moments, began) - 1, bisect.bisect(moments, began + took) - 1
            during = [work for _, work in self.moments[max(first, 0) : last + 1]]
            if during:
                found.setdefault(min(during, key=QUIET.__contains__), []).append(took)
        return found


def leaves_of_a_mart() -> int:
    """How many builds the asked mart holds now: a reader's question plans over each."""
    from p06 import database

    with database.connect("admin") as connection:
        row = connection.execute(
            "select count(*) from pg_class where relnamespace = 'build'::regnamespace and relkind = 'r'"
            " and relname like 'citizen\\_month\\_\\_%'"
        ).fetchone()
    return int(row[0]) if row else 0


def ask(address: str, period: str, done: multiprocessing.synchronize.Event, into: str) -> None:
    """A reader's short question, again and again, in a process of its own; when it was asked and the delay go to a file."""
    with psycopg.connect(address, autocommit=True) as connection, Path(into).open("w") as file:
        while not done.is_set():
            began = time.perf_counter()
            connection.execute(ASKED, (period,)).fetchall()
            file.write(f"{began} {time.perf_counter() - began}\n")
            time.sleep(0.002)


@contextmanager
def asking(address: str, period: str, folder: Path) -> Iterator[list[tuple[float, float]]]:
    """While the block runs such a reader asks; afterwards the list holds (began, seconds) of each question."""
    context = multiprocessing.get_context("spawn")
    done, into = context.Event(), folder / "asked"
    process = context.Process(target=ask, args=(address, period, done, str(into)))
    asked: list[tuple[float, float]] = []
    process.start()
    try:
        yield asked
    finally:
        done.set()
        process.join()
        for line in into.read_text().splitlines():
            began, took = line.split()
            asked.append((float(began), float(took)))


class Holding:
    """A reader whose transaction sees all marts, reads them again at its end, and is open for a minute at least."""

    def __init__(self, address: str) -> None:
        self.address, self.mixed = address, True
        self._seen, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold)

    def __enter__(self) -> Holding:
        self._thread.start()
        while not self._seen.wait(1.0) and self._thread.is_alive():
            pass
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _hold(self) -> None:
        from tests.faults import readers

        until = time.monotonic() + HELD
        with psycopg.connect(self.address, autocommit=True) as connection, connection.transaction():
            connection.execute("set transaction isolation level repeatable read read only")
            marts = [piece for piece in readers.pieces(connection) if "watching" not in piece]
            first = [connection.execute(piece.strip("()").encode()).fetchone() for piece in marts]
            self._seen.set()
            self._done.wait()
            time.sleep(max(until - time.monotonic(), 0.0))
            self.mixed = first != [connection.execute(piece.strip("()").encode()).fetchone() for piece in marts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--citizens", type=int, default=20_000)
    parser.add_argument("--publishes", type=int, default=60)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="p06-bench-"))
    folder.chmod(0o755)
    from tests.dbt.hand_staged import fresh

    from p06 import database, plan, release
    from p06.period import Period

    plan.Ledger.missing = lambda self, period: ()  # type: ignore[method-assign]  # rows staged by hand have no deliveries
    months.settle(folder / "home")
    try:
        warehouse = fresh()
        period = Period.parse(months.stage_month(warehouse, 1, options.citizens))
        warehouse.build(str(period), test=False)
        analyst, month = database.dsn("analyst"), str(period.first_day)
        with database.connect("admin") as connection:
            connection.execute("set role p06_owner")
            connection.execute("alter table control.build alter build_id restart with 2")  # numbered by hand until here
            connection.execute("reset role")
            figures = connection.execute("select count(*) from marts.indicator").fetchone()
        print(f"{options.citizens} citizens, {figures[0] if figures else 0} figures of indicators", flush=True)
        build_id, mixed = 1, 0
        published: list[float] = []
        back: list[float] = []
        leaves: list[int] = []
        release.publish_build(passed(period, build_id))  # in life a build and its gate have run in the process before
        work = Work()
        with asking(analyst, month, folder) as asked:
            time.sleep(5)  # it begins
            work.begins("nothing")
            time.sleep(10)
            while len(published) < options.publishes:
                with Holding(analyst) as holding:
                    for number in range(OVER_ONE):
                        due = time.perf_counter() + HELD / OVER_ONE
                        work.begins("a copy of a build")
                        build_id = passed(period, build_id)
                        work.begins("nothing")
                        time.sleep(max(due - time.perf_counter(), 0.2))
                        published.append(work.clocked("publish", partial(release.publish_build, build_id)))
                        if number % 2:
                            back.append(work.clocked("rollback", partial(release.rollback, period)))
                    leaves.append(leaves_of_a_mart())
                mixed += holding.mixed
                work.clocked("cleanup", release.clean)
        processor = []
        for _ in range(10):
            build_id = passed(period, build_id)
            with months.metered() as cost:
                release.publish_build(build_id)
            processor.append(cost[0].processor)
        centiles = statistics.quantiles(published, n=100, method="inclusive")
        print(f"publish, seconds of processor, this process and the server's: {statistics.median(processor):.3f}")
        print(
            f"publish, {len(published)} times: median {1000 * statistics.median(published):.0f} ms,"
            f" p99 {1000 * centiles[98]:.0f} ms (limit 200), slowest {1000 * max(published):.0f} ms"
        )
        print(f"rollback, {len(back)} times: slowest {1000 * max(back):.0f} ms (limit 1000)")
        print(f"a mart had {min(leaves)} to {max(leaves)} leaves before each cleanup")
        for during, delays in work.delays(asked).items():
            centiles = statistics.quantiles(delays, n=1000, method="inclusive")
            print(
                f"a reader's short question during {during}, {len(delays)} times: median"
                f" {1000 * statistics.median(delays):.1f} ms, p99.9 {1000 * centiles[998]:.1f} ms,"
                f" worst {1000 * max(delays):.0f} ms" + " (limit 100)" * (during not in QUIET)
            )
        print(f"{len(leaves)} transactions of {HELD:.0f} s saw one release to their end: {mixed} did not")
    finally:
        database.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
