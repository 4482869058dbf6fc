"""Code lists: the values a column may take on a day, from ``contracts/codelists/*.csv``.

A list is a CSV with a column ``code`` and, where codes come and go, ``valid_from`` and ``valid_to`` (exclusive).
The list ``commune`` is the commune level of ``area.csv``; files ``area_YYYY-MM-DD.csv`` beside it add to it.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
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
SUPPLEMENTS = "area_[0-9]*.csv"  # later lists of areas, each adding to area.csv
_AREA_CODE = {COMMUNE: re.compile(r"[0-9]{5}|[0-9]{3}"), PROVINCE: re.compile(r"[0-9]{2}")}


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
    return _load(name, _stamps(name, folder))


def hash(name: str, folder: Path | None = None) -> str:
    """sha256 of a list's content whatever its line ends, part of a period's fingerprint; also for ``area_change``."""
    return _digest(_stamps(name, folder))


def areas(folder: Path | None = None) -> list[dict[str, str]]:
    """The rows of ``area.csv`` and of its supplements, by the columns of ``area.csv``.

    A row of a supplement ends the one of its level and code that was in force on its first day; a parent it does not
    state is that one's. Raises CodeListError P06-CONTRACT-008 or 015.
    """
    stamps = _stamps(AREA, folder)
    try:
        return [dict(row) for row in _areas(stamps)]
    except _UNREADABLE:
        raise CodeListError("P06-CONTRACT-015", codelist=AREA) from None


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


_Stamps = tuple[tuple[Path, int, int], ...]
_UNREADABLE = (OSError, UnicodeError, csv.Error, KeyError, ValueError, TypeError, AttributeError)


def _stamps(name: str, folder: Path | None) -> _Stamps:
    """The files a list is read from, as they are now. Raises CodeListError P06-CONTRACT-008."""
    path = _path(name, folder)
    more = sorted(path.parent.glob(SUPPLEMENTS)) if path.stem == AREA else []
    try:
        return tuple((one, stat.st_mtime_ns, stat.st_size) for one in (path, *more) for stat in (one.stat(),))
    except OSError:
        raise CodeListError("P06-CONTRACT-008", codelist=name) from None


@cache
def _load(name: str, stamps: _Stamps) -> CodeList:
    try:
        if name in (COMMUNE, PROVINCE):
            rows = [row for row in _areas(stamps) if row["level"] == name]
        else:
            rows = _rows(stamps[0][0])
        if name == COMMUNE:  # island districts without communes stand there under their three-digit district code
            rows = [row for row in rows if len(row["code"]) == COMMUNE_WIDTH]
        entries = tuple(_entry(row) for row in rows)
        if not entries:
            raise ValueError
    except _UNREADABLE:
        raise CodeListError("P06-CONTRACT-015", codelist=name) from None
    return CodeList(name, entries, _digest(stamps))


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig")), strict=True))


@cache
def _areas(stamps: _Stamps) -> list[dict[str, str]]:
    rows = _rows(stamps[0][0])
    if len(stamps) == 1:
        return rows
    names = list(rows[0])
    by_code: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        by_code.setdefault((row["level"], row["code"]), []).append(row)
    for row in sorted((row for path, *_ in stamps[1:] for row in _rows(path)), key=lambda row: row["valid_from"]):
        first = date.fromisoformat(row["valid_from"]).isoformat()
        if set(row) - set(names) or not row["name"] or row["level"] not in (COMMUNE, PROVINCE):
            raise ValueError
        known = by_code.setdefault((row["level"], row["code"]), [])
        before = next((one for one in known if one["valid_from"] < first < (one["valid_to"] or "9999")), None)
        end = row.get("valid_to") and date.fromisoformat(row["valid_to"]).isoformat()
        if not _AREA_CODE[row["level"]].fullmatch(row["code"]) or (end and end <= first):
            raise ValueError  # a spreadsheet may take leading zeros away
        added = {name: row.get(name) or "" for name in names} | {"valid_from": first, "valid_to": end or ""}
        if before is not None:
            added["valid_to"] = added["valid_to"] or before["valid_to"]
            added["parent_code"] = added["parent_code"] or before["parent_code"]
            before["valid_to"] = first
        elif any(one["valid_from"] == first for one in known):
            raise ValueError
        if added["level"] == COMMUNE and not added["parent_code"]:
            raise ValueError
        if any(
            added["valid_from"] < (one["valid_to"] or "9999") and one["valid_from"] < (added["valid_to"] or "9999")
            for one in known
        ):
            raise ValueError  # two names on one day
        known.append(added)
    return [row for found in by_code.values() for row in found]


@cache
def _digest(stamps: _Stamps) -> str:
    contents = [path.read_bytes().replace(b"\r\n", b"\n").removeprefix(codecs.BOM_UTF8) for path, _, _ in stamps]
    if len(contents) == 1:
        return hashlib.sha256(contents[0]).hexdigest()
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).hexdigest()


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
