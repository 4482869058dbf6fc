"""The load against its limit: one server-side COPY of the clean csv file into the same typed, logged table.

    python bench/load.py --rows 5000000 --rounds 3

Interleaved rounds in one home of its own; each figure is the median, ratios are taken within a round. The load is
everything from manifest to accepted extract but gate 1: checksum, scan, every rule of the contract, quarantine,
duplicates, key conflicts, reconciliation, record keys, statistics, attachment. ``one stream`` is the loader without
helping processes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from visits import COLUMNS, SOURCE, deliver, make

CASES = {  # name: bad rows, kind, compression, P06_WORKERS, share of the rows
    "csv, clean, one stream": (None, "csv", "none", "0", 1),
    "csv, clean": (None, "csv", "none", None, 1),
    "csv, 0.1 % bad, one stream": (1000, "csv", "none", "0", 1),
    "csv, 0.1 % bad": (1000, "csv", "none", None, 1),
    "csv, 20 % bad": (5, "csv", "none", None, 1),
    "csv.gz, clean": (None, "csv", "gzip", None, 1),
    "jsonl, clean": (None, "jsonl", "none", None, 1),
    "parquet, clean": (None, "parquet", "none", None, 1),
    "xlsx, clean, a tenth of the rows": (None, "xlsx", "none", None, 10),
}

_CHILD = """
import json, resource, sys, time, threading
import psutil
from p06 import database, ledger, load, staging
from p06.landing import Delivery
from pathlib import Path

peak, done = 0, threading.Event()
def watch():
    global peak
    me = psutil.Process()
    while not done.wait(0.5):
        found = 0
        for one in [me, *me.children(recursive=True)]:
            try:
                found += one.memory_full_info().pss
            except psutil.Error:
                pass
        peak = max(peak, found)
threading.Thread(target=watch, daemon=True).start()
source, period, folder = sys.argv[1:4]
with database.connect("loader", autocommit=True) as connection:
    staging.sync(connection)
    before = time.perf_counter()
    result = load.stage(Delivery(source, period, "bench", Path(folder)))
    ledger.judged(connection, ledger.extract(connection, result.extract_id), "bench", False)
    outcome = load.accept(result.extract_id)
seconds = time.perf_counter() - before
done.set()
assert outcome == "accepted", outcome
usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"seconds": seconds, "peak": peak / 2**20, "rss": usage[0].ru_maxrss / 1024,
    "cpu": sum(one.ru_utime + one.ru_stime for one in usage), "counts": result.counts.__dict__}))
"""


def _load(folder: Path, period: str, workers: str | None) -> dict[str, float]:
    environment = os.environ | ({} if workers is None else {"P06_WORKERS": workers})
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, SOURCE, period, str(folder)],
        stdout=subprocess.PIPE, text=True, check=True, env=environment,
    )  # fmt: skip
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _limit(file: Path) -> float:
    """Seconds of a server-side COPY into a new table like the leaf, by a superuser."""
    import psycopg

    from p06 import contract, database, staging

    shape = ", ".join(f"{name} {kind}" for name, kind, _ in staging.shape(contract.load(SOURCE), "staging"))
    with psycopg.connect(database.dsn("admin").replace("p06_admin", "postgres", 1), autocommit=True) as connection:
        connection.execute("drop table if exists staging.bench_limit")
        connection.execute(f"create table staging.bench_limit ({shape})")
        before = time.perf_counter()
        connection.execute(f"copy staging.bench_limit ({', '.join(COLUMNS)}) from '{file}' (format csv, header true)")
        seconds = time.perf_counter() - before
        connection.execute("drop table staging.bench_limit")
        connection.execute("checkpoint")
    return seconds


def _forget() -> None:
    """Drop the rows of the last load: 27 loads of 5 million rows would take 30 GB."""
    import psycopg

    from p06 import database

    with psycopg.connect(database.dsn("admin").replace("p06_admin", "postgres", 1), autocommit=True) as connection:
        for (leaf,) in connection.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent in (%s::regclass, %s::regclass)",
            (f"staging.{SOURCE}", f"quarantine.{SOURCE}"),
        ).fetchall():
            connection.execute(f"drop table {leaf}")
        connection.execute("checkpoint")


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="words a case's name must hold one of")
    parser.add_argument("--keep", type=Path, help="folder for the files, kept between runs")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="p06-bench-"))
    files = arguments.keep or work / "files"
    files.mkdir(parents=True, exist_ok=True)
    work.chmod(0o755)
    files.chmod(0o755)
    os.environ["P06_HOME"] = str(work / "home")
    from p06 import database

    cases = {name: case for name, case in CASES.items() if not arguments.only or any(w in name for w in arguments.only)}
    try:
        clean = make(files, arguments.rows)
        database.ensure_running()
        figures: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
        limits: list[float] = []
        month = 0
        for _ in range(arguments.rounds):
            limits.append(_limit(clean))
            for name, (every, kind, compression, workers, share) in cases.items():
                rows = arguments.rows // share
                path = make(files, rows, every, kind, compression)
                period = f"{2020 + month // 12}-{month % 12 + 1:02d}"
                month += 1
                folder = deliver(path, work / "landing", period, rows, kind, compression)
                figures[name].append(_load(folder, period, workers))
                _forget()
        _print(arguments.rows, clean, limits, figures)
    finally:
        database.stop()
        shutil.rmtree(work, ignore_errors=True)


def _print(rows: int, clean: Path, limits: list[float], figures: dict[str, list[dict[str, float]]]) -> None:
    print(f"{rows} rows, {clean.stat().st_size / 2**20:.0f} MB, {len(limits)} rounds, median; peak: PSS with helpers")
    print(f"{'server-side COPY of the clean csv':36} {statistics.median(limits):7.2f} s   1.00")
    for name, found in figures.items():
        seconds = statistics.median(one["seconds"] for one in found)
        ratio = statistics.median(one["seconds"] / limit for one, limit in zip(found, limits, strict=True))
        peak = max(one["peak"] for one in found)
        rss = max(one["rss"] for one in found)
        cpu = statistics.median(one["cpu"] for one in found)
        counts = found[0]["counts"]
        print(
            f"{name:36} {seconds:7.2f} s   {ratio:.2f}   peak {peak:.0f} MB (rss {rss:.0f}), {cpu:.1f} s cpu  {counts}"
        )


if __name__ == "__main__":
    main()
