"""Reads parquet: columns by name, each all strings or of the contract's own type, turned into text without loss.

A record's line is its number. Row groups are streamed in small batches; pages are checked against their checksums where
the writer left any. A typed number has a value, not a spelling: its text is the shortest that says it exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from p06 import texts
from p06.contract import Column, Contract
from p06.errors import P06Error, Refused
from p06.header import compare
from p06.manifest import Manifest
from p06.reading import RATIO_FROM, RATIO_LIMIT, Reading
from p06.records import Block, Ints, Unsound
from p06.scanner import ENCODING, NUL, RECORD_LIMIT

_ROWS = 16384  # of one batch
_FEW_ROWS = 64
_UNTOLD_ROWS = 8  # of one batch where nothing tells how long its texts are
_TEXT_LIMIT = 32 << 20  # bytes of text of one block; a dictionary can repeat one long text for a few bits a row
_BUFFER = 1 << 20  # bytes of a column chunk read at once
# Page checksums are verified where the writer left any; extension types are read as what they are stored as.
_OPTIONS = {
    "pre_buffer": False,
    "buffer_size": _BUFFER,
    "page_checksum_verification": True,
    "arrow_extensions_enabled": False,
}
_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31, days from 1970-01-01
_DAY = 86_400


@dataclass(frozen=True)
class _Part:
    """Consecutive records: their texts by staging name, perhaps not UTF-8, the first one's number."""

    columns: Mapping[str, Any]
    first: int
    count: int


@dataclass(frozen=True)
class _File:
    """One file open twice: for its values, and for the dictionaries of its texts."""

    values: Any
    dictionaries: Any


