"""Long proofs are resumable: those that passed for this very code are not run again until all that were asked for have.

``./p06 test --long`` can be ended at any time and started again; a change of the code starts it anew. What passed is
kept in pytest's cache (``.pytest_cache``), written as each proof ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KEPT = "p06/long"
CODE = {".py", ".yaml", ".yml", ".sql", ".csv", ".toml", ".lock", ".json"}


class Resume:
    """The proofs of one session."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._code = ""
        self._before: set[str] = set()
        self._left_out = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what passed; nothing is left out when there would be nothing to run."""
        long = [item for item in items if item.get_closest_marker("long")]
        if not long:
            return
        self._code = fingerprint(self._config.rootpath)
        kept: dict[str, Any] = self._cache.get(KEPT, {})
        self._before = set(kept.get("passed", ())) if kept.get("code") == self._code else set()
        done = [item for item in long if item.nodeid in self._before]
        if len(done) == len(items):
            self._before -= {item.nodeid for item in done}
            return
        if done:
            self._left_out = len(done)
            self._config.hook.pytest_deselected(items=done)
            items[:] = [item for item in items if item not in done]

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say what is left out."""
        if not self._left_out:
            return []
        return [f"{self._left_out} long proofs passed before for this code; `--cache-clear` forgets them"]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a proof that passed."""
        if report.when == "call" and report.passed and "long" in report.keywords:
            self._before.add(report.nodeid)
            self._cache.set(KEPT, {"code": self._code, "passed": sorted(self._before)})

    @property
    def _cache(self) -> Any:
        return self._config.cache


def fingerprint(root: Path) -> str:
    """One hash over everything a proof may depend on."""
    code = hashlib.sha256()
    for path in _files(root):
        code.update(f"{path.relative_to(root)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return code.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    for folder in sorted(path for path in root.iterdir() if path.name[0] != "." and path.name != "docs"):
        found = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
        yield from (path for path in found if path.suffix in CODE and path.is_file())


def pytest_configure(config: pytest.Config) -> None:
    """Take part in the session."""
    config.pluginmanager.register(Resume(config), "p06-resume")
