"""Judges whether the encoding a manifest declares fits the bytes of a file, and names the one that does.

Every byte encoding reads every other one's bytes as letters of some kind, and no single letter tells them apart. Words
do: what one reads as Nguyễn is Nguyeãn, NguyÔn or Nguyá»…n to the others. So the words of a sample that are not plain
ASCII are read in each encoding, and counted where they are syllables of Vietnamese. Words are counted once each, so
that one damaged value repeated in every row weighs no more than another.

A declared encoding is refused only for another one that reads what it cannot: names of foreigners and of the Highland
peoples (Müller, Êđê, Ayŭn), which none reads as syllables, speak against no encoding.
"""

from __future__ import annotations

import codecs
import re
from itertools import compress

from p06.encoding import transcoder, utf16_order
from p06.errors import P06Error
from p06.syllable import is_syllable

SAMPLE = 1 << 20  # bytes of a file's beginning worth handing over
WORDS = 4_000  # distinct words looked at: a tenth of a second
# Of the words that are not ASCII, the share that another encoding must read and the declared one must not. In right
# files of Vietnamese names, places and the Highlands it is at most 0.01 (measured over 20,000 synthetic people and
# every commune, in each encoding), in wrongly declared ones at least 0.5 (VISCII declared as TCVN3). A file in which a
# fifth of the rows is damaged still passes, and its rows are judged one by one.
UNREADABLE = 0.25
EVIDENCE = 5  # such words at least: a few may be chance or damage, and stay a matter of their rows
# Of the lines of a file declared UTF-8, the share that must hold such a word. Rows that are no UTF-8 are quarantined one
# by one, so five damaged names among a hundred thousand plain ones stop nobody; in a wrongly declared file of names nine
# lines of ten have one, and half the lines where most people write without marks. Reason: a few bad rows never stop a
# ministry. In the other encodings unreadable rows could pass as other letters, so there no line need be counted.
LINES = 0.02
_WIDE = 0.25  # share of NUL bytes at one parity: UTF-16 of csv and jsonl, ASCII between the names, has 0.4 and more
_WIDE_LEAST = 8  # of them; a NUL or two in a short file are damage, and a matter of their rows

BYTE_ENCODINGS = ("utf-8", "windows-1258", "tcvn3", "vni", "viscii")
_WORD = re.compile(rb"[A-Za-z\x80-\xff]+")
_LINE_END = re.compile(rb"[\r\n]+")
_PUNCTUATION = re.compile("[\u00a0\u2010-\u2026\ufeff]+")


def encoding_mismatch(declared: str, sample: bytes, file: int) -> P06Error | None:
    """P06-LOAD-044 for a file whose first bytes do not fit the declared encoding; see ``likely_encoding``."""
    likely = likely_encoding(declared, sample)
    return P06Error("P06-LOAD-044", file=file, stated=declared, likely=likely) if likely else None


def likely_encoding(declared: str, sample: bytes) -> str | None:
    """The encoding that fits the bytes when the declared one does not, None when the declared one may stand.

    ``sample`` is the beginning of a decompressed file, at most ``SAMPLE`` bytes of it. Besides the names of manifests
    the answer may be ``utf-16be`` or ``utf-16le`` (without the byte-order mark it needs), and ``… inside utf-8`` for
    text that was once taken for Latin-1 and then saved as UTF-8. Raises KeyError on an unknown encoding.
    """
    transcoder(declared)
    sample = sample[:SAMPLE]
    order = _wide_order(sample, 1 if declared == "utf-16" else _WIDE_LEAST)
    if order:
        readable = order == utf16_order(sample)
        if declared == "utf-16" and readable:
            return _misread(_utf16_words(sample), "utf-16")
        return "utf-16" if readable else f"utf-16{order}"
    words = _words(sample)
    if declared == "utf-16":
        return _not_wide(words) if sample else None
    if declared != "utf-8" and sample.startswith(codecs.BOM_UTF8) and all(_read("utf-8", words)):
        return "utf-8"
    if len(words) < EVIDENCE:
        return None
    fits = _read(declared, words)
    if _few(len(words) - sum(fits), len(words)):
        return _misread(words, "utf-8") if declared == "utf-8" else None
    if declared == "utf-8" and _rare([word for word, fit in zip(words, fits, strict=True) if not fit], sample):
        return None
    return _best(words, fits, declared)


