"""Reads JSON lines: one object on each physical line, judged by the exact grammar at the speed of orjson.

A line ends with LF or CRLF; the last need not. Every line is a record: a blank one is no JSON object and says so. A
byte-order mark may stand at the start of the file. A number's text is its exact value (``texts.number``).

orjson takes the last of two equal keys and turns long numbers into doubles, both without a word. So a line is believed
only when it cannot have done either; any other is parsed again by ``exact``, which forgets nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import compress
from operator import itemgetter
from types import NoneType
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from p06 import jsonl_columns, texts
from p06.contract import Column, Contract
from p06.errors import P06Error, Refused
from p06.header import shown_name
from p06.manifest import Manifest
from p06.reading import Reading, ahead, short
from p06.records import Block, Failure, Ints, Unsound
from p06.rules import LOST_LEADING_ZERO
from p06.scanner import CR, ENCODING, LF, NUL, RECORD_LIMIT, is_utf8

JSON_SYNTAX = "json_syntax"
DUPLICATE_KEY = "duplicate_key"
NESTED_VALUE = "nested_value"
WRONG_JSON_TYPE = "wrong_json_type"

BOM = b"\xef\xbb\xbf"
_KEYS_KNOWN = ((), (NESTED_VALUE,))  # reasons of rows whose keys count: a nested column is drift, too
_NUMBERS = ("numeric", "integer")  # kinds of column that take JSON numbers
_DIGIT_RUN = 16  # digits and points; any decimal of 15 digits survives as a double, so its shortest text is its value
_LARGE = 1e16
_RUN = b"0" * _DIGIT_RUN
_RUN_TABLE = bytes(ord("0") if chr(byte) in "0123456789." else ord(" ") for byte in range(256))
_UNUSUAL = re.compile(r"e|-0\.0$").search  # in the text of a double
# What begins each and is searched first, being one byte: white space before a colon, an escaped NUL.
_SUSPICIOUS = ((b":", b" :"), (b"\t", b"\t:"), (b"\r", b"\r:"), (b"\\", b"\\u0000"))
_LONG_NUMBER = re.compile(rb'[^"0-9.][0-9.]{%d}' % _DIGIT_RUN)  # not one that begins a string

Row = dict[str, Any]  # key -> str, None, bool, int, float or Literal


class Literal(str):
    """A number as it is written."""

    __slots__ = ()


class _Pairs(list[Any]):
    """An object as its pairs, so that no key is lost."""

    __slots__ = ()


def _no_constant(_: str) -> NoReturn:
    raise ValueError


_EXACT = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_float=Literal, parse_int=Literal, parse_constant=_no_constant, strict=True
)


def exact(line: bytes) -> tuple[Row, tuple[str, ...]]:
    """One line by the exact grammar: its values, numbers as ``Literal``; or why it cannot be trusted."""
    flaws = [NUL] if b"\0" in line else []
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return {}, (*flaws, ENCODING)
    if flaws:
        return {}, (NUL,)
    try:
        pairs = _EXACT.decode(text)
    except ValueError:
        return {}, (JSON_SYNTAX,)
    except RecursionError:
        return {}, (NESTED_VALUE,)
    if not isinstance(pairs, _Pairs):
        return {}, (JSON_SYNTAX,)
    row = dict(pairs)
    if len(row) < len(pairs):
        flaws.append(DUPLICATE_KEY)
    if any(isinstance(value, list) for _, value in pairs):
        flaws.append(NESTED_VALUE)
    written = [part for pair in pairs for part in pair if isinstance(part, str)]
    if any("\0" in part for part in written):
        flaws.append(NUL)
    if not all(map(_encodes, written)):
        flaws.append(ENCODING)
    return row, tuple(flaws)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, written as an escape
        return False
    return True


class JsonlReader:
    """One file of JSON lines; see ``records.Reader``."""

    def __init__(self, contract: Contract, manifest: Manifest, reading: Reading) -> None:
        self.contract, self.manifest = contract, manifest
        self.seen = 0
        self._reading = reading
        self._columns = {column.physical_name: column for column in contract.columns}
        # A name that JSON has to escape is left to the parser, and all others with it.
        plain = all(json.dumps(name, ensure_ascii=False) == f'"{name}"' for name in self._columns)
        self._names = tuple(self._columns) if plain else ()

    def header(self) -> list[P06Error]:
        """Compare the keys of the first sound record with the contract.

        Keys may be left out, so what is missing is told only beside what is added. Keys of later records are compared
        as they are read.
        """
        fresh = self._reading.again()
        blocks = fresh.blocks()
        first = next(blocks, b"")
        blocks.close()  # type: ignore[attr-defined]
        if fresh.error:
            return [fresh.error]
        file = self._reading.file.number
        lines = _lines(first.removeprefix(BOM))
        if lines and not any(line.lstrip(b" \t\r").startswith(b"{") for line in lines):
            return [P06Error("P06-LOAD-047", file=file)]
        found = enumerate(map(exact, lines), 1)
        line, row = next(((line, row) for line, (row, reasons) in found if reasons in _KEYS_KNOWN), (0, {}))
        added = self._added(row)
        if row and len(added) == len(row):
            return [P06Error("P06-LOAD-029", file=file)]
        if not added or self.contract.allow_added:
            return []
        missing = [name for name, column in self._columns.items() if column.required and name not in row]
        return [
            P06Error("P06-LOAD-026", **self._told(line, added)),
            *(P06Error("P06-LOAD-025", file=file, column=name) for name in missing),
        ]

    def blocks(self) -> Iterator[Block]:
        """The records. Raises Refused P06-LOAD-026 on a key the contract does not know, P06-LOAD-031 on a long line."""
        offset, held, first = 0, b"", True
        source = ahead(self._reading.blocks())
        try:
            for block in source:
                data = held + block if held else block
                if first and data.startswith(BOM):
                    data, offset = data[len(BOM) :], len(BOM)
                first = False
                stop = data.rfind(b"\n") + 1
                if len(data) - stop > RECORD_LIMIT + 1:  # with the CR of a line end that is still to come
                    self._refuse_long(self.seen + 1 + data.count(b"\n"))
                for piece in short(data[:stop], whole_lines=True):
                    yield self._block(piece, offset)
                    offset += len(piece)
                held = data[stop:]
        finally:
            source.close()
        if held and self._reading.error is None:
            yield self._block(held, offset)

    def again(self, places: Iterable[Any]) -> Iterator[tuple[bytes, dict[str, str]]]:
        """Read sound records once more; see ``records.Reader``."""
        spans = (span for entries in places for span in entries[["offset", "length"]].tolist())
        for raw in self._reading.pieces(spans):
            row, _ = exact(raw)
            yield raw, {column.name: _text(row.get(name)) for name, column in self._columns.items()}

    def _refuse_long(self, line: int) -> NoReturn:
        raise Refused("P06-LOAD-031", file=self._reading.file.number, line=line, limit=RECORD_LIMIT)

    def _block(self, data: bytes, offset: int) -> Block:
        starts, ends = _places(data)
        lengths = ends - starts
        if int(lengths.max()) > RECORD_LIMIT:
            self._refuse_long(self.seen + 1 + int(np.argmax(lengths > RECORD_LIMIT)))
        numbers = np.arange(self.seen + 1, self.seen + 1 + len(starts))
        plain = self._plain(data, starts, ends)
        if plain is not None:
            self.seen += len(starts)
            return Block(
                columns=plain, lines=numbers, records=numbers, offsets=starts + offset, lengths=lengths,
                unsound=(), failures=(), raws=lambda places: [data[starts[place] : ends[place]] for place in places],
            )  # fmt: skip
        lines = _lines(data)
        if b"\r" in data:
            lines = [line.removesuffix(b"\r") for line in lines]
        unsound: tuple[Unsound, ...] = ()
        values = self._calm(data, lines)
        if values is None:
            rows, wrong = _parsed(lines)
            self._compare_keys(rows, wrong)
            unsound = tuple(Unsound(int(numbers[at]), int(numbers[at]), lines[at], wrong[at]) for at in sorted(wrong))
            if wrong:
                good = np.ones(len(lines), np.bool_)
                good[list(wrong)] = False
                numbers, starts, lengths = numbers[good], starts[good], lengths[good]
                rows, lines = list(compress(rows, good.tolist())), list(compress(lines, good.tolist()))
            values = {name: [row.get(name) for row in rows] for name in self._columns}
        self.seen += len(lines) + len(unsound)
        columns, failures = self._texts(values, len(lines))
        return Block(
            columns=columns, lines=numbers, records=numbers, offsets=starts + offset, lengths=lengths,
            unsound=unsound, failures=tuple(failures), raws=lambda places: [lines[place] for place in places],
        )  # fmt: skip

    def _plain(self, data: bytes, starts: Ints, ends: Ints) -> dict[str, Any] | None:
        """The columns of a block in which each line is of the plain form; None when one needs a parser."""
        if not self._names or not is_utf8(data, len(data)):
            return None
        taken = jsonl_columns.take(data, starts, ends, self._names)
        if taken is None:
            return None
        columns: dict[str, Any] = {}
        for name, column in self._columns.items():
            one = taken.get(name)
            if one is None:
                columns[column.name] = texts.array([""] * len(starts))
                continue
            if one.numbers is not None and column.kind not in _NUMBERS:
                return None
            found = one.texts
            if one.numbers is not None:  # first, so that no escape becomes a digit of a number
                found = texts.numbers(found, one.numbers)
            if found is not None and one.escaped:
                found = _unescaped(found)
            if found is None:
                return None
            columns[column.name] = found
        return columns

    def _calm(self, data: bytes, lines: list[bytes]) -> dict[str, list[Any]] | None:
        """The values of a block by key, None where a row has none; or None when a line of it needs a closer look.

        Duplicate keys: where no white space stands before a colon, ``":`` occurs at least once for each pair of a
        line, and there are at least as many pairs as keys left. Equal sums leave no room for a pair that was lost.
        """
        import orjson

        try:
            rows = list(map(orjson.loads, lines))
        except orjson.JSONDecodeError:
            return None
        if set(map(type, rows)) != {dict} or _suspicious(data):
            return None
        widths = list(map(len, rows))
        if data.count(b'":') != sum(widths):
            return None
        values: dict[str, list[Any]] = {}
        if len(set(widths)) == 1:
            with suppress(KeyError):
                values = {name: list(map(itemgetter(name), rows)) for name in rows[0]}
        if not values:
            values = {name: [row.get(name) for row in rows] for name in set().union(*rows)}
        if not self.contract.allow_added and not values.keys() <= self._columns.keys():
            return None
        kinds = set().union(*(set(map(type, column)) for column in values.values()))
        if kinds & {list, dict}:
            return None
        if float in kinds and (_holds_long_number(data) or any(map(_holds_large, values.values()))):
            return None
        return values

    def _compare_keys(self, rows: list[Row], wrong: dict[int, tuple[str, ...]]) -> None:
        """Refuse the file for the first record with a key the contract does not know; broken rows have no say."""
        if self.contract.allow_added or set().union(*rows) <= self._columns.keys():
            return
        for at, row in enumerate(rows):
            if wrong.get(at, ()) in _KEYS_KNOWN and (added := self._added(row)):
                raise Refused("P06-LOAD-026", **self._told(self.seen + 1 + at, added))

    def _added(self, row: Row) -> list[tuple[int, str]]:
        """(place in the object, key) of the keys the contract does not know."""
        return [(place, name) for place, name in enumerate(row, 1) if name not in self._columns]

    def _told(self, line: int, added: list[tuple[int, str]]) -> dict[str, Any]:
        """Where the unknown keys of a record are: the first one's place and shape, and how many there are."""
        place, name = added[0]
        told = {"file": self._reading.file.number, "line": line, "column": shown_name(self.contract, name)}
        return told | {"position": place, "keys": len(added)}

    def _texts(self, found: Mapping[str, list[Any]], count: int) -> tuple[dict[str, Any], list[Failure]]:
        columns: dict[str, Any] = {}
        failures: list[Failure] = []
        for name, column in self._columns.items():
            values = found.get(name)
            if values is None:
                columns[column.name] = texts.array([""] * count)
                continue
            kinds = set(map(type, values))
            if not kinds <= {str, NoneType}:
                failures += _failures(column, values, kinds)
                values = _all_texts(values, kinds)
            elif NoneType in kinds:
                values = [value or "" for value in values]
            columns[column.name] = texts.array(values)
        return columns, failures


