"""The shipped code lists hold what the contracts and the reform of 2025 need."""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from p06 import codelist
from p06.codelist import CodeListError

FOLDER = Path(__file__).resolve().parents[2] / "contracts" / "codelists"
REFORM = date(2025, 7, 1)
BEFORE = date(2025, 6, 30)
CITY = date(2026, 4, 30)


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


AREAS = rows("area")
EDGES = rows("area_change")


def units(level: str, day: date) -> dict[str, str]:
    """Code -> name of the rows of area.csv valid on a day; fails when a code is valid twice."""
    found = [
        row
        for row in AREAS
        if row["level"] == level and row["valid_from"] <= str(day) < (row["valid_to"] or "9999-12-31")
    ]
    assert len({row["code"] for row in found}) == len(found)
    return {row["code"]: row["name"] for row in found}


@pytest.mark.parametrize(
    ("level", "day", "count"),
    [
        ("province", date(2020, 1, 1), 63),
        ("province", BEFORE, 63),
        ("province", REFORM, 34),
        ("province", CITY, 34),
        ("commune", date(2025, 2, 28), 0),
        ("commune", date(2025, 3, 1), 10_040),
        ("commune", BEFORE, 10_040),
        ("commune", REFORM, 3_321),
        ("commune", CITY, 3_321),
    ],
)
def test_the_number_of_areas_on_a_day(level: str, day: date, count: int) -> None:
    assert len(units(level, day)) == count


def test_an_area_is_keyed_by_level_code_and_first_day() -> None:
    keys = Counter((row["level"], row["code"], row["valid_from"]) for row in AREAS)
    assert max(keys.values()) == 1


def test_province_52_means_two_provinces() -> None:
    assert units("province", BEFORE)["52"] == "Tỉnh Bình Định"
    assert units("province", REFORM)["52"] == "Tỉnh Gia Lai"


def test_dong_nai_is_a_city_since_30_april_2026() -> None:
    assert units("province", date(2026, 4, 29))["75"] == "Tỉnh Đồng Nai"
    assert units("province", CITY)["75"] == "Thành phố Đồng Nai"


@pytest.mark.parametrize("day", [BEFORE, REFORM, CITY])
def test_every_commune_lies_in_a_province_of_its_time(day: date) -> None:
    provinces = units("province", day)
    valid = [r for r in AREAS if r["level"] == "commune" and r["valid_from"] <= str(day) < (r["valid_to"] or "9999")]
    assert {row["parent_code"] for row in valid} == set(provinces)


@pytest.mark.parametrize("level", ["province", "commune"])
def test_every_edge_joins_two_areas_and_every_area_of_the_reform_has_one(level: str) -> None:
    edges = [edge for edge in EDGES if edge["level"] == level]
    assert {edge["effective_date"] for edge in edges} == {str(REFORM)}
    assert {edge["old_code"] for edge in edges} == set(units(level, BEFORE))
    assert {edge["new_code"] for edge in edges} == set(units(level, REFORM))


def test_each_old_area_has_one_default_successor_and_a_split_has_no_weight() -> None:
    defaults = Counter((edge["level"], edge["old_code"]) for edge in EDGES if edge["is_default"] == "1")
    fan = Counter((edge["level"], edge["old_code"]) for edge in EDGES)
    assert set(defaults.values()) == {1}
    assert set(defaults) == set(fan)
    for edge in EDGES:
        whole = fan[edge["level"], edge["old_code"]] == 1
        assert (edge["kind"], edge["weight"]) == (("whole", "1") if whole else ("split", ""))


def test_no_commune_leaves_the_successor_of_its_province() -> None:
    province_after = {edge["old_code"]: edge["new_code"] for edge in EDGES if edge["level"] == "province"}
    parent = {(row["code"], row["valid_from"]): row["parent_code"] for row in AREAS if row["level"] == "commune"}
    for edge in EDGES:
        if edge["level"] == "commune":
            old, new = parent[edge["old_code"], "2025-03-01"], parent[edge["new_code"], "2025-07-01"]
            assert province_after[old] == new


