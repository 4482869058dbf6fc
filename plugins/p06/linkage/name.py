"""Names for comparison: the plain form without marks, and what a typist without a Vietnamese keyboard left behind."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from p06.syllable import is_syllable

_DROPPED = ".,'’`"
_TELEX_DOUBLES = re.compile(r"([adeo])\1")
_TELEX_TONES = re.compile(r"(?<=[aeiouy])([a-z]*?)[sfrxj]")
_VNI = re.compile(r"(?<=[a-z])[0-9]")


def _letters() -> tuple[str, str]:
    """Every composed lower-case Latin letter, and the ASCII letter it stands on (đ: d)."""
    marked, plain = ["đ"], ["d"]
    for point in range(0xE0, 0x1F00):
        letter = chr(point)
        base = unicodedata.normalize("NFD", letter)[0]
        if letter != base and base.isascii() and base.isalpha() and letter == letter.lower():
            marked.append(letter)
            plain.append(base)
    return "".join(marked), "".join(plain)


MARKED, PLAIN = _letters()
_TABLE = str.maketrans(MARKED, PLAIN, _DROPPED)


def plain(name: str) -> str:
    """The name without tone and vowel marks, đ as d, without dots and apostrophes."""
    return name.translate(_TABLE)


def plain_sql(column: str) -> str:
    """``plain`` of a column, in words PostgreSQL and DuckDB share."""
    dropped = _DROPPED.replace("'", "''")
    return f"translate({column}, '{MARKED}{dropped}', '{PLAIN}')"


def _telex(word: str) -> str:
    """The word without Telex's keys for marks: ``huwngf`` gives ``hung``."""
    return _TELEX_TONES.sub(r"\1", _TELEX_DOUBLES.sub(r"\1", word).replace("w", ""))


@lru_cache(maxsize=1 << 14)
def _word(word: str) -> str:
    if not word.isascii() or _sounds(word):
        return word
    for found in (_VNI.sub("", word), _telex(word)):
        if found != word and _sounds(found):
            return found
    return word


def _sounds(word: str) -> bool:
    """Whether a word without marks is a syllable once it has its tone (``duc`` needs one)."""
    return is_syllable(word) or is_syllable(word + "\u0301")


def readable(name: str) -> str:
    """A record's name with raw Telex and VNI keys taken out of words that are no syllables; dots part initials."""
    spaced = name.replace(".", " ")
    return " ".join(_word(word) for word in spaced.split())


def readable_column(names: pa.ChunkedArray | pa.Array) -> pa.Array:
    """``readable`` of a column of normalised names; nulls stay."""
    encoded = pc.dictionary_encode(names)
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    words = pa.array([None if name is None else readable(name) for name in encoded.dictionary.to_pylist()], pa.string())
    return words.take(encoded.indices)
