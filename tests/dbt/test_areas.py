"""The map in time: what was reported, what it is called today, and how surely."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from p06 import codelist, database, marts
from p06.settings import settings
from tests.dbt.hand_staged import NEW_AREAS, OLD_AREAS, Row, Warehouse, token

MAI, LAN, HOA, CUC, DAO = 1190000001, 1190000002, 1190000003, 1190000004, 1190000005
WHO = {token(citizen): name for citizen, name in zip((MAI, LAN, HOA, CUC, DAO), "MLHCD", strict=True)}

DAI_MO = "00634"  # in Hà Nội, split in five; the default is 00637, and 00634 is today the ward of Tây Mỗ
XUAN_LA = "00103"  # in Hà Nội, split in four with 00611 the default; 00103 is today the ward of Tây Hồ
NHON_BINH = "21550"  # in Bình Định, province 52; whole into 21601 of Gia Lai, today's province 52
YEN_DO = "23557"  # in Gia Lai, then province 64; whole into 23563 of today's province 52

ADULT: Row = {"birth_date": date(1990, 5, 20), "sex": "F"}


def parcel(number: int, commune: str, group: str = "1") -> Row:
    return {
        "parcel_id": f"T{number}", "holder_no": 1, "commune_code": commune, "land_type": "ONT", "area_m2": 100,
        "share_percent": 100, "data_group": group, "full_name": "Trần Văn Khác", "birth_date": date(1980, 1, 1), "sex": "M",
    }  # fmt: skip


def living(citizen: int, commune: str, **more: Any) -> Row:
    return ADULT | {"citizen_id": citizen, "residence_commune_code": commune} | more


def months(warehouse: Warehouse, columns: str, view: str = "citizen_month_restated") -> list[tuple[Any, ...]]:
    """(month, who, columns …) of every citizen and month."""
    rows = warehouse.rows(f"select to_char(period, 'MM'), citizen_token::text, {columns} from marts.{view}")
    return sorted((month, WHO[who], *rest) for month, who, *rest in rows)


def crossing(warehouse: Warehouse) -> None:
    """June under the old list, July with one more person under the new; everyone is adult, M and H have a card."""
    card = {"id_card_issued_on": date(2025, 1, 1)}
    warehouse.register(
        "2025-06",
        living(MAI, DAI_MO, **card),
        living(LAN, XUAN_LA),
        living(HOA, NHON_BINH, **card),
        living(CUC, YEN_DO),
        areas=OLD_AREAS,
    )
    warehouse.register("2025-07", living(DAO, XUAN_LA), areas=NEW_AREAS)
    for month, areas in (("2025-06", OLD_AREAS), ("2025-07", NEW_AREAS)):
        warehouse.sector("land_parcel", month, parcel(1, DAI_MO), parcel(2, XUAN_LA, "2"), areas=areas)
        assert warehouse.build(month) == []


def test_the_july_2025_crossing_as_reported_and_restated(warehouse: Warehouse) -> None:
    """A commune split in five, a re-used commune code, province 52 before and after."""
    crossing(warehouse)
    reported = "residence_commune_code, residence_province_code, is_default_residence"
    assert months(warehouse, reported, "citizen_month") == [
        ("06", "C", YEN_DO, "64", False),
        ("06", "H", NHON_BINH, "52", False),
        ("06", "L", XUAN_LA, "01", False),
        ("06", "M", DAI_MO, "01", False),
        ("07", "C", "23563", "52", False),
        ("07", "D", XUAN_LA, "01", False),  # the digits are those of Xuân La, the place is Tây Hồ
        ("07", "H", "21601", "52", False),
        ("07", "L", "00611", "01", True),
        ("07", "M", "00637", "01", True),
    ]
    assert months(warehouse, "today_commune_code, today_province_code, allocation_quality, successors") == [
        ("06", "C", "23563", "52", "exact", 1),
        ("06", "H", "21601", "52", "exact", 1),
        ("06", "L", "00611", "01", "default", 4),
        ("06", "M", "00637", "01", "default", 5),
        ("07", "C", "23563", "52", "exact", 1),
        ("07", "D", XUAN_LA, "01", "exact", 1),
        ("07", "H", "21601", "52", "exact", 1),
        ("07", "L", "00611", "01", "default", 1),
        ("07", "M", "00637", "01", "default", 1),
    ]
    names = "select code, name, today_code, today_name from marts.area_today where level = '{}' and code = '{}' order by valid_from"
    assert warehouse.rows(names.format("province", "52")) == [
        ("52", "Tỉnh Bình Định", "52", "Tỉnh Gia Lai"),
        ("52", "Tỉnh Gia Lai", "52", "Tỉnh Gia Lai"),
    ]
    assert warehouse.rows(names.format("commune", XUAN_LA)) == [
        (XUAN_LA, "Phường Xuân La", "00611", "Phường Xuân Đỉnh"),
        (XUAN_LA, "Phường Tây Hồ", XUAN_LA, "Phường Tây Hồ"),
    ]


def test_the_crossing_in_indicators_of_provinces_and_communes(warehouse: Warehouse) -> None:
    crossing(warehouse)
    cards = "select to_char(period, 'MM'), area_code, numerator, denominator from marts.{} where indicator_code = 'id_card_rate' and area_level = 'province' order by 1, 2"
    assert warehouse.rows(cards.format("indicator")) == [
        ("06", "01", 1, 2), ("06", "52", 1, 1), ("06", "64", 0, 1), ("07", "01", 1, 3), ("07", "52", 1, 2),
    ]  # fmt: skip
    assert warehouse.rows(cards.format("indicator_restated")) == [
        ("06", "01", 1, 2), ("06", "52", 1, 2), ("07", "01", 1, 3), ("07", "52", 1, 2),
    ]  # fmt: skip
    communes = "select to_char(period, 'MM'), area_code, allocation_quality, numerator, denominator from marts.indicator_commune_restated where indicator_code = '{}' order by 1, 2, 3"
    assert warehouse.rows(communes.format("id_card_rate")) == [
        ("06", "00611", "default", 0, 1),
        ("06", "00637", "default", 1, 1),
        ("06", "21601", "exact", 1, 1),
        ("06", "23563", "exact", 0, 1),
        ("07", XUAN_LA, "exact", 0, 1),
        ("07", "00611", "default", 0, 1),
        ("07", "00637", "default", 1, 1),
        ("07", "21601", "exact", 1, 1),
        ("07", "23563", "exact", 0, 1),
    ]
    assert warehouse.rows(communes.format("land_clean_rate")) == [
        ("06", "00611", "default", 0, 1), ("06", "00637", "default", 1, 1),
        ("07", XUAN_LA, "exact", 0, 1), ("07", DAI_MO, "exact", 1, 1),
    ]  # fmt: skip
    versions = warehouse.rows("select citizen_token::text, valid_from::text from marts.dim_citizen")
    each = {"M": 2, "L": 2, "H": 2, "C": 2, "D": 1}
    assert Counter(WHO[who] for who, _ in versions) == each, "the flag of a split makes no version"


def test_who_is_sent_again_under_the_new_list_is_no_default_any_more(warehouse: Warehouse) -> None:
    warehouse.register("2025-06", living(MAI, DAI_MO), living(LAN, DAI_MO), areas=OLD_AREAS)
    warehouse.register("2025-07", living(HOA, "00004"), areas=NEW_AREAS)
    warehouse.register("2025-08", living(MAI, "09556"), living(LAN, "00637"), areas=NEW_AREAS)
    for month in ("2025-06", "2025-07", "2025-08"):
        warehouse.build(month, test=False)
    found = [
        row
        for row in months(warehouse, "residence_commune_code, is_default_residence", "citizen_month")
        if row[1] != "H"
    ]
    assert found == [
        ("06", "L", DAI_MO, False), ("06", "M", DAI_MO, False), ("07", "L", "00637", True), ("07", "M", "00637", True),
        ("08", "L", "00637", False), ("08", "M", "09556", False),
    ]  # fmt: skip
    versions = "select valid_from::text, valid_to::text, residence_commune_code from marts.dim_citizen where citizen_token = '{}' order by 1"
    assert warehouse.rows(versions.format(token(LAN))) == [
        ("2025-06-01", "2025-07-01", DAI_MO), ("2025-07-01", None, "00637"),
    ]  # fmt: skip


def test_a_correction_of_an_old_month_may_use_the_new_list(warehouse: Warehouse) -> None:
    warehouse.register("2025-06", living(MAI, XUAN_LA), areas=NEW_AREAS)
    warehouse.sector("land_parcel", "2025-06", parcel(1, XUAN_LA), areas=NEW_AREAS)
    for month in ("2025-06", "2025-07"):
        warehouse.build(month, test=False)
    assert months(
        warehouse, "residence_commune_code, residence_valid_from::text, today_commune_code, allocation_quality"
    ) == [(month, "M", XUAN_LA, "2025-07-01", XUAN_LA, "exact") for month in ("06", "07")]
    land = "select commune_code, commune_valid_from::text, today_commune_code, allocation_quality from marts.fct_land_holding_restated"
    assert warehouse.rows(land) == [(XUAN_LA, "2025-07-01", XUAN_LA, "exact")]
    assert len(warehouse.rows("select 1 from marts.dim_citizen")) == 1


def test_a_delivery_of_august_may_still_use_the_old_list(warehouse: Warehouse) -> None:
    warehouse.register("2025-08", living(MAI, DAI_MO), living(HOA, YEN_DO), areas=OLD_AREAS)
    warehouse.sector("land_parcel", "2025-08", parcel(1, DAI_MO), parcel(2, YEN_DO), areas=OLD_AREAS)
    warehouse.build("2025-08", test=False)
    assert months(warehouse, "residence_commune_code, residence_province_code, allocation_quality") == [
        ("08", "H", "23563", "52", "exact"), ("08", "M", "00637", "01", "default"),
    ]  # fmt: skip
    land = "select commune_code, commune_valid_from::text, province_code, today_commune_code, today_province_code, allocation_quality from marts.fct_land_holding_restated order by 1"
    assert warehouse.rows(land) == [
        (DAI_MO, "2025-03-01", "01", "00637", "01", "default"), (YEN_DO, "2025-03-01", "52", "23563", "52", "exact"),
    ]  # fmt: skip
    assert warehouse.rows("select area_code, allocation_quality from marts.indicator_commune_restated where indicator_code = 'land_clean_rate' order by 1") == [
        ("00637", "default"), ("23563", "exact"),
    ]  # fmt: skip


def test_a_period_after_30_april_2026_knows_the_city_of_dong_nai(warehouse: Warehouse) -> None:
    binh_phuoc = "25195"  # whole into the ward of the same code; the province 70 became part of 75
    warehouse.register("2025-06", living(MAI, binh_phuoc), areas=OLD_AREAS)
    for month in ("2025-06", "2026-05"):
        warehouse.build(month, test=False)
    assert months(warehouse, "residence_province_code, today_province_code, allocation_quality") == [
        ("05", "M", "75", "75", "exact"), ("06", "M", "70", "75", "exact"),
    ]  # fmt: skip
    path = "select code, valid_from::text, today_name, change, changed_on::text from marts.area_today where level = 'province' and code in ('70', '75') order by 1, 2"
    assert warehouse.rows(path) == [
        ("70", "1900-01-01", "Thành phố Đồng Nai", "whole", "2025-07-01"),
        ("75", "1900-01-01", "Thành phố Đồng Nai", "whole", "2025-07-01"),
        ("75", "2025-07-01", "Thành phố Đồng Nai", "none", None),
        ("75", "2026-04-30", "Thành phố Đồng Nai", "none", None),
    ]


def test_every_area_of_the_crosswalk_has_a_place_today(warehouse: Warehouse) -> None:
    counts = "select allocation_quality, successors, count(*) from marts.area_today where level = '{}' and valid_to = '2025-07-01' group by 1, 2 order by 2"
    assert warehouse.rows(counts.format("province")) == [("exact", 1, 63)]
    assert warehouse.rows(counts.format("commune")) == [
        ("exact", 1, 9569), ("default", 2, 397), ("default", 3, 58), ("default", 4, 15), ("default", 5, 1),
    ]  # fmt: skip
    assert warehouse.rows("select count(*) from marts.area_change where level = 'commune'") == [(10_602,)]
    today = "select level, count(*), count(distinct today_code) filter (where today_code = code) from marts.area_today where valid_to is null group by 1 order by 1"
    assert warehouse.rows(today) == [("commune", 3321, 3321), ("province", 34, 34)]
    assert warehouse.rows("select count(*) from marts.area_today where allocation_quality = 'unknown'") == [(0,)]
    assert warehouse.rows(
        "select split_predecessors from marts.area_today where code = '00637' and valid_to is null"
    ) == [(_parts("00637"),)]


def _parts(commune: str) -> int:
    """Split units of which a part lies in a commune, from the crosswalk itself."""
    edges = list(csv.DictReader((settings().codelists / "area_change.csv").open(encoding="utf-8")))
    return sum(edge["level"] == "commune" and edge["new_code"] == commune and edge["kind"] == "split" for edge in edges)


@pytest.fixture
def lists(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a copy of the code lists."""
    import shutil

    shutil.copytree(settings().contracts, tmp_path / "contracts")
    monkeypatch.setenv("P06_CONTRACTS", str(tmp_path / "contracts"))
    settings.cache_clear()
    return tmp_path / "contracts" / "codelists"