def test_the_list_of_communes_follows_the_version_of_the_manifest() -> None:
    old, old_shipped = codelist.commune_codes(date(2025, 3, 1))
    new, new_shipped = codelist.commune_codes(REFORM)
    assert (len(old), old_shipped, len(new), new_shipped) == (10_035, True, 3_321, True)
    assert "00001" in old and "00001" not in new
    assert {"11948", "19742", "20333", "21548", "26732"} == new - old


def test_a_version_before_the_first_list_uses_it_and_says_so() -> None:
    assert codelist.commune_codes(date(2024, 9, 1)) == (codelist.commune_codes(date(2025, 3, 1))[0], False)
    assert codelist.province_of("00001", date(2024, 9, 1)) == "01"


def test_a_commune_belongs_to_the_province_of_its_version() -> None:
    binh_dinh = next(r for r in AREAS if r["level"] == "commune" and r["parent_code"] == "77")
    successor = next(e for e in EDGES if e["old_code"] == binh_dinh["code"] and e["is_default"] == "1")
    assert codelist.province_of(binh_dinh["code"], BEFORE) == "77"
    assert codelist.province_of(successor["new_code"], REFORM) == "79"
    assert codelist.province_of("00001", REFORM) is None


def test_codes_are_five_digits() -> None:
    for day in (BEFORE, REFORM):
        assert all(len(code) == 5 and code.isdecimal() and code.isascii() for code in codelist.commune_codes(day)[0])


def test_birth_places_are_the_frozen_63() -> None:
    places = codelist.load("birth_place").codes(date(2026, 6, 1))
    assert places == {f"0{code}" for code in units("province", BEFORE)}
    entry = codelist.load("birth_place").entry("052", date(2026, 6, 1))
    assert entry is not None and entry.name == "Bình Định"


@pytest.mark.parametrize(
    ("name", "count", "some"),
    [
        ("ethnicity", 56, {"01", "54", "55", "99"}),
        ("insurance_object", 44, {"DN", "TE", "GD", "CN", "HT"}),
        ("land_type", 98, {"LUC", "ONT", "ODT", "CLN", "DTT", "TMD", "NTS"}),
    ],
)
def test_the_small_lists_hold_their_codes(name: str, count: int, some: set[str]) -> None:
    codes = codelist.load(name).codes(date(2024, 9, 1))
    assert len(codes) == count
    assert some <= codes


@pytest.mark.parametrize("name", codelist.names(FOLDER))
def test_every_list_is_nfc_trimmed_and_without_a_row_twice(name: str) -> None:
    found = [tuple(row.values()) for row in rows(name)]
    assert len(set(found)) == len(found)
    for row in found:
        for value in row:
            assert value == unicodedata.normalize("NFC", value).strip()
            assert "  " not in value


def test_the_hash_follows_the_content_and_not_the_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "colour.csv"
    path.write_bytes(b"code,name\nr,red\n")
    before = codelist.hash("colour", tmp_path)
    path.write_bytes(b"code,name\r\nr,red\r\n")
    assert codelist.hash("colour", tmp_path) == before
    path.write_bytes(b"code,name\nr,red\ng,green\n")
    assert codelist.hash("colour", tmp_path) != before
    assert codelist.load("colour", tmp_path).codes(REFORM) == {"r", "g"}


def test_codes_come_and_go_by_their_days(tmp_path: Path) -> None:
    (tmp_path / "colour.csv").write_text("code,valid_from,valid_to\nr,,2025-01-01\ng,2025-01-01,\n", "utf-8")
    colours = codelist.load("colour", tmp_path)
    assert colours.codes(date(2024, 12, 31)) == {"r"}
    assert colours.codes(date(2025, 1, 1)) == {"g"}


