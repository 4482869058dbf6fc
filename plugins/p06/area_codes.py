"""To which lists of communes the codes of a delivery belong, counted while it is read.

Most codes are valid in several lists with different meanings, and tell nothing. Those of one list alone do: a code that
vanished in a file of the list after it, or none of a third of the communes in a file of the list before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from p06 import codelist
from p06.contract import Contract
from p06.rules import texts

Counts = npt.NDArray[np.int64]

_CODED, _OWN, _OTHER, _DISTRICTS = range(4)  # then, per list: codes it has and the declared one has not


@dataclass(frozen=True)
class AreaCodes:
    """What a delivery's commune codes (its province codes, when it has no commune) tell of the list it was made with.

    Rows, but never a code. ``own``: codes only the declared list has, of which ``own_expected`` is the share in it. ``other``:
    codes the declared list has not but another has, ``districts`` of them codes of former districts. ``likely``: the
    first day of the other list most of them belong to, or that could stand for all of them.
    """

    declared: date
    likely: date | None
    coded: int
    own: int
    other: int
    districts: int
    own_expected: float

    def as_dict(self) -> dict[str, Any]:
        """For the ledger."""
        return {
            "declared": self.declared.isoformat(),
            "likely": self.likely and self.likely.isoformat(),
            "coded": self.coded,
            "own": self.own,
            "other": self.other,
            "districts": self.districts,
            "own_expected": round(self.own_expected, 4),
        }

    @property
    def unlikely(self) -> bool:
        """Whether codes that only the declared list has are missing, in enough rows to expect many of them."""
        expected = self.coded * self.own_expected
        return self.coded >= FEW_ROWS and self.own_expected >= 0.1 and self.own < 0.2 * expected


FEW_ROWS = 200  # below, one office may well have sent communes of one corner of the country


@dataclass(frozen=True)
class _Lists:
    days: tuple[date, ...]  # first days of the lists that differ in their codes
    codes: tuple[frozenset[str], ...]
    districts: tuple[frozenset[str], ...]


class Tally:
    """Counts the codes of the columns whose code list is that of the communes; without any, that of the provinces."""

    def __init__(self, contract: Contract, version: date) -> None:
        by_level = {
            level: [column.name for column in contract.columns if column.codelist == level]
            for level in (codelist.COMMUNE, codelist.PROVINCE)
        }
        level = next((level for level, names in by_level.items() if names), codelist.COMMUNE)
        self._columns = by_level[level]
        if not self._columns:
            return
        self._lists = lists = _lists(codelist.hash(codelist.AREA), level)
        self._declared = max((at for at, day in enumerate(lists.days) if day <= version), default=0)
        known = sorted(set().union(*lists.codes, *lists.districts))
        self._known = texts(known)
        self._told = _told(lists, self._declared, known)

    def count(self, columns: Mapping[str, Any]) -> Counts | None:
        """A block, as ``Rules.judge`` gets it; None when the contract has neither, else counts to be added up."""
        if not self._columns:
            return None
        total = np.zeros(self._told.shape[1], np.int64)
        for name in self._columns:
            if name not in columns:
                continue
            values = columns[name]
            total += np.bincount(_places(values, self._known), minlength=len(self._told)) @ self._told
            offsets = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4)
            total[_CODED] += int((np.diff(offsets) > 0).sum())
        return total

    def result(self, total: Counts | None) -> AreaCodes | None:
        """What the counts of all blocks tell."""
        if total is None:
            return None
        lists = self._lists
        others = [at for at in range(len(lists.days)) if at != self._declared]
        foreign = {at: int(total[_DISTRICTS + 1 + at]) for at in others}
        likely = max(others, key=lambda at: (foreign[at], at), default=None)
        declared = lists.codes[self._declared]
        own = declared.difference(*(lists.codes[at] for at in others))
        return AreaCodes(
            declared=lists.days[self._declared],
            likely=None if likely is None else lists.days[likely],
            coded=int(total[_CODED]),
            own=int(total[_OWN]),
            other=int(total[_OTHER]),
            districts=int(total[_DISTRICTS]),
            own_expected=len(own) / len(declared),
        )


def _places(values: Any, known: Any) -> npt.NDArray[np.int32]:
    """The place of each value among the known ones, from 1; 0 for others."""
    found = pc.index_in(values, value_set=known)
    valid, data = found.buffers()
    places = np.frombuffer(data, np.int32, len(found), found.offset * 4) + 1
    if valid is None:
        return places
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), count=found.offset + len(found), bitorder="little")
    return np.where(bits[found.offset :], places, 0)


@cache
def _lists(content: str, level: str) -> _Lists:
    areas = codelist.load(level)
    days: list[date] = []
    codes: list[frozenset[str]] = []
    for day in areas.changes:
        found = areas.codes(day)
        if found and (not codes or found != codes[-1]):
            days.append(day)
            codes.append(found)
    rows = [
        (row["valid_from"], row["valid_to"] or "9999", row["district_code"])
        for row in codelist.areas()
        if level == codelist.COMMUNE and row["level"] == level and row["district_code"]
    ]
    districts = tuple(
        frozenset(district for first, end, district in rows if first <= day.isoformat() < end) for day in days
    )
    return _Lists(tuple(days), tuple(codes), districts)


def _told(lists: _Lists, declared: int, known: list[str]) -> Counts:
    """One line per known code, after one for all others: what it adds to each count."""
    told = np.zeros((len(known) + 1, _DISTRICTS + 1 + len(lists.days)), np.int64)
    for at, code in enumerate(known, 1):
        having = [n for n, codes in enumerate(lists.codes) if code in codes]
        if declared in having:
            told[at, _OWN] = having == [declared]
            continue
        if not lists.districts[declared]:
            former = [n for n, codes in enumerate(lists.districts) if code in codes]
            told[at, _DISTRICTS] = bool(former)
            having += former
        told[at, _OTHER] = bool(having)
        for n in having:
            told[at, _DISTRICTS + 1 + n] = 1
    return told
