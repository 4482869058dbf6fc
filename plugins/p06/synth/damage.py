"""Row defects: what senders do to a line so that it cannot be trusted, and the reason it must be quarantined for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import numpy as np

from p06.contract import Column, Contract
from p06.period import Period

Fields = list[str]


@dataclass(frozen=True)
class Damage:
    """One way to damage a row. ``columns`` tells which columns it can befall; none: not in this source."""

    kind: str
    reason: str
    columns: Callable[[Contract], list[int]]
    spoil: Callable[[Fields, int, Column, Contract, Period, np.random.Generator], None]


def _where(
    *kinds: str, free: bool = False, test: Callable[[Column], bool] = lambda column: True
) -> Callable[..., list[int]]:
    """Columns of some kinds; ``free`` leaves out the key's."""

    def columns(contract: Contract) -> list[int]:
        return [
            at
            for at, column in enumerate(contract.columns)
            if column.kind in kinds and test(column) and not (free and column.name in contract.key)
        ]

    return columns


def _name(contract: Contract) -> list[int]:
    """The full name, else the first free text."""
    texts = [at for at, column in enumerate(contract.columns) if column.kind == "text" and not column.pattern]
    return [at for at in texts if contract.columns[at].name == "full_name"] or texts[:1]


def _set(value: str) -> Callable[..., None]:
    def spoil(fields: Fields, at: int, *_: object) -> None:
        fields[at] = value

    return spoil


def _change(how: Callable[[str], str]) -> Callable[..., None]:
    def spoil(fields: Fields, at: int, *_: object) -> None:
        fields[at] = how(fields[at])

    return spoil


def _short(fields: Fields, *_: object) -> None:
    fields.pop()


def _long(fields: Fields, *_: object) -> None:
    fields.append("")


def _too_long(fields: Fields, at: int, column: Column, *_: object) -> None:
    fields[at] = (fields[at] + " ") * (column.max_length // (len(fields[at]) + 1) + 2)


def _out_of_range(
    fields: Fields, at: int, column: Column, contract: Contract, period: Period, draw: np.random.Generator
) -> None:
    high = column.maximum is not None and column.maximum < 10**6 and draw.random() < 0.5
    if high and column.maximum is not None:
        value = column.maximum + 1
    else:
        value = (column.minimum or Decimal(0)) - (0 if column.minimum_exclusive else 1)
    for rule in contract.rules:  # keep the sum right: one row, one defect
        if column.name in rule.right:
            left = [item.name for item in contract.columns].index(rule.left)
            fields[left] = str(Decimal(fields[left]) - Decimal(fields[at]) + value)
    fields[at] = str(value)


def _ranged(contract: Contract) -> list[int]:
    sums = {rule.left for rule in contract.rules}
    numbers = _where("numeric", "integer", free=True, test=lambda column: column.minimum is not None)(contract)
    return [at for at in numbers if contract.columns[at].name not in sums]


def _required(contract: Contract) -> list[int]:
    summed = {name for rule in contract.rules for name in (rule.left, *rule.right)}
    return [
        at
        for at, column in enumerate(contract.columns)
        if column.required and column.name not in contract.key and column.name not in summed
    ]


def _future(fields: Fields, at: int, column: Column, contract: Contract, period: Period, _: object) -> None:
    fields[at] = (period.as_of(contract.cut_off_day) + timedelta(days=45)).isoformat()


def _sum_wrong(fields: Fields, at: int, *_: object) -> None:
    fields[at] = str(Decimal(fields[at]) + 1000)


def _sums(contract: Contract) -> list[int]:
    lefts = {rule.left for rule in contract.rules}
    return [at for at, column in enumerate(contract.columns) if column.name in lefts]


def _no_commune(fields: Fields, at: int, column: Column, *_: object) -> None:
    fields[at] = "9" * (column.length or 3)


_DATES = _where("date", free=True)
_STAMPS = _where("timestamp", free=True)
_NUMERIC = _where("numeric", free=True)
_INTEGER = _where("integer", free=True)
_IDS = _where("id12")
_LISTED = _where("code", test=lambda column: column.codelist is not None)
_ENUMS = _where("enum", test=lambda column: any(map(str.islower, map(str.lower, column.values))))
_FIXED = _where("code", free=True, test=lambda column: column.length is not None and column.codelist is None)
_PATTERNED = _where("text", "code", free=True, test=lambda column: column.pattern is not None)
_BORN = _where("date", test=lambda column: column.not_after_period)

DAMAGES = (
    Damage("width_short", "width", _name, _short),
    Damage("width_long", "width", _name, _long),
    Damage("quote_stray", "quote_stray", _name, _change(lambda name: name[:2] + '"' + name[2:])),
    Damage("quote_unclosed", "quote_unclosed", _name, _change(lambda name: '"' + name)),
    Damage("nul_byte", "nul_byte", _name, _change(lambda name: name[:2] + "\0" + name[2:])),
    Damage("encoding", "encoding", _name, _change(lambda name: name[:2] + "\udcff" + name[2:])),
    Damage("required_missing", "required_missing", _required, _set("")),
    Damage("date_impossible", "type_date", _DATES, _set("1985-02-30")),
    Damage("date_now", "type_date", _DATES, _set("now")),
    Damage("date_infinity", "type_date", _DATES, _set("infinity")),
    Damage("date_slashes", "type_date", _DATES, _set("03/04/1990")),
    Damage("timestamp_now", "type_timestamp", _STAMPS, _set("now")),
    Damage("timestamp_without_offset", "type_timestamp", _STAMPS, _change(lambda stamp: stamp[:19])),
    Damage("numeric_nan", "type_numeric", _NUMERIC, _set("NaN")),
    Damage("numeric_hexadecimal", "type_numeric", _NUMERIC, _set("0x1F")),
    Damage("integer_hexadecimal", "type_integer", _INTEGER, _set("0x1F")),
    Damage("out_of_range", "out_of_range", _ranged, _out_of_range),
    Damage("too_long", "too_long", _name, _too_long),
    Damage("wrong_length", "wrong_length", _FIXED, _change(lambda code: code[:-1])),
    Damage("pattern", "pattern", _PATTERNED, _change(lambda value: "?" * len(value))),
    Damage("unknown_enum", "unknown_code", _ENUMS, _change(str.swapcase)),
    Damage("unknown_code", "unknown_code", _LISTED, _no_commune),
    Damage("padded_code", "unknown_code", _LISTED, _change(lambda code: code + " ")),
    Damage("id_place", "id_structure", _IDS, _change(lambda number: "003" + number[3:])),
    Damage("id_century", "id_structure", _IDS, _change(lambda number: number[:3] + "9" + number[4:])),
    Damage("id_leading_zero", "lost_leading_zero", _IDS, _change(lambda number: number.lstrip("0"))),
    Damage("id_scientific", "lost_leading_zero", _IDS, _set("1.23E+11")),
    Damage("birth_in_future", "future_date", _BORN, _future),
    Damage("sum_wrong", "cross_field", _sums, _sum_wrong),
)
"""Every way, in the order in which they are dealt out."""
EXACT_DUPLICATE = "exact_duplicate"
KEY_CONFLICT = "key_conflict"


def as_bytes(fields: Fields) -> bytes:
    """The line without its end; a lone surrogate stands for a byte that is no UTF-8."""
    return ",".join(fields).encode("utf-8", "surrogateescape")