def _not_wide(words: list[bytes]) -> str | None:
    """What text without a NUL is that was declared UTF-16; None when half its words are unreadable to all."""
    read = {encoding: sum(_read(encoding, words)) for encoding in BYTE_ENCODINGS}
    best = max(BYTE_ENCODINGS, key=lambda encoding: read[encoding])
    return best if 2 * read[best] >= len(words) else None


def _few(words: int, of: int) -> bool:
    return words < EVIDENCE or words < UNREADABLE * of


def _rare(words: list[bytes], sample: bytes) -> bool:
    """Whether hardly a line holds one of these words."""
    unread = set(words)
    lines = [line for line in _LINE_END.split(sample) if line]
    holding = sum(not line.isascii() and not unread.isdisjoint(_WORD.findall(line)) for line in lines)
    return holding < LINES * len(lines)


def _best(words: list[bytes], fits: list[bool], declared: str | None = None) -> str | None:
    """The encoding that reads most of the words, if it reads enough of those that do not fit."""
    best, most = None, 0
    for encoding in BYTE_ENCODINGS:
        if encoding != declared:
            reads = _read(encoding, words)
            gained = sum(read and not fit for read, fit in zip(reads, fits, strict=True))
            if not _few(gained, len(words)) and sum(reads) > most:
                best, most = encoding, sum(reads)
    return best


def _misread(words: list[bytes], within: str) -> str | None:
    """What the words of a Unicode text are when they were once another encoding's bytes taken for Latin-1."""
    fits = [_has_syllables(_decoded("utf-8", [word])[0]) for word in words]
    if _few(len(fits) - sum(fits), len(fits)):
        return None
    once = [_as_windows_bytes(word) for word in words]
    known = [word is not None for word in once]
    found = _best([word for word in once if word is not None], list(compress(fits, known)))
    return f"{found} inside {within}" if found else None


def _as_windows_bytes(word: bytes) -> bytes | None:
    text = word.decode("utf-8", "replace")
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding)
        except UnicodeEncodeError:
            continue
    return None


def _wide_order(sample: bytes, least: int) -> str | None:
    """The byte order of text in units of two bytes: where its ASCII characters have their NULs."""
    half = len(sample) // 2
    even, odd = sample[: 2 * half : 2].count(0), sample[1 : 2 * half : 2].count(0)
    for order, nuls, others in (("le", odd, even), ("be", even, odd)):
        if nuls >= max(_WIDE * half, least) and others * 10 < nuls:
            return order
    return None


def _words(sample: bytes) -> list[bytes]:
    """The distinct words that are not ASCII, in order of appearance, without one that the end of the sample cuts."""
    found: dict[bytes, None] = {}
    body = sample.removeprefix(codecs.BOM_UTF8)
    for match in _WORD.finditer(body):
        word = match[0]
        if not word.isascii() and (match.end() < len(body) or not found):
            found[word] = None
            if len(found) == WORDS:
                break
    return list(found)


def _utf16_words(sample: bytes) -> list[bytes]:
    reader = transcoder("utf-16")
    assert reader is not None
    return _words(reader.feed(sample, False))


def _read(encoding: str, words: list[bytes]) -> list[bool]:
    """Which words the encoding reads. In UTF-8, which hardly any other bytes happen to be, well-formed letters do."""
    texts = _decoded(encoding, words)
    if encoding == "utf-8":
        return [text is not None and any(map(str.isalpha, text)) for text in texts]
    return [_has_syllables(text) for text in texts]


def _decoded(encoding: str, words: list[bytes]) -> list[str | None]:
    """The words as text; None where a byte means nothing."""
    reader = transcoder(encoding)
    if not words:
        return []
    read = words if reader is None else reader.feed(b"\n".join(words), True).split(b"\n")
    texts: list[str | None] = []
    for word in read:
        try:
            texts.append(word.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(None)
    return texts


def _has_syllables(text: str | None) -> bool:
    """Whether all that is not ASCII in a word are syllables, punctuation aside."""
    parts = [part for part in _PUNCTUATION.split(text or "") if part and not part.isascii()]
    return bool(parts) and all(map(is_syllable, parts))
