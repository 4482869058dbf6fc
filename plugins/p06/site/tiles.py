"""Where each province stands in a map of equal tiles: the 63 until June 2025 and the 34 since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

REFORM = date(2025, 7, 1)


@dataclass(frozen=True)
class Tile:
    """A province's place; ``short`` is its name when that is too long for a tile."""

    code: str
    column: int
    row: int
    short: str = ""


def tiles(day: date, names: dict[str, str]) -> list[Tile]:
    """The tiles of the provinces in force on a day; one the map does not know stands in a row below it."""
    places = _places(_SINCE if day >= REFORM else _UNTIL)
    found = [
        Tile(code, *places[code], _SHORT.get(short(name), short(name)))
        for code, name in names.items()
        if code in places
    ]
    below = max((tile.row for tile in found), default=-1) + 1
    others = [(code, name) for code, name in names.items() if code not in places]
    found += [Tile(code, n % 5, below + n // 5, short(name)) for n, (code, name) in enumerate(others)]
    return found


def short(name: str) -> str:
    """A province's name without what kind of unit it is."""
    return name.removeprefix("Tỉnh ").removeprefix("Thành phố ").removeprefix("Thủ đô ")


def _places(rows: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    return {
        code: (column, row)
        for row, line in enumerate(rows)
        for column, code in enumerate(line.split())
        if code.isdigit()
    }


_SHORT = {"Bà Rịa - Vũng Tàu": "BR - Vũng Tàu", "Thừa Thiên Huế": "TT Huế"}
_SINCE = (
    "12 15 08 04",
    "11 14 25 19 20",
    ".. .. 01 24 22",
    ".. .. 37 33 31",
    ".. .. 38",
    ".. .. 40",
    ".. .. 42",
    ".. .. .. 44",
    ".. .. .. 46",
    ".. .. .. .. 48",
    ".. .. .. .. 51",
    ".. .. .. .. 52",
    ".. .. .. .. 66",
    ".. .. .. 68 56",
    ".. 80 79 75",
    "91 82 86",
    "96 92",
)
_UNTIL = (
    "12 10 02 04",
    "11 15 08 06 20",
    "14 25 26 19 24 22",
    ".. 17 01 27 30 31",
    ".. .. 35 33 34",
    ".. 38 37 36",
    ".. 40",
    ".. .. 42",
    ".. .. 44",
    ".. .. .. 45",
    ".. .. .. 46",
    ".. .. .. .. 48",
    ".. .. .. .. 49",
    ".. .. .. 62 51",
    ".. .. .. 64 52",
    ".. .. .. 66 54",
    ".. .. 70 67 56",
    ".. 72 74 68 58",
    ".. 80 79 75 60",
    "89 87 82 77",
    "91 92 86 83",
    ".. 93 84",
    "96 95 94",
)
