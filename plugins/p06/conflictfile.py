"""The conflict report: what a sender's rows say about who that is and cannot be, as a page, a workbook or plain csv.

Its examples point at rows by file and line and show their shape alone; what the register says instead is not told.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from p06 import returnfile
from p06.contract import Contract
from p06.errors import messages
from p06.returnfile import both, defused, escaped, put, said, visible

_NUMBER, _NAME, _BIRTH, _SEX = "citizen_id", "full_name", "birth_date", "sex"
_OLD, _PREVIOUS, _STATUS = "old_id", "previous_citizen_id", "status"
# Every kind of finding, what weighs most first, and the columns to look at.
KINDS: dict[str, tuple[str, ...]] = {
    "deceased_served": (_NUMBER,),
    "number_two_people": (_NUMBER, _NAME, _BIRTH),
    "conflict_all": (_NUMBER, _NAME, _BIRTH, _SEX),
    "conflict_name_birth": (_NUMBER, _NAME, _BIRTH),
    "conflict_name_sex": (_NUMBER, _NAME, _SEX),
    "conflict_birth_sex": (_NUMBER, _BIRTH, _SEX),
    "twin_number": (_NUMBER, _NAME),
    "numbers_disagree": (_NUMBER, _OLD),
    "old_number_two_people": (_OLD, _NAME, _BIRTH),
    "deceased_listed": (_NUMBER,),
    "deceased_holder_long": (_NUMBER,),
    "number_cancelled": (_NUMBER,),
    "number_removed": (_NUMBER,),
    "number_unknown": (_NUMBER,),
    "number_other_source": (_NUMBER,),
    "old_number_shared": (_OLD,),
    "several_fit": (_NUMBER,),
    "emigrated_listed": (_NUMBER,),
    "death_reported_late": (_NUMBER,),
    "deceased_holder": (_NUMBER,),
    "previous_number": (_NUMBER,),
    "register_double": (_NUMBER, _NAME, _BIRTH, _SEX),
    "register_previous_alive": (_NUMBER, _STATUS),
    "register_previous_twice": (_PREVIOUS,),
    "register_old_number": (_OLD,),
}


@dataclass(frozen=True)
class Example:
    """One row a finding was made on. ``shape`` is its masked text; None when its extract has left staging."""

    file: int
    file_name: str | None
    line: int
    other_file: int | None  # a row with the same number, of somebody else
    other_line: int | None
    shape: str | None

    @property
    def place(self) -> str:
        """File and line, with the file's name where it may be shown."""
        return f"{self.file}: {self.file_name}" if self.file_name else str(self.file)

    @property
    def other(self) -> str:
        """Where the other row is, as ``file:line``."""
        return f"{self.other_file}:{self.other_line}" if self.other_line is not None else ""


@dataclass(frozen=True)
class Found:
    """One kind of finding: on how many rows, of how many staged, and the first of them by file and line."""

    kind: str
    records: int
    staged: int
    examples: tuple[Example, ...]

    @property
    def share(self) -> Decimal:
        """Of the staged rows, in percent to two decimals."""
        return (Decimal(100 * self.records) / max(self.staged, 1)).quantize(Decimal("0.01"))


@dataclass(frozen=True)
class Report:
    """All a sender is told about one source and month, as published. Matching is not asked of the register's own rows."""

    contract: Contract
    period: str
    revision: int
    staged: int
    matched: int | None
    conflicting: int | None
    unmatched: int | None
    concerned: int  # rows with at least one finding
    found: tuple[Found, ...]


def write(path: Path, report: Report) -> None:
    """Write the report in one step, in the kind of the file's ending; the same input gives the same bytes.

    Raises UsageError P06-CHECK-006; P06Error P06-QUAR-005 when the folder cannot be written.
    """
    returnfile.in_one_step(path, {"html": _write_page, "xlsx": _write_workbook, "csv": _write_csv}, report)


