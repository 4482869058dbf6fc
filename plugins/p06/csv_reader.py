"""Reads a delimited file: the scanner finds and judges the records, Arrow parses the sound ones into columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from p06 import header
from p06.contract import Column, Contract
from p06.errors import P06Error, Refused
from p06.manifest import Manifest
from p06.reading import Reading, ahead, short
from p06.records import Block
from p06.scanner import Chunk, Dialect, Scanner, split, walk

BOM = b"\xef\xbb\xbf"
_LINE_END = 2  # bytes of the longest


@dataclass(frozen=True)
class Layout:
    """The columns of the file in their order; None for a column the contract lets senders add."""

    columns: tuple[Column | None, ...]
    begin: int  # where the records begin, in the decoded stream
    line: int  # physical line they begin on


class CsvReader:
    """See ``records.Reader``."""

    def __init__(self, contract: Contract, manifest: Manifest, reading: Reading) -> None:
        self._contract, self._reading = contract, reading
        self._dialect = manifest.format.dialect
        self._has_header = manifest.format.header
        self._layout: Layout | None = None
        self._scanner: Scanner | None = None

    @property
    def seen(self) -> int:
        """Records found so far, sound or not."""
        return self._scanner.seen if self._scanner else 0

    def header(self) -> list[P06Error]:
        """Read the header; remembers the file's layout when it fits."""
        fresh = self._reading.again()
        blocks = fresh.blocks()
        first = next(blocks, b"")
        blocks.close()  # type: ignore[attr-defined]
        if fresh.error:
            return [fresh.error]
        found = self._read_header(first)
        if isinstance(found, Layout):
            self._layout = found
            return []
        return found

    @property
    def layout(self) -> tuple[Dialect, tuple[Column | None, ...]]:
        """What ``parse`` needs to know, after ``header``."""
        return self._dialect, self._known().columns

    def blocks(self) -> Iterator[Block]:
        """The records. Raises Refused P06-LOAD-031 on a line beyond the limit, P06-LOAD-001 on another header."""
        for chunk in self.chunks():
            yield parse(*self.layout, chunk)

    def chunks(self) -> Iterator[Chunk]:
        """The records, not parsed yet; ``blocks`` or this, once. Raises as ``blocks`` does."""
        layout = self._known()
        self._scanner = scanner = Scanner(
            self._dialect, len(layout.columns), layout.line, layout.begin, count_fields=False
        )
        skip = layout.begin
        blocks = ahead(self._reading.blocks())
        first = True
        try:
            for block, last in _marking_last(blocks):
                if first and not self._same_header(block):
                    raise Refused("P06-LOAD-001", [P06Error("P06-LOAD-015", file=self._number, at="header")])
                first = False
                body = block[skip:] if skip else block
                skip = max(skip - len(block), 0)
                for piece in short(body):
                    chunk = scanner.feed(piece, False)
                    if len(chunk) or chunk.unsound:
                        yield chunk
                if last and self._reading.error is None:
                    chunk = scanner.feed(b"", True)
                    if len(chunk) or chunk.unsound:
                        yield chunk
        finally:
            blocks.close()

    def again(self, places: Iterable[Any]) -> Iterator[tuple[bytes, dict[str, str]]]:
        """Sound records once more, by their place in the decoded stream."""
        columns = self._known().columns

        def spans() -> Iterator[tuple[int, int]]:
            for entries in places:
                yield from entries[["offset", "length"]].tolist()

        for raw in self._reading.pieces(spans()):
            fields = split(raw, self._dialect)
            yield raw, {c.name: field.decode() for c, field in zip(columns, fields, strict=True) if c}

    @property
    def _number(self) -> int:
        return self._reading.file.number

    def _known(self) -> Layout:
        if self._layout is None:
            raise RuntimeError("header() comes first and has to find nothing wrong")
        return self._layout

    def _read_header(self, first: bytes) -> Layout | list[P06Error]:
        begin = len(BOM) if first.startswith(BOM) else 0
        if not self._has_header:
            return Layout(self._contract.columns, begin, 1)
        walked = walk(first, begin, self._dialect, None, True) if len(first) > begin else None
        if walked is None or walked.reasons:
            return [P06Error("P06-LOAD-029", file=self._number)]
        try:
            names = [name.decode() for name in split(first[begin : walked.end], self._dialect)]
        except UnicodeDecodeError:
            return [P06Error("P06-LOAD-029", file=self._number)]
        if found := header.compare(self._contract, names, self._number):
            return found
        known = {column.physical_name: column for column in self._contract.columns}
        return Layout(tuple(known.get(name) for name in names), walked.next, 1 + walked.lines)

    def _same_header(self, first: bytes) -> bool:
        """Whether the file still begins as ``header`` saw it; a file that cannot be read says so by itself."""
        return self._reading.error is not None or self._read_header(first) == self._layout


