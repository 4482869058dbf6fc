"""Turns columns of text that passed the rules into rows of PostgreSQL's binary COPY format.

Half the time of the server's COPY from text goes into parsing what the loader has parsed already; given binary it needs
0.5 to 0.55 of it. Whole columns are converted at once: fields of one width become slices of a byte matrix, the others
are joined row by row by Arrow. The format is that of the PostgreSQL manual, COPY, "Binary Format": big-endian, each
field its length (-1: null) and its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from p06.contract import Column

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

Ints = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.uint8]  # (rows, bytes)

_NULL = np.frombuffer(b"\xff\xff\xff\xff", np.uint8)
_DAYS_TO_2000 = 10_957  # from 1970-01-01 to PostgreSQL's epoch
_MICROSECONDS_TO_2000 = _DAYS_TO_2000 * 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_BASE = 10_000  # of numeric's digits
_DOUBLE_DIGITS = 15  # decimal digits a double keeps apart
_LONG_DIGITS = 19  # an unsigned 64-bit integer holds every number of that many
_UTC = "UTC"
_NEAR = 1024  # rows


def table_columns(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns in the order rows carry them: fields of fixed width first, so that few pieces need joining."""
    return tuple(sorted(columns, key=lambda column: _WIDTHS.get(column.kind, 0) == 0))


class Rows:
    """The fields of some rows, column after column; ``data`` gives the rows in COPY's format."""

    def __init__(self, count: int, fields: int) -> None:
        self._count = count
        self._parts: list[Any] = []  # a matrix of all rows, or an array of binary values
        self._held: list[Matrix] = [_bytes_of(fields, ">i2").reshape(1, 2)]  # of all rows, or one for all

    def fixed(self, values: npt.NDArray[Any]) -> None:
        """A column without nulls, as an array of one big-endian number a row or a matrix of bytes."""
        matrix = values if values.ndim == 2 else values.view(np.uint8).reshape(self._count, values.itemsize)
        self._held += [_bytes_of(matrix.shape[1], ">i4").reshape(1, 4), matrix]

    def null(self) -> None:
        """A column that is null throughout."""
        self._held.append(_NULL.reshape(1, 4))

    def some(self, values: npt.NDArray[Any], present: npt.NDArray[np.bool_]) -> None:
        """A column with nulls: ``values`` of the rows that are ``present``."""
        if present.all():
            return self.fixed(values)
        if not present.any():
            return self.null()
        width = values.itemsize if values.ndim == 1 else values.shape[1]
        data = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        offsets = np.zeros(self._count + 1, np.int32)
        np.cumsum(present * np.int32(width), out=offsets[1:])
        self._variable(np.where(present, width, -1), offsets, data)
        return None

    def text(self, values: Any) -> None:
        """A column of text (``pa.StringArray``), empty for null."""
        offsets = np.frombuffer(values.buffers()[1], np.int32, self._count + 1, values.offset * 4)
        lengths = np.diff(offsets)
        buffer = values.buffers()[2]
        data = np.frombuffer(buffer, np.uint8) if buffer is not None else np.empty(0, np.uint8)
        width = int(lengths[0])
        if (lengths == width).all():
            if width:
                self.fixed(data[offsets[0] : offsets[-1]].reshape(self._count, width))
            else:
                self.null()
        else:
            self._variable(np.where(lengths > 0, lengths, -1), offsets, data)

    def _variable(self, lengths: npt.NDArray[Any], offsets: npt.NDArray[np.int32], data: npt.NDArray[np.uint8]) -> None:
        self._held.append(lengths.astype(">i4").view(np.uint8).reshape(self._count, 4))
        self._settle()
        self._parts.append(_binary(offsets, data))

    def _settle(self) -> None:
        if self._held:
            width = sum(part.shape[1] for part in self._held)
            matrix = np.empty((self._count, width), np.uint8)
            common = np.concatenate([part[0] for part in self._held])
            places = np.cumsum([0, *(part.shape[1] for part in self._held)]).tolist()
            own = [one for one in zip(places, self._held, strict=False) if len(one[1]) > 1]
            for start in range(0, self._count, _NEAR):  # few enough rows to stay in the processor's cache
                rows = matrix[start : start + _NEAR]
                rows[:] = common
                for place, part in own:
                    rows[:, place : place + part.shape[1]] = part[start : start + _NEAR]
            offsets = np.arange(self._count + 1, dtype=np.int32) * np.int32(width)
            self._parts.append(_binary(offsets, matrix.reshape(-1)))
            self._held = []

    def data(self) -> Any:
        """The rows, one after the other, as a buffer."""
        self._settle()
        joined = pc.binary_join_element_wise(*self._parts, _NOTHING) if len(self._parts) > 1 else self._parts[0]
        return memoryview(joined.buffers()[2]).cast("B")


def _bytes_of(number: int, kind: str) -> npt.NDArray[np.uint8]:
    return np.array([number], kind).view(np.uint8)


def _binary(offsets: npt.NDArray[np.int32], data: npt.NDArray[np.uint8]) -> Any:
    return pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)]
    )


_NOTHING = _binary(np.zeros(2, np.int32), np.empty(0, np.uint8))[0]  # as a Python value it would import pandas


def add(rows: Rows, column: Column, values: Any) -> None:
    """Append a column of text that passed the column's rules; empty is null, and so is a column that is None."""
    if values is None:
        return rows.null()
    if column.kind not in _ENCODERS:
        return rows.text(values)
    offsets = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4)
    present = np.diff(offsets) > 0
    if not present.any():
        return rows.null()
    held = values if present.all() else values.filter(_mask(present))
    encoded = _ENCODERS[column.kind](column, held)
    return rows.some(encoded, present)


