"""The period: the month the data speak about, and the only clock of the warehouse."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timezone

from p06.errors import UsageError

_SHAPE = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, order=True)
class Period:
    """A month, written ``YYYY-MM``."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read ``YYYY-MM``. Raises UsageError P06-PERIOD-001 on anything else."""
        match = _SHAPE.fullmatch(text)
        if not match or match[1] == "0000":
            raise UsageError("P06-PERIOD-001")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, day: date) -> Period:
        """The calendar month a day lies in."""
        return cls(day.year, day.month)

    @classmethod
    def current(cls) -> Period:
        """The calendar month running now (UTC); only deadlines and the check for future periods ask for it."""
        return cls.of(datetime.now(timezone.utc).date())

    @property
    def first_day(self) -> date:
        """The value of every ``period`` column."""
        return date(self.year, self.month, 1)

    def as_of(self, cut_off_day: int | None = None) -> date:
        """The last day the period speaks about: the month's end, or the contract's cut-off day."""
        last = calendar.monthrange(self.year, self.month)[1]
        return date(self.year, self.month, last if cut_off_day is None else min(cut_off_day, last))

    def shift(self, months: int) -> Period:
        """The period so many months later (earlier when negative)."""
        index = self.year * 12 + self.month - 1 + months
        return Period(index // 12, index % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


def parse_range(text: str) -> list[Period]:
    """``A..B`` or a single ``A`` as the list of periods from A to B. Raises UsageError P06-PERIOD-002."""
    first, dots, last = text.partition("..")
    start = Period.parse(first)
    end = Period.parse(last) if dots else start
    if end < start:
        raise UsageError("P06-PERIOD-002", period=text)
    return list(months(start, end))


def months(start: Period, end: Period) -> Iterator[Period]:
    """Every period from start to end, both included."""
    while start <= end:
        yield start
        start = start.shift(1)
