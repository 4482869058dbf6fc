"""JSON lines: what each line becomes, and that the fast way never says less than the exact grammar."""

from __future__ import annotations

import gzip
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.readers import codes, every_second, opened, reasons, seen, typed, visits

from p06 import jsonl_reader
from p06.errors import P06Error, Refused
from p06.jsonl_reader import exact

GOOD = json.dumps(typed(), ensure_ascii=False).encode()


def written(tmp_path: Path, content: bytes, name: str = "part.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def with_value(column: str, literal: str) -> bytes:
    """A good line whose value of one column is this JSON text."""
    return (
        json.dumps(typed(**{column: 0}), ensure_ascii=False)
        .replace(f'"{column}": 0', f'"{column}": {literal}')
        .encode()
    )


TEXTS = [
    ("full_name", '"Nguyễn Văn An"', "Nguyễn Văn An"),
    ("full_name", '"Nguy\\u1ec5n \\"An\\":"', 'Nguyễn "An":'),
    ("full_name", '" : "', " : "),
    ("full_name", '"\\\\u0000"', "\\u0000"),
    ("full_name", '"\\ud83d\\ude00"', "😀"),
    ("full_name", '""', ""),
    ("discharged_at", "null", ""),
    ("total_amount", "100", "100"),
    ("total_amount", "80.5", "80.5"),
    ("total_amount", "80.50", "80.5"),
    ("total_amount", "80.0", "80"),
    ("total_amount", "-0", "0"),
    ("total_amount", "-0.0", "0"),
    ("total_amount", "0e99", "0"),
    ("total_amount", "1e2", "100"),
    ("total_amount", "125E-2", "1.25"),
    ("total_amount", "1e-7", "0.0000001"),
    ("total_amount", "1e-400", "1e-400"),
    ("total_amount", "1e400", "1e400"),
    ("total_amount", "1e41", "1e41"),
    ("total_amount", "10e40", "1" + "0" * 41),
    ("total_amount", "0.1", "0.1"),
    ("total_amount", "80.10000000000000001", "80.10000000000000001"),
    ("total_amount", "1234567890123456789012", "1234567890123456789012"),
    ("total_amount", "12345678901234567.25", "12345678901234567.25"),
    ("total_amount", "9007199254740993", "9007199254740993"),
    ("total_amount", "18446744073709551616", "18446744073709551616"),
    ("total_amount", '"80.50"', "80.50"),
    ("total_amount", '" 80"', " 80"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "literal", "text"), TEXTS)
def test_a_value_becomes_its_exact_text(tmp_path: Path, column: str, literal: str, text: str) -> None:
    found = seen(opened("jsonl", written(tmp_path, with_value(column, literal) + b"\n")))
    assert found.unsound == {}
    assert found.text(column) == text


WRONG = [
    ("citizen_id", "1089000123", ("citizen_id", "lost_leading_zero")),
    ("citizen_id", "100089000123", ("citizen_id", "lost_leading_zero")),
    ("citizen_id", "1.089000123e9", ("citizen_id", "lost_leading_zero")),
    ("citizen_id", "true", ("citizen_id", "wrong_json_type")),
    ("old_id", "123456789", ("old_id", "wrong_json_type")),
    ("facility_code", "1001", ("facility_code", "wrong_json_type")),
    ("full_name", "7", ("full_name", "wrong_json_type")),
    ("full_name", "7.5", ("full_name", "wrong_json_type")),
    ("sex", "false", ("sex", "wrong_json_type")),
    ("birth_date", "19890506", ("birth_date", "wrong_json_type")),
    ("total_amount", "true", ("total_amount", "wrong_json_type")),
    ("total_amount", "80.555", ("total_amount", "type_numeric")),
    ("total_amount", "1e-400", ("total_amount", "type_numeric")),
    ("total_amount", '"1e2"', ("total_amount", "type_numeric")),
    ("total_amount", "12345678901234567", ("total_amount", "out_of_range")),
    ("total_amount", "null", ("total_amount", "required_missing")),
]


@pytest.mark.parametrize(("column", "literal", "told"), WRONG)
def test_a_value_of_the_wrong_type_is_told_with_its_column(
    tmp_path: Path, column: str, literal: str, told: tuple[str, str]
) -> None:
    found = seen(opened("jsonl", written(tmp_path, with_value(column, literal) + b"\n")))
    assert found.unsound == {}
    assert told in reasons(found, 1)


UNSOUND: list[tuple[bytes, tuple[str, ...]]] = [
    (b"", ("json_syntax",)),
    (b"  ", ("json_syntax",)),
    (b"[1]", ("json_syntax",)),
    (b'"x"', ("json_syntax",)),
    (b"null", ("json_syntax",)),
    (GOOD[:-1], ("json_syntax",)),
    (GOOD + GOOD, ("json_syntax",)),
    (GOOD + b",", ("json_syntax",)),
    (b"\xef\xbb\xbf" + GOOD, ("json_syntax",)),
    (with_value("total_amount", "NaN"), ("json_syntax",)),
    (with_value("total_amount", "-Infinity"), ("json_syntax",)),
    (with_value("total_amount", "01"), ("json_syntax",)),
    (with_value("total_amount", "1."), ("json_syntax",)),
    (with_value("total_amount", "1\\u0030"), ("json_syntax",)),
    (with_value("total_amount", "1\\u002e5"), ("json_syntax",)),
    (with_value("full_name", "'x'"), ("json_syntax",)),
    (with_value("full_name", '"a\tb"'), ("json_syntax",)),
    (with_value("full_name", '"x", "full_name": "y"'), ("duplicate_key",)),
    (with_value("full_name", '"x", "full_name" : "y"'), ("duplicate_key",)),
    (with_value("full_name", '"x", "full\\u005fname":"y"'), ("duplicate_key",)),
    (b'{"sex" :"M","sex":"F"}', ("duplicate_key",)),
    (b'{"sex"\t: "M", "sex"\r:"F"}', ("duplicate_key",)),
    (with_value("full_name", '["x"]'), ("nested_value",)),
    (with_value("full_name", "{}"), ("nested_value",)),
    (with_value("full_name", '{"a": 1, "a": 2}'), ("nested_value",)),
    (with_value("full_name", "[" * 100_000), ("nested_value",)),
    (with_value("full_name", '["x"], "full_name": 1'), ("duplicate_key", "nested_value")),
    (with_value("full_name", '"\\u0000"'), ("nul_byte",)),
    (with_value("full_name", '"x\\u0000y"'), ("nul_byte",)),
    (with_value("full_name", '"\\ud800"'), ("encoding",)),
    (with_value("full_name", '"\\udc00 \\u0000"'), ("nul_byte", "encoding")),
    (GOOD.replace(b"An", b"A\0n"), ("nul_byte",)),
    (GOOD.replace(b"An", b"A\xff"), ("encoding",)),
    (GOOD.replace(b"An", b"\xed\xa0\x80"), ("encoding",)),
    (GOOD.replace(b"An", b"\0\xff"), ("nul_byte", "encoding")),
]


@pytest.mark.parametrize(("line", "why"), UNSOUND)
def test_a_line_that_cannot_be_trusted_is_set_aside_alone(tmp_path: Path, line: bytes, why: tuple[str, ...]) -> None:
    found = seen(opened("jsonl", written(tmp_path, b"\n".join([GOOD, line, GOOD]) + b"\n")))
    assert found.unsound == {2: why}
    assert [at for at, _ in found.rows] == [1, 3]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "last line without end"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
def test_line_ends_and_a_byte_order_mark_are_no_data(tmp_path: Path, ending: bytes, last: bool, mark: bytes) -> None:
    lines = [with_value("visit_id", f'"V{number}"') for number in range(4)]
    path = written(tmp_path, mark + ending.join(lines) + (ending if last else b""))
    reader = opened("jsonl", path)
    found = seen(reader)
    assert found.raws == lines
    assert [fields["visit_id"] for _, fields in found.rows] == ["V0", "V1", "V2", "V3"]
    assert [raw for raw, _ in reader.again(found.places)] == lines


def test_keys_may_be_left_out_and_stand_in_any_order(tmp_path: Path) -> None:
    short = {name: value for name, value in typed().items() if value}
    other = dict(reversed(typed().items()))
    lines = [json.dumps(row).encode() for row in (short, other)]
    reader = opened("jsonl", written(tmp_path, b"\n".join(lines)))
    assert reader.header() == []
    found = seen(reader)
    assert [fields for _, fields in found.rows] == [typed(), typed()]


def test_a_key_the_contract_does_not_know_refuses_the_file(tmp_path: Path) -> None:
    lines = [GOOD] * 3 + [json.dumps(typed(extra="x")).encode()]
    late = opened("jsonl", written(tmp_path, b"\n".join(lines)))
    assert late.header() == []
    with pytest.raises(Refused) as refused:
        seen(late)
    where = {"file": 1, "line": 4, "column": "AAAAA", "position": 16, "keys": 1}
    assert (refused.value.code, refused.value.where) == ("P06-LOAD-026", where)
    early = opened("jsonl", written(tmp_path, lines[3]))
    assert codes(early.header()) == ["P06-LOAD-026 AAAAA"]
    nested = opened("jsonl", written(tmp_path, json.dumps(typed(extra={"a": 1})).encode()))
    assert codes(nested.header()) == ["P06-LOAD-026 AAAAA"]


def test_a_renamed_key_is_told_from_both_sides(tmp_path: Path) -> None:
    row = typed()
    row["hoten"] = row.pop("full_name")
    reader = opened("jsonl", written(tmp_path, json.dumps(row).encode()))
    assert codes(reader.header()) == ["P06-LOAD-026 AAAAA", "P06-LOAD-025 full_name"]


@pytest.mark.parametrize(("name", "shape"), [("001089000123", "999999999999"), ("nguyen_van_an", "AAAAAA_AAA_AA")])
def test_a_name_that_could_be_data_shows_its_shape_alone(tmp_path: Path, name: str, shape: str) -> None:
    row = {name: "x", **typed(), "more": 1}
    reader = opened("jsonl", written(tmp_path, b"{\n" + json.dumps(row).encode()))
    [told] = reader.header()
    where = {"file": 1, "line": 2, "column": shape, "position": 1, "keys": 2}
    assert (told.code, told.where) == ("P06-LOAD-026", where)


def test_a_name_of_the_contract_is_shown_however_it_is_written(tmp_path: Path) -> None:
    row = typed()
    row[" Full_Name"] = row.pop("full_name")
    reader = opened("jsonl", written(tmp_path, json.dumps(row).encode()))
    assert codes(reader.header()) == ["P06-LOAD-026 Full_Name", "P06-LOAD-025 full_name"]


def test_added_keys_are_ignored_where_the_contract_allows_them(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(typed(extra="x", more=1.5)).encode() + b"\n" + GOOD)
    reader = opened("jsonl", path, visits(allow_added=True))
    assert reader.header() == []
    assert [fields for _, fields in seen(reader).rows] == [typed(), typed()]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"citizen_id,old_id\n1,2\n", "P06-LOAD-047"),
        (b"PK\x03\x04\x00\x00", "P06-LOAD-047"),
        (b'{"a": 1, "b": 2}\n', "P06-LOAD-029"),
    ],
)
def test_a_file_of_another_kind_is_refused_at_its_start(tmp_path: Path, content: bytes, code: str) -> None:
    assert codes(opened("jsonl", written(tmp_path, content)).header()) == [code]