def test_a_list_supplied_later_gives_communes_their_new_names(warehouse: Warehouse, lists: Path) -> None:
    (lists / "area_2026-04-30.csv").write_text(
        "level,code,valid_from,name\ncommune,00637,2026-04-30,Phường Đại Mỗ Mới\n", "utf-8"
    )
    assert marts.sync() is True
    warehouse.register("2026-03", living(MAI, "00637"), areas=NEW_AREAS)
    for month in ("2026-03", "2026-04"):
        warehouse.build(month, test=False)
    assert months(warehouse, "residence_valid_from::text, today_commune_code, allocation_quality") == [
        ("03", "M", "2025-07-01", "00637", "exact"), ("04", "M", "2026-04-30", "00637", "exact"),
    ]  # fmt: skip
    assert len(warehouse.rows("select 1 from marts.dim_citizen")) == 1
    assert warehouse.rows(
        "select a.valid_from::text, a.valid_to::text, a.name, a.parent_code, t.today_name from marts.dim_area as a"
        " join marts.area_today as t using (level, code, valid_from) where a.code = '00637' order by 1"
    ) == [
        ("2025-03-01", "2025-07-01", "Phường Trung Văn", "01", "Phường Đại Mỗ Mới"),
        ("2025-07-01", "2026-04-30", "Phường Đại Mỗ", "01", "Phường Đại Mỗ Mới"),
        ("2026-04-30", None, "Phường Đại Mỗ Mới", "01", "Phường Đại Mỗ Mới"),
    ]
    (lists / "area_2026-04-30.csv").unlink()
    assert marts.sync() is True
    assert warehouse.rows("select count(*) from marts.dim_area where code = '00637'") == [(2,)]


def test_a_later_merger_is_rows_of_both_lists(warehouse: Warehouse, lists: Path) -> None:
    with (lists / "area_change.csv").open("a", encoding="utf-8") as file:
        file.write("commune,00611,00103,2026-07-01,whole,1,1\n")
    area = (lists / "area.csv").read_text("utf-8")
    ended = "commune,00611,2025-07-01,,Phường Xuân Đỉnh"
    assert area.count(ended) == 1
    (lists / "area.csv").write_text(
        area.replace(ended, "commune,00611,2025-07-01,2026-07-01,Phường Xuân Đỉnh"), "utf-8"
    )
    marts.sync()
    warehouse.register("2025-06", living(MAI, XUAN_LA), areas=OLD_AREAS)
    warehouse.register("2025-07", living(LAN, "00611"), areas=NEW_AREAS)
    for month in ("2025-06", "2025-07", "2026-07"):
        warehouse.build(month, test=False)
    columns = "to_char(period, 'YYYY-MM'), residence_commune_code, is_default_residence, today_commune_code, allocation_quality"
    assert sorted(row[1:] for row in months(warehouse, columns)) == [
        ("L", "2025-07", "00611", False, XUAN_LA, "exact"),
        ("L", "2026-07", XUAN_LA, False, XUAN_LA, "exact"),
        ("M", "2025-06", XUAN_LA, False, XUAN_LA, "default"),
        ("M", "2025-07", "00611", True, XUAN_LA, "default"),
        ("M", "2026-07", XUAN_LA, True, XUAN_LA, "default"),
    ]


def test_a_supplement_that_contradicts_the_list_has_its_code(lists: Path) -> None:
    for text in (
        "level,code,valid_from,name\ncommune,00637,2025-07-01,Phường Khác\n",  # a row of that day is there already
        "level,code,valid_from,name\ncommune,99999,2026-04-30,Phường Mới\n",  # a new commune without a province
        "level,code,valid_from\ncommune,00637,2026-04-30\n",
        "level,code,valid_from,name\ncommune,00637,soon,Phường Khác\n",
    ):
        (lists / "area_2026-04-30.csv").write_text(text, "utf-8")
        with pytest.raises(codelist.CodeListError) as raised:
            codelist.load(codelist.COMMUNE)
        assert raised.value.code == "P06-CONTRACT-015"
        with pytest.raises(Exception, match="P06-BUILD-006"):
            marts.sync()


def test_an_analyst_reads_what_became_of_areas_and_no_more(warehouse: Warehouse) -> None:
    import psycopg

    assert warehouse.rows("select count(*) from marts.area_today") == warehouse.rows(
        "select count(*) from marts.dim_area"
    )
    for relation in ("build.area_today", "build.area_path"):
        with database.connect("analyst") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"select 1 from {relation}")
