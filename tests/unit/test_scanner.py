"""The scanner against a slow reference that follows the wording of the design, and each rule by itself."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.reference import Judged, fields, records

from p06.errors import Refused
from p06.scanner import RECORD_LIMIT, Dialect, Scanner, split

DIALECT = Dialect()


def scan(text: bytes, width: int = 3, block: int | None = None, dialect: Dialect = DIALECT) -> list[Judged]:
    """(line, record, raw, reasons) of each record; no reasons: sound."""
    scanner = Scanner(dialect, width)
    block = block or max(len(text), 1)
    pieces = [text[start : start + block] for start in range(0, len(text), block)] or [b""]
    found: list[Judged] = []
    for number, piece in enumerate(pieces):
        chunk = scanner.feed(piece, number == len(pieces) - 1)
        for raw, line, record in zip(
            chunk.raws(range(len(chunk))), chunk.lines.tolist(), chunk.records.tolist(), strict=True
        ):
            found.append((line, record, raw, ()))
        found += [(one.line, one.record, one.raw, one.reasons) for one in chunk.unsound]
        assert (np.diff(chunk.lines) > 0).all()
    assert scanner.seen == len(found)
    return sorted(found)


PIECES = [
    b"a",
    b"b,",
    b",",
    b'"',
    b'""',
    b"\n",
    b"\r\n",
    b"\r",
    b'"x,y"',
    b'"p\nq"',
    b"1,2,3\n",
    b"\0",
    b"\xff",
    b"\xc3",
    "ế".encode(),
]


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=24).map(b"".join), st.integers(1, 4), st.integers(1, 9))
@example(b'1,2,"3\n4,5,6\n7,8,9"\n', 3, 2)
@example(b'a,b,"c', 3, 9)
@example(b'"a\nb",2,3\n', 3, 4)
@example(b'1,"a\nb",3\r', 3, 1)
def test_scanner_agrees_with_the_design_by_its_letter(text: bytes, width: int, block: int) -> None:
    expected = records(text, width)
    assert scan(text, width) == expected
    assert scan(text, width, block) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"1,2,3\n", b'"1","2","3"\n', b'1,"a\nb",3\n', b'1,2"2,3\n', b'1,"2,3\n', b"1,2\n"]),
        min_size=30,
        max_size=90,
    ).map(b"".join)
)
def test_long_blocks_are_judged_like_short_ones(text: bytes) -> None:
    assert scan(text * 40) == records(text * 40, 3)


@given(st.lists(st.text(st.sampled_from('a,"\n\rế '), max_size=5), min_size=2, max_size=4))
def test_split_gives_back_what_was_written(fields: list[str]) -> None:
    record = ",".join('"' + field.replace('"', '""') + '"' for field in fields)
    assert split(record.encode(), DIALECT) == [field.encode() for field in fields]


def test_an_unclosed_quote_swallows_no_row_after_it() -> None:
    assert scan(b'1,2,3\n4,"5,6\n7,8,9\n1,"2",3\n') == [
        (1, 1, b"1,2,3", ()),
        (2, 2, b'4,"5,6', ("quote_unclosed",)),
        (3, 3, b"7,8,9", ()),
        (4, 4, b'1,"2",3', ()),
    ]


def test_line_breaks_inside_a_closed_quote_are_legal() -> None:
    assert scan(b'1,"a\r\nb",3\n4,5,6\n') == [(1, 1, b'1,"a\r\nb",3', ()), (3, 2, b"4,5,6", ())]


def test_two_stray_quotes_do_not_swallow_the_rows_between_them() -> None:
    text = b'1,"x,3\n' + b"4,5,6\n" * 5 + b'7,y",9\n'
    assert [one[3] for one in scan(text)] == [("quote_unclosed",), *[()] * 5, ("quote_stray",)]


def test_nul_bytes_and_broken_utf8_are_named_on_their_record() -> None:
    assert [one[3] for one in scan(b"1,2,3\n1,\0,3\n1,\xff\xfe,3\n1,\xc3\n")] == [
        (),
        ("nul_byte",),
        ("encoding",),
        ("width", "encoding"),
    ]


def test_the_last_line_needs_no_line_end_and_a_blank_line_is_a_record() -> None:
    assert scan(b"1,2,3\n\n4,5,6") == [(1, 1, b"1,2,3", ()), (2, 2, b"", ("width",)), (3, 3, b"4,5,6", ())]


def test_a_line_beyond_the_limit_refuses_the_file() -> None:
    for block in (None, 1 << 19):
        with pytest.raises(Refused) as refused:
            scan(b"1,2," + b"x" * (RECORD_LIMIT + 10) + b"\n", block=block)
        assert refused.value.code == "P06-LOAD-031"


def test_other_delimiters_and_quotes() -> None:
    assert scan(b"1;'a;b';3\n", dialect=Dialect(b";", b"'")) == [(1, 1, b"1;'a;b';3", ())]


ESCAPING = Dialect(escape=b"\\")
ESCAPED = [b'\\"', b"\\,", b"\\\\", b"\\n"]


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *ESCAPED * 2]), max_size=24), st.integers(1, 4), st.integers(1, 9))
@example([b'1,"a\\', b'"b",3\n'], 3, 2)
def test_an_escaped_byte_is_judged_like_any_other_letter(pieces: list[bytes], width: int, block: int) -> None:
    text = b"".join(pieces)
    expected = records(text, width, (b",", b'"', b"\\"))
    assert scan(text, width, dialect=ESCAPING) == expected
    assert scan(text, width, block, dialect=ESCAPING) == expected
    for _, _, raw, reasons in expected:
        assert reasons or split(raw, ESCAPING) == fields(raw, (b",", b'"', b"\\"))


@given(st.lists(st.text(st.sampled_from('a,"\n\\ế '), max_size=5), min_size=2, max_size=4), st.booleans())
def test_split_gives_back_what_was_escaped(fields: list[str], quoted: bool) -> None:
    def written(field: str) -> str:
        if quoted or "\n" in field:
            return '"' + field.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return re.sub(r'([\\,"])', r"\\\1", field)

    record = ",".join(map(written, fields))
    assert split(record.encode(), ESCAPING) == [field.encode() for field in fields]


def test_an_escape_before_a_line_end_escapes_nothing_outside_quotes() -> None:
    assert scan(b'1,2,3\\\n4,"5\\\n5",6\n7,8,9\\', dialect=ESCAPING) == [
        (1, 1, b"1,2,3\\", ("escape_stray",)),
        (2, 2, b'4,"5\\\n5",6', ()),
        (4, 3, b"7,8,9\\", ("escape_stray",)),
    ]