def parse(dialect: Dialect, columns: tuple[Column | None, ...], chunk: Chunk) -> Block:
    """The sound records of a chunk as columns of text. Raises P06Error P06-LOAD-032 when Arrow finds other records."""
    values: dict[str, Any] = {}
    if len(chunk):
        chunk, values = _columns(dialect, columns, chunk)
    return Block(
        values, chunk.lines, chunk.records, chunk.starts + chunk.offset, chunk.ends - chunk.starts,
        chunk.unsound, (), chunk.raws,
    )  # fmt: skip


def _columns(dialect: Dialect, layout: tuple[Column | None, ...], chunk: Chunk) -> tuple[Chunk, dict[str, Any]]:
    """The sound records as columns of text, empty for null; and the chunk without lines of wrong width."""
    text = _sound_text(chunk)
    if text[: len(BOM)] == BOM:  # pyarrow takes one mark away at the start of what it is given
        text = memoryview(BOM + bytes(text))
    wrong: list[int] = []

    def set_aside(row: csv.InvalidRow) -> str:
        wrong.append(row.number - 1)
        return "skip"

    names = [str(number) for number in range(len(layout))]
    wanted = {str(number): column.name for number, column in enumerate(layout) if column}
    table = csv.read_csv(
        pa.py_buffer(text),
        csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names),
        csv.ParseOptions(
            delimiter=dialect.delimiter.decode("latin-1"),
            quote_char=dialect.quote.decode("latin-1") if chunk.quoted else False,
            escape_char=dialect.escape.decode("latin-1") if dialect.escape else False,
            newlines_in_values=chunk.quoted,
            ignore_empty_lines=False,
            invalid_row_handler=set_aside,
        ),
        csv.ConvertOptions(
            check_utf8=False, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False,
            include_columns=list(wanted),
        ),
    )  # fmt: skip
    if wrong:
        chunk = chunk.without(wrong)
    if table.num_rows != len(chunk):
        raise P06Error("P06-LOAD-032", at="parser", expected=len(chunk), found=table.num_rows)
    arrays = [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]
    return chunk, dict(zip(wanted.values(), arrays, strict=True))


def _sound_text(chunk: Chunk) -> memoryview:
    """The sound records with the line ends between them, without what lies between them otherwise."""
    data = memoryview(chunk.data)
    starts, ends = chunk.starts, chunk.ends
    gaps = starts[1:] - ends[:-1]
    apart: npt.NDArray[np.bool_] = gaps > _LINE_END
    if chunk.unsound:  # an empty line between two records is as long as the longest line end
        bytes_ = np.frombuffer(chunk.data, np.uint8)
        apart |= (gaps == _LINE_END) & (
            (bytes_[ends[:-1]] != 13) | (bytes_[np.minimum(ends[:-1] + 1, len(data) - 1)] != 10)
        )
    breaks = np.flatnonzero(apart)
    if not len(breaks):
        return data[int(starts[0]) : int(ends[-1])]
    firsts = [0, *(breaks + 1).tolist()]
    lasts = [*breaks.tolist(), len(starts) - 1]
    return memoryview(b"\n".join([data[int(starts[a]) : int(ends[b])] for a, b in zip(firsts, lasts, strict=True)]))


def _marking_last(blocks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each block and whether it is the last; a single empty one when there is none."""
    held = next(blocks, b"")
    for block in blocks:
        yield held, False
        held = block
    yield held, True
