"""Takes plain JSON lines apart with array operations: no object is made of a row, a key or a value.

What is taken is a line of exactly this form, without white space but one space after colons, and one after commas,
where the whole block has them::

    {"key":"text","key":null,"key":12.50}

Each key is one of those asked for and stands once in its line; no control character, no escaped quote or backslash
stands anywhere. Every byte of the block is accounted for, so what passes is JSON by the exact grammar and says what is
returned; whatever is not of this form, right or wrong, is left to a parser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_Bytes = npt.NDArray[np.uint8]

_QUOTE, _COLON, _COMMA, _SPACE, _OPEN, _CLOSE, _MINUS, _BACKSLASH = b'":, {}-\\'
_FIRST_PRINTABLE = 0x20
_WORD = 8  # bytes compared at once
_NULL = int.from_bytes(b"null", "little")
_NULL_MASK = 0xFFFFFFFF
_NEITHER = (b'\\"', b"\\\\", b"\\u0000")  # without the first two every quote opens or closes a string


@dataclass(frozen=True)
class Taken:
    """The values of one key. ``texts``: ``pa.StringArray``, one a line, as written between the quotes; empty for null.

    ``numbers``: which lines have a literal other than null there, None when none has; ``escaped``: whether a backslash
    may stand in the texts.
    """

    texts: Any
    numbers: Mask | None
    escaped: bool


@dataclass(frozen=True)
class _Pairs:
    """Key and value of each pair, by position in the block: of the key's quotes, and of the value without its quotes."""

    opens: Ints
    closes: Ints
    begins: Ints
    ends: Ints
    literal: Mask  # whether the value has no quotes
    counts: Ints  # pairs of each line


def take(data: bytes, starts: Ints, ends: Ints, names: Sequence[str]) -> dict[str, Taken] | None:
    """The values of the lines ``data[starts[i]:ends[i]]``; None when one of them is not of the plain form.

    ``data`` is UTF-8 as a whole; between the lines there are line ends alone. A name no line has is left out.
    """
    if b"\\" in data and any(mark in data for mark in _NEITHER):
        return None
    padded = data + bytes(_WORD)
    view = np.frombuffer(padded, np.uint8)
    pairs = _pairs(data, view, starts, ends)
    if pairs is None:
        return None
    words: npt.NDArray[np.uint64] = np.ndarray((len(data),), "<u8", padded, 0, (1,))  # eight bytes from each place
    columns = _columns(words, pairs, names)
    if columns is None:
        return None
    return _values(data, view, words, pairs, columns)


def _pairs(data: bytes, view: _Bytes, starts: Ints, ends: Ints) -> _Pairs | None:
    """The pairs of all lines in order, every byte between them accounted for but the names and the literals."""
    body = view[: len(data)]
    if int(np.count_nonzero(body < _FIRST_PRINTABLE)) != len(data) - int((ends - starts).sum()):
        return None  # more of them than the line ends have
    if not ((view[starts] == _OPEN).all() and (view[ends - 1] == _CLOSE).all() and (ends - starts > 2).all()):
        return None
    quotes = np.flatnonzero(body == _QUOTE)
    if not len(quotes) or len(quotes) % 2 or (np.searchsorted(quotes, ends) % 2).any():
        return None  # a string would hold a line end
    opens, closes = quotes[::2], quotes[1::2]
    is_key = view[closes + 1] == _COLON
    keys = np.flatnonzero(is_key)
    if not len(keys) or keys[0] != 0:
        return None
    with_text = np.zeros(len(keys), np.bool_)
    with_text[:-1] = np.diff(keys) == 2
    with_text[-1] = keys[-1] == len(opens) - 2
    if len(opens) - len(keys) != np.count_nonzero(with_text):
        return None  # two strings in a row that are no keys
    key_opens, key_closes = opens[keys], closes[keys]
    counts = np.diff(np.searchsorted(key_opens, np.append(starts, len(data))))
    if not counts.all():
        return None
    lasts = np.cumsum(counts) - 1
    firsts = lasts - counts + 1
    after_colon = int(view[key_closes[0] + 2] == _SPACE)
    begins = key_closes + (2 + after_colon)
    if after_colon and not (view[begins - 1] == _SPACE).all():
        return None
    after_comma = int(len(key_opens) > 1 and view[key_opens[min(1, len(key_opens) - 1)] - 1] == _SPACE)
    stops = np.empty(len(keys), np.int64)  # where the comma or the brace behind the value stands
    stops[:-1] = key_opens[1:] - (1 + after_comma)
    stops[lasts] = ends - 1
    behind = view[stops]
    behind[lasts] = _COMMA
    if not (behind == _COMMA).all() or (key_opens[firsts] != starts + 1).any():
        return None
    if after_comma:
        spaces = view[stops + 1]
        spaces[lasts] = _SPACE
        if not (spaces == _SPACE).all():
            return None
    texts = keys[with_text] + 1
    if with_text.all():
        if (opens[texts] != begins).any() or (closes[texts] + 1 != stops).any():
            return None
        return _Pairs(key_opens, key_closes, begins + 1, stops - 1, ~with_text, counts)
    if (opens[texts] != begins[with_text]).any() or (closes[texts] + 1 != stops[with_text]).any():
        return None
    if (stops <= begins).any():
        return None
    shift = with_text.astype(np.int64)
    return _Pairs(key_opens, key_closes, begins + shift, stops - shift, ~with_text, counts)