def _places(data: bytes) -> tuple[Ints, Ints]:
    """Where each line begins, and where it ends without LF or CRLF."""
    view = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(view == LF)
    if not len(ends) or ends[-1] != len(data) - 1:
        ends = np.append(ends, len(data))
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = ends[:-1] + 1
    if b"\r" in data:
        ends = ends - ((view[np.maximum(ends - 1, 0)] == CR) & (ends > starts))
    return starts, ends


def _unescaped(values: Any) -> Any | None:
    """Strings as they were written, read by orjson all at once; None when one is no string of JSON."""
    import orjson

    try:
        return texts.array(orjson.loads(b'["' + b'","'.join(values.cast(pa.binary()).to_pylist()) + b'"]'))
    except orjson.JSONDecodeError:
        return None


def _lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _parsed(lines: list[bytes]) -> tuple[list[Row], dict[int, tuple[str, ...]]]:
    """The lines one by one as rows; and, by index, why some cannot be trusted."""
    import orjson

    rows: list[Row] = []
    wrong: dict[int, tuple[str, ...]] = {}
    for at, line in enumerate(lines):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        if _in_doubt(line, row):
            row, reasons = exact(line)
            if reasons:
                wrong[at] = reasons
        rows.append(row)
    return rows, wrong


def _holds_long_number(data: bytes) -> bool:
    """Whether a number may be a double in name only, or have an exponent that made it zero."""
    return b"e-" in data or b"E-" in data or _RUN in data.translate(_RUN_TABLE)


