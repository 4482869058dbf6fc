"""One streaming pass over a delivery: files in, judged rows out. Needs no database.

For each block of a reader: judge the columns by the contract (``rules``), set aside what is wrong, and hand on the good
rows in the database's own binary form, each with its place and its record key (``encode``). Nothing on the good path
is done row by row in Python but the keyed hash of the business key.
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

from p06 import encode, readers
from p06 import rules as checks
from p06.contract import Contract
from p06.errors import P06Error, Refused
from p06.manifest import Manifest
from p06.reading import Reading
from p06.records import Block, Reader
from p06.repeats import ENTRY, Record, Repeats

KEY_BYTES = 16  # of a record key, and of the hash that finds rows of the same key

Sign = Callable[[bytes], bytes]


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
    """Good rows of one block, in COPY's binary format: file_no, line, record key if signed, ``Intake.columns``."""

    data: Any
    rows: int


class Intake:
    """A delivery on its way through. Use as a context manager; ``batches`` first, then what it found."""

    def __init__(
        self,
        contract: Contract,
        manifest: Manifest,
        folder: Path,
        sign: Sign | None = None,
    ) -> None:
        """``sign`` makes the record key; without it batches carry none."""
        self.contract, self.manifest = contract, manifest
        self.columns = encode.table_columns(contract.columns)
        self.received = 0
        self.passed = 0
        self.rejected = 0
        self._sign = sign
        self._readings = {
            file.number: Reading(file, folder / file.name, manifest.format.compression, manifest.format.encoding)
            for file in manifest.files
        }
        self._readers: dict[int, Reader] = {
            number: readers.reader(contract, manifest, reading) for number, reading in self._readings.items()
        }
        self._rules = checks.Rules(contract, manifest.period, manifest.admin_code_version)
        self._repeats = Repeats()
        self._spool = tempfile.TemporaryFile(prefix="p06-")  # noqa: SIM115

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, *_: object) -> None:
        self._repeats.close()
        self._spool.close()

    def check_headers(self) -> list[P06Error]:
        """Compare the header of each file with the contract, reading no further. Later steps need it to be empty."""
        return [error for reader in self._readers.values() for error in reader.header()]

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
            reader = self._readers[number]
            try:
                for block in reader.blocks():
                    batch = self._judge(number, block)
                    if batch is not None:
                        yield batch
            except Refused as error:
                raise Refused(error.code, error.mismatches, **{"file": number, **error.where}) from None
            self.received += reader.seen
            mismatches += reading.mismatches()
            if reading.error is None and reader.seen != reading.file.rows:
                mismatches.append(P06Error("P06-LOAD-016", file=number, stated=reading.file.rows, found=reader.seen))
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
        return self._repeats.find(self._again, self._content, self._key)

    def conflicts(self, duplicates: Any) -> Iterator[Rejected]:
        """The rows that passed the rules but share their key with another that did; after ``duplicates``."""
        name = ", ".join(self.contract.key)
        for record in self._repeats.conflicts(self._again):
            yield _conflict(record, name)

    def quarantined(self, duplicates: Any) -> Iterator[Rejected]:
        """The rows the reader or the rules rejected, without those that are duplicates."""
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

    def _judge(self, number: int, block: Block) -> Batch | None:
        """One block: quarantine what is wrong, note every sound record, return the good rows."""
        rejected = [
            Rejected(-1, number, one.line, one.record, one.raw, one.reasons, (None,) * len(one.reasons))
            for one in block.unsound
        ]
        batch = None
        if len(block):
            wrong = checks.reasons_by_row(self._rules.judge(block.columns, block.failures, len(block)))
            good = np.ones(len(block), np.bool_)
            good[list(wrong)] = False
            keyed, hashes, keys = self._identify(block)
            ordinal = self._note(number, block, hashes, good & keyed)
            rows = sorted(wrong)
            for row, raw in zip(rows, block.raws(rows), strict=True):
                reasons, names = wrong[row]
                place = (ordinal + row, number, int(block.lines[row]), int(block.records[row]))
                rejected.append(Rejected(*place, raw, tuple(reasons), tuple(names)))
            batch = self._encoded(number, block, good, keys)
        if rejected:
            pickle.dump(rejected, self._spool, pickle.HIGHEST_PROTOCOL)
        self.rejected += len(rejected)
        return batch

    def _identify(self, block: Block) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], bytes]:
        """Of each row: whether its business key is whole, a hash equal rows and rows of one key share, its record key.

        A row without a key is its own key.
        """
        found = checks.key_texts(self.contract, block.columns)
        if found is None:
            whole = np.zeros(len(block), np.bool_)
            texts: list[bytes] = self._rows(block)
        else:
            parts, whole = found
            texts = parts.cast(pa.binary()).to_pylist()
            if not whole.all():
                contents = self._rows(block)
                texts = [key if held else own for key, held, own in zip(texts, whole, contents, strict=True)]
        if self._sign is None:
            return whole, np.fromiter(map(hash, texts), np.int64, len(texts)), b""
        keys = b"".join(map(self._sign, texts))
        return whole, np.frombuffer(keys, "<i8")[::2], keys

    def _rows(self, block: Block) -> list[bytes]:
        """One text per row, the same for rows that are equal in all columns."""
        empty = checks.texts([""] * len(block))
        parts = [block.columns.get(column.name, empty) for column in self.contract.columns]
        return checks.join(parts, "\0").cast(pa.binary()).to_pylist()  # type: ignore[no-any-return]

    def _note(self, number: int, block: Block, hashes: npt.NDArray[np.int64], keyed: npt.NDArray[np.bool_]) -> int:
        entries = np.empty(len(block), ENTRY)
        entries["hash"] = hashes
        entries["file"] = number
        entries["keyed"] = keyed
        entries["line"] = block.lines
        entries["record"] = block.records
        entries["offset"] = block.offsets
        entries["length"] = block.lengths
        return self._repeats.add(entries)

    def _encoded(self, number: int, block: Block, good: npt.NDArray[np.bool_], keys: bytes) -> Batch | None:
        lines, values = block.lines, dict(block.columns)
        count = int(good.sum())
        if not count:
            return None
        signed = keys if self._sign else None
        if count < len(block):
            rows = np.flatnonzero(good)
            lines = lines[rows]
            values = {name: checks.taking(column, rows) for name, column in values.items()}
            if signed is not None:
                signed = np.frombuffer(signed, np.uint8).reshape(-1, KEY_BYTES)[rows].tobytes()
        self.passed += count
        return Batch(encode.encode(self.columns, values, number, lines, signed), count)

    def _again(self, number: int, places: Iterable[Any]) -> Iterator[tuple[bytes, dict[str, str]]]:
        """Records of one file once more."""
        try:
            yield from self._readers[number].again(places)
        except P06Error as error:
            raise Refused("P06-LOAD-001", [error]) from None

    def _content(self, fields: dict[str, str]) -> bytes:
        return "\0".join([fields.get(column.name, "") for column in self.contract.columns]).encode()

    def _key(self, fields: dict[str, str]) -> bytes:
        return (checks.key_of(self.contract, fields) or "").encode()


def _conflict(record: Record, name: str) -> Rejected:
    return Rejected(
        record.ordinal, record.file, record.line, record.record, record.raw, (checks.KEY_CONFLICT,), (name,)
    )
