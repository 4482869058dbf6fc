"""What the register's history costs: a month, an old month corrected, months in any order, a mass correction, snapshots.

    .venv/bin/python bench/history.py [--citizens 1000000] [--rounds 3] [--months 3 24] [--only month correction ...]

Everybody in the first month, then 2 % a month. Rows are staged by SQL and each step writes and publishes one register
state, so that only the register's part of a build is measured: the models tagged `register` and what they read. Beside
the seconds on the clock stand the seconds of processor, dbt's and the server's, which others on the machine disturb
less. `--only`: month, correction, order, mass, snapshot, whole, cascade, growth.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT)]

_spec = importlib.util.spec_from_file_location("bench_build", ROOT / "bench" / "build.py")
assert _spec is not None and _spec.loader is not None
months = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = months
_spec.loader.exec_module(months)

FIRST_YEAR = 2023  # 24 months and some more before the reform of July 2025
REGISTER = "population_register"


def period(number: int) -> str:
    """The month of that number, from 1."""
    return f"{FIRST_YEAR + (number - 1) // 12}-{(number - 1) % 12 + 1:02d}"


Cost, metered = months.Cost, months.metered


def register_rows(number: int, citizens: int, everyone: bool) -> tuple[dict[str, str], str]:
    """Expressions and rows of a register month: in month m one in fifty states something new."""
    commune = "codes[1 + {} % 10000]"
    if not everyone:
        columns = {"residence_commune_code": commune.format(f"(g + {number})"), "eid_level": f"(g + {number}) % 3"}
        rows = f"generate_series({number}, {citizens}, 50)"
    else:
        # of each the last month up to this one in which it changed: those with the same remainder by fifty
        last = f"coalesce(nullif((select max(m) from generate_series(2, {number}) as m where m % 50 = g % 50), 0), 0)"
        if number == 1:
            last = "0"
        columns = {"residence_commune_code": commune.format(f"(g + {last})"), "eid_level": f"(g + {last}) % 3"}
        rows = f"generate_series(1, {citizens})"
    shared = {
        "status": "'alive'",
        "record_op": "'upsert'",
        "id_card_issued_on": "case when g % 10 > 0 then date '2022-01-01' end",
    }
    return shared | columns, rows


def deliver(warehouse: Any, number: int, citizens: int, everyone: bool = False, **changed: str) -> None:
    """Stage and accept a register month; ``changed`` replaces expressions, which makes it a correction."""
    columns, rows = register_rows(number, citizens, everyone or number == 1)
    months.stage(warehouse, REGISTER, period(number), columns | changed, rows)


def step(warehouse: Any, horizon: int) -> Cost:
    """Write the register state of all that is accepted, and point readers at it."""
    return _costs(lambda report: warehouse.state(period(horizon), report))


def _costs(work: Callable[[Callable[[str], None]], object]) -> Cost:
    """What some work cost, and each of its models."""
    models: dict[str, float] = {}

    def told(text: str) -> None:
        name, seconds, _ = text.split()
        models[name] = float(seconds)

    with metered() as found:
        work(told)
    found[0].models = models
    return found[0]


def median(costs: list[Cost]) -> Cost:
    """Of each figure the median."""
    names = {name for cost in costs for name in cost.models}
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.processor for cost in costs),
        {name: statistics.median(cost.models.get(name, 0.0) for cost in costs) for name in sorted(names)},
    )


def against(name: str, one: Cost, other: Cost, limit: float | None = None) -> None:
    """Print a ratio of two costs."""
    bound = f" (limit {limit})" if limit else ""
    print(f"{name}: {one.wall / other.wall:.2f}, of processor {one.processor / other.processor:.2f}{bound}", flush=True)


class Homes:
    """Warehouses of their own, each with its server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warehouses: dict[str, Any] = {}
        self.places: dict[str, Path] = {}

    def open(self, name: str) -> Any:
        """A fresh warehouse; it becomes the current one."""
        from tests.dbt.hand_staged import fresh

        self.places[name] = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"  # a server's place serves once
        months.settle(self.places[name])
        self.warehouses[name] = fresh()
        return self.warehouses[name]

    def turn(self, name: str) -> Any:
        """Make a warehouse the current one."""
        months.settle(self.places[name])
        return self.warehouses[name]

    def close(self, name: str) -> None:
        """Stop its server and forget it."""
        from p06 import database

        self.turn(name)
        database.stop()
        del self.warehouses[name]
        for path in self.places[name].iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()

    def close_all(self) -> None:
        """Stop every server."""
        for name in list(self.warehouses):
            self.close(name)


