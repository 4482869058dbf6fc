"""A long run that was ended goes on where it was, and a change of the code makes it begin again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROOFS = """
import os, pytest
pytestmark = pytest.mark.long
@pytest.mark.parametrize("number", range(4))
def test_proof(number):
    assert number < int(os.environ["PASS"])
"""


def _run(folder: Path, passing: int) -> tuple[int, int, int]:
    """(passed, failed, left out)"""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.resume",
            "-m",
            "long",
            "-q",
            "--rootdir",
            str(folder),
            str(folder),
        ],
        env=os.environ | {"PASS": str(passing), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|deselected)", done.stdout)}
    return counts.get("passed", 0), counts.get("failed", 0), counts.get("deselected", 0)


def test_a_long_run_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = long: slow\n", encoding="utf-8")
    (tmp_path / "test_proofs.py").write_text(PROOFS, encoding="utf-8")
    assert _run(tmp_path, 2) == (2, 2, 0)
    assert _run(tmp_path, 3) == (1, 1, 2)
    assert _run(tmp_path, 4) == (1, 0, 3)
    assert _run(tmp_path, 4) == (4, 0, 0)  # all had passed: all again
    (tmp_path / "test_proofs.py").write_text(PROOFS + "\n# another code\n", encoding="utf-8")
    assert _run(tmp_path, 1) == (1, 3, 0)