def _mask(present: npt.NDArray[np.bool_]) -> Any:
    bits = np.packbits(present, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(present), [None, pa.py_buffer(bits)])


def _cast(values: Any, kind: Any, exact: Callable[[str], int]) -> Ints:
    """Arrow's cast to a 64-bit kind; where Arrow reads less than the rules let pass, value by value."""
    try:
        cast = pc.cast(values, kind)
    except pa.ArrowInvalid:
        return np.fromiter(map(exact, values.to_pylist()), np.int64, len(values))
    width = np.int32 if kind in (pa.date32(), pa.int32()) else np.int64
    return np.frombuffer(cast.buffers()[1], width, len(cast), cast.offset * np.dtype(width).itemsize).astype(np.int64)


def _id12(_: Column, values: Any) -> npt.NDArray[Any]:
    return _cast(values, pa.int64(), int).astype(">i8")


def _integer(_: Column, values: Any) -> npt.NDArray[Any]:
    return _cast(values, pa.int32(), int).astype(">i4")


def _date(_: Column, values: Any) -> npt.NDArray[Any]:
    days = _cast(values, pa.date32(), lambda text: (date.fromisoformat(text) - _EPOCH.date()).days)
    return (days - _DAYS_TO_2000).astype(">i4")


def _timestamp(_: Column, values: Any) -> npt.NDArray[Any]:
    return (_cast(values, pa.timestamp("us", _UTC), _microseconds) - _MICROSECONDS_TO_2000).astype(">i8")


def _microseconds(text: str) -> int:
    since = datetime.fromisoformat(text.replace("Z", "+00:00")) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _numeric(column: Column, values: Any) -> Matrix:
    """The digits of numeric(p, s) in base 10,000 at fixed places; the server strips what is superfluous.

    Source: ``numeric_recv`` of PostgreSQL's numeric.c: ndigits, weight, sign, dscale, digits.
    """
    scale, precision = column.scale or 0, column.precision or _DOUBLE_DIGITS
    after, before = -(-scale // 4), max(-(-(precision - scale) // 4), 1)
    groups = before + after
    matrix = np.empty((len(values), 8 + 2 * groups), np.uint8)
    digits = np.empty((len(values), groups), ">u2")
    negative: npt.NDArray[np.bool_]
    if precision + 4 * after - scale <= _LONG_DIGITS:
        whole, negative = _scaled(values, precision, scale)
        left = whole * np.uint64(10 ** (4 * after - scale))
        for group in range(groups - 1, -1, -1):
            if not left.any():
                digits[:, : group + 1] = 0
                break
            left, digits[:, group] = np.divmod(left, np.uint64(_BASE))
    else:
        negative = np.empty(len(values), np.bool_)
        for row, text in enumerate(values.to_pylist()):
            whole_digits, _, decimals = text.removeprefix("-").partition(".")
            number = int(whole_digits + decimals.ljust(scale, "0"))  # Decimal would round to 28 digits
            negative[row], number = number > 0 and text[0] == "-", number * 10 ** (4 * after - scale)
            for group in range(groups - 1, -1, -1):
                number, digits[row, group] = divmod(number, _BASE)
    matrix[:, 0:4] = np.array([groups, before - 1], ">i2").view(np.uint8)
    matrix[:, 4:6] = np.where(negative, 0x4000, 0).astype(">u2").view(np.uint8).reshape(-1, 2)
    matrix[:, 6:8] = _bytes_of(scale, ">i2")
    matrix[:, 8:] = digits.view(np.uint8).reshape(len(values), -1)
    return matrix


def _scaled(values: Any, precision: int, scale: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """The numbers times 10^scale without sign, and which are negative."""
    if precision <= _DOUBLE_DIGITS:
        numbers = pc.cast(values, pa.float64())
        doubles = np.frombuffer(numbers.buffers()[1], np.float64, len(numbers), numbers.offset * 8)
        return np.rint(np.abs(doubles) * 10.0**scale).astype(np.uint64), doubles < 0
    exact = pc.cast(values, pa.decimal128(max(precision, scale + 1), scale))
    halves = np.frombuffer(exact.buffers()[1], np.uint64, 2 * len(exact), exact.offset * 16)  # low, high
    low, negative = halves[::2], halves[1::2] >> np.uint64(63) == 1
    return np.where(negative, ~low + np.uint64(1), low), negative  # 19 digits may fill all 64 bits


_ENCODERS: dict[str, Callable[[Column, Any], npt.NDArray[Any]]] = {
    "id12": _id12,
    "integer": _integer,
    "date": _date,
    "timestamp": _timestamp,
    "numeric": _numeric,
}
_WIDTHS = dict.fromkeys(_ENCODERS, 1)


def encode(
    columns: Sequence[Column],
    values: Mapping[str, Any],
    file: int,
    lines: Ints,
    keys: bytes | None,
) -> Any:
    """Rows for COPY: file_no, line, record key (16 bytes a row; None: the table has none), then ``columns``.

    ``values``: staging name -> ``pa.StringArray`` of the rows, empty for null; absent columns are null.
    """
    count = len(lines)
    rows = Rows(count, len(columns) + (2 if keys is None else 3))
    rows.fixed(np.full(count, file, ">i2"))
    rows.fixed(lines.astype(">i8"))
    if keys is not None:
        rows.fixed(np.frombuffer(keys, np.uint8).reshape(count, 16))
    for column in columns:
        add(rows, column, values.get(column.name))
    return rows.data()


def slices(data: Any, size: int) -> Iterator[Any]:
    """A buffer in pieces of at most that many bytes."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
