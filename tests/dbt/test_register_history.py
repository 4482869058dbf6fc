"""The register in time, with a handful of people: whatever the order of months, the same versions."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from p06 import build, database, project
from p06.settings import settings
from tests.dbt.hand_staged import NEW_AREAS, OLD_AREAS, Row, Warehouse, fresh, token

MAI, LAN, HOA, CUC, DAO = 1190000001, 1190000002, 1190000003, 1190000004, 1190000005

# Residence codes: from July 2025 on 00001 is read as 00097; 00004 keeps its digits and means a larger unit.
JANUARY, MARCH = date(2024, 1, 1), date(2024, 3, 1)


def versions(warehouse: Warehouse, citizen: int, *columns: str) -> list[tuple[Any, ...]]:
    """(valid_from, valid_to, columns…) of a citizen, as readers see them."""
    wanted = ", ".join(["valid_from::text", "valid_to::text", *columns])
    return warehouse.rows(
        f"select {wanted} from marts.dim_citizen where citizen_token = '{token(citizen)}' order by valid_from"
    )


def everything(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """All that readers see, and the visible state of what the vault keeps."""
    visible = (
        "from vault.{0} t join control.register_state s"
        " on t.from_state <= s.state and (t.to_state is null or t.to_state > s.state)"
    )
    found = {}
    for name in ("citizen_history", "citizen_root", "dim_citizen_identity"):
        columns = ", ".join(f"t.{column.name}" for column in project.models()[name].columns)
        with database.connect("builder") as connection:
            found[name] = connection.execute(f"select {columns} {visible.format(name)} order by 1, 2, 3").fetchall()
    for name in ("dim_citizen", "citizen_month", "indicator", "reconciliation", "match_summary", "fct_health_visit"):
        found[name] = sorted(warehouse.rows(f"select * from marts.{name}"), key=repr)
    return found


def visit(number: int, citizen: int | None, **more: Any) -> Row:
    return {
        "visit_id": str(number),
        "citizen_id": citizen,
        "full_name": "Trần Văn Khác",
        "birth_date": date(1990, 5, 20),
        "sex": "F",
        "facility_code": "12345",
        "admitted_at": "2024-01-05T08:00:00Z",
        "main_diagnosis": "A00",
        "total_amount": 100,
        "insurance_paid": 80,
        "patient_paid": 20,
    } | more


MONTHS: dict[str, list[Row]] = {
    "2024-01": [
        {"citizen_id": MAI},
        {"citizen_id": LAN, "eid_level": "1"},
        {"citizen_id": HOA},
        {"citizen_id": CUC},
    ],
    "2024-02": [
        {"citizen_id": MAI, "full_name": "Nguyễn Thị Mới"},
        {"citizen_id": LAN, "eid_level": "2"},
        {"citizen_id": HOA, "record_op": "remove"},
    ],
    "2024-03": [
        {"citizen_id": DAO, "previous_citizen_id": CUC, "residence_commune_code": "00004"},
        {"citizen_id": HOA, "status": "emigrated"},
    ],
}


def load(warehouse: Warehouse, months: dict[str, list[Row]]) -> None:
    for period, rows in months.items():
        warehouse.register(period, *rows)
        warehouse.sector("health_visit", period, visit(1, MAI), visit(2, CUC), visit(3, LAN, sex="M"))


def test_a_row_that_changes_no_published_attribute_makes_no_version(warehouse: Warehouse) -> None:
    load(warehouse, MONTHS)
    for period in MONTHS:
        warehouse.state(period)
    assert versions(warehouse, MAI, "eid_level") == [("2024-01-01", None, "0")]
    assert versions(warehouse, LAN, "eid_level") == [("2024-01-01", "2024-02-01", "1"), ("2024-02-01", None, "2")]


def test_another_way_of_writing_a_name_is_no_change_and_no_other_name(warehouse: Warehouse) -> None:
    written = ["Trần Thị Thúy Hòa", "TRẦN THỊ THUÝ HOÀ", "Trần\u00a0Thị  Thu\u0301y Hoa\u0300\u200b"]
    for period, name in zip(MONTHS, written, strict=True):
        warehouse.register(period, {"citizen_id": MAI, "full_name": name})
        # of the three that identify, the birth date is another's: name and sex must agree
        rows = [visit(n, MAI, full_name=other, birth_date=JANUARY) for n, other in enumerate(written)]
        warehouse.sector(
            "health_visit", period, *rows, visit(9, MAI, full_name="Trần Thị Thúy Hoa", birth_date=JANUARY)
        )
    for period in MONTHS:
        warehouse.build(period, test=False)
    assert versions(warehouse, MAI, "sex") == [("2024-01-01", None, "F")]
    assert warehouse.rows("select full_name from identified.dim_citizen", "identified") == [(written[-1],)]  # as sent
    with database.connect("builder") as connection:
        names = connection.execute("select distinct name_norm from vault.citizen_history").fetchall()
    assert names == [("trần thị thuý hoà",)]
    methods = "select match_method, count(*) from marts.fct_health_visit group by 1 order by 1"
    assert warehouse.rows(methods) == [("conflict", 3), ("id", 9)]


def test_identity_is_that_of_the_last_row_inside_the_version(warehouse: Warehouse) -> None:
    load(warehouse, MONTHS)
    warehouse.state("2024-03")
    rows = warehouse.rows(
        f"select citizen_id, full_name from identified.dim_citizen where citizen_token = '{token(MAI)}'", "identified"
    )
    assert rows == [("001190000001", "Nguyễn Thị Mới")]


def test_a_removal_leaves_a_gap_until_the_return(warehouse: Warehouse) -> None:
    load(warehouse, MONTHS)
    for period in MONTHS:
        warehouse.build(period, test=False)
    assert versions(warehouse, HOA, "status") == [
        ("2024-01-01", "2024-02-01", "alive"),
        ("2024-03-01", None, "emigrated"),
    ]
    assert warehouse.rows(
        f"select period::text from marts.citizen_month where citizen_token = '{token(HOA)}' order by 1"
    ) == [("2024-01-01",)]


def test_a_number_established_anew_is_the_same_person_for_all_periods(warehouse: Warehouse) -> None:
    load(warehouse, MONTHS)
    for period in MONTHS:
        warehouse.build(period, test=False)
    assert versions(warehouse, DAO) == []
    assert versions(warehouse, CUC, "residence_commune_code") == [
        ("2024-01-01", "2024-03-01", "00001"),
        ("2024-03-01", None, "00004"),
    ]
    methods = f"select period::text, match_method from marts.fct_health_visit where citizen_token = '{token(CUC)}'"
    assert sorted(warehouse.rows(methods)) == [
        ("2024-01-01", "id"),
        ("2024-02-01", "id"),
        ("2024-03-01", "previous_id"),
    ]


def test_a_change_of_number_alone_makes_neither_a_gap_nor_a_version(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": CUC, "full_name": "Lê Thị Cúc"})
    warehouse.register("2024-02", {"citizen_id": DAO, "previous_citizen_id": CUC, "full_name": "Lê Thị Cúc"})
    warehouse.state("2024-02")
    assert versions(warehouse, CUC) == [("2024-01-01", None)]
    assert warehouse.rows("select citizen_id from identified.dim_citizen", "identified") == [("001190000005",)]


def test_a_new_number_stated_beyond_the_horizon_ends_nothing_yet(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": CUC, "full_name": "Lê Thị Cúc"})
    warehouse.register("2024-02", {"citizen_id": DAO, "previous_citizen_id": CUC, "full_name": "Lê Thị Cúc"})
    who = "select citizen_id from identified.dim_citizen"
    warehouse.state("2024-01")
    assert versions(warehouse, CUC) == [("2024-01-01", None)]
    with database.connect("builder") as connection:
        held = connection.execute("select citizen_id, valid_from::text, valid_to from vault.citizen_history").fetchall()
    assert held == [(CUC, "2024-01-01", None)]
    assert warehouse.rows(who, "identified") == [("001190000004",)]
    warehouse.state("2024-02")
    assert versions(warehouse, CUC) == [("2024-01-01", None)]
    assert warehouse.rows(who, "identified") == [("001190000005",)]
    assert_as_if_built_at_once(warehouse)


def assert_as_if_built_at_once(warehouse: Warehouse) -> None:
    """The register's history is what an empty vault makes of the same extracts in one state."""
    names = ("citizen_history", "citizen_root", "dim_citizen_identity", "dim_citizen")
    expected, last = everything(warehouse), warehouse.newest
    accepted = dict(warehouse.accepted)
    with database.connect("builder") as connection:
        tokens = connection.execute("select citizen_id, citizen_token from vault.citizen_token").fetchall()
    other = fresh()
    with database.connect("loader") as connection, connection.cursor() as cursor:
        cursor.executemany("insert into vault.citizen_token values (%s, %s)", tokens)
    other.accepted = accepted
    for ref in accepted.values():
        other.enter(ref)
    other.state(str(last))
    found = everything(other)
    assert {name: found[name] for name in names} == {name: expected[name] for name in names}


