"""Parquet: each type as text, what refuses a file, and that damage never passes for data."""

from __future__ import annotations

import gzip
import json
import time
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.readers import codes, every_second, opened, reasons, seen, typed, visits

from p06.errors import P06Error, Refused

LOCAL = timezone(timedelta(hours=7))
MICRO, NANO = pa.timestamp("us", "UTC"), pa.timestamp("ns", "Asia/Ho_Chi_Minh")


def table(rows: int = 1, **columns: Any) -> pa.Table:
    """Usual visits, some columns replaced by arrays of their own."""
    usual = {name: pa.array([value] * rows, pa.string()) for name, value in typed().items()}
    return pa.table(usual | columns)


def written(tmp_path: Path, content: pa.Table, name: str = "part.parquet", **options: Any) -> Path:
    path = tmp_path / name
    pq.write_table(content, path, **options)
    return path


TEXTS = [
    ("full_name", pa.array(["Nguyễn Văn An"]), "Nguyễn Văn An"),
    ("full_name", pa.array(["Nguyễn Văn An"], pa.large_string()), "Nguyễn Văn An"),
    ("full_name", pa.array(["Nguyễn Văn An"], pa.string_view()), "Nguyễn Văn An"),
    ("full_name", pa.array(["Nguyễn Văn An"]).dictionary_encode(), "Nguyễn Văn An"),
    ("discharged_at", pa.array([None], pa.string()), ""),
    ("discharged_at", pa.array([""], pa.string()), ""),
    ("discharged_at", pa.array([None], pa.null()), ""),
    ("discharged_at", pa.array([None], MICRO), ""),
    ("citizen_id", pa.array(["001089000123"]).dictionary_encode(), "001089000123"),
    ("birth_date", pa.array([date(1989, 5, 6)]), "1989-05-06"),
    ("birth_date", pa.array([date(1989, 5, 6)], pa.date64()), "1989-05-06"),
    ("birth_date", pa.array([date.min]), "0001-01-01"),
    ("birth_date", pa.array([date.max]), "9999-12-31"),
    ("birth_date", pa.array([-719_163], pa.int32()).cast(pa.date32()), "-719163"),
    ("birth_date", pa.array([2_932_897], pa.int32()).cast(pa.date32()), "2932897"),
    ("birth_date", pa.array([23_936_166 + 738_000], pa.int32()).cast(pa.date32()), "24674166"),  # 16-bit years come round
    ("admitted_at", pa.array([datetime(2024, 1, 3, 8, 15, tzinfo=LOCAL)], MICRO), "2024-01-03T01:15:00Z"),
    ("admitted_at", pa.array([datetime(2024, 1, 3, 8, 15, 0, 7, tzinfo=LOCAL)], MICRO), "2024-01-03T01:15:00.000007Z"),
    ("admitted_at", pa.array([1_704_244_500_000_000_000], NANO), "2024-01-03T01:15:00Z"),
    ("admitted_at", pa.array([1_704_244_500_000_001_000], NANO), "2024-01-03T01:15:00.000001Z"),
    ("admitted_at", pa.array([1_704_244_500_000_000_001], NANO), "2024-01-03T01:15:00.000000001Z"),
    ("admitted_at", pa.array([-1], MICRO), "1969-12-31T23:59:59.999999Z"),
    ("admitted_at", pa.array([253_402_300_800_000], pa.timestamp("ms", "UTC")), "253402300800000"),
    ("total_amount", pa.array(["100.00"]), "100.00"),
    ("total_amount", pa.array([100], pa.int16()), "100"),
    ("total_amount", pa.array([18_446_744_073_709_551_615], pa.uint64()), "18446744073709551615"),
    ("total_amount", pa.array([Decimal("100.00")], pa.decimal128(15, 2)), "100.00"),
    ("total_amount", pa.array([Decimal("100.5")], pa.decimal128(15, 4)), "100.5"),
    ("total_amount", pa.array([Decimal("100")], pa.decimal128(15, 4)), "100"),
    ("total_amount", pa.array([Decimal("100.0001")], pa.decimal128(15, 4)), "100.0001"),
    ("total_amount", pa.array([Decimal("1E-10")], pa.decimal128(15, 10)), "0.0000000001"),
    ("total_amount", pa.array([Decimal("1.5")], pa.decimal256(50, 2)), "1.50"),
    ("total_amount", pa.array([80.5]), "80.5"),
    ("total_amount", pa.array([80.0]), "80"),
    ("total_amount", pa.array([-0.0]), "0"),
    ("total_amount", pa.array([0.1]), "0.1"),
    ("total_amount", pa.array([0.1], pa.float32()), "0.1"),
    ("total_amount", pa.array([1e15]), "1000000000000000"),
    ("total_amount", pa.array([1.5e-7]), "0.00000015"),
    ("total_amount", pa.array([float("nan")]), "nan"),
    ("total_amount", pa.array([float("inf")]), "inf"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "values", "text"), TEXTS, ids=[f"{c}-{v.type}-{t}" for c, v, t in TEXTS])
