"""Reads xlsx: the first sheet, or the one the manifest names; its first row is the header, every row below a record.

A line is the sheet's row. Hidden rows and columns are read like any others; of merged cells only the upper left has a
value, and what lies under it is told; formulas give their cached value. Rows without any value at the end are no
records, others are ``empty_row``. A number shown as a percentage is a hundredth of what its writer sees, so it is told.

What a cell holds is text, or a number that Excel may show as a date. A number where the contract wants text is told,
never turned into text silently: its leading zeros are lost, or it was a code like 3-4 that became a day. Date-time
cells carry no offset, so a timestamp must be ISO text. Dates before 1 March 1900 are refused in the 1900 system, in
which programs disagree by a day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from p06 import texts, workbook
from p06.contract import Column, Contract
from p06.errors import P06Error, Refused
from p06.header import compare
from p06.manifest import Manifest
from p06.reading import Reading
from p06.records import Block, Failure, Unsound
from p06.rules import LOST_LEADING_ZERO, TYPE_DATE
from p06.scanner import NUL, RECORD_LIMIT, WIDTH

NUMERIC_CELL = "numeric_cell"
ERROR_CELL = "error_cell"
EMPTY_ROW = "empty_row"
MERGED_CELL = "merged_cell"
PERCENT_CELL = "percent_cell"

_ROWS = 4096  # of one block
_EXACT_DIGITS = 15  # decimal digits a double keeps apart
_FIRST_SURE_DAY = date(1900, 3, 1)
_TEXT_KINDS = ("id12", "code", "text", "enum")

Cells = list[Any]  # of one row, '' where empty


@dataclass(frozen=True)
class _Sheet:
    """A sheet that was found sound as a whole."""

    cells: Any  # CalamineSheet
    errors: Mapping[tuple[int, int], str]
    marks: npt.NDArray[np.uint8] | None

    def rows(self) -> Iterator[Cells]:
        """Each row from the sheet's first, its cells from the sheet's first column; errors as their text."""
        margin = [""] * (self.cells.start[1] if self.cells.start else 0)
        wrong: dict[int, dict[int, str]] = {}
        for (at, column), text in self.errors.items():
            wrong.setdefault(at, {})[column] = text
        marked: list[bool] = np.any(self.marks, axis=1).tolist() if self.marks is not None else []
        number = -1
        for number, cells in enumerate(self.cells.iter_rows()):
            row = margin + cells if margin else cells
            if self.marks is not None and number < len(marked) and marked[number]:
                row = _marked(row, self.marks[number].tolist())
            yield _with_errors(row, wrong[number]) if number in wrong else row
        for rest in range(number + 1, max(wrong, default=-1) + 1):  # rows that hold nothing else
            yield _with_errors([], wrong.get(rest, {}))


class _Error(str):
    """What stands in an error cell, '' for a formula without a cached value."""

    __slots__ = ()


class _Percent(str):
    """A number that is shown as a percentage, as its text."""

    __slots__ = ()


class _Covered(str):
    """What stands under a merged cell: nothing, as a rule."""

    __slots__ = ()


def _marked(row: Cells, marks: Sequence[int]) -> Cells:
    """The row with its marked cells as texts that say so."""
    pairs = zip(row, [*marks, *[0] * (len(row) - len(marks))], strict=False)
    return [_MARKED[mark](_text(cell)) if mark else cell for cell, mark in pairs]


_MARKED: dict[int, type[str]] = {workbook.COVERED: _Covered, workbook.PERCENT: _Percent}


def _with_errors(row: Cells, wrong: dict[int, str]) -> Cells:
    row = row + [""] * (max(wrong, default=-1) + 1 - len(row))
    for column, text in wrong.items():
        row[column] = _Error(text)
    return row


class XlsxReader:
    """One workbook; see ``records.Reader``."""

    def __init__(self, contract: Contract, manifest: Manifest, reading: Reading) -> None:
        self.contract, self.manifest = contract, manifest
        self.seen = 0
        self._reading = reading
        self._columns = {column.physical_name: column for column in contract.columns}

    def header(self) -> list[P06Error]:
        """Compare the first row of the sheet with the contract."""
        try:
            with self._opened(self._reading.again(), only_head=True) as sheet:
                return compare(self.contract, _names(next(sheet.rows(), [])), self._reading.file.number)
        except Refused as error:
            return list(error.mismatches) or [P06Error(error.code, **error.where)]

    def blocks(self) -> Iterator[Block]:
        """The records. Raises Refused P06-LOAD-047 when the file is damaged, P06-LOAD-001 when it is not as stated."""
        with self._opened(self._reading) as sheet:
            rows = sheet.rows()
            names = _names(next(rows, []))
            if found := compare(self.contract, names, self._reading.file.number):
                raise Refused("P06-LOAD-001", found)
            for first, group in _grouped(_without_end(rows)):
                self.seen = first - 2 + len(group)
                yield self._block(names, first, group)

    def again(self, places: Iterable[Any]) -> Iterator[tuple[bytes, dict[str, str]]]:
        """Read sound records once more; see ``records.Reader``."""
        try:
            with self._opened(self._reading.again()) as sheet:
                rows = enumerate(sheet.rows(), 1)
                names = _names(next(rows, (1, []))[1])
                for line in (line for entries in places for line in entries["line"].tolist()):
                    cells = next(cells for number, cells in rows if number == line)
                    fields = self._fields(names, cells)
                    yield self._raw(fields), fields
        except (Refused, StopIteration):
            raise P06Error("P06-LOAD-015", file=self._reading.file.number, at="changed while it was read") from None

    @contextmanager
    def _opened(self, reading: Reading, only_head: bool = False) -> Iterator[_Sheet]:
        try:
            with reading.spooled() as content:
                if found := reading.mismatches():
                    raise Refused("P06-LOAD-001", found)
                yield self._sheet(content, only_head)
        except Refused:
            raise
        except P06Error as error:
            raise Refused("P06-LOAD-001", [error]) from None

    def _sheet(self, content: Any, only_head: bool) -> _Sheet:
        file, wanted = self._reading.file.number, self.manifest.format.sheet
        try:
            if only_head:
                title, small = workbook.head(content, wanted)
                return _Sheet(_cells(small, title, file), {}, None)
            title, grid = workbook.look(content, wanted)
            marks = grid.marks()
            content = workbook.with_known_errors(content, wanted, grid)
        except workbook.TooLarge:
            raise Refused("P06-LOAD-020", file=file) from None
        except LookupError:  # with no name asked for, a workbook without a sheet
            raise Refused("P06-LOAD-048" if wanted else "P06-LOAD-047", file=file) from None
        except workbook.Damaged:
            raise Refused("P06-LOAD-047", file=file) from None
        return _Sheet(_cells(content, title, file), grid.errors, marks)

    def _block(self, names: list[str], first: int, group: list[Cells]) -> Block:
        """``first`` is the sheet's row of the first record."""
        lines = np.arange(first, first + len(group))
        flaws = _flaws(names, group)
        unsound = []
        for at, reasons in sorted(flaws.items()):
            raw = texts.raw({str(place): _text(cell) or None for place, cell in enumerate(group[at], 1)})
            unsound.append(Unsound(first + at, first + at - 1, raw, reasons))
        if flaws:
            group = [cells for at, cells in enumerate(group) if at not in flaws]
            lines = np.delete(lines, sorted(flaws))
        columns: dict[str, Any] = {}
        failures: list[Failure] = []
        for place, name in enumerate(names):
            column = self._columns.get(name)
            if column is None:
                continue
            values = [cells[place] if place < len(cells) else "" for cells in group]
            kinds = set(map(type, values))
            if not kinds <= {str}:
                failures += _failures(column, values, kinds)
                values = [value if type(value) is str else _text(value) for value in values]
            columns[column.name] = texts.array(values)

        def raws(places: Sequence[int]) -> list[bytes]:
            return [self._raw(self._fields(names, group[at])) for at in places]

        nowhere = np.zeros(len(lines), np.int64)
        self._check_sizes(columns, lines)
        return Block(columns, lines, lines - 1, nowhere, nowhere, tuple(unsound), tuple(failures), raws)

    def _check_sizes(self, columns: dict[str, Any], lines: Any) -> None:
        """Excel takes 32,767 characters in a cell; other writers know no such limit."""
        if sum(values.nbytes for values in columns.values()) <= RECORD_LIMIT:
            return
        for row, line in enumerate(lines.tolist()):
            if sum(values[row].as_buffer().size for values in columns.values()) > RECORD_LIMIT:
                raise Refused("P06-LOAD-031", file=self._reading.file.number, line=line, limit=RECORD_LIMIT)

    def _fields(self, names: list[str], cells: Cells) -> dict[str, str]:
        return {
            self._columns[name].name: _text(cells[place]) if place < len(cells) else ""
            for place, name in enumerate(names)
            if name in self._columns
        }

    def _raw(self, fields: dict[str, str]) -> bytes:
        return texts.raw({column.physical_name: fields.get(column.name) or None for column in self.contract.columns})


