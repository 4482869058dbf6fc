"""The load against its limit: one server-side COPY of the clean file into the same typed table.

    python bench/load.py --rows 1000000 --rounds 3

Interleaved rounds in one home of its own; each figure is the median, ratios are taken within a round. The load is
everything from manifest to accepted extract but gate 1: checksum, scan, every rule of the contract, quarantine,
duplicates, key conflicts, reconciliation, record keys, statistics, attachment.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SOURCE = "health_visit"
HEADER = (
    "citizen_id,old_id,full_name,birth_date,sex,visit_id,facility_code,insurance_card_no,admitted_at,discharged_at,"
    "main_diagnosis,total_amount,insurance_paid,patient_paid,updated_at"
)
_FAMILY = [
    "Nguyễn",
    "Trần",
    "Lê",
    "Phạm",
    "Hoàng",
    "Huỳnh",
    "Phan",
    "Vũ",
    "Võ",
    "Đặng",
    "Bùi",
    "Đỗ",
    "Hồ",
    "Ngô",
    "Dương",
    "Lý",
]
_GIVEN = [
    "Anh",
    "Bình",
    "Châu",
    "Dũng",
    "Hà",
    "Hương",
    "Khánh",
    "Lan",
    "Minh",
    "Nga",
    "Phương",
    "Quân",
    "Sơn",
    "Thảo",
    "Tuấn",
    "Vy",
]
_DAMAGE = 11  # kinds of bad rows, taken in turn


def _row(number: int) -> str:
    year = 1930 + number * 7 % 90
    day = f"{year}-{1 + number % 12:02d}-{1 + number % 28:02d}"
    person = f"001{(number % 2) + (2 if year > 1999 else 0)}{year % 100:02d}{number % 1000000:06d}"
    name = f"{_FAMILY[number % 16]} {_GIVEN[number // 16 % 16]} {_GIVEN[number // 256 % 16]}"
    total = 100_000 + number * 37 % 900_000
    paid = total * 4 // 5
    at = f"2024-01-{1 + number % 31:02d}T{number % 24:02d}:{number % 60:02d}:{number * 7 % 60:02d}+07:00"
    return (
        f"{person},,{name},{day},{'MF'[number % 2]},V{number:011d},{10000 + number % 1500},DN4{number:012d},{at},{at},"
        f"J{number % 100:02d}.{number % 10},{total}.00,{paid}.00,{total - paid}.00,{at}"
    )


def _damaged(number: int, kind: int) -> str:
    fields = _row(number).split(",")
    if kind == 0:
        fields[3] = "1985-02-30"
    elif kind == 1:
        fields.append("x")
    elif kind == 2:
        fields[2] = f'{fields[2][:3]}"{fields[2][3:]}'
    elif kind == 3:
        fields[2] = f'"{fields[2]}'
    elif kind == 4:
        fields[0] = fields[0].lstrip("0")
    elif kind == 5:
        fields[11] = "NaN"
    elif kind == 6:
        fields[4] = "X"
    elif kind == 7:
        fields[2] = ""
    elif kind == 8:
        return _row(number - 1)  # duplicate
    elif kind == 9:
        fields[5] = _row(number - 1).split(",")[5]  # key conflict
    else:
        fields[11] = "1.00"  # cross-field
    return ",".join(fields)


def _lines(rows: int, every: int | None) -> Iterator[str]:
    for number in range(rows):
        if every and number % every == every - 1:
            yield _damaged(number, number // every % _DAMAGE)
        else:
            yield _row(number)


def _write(path: Path, rows: int, every: int | None) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER + "\n")
        for line in _lines(rows, every):
            file.write(line + "\n")
    path.chmod(0o644)


def _deliver(file: Path, landing: Path, period: str, rows: int, compression: str) -> Path:
    folder = landing / SOURCE / period / "bench"
    folder.mkdir(parents=True)
    os.link(file, folder / file.name)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    stated = {"name": file.name, "bytes": file.stat().st_size, "sha256": digest, "rows": rows}
    form = {
        "kind": "csv",
        "compression": compression,
        "encoding": "utf-8",
        "delimiter": ",",
        "quote": '"',
        "header": True,
    }
    manifest = {
        "manifest_version": 1, "source": SOURCE, "period": period, "revision": 1,
        "produced_at": "2024-02-03T08:15:00+07:00", "admin_code_version": "2025-03-01", "format": form, "files": [stated],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


_CHILD = """
import json, resource, sys, time
from p06 import database, ledger, load, staging
from p06.landing import Delivery
from pathlib import Path
source, period, folder = sys.argv[1:4]
with database.connect("loader", autocommit=True) as connection:
    staging.sync(connection)
    before = time.perf_counter()
    done = load.stage(Delivery(source, period, "bench", Path(folder)))
    staged = time.perf_counter() - before
    ledger.judged(connection, ledger.extract(connection, done.extract_id), "bench", False)
    outcome = load.accept(done.extract_id)
