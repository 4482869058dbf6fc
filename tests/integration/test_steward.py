"""A steward's decision from the queue to the marts: accepted, killed on the way, rebuilt, replayed elsewhere, undone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.warehouse import ROOT, Warehouse, synthetic_country
from tests.oracle.compare import compare

PERIODS = ("2024-01", "2024-02")


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of 700 people with the usual dirt, and beside them a model that asks about whatever it would link."""
    folder = synthetic_country(tmp_path_factory.mktemp("country"), 700, "2024-01..2024-02", 7)
    model = json.loads((ROOT / "linkage" / "model.json").read_bytes())
    (folder / "linkage").mkdir()
    (folder / "linkage" / "model.json").write_text(json.dumps(model | {"enabled": True, "link_at": 0.999999}))
    return folder


@pytest.fixture
def homes(tmp_path: Path, country: Path) -> Iterator[tuple[Warehouse, Warehouse]]:
    """Two warehouses that share one token key, with linkage on."""
    found = [
        Warehouse(tmp_path / name / "home", tmp_path / "token.key", {"P06_LINKAGE": str(country / "linkage")})
        for name in ("first", "second")
    ]
    yield found[0], found[1]
    for warehouse in found:
        warehouse.close()


def linked(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """(period, confidence) of every linked row."""
    facts = [name for name in warehouse.digest() if name.startswith("fct_")]
    query = " union all ".join(
        f"select to_char(period, 'YYYY-MM'), match_confidence::text from marts.{fact} where match_method = 'linked'"
        for fact in facts
    )
    return sorted(warehouse.query(query, "sensitive"))  # some facts are no plain analyst's


def reasons(warehouse: Warehouse, **env: str) -> list[str]:
    """What the plan says, a line for each month."""
    found = json.loads(warehouse.must("plan", "--json", **env))
    return [f"{entry['period']} {entry['state']}: {'; '.join(entry['reasons'])}" for entry in found]


def test_a_decision_is_accepted_rebuilt_replayed_and_undone(
    homes: tuple[Warehouse, Warehouse], country: Path, tmp_path: Path
) -> None:
    first, second = homes
    first.deliver(country, PERIODS)
    first.must("load")
    first.must("release")
    undecided = first.digest()
    assert linked(first) == []
    asked = [pair for pair in first.json("steward", "list") if pair["periods"] == ["2024-02"] and pair["rows"] == 1]
    pair, weight = asked[0]["pair"], asked[0]["weight"]

    # accepted: the month that holds the record is stale, and no other
    first.must("steward", "accept", pair[:10], "--why", "asked the sender")
    assert reasons(first) == [
        "2024-02 stale: a steward accepted a pair about records of 2024-02; they are matched again"
    ]
    assert first.run("release", P06_FAIL_AT="build.linked").returncode == -9
    assert first.digest() == undecided
    first.must("release")
    accepted = first.digest()
    assert linked(first) == [("2024-02", weight)]
    assert {mart for mart in accepted if accepted[mart] != undecided[mart]} >= {"match_summary", "reconciliation"}
    assert pair not in first.must("steward", "list")

    # in another warehouse, which loads in another order and is told the decision alone
    file = tmp_path / "decisions.jsonl"
    first.must("steward", "export", str(file))
    second.deliver(country, PERIODS[1:])
    second.must("load")
    second.must("steward", "import", str(file))
    second.deliver(country, PERIODS[:1])
    second.must("load")
    second.must("release")
    assert second.must("plan") == ""
    assert second.digest() == accepted

    # undone: as if nobody had decided
    second.must("steward", "undo", pair)
    assert reasons(second) == [
        "2024-02 stale: a steward took a decision back about records of 2024-02; they are matched again"
    ]
    second.must("release")
    assert second.digest() == undecided
    assert pair in second.must("steward", "list")
    assert [entry["verdict"] for entry in second.json("steward", "log")] == ["accept", "undone"]


@pytest.mark.long
def test_a_decision_outlives_rebuilds_and_the_model(homes: tuple[Warehouse, Warehouse], country: Path) -> None:
    warehouse, _ = homes
    warehouse.deliver(country, PERIODS)
    warehouse.must("load")
    warehouse.must("release")
    pair = warehouse.json("steward", "list")[0]
    warehouse.must("steward", "accept", pair["pair"])
    warehouse.must("release")
    accepted = warehouse.digest()
    rows = linked(warehouse)
    assert {period for period, _ in rows} == set(pair["periods"])
    warehouse.must("release", *PERIODS, "--rebuild")
    assert warehouse.digest() == accepted

    off = {"P06_LINKAGE": str(ROOT / "linkage")}
    assert reasons(warehouse, **off) == [
        f"{period} stale: the linkage model was switched off; records of {period} no number settles are matched again"
        for period in PERIODS
    ]
    warehouse.must("release", **off)
    assert linked(warehouse) == rows
    warehouse.must("steward", "undo", pair["pair"], **off)
    warehouse.must("release", **off)
    with psycopg.connect(warehouse.dsn("admin")) as connection:
        assert compare(connection, warehouse.landing, PERIODS, PERIODS[-1]) == []
    assert warehouse.must("plan", **off) == ""


@pytest.mark.long
def test_months_in_another_order_are_linked_alike(
    homes: tuple[Warehouse, Warehouse], country: Path, tmp_path: Path
) -> None:
    """With the thresholds of the shipped model: most open rows are linked without asking."""
    model = json.loads((ROOT / "linkage" / "model.json").read_bytes())
    (tmp_path / "model.json").write_text(json.dumps(model | {"enabled": True}))
    for warehouse, orders in zip(homes, (PERIODS, PERIODS[::-1]), strict=True):
        warehouse.extra["P06_LINKAGE"] = str(tmp_path)
        for period in orders:
            warehouse.deliver(country, [period])
            warehouse.must("load")
            warehouse.must("release")
        warehouse.must("release")
        assert warehouse.must("plan") == ""
    assert len(linked(homes[0])) > 5
    assert homes[0].digest() == homes[1].digest()
