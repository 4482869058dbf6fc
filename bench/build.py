"""What building a month costs: dbt against the same SQL by hand, and a month at 12 loaded months against one at 3.

    .venv/bin/python bench/build.py [--citizens 300000] [--rounds 3] [--months 12]

Rows are staged by SQL, so that only the build is measured. Each month changes 2 % of the register.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT)]


@dataclass
class Cost:
    """Seconds on the clock and of processor, and each model's own."""

    wall: float
    processor: float
    models: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.processor:.2f} s of processor)"


@contextmanager
def metered() -> Iterator[list[Cost]]:
    """Measures the block: this process and the server's sessions that begin and end in it."""
    import psutil

    from p06.settings import settings

    server = psutil.Process(int((settings().home / "postgres" / "postmaster.pid").read_text().split()[0]))

    def used() -> float:
        theirs, own = server.cpu_times(), psutil.Process().cpu_times()
        return theirs.children_user + theirs.children_system + own.user + own.system

    time.sleep(0.3)  # sessions before it are gone
    found: list[Cost] = []
    before, started = used(), time.perf_counter()
    yield found
    wall = time.perf_counter() - started
    time.sleep(0.3)
    found.append(Cost(wall, used() - before))


PERSON = """
    (1090000000 + g)::bigint as citizen_id,
    case when g % 3 = 0 then lpad((100000000 + g)::text, 9, '0') end as old_id,
    (array['Nguyễn', 'Trần', 'Lê', 'Phạm', 'Hoàng'])[1 + g % 5] || ' ' || (array['Văn', 'Thị', 'Đức', 'Thu'])[1 + g % 4]
        || ' ' || (array['An', 'Bình', 'Cường', 'Dũng', 'Hà', 'Lan', 'Mai'])[1 + g % 7] || ' '
        || chr(97 + g % 26) || chr(97 + (g / 26) % 26) || chr(97 + (g / 676) % 26) as full_name,
    date '1940-01-01' + (g::bigint * 7919 % 29000)::integer as birth_date,
    (array['M', 'F'])[1 + g % 2] as sex
"""


def stage(warehouse: Any, source: str, period: str, columns: dict[str, str], rows: str) -> None:
    """Make a leaf of the source from SQL expressions over ``g`` (a row number) and accept it."""
    from tests.dbt.hand_staged import OLD_AREAS, ExtractRef

    from p06 import codelist, contract, database
    from p06.period import Period

    month = Period.parse(period)
    import hashlib

    extract_id = hashlib.sha256(f"{source}|{period}|{sorted(columns.items())}|{rows}".encode()).hexdigest()
    leaf = f"{source}__{period.replace('-', '')}__{extract_id[:8]}"
    known = contract.load(source)
    wanted = []
    for column in known.columns:
        expression = columns.get(column.name, f"p.{column.name}" if column.name in _PERSON else "null")
        wanted.append(f"({expression})::{column.sql_type} as {column.name}")
    codes = sorted(codelist.commune_codes(OLD_AREAS)[0])
    with database.connect("loader") as connection:
        connection.execute(
            f"create table staging.{leaf} as with communes as materialized (select array{codes} as codes)"
            f" select date '{month.first_day}' as period, '{extract_id}' as extract_id, 1::smallint as file_no,"
            f" g::bigint + 1 as line, {', '.join(wanted)}, md5('{source}' || g)::uuid as record_key"
            f" from {rows} as g cross join communes cross join lateral (select {PERSON}) as p"
        )
        count = connection.execute(f"select count(*) from staging.{leaf}").fetchone()[0]  # type: ignore[index]
        if source == "population_register":
            connection.execute(
                f"insert into vault.citizen_token select citizen_id, md5('t' || citizen_id)::uuid from staging.{leaf}"
                " on conflict do nothing"
            )
        connection.commit()
        connection.autocommit = True
        connection.execute(f"analyze staging.{leaf}")
    ref = ExtractRef(extract_id, source, month, leaf, 1, OLD_AREAS, count, 0, 0, count)
    warehouse.accepted[source, month] = ref
    warehouse.enter(ref)


