"""Workbooks: what each cell becomes, and that nothing a spreadsheet does to data passes silently."""

from __future__ import annotations

import gzip
import io
import json
import re
import time
import unicodedata
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.readers import Seen, codes, every_second, opened, reasons, seen, typed, visits

from p06 import workbook
from p06.errors import P06Error, Refused

SHEET = "xl/worksheets/sheet1.xml"
NAMES = list(typed())
Cell = Any


class Formula(str):
    """A formula with the value the spreadsheet last computed."""

    value: Any = ""


def formula(text: str, value: Any) -> Formula:
    made = Formula(text)
    made.value = value
    return made


def book(*rows: Sequence[Cell], names: Sequence[Cell] = NAMES, options: Mapping[str, Any] | None = None) -> bytes:
    """A workbook as Excel writes it: header, then rows; None is an empty cell, dates carry a date format."""
    content = io.BytesIO()
    made = xlsxwriter.Workbook(content, {"in_memory": True, **(options or {})})
    fill(made, made.add_worksheet("Dữ liệu"), [names, *rows])
    made.close()
    return content.getvalue()


def fill(made: Any, sheet: Any, rows: Sequence[Sequence[Cell]]) -> None:
    day, moment = (made.add_format({"num_format": form}) for form in ("dd/mm/yyyy", "dd/mm/yyyy hh:mm"))
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            if isinstance(cell, Formula):
                sheet.write_formula(row, column, cell, None, cell.value)
            elif isinstance(cell, datetime):
                sheet.write_datetime(row, column, cell, moment)
            elif isinstance(cell, date):
                sheet.write_datetime(row, column, cell, day)
            elif isinstance(cell, tuple):
                sheet.write_number(row, column, cell[0], day)
            elif isinstance(cell, str):
                sheet.write_string(row, column, cell)
            elif cell is not None:
                sheet.write(row, column, cell)


def visit(**values: Cell) -> list[Cell]:
    return [value if value != "" else None for value in typed(**values).values()]