def _columns(
    words: npt.NDArray[np.uint64], pairs: _Pairs, names: Sequence[str]
) -> dict[str, tuple[Ints, Ints | None]] | None:
    """Name -> its pairs, and the lines they are in, None for each line in turn. None when a key is not asked for, or
    stands twice in a line."""
    lengths = pairs.closes - pairs.opens - 1
    width = int(pairs.counts[0])
    if (pairs.counts == width).all():
        found = _alike(words, pairs, lengths, width, names)
        if found is not None:
            return found
    rows = np.repeat(np.arange(len(pairs.counts)), pairs.counts)
    columns: dict[str, tuple[Ints, Ints | None]] = {}
    left = len(rows)
    for name in names:
        chosen = np.flatnonzero(lengths == len(name.encode()))
        chosen = chosen[_is_name(words, pairs.opens[chosen] + 1, name)]
        held = rows[chosen]
        if (np.diff(held) == 0).any():
            return None
        if len(chosen):
            columns[name] = chosen, held
            left -= len(chosen)
    return None if left else columns


def _alike(
    words: npt.NDArray[np.uint64], pairs: _Pairs, lengths: Ints, width: int, names: Sequence[str]
) -> dict[str, tuple[Ints, Ints | None]] | None:
    """The columns when all lines have the keys of the first in its order; else None."""
    known = {name.encode(): name for name in names}
    opens, lengths = pairs.opens.reshape(-1, width), lengths.reshape(-1, width)
    columns: dict[str, tuple[Ints, Ints | None]] = {}
    for place in range(width):
        size, begin = int(lengths[0, place]), int(opens[0, place]) + 1
        written = b"".join(int(words[begin + at]).to_bytes(_WORD, "little") for at in range(0, size, _WORD))[:size]
        name = known.pop(written, None)
        if name is None or (lengths[:, place] != size).any() or not _is_name(words, opens[:, place] + 1, name).all():
            return None
        columns[name] = np.arange(place, len(pairs.opens), width), None
    return columns


def _is_name(words: npt.NDArray[np.uint64], begins: Ints, name: str) -> Mask:
    """Whether the name stands at each of these places, its length known to be right."""
    written = name.encode()
    same = np.ones(len(begins), np.bool_)
    for at in range(0, len(written), _WORD):
        part = written[at : at + _WORD]
        mask = np.uint64((1 << 8 * len(part)) - 1)
        same &= words[begins + at] & mask == np.uint64(int.from_bytes(part, "little"))
    return same


def _values(
    data: bytes,
    view: _Bytes,
    words: npt.NDArray[np.uint64],
    pairs: _Pairs,
    columns: dict[str, tuple[Ints, Ints | None]],
) -> dict[str, Taken] | None:
    begins, ends, literal = pairs.begins, pairs.ends, pairs.literal
    number: Mask | None = None
    if literal.any():
        is_null = literal & (ends - begins == 4) & (words[begins] & np.uint64(_NULL_MASK) == np.uint64(_NULL))
        ends = np.where(is_null, begins, ends)
        number = literal & ~is_null
        first = view[begins[number]]
        if not ((first == _MINUS) | ((first >= ord("0")) & (first <= ord("9")))).all():
            return None
        if not number.any():
            number = None
    count = len(begins)
    offsets = np.empty(2 * count + 3, np.int32)  # what lies between the values, and each value; at the end nothing
    offsets[0], offsets[-2:] = 0, len(data)
    offsets[1:-2:2], offsets[2:-2:2] = begins, ends
    pieces = pa.Array.from_buffers(pa.string(), 2 * count + 2, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    nothing = 2 * count + 1
    lines = len(pairs.counts)
    escapes = b"\\" in data
    found: dict[str, Taken] = {}
    for name, (chosen, rows) in columns.items():
        places = 2 * chosen + 1
        numbers = number[chosen] if number is not None else None
        if rows is not None and len(rows) < lines:
            places, given = np.full(lines, nothing), places
            places[rows] = given
            if numbers is not None:
                numbers, given_numbers = np.zeros(lines, np.bool_), numbers
                numbers[rows] = given_numbers
        texts = pieces.take(pa.Array.from_buffers(pa.int64(), lines, [None, pa.py_buffer(places)]))
        escaped = escapes and bool((np.frombuffer(texts.buffers()[2], np.uint8) == _BACKSLASH).any())
        found[name] = Taken(texts, numbers if numbers is not None and numbers.any() else None, escaped)
    return found
