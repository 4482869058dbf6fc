"""What array operations take from JSON lines is what a strict parser reads, or nothing is taken."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from p06.jsonl_columns import take
from p06.jsonl_reader import _places, exact

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
NAMES = ("a", "name", "eight_ch", "a_longer_name_of_24_chars", "b", "số")
_TEXT = st.one_of(
    st.sampled_from(["", "x", "Lê Thị B", "null", "1", ",", ":", "}", "{", '{"a":1}'.replace('"', "'"), "a b", "\x7f"]),
    st.text(max_size=6),
)
_LITERAL = st.sampled_from(
    ["null", "0", "-0", "12", "12.50", "-7.0", "1e5", "true", "nul", "01", "1.", "NaN", "1 ", "[]", "{}"]
)
_VALUE = st.one_of(_TEXT, _TEXT, _LITERAL.map(lambda text: ("literal", text)))
_STYLES = st.sampled_from([(",", ":"), (", ", ": "), (",", ": "), (", ", ":"), (",", " :"), (",", ":\t")])


@st.composite
def _blocks(draw: st.DrawFn) -> bytes:
    comma, colon = draw(_STYLES)
    ascii_only = draw(st.booleans())
    shape = draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]
    lines = []
    for _ in range(draw(st.integers(1, 5))):
        names = shape if draw(st.integers(0, 3)) else draw(st.lists(st.sampled_from([*NAMES, "other"]), max_size=4))
        pairs = []
        for name in names:
            value = draw(_VALUE)
            written = value[1] if isinstance(value, tuple) else json.dumps(value, ensure_ascii=ascii_only)
            pairs.append(json.dumps(name, ensure_ascii=False) + colon + written)
        lines.append("{" + comma.join(pairs) + "}")
    end = draw(st.sampled_from(["\n", "\r\n"]))
    data = (end.join(lines) + draw(st.sampled_from([end, ""]))).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        put = draw(
            st.sampled_from(
                [b"", b'"', b"\\", b"{", b"}", b",", b":", b" ", b"\n", b"\r", b"\0", b'{"a":1}', b'"a":"x",']
            )
        )
        data = data[:at] + put + data[at + draw(st.sampled_from([0, 1, 1])) :]
    return data


def _expected(data: bytes) -> list[dict[str, Any]] | None:
    """Each line by the strict parser; None when one of them is not sound."""
    lines = data.split(b"\n")
    rows = []
    for line in lines if lines[-1] else lines[:-1]:
        row, flaws = exact(line.removesuffix(b"\r"))
        if flaws or set(row) - set(NAMES):
            return None
        rows.append(row)
    return rows


@settings(max_examples=1500, deadline=2000, suppress_health_check=list(HealthCheck))
@given(data=_blocks())
@example(data=b'{"a":"1","a":"2"}\n')
@example(data=b'{"a":"1","b":"2"}\n{"a":"1","a":"2"}\n')
@example(data=b'{"a":1,\n"b":2}\n')
@example(data=b'{"a":1}{"a":2}\n\n')
@example(data=b'{"a":"1\n","b":"2"}\n')
@example(data=b'{"a":1,2,"b":3}')
@example(data=b'{"a":"x":"y"}')
@example(data=b'{"a":"x" "y"}')
@example(data=b'{"a":null}')
@example(data=b'{}\n{"a":1}')
def test_what_is_taken_is_what_a_strict_parser_reads(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        return  # the reader asks that first
    if not data:
        return
    starts, ends = _places(data)
    found = take(data, starts, ends, NAMES)
    if found is None:
        return
    if any(not _NUMBER.fullmatch(text) for one in found.values() for text in _literals(one)):
        return  # the reader asks that next, and leaves the block to the parser
    rows = _expected(data)
    if rows is None:  # an escape that is none, or half of a letter: the reader finds it when it reads the escapes
        assert b"\\" in data
        return
    assert len(rows) == len(starts)
    for name in NAMES:
        values = [row.get(name) for row in rows]
        if name not in found:
            assert not any(name in row for row in rows)
            continue
        one = found[name]
        given_texts = one.texts.to_pylist()
        numbers = one.numbers.tolist() if one.numbers is not None else [False] * len(rows)
        for value, text, number in zip(values, given_texts, numbers, strict=True):
            if one.escaped and not number:
                text = json.loads(f'"{text}"')
            assert text == ("" if value is None else value)
            assert number == (value is not None and type(value) is not str)


def _literals(one: Any) -> list[str]:
    return (
        [text for text, is_one in zip(one.texts.to_pylist(), one.numbers, strict=True) if is_one]
        if one.numbers is not None
        else []
    )


def test_most_lines_as_they_are_written_are_taken() -> None:
    rows = [{"a": "Lê", "name": None, "b": 12.5, "số": "x\n"}, {"name": "y", "a": "1"}] * 50
    for separators in ((",", ":"), (", ", ": ")):
        for ascii_only in (False, True):
            text = "\n".join(json.dumps(row, separators=separators, ensure_ascii=ascii_only) for row in rows)
            data = text.replace("s\\u1ed1", "số").encode()
            starts, ends = _places(data)
            found = take(data, starts, ends, NAMES)
            assert found is not None and set(found) == {"a", "name", "b", "số"}
            assert found["b"].texts.to_pylist()[:2] == ["12.5", ""]
            assert found["b"].numbers is not None and found["b"].numbers.tolist()[:2] == [True, False]
            assert found["a"].escaped == ascii_only and found["số"].escaped


def test_a_block_of_nothing_is_left_to_the_parser() -> None:
    for data in (b"\n", b"{}\n", b"[]\n", b"{\n", b"}", b'"'):
        starts, ends = _places(data)
        assert take(data, starts, ends, NAMES) is None
    assert np.array_equal(_places(b"a\r\n\nb")[1], [1, 3, 5])