@pytest.mark.parametrize("content", [b"", b"code\n", b"name\nred\n", b"code,valid_from\nr,soon\n", b"code\n\xff\n"])
def test_a_list_that_cannot_be_read_has_its_code(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "colour.csv").write_bytes(content)
    with pytest.raises(CodeListError) as caught:
        codelist.load("colour", tmp_path)
    assert caught.value.code == "P06-CONTRACT-015"


def test_a_missing_list_has_its_code(tmp_path: Path) -> None:
    with pytest.raises(CodeListError) as caught:
        codelist.load("colour", tmp_path)
    assert caught.value.code == "P06-CONTRACT-008"


def _lists(folder: Path, supplement: str, name: str = "area_2026-04-30.csv") -> Path:
    for shipped in ("area", "area_change"):
        (folder / f"{shipped}.csv").write_bytes((FOLDER / f"{shipped}.csv").read_bytes())
    (folder / name).write_text(supplement, "utf-8")
    return folder


def test_a_supplement_ends_the_row_in_force_and_takes_its_province(tmp_path: Path) -> None:
    before = codelist.hash("area", FOLDER)
    folder = _lists(tmp_path, "level,code,valid_from,name\ncommune,00637,2026-04-30,Phường Khác\n")
    communes = codelist.load("commune", folder)
    names = [(communes.entry("00637", day) or pytest.fail("gone")).name for day in (date(2026, 4, 29), CITY)]
    assert names == ["Phường Đại Mỗ", "Phường Khác"]
    assert communes.codes(CITY) == codelist.load("commune", FOLDER).codes(CITY)
    assert (communes.entry("00637", CITY) or pytest.fail("gone")).parent == "01"
    assert codelist.hash("area", folder) != before, "every month is restated by the new list"
    (folder / "area_2026-04-30.csv").unlink()
    assert codelist.hash("area", folder) == before


def test_an_older_list_is_a_supplement_too(tmp_path: Path) -> None:
    rows = "".join(f"commune,{code},2024-09-01,2025-03-01,Xã {code},01\n" for code in ("00001", "99998"))
    folder = _lists(tmp_path, f"level,code,valid_from,valid_to,name,parent_code\n{rows}", "area_2024-09-01.csv")
    communes = codelist.load("commune", folder)
    assert communes.first_day == date(2024, 9, 1)
    assert communes.codes(date(2024, 10, 1)) == {"00001", "99998"}
    assert communes.codes(date(2025, 3, 1)) == codelist.load("commune", FOLDER).codes(date(2025, 3, 1))


@pytest.mark.parametrize(
    "rows",
    [
        "province,1,2026-04-30,,Thành phố Khác,\n",  # 01, written by a spreadsheet
        "commune,637,2026-04-30,,Phường Khác,01\ncommune,0637,2026-04-30,,Phường Khác,01\n",
        "commune,00637,2024-09-01,,Phường Khác,01\n",  # an older list that does not say when it ends
        "commune,00637,2026-04-30,2026-04-30,Phường Khác,01\n",
    ],
)
def test_a_supplement_names_no_area_twice_on_a_day(tmp_path: Path, rows: str) -> None:
    folder = _lists(tmp_path, f"level,code,valid_from,valid_to,name,parent_code\n{rows}")
    with pytest.raises(CodeListError) as caught:
        codelist.areas(folder)
    assert caught.value.code == "P06-CONTRACT-015"


def test_days_of_a_supplement_may_be_written_without_dashes(tmp_path: Path) -> None:
    folder = _lists(tmp_path, "level,code,valid_from,name\ncommune,00637,20260430,Phường Khác\n")
    rows = [row for row in codelist.areas(folder) if row["level"] == "commune" and row["code"] == "00637"]
    assert [(row["valid_from"], row["valid_to"]) for row in rows][1:] == [
        ("2025-07-01", "2026-04-30"),
        ("2026-04-30", ""),
    ]
