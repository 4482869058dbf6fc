"""A register that sends everyone each month: the same history, by the same code, as one that sends what changed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from p06 import build, database, project
from p06.settings import settings
from tests.dbt.hand_staged import NEW_AREAS, OLD_AREAS, Row, Warehouse, fresh, token
from tests.oracle import reading
from tests.oracle.register import PUBLISHED, Register

MAI, LAN, HOA, CUC, DAO = 1190000001, 1190000002, 1190000003, 1190000004, 1190000005
SNAPSHOT = "snapshot"
MIXED = "[{form: changes, until: 2025-05}, {form: snapshot, since: 2025-06, until: 2025-07}, {form: changes, since: 2025-08}]"

Months = dict[str, list[Row]]


@pytest.fixture
def form(warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """The register's contract with another form; returns the folder of contracts."""

    def state(registerform: str) -> Path:
        folder = tmp_path / "contracts"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(settings().root / "contracts", folder)
        path = folder / "population_register.odcs.yaml"
        kind = "  - {property: kind, value: register}\n"
        text = path.read_text(encoding="utf-8")
        assert text.count(kind) == 1
        stated = f"  - property: registerForm\n    value: {registerform}\n"
        path.write_text(text.replace(kind, kind + stated), encoding="utf-8")
        monkeypatch.setenv("P06_CONTRACTS", str(folder))
        settings.cache_clear()
        return folder

    return state


def areas(period: str) -> date:
    """The list a month's codes are sent under."""
    return NEW_AREAS if period >= "2025-07" else OLD_AREAS


def deliver(warehouse: Warehouse, months: Months, *periods: str) -> None:
    for period in periods or months:
        warehouse.register(period, *months[period], areas=areas(period))


def versions(warehouse: Warehouse, citizen: int, *columns: str) -> list[tuple[Any, ...]]:
    wanted = ", ".join(["valid_from::text", "valid_to::text", *columns])
    return warehouse.rows(
        f"select {wanted} from marts.dim_citizen where citizen_token = '{token(citizen)}' order by valid_from"
    )