@pytest.mark.parametrize("size", [(1 << 20) + 1, 5 << 20])
def test_a_line_beyond_the_limit_refuses_the_file(tmp_path: Path, size: int) -> None:
    path = written(tmp_path, GOOD + b"\n" + with_value("full_name", '"' + "x" * size + '"') + b"\n" + GOOD)
    with pytest.raises(Refused) as refused:
        seen(opened("jsonl", path))
    assert refused.value.code == "P06-LOAD-031"
    assert refused.value.where["line"] == 2


def test_rows_are_read_again_from_their_places_over_many_blocks(tmp_path: Path) -> None:
    lines = [with_value("visit_id", f'"V{number}"') for number in range(12_000)]
    lines[5] = lines[7000] = b"broken"
    for name, content in (("p.jsonl", b"\n".join(lines)), ("p.jsonl.gz", gzip.compress(b"\n".join(lines)))):
        path = written(tmp_path, content, name)
        reader = opened("jsonl", path, compression="gzip" if name.endswith("gz") else "none")
        found = seen(reader)
        assert len(found.places) > 2
        assert len(found.rows) == 11_998 and reader.seen == 12_000
        again = list(reader.again(every_second(found)))
        places = [at for entries in every_second(found) for at in entries["line"].tolist()]
        assert [raw for raw, _ in again] == [lines[at - 1] for at in places]
        assert [fields["visit_id"] for _, fields in again] == [f"V{at - 1}" for at in places]