def test_a_value_becomes_its_exact_text(tmp_path: Path, column: str, values: Any, text: str) -> None:
    reader = opened("parquet", written(tmp_path, table(**{column: values})))
    assert reader.header() == []
    found = seen(reader)
    assert found.text(column) == text
    ((raw, fields),) = reader.again(found.places)
    assert fields[column] == text
    assert raw == found.raws[0] and json.loads(raw)[column] == (text or None)


def test_a_zero_of_many_places_leaves_the_numbers_beside_it_alone(tmp_path: Path) -> None:
    amounts = [Decimal("100"), Decimal("0"), Decimal("80.5"), None, Decimal("-2000")]
    content = table(5, total_amount=pa.array(amounts, pa.decimal128(20, 8)))  # Arrow writes 0E-8 for the zero
    found = seen(opened("parquet", written(tmp_path, content)))
    assert [found.text("total_amount", row) for row in range(5)] == ["100", "0", "80.5", "", "-2000"]


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("birth_date", pa.array([-719_163], pa.int32()).cast(pa.date32()), "type_date"),
        ("birth_date", pa.array([24_674_166], pa.int32()).cast(pa.date32()), "type_date"),
        ("admitted_at", pa.array([1_704_244_500_000_000_001], NANO), "type_timestamp"),
        ("admitted_at", pa.array([2**62], MICRO), "type_timestamp"),
        ("total_amount", pa.array([float("nan")]), "type_numeric"),
        ("total_amount", pa.array([float("-inf")]), "type_numeric"),
        ("total_amount", pa.array([80.555]), "type_numeric"),
        ("total_amount", pa.array([1e300]), "type_numeric"),
        ("total_amount", pa.array([1e15]), "out_of_range"),
        ("total_amount", pa.array([None], pa.float64()), "required_missing"),
    ],
)
def test_what_no_column_can_hold_is_left_to_the_rules(tmp_path: Path, column: str, values: Any, told: str) -> None:
    found = seen(opened("parquet", written(tmp_path, table(**{column: values}))))
    assert (column, told) in reasons(found, 1)


@pytest.mark.parametrize(
    ("column", "values", "code"),
    [
        ("citizen_id", pa.array([1_089_000_123]), "P06-LOAD-045 citizen_id"),
        ("facility_code", pa.array([1001]), "P06-LOAD-045 facility_code"),
        ("sex", pa.array([True]), "P06-LOAD-045 sex"),
        ("full_name", pa.array([b"x"]), "P06-LOAD-045 full_name"),
        ("full_name", pa.array([7]).dictionary_encode(), "P06-LOAD-045 full_name"),
        ("birth_date", pa.array([19_890_506]), "P06-LOAD-045 birth_date"),
        ("birth_date", pa.array([datetime(1989, 5, 6)]), "P06-LOAD-045 birth_date"),
        ("admitted_at", pa.array([datetime(2024, 1, 3, 8, 15)]), "P06-LOAD-045 admitted_at"),
        ("admitted_at", pa.array([date(2024, 1, 3)]), "P06-LOAD-045 admitted_at"),
        ("total_amount", pa.array([date(2024, 1, 3)]), "P06-LOAD-045 total_amount"),
        ("full_name", pa.array([["x"]]), "P06-LOAD-046 full_name"),
        ("full_name", pa.array([{"a": "x"}]), "P06-LOAD-046 full_name"),
        ("full_name", pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "P06-LOAD-046 full_name"),
    ],
)
def test_a_column_of_another_type_refuses_the_file_by_name(tmp_path: Path, column: str, values: Any, code: str) -> None:
    reader = opened("parquet", written(tmp_path, table(**{column: values})))
    assert codes(reader.header()) == [code]
    with pytest.raises(Refused) as refused:
        seen(reader)
    assert codes(list(refused.value.mismatches)) == [code]


