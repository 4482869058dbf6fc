"""A declared encoding that does not fit the bytes is found out, and the one that fits is named."""

from __future__ import annotations

import csv
import random
from functools import cache

import numpy as np
import pytest
from tests.encoders import ENCODINGS, can_encode, encode

from p06.codelist import AREA
from p06.likely import EVIDENCE, SAMPLE, encoding_mismatch, likely_encoding
from p06.settings import settings
from p06.syllable import is_syllable
from p06.synth.names import draw_names, peoples

LEGACY = ("windows-1258", "tcvn3", "vni", "viscii")
HIGHLANDS = (
    "Y Ê Ban\nNiê Êđê\nĐắk Lắk\nK'Hà\nH'Hên Niê\nKrông Búk\nEa H'đing\nCư M'gar\nRơ Châm\nKsor Hân\nKon Tum Kơ Nâm\nĐăk Rơ Wa"
    "\nMlô\nByă\nKbuôr\nÊban\nBlôk\nSiu Blưh\nNgọk Réo\nIa Tơi\nĐiểu Srây\nChă Patéh\nYưk\nƠ\nĐ\n"
)  # fmt: skip
FOREIGN = (
    "Müller\nFrançois Lefèvre\nMuñoz Nuñez\nJürgen Groß\nÅsa Öberg\nBjörk Guðmundsdóttir\nZoë Brontë\nŁukasz Żółw\n"
)


