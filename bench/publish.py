"""What publishing costs, and whom it makes wait: pointers moved under readers, one of whom keeps a transaction open.

    .venv/bin/python bench/publish.py [--citizens 20000] [--publishes 200] [--rollbacks 40]

One month of a hand-staged country is built once; its later builds are copies of its leaves, made outside the clock.
While they are published and rolled back, one reader holds a repeatable-read transaction over all marts for 60 s at a
time, and another asks the same short question all the time; what it waits at worst is compared with what it waits at
worst while nothing is published. Limits: publish p99 200 ms, rollback 1 s, a reader's worst delay 100 ms.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from p06.period import Period

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT)]

_spec = importlib.util.spec_from_file_location("bench_build", ROOT / "bench" / "build.py")
assert _spec is not None and _spec.loader is not None
months = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = months
_spec.loader.exec_module(months)

HELD = 60.0  # seconds the long reader keeps its transaction
ASKED = "select * from marts.citizen_month where period = %s limit 1"


def passed(period: Period, source_build: int) -> int:
    """A copy of a build, measured for its record as a gate does it; returns its id."""
    from tests.faults.scene import forge

    from p06 import database, record

    build_id = forge(period, source_build, publish_it=False)
    with database.connect("builder") as connection:
        record.keep(connection, build_id, record.measure(connection, build_id))
    return build_id


class Asking:
    """A reader's short question, again and again; each delay in seconds."""

    def __init__(self, address: str, period: str) -> None:
        self.address, self.period = address, period
        self.delays: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _ask(self) -> None:
        with psycopg.connect(self.address, autocommit=True) as connection:
            while not self._done.is_set():
                began = time.perf_counter()
                connection.execute(ASKED, (self.period,)).fetchall()
                self.delays.append(time.perf_counter() - began)
                time.sleep(0.002)


class Holding:
    """A reader whose transaction sees all marts and stays open for a minute, then begins again."""

    def __init__(self, address: str) -> None:
        self.address, self.mixed, self.transactions = address, 0, 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._hold)

    def __enter__(self) -> Holding:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _hold(self) -> None:
        from tests.faults import readers

        with psycopg.connect(self.address, autocommit=True) as connection:
            while not self._done.is_set():
                with connection.transaction():
                    connection.execute("set transaction isolation level repeatable read read only")
                    marts = [piece for piece in readers.pieces(connection) if "watching" not in piece]
                    first = [connection.execute(piece.strip("()").encode()).fetchone() for piece in marts]
                    self._done.wait(HELD)
                    last = [connection.execute(piece.strip("()").encode()).fetchone() for piece in marts]
                self.mixed += first != last
                self.transactions += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--citizens", type=int, default=20_000)
    parser.add_argument("--publishes", type=int, default=200)
    parser.add_argument("--rollbacks", type=int, default=40)
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
        with Asking(analyst, month) as quiet:
            time.sleep(10)
        build_id, published, back = 1, [], []
        with Holding(analyst) as holding, Asking(analyst, month) as asking:
            for number in range(1, options.publishes + 1):
                build_id = passed(period, build_id)
                began = time.perf_counter()
                release.publish_build(build_id)
                published.append(time.perf_counter() - began)
                if number % max(options.publishes // options.rollbacks, 1) == 0:
                    began = time.perf_counter()
                    release.rollback(period)
                    back.append(time.perf_counter() - began)
                if number % 20 == 0:
                    release.clean(patience=0.0)
        processor = []
        for _ in range(10):
            build_id = passed(period, build_id)
            with months.metered() as cost:
                release.publish_build(build_id)
            processor.append(cost[0].processor)
        centiles = statistics.quantiles(published, n=100)
        print(f"publish, seconds of processor, this process and the server's: {statistics.median(processor):.3f}")
        print(
            f"publish, {len(published)} times: median {1000 * statistics.median(published):.0f} ms,"
            f" p99 {1000 * centiles[98]:.0f} ms (limit 200), slowest {1000 * max(published):.0f} ms"
        )
        print(f"rollback, {len(back)} times: slowest {1000 * max(back):.0f} ms (limit 1000)")
        for name, one in (("nothing is published", quiet), ("releases are published", asking)):
            centiles = statistics.quantiles(one.delays, n=1000)
            print(
                f"a reader's short question while {name}, {len(one.delays)} times: median"
                f" {1000 * statistics.median(one.delays):.1f} ms, p99.9 {1000 * centiles[998]:.1f} ms,"
                f" worst {1000 * max(one.delays):.0f} ms" + " (limit 100)" * (one is asking)
            )
        print(
            f"{holding.transactions} transactions of {HELD:.0f} s saw one release to their end: {holding.mixed} did not"
        )
    finally:
        database.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
