"""One streaming pass over a delivery: files in, judged rows out. Needs no database.

Each file's reader gives blocks of records (``records``), which are judged by the contract (``judge``); large delimited
files are only scanned here, and parsed and judged by processes of their own (``workers``).
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from p06 import encode, likely, readers
from p06 import rules as checks
from p06.area_codes import AreaCodes, Tally
from p06.contract import Contract
from p06.csv_reader import CsvReader
from p06.errors import P06Error, Refused
from p06.judge import Judge, Judged, Rejected, Sign
from p06.manifest import TEXT_KINDS, Manifest
from p06.reading import Reading
from p06.records import Reader
from p06.repeats import Record, Repeats
from p06.workers import Workers


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
        workers: int = 0,
    ) -> None:
        """``sign`` makes the record key; without it batches carry none. Workers sign as ``token.record_signer`` does."""
        self.contract, self.manifest = contract, manifest
        self.columns = encode.table_columns(contract.columns)
        self.received = 0
        self.passed = 0
        self.rejected = 0
        stated = manifest.format
        encoding = stated.encoding if stated.kind in TEXT_KINDS else "utf-8"
        self._readings = {
            file.number: Reading(file, folder / file.name, stated.compression, encoding) for file in manifest.files
        }
        self._readers: dict[int, Reader] = {
            number: readers.reader(contract, manifest, reading) for number, reading in self._readings.items()
        }
        self._judge = Judge(contract, manifest.period, manifest.admin_code_version, sign)
        self._workers = Workers(contract, manifest, sign is not None, workers) if workers else None
        self._tally = Tally(contract, manifest.admin_code_version)
        self._areas: Any = None
        self._repeats = Repeats()
        self._spool = tempfile.TemporaryFile(prefix="p06-")  # noqa: SIM115

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, *_: object) -> None:
        if self._workers is not None:
            self._workers.close()
        self._repeats.close()
        self._spool.close()

    def check_headers(self) -> list[P06Error]:
        """Compare the header of each file with the contract, reading no further. Later steps need it to be empty."""
        found: list[P06Error] = []
        for number, reader in self._readers.items():
            stated = self.manifest.format
            sample = self._readings[number].again().sample(likely.SAMPLE) if stated.kind in TEXT_KINDS else b""
            misread = likely.encoding_mismatch(stated.encoding, sample, number)
            found += [misread] if misread else reader.header()
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
            reader = self._readers[number]
            try:
                for judged in self._judged(number):
                    self._keep(judged)
                    if judged.rows:
                        yield Batch(judged.data, judged.rows)
            except Refused as error:
                raise Refused(error.code, error.mismatches, **{"file": number, **error.where}) from None
            self.received += reader.seen
            mismatches += reading.mismatches()
            if reading.error is None and reader.seen != reading.file.rows:
                mismatches.append(P06Error("P06-LOAD-016", file=number, stated=reading.file.rows, found=reader.seen))
        if mismatches:
            raise Refused("P06-LOAD-001", mismatches)

    @property
    def area_codes(self) -> AreaCodes | None:
        """To which area lists the commune codes of the sound rows belong; after ``batches``."""
        return self._tally.result(self._areas)

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
                first, entries = pickle.load(self._spool)
            except EOFError:
                return
            ordinals = np.array([entry.ordinal for entry in entries])
            ordinals[ordinals >= 0] += first
            places = np.minimum(np.searchsorted(removed, ordinals), max(len(removed) - 1, 0))
            gone = removed[places] == ordinals if len(removed) else np.zeros(len(entries), np.bool_)
            yield from compress(entries, (~gone).tolist())

    def _judged(self, number: int) -> Iterator[Judged]:
        """The blocks of a file, judged here or by the workers."""
        reader = self._readers[number]
        if self._workers is not None and isinstance(reader, CsvReader):
            yield from self._workers.judged(number, reader)
        else:
            for block in reader.blocks():
                yield self._judge.judge(number, block)

    def _keep(self, judged: Judged) -> None:
        """Remember what a block's records leave behind."""
        first = self._repeats.add(judged.entries) if len(judged.entries) else 0
        if judged.rejected:
            pickle.dump((first, judged.rejected), self._spool, pickle.HIGHEST_PROTOCOL)
        if judged.areas is not None:
            self._areas = judged.areas if self._areas is None else self._areas + judged.areas
        self.rejected += len(judged.rejected)
        self.passed += judged.rows

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
