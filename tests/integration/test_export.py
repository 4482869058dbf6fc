"""Exports are the mart, whoever opens them: each kind is read by a reader that is not the one that wrote it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from python_calamine import CalamineWorkbook
from typer.testing import CliRunner

from p06 import database, export
from p06.cli import app
from p06.errors import P06Error, UsageError
from p06.period import Period
from p06.settings import settings
from tests.dbt.hand_staged import fresh

JANUARY = Period.parse("2024-01")
PAYLOADS = (
    "=1+1", "+2", "-3", "@sum(A1)", "\t=1", "\r=1", "＝1", '=HYPERLINK("x","y")', 'a "quoted", text', "two\nlines", "", "=",
)  # fmt: skip
PEOPLE = [{"citizen_id": 1089000123 + number} for number in range(40)]


def visit(number: int, code: str) -> dict[str, Any]:
    return {
        "citizen_id": PEOPLE[number % 40]["citizen_id"], "full_name": f"Nguyễn Thị {chr(65 + (1089000123 + number % 40) % 26)}",
        "birth_date": date(1990, 5, 20), "sex": "F", "visit_id": f"V{number}", "facility_code": "01001",
        "main_diagnosis": code, "admitted_at": datetime(2024, 1, 3, 1, 15, 0, 120, tzinfo=timezone.utc),
        "total_amount": Decimal("9999999999999.99"), "insurance_paid": Decimal("9999999999999.99"), "patient_paid": 0,
    }  # fmt: skip


PERSON = {
    "citizen_id": PEOPLE[0]["citizen_id"], "full_name": "Nguyễn Thị A", "birth_date": date(1990, 5, 20), "sex": "F",
    "commune_code": "00004",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def released(home: Path) -> Iterator[None]:
    """One month of forty people and twelve visits whose texts are hostile, released twice, the second time with more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("P06_HOME", str(home))
        settings.cache_clear()
        warehouse = fresh()
        warehouse.register("2024-01", *PEOPLE)
        warehouse.sector("health_visit", "2024-01", *(visit(n, text) for n, text in enumerate(PAYLOADS)))
        warehouse.sector("party_member", "2024-01", {**PERSON, "member_no": "M1", "card_dossier": "issued"})
        warehouse.build("2024-01", test=False)
        warehouse.sector(
            "health_visit", "2024-01", *(visit(n, text) for n, text in enumerate([*PAYLOADS, *["J20"] * 6000]))
        )
        warehouse.build("2024-01", test=False)
        yield
    settings.cache_clear()


@pytest.fixture(autouse=True)
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("P06_HOME", str(home))
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def in_the_mart(view: str, where: str = "period = '2024-01-01'") -> tuple[list[str], list[tuple[Any, ...]]]:
    with database.connect("analyst") as connection:
        cursor = connection.execute(f"select * from marts.{view} where {where}".encode())
        return [column.name for column in cursor.description or ()], cursor.fetchall()


def plain(value: Any) -> str:
    """A value of the mart as csv spells it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def defused(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝")) else text


def of_the_mart(view: str, raw: bool = False) -> list[tuple[str, ...]]:
    _, rows = in_the_mart(view)
    return sorted(tuple(plain(v) if raw or not isinstance(v, str) else defused(v) for v in row) for row in rows)


@pytest.mark.parametrize("view", ["fct_health_visit", "citizen_month", "indicator"])
def test_csv_is_the_mart_to_the_csv_module_and_to_duckdb(tmp_path: Path, view: str) -> None:
    done = export.export(view, tmp_path / "out.csv", "csv", JANUARY)
    content = (tmp_path / "out.csv").read_bytes()
    assert not content.startswith(b"\xef\xbb\xbf")
    heads, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    names, expected = in_the_mart(view)
    assert heads == names
    assert sorted(map(tuple, rows)) == of_the_mart(view)
    assert done.rows == len(expected) == len(rows) > 0
    (written,) = done.files
    assert (written.bytes, written.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    counted = duckdb.sql(f"select count(*) from read_csv('{tmp_path}/out.csv', header = true, all_varchar = true)")
    assert counted.fetchall() == [(len(expected),)]


def test_formulas_are_defused_unless_they_are_asked_for_as_they_stand(tmp_path: Path) -> None:
    export.export("fct_health_visit", tmp_path / "safe.csv", "csv", JANUARY)
    export.export("fct_health_visit", tmp_path / "raw.csv", "csv", JANUARY, raw=True)
    found = {}
    for name in ("safe", "raw"):
        with (tmp_path / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            found[name] = {row["main_diagnosis"] for row in csv.DictReader(file)}
    assert not [text for text in found["safe"] if text.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))]
    assert {"'=1+1", "'\t=1", 'a "quoted", text', "two\nlines"} <= found["safe"]
    assert set(PAYLOADS) <= found["raw"]


def test_a_csv_for_spreadsheets_bears_the_mark_of_utf_8(tmp_path: Path) -> None:
    export.export("indicator", tmp_path / "a.csv", "csv", JANUARY, bom=True)
    export.export("indicator", tmp_path / "b.csv", "csv", JANUARY)
    assert (tmp_path / "a.csv").read_bytes() == b"\xef\xbb\xbf" + (tmp_path / "b.csv").read_bytes()


def test_a_workbook_is_the_mart_with_its_notes_and_columns_and_no_cell_is_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "out.xlsx"
    export.export("fct_health_visit", path, "xlsx", JANUARY)
    book = CalamineWorkbook.from_path(str(path))
    assert book.sheet_names == ["Dữ liệu · Data", "Ghi chú · Notes", "Cột · Columns"]
    heads, *rows = book.get_sheet_by_index(0).to_python(skip_empty_area=False)
    names, expected = in_the_mart("fct_health_visit")
    assert heads == names

    def told(value: Any) -> str:
        if value is None or value == "":
            return ""
        if isinstance(value, datetime):
            return value.astimezone(timezone.utc).isoformat()
        if isinstance(value, bool | date):
            return str(value)
        if isinstance(value, int | float | Decimal):
            return str(Decimal(str(value)).normalize())
        try:
            return datetime.fromisoformat(str(value)).astimezone(timezone.utc).isoformat()
        except ValueError:
            return str(value)

    assert sorted(tuple(map(told, row)) for row in rows) == sorted(
        tuple(told(defused(v) if isinstance(v, str) else v) for v in row) for row in expected
    )
    notes = book.get_sheet_by_index(1).to_python()
    assert any("2024-01.2" in str(cell) for row in notes for cell in row)
    assert any("no formula" in str(cell) for row in notes for cell in row)
    told_columns = book.get_sheet_by_index(2).to_python()
    assert [row[0] for row in told_columns[1:]] == names and all(row[2] and row[3] for row in told_columns[1:])
    import zipfile

    with zipfile.ZipFile(path) as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")


@pytest.mark.parametrize("view", ["fct_health_visit", "citizen_month", "indicator", "reconciliation"])
def test_parquet_is_the_mart_with_exact_types_to_duckdb(tmp_path: Path, view: str) -> None:
    path = tmp_path / "out.parquet"
    export.export(view, path, "parquet", JANUARY)
    names, expected = in_the_mart(view)
    found = duckdb.sql(f"set timezone = 'UTC'; select * from read_parquet('{path}')")
    assert found.columns == names

    def told(value: Any) -> str:
        if isinstance(value, Decimal):
            return str(value.normalize())
        return plain(value)

    assert sorted(tuple(map(told, row)) for row in found.fetchall()) == sorted(
        tuple(map(told, row)) for row in expected
    )
    types = dict(zip(found.columns, map(str, found.types), strict=True))
    assert types["period"] == "DATE"
    if view == "fct_health_visit":
        assert (types["total_amount"], types["admitted_at"]) == ("DECIMAL(15,2)", "TIMESTAMP WITH TIME ZONE")
    if view == "citizen_month":
        assert types["land_area_m2"].startswith("DECIMAL(38,")
    ((about,),) = duckdb.sql(f"select value from parquet_kv_metadata('{path}') where key = 'p06'").fetchall()
    assert json.loads(about)["releases"][0]["release_id"] == "2024-01.2"


def test_a_package_describes_every_column_and_its_checksums_hold(tmp_path: Path) -> None:
    done = export.export("citizen_month", tmp_path / "package", "package", JANUARY)
    about = json.loads((tmp_path / "package" / "datapackage.json").read_text("utf-8"))
    assert about["profile"] == "tabular-data-package" and re.fullmatch(r"[a-z0-9._-]+", about["name"])
    (resource,) = about["resources"]
    content = (tmp_path / "package" / resource["path"]).read_bytes()
    assert resource["bytes"] == len(content)
    assert resource["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert about["p06"]["releases"][0]["release_id"] == "2024-01.2"
    heads, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    fields = resource["schema"]["fields"]
    assert [field["name"] for field in fields] == heads
    readers = {
        "integer": int, "number": Decimal, "date": date.fromisoformat, "datetime": datetime.fromisoformat,
        "boolean": {"true": True, "false": False}.__getitem__, "string": str,
    }  # fmt: skip
    for row in rows:
        for field, text in zip(fields, row, strict=True):
            assert text == "" or readers[field["type"]](text) is not None
    assert all(" · " in field["description"] for field in fields)
    assert done.rows == len(rows) == 40
    again = export.export("citizen_month", tmp_path / "package", "package", JANUARY)
    assert [one.sha256 for one in again.files] == [one.sha256 for one in done.files], "the same release, the same bytes"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(P06Error) as raised:
        export.export("citizen_month", tmp_path / "other", "package", JANUARY)
    assert raised.value.code == "P06-EXPORT-005"


def test_an_earlier_release_is_exported_as_it_was(tmp_path: Path) -> None:
    for release, rows in (("2024-01.1", 12), ("2024-01.2", 6012)):
        done = export.export("fct_health_visit", tmp_path / f"{release}.csv", "csv", None, release)
        assert (done.rows, done.releases, done.period) == (rows, (release,), JANUARY)
    assert export.export("dim_citizen", tmp_path / "c.csv", "csv", JANUARY, "2024-01.1").rows == 40


@pytest.mark.parametrize(
    ("mart", "period", "release", "code"),
    [
        ("births", None, None, "P06-EXPORT-001"),
        ('indicator"; drop table x', None, None, "P06-EXPORT-001"),
        ("indicator", Period.parse("2023-01"), None, "P06-EXPORT-002"),
        ("indicator", None, "2024-01.9", "P06-EXPORT-002"),
        ("indicator", Period.parse("2024-02"), "2024-01.1", "P06-EXPORT-002"),
        ("dim_area", JANUARY, None, "P06-EXPORT-003"),
        ("dim_area", None, "2024-01.1", "P06-EXPORT-003"),
    ],
)
def test_what_cannot_be_exported_is_said_before_anything_is_written(
    tmp_path: Path, mart: str, period: Period | None, release: str | None, code: str
) -> None:
    with pytest.raises(UsageError) as raised:
        export.export(mart, tmp_path / "out.csv", "csv", period, release)
    assert raised.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_every_view_of_the_marts_can_be_exported_whole(tmp_path: Path) -> None:
    with database.connect("analyst") as connection:
        views = export.marts(connection)
    assert {"dim_area", "dim_citizen", "indicator_edition", "release"} <= set(views)
    for view in views:
        if view in ("dim_area", "area_change", "area_today"):  # ten thousand rows each, all of one kind
            continue
        done = export.export(view, tmp_path, "csv")
        assert done.files[0].path.name.startswith(view)


def test_a_folder_that_cannot_be_written_is_said_and_a_sheet_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(P06Error) as raised:
        export.export("indicator", tmp_path / "file" / "out.csv", "csv", JANUARY)
    assert raised.value.code == "P06-EXPORT-005"
    monkeypatch.setattr(export, "SHEET_ROWS", 6_000)
    with pytest.raises(UsageError) as refused:
        export.export("fct_health_visit", tmp_path / "out.xlsx", "xlsx", JANUARY)
    assert refused.value.code == "P06-EXPORT-004"
    monkeypatch.setattr(export, "SHEET_ROWS", 10_000)
    monkeypatch.setattr(export, "CELL", 10)
    with pytest.raises(UsageError) as refused:
        export.export("fct_health_visit", tmp_path / "out.xlsx", "xlsx", JANUARY)
    assert refused.value.code == "P06-EXPORT-004"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_the_command_names_what_it_wrote_and_guesses_the_kind_by_the_ending(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["export", "indicator", "--period", "2024-01", "--to", str(tmp_path / "i.parquet")])
    assert done.exit_code == 0 and "release 2024-01.2" in done.stdout
    told = json.loads(
        runner.invoke(
            app, ["export", "indicator", "--period", "2024-01", "--format", "csv", "--to", str(tmp_path), "--json"]
        ).stdout
    )
    assert Path(told["files"][0]["path"]).name == "indicator-2024-01.2.csv"
    wrong = runner.invoke(app, ["export", "indicator", "--to", str(tmp_path / "i.doc")])
    assert isinstance(wrong.exception, UsageError) and wrong.exception.code == "P06-EXPORT-006"


def test_an_analysts_statement_ends_after_ten_minutes_and_an_export_does_not() -> None:
    for role, limit in (("analyst", "10min"), ("identified", "10min"), ("sensitive", "10min"), ("builder", "0")):
        with database.connect(role) as connection:
            assert connection.execute("show statement_timeout").fetchone() == (limit,), role


def test_an_analyst_can_write_nothing_anywhere() -> None:
    with database.connect("analyst") as connection:
        rows = connection.execute(
            "select count(*) filter (where has_table_privilege(c.oid, 'insert, update, delete, truncate')),"
            " bool_or(has_schema_privilege(n.oid, 'create'))"
            " from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind in ('r', 'p', 'v', 'm')"
        ).fetchone()
        assert rows == (0, False)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create temporary table mine (x integer)")


def logged() -> list[tuple[str, str]]:
    with database.connect("admin") as connection:
        return connection.execute("select object, purpose from control.access_log order by entry_id").fetchall()


@pytest.mark.parametrize("view", ["fct_party_member", "fct_party_member_restated"])
def test_a_restricted_mart_is_taken_by_a_word_and_a_reason_that_are_kept(tmp_path: Path, view: str) -> None:
    before = logged()
    to = tmp_path / "members.xlsx"
    for wrong, code in (
        ({}, "P06-EXPORT-008"),
        ({"purpose": ""}, "P06-DUTY-004"),
        ({"purpose": "of 001089000123"}, "P06-DUTY-004"),
    ):
        with pytest.raises(UsageError) as refused:
            export.export(view, to, "xlsx", JANUARY, **wrong)
        assert refused.value.code == code
    assert logged() == before and not to.exists()
    done = export.export(view, to, "xlsx", JANUARY, purpose="progress of the cards")
    assert done.rows == 1
    [(taken, purpose)] = logged()[len(before) :]
    assert taken == f"marts.{view} 2024-01.2"
    assert purpose.startswith("export for ") and purpose.endswith(": progress of the cards")
    notes = CalamineWorkbook.from_path(to).get_sheet_by_name("Ghi chú · Notes").to_python()
    assert any("Restricted" in str(en) for _, en in notes)
    with database.connect("admin") as connection:
        sealed = "select count(*) from control.seal where subject = 'access_log' and content like %s"
        assert connection.execute(sealed, (f"%{taken}%",)).fetchone() == (1,), "under the ledger's seal"
    # a mart everybody reads is nobody's secret: the word changes nothing, and nothing is logged
    export.export("indicator", tmp_path / "i.csv", "csv", JANUARY, purpose="out of habit")
    assert len(logged()) == len(before) + 1


def test_the_command_line_wants_the_word_and_the_reason(tmp_path: Path) -> None:
    asked = ["export", "fct_party_member", "--period", "2024-01", "--to", str(tmp_path / "m.csv")]
    runner = CliRunner()
    for words, code in (
        ([], "P06-EXPORT-008"),
        (["--why", "cards"], "P06-EXPORT-008"),
        (["--restricted"], "P06-DUTY-004"),
    ):
        wrong = runner.invoke(app, [*asked, *words])
        assert isinstance(wrong.exception, UsageError) and wrong.exception.code == code, words
    assert runner.invoke(app, [*asked, "--restricted", "--why", "cards"]).exit_code == 0
    assert (tmp_path / "m.csv").read_text("utf-8").count("issued") == 1