def history(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """All the visible register state holds."""
    found = {}
    for name, schema in {
        "citizen_history": "vault",
        "citizen_root": "vault",
        "dim_citizen_identity": "vault",
        "dim_citizen": "build",
    }.items():
        columns = ", ".join(f"t.{column.name}" for column in project.models()[name].columns)
        with database.connect("builder") as connection:
            found[name] = sorted(
                connection.execute(
                    f"select {columns} from {schema}.{name} t join control.register_state s"
                    " on t.from_state <= s.state and (t.to_state is null or t.to_state > s.state)"
                ).fetchall(),
                key=repr,
            )
    return found


def by_oracle(months: Months, folder: Path, horizon: str) -> list[tuple[Any, ...]]:
    """Rows of ``dim_citizen`` with who they are, computed from the same rows by other means."""
    known = reading.contracts(folder)[reading.REGISTER]
    usual: Row = {"sex": "F", "status": "alive", "eid_level": "0", "record_op": "upsert"}
    extracts = []
    for period, rows in months.items():
        extract = reading.Extract(reading.REGISTER, reading.month(period), 1, areas(period))
        for line, stated in enumerate(rows):
            row = usual | {"residence_commune_code": "00001", "birth_date": date(1990, 5, 20)} | stated
            row.setdefault("full_name", f"Nguyễn Thị {chr(65 + row['citizen_id'] % 26)}")
            for number in ("citizen_id", "previous_citizen_id"):
                if row.get(number):
                    row[number] = f"{row[number]:012d}"
            extract.staged[1, line] = tuple(row.get(name) for name in known.names)
        extracts.append(extract)
    register = Register(known, extracts, reading.Areas())
    return sorted(
        [
            (
                token(int(version.root)),
                version.valid_from,
                version.valid_to,
                *version.published,
                version.last.entry.citizen_id,
                version.last.entry.full_name,
            )
            for version in register.versions(reading.month(horizon))
        ],
        key=repr,
    )


def as_shown(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """Rows of ``identified.dim_citizen`` in the order of ``by_oracle``."""
    columns = ", ".join(f"d.{name}" for name in PUBLISHED)
    return sorted(
        warehouse.rows(
            f"select d.citizen_token::text, d.valid_from, d.valid_to, {columns}, d.citizen_id, d.full_name"
            " from identified.dim_citizen d",
            "identified",
        ),
        key=repr,
    )


def test_a_number_missing_from_a_snapshot_is_gone_until_it_appears_again(
    warehouse: Warehouse, form: Callable[[str], Path]
) -> None:
    form(SNAPSHOT)
    lan = {"citizen_id": LAN}
    deliver(warehouse, {"2024-01": [{"citizen_id": MAI}, lan], "2024-02": [lan], "2024-03": [lan, {"citizen_id": MAI}]})
    for period in ("2024-01", "2024-02", "2024-03"):
        warehouse.build(period, test=False)
    assert versions(warehouse, MAI) == [("2024-01-01", "2024-02-01"), ("2024-03-01", None)]
    assert versions(warehouse, LAN) == [("2024-01-01", None)]
    present = "select period::text, count(*) from marts.citizen_month group by 1 order by 1"
    assert warehouse.rows(present) == [("2024-01-01", 2), ("2024-02-01", 1), ("2024-03-01", 2)]


def test_of_a_snapshot_only_what_changed_is_kept_and_touches_anyone(
    warehouse: Warehouse, form: Callable[[str], Path]
) -> None:
    form(SNAPSHOT)
    everyone = [{"citizen_id": number} for number in (MAI, LAN, HOA, CUC)]
    changed: list[Row] = [{"citizen_id": MAI, "full_name": "Lê Thị Mới"}, *everyone[1:3], {"citizen_id": DAO}]
    deliver(warehouse, {"2024-01": everyone, "2024-02": everyone, "2024-03": changed})
    for period in ("2024-01", "2024-02", "2024-03"):
        warehouse.state(period)
    kept = (
        "select period::text, citizen_id, is_removed from vault.register_row where period > '2024-01-01' order by 1, 2"
    )
    assert warehouse.rows(kept, "builder") == [
        ("2024-03-01", MAI, False),
        ("2024-03-01", CUC, True),
        ("2024-03-01", DAO, False),
    ]
    touched = "select root_id from vault.int_affected order by 1"
    assert warehouse.rows(touched, "builder") == [(MAI,), (CUC,), (DAO,)]
    assert versions(warehouse, MAI) == [("2024-01-01", None)], "a name is not published"

    # January corrected: the difference to February changes as well, and only one row of each
    warehouse.register("2024-01", *everyone[:3], {"citizen_id": CUC, "eid_level": "2"})
    warehouse.state("2024-03")
    assert warehouse.rows(touched, "builder") == [(CUC,)]
    assert versions(warehouse, CUC, "eid_level") == [
        ("2024-01-01", "2024-02-01", "2"),
        ("2024-02-01", "2024-03-01", "0"),
    ]


def test_the_same_register_sent_as_changes_or_whole_gives_the_same_marts(
    warehouse: Warehouse, form: Callable[[str], Path]
) -> None:
    changes: Months = {
        "2025-06": [{"citizen_id": MAI}, {"citizen_id": LAN, "residence_commune_code": "00103"}, {"citizen_id": CUC}],
        "2025-07": [
            {"citizen_id": MAI, "residence_commune_code": "00097"},
            {"citizen_id": LAN, "residence_commune_code": "00103"},
            {"citizen_id": DAO, "previous_citizen_id": CUC, "residence_commune_code": "00611"},
        ],
        "2025-08": [{"citizen_id": MAI, "record_op": "remove"}],
    }
    whole = changes | {"2025-08": changes["2025-07"][1:]}
    shown = []
    for stated, months in (("changes", changes), (SNAPSHOT, whole)):
        form(stated)
        other = fresh()
        deliver(other, months)
        for period in months:
            other.build(period, test=False)
        names = ("dim_citizen", "citizen_month", "indicator")
        shown.append([sorted(other.rows(f"select * from marts.{name}"), key=repr) for name in names])
    assert shown[0] == shown[1]
    # the digits are those of another unit from July on; what is published of her stays equal
    assert versions(other, LAN, "residence_commune_code") == [("2025-06-01", None, "00103")]


def test_the_first_snapshot_after_changes_ends_who_is_not_in_it(
    warehouse: Warehouse, form: Callable[[str], Path]
) -> None:
    form("[{form: changes, until: 2024-02}, {form: snapshot, since: 2024-03}]")
    months: Months = {
        "2024-01": [{"citizen_id": MAI}, {"citizen_id": LAN}, {"citizen_id": HOA}],
        "2024-02": [{"citizen_id": HOA, "record_op": "remove"}, {"citizen_id": LAN, "eid_level": "1"}],
        "2024-03": [{"citizen_id": LAN, "eid_level": "1", "record_op": None}],
    }
    deliver(warehouse, months)
    warehouse.state("2024-03")
    kept = "select citizen_id, is_removed from vault.register_row where period = '2024-03-01' order by 1"
    assert warehouse.rows(kept, "builder") == [(MAI, True), (LAN, False)]
    assert versions(warehouse, MAI) == [("2024-01-01", "2024-03-01")]
    assert versions(warehouse, LAN, "eid_level") == [("2024-01-01", "2024-02-01", "0"), ("2024-02-01", None, "1")]
    assert versions(warehouse, HOA) == [("2024-01-01", "2024-02-01")]


def country(seed: int, whole: Callable[[str], bool]) -> Months:
    """A few people's register over six months across the reform, each month sent whole or as changes."""
    chance = random.Random(seed)
    numbers = [1190000001 + step for step in range(12)]
    months: Months = {}
    now: dict[int, Row] = {}
    for month in range(5, 11):
        period = f"2025-{month:02d}"
        before = dict(now)
        if month == 7:  # the codes of the new list
            for row in now.values():
                row = now[row["citizen_id"]] = dict(row)
                row["residence_commune_code"] = chance.choice(["00097", "00004", "00103"])
        for number in chance.sample(numbers, 5):
            if number in now and chance.random() < 0.35:
                del now[number]
                continue
            communes = ["00097", "00004", "00103"] if month >= 7 else ["00001", "00004", "00103"]
            now[number] = {
                "citizen_id": number,
                "eid_level": chance.choice("012"),
                "status": chance.choice(["alive", "alive", "emigrated"]),
                "residence_commune_code": chance.choice(communes),
                "full_name": chance.choice(["Lê Thị Tư", "Lê Thị Năm"]),
                "id_card_issued_on": chance.choice([None, date(2025, 4, 1), date(2025, 8, 31)]),
                "previous_citizen_id": chance.choice([None] * 9 + [one for one in numbers if one < number][-1:]),
            }
        if whole(period):
            months[period] = list(now.values())
        else:
            gone = [{"citizen_id": number, "record_op": "remove"} for number in before if number not in now]
            months[period] = gone + [row for number, row in now.items() if before.get(number) != row]
        months[period] = months[period] or [{"citizen_id": numbers[0]}]
    return months


def any_order(warehouse: Warehouse, folder: Path, seed: int, whole: Callable[[str], bool]) -> None:
    """Months arrive in any order, some wrong at first; at the end the history is the one computed independently."""
    chance = random.Random(seed)
    months, wrong = country(seed, whole), country(seed + 1000, whole)
    arrivals = [(period, months) for period in months]
    chance.shuffle(arrivals)
    for period in chance.sample(sorted(months), 2):
        at = next(place for place, (one, _) in enumerate(arrivals) if one == period)
        arrivals.insert(chance.randint(0, at), (period, wrong))
    arrived: dict[str, Months] = {}
    for place, (period, said) in enumerate(arrivals):
        deliver(warehouse, said, period)
        arrived[period] = said
        if chance.random() < 0.7 or place == len(arrivals) - 1:
            warehouse.state(chance.choice(sorted(arrived)))
            so_far = {one: arrived[one][one] for one in sorted(arrived)}
            assert as_shown(warehouse) == by_oracle(so_far, folder, str(warehouse.newest)), f"{seed}: after {place}"
    warehouse.state("2025-10")
    assert as_shown(warehouse) == by_oracle(months, folder, "2025-10")
    found = history(warehouse)
    other = fresh()
    deliver(other, months)
    other.state("2025-10")
    assert history(other) == found


FORMS = {
    SNAPSHOT: lambda period: True,
    MIXED: lambda period: period in ("2025-06", "2025-07"),
    "changes": lambda _: False,
}


@pytest.mark.long
def test_one_pass_over_the_table_and_looks_through_its_index_write_the_same(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = build._variables
    found = []
    for share in (0, 2):  # everyone is above the one share, nobody above the other
        monkeypatch.setattr(
            build, "_variables", lambda *a, share=share, **k: variables(*a, **k) | {"scan_share": share}
        )
        other, months = fresh(), country(7, lambda period: False)
        for period in (*reversed(months), "2025-06"):
            deliver(other, months, period)
            other.state(period)
            if period == "2025-06":  # most of the month is corrected, and back
                deliver(other, country(8, lambda period: False), period)
                other.state(period)
        with database.connect("builder") as connection:
            written = connection.execute(
                "select root_id, valid_from, citizen_id, from_state, to_state from vault.citizen_history order by 1, 2, 4"
            ).fetchall()
        found.append((history(other), written))
    assert found[0] == found[1]


def test_snapshots_and_changes_in_any_order_and_corrected_end_as_computed_independently(
    warehouse: Warehouse, form: Callable[[str], Path]
) -> None:
    any_order(warehouse, form(MIXED), 1, FORMS[MIXED])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 22))
@pytest.mark.parametrize("stated", FORMS)
def test_sixty_more_orders(warehouse: Warehouse, form: Callable[[str], Path], stated: str, seed: int) -> None:
    any_order(warehouse, form(stated), seed, FORMS[stated])
