"""The Vietnamese character sets from before Unicode: what each byte, or pair of bytes, means.

Sources: windows-1258 is Python's own table. VISCII is RFC 1456. TCVN3 is VN3 of TCVN 5712:1993, the ABC fonts: ASCII,
the seven capitals that bear no tone (Ă Â Ê Ô Ơ Ư Đ), the 67 small letters and the no-break space. The ``.VnTimeH``
fonts draw the codes of small letters as capitals; bytes do not say which font they were typed for, so we read them as
the standard does: NGUYỄN typed so comes out as NGUYễN, and compares equal in the normalised form of names.
VNI is VNI for Windows: a letter, then a byte for its diacritics; fact tables are published with the keyboards xvnkb
and UniKey. A capital's mark has a code of its own, 0x20 below the small one; either is read behind either.

Signs that Windows fonts draw on codes which TCVN3 and VNI leave open (typographic quotes, for one) are not guessed.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from functools import cache

_TONES = "\u0301\u0300\u0309\u0303\u0323"  # acute, grave, hook, tilde, dot: sắc, huyền, hỏi, ngã, nặng
_OPEN = "_"

_TCVN3 = (
    "________________" "________________"  # 80, 90
    "\u00a0ĂÂÊÔƠƯĐăâêôơưđ_" "_____àảãáạ_ằẳẵắ_"  # a0, b0
    "______ặầẩẫấậè_ẻẽ" "éẹềểễếệìỉ___ĩíịò"  # c0, d0
    "_ỏõóọồổỗốộờởỡớợù" "_ủũúụừửữứựỳỷỹýỵ_"  # e0, f0
)  # fmt: skip
_VISCII = (
    "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐ" "ỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲ"  # 80, 90
    "ÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯ"  # a0, b0
    "ÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳ" "ĐứÒÓÔạỷừửÙÚỹỵÝỡư"  # c0, d0
    "àáâãảăữẫèéêẻìíĩỉ" "đựòóôõỏọụùúũủýợỮ"  # e0, f0
)  # fmt: skip
_VISCII_CONTROLS = {0x02: "Ẳ", 0x05: "Ẵ", 0x06: "Ẫ", 0x14: "Ỷ", 0x19: "Ỹ", 0x1E: "Ỵ"}

# VNI: small letters with a code of their own, and the marks behind a letter: circumflex or breve, and tone.
_VNI_LETTERS = {0xF1: "đ", 0xF4: "ơ", 0xF6: "ư", 0xED: "í", 0xEC: "ì", 0xE6: "ỉ", 0xF3: "ĩ", 0xF2: "ị", 0xEE: "ỵ"}
_VNI_TONES = b"\xf9\xf8\xfb\xf5\xef"
_VNI_MARKED = (
    ("aeouyơư", "", _VNI_TONES),
    ("aeo", "\u0302", b"\xe1\xe0\xe5\xe3\xe4"),
    ("a", "\u0306", b"\xe9\xe8\xfa\xfc\xeb"),
)
_VNI_SHAPES = (("aeo", "\u0302", 0xE2), ("a", "\u0306", 0xEA))


@dataclass(frozen=True)
class Charset:
    """``letters[byte]`` is its character, None when the byte means nothing by itself or at all.

    ``pairs`` gives the character of two bytes, a letter and a mark. ``run`` is how many marks one letter may take.
    """

    name: str
    letters: tuple[str | None, ...]
    pairs: dict[tuple[int, int], str] = field(default_factory=dict)
    run: int = 0

    @property
    def marks(self) -> frozenset[int]:
        """The bytes that follow a letter to make one character with it."""
        return frozenset(mark for _, mark in self.pairs)

    @property
    def bases(self) -> frozenset[int]:
        """The bytes that a mark may follow."""
        return frozenset(base for base, _ in self.pairs)


def _ascii() -> list[str | None]:
    return [chr(code) for code in range(128)]


def _upper_half(table: str) -> list[str | None]:
    return [None if letter == _OPEN else letter for letter in table]


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _vni() -> Charset:
    letters = _ascii() + [None] * 128
    letters[0xA0] = "\u00a0"
    for code, letter in _VNI_LETTERS.items():
        letters[code], letters[code - 0x20] = letter, letter.upper()
    own = {letter: code for code, letter in enumerate(letters) if letter}
    marked = [
        (base, _composed(base + shape + tone), mark)
        for bases, shape, marks in _VNI_MARKED
        for base in bases
        for tone, mark in zip(_TONES, marks, strict=True)
        if not (base == "y" and tone == "\u0323")  # ỵ has a code of its own
    ]
    marked += [(base, _composed(base + shape), mark) for bases, shape, mark in _VNI_SHAPES for base in bases]
    pairs = {}
    for base, letter, mark in marked:
        for code in (mark, mark - 0x20):
            pairs[own[base], code] = letter
            pairs[own[base.upper()], code] = letter.upper()
    return Charset("vni", tuple(letters), pairs, run=1)


def _windows_1258(run: int) -> Charset:
    letters: list[str | None] = []
    for code in range(256):
        character = bytes([code]).decode("cp1258", "replace")
        letters.append(None if character == "\ufffd" else character)
    tones = [(code, letter) for code, letter in enumerate(letters) if letter and unicodedata.combining(letter)]
    pairs = {}
    for base, letter in enumerate(letters):
        if letter and letter.isalpha() and letter not in "ªºµƒ":
            for code, tone in tones:
                pairs[base, code] = _composed(letter + tone)  # of two characters where Unicode has no one
    return Charset("windows-1258", tuple(letters), pairs, run)


RUN = 30
"""Marks that one letter takes in composition; more is no text (Unicode Standard Annex 15, stream-safe format)."""


@cache
def charset(name: str) -> Charset:
    """The character set of that name: windows-1258, tcvn3, viscii or vni. Raises KeyError on another."""
    if name == "windows-1258":
        return _windows_1258(RUN)
    if name == "vni":
        return _vni()
    if name == "viscii":
        letters = _ascii() + _upper_half(_VISCII)
        for code, letter in _VISCII_CONTROLS.items():
            letters[code] = letter
        return Charset("viscii", tuple(letters))
    if name == "tcvn3":
        return Charset("tcvn3", (*_ascii(), *_upper_half(_TCVN3)))
    raise KeyError(name)
