"""A source that was neither received for a month nor is due for it: nothing of it is built, and its mart has no row."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from p06 import build, contract, database, digest, marts, project, suite
from p06.period import Period
from p06.settings import settings
from p06.synth import SOURCES
from tests.dbt import hand_staged
from tests.dbt.hand_staged import NEW_AREAS, Row, Warehouse

JUNE = Period(2025, 6)
MAI = 1190000001
PERSON: Row = {"full_name": "Nguyễn Thị Mai", "birth_date": date(1990, 5, 20), "sex": "F", "citizen_id": MAI}
ACCOUNT: Row = PERSON | {
    "account_no": "A1", "level": "2", "registered_on": date(2024, 1, 5), "account_status": "active",
    "health_card_on_app": "yes", "commune_code": "00004",
}  # fmt: skip
IDLE = {source for source, known in contract.load_all().items() if known.due_from and known.due_from > JUNE}


def leaves(warehouse: Warehouse, build_id: int) -> set[str]:
    return {
        mart
        for (mart,) in warehouse.rows(
            f"select split_part(relname, '__', 1) from pg_class where relkind = 'r' and relname like '%\\_\\_{build_id}'"
        )
    }


@pytest.fixture
def month(warehouse: Warehouse) -> Warehouse:
    """A published month of the register alone."""
    warehouse.register("2025-06", {**PERSON, "residence_commune_code": "00004"})
    assert warehouse.build("2025-06") == []
    return warehouse


def test_a_source_that_was_not_sent_has_no_leaf_and_an_empty_mart(month: Warehouse) -> None:
    idle = {str(contract.load(source).mart) for source in IDLE}
    made = leaves(month, month.builds)
    assert len(idle) == len(contract.load_all()) - 6
    assert not made & idle
    assert made >= {str(known.mart) for known in contract.load_all().values() if known.mart} - idle
    assert all(month.rows(f"select count(*) from marts.{mart}", "sensitive") == [(0,)] for mart in idle)


def test_its_models_and_tests_are_left_out_and_no_others(month: Warehouse) -> None:
    told: list[str] = []
    spec = build.BuildSpec(0, JUNE, {}, (), JUNE, 1, 1)
    run = build._invoke
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_invoke", lambda *given, **more: run(*given[:2], told.append, *given[3:], **more))
        build.run_tests(spec)
    asked = {line.split()[0] for line in told}
    assert any(name.startswith("fct_bank_kyc_") for name in asked) and "every_staged_row_is_published" in asked
    assert not [name for name in asked for source in IDLE if name.startswith(f"{contract.load(source).mart}_")]


def test_sent_later_it_is_built_and_withdrawn_it_has_no_row_again(month: Warehouse) -> None:
    month.sector("eid_account", "2025-06", ACCOUNT)
    assert month.build("2025-06") == []
    assert "fct_eid_account" in leaves(month, month.builds)
    assert month.rows("select match_method, province_code, level from marts.fct_eid_account") == [("id", "01", "2")]
    sums = "select staged, matched, published from marts.reconciliation where source = 'eid_account'"
    assert month.rows(sums) == [(1, 1, 1)]
    month.withdraw("eid_account", "2025-06")
    assert month.build("2025-06") == []
    assert month.rows("select count(*) from marts.fct_eid_account") == [(0,)]
    assert month.rows(sums) == []


def test_a_row_without_a_person_is_counted_in_the_province_it_states(warehouse: Warehouse) -> None:
    warehouse.register("2025-08", PERSON | {"residence_commune_code": "00004"}, areas=NEW_AREAS)
    service: Row = {"service_code": "S1", "due": "yes", "integrated": "no"}
    warehouse.sector(
        "public_service_catalogue", "2025-08", service | {"province_code": "01"}, service | {"province_code": "15"},
        areas=NEW_AREAS,
    )  # fmt: skip
    assert warehouse.build("2025-08") == []
    told = "select province_code, match_method, records from marts.match_summary order by 1"
    assert warehouse.rows(told) == [("01", "none", 1), ("15", "none", 1)]


def test_gate_and_plan_name_what_is_built_and_nothing_else() -> None:
    idle = {str(contract.load(source).mart) for source in IDLE}
    judged, made = suite.marts_of(JUNE, ()), marts.of_a_month(JUNE)
    assert not set(judged) & idle and not set(made) & idle
    assert set(suite.marts()) - set(judged) == set(marts.of_a_month()) - set(made) == idle
    assert "fct_eid_account" in suite.marts_of(JUNE, ["eid_account"])
    assert suite.marts_of(Period(2027, 1), ()) == suite.marts()


def test_a_folder_of_fewer_contracts_is_a_whole_project(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = settings().contracts
    shutil.copytree(shipped / "codelists", tmp_path / "contracts" / "codelists")
    for source in SOURCES:
        shutil.copy(shipped / f"{source}.odcs.yaml", tmp_path / "contracts")
    monkeypatch.setenv("P06_CONTRACTS", str(tmp_path / "contracts"))
    settings.cache_clear()
    warehouse = hand_staged.fresh()
    warehouse.register("2025-06", {**PERSON, "residence_commune_code": "00004"})
    assert warehouse.build("2025-06") == []
    assert warehouse.rows("select count(*) from marts.citizen_month") == [(1,)]
    models = set(project.models())
    assert {"citizen_month", "indicator_count", "scorecard"} <= models
    assert not models & {"fct_eid_account", "linked_birth", "linked_death", "payment_after_death"}
    with database.connect("admin") as connection:
        assert {one.mart for one in digest.digest(connection)} >= {"citizen_month", "indicator"}
