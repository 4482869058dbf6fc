"""A steward's decision from the queue to the marts: accepted, killed on the way, rebuilt, replayed elsewhere, undone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.warehouse import ROOT, Warehouse
from tests.oracle.compare import compare

PERIODS = ("2024-01", "2024-02")


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of 700 people with the usual dirt, and beside them a model that asks about whatever it would link."""
    folder = tmp_path_factory.mktemp("country")
    maker = Warehouse(folder / "home", folder / "token.key")
    maker.must("synth", "--out", str(folder), "--citizens", "700", "--periods", "2024-01..2024-02", "--seed", "7")
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
    return sorted(warehouse.query(query, "analyst"))


def test_a_decision_is_accepted_rebuilt_replayed_and_undone(
    homes: tuple[Warehouse, Warehouse], country: Path, tmp_path: Path
) -> None:
    first, second = homes
    for period in PERIODS:
        first.deliver(country, [period])
        first.must("load")
        first.must("release")
    undecided = first.digest()
    assert linked(first) == []
    asked = [pair for pair in first.json("steward", "list") if pair["periods"] == ["2024-02"] and pair["rows"] == 1]
    pair, weight = asked[0]["pair"], asked[0]["weight"]

    # accepted: the month that holds the record is stale, and no other
    first.must("steward", "accept", pair[:10], "--why", "asked the sender")
    assert first.must("plan") == "2024-02  stale  a steward accepted a pair\n"
    assert first.run("release", P06_FAIL_AT="build.linked").returncode == -9
    assert first.digest() == undecided
    first.must("release")
    accepted = first.digest()
    assert linked(first) == [("2024-02", weight)]
    assert {mart for mart in accepted if accepted[mart] != undecided[mart]} >= {"match_summary", "reconciliation"}
    assert pair not in first.must("steward", "list")

    # built again, and in another warehouse that loads in another order and is told the decision alone
    first.must("release", "2024-02", "--rebuild")
    assert first.digest() == accepted
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
    first.must("steward", "undo", pair)
    assert first.must("plan") == "2024-02  stale  a steward took a decision back\n"
    first.must("release")
    assert first.digest() == undecided
    assert pair in first.must("steward", "list")
    assert len(first.json("steward", "log")) == 2

    # without the model what a steward accepted stays, and nothing else
    off = {"P06_LINKAGE": str(ROOT / "linkage")}
    reasons = second.must("plan", **off).splitlines()
    assert reasons == [f"{period}  stale  the linkage model was switched off" for period in PERIODS]
    second.must("release", **off)
    assert linked(second) == [("2024-02", weight)]
    second.must("steward", "undo", pair, **off)
    second.must("release", **off)
    with psycopg.connect(second.dsn("admin")) as connection:
        assert compare(connection, second.landing, PERIODS, PERIODS[-1]) == []
    assert second.must("plan", **off) == ""