def _cells(content: Any, title: str, file: int) -> Any:
    """The sheet's cells. Raises Refused P06-LOAD-047 on whatever the decoder cannot make sense of."""
    import python_calamine

    try:
        return python_calamine.CalamineWorkbook.from_filelike(content).get_sheet_by_name(title)
    except python_calamine.CalamineError:
        raise Refused("P06-LOAD-047", file=file) from None
    except BaseException as error:  # a panic of the decoder derives from BaseException alone
        if type(error).__name__ != "PanicException":
            raise
        raise Refused("P06-LOAD-047", file=file) from None


def _names(cells: Cells) -> list[str]:
    """The header's texts up to the last cell that has one."""
    names = [_text(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


def _is_empty(cells: Cells) -> bool:
    return not any(cell != "" or type(cell) is _Error for cell in cells)


def _without_end(rows: Iterator[Cells]) -> Iterator[Cells]:
    """Rows up to the last that holds a value."""
    held: list[Cells] = []
    for cells in rows:
        if _is_empty(cells):
            held.append(cells)
            continue
        if held:
            yield from held
            held = []
        yield cells


def _grouped(rows: Iterator[Cells]) -> Iterator[tuple[int, list[Cells]]]:
    """Rows in groups, with the sheet's row of the first; the header is row 1."""
    first = 2
    while group := list(islice(rows, _ROWS)):
        yield first, group
        first += len(group)


def _flaws(names: list[str], group: list[Cells]) -> dict[int, tuple[str, ...]]:
    width = len(names)
    found: dict[int, tuple[str, ...]] = {}
    for at, cells in enumerate(group):
        if _is_empty(cells):
            found[at] = (EMPTY_ROW,)
            continue
        reasons: tuple[str, ...] = (WIDTH,) if len(cells) > width and not _is_empty(cells[width:]) else ()
        if any(type(cell) is str and "\0" in cell for cell in cells):
            reasons += (NUL,)
        if reasons:
            found[at] = reasons
    return found


def _text(cell: Any) -> str:
    """What a cell holds, as the rules judge it: numbers in plain notation, dates and times in ISO's."""
    if isinstance(cell, str):
        return str(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return texts.real(cell)
    return cell.isoformat() if isinstance(cell, date) else str(cell)


def _failures(column: Column, values: list[Any], kinds: set[type]) -> Iterator[Failure]:
    """Cells whose type alone tells that they are wrong; numbers and dates in their columns are left to the rules."""
    for kind in sorted(kinds - {str}, key=lambda kind: kind.__name__):
        reason = _reason(column, kind)
        rows = [at for at, value in enumerate(values) if type(value) is kind]
        if reason is None and kind is date:
            rows, reason = [at for at in rows if values[at] < _FIRST_SURE_DAY], TYPE_DATE
        elif reason is None:
            rows, reason = [at for at in rows if _is_rounded(column, values[at])], NUMERIC_CELL
        if rows:
            yield Failure(np.array(rows, np.int64), reason, column.name)


def _reason(column: Column, kind: type) -> str | None:
    """Why no cell of this type will do in the column; None when it may."""
    if kind is _Error:
        return ERROR_CELL
    if kind is _Covered:
        return MERGED_CELL
    if kind is _Percent:
        return PERCENT_CELL if column.kind in ("numeric", "integer") else _reason(column, float)
    if column.kind not in _TEXT_KINDS:
        return NUMERIC_CELL if kind is bool else None
    could_be_digits = column.kind == "id12" or (column.kind == "code" and _may_be_digits(column))
    return LOST_LEADING_ZERO if could_be_digits and kind in (float, int) else NUMERIC_CELL


def _is_rounded(column: Column, value: Any) -> bool:
    """Whether a numeric cell may have held more digits than a double keeps, in a column that takes them all."""
    if type(value) not in (int, float) or (column.precision or 0) <= _EXACT_DIGITS:
        return False
    digits = repr(value).partition("e")[0].replace(".", "").strip("-0")
    return abs(value) >= 10**_EXACT_DIGITS or len(digits) > _EXACT_DIGITS


def _may_be_digits(column: Column) -> bool:
    """Whether a code of the column can consist of digits alone, as far as its pattern tells."""
    lengths = [column.length] if column.length else range(1, column.max_length + 1)
    return column.pattern is None or any(re.fullmatch(column.pattern, "1" * length) for length in lengths)
