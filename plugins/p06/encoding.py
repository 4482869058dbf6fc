"""Turns a file in a declared encoding into UTF-8 in NFC, block by block.

What comes out depends on the bytes of the whole file alone, however they are cut into blocks. Nothing is guessed and
nothing is lost: ASCII bytes stay (but for the six control codes VISCII uses for letters), and a byte that means
nothing in the encoding comes out as 0xFF and its two hexadecimal digits. 0xFF stands in no UTF-8, so that the scanner
quarantines the row it is in, with reason ``encoding``, and the byte can still be told from its raw text.

Composition joins a Latin letter with the marks behind it and touches nothing else. (The full NFC of a text would turn
a Greek question mark into a semicolon, and ``<`` with an overlay into one character: delimiters would come and go.)
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from p06.charset import RUN, charset

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_KEPT = 0xDC00  # a byte of UTF-16 that means nothing, on its way through a str: a lone surrogate, which no text holds
_OPEN = 0xF700  # one of a byte encoding: a character of private use, which no byte encoding has, and quicker to find
_ERRORS = "p06.kept"
_REORDERED = 0xFFFF  # stands for a letter and a mark that composition changes without making them one
_LETTER = "A-Za-z\u00c0-\u024f\u1e00-\u1eff"
_MARK = "\u0300-\u036f"
_CLUSTERS = re.compile(f"([{_LETTER}][{_MARK}]{{1,{RUN}}})")
_UNFINISHED = re.compile(f"[{_LETTER}][{_MARK}]{{0,{RUN - 1}}}\\Z")
_ANY_MARK = re.compile(f"[{_MARK}]")


class Transcoder(Protocol):
    """A file on its way into UTF-8."""

    def feed(self, block: bytes, last: bool) -> bytes:
        """The UTF-8 of what is complete so far; everything when ``last``."""
        ...


def transcoder(encoding: str) -> Transcoder | None:
    """A fresh transcoder for one file, None when its bytes are UTF-8 already. Raises KeyError on an unknown name."""
    if encoding == "utf-8":
        return None
    return _Utf16() if encoding == "utf-16" else _Bytes(encoding)


def utf16_order(begin: bytes) -> str:
    """The byte order, ``le`` or ``be``, of UTF-16 that begins with these two bytes.

    The byte-order mark decides. Without one it is little endian, unless the first character can only be ASCII in big
    endian; read the other way it would be one of U+2000, U+2100 … U+7E00, with which no Vietnamese text begins.
    """
    if begin[:2] == codecs.BOM_UTF16_BE:
        return "be"
    ascii_first = len(begin) > 1 and begin[0] == 0 and (0x20 <= begin[1] < 0x7F or begin[1] in b"\t\r\n")
    return "be" if ascii_first else "le"


class _Utf16:
    """UTF-16 with or without byte-order mark; the mark is dropped."""

    def __init__(self) -> None:
        self._begin = b""
        self._decoder: Any = None
        self._held = ""

    def feed(self, block: bytes, last: bool) -> bytes:
        if self._decoder is None:
            block = self._begin + block
            if len(block) < 2 and not last:
                self._begin = block
                return b""
            self._decoder = codecs.getincrementaldecoder(f"utf-16-{utf16_order(block)}")(_ERRORS)
            if block[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                block = block[2:]
        text = self._held + self._decoder.decode(block, last)
        self._held = ""
        if not last and (unfinished := _UNFINISHED.search(text, max(len(text) - RUN, 0))):
            text, self._held = text[: unfinished.start()], unfinished[0]
        return composed(text).encode("utf-8", _ERRORS)


class _Bytes:
    """One of the byte encodings of ``charset``."""

    def __init__(self, encoding: str) -> None:
        self._table = _table(encoding)
        self._held = b""

    def feed(self, block: bytes, last: bool) -> bytes:
        data = self._held + block if self._held else block
        self._held = b""
        if not last and (unfinished := self._table.unfinished(data)):
            data, self._held = data[:-unfinished], data[-unfinished:]
        return self._table.utf8(data)


class _Table:
    """A character set as arrays: UTF-16 units by byte, and by pair of bytes."""

    def __init__(self, encoding: str) -> None:
        import numpy as np

        known = charset(encoding)
        self._units = np.array(
            [ord(letter) if letter else _OPEN + code for code, letter in enumerate(known.letters)], np.uint16
        )
        self._ascii_stays = all(known.letters[code] == chr(code) for code in range(128))
        self._run = known.run
        self._marks, self._bases = known.marks, known.bases
        self._is_mark = np.zeros(256, bool)
        self._is_mark[sorted(self._marks)] = True
        self._pairs = np.zeros(1 << 16, np.uint16)
        for (base, mark), letter in known.pairs.items():
            if len(letter) == 1:
                self._pairs[base << 8 | mark] = ord(letter)
            elif letter[0] != known.letters[base]:
                self._pairs[base << 8 | mark] = _REORDERED

    def unfinished(self, data: bytes) -> int:
        """How many bytes at the end may still change with what follows: a letter, with the marks it has so far."""
        if not self._run:
            return 0
        for marks in range(min(self._run, len(data))):
            code = data[-1 - marks]
            if code in self._bases:
                return marks + 1
            if code not in self._marks:
                return 0
        return 0

    def utf8(self, data: bytes) -> bytes:
        """The UTF-8 of bytes cut where nothing is unfinished."""
        import numpy as np

        if self._ascii_stays and data.isascii():
            return data
        codes = np.frombuffer(data, np.uint8)
        units = self._units[codes]
        if not self._run:
            return _with_digits(_text(units).encode())
        marks = np.flatnonzero(self._is_mark[codes])
        marks = marks[marks > 0]
        letters = self._pairs[codes[marks - 1].astype(np.uint16) << 8 | codes[marks]]
        if self._run > 1 and ((np.diff(marks) == 1).any() or (letters == _REORDERED).any()):
            return _with_digits(composed(_text(units)).encode())
        joins = letters != 0
        at = marks[joins]
        units[at - 1] = letters[joins]
        stays = np.ones(len(units), bool)
        stays[at] = False
        return _with_digits(_text(units[stays]).encode())


def _with_digits(data: bytes) -> bytes:
    """UTF-8 with 0xFF and two hexadecimal digits for each byte that means nothing, instead of the three it has."""
    if b"\xef\x9e" not in data and b"\xef\x9f" not in data:  # U+F780 to U+F7FF
        return data
    import numpy as np

    found = np.frombuffer(bytearray(data), np.uint8)
    at = np.flatnonzero((found[:-1] == 0xEF) & (found[1:] >> 1 == 0x9E >> 1))
    code = (found[at + 1] & 3) << 6 | found[at + 2] & 0x3F
    digits = np.frombuffer(b"0123456789ABCDEF", np.uint8)
    found[at], found[at + 1], found[at + 2] = 0xFF, digits[code >> 4], digits[code & 15]
    return found.tobytes()


@cache
def _table(encoding: str) -> _Table:
    return _Table(encoding)


def composed(text: str) -> str:
    """The text with every Latin letter and the marks behind it in NFC, all else as it is."""
    if text.isascii() or not _ANY_MARK.search(text):
        return text
    parts = _CLUSTERS.split(text)
    parts[1::2] = map(_nfc, parts[1::2])
    return "".join(parts)


@lru_cache(maxsize=1 << 12)
def _nfc(cluster: str) -> str:
    return unicodedata.normalize("NFC", cluster)


def _text(units: npt.NDArray[np.uint16]) -> str:
    return units.astype("<u2", copy=False).tobytes().decode("utf-16-le")


def _keep(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes of UTF-16 that mean nothing become lone surrogates in a str, and 0xFF with two digits each in UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return "".join(chr(_KEPT + byte) for byte in error.object[error.start : error.end]), error.end
    if isinstance(error, UnicodeEncodeError):
        found = (ord(character) - _KEPT for character in error.object[error.start : error.end])
        return b"".join(b"\xff%02X" % byte for byte in found), error.end
    raise error


codecs.register_error(_ERRORS, _keep)