_PERSON = ("citizen_id", "old_id", "full_name", "birth_date", "sex")
# Of a hundred rows five state no number, one a number nobody has, one somebody else's.
_DIRTY = {
    "citizen_id": "case when g % 100 < 5 then null when g % 100 = 5 then 99000000000 + g"
    " when g % 100 = 6 then p.citizen_id + 1 else p.citizen_id end",
    "old_id": "case when g % 100 >= 5 then p.old_id end",
}
_COMMUNE = "codes[1 + g % 10000]"
SOURCES: dict[str, dict[str, str]] = {
    "education_enrolment": {
        "student_code": "g", "school_code": "'S' || g % 900", "level": "'primary'", "grade": "1 + g % 5",
        "school_year": "'2023-2024'", "enrolment_status": "'studying'", "commune_code": _COMMUNE,
    },
    "health_visit": {
        "visit_id": "g", "facility_code": "'01001'", "insurance_card_no": "'DN401' || lpad(g::text, 10, '0')",
        "admitted_at": "'2024-01-05T08:00:00Z'", "main_diagnosis": "'A00'", "total_amount": "g % 1000",
        "insurance_paid": "g % 1000", "patient_paid": "0",
    },
    "social_security_participation": {
        "social_insurance_no": "lpad(g::text, 10, '0')", "insurance_card_no": "'DN401' || lpad(g::text, 10, '0')",
        "object_code": "'DN'", "benefit_level": "4", "participation": "'compulsory'", "commune_code": _COMMUNE,
        "card_valid_from": "date '2023-01-01'",
    },
    "bank_kyc": {
        "institution_code": "'B1'", "customer_ref": "g", "institution_kind": "'credit_institution'",
        "channel": "'app'", "biometric_match": "'matched'", "account_status": "'active'",
    },
    "land_parcel": {
        "parcel_id": "g / 2", "holder_no": "1 + g % 2", "commune_code": _COMMUNE, "land_type": "'ONT'",
        "area_m2": "100 + g % 900", "share_percent": "50", "data_group": "1 + g % 3",
    },
}  # fmt: skip


def stage_month(warehouse: Any, number: int, citizens: int) -> str:
    """A register month (everyone first, then 2 %), and a row of each sector source for two citizens in five."""
    period = f"{2024 + (number - 1) // 12}-{(number - 1) % 12 + 1:02d}"
    everyone = f"generate_series(1, {citizens})"
    rows = everyone if number == 1 else f"generate_series({number}, {citizens}, 50)"
    register = {
        "residence_commune_code": _COMMUNE if number == 1 else f"codes[1 + (g + {number}) % 10000]",
        "status": "'alive'", "eid_level": f"(g + {number}) % 3", "record_op": "'upsert'",
        "id_card_issued_on": "case when g % 10 > 0 then date '2022-01-01' end",
    }  # fmt: skip
    stage(warehouse, "population_register", period, register, rows)
    for source, columns in SOURCES.items():
        stage(warehouse, source, period, _DIRTY | columns, f"generate_series(1, {citizens * 2 // 5})")
    return period


def by_hand(folder: Path, wanted: Callable[[str], bool] = lambda path: True) -> list[tuple[str, str]]:
    """Name and statements of each model of dbt's last run, in the order they depend on each other."""
    from p06 import build

    manifest = build._kept[folder][1]
    done: list[str] = []
    order: list[tuple[str, str]] = []

    def visit(unique_id: str) -> None:
        node = manifest.nodes.get(unique_id)
        if node is None or unique_id in done or node.resource_type != "model":
            return
        done.append(unique_id)
        for parent in node.depends_on.nodes:
            visit(parent)
        path = folder / "target" / "run" / "p06" / node.original_file_path
        if path.exists() and wanted(path.as_posix()):
            order.append((node.name, path.read_text()))

    for unique_id in sorted(manifest.nodes):
        visit(unique_id)
    return order