def test_of_several_numbers_held_at_once_the_one_further_along_the_chain_is_the_newest(warehouse: Warehouse) -> None:
    # CUC takes MAI's place and LAN takes CUC's, which only March tells.
    warehouse.register("2024-01", {"citizen_id": MAI}, {"citizen_id": CUC}, {"citizen_id": LAN, "eid_level": "2"})
    warehouse.register("2024-03", {"citizen_id": CUC, "previous_citizen_id": MAI})
    warehouse.register("2024-04", {"citizen_id": LAN, "previous_citizen_id": CUC, "eid_level": "2"})
    warehouse.state("2024-01")
    with database.connect("builder") as connection:
        held = connection.execute("select root_id, citizen_id from vault.citizen_history").fetchall()
        depths = connection.execute("select citizen_id, depth from vault.citizen_root order by 1").fetchall()
    assert held == [(MAI, LAN)]
    assert depths == [(MAI, 0), (LAN, 2), (CUC, 1)]
    assert versions(warehouse, MAI, "eid_level") == [("2024-01-01", None, "2")]


def test_in_a_circle_of_numbers_no_one_stands_further_along(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": HOA}, {"citizen_id": CUC}, {"citizen_id": DAO})
    warehouse.register(
        "2024-02",
        {"citizen_id": HOA, "previous_citizen_id": DAO},
        {"citizen_id": CUC, "previous_citizen_id": HOA},
        {"citizen_id": DAO, "previous_citizen_id": CUC},
    )
    warehouse.state("2024-01")
    with database.connect("builder") as connection:
        depths = connection.execute("select distinct depth from vault.citizen_root").fetchall()
        held = connection.execute("select root_id, citizen_id from vault.citizen_history").fetchall()
    assert (len(depths), held) == (1, [(HOA, DAO)])


def test_a_card_dated_ahead_counts_from_the_month_that_reaches_it(warehouse: Warehouse) -> None:
    warehouse.register(
        "2024-01",
        {"citizen_id": MAI, "id_card_issued_on": date(2024, 3, 31)},
        {"citizen_id": LAN, "id_card_issued_on": date(2024, 1, 31)},
        {"citizen_id": HOA, "id_card_issued_on": date(2024, 3, 1)},
        {"citizen_id": DAO, "id_card_issued_on": date(2024, 4, 1)},
    )
    warehouse.build("2024-01", test=False)
    assert versions(warehouse, MAI, "has_id_card") == [("2024-01-01", None, False)]
    assert versions(warehouse, LAN, "has_id_card") == [("2024-01-01", None, True)]
    warehouse.register("2024-02", {"citizen_id": HOA, "record_op": "remove"})
    warehouse.build("2024-02", test=False)
    assert versions(warehouse, MAI, "has_id_card") == [("2024-01-01", None, False)]
    warehouse.register("2024-03", {"citizen_id": CUC})
    warehouse.build("2024-03", test=False)
    split = [("2024-01-01", "2024-03-01", False), ("2024-03-01", None, True)]
    assert versions(warehouse, MAI, "has_id_card") == split
    assert versions(warehouse, HOA, "has_id_card") == [("2024-01-01", "2024-02-01", False)]
    assert versions(warehouse, DAO, "has_id_card") == [("2024-01-01", None, False)]
    differing = (
        "select count(*) from marts.citizen_month m join marts.dim_citizen d on d.citizen_token = m.citizen_token"
        " and d.valid_from <= m.period and (d.valid_to is null or d.valid_to > m.period)"
        " where d.has_id_card is distinct from m.has_id_card"
    )
    assert warehouse.rows(differing) == [(0,)]
    with database.connect("builder") as connection:
        affected = connection.execute("select root_id from vault.int_affected order by 1").fetchall()
    assert affected == [(MAI,), (HOA,), (CUC,)]
    assert_as_if_built_at_once(warehouse)


def test_a_state_knows_every_model_it_is_made_with(warehouse: Warehouse) -> None:
    manifest = build._manifest(settings().home / "dbt")
    open_ends = [name for name, node in manifest.nodes.items() if "register" in node.tags and name.startswith("model.")]
    upstream: set[str] = set()
    while open_ends:
        name = open_ends.pop()
        if name in manifest.nodes and name not in upstream:
            upstream.add(name)
            open_ends += manifest.nodes[name].depends_on.nodes
    files = {manifest.nodes[name].original_file_path for name in upstream}
    assert "models/marts/population/dim_citizen.sql" in files
    assert [path for path in sorted(files) if not path.startswith(build.STATE_CODE)] == []
    assert all((settings().dbt_project / name).exists() for name in (*build.STATE_CODE, *build.ROW_CODE))


def test_a_change_of_the_code_reads_the_register_anew(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.register("2024-01", {"citizen_id": MAI, "full_name": "Lê Thị Mai"})
    warehouse.build("2024-01", test=False)
    changed = tmp_path / "dbt_project"
    shutil.copytree(settings().dbt_project, changed)
    monkeypatch.setenv("P06_DBT_PROJECT", str(changed))
    settings.cache_clear()

    def change(path: str, old: str, new: str) -> None:
        text = (changed / path).read_text(encoding="utf-8")
        assert text.count(old) == 1
        (changed / path).write_text(text.replace(old, new), encoding="utf-8")

    change("macros/normalised_name.sql", "else vault.normalise_name({{ name }})", "else 'another'")
    change("macros/normalised_name.sql", "then lower({{ name }})", "then upper({{ name }})")
    warehouse.build("2024-01", test=False)
    with database.connect("builder") as connection:
        names = connection.execute("select name_norm from vault.citizen_history where to_state is null").fetchall()
    assert names == [("LÊ THỊ MAI",)]

    change("models/marts/population/dim_citizen.sql", "    eid_level\n", "    '9' as eid_level\n")
    warehouse.build("2024-01", test=False)
    assert versions(warehouse, MAI, "eid_level") == [("2024-01-01", None, "9")]


def test_of_a_circle_of_numbers_the_smallest_is_the_root(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": MAI}, {"citizen_id": LAN})
    warehouse.register(
        "2024-02",
        {"citizen_id": HOA, "previous_citizen_id": CUC},
        {"citizen_id": CUC, "previous_citizen_id": HOA},
        {"citizen_id": LAN, "previous_citizen_id": DAO},
    )
    warehouse.state("2024-02")
    with database.connect("builder") as connection:
        roots = connection.execute("select citizen_id, root_id from vault.citizen_root order by 1").fetchall()
    assert roots == [(LAN, DAO), (HOA, HOA), (CUC, HOA), (DAO, DAO)]


def test_a_chain_of_a_thousand_numbers_is_one_person(warehouse: Warehouse) -> None:
    numbers = [1190100000 + step for step in range(1000)]
    warehouse.register(
        "2024-01",
        *[
            {
                "citizen_id": number,
                "previous_citizen_id": numbers[index - 1] if index else None,
                "full_name": "Lê Thị Tư",
            }
            for index, number in enumerate(numbers)
        ],
    )
    warehouse.state("2024-01")
    assert warehouse.rows("select citizen_id from identified.dim_citizen", "identified") == [(f"00{numbers[-1]}",)]


def test_months_in_any_order_end_in_the_same_marts(warehouse: Warehouse) -> None:
    load(warehouse, MONTHS)
    for period in MONTHS:
        warehouse.build(period, test=False)
    expected = everything(warehouse)
    for first, second, last in (("2024-03", "2024-01", "2024-02"), ("2024-02", "2024-03", "2024-01")):
        other = fresh()
        for period in (first, second, last):
            load(other, {period: MONTHS[period]})
            other.build(period, test=False)
        for period in (first, second):  # what a later delivery made stale
            other.build(period, test=False)
        assert everything(other) == expected


def test_a_corrected_month_ends_where_the_right_one_begins_with(warehouse: Warehouse) -> None:
    wrong = {
        "2024-01": [{"citizen_id": MAI, "sex": "M"}, {"citizen_id": LAN}, {"citizen_id": DAO}],
        "2024-02": [{"citizen_id": CUC, "previous_citizen_id": MAI}],
    }
    load(warehouse, MONTHS | wrong)
    for period in MONTHS:
        warehouse.build(period, test=False)
    load(warehouse, MONTHS)
    for period in MONTHS:
        warehouse.build(period, test=False)
    corrected = everything(warehouse)

    other = fresh()
    load(other, MONTHS)
    for period in MONTHS:
        other.build(period, test=False)
    assert corrected == everything(other)


def test_what_an_unpublished_build_wrote_is_undone(warehouse: Warehouse) -> None:
    load(warehouse, {"2024-01": MONTHS["2024-01"]})
    warehouse.build("2024-01", test=False)
    before = everything(warehouse)
    warehouse.register("2024-01", {"citizen_id": MAI, "status": "cancelled"}, {"citizen_id": DAO})
    warehouse.build("2024-01", publish=False, test=False)
    assert everything(warehouse) == before
    load(warehouse, {"2024-01": MONTHS["2024-01"], "2024-02": MONTHS["2024-02"]})
    warehouse.build("2024-02", test=False)

    other = fresh()
    load(other, {"2024-01": MONTHS["2024-01"]})
    other.build("2024-01", test=False)
    load(other, {"2024-02": MONTHS["2024-02"]})
    other.build("2024-02", test=False)
    assert everything(other) == everything(warehouse)


def test_only_what_differs_is_written(warehouse: Warehouse) -> None:
    load(warehouse, {"2024-01": MONTHS["2024-01"]})
    warehouse.build("2024-01", test=False)
    warehouse.register("2024-02", {"citizen_id": LAN, "eid_level": "2"}, {"citizen_id": MAI})
    warehouse.build("2024-02", test=False)
    with database.connect("builder") as connection:
        written = connection.execute(
            "select from_state, count(*) from build.dim_citizen group by 1 order by 1"
        ).fetchall()
        closed = connection.execute("select to_state, count(*) from build.dim_citizen group by 1 order by 1").fetchall()
    assert written == [(1, 4), (2, 2)]  # LAN's version closed at February, and her next one
    assert closed == [(2, 1), (None, 5)]


def test_the_reform_gives_a_version_to_those_whose_code_changes(warehouse: Warehouse) -> None:
    warehouse.register(
        "2025-06",
        {"citizen_id": MAI, "residence_commune_code": "00001"},
        {"citizen_id": LAN, "residence_commune_code": "00004"},
    )
    warehouse.build("2025-06", test=False)
    assert versions(warehouse, MAI, "residence_commune_code") == [("2025-06-01", None, "00001")]
    warehouse.register("2025-07", {"citizen_id": HOA, "residence_commune_code": "00097"}, areas=NEW_AREAS)
    warehouse.build("2025-07", test=False)
    assert versions(warehouse, MAI, "residence_commune_code") == [
        ("2025-06-01", "2025-07-01", "00001"),
        ("2025-07-01", None, "00097"),
    ]
    assert versions(warehouse, LAN, "residence_commune_code") == [("2025-06-01", None, "00004")]
    assert versions(warehouse, HOA, "residence_commune_code") == [("2025-07-01", None, "00097")]
    assert warehouse.rows(
        "select period::text, residence_commune_code, count(*) from marts.citizen_month group by 1, 2 order by 1, 2"
    ) == [
        ("2025-06-01", "00001", 1),
        ("2025-06-01", "00004", 1),
        ("2025-07-01", "00004", 1),
        ("2025-07-01", "00097", 2),
    ]


def test_the_reform_takes_effect_in_its_month_though_no_register_came(warehouse: Warehouse) -> None:
    warehouse.register("2025-06", {"citizen_id": MAI, "residence_commune_code": "00001"}, areas=OLD_AREAS)
    warehouse.state("2025-06")
    warehouse.state("2025-07")
    assert versions(warehouse, MAI, "residence_commune_code") == [
        ("2025-06-01", "2025-07-01", "00001"),
        ("2025-07-01", None, "00097"),
    ]
    states = warehouse.rows("select count(distinct from_state) from build.dim_citizen", "builder")
    warehouse.state("2025-08")
    assert warehouse.rows("select count(distinct from_state) from build.dim_citizen", "builder") == states


def test_rows_of_register_extracts_that_nothing_reads_leave_the_vault(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": MAI, "sex": "F"}, {"citizen_id": LAN})
    warehouse.build("2024-01", test=False)
    warehouse.register("2024-01", {"citizen_id": MAI, "sex": "M"})
    warehouse.build("2024-01", test=False)
    held = "select count(*) from vault.register_row"
    assert warehouse.rows(held, "builder") == [(3,)]
    with database.connect("builder", autocommit=True) as connection:
        assert build.forget_states(connection) == [], "a kept release can still go back to the first"
        with database.connect("admin") as owner:
            owner.execute("update control.release set register_state_before = register_state_after")
        with database.connect("publisher") as publisher:
            publisher.execute("update control.release set kept = false where build_id = 1")
            publisher.execute(
                "update control.build set state = 'published', register_state_before = 2 where build_id = 2"
            )
            publisher.execute("update control.build set state = 'dropped' where build_id = 1")
        assert len(build.forget_states(connection)) == 1
    assert warehouse.rows(held, "builder") == [(1,)]
    warehouse.register("2024-02", {"citizen_id": LAN})
    warehouse.build("2024-02", test=False)
    assert versions(warehouse, MAI, "sex") == [("2024-01-01", None, "M")]
    assert versions(warehouse, LAN, "sex") == [("2024-02-01", None, "F")]


def test_a_code_sent_under_the_new_list_is_not_translated(warehouse: Warehouse) -> None:
    # 00103 is a code of both lists, and the old one has become part of another unit than the new one of that code.
    warehouse.register("2025-06", {"citizen_id": MAI, "residence_commune_code": "00103"}, areas=OLD_AREAS)
    warehouse.state("2025-06")
    warehouse.register("2025-07", {"citizen_id": LAN, "residence_commune_code": "00103"}, areas=NEW_AREAS)
    warehouse.state("2025-07")
    assert versions(warehouse, MAI, "residence_commune_code")[-1] == ("2025-07-01", None, "00611")
    assert versions(warehouse, LAN, "residence_commune_code") == [("2025-07-01", None, "00103")]


def test_a_death_reported_late_counts_in_the_month_it_is_reported(warehouse: Warehouse) -> None:
    dead = {"status": "deceased"}
    warehouse.register(
        "2024-01", {"citizen_id": MAI}, {"citizen_id": LAN}, {"citizen_id": HOA, **dead, "death_date": MARCH}
    )
    warehouse.register(
        "2024-03",
        {"citizen_id": MAI, **dead, "death_date": date(2024, 1, 20)},
        {"citizen_id": LAN, **dead, "death_date": date(2024, 3, 2)},
        {"citizen_id": CUC, **dead, "death_date": date(2020, 3, 2)},
    )
    for period in ("2024-01", "2024-03"):
        warehouse.build(period, test=False)
    found = warehouse.rows("select period::text, citizen_token::text, status, age from marts.citizen_month")
    assert sorted(found) == sorted(
        [
            ("2024-01-01", token(MAI), "alive", 33),
            ("2024-01-01", token(LAN), "alive", 33),
            ("2024-03-01", token(MAI), "deceased", 33),
            ("2024-03-01", token(LAN), "deceased", 33),
            ("2024-03-01", token(HOA), "deceased", 33),
        ]
    )


def test_who_is_born_on_29_february_turns_a_year_older_on_1_march(warehouse: Warehouse) -> None:
    warehouse.register("2023-02", {"citizen_id": MAI, "birth_date": date(2004, 2, 29)})
    warehouse.build("2023-02", test=False)
    assert warehouse.rows("select age from marts.citizen_month") == [(18,)]


def test_a_source_that_was_not_received_is_null_and_no_indicator(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": MAI})
    warehouse.sector("health_visit", "2024-01", visit(1, None, full_name="Ai Đó"))
    warehouse.build("2024-01", test=False)
    assert warehouse.rows(
        "select is_student, health_visits, has_health_insurance, kyc_records, land_parcels from marts.citizen_month"
    ) == [(None, 0, None, None, None)]
    assert warehouse.rows("select distinct indicator_code from marts.indicator order by 1") == [
        ("eid_level2_rate",),
        ("id_card_rate",),
        ("match_rate.health_visit",),
    ]
