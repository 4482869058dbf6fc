"""A month of every source that has a contract, due or not: loaded, matched, judged, published, and it adds up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from p06 import contract
from p06.demo import found_defects
from p06.period import parse_range
from p06.synth import ALL, chosen, generate
from tests.integration.warehouse import Warehouse

MONTHS = parse_range("2025-06..2025-07")  # over the reform
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("country")
    generate(out, 2000, MONTHS, 5, sources=chosen(ALL))
    return out


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, country: Path) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("every")
    folder.chmod(0o755)
    warehouse = Warehouse(folder / "home", folder / "token.key")
    warehouse.deliver(country, [str(month) for month in MONTHS])
    warehouse.must("load")
    warehouse.must("release")
    yield warehouse
    warehouse.close()


def test_every_delivery_is_accepted_and_every_month_published(published: Warehouse) -> None:
    assert published.query("select count(*) from control.accepted") == [(2 * len(contract.load_all()),)]
    assert published.query("select count(*) from control.published") == [(2,)]
    assert published.json("plan") == []


def test_sums_add_up_for_every_source(published: Warehouse) -> None:
    rows = published.query(
        "select source, received = duplicates + quarantined + staged, published is not distinct from"
        " case when source <> 'population_register' then staged end from marts.reconciliation"
    )
    assert sorted({source for source, *_ in rows}) == sorted(contract.load_all())
    assert all(sums and whole for _, sums, whole in rows)


def test_every_injected_defect_is_found_where_it_was_put(published: Warehouse, country: Path) -> None:
    with psycopg.connect(published.dsn("admin"), autocommit=True) as connection:
        found = found_defects(connection, country / "truth")
    assert {kind: count for kind, count in found.items() if count.found != count.injected} == {}


def test_no_check_stops_or_accuses_a_synthetic_source(published: Warehouse) -> None:
    """Few people make small samples: checks of shares may warn now and then, none of a new source blocks."""
    failed = published.query(
        'select source, "check", severity from quality.check_result where not success and source is not null order by 1'
    )
    assert [one for one in failed if one[2] == "block"] == []
    assert len({(source, check) for source, check, _ in failed}) <= 6, failed