@cache
def communes() -> tuple[str, ...]:
    with (settings().contracts / "codelists" / f"{AREA}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(row["name"] for row in csv.DictReader(file) if row["level"] == "commune")


@cache
def people(rows: int, capitals: bool = False, seed: int = 1) -> str:
    """A csv file of synthetic people with the commune they live in."""
    draw = np.random.default_rng(seed)
    sex, year = draw.integers(0, 2, rows), draw.integers(1940, 2020, rows)
    names = draw_names(draw, sex, year, peoples(draw, rows)).text().to_pylist()
    places = draw.choice(np.array(communes(), object), rows)
    body = "".join(
        f"{1_190_000_000 + number:012d},{name},{place},1990-01-01\r\n"
        for number, (name, place) in enumerate(zip(names, places, strict=True))
    ).replace("ŭ", "u")  # of Ayŭn, which only Unicode has
    return "citizen_id,full_name,commune,birth_date\r\n" + (body.upper() if capitals else body)


@pytest.mark.parametrize("capitals", [False, True], ids=["names", "CAPITALS"])
@pytest.mark.parametrize("rows", [5, 20, 1000])
@pytest.mark.parametrize("true", ENCODINGS)
def test_the_right_encoding_may_stand_and_wrong_ones_are_refused_for_it(true: str, rows: int, capitals: bool) -> None:
    data = encode(people(rows, capitals), true)
    found = {declared: likely_encoding(declared, data) for declared in ENCODINGS}
    assert found == {declared: None if declared == true else true for declared in ENCODINGS}


@pytest.mark.parametrize("seed", range(10))
def test_so_it_is_for_any_twenty_people(seed: int) -> None:
    text = people(20, seed=seed + 100)
    found = {
        (true, declared): likely_encoding(declared, encode(text, true)) for true in ENCODINGS for declared in ENCODINGS
    }
    assert found == {(true, declared): None if declared == true else true for true, declared in found}


def test_a_file_cut_in_the_middle_of_a_letter_is_judged_as_well() -> None:
    for true in ENCODINGS:
        data = encode(people(20), true)
        for end in range(len(data) - 12, len(data)):
            assert [
                likely_encoding(declared, data[:end]) for declared in (true, "tcvn3" if true != "tcvn3" else "vni")
            ] == [
                None,
                true,
            ]


def test_only_the_beginning_of_a_file_is_looked_at() -> None:
    text = people(1000)
    data = text.encode() * (SAMPLE // len(text.encode()) + 1)
    assert likely_encoding("utf-8", data[:SAMPLE] + encode(text, "vni") * 9) is None


@pytest.mark.parametrize("share", [0.02, 0.1])
@pytest.mark.parametrize("true", ENCODINGS)
def test_a_few_damaged_rows_refuse_no_file(true: str, share: float) -> None:
    chance = random.Random(7)
    rows = [encode(row + "\r\n", true).removeprefix(b"\xff\xfe") for row in people(1000).split("\r\n")[:-1]]
    for number in range(1, len(rows)):
        if chance.random() < share:
            other = chance.choice([name for name in ENCODINGS if name not in (true, "utf-16")])
            damaged = encode(people(1000).split("\r\n")[number], other)
            rows[number] = damaged + (b"\r\0\n\0" if true == "utf-16" else b"\r\n")
            if true == "utf-16" and len(rows[number]) % 2:
                rows[number] = b" " + rows[number]
    mark = b"\xff\xfe" if true == "utf-16" else b""
    assert likely_encoding(true, mark + b"".join(rows)) is None


@pytest.mark.parametrize("true", LEGACY)
def test_a_few_rows_of_another_encoding_among_plain_ones_refuse_no_file(true: str) -> None:
    plain = "citizen_id,full_name\r\n" + "001190000001,NGUYEN VAN A\r\n" * 1000
    few = encode(people(20), true)
    assert likely_encoding("utf-8", plain.encode() + few) is None
    assert likely_encoding("utf-8", (plain[:4000]).encode() + few) == true


@pytest.mark.parametrize("true", ENCODINGS)
def test_one_damaged_value_in_every_row_refuses_no_file(true: str) -> None:
    if true == "utf-16":
        data = encode("1,Nguyễn Thị Hoà,\ufffd\ud7a3\n" * 500, true)
    else:
        data = (encode("1,Nguyễn Thị Hoà Đỗ Văn Tuấn,", true) + b"V\x98\xf9\xa1n H\xb5\n") * 500
    assert likely_encoding(true, data) is None


@pytest.mark.parametrize("true", ENCODINGS)
def test_names_of_the_highlands_pass(true: str) -> None:
    text = "".join(line + "\n" for line in HIGHLANDS.splitlines() if can_encode(line, true))
    assert text.count("\n") >= 22
    assert likely_encoding(true, encode(text, true)) is None


@pytest.mark.parametrize("true", ENCODINGS)
def test_foreign_names_pass(true: str) -> None:
    text = "".join(line + "\n" for line in FOREIGN.splitlines() if can_encode(line, true)) or "Muller\n"
    for lines in (text, *text.splitlines()):
        assert likely_encoding(true, encode(lines, true)) is None


@pytest.mark.parametrize("declared", [*LEGACY, "utf-8"])
def test_files_with_little_or_no_text_beyond_ascii_pass(declared: str) -> None:
    plain = "citizen_id,full_name\r\n" + "001190000001,NGUYEN VAN A\r\n" * 100
    assert likely_encoding(declared, plain.encode()) is None
    assert likely_encoding(declared, b"") is None
    few = " ".join(["Hoà", "Đỗ", "Lê", "Vũ", "Hồ"][: EVIDENCE - 1])
    for true in (*LEGACY, "utf-8"):
        assert likely_encoding(declared, plain.encode() + encode(few, true)) is None


def test_ascii_declared_as_utf_16_is_utf_8() -> None:
    assert likely_encoding("utf-16", b"citizen_id,full_name\r\n001190000001,NGUYEN VAN A\r\n") == "utf-8"
    assert likely_encoding("utf-16", "citizen_id\r\n1,Hoà\r\n".encode()) == "utf-8"
    assert likely_encoding("utf-16", b"") is None


def test_utf_16_whose_order_nothing_tells_is_named_with_its_order() -> None:
    text = "Đỗ Thị Mai,001190000001,1990-01-01\r\n" * 20
    assert likely_encoding("utf-16", text.encode("utf-16-be")) == "utf-16be"
    assert likely_encoding("utf-16", text.encode("utf-16-le")) is None
    assert likely_encoding("utf-16", b"\xfe\xff" + text.encode("utf-16-be")) is None
    assert likely_encoding("utf-8", b"\xfe\xff" + text.encode("utf-16-be")) == "utf-16"
    assert likely_encoding("vni", "1,Đỗ\r\n".encode("utf-16-be") * 20) == "utf-16"


@pytest.mark.parametrize("declared", LEGACY)
def test_a_byte_order_mark_of_utf_8_says_so_where_the_text_says_little(declared: str) -> None:
    assert likely_encoding(declared, b"\xef\xbb\xbfcitizen_id,full_name\r\n1,AN\r\n") == "utf-8"


@pytest.mark.parametrize("once", [*LEGACY, "utf-8"])
@pytest.mark.parametrize("within", ["utf-8", "utf-16"])
def test_text_once_taken_for_latin_1_and_saved_as_unicode_is_found_out(once: str, within: str) -> None:
    garbled = encode(people(20), once).decode("cp1252", "replace")
    assert likely_encoding(within, encode(garbled, within)) == f"{once} inside {within}"


def test_the_refusal_names_file_stated_and_likely_encoding_and_no_value() -> None:
    error = encoding_mismatch("tcvn3", encode(people(20), "vni"), 2)
    assert error is not None
    assert (error.code, error.where) == ("P06-LOAD-044", {"file": 2, "stated": "tcvn3", "likely": "vni"})
    assert error.what() == "The bytes do not fit the declared encoding (file 2, stated tcvn3, likely vni)"
    assert encoding_mismatch("vni", encode(people(20), "vni"), 2) is None


def test_an_unknown_encoding_is_not_judged() -> None:
    with pytest.raises(KeyError):
        likely_encoding("latin-1", b"1,Ho\xe0")


# ------------------------------------------------- syllables


def test_the_words_of_names_and_places_are_syllables() -> None:
    words = {word for word in people(1000).replace(",", " ").split() if word.isalpha() and not word.isascii()}
    strange = {word for word in words if not is_syllable(word)}
    assert len(words) > 400
    assert len(strange) / len(words) < 0.04


@pytest.mark.parametrize(
    "word",
    [
        "Nguyễn",
        "Thuỷ",
        "Thủy",
        "hoà",
        "hòa",
        "quý",
        "giếng",
        "khuỷu",
        "ngoằn",
        "nghiêng",
        "uỷ",
        "Ý",
        "yên",
        "ĐƯỜNG",
        "Đắk",
        "Lắk",
        "Búk",
        "Thoại",
        "Lượng",
        "nguye\u0302\u0303n",
    ],
)
def test_is_a_syllable(word: str) -> None:
    assert is_syllable(word)


@pytest.mark.parametrize(
    "word", ["Nguyeãn", "NguyÔn", "Nguyá»…n", "H¹nh", "Röôïu", "Häc", "Müller", "Ngừa\u0301", "Hảt", "đđ", "µ", ""]
)
def test_is_no_syllable(word: str) -> None:
    assert not is_syllable(word)


@pytest.mark.parametrize("text", [b"\0001,2\n", b"\0", b"a\0b,c\n\0", "\0Nguyễn,1\n".encode()])
def test_a_nul_in_a_short_file_does_not_make_it_utf_16(text: bytes) -> None:
    assert likely_encoding("utf-8", text) is None
