"""The rules of a contract, applied to whole columns of text.

Each column has one function that judges a single value; it is the rule. Beside it stands a vectorised test that may say
"surely good" for most values quickly; what it does not vouch for goes to the function, each distinct value once. The
rules are stricter than PostgreSQL's input functions: what passes here cannot fail in COPY.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from p06 import codelist
from p06.contract import ID_DIGITS, Column, Contract, RowRule
from p06.period import Period
from p06.records import Failure

Mask = npt.NDArray[np.bool_]
Judge = Callable[[str], str | None]  # the reason a value is wrong
Bytes = npt.NDArray[np.uint8]  # (n, width): one value a row
Vouch = Callable[[Any], Mask]  # of an array of text: True where the value is surely good

REQUIRED_MISSING = "required_missing"
TYPE_DATE = "type_date"
TYPE_TIMESTAMP = "type_timestamp"
TYPE_NUMERIC = "type_numeric"
TYPE_INTEGER = "type_integer"
OUT_OF_RANGE = "out_of_range"
TOO_LONG = "too_long"
WRONG_LENGTH = "wrong_length"
PATTERN = "pattern"
UNKNOWN_CODE = "unknown_code"
AREA_LIST_MISSING = "area_list_missing"
ID_STRUCTURE = "id_structure"
LOST_LEADING_ZERO = "lost_leading_zero"
FUTURE_DATE = "future_date"
CROSS_FIELD = "cross_field"
KEY_CONFLICT = "key_conflict"

BIRTH_PLACES = "birth_place"  # the frozen list of 63 provinces
FIRST_COUNTRY = 100  # births registered abroad; the first three digits are a country from here on

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)"
)
_NUMERIC = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?")
_INTEGER = re.compile(r"-?([0-9]+)")
_SCIENTIFIC = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE][+]?[0-9]+")
_EXACT_DIGITS = 15  # decimal digits a double keeps apart
_INTEGER_DIGITS = 10  # of an integer column


class Rules:
    """The rules of one contract for one period and one version of the administrative codes."""

    def __init__(self, contract: Contract, period: Period, admin_code_version: date) -> None:
        self.contract = contract
        as_of = period.as_of(contract.cut_off_day)
        self._columns = {
            column.name: _rule(column, as_of, _codes(column, as_of, admin_code_version)) for column in contract.columns
        }

    def judge(
        self, columns: Mapping[str, Any], known: Sequence[Failure] = (), length: int | None = None
    ) -> list[Failure]:
        """What is wrong in a block, ``known`` included: the cells it names are not judged again.

        ``columns``: staging name -> ``pa.StringArray`` without nulls, all of one length; empty text means null. A
        column the file does not have is absent, and null throughout. ``length`` is needed when no column is there.
        """
        if length is None:
            length = len(next(iter(columns.values())))
        failures = list(known)
        wrong: dict[str, Mask] = {}
        for failure in known:
            if failure.column is not None:
                wrong.setdefault(failure.column, np.zeros(length, np.bool_))[failure.rows] = True
        for column in self.contract.columns:
            judge, vouch = self._columns[column.name]
            if column.name in columns:
                found = _judge_column(column, columns[column.name], judge, vouch)
            else:
                found = [Failure(np.arange(length), REQUIRED_MISSING, column.name)] if column.required else []
            if found and column.name in wrong:
                left = ~wrong[column.name]
                found = [Failure(one.rows[left[one.rows]], one.reason, one.column) for one in found]
            for failure in found:
                wrong.setdefault(column.name, np.zeros(length, np.bool_))[failure.rows] = True
            failures += found
        for rule in self.contract.rules:
            if rule.left in columns and all(name in columns for name in rule.right):
                failures += self._judge_rule(rule, columns, wrong)
        return failures

    def value(self, name: str, text: str) -> str | None:
        """The reason one value of a column is wrong, by the exact rule; empty text is judged as missing."""
        if not text:
            return REQUIRED_MISSING if self.contract.column(name).required else None
        return self._columns[name][0](text)

    def _judge_rule(self, rule: RowRule, columns: Mapping[str, Any], wrong: Mapping[str, Mask]) -> list[Failure]:
        """``left`` equals the sum of ``right``; rows with a part that is absent or already wrong are left alone."""
        names = (rule.left, *rule.right)
        usable = np.logical_and.reduce([_lengths(columns[name]) > 0 for name in names])
        for name in names:
            if name in wrong:
                usable &= ~wrong[name]
        rows = np.flatnonzero(usable)
        if not len(rows):
            return []
        taken = {name: columns[name] if len(rows) == len(usable) else taking(columns[name], rows) for name in names}
        parts_of = [self.contract.column(name) for name in names]
        scale = max(column.scale or 0 for column in parts_of)
        digits = [(column.precision or _INTEGER_DIGITS) - (column.scale or 0) + scale for column in parts_of]
        if max(digits) <= _EXACT_DIGITS:
            parts = {name: np.rint(_floats(taken[name]) * 10**scale).astype(np.int64) for name in names}
            unequal = parts[rule.left] != sum(parts[name] for name in rule.right)
        else:
            exact = [[_scaled(text, scale) for text in taken[name].to_pylist()] for name in names]
            unequal = np.array([left != sum(right) for left, *right in zip(*exact, strict=True)], np.bool_)
        return [Failure(rows[unequal], CROSS_FIELD, rule.left)] if unequal.any() else []


def _scaled(text: str, scale: int) -> int:
    """A plain number times 10^scale, exactly; sums of Decimal would round to 28 digits."""
    whole, _, decimals = text.partition(".")
    return int(whole + decimals.ljust(scale, "0"))


def _judge_column(column: Column, values: Any, judge: Judge, vouch: Vouch | None) -> list[Failure]:
    failures = []
    empty = _lengths(values) == 0
    if column.required and empty.any():
        failures.append(Failure(np.flatnonzero(empty), REQUIRED_MISSING, column.name))
    open_ = ~empty if vouch is None else ~(vouch(values) | empty)
    rows = np.flatnonzero(open_)
    if not len(rows):
        return failures
    distinct = (values if len(rows) == len(values) else taking(values, rows)).dictionary_encode()
    reasons = [judge(text) for text in distinct.dictionary.to_pylist()]
    if any(reasons):
        names = sorted({reason for reason in reasons if reason})
        numbers = np.array([names.index(reason) if reason else -1 for reason in reasons])
        per_row = numbers[_numbers(distinct.indices, np.int32)]
        failures += [Failure(rows[per_row == number], reason, column.name) for number, reason in enumerate(names)]
    return failures


@dataclass(frozen=True)
class _Codes:
    known: frozenset[str]
    complete: bool  # False: the list of that time is not shipped


def _codes(column: Column, as_of: date, admin_code_version: date) -> _Codes | None:
    if column.codelist is None:
        return None
    if column.codelist == codelist.COMMUNE:
        return _Codes(*codelist.commune_codes(admin_code_version))
    found = codelist.load(column.codelist)
    if column.codelist == codelist.PROVINCE:
        return _Codes(found.codes(max(admin_code_version, found.first_day)), admin_code_version >= found.first_day)
    return _Codes(found.codes(as_of), True)


def _rule(column: Column, as_of: date, codes: _Codes | None) -> tuple[Judge, Vouch | None]:
    if column.kind == "id12":
        return _id12(as_of)
    if column.kind == "date":
        return _date(as_of if column.not_after_period else None)
    if column.kind == "timestamp":
        return _timestamp()
    if column.kind == "numeric":
        return _numeric(column)
    if column.kind == "integer":
        return _integer(column), None
    if column.kind == "enum":
        return _enum(column)
    return _text(column, codes)


def _id12(as_of: date) -> tuple[Judge, Vouch]:
    """Twelve digits PPP G YY SSSSSS: a province of the frozen list or a country, a birth year not after the as-of year."""
    places = {int(code) for code in codelist.load(BIRTH_PLACES).codes(as_of)} | set(range(FIRST_COUNTRY, 1000))
    place_known = np.isin(np.arange(1000), list(places))
    births = np.array([1900 + 100 * (head // 100 // 2) + head % 100 <= as_of.year for head in range(1000)])

    def judge(text: str) -> str | None:
        if not text.isascii() or not text.isdigit():
            return LOST_LEADING_ZERO if _SCIENTIFIC.fullmatch(text) else ID_STRUCTURE
        if len(text) != ID_DIGITS:
            return LOST_LEADING_ZERO if len(text) in (10, 11) else ID_STRUCTURE
        return None if place_known[int(text[:3])] and births[int(text[3:6])] else ID_STRUCTURE

    def good(rows: Bytes) -> Mask:
        high, third, birth = _PAIR[_pairs(rows, 0)], rows[:, 2] - _ZERO, _PAIR[_pairs(rows, 4)]
        century = rows[:, 3] - _ZERO
        fine = (high < 100) & (third < 10) & (century < 10) & (birth < 100)
        for place in (6, 8, 10):
            fine &= _PAIR[_pairs(rows, place)] < 100
        head = np.where(fine, high.astype(np.int32) * 10 + third, 0)
        year = np.where(fine, century.astype(np.int32) * 100 + birth, 0)
        return fine & place_known[head] & births[year]  # type: ignore[no-any-return]

    return judge, lambda values: _on_width(values, ID_DIGITS, good)


_ZERO = np.uint8(ord("0"))
_NO = 255  # of two characters that are no number


def _pair_table(number: Callable[[int], int]) -> npt.NDArray[np.uint8]:
    """For two characters read as a 16-bit number: what their two digits stand for, 255 when they are not digits."""
    table = np.full(1 << 16, _NO, np.uint8)
    for value in range(100):
        table[int.from_bytes(b"%02d" % value, "little")] = number(value)
    return table


_PAIR = _pair_table(lambda value: value)
_DAY = _pair_table(lambda value: value if 1 <= value <= 31 else _NO)
_DAYS_OF = _pair_table(lambda month: calendar.monthrange(2001, month)[1] if 1 <= month <= 12 else 0)
_DAYS_OF[_DAYS_OF == _NO] = 0


def _pairs(rows: Bytes, place: int) -> npt.NDArray[np.uint16]:
    """Characters ``place`` and ``place + 1`` of each row as one number."""
    return np.ndarray((len(rows),), "<u2", rows.data, place, (rows.strides[0],))


def _date(latest: date | None) -> tuple[Judge, Vouch]:
    """YYYY-MM-DD of the real calendar."""

    def judge(text: str) -> str | None:
        day = _day(text)
        if day is None:
            return TYPE_DATE
        return FUTURE_DATE if latest is not None and day > latest else None

    last_year = b"9999" if latest is None else b"%04d" % latest.year

    def good(rows: Bytes) -> Mask:
        years = np.ndarray((len(rows),), ">u4", rows.data, 0, (rows.strides[0],))  # digits sort as the numbers do
        return _ordinary_days(rows) & (years < int.from_bytes(last_year, "big"))

    return judge, lambda values: _on_width(values, 10, good)


def _day(text: str) -> date | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return date(int(text[:4]), int(text[5:7]), int(text[8:]))
    except ValueError:
        return None


def _ordinary_days(rows: Bytes) -> Mask:
    """Whether the first ten characters are a day of the years 0100 to 9999 but no 29 February."""
    century = _PAIR[_pairs(rows, 0)]
    fine = (century > 0) & (century < 100) & (_PAIR[_pairs(rows, 2)] < 100)
    fine &= (rows[:, 4] == ord("-")) & (rows[:, 7] == ord("-"))
    fine &= _DAY[_pairs(rows, 8)] <= _DAYS_OF[_pairs(rows, 5)]
    return fine


def _timestamp() -> tuple[Judge, Vouch]:
    """ISO 8601 with ``T``, seconds and an offset of at most 14 hours; up to microseconds; in UTC of the years 1 to 9999."""

    def judge(text: str) -> str | None:
        match = _TIMESTAMP.fullmatch(text)
        return None if match and _day(match[1]) and _in_offset_range(text) and _in_calendar(text) else TYPE_TIMESTAMP

    def good(rows: Bytes) -> Mask:
        fine: Mask = _ordinary_days(rows) & (rows[:, 10] == ord("T"))
        fine &= (_PAIR[_pairs(rows, 0)] < 99) & (_PAIR[_pairs(rows, 11)] < 24)
        fine &= (rows[:, 13] == ord(":")) & (_PAIR[_pairs(rows, 14)] < 60)
        fine &= (rows[:, 16] == ord(":")) & (_PAIR[_pairs(rows, 17)] < 60)
        return fine

    def local(rows: Bytes) -> Mask:
        fine: Mask = good(rows) & (rows[:, 22] == ord(":"))
        for place, pair in ((19, b"+0"), (21, b"7:"), (23, b"00")):
            fine &= _pairs(rows, place) == int.from_bytes(pair, "little")
        return fine

    def vouch(values: Any) -> Mask:
        found = _on_width(values, 25, local)
        return (
            found if found.all() else found | _on_width(values, 20, lambda rows: good(rows) & (rows[:, 19] == ord("Z")))
        )

    return judge, vouch


def _in_offset_range(text: str) -> bool:
    offset = re.search(r"[+-]([0-9]{2}):?([0-9]{2})?$", text[19:])
    return offset is None or int(offset[1]) < 14 or int(offset[2] or 0) == 0


def _in_calendar(text: str) -> bool:
    """Whether the instant lies in the years 1 to 9999 in UTC too; the form is known to be right."""
    offset = re.search(r"([+-])([0-9]{2}):?([0-9]{2})?$", text[19:])
    if offset is None:
        return True
    east = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
    try:
        datetime.fromisoformat(text[:19]) - (-east if offset[1] == "-" else east)
    except OverflowError:
        return False
    return True


def _in_range(column: Column, number: Decimal) -> bool:
    low, high = column.minimum, column.maximum
    if low is not None and (number < low or (number == low and column.minimum_exclusive)):
        return False
    return not (high is not None and (number > high or (number == high and column.maximum_exclusive)))


def _numeric(column: Column) -> tuple[Judge, Vouch]:
    """Plain notation, at most ``scale`` decimals and ``precision - scale`` digits before them."""
    scale = column.scale or 0
    whole = (column.precision or _EXACT_DIGITS) - scale

    def judge(text: str) -> str | None:
        match = _NUMERIC.fullmatch(text)
        if not match or len(match[2] or "") > scale:
            return TYPE_NUMERIC
        if len(match[1].lstrip("0")) > whole:
            return OUT_OF_RANGE
        return None if _in_range(column, Decimal(text)) else OUT_OF_RANGE

    shape = f"^-?[0-9]{{1,{max(whole, 1)}}}" + (rf"(\.[0-9]{{1,{scale}}})?$" if scale else "$")
    low = -np.inf if column.minimum is None else float(column.minimum)
    high = np.inf if column.maximum is None else float(column.maximum)

    def vouch(values: Any) -> Mask:
        if not whole:
            return np.zeros(len(values), np.bool_)
        plain = _plain_numbers(values, whole, scale)
        shaped = _mask(pc.match_substring_regex(values, shape)) if plain is None else plain
        if column.maximum is None and (
            column.minimum is None or (plain is not None and column.minimum == 0 and not column.minimum_exclusive)
        ):
            return shaped
        if shaped.all():
            numbers = _floats(values)
        else:
            numbers = np.full(len(values), np.nan)
            numbers[shaped] = _floats(taking(values, np.flatnonzero(shaped)))
        inside = (numbers > low) & (numbers < high)
        if whole + scale <= _EXACT_DIGITS:  # doubles keep such numbers apart, so equality can be trusted too
            inside |= (numbers == low) & (not column.minimum_exclusive) & (numbers <= high)
            inside |= (numbers == high) & (not column.maximum_exclusive) & (numbers >= low)
        return shaped & inside

    return judge, vouch


def _plain_numbers(values: Any, whole: int, scale: int) -> Mask | None:
    """Which values are unsigned numbers of that shape, when all are written alike: all with a point, or none.

    None when they are not, or when a character is neither digit nor point.
    """
    offsets = _offsets(values)
    text = _data(values)[offsets[0] : offsets[-1]]
    from_point = text - np.uint8(ord("."))
    if not len(text) or int(from_point.max()) > ord("9") - ord(".") or (from_point == 1).any():  # 1: a slash
        return None
    starts, ends = offsets[:-1] - offsets[0], offsets[1:] - offsets[0]
    points = np.flatnonzero(from_point == 0)
    if not len(points):
        lengths = ends - starts
        return (lengths >= 1) & (lengths <= whole)  # type: ignore[no-any-return]
    if len(points) != len(values) or (points <= starts).any() or (points >= ends - 1).any():
        return None
    return (points - starts <= whole) & (ends - points - 1 <= scale)  # type: ignore[no-any-return]


def _integer(column: Column) -> Judge:
    def judge(text: str) -> str | None:
        match = _INTEGER.fullmatch(text)
        if not match:
            return TYPE_INTEGER
        digits = match[1].lstrip("0") or "0"
        if len(digits) > 10:
            return OUT_OF_RANGE
        number = -int(digits) if text.startswith("-") else int(digits)
        return None if -(2**31) <= number < 2**31 and _in_range(column, Decimal(number)) else OUT_OF_RANGE

    return judge


def _enum(column: Column) -> tuple[Judge, Vouch]:
    known = texts(column.values)

    def judge(text: str) -> str | None:
        return None if text in column.values else UNKNOWN_CODE

    return judge, lambda values: _mask(pc.is_in(values, value_set=known))


def _text(column: Column, codes: _Codes | None) -> tuple[Judge, Vouch]:
    pattern = re.compile(column.pattern, re.ASCII) if column.pattern is not None else None

    def judge(text: str) -> str | None:
        if codes is not None:
            if text in codes.known:
                return None
            shaped = column.length is None or len(text) == column.length
            plain = shaped and text.isascii() and text.isdigit()
            return AREA_LIST_MISSING if plain and not codes.complete else UNKNOWN_CODE
        if column.length is not None and len(text) != column.length:
            return WRONG_LENGTH
        if len(text) > column.max_length:
            return TOO_LONG
        return PATTERN if pattern is not None and not pattern.fullmatch(text) else None

    if codes is not None:
        known = texts(sorted(codes.known))
        return judge, lambda values: _mask(pc.is_in(values, value_set=known))

    def vouch(values: Any) -> Mask:
        lengths = _lengths(values)
        if column.length is None:
            fits = lengths <= column.max_length  # bytes, of which there are at least as many as characters
        else:
            fits = (lengths == column.length) & _all_ascii(values)
        if column.pattern is not None and fits.any():
            try:
                fits &= _mask(pc.match_substring_regex(values, f"^(?:{column.pattern})$"))
            except pa.ArrowInvalid:  # Python's own syntax, as ``++``
                fits[:] = False
        return fits

    return judge, vouch


# pyarrow's own ways between arrays, lists and numpy import pandas: a second and 40 MB. These do not.


def texts(values: Iterable[str]) -> Any:
    """A ``pa.StringArray``."""
    builder = pa.lib.StringBuilder()
    builder.append_values(list(values))
    return builder.finish()


def join(parts: Sequence[Any], separator: str) -> Any:
    """The values of several columns joined row by row."""
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, texts([separator])[0])


def taking(values: Any, rows: npt.NDArray[np.int64]) -> Any:
    """The values at these rows."""
    return values.take(pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)]))


def _mask(values: Any) -> Mask:
    bits = np.frombuffer(values.buffers()[1], np.uint8)
    return np.unpackbits(bits, count=values.offset + len(values), bitorder="little")[values.offset :].view(np.bool_)


def _numbers(values: Any, kind: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.frombuffer(values.buffers()[1], kind, len(values), values.offset * np.dtype(kind).itemsize)


def _floats(values: Any) -> npt.NDArray[np.float64]:
    return _numbers(pc.cast(values, pa.float64()), np.float64) if len(values) else np.empty(0)


def _offsets(values: Any) -> npt.NDArray[np.int32]:
    return np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4)


def _lengths(values: Any) -> npt.NDArray[np.int32]:
    """Bytes of each value."""
    return np.diff(_offsets(values))


def _data(values: Any) -> npt.NDArray[np.uint8]:
    buffer = values.buffers()[2]
    return np.frombuffer(buffer, np.uint8) if buffer is not None else np.empty(0, np.uint8)


def _all_ascii(values: Any) -> bool:
    offsets = _offsets(values)
    data = _data(values)[offsets[0] : offsets[-1]]
    return not len(data) or int(data.max()) < 128


def _on_width(values: Any, width: int, good: Callable[[npt.NDArray[np.uint8]], Mask]) -> Mask:
    """Apply a test of (n, width) bytes to the values of that width; the others are False."""
    offsets, data = _offsets(values), _data(values)
    fits: Mask = np.diff(offsets) == width
    if fits.all():
        return good(data[offsets[0] : offsets[-1]].reshape(-1, width)) if len(fits) else fits
    if not fits.any():
        return fits
    result = np.zeros(len(fits), np.bool_)
    places = offsets[:-1][fits]
    result[fits] = good(data[places[:, None] + np.arange(width, dtype=np.int32)])
    return result


def key_texts(contract: Contract, columns: Mapping[str, Any]) -> tuple[Any, Mask] | None:
    """Business keys as one text each, parts joined by U+001F, and which rows have a whole one; None without a key.

    For rows that passed the rules: numbers are written without superfluous zeros, so that equal keys are equal texts.
    """
    if not contract.key or any(name not in columns for name in contract.key):
        return None
    parts = [_canonical(contract.column(name), columns[name]) for name in contract.key]
    whole = np.logical_and.reduce([_lengths(part) > 0 for part in parts])
    return join(parts, "\x1f"), whole


def _canonical(column: Column, values: Any) -> Any:
    if column.kind not in ("integer", "numeric"):
        return values
    encoded = values.dictionary_encode()
    written = texts(number_text(text) for text in encoded.dictionary.to_pylist())
    return written.take(encoded.indices)


def number_text(text: str) -> str:
    """A number without superfluous zeros and signs; what is no number, unchanged."""
    match = _NUMERIC.fullmatch(text)
    if not match:
        return text
    whole, decimals = match[1].lstrip("0") or "0", (match[2] or "").rstrip("0")
    plain = f"{whole}.{decimals}" if decimals else whole
    return f"-{plain}" if text.startswith("-") and plain != "0" else plain


def key_of(contract: Contract, fields: Mapping[str, str]) -> str | None:
    """The key text of a single row, as ``key_texts`` writes it; None when a part is missing."""
    parts = [fields.get(name, "") for name in contract.key]
    if not all(parts):
        return None
    kinds = [contract.column(name).kind for name in contract.key]
    return "\x1f".join(
        number_text(part) if kind in ("integer", "numeric") else part for part, kind in zip(parts, kinds, strict=True)
    )


def reasons_by_row(failures: Sequence[Failure]) -> dict[int, tuple[list[str], list[str | None]]]:
    """Row -> its reasons and, beside each, the column."""
    found: dict[int, tuple[list[str], list[str | None]]] = {}
    for failure in failures:
        for row in failure.rows.tolist():
            reasons, columns = found.setdefault(row, ([], []))
            reasons.append(failure.reason)
            columns.append(failure.column)
    return found