_FACTS = (
    ("Lần sửa đổi", "Revision", "revision"),
    ("Dòng đã nạp", "Staged", "staged"),
    ("Khớp", "Matched", "matched"),
    ("Mâu thuẫn", "In conflict", "conflicting"),
    ("Chưa khớp", "Unmatched", "unmatched"),
    ("Dòng có nghi vấn", "Rows in question", "concerned"),
)
_ROW = (
    "Số định danh, số cũ, họ tên, ngày sinh, giới tính (đã che)",
    "Number, old number, name, birth date, sex (masked)",
)
_EXAMPLE = (
    ("Tệp", "File"),
    ("Dòng", "Line"),
    ("Cần xem", "Look at"),
    ("Dòng cùng số", "Row with the same number"),
    _ROW,
)
_SUMMARY = (
    ("Mã", "Code"),
    ("Số dòng", "Rows"),
    ("Tỷ lệ", "Share"),
    ("Phát hiện", "What was found"),
    ("Việc cần làm", "Next step"),
)


def _notes(sheets: bool) -> list[tuple[str, str]]:
    told = [
        (
            "Dòng là dòng vật lý trong tệp đã gửi, dòng đầu tiên là 1.",
            "Line is the physical line in the file as sent, the first is 1.",
        ),
        (
            "Một dòng có thể có nhiều phát hiện; tỷ lệ tính trên số dòng đã nạp.",
            "A row may be found for several kinds; shares are of the rows staged.",
        ),
        (
            "Giá trị bị che: chữ số thành 9, chữ cái thành A. Tra dòng gốc theo tệp và số dòng.",
            "Values are masked: digits show as 9, letters as A. Look the row up by file and line.",
        ),
        (
            "Báo cáo cho biết thông tin từ sổ dân cư: chỉ dùng để sửa dữ liệu đã gửi, không chuyển tiếp.",
            "The report tells what the register knows: use it to mend what was sent, do not pass it on.",
        ),
    ]
    return [*told, returnfile.FORMULAS_DEFUSED] if sheets else told


def _columns(report: Report, kind: str) -> str:
    """The columns to look at, as the file's header names them."""
    known = {column.name: column.physical_name for column in report.contract.columns}
    return ", ".join(known.get(name, name) for name in KINDS.get(kind, ()))