@contextmanager
def session() -> Iterator[Any]:
    """One session of the builder's, set as dbt's are."""
    from p06 import build, database

    with database.connect("builder", autocommit=True) as connection:
        connection.execute(f"set work_mem = '{build._work_memory()}MB'")
        connection.execute("set synchronous_commit = off")
        connection.execute("set random_page_cost = 1.1")
        yield connection


def settle(home: Path) -> None:
    """Make this home the current one."""
    from p06.settings import settings

    home.mkdir(exist_ok=True)
    os.environ["P06_HOME"] = str(home)
    settings.cache_clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--citizens", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--months", type=int, nargs="+", default=[3, 12], help="loaded months to compare")
    parser.add_argument("--models", action="store_true", help="print what each model costs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="p06-bench-"))
    folder.chmod(0o755)
    from tests.dbt.hand_staged import fresh

    from p06 import database

    homes = {months: folder / f"{months}-months" for months in options.months}
    try:
        warehouses, following = {}, {}
        for months, home in homes.items():
            settle(home)
            warehouse = warehouses[months] = fresh()
            for number in range(1, months + 1):
                warehouse.build(stage_month(warehouse, number, options.citizens), test=False)
            following[months] = stage_month(warehouse, months + 1, options.citizens)
            print(f"{months} months of {options.citizens} citizens loaded", flush=True)
        costs: dict[int, list[float]] = {months: [] for months in homes}
        for _ in range(options.rounds):
            for months, home in homes.items():
                settle(home)
                started = time.perf_counter()
                warehouses[months].build(following[months], publish=False)
                costs[months].append(time.perf_counter() - started)
        medians = {months: statistics.median(values) for months, values in costs.items()}
        for months, seconds in medians.items():
            print(f"one more month after {months}, built and tested: {seconds:.1f} s")
        first, last = min(medians), max(medians)
        if last > first:
            print(f"at {last} loaded months ÷ at {first}: {medians[last] / medians[first]:.2f} (limit 1.2)", flush=True)
        settle(homes[first])
        compare(warehouses[first], f"2024-{first:02d}", homes[first] / "dbt", options)
    finally:
        for home in homes.values():
            settle(home)
            database.stop()
        shutil.rmtree(folder, ignore_errors=True)


def compare(warehouse: Any, period: str, folder: Path, options: argparse.Namespace) -> None:
    """dbt's run of a month against its statements sent over one session, interleaved; tests are left out."""
    from p06 import build

    took: dict[str, list[Cost]] = {"dbt": [], "hand": []}
    invoke = build._invoke

    def timed(command: str, variables: dict[str, Any], report: Any, flags: Any, allow_failures: bool = False) -> Any:
        if command != "run":
            return []
        with metered() as found:
            results = invoke(command, variables, report, flags, allow_failures)
        took["dbt"] += found
        if options.models and len(took["dbt"]) == 1:
            for result in sorted(results, key=lambda result: -result.execution_time):
                print(f"  {result.execution_time:6.2f} s {result.node.name}")
        return results

    build._invoke = timed
    for _ in range(options.rounds):
        shutil.rmtree(folder / "target" / "run", ignore_errors=True)
        warehouse.build(period, publish=False)
        statements = by_hand(folder)
        with metered() as found, session() as connection:
            for _, statement in statements:
                with connection.transaction():
                    connection.execute(statement.encode(), prepare=False)
        took["hand"] += found
    build._invoke = invoke
    dbt, hand = (statistics.median(cost.wall for cost in took[way]) for way in ("dbt", "hand"))
    used = [statistics.median(cost.processor for cost in took[way]) for way in ("dbt", "hand")]
    rows = sum(
        ref.staged for (source, at), ref in warehouse.accepted.items() if str(at) == period and "register" not in source
    )
    print(
        f"{len(statements)} models, {rows} sector rows, {options.citizens} citizens: dbt {dbt:.1f} s, by hand {hand:.1f} s"
    )
    print(f"dbt ÷ the same SQL by hand: {dbt / hand:.2f} (limit 1.2), of processor {used[0] / used[1]:.2f}")


if __name__ == "__main__":
    main()
