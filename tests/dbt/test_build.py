"""One build: what it leaves behind, what it touches, and what it says when it fails."""

from __future__ import annotations

import shutil
import threading
from datetime import date
from pathlib import Path

import pytest
import yaml

from p06 import build, contract, database, marts, project
from p06.build import BuildFailed, BuildSpec
from p06.period import Period
from p06.settings import settings
from tests.dbt.hand_staged import Row, Warehouse, fresh

AN, BE = 1190000001, 1190000002
CANARY = "Nguyễn Thị Chim Yến"
PERSON: Row = {"full_name": CANARY, "birth_date": date(1990, 5, 20), "sex": "F"}
FILE: Row = PERSON | {
    "institution_code": "B1", "customer_ref": "1", "institution_kind": "credit_institution", "channel": "app",
    "biometric_match": "matched", "account_status": "active",
}  # fmt: skip
HOLDING: Row = PERSON | {
    "parcel_id": "T1", "holder_no": 1, "commune_code": "00001", "land_type": "ONT", "area_m2": 300,
    "share_percent": "33.3", "data_group": "1",
}  # fmt: skip
PARTICIPATION: Row = PERSON | {
    "social_insurance_no": "0000000001", "participation": "voluntary", "commune_code": "00001",
    "insurance_card_no": "DN4010000000001",
}  # fmt: skip