def test_names_are_compared_as_in_a_header(tmp_path: Path) -> None:
    usual = table()
    added = usual.append_column("extra", pa.array(["x"]))
    missing = usual.drop_columns(["sex"])
    renamed = usual.rename_columns(["hoten" if name == "full_name" else name for name in usual.column_names])
    twice = usual.append_column("sex", pa.array(["M"]))
    other = pa.table({"a": ["1"], "b": ["2"]})
    found = [
        codes(opened("parquet", written(tmp_path, one)).header()) for one in (added, missing, renamed, twice, other)
    ]
    assert found == [
        ["P06-LOAD-026 extra"],
        ["P06-LOAD-025 sex"],
        ["P06-LOAD-027 full_name"],
        ["P06-LOAD-028 sex"],
        ["P06-LOAD-029"],
    ]


def test_columns_may_stand_in_any_order_and_added_ones_are_ignored_where_allowed(tmp_path: Path) -> None:
    turned = table().select(list(reversed(table().column_names)))
    path = written(tmp_path, turned.append_column("extra", pa.array([[1, 2]])))
    reader = opened("parquet", path, visits(allow_added=True))
    assert reader.header() == []
    assert [fields for _, fields in seen(reader).rows] == [typed()]


def test_a_column_the_file_may_lack_is_absent(tmp_path: Path) -> None:
    reader = opened("parquet", written(tmp_path, table().drop_columns(["old_id"])), visits(allow_missing=True))
    assert reader.header() == []
    found = seen(reader)
    assert "old_id" not in found.rows[0][1]
    assert json.loads(found.raws[0])["old_id"] is None


def test_rows_with_bytes_that_are_no_text_are_set_aside(tmp_path: Path) -> None:
    names = [b"An", b"A\xffn", b"A\0n", b"", b"\0\xff"]
    values = pa.array(names, pa.binary()).view(pa.string())
    found = seen(opened("parquet", written(tmp_path, table(5, full_name=values))))
    assert found.unsound == {2: ("encoding",), 3: ("nul_byte",), 5: ("nul_byte", "encoding")}
    assert [at for at, _ in found.rows] == [1, 4]


def test_the_raw_text_of_a_row_keeps_its_bytes(tmp_path: Path) -> None:
    values = pa.array([b"A\xffn"], pa.binary()).view(pa.string())
    (block,) = opened("parquet", written(tmp_path, table(full_name=values))).blocks()
    assert b'"full_name":"A\xffn"' in block.unsound[0].raw


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("codec", ["snappy", "zstd", "none", "gzip", "lz4", "brotli"])
def test_rows_are_read_again_over_batches_and_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, compression: str
) -> None:
    monkeypatch.setattr("p06.parquet_reader._ROWS", 8_000)
    count = 20_000
    content = table(count, visit_id=pa.array([f"V{number}" for number in range(count)]))
    path = written(tmp_path, content, row_group_size=9_000, compression=codec)
    if compression == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    reader = opened("parquet", path, compression=compression)
    assert reader.header() == []
    found = seen(reader)
    assert reader.seen == count and len(found.places) > 3
    assert [fields["visit_id"] for _, fields in found.rows] == [f"V{number}" for number in range(count)]
    again = [fields["visit_id"] for _, fields in reader.again(every_second(found))]
    assert again == [f"V{at - 1}" for entries in every_second(found) for at in entries["record"].tolist()]


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_texts_written_as_differences_are_read(tmp_path: Path, encoding: str) -> None:
    count = 3_000
    numbers = [f"V{number}" for number in range(count)]
    content = table(count, visit_id=pa.array(numbers), full_name=pa.array([*numbers[:-1], None]))
    path = written(
        tmp_path, content, row_group_size=1_000, use_dictionary=["sex"],
        column_encoding={"visit_id": encoding, "full_name": encoding},
    )  # fmt: skip
    reader = opened("parquet", path)
    found = seen(reader)
    assert [fields["visit_id"] for _, fields in found.rows] == numbers
    assert [fields["full_name"] for _, fields in found.rows] == [*numbers[:-1], ""]
    assert len(found.places) == 3
    assert [fields["visit_id"] for _, fields in reader.again(every_second(found))] == [
        f"V{at - 1}" for entries in every_second(found) for at in entries["record"].tolist()
    ]


def test_one_long_text_repeated_by_differences_stays_within_memory(tmp_path: Path) -> None:
    count = 250
    content = table(
        count, full_name=pa.array(["x" * 900_000 + str(number) for number in range(count)], pa.large_string())
    )
    path = written(
        tmp_path, content, use_dictionary=False, column_encoding={"full_name": "DELTA_BYTE_ARRAY"}, compression="zstd"
    )
    assert path.stat().st_size < 3_000_000
    del content
    before = pa.total_allocated_bytes()
    biggest = rows = 0
    for block in opened("parquet", path).blocks():
        rows += len(block)
        biggest = max(biggest, pa.total_allocated_bytes() - before, block.columns["full_name"].nbytes)
    assert rows == count and 0 < biggest < 130 << 20


