"""Landing: the folder senders write deliveries into, ``<landing>/<source>/<period>/<delivery>/``."""

from __future__ import annotations

import hashlib
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
        found = []
        for path in sorted(self.folder.iterdir()):
            if path.name != MANIFEST:
                status = path.lstat()
                found.append((path.name, status.st_size, stat.S_ISREG(status.st_mode)))
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
            return None

    @property
    def state(self) -> str:
        """Sixteen hex digits of manifest, names and sizes: a delivery that was settled is not looked at again in the
        same state."""
        code = hashlib.sha256(self.manifest or b"")
        for name, size, plain in self.entries:
            code.update(f"\0{name}\0{size}\0{plain}".encode("utf-8", "surrogateescape"))
        return code.hexdigest()[:16]


def deliveries(source: str | None = None, period: str | None = None) -> list[Delivery]:
    """Every delivery in landing, in the order of source, period and name. Raises P06Error P06-LOAD-040."""
    return [
        Delivery(of_source.name, of_period.name, folder.name, folder)
        for of_source in _folders(root())
        if source in (None, of_source.name)
        for of_period in _folders(of_source)
        if period in (None, of_period.name)
        for folder in _folders(of_period)
    ]


def root() -> Path:
    """The landing folder. Raises P06Error P06-LOAD-040 when the settings name something other than a folder."""
    stated = settings().landing.removeprefix("file://")
    if "://" in stated:
        raise P06Error("P06-LOAD-040")
    return Path(stated)


def _folders(parent: Path) -> Iterator[Path]:
    """Folders below, sorted; hidden ones and links are no deliveries."""
    if parent.is_dir():
        yield from sorted(p for p in parent.iterdir() if p.is_dir() and not p.is_symlink() and p.name[0] != ".")
