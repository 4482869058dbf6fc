"""The same thousand rows, whatever kind of file, encoding and compression they come in: the same in staging."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from backports import zstd

from p06 import contract, load
from p06.contract import Contract
from p06.errors import Refused
from tests.encoders import can_encode, encode
from tests.sender import VISIT, Sender

ROWS = 1000
ENCODINGS = ("utf-8", "utf-16", "windows-1258", "tcvn3", "vni", "viscii")
NAMES = [
    "Nguyễn Thị Thu Hằng", "Trần Văn Đức", "Lê Hoà Thuỷ", "Phạm Quỳnh Như", "Vũ Đình Tuấn", "Đặng Thuý Vy",
    "Bùi Xuân Trường", "Hồ Ngọc Mỹ Duyên", "Võ Thành Nghĩa", "Đỗ Khánh Huyền", "H'Hen Niê", "Huỳnh Kim Phượng",
]  # fmt: skip


@pytest.fixture(scope="module")
def visits() -> Contract:
    return contract.load("health_visit")


def _rows() -> Iterator[dict[str, str]]:
    for number in range(ROWS):
        total = Decimal(100_000 + number * 37 % 9_000)
        paid = total * 4 / 5
        yield {
            **VISIT,
            "citizen_id": f"001089{number:06d}" if number % 10 else "",
            "old_id": "" if number % 10 else f"{number:09d}",
            "full_name": NAMES[number % len(NAMES)],
            "birth_date": f"1989-{1 + number % 12:02d}-{1 + number % 28:02d}",
            "visit_id": f'V{number}, "số" {number % 7}',
            "facility_code": f"{number % 1500:05d}",
            "discharged_at": "" if number % 3 else f"2024-01-{1 + number % 31:02d}T10:00:00.5+07:00",
            "total_amount": f"{total}.00",
            "insurance_paid": f"{paid:.2f}",
            "patient_paid": f"{total - paid:.2f}",
        }


def _csv(names: list[str], **dialect: Any) -> str:
    import csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n", **dialect)
    writer.writerow(names)
    writer.writerows([row[name] for name in names] for row in _rows())
    return text.getvalue()


def _jsonl(names: list[str]) -> str:
    numbers = ("total_amount", "insurance_paid", "patient_paid")
    lines = []
    for row in _rows():
        fields = {name: row[name] or None for name in names}
        text = json.dumps(fields, ensure_ascii=False)
        for name in numbers:  # numbers as numbers, their digits as they are
            text = text.replace(f'"{name}": "{row[name]}"', f'"{name}": {row[name]}')
        lines.append(text)
    return "\n".join(lines)


def _parquet(shape: Contract, typed: bool) -> bytes:
    from datetime import datetime

    import pyarrow as pa
    from pyarrow import parquet

    kinds = {
        "date": (pa.date32(), date.fromisoformat),
        "timestamp": (pa.timestamp("us", "UTC"), datetime.fromisoformat),
        "numeric": (pa.decimal128(15, 2), Decimal),
    }
    columns = {}
    for column in shape.columns:
        kind, read = kinds.get(column.kind, (pa.string(), str)) if typed else (pa.string(), str)
        values = [row[column.name] for row in _rows()]
        columns[column.physical_name] = pa.array([read(value) if value else None for value in values], kind)
    target = io.BytesIO()
    parquet.write_table(pa.table(columns), target, row_group_size=300)
    return target.getvalue()


def _xlsx(shape: Contract, typed: bool) -> bytes:
    import xlsxwriter

    target = io.BytesIO()
    book = xlsxwriter.Workbook(target)
    sheet = book.add_worksheet()
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.write_row(0, 0, [column.physical_name for column in shape.columns])
    for number, row in enumerate(_rows(), 1):
        for place, column in enumerate(shape.columns):
            value = row[column.name]
            if not value:
                continue
            if typed and column.kind == "numeric":
                sheet.write_number(number, place, float(value))
            elif typed and column.kind == "date":
                sheet.write_datetime(number, place, date.fromisoformat(value), day)  # type: ignore[arg-type]
            else:
                sheet.write_string(number, place, value)
    book.close()
    return target.getvalue()


def _packed(content: bytes, compression: str) -> bytes:
    if compression == "gzip":
        half = len(content) // 2
        return gzip.compress(content[:half]) + gzip.compress(content[half:])
    if compression == "zstd":
        half = len(content) // 2
        return zstd.compress(content[:half]) + zstd.compress(content[half:])
    return content


def _checksum(sees: psycopg.Connection[Any], extract_id: str) -> tuple[int, str]:
    [(leaf,)] = sees.execute(
        "select staging_table from control.extract where extract_id = %s", (extract_id,)
    ).fetchall()
    named = ", ".join(["record_key", *VISIT])
    [found] = sees.execute(
        f"select count(*), md5(string_agg(l::text, '|' order by l::text)) from (select {named} from staging.{leaf}) as l"
    ).fetchall()
    return found  # type: ignore[return-value]


def _deliveries(shape: Contract) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    names = [column.physical_name for column in shape.columns]
    for encoding in ENCODINGS:
        for compression in ("none", "gzip", "zstd"):
            form = {"encoding": encoding, "compression": compression}
            yield f"csv {encoding} {compression}", form, encode(_csv(names), encoding)
        yield f"jsonl {encoding}", {"kind": "jsonl", "encoding": encoding}, encode(_jsonl(names), encoding)
    other = _csv(names, delimiter="\x1f", quotechar="'", quoting=1)
    yield "csv unit separator", {"delimiter": "\x1f", "quote": "'"}, other.encode()
    escaped = _csv(names, escapechar="\\", doublequote=False)
    yield "csv escaped", {"escape": "\\"}, escaped.encode()
    bare = _csv(names).partition("\r\n")[2]
    yield "csv without header, with mark", {"header": False}, ("\ufeff" + bare).encode()
    yield "csv other order", {}, _csv(names[::-1]).encode()
    yield "jsonl gzip", {"kind": "jsonl", "compression": "gzip"}, _jsonl(names).encode()
    for typed in (False, True):
        yield f"parquet typed {typed}", {"kind": "parquet"}, _parquet(shape, typed)
        yield f"xlsx typed {typed}", {"kind": "xlsx"}, _xlsx(shape, typed)
    yield "parquet zstd", {"kind": "parquet", "compression": "zstd"}, _parquet(shape, True)


def test_a_thousand_rows_are_the_same_in_every_kind_encoding_and_compression(
    sender: Sender, sees: psycopg.Connection[Any], visits: Contract
) -> None:
    assert all(can_encode(name, encoding) for name in NAMES for encoding in ENCODINGS)
    found = {}
    for number, (name, form, content) in enumerate(_deliveries(visits), 1):
        compression = form.get("compression", "none")
        delivery = sender.send(
            [_packed(content, compression)], name=str(number), revision=number, rows=[ROWS], format=form
        )
        done = load.stage(delivery)
        assert done.counts is not None
        assert (done.counts.staged, done.reasons) == (ROWS, {}), name
        found[name] = _checksum(sees, done.extract_id)
    assert set(found.values()) == {found["csv utf-8 none"]}, found
    assert len(found) == 34


@pytest.mark.parametrize("declared", ENCODINGS)
@pytest.mark.parametrize("written", ["utf-8", "utf-16", "windows-1258", "tcvn3", "vni", "viscii"])
def test_a_wrong_encoding_is_refused_and_the_likely_one_named(
    sender: Sender, visits: Contract, written: str, declared: str
) -> None:
    names = [column.physical_name for column in visits.columns]
    delivery = sender.send([encode(_csv(names), written)], rows=[ROWS], format={"encoding": declared})
    if written == declared:
        done = load.stage(delivery)
        assert done.counts is not None and done.counts.staged == ROWS
        return
    with pytest.raises(Refused) as refused:
        load.stage(delivery)
    [error] = [one for one in refused.value.mismatches if one.code == "P06-LOAD-044"]
    assert (error.where["stated"], error.where["likely"]) == (declared, written)


def test_numbers_of_a_spreadsheet_that_lost_their_zeros_are_named_and_not_repaired(
    sender: Sender, sees: psycopg.Connection[Any], visits: Contract
) -> None:
    import xlsxwriter

    target = io.BytesIO()
    book = xlsxwriter.Workbook(target)
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, [column.physical_name for column in visits.columns])
    for number, row in enumerate(list(_rows())[1:4], 1):
        for place, column in enumerate(visits.columns):
            value = row[column.name]
            if column.name == "citizen_id" and number != 2:
                sheet.write_number(number, place, int(value))
            elif value:
                sheet.write_string(number, place, value)
    book.close()
    done = load.stage(sender.send([target.getvalue()], rows=[3], format={"kind": "xlsx"}))
    assert done.counts is not None
    assert (done.counts.staged, done.counts.quarantined, done.reasons) == (1, 2, {"lost_leading_zero": 2})
