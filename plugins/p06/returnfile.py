"""The return file: what a sender gets back about the rows that did not pass, as a page, a workbook or plain csv.

Who writes it has an iterable of ``Rejected``, from the intake or from quarantine; both give the same file, byte for
byte. Values are masked: a file that travels by mail must hold nothing a person can be found by.
"""

from __future__ import annotations

import csv
import heapq
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from pathlib import Path
from typing import IO, Any

from p06.contract import Contract
from p06.errors import P06Error, UsageError, messages
from p06.judge import Rejected
from p06.manifest import Manifest, plain_name
from p06.masking import RAW_LIMIT, SHOWN_LIMIT, mask
from p06.rules import AREA_LIST_MISSING

KINDS = ("html", "xlsx", "csv")
ROW_LIMIT = 100_000  # rows listed in one file
LINE_LIMIT = 1_000_000  # lines of the table; a sheet holds 1,048,576

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")

Show = Callable[[bytes], str]


@dataclass(frozen=True)
class Heading:
    """What the file speaks of. ``files`` are the names of the delivery's files, None where one is not shown."""

    source: str
    title_en: str
    title_vi: str
    period: str
    revision: int
    extract_id: str
    files: tuple[str | None, ...]
    received: int
    duplicates: int
    quarantined: int
    staged: int

    @classmethod
    def of(cls, contract: Contract, manifest: Manifest, received: int, duplicates: int, quarantined: int) -> Heading:
        """The heading of one delivery; what is left of its rows would be staged."""
        return cls(
            contract.source, contract.title_en, contract.title_vi, str(manifest.period), manifest.revision,
            manifest.extract_id, tuple(plain_name(file.name) for file in manifest.files),
            received, duplicates, quarantined, received - duplicates - quarantined,
        )  # fmt: skip


@dataclass(frozen=True)
class Findings:
    """Rows in quarantine, in the order of file and line, no more than were asked for; and the sums over all of them."""

    rows: tuple[Rejected, ...]
    total: int
    reasons: Mapping[str, int]  # rows under each reason
    waiting: int = 0  # rows that lack nothing but the list of their areas

    @property
    def more(self) -> int:
        """How many rows are not listed."""
        return self.total - len(self.rows)


def collect(rejected: Iterable[Rejected], limit: int = ROW_LIMIT) -> Findings:
    """The first rows by file and line, whatever the order they come in; memory is bounded by ``limit``."""
    reasons: Counter[str] = Counter()
    total = waiting = 0

    def counted() -> Iterator[Rejected]:
        nonlocal total, waiting
        for one in rejected:
            total += 1
            waiting += set(one.reasons) == {AREA_LIST_MISSING}
            reasons.update(set(one.reasons))
            yield one if len(one.raw) <= RAW_LIMIT else replace(one, raw=one.raw[:RAW_LIMIT])

    kept = heapq.nsmallest(limit, counted(), key=lambda one: (one.file, one.line, one.record))
    return Findings(within(kept), total, by_count(reasons), waiting)


def within(rows: Iterable[Rejected]) -> tuple[Rejected, ...]:
    """As many of the rows as a sheet can hold, one line for each reason of each."""
    kept, lines = [], 0
    for one in rows:
        lines += len(one.reasons)
        if lines > LINE_LIMIT:
            break
        kept.append(one)
    return tuple(kept)


def by_count(reasons: Mapping[str, int]) -> dict[str, int]:
    """Reasons, the most frequent first."""
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def shown(raw: bytes) -> str:
    """A record as it stands, for the sender's own machine; what would not be seen, or turns the text, is spelled out."""
    return visible(raw[:RAW_LIMIT].decode("utf-8", "replace"))[:SHOWN_LIMIT]


def visible(text: str) -> str:
    """A text with each control, format or direction mark written as its number."""
    if text.isprintable():
        return text
    return "".join(f"<U+{ord(one):04X}>" if unicodedata.category(one) in _HIDDEN else one for one in text)


def defused(text: str) -> str:
    """A cell no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULAS) else text


def kind_of(path: Path) -> str:
    """``html``, ``xlsx`` or ``csv`` by the file's ending. Raises UsageError P06-CHECK-006 on another."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise UsageError("P06-CHECK-006", allowed=", ".join(f".{one}" for one in KINDS))
    return kind


def write(path: Path, contract: Contract, heading: Heading, findings: Findings, values: bool = False) -> None:
    """Write the file in one step, in the kind of its ending; the same input gives the same bytes.

    ``values`` shows records as they stand instead of their shape. Raises UsageError P06-CHECK-006; P06Error
    P06-QUAR-005 when the folder cannot be written.
    """
    sheet = Sheet(contract, heading, findings, shown if values else mask, values)
    in_one_step(path, {"html": _write_page, "xlsx": _write_workbook, "csv": _write_csv}, sheet)


