"""One embedded server for the tests of the models; each test begins with an empty warehouse."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from p06 import database
from p06.settings import settings
from tests.dbt import hand_staged


def _settle(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name in ("P06_DATABASE_URL", "P06_CONTRACTS", "P06_DBT_PROJECT"):
        patch.delenv(name, raising=False)
    patch.setenv("P06_HOME", str(home))
    settings.cache_clear()


@pytest.fixture(scope="session")
def dbt_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="p06-dbt-"))
    folder.chmod(0o755)  # the server runs as a user of its own when the tests run as root
    yield folder
    with pytest.MonkeyPatch.context() as patch:
        _settle(patch, folder)
        database.stop()
    settings.cache_clear()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def warehouse(dbt_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hand_staged.Warehouse]:
    _settle(monkeypatch, dbt_home)
    yield hand_staged.fresh()
    monkeypatch.undo()
    settings.cache_clear()