def changed(content: bytes, change: Callable[[bytes], bytes], part: str = SHEET) -> bytes:
    """The workbook with one of its parts rewritten by hand."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == part else old.read(name))
    return made.getvalue()


def with_cell(column: str, xml: str, **values: Cell) -> bytes:
    """A visit whose cell of one column is this XML; ``{}`` stands for its reference."""
    place = NAMES.index(column)
    reference = f"{chr(ord('A') + place)}2".encode()
    content = book(visit(**{column: "replace", **values}))

    def change(sheet: bytes) -> bytes:
        found = re.sub(
            rb'<c r="' + reference + rb'"[^>]*>.*?</c>', xml.replace("{}", reference.decode()).encode(), sheet
        )
        assert found != sheet
        return found

    return changed(content, change)


def written(tmp_path: Path, content: bytes, name: str = "part.xlsx") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def read(tmp_path: Path, content: bytes, **more: Any) -> Seen:
    reader = opened("xlsx", written(tmp_path, content), **more)
    assert codes(reader.header()) == []
    return seen(reader)


def refused(tmp_path: Path, content: bytes, **more: Any) -> list[str]:
    reader = opened("xlsx", written(tmp_path, content), **more)
    told = codes(reader.header())
    with pytest.raises(Refused) as error:
        seen(reader)
    found = codes(list(error.value.mismatches) or [error.value])
    assert told in ([], found)  # the header is compared without a look at what stands behind it
    return found


CELLS: list[tuple[str, Cell, str, set[str]]] = [
    ("full_name", "Nguyễn Văn An", "Nguyễn Văn An", set()),
    ("full_name", "  An\nB ", "  An\nB ", set()),
    ("full_name", "_x0041_", "_x0041_", set()),
    ("full_name", 7, "7", {"numeric_cell"}),
    ("full_name", True, "true", {"numeric_cell"}),
    ("full_name", date(2024, 1, 3), "2024-01-03", {"numeric_cell"}),
    ("full_name", formula("=1+1", 2), "2", {"numeric_cell"}),
    ("full_name", formula('="An"', "An"), "An", set()),
    ("full_name", formula("=NA()", "#N/A"), "#N/A", {"error_cell"}),
    ("citizen_id", 1_089_000_123, "1089000123", {"lost_leading_zero"}),
    ("citizen_id", 100_089_000_123, "100089000123", {"lost_leading_zero"}),
    ("citizen_id", "1.08900E+09", "1.08900E+09", {"lost_leading_zero"}),
    ("old_id", 123_456_789, "123456789", {"lost_leading_zero"}),
    ("facility_code", 1001, "1001", {"lost_leading_zero", "wrong_length"}),
    ("insurance_card_no", 4_010_123_456_789, "4010123456789", {"numeric_cell", "wrong_length"}),
    ("sex", 1, "1", {"numeric_cell", "unknown_code"}),
    ("birth_date", date(1989, 5, 6), "1989-05-06", set()),
    ("birth_date", "1989-05-06", "1989-05-06", set()),
    ("birth_date", "06/05/1989", "06/05/1989", {"type_date"}),
    ("birth_date", 32_634, "32634", {"type_date"}),
    ("birth_date", datetime(1989, 5, 6, 12), "1989-05-06T12:00:00", {"type_date"}),
    ("birth_date", date(1900, 3, 1), "1900-03-01", set()),
    ("birth_date", (60,), "1900-02-28", {"type_date"}),  # what Excel calls 29 February 1900
    ("birth_date", (59,), "1900-02-28", {"type_date"}),
    ("birth_date", (1,), "1900-01-01", {"type_date"}),
    ("birth_date", (0,), "00:00:00", {"type_date"}),
    ("birth_date", (0.5,), "12:00:00", {"type_date"}),
    ("birth_date", (2_958_466,), "2958466", {"type_date"}),
    ("birth_date", False, "false", {"numeric_cell", "type_date"}),
    ("admitted_at", "2024-01-03T08:15:00+07:00", "2024-01-03T08:15:00+07:00", set()),
    ("admitted_at", datetime(2024, 1, 3, 8, 15), "2024-01-03T08:15:00", {"type_timestamp"}),
    ("admitted_at", date(2024, 1, 3), "2024-01-03", {"type_timestamp"}),
    ("total_amount", 100, "100", set()),
    ("total_amount", 100.25, "100.25", set()),
    ("total_amount", 0.1, "0.1", set()),
    ("total_amount", "100.00", "100.00", set()),
    ("total_amount", "1,000", "1,000", {"type_numeric"}),
    ("total_amount", 1e-7, "0.0000001", {"type_numeric"}),
    ("total_amount", 80.555, "80.555", {"type_numeric"}),
    ("total_amount", 1e20, "100000000000000000000", {"out_of_range"}),
    ("total_amount", formula("=50+50", 100), "100", set()),
    ("total_amount", formula("=1/0", "#DIV/0!"), "#DIV/0!", {"error_cell", "type_numeric"}),
    ("total_amount", True, "true", {"numeric_cell", "type_numeric"}),
    ("total_amount", date(1900, 4, 9), "1900-04-09", {"type_numeric"}),
    ("total_amount", None, "", {"required_missing"}),
    ("discharged_at", None, "", set()),
]  # fmt: skip


@pytest.mark.parametrize(("column", "cell", "text", "told"), CELLS)
def test_a_cell_becomes_its_text_and_its_faults_are_told(
    tmp_path: Path, column: str, cell: Cell, text: str, told: set[str]
) -> None:
    reader = opened("xlsx", written(tmp_path, book(visit(**{column: cell}))))
    assert codes(reader.header()) == []
    found = seen(reader)
    assert found.unsound == {}
    assert found.text(column) == text
    assert reasons(found, 2) == {(column, reason) for reason in told}
    ((raw, fields),) = reader.again(found.places)
    assert fields == found.rows[0][1]
    assert raw == found.raws[0] and json.loads(raw)[column] == (text or None)


XML: list[tuple[str, str, str, set[str]]] = [
    ("total_amount", '<c r="{}"><v>80.099999999999994</v></c>', "80.1", set()),
    ("total_amount", '<c r="{}"><f>1+1</f></c>', "", {"error_cell", "required_missing"}),
    ("total_amount", '<c r="{}"><f>1+1</f><v></v></c>', "", {"error_cell", "required_missing"}),
    ("total_amount", '<c r="{}"><f>1+1</f><v/></c>', "", {"error_cell", "required_missing"}),
    ("total_amount", "<c r='{}' t='e'><v>#REF!</v></c>", "#REF!", {"error_cell", "type_numeric"}),
    ("total_amount", '<c t="e" r="{}"><v>#NULL!</v></c>', "#NULL!", {"error_cell", "type_numeric"}),
    ("total_amount", '<c r="{}" t = "e"><v>#NUM!</v></c>', "#NUM!", {"error_cell", "type_numeric"}),
    ("total_amount", '<c r="{}"><v>NaN</v></c>', "nan", {"type_numeric"}),
    ("total_amount", '<c r="{}"><v>1e400</v></c>', "inf", {"type_numeric"}),
    ("discharged_at", '<c r="{}" t="str"><f>""</f><v></v></c>', "", set()),
    ("discharged_at", '<c r="{}" t="str"><f>T(A1)</f></c>', "", {"error_cell"}),
    ("full_name", '<c r="{}" t="str"><f>A1</f><v>A &amp; B</v></c>', "A & B", set()),
    ("full_name", '<c r="{}" t="inlineStr"><is><t xml:space="preserve"> An </t></is></c>', " An ", set()),
    ("full_name", '<c r="{}" t="inlineStr"><is><r><t>A</t></r><r><t>n</t></r></is></c>', "An", set()),
    ("full_name", '<c r="{}" t="d"><v>2024-01-03</v></c>', "2024-01-03", {"numeric_cell"}),
    ("birth_date", '<c r="{}" t="d"><v>1989-05-06</v></c>', "1989-05-06", set()),
]  # fmt: skip


@pytest.mark.parametrize(("column", "xml", "text", "told"), XML)
def test_a_cell_as_other_programs_write_it(tmp_path: Path, column: str, xml: str, text: str, told: set[str]) -> None:
    found = read(tmp_path, with_cell(column, xml))
    assert found.text(column) == text
    assert reasons(found, 2) == {(column, reason) for reason in told}


def test_dates_of_the_1904_system(tmp_path: Path) -> None:
    content = book(visit(birth_date=date(1989, 5, 6)), options={"date_1904": True})
    assert read(tmp_path, content).text("birth_date") == "1989-05-06"


def test_an_error_or_uncomputed_formula_anywhere_is_found_beside_sound_rows(tmp_path: Path) -> None:
    content = changed(
        book(*(visit(visit_id=f"V{number}") for number in range(30))),
        lambda xml: re.sub(rb'<c r="L20"[^>]*>.*?</c>', b'<c r="L20" t="e"><v>#VALUE!</v></c>', xml),
    )
    found = read(tmp_path, content)
    assert found.failures == {20: [("total_amount", "error_cell")]}
    assert len(found.rows) == 30


@pytest.mark.parametrize("error", ["#ERROR!", "#GETTING_DATA", "#SPILL!", "#CALC!", "#BUSY!"])
@pytest.mark.parametrize(
    "cell", ['<c r="{}" t="e"><v>', "<c r='{}' s='0' t='e'><f>1+A1</f><v>", '<c t="e" r="{}"><f/><v>']
)
def test_an_error_not_every_program_knows_is_one_of_its_row_alone(tmp_path: Path, error: str, cell: str) -> None:
    content = with_cell("total_amount", f"{cell}{error}</v></c>", full_name="t='e'><v>#ERROR!</v>")
    found = read(tmp_path, content)
    assert found.text("total_amount") == error and found.text("full_name") == "t='e'><v>#ERROR!</v>"
    assert found.failures == {2: [("total_amount", "error_cell")]}


def test_a_row_of_errors_alone_is_a_record(tmp_path: Path) -> None:
    content = changed(
        book(visit()),
        lambda xml: xml.replace(b"</sheetData>", b'<row r="3"><c r="A3"><f>A2</f></c></row></sheetData>'),
    )
    assert ("citizen_id", "error_cell") in read(tmp_path, content).failures[3]


def test_empty_rows_in_between_are_told_and_those_at_the_end_are_nothing(tmp_path: Path) -> None:
    nothing = [None] * len(NAMES)
    found = read(tmp_path, book(visit(), nothing, visit(), nothing, [""] * len(NAMES), nothing))
    assert [at for at, _ in found.rows] == [2, 4]
    assert found.unsound == {3: ("empty_row",)}


def test_formatted_but_empty_rows_at_the_end_are_no_records(tmp_path: Path) -> None:
    content = changed(
        book(visit()),
        lambda xml: xml.replace(
            b"</sheetData>",
            b"".join(b'<row r="%d"><c r="A%d" s="1"/></row>' % (n, n) for n in range(3, 900)) + b"</sheetData>",
        ),
    )
    found = read(tmp_path, content)
    assert [at for at, _ in found.rows] == [2] and found.unsound == {}


def test_values_beside_the_table_are_not_dropped(tmp_path: Path) -> None:
    found = read(tmp_path, book([*visit(), None, "note"], visit()))
    assert found.unsound == {2: ("width",)}
    assert [at for at, _ in found.rows] == [3]


def test_a_footer_is_judged_like_any_row(tmp_path: Path) -> None:
    found = read(tmp_path, book(visit(), ["Tổng cộng", *[None] * 10, 100]))
    assert ("citizen_id", "id_structure") in reasons(found, 3)
    assert ("visit_id", "required_missing") in reasons(found, 3)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([["Báo cáo tháng 1"], NAMES, visit()], ["P06-LOAD-029"]),
        ([[], NAMES, visit()], ["P06-LOAD-029"]),
        ([], ["P06-LOAD-029"]),
        ([[None, *NAMES], [None, *visit()]], ["P06-LOAD-026"]),
        ([[name for name in NAMES if name != "sex"]], ["P06-LOAD-025 sex"]),
        ([[*NAMES, "sex"]], ["P06-LOAD-028 sex"]),
        ([["hoten" if name == "full_name" else name for name in NAMES]], ["P06-LOAD-027 full_name"]),
        ([[*NAMES, 2024]], ["P06-LOAD-026 9999"]),
    ],
)
def test_what_is_no_header_of_the_contract_is_refused(tmp_path: Path, rows: list[list[Cell]], told: list[str]) -> None:
    first, *rest = rows or [[]]
    assert refused(tmp_path, book(*rest, names=first)) == told


def test_a_second_header_is_a_record_that_fails(tmp_path: Path) -> None:
    assert ("birth_date", "type_date") in reasons(read(tmp_path, book(visit(), NAMES)), 3)


def test_hidden_filtered_and_merged_cells_are_read_as_they_are(tmp_path: Path) -> None:
    content = io.BytesIO()
    made = xlsxwriter.Workbook(content, {"in_memory": True})
    sheet = made.add_worksheet()
    fill(made, sheet, [NAMES, visit(visit_id="V1"), visit(visit_id="V2"), visit(visit_id="V3", full_name=None)])
    sheet.merge_range(2, 2, 3, 2, "Trần Thị B")
    sheet.set_row(1, None, None, {"hidden": True})
    sheet.set_column(4, 5, None, None, {"hidden": True})
    sheet.autofilter(0, 0, 3, 14)
    made.close()
    found = read(tmp_path, content.getvalue())
    assert [(fields["visit_id"], fields["full_name"], fields["sex"]) for _, fields in found.rows] == [
        ("V1", "Nguyễn Văn An", "M"),
        ("V2", "Trần Thị B", "M"),
        ("V3", "", "M"),
    ]
    assert found.failures == {4: [("full_name", "merged_cell")]}


@pytest.mark.parametrize("column", ["discharged_at", "full_name"])
def test_an_empty_cell_under_a_merged_one_is_not_taken_for_none(tmp_path: Path, column: str) -> None:
    place = chr(ord("A") + NAMES.index(column))
    content = changed(
        book(*(visit(visit_id=f"V{number}") for number in range(5))),
        lambda xml: xml.replace(
            b"</sheetData>",
            f'</sheetData><mergeCells><mergeCell ref="{place}2:{place}4"/><mergeCell ref="A9:F20"/></mergeCells>'.encode(),
        ),
    )
    found = read(tmp_path, content)
    assert found.failures == {3: [(column, "merged_cell")], 4: [(column, "merged_cell")]}
    assert len(found.rows) == 5


def test_merged_cells_that_overlap_are_no_workbook(tmp_path: Path) -> None:
    ranges = b'</sheetData><mergeCells><mergeCell ref="A2:B3"/><mergeCell ref="B3:C4"/></mergeCells>'
    path = written(tmp_path, changed(book(visit(), visit()), lambda xml: xml.replace(b"</sheetData>", ranges)))
    with pytest.raises(Refused) as refused:
        seen(opened("xlsx", path))
    assert refused.value.code == "P06-LOAD-047"


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("0%", {"percent_cell"}),
        ("0.00%", {"percent_cell"}),
        ('[Red]#,##0.0" ty "%', {"percent_cell"}),
        ('0"%"', set()),
        (r"0\%", set()),
        ('#,##0 "₫"', set()),
        ("[$-42A]#,##0", set()),
    ],
)
def test_a_number_shown_as_a_percentage_is_told(tmp_path: Path, form: str, told: set[str]) -> None:
    content = io.BytesIO()
    made = xlsxwriter.Workbook(content, {"in_memory": True})
    sheet = made.add_worksheet()
    fill(made, sheet, [NAMES, visit(), visit(visit_id="V2")])
    sheet.write_number(1, NAMES.index("total_amount"), 0.5, made.add_format({"num_format": form}))
    sheet.write_number(1, NAMES.index("citizen_id"), 1_089_000_123, made.add_format({"num_format": form}))
    sheet.write_string(2, NAMES.index("patient_paid"), "20.00", made.add_format({"num_format": form}))
    made.close()
    found = read(tmp_path, content.getvalue())
    assert found.text("total_amount") == "0.5"
    assert {reason for column, reason in reasons(found, 2) if column == "total_amount"} == told
    assert ("citizen_id", "lost_leading_zero") in found.failures[2]
    assert 3 not in found.failures


@pytest.mark.parametrize("inside", ["<v></v><f>1+1</f>", "<v>1</v><v>2</v>", "<v>100</v><f>50+50</f>"])
def test_a_cell_of_two_values_is_no_workbook(tmp_path: Path, inside: str) -> None:
    assert refused(tmp_path, with_cell("total_amount", f'<c r="{{}}">{inside}</c>')) == ["P06-LOAD-047"]


def test_formulas_behind_the_cells_are_none_of_theirs(tmp_path: Path) -> None:
    behind = b'</sheetData><mergeCells><mergeCell ref="A90:A91"/></mergeCells><extLst><ext><x:f xmlns:x="x">A1</x:f></ext></extLst>'
    found = read(tmp_path, changed(book(visit()), lambda xml: xml.replace(b"</sheetData>", behind)))
    assert found.failures == {} and len(found.rows) == 1


def test_the_first_sheet_is_read_or_the_one_that_is_named(tmp_path: Path) -> None:
    content = io.BytesIO()
    made = xlsxwriter.Workbook(content, {"in_memory": True})
    chart = made.add_chart({"type": "line"})
    chart.add_series({"values": "=Một!$L$2:$L$2"})
    made.add_chartsheet("Biểu đồ").set_chart(chart)
    for title in ("Một", "Hai"):
        fill(made, made.add_worksheet(title), [NAMES, visit(visit_id=title)])
    made.close()
    path = written(tmp_path, content.getvalue())
    spelled_apart = unicodedata.normalize("NFD", "Một")
    sheets = (None, "Một", "Hai", spelled_apart)
    found = [seen(opened("xlsx", path, sheet=sheet)).text("visit_id") for sheet in sheets]
    assert found == ["Một", "Một", "Hai", "Một"]
    assert codes(opened("xlsx", path, sheet="Ba").header()) == ["P06-LOAD-048"]


def test_columns_in_any_order_and_added_ones_where_allowed(tmp_path: Path) -> None:
    path = written(tmp_path, book([*reversed(visit()), 7], names=[*reversed(NAMES), "extra"]))
    reader = opened("xlsx", path, visits(allow_added=True))
    assert reader.header() == []
    assert [fields for _, fields in seen(reader).rows] == [typed()]


def test_cells_without_references_and_with_prefixes_are_the_same(tmp_path: Path) -> None:
    content = book(visit(), visit(visit_id="V2"))
    usual = read(tmp_path, content).rows
    bare = changed(content, lambda xml: re.sub(rb' r="[A-Z]*[0-9]+"', b"", xml))
    named = [NAMES, [value or "x" for value in typed().values()]]
    assert len(usual) == 2
    found = read(tmp_path, changed(book(*named[1:]), lambda xml: re.sub(rb' r="[A-Z]*[0-9]+"', b"", xml)))
    assert [*found.rows[0][1].values()] == named[1]
    assert bare != content
    prefixed = changed(
        content,
        lambda xml: re.sub(rb"<(/?)(?=[a-zA-Z])", rb"<\1x:", xml).replace(b"xmlns=", b"xmlns:x="),
    )
    assert read(tmp_path, prefixed).rows == usual


def test_rows_are_read_again_over_blocks_and_compression(tmp_path: Path) -> None:
    content = book(*(visit(visit_id=f"V{number}") for number in range(9000)))
    path = written(tmp_path, gzip.compress(content, 1), "part.xlsx.gz")
    reader = opened("xlsx", path, compression="gzip")
    found = seen(reader)
    assert len(found.places) == 3 and reader.seen == 9000
    again = [fields["visit_id"] for _, fields in reader.again(every_second(found))]
    assert again == [f"V{at - 2}" for entries in every_second(found) for at in entries["line"].tolist()]


def test_a_file_replaced_in_between_is_not_read_again(tmp_path: Path) -> None:
    path = written(tmp_path, book(visit()))
    reader = opened("xlsx", path)
    found = seen(reader)
    written(tmp_path, book(visit()), "other").replace(path)
    with pytest.raises(P06Error) as told:
        list(reader.again(found.places))
    assert told.value.code == "P06-LOAD-015"


GOOD = book(visit(old_id="123456789"))
ENTITIES = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def archive(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members:
            new.writestr(name, content)
    return made.getvalue()


def with_member(name: str, content: bytes = b"x") -> bytes:
    made = io.BytesIO(GOOD)
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as old:
        old.writestr(name, content)
    return made.getvalue()


def declared(content: bytes, size: int) -> bytes:
    """The archive with another size written for its sheet, in both places."""
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        info = old.getinfo(SHEET)
    stated = info.CRC.to_bytes(4, "little") + info.compress_size.to_bytes(4, "little")
    return content.replace(stated + info.file_size.to_bytes(4, "little"), stated + size.to_bytes(4, "little"))


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "P06-LOAD-047"),
    "csv": (b"citizen_id,old_id\n1,2\n" * 9, "P06-LOAD-047"),
    "xls or a password": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000, "P06-LOAD-047"),
    "ods": (archive(("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"), ("content.xml", b"<x/>")), "P06-LOAD-047"),
    "cut": (GOOD[:-300], "P06-LOAD-047"),
    "something behind": (GOOD + b"x" * 30, "P06-LOAD-047"),
    "entities": (changed(GOOD, lambda xml: xml.replace(b"<worksheet", ENTITIES + b"<worksheet", 1)), "P06-LOAD-047"),
    "external": (changed(GOOD, lambda xml: xml.replace(b"<worksheet", EXTERNAL + b"<worksheet", 1)), "P06-LOAD-047"),
    "external strings": (changed(GOOD, lambda xml: xml.replace(b"<sst", EXTERNAL + b"<sst", 1), "xl/sharedStrings.xml"), "P06-LOAD-047"),
    "entities in workbook": (changed(GOOD, lambda xml: xml.replace(b"<workbook", ENTITIES + b"<workbook", 1), "xl/workbook.xml"), "P06-LOAD-047"),
    "utf-16": (changed(GOOD, lambda xml: xml.decode().replace("UTF-8", "UTF-16").encode("utf-16")), "P06-LOAD-047"),
    "absolute name": (with_member("/etc/x"), "P06-LOAD-047"),
    "name above": (with_member("xl/../../x"), "P06-LOAD-047"),
    "name twice": (with_member("xl/Workbook.xml"), "P06-LOAD-047"),
    "many parts": (archive(*((f"x{number}", b"") for number in range(5000))), "P06-LOAD-020"),
    "ratio": (with_member("xl/media/x.bin", b"\0" * (80 << 20)), "P06-LOAD-020"),
    "declared size": (declared(GOOD, 700 << 20), "P06-LOAD-020"),
    "declared too small": (declared(GOOD, 100), "P06-LOAD-047"),
    "far cell": (changed(GOOD, lambda xml: xml.replace(b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>')), "P06-LOAD-020"),
    "beyond Excel": (changed(GOOD, lambda xml: xml.replace(b"</sheetData>", b'<row r="1048577"><c r="A1048577"><v>1</v></c></row></sheetData>')), "P06-LOAD-047"),
    "cell twice": (changed(GOOD, lambda xml: xml.replace(b"</sheetData>", b'<row r="3"><c r="A3"><v>1</v></c><c r="A3"><v>2</v></c></row></sheetData>')), "P06-LOAD-047"),
    "cell twice in the middle": (changed(GOOD, lambda xml: xml.replace(b'<c r="C2"', b'<c r="B2"><v>1</v></c><c r="C2"')), "P06-LOAD-047"),
    "row twice": (changed(GOOD, lambda xml: xml.replace(b"</sheetData>", b'<row r="2"><c r="A2"><v>1</v></c></row></sheetData>')), "P06-LOAD-047"),
    "cell of another row": (changed(GOOD, lambda xml: xml.replace(b"</sheetData>", b'<row r="3"><c r="A2"><v>1</v></c></row></sheetData>')), "P06-LOAD-047"),
    "unknown string": (changed(GOOD, lambda xml: xml.replace(b'<c r="A2" t="s"><v>', b'<c r="A2" t="s"><v>99')), "P06-LOAD-047"),
    "no sheet": (archive(("xl/workbook.xml", b"<workbook/>"), ("xl/_rels/workbook.xml.rels", b"<Relationships/>")), "P06-LOAD-047"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_or_damaged_file_is_refused_in_bounded_time(tmp_path: Path, kind: str) -> None:
    content, code = HOSTILE[kind]
    begun = time.monotonic()
    assert refused(tmp_path, content) == [code]
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("options", [{}, {"constant_memory": True}], ids=["shared strings", "inline strings"])
def test_the_quick_look_at_a_sheet_sees_what_the_exact_one_sees(options: dict[str, Any]) -> None:
    name = "<c r='A1'> & = <f>"
    content = book(*(visit(visit_id=f"V{n}", full_name=name, total_amount=n / 4) for n in range(4000)), options=options)
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        info = parts.getinfo(SHEET)
        assert info.file_size > 1 << 20
        assert workbook._quick(parts, info) == workbook._exact(parts, info) == workbook.Grid(4001, 15)


ANYTHING = st.one_of(
    st.none(), st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5), st.booleans(),
    st.integers(-(10**6), 10**6), st.floats(-1e9, 1e9), st.dates(date(1900, 3, 1)),
)  # fmt: skip


@settings(max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(ANYTHING, min_size=15, max_size=16), min_size=1, max_size=4))
def test_every_row_of_any_cells_is_sound_or_told(tmp_path: Path, rows: list[list[Any]]) -> None:
    found = read(tmp_path, book(*rows))
    filled = [[cell for cell in row if cell not in (None, "")] for row in rows]
    last = max((at for at, row in enumerate(filled) if row), default=-1)
    assert {at for at, _ in found.rows} | found.unsound.keys() == set(range(2, last + 3))
    for at, fields in found.rows:
        for name, cell in zip(NAMES, rows[at - 2], strict=False):
            if cell is None or isinstance(cell, str):
                assert fields[name] == (cell or "")
            elif isinstance(cell, bool):
                assert fields[name] == str(cell).lower()
            elif isinstance(cell, date):
                assert fields[name] == cell.isoformat()
            else:
                assert float(fields[name]) == pytest.approx(cell, rel=1e-15)


@settings(max_examples=150, deadline=10_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    part=st.sampled_from(["", SHEET, "xl/workbook.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/_rels/workbook.xml.rels"]),
    places=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), min_size=1, max_size=3),
    cut=st.one_of(st.just(1.0), st.just(1.0), st.floats(0, 1)),
)  # fmt: skip
def test_damage_is_refused_with_a_code_or_leaves_rows(
    tmp_path: Path, part: str, places: list[tuple[int, int]], cut: float
) -> None:
    base = book(visit(total_amount=1.5, birth_date=date(1989, 5, 6)), visit(total_amount=formula("=1", 1)))
    sound = read(tmp_path, base).rows

    def damage(content: bytes) -> bytes:
        body = bytearray(content)
        for place, byte in places:
            body[place * len(body) // 10_000] = byte
        return bytes(body[: int(cut * len(body))])

    content = changed(base, damage, part) if part else damage(base)
    begun = time.monotonic()
    reader = opened("xlsx", written(tmp_path, content))
    try:
        assert all(isinstance(error, P06Error) for error in reader.header())
        rows = seen(reader).rows
    except Refused as error:
        assert error.code in ("P06-LOAD-047", "P06-LOAD-001", "P06-LOAD-020", "P06-LOAD-031")
    else:
        assert part or rows == sound  # the archive's own checksums leave nothing else
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("cell", "precision", "told"),
    [
        ("123456789012345.6789", 19, ["numeric_cell"]),
        ("1234567890123456", 19, ["numeric_cell"]),
        ("1000000000000000001", 19, ["numeric_cell"]),
        ("99999999999.9999", 19, []),
        ("-100.5", 19, []),
        ("123456789012345.6789", 15, []),  # the rules refuse what a double keeps of it
    ],
)
def test_a_number_of_more_digits_than_a_cell_keeps_is_not_taken_for_the_rest_of_it(
    tmp_path: Path, cell: str, precision: int, told: list[str]
) -> None:
    columns = tuple(
        replace(one, precision=precision, scale=4) if one.name == "total_amount" else one for one in visits().columns
    )
    content = with_cell("total_amount", f'<c r="{{}}"><v>{cell}</v></c>')
    found = seen(opened("xlsx", written(tmp_path, content), visits(columns=columns)))
    assert [reason for _, reason in found.failures.get(2, [])] == told
