"""All sources in one month, staged by hand: every fact is built, matched and tested as its contract says."""

from __future__ import annotations

from datetime import date

from p06 import codelist, contract
from p06.contract import Column, Contract
from tests.dbt.hand_staged import Row, Warehouse, token

AN, BE, CHI = 1190000001, 1190000002, 1190000003
BORN = {AN: date(1990, 5, 20), BE: date(1990, 5, 21), CHI: date(1990, 5, 22)}
FIRST_SIX = {"bank_kyc", "education_enrolment", "health_visit", "land_parcel", "social_security_participation"}


def _self(citizen: int) -> Row:
    """Name, birth and sex as the register has them."""
    return {"full_name": f"Nguyễn Thị {chr(65 + citizen % 26)}", "birth_date": BORN[citizen], "sex": "F"}


def _value(column: Column) -> object:
    """Some value of a column that is required or carried into the mart."""
    if column.kind == "enum":
        return column.values[0]
    if column.codelist:
        return {codelist.COMMUNE: "00004", codelist.PROVINCE: "01"}.get(column.codelist, "9")
    by_kind = {"date": "2024-03-05", "timestamp": "2024-03-05T09:00:00+07:00", "integer": 1, "numeric": 1}
    return by_kind.get(column.kind, "00001"[: column.length or 5])


def _row(known: Contract, **values: object) -> Row:
    return {c.name: _value(c) for c in known.columns if c.name not in contract.IDENTITY and c.required} | values


def test_every_source_is_built_matched_and_tested_as_its_contract_says(warehouse: Warehouse) -> None:
    registers = {
        name: known for name, known in contract.load_all().items() if name not in FIRST_SIX and known.kind != "register"
    }
    warehouse.register("2024-01", *({"citizen_id": who} | _self(who) for who in BORN))
    warehouse.register(
        "2024-02", {"citizen_id": CHI, "status": "deceased", "death_date": date(2024, 1, 20)} | _self(CHI)
    )
    for source, known in registers.items():
        keys: list[Row] = [{known.key[-1]: number if known.column(known.key[-1]).kind == "integer" else f"0000{number}"}
                           for number in (1, 2, 3)]  # fmt: skip
        rows: list[Row] = [_row(known, **key) for key in keys]
        if known.has_identity:
            rows = [
                rows[0] | _self(AN) | {"citizen_id": AN},
                rows[1] | _self(BE),  # without a number, in another commune than that of residence
                rows[2] | _self(CHI) | {"citizen_id": CHI},
            ]
        warehouse.sector(source, "2024-03", *rows)
    assert warehouse.build("2024-03") == []
    for source, known in registers.items():
        place = "commune_code, " if known.commune_column else ""
        rows = warehouse.rows(
            f"select match_method, citizen_token::text, {place}province_code from build.{known.mart} order by 1, 2",
            "builder",
        )
        if not known.has_identity:
            assert {(row[0], row[1]) for row in rows} == {("none", None)}, source
            continue
        # a commune that is a residence is compared: then the row without a number finds nobody
        compared = known.compared_commune is not None
        by_name = ("none", None) if compared else ("name_birth", token(BE))
        assert sorted(row[:2] for row in rows) == sorted([("id", token(AN)), ("id", token(CHI)), by_name]), source
    assert set(warehouse.rows("select source, kind from build.identity_finding where kind ~ '^dece'", "builder")) == {
        ("eid_account", "deceased_listed"),
        ("party_member", "deceased_listed"),
        *((name, "deceased_served") for name, known in registers.items() if known.service_column),
    }
    assert {
        name
        for (name,) in warehouse.rows("select distinct source from build.reconciliation where published = 3", "builder")
    } == {*registers}
