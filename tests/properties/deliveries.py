"""Random deliveries: random dialects, rows with random dirt, then random damage to the bytes."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Any

from backports import zstd
from hypothesis import strategies as st

from tests import pouring
from tests.oracle import reading as oracle
from tests.pouring import BOM, Sent
from tests.reference import Marks
from tests.sender import PERSON, VISIT

NOTE = {
    "words": "lời", "small": "1.5", "large": "12345678901234567890.5", "whole": "7",
    "written_at": "2024-01-03T08:15:00+07:00", "about": "2024-02-29", "mood": "vui",
}  # fmt: skip
BASES = {"health_visit": VISIT, "population_register": PERSON, "note": NOTE, "word": {"word": "từ"}}
NUMBERED = {"health_visit": "visit_id", "note": "words", "word": "word"}

DIALECTS: list[Marks] = [
    (b",", b'"', b""), (b",", b'"', b"\\"), (b";", b"'", b""), (b"\t", b'"', b"\\"), (b"|", b"~", b""),
    (b"\x01", b"\x02", b""), (b" ", b"'", b"\\"), (b":", b"-", b""), (b".", b'"', b""), (b"^", b"$", b"\\"), (b"*", b"]", b""),
]  # fmt: skip
VALUES = {
    "id12": ["", "001089000123", "100089000123", "1089000123", "1.089E+9", "001389000123", "12", "００１０８９０００１２３"],
    "date": ["", "1989-05-06", "0001-01-01", "9999-12-31", "2024-02-29", "2023-02-29", "1989-5-6", "now", "2024-01-32"],
    "timestamptz": [
        "", "2024-01-03T08:15:00Z", "2024-01-03T08:15:00.5-0330", "2024-01-03T08:15:00.123456+14", "infinity",
        "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+07:00", "9999-12-31T23:59:59.999999Z", "2024-01-03 08:15:00+07:00",
        "2024-01-03T08:15:00+14:30", "2024-01-03T24:00:00Z", "1969-12-31T23:59:59.999999Z",
    ],
    "numeric": [
        "", "0", "-0", "-0.00", "0.001", "100", "20.00", "120.00", "-7.25", "999999.999", "1000000", "1e3", "NaN", "0x1F", "00012.50",
        "123456789012345678901234567.12345678901", "-999999999999999999999999999.99999999999", "9999999999999.99",
        "1234567890123456789012345678", "1_000", "１２",
    ],
    "integer": ["", "0", "-0", "007", "-2147483648", "2147483647", "2147483648", "1.0", "+1", "99999999999999999999"],
}  # fmt: skip
TEXT = [
    "",
    " ",
    "a",
    "Lê Thị B",
    "\u1ebf",
    "e\u0302\u0301",
    "\ufeff",
    "🏥",
    "\t",
    "x" * 70,
    "null",
    "\\N",
    "NA",
    "=1+1",
    "\\",
    "\x7f",
]
BREAKS = ["\n", "\r\n", "\r"]


@dataclass(frozen=True)
class Case:
    """A delivery, and how the pipeline is cut into blocks while it reads it."""

    sent: Sent
    block: int  # bytes read at once
    few: int  # hashes compared at once
    coarse: bool  # whether record keys collide


@st.composite
def cases(draw: st.DrawFn, contracts: dict[str, oracle.Contract]) -> Case:
    """Any delivery of these contracts."""
    source = draw(st.sampled_from(sorted(contracts)))
    contract, marks = contracts[source], draw(st.sampled_from(DIALECTS))
    header = draw(st.booleans())
    compression = draw(st.sampled_from(["none", "none", "gzip", "zstd"]))
    end = draw(st.sampled_from(BREAKS)).encode()
    style = draw(st.sampled_from(["needed", "all", "text", "mixed"]))
    rows: list[list[str]] = []
    plains = []
    for _ in range(draw(st.integers(1, 3))):
        lines = [_line([column.header for column in contract.columns], marks, "needed", draw)] if header else []
        for _ in range(draw(st.integers(0, 7))):
            rows.append(draw(_row(contract, rows, marks)))
            lines.append(_line(rows[-1], marks, style, draw))
        plain = end.join(lines) + draw(st.sampled_from([end, end, b""]))
        if draw(st.booleans()):
            plain = BOM + plain
        if draw(st.integers(0, 3)):
            plain = _damaged(plain, marks, draw)
        plains.append(plain)
    packed = [_packed(plain, compression, draw) for plain in plains]
    if compression != "none" and not draw(st.integers(0, 7)):
        at = draw(st.integers(0, len(packed) - 1))
        packed[at] = _damaged(packed[at], marks, draw)
    return Case(
        Sent(source, marks, header, compression, tuple(packed)),
        draw(st.sampled_from([2 << 20, 1500] if header else [2 << 20, 64, 7])),
        draw(st.sampled_from([1 << 16, 3])),
        draw(st.booleans()),
    )


@st.composite
def _row(draw: st.DrawFn, contract: oracle.Contract, rows: list[list[str]], marks: Marks) -> list[str]:
    """A good row, a row with dirt, or one much like an earlier one."""
    if rows and not draw(st.integers(0, 3)):
        row = list(draw(st.sampled_from(rows)))
        change = draw(st.sampled_from(["none", "name", "dirt"]))
        if change == "name" and "full_name" in contract.at:  # still a good row: it claims the other one's key
            row[contract.at["full_name"]] = draw(st.sampled_from(["Lê Thị B", "Trần C", "Ð"]))
        if change != "dirt":
            return row
    else:
        row = [BASES[contract.source][name] for name in contract.names]
        if contract.source in NUMBERED:
            row[contract.at[NUMBERED[contract.source]]] += str(len(rows))
        else:
            row[contract.at["citizen_id"]] = f"001089{len(rows):06}"
    for at in draw(st.lists(st.integers(0, len(row) - 1), max_size=draw(st.sampled_from([0, 1, 1, 3])))):
        row[at] = draw(_value(contract.columns[at], marks))
    if "total_amount" in contract.at and not draw(st.integers(0, 7)):  # a good number, a sum that does not hold
        row[contract.at["total_amount"]] = draw(st.sampled_from(["100.01", "0", "99"]))
    return row


def _value(column: oracle.Column, marks: Marks) -> st.SearchStrategy[str]:
    own = [*VALUES.get(column.kind, TEXT), *sorted(column.values)]
    special = [mark.decode() for mark in marks if mark] + BREAKS + TEXT
    spelled = st.lists(st.sampled_from(special), min_size=1, max_size=5).map("".join)
    return st.one_of(st.sampled_from(own), st.sampled_from(own), spelled)


def _line(row: list[str], marks: Marks, style: str, draw: Any) -> bytes:
    """A record as a careful sender writes it."""
    return marks[0].join(_field(value, marks, style, len(row) == 1, draw) for value in row)


def _field(value: str, marks: Marks, style: str, lone: bool, draw: Any) -> bytes:
    delimiter, quote, escape = marks
    text = value.encode()
    broken = b"\n" in text or b"\r" in text
    special = broken or any(mark in text for mark in marks if mark) or (lone and not text)
    quoted = style == "all" or (style == "text" and not text.isdigit()) or (style == "mixed" and draw(st.booleans()))
    if escape:
        text = text.replace(escape, escape * 2)
        if not quoted and not broken and text and draw(st.booleans()):
            return text.replace(delimiter, escape + delimiter).replace(quote, escape + quote)
    if not (quoted or special):
        return text
    return quote + text.replace(quote, (escape or quote) + quote) + quote


def _damaged(text: bytes, marks: Marks, draw: Any) -> bytes:
    """Bytes taken away, put in or replaced anywhere; now and then the end cut off."""
    pool = [mark for mark in marks if mark] + [
        b"\n",
        b"\r",
        b"\r\n",
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xe1\xba",
        b"x",
        b"7",
        BOM,
        b"\n\n",
    ]
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        gone = draw(st.sampled_from([0, 0, 1, 1, 2, 40]))
        put = draw(st.sampled_from([b"", *pool]))
        text = text[:at] + put + text[at + gone :]
    return text[: draw(st.integers(0, len(text)))] if not draw(st.integers(0, 9)) else text


def _packed(plain: bytes, compression: str, draw: Any) -> bytes:
    """The file in one or several members, some of them empty."""
    if compression == "none":
        return plain
    cuts = sorted(draw(st.lists(st.integers(0, len(plain)), max_size=3)))
    parts = [plain[a:b] for a, b in zip([0, *cuts], [*cuts, len(plain)], strict=True)]
    if compression == "gzip":
        return b"".join(gzip.compress(part, mtime=0) for part in parts) + draw(st.sampled_from([b"", b"", b"\0\0"]))
    skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc" if draw(st.booleans()) else b""
    return b"".join(skipped + zstd.compress(part) for part in parts)


def signs(coarse: bool) -> pouring.Sign:
    """What stands for the keyed hash; a coarse one gives most records the same 64 bits."""
    from hashlib import blake2b

    def sign(text: bytes) -> bytes:
        code = blake2b(text, digest_size=16).digest()
        return bytes([code[0] % 2]) + bytes(7) + code[8:] if coarse else code

    return sign
