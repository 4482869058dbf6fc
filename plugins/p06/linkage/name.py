"""Names for comparison: the plain form without marks, and what a typist without a Vietnamese keyboard left behind."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from p06.syllable import is_bare_syllable

_DROPPED = ".,'’`"
_DROPPED_SQL = _DROPPED.replace("'", "''")
_TELEX_DOUBLES = re.compile(r"([adeo])\1")
_TELEX_TONES = re.compile(r"(?<=[aeiouy])([a-z]*?)[sfrxj]")
_VNI = re.compile(r"(?<=.)[0-9]")


def _letters() -> tuple[str, str]:
    """The lower-case letters Vietnamese writes with marks, and ŭ, ĕ, ĭ, ŏ, č, ñ of other peoples' names."""
    marked = [
        unicodedata.normalize("NFC", vowel + tone)
        for vowel in "aăâeêioôơuưy"
        for tone in ("", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323")
    ]
    marked = [letter for letter in marked if not letter.isascii()] + list("đŭĕĭŏčñ")
    return "".join(marked), "".join("d" if x == "đ" else unicodedata.normalize("NFD", x)[0] for x in marked)


MARKED, PLAIN = _letters()
_TABLE = str.maketrans(MARKED, PLAIN, _DROPPED)


def plain(name: str) -> str:
    """The name without tone and vowel marks, đ as d, without dots and apostrophes."""
    return name.translate(_TABLE)


def plain_sql(column: str) -> str:
    """``plain`` of a column in PostgreSQL's words (DuckDB takes them too, slowly)."""
    return f"translate({column}, '{MARKED}{_DROPPED_SQL}', '{PLAIN}')"


def duckdb_plain_sql(column: str) -> str:
    """``plain`` of a column in DuckDB's own words: one pass over the letters instead of one for each mark."""
    return f"translate(strip_accents({column}), 'đ{_DROPPED_SQL}', 'd')"


def _telex(word: str) -> str:
    """The word without Telex's keys for marks: ``huwngf`` gives ``hung``."""
    return _TELEX_TONES.sub(r"\1", _TELEX_DOUBLES.sub(r"\1", word).replace("w", ""))


@lru_cache(maxsize=1 << 14)
def _word(word: str) -> str:
    if not word.isascii() or (is_bare_syllable(word) and "oo" not in word):  # no name is in oong or ooc
        return word
    for found in (_VNI.sub("", word), _telex(word)):
        if found != word and is_bare_syllable(found):
            return found
    return word


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