seconds = time.perf_counter() - before
assert outcome == "accepted", outcome
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": seconds, "staged": staged, "peak": peak, "cpu": usage.ru_utime + usage.ru_stime, "counts": done.counts.__dict__}))
"""


def _load(folder: Path, period: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, SOURCE, period, str(folder)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _limit(file: Path) -> float:
    """Seconds of a server-side COPY into a new table like the leaf, by a superuser."""
    import psycopg

    from p06 import contract, database, staging

    columns = HEADER.split(",")
    shape = ", ".join(f"{name} {kind}" for name, kind, _ in staging.shape(contract.load(SOURCE), "staging"))
    with psycopg.connect(database.dsn("admin").replace("p06_admin", "postgres", 1), autocommit=True) as connection:
        connection.execute("drop table if exists staging.bench_limit")
        connection.execute(f"create table staging.bench_limit ({shape})")
        before = time.perf_counter()
        connection.execute(f"copy staging.bench_limit ({', '.join(columns)}) from '{file}' (format csv, header true)")
        seconds = time.perf_counter() - before
        connection.execute("drop table staging.bench_limit")
        connection.execute("checkpoint")
    return seconds


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=int, nargs="*", default=[0, 1000], help="a bad row every N; 0: none")
    parser.add_argument("--gzip", action="store_true", help="also the clean file compressed")
    parser.add_argument("--keep", type=Path, help="folder for the files, kept between runs")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="p06-bench-"))
    files = arguments.keep or work / "files"
    files.mkdir(parents=True, exist_ok=True)
    work.chmod(0o755)
    os.environ["P06_HOME"] = str(work / "home")
    from p06 import database

    cases: list[tuple[str, Path, str]] = []
    try:
        clean = files / f"clean-{arguments.rows}.csv"
        for every in sorted({0, *arguments.every}):
            path = files / f"bad-{arguments.rows}-{every}.csv" if every else clean
            if not path.exists():
                _write(path, arguments.rows, every or None)
            if every in arguments.every:
                cases.append((f"load, a bad row every {every}" if every else "load, clean", path, "none"))
        if arguments.gzip:
            packed = clean.with_suffix(".csv.gz")
            if not packed.exists():
                with clean.open("rb") as plain, gzip.open(packed, "wb", 6) as target:
                    shutil.copyfileobj(plain, target)
            cases.append(("load, clean, gzip", packed, "gzip"))
        database.ensure_running()
        figures: dict[str, list[dict[str, float]]] = {name: [] for name, _, _ in cases}
        limits = []
        month = 0
        for _ in range(arguments.rounds):
            limits.append(_limit(clean))
            for name, path, compression in cases:
                period = f"{2020 + month // 12}-{month % 12 + 1:02d}"
                month += 1
                folder = _deliver(path, work / "landing", period, arguments.rows, compression)
                figures[name].append(_load(folder, period))
        _print(arguments.rows, clean, limits, figures)
    finally:
        database.stop()
        shutil.rmtree(work, ignore_errors=True)


def _print(rows: int, clean: Path, limits: list[float], figures: dict[str, list[dict[str, float]]]) -> None:
    print(f"{rows} rows, {clean.stat().st_size / 2**20:.0f} MB, {len(limits)} rounds, median")
    print(f"{'server-side COPY of the clean file':40} {statistics.median(limits):6.2f} s   1.00")
    for name, found in figures.items():
        seconds = statistics.median(one["seconds"] for one in found)
        ratio = statistics.median(one["seconds"] / limit for one, limit in zip(found, limits, strict=True))
        peak = max(one["peak"] for one in found)
        cpu = statistics.median(one["cpu"] for one in found)
        print(f"{name:40} {seconds:6.2f} s   {ratio:.2f}   peak {peak:.0f} MB, {cpu:.2f} s cpu of the loader")
        print(f"{'':40} {found[0]['counts']}")


if __name__ == "__main__":
    main()
