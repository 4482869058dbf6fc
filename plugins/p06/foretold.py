"""What gate 1 will say of an extract's counts, told to a sender before anything is sent.

The checks of the source's suite that are figures over the counts (``Check.figure``, the number of rows) are computed by DuckDB from the
same texts, limits and waivers as the gate's. Those over the rows themselves need the warehouse and are left to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from p06 import suite
from p06.area_codes import AreaCodes
from p06.contract import Contract
from p06.linkage.engine import engine
from p06.period import Period
from p06.suite import Check

_ROW_COUNT = "expect_table_row_count_to_be_between"  # of the rows staged


@dataclass(frozen=True)
class Foretold:
    """A check the counts will not pass. ``figure`` is a count or a share; None when it could not be computed."""

    check: Check
    figure: float | None
    threshold: str | None

    @property
    def blocks(self) -> bool:
        """Whether this alone stops the extract."""
        return self.check.severity == "block"


@dataclass(frozen=True)
class Counts:
    """The counts of one extract as the gate sees them; ``counted``: quarantined, but for rows waiting for a list."""

    received: int
    duplicates: int
    quarantined: int
    staged: int
    stated: int
    counted: int
    produced_at: datetime
    areas: AreaCodes | None = None

    def columns(self, contract: Contract, period: Period) -> dict[str, tuple[str, Any]]:
        """Name -> SQL type and value, as the gate's ``{extract}`` has them."""
        as_of, areas = period.as_of(contract.cut_off_day), self.areas
        numbers = ("received", "duplicates", "quarantined", "staged", "stated", "counted")
        told: dict[str, tuple[str, Any]] = {name: ("bigint", getattr(self, name)) for name in numbers}
        told |= {"produced_at": ("timestamptz", self.produced_at)}
        told |= {"first_day": ("date", contract.first_day(period)), "as_of": ("date", as_of)}
        told |= {f"area_{name}": ("bigint", areas and getattr(areas, name)) for name in ("coded", "own", "other")}
        told |= {"area_districts": ("bigint", areas and areas.districts)}
        told |= {"area_own_expected": ("double", areas and areas.own_expected)}
        return told | {"area_likely": ("date", areas and areas.likely)}


def foretell(contract: Contract, period: Period, counts: Counts) -> tuple[Foretold, ...]:
    """The failing checks that are not waived, in the order of the suite. Raises SuiteError when it cannot be read."""
    checks = [check for check in suite.load_source(contract.source).checks if _of_counts(check)]
    limits = {"contract.min_rows": contract.min_rows, "contract.max_rows": contract.max_rows}
    numbers = _numbers(checks, counts.columns(contract, period))
    failing = []
    for check in checks:
        figure, excused = numbers[check.id]
        stated = (check.min, check.max) if check.figure else _row_limits(check)
        low, high = (limits.get(one) if isinstance(one, str) else one for one in stated)
        too_low = figure is not None and low is not None and figure < low
        too_high = figure is not None and high is not None and figure > high
        passes = check.if_null == "pass" if figure is None else not (too_low or too_high)
        waived = suite.check_waived("source", contract.source, check.id, period, figure, too_low)
        if not (passes or excused or waived):
            failing.append(Foretold(check, figure, check.threshold(limits)))
    return tuple(failing)


def _of_counts(check: Check) -> bool:
    return check.figure is not None or check.expectation == _ROW_COUNT


def _row_limits(check: Check) -> tuple[float | None, float | None]:
    kwargs = check.kwargs or {}
    return kwargs.get("min_value"), kwargs.get("max_value")


def _numbers(
    checks: list[Check], columns: Mapping[str, tuple[str, date | float | None]]
) -> dict[str, tuple[float | None, bool]]:
    """Check -> its figure, and whether its ``unless`` holds."""
    row = ", ".join(f"?::{kind} as {name}" for name, (kind, _) in columns.items())
    values = [value for _, value in columns.values()]
    found: dict[str, tuple[float | None, bool]] = {}
    with engine(threads=1) as connection:
        for check in checks:
            asked = f"({check.figure or 'staged'})::double, coalesce(({check.unless or 'false'}), false)"
            figure, excused = connection.execute(f"select {asked} from (select {row})", values).fetchone()
            found[check.id] = figure, bool(excused)
    return found
