"""The corpus of the fuzzing is judged rightly on every machine; the long proof fuzzes on from it."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p06.settings import settings
from tests import pouring
from tests.fuzz.target import Target

FOLDER = Path(__file__).parent
CORPUS = FOLDER / "corpus"
SECONDS = 60


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """The target; the settings are as they were afterwards."""
    for name in ("P06_CONTRACTS", "P06_HOME"):
        monkeypatch.setenv(name, "")
    made = Target()
    yield made
    made.close()
    monkeypatch.undo()
    settings.cache_clear()


def test_every_input_of_the_corpus_is_judged_rightly(target: Target) -> None:
    inputs = sorted(CORPUS.iterdir())
    assert len(inputs) > 30
    for path in inputs:
        with pouring.bounded(10):
            target.examine(path.read_bytes())


@pytest.mark.long
@pytest.mark.parametrize("minute", range(1, 11))
def test_ten_minutes_of_fuzzing_find_nothing(tmp_path: Path, request: pytest.FixtureRequest, minute: int) -> None:
    # atheris is built for x86_64 alone (pyproject.toml); elsewhere this proof is missing, and fails to say so.
    assert platform.machine() == "x86_64", "fuzzing needs atheris, which is built for x86_64 alone"
    found = request.config.cache.mkdir("p06-fuzz")  # type: ignore[union-attr]
    command = [
        sys.executable,
        str(FOLDER / "scanner.py"),
        f"-max_total_time={SECONDS}",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run([*command, str(found), str(CORPUS)], capture_output=True, text=True, timeout=10 * SECONDS)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr
