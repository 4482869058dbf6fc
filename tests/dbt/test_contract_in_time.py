"""Contracts that change over time, as the marts see it: each month by its own shape."""

from __future__ import annotations

import copy
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from p06 import contract, database
from p06.period import Period
from p06.settings import settings
from tests.dbt.hand_staged import NEW_AREAS, OLD_AREAS, Row, Warehouse

MAI, LAN = 1190000001, 1190000002
PERSON: Row = {"full_name": "Nguyễn Thị Mai", "birth_date": date(1990, 5, 20), "sex": "F"}
PUPIL: Row = PERSON | {
    "citizen_id": MAI, "student_code": "S1", "school_code": "K1", "level": "university", "school_year": "2023-2024",
    "enrolment_status": "studying",
}  # fmt: skip


@pytest.fixture
def contracts(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The contracts in a folder of their own, unchanged so far."""
    shutil.copytree(settings().contracts, tmp_path / "contracts")
    monkeypatch.setenv("P06_CONTRACTS", str(tmp_path / "contracts"))
    settings.cache_clear()
    return tmp_path / "contracts"


def columns(path: Path, change: Any) -> None:
    document = yaml.safe_load(path.read_text("utf-8"))
    change(document["schema"][0]["properties"])
    path.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")


def test_a_column_the_register_gains_leaves_the_months_before_it_readable(
    warehouse: Warehouse, contracts: Path
) -> None:
    warehouse.register("2024-01", {"citizen_id": MAI, "eid_level": "1"}, {"citizen_id": LAN})

    def gains(properties: list[dict[str, Any]]) -> None:
        column = copy.deepcopy(next(one for one in properties if one["name"] == "old_id"))
        column |= {"name": "passport_no"}
        column["customProperties"].append({"property": "since", "value": "2024-02"})
        properties.insert(1, column)

    columns(contracts / "population_register.odcs.yaml", gains)
    january = warehouse.accepted["population_register", Period(2024, 1)]
    with database.connect("loader") as connection:  # as an accepted leaf gets it from its parent: at the end
        connection.execute(f"alter table staging.{january.leaf} add column passport_no text")
    warehouse.register("2024-02", {"citizen_id": LAN, "eid_level": "2", "passport_no": "123456789"})
    assert warehouse.build("2024-02") == []  # reads both months at once
    assert warehouse.rows("select valid_from::text, eid_level from marts.dim_citizen order by 1, 2") == [
        ("2024-01-01", "0"), ("2024-01-01", "1"), ("2024-02-01", "2"),
    ]  # fmt: skip


def test_a_fact_takes_its_province_from_the_commune_once_the_contract_has_one(
    warehouse: Warehouse, contracts: Path
) -> None:
    def begins(properties: list[dict[str, Any]]) -> None:
        column = next(one for one in properties if one["name"] == "commune_code")
        column["customProperties"].append({"property": "since", "value": "2024-02"})

    columns(contracts / "education_enrolment.odcs.yaml", begins)
    assert contract.load("education_enrolment").at(Period(2024, 1)).commune_column is None
    for month, commune in (("2024-01", {}), ("2024-02", {"commune_code": "21550"})):
        warehouse.register(month, PERSON | {"citizen_id": MAI, "residence_commune_code": "00001"})
        warehouse.sector("education_enrolment", month, PUPIL | commune)
        assert warehouse.build(month) == []
    assert warehouse.rows(
        "select period::text, match_method, province_code, commune_code, commune_valid_from::text"
        " from marts.fct_education_enrolment order by 1"
    ) == [("2024-01-01", "id", "01", None, None), ("2024-02-01", "id", "52", "21550", "2025-03-01")]
    rates = "select period::text, area_level, area_code from marts.indicator where indicator_code = 'match_rate.education_enrolment' order by 1, 2"
    assert warehouse.rows(rates) == [
        ("2024-01-01", "nation", "VN"), ("2024-02-01", "nation", "VN"), ("2024-02-01", "province", "52"),
    ]  # fmt: skip


def test_a_fact_takes_its_province_from_the_row_where_the_contract_says_so(
    warehouse: Warehouse, contracts: Path
) -> None:
    """Read in the list it was sent under, and told as of the period: 10 became 15 in July 2025, and 15 was another."""
    path = contracts / "education_enrolment.odcs.yaml"
    document = yaml.safe_load(path.read_text("utf-8"))
    for own in document["customProperties"]:
        own["property"] = own["property"].replace("communeColumn", "provinceColumn")
    column = next(one for one in document["schema"][0]["properties"] if one["name"] == "commune_code")
    column |= {"physicalType": "code(2)"}
    column["logicalTypeOptions"] = {}
    next(one for one in column["customProperties"] if one["property"] == "codelist")["value"] = "province"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    for month, areas in (("2025-06", OLD_AREAS), ("2025-07", OLD_AREAS), ("2025-08", NEW_AREAS)):
        warehouse.register(month, PERSON | {"citizen_id": MAI, "residence_commune_code": "00004"}, areas=areas)
        code = "15" if month == "2025-08" else "10"
        warehouse.sector("education_enrolment", month, PUPIL | {"commune_code": code}, areas=areas)
        assert warehouse.build(month) == []
    assert warehouse.rows("select period::text, province_code from marts.fct_education_enrolment order by 1") == [
        ("2025-06-01", "10"),
        ("2025-07-01", "15"),
        ("2025-08-01", "15"),
    ]
    assert warehouse.rows(
        "select period::text, area_code, numerator from marts.indicator"
        " where indicator_code = 'match_rate.education_enrolment' and area_level = 'province' order by 1"
    ) == [("2025-06-01", "10", 1), ("2025-07-01", "15", 1), ("2025-08-01", "15", 1)]
    assert warehouse.rows("select distinct province_code from marts.match_summary order by 1") == [("10",), ("15",)]
    assert warehouse.rows(
        "select period::text, province_code, denominator from marts.scorecard where source = 'education_enrolment'"
        " and measure = 'number_stated' and province_code <> 'VN' order by 1, 2"
    ) == [("2025-06-01", "10", 1), ("2025-07-01", "15", 1), ("2025-08-01", "15", 1)]