def _loaded(homes: Homes, name: str, count: int, citizens: int) -> Any:
    warehouse = homes.open(name)
    for number in range(1, count + 1):
        deliver(warehouse, number, citizens)
        step(warehouse, number)
    print(f"{count} months of {citizens} citizens loaded, a state each", flush=True)
    return warehouse


def measure_month(homes: Homes, options: argparse.Namespace) -> None:
    """A month with many loaded before it against one with few, in turns; then an old month corrected."""
    few, many = min(options.months), max(options.months)
    for count in (few, many):
        _loaded(homes, f"month-{count}", count, options.citizens)
    costs: dict[int, list[Cost]] = {few: [], many: []}
    for turn in range(1, options.rounds + 1):
        for count in (few, many):
            warehouse = homes.turn(f"month-{count}")
            deliver(warehouse, count + turn, options.citizens)
            costs[count].append(step(warehouse, count + turn))
    found = {count: median(each) for count, each in costs.items()}
    for count, cost in found.items():
        print(f"one more register month after {count}: {cost}", flush=True)
        if options.models:
            _models(cost)
    against(f"register month at {many} loaded months ÷ at {few}", found[many], found[few], 1.15)
    if "correction" in options.only:
        last = many + options.rounds
        measure_correction(homes.turn(f"month-{many}"), last, found[many], options)


def measure_correction(warehouse: Any, last: int, month: Cost, options: argparse.Namespace) -> None:
    """An old month sent again with one row that differs, against the month of the same size that comes next."""
    costs = []
    for turn in range(1, options.rounds + 1):
        number = 2 + turn
        one = f"case when g = {number + 50} then '2' else ((g + {number}) % 3)::text end"
        deliver(warehouse, number, options.citizens, eid_level=one)
        costs.append(step(warehouse, last))
    cost = median(costs)
    print(f"one row of an old register month corrected: {cost}", flush=True)
    if options.models:
        _models(cost)
    against("one-row correction ÷ the next register month, dbt's share in both", cost, month, 0.05)
    sql, whole = sum(cost.models.values()), sum(month.models.values())
    print(f"the models' own seconds: {sql:.2f} ÷ {whole:.2f} = {sql / whole:.2f}", flush=True)


def measure_order(homes: Homes, options: argparse.Namespace) -> None:
    """All months one after the other, a state each, as they come and in random orders."""
    count, citizens = max(options.months), options.order_citizens
    orders = {"chronological": list(range(1, count + 1))}
    for seed in range(1, options.rounds + 1):
        orders[f"random {seed}"] = random.Random(seed).sample(orders["chronological"], count)
    orders["the earliest last"] = [*orders["chronological"][1:], 1]
    totals = {}
    deliver(homes.open("order"), 1, 1000)
    step(homes.turn("order"), 1)  # what is read and imported once
    homes.close("order")
    for name, order in orders.items():
        warehouse = homes.open("order")
        total = Cost(0.0, 0.0)
        for place, number in enumerate(order):
            deliver(warehouse, number, citizens)
            cost = step(warehouse, max(order[: place + 1]))
            total = Cost(total.wall + cost.wall, total.processor + cost.processor)
        totals[name] = total
        print(f"{count} months of {citizens} citizens, {name}: {total}", flush=True)
        homes.close("order")
    chronological = totals.pop("chronological")
    for name, total in totals.items():
        against(f"{name} ÷ chronological", total, chronological, 1.3)


