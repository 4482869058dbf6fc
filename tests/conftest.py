"""Fixtures every test may use: a home with an embedded server for the session, a sender of small deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from p06 import database
from p06.settings import settings
from tests.sender import Sender, superuser, wipe

pytest_plugins = ["tests.resume"]


_SLOW = (
    "test_end_to_end.py", "test_gate.py", "test_register_history.py", "test_stack.py", "test_build.py", "test_linking.py",
    "test_register_snapshot.py", "test_identity_finding.py", "test_any_sequence.py", "test_change.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no core is left with one at the end."""
    items.sort(key=lambda item: _SLOW.index(item.path.name) if item.path.name in _SLOW else len(_SLOW))


def _settle(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Make this home the one the settings name."""
    for name in (
        "P06_DATABASE_URL",
        "P06_LANDING",
        "P06_CONTRACTS",
        "P06_TOKEN_KEY_FILE",
        "P06_SIGNING_KEY_FILE",
        "P06_FAIL_AT",
    ):
        patch.delenv(name, raising=False)
    patch.setenv("P06_HOME", str(home))
    settings.cache_clear()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh P06_HOME whose embedded server runs for the session; it is the current one only inside ``sender``."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        _settle(patch, folder)
        database.ensure_running()
    settings.cache_clear()
    yield folder
    with pytest.MonkeyPatch.context() as patch:
        _settle(patch, folder)
        database.stop()
    settings.cache_clear()


@pytest.fixture
def sender(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    """An empty landing and an empty warehouse."""
    _settle(monkeypatch, home)
    monkeypatch.setenv("P06_LANDING", str(tmp_path / "landing"))
    settings.cache_clear()
    wipe()
    yield Sender(tmp_path / "landing")
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def sees(sender: Sender) -> Iterator[psycopg.Connection[Any]]:
    """A session that may read every table."""
    with superuser() as connection:
        yield connection
