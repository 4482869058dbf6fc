"""Code lists: the values a column may take on a day, from ``contracts/codelists/*.csv``.

A list is a CSV with a column ``code`` and, where codes come and go, ``valid_from`` and ``valid_to`` (exclusive).
The list ``commune`` is the commune level of ``area.csv``.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType

from p06.errors import P06Error
from p06.settings import settings

COMMUNE = "commune"
PROVINCE = "province"
AREA = "area"
COMMUNE_WIDTH = 5


class CodeListError(P06Error):
    """A code list is missing (P06-CONTRACT-008) or cannot be read (P06-CONTRACT-015)."""


@dataclass(frozen=True)
class Entry:
    """One code and the days it is valid: from ``valid_from`` up to but not including ``valid_to``."""

    code: str
    name: str
    valid_from: date
    valid_to: date
    parent: str | None = None

    def on(self, day: date) -> bool:
        """Whether the code is valid on a day."""
        return self.valid_from <= day < self.valid_to


@dataclass(frozen=True)
class CodeList:
    """A list of codes with their validity."""

    name: str
    entries: tuple[Entry, ...]
    hash: str

    @cached_property
    def changes(self) -> tuple[date, ...]:
        """The days on which the list changes, sorted."""
        return tuple(sorted({entry.valid_from for entry in self.entries} | {entry.valid_to for entry in self.entries}))

    @property
    def first_day(self) -> date:
        """The first day the list speaks about."""
        return self.changes[0]

    def edition(self, on: date) -> date:
        """The first day of the state the list is in on a day; days of one state have the same codes."""
        return max((day for day in self.changes if day <= on), default=date.min)

    def codes(self, on: date) -> frozenset[str]:
        """The codes valid on a day."""
        edition = self.edition(on)
        if edition not in self._codes:
            self._codes[edition] = frozenset(entry.code for entry in self.entries if entry.on(on))
        return self._codes[edition]

    def entry(self, code: str, on: date) -> Entry | None:
        """What a code means on a day."""
        return next((entry for entry in self.entries if entry.code == code and entry.on(on)), None)

    @cached_property
    def _codes(self) -> dict[date, frozenset[str]]:
        return {}


def exists(name: str, folder: Path | None = None) -> bool:
    """Whether a list of that name is shipped."""
    return _path(name, folder).is_file()


def load(name: str, folder: Path | None = None) -> CodeList:
    """A code list by name (default folder: the settings'). Raises CodeListError P06-CONTRACT-008 or 015."""
    path = _path(name, folder)
    try:
        stat = path.stat()
    except OSError:
        raise CodeListError("P06-CONTRACT-008", codelist=name) from None
    return _load(name, path, stat.st_mtime_ns, stat.st_size)


def hash(name: str, folder: Path | None = None) -> str:
    """sha256 of a list's content whatever its line ends, part of a period's fingerprint; also for ``area_change``."""
    path = _path(name, folder)
    try:
        stat = path.stat()
    except OSError:
        raise CodeListError("P06-CONTRACT-008", codelist=name) from None
    return _digest(path, stat.st_mtime_ns, stat.st_size)


def names(folder: Path | None = None) -> tuple[str, ...]:
    """The files of the folder without their endings, sorted; ``area`` holds the lists ``commune`` and ``province``."""
    return tuple(sorted(path.stem for path in (folder or settings().codelists).glob("*.csv")))


def commune_codes(version: date) -> tuple[frozenset[str], bool]:
    """The commune codes of an administrative version, and whether the list shipped covers that day.

    For a day before the earliest list the earliest one is given with False: a code missing from it cannot be told
    from one that was valid then.
    """
    communes = load(COMMUNE)
    shipped = version >= communes.first_day
    return communes.codes(version if shipped else communes.first_day), shipped


def province_of(code: str, version: date) -> str | None:
    """The province of a commune under an administrative version; None for a code unknown to it."""
    return provinces(version).get(code)


def provinces(version: date) -> Mapping[str, str]:
    """Commune code -> province code under an administrative version (the earliest list before it begins)."""
    communes = load(COMMUNE)
    return _provinces(communes.hash, communes.edition(max(version, communes.first_day)))


@cache
def _provinces(content: str, edition: date) -> Mapping[str, str]:
    return MappingProxyType({e.code: e.parent for e in load(COMMUNE).entries if e.parent and e.on(edition)})


def _path(name: str, folder: Path | None) -> Path:
    return (folder or settings().codelists) / f"{AREA if name in (COMMUNE, PROVINCE) else name}.csv"


@cache
def _load(name: str, path: Path, changed: int, size: int) -> CodeList:
    try:
        text = path.read_text("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
        if name in (COMMUNE, PROVINCE):
            rows = [row for row in rows if row["level"] == name]
        if name == COMMUNE:  # island districts without communes stand there under their three-digit district code
            rows = [row for row in rows if len(row["code"]) == COMMUNE_WIDTH]
        entries = tuple(_entry(row) for row in rows)
        if not entries:
            raise ValueError
    except (OSError, UnicodeError, csv.Error, KeyError, ValueError, TypeError, AttributeError):
        raise CodeListError("P06-CONTRACT-015", codelist=name) from None
    return CodeList(name, entries, _digest(path, changed, size))


@cache
def _digest(path: Path, changed: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n").removeprefix(codecs.BOM_UTF8)).hexdigest()


def _entry(row: dict[str, str]) -> Entry:
    if not row["code"] or None in row:
        raise ValueError
    return Entry(
        code=row["code"],
        name=row.get("name_vi") or row.get("name") or row["code"],
        valid_from=date.fromisoformat(row.get("valid_from") or date.min.isoformat()),
        valid_to=date.fromisoformat(row.get("valid_to") or date.max.isoformat()),
        parent=row.get("parent_code") or None,
    )
