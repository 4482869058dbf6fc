"""An xlsx workbook as an archive that may be hostile: what it unpacks to is bounded before anything interprets it.

Beside that it tells what the cell reader keeps silent about: error cells, formulas without a cached value, numbers shown
as percentages, merged cells, cells that stand twice, and how large the grid is that the sheet claims.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, Any
from unicodedata import normalize
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from p06.limits import limits
from p06.reading import RATIO_FROM, RATIO_LIMIT

UNPACKED_LIMIT = limits().sheet_bytes
MEMBER_LIMIT = 4_096  # parts of one workbook; real ones have some dozens
AREA_LIMIT = 1 << 25  # cells of the grid between A1 and the last used cell; the reader takes 24 bytes for each
ROW_LIMIT, COLUMN_LIMIT = 1_048_576, 16_384  # Excel's own

_CHUNK = 1 << 20
_WORKBOOK, _RELATIONS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
_STYLES = "xl/styles.xml"
COVERED, PERCENT = 1, 2  # marks of cells: under a merged one, a number shown as a percentage
_PERCENT_FORMATS = ("9", "10")  # those every spreadsheet knows
_NOT_SHOWN = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')  # of a number format: what is no instruction
# A plain cell as every common program writes it: no error, and first in it a value, no formula.
_CELL = re.compile(
    rb'<c r="([A-Z]{1,3}[0-9]{1,7})"(?: s="[0-9]+")?(?: t="(?:s|n|b|d|str|inlineStr)")?(?: s="[0-9]+")?'
    rb"(?:/>|><v>|><is>|></c>)"
)
_ANY_CELL = re.compile(rb"<c[^a-zA-Z]")
_PREFIXED_CELL = re.compile(rb":c[ >/\t\r\n]")
_FIRST_ROW = re.compile(rb"</([A-Za-z0-9_.-]+:|)row\s*>")
_HEAD_LIMIT = 16 << 20  # bytes within which the first row ends, else the sheet is read whole
_LETTERS = bytes(range(ord("A"), ord("Z") + 1))
_ERROR = re.compile(r"#[A-Z0-9/_]{1,16}[!?]?")
_KNOWN_ERRORS = frozenset(
    ["", "#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"]
)  # to the cell reader
_ERROR_VALUE = re.compile(
    rb"(<(?:[\w.-]+:)?c\s(?:[^<>]*\s)?t\s*=\s*[\"']e[\"'][^<>]*>\s*"
    rb"(?:<(?:[\w.-]+:)?f(?:\s[^<>]*)?(?:/>|>[^<]*</(?:[\w.-]+:)?f>)\s*)?<(?:[\w.-]+:)?v>)[^<]*(?=</)"
)


class Damaged(Exception):
    """The file is no workbook that can be trusted."""


class TooLarge(Exception):
    """The file unpacks to more than the limit."""


@dataclass
class Grid:
    """A sheet's used rows and columns, and its cells (row, column from 0) without a value of their own."""

    rows: int = 0
    columns: int = 0
    errors: dict[tuple[int, int], str] = field(default_factory=dict)  # '' for a formula without a cached value
    percents: dict[int, array[int]] = field(default_factory=dict)  # column -> rows of numbers shown as percentages
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)  # first row, last row, first column, last

    def marks(self) -> npt.NDArray[np.uint8] | None:
        """Which cells (row, column) lie under a merged one or hold a percentage; None when none does.

        Raises Damaged when two merged cells overlap.
        """
        if not self.merged and not self.percents:
            return None
        found = np.zeros((self.rows, self.columns), np.uint8)
        for top, bottom, left, right in self.merged:
            part = found[top : bottom + 1, left : right + 1]
            if part.any():
                raise Damaged
            part[:] = COVERED
        for top, _, left, _ in self.merged:
            found[top : top + 1, left : left + 1] = 0
        for column, rows in self.percents.items():
            part = found[np.array(rows), column]
            found[np.array(rows), column] = np.where(part, part, PERCENT)
        return found


