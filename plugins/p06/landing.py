"""Landing: the folder senders write deliveries into, ``<landing>/<source>/<period>/<delivery>/``."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from p06.errors import P06Error
from p06.settings import settings

MANIFEST = "manifest.json"
MANIFEST_LIMIT = 16 << 20  # bytes


@dataclass(frozen=True)
class Delivery:
    """One folder of a sender. Source and period are what the folders above say, not checked yet."""

    source: str
    period: str
    name: str
    folder: Path

    @property
    def place(self) -> str:
        """Its path below landing."""
        return f"{self.source}/{self.period}/{self.name}"

    @cached_property
    def entries(self) -> tuple[tuple[str, int, bool], ...]:
        """(name, bytes, plain file) of everything in the folder but the manifest, sorted by name."""
        return tuple((name, status.st_size, stat.S_ISREG(status.st_mode)) for name, status in self._statuses)

    @cached_property
    def _statuses(self) -> tuple[tuple[str, os.stat_result], ...]:
        found = []
        for path in sorted(self.folder.iterdir()):
            if path.name != MANIFEST:
                try:
                    found.append((path.name, path.lstat()))
                except FileNotFoundError:  # taken away meanwhile
                    continue
        return tuple(found)

    @cached_property
    def manifest(self) -> bytes | None:
        """The manifest's bytes; None while the sender has not written it. An oversized one is cut and unreadable."""
        path = self.folder / MANIFEST
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                return b""
            with path.open("rb") as file:
                return file.read(MANIFEST_LIMIT)
        except FileNotFoundError:
            return None if self.name else b""  # a folder that stands for its deliveries is no unwritten one

    @property
    def state(self) -> str:
        """Sixteen hex digits of manifest, names, sizes, inodes and times of change.

        A delivery that was settled is not looked at again in the same state. Raises OSError when it cannot be read.
        """
        code = hashlib.sha256(self.manifest or b"")
        for name, found in self._statuses:
            marks = (found.st_size, stat.S_ISREG(found.st_mode), found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
            code.update(f"\0{name}\0{marks}".encode("utf-8", "surrogateescape"))
        return code.hexdigest()[:16]


def deliveries(source: str | None = None, period: str | None = None) -> list[Delivery]:
    """Every delivery in landing, in the order of source, period and name. Raises P06Error P06-LOAD-040.

    A folder of a source or period that cannot be read stands for its deliveries, without their names.
    """
    found = []
    for of_source in _folders(root()):
        if source not in (None, of_source.name):
            continue
        try:
            periods = list(_folders(of_source))
        except OSError:
            found.append(Delivery(of_source.name, period or "", "", of_source))
            continue
        for of_period in periods:
            if period not in (None, of_period.name):
                continue
            try:
                found += [Delivery(of_source.name, of_period.name, one.name, one) for one in _folders(of_period)]
            except OSError:
                found.append(Delivery(of_source.name, of_period.name, "", of_period))
    return found


def root() -> Path:
    """The landing folder, of this machine. Raises P06Error P06-LOAD-040 when the settings name something else.

    When the settings name a URL, what lies there is first brought into ``landing`` below the home (``p06.pull``).
    """
    if url() is not None:
        return settings().home / "landing"
    found = Path(settings().landing)
    if found.exists() and not found.is_dir():
        raise P06Error("P06-LOAD-040")
    return found


def url() -> str | None:
    """The store senders write into, when it is not a folder of this machine."""
    stated = settings().landing
    return stated if "://" in stated else None


def _folders(parent: Path) -> Iterator[Path]:
    """Folders below, sorted; hidden ones and links are no deliveries."""
    if parent.is_dir():
        yield from sorted(p for p in parent.iterdir() if p.is_dir() and not p.is_symlink() and p.name[0] != ".")
