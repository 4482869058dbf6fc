"""The shape of a text: what may be shown of a value that nobody should read."""

from __future__ import annotations

import re

RAW_LIMIT = 2_000  # bytes of a record that are looked at
SHOWN_LIMIT = 300  # characters of a record that are shown
RUN_LIMIT = 12  # letters, or digits, in a row that are shown of a mask

_BEYOND = re.compile(rb"[\x80-\xff\x00]+")
_LETTER = re.compile(rb"[A-Za-z]")
_DIGIT = re.compile(rb"[0-9]")
_CONTROL = re.compile(rb"[\x01-\x1f\x7f]")
_LONG = re.compile(rb"(A{%d})A+|(9{%d})9+" % (RUN_LIMIT, RUN_LIMIT))


def mask(raw: bytes) -> str:
    """The shape of a record: digits become 9, letters A, runs longer than twelve are cut; punctuation stays.

    It works on bytes, so that it needs no encoding to be right: neighbouring bytes beyond ASCII become one A. The
    function ``quality.shape`` of the database does the same.
    """
    text = _BEYOND.sub(b"A", raw[:RAW_LIMIT])
    text = _CONTROL.sub(b" ", _DIGIT.sub(b"9", _LETTER.sub(b"A", text)))
    text = _LONG.sub(rb"\1\2~", text)
    return text[:SHOWN_LIMIT].decode("ascii")