def look(content: IO[bytes], sheet: str | None) -> tuple[str, Grid]:
    """Check the archive; returns the name of the sheet asked for (default: the first) and what its XML says.

    Raises Damaged, TooLarge, or LookupError when no sheet has that name.
    """
    with _archive(content) as (archive, members):
        part, title = _sheet(archive, members, sheet)
        for name, info in members.items():
            if name != part:
                for _ in _chunks(archive, info):
                    pass
        return title, _grid(archive, members[part], _percent_styles(archive, members.get(_STYLES)))


def head(content: IO[bytes], sheet: str | None) -> tuple[str, IO[bytes]]:
    """The name of the sheet asked for, and a workbook of its own that holds that sheet up to its first row.

    So a header can be compared without reading the rows. Raises Damaged, TooLarge or LookupError like ``look``.
    """
    with _archive(content) as (archive, members):
        part, title = _sheet(archive, members, sheet)
        beginning = b""
        for chunk in _chunks(archive, members[part]):
            beginning += chunk
            row = _FIRST_ROW.search(beginning)
            if row or len(beginning) > _HEAD_LIMIT:
                break
        else:
            row = None
        small = io.BytesIO()
        with zipfile.ZipFile(small, "w", zipfile.ZIP_STORED) as made:
            for name, info in members.items():
                if name == part and row:
                    prefix = row[1]
                    end = b"</" + prefix + b"sheetData></" + prefix + b"worksheet>"
                    made.writestr(info.filename, beginning[: row.end()] + end)
                elif name == part or not name.startswith(("xl/worksheets/", "xl/media/")):
                    made.writestr(info.filename, b"".join(_chunks(archive, info)))
        small.seek(0)
        return title, small