def test_a_file_replaced_in_between_is_not_read_again(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + b"\n" + GOOD)
    reader = opened("jsonl", path)
    found = seen(reader)
    written(tmp_path, GOOD + b"\n" + GOOD, "other").replace(path)
    with pytest.raises(P06Error) as told:
        list(reader.again(found.places))
    assert told.value.code == "P06-LOAD-015"


def test_a_file_cut_short_in_its_compression_gives_no_half_line(tmp_path: Path) -> None:
    content = gzip.compress(b"\n".join([GOOD] * 2000), 0)
    reader = opened("jsonl", written(tmp_path, content[:-1000], "p.jsonl.gz"), compression="gzip")
    assert seen(reader).unsound == {}


# Lines near JSON: what a naive reader of pairs makes of them is what must come out.

_KEY = st.sampled_from(["citizen_id", "full_name", "sex", "total_amount", "insurance_paid"])
_SPACE = st.sampled_from(["", "", "", " ", "\t", "\r", "  "])
_STRING = st.one_of(
    st.sampled_from(['""', '"a"', '"\\":"', '" :"', '"\\u0000"', '"\\\\u0000"', '"\\ud800"', '"1e-5"', '"12345678901234567890"']),
    st.text(max_size=6).map(json.dumps),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False)),
)  # fmt: skip
_DIGITS = st.text("0123456789", min_size=1, max_size=22)
_NUMBER = st.builds(
    lambda sign, whole, point, exponent: sign + (whole.lstrip("0") or "0") + point + exponent,
    st.sampled_from(["", "-"]),
    _DIGITS,
    st.one_of(st.just(""), _DIGITS.map(lambda digits: "." + digits)),
    st.one_of(st.just(""), st.just(""), st.tuples(st.sampled_from("eE"), st.integers(-400, 400)).map(lambda p: f"{p[0]}{p[1]}")),
)  # fmt: skip
_VALUE = st.one_of(
    _STRING, _STRING, _NUMBER, _NUMBER, st.sampled_from(["null", "true", "false", "[]", '{"a":1}', "NaN"])
)
_PAIR = st.tuples(_SPACE, _KEY.map(json.dumps), _SPACE, st.just(":"), _SPACE, _VALUE, _SPACE).map("".join)
_OBJECT = st.lists(_PAIR, max_size=5).map(lambda pairs: "{" + ",".join(pairs) + "}")
_DAMAGE = st.one_of(
    st.none(), st.none(), st.none(), st.tuples(st.integers(0, 80), st.integers(0, 3), st.binary(max_size=3))
)


