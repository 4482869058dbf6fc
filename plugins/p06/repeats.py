"""Rows that repeat: exact duplicates over all files of an extract, and keys claimed by different rows.

Every sound record leaves a 64-bit hash and its place in a temporary file; equal rows have equal hashes, and so have
rows of one key. Only records whose hash repeats are read again, once, and told apart by 128-bit BLAKE2 digests of
their content and key. A hash of 64 bits never removes a row. Memory stays bounded whatever the number of rows.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Again = tuple[bytes, dict[str, str]]  # the raw text of a record and its fields
Read = Callable[[int, Iterable[Any]], Iterator[Again]]  # file number, arrays of its entries in order

ENTRY = np.dtype(
    [
        ("hash", "<i8"),  # of the business key, or of the whole row when it has none
        ("file", "<u2"),  # number of the file, from 1
        ("keyed", "<u1"),  # 1: passed the rules and has a key
        ("line", "<i8"),
        ("record", "<i8"),
        ("offset", "<i8"),  # in the decoded file
        ("length", "<i4"),
    ]
)
REMOVED = np.dtype([("ordinal", "<i8"), ("file", "<u2"), ("line", "<i8")])
_SEEN = np.dtype(
    [("ordinal", "<i8"), ("file", "<u2"), ("line", "<i8"), ("keyed", "<u1"), ("hash", "<i8")]
    + [(name, "<i8") for name in ("row", "row_too", "key", "key_too")]
)
_SORTED_AT_ONCE = 1 << 20  # hashes
_READ_AT_ONCE = 1 << 16  # entries
_COMPARED_AT_ONCE = 1 << 18  # records read again


@dataclass(frozen=True)
class Record:
    """One record by its place; ``ordinal`` counts sound records over all files from 0."""

    ordinal: int
    file: int
    line: int
    record: int
    raw: bytes


class Repeats:
    """The entries of one extract. ``add`` them all, then ``find``, then ``conflicts``."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="p06-")  # noqa: SIM115
        self._conflicting: Ints = np.empty(0, np.int64)
        self._spans: dict[int, tuple[int, int]] = {}  # file number -> ordinals from, to
        self.count = 0

    def close(self) -> None:
        """Forget the entries."""
        self._file.close()

    def add(self, entries: Any) -> int:
        """Append some ``ENTRY`` of one file, in file order; returns the ordinal of the first."""
        entries.tofile(self._file)
        first, self.count = self.count, self.count + len(entries)
        file = int(entries["file"][0])
        self._spans[file] = (self._spans.get(file, (first, 0))[0], self.count)
        return first

    def find(
        self, read: Read, content: Callable[[dict[str, str]], bytes], key: Callable[[dict[str, str]], bytes]
    ) -> Any:
        """Records equal to an earlier one in all columns, as a sorted array of ``REMOVED``.

        ``content`` gives the decoded row in one form, ``key`` its business key.
        """
        hashes = self._repeated()
        if not len(hashes):
            return np.empty(0, REMOVED)
        with tempfile.TemporaryFile(prefix="p06-") as spool:
            count = self._digest(hashes, read, content, key, spool)
            removed, conflicting = [np.empty(0, REMOVED)], [self._conflicting]
            parts = -(-count // _COMPARED_AT_ONCE)
            for part in range(parts):
                duplicates, conflicts = _told_apart(_part(spool, count, part, parts))
                removed.append(duplicates)
                conflicting.append(conflicts)
        self._conflicting = np.sort(np.concatenate(conflicting))
        return np.sort(np.concatenate(removed), order="ordinal")

    def conflicts(self, read: Read) -> Iterator[Record]:
        """Every record whose key another record has too, duplicates left out, in file order; after ``find``."""
        for ordinal, entry, (raw, _) in self._again(self._among_conflicting, read):
            yield Record(ordinal, int(entry["file"]), int(entry["line"]), int(entry["record"]), raw)

    def _chunks(self, first: int = 0, stop: int | None = None) -> Iterator[tuple[int, Any]]:
        """(ordinal of the first, entries) of these ordinals."""
        ordinal, stop = first, self.count if stop is None else stop
        while ordinal < stop:
            self._file.seek(ordinal * ENTRY.itemsize)
            entries = np.fromfile(self._file, ENTRY, min(_READ_AT_ONCE, stop - ordinal))
            yield ordinal, entries
            ordinal += len(entries)

    def _repeated(self) -> Ints:
        """Hashes that occur more than once, sorted."""
        parts = -(-self.count // _SORTED_AT_ONCE)
        found = [np.empty(0, np.int64)]
        for part in range(parts):
            pieces = []
            for _, entries in self._chunks():
                hashes = entries["hash"]
                pieces.append(hashes.copy() if parts == 1 else hashes[hashes % parts == part])
            values = np.concatenate(pieces)
            values.sort()
            found.append(np.unique(values[1:][values[1:] == values[:-1]]))
        return np.sort(np.concatenate(found))

    def _among_conflicting(self, ordinal: int, entries: Any) -> Ints:
        low, high = np.searchsorted(self._conflicting, (ordinal, ordinal + len(entries)))
        return self._conflicting[low:high] - ordinal

    def _again(self, choose: Callable[[int, Any], Ints], read: Read) -> Iterator[tuple[int, Any, Again]]:
        """(ordinal, entry, record read again) of the entries chosen, in file order."""
        for file, (first, stop) in self._spans.items():
            held: deque[tuple[int, Any]] = deque()
            records = read(file, self._chosen(first, stop, choose, held))
            for record in records:
                ordinal, entry = held.popleft()
                yield ordinal, entry, record

    def _chosen(
        self, first: int, stop: int, choose: Callable[[int, Any], Ints], held: deque[tuple[int, Any]]
    ) -> Iterator[Any]:
        """Arrays of the entries chosen; each entry goes to ``held``, too, to meet its record there."""
        for ordinal, entries in self._chunks(first, stop):
            rows = choose(ordinal, entries)
            if len(rows):
                held.extend(zip((rows + ordinal).tolist(), entries[rows], strict=True))
                yield entries[rows]

    def _digest(
        self,
        hashes: Ints,
        read: Read,
        content: Callable[[dict[str, str]], bytes],
        key: Callable[[dict[str, str]], bytes],
        spool: Any,
    ) -> int:
        """Write ``_SEEN`` of every record that has one of these hashes; returns how many."""

        def among(_: int, entries: Any) -> Ints:
            places = np.minimum(np.searchsorted(hashes, entries["hash"]), len(hashes) - 1)
            return np.flatnonzero(hashes[places] == entries["hash"])

        seen: list[tuple[Any, ...]] = []
        count = 0
        for ordinal, entry, (_, fields) in self._again(among, read):
            row = _two(content(fields))
            held = _two(key(fields)) if entry["keyed"] else (0, 0)
            seen.append((ordinal, entry["file"], entry["line"], entry["keyed"], entry["hash"], *row, *held))
            count += 1
            if len(seen) == _READ_AT_ONCE:
                np.array(seen, _SEEN).tofile(spool)
                seen = []
        np.array(seen, _SEEN).tofile(spool)
        return count


def _two(text: bytes) -> tuple[int, int]:
    digest = hashlib.blake2b(text, digest_size=16).digest()
    return int.from_bytes(digest[:8], "little", signed=True), int.from_bytes(digest[8:], "little", signed=True)


def _part(spool: Any, count: int, part: int, parts: int) -> Any:
    """The records whose hash falls into this part."""
    spool.seek(0)
    pieces = []
    for start in range(0, count, _READ_AT_ONCE):
        seen = np.fromfile(spool, _SEEN, min(_READ_AT_ONCE, count - start))
        pieces.append(seen[seen["hash"] % parts == part])
    return np.concatenate(pieces)


def _told_apart(seen: Any) -> tuple[Any, Ints]:
    """Of all records of some hashes: those equal to an earlier one, and the ordinals of those in conflict."""
    seen = seen[np.lexsort((seen["ordinal"], seen["row_too"], seen["row"]))]
    again = _as_before(seen, "row", "row_too")
    removed = np.empty(int(again.sum()), REMOVED)
    for name in ("ordinal", "file", "line"):
        removed[name] = seen[name][again]
    left = seen[~again & (seen["keyed"] == 1)]
    left = left[np.lexsort((left["key_too"], left["key"]))]
    shared = _as_before(left, "key", "key_too")
    shared[:-1] |= shared[1:]
    return removed, left["ordinal"][shared]


def _as_before(seen: Any, *names: str) -> npt.NDArray[np.bool_]:
    """Which entries agree with the one before them."""
    same = np.zeros(len(seen), np.bool_)
    same[1:] = np.logical_and.reduce([seen[name][1:] == seen[name][:-1] for name in names])
    return same
