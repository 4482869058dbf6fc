"""The manifest of a delivery: what the sender says it is. Every disagreement is named, not only the first."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from math import isfinite
from string import ascii_letters, digits
from typing import Any

from p06 import contract as contracts
from p06.contract import Contract
from p06.errors import P06Error, Refused, UsageError
from p06.landing import MANIFEST, Delivery
from p06.limits import limits
from p06.period import Period
from p06.scanner import Dialect

VERSION = 1
KINDS = ("csv", "jsonl", "parquet", "xlsx")
TEXT_KINDS = ("csv", "jsonl")
COMPRESSIONS = ("none", "gzip", "zstd")
ENCODINGS = ("utf-8", "utf-16", "windows-1258", "tcvn3", "vni", "viscii")
SHEET_LIMIT = 31  # characters of a sheet's name, Excel's own limit
REVISION_LIMIT = 2**31 - 1
_DEPTH_LIMIT = 16  # the interface needs three
_FIELDS = ("manifest_version", "source", "period", "revision", "produced_at", "admin_code_version")
_FORMAT_FIELDS = ("kind", "compression", "encoding", "delimiter", "quote", "escape", "header", "sheet")

_FILE_NAME = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,199}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VISCII_LETTERS = tuple("\x02\x05\x06\x14\x19\x1e")  # control codes elsewhere
_SEPARATORS = frozenset(map(chr, range(1, 128))) - frozenset("\r\n") - frozenset(ascii_letters + digits)


@dataclass(frozen=True)
class StatedFile:
    """One file of the delivery as the manifest states it; ``number`` counts from 1 in the manifest's order."""

    number: int
    name: str
    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True)
class Format:
    """How the files are written."""

    kind: str
    compression: str
    encoding: str
    dialect: Dialect
    header: bool
    sheet: str | None = None  # of a workbook; the first when none is named


