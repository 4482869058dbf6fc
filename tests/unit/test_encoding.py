"""Files in the encodings of twenty years come out as UTF-8 in NFC, however they are cut, with nothing lost."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.encoders import LETTERS, TONES, encode

from p06.charset import charset
from p06.encoding import composed, transcoder
from p06.manifest import ENCODINGS

BYTE_ENCODINGS = ("windows-1258", "tcvn3", "vni", "viscii")
KEPT = re.compile(rb"\xff([0-9A-F]{2})")
ICONV = shutil.which("iconv")


def utf8(encoding: str, data: bytes, *cuts: int) -> bytes:
    """The whole file through a transcoder, cut at these places."""
    reader = transcoder(encoding)
    assert reader is not None
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return b"".join(reader.feed(data[a:b], False) for a, b in itertools.pairwise(places)) + reader.feed(b"", True)


def original(transcoded: bytes) -> bytes:
    """Transcoded bytes with those that meant nothing put back."""
    return KEPT.sub(lambda kept: bytes.fromhex(kept[1].decode()), transcoded)


def as_tcvn3_reads(text: str) -> str:
    """Toned capitals have no code of their own in TCVN3: they are small letters drawn by another font."""
    return "".join(letter if letter in "ĂÂÊÔƠƯĐ" or letter.isascii() else letter.lower() for letter in text)


def test_utf_8_needs_no_transcoder_and_every_other_encoding_of_manifests_has_one() -> None:
    assert [encoding for encoding in ENCODINGS if transcoder(encoding) is None] == ["utf-8"]
    with pytest.raises(KeyError):
        transcoder("latin-1")


@pytest.mark.parametrize("encoding", ENCODINGS[1:])
def test_every_letter_of_vietnamese_is_read(encoding: str) -> None:
    expected = as_tcvn3_reads(LETTERS) if encoding == "tcvn3" else LETTERS
    assert len(set(LETTERS)) == 12 * 6 * 2 + 2
    assert utf8(encoding, encode(LETTERS, encoding)).decode() == expected


# ------------------------------------------------- proven against others


def outside(name: str, data: bytes) -> str | None:
    """What glibc reads, None when the bytes mean nothing to it."""
    done = subprocess.run([ICONV or "", "-f", name, "-t", "UTF-8"], input=data, capture_output=True, check=False)
    return done.stdout.decode() if done.returncode == 0 else None


def test_each_byte_of_viscii_windows_1258_and_tcvn3_is_what_iconv_says() -> None:
    names = {"viscii": "VISCII", "windows-1258": "CP1258", "tcvn3": "TCVN5712-1"} if ICONV else {}
    for encoding, name in names.items():
        letters = charset(encoding).letters
        found = {code: (letters[code], outside(name, bytes([code]))) for code in range(256) if letters[code]}
        if encoding == "tcvn3":  # the full VN1 of iconv puts capitals on control codes, which VN3 does not
            found = {code: pair for code, pair in found.items() if code >= 0x20}
        assert {code: pair for code, pair in found.items() if pair[0] != pair[1]} == {}
        if encoding != "tcvn3":
            absent = [code for code in range(256) if letters[code] is None]
            assert [code for code in absent if outside(name, bytes([code]))] == []


def test_each_letter_written_by_iconv_is_read() -> None:
    for encoding, name in {"viscii": "VISCII", "windows-1258": "CP1258"}.items() if ICONV else ():
        text = LETTERS + "\n"
        written = subprocess.run([ICONV or "", "-t", name], input=text.encode(), capture_output=True, check=True).stdout
        assert utf8(encoding, written).decode() == text
        assert outside(name, encode(text, encoding)) == text
    if ICONV:
        small = "".join(letter for letter in LETTERS if letter.islower() or letter in "ĂÂÊÔƠƯĐ")
        written = subprocess.run(
            [ICONV, "-t", "TCVN5712-1"], input=small.encode(), capture_output=True, check=True
        ).stdout
        assert (utf8("tcvn3", written).decode(), written) == (small, encode(small, "tcvn3"))


def test_windows_1258_is_pythons_own_table() -> None:
    known = [bytes([code]).decode("cp1258", "replace").replace("\ufffd", "") or None for code in range(256)]
    assert list(charset("windows-1258").letters) == known


def test_tcvn3_adds_seven_capitals_67_small_letters_and_the_no_break_space_to_ascii() -> None:
    added = [letter for letter in charset("tcvn3").letters[128:] if letter]
    assert len(added) == len(set(added)) == 75
    assert sorted(letter for letter in added if letter.isupper()) == sorted("ĂÂÊÔƠƯĐ")
    assert {letter for letter in added if letter.islower()} == {c for c in LETTERS if c.islower() and c > "z"}


@pytest.mark.parametrize(
    ("encoding", "shown", "text"),
    [
        # Texts as they are published: what the bytes look like to who takes them for Windows-1252.
        ("vni", "Coäng hoøa xaõ hoäi chuû nghóa Vieät Nam", "Cộng hòa xã hội chủ nghĩa Việt Nam"),
        ("vni", "COÄNG HOØA XAÕ HOÄI CHUÛ NGHÓA VIEÄT NAM", "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM"),
        ("vni", "Ñoäc laäp - Töï do - Haïnh phuùc", "Độc lập - Tự do - Hạnh phúc"),
        ("vni", "UÛY BAN NHAÂN DAÂN TÆNH", "ỦY BAN NHÂN DÂN TỈNH"),
        ("vni", "Caên cöù Luaät Toå chöùc HÑND vaø UBND", "Căn cứ Luật Tổ chức HĐND và UBND"),
        ("vni", "ñöôïc nhöõng Chæ thò Myõ", "được những Chỉ thị Mỹ"),
        ("vni", "MAËT BAÈNG TAÀNG", "MẶT BẰNG TẦNG"),
        ("vni", "an toaøn saün coù cuûa heä thoáng ñieàu haønh maùy tính", "an toàn sẵn có của hệ thống điều hành máy tính"),
        ("tcvn3", "Céng hßa x· héi chñ nghÜa ViÖt Nam", "Cộng hòa xã hội chủ nghĩa Việt Nam"),
        ("tcvn3", "§éc lËp - Tù do - H¹nh phóc", "Độc lập - Tự do - Hạnh phúc"),
        ("tcvn3", "QuyÕt ®Þnh cña Bé tr\u00adëng Bé Tµi chÝnh", "Quyết định của Bộ trưởng Bộ Tài chính"),
        ("tcvn3", "Ninh B×nh", "Ninh Bình"),
    ],
)  # fmt: skip
def test_published_samples_are_read(encoding: str, shown: str, text: str) -> None:
    assert utf8(encoding, shown.encode("cp1252")).decode() == text


def test_text_typed_for_an_all_capital_font_of_tcvn3_keeps_its_small_letters() -> None:
    assert utf8("tcvn3", "TRÇN V¡N §øC".encode("cp1252")).decode() == "TRầN VĂN ĐứC"


def test_a_mark_of_vni_is_read_behind_letters_of_either_case() -> None:
    assert utf8("vni", "AÙnh Aùnh aÙnh".encode("latin-1")).decode() == "Ánh Ánh ánh"


# ------------------------------------------------- cut anywhere

BLOCKS = st.lists(st.integers(0, 400), max_size=8)
VOWELS = "aăâeêioôơuưyAEIOUYĐđ"
TEXT = st.text(st.sampled_from(VOWELS + LETTERS + "".join(TONES) + '\u0302\u0306bN,;"\r\n\0<=>\u0338Å;'), max_size=60)


def bytes_of(encoding: str) -> st.SearchStrategy[bytes]:
    """Bytes in which letters and marks meet often."""
    known = charset(encoding)
    likely = sorted(known.marks | known.bases | set(b',"\r\n\0;aA')) or list(range(256))
    return st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(likely), max_size=90).map(bytes))


@pytest.mark.parametrize("encoding", BYTE_ENCODINGS)
@settings(max_examples=300)
@given(data=st.data(), cuts=BLOCKS)
def test_blocks_of_any_size_give_the_same_text(encoding: str, data: st.DataObject, cuts: list[int]) -> None:
    whole = data.draw(bytes_of(encoding))
    assert utf8(encoding, whole, *cuts) == utf8(encoding, whole) == utf8(encoding, whole, *range(len(whole)))


@settings(max_examples=300)
@given(whole=st.one_of(st.binary(max_size=60), TEXT.map(lambda text: text.encode("utf-16"))), cuts=BLOCKS)
@example("a\u0301".encode("utf-16-be"), [1, 2, 3])
@example("\U0001f600".encode("utf-16-le"), [1, 2, 3])
def test_utf_16_cut_anywhere_gives_the_same_text(whole: bytes, cuts: list[int]) -> None:
    assert utf8("utf-16", whole, *cuts) == utf8("utf-16", whole) == utf8("utf-16", whole, *range(len(whole)))


@pytest.mark.parametrize("encoding", ["windows-1258", "utf-16"])
def test_a_run_of_marks_without_end_is_neither_held_back_nor_joined(encoding: str) -> None:
    data = b"a" + b"\xec" * 100_000 if encoding == "windows-1258" else ("a" + "\u0301" * 100_000).encode("utf-16-le")
    reader = transcoder(encoding)
    assert reader is not None
    parts = [reader.feed(data[at : at + 10], False) for at in range(0, len(data), 10)]
    assert b"".join([*parts, reader.feed(b"", True)]).decode() == "á" + "\u0301" * 99_999
    assert b"".join(parts[:10]) != b""


# ------------------------------------------------- NFC, and nothing but letters


@given(text=st.text(st.sampled_from(LETTERS + "".join(TONES) + "\u0302\u0306\u031bbNçñ ,0"), max_size=60))
def test_letters_and_marks_in_any_form_become_nfc(text: str) -> None:
    expected = unicodedata.normalize("NFC", text).encode()
    for form in ("NFC", "NFD"):
        assert utf8("utf-16", unicodedata.normalize(form, text).encode("utf-16")) == expected  # type: ignore[arg-type]


def test_a_tone_may_come_in_one_with_its_letter_or_behind_it() -> None:
    assert utf8("windows-1258", b"H\xe0,H\xe0,Ha\xcc").decode() == "Hà,Hà,Hà"
    assert utf8("windows-1258", b"\xe2\xf2").decode() == "ậ"  # â and a dot below
    assert utf8("windows-1258", b"\xe1\xf2").decode() == unicodedata.normalize("NFC", "á\u0323")
    assert utf8("windows-1258", b"b\xec,\xec\r\xec\n").decode() == "b\u0301,\u0301\r\u0301\n"


@pytest.mark.parametrize("sign", ["<\u0338", "=\u0338", ">\u0338", "\u037e", "\u1fef", "\u212b", "\u2000", ",\u0301"])
def test_signs_stay_as_they_are_where_full_nfc_would_make_others_of_them(sign: str) -> None:
    assert utf8("utf-16", ("a" + sign + "b").encode("utf-16")).decode() == "a" + sign + "b"
    assert composed(sign) == sign


@pytest.mark.parametrize("encoding", BYTE_ENCODINGS)
@given(data=st.data())
def test_signs_digits_and_line_ends_neither_come_nor_go(encoding: str, data: st.DataObject) -> None:
    whole = data.draw(bytes_of(encoding))
    controls = b"\x02\x05\x06\x14\x19\x1e" if encoding == "viscii" else b""
    other = re.compile(rb"[A-Za-z\x80-\xff%s]" % controls)
    assert other.sub(b"", KEPT.sub(b"", utf8(encoding, whole))) == other.sub(b"", whole)


# ------------------------------------------------- bytes that mean nothing


@pytest.mark.parametrize(
    ("encoding", "row", "shown"),
    [
        ("tcvn3", b"a\x93b", b"a\xff93b"),
        ("tcvn3", b"\xaf\xff", b"\xffAF\xffFF"),
        ("windows-1258", b"a\xd2\x8a", "ả".encode() + b"\xff8A"),
        ("vni", b"b\xf9", b"b\xffF9"),  # a mark behind a letter that takes none
        ("vni", b"a\xf9\xf9", "á".encode() + b"\xffF9"),
        ("vni", b"\xf9a", b"\xffF9a"),
        ("vni", b"i\xf9", b"i\xffF9"),
        ("utf-16", b"\xff\xfea\x00\x00\xd8b\x00", b"a\xff00\xffD8b"),  # half a surrogate pair
        ("utf-16", b"a\x00\x00\xdc", b"a\xff00\xffDC"),
        ("utf-16", b"a\x00b", b"a\xff62"),  # half a character
        ("utf-16", b"a", b"\xff61"),
    ],
)
def test_a_byte_that_means_nothing_is_kept_behind_a_byte_no_utf_8_has(encoding: str, row: bytes, shown: bytes) -> None:
    assert utf8(encoding, row) == shown


@pytest.mark.parametrize("encoding", BYTE_ENCODINGS)
def test_only_the_row_of_such_a_byte_is_not_utf_8(encoding: str) -> None:
    bad = b"\x81" if encoding == "viscii" else b"\x9e"
    rows = utf8(encoding, b"1," + encode("Hòa", encoding) + b"\r\n2,x" + bad + b"y\r\n3," + encode("Đào", encoding))
    first, second, third = rows.split(b"\r\n")
    assert (first.decode(), third.decode()) == ("1,Hòa", "3,Đào")
    if encoding == "viscii":  # every byte means something in it
        assert second.decode() == "2,xẮy"
    else:
        with pytest.raises(UnicodeDecodeError):
            second.decode()
        assert original(second) == b"2,x" + bad + b"y"


@given(st.binary(max_size=80))
def test_of_tcvn3_every_byte_can_be_told_from_what_comes_out(data: bytes) -> None:
    codes = {letter: bytes([code]) for code, letter in enumerate(charset("tcvn3").letters) if letter}
    parts = KEPT.split(utf8("tcvn3", data))
    back = [
        bytes.fromhex(part.decode()) if index % 2 else b"".join(codes[letter] for letter in part.decode())
        for index, part in enumerate(parts)
    ]
    assert b"".join(back) == data


# ------------------------------------------------- UTF-16


@pytest.mark.parametrize("text", ["citizen_id,full_name\r\n001,Nguyễn Thị Hoà\r\n", "\tĐ", '"Ộ"'])
def test_the_byte_order_mark_or_the_first_character_says_the_order_of_utf_16(text: str) -> None:
    for order, mark in (("le", b"\xff\xfe"), ("be", b"\xfe\xff")):
        assert utf8("utf-16", mark + text.encode(f"utf-16-{order}")).decode() == text
        assert utf8("utf-16", text.encode(f"utf-16-{order}")).decode() == text


def test_without_either_utf_16_is_little_endian() -> None:
    assert utf8("utf-16", "Đỗ,1".encode("utf-16-le")).decode() == "Đỗ,1"
    assert utf8("utf-16", "Ạ".encode("utf-16-le")).decode() == "Ạ"


def test_an_empty_file_is_empty() -> None:
    assert [utf8(encoding, b"") for encoding in ENCODINGS[1:]] == [b""] * 5
    assert utf8("utf-16", b"\xff\xfe") == b""
