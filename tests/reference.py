"""The records of a delimited file by the letter of the design, one byte at a time: what the scanner is measured by.

Values and row rules come from ``tests/oracle/reading.py``, which knows nothing of p06 either.
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from typing import Any

from tests.oracle import reading as oracle

Judged = tuple[int, int, bytes, tuple[str, ...]]  # line, record, raw, reasons; no reasons: sound
Marks = tuple[bytes, bytes, bytes]  # delimiter, quote, escape (or nothing)

RFC: Marks = (b",", b'"', b"")


def records(text: bytes, width: int | None, marks: Marks = RFC) -> list[Judged]:
    """Every record of a file. Without a width any will do, and records may hold whole lines (a header)."""
    lines = _lines(text)
    found: list[Judged] = []
    number = 0
    while number < len(lines):
        raw, reasons, height = _record(lines, number, width, marks)
        if b"\0" in raw:
            reasons.append("nul_byte")
        try:
            raw.decode()
        except UnicodeDecodeError:
            reasons.append("encoding")
        found.append((number + 1, len(found) + 1, raw, tuple(reasons)))
        number += height
    return found


def without_header(text: bytes, marks: Marks) -> tuple[bytes | None, bytes, int]:
    """(raw header or None when it is unsound, what follows it, how many physical lines it takes)."""
    lines = _lines(text)
    if not lines:
        return None, b"", 0
    raw, reasons, height = _record(lines, 0, None, marks)
    rest = b"".join(content + end for content, end in lines[height:])
    return (None if reasons else raw), rest, height


def _lines(text: bytes) -> list[tuple[bytes, bytes]]:
    """(content, line end) of each physical line."""
    parts = re.split(rb"(\r\n|\n|\r)", text)
    lines = list(zip(parts[0::2], [*parts[1::2], b""], strict=True))
    if lines[-1] == (b"", b""):
        lines.pop()
    return lines


def _record(
    lines: list[tuple[bytes, bytes]], first: int, width: int | None, marks: Marks
) -> tuple[bytes, list[str], int]:
    """The record that begins on a line: raw text, reasons, how many physical lines it takes."""
    delimiter, quote, escape = marks
    opening = lines[first][0]
    text, height = opening, 1
    fields, state, position = 1, "start", 0
    while True:
        if position >= len(text):
            if state != "inside":
                break
            if first + height == len(lines):
                return opening, ["quote_unclosed"], 1
            text += lines[first + height - 1][1] + lines[first + height][0]
            height += 1
            continue
        char = text[position : position + 1]
        if state == "inside":
            if char == escape:
                if position + 1 == len(text) and first + height == len(lines):
                    return opening, ["quote_unclosed"], 1
                position += 1
            elif char == quote:
                if text[position + 1 : position + 2] == quote:
                    position += 1
                else:
                    state = "closed"
        elif char == delimiter:
            fields, state = fields + 1, "start"
        elif state == "closed":
            return opening, ["quote_unclosed"], 1
        elif char == quote:
            if state == "start":
                state = "inside"
            else:
                return opening, ["quote_stray" if height == 1 else "quote_unclosed"], 1
        elif char == escape:
            if position + 1 == len(text):  # it escapes no line end outside quotes
                return opening, ["escape_stray" if height == 1 else "quote_unclosed"], 1
            state, position = "plain", position + 1
        else:
            state = "plain"
        position += 1
    if height == 1:
        wrong = width is not None and (fields != width or (width == 1 and not text))
        return text, ["width"] if wrong else [], 1
    if width is not None:
        inner = [lines[first + step][0] for step in range(1, height)]
        if fields != width or any(_alone(line, marks) == width for line in inner):
            return opening, ["quote_unclosed"], 1
    return text, [], height


def _alone(line: bytes, marks: Marks) -> int:
    """How many fields a line has by itself; a quote that does not close on it is just a character."""
    delimiter, quote, escape = marks
    fields, position, start = 1, 0, True
    while position < len(line):
        char = line[position : position + 1]
        if start and char == quote:
            closed = _closed(line, position, marks)
            if closed is not None and line[closed : closed + 1] in (b"", delimiter):
                position, start = closed, False
                continue
        start = char == delimiter
        fields += start
        position += 2 if char == escape else 1
    return fields


def _closed(line: bytes, opening: int, marks: Marks) -> int | None:
    """What follows the quoted field that begins there; None when it stays open."""
    _, quote, escape = marks
    position = opening + 1
    while position < len(line):
        char = line[position : position + 1]
        if char == quote and line[position + 1 : position + 2] != quote:
            return position + 1
        position += 2 if char in (quote, escape) else 1
    return None


def fields(raw: bytes, marks: Marks = RFC) -> list[bytes]:
    """The decoded fields of a sound record."""
    delimiter, quote, escape = marks
    found, value, position, quoted, start = [], b"", 0, False, True
    while position < len(raw):
        char = raw[position : position + 1]
        if char == escape:
            value += raw[position + 1 : position + 2]
            position, start = position + 2, False
            continue
        if quoted and char == quote:
            if raw[position + 1 : position + 2] == quote:
                value, position = value + quote, position + 1
            else:
                quoted = False
        elif not quoted and start and char == quote:
            quoted = True
        elif not quoted and char == delimiter:
            found.append(value)
            value, position, start = b"", position + 1, True
            continue
        else:
            value += char
        position, start = position + 1, False
    return [*found, value]


class Rules(oracle.Rules):
    """The oracle's row rules where the contracts are stricter, or name a reason otherwise, than its own reading."""

    def _value(self, column: oracle.Column, text: str) -> tuple[Any, str | None]:
        value, reason = super()._value(column, text)
        if column.kind == "timestamptz" and reason is None and text:
            written = re.fullmatch(r".{10}T\d\d:\d\d:\d\d(\.\d+)?(?:Z|[+-](\d\d):?(\d\d)?)", text, re.ASCII)
            if not written or int(written[2] or 0) * 60 + int(written[3] or 0) > 14 * 60:
                return None, "type_timestamp"  # seconds are stated, and no clock is further from UTC
        if column.kind == "numeric" and reason == "type_numeric" and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
            decimals = text.partition(".")[2]
            return None, "type_numeric" if len(decimals) > (column.scale or 0) else "out_of_range"
        if column.kind == "integer" and reason == "type_integer" and re.fullmatch(r"-?[0-9]+", text):
            return None, "out_of_range"
        return value, reason


def judge(
    contract: oracle.Contract,
    period: str,
    manifest: dict[str, Any],
    files: list[list[oracle.Record]],
    areas: oracle.Areas,
) -> oracle.Extract:
    """``oracle.judge`` with these rules."""
    return oracle.judge(contract, oracle.month(period), manifest, files, areas, _rules)


@cache
def _rules(contract: oracle.Contract, period: date, version: date, areas: oracle.Areas) -> Rules:
    return Rules(contract, period, version, areas)
