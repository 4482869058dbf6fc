"""Rows that repeat: exact duplicates over all files of an extract, and keys claimed by different rows.

Every sound record leaves a few numbers in a temporary file: two 64-bit hashes and where its text lies. Only records
whose hash repeats are read again and compared; a hash alone never removes a row. Memory stays bounded whatever the
number of rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import tee
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Text = Callable[[Iterable[Any]], Iterator[bytes]]  # arrays of entries in file order -> the raw text of each

ENTRY = np.dtype(
    [
        ("row", "<i8"),  # hash of the decoded row
        ("key", "<i8"),  # hash of the business key
        ("file", "<u2"),  # number of the file, from 1
        ("keyed", "<u1"),  # 1: passed the rules and has a key
        ("line", "<i8"),
        ("record", "<i8"),
        ("offset", "<i8"),  # in the decompressed file
        ("length", "<i4"),
    ]
)
REMOVED = np.dtype([("ordinal", "<i8"), ("file", "<u2"), ("line", "<i8")])
_SORTED_AT_ONCE = 1 << 21  # hashes
_READ_AT_ONCE = 1 << 17  # entries
_COMPARED_AT_ONCE = 1 << 15  # different hashes whose text is held


@dataclass(frozen=True)
class Record:
    """One record by its place; ``ordinal`` counts sound records over all files from 0."""

    ordinal: int
    file: int
    line: int
    record: int
    raw: bytes


class Repeats:
    """The entries of one extract."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="p06-")  # noqa: SIM115
        self.count = 0

    def close(self) -> None:
        """Forget the entries."""
        self._file.close()

    def add(self, entries: Any) -> int:
        """Append an array of ``ENTRY`` in file order; returns the ordinal of its first."""
        entries.tofile(self._file)
        first, self.count = self.count, self.count + len(entries)
        return first

    def duplicates(self, read: Text, decoded: Callable[[bytes, int], bytes]) -> Any:
        """Records equal to an earlier one in all columns, as a sorted array of ``REMOVED``.

        ``decoded`` gives the unquoted content of a record of a file in one form.
        """
        nothing = np.empty(0, np.int64)
        removed: list[tuple[int, int, int]] = []
        for hashes in _slices(self._repeated("row", nothing)):
            seen: dict[int, list[bytes]] = {}
            for record, hashed in self._records("row", hashes, nothing, read):
                content = decoded(record.raw, record.file)
                earlier = seen.setdefault(hashed, [])
                if content in earlier:
                    removed.append((record.ordinal, record.file, record.line))
                else:
                    earlier.append(content)
        return np.sort(np.array(removed, REMOVED), order="ordinal")

    def conflicts(self, without: Ints, read: Text, key: Callable[[bytes, int], object]) -> Iterator[Record]:
        """Every record whose key another record has too, leaving out the ordinals ``without`` (sorted).

        ``key`` gives the business key of a record of a file.
        """
        for hashes in _slices(self._repeated("key", without)):
            first: dict[object, Record | None] = {}
            for record, _ in self._records("key", hashes, without, read):
                held = key(record.raw, record.file)
                if held not in first:
                    first[held] = record
                    continue
                earlier, first[held] = first[held], None
                if earlier is not None:
                    yield earlier
                yield record

    def _chunks(self) -> Iterator[tuple[int, Any]]:
        self._file.seek(0)
        ordinal = 0
        while ordinal < self.count:
            entries = np.fromfile(self._file, ENTRY, min(_READ_AT_ONCE, self.count - ordinal))
            yield ordinal, entries
            ordinal += len(entries)

    def _repeated(self, column: str, without: Ints) -> Ints:
        """Hashes that occur more than once, sorted."""
        parts = -(-self.count // _SORTED_AT_ONCE)
        found = []
        for part in range(parts):
            pieces = []
            for ordinal, entries in self._chunks():
                hashes = entries[column][_usable(column, ordinal, entries, without)]
                pieces.append(hashes if parts == 1 else hashes[hashes % parts == part])
            values = np.sort(np.concatenate(pieces))
            found.append(np.unique(values[1:][values[1:] == values[:-1]]))
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)

    def _records(self, column: str, hashes: Ints, without: Ints, read: Text) -> Iterator[tuple[Record, int]]:
        """The records that have one of these hashes (sorted), with that hash, in file order."""
        for_text, for_place = tee(self._with(column, hashes, without))
        raws = read(entries for _, entries in for_text)
        for ordinals, entries in for_place:
            places = zip(ordinals.tolist(), entries[["file", "line", "record", column]].tolist(), strict=True)
            for ordinal, (file, line, record, hashed) in places:
                yield Record(ordinal, file, line, record, next(raws)), hashed

    def _with(self, column: str, hashes: Ints, without: Ints) -> Iterator[tuple[Ints, Any]]:
        for ordinal, entries in self._chunks():
            values = entries[column]
            places = np.minimum(np.searchsorted(hashes, values), len(hashes) - 1)
            hit = np.flatnonzero((hashes[places] == values) & _usable(column, ordinal, entries, without))
            if len(hit):
                yield hit + ordinal, entries[hit]


def _usable(column: str, ordinal: int, entries: Any, without: Ints) -> npt.NDArray[np.bool_]:
    usable = entries["keyed"] == 1 if column == "key" else np.ones(len(entries), np.bool_)
    low, high = np.searchsorted(without, (ordinal, ordinal + len(entries)))
    usable[without[low:high] - ordinal] = False
    return usable


def _slices(hashes: Ints) -> Iterable[Ints]:
    return (hashes[start : start + _COMPARED_AT_ONCE] for start in range(0, len(hashes), _COMPARED_AT_ONCE))
