"""Where people live: communes with weights, and what became of each on the day of a reform."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from p06 import codelist
from p06.settings import settings
from p06.synth.chance import Ints, share, weighted

CODES = 100_000
EARLIEST = date(2025, 3, 1)
REFORM = date(2025, 7, 1)

# Inhabitants of the 63 provinces in thousands, rounded (2024 mid-term census).
_WRITTEN = """
1:8690 2:900 4:545 6:326 8:805 10:778 11:653 12:489 14:1314 15:855 17:880 19:1345 20:807 22:1380 24:1920 25:1520
26:1210 27:1520 30:1960 31:2100 33:1300 34:1880 35:885 36:1890 37:1010 38:3740 40:3440 42:1320 44:918 45:655 46:1170
48:1245 49:1530 51:1250 52:1507 54:877 56:1260 58:600 60:1260 62:590 64:1610 66:1930 67:680 68:1340 70:1030 72:1190
74:2820 75:3310 77:1180 79:9460 80:1740 82:1790 83:1300 84:1020 86:1030 87:1600 89:1910 91:1760 92:1260 93:730
94:1200 95:920 96:1210
"""
_INHABITANTS = {int(code): int(count) for code, count in (pair.split(":") for pair in _WRITTEN.split())}


@dataclass(frozen=True)
class Areas:
    """The communes in force on a day. Codes are numbers; ``place`` is the birth-place code of the old province."""

    version: date
    codes: Ints
    province: Ints  # by old commune code: the two-digit province before the reform; 0 for no commune
    successor: Ints  # by old commune code: the default commune after the reform

    @classmethod
    def read(cls) -> Areas:
        """The communes before the reform, from the code lists."""
        province, successor = np.zeros(CODES, np.int64), np.arange(CODES)
        codes = []
        for entry in codelist.load(codelist.COMMUNE).entries:
            if entry.on(EARLIEST) and entry.parent:
                codes.append(int(entry.code))
                province[int(entry.code)] = int(entry.parent)
        with (settings().codelists / "area_change.csv").open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if row["level"] == codelist.COMMUNE and row["is_default"] == "1" and len(row["old_code"]) == 5:
                    successor[int(row["old_code"])] = int(row["new_code"])
        return cls(EARLIEST, np.sort(np.array(codes, np.int64)), province, successor)

    def settle(self, draw: np.random.Generator, seed: int, size: int) -> Ints:
        """A commune of the earliest list for each of so many people: provinces by inhabitants, communes uneven."""
        codes = np.flatnonzero(self.province)
        spread = 0.3 + 2 * share(seed, "commune", codes) ** 2
        province = self.province[codes]
        inhabitants = np.zeros(100)
        inhabitants[list(_INHABITANTS)] = list(_INHABITANTS.values())
        totals = np.bincount(province, spread, 100)
        return np.asarray(codes[weighted(draw, spread * inhabitants[province] / totals[province], size)], np.int64)

    def places_of(self, communes: Ints) -> Ints:
        """The birth-place code (three digits of the citizen ID) of communes of the earliest list."""
        return np.asarray(self.province[communes], np.int64)

    def on(self, when: date) -> tuple[Areas, NDArray[np.int64] | None]:
        """The areas in force on a day, and the new code of each old one when they differ from these."""
        if self.version >= REFORM or when < REFORM:
            return self, None
        codes = np.unique(self.successor[self.codes])
        return Areas(REFORM, codes, self.province, self.successor), self.successor
