"""The return file: readable by its sender, harmless to a browser and a spreadsheet, silent about people."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import time
import unicodedata
import zipfile
from html import escape, unescape
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p06 import contract, returnfile
from p06.errors import P06Error, UsageError, messages
from p06.judge import Rejected
from p06.returnfile import Findings, Heading

RTL = "\u202e"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</td></tr></table><h1>x",
    '=HYPERLINK("http://x","y")',
    "+1+1",
    "-1+cmd",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    f"{RTL}gpj.exe",
    "a\u200bb\u0007c",
    "&amp;&lt;",
    "]]>",
]
NAME = "Nguyễn Thị Hoàng Oanh"
NUMBER = "001089000123"


def heading(**changed: object) -> Heading:
    facts: dict[str, object] = {
        "source": "health_visit", "title_en": "Health visits", "title_vi": "Lượt khám", "period": "2024-02",
        "revision": 1, "extract_id": "health_visit-202402-r1-0123456789ab", "files": ("part-0001.csv", None),
        "received": 100, "duplicates": 1, "quarantined": 3, "staged": 96,
    }  # fmt: skip
    return Heading(**(facts | changed))  # type: ignore[arg-type]


def row(raw: str | bytes, line: int = 2, reasons: tuple[str, ...] = ("type_date",), file: int = 1) -> Rejected:
    text = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    columns = tuple("birth_date" if reason == "type_date" else None for reason in reasons)
    return Rejected(-1, file, line, line - 1, text, reasons, columns)


def written(folder: Path, kind: str, rows: list[Rejected], values: bool = False, **changed: object) -> bytes:
    path = folder / f"return.{kind}"
    returnfile.write(path, contract.load("health_visit"), heading(**changed), returnfile.collect(rows), values)
    return path.read_bytes()


class Page(HTMLParser):
    """The elements and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def cells(content: bytes) -> list[str]:
    """Every text of a workbook's sheets, unescaped."""
    found = []
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        for name in book.namelist():
            if name.startswith("xl/worksheets/"):
                found += [
                    unescape(text) for text in re.findall(r"<t[^>]*>(.*?)</t>", book.read(name).decode(), re.DOTALL)
                ]
    return found


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("values", [False, True])
def test_a_hostile_text_stays_a_text_on_the_page(tmp_path: Path, text: str, values: bool) -> None:
    harmless = Page(written(tmp_path, "html", [row("plain")], values).decode())
    page = Page(written(tmp_path, "html", [row(text)], values).decode())
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless.tags]
    assert RTL not in "".join(page.texts)
    if values:
        assert returnfile.visible(text) in page.texts


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_no_cell_of_a_sheet_is_a_formula(tmp_path: Path, text: str, kind: str) -> None:
    content = written(tmp_path, kind, [row(text)], True, files=(text, None), title_vi=text)
    if kind == "xlsx":
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            sheets = b"".join(book.read(name) for name in book.namelist() if name.startswith("xl/worksheets/"))
        assert b"<f>" not in sheets and b"<hyperlink" not in sheets
        found = cells(content)
    else:
        found = [cell for line in csv.reader(io.StringIO(content.decode("utf-8-sig"))) for cell in line]
    assert any(returnfile.visible(text) in cell for cell in found)
    assert [cell for cell in found if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    text = written(tmp_path, "html", [row("a,b")]).decode()
    page = Page(text)
    assert {tag for tag, _ in page.tags} & {"script", "img", "link", "iframe", "object", "base", "form", "a"} == set()
    assert [
        name for _, attributes in page.tags for name in attributes if name.startswith("on") or name in ("src", "href")
    ] == []
    assert "url(" not in text and "@import" not in text and "://" not in text
    policy = next(attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert "@page { size: A4" in text and 'name="viewport"' in text


@pytest.mark.parametrize("kind", returnfile.KINDS)
def test_a_masked_file_holds_no_name_and_no_number(tmp_path: Path, kind: str) -> None:
    content = written(tmp_path, kind, [row(f"{NUMBER},{NAME},=1")])
    plain = "".join(cells(content)) if kind == "xlsx" else content.decode()
    assert NUMBER not in plain and "0108" not in plain and "Oanh" not in plain and "Nguy" not in plain
    assert "999999999999,AAAAA" in plain
    shown = written(tmp_path, kind, [row(f"{NUMBER},{NAME},=1")], True)
    assert NUMBER in ("".join(cells(shown)) if kind == "xlsx" else shown.decode()), (
        "the test looks where values would be"
    )


@pytest.mark.parametrize(
    ("raw", "shape"),
    [
        ("0010891", "9999999"),
        ("Đỗ Ân", "A AA"),
        ("An-Nhiên 12/05", "AA-AAAAA 99/99"),
        ("a" * 13, "A" * 12 + "~"),
        ("1" * 40 + "b", "9" * 12 + "~A"),
        ("x@y.vn", "A@A.AA"),
        ("٠٠١", "A"),
        ("a\tb\x00c\\d", "A AAA\\A"),
        (b"\xff\xfe\x80", "A"),
        ("", ""),
    ],
)
def test_a_mask_leaves_the_shape_alone(raw: str | bytes, shape: str) -> None:
    assert returnfile.mask(raw if isinstance(raw, bytes) else raw.encode()) == shape


@given(st.binary(max_size=400))
def test_a_mask_keeps_no_letter_and_no_digit_but_a_and_9(raw: bytes) -> None:
    shape = returnfile.mask(raw)
    assert shape.isascii() and shape.isprintable()
    assert {one for one in shape if one.isalnum()} <= {"A", "9"}
    assert not re.search(r"A{13}|9{13}", shape)


@given(st.text(max_size=60))
def test_what_is_visible_turns_no_text_and_hides_nothing(text: str) -> None:
    seen = returnfile.visible(text)
    assert {unicodedata.category(one) for one in seen} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} == set()
    assert RTL not in seen and "\u200f" not in seen


@pytest.mark.parametrize("kind", returnfile.KINDS)
def test_the_same_rows_in_any_order_give_the_same_bytes(tmp_path: Path, kind: str) -> None:
    rows = [row("a", 5), row("b", 2), row("c", 9, ("width",)), row("d", 3, file=2)]
    first = hashlib.sha256(written(tmp_path, kind, rows)).hexdigest()
    time.sleep(1.1)  # a clock in the file would show
    assert hashlib.sha256(written(tmp_path, kind, rows[::-1])).hexdigest() == first


def test_every_reason_is_told_in_two_languages_with_its_next_step(tmp_path: Path) -> None:
    rows = [row("a", 2, ("type_date", "cross_field")), row("b", 3, ("type_date",))]
    page = written(tmp_path, "html", rows).decode()
    sheet = cells(written(tmp_path, "xlsx", rows))
    for reason in ("type_date", "cross_field"):
        for name in ("vi", "en", "next_vi", "next_en"):
            assert escape(messages()[reason][name]) in page
            assert messages()[reason][name] in sheet
    assert returnfile.collect(rows).reasons == {"type_date": 2, "cross_field": 1}


def test_more_rows_than_the_limit_are_counted_and_said(tmp_path: Path) -> None:
    rows = (row("x", line) for line in range(2000, 1, -1))
    found = returnfile.collect(rows, limit=10)
    assert (len(found.rows), found.total, found.more, found.reasons) == (10, 1999, 1989, {"type_date": 1999})
    assert [one.line for one in found.rows] == list(range(2, 12))
    path = tmp_path / "return.html"
    returnfile.write(path, contract.load("health_visit"), heading(), found)
    assert "1989 more are not" in path.read_text() and "còn 1989 dòng nữa" in path.read_text()


def test_rows_with_many_reasons_never_outgrow_a_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returnfile, "LINE_LIMIT", 5)
    rows = [row("x", line, ("type_date", "width")) for line in range(2, 9)]
    assert len(returnfile.collect(rows).rows) == 2