def _holds_large(values: Sequence[Any]) -> bool:
    """Whether a double is so large that its literal may have had an exponent beyond what is written out."""
    return max((abs(value) for value in values if type(value) is float), default=0.0) >= _LARGE


def _suspicious(data: bytes) -> bool:
    return any(byte in data and mark in data for byte, mark in _SUSPICIOUS)


def _in_doubt(line: bytes, row: Any) -> bool:
    """Whether orjson did not take the line, or may have taken it for less than it says; see ``_calm``."""
    if type(row) is not dict or line.count(b'":') != len(row) or _suspicious(line):
        return True
    kinds = set(map(type, row.values()))
    if list in kinds or dict in kinds:
        return True
    if float not in kinds:
        return False
    return b"e-" in line or b"E-" in line or _LONG_NUMBER.search(line) is not None or _holds_large(list(row.values()))


def _all_texts(values: list[Any], kinds: set[type]) -> list[str]:
    if kinds == {int}:
        return list(map(str, values))
    if kinds == {float}:
        written = list(map(repr, values))
        if not any(map(_UNUSUAL, written)):
            return [text.removesuffix(".0") for text in written]
    return [value if type(value) is str else _text(value) for value in values]


def _text(value: Any) -> str:
    """A value as the rules judge it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Literal):
        return texts.number(value)
    if isinstance(value, float):
        return texts.real(value)
    return str(value)


def _failures(column: Column, values: Sequence[Any], kinds: set[type]) -> Iterator[Failure]:
    """Values whose JSON type the column does not take; a text that looks like a number is left to the rules."""
    for kind in sorted(kinds - {str, NoneType}, key=lambda kind: kind.__name__):
        if kind is not bool and column.kind in _NUMBERS:
            continue
        rows = np.array([at for at, value in enumerate(values) if type(value) is kind], np.int64)
        lost = kind is not bool and column.kind == "id12"
        yield Failure(rows, LOST_LEADING_ZERO if lost else WRONG_JSON_TYPE, column.name)
