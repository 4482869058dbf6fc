"""The contracts of the properties: two of the country's and two that no country has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from p06.settings import settings
from tests.oracle import reading as oracle

OWN = Path(__file__).parent / "contracts"
SHIPPED = Path(__file__).resolve().parents[2] / "contracts"
SOURCES = ("health_visit", "population_register", "note", "word")


def gather(folder: Path) -> Path:
    """A folder with the contracts of ``SOURCES`` and the code lists."""
    folder.mkdir(parents=True)
    for source in SOURCES:
        name = f"{source}.odcs.yaml"
        shutil.copy(OWN / name if (OWN / name).exists() else SHIPPED / name, folder)
    (folder / "codelists").symlink_to(SHIPPED / "codelists")
    return folder


@pytest.fixture(scope="session")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the contracts."""
    return gather(tmp_path_factory.mktemp("contracts") / "contracts")


@pytest.fixture
def promised(contracts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, oracle.Contract]]:
    """These contracts are the ones in force; as the naive reader sees them."""
    monkeypatch.setenv("P06_CONTRACTS", str(contracts))
    monkeypatch.setenv("P06_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield oracle.contracts(contracts)
    monkeypatch.undo()
    settings.cache_clear()
