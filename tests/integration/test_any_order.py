"""Months across the reform of July 2025, corrections among them, delivered in any order: one answer, the oracle's."""

from __future__ import annotations

import random
from pathlib import Path

import psycopg
import pytest

from p06.period import Period, parse_range
from p06.synth import correction, generate
from tests.integration.warehouse import Warehouse
from tests.oracle.compare import compare

PERIODS = [str(period) for period in parse_range("2025-05..2025-08")]
CORRECTED = [
    ("population_register", "2025-06"),
    ("social_security_participation", "2025-05"),
    ("land_parcel", "2025-07"),
]


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four months of 500 people, with three corrections beside them."""
    folder = tmp_path_factory.mktemp("country")
    generate(folder, 500, [Period.parse(period) for period in PERIODS], 11, "usual")
    for source, period in CORRECTED:
        correction(folder, source, Period.parse(period), 2)
    return folder


def _shuffled(folder: Path, key: Path, country: Path, seed: int) -> dict[str, dict[str, object]]:
    """Load every delivery in a seeded order, releasing now and then; the digest, after the oracle agreed."""
    order = random.Random(seed)
    deliveries = sorted(path.parent for path in (country / "landing").glob("*/*/*/manifest.json"))
    order.shuffle(deliveries)
    warehouse = Warehouse(folder / "home", key)
    try:
        while deliveries:
            for delivery in deliveries[:9]:
                source, period, name = delivery.parts[-3:]
                warehouse.drop(delivery, source, period, name)
            deliveries = deliveries[9:]
            warehouse.must("load")
            warehouse.must("release")
        assert warehouse.must("plan") == ""
        with psycopg.connect(warehouse.dsn("admin")) as connection:
            assert compare(connection, warehouse.landing, PERIODS, PERIODS[-1]) == []
        return warehouse.digest()
    finally:
        warehouse.close()


@pytest.mark.long
def test_two_random_orders_give_the_answer_computed_independently(tmp_path: Path, country: Path) -> None:
    key = tmp_path / "token.key"
    assert _shuffled(tmp_path / "a", key, country, 1) == _shuffled(tmp_path / "b", key, country, 2)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 23))
def test_twenty_more_orders(tmp_path_factory: pytest.TempPathFactory, country: Path, seed: int) -> None:
    folder = tmp_path_factory.mktemp(f"order{seed}")
    key = folder.parent / "any-order.key"
    reference = folder.parent / "any-order.digest"
    found = repr(_shuffled(folder, key, country, seed))
    if not reference.exists():
        reference.write_text(found, encoding="utf-8")
    assert found == reference.read_text(encoding="utf-8")
