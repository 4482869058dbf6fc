"""Writes Vietnamese text in the encodings of twenty years; for tests, by other means than the code that reads them."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

ENCODINGS = ("utf-8", "utf-16", "windows-1258", "tcvn3", "vni", "viscii")
TONES = {"\u0300": 0, "\u0301": 1, "\u0309": 2, "\u0303": 3, "\u0323": 4}
LETTERS = "".join(
    unicodedata.normalize("NFC", vowel + tone) for vowel in "aăâeêioôơuưyAĂÂEÊIOÔƠUƯY" for tone in ("", *TONES)
).join("đĐ")
"""Every letter of Vietnamese that is not ASCII, and the plain vowels."""

# From the comparison tables that Vietnamese keyboards publish: plain, huyền, sắc, hỏi, ngã, nặng of each vowel.
_TCVN3 = {
    "a": "a B5 B8 B6 B7 B9", "ă": "A8 BB BE BC BD C6", "â": "A9 C7 CA C8 C9 CB", "e": "e CC D0 CE CF D1",
    "ê": "AA D2 D5 D3 D4 D6", "i": "i D7 DD D8 DC DE", "o": "o DF E3 E1 E2 E4", "ô": "AB E5 E8 E6 E7 E9",
    "ơ": "AC EA ED EB EC EE", "u": "u EF F3 F1 F2 F4", "ư": "AD F5 F8 F6 F7 F9", "y": "y FA FD FB FC FE",
}  # fmt: skip
_TCVN3_CAPITALS = dict(zip("ĂÂÊÔƠƯĐ", range(0xA1, 0xA8), strict=True))
_VNI = {
    "a": "a aø aù aû aõ aï", "ă": "aê aè aé aú aü aë", "â": "aâ aà aá aå aã aä", "e": "e eø eù eû eõ eï",
    "ê": "eâ eà eá eå eã eä", "i": "i ì í æ ó ò", "o": "o oø où oû oõ oï", "ô": "oâ oà oá oå oã oä",
    "ơ": "ô ôø ôù ôû ôõ ôï", "u": "u uø uù uû uõ uï", "ư": "ö öø öù öû öõ öï", "y": "y yø yù yû yõ î",
}  # fmt: skip
_VISCII_HIGH = (
    "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯ"
    "ÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳĐứÒÓÔạỷừửÙÚỹỵÝỡưàáâãảăữẫèéêẻìíĩỉđựòóôõỏọụùúũủýợỮ"
)


def encode(text: str, encoding: str) -> bytes:
    """The text in an encoding; TCVN3 writes toned capitals as small letters, as its fonts do. UTF-16 has its mark."""
    if encoding == "utf-8":
        return text.encode()
    if encoding == "utf-16":
        return b"\xff\xfe" + text.encode("utf-16-le")
    table = _table(encoding)
    return b"".join(table[letter] if letter > "~" else letter.encode() for letter in unicodedata.normalize("NFC", text))


def can_encode(text: str, encoding: str) -> bool:
    """Whether every letter of the text has a code."""
    known = encoding in ("utf-8", "utf-16") or _table(encoding)
    return known is True or all(letter in known for letter in text if letter > "~")


def reads(word: bytes, encoding: str) -> bool:
    """Whether the bytes are letters and ASCII of an encoding of bytes, one after the other."""
    if encoding == "utf-8":
        return "\ufffd" not in word.decode("utf-8", "replace")
    return _letters(encoding).fullmatch(word) is not None


@cache
def _letters(encoding: str) -> re.Pattern[bytes]:
    codes = sorted(map(re.escape, _table(encoding).values()), key=len, reverse=True)
    return re.compile(rb"(?:[ -~]|" + b"|".join(codes) + rb")*", re.DOTALL)


@cache
def _table(encoding: str) -> dict[str, bytes]:
    if encoding == "viscii":
        table = {letter: bytes([code]) for code, letter in enumerate(_VISCII_HIGH, 0x80)}
        return table | {
            letter: bytes([code]) for letter, code in zip("ẲẴẪỶỸỴ", b"\x02\x05\x06\x14\x19\x1e", strict=True)
        }
    if encoding == "tcvn3":
        table = _by_vowel(_TCVN3, lambda code: bytes.fromhex(code) if len(code) == 2 else code.encode())
        table = table | {letter.upper(): code for letter, code in table.items()} | {"đ": b"\xae"}
        return table | {letter: bytes([code]) for letter, code in _TCVN3_CAPITALS.items()} | {"\xa0": b"\xa0"}
    if encoding == "vni":
        table = _by_vowel(_VNI, lambda code: code.encode("latin-1")) | {"đ": b"\xf1"}
        capitals = {letter.upper(): code.decode("latin-1").upper().encode("latin-1") for letter, code in table.items()}
        return table | capitals | {"\xa0": b"\xa0"}
    return {letter: _windows_1258(letter) for letter in LETTERS + "\xa0ŒœßÿŸçñäöüÄÖÜåÅæøÆØëï" if letter > "~"}


def _windows_1258(letter: str) -> bytes:
    """As Windows writes it: shape and letter in one, the tone behind it."""
    parts = unicodedata.normalize("NFD", letter)
    tone = next((mark for mark in parts if mark in TONES), "")
    return (unicodedata.normalize("NFC", parts.replace(tone, "") if tone else parts) + tone).encode("cp1258")


def _by_vowel(rows, code):  # type: ignore[no-untyped-def]
    return {
        unicodedata.normalize("NFC", vowel + tone): code(cell)
        for vowel, row in rows.items()
        for tone, cell in zip(("", *TONES), row.split(), strict=True)
    }