class ParquetReader:
    """One parquet file; see ``records.Reader``."""

    def __init__(self, contract: Contract, manifest: Manifest, reading: Reading) -> None:
        self.contract, self.manifest = contract, manifest
        self.seen = 0
        self._reading = reading
        self._columns = {column.physical_name: column for column in contract.columns}

    def header(self) -> list[P06Error]:
        """Compare names and types of the schema with the contract."""
        try:
            with self._opened(self._reading.again()) as file:
                return self._schema_errors(file)
        except Refused as error:
            return list(error.mismatches) or [P06Error(error.code, **error.where)]

    def blocks(self) -> Iterator[Block]:
        """The records. Raises Refused P06-LOAD-047 when the file is damaged, P06-LOAD-001 when it is not as stated."""
        with self._opened(self._reading) as file:
            if found := self._schema_errors(file):
                raise Refused("P06-LOAD-001", found)
            for part in self._parts(file, range(file.values.num_row_groups)):
                self.seen = part.first + part.count - 1
                yield self._block(part)
            if self.seen != file.values.metadata.num_rows:
                raise self._damaged()

    def again(self, places: Iterable[Any]) -> Iterator[tuple[bytes, dict[str, str]]]:
        """Read sound records once more; see ``records.Reader``."""
        try:
            yield from self._again(places)
        except Refused:
            raise P06Error("P06-LOAD-015", file=self._reading.file.number, at="changed while it was read") from None

    def _again(self, places: Iterable[Any]) -> Iterator[tuple[bytes, dict[str, str]]]:
        wanted = (record for entries in places for record in entries["record"].tolist())
        record = next(wanted, None)
        if record is None:
            return
        with self._opened(self._reading.again()) as file:
            ends = np.cumsum([file.values.metadata.row_group(at).num_rows for at in range(file.values.num_row_groups)])
            while record is not None:
                group = int(np.searchsorted(ends, record))
                if group == len(ends):
                    raise self._damaged()
                before = int(ends[group - 1]) if group else 0
                for part in self._parts(file, [group], before):
                    while record is not None and record < part.first + part.count:
                        row = record - part.first
                        fields = {name: values[row].as_py() for name, values in part.columns.items()}
                        yield self._raw(fields), fields
                        record = next(wanted, None)

    @contextmanager
    def _opened(self, reading: Reading) -> Iterator[_File]:
        import pyarrow.parquet as pq

        try:
            with reading.spooled() as content:
                if found := reading.mismatches():
                    raise Refused("P06-LOAD-001", found)
                with self._decoding():
                    file = pq.ParquetFile(content, **_OPTIONS)
                    strings = [
                        n for n, t in zip(file.schema_arrow.names, file.schema_arrow.types, strict=True) if _is_text(t)
                    ]
                    probe = pq.ParquetFile(content, metadata=file.metadata, read_dictionary=strings, **_OPTIONS)
                yield _File(file, probe)
        except Refused:
            raise
        except P06Error as error:
            raise Refused("P06-LOAD-001", [error]) from None

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Whatever the decoder cannot make sense of refuses the file; the machine's own errors stay what they are."""
        try:
            yield
        except OSError as error:
            if error.errno is not None:
                raise
            raise self._damaged() from None
        except (pa.ArrowException, UnicodeDecodeError, OverflowError):
            raise self._damaged() from None

    def _damaged(self) -> Refused:
        return Refused("P06-LOAD-047", file=self._reading.file.number)

    def _schema_errors(self, file: _File) -> list[P06Error]:
        number, size = self._reading.file.number, self._reading.file.bytes
        with self._decoding():
            schema = file.values.schema_arrow
            columns = list(zip(schema.names, schema.types, strict=True))
            # The metadata of single columns is not asked: what is damaged there ends the process, past any exception.
            groups = range(file.values.num_row_groups)
            unpacked = sum(file.values.metadata.row_group(group).total_byte_size for group in groups)
            found = compare(self.contract, schema.names, number)
            for name, kind in columns:
                column = self._columns.get(name)
                if column is None:
                    continue  # told as added, or ignored
                if pa.types.is_nested(kind):
                    found.append(P06Error("P06-LOAD-046", file=number, column=name))
                elif not _takes(column, kind):
                    expected = column.type_text if column.kind != "enum" else "enum"
                    found.append(P06Error("P06-LOAD-045", file=number, column=name, expected=expected))
        if unpacked > RATIO_FROM and unpacked > RATIO_LIMIT * max(size, 1):
            return [P06Error("P06-LOAD-020", file=number)]
        return found

    def _parts(self, file: _File, groups: Iterable[int], before: int = 0) -> Iterator[_Part]:
        """The records of these row groups as texts; ``before`` is the number of records ahead of the first group."""
        names = [name for name in file.values.schema_arrow.names if name in self._columns]
        for group in groups:
            with self._decoding():
                rows = self._batch_rows(file, group, names)
                batches = _gathered(
                    file.values.iter_batches(batch_size=rows, row_groups=[group], columns=names, use_threads=False)
                )
            while True:
                with self._decoding():
                    batch = next(batches, None)
                if batch is None:
                    break
                for piece in self._pieces(batch, before + 1):
                    with self._decoding():
                        columns = {
                            self._columns[name].name: _texts(self._columns[name], piece.column(at))
                            for at, name in enumerate(piece.schema.names)
                        }
                    yield _Part(columns, before + 1, piece.num_rows)
                    before += piece.num_rows

    def _batch_rows(self, file: _File, group: int, names: list[str]) -> int:
        """How many records of a row group to decode at once.

        A dictionary can repeat one long text for a few bits a row, so its longest text bounds the batch; it is found by
        asking for one row with its dictionary. Arrow cannot ask so of texts written as differences to each other, which
        can repeat as much: then few rows are decoded at once, for about twice the time.
        """
        try:
            first = next(
                file.dictionaries.iter_batches(batch_size=1, row_groups=[group], columns=names, use_threads=False), None
            )
        except OSError as error:
            if error.errno is not None:
                raise
            return _UNTOLD_ROWS  # or the pages are damaged, as reading them will tell
        dictionaries = (
            [column.dictionary for column in first.columns if pa.types.is_dictionary(column.type)] if first else []
        )
        longest = max((pc.max(pc.binary_length(one)).as_py() or 0 for one in dictionaries), default=0)
        return max(_FEW_ROWS, min(_ROWS, _TEXT_LIMIT // max(longest, 1)))

    def _pieces(self, batch: Any, first: int) -> Iterator[Any]:
        """The batch, or halves of it where its texts are large. Raises Refused P06-LOAD-031 on a long record."""
        with self._decoding():
            sizes = sum((_sizes(column) for column in batch.columns), np.zeros(batch.num_rows, np.int64))
        if int(sizes.max(initial=0)) > RECORD_LIMIT:
            line = first + int(np.argmax(sizes > RECORD_LIMIT))
            raise Refused("P06-LOAD-031", file=self._reading.file.number, line=line, limit=RECORD_LIMIT)
        start = 0
        for row in np.flatnonzero(np.diff(np.cumsum(sizes) // _TEXT_LIMIT, prepend=0)).tolist():
            if row > start:
                yield batch.slice(start, row - start)
                start = row
        if batch.num_rows > start:
            yield batch.slice(start)

    def _block(self, part: _Part) -> Block:
        columns = part.columns
        numbers = np.arange(part.first, part.first + part.count)
        flaws = _flaws(columns)
        unsound = []
        if flaws:
            for row in sorted(flaws):
                raw = self._raw({name: _bytes(values, row) for name, values in columns.items()})
                unsound.append(Unsound(int(numbers[row]), int(numbers[row]), raw, tuple(flaws[row])))
            keep = np.setdiff1d(np.arange(part.count), np.array(sorted(flaws)))
            columns = {name: _taking(values, keep) for name, values in columns.items()}
            numbers = numbers[keep]

        def raws(places: Sequence[int]) -> list[bytes]:
            return [self._raw({name: values[at].as_py() for name, values in columns.items()}) for at in places]

        nowhere = np.zeros(len(numbers), np.int64)
        return Block(columns, numbers, numbers, nowhere, nowhere, tuple(unsound), (), raws)

    def _raw(self, fields: Mapping[str, str]) -> bytes:
        named = {column.physical_name: fields.get(column.name) for column in self.contract.columns}
        return texts.raw({name: text or None for name, text in named.items()})


def _gathered(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches joined to such of ``_ROWS`` rows or ``_TEXT_LIMIT`` bytes, texts of one layout."""
    held: list[Any] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _ROWS or size >= _TEXT_LIMIT:
            yield _joined(held)
            held, rows, size = [], 0, 0
    if held:
        yield _joined(held)


def _joined(batches: Sequence[Any]) -> Any:
    batch = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
    if not any(map(pa.types.is_string_view, batch.schema.types)):
        return batch
    columns = [pc.cast(one, pa.string()) if pa.types.is_string_view(one.type) else one for one in batch.columns]
    return pa.record_batch(columns, names=batch.schema.names)


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _takes(column: Column, kind: Any) -> bool:
    """Whether a column of the contract may come in this type: text, or the contract's own."""
    of = pa.types
    if of.is_dictionary(kind):
        return _is_text(kind.value_type)
    if _is_text(kind) or of.is_null(kind):
        return True
    if column.kind == "date":
        return bool(of.is_date(kind))
    if column.kind == "timestamp":
        return bool(of.is_timestamp(kind) and kind.tz is not None)
    if column.kind == "integer":
        return bool(of.is_integer(kind))
    if column.kind == "numeric":
        return bool(of.is_integer(kind) or of.is_decimal(kind) or of.is_float32(kind) or of.is_float64(kind))
    return False


def _texts(column: Column, values: Any) -> Any:
    """A column as ``pa.StringArray``, empty for null."""
    kind = values.type
    of = pa.types
    if of.is_null(kind):
        return texts.array([""] * len(values))
    if of.is_dictionary(kind):
        values = values.dictionary_decode()
    if of.is_date(kind):
        values = _dates(values)
    elif of.is_timestamp(kind):
        values = _timestamps(values)
    elif of.is_floating(kind):
        values = _plain(pc.cast(values, pa.string()), "e")
    elif of.is_decimal(kind):
        values = _plain(pc.cast(values, pa.string()), "E")
        if kind.scale > (column.scale or 0):
            shorter = pc.utf8_rtrim(pc.utf8_rtrim(values, "0"), ".")
            values = pc.if_else(pc.match_substring(values, "."), shorter, values)  # the zeros of 100 stay
    elif of.is_integer(kind):
        values = pc.cast(values, pa.string())
    if not of.is_string(values.type):
        values = pc.cast(values, pa.string())
    return pc.fill_null(values, texts.one("")) if values.null_count else values


def _plain(written: Any, exponent: str) -> Any:
    """Numbers as Arrow writes them, in plain notation throughout."""
    odd = pc.or_(pc.match_substring(written, exponent), pc.equal(written, texts.one("-0")))
    if not pc.any(odd).as_py():
        return written
    return _array([text if text is None else texts.number(text) for text in written.to_pylist()])


def _array(values: list[str | None]) -> Any:
    return texts.array([value or "" for value in values])


def _integers(values: Any) -> Ints:
    """The numbers behind dates or times, 0 for null."""
    width = pa.int32() if values.type.bit_width == 32 else pa.int64()
    plain = pc.fill_null(values.view(width), _zero(width))
    kind = np.int32 if width == pa.int32() else np.int64
    return np.frombuffer(plain.buffers()[1], kind, len(plain), plain.offset * np.dtype(kind).itemsize).astype(np.int64)


def _zero(kind: Any) -> Any:
    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(bytes(8))])[0]


def _mask(mask: Any) -> Any:
    """A numpy mask as ``pa.BooleanArray``; pyarrow's own way imports pandas."""
    bits = np.packbits(mask, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, pa.py_buffer(bits)])


def _dates(values: Any) -> Any:
    """ISO days; what no calendar of four-digit years has, as its number of days, which no rule accepts."""
    days = _integers(values)
    if values.type == pa.date64():
        days = days // (_DAY * 1_000)
    beyond = (days < _FIRST_DAY) | (days > _LAST_DAY)
    written = pc.cast(pc.cast(values, pa.date32()), pa.string())
    return pc.if_else(_mask(beyond), _array(list(map(str, days.tolist()))), written) if beyond.any() else written


def _timestamps(values: Any) -> Any:
    """ISO 8601 in UTC: seconds, or six decimals where there are any; nine where the contract's type has no room."""
    unit = values.type.unit
    ticks = _integers(values)
    seconds, part = np.divmod(ticks, _UNITS[unit])
    beyond = (seconds < _FIRST_DAY * _DAY) | (seconds >= (_LAST_DAY + 1) * _DAY)
    whole = pc.cast(_times(np.where(beyond, 0, seconds)), pa.string())  # without zone: six times as fast
    written = pc.binary_join_element_wise(pc.binary_replace_slice(whole, 10, 11, "T"), texts.one("Z"), texts.one(""))
    if part.any() or beyond.any():
        lines = written.to_pylist()
        digits = 9 if unit == "ns" else 6
        for row in np.flatnonzero((part != 0) | beyond).tolist():
            if beyond[row]:
                lines[row] = str(int(ticks[row]))
                continue
            decimals = str(int(part[row]) * (10**digits // _UNITS[unit])).rjust(digits, "0")
            lines[row] = f"{lines[row][:-1]}.{decimals.removesuffix('000') if unit == 'ns' else decimals}Z"
        written = texts.array(lines)
    return pc.if_else(pc.is_valid(values), written, texts.one("")) if values.null_count else written


def _times(seconds: Ints) -> Any:
    return pa.Array.from_buffers(pa.timestamp("s"), len(seconds), [None, pa.py_buffer(seconds)])


def _offsets(values: Any) -> Ints:
    return np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4).astype(np.int64)


def _sizes(values: Any) -> Ints:
    """Bytes each value of a column of texts takes once it is written out; zeros for other types."""
    if pa.types.is_dictionary(values.type):
        lengths = pc.take(pc.cast(pc.binary_length(values.dictionary), pa.int64()), values.indices)
    elif _is_text(values.type):
        lengths = pc.cast(pc.binary_length(values), pa.int64())
    else:
        return np.zeros(len(values), np.int64)
    plain = pc.fill_null(lengths, _zero(pa.int64()))
    return np.frombuffer(plain.buffers()[1], np.int64, len(plain), plain.offset * 8)


def _flaws(columns: Mapping[str, Any]) -> dict[int, list[str]]:
    """Rows that hold a NUL, or bytes that are not UTF-8."""
    found: dict[int, list[str]] = {}
    for values in columns.values():
        offsets = _offsets(values)
        begin, end = int(offsets[0]), int(offsets[-1])
        if begin == end:
            continue
        data = np.frombuffer(values.buffers()[2], np.uint8)[begin:end]
        for place in np.flatnonzero(data == 0).tolist() if not data.all() else ():
            _add(found, int(np.searchsorted(offsets, begin + place, "right")) - 1, NUL)
        try:
            values.validate(full=True)
        except pa.ArrowInvalid:
            for row in range(len(values)):
                try:
                    bytes(data[offsets[row] - begin : offsets[row + 1] - begin]).decode()
                except UnicodeDecodeError:
                    _add(found, row, ENCODING)
    return found


def _add(found: dict[int, list[str]], row: int, reason: str) -> None:
    reasons = found.setdefault(row, [])
    if reason not in reasons:
        reasons.append(reason)


def _bytes(values: Any, row: int) -> str:
    offsets = _offsets(values)
    data = np.frombuffer(values.buffers()[2] or b"", np.uint8)
    return bytes(data[offsets[row] : offsets[row + 1]]).decode("utf-8", "surrogateescape")


def _taking(values: Any, rows: Ints) -> Any:
    return values.take(pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows.astype(np.int64))]))