def measure_mass(homes: Homes, options: argparse.Namespace) -> None:
    """The first month corrected for a share of everybody: by index, in one pass, and everyone computed anew."""
    from p06 import build

    count, citizens = min(options.months), options.mass_citizens
    _loaded(homes, "mass", count, citizens)
    warehouse = homes.turn("mass")
    crosses, variables = build._crosses_reform, build._variables
    ways: dict[str, tuple[bool, float]] = {"index": (False, 9.0), "one pass": (False, 0.0), "everyone": (True, 0.0)}
    turn = 0
    for percent in options.shares:
        costs: dict[str, list[Cost]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, (everyone, share) in ways.items():
                turn += 1
                build._crosses_reform = (lambda *_: True) if everyone else crosses
                build._variables = lambda *a, share=share, **k: variables(*a, **k) | {"scan_share": share}
                level = f"case when g % 100 < {percent} then ((g + {turn}) % 3)::text else (g % 3)::text end"
                deliver(warehouse, 1, citizens, eid_level=level)
                costs[way].append(step(warehouse, count))
        found = {way: median(each) for way, each in costs.items()}
        print(f"{percent} % of {citizens} corrected: {', '.join(f'{way} {cost}' for way, cost in found.items())}")
        for way, cost in found.items():
            if options.models:
                print(f" {way}")
                _models(cost)
        against(f"{percent} %: index ÷ one pass", found["index"], found["one pass"])
        against(f"{percent} %: one pass ÷ everyone", found["one pass"], found["everyone"])
    build._crosses_reform, build._variables = crosses, variables
    homes.close("mass")


def measure_snapshot(homes: Homes, options: argparse.Namespace) -> None:
    """A month of the whole register against the same month sent as changes; and with many snapshots before it."""
    from p06 import contract

    few, many = min(options.months), max(options.months)
    citizens = options.order_citizens
    real = contract.Contract.register_form
    costs: dict[str, Cost] = {}
    for form in ("changes", "snapshot"):
        contract.Contract.register_form = lambda self, month, form=form: form  # type: ignore[method-assign,misc]
        warehouse = homes.open("snapshot")
        found = []
        for number in range(1, many + options.rounds + 1):
            deliver(warehouse, number, citizens, everyone=form == "snapshot")
            found.append(step(warehouse, number))
        costs[f"{form} early"] = median(found[few : few + options.rounds])
        costs[f"{form} late"] = median(found[many : many + options.rounds])
        homes.close("snapshot")
    contract.Contract.register_form = real  # type: ignore[method-assign]
    for name, cost in costs.items():
        print(f"{name}: {cost}", flush=True)
    against(f"snapshot at {many} loaded ÷ at {few}", costs["snapshot late"], costs["snapshot early"], 1.15)
    against("snapshot ÷ changes", costs["snapshot late"], costs["changes late"])


def _month_of_all(warehouse: Any, number: int, citizens: int) -> None:
    deliver(warehouse, number, citizens)
    for source, columns in months.SOURCES.items():
        months.stage(
            warehouse, source, period(number), months._DIRTY | columns, f"generate_series(1, {citizens * 2 // 5})"
        )


def measure_growth(homes: Homes, options: argparse.Namespace) -> None:
    """A whole month (register, five sources, marts, tests) at several sizes: the exponent of a fit through all."""
    points = []
    for citizens in options.sizes:
        warehouse = homes.open("growth")
        for number in (1, 2):
            _month_of_all(warehouse, number, citizens)
        warehouse.build(period(1), test=False)
        walls = []
        for turn in range(options.rounds):
            month = partial(warehouse.build, period(2), publish=turn == options.rounds - 1)
            walls.append(_costs(lambda report, month=month: month(report=report)))  # type: ignore[misc]
        cost = median(walls)
        points.append((citizens, cost))
        print(f"a whole month of {citizens} citizens, built and tested: {cost}", flush=True)
        if options.models:
            _models(cost)
        homes.close("growth")
    if len(points) > 1:
        for name, values in (
            ("on the clock", [cost.wall for _, cost in points]),
            ("of processor", [cost.processor for _, cost in points]),
        ):
            x, y = [math.log(size) for size, _ in points], [math.log(value) for value in values]
            print(f"growth exponent {name}: {statistics.linear_regression(x, y).slope:.3f} (limit 1.05)", flush=True)


def measure_cascade(homes: Homes, options: argparse.Namespace) -> None:
    """The deterministic cascade by its statements, one session: from the register as of the month to every record's match."""
    warehouse = homes.open("cascade")
    _month_of_all(warehouse, 1, options.citizens)
    folder = homes.places["cascade"] / "dbt"
    warehouse.build(period(1), publish=False, test=False)
    statements = months.by_hand(folder, lambda path: "/identity/matching/" in path)
    rows = sum(ref.staged for (source, _), ref in warehouse.accepted.items() if source != REGISTER)
    totals: dict[str, list[float]] = {}
    processor = []
    for _ in range(options.rounds):
        with metered() as used, months.session() as connection:
            for name, statement in statements:
                started = time.perf_counter()
                with connection.transaction():
                    connection.execute(statement.encode(), prepare=False)
                totals.setdefault(name, []).append(time.perf_counter() - started)
        processor.append(used[0].processor)
    found = {name: statistics.median(values) for name, values in totals.items()}
    for name, seconds in sorted(found.items(), key=lambda item: -item[1]):
        print(f"  {seconds:6.2f} s {name}")
    whole = sum(found.values())
    steps = whole - found.get("int_register_number", 0.0)
    print(f"{rows} records against {options.citizens} citizens: {whole:.2f} s, the steps alone {steps:.2f} s")
    print(
        f"seconds per million records: {whole / rows * 1e6:.2f} (limit 5), the steps alone {steps / rows * 1e6:.2f};"
        f" of processor {statistics.median(processor) / rows * 1e6:.2f}",
        flush=True,
    )
    homes.close("cascade")


def _models(cost: Cost) -> None:
    for name, seconds in sorted(cost.models.items(), key=lambda item: -item[1]):
        print(f"  {seconds:6.2f} s {name}")


MEASURES: dict[str, Callable[[Homes, argparse.Namespace], None]] = {
    "month": measure_month,
    "order": measure_order,
    "mass": measure_mass,
    "snapshot": measure_snapshot,
    "cascade": measure_cascade,
    "growth": measure_growth,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--citizens", type=int, default=1_000_000, help="for month, correction and cascade")
    parser.add_argument("--order-citizens", type=int, default=100_000, help="for order and snapshot")
    parser.add_argument("--mass-citizens", type=int, default=300_000, help="for mass")
    parser.add_argument("--sizes", type=int, nargs="+", default=[500_000, 1_000_000, 2_000_000, 4_000_000])
    parser.add_argument("--shares", type=int, nargs="+", default=[10, 25, 60, 100], help="per cent corrected, for mass")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--months", type=int, nargs=2, default=[3, 24], help="loaded months to compare")
    parser.add_argument("--only", nargs="+", default=["month", "correction", "order"], help="what to measure")
    parser.add_argument("--models", action="store_true", help="print what each model costs")
    options = parser.parse_args()
    if unknown := set(options.only) - {*MEASURES, "correction"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if "correction" in options.only and "month" not in options.only:
        parser.error("a correction is measured after the month")
    folder = Path(tempfile.mkdtemp(prefix="p06-history-"))
    folder.chmod(0o755)
    homes = Homes(folder)
    try:
        for name, measure in MEASURES.items():
            if name in options.only:
                measure(homes, options)
    finally:
        homes.close_all()
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop("P06_HOME", None)


if __name__ == "__main__":
    main()
