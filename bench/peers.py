"""Other loaders on the same files into the same server: their time beside ours, and what they damage without a word.

    python3 -m venv peers && peers/bin/pip install -r bench/peers.txt
    python bench/peers.py --peers peers --rows 1000000 --rounds 3

Time is taken on the clean file of each kind, in interleaved rounds, without the start of the process; the ratio is to
p06 in the same round. p06 judges every rule of the contract, quarantines, reconciles and signs meanwhile; the peers only
copy. Damage is counted on a csv file of which every hundredth row is broken in one of the ways of ``visits``: first with
the peer's own defaults, then with the options that let such a file pass.
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
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import load
from visits import COLUMNS, KINDS_OF_DAMAGE, damage_of, deliver, make, row

DAMAGED_ROWS, DAMAGED_EVERY = 200_000, 100
TABLE = "peer"
_TEXTS = ("citizen_id", "full_name", "sex", "facility_code", "insurance_card_no", "main_diagnosis")

_DUCKDB = """
import duckdb, json, sys, time
from duckdb_extensions import import_extension
dsn, file, kind, lenient = sys.argv[1:5]
connection = duckdb.connect()
for extension in ("postgres_scanner", *(["excel"] if kind == "xlsx" else [])):
    import_extension(extension, con=connection)
    connection.execute(f"load {extension}")
connection.execute(f"attach '{dsn}' as target (type postgres)")
read = {"csv": "read_csv", "jsonl": "read_json", "parquet": "read_parquet", "xlsx": "read_xlsx"}[kind]
options = ""
if lenient == "lenient":  # all it can be told: what the file is, and to let go what does not fit
    with open(file) as opened:
        columns = {name: "varchar" for name in opened.readline().strip().split(",")}
    options = f", auto_detect=false, header=true, delim=',', quote='\\"', escape='\\"', columns={columns}"
    options += ", ignore_errors=true, null_padding=true, strict_mode=false, parallel=false"
before = time.perf_counter()
connection.execute(f"create table target.public.peer as select * from {read}('{file}'{options})")
print(json.dumps({"seconds": time.perf_counter() - before}))
"""

_DLT = """
import json, os, sys, time
dsn, file, kind, lenient = sys.argv[1:5]
os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
import dlt, pyarrow as pa
from pyarrow import csv, parquet

def tables():
    if kind == "csv":
        skip = (lambda bad: "skip") if lenient == "lenient" else None
        yield from csv.open_csv(file, parse_options=csv.ParseOptions(invalid_row_handler=skip, newlines_in_values=True))
    elif kind == "parquet":
        yield from parquet.ParquetFile(file).iter_batches()
    else:
        from pyarrow import json as lines
        yield from lines.open_json(file)

import psycopg2.extensions
parts = psycopg2.extensions.parse_dsn(dsn)
address = f"postgresql://{parts['user']}:unused@localhost/{parts['dbname']}?host={parts['host']}"
before = time.perf_counter()
pipeline = dlt.pipeline("peer", pipelines_dir=os.environ["WORK"], dataset_name="public",
    destination=dlt.destinations.postgres(address))
pipeline.run(tables(), table_name="peer", write_disposition="append")
print(json.dumps({"seconds": time.perf_counter() - before}))
"""

PEERS = {"duckdb": _DUCKDB, "dlt, arrow": _DLT}  # sling speaks TCP alone, the bench's server does not
KINDS = {
    "csv": ("csv", "none"),
    "csv.gz": ("csv", "gzip"),
    "jsonl": ("jsonl", "none"),
    "parquet": ("parquet", "none"),
    "xlsx, a tenth": ("xlsx", "none"),
}


def _peer(name: str, python: Path, dsn: str, file: Path, kind: str, work: Path, lenient: bool) -> dict[str, Any]:
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"drop table if exists public.{TABLE}")
        connection.execute("drop table if exists public._dlt_loads, public._dlt_version, public._dlt_pipeline_state")
    folder = Path(tempfile.mkdtemp(dir=work))
    arguments = [str(python), "-c", PEERS[name], dsn, str(file), kind, "lenient" if lenient else "default"]
    done = subprocess.run(
        arguments, capture_output=True, text=True, env=os.environ | {"WORK": str(folder), "DO_NOT_TRACK": "1"}
    )
    shutil.rmtree(folder, ignore_errors=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "Error" in line or "exception" in line]
        return {"refused": (said or ["no word"])[-1][:160]}
    return json.loads(done.stdout.strip().splitlines()[-1])  # type: ignore[no-any-return]


def _damage(dsn: str) -> str:
    """What a peer's table says of the damaged file, against the rows that were written."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        names = {name for (name,) in connection.execute(
            "select column_name from information_schema.columns where table_name = %s", (TABLE,)
        )}  # fmt: skip
        lost_columns, needed = sorted(set(COLUMNS) - names), ("visit_id", "total_amount", *_TEXTS)
        if not names.issuperset(needed):
            return f"columns lost or renamed: {len(lost_columns)} of {len(COLUMNS)}"
        listed = ", ".join(f"{name}::text" for name in needed)
        found = {first: rest for first, *rest in connection.execute(f"select {listed} from public.{TABLE}")}
    lost = changed = 0
    let_in: dict[str, int] = {}
    for number in range(DAMAGED_ROWS):
        true = dict(zip(COLUMNS, row(number), strict=True))
        there = found.get(true["visit_id"])
        kind = damage_of(number, DAMAGED_EVERY)
        if kind is None:
            lost += there is None
            changed += there is not None and not _same(there, true)
        elif there is not None and KINDS_OF_DAMAGE[kind] not in ("an exact duplicate", "a key of another row"):
            let_in[KINDS_OF_DAMAGE[kind]] = let_in.get(KINDS_OF_DAMAGE[kind], 0) + 1
    shown = ", ".join(f"{count} of {kind}" for kind, count in let_in.items()) or "none"
    without = f"columns lost: {', '.join(lost_columns)}; " if lost_columns else ""
    return f"{without}sound rows lost {lost}, changed {changed}; broken rows let in: {shown}"


