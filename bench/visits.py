"""Files of health visits for the benchmarks: clean, or with a damaged row every so often, in every kind p06 reads."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOURCE = "health_visit"
COLUMNS = [
    "citizen_id",
    "old_id",
    "full_name",
    "birth_date",
    "sex",
    "visit_id",
    "facility_code",
    "insurance_card_no",
    "admitted_at",
    "discharged_at",
    "main_diagnosis",
    "total_amount",
    "insurance_paid",
    "patient_paid",
    "updated_at",
]
KINDS_OF_DAMAGE = (
    "day that does not exist",
    "a field too many",
    "a stray quote",
    "an unclosed quote",
    "an ID without its leading zeros",
    "NaN for an amount",
    "an unknown code",
    "a required value missing",
    "an exact duplicate",
    "a key of another row",
    "amounts that do not add up",
    "a field too few",
)
_NAMES = (
    [
        "Nguyễn",
        "Trần",
        "Lê",
        "Phạm",
        "Hoàng",
        "Huỳnh",
        "Phan",
        "Vũ",
        "Võ",
        "Đặng",
        "Bùi",
        "Đỗ",
        "Hồ",
        "Ngô",
        "Dương",
        "Lý",
    ],
    [
        "Anh",
        "Bình",
        "Châu",
        "Dũng",
        "Hà",
        "Hương",
        "Khánh",
        "Lan",
        "Minh",
        "Nga",
        "Phương",
        "Quân",
        "Sơn",
        "Thảo",
        "Tuấn",
        "Vy",
    ],
)


def row(number: int) -> list[str]:
    """One sound row."""
    year = 1930 + number * 7 % 90
    total = 100_000 + number * 37 % 900_000
    paid = total * 4 // 5
    at = f"2024-01-{1 + number % 31:02d}T{number % 24:02d}:{number % 60:02d}:{number * 7 % 60:02d}+07:00"
    return [
        f"001{(number % 2) + (2 if year > 1999 else 0)}{year % 100:02d}{number % 1000000:06d}",
        "",
        f"{_NAMES[0][number % 16]} {_NAMES[1][number // 16 % 16]} {_NAMES[1][number // 256 % 16]}",
        f"{year}-{1 + number % 12:02d}-{1 + number % 28:02d}",
        "MF"[number % 2],
        f"V{number:011d}",
        f"{10000 + number % 1500}",
        f"DN4{number:012d}",
        at,
        at,
        f"J{number % 100:02d}.{number % 10}",
        f"{total}.00",
        f"{paid}.00",
        f"{total - paid}.00",
        at,
    ]


def damaged(number: int, kind: int) -> str:
    """One damaged line of csv; ``kind`` counts through ``KINDS_OF_DAMAGE``."""
    fields = row(number)
    if kind == 0:
        fields[3] = "1985-02-30"
    elif kind == 1:
        fields.append("x")
    elif kind == 2:
        fields[2] = f'{fields[2][:3]}"{fields[2][3:]}'
    elif kind == 3:
        fields[2] = f'"{fields[2]}'
    elif kind == 4:
        fields[0] = fields[0].lstrip("0")
    elif kind == 5:
        fields[11] = "NaN"
    elif kind == 6:
        fields[4] = "X"
    elif kind == 7:
        fields[2] = ""
    elif kind == 8:
        fields = row(number - 1)
    elif kind == 9:
        fields[5] = row(number - 1)[5]
    elif kind == 10:
        fields[11] = "1.00"
    else:
        fields.pop()
    return ",".join(fields)


def damage_of(number: int, every: int | None) -> int | None:
    """Which damage the row of that number has when every so many are damaged."""
    if not every or number % every != every - 1:
        return None
    return number // every % len(KINDS_OF_DAMAGE)


def lines(rows: int, every: int | None) -> Iterator[str]:
    """The lines of a csv file without its header."""
    for number in range(rows):
        kind = damage_of(number, every)
        yield ",".join(row(number)) if kind is None else damaged(number, kind)


def make(folder: Path, rows: int, every: int | None = None, kind: str = "csv", compression: str = "none") -> Path:
    """A file of that many rows; made once, kept in the folder. Only csv can be damaged."""
    suffix = {"none": "", "gzip": ".gz"}[compression]
    path = folder / f"{'clean' if every is None else f'bad{every}'}-{rows}.{kind}{suffix}"
    if not path.exists():
        draft = path.with_name(f".{path.name}")
        if compression == "gzip":
            with make(folder, rows, every, kind).open("rb") as plain, gzip.open(draft, "wb", 6) as target:
                shutil.copyfileobj(plain, target)
        else:
            _WRITERS[kind](draft, rows, every)
        draft.chmod(0o644)
        draft.rename(path)
    return path


def _csv(path: Path, rows: int, every: int | None) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        for line in lines(rows, every):
            file.write(line + "\n")


def _jsonl(path: Path, rows: int, every: int | None) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for number in range(rows):
            fields = {name: value or None for name, value in zip(COLUMNS, row(number), strict=True)}
            file.write(json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n")


def _parquet(path: Path, rows: int, every: int | None) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    with parquet.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, 100_000):
            columns = zip(*(row(number) for number in range(first, min(first + 100_000, rows))), strict=True)
            arrays = [pa.array([value or None for value in column], pa.string()) for column in columns]
            writer.write_table(pa.table(arrays, schema))


def _xlsx(path: Path, rows: int, every: int | None) -> None:
    import xlsxwriter

    book = xlsxwriter.Workbook(str(path), {"constant_memory": True})
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, COLUMNS)
    for number in range(rows):
        for column, value in enumerate(row(number)):
            if value:
                sheet.write_string(number + 1, column, value)
    book.close()


_WRITERS = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet, "xlsx": _xlsx}


def deliver(file: Path, landing: Path, period: str, rows: int, kind: str, compression: str) -> Path:
    """Put a file into landing as a delivery; returns its folder."""
    folder = landing / SOURCE / period / "bench"
    folder.mkdir(parents=True)
    os.link(file, folder / file.name)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    form: dict[str, Any] = {"kind": kind, "compression": compression, "encoding": "utf-8", "header": True}
    manifest = {
        "manifest_version": 1, "source": SOURCE, "period": period, "revision": 1,
        "produced_at": "2024-02-03T08:15:00+07:00", "admin_code_version": "2025-03-01", "format": form,
        "files": [{"name": file.name, "bytes": file.stat().st_size, "sha256": digest, "rows": rows}],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