def _figure(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _write_page(path: Path, report: Report) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for piece in _page(report):
            file.write(piece)


def _page(report: Report) -> Iterator[str]:
    """One self-contained page: no script, no address, every text escaped."""
    contract, words = report.contract, messages()
    yield (
        f"{returnfile.head(contract.source, report.period)}"
        f"<h1>Nghi vấn về nhân thân: {escaped(contract.title_vi)}, kỳ {escaped(report.period)}</h1>\n"
        f'<p lang="en">Who is who: {escaped(contract.title_en)}, period {escaped(report.period)}</p>\n<dl>\n'
    )
    for vi, en, name in _FACTS:
        yield f'<div><dt>{vi} <span lang="en">{en}</span></dt><dd>{_figure(getattr(report, name))}</dd></div>\n'
    yield "</dl>\n"
    for vi, en in _notes(False):
        yield f'<p>{escaped(vi)} <span lang="en">{escaped(en)}</span></p>\n'
    if not report.found:
        yield '<p><strong>Không có phát hiện nào.</strong> <span lang="en">Nothing was found.</span></p>\n'
    else:
        yield f'<h2>Tổng hợp <span lang="en">Summary</span></h2>\n{_opened(_SUMMARY)}'
    label = [f'data-l="{vi} · {en}"' for vi, en in _SUMMARY]
    for one in report.found:
        about = words.get(one.kind, {})
        yield (
            f"<tr><td {label[0]}><code>{escaped(one.kind)}</code></td>"
            f'<td class="n" {label[1]}>{one.records:,}</td><td class="n" {label[2]}>{one.share} %</td>'
            f"<td {label[3]}>{both(about, '')}</td><td {label[4]}>{both(about, 'next_')}</td></tr>\n"
        )
    yield "</tbody>\n</table>\n" if report.found else ""
    label = [f'data-l="{vi} · {en}"' for vi, en in _EXAMPLE[:-1]] + ['data-l="Nội dung · Row"']
    for one in report.found:
        yield (
            f"<h2>{both(words.get(one.kind, {}), '')}</h2>\n"
            f"<p>{len(one.examples):,} / {one.records:,} dòng "
            f'<span lang="en">{len(one.examples):,} of {one.records:,} rows</span></p>\n{_opened(_EXAMPLE)}'
        )
        for row in one.examples:
            yield (
                f'<tr><td {label[0]}>{escaped(row.place)}</td><td class="n" {label[1]}>{row.line}</td>'
                f"<td {label[2]}><code>{escaped(_columns(report, one.kind))}</code></td>"
                f'<td {label[3]}>{row.other or "–"}</td><td class="any" {label[4]}><code>{escaped(row.shape or "–")}</code></td></tr>\n'
            )
        yield "</tbody>\n</table>\n"
    yield "</body>\n</html>\n"


def _opened(columns: tuple[tuple[str, str], ...]) -> str:
    heads = "".join(f'<th scope="col">{vi} <span lang="en">{en}</span></th>' for vi, en in columns)
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n"


_HEADS = (
    "Mã · Code", "Phát hiện", "What was found", "Việc cần làm", "Next step", "Tệp · File", "Tên tệp · File name",
    "Dòng · Line", "Cần xem · Look at", "Dòng cùng số · Row with the same number", " · ".join(_ROW),
)  # fmt: skip


def _lines(report: Report) -> Iterator[list[int | str]]:
    """One line for each row and kind; texts are defused."""
    for one in report.found:
        about, columns = said(one.kind), _columns(report, one.kind)
        for row in one.examples:
            yield _cells(
                [one.kind, *about, row.file, row.file_name or "", row.line, columns, row.other, row.shape or ""]
            )


def _cells(cells: list[int | str]) -> list[int | str]:
    return [defused(visible(cell)) if isinstance(cell, str) else cell for cell in cells]


def _write_workbook(path: Path, report: Report) -> None:
    """Sheets: what was found, the rows, the notes. Every text is written as a text."""
    contract = report.contract
    book, bold = returnfile.workbook(path, contract.source, report.period)
    page: Any = book.add_worksheet("Tổng hợp · Summary")
    page.set_column(0, 0, 24)
    page.set_column(3, 6, 45)
    put(page, 0, ("Mã · Code", "Số dòng · Rows", "Tỷ lệ · Share", *_HEADS[1:5]), bold)
    for at, one in enumerate(report.found, 1):
        put(page, at, [one.kind, one.records, f"{one.share} %", *said(one.kind)])
    page = book.add_worksheet("Các dòng · Rows")
    page.set_column(0, 10, 20)
    page.freeze_panes(1, 0)
    put(page, 0, _HEADS, bold)
    last = 0
    for last, cells in enumerate(_lines(report), 1):
        put(page, last, cells)
    page.autofilter(0, 0, last, len(_HEADS) - 1)
    page = book.add_worksheet("Ghi chú · Notes")
    page.set_column(0, 1, 70)
    facts: list[list[int | str]] = [
        ["Nguồn · Source", contract.source],
        [contract.title_vi, contract.title_en],
        ["Kỳ · Period", report.period],
    ]
    for vi, en, name in _FACTS:
        value = getattr(report, name)
        facts.append([f"{vi} · {en}", "–" if value is None else value])
    facts.append(["", ""])
    facts += [[vi, en] for vi, en in _notes(True)]
    for at, told in enumerate(facts):
        put(page, at, _cells(told))
    book.close()


def _write_csv(path: Path, report: Report) -> None:
    """Comma-separated UTF-8 with the mark spreadsheets want."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADS)
        writer.writerows(_lines(report))
