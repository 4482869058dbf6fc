"""One embedded server for the tests of the models; each test begins with an empty warehouse."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hand_staged
import pytest

from p06 import database
from p06.settings import settings


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="p06-dbt-"))
    folder.chmod(0o755)  # the server runs as a user of its own when the tests run as root
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("P06_HOME", str(folder))
        patch.delenv("P06_DATABASE_URL", raising=False)
        settings.cache_clear()
        database.ensure_running()
        yield folder
        database.stop()
    shutil.rmtree(folder, ignore_errors=True)
    settings.cache_clear()


@pytest.fixture
def warehouse(home: Path) -> hand_staged.Warehouse:
    return hand_staged.fresh()
