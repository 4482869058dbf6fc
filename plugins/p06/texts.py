"""Values of typed kinds of file as the text the rules judge: numbers in plain notation, columns of text, raw rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_LITERAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_PLAIN = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$"  # a JSON number without exponent
_SHORTEST = r"^(?:0|-?[1-9][0-9]*|-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9])$"  # and without superfluous zeros and signs
_EXPONENT_LIMIT = 40  # places the point is moved at most; what lies beyond no column of a contract can hold


def array(values: Sequence[str]) -> Any:
    """A ``pa.StringArray`` of these texts; about twice as fast as pyarrow's own builder, and without pandas."""
    count = len(values)
    joined = "".join(values)
    if joined.isascii():
        data, lengths = joined.encode("ascii"), map(len, values)
    else:
        parts = [value.encode() for value in values]
        data, lengths = b"".join(parts), map(len, parts)
    offsets = np.zeros(count + 1, np.int32)
    np.cumsum(np.fromiter(lengths, np.int32, count), out=offsets[1:])
    return pa.Array.from_buffers(pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def one(text: str) -> Any:
    """A ``pa.StringScalar``; a Python value in its place makes pyarrow import pandas, a second and 40 MB."""
    return array([text])[0]


def number(literal: str) -> str:
    """The exact value of a number's literal in plain notation: ``80.50`` is 80.5, ``1e2`` is 100, ``-0.0`` is 0.

    A typed number has a value, not a spelling; as text it would fail a column of two decimals for ``80.500``. What is
    no number, or has an exponent beyond 40, is returned as it stands, and the rules refuse it.
    """
    match = _LITERAL.fullmatch(literal)
    if not match:
        return literal
    sign, whole, decimals, exponent = match.groups()
    if not (whole + (decimals or "")).strip("0"):
        return "0"
    if exponent is not None:
        if len(exponent) > 4 or abs(int(exponent)) > _EXPONENT_LIMIT:
            return literal
        point = format(Decimal(literal), "f").removeprefix("-").partition(".")
        whole, decimals = point[0], point[2]
    whole, decimals = whole.lstrip("0") or "0", (decimals or "").rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def numbers(values: Any, which: npt.NDArray[np.bool_]) -> Any | None:
    """``number`` of the values that are literals of JSON numbers; None when one is not, or has an exponent.

    ``values``: ``pa.StringArray`` without nulls; ``which``: at least one of them.
    """
    bits = pa.py_buffer(np.packbits(which, bitorder="little"))
    mask = pa.Array.from_buffers(pa.bool_(), len(which), [None, bits])
    literals = values if which.all() else values.filter(mask)
    if not pc.all(pc.match_substring_regex(literals, _PLAIN)).as_py():
        return None
    if pc.all(pc.match_substring_regex(literals, _SHORTEST)).as_py():
        return values
    pointed = pc.match_substring(literals, ".")
    written = pc.if_else(pointed, pc.utf8_rtrim(pc.utf8_rtrim(literals, "0"), "."), literals)
    written = pc.if_else(pc.equal(written, one("-0")), one("0"), written)
    return written if which.all() else pc.replace_with_mask(values, mask, written)


def real(value: float) -> str:
    """The shortest decimal text that reads back as this double, in plain notation; ``nan`` and ``inf`` as they are."""
    text = repr(value)
    if "e" in text:
        return number(text)
    return "0" if not value else text.removesuffix(".0")


def raw(values: Mapping[str, Any]) -> bytes:
    """A row as compact JSON, for kinds of file whose own bytes are no text; null where there is no value.

    Bytes that are no UTF-8, decoded with ``surrogateescape``, come out as they were.
    """
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")