def test_one_long_text_repeated_by_a_dictionary_stays_within_memory(tmp_path: Path) -> None:
    count = 40_000
    content = table(count, full_name=pa.array(["x" * 900_000]).dictionary_encode().take(pa.array([0] * count)))
    path = written(
        tmp_path, content.cast(content.schema.set(2, pa.field("full_name", content.field("full_name").type)))
    )
    assert path.stat().st_size < 3_000_000
    before = pa.total_allocated_bytes()
    biggest = 0
    for number, block in enumerate(opened("parquet", path).blocks()):
        biggest = max(biggest, pa.total_allocated_bytes() - before, block.columns["full_name"].nbytes)
        if number == 8:
            break
    assert 0 < biggest < 300 << 20


def test_a_record_beyond_the_limit_refuses_the_file(tmp_path: Path) -> None:
    values = pa.array(["x", "x" * ((1 << 20) + 1)])
    with pytest.raises(Refused) as refused:
        seen(opened("parquet", written(tmp_path, table(2, full_name=values))))
    assert (refused.value.code, refused.value.where["line"]) == ("P06-LOAD-031", 2)


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PAR1PAR1", b"a,b\n1,2\n", b"PK\x03\x04", b"PARE" + b"\0" * 40 + b"PARE"]
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "part.parquet"
    path.write_bytes(content)
    reader = opened("parquet", path)
    assert codes(reader.header()) == ["P06-LOAD-047"]
    with pytest.raises(Refused) as refused:
        seen(reader)
    assert refused.value.code == "P06-LOAD-047"


def test_a_file_that_is_not_the_one_stated_is_told_so_before_it_is_decoded(tmp_path: Path) -> None:
    path = written(tmp_path, table(3))
    reader = opened("parquet", path)
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    assert codes(reader.header()) == ["P06-LOAD-015"]
    with pytest.raises(Refused) as refused:
        seen(reader)
    assert codes(list(refused.value.mismatches)) == ["P06-LOAD-015"]


def test_a_file_replaced_in_between_is_not_read_again(tmp_path: Path) -> None:
    path = written(tmp_path, table(3))
    reader = opened("parquet", path)
    found = seen(reader)
    written(tmp_path, table(3), "other").replace(path)
    with pytest.raises(P06Error) as told:
        list(reader.again(found.places))
    assert told.value.code == "P06-LOAD-015"


MOMENT = datetime(2024, 1, 3, 1, 15, tzinfo=UTC)
DAMAGED = table(
    3,
    birth_date=pa.array([date(1989, 5, 6), None, date(2000, 2, 29)]),
    admitted_at=pa.array([MOMENT, MOMENT, None], MICRO),
    total_amount=pa.array([1.5, 2.5, None]),
    insurance_paid=pa.array([Decimal("1.50"), None, Decimal("2.00")], pa.decimal128(15, 2)),
    visit_id=pa.array(["V1", "V2", "V3"]),
)


@settings(max_examples=300, deadline=10_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    options=st.sampled_from([{"compression": "zstd"}, {"compression": "none", "use_dictionary": False}, {"data_page_version": "2.0"}]),
    places=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), max_size=4),
    cut=st.one_of(st.just(1.0), st.just(1.0), st.just(1.0), st.floats(0, 1)),
)  # fmt: skip
def test_damage_is_refused_with_a_code_or_changes_nothing(
    tmp_path: Path, options: dict[str, Any], places: list[tuple[int, int]], cut: float
) -> None:
    path = written(tmp_path, DAMAGED, write_page_checksum=True, **options)
    sound = seen(opened("parquet", path)).rows
    body = bytearray(path.read_bytes())
    footer = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    for place, byte in places:
        body[place * len(body) // 10_000] = byte
    only_pages = body[footer:] == path.read_bytes()[footer:] and cut == 1.0
    path.write_bytes(body[: int(cut * len(body))])
    begun = time.monotonic()
    reader = opened("parquet", path)
    try:
        assert all(isinstance(error, P06Error) for error in reader.header())
        rows = seen(reader).rows
    except Refused as refused:
        assert refused.code in ("P06-LOAD-047", "P06-LOAD-001", "P06-LOAD-020", "P06-LOAD-031")
    else:
        if only_pages:  # beneath a whole footer the checksums of pages leave nothing else
            assert rows == sound
    assert time.monotonic() - begun < 10