def _damaged(line: str, damage: tuple[int, int, bytes] | None) -> bytes:
    content = line.encode("utf-8", "surrogatepass")
    if damage is not None:
        at, cut, put = damage
        content = content[:at] + put.replace(b"\n", b"") + content[at + cut :]
    return content


_LINE = st.builds(_damaged, _OBJECT, _DAMAGE)


def _naive(line: bytes) -> dict[str, str] | None:
    """What a line says, by the standard library alone and without haste; None when it is not to be trusted."""
    sound = True

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal sound
        sound &= len(dict(found)) == len(found)
        return dict(found)

    try:
        row = json.loads(line.decode(), object_pairs_hook=pairs, parse_float=_Number, parse_int=_Number)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not sound:
        return None
    for part in (*row, *row.values()):
        if isinstance(part, (list, dict, float)):  # the standard library makes NaN and Infinity floats
            return None
        if isinstance(part, str) and ("\0" in part or part.encode("utf-8", "ignore").decode() != part):
            return None
    return {name: _naive_text(value) for name, value in row.items()}


class _Number(str):
    __slots__ = ()


def _naive_text(value: Any) -> str:
    if isinstance(value, _Number):
        exponent = re.split("[eE]", value)[1:] or ["0"]
        if not Decimal("0" + re.split("[eE]", value)[0].lstrip("-")):
            return "0"
        if abs(int(exponent[0])) > 40:
            return value  # as it stands, for the rules to refuse
        text = format(Decimal(value), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if value is None:
        return ""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


@settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(_LINE, min_size=1, max_size=4), ending=st.sampled_from([b"\n", b"\r\n"]))
@example(lines=[b'{"sex" :"M","sex":"F"}'], ending=b"\n")
@example(lines=[b'{"sex":"M","full_name":"\\":","sex":"F"}', b'{"sex":"M"}'], ending=b"\n")
def test_sound_values_are_those_of_a_naive_parse_and_nothing_is_lost(
    tmp_path: Path, lines: list[bytes], ending: bytes
) -> None:
    content = ending.join(lines)
    physical = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    physical = [line.removesuffix(b"\r") for line in (physical if physical[-1] else physical[:-1])]
    known = {column.physical_name for column in visits().columns}
    reader = opened("jsonl", written(tmp_path, content))
    reader.header()
    try:
        found = seen(reader)
    except Refused as refused:
        assert refused.code == "P06-LOAD-026"
        assert any(set(exact(line)[0]) - known for line in physical)
        return
    assert len(found.rows) + len(found.unsound) == reader.seen == len(physical)
    assert {*found.unsound} | {at for at, _ in found.rows} == set(range(1, len(physical) + 1))
    for at, fields in found.rows:
        naive = _naive(physical[at - 1])
        assert naive is not None
        for name in known:
            assert fields[name] == naive.get(name, "")
    for at in found.unsound:
        assert _naive(physical[at - 1]) is None
    assert [fields for _, fields in reader.again(found.places)] == [fields for _, fields in found.rows]


@settings(max_examples=400, deadline=2000)
@given(st.lists(_OBJECT, min_size=1, max_size=3))
def test_what_the_fast_way_believes_is_what_the_exact_grammar_says(objects: list[str]) -> None:
    lines = [line.encode("utf-8", "surrogatepass") for line in objects]
    reader = jsonl_reader.JsonlReader(visits(), None, None)  # type: ignore[arg-type]
    values = reader._calm(b"\n".join(lines), lines)
    for at, line in enumerate(lines):
        row, why = exact(line)
        told = {name: jsonl_reader._text(value) for name, value in row.items()}
        if values is not None:
            assert why == ()
            assert {name: jsonl_reader._text(column[at]) for name, column in values.items() if name in row} == told
            assert all(column[at] is None for name, column in values.items() if name not in row)
        try:
            quick = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if not jsonl_reader._in_doubt(line, quick):
            assert why == ()
            assert {name: jsonl_reader._text(value) for name, value in quick.items()} == told