def with_known_errors(content: IO[bytes], sheet: str | None, grid: Grid) -> IO[bytes]:
    """The workbook, its sheet's errors replaced by #N/A when one of them is not known to every program.

    The cell reader takes a sheet with ``#ERROR!`` or ``#GETTING_DATA`` for a damaged one; ``grid`` holds what they were.
    Raises Damaged, TooLarge or LookupError like ``look``.
    """
    content.seek(0)
    if _KNOWN_ERRORS.issuperset(grid.errors.values()):
        return content
    made = io.BytesIO()
    with (
        _archive(content) as (archive, members),
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        part, _ = _sheet(archive, members, sheet)
        for name, info in members.items():
            if name == part:
                new.writestr(info.filename, _ERROR_VALUE.sub(rb"\1#N/A", b"".join(_chunks(archive, info))))
            elif not name.startswith(("xl/worksheets/", "xl/media/")):
                new.writestr(info.filename, b"".join(_chunks(archive, info)))
    made.seek(0)
    return made


@contextmanager
def _archive(content: IO[bytes]) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """The archive and its parts; whatever is wrong with it is Damaged."""
    try:
        with zipfile.ZipFile(content) as archive:
            yield archive, _members(content, archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, expat.ExpatError, UnicodeError) as error:
        raise Damaged from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise Damaged from error
    except RuntimeError as error:  # zipfile's word for a password
        raise Damaged from error


def _members(content: IO[bytes], archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The parts by name in lower case. What two programs could read as two different archives is refused."""
    infos = archive.infolist()
    if len(infos) > MEMBER_LIMIT or sum(info.file_size for info in infos) > UNPACKED_LIMIT:
        raise TooLarge
    content.seek(-22, 2)
    if content.read(4) != b"PK\x05\x06":
        raise Damaged  # something stands behind the directory
    members: dict[str, zipfile.ZipInfo] = {}
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        name = info.filename.lower()
        if name in members or name.startswith("/") or "\\" in name or ".." in name.split("/") or info.flag_bits & 1:
            raise Damaged
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.header_offset < end:
            raise Damaged
        if info.file_size > RATIO_FROM and info.file_size > RATIO_LIMIT * max(info.compress_size, 1):
            raise TooLarge
        end = info.header_offset + 30 + info.compress_size
        members[name] = info
    if _WORKBOOK not in members or _RELATIONS not in members:
        raise Damaged
    return members


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """A part's content; its size is the declared one and its checksum holds, or zipfile says BadZipFile.

    Refuses XML that declares a document type, and so entities, or is not in an encoding of ASCII's family.
    """
    is_xml = info.filename.lower().endswith((".xml", ".rels", ".vml"))
    tail = b""
    with archive.open(info) as part:
        while chunk := part.read(_CHUNK):
            if is_xml:
                if not tail and chunk.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"<":
                    raise Damaged
                if b"<!DOCTYPE" in chunk or b"<!DOCTYPE" in tail + chunk[:16]:
                    raise Damaged
                tail = chunk[-16:]
            yield chunk


def _sheet(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], wanted: str | None) -> tuple[str, str]:
    """The part and the name of the sheet asked for."""
    targets: dict[str, str] = {}
    sheets: list[tuple[str, str]] = []

    def relation(name: str, attributes: dict[str, str]) -> None:
        if _local(name) == "Relationship" and attributes.get("Type", "").endswith("/worksheet"):
            target = attributes.get("Target", "")
            path = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join("xl", target))
            targets[attributes.get("Id", "")] = path.lower()

    def sheet(name: str, attributes: dict[str, str]) -> None:
        if _local(name) == "sheet":
            identity = next((value for key, value in attributes.items() if key.endswith(":id")), "")
            sheets.append((attributes.get("name", ""), identity))

    _parse(archive, members[_RELATIONS], relation)
    _parse(archive, members[_WORKBOOK], sheet)
    titles = [title for title, _ in sheets]
    if len(set(titles)) < len(titles):
        raise Damaged
    if wanted is not None and wanted not in titles:  # a manifest made on one system, a workbook on another: NFC, NFD
        alike = [title for title in titles if normalize("NFC", title) == normalize("NFC", wanted)]
        wanted = alike[0] if len(alike) == 1 else wanted
    for title, identity in sheets:
        if targets.get(identity) in members and wanted in (None, title):
            return targets[identity], title
    if wanted is not None and wanted not in titles:
        raise LookupError
    raise Damaged


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _parser(start: Any, end: Any = None, text: Any = None) -> Any:
    def refuse(*_: object) -> None:
        raise Damaged

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = refuse
    return parser


def _parse(archive: zipfile.ZipFile, info: zipfile.ZipInfo, start: Any, end: Any = None, text: Any = None) -> None:
    parser = _parser(start, end, text)
    for chunk in _chunks(archive, info):
        parser.Parse(chunk, False)
    parser.Parse(b"", True)


def _percent_styles(archive: zipfile.ZipFile, info: zipfile.ZipInfo | None) -> frozenset[str]:
    """Numbers of the cell styles that show 0.5 as 50 %."""
    percents = set(_PERCENT_FORMATS)
    found: set[str] = set()
    count = -1  # of the styles so far, once their list has begun

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        name = _local(name)
        if name == "numFmt" and "%" in _NOT_SHOWN.sub("", attributes.get("formatCode", "")):
            percents.add(attributes.get("numFmtId", ""))
        elif name == "cellXfs":
            count = 0
        elif name == "xf" and count >= 0:
            if attributes.get("numFmtId") in percents:
                found.add(str(count))
            count += 1

    def end(name: str) -> None:
        nonlocal count
        if _local(name) == "cellXfs":
            count = -1

    if info is not None:
        _parse(archive, info, start, end)
    return frozenset(found)


def _grid(archive: zipfile.ZipFile, info: zipfile.ZipInfo, percents: frozenset[str] = frozenset()) -> Grid:
    grid = _quick(archive, info, percents) or _exact(archive, info, percents)
    if grid.rows > ROW_LIMIT or grid.columns > COLUMN_LIMIT:
        raise Damaged
    if grid.rows * grid.columns > AREA_LIMIT:
        raise TooLarge
    return grid


def _quick(archive: zipfile.ZipFile, info: zipfile.ZipInfo, percents: frozenset[str] = frozenset()) -> Grid | None:
    """The grid of a sheet of plain cells, each with its reference, in order; None when it is not written so."""
    letters: dict[bytes, int] = {}
    styled = [f' s="{style}"'.encode() for style in percents]
    last, held = 0, b""
    for chunk in chain(_chunks(archive, info), [b""]):
        data = held + chunk
        cut = max(data.rfind(b"<c "), 0) if chunk else len(data)  # a cell is looked at in one piece
        data, held = data[:cut], data[cut:]
        references = _CELL.findall(data)
        if len(_ANY_CELL.findall(data)) != len(references) or _PREFIXED_CELL.search(data) or len(held) > 4 * _CHUNK:
            return None
        if b"mergeCell" in data or any(one in data for one in styled):
            return None
        if any(data.count(end) != data.count(end + b"</c>") for end in (b"</v>", b"</is>")):
            return None
        if not references:
            continue
        joined = b" ".join(references)
        names = joined.translate(None, b"0123456789").split()
        for name in set(names) - letters.keys():
            letters[name] = _column(name)
        places = np.fromiter(map(int, joined.translate(None, _LETTERS).split()), np.int64, len(references))
        places = places * (COLUMN_LIMIT + 1) + np.fromiter(map(letters.__getitem__, names), np.int64, len(names))
        if int(places[0]) <= last or (np.diff(places) <= 0).any():  # a cell twice, or in no order
            return None
        last = int(places[-1])
    return Grid(last // (COLUMN_LIMIT + 1), max(letters.values(), default=0))


def _column(letters: bytes) -> int:
    """A column's number from 1."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


class _Cells:
    """Goes through a sheet element by element."""

    def __init__(self, percents: frozenset[str] = frozenset()) -> None:
        self.grid = Grid()
        self.percents = percents
        self.percent = False
        self.row, self.column = -1, -1
        self.kind = ""
        self.formula = self.valued = False
        self.text: list[str] | None = None
        self.written = ""
        self.seen: set[int] = set()
        self.rows: set[int] = set()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = _local(name)
        if name == "row":
            self.row = int(attributes["r"]) - 1 if "r" in attributes else self.row + 1
            self.column, self.seen = -1, set()
            if self.row in self.rows:
                raise Damaged
            self.rows.add(self.row)
        elif name == "c":
            self.column += 1
            row = self.row
            if "r" in attributes:
                row, self.column = _place(attributes["r"])
            if row != self.row or self.column in self.seen:
                raise Damaged
            self.seen.add(self.column)
            self.kind, self.formula, self.valued, self.written = attributes.get("t", "n"), False, False, ""
            self.percent = attributes.get("s") in self.percents
        elif name in ("f", "v", "is"):
            if self.valued:  # a second value, or a formula behind it: programs read them differently
                raise Damaged
            if name == "f":
                self.formula = True
            else:
                self.valued, self.text = True, []
        elif name == "mergeCell":
            first, _, last = attributes.get("ref", "").partition(":")
            (top, left), (bottom, right) = _place(first), _place(last or first)
            self.grid.merged.append((top, bottom, left, right))
            if len(self.grid.merged) > ROW_LIMIT:
                raise TooLarge

    def characters(self, text: str) -> None:
        if self.text is not None and len(self.text) < 64:
            self.text.append(text)

    def end(self, name: str) -> None:
        name = _local(name)
        if name == "v" and self.text is not None:
            self.written, self.text = "".join(self.text), None
        elif name == "c":
            self.text = None
            place = (self.row, self.column)
            if self.kind == "e":
                self.grid.errors[place] = self.written if _ERROR.fullmatch(self.written) else "#ERROR"
            elif self.formula and not self.written.strip() and not (self.kind == "str" and self.valued):
                self.grid.errors[place] = ""
            elif self.percent and self.kind == "n" and self.valued:
                self.grid.percents.setdefault(self.column, array("l")).append(self.row)
            self.grid.rows = max(self.grid.rows, self.row + 1)
            self.grid.columns = max(self.grid.columns, self.column + 1)
            self.valued = False


def _place(reference: str) -> tuple[int, int]:
    """Row and column, from 0, of a reference like B7. Raises Damaged on anything else."""
    match = re.fullmatch(r"([A-Za-z]{1,3})([0-9]{1,7})", reference)
    if match is None:
        raise Damaged
    return int(match[2]) - 1, _column(match[1].upper().encode()) - 1


def _exact(archive: zipfile.ZipFile, info: zipfile.ZipInfo, percents: frozenset[str] = frozenset()) -> Grid:
    cells = _Cells(percents)
    try:
        _parse(archive, info, cells.start, cells.end, cells.characters)
    except ValueError as error:
        raise Damaged from error
    return cells.grid