def _same(there: list[str | None], true: dict[str, str]) -> bool:
    amount, *texts = there
    try:
        equal = Decimal(amount or "NaN") == Decimal(true["total_amount"])
    except InvalidOperation:
        equal = False
    return equal and all(text == true[name] for text, name in zip(texts, _TEXTS, strict=True))


def main() -> None:
    """Run the rounds and print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=Path, required=True, help="the environment of bench/peers.txt")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder for the files, kept between runs")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="p06-peers-"))
    files = arguments.keep or work / "files"
    files.mkdir(parents=True, exist_ok=True)
    os.environ["P06_HOME"] = str(work / "home")
    from p06 import database

    python = (arguments.peers / "bin" / "python").absolute()
    try:
        database.ensure_running()
        dsn = database.dsn("admin").replace("p06_admin", "postgres", 1)
        _times(arguments, files, work, python, dsn)
        damaged = make(files, DAMAGED_ROWS, DAMAGED_EVERY)
        print(f"\n{DAMAGED_ROWS} rows of csv, one in {DAMAGED_EVERY} broken: what came through without a word")
        for name in PEERS:
            for options in ("defaults", "lenient"):
                found = _peer(name, python, dsn, damaged, "csv", work, lenient=options == "lenient")
                told = f"refused the file: {found['refused']}" if "refused" in found else _damage(dsn)
                print(f"{name:12} {options:9} {told}")
        folder = deliver(damaged, work / "landing", "2024-12", DAMAGED_ROWS, "csv", "none")
        counts: Any = load._load(folder, "2024-12", None)["counts"]
        print(f"{'p06':12} {counts}")
    finally:
        database.stop()
        shutil.rmtree(work, ignore_errors=True)


def _times(arguments: argparse.Namespace, files: Path, work: Path, python: Path, dsn: str) -> None:
    month = 0
    print(f"{arguments.rows} rows, clean, {arguments.rounds} rounds, median seconds (ratio to p06)")
    for shown, (kind, compression) in KINDS.items():
        rows = arguments.rows // 10 if kind == "xlsx" else arguments.rows  # a sheet ends at 1,048,576 rows
        file = make(files, rows, None, kind, compression)
        ours: list[float] = []
        theirs: dict[str, list[dict[str, Any]]] = {  # dlt has no reader of workbooks
            name: [] for name in PEERS if kind != "xlsx" or name == "duckdb"
        }
        for _ in range(arguments.rounds):
            month += 1
            period = f"{2020 + month // 12}-{month % 12 + 1:02d}"
            folder = deliver(file, work / "landing", period, rows, kind, compression)
            ours.append(load._load(folder, period, None)["seconds"])
            for name in theirs:
                theirs[name].append(_peer(name, python, dsn, file, kind, work, lenient=False))
        print(f"{shown:13} p06 {statistics.median(ours):.2f}", end="")
        for name, found in theirs.items():
            if any("refused" in one for one in found):
                print(f" · {name}: {next(one['refused'] for one in found if 'refused' in one)}", end="")
                continue
            seconds = [one["seconds"] for one in found]
            ratio = statistics.median(one / own for one, own in zip(seconds, ours, strict=True))
            print(f" · {name} {statistics.median(seconds):.2f} ({ratio:.2f})", end="")
        print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