def test_a_long_record_is_cut(tmp_path: Path) -> None:
    found = returnfile.collect(row("ab," * 500_000, line) for line in range(2, 5))
    assert all(len(one.raw) == returnfile.RAW_LIMIT for one in found.rows)
    assert all(len(returnfile.mask(one.raw)) <= returnfile.SHOWN_LIMIT for one in found.rows)


def test_columns_bear_the_names_of_the_file_not_of_staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    known = contract.load("health_visit")
    columns = tuple(replace(c, physical_name="NGAY_SINH") if c.name == "birth_date" else c for c in known.columns)
    path = tmp_path / "return.csv"
    returnfile.write(path, replace(known, columns=columns), heading(), returnfile.collect([row("x")]))
    assert ",NGAY_SINH,type_date," in path.read_text()


def test_a_file_of_another_kind_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        written(tmp_path, "pdf", [row("x")])
    assert (raised.value.code, list(tmp_path.iterdir())) == ("P06-CHECK-006", [])


def test_a_folder_that_cannot_be_written_is_named_by_a_code_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(P06Error) as raised:
        written(tmp_path / "file", "html", [row("x")])
    assert raised.value.code == "P06-QUAR-005"


def test_a_writer_that_stops_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    before = written(tmp_path, "html", [row("x")])
    broken = Findings((*islice([row("y")], 1), Rejected(-1, 1, 3, 2, b"", ("width",), ())), 2, {"width": 2})
    with pytest.raises(ValueError, match="zip"):
        returnfile.write(tmp_path / "return.html", contract.load("health_visit"), heading(), broken)
    assert (tmp_path / "return.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["return.html"]