@dataclass(frozen=True)
class Manifest:
    """A manifest that fits the interface."""

    source: str
    period: Period
    revision: int
    produced_at: datetime
    admin_code_version: date
    format: Format
    files: tuple[StatedFile, ...]
    document: dict[str, Any]  # the interface's fields as they were stated, checksums in lower case

    @property
    def rows(self) -> int:
        """Records over all files."""
        return sum(file.rows for file in self.files)

    @property
    def content_hash(self) -> str:
        """sha256 over what the delivery says, whatever its files, folder and revision are called."""
        content = {
            "source": self.source,
            "period": str(self.period),
            "format": {
                "kind": self.format.kind,
                "compression": self.format.compression,
                "encoding": self.format.encoding,
                "delimiter": self.format.dialect.delimiter.decode("ascii"),
                "quote": self.format.dialect.quote.decode("ascii"),
                "header": self.format.header,
                **({"escape": self.format.dialect.escape.decode("ascii")} if self.format.dialect.escape else {}),
                **({} if self.format.sheet is None else {"sheet": self.format.sheet}),
            },
            "admin_code_version": self.admin_code_version.isoformat(),
            "files": sorted(file.sha256 for file in self.files),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def extract_id(self) -> str:
        """``<source>-<yyyymm>-r<revision>-<12 hex of the content>``."""
        month = f"{self.period.year:04d}{self.period.month:02d}"
        return f"{self.source}-{month}-r{self.revision}-{self.content_hash[:12]}"


def read(delivery: Delivery) -> tuple[Contract, Manifest]:
    """The manifest and its contract, checked against the folder: names, sizes and list of files, not yet their content.

    The contract is that of the manifest's period (``Contract.at``).

    Raises Refused P06-LOAD-001 with every mismatch; P06-LOAD-002 alone when there is no manifest yet.
    """
    if delivery.manifest is None:
        raise Refused("P06-LOAD-002", delivery=shown(delivery))
    reader = _Reader(delivery)
    if not _encodable(delivery.name):
        reader.wrong("P06-LOAD-011", at="folder")
    manifest = reader.manifest()
    if reader.mismatches or manifest is None or reader.contract is None:
        raise refusal(delivery, reader.mismatches)
    return reader.contract.at(manifest.period), manifest


def refusal(delivery: Delivery, mismatches: list[P06Error]) -> Refused:
    """The refusal of a delivery for these reasons."""
    return Refused("P06-LOAD-001", mismatches, delivery=shown(delivery))


def shown(delivery: Delivery) -> str:
    """The delivery's place with anything that is not a plain name hidden."""
    parts = (delivery.source, delivery.period, delivery.name)
    return "/".join(_shown(part) or "…" for part in parts)


def kept(delivery: Delivery) -> str:
    """The delivery's place as the ledger keeps it: as shown, and told apart by a hash where something is hidden."""
    seen = shown(delivery)
    if seen == delivery.place:
        return seen
    return f"{seen}~{hashlib.sha256(delivery.place.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def kept_source(delivery: Delivery) -> str:
    """The name of the source's folder as the ledger keeps it."""
    return _shown(delivery.source) or "…"


def plain_name(name: str) -> str | None:
    """The name of a file when it may stand in a message or a return file."""
    return _shown(name)


def _shown(name: Any) -> str | None:
    """A name as it may stand in a message: only a plain one, and none that could hold somebody's number."""
    plain = isinstance(name, str) and _PLAIN_NAME.fullmatch(name) and not re.search(r"[0-9]{9}", name)
    return name if plain else None


class _Duplicate(ValueError):
    """A key written twice in the manifest."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Duplicate
    return found


def _no_constant(_: str) -> Any:
    raise ValueError


def _finite(text: str) -> float:
    found = float(text)
    if not isfinite(found):
        raise ValueError
    return found


def _storable(document: Any) -> bool:
    """Whether the ledger can hold it: not too deep, no NUL, no half of a surrogate pair."""
    level = [document]
    for _ in range(_DEPTH_LIMIT):
        for text in level:
            if isinstance(text, str) and ("\0" in text or not _encodable(text)):
                return False
        inner = [one for one in level if isinstance(one, dict | list)]
        if not inner:
            return True
        level = [part for one in inner for part in (one if isinstance(one, list) else [*one.keys(), *one.values()])]
    return False


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _known(document: dict[str, Any], files: list[StatedFile]) -> dict[str, Any]:
    """The fields of the interface as they were stated; what else a sender wrote does not enter the ledger."""
    kept = {name: document[name] for name in _FIELDS if name in document}
    kept["format"] = {name: document["format"][name] for name in _FORMAT_FIELDS if name in document["format"]}
    kept["files"] = [
        {"name": file.name, "bytes": file.bytes, "sha256": file.sha256, "rows": file.rows} for file in files
    ]
    return kept


class _Reader:
    """Reads one manifest, collecting what is wrong."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.mismatches: list[P06Error] = []
        self.contract: Contract | None = None

    def wrong(self, code: str, **where: Any) -> None:
        self.mismatches.append(P06Error(code, **where))

    def manifest(self) -> Manifest | None:
        document = self.document()
        source = self.source(document)
        period = self.period(document)
        if document is None:
            return None
        if (version := document.get("manifest_version")) != VERSION or isinstance(version, bool):
            self.wrong("P06-LOAD-005", expected=VERSION)
        revision = self.revision(document)
        produced_at = self.moment(document)
        admin_code_version = self.day(document)
        format_ = self.format(document)
        files = self.files(document)
        if None in (source, period, revision, produced_at, admin_code_version, format_) or self.mismatches:
            return None
        return Manifest(
            source=str(source),
            period=period,  # type: ignore[arg-type]
            revision=revision,  # type: ignore[arg-type]
            produced_at=produced_at,  # type: ignore[arg-type]
            admin_code_version=admin_code_version,  # type: ignore[arg-type]
            format=format_,  # type: ignore[arg-type]
            files=tuple(files),
            document=_known(document, files),
        )

    def document(self) -> dict[str, Any] | None:
        try:
            found = json.loads(
                (self.delivery.manifest or b"").decode("utf-8-sig"),
                object_pairs_hook=_unique,
                parse_constant=_no_constant,
                parse_float=_finite,
            )
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not _storable(found):
            self.wrong("P06-LOAD-003", file=MANIFEST)
            return None
        return found

    def source(self, document: dict[str, Any] | None) -> str | None:
        try:
            self.contract = contracts.load(self.delivery.source)
        except UsageError:
            self.wrong("P06-LOAD-006")
        if document is None:
            return None
        stated = document.get("source")
        if not isinstance(stated, str):
            self.wrong("P06-LOAD-004", field="source")
        elif stated != self.delivery.source:
            self.wrong("P06-LOAD-009", field="source")
        else:
            return stated
        return None

    def period(self, document: dict[str, Any] | None) -> Period | None:
        found: Period | None = None
        try:
            found = Period.parse(self.delivery.period)
            if found > Period.current():
                self.wrong("P06-LOAD-008", period=found)
        except UsageError:
            self.wrong("P06-LOAD-007", at="folder")
        if document is None:
            return None
        stated = document.get("period")
        try:
            if found is not None and Period.parse(stated if isinstance(stated, str) else "") != found:
                self.wrong("P06-LOAD-009", field="period")
        except UsageError:
            self.wrong("P06-LOAD-007", at="manifest")
        return found

    def revision(self, document: dict[str, Any]) -> int | None:
        stated = document.get("revision")
        if type(stated) is not int or not 1 <= stated <= REVISION_LIMIT:
            self.wrong("P06-LOAD-010")
            return None
        return stated

    def moment(self, document: dict[str, Any]) -> datetime | None:
        stated = document.get("produced_at")
        try:
            found = datetime.fromisoformat(stated if isinstance(stated, str) else "")
            if found.tzinfo is not None:
                return found
        except ValueError:
            pass
        self.wrong("P06-LOAD-004", field="produced_at")
        return None

    def day(self, document: dict[str, Any]) -> date | None:
        stated = document.get("admin_code_version")
        if isinstance(stated, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", stated):
            try:
                return date.fromisoformat(stated)
            except ValueError:
                pass
        self.wrong("P06-LOAD-004", field="admin_code_version")
        return None

    def format(self, document: dict[str, Any]) -> Format | None:
        stated = document.get("format")
        if not isinstance(stated, dict):
            self.wrong("P06-LOAD-004", field="format")
            return None
        before = len(self.mismatches)
        kind = self.choice(stated, "kind", KINDS, None)
        compression = self.choice(stated, "compression", COMPRESSIONS, "none")
        encoding = self.choice(stated, "encoding", ENCODINGS, None if kind in TEXT_KINDS else "utf-8")
        delimiter, quote = stated.get("delimiter", ","), stated.get("quote", '"')
        if not (isinstance(delimiter, str) and delimiter in _SEPARATORS):
            self.wrong("P06-LOAD-024", field="delimiter")
        if not (isinstance(quote, str) and quote in _SEPARATORS) or quote == delimiter:
            self.wrong("P06-LOAD-024", field="quote")
        if encoding == "viscii":  # what stands between the fields would be read as part of them
            for field, mark in (("delimiter", delimiter), ("quote", quote)):
                if mark in _VISCII_LETTERS:
                    self.wrong("P06-LOAD-024", field=field)
        escape = stated.get("escape") or ""
        if escape not in ("", "\\") or escape in (delimiter, quote):
            self.wrong("P06-LOAD-024", field="escape")
        header = stated.get("header", True)
        if not isinstance(header, bool):
            self.wrong("P06-LOAD-004", field="format.header")
        sheet = stated.get("sheet")
        if not (sheet is None or (isinstance(sheet, str) and 0 < len(sheet) <= SHEET_LIMIT and kind == "xlsx")):
            self.wrong("P06-LOAD-004", field="format.sheet")
        if len(self.mismatches) > before:
            return None
        dialect = Dialect(delimiter.encode(), quote.encode(), escape.encode())
        return Format(kind, compression, encoding, dialect, header, sheet)

    def choice(self, stated: dict[str, Any], field: str, known: tuple[str, ...], default: str | None) -> str:
        value = stated.get(field, default)
        if not isinstance(value, str) or value not in known:
            self.wrong("P06-LOAD-004", field=f"format.{field}")
            return ""
        return value

    def files(self, document: dict[str, Any]) -> list[StatedFile]:
        stated = document.get("files")
        if not isinstance(stated, list) or len(stated) > limits().files:
            self.wrong("P06-LOAD-004", field="files")
            return []
        if not stated:
            self.wrong("P06-LOAD-017")
        present = {name: (size, plain) for name, size, plain in self.delivery.entries}
        files: list[StatedFile] = []
        seen: set[str] = set()
        for number, item in enumerate(stated, 1):
            file = self.file(number, item)
            if file is None:
                continue
            if file.name in seen:
                self.wrong("P06-LOAD-011", file=_shown(file.name), number=number)
                continue
            seen.add(file.name)
            self.compare(file, present)
            files.append(file)
        named = {item.get("name") for item in stated if isinstance(item, dict) and isinstance(item.get("name"), str)}
        for name, _, plain in self.delivery.entries:
            if name not in named:
                self.wrong("P06-LOAD-013" if plain else "P06-LOAD-011", file=_shown(name))
        rows = sum(file.rows for file in files)
        if files and len(files) == len(stated) and not rows:
            self.wrong("P06-LOAD-018")
        if rows > limits().rows:
            self.wrong("P06-LOAD-049", rows=rows, limit=limits().rows)
        return files

    def file(self, number: int, item: Any) -> StatedFile | None:
        if not isinstance(item, dict):
            self.wrong("P06-LOAD-004", field=f"files[{number}]")
            return None
        name, size, checksum, rows = (item.get(field) for field in ("name", "bytes", "sha256", "rows"))
        fine = True
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name) or name == MANIFEST:
            self.wrong("P06-LOAD-011", number=number)
            fine = False
        for field, value in (("bytes", size), ("rows", rows)):
            if type(value) is not int or not 0 <= value < 2**53:
                self.wrong("P06-LOAD-004", field=f"files[{number}].{field}")
                fine = False
        if not isinstance(checksum, str) or not _SHA256.fullmatch(checksum.lower()):
            self.wrong("P06-LOAD-004", field=f"files[{number}].sha256")
            fine = False
        return StatedFile(number, name, size, checksum.lower(), rows) if fine else None  # type: ignore[arg-type,union-attr]

    def compare(self, file: StatedFile, present: dict[str, tuple[int, bool]]) -> None:
        if file.name not in present:
            self.wrong("P06-LOAD-012", file=_shown(file.name))
            return
        size, plain = present[file.name]
        if not plain:
            self.wrong("P06-LOAD-011", file=_shown(file.name))
        elif size != file.bytes:
            self.wrong("P06-LOAD-014", file=_shown(file.name), stated=file.bytes, found=size)
