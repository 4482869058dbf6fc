"""One streaming pass over a delivery: blocks of bytes in, judged rows out. Needs no database.

For each block: scan (``scanner``), parse what is sound into columns of text, judge them by the contract (``rules``),
and hand on the good rows as they stand in the file, each with its line and its record key behind it, ready for COPY.
Nothing on the good path is done row by row in Python but the keyed hash of the business key.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from p06 import rules as checks
from p06.contract import Column, Contract
from p06.errors import P06Error, Refused
from p06.header import compare
from p06.manifest import Manifest, StatedFile
from p06.reading import Reading, ahead
from p06.repeats import ENTRY, Record, Repeats
from p06.scanner import Chunk, Scanner, split, walk

BOM = b"\xef\xbb\xbf"
_DIGITS = np.frombuffer(b"".join(b"%04d" % number for number in range(10_000)), np.uint32)


@dataclass(frozen=True)
class Layout:
    """The columns of one file in their order; None for a column the contract lets senders add."""

    columns: tuple[Column | None, ...]
    begin: int  # where the records begin, decompressed
    line: int  # physical line they begin on

    @property
    def names(self) -> tuple[str, ...]:
        """Staging names in file order."""
        return tuple(column.name for column in self.columns if column)


@dataclass(frozen=True)
class Rejected:
    """One record for quarantine. ``columns[i]`` is what ``reasons[i]`` speaks of, None for the whole row."""

    ordinal: int  # among sound records, -1 for others
    file: int
    line: int
    record: int
    raw: bytes
    reasons: tuple[str, ...]
    columns: tuple[str | None, ...]


@dataclass(frozen=True)
class Batch:
    """Good rows of one block as lines of csv in the manifest's dialect: the file's columns, line, record key."""

    file: StatedFile
    columns: tuple[str, ...]
    data: bytes
    rows: int


class Intake:
    """A delivery on its way through. Use as a context manager; ``batches`` first, then what it found."""

    def __init__(
        self,
        contract: Contract,
        manifest: Manifest,
        folder: Path,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """``sign`` makes the record key; without it batches carry none."""
        self.contract, self.manifest = contract, manifest
        self.received = 0
        self.passed = 0
        self.rejected = 0
        self._sign = sign
        self._readings = {
            file.number: Reading(file, folder / file.name, manifest.format.compression) for file in manifest.files
        }
        self._layouts: dict[int, Layout] = {}
        self._rules = checks.Rules(contract, manifest.period, manifest.admin_code_version)
        self._repeats = Repeats()
        self._spool = tempfile.TemporaryFile(prefix="p06-")  # noqa: SIM115

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, *_: object) -> None:
        self._repeats.close()
        self._spool.close()

    @property
    def dialect_options(self) -> tuple[str, str]:
        """Delimiter and quote of the batches."""
        dialect = self.manifest.format.dialect
        return dialect.delimiter.decode("ascii"), dialect.quote.decode("ascii")

    def check_headers(self) -> list[P06Error]:
        """Compare the header of each file with the contract, reading no further. Later steps need it to be empty."""
        found: list[P06Error] = []
        for reading in self._readings.values():
            header = reading.again()
            blocks = header.blocks()
            first = next(blocks, b"")
            blocks.close()  # type: ignore[attr-defined]
            found += [header.error] if header.error else self._layout(reading.file, first)
        return found

    def verify(self) -> list[P06Error]:
        """Read every file for its checksum alone; returns the mismatches."""
        found: list[P06Error] = []
        for reading in self._readings.values():
            fresh = reading.again()
            fresh.hash()
            found += fresh.mismatches()
        return found

    def batches(self) -> Iterator[Batch]:
        """The good rows. Raises Refused P06-LOAD-001 at the end when bytes, checksums or counts are not as stated.

        Raises Refused P06-LOAD-031 on a line beyond the limit.
        """
        mismatches: list[P06Error] = []
        for number, reading in self._readings.items():
            scanner = Scanner(
                self.manifest.format.dialect, len(self._layouts[number].columns),
                self._layouts[number].line, self._layouts[number].begin, count_fields=False,
            )  # fmt: skip
            skip = self._layouts[number].begin
            blocks = ahead(reading.blocks())
            first = True
            try:
                for block, last in _marking_last(blocks):
                    if first and not self._same_header(number, block):
                        raise Refused("P06-LOAD-001", [P06Error("P06-LOAD-015", file=number, at="header")])
                    first = False
                    body = block[skip:] if skip else block
                    skip = max(skip - len(block), 0)
                    chunk = scanner.feed(body, last and reading.error is None)
                    batch = self._judge(number, chunk)
                    if batch.rows:
                        yield batch
            except Refused as error:
                raise Refused(error.code, error.mismatches, **{"file": number, **error.where}) from None
            finally:
                blocks.close()
            self.received += scanner.seen
            mismatches += reading.mismatches()
            if reading.error is None and scanner.seen != reading.file.rows:
                mismatches.append(P06Error("P06-LOAD-016", file=number, stated=reading.file.rows, found=scanner.seen))
        if mismatches:
            raise Refused("P06-LOAD-001", mismatches)

    def check_unchanged(self) -> None:
        """Look once more whether the files are those that were read. Raises Refused P06-LOAD-001 when not."""
        for reading in self._readings.values():
            try:
                reading.check_unchanged()
            except P06Error as error:
                raise Refused("P06-LOAD-001", [error]) from None

    def duplicates(self) -> Any:
        """The records equal to an earlier one, as an array of ``repeats.REMOVED``."""
        return self._repeats.duplicates(self._texts, self._content)

    def conflicts(self, duplicates: Any) -> Iterator[Rejected]:
        """The rows that passed the rules but share their key with another that did."""
        if not self.contract.key:
            return
        name = ", ".join(self.contract.key)
        for record in self._repeats.conflicts(duplicates["ordinal"], self._texts, self._key):
            yield _conflict(record, name)

    def quarantined(self, duplicates: Any) -> Iterator[Rejected]:
        """The rows the scanner or the rules rejected, without those that are duplicates."""
        removed = duplicates["ordinal"]
        self._spool.seek(0)
        while True:
            try:
                entries: list[Rejected] = pickle.load(self._spool)
            except EOFError:
                return
            ordinals = np.array([entry.ordinal for entry in entries])
            places = np.minimum(np.searchsorted(removed, ordinals), max(len(removed) - 1, 0))
            gone = removed[places] == ordinals if len(removed) else np.zeros(len(entries), np.bool_)
            yield from compress(entries, (~gone).tolist())

    def _layout(self, file: StatedFile, first: bytes) -> list[P06Error]:
        """Read a file's header; remembers its layout when it fits."""
        begin = len(BOM) if first.startswith(BOM) else 0
        if not self.manifest.format.header:
            self._layouts[file.number] = Layout(self.contract.columns, begin, 1)
            return []
        dialect = self.manifest.format.dialect
        walked = walk(first, begin, dialect, None, True) if len(first) > begin else None
        if walked is None or walked.reasons:
            return [P06Error("P06-LOAD-029", file=file.number)]
        try:
            names = [name.decode() for name in split(first[begin : walked.end], dialect)]
        except UnicodeDecodeError:
            return [P06Error("P06-LOAD-029", file=file.number)]
        found = compare(self.contract, names, file.number)
        if not found:
            known = {column.physical_name: column for column in self.contract.columns}
            columns = tuple(known.get(name) for name in names)
            self._layouts[file.number] = Layout(columns, walked.next, 1 + walked.lines)
        return found

    def _same_header(self, number: int, first: bytes) -> bool:
        """Whether the file still begins as ``check_headers`` saw it; a file that cannot be read says so by itself."""
        reading, known = self._readings[number], self._layouts[number]
        return reading.error is not None or (not self._layout(reading.file, first) and self._layouts[number] == known)

    def _judge(self, number: int, chunk: Chunk) -> Batch:
        """One block: quarantine what is wrong, note every sound record, return the good rows."""
        layout, stated = self._layouts[number], self._readings[number].file
        columns: dict[str, Any] = {}
        if len(chunk):
            chunk, columns = self._columns(chunk, layout)
        rejected = [
            Rejected(-1, number, one.line, one.record, one.raw, one.reasons, (None,) * len(one.reasons))
            for one in chunk.unsound
        ]
        data, count = b"", 0
        if len(chunk):
            raws = chunk.raws
            wrong = checks.reasons_by_row(self._rules.judge(columns))
            good = np.ones(len(chunk), np.bool_)
            good[list(wrong)] = False
            keys, keyed = self._keys(columns, raws)
            entries = np.empty(len(chunk), ENTRY)
            entries["row"] = np.fromiter(map(hash, self._plain(chunk, columns, raws, layout)), np.int64, len(chunk))
            entries["key"] = np.fromiter(map(hash, keys), np.int64, len(chunk))
            entries["file"] = number
            entries["keyed"] = good & keyed
            entries["line"] = chunk.lines
            entries["record"] = chunk.records
            entries["offset"] = chunk.starts + chunk.offset
            entries["length"] = chunk.ends - chunk.starts
            ordinal = self._repeats.add(entries)
            for row in sorted(wrong):
                reasons, names = wrong[row]
                rejected.append(
                    Rejected(
                        ordinal + row, number, int(chunk.lines[row]), int(chunk.records[row]), raws[row],
                        tuple(reasons), tuple(names),
                    )
                )  # fmt: skip
            count = int(good.sum())
            data = self._lines(raws, keys, good, count, chunk.lines, layout)
        if rejected:
            pickle.dump(rejected, self._spool, pickle.HIGHEST_PROTOCOL)
        self.rejected += len(rejected)
        self.passed += count
        return Batch(stated, layout.names, data, count)

    def _columns(self, chunk: Chunk, layout: Layout) -> tuple[Chunk, dict[str, Any]]:
        """The sound records as columns of text, empty for null; and the chunk without lines of wrong width."""
        dialect = self.manifest.format.dialect
        gaps = chunk.starts[1:] - chunk.ends[:-1]
        if not chunk.unsound and (not len(gaps) or int(gaps.max()) <= 2):
            text = memoryview(chunk.data)[int(chunk.starts[0]) : int(chunk.ends[-1])]
        else:
            text = memoryview(b"\n".join(chunk.raws))
        if text[: len(BOM)] == BOM:  # pyarrow takes one mark away at the start of what it is given
            text = memoryview(BOM + bytes(text))
        wrong: list[int] = []

        def set_aside(row: csv.InvalidRow) -> str:
            wrong.append(row.number - 1)
            return "skip"

        names = [str(number) for number in range(len(layout.columns))]
        wanted = [str(number) for number, column in enumerate(layout.columns) if column]
        table = csv.read_csv(
            pa.py_buffer(text),
            csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names),
            csv.ParseOptions(
                delimiter=dialect.delimiter.decode("ascii"),
                quote_char=dialect.quote.decode("ascii") if chunk.quoted else False,
                newlines_in_values=chunk.quoted,
                ignore_empty_lines=False,
                invalid_row_handler=set_aside,
            ),
            csv.ConvertOptions(
                check_utf8=False, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False,
                include_columns=wanted,
            ),
        )  # fmt: skip
        if wrong:
            chunk = chunk.without(wrong)
        if table.num_rows != len(chunk):
            raise P06Error("P06-LOAD-032", at="parser", expected=len(chunk), found=table.num_rows)
        arrays = [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]
        return chunk, dict(zip(layout.names, arrays, strict=True))

    def _keys(self, columns: dict[str, Any], raws: list[bytes]) -> tuple[list[bytes], npt.NDArray[np.bool_]]:
        """The business key of each row and whether it is whole; a row without one is its own key."""
        found = checks.key_texts(self.contract, columns)
        if found is None:
            return raws, np.zeros(len(raws), np.bool_)
        texts, whole = found
        return texts.cast(pa.binary()).to_pylist(), whole

    def _plain(self, chunk: Chunk, columns: dict[str, Any], raws: list[bytes], layout: Layout) -> list[bytes]:
        """One text per row, the same for rows that are equal in all columns."""
        if not chunk.quoted and layout.columns == self.contract.columns:
            return raws
        empty = checks.texts([""] * len(raws)) if len(columns) < len(self.contract.columns) else None
        parts = [columns.get(column.name, empty) for column in self.contract.columns]
        delimiter = self.manifest.format.dialect.delimiter.decode("ascii")
        joined: Any = pc.binary_join_element_wise(*parts, delimiter) if len(parts) > 1 else parts[0]
        return joined.cast(pa.binary()).to_pylist()  # type: ignore[no-any-return]

    def _lines(
        self,
        raws: list[bytes],
        keys: list[bytes],
        good: npt.NDArray[np.bool_],
        count: int,
        lines: npt.NDArray[np.int64],
        layout: Layout,
    ) -> bytes:
        """The good rows as they stand in the file, each followed by its line and record key."""
        if count < len(raws):
            mask = good.tolist()
            raws, keys, lines = list(compress(raws, mask)), list(compress(keys, mask)), lines[good]
        if None in layout.columns:
            raws = [self._without_added(raw, layout) for raw in raws]
        delimiter = self.manifest.format.dialect.delimiter
        powers = (
            [power for power in (100_000_000, 10_000, 1) if power == 1 or int(lines[-1]) >= power] if count else [1]
        )
        digits = 4 * len(powers)
        width = 1 + digits + (1 + 32 if self._sign else 0) + 1
        tails = np.full((count, width), delimiter[0], np.uint8)
        groups = np.empty((count, len(powers)), np.uint32)
        for place, power in enumerate(powers):
            groups[:, place] = _DIGITS[lines // power % 10_000]
        tails[:, 1 : 1 + digits] = groups.view(np.uint8)
        if self._sign:
            signed = b"".join(map(self._sign, keys)).hex().encode("ascii")
            tails[:, 2 + digits : -1] = np.frombuffer(signed, np.uint8).reshape(count, 32)
        tails[:, -1] = ord("\n")
        pieces: list[bytes] = [b""] * (2 * count)
        pieces[0::2] = raws
        pieces[1::2] = tails.view(f"S{width}").ravel().tolist()
        return b"".join(pieces)

    def _without_added(self, raw: bytes, layout: Layout) -> bytes:
        """A record without the columns the contract does not know, each field quoted."""
        dialect = self.manifest.format.dialect
        kept = compress(split(raw, dialect), (column is not None for column in layout.columns))
        quote = dialect.quote
        return dialect.delimiter.join(quote + field.replace(quote, quote * 2) + quote for field in kept)

    def _texts(self, groups: Iterable[Any]) -> Iterator[bytes]:
        """The raw text of entries in file order."""
        for number, spans in _by_file(groups):
            try:
                yield from self._readings[number].pieces(spans)
            except P06Error as error:
                raise Refused("P06-LOAD-001", [error]) from None

    def _fields(self, raw: bytes, file: int) -> dict[str, bytes]:
        fields = split(raw, self.manifest.format.dialect)
        return {c.name: field for c, field in zip(self._layouts[file].columns, fields, strict=True) if c}

    def _content(self, raw: bytes, file: int) -> bytes:
        fields = self._fields(raw, file)
        return b"\0".join(fields.get(column.name, b"") for column in self.contract.columns)

    def _key(self, raw: bytes, file: int) -> str | None:
        return checks.key_of(self.contract, {name: field.decode() for name, field in self._fields(raw, file).items()})


def _conflict(record: Record, name: str) -> Rejected:
    return Rejected(
        record.ordinal, record.file, record.line, record.record, record.raw, (checks.KEY_CONFLICT,), (name,)
    )


def _marking_last(blocks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each block and whether it is the last; a single empty one when there is none."""
    held = next(blocks, b"")
    for block in blocks:
        yield held, False
        held = block
    yield held, True


def _by_file(groups: Iterable[Any]) -> Iterator[tuple[int, Iterator[tuple[int, int]]]]:
    """Arrays of entries as (file number, its (offset, length) in order)."""
    from itertools import groupby

    def places() -> Iterator[tuple[int, int, int]]:
        for entries in groups:
            yield from entries[["file", "offset", "length"]].tolist()

    for number, spans in groupby(places(), key=lambda place: place[0]):
        yield number, ((offset, length) for _, offset, length in spans)
