"""What a gate costs: 20 checks on a million rows against the same aggregates in one statement, and the shipped suites.

    .venv/bin/python bench/gate.py [--rows 1000000] [--rounds 3] [--citizens 100000]

Seconds on the clock and of processor (this process and the server's sessions) after Great Expectations is imported.
With --citizens also which share of a month's run (loads, build, release of six sources) the gates take; the second
month is measured, so that comparisons have one before it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT)]

from bench.build import Cost, metered, settle  # noqa: E402

SOURCE = "health_visit"
# Twenty questions a gate of visits asks; beside each what a person would write for it.
TWENTY: list[tuple[dict[str, Any], str]] = [
    ({"expectation": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}, "count(*)"),
    *(
        (
            {"expectation": "expect_column_values_to_not_be_null", "kwargs": {"column": column}},
            f"count(*) filter (where {column} is null)",
        )
        for column in ("record_key", "full_name", "birth_date", "sex", "total_amount")
    ),
    (
        {
            "expectation": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "sex", "value_set": ["M", "F", "U"]},
        },
        "count(*) filter (where sex not in ('M', 'F', 'U'))",
    ),
    (
        {
            "expectation": "expect_column_values_to_be_between",
            "kwargs": {"column": "birth_date", "min_value": "1900-01-01"},
        },
        "count(*) filter (where birth_date < '1900-01-01')",
    ),
    (
        {
            "expectation": "expect_column_values_to_be_between",
            "kwargs": {"column": "insurance_paid", "min_value": 0},
        },
        "count(*) filter (where insurance_paid < 0)",
    ),
    (
        {
            "expectation": "expect_column_pair_values_a_to_be_greater_than_b",
            "kwargs": {
                "column_A": "discharged_at",
                "column_B": "admitted_at",
                "or_equal": True,
                "ignore_row_if": "either_value_is_missing",
            },
        },
        "count(*) filter (where discharged_at < admitted_at)",
    ),
    (
        {
            "expectation": "expect_column_values_to_be_citizen_ids",
            "kwargs": {"column": "citizen_id", "latest_year": 2024},
        },
        "count(*) filter (where not (citizen_id between 1000000000 and 999999999999 and (citizen_id >= 100000000000"
        " or citizen_id / 1000000000 = any(array[1,2,4,6,8,10,11,12,14,15,17,19,20,22,24,25,26,27,30,31,33,34,35,36,37,"
        "38,40,42,44,45,46,48,49,51,52,54,56,58,60,62,64,66,67,68,70,72,74,75,77,79,80,82,83,84,86,87,89,91,92,93,94,95,"
        "96])) and 1900 + citizen_id / 100000000 % 10 / 2 * 100 + citizen_id / 1000000 % 100 <= 2024))",
    ),
    *(
        ({"measure": text, "max": 10**12}, text)
        for text in (
            "avg((citizen_id is null and old_id is null)::int)",
            "avg((sex = 'U')::int)",
            "least(avg((sex = 'M')::int), avg((sex = 'F')::int))",
            "avg((extract(month from birth_date) = 1 and extract(day from birth_date) = 1)::int)",
            "avg(((citizen_id / 100000000 % 2 = 1) <> (sex = 'F'))::int)",
            "sum(insurance_paid) / nullif(sum(total_amount), 0)",
            "avg(total_amount)",
            "avg((admitted_at < timestamptz '2023-10-01')::int)",
            "count(*) filter (where updated_at > timestamptz '2024-02-02')",
        )
    ),
]


def twenty(suite: Any) -> Any:
    """The suite of these questions."""
    assert len(TWENTY) == 20
    words = {"en": "asked", "vi": "hỏi"}
    checks = [
        suite.Check(id=f"c{at}", title=words, dimension="dung", severity="warn", reason=words, owner="bench", **check)
        for at, (check, _) in enumerate(TWENTY)
    ]
    return suite.Suite("source", SOURCE, tuple(checks))


def month(folder: Path, citizens: int) -> None:
    """The share of the gates in the second month of a synthetic country."""
    import time

    from p06 import gate, record, synth
    from p06.load import load
    from p06.period import Period
    from p06.release import release
    from p06.settings import settings

    periods = [Period(2024, 1), Period(2024, 2)]
    made = synth.generate(folder / "country", citizens, periods, 5)
    places = {"judge_extract": gate, "judge_build": gate, "measure": record, "keep": record}
    spent = dict.fromkeys(places, 0.0)
    judges = {name: getattr(module, name) for name, module in places.items()}

    def timed(name: str) -> Any:
        def judge(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return judges[name](*arguments, **named)
            finally:
                spent[name] += time.perf_counter() - started

        return judge

    for name, module in places.items():
        setattr(module, name, timed(name))
    landing = Path(settings().landing)
    for period in periods:
        for source in sorted((folder / "country" / "landing").iterdir()):
            shutil.copytree(source / str(period), landing / source.name / str(period))
        spent.update(dict.fromkeys(spent, 0.0))
        started = time.perf_counter()
        load()
        loaded = time.perf_counter() - started
        (result,) = (one for one in release([period]) if one.period == period)
        assert result.outcome == "published", result
        total = time.perf_counter() - started
    for name, judge in judges.items():
        setattr(places[name], name, judge)
    rows = sum(one.figures["received"] for one in made.deliveries if one.figures["period"] == str(periods[-1]))
    gates = sum(spent.values())
    print(
        f"a month of {citizens} citizens, {rows} rows: loads {loaded:.1f} s, all {total:.1f} s; gate 1 of six extracts"
        f" {spent['judge_extract']:.1f} s, gate 2 {spent['judge_build']:.1f} s, what passed measured and kept"
        f" {spent['measure'] + spent['keep']:.1f} s: {100 * gates / total:.0f} % (limit 15)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--citizens", type=int, default=0, help="measure a month of so many citizens as well")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="p06-bench-"))
    folder.chmod(0o755)
    settle(folder / "home")
    os.environ.pop("P06_DATABASE_URL", None)

    import great_expectations  # noqa: F401
    from tests.integration.test_gate import Stage

    from p06 import contract, database, expectation, gate, suite

    expectation.own()
    try:
        database.ensure_running()
        if options.citizens:
            month(folder, options.citizens)
        with database.connect("loader", autocommit=True) as connection:
            stage = Stage(connection)
            extract_id = stage.extract(SOURCE, rows=options.rows)
            leaf = connection.execute(
                "select staging_table from control.extract where extract_id = %s", (extract_id,)
            ).fetchone()[0]  # type: ignore[index]
            connection.execute(f"analyze staging.{leaf}".encode())
        promised = contract.load(SOURCE)
        known = suite.load_source
        statement = f"select {', '.join(text for _, text in TWENTY)} from staging.{leaf}"
        took: dict[str, list[Cost]] = {"gate": [], "hand": [], "shipped": []}
        for _ in range(options.rounds + 1):
            with metered() as found, database.connect("loader", autocommit=True) as connection:
                connection.execute("set timezone = 'UTC'")
                connection.execute(statement.encode())
            took["hand"] += found
            suite.load_source = lambda source: twenty(suite)
            with metered() as found:
                verdict = gate.judge_extract(promised, extract_id)
            assert verdict.outcome == "pass", [r for r in verdict.results if not r.success]
            took["gate"] += found
            suite.load_source = known
            with metered() as found:
                shipped = gate.judge_extract(promised, extract_id)
            took["shipped"] += found
        median = {
            way: Cost(
                statistics.median(cost.wall for cost in costs[1:]),
                statistics.median(cost.processor for cost in costs[1:]),
            )
            for way, costs in took.items()
        }
        print(f"{options.rows} rows, medians of {options.rounds} rounds after one to warm up")
        print(f"20 checks: {median['gate']} (limit 1.5 s)")
        print(f"the same aggregates in one statement: {median['hand']}")
        print(
            f"gate ÷ statement: {median['gate'].wall / median['hand'].wall:.2f} on the clock,"
            f" {median['gate'].processor / max(median['hand'].processor, 0.01):.2f} of processor (limit 4)"
        )
        print(f"the shipped suite of {SOURCE}, {len(shipped.results)} checks: {median['shipped']}")
    finally:
        database.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
