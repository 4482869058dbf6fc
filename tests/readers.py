"""What the tests of readers share: files of one kind, and what a reader makes of them, row by row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from p06 import contract
from p06.contract import Contract
from p06.errors import P06Error
from p06.jsonl_reader import JsonlReader
from p06.manifest import Format, Manifest, StatedFile
from p06.parquet_reader import ParquetReader
from p06.period import Period
from p06.reading import Reading
from p06.records import Reader
from p06.repeats import ENTRY
from p06.rules import Rules
from p06.scanner import Dialect
from p06.xlsx_reader import XlsxReader
from tests.sender import VISIT

KINDS: dict[str, Any] = {"jsonl": JsonlReader, "parquet": ParquetReader, "xlsx": XlsxReader}
NUMBERS = ("total_amount", "insurance_paid", "patient_paid")


def visits(**changes: Any) -> Contract:
    """The contract of health visits, altered."""
    return replace(contract.load("health_visit"), **changes)


def manifest_of(kind: str, path: Path, rows: int = 0, compression: str = "none", **more: Any) -> Manifest:
    """A manifest of one file that exists."""
    content = path.read_bytes()
    file = StatedFile(1, path.name, len(content), hashlib.sha256(content).hexdigest(), rows)
    form = Format(kind, compression, "utf-8", Dialect(), True, **more)
    now, day = datetime(2024, 2, 3, tzinfo=UTC), date(2025, 3, 1)
    return Manifest("health_visit", Period(2024, 1), 1, now, day, form, (file,), {})


def opened(kind: str, path: Path, shape: Contract | None = None, **more: Any) -> Reader:
    """A reader of one file as it stands."""
    manifest = manifest_of(kind, path, **more)
    reading = Reading(manifest.files[0], path, manifest.format.compression)
    return KINDS[kind](shape or visits(), manifest, reading)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Seen:
    """All a reader gives: sound rows as (line, texts), what is wrong with them, and unsound lines."""

    rows: list[tuple[int, dict[str, str]]]
    failures: dict[int, list[tuple[str | None, str]]]  # by line
    unsound: dict[int, tuple[str, ...]]  # by line
    raws: list[bytes]
    places: Any

    def text(self, column: str, row: int = 0) -> str:
        return self.rows[row][1].get(column, "")


def seen(reader: Reader) -> Seen:
    """Read to the end; whatever must hold for every reader is asserted on the way."""
    rows: list[tuple[int, dict[str, str]]] = []
    failures: dict[int, list[tuple[str | None, str]]] = {}
    unsound: dict[int, tuple[str, ...]] = {}
    raws: list[bytes] = []
    places = []
    numbers = []
    for block in reader.blocks():
        columns = {name: values.to_pylist() for name, values in block.columns.items()}
        assert all(len(values) == len(block) and None not in values for values in columns.values())
        lines = block.lines.tolist()
        assert len(block.records) == len(block.offsets) == len(block.lengths) == len(lines)
        rows += [(line, {name: values[at] for name, values in columns.items()}) for at, line in enumerate(lines)]
        for failure in block.failures:
            for at in failure.rows.tolist():
                failures.setdefault(lines[at], []).append((failure.column, failure.reason))
        unsound |= {one.line: one.reasons for one in block.unsound}
        assert all(one.reasons for one in block.unsound)
        raws += block.raws(list(range(len(block))))
        entries = np.zeros(len(block), ENTRY)
        for field, values in (("line", block.lines), ("record", block.records), ("offset", block.offsets)):
            entries[field] = values
        entries["length"], entries["file"] = block.lengths, 1
        places.append(entries)
        numbers += [*block.records.tolist(), *(one.record for one in block.unsound)]
    assert sorted(numbers) == list(range(1, reader.seen + 1)), "each record is sound or unsound, once"
    return Seen(rows, failures, unsound, raws, places)


def reasons(found: Seen, line: int) -> set[tuple[str | None, str]]:
    """What reader and rules together say of a line."""
    told = set(found.failures.get(line, []))
    fields = next(fields for at, fields in found.rows if at == line)
    judge = Rules(visits(), Period(2024, 1), date(2025, 3, 1))
    for column in visits().columns:
        if reason := judge.value(column.name, fields.get(column.name, "")):
            told.add((column.name, reason))
    return told


def codes(errors: list[P06Error]) -> list[str]:
    """Code and column of each error."""
    return [" ".join(filter(None, (error.code, error.where.get("column")))) for error in errors]


def typed(**values: Any) -> dict[str, Any]:
    """A usual visit with these values."""
    return {**VISIT, **values}


def every_second(found: Seen) -> Iterator[Any]:
    """Places to read again."""
    for entries in found.places:
        yield entries[::2]