def in_one_step(path: Path, writers: Mapping[str, Callable[[Path, Any], None]], content: Any) -> None:
    """Let the writer of the file's kind write it beside its place, then put it there.

    Raises UsageError P06-CHECK-006; P06Error P06-QUAR-005 when the folder cannot be written.
    """
    kind = kind_of(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            writers[kind](draft, content)
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
    except OSError as error:
        raise P06Error("P06-QUAR-005", kind=type(error).__name__) from None


FORMULAS_DEFUSED = (
    "Ô bắt đầu bằng = + - @, TAB hoặc xuống dòng được thêm dấu ' ở đầu để bảng tính không coi là công thức.",
    "A cell that begins with = + - @, TAB or a line end bears a ' so that it is no formula.",
)


@dataclass(frozen=True)
class Line:
    """One reason of one row."""

    file: int
    file_name: str | None
    line: int
    record: int
    column: str | None  # as the file's header names it
    reason: str
    shown: str


@dataclass(frozen=True)
class Sheet:
    """All a writer needs: the heading, and the lines in words."""

    contract: Contract
    heading: Heading
    findings: Findings
    show: Show
    values: bool

    def lines(self) -> Iterator[Line]:
        """One line for each reason of each row."""
        headers: dict[str | None, str | None] = {}
        for one in self.findings.rows:
            text = self.show(one.raw)
            name = self.heading.files[one.file - 1] if one.file <= len(self.heading.files) else None
            for reason, column in zip(one.reasons, one.columns, strict=True):
                if column not in headers:
                    headers[column] = self._header(column)
                yield Line(one.file, name, one.line, one.record, headers[column], reason, text)

    def notes(self, sheets: bool) -> list[tuple[str, str]]:
        """(Vietnamese, English) of what the reader must know."""
        told = [
            (
                "Dòng là dòng vật lý trong tệp, dòng đầu tiên là 1; bản ghi được đếm từ 1, không kể tiêu đề.",
                "Line is the physical line in the file, the first is 1; records count from 1, without the header.",
            ),
            (
                "Một dòng có nhiều lý do xuất hiện nhiều lần, mỗi lý do một lần.",
                "A row with several reasons is listed once for each.",
            ),
        ]
        if self.values:
            told.append(
                (
                    "Tệp này chứa giá trị thật: không gửi đi, xóa sau khi dùng.",
                    "This file holds real values: do not send it on, delete it after use.",
                )
            )
        else:
            told.append(
                (
                    "Giá trị bị che: chữ số thành 9, chữ cái thành A, chuỗi dài hơn 12 ký tự bị cắt (~).",
                    "Values are masked: digits show as 9, letters as A, runs longer than 12 are cut (~).",
                )
            )
        if sheets:
            told.append(FORMULAS_DEFUSED)
        if self.findings.more:
            told.append(
                (
                    f"Chỉ liệt kê {len(self.findings.rows)} dòng đầu; còn {self.findings.more} dòng nữa.",
                    f"Only the first {len(self.findings.rows)} rows are listed; {self.findings.more} more are not.",
                )
            )
        return told

    def _header(self, column: str | None) -> str | None:
        if column is None:
            return None
        known = {one.name: one.physical_name for one in self.contract.columns}
        return ", ".join(known.get(name, name) for name in column.split(", "))


_FACTS = (
    ("Nguồn", "Source", "source"),
    ("Kỳ", "Period", "period"),
    ("Lần sửa đổi", "Revision", "revision"),
    ("Bản trích", "Extract", "extract_id"),
    ("Nhận được", "Received", "received"),
    ("Trùng lặp", "Duplicates", "duplicates"),
    ("Bị giữ lại", "In quarantine", "quarantined"),
    ("Đạt", "Passed", "staged"),
)
_COLUMNS = (
    ("Tệp", "File"),
    ("Dòng", "Line"),
    ("Bản ghi", "Record"),
    ("Cột", "Column"),
    ("Mã lý do", "Reason code"),
    ("Lý do", "Reason"),
    ("Nội dung dòng", "The row"),
)
_WHOLE_ROW = ("cả dòng", "whole row")


def _file(line: Line) -> str:
    return f"{line.file}: {line.file_name}" if line.file_name else str(line.file)


STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; color: #1b1b1b; background: #fff;
       font: 1rem/1.45 system-ui, "Noto Sans", "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.35rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; border-bottom: 2px solid #0b3d66; }
p { margin: .25rem 0; }
[lang=en] { color: #474747; }
td [lang=en], dt [lang=en] { display: block; font-size: .875rem; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .5rem; margin: .75rem 0; }
dl div { border: 1px solid #8a8a8a; border-radius: 4px; padding: .4rem .6rem; }
dt { font-size: .875rem; } dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
dl div.wide { grid-column: span 2; }
td.any { overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid #8a8a8a; padding: .3rem .5rem; text-align: left; vertical-align: top; }
th { background: #0b3d66; color: #fff; } th [lang=en] { color: #fff; display: block; font-weight: 400; font-size: .875rem; }
tbody tr:nth-child(even) { background: #f2f5f8; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: .875rem/1.4 ui-monospace, "DejaVu Sans Mono", monospace; unicode-bidi: isolate; }
@media (max-width: 44rem) {
  table, tbody, tr, td { display: block; width: 100%; }
  thead { display: none; }
  tr { border: 1px solid #8a8a8a; margin-bottom: .6rem; padding: .2rem .4rem; }
  td, td.n { border: 0; padding: .15rem 0; text-align: left; }
  td::before { content: attr(data-l) ": "; font-weight: 600; }
}
@page { size: A4; margin: 12mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 9pt; }
  thead { display: table-header-group; } tr { break-inside: avoid; }
  th { background: #fff; color: #000; border-bottom: 2px solid #000; } th [lang=en] { color: #000; }
}
"""


def head(source: str, period: str) -> str:
    """How a page begins: it loads nothing and runs nothing."""
    return (
        '<!doctype html>\n<html lang="vi">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="robots" content="noindex">\n'
        f"<title>{escaped(source)} {escaped(period)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )


def _write_page(path: Path, sheet: Sheet) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for piece in _page(sheet):
            file.write(piece)


def _page(sheet: Sheet) -> Iterator[str]:
    """One self-contained page: no script, no address, every text escaped."""
    heading, words = sheet.heading, messages()
    yield (
        f"{head(heading.source, heading.period)}"
        f"<h1>Kết quả kiểm tra dữ liệu: {escaped(heading.title_vi)}, kỳ {escaped(heading.period)}</h1>\n"
        f'<p lang="en">Return file: {escaped(heading.title_en)}, period {escaped(heading.period)}</p>\n<dl>\n'
    )
    for vi, en, name in _FACTS:
        wide = ' class="wide"' if name == "extract_id" else ""
        value = escaped(_figure(getattr(heading, name), name))
        yield f'<div{wide}><dt>{vi} <span lang="en">{en}</span></dt><dd>{value}</dd></div>\n'
    yield '</dl>\n<p>Nhận được = trùng lặp + bị giữ lại + đạt. <span lang="en">Received = duplicates + in quarantine + passed.</span></p>\n'
    for vi, en in sheet.notes(False):
        yield f'<p>{escaped(vi)} <span lang="en">{escaped(en)}</span></p>\n'
    yield '<h2>Lý do <span lang="en">Reasons</span></h2>\n<table>\n<thead><tr>'
    yield "".join(
        f'<th scope="col">{vi} <span lang="en">{en}</span></th>'
        for vi, en in (
            ("Mã lý do", "Reason code"),
            ("Số dòng", "Rows"),
            ("Lý do", "Reason"),
            ("Việc cần làm", "Next step"),
        )
    )
    yield "</tr></thead>\n<tbody>\n"
    for reason, count in sheet.findings.reasons.items():
        about = words.get(reason, {})
        yield (
            f'<tr><td data-l="Mã lý do · Code"><code>{escaped(reason)}</code></td>'
            f'<td class="n" data-l="Số dòng · Rows">{count:,}</td>'
            f'<td data-l="Lý do · Reason">{both(about, "")}</td>'
            f'<td data-l="Việc cần làm · Next">{both(about, "next_")}</td></tr>\n'
        )
    yield '</tbody>\n</table>\n<h2>Các dòng <span lang="en">Rows</span></h2>\n<table>\n<thead><tr>'
    yield "".join(f'<th scope="col">{vi} <span lang="en">{en}</span></th>' for vi, en in _COLUMNS)
    yield "</tr></thead>\n<tbody>\n"
    label = [f'data-l="{vi} · {en}"' for vi, en in _COLUMNS]
    said_of: dict[str, str] = {}
    for line in sheet.lines():
        if line.reason not in said_of:
            said_of[line.reason] = both(words.get(line.reason, {}), "")
        column = (
            f"<code>{escaped(line.column)}</code>"
            if line.column
            else f'{_WHOLE_ROW[0]} <span lang="en">{_WHOLE_ROW[1]}</span>'
        )
        yield (
            f'<tr><td {label[0]}>{escaped(_file(line))}</td><td class="n" {label[1]}>{line.line}</td>'
            f'<td class="n" {label[2]}>{line.record}</td><td {label[3]}>{column}</td>'
            f"<td {label[4]}><code>{escaped(line.reason)}</code></td><td {label[5]}>{said_of[line.reason]}</td>"
            f'<td class="any" {label[6]}><code>{escaped(line.shown)}</code></td></tr>\n'
        )
    yield "</tbody>\n</table>\n</body>\n</html>\n"


def escaped(value: str) -> str:
    """A text as it may stand on a page."""
    return escape(visible(value))


def both(words: Mapping[str, str], prefix: str) -> str:
    """What a code means, or its next step, on a page in both languages."""
    return f'{escaped(words.get(f"{prefix}vi", ""))} <span lang="en">{escaped(words.get(f"{prefix}en", ""))}</span>'


def _figure(value: Any, name: str) -> str:
    return f"{value:,}" if isinstance(value, int) and name != "revision" else str(value)


_SHEET_COLUMNS = (
    "Tệp · File", "Tên tệp · File name", "Dòng · Line", "Bản ghi · Record", "Cột · Column", "Mã lý do · Reason code",
    "Lý do", "Reason", "Việc cần làm", "Next step", "Nội dung dòng · The row",
)  # fmt: skip


def said(reason: str) -> list[str]:
    """The words of a code in the order of the sheets' columns."""
    words = messages().get(reason, {})
    return [words.get(name, "") for name in ("vi", "en", "next_vi", "next_en")]


def _cells(line: Line) -> list[int | str]:
    """One line as cells; texts are defused."""
    texts = said(line.reason)
    column = line.column or " · ".join(_WHOLE_ROW)
    cells: list[int | str] = [line.file, line.file_name or "", line.line, line.record, column, line.reason, *texts]
    return [defused(visible(cell)) if isinstance(cell, str) else cell for cell in (*cells, line.shown)]


def workbook(path: Path, source: str, period: str) -> tuple[Any, Any]:
    """An empty workbook that takes no text for anything else and bears the period's date; and its heads' format."""
    import xlsxwriter

    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    book = xlsxwriter.Workbook(str(path), options)
    year, month = map(int, period.split("-"))
    book.set_properties({"title": f"{source} {period}", "created": datetime(year, month, 1)})
    return book, book.add_format({"bold": True, "font_color": "#FFFFFF", "bg_color": "#0B3D66", "text_wrap": True})


def put(page: Any, row: int, cells: Iterable[int | str], style: Any = None) -> None:
    """Write a row of a sheet: whole numbers as numbers, the rest as texts."""
    for at, cell in enumerate(cells):
        if isinstance(cell, int):
            page.write_number(row, at, cell, style)
        else:
            page.write_string(row, at, cell, style)


def _write_workbook(path: Path, sheet: Sheet) -> None:
    """Sheets: the rows, the reasons, the notes. Every text is written as a text."""
    heading = sheet.heading
    book, bold = workbook(path, heading.source, heading.period)
    page = book.add_worksheet("Dòng · Rows")
    page.set_column(0, 0, 6)
    page.set_column(1, 10, 20)
    page.freeze_panes(1, 0)
    put(page, 0, _SHEET_COLUMNS, bold)
    last = 0
    for last, line in enumerate(sheet.lines(), 1):
        put(page, last, _cells(line))
    page.autofilter(0, 0, last, len(_SHEET_COLUMNS) - 1)
    page = book.add_worksheet("Lý do · Reasons")
    page.set_column(0, 0, 20)
    page.set_column(2, 5, 45)
    put(page, 0, ("Mã lý do · Code", "Số dòng · Rows", "Lý do", "Reason", "Việc cần làm", "Next step"), bold)
    for at, (reason, count) in enumerate(sheet.findings.reasons.items(), 1):
        put(page, at, (reason, count, *said(reason)))
    page = book.add_worksheet("Ghi chú · Notes")
    page.set_column(0, 1, 70)
    facts = [(f"{vi} · {en}", getattr(heading, name)) for vi, en, name in _FACTS]
    for at, cells in enumerate([*facts, ("", ""), *sheet.notes(True)]):
        put(page, at, [cell if isinstance(cell, int) else defused(visible(cell)) for cell in cells])
    book.close()


def _write_csv(path: Path, sheet: Sheet) -> None:
    """Comma-separated UTF-8 with the mark spreadsheets want."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        _rows(file, sheet)


def _rows(file: IO[str], sheet: Sheet) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_SHEET_COLUMNS)
    for line in sheet.lines():
        writer.writerow(_cells(line))