@pytest.fixture
def edited(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the dbt project that a test may change."""
    copy = tmp_path / "dbt_project"
    shutil.copytree(settings().dbt_project, copy)
    monkeypatch.setenv("P06_DBT_PROJECT", str(copy))
    return copy


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_every_unit_test_of_the_models_passes(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": AN})
    warehouse.build("2024-01", test=False)
    assert build.unit_tests() == []


def test_a_wrong_formula_fails_its_unit_test(warehouse: Warehouse, edited: Path) -> None:
    warehouse.register("2024-01", {"citizen_id": AN})
    warehouse.build("2024-01", test=False)
    replace(edited / "models" / "indicators" / "indicator__id_card_rate.sql", "age >= 14", "age >= 13")
    replace(edited / "models" / "identity" / "matching" / "int_match_old_id.sql", "having count(*) = 1", "")
    assert sorted(build.unit_tests()) == [
        "an_old_number_matches_when_exactly_one_citizen_has_it",
        "id_card_rate_counts_living_citizens_aged_14_and_over",
    ]


def test_every_indicator_and_every_matching_step_has_a_unit_test() -> None:
    tested = set()
    for path in (settings().dbt_project / "models").rglob("_unit_tests.yml"):
        tested |= {test["model"] for test in yaml.safe_load(path.read_text())["unit_tests"]}
    models = settings().dbt_project / "models"
    wanted = {path.stem for path in (models / "indicators").glob("indicator*.sql")} - {"indicator"}
    wanted |= {path.stem for path in (models / "identity" / "matching").glob("int_match*.sql")}
    assert wanted - tested == set()


def test_what_a_citizen_has_is_counted_from_matched_rows(warehouse: Warehouse) -> None:
    warehouse.register(
        "2024-01", {"citizen_id": AN} | PERSON, {"citizen_id": BE, "full_name": "Trần Văn Bé", "sex": "M"}
    )
    warehouse.sector(
        "bank_kyc", "2024-01", FILE | {"citizen_id": AN}, FILE | {"citizen_id": AN, "biometric_match": "mismatched"}
    )
    warehouse.sector(
        "land_parcel",
        "2024-01",
        HOLDING | {"citizen_id": AN},
        HOLDING | {"citizen_id": AN, "holder_no": 2},
        HOLDING | {"citizen_id": AN, "parcel_id": "T2", "share_percent": 100, "area_m2": "0.5"},
        HOLDING | {"citizen_id": BE, "parcel_id": "T3"},  # not who the register knows: a conflict
    )
    warehouse.sector(
        "social_security_participation",
        "2024-01",
        PARTICIPATION | {"citizen_id": AN, "card_valid_to": date(2024, 1, 31)},
    )
    assert warehouse.build("2024-01") == []
    found = warehouse.rows(
        "select sex, kyc_records, kyc_biometric_matched, land_parcels, land_area_m2::text, has_health_insurance,"
        " has_social_insurance, is_student, health_visits from marts.citizen_month order by sex"
    )
    assert found == [
        ("F", 2, 1, 2, "200.3", True, True, None, None),
        ("M", 0, 0, 0, "0", False, False, None, None),
    ]


@pytest.mark.parametrize(
    ("card", "insured"),
    [
        ({"card_valid_from": date(2024, 1, 31)}, True),
        ({"card_valid_from": date(2024, 2, 1)}, False),
        ({"card_valid_to": date(2024, 1, 30)}, False),
        ({"insurance_card_no": None}, False),
    ],
)
def test_a_card_insures_while_it_is_valid_on_the_last_day(warehouse: Warehouse, card: Row, insured: bool) -> None:
    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    warehouse.sector("social_security_participation", "2024-01", PARTICIPATION | {"citizen_id": AN} | card)
    warehouse.build("2024-01", test=False)
    assert warehouse.rows("select has_health_insurance from marts.citizen_month") == [(insured,)]


def test_a_build_of_one_month_touches_no_other(warehouse: Warehouse) -> None:
    for period in ("2024-01", "2024-02"):
        warehouse.register(period, {"citizen_id": AN} | PERSON)
        warehouse.sector("bank_kyc", period, FILE | {"citizen_id": AN})
    warehouse.build("2024-01", test=False)
    january = warehouse.rows("select *, tableoid, xmin from build.fct_bank_kyc", "builder")
    warehouse.build("2024-02", test=False)
    assert (
        warehouse.rows("select *, tableoid, xmin from build.fct_bank_kyc where period = '2024-01-01'", "builder")
        == january
    )
    assert warehouse.rows("select period::text, records from marts.match_summary order by 1") == [
        ("2024-01-01", 1),
        ("2024-02-01", 1),
    ]


def test_an_unpublished_build_is_seen_by_nobody_and_can_be_dropped(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    warehouse.sector("bank_kyc", "2024-01", FILE | {"citizen_id": AN})
    warehouse.build("2024-01", test=False)
    warehouse.sector("bank_kyc", "2024-01", FILE | {"citizen_id": AN}, FILE | {"customer_ref": "2"})
    warehouse.build("2024-01", publish=False, test=False)
    assert warehouse.rows("select count(*) from marts.fct_bank_kyc") == [(1,)]
    with database.connect("builder", autocommit=True) as connection:
        dropped = marts.drop_builds(connection, [warehouse.builds])
        left = connection.execute("select distinct build_id from build.citizen_month").fetchall()
    assert "fct_bank_kyc__202401__2" in dropped
    assert left == [(1,)]
    assert warehouse.rows("select count(*) from marts.fct_bank_kyc") == [(1,)]


def test_a_cleanup_that_gains_something_goes_on_however_long_readers_make_it_wait(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marts, "_IN_VAIN", 3.0)
    read = ("citizen_month", "fct_bank_kyc", "fct_health_visit", "indicator", "match_summary", "reconciliation")
    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    warehouse.build("2024-01", publish=False, test=False)
    done = threading.Event()

    def look() -> None:
        with database.connect("analyst") as connection:
            while not done.is_set():
                for mart in read:
                    connection.execute(f"select count(*) from marts.{mart}".encode())
                done.wait(0.7)
                connection.commit()

    reader = threading.Thread(target=look)
    reader.start()
    try:
        with database.connect("builder", autocommit=True) as connection:
            dropped = marts.drop_builds(connection, [warehouse.builds])
            assert warehouse.builds not in marts.builds_with_leaves(connection)
    finally:
        done.set()
        reader.join()
    assert {leaf.partition("__")[0] for leaf in dropped} >= set(read)


def test_the_same_build_run_again_replaces_its_own_rows(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    warehouse.sector("bank_kyc", "2024-01", FILE | {"citizen_id": AN})
    warehouse.build("2024-01", test=False)
    register = tuple(ref for ref in warehouse.accepted.values() if ref.source == "population_register")
    extracts = {ref.source: ref for ref in warehouse.accepted.values() if ref.source != "population_register"}
    january = Period(2024, 1)
    with database.connect("builder") as connection:
        connection.execute("update control.build set state = 'running'")
    assert build.build(BuildSpec(warehouse.builds, january, extracts, register, january, 1, 1)) == []
    assert warehouse.rows("select count(*) from marts.fct_bank_kyc") == [(1,)]


def test_rows_that_break_a_test_of_the_models_are_counted_not_shown(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    warehouse.sector("bank_kyc", "2024-01", FILE, FILE | {"customer_ref": "2"})
    with database.connect("loader") as connection:
        leaf = warehouse.accepted["bank_kyc", Period(2024, 1)].leaf
        connection.execute(f"update staging.{leaf} set record_key = '00000000-0000-0000-0000-000000000000'")
    failed = warehouse.build("2024-01", publish=False)
    assert [(test.name, test.model, test.failures) for test in failed] == [
        ("fct_bank_kyc_has_one_row_per_record", "fct_bank_kyc", 1)
    ]


def test_a_lost_row_fails_the_reconciliation(warehouse: Warehouse, edited: Path) -> None:
    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    warehouse.sector("bank_kyc", "2024-01", FILE | {"citizen_id": AN}, FILE | {"customer_ref": "2"})
    replace(
        edited / "macros" / "fact.sql",
        "select * from {{ ref('stg_' ~ source_name) }}",
        "select * from {{ ref('stg_' ~ source_name) }} where citizen_id is not null",
    )
    assert [test.name for test in warehouse.build("2024-01", publish=False)] == ["every_staged_row_is_published"]


def test_a_crash_names_the_model_and_no_value(warehouse: Warehouse, edited: Path) -> None:
    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    (edited / "models" / "identity" / "int_late_death.sql").write_text(
        "select name_norm::bigint as root_id from {{ ref('int_register_number') }} where citizen_id > 0"
    )
    with pytest.raises(BuildFailed) as raised:
        warehouse.build("2024-01", test=False)
    assert raised.value.code == "P06-BUILD-001"
    assert raised.value.where == {"model": "int_late_death", "reason": "the database refused it"}
    assert_no_value(settings().home / "dbt")


def test_no_value_reaches_what_dbt_keeps(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    warehouse.sector("bank_kyc", "2024-01", FILE | {"citizen_id": BE})
    warehouse.build("2024-01", test=False)
    assert_no_value(settings().home / "dbt")
    assert not (settings().dbt_project / "target").exists()
    assert not (settings().dbt_project / "logs").exists()


def assert_no_value(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    for path in files:
        content = path.read_bytes()
        for value in (CANARY, CANARY.lower(), str(AN), str(BE)):
            assert value.encode() not in content, path.name


def test_a_changed_model_is_another_hash(edited: Path) -> None:
    before = build.model_hash()
    replace(edited / "models" / "indicators" / "indicator__id_card_rate.sql", "14 and over", "14 and  over")
    assert build.model_hash() != before


def test_a_contract_without_a_staging_model_is_named(edited: Path) -> None:
    (edited / "models" / "staging" / "banking" / "stg_bank_kyc.sql").unlink()
    with pytest.raises(Exception, match="P06-BUILD-004"):
        build.model_hash()


def test_staging_models_read_each_column_of_their_contract() -> None:
    for known in contract.load_all().values():
        if known.is_sector_source:
            path, text = project.staging_model(known)
            assert (settings().dbt_project / path).read_text().splitlines()[1:] == text.splitlines()[1:], path


def test_the_views_are_made_once_and_read_before_anything_was_built(warehouse: Warehouse) -> None:
    assert marts.sync() is False
    names = {
        name
        for (name,) in warehouse.rows("select table_name from information_schema.views where table_schema = 'marts'")
    }
    open_to_all = [known for known in contract.load_all().values() if known.mart and not known.restricted]
    facts = {str(known.mart) for known in open_to_all}
    restated = {f"{known.mart}_restated" for known in open_to_all if known.commune_column}
    wanted = facts | restated | {"citizen_month_restated"} | {
        "dim_citizen", "citizen_month", "indicator", "indicator_restated", "indicator_edition", "reconciliation",
        "match_summary", "dim_area", "area_change", "area_today", "indicator_commune_restated", "release", "footnote",
        "indicator_count", "indicator_change", "indicator_target", "published_figure", "published_comparison",
        "linked_birth", "linked_death", "payment_after_death",
        "scorecard", "scorecard_timing",
    }  # fmt: skip
    assert names == wanted
    printed = {"published_figure", "published_comparison", "indicator_target"}
    for name in wanted - {"dim_area", "area_change", "area_today"} - printed:
        assert warehouse.rows(f"select count(*) from marts.{name}") == [(0,)]
    assert warehouse.rows("select count(*) from marts.dim_area where level = 'province' and valid_to is null") == [
        (34,)
    ]


def test_a_new_column_is_added_at_the_end_and_old_builds_stay_readable(warehouse: Warehouse, edited: Path) -> None:
    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    warehouse.build("2024-01", test=False)
    yml = edited / "models" / "marts" / "quality" / "_quality.yml"
    replace(
        yml,
        "      - name: records\n",
        '      - name: share\n        data_type: integer\n        description: d\n        config: {meta: {vi: "m"}}\n      - name: records\n',
    )
    replace(
        edited / "models" / "marts" / "quality" / "match_summary.sql",
        "    count(*) as records",
        "    7 as share,\n    count(*) as records",
    )
    warehouse.sector("bank_kyc", "2024-02", FILE)
    warehouse.register("2024-02", {"citizen_id": AN} | PERSON)
    assert warehouse.build("2024-02") == []
    columns = [
        name
        for (name,) in warehouse.rows(
            "select column_name from information_schema.columns where table_schema = 'marts' and table_name = 'match_summary' order by ordinal_position"
        )
    ]
    assert columns == ["period", "source", "province_code", "match_method", "records", "share"]
    assert warehouse.rows("select share, records from marts.match_summary") == [(7, 1)]
    then = "select share, records from marts.match_summary_as_published(clock_timestamp())"
    assert warehouse.rows(then) == [(7, 1)]


def test_a_required_column_is_demanded_of_the_mart_only_while_it_is_in_force(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "contracts"
    shutil.copytree(settings().contracts, folder)
    path = folder / "bank_kyc.odcs.yaml"
    document = yaml.safe_load(path.read_text())
    column = next(item for item in document["schema"][0]["properties"] if item["name"] == "account_status")
    column["customProperties"].append({"property": "since", "value": "2024-02"})
    path.write_text(yaml.safe_dump(document, allow_unicode=True))
    monkeypatch.setenv("P06_CONTRACTS", str(folder))
    settings.cache_clear()
    without = {name: value for name, value in FILE.items() if name != "account_status"}
    for period in ("2024-01", "2024-02"):
        warehouse.register(period, {"citizen_id": AN} | PERSON)
    warehouse.sector("bank_kyc", "2024-01", without)
    assert warehouse.build("2024-01") == []
    warehouse.sector("bank_kyc", "2024-02", FILE)
    assert warehouse.build("2024-02") == []
    assert warehouse.rows("select account_status from marts.fct_bank_kyc order by period") == [(None,), ("active",)]
    warehouse.sector("bank_kyc", "2024-02", without)
    assert [test.name for test in warehouse.build("2024-02", publish=False)] == [
        "fct_bank_kyc_has_account_status_while_it_is_required"
    ]


def test_only_the_view_that_changed_waits_for_its_readers(warehouse: Warehouse, edited: Path) -> None:
    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    warehouse.build("2024-01", test=False)
    marked = "select ev_class::regclass::text, xmin::text from pg_rewrite where ev_class::regclass::text like 'marts.%'"
    with database.connect("admin") as connection:
        before = dict(connection.execute(marked).fetchall())
    replace(
        edited / "models" / "marts" / "quality" / "_quality.yml",
        "      - name: records\n",
        '      - name: records\n        data_type: bigint\n        description: d\n        config: {meta: {vi: "m"}}\n'
        "      - name: portion\n",
    )
    with database.connect("analyst") as reader:
        assert reader.execute("select count(*) from marts.citizen_month").fetchone() == (1,)
        assert marts.sync() is True  # it gives up, as Busy, when it has to wait for a reader all the time
    with database.connect("admin") as connection:
        after = dict(connection.execute(marked).fetchall())
    assert {name for name in after if after[name] != before.get(name)} == {"marts.match_summary"}


def test_only_those_who_may_see_who_a_citizen_is(warehouse: Warehouse) -> None:
    import psycopg

    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    warehouse.build("2024-01", test=False)
    assert warehouse.rows("select citizen_id from identified.dim_citizen", "identified") == [("001190000001",)]
    for relation in ("identified.dim_citizen", "build.citizen_month", "vault.citizen_history", "vault.int_match_id"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            warehouse.rows(f"select * from {relation}")


def test_a_second_build_in_the_process_is_told_its_own_month_without_a_second_parse(
    warehouse: Warehouse, dbt_home: Path
) -> None:
    warehouse.register("2024-01", {"citizen_id": AN} | PERSON)
    warehouse.build("2024-01", test=False)
    kept = build._kept[dbt_home / "dbt"][1]
    other = fresh()
    other.register("2024-02", {"citizen_id": BE})
    other.build("2024-02", test=False)
    assert build._kept[dbt_home / "dbt"][1] is kept
    assert other.rows("select period::text from marts.citizen_month") == [("2024-02-01",)]
