"""The report of who is who: counts, words, places; of a person nothing but the shape."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import zipfile
from datetime import date
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from p06 import conflictfile, database
from p06.cli import app
from p06.errors import P06Error, messages
from p06.settings import settings
from tests.dbt.hand_staged import Row, Warehouse
from tests.dbt.test_identity_finding import ACCOUNT, VISIT

AN, BE, CHI = 1190000001, 1190000002, 1190000003
OLD = "019876543"
PAYLOAD = "<script>alert(1)</script>"
AN_SELF: Row = {"full_name": "Nguyễn Thị Chim Yến", "birth_date": date(1990, 1, 1), "sex": "F"}
BE_SELF: Row = {"full_name": "Trần Thị Sơn Ca", "birth_date": date(1985, 5, 5), "sex": "F"}
CHI_SELF: Row = {"full_name": "Lê Thị Vành Khuyên", "birth_date": date(1950, 3, 3), "sex": "F"}
HOSTILE: Row = {"full_name": f"=1+1{PAYLOAD}", "birth_date": date(1970, 7, 7), "sex": "M"}
CANARIES = ("Chim Yến", "Sơn Ca", "Vành Khuyên", str(AN), str(BE), str(CHI), OLD, "alert", "1985-05-05", "1950-03-03")


def run(*arguments: str) -> str:
    """Standard output of a command that has to end with 0."""
    done = CliRunner().invoke(app, ["conflicts", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def texts(path: Path) -> str:
    """All the texts of a file, as a reader sees them; of a page its source."""
    if path.suffix != ".xlsx":
        return path.read_text("utf-8")
    with zipfile.ZipFile(path) as book:
        sheets = [book.read(name).decode() for name in book.namelist() if name.startswith("xl/worksheets/")]
    assert not any("<f>" in sheet for sheet in sheets)
    return "\n".join(unescape(cell) for sheet in sheets for cell in re.findall(r"<t[^>]*>(.*?)</t>", sheet, re.DOTALL))


@pytest.fixture
def published(warehouse: Warehouse) -> Warehouse:
    """A dead woman with a visit (line 2), one number on two people (3 and 4), an old number of two citizens (5)."""
    shared = {"old_id": OLD}
    warehouse.register(
        "2024-01", {"citizen_id": AN} | AN_SELF, {"citizen_id": BE} | BE_SELF | shared, {"citizen_id": CHI} | CHI_SELF | shared
    )  # fmt: skip
    warehouse.register(
        "2024-02", {"citizen_id": BE, "status": "deceased", "death_date": date(2024, 1, 9)} | BE_SELF | shared
    )
    warehouse.register("2024-03", {"citizen_id": AN} | AN_SELF)
    warehouse.sector(
        "health_visit",
        "2024-03",
        VISIT | {"citizen_id": BE} | BE_SELF,
        VISIT | {"citizen_id": AN} | AN_SELF,
        VISIT | {"citizen_id": AN} | HOSTILE,
        VISIT | shared | CHI_SELF,
    )
    warehouse.sector("bank_kyc", "2024-03", ACCOUNT | {"citizen_id": AN} | AN_SELF)
    warehouse.build("2024-03", test=False)
    return warehouse


def test_each_question_is_counted_and_told_with_its_rows(published: Warehouse, tmp_path: Path) -> None:
    told = [line.split("\t") for line in run("health_visit", "2024-03").splitlines()[1:]]
    assert [line[2:5] for line in told] == [
        ["deceased_served", "1", "25.00 %"],
        ["number_two_people", "2", "50.00 %"],
        ["conflict_all", "1", "25.00 %"],
        ["old_number_shared", "1", "25.00 %"],
    ]
    as_json = json.loads(run("--json"))
    assert [(one["source"], one["kind"]) for one in as_json] == [("health_visit", line[2]) for line in told]
    assert {"vi", "en", "next_vi", "next_en"} <= as_json[0].keys()
    path = tmp_path / "report.csv"
    assert run("health_visit", "2024-03", "--to", str(path)) == f"{path}: 4 of 4 rows in question, 4 kinds\n"
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
    assert [(row[0], row[5], row[7], row[8], row[9], row[10]) for row in rows[1:]] == [
        ("deceased_served", "1", "2", "citizen_id", "", "999999999999,,AAAA AAA AAA AA,9999-99-99,A"),
        ("number_two_people", "1", "3", "citizen_id, full_name, birth_date", "1:4", "999999999999,,AAAAAA AAA AAAA AAA,9999-99-99,A"),
        ("number_two_people", "1", "4", "citizen_id, full_name, birth_date", "1:3", "999999999999,,=9+9<AAAAAA>AAAAA(9)</AAAAAA>,9999-99-99,A"),
        ("conflict_all", "1", "4", "citizen_id, full_name, birth_date, sex", "", "999999999999,,=9+9<AAAAAA>AAAAA(9)</AAAAAA>,9999-99-99,A"),
        ("old_number_shared", "1", "5", "old_id", "", ",999999999,AA AAA AAAA AAAAAA,9999-99-99,A"),
    ]  # fmt: skip


def test_nothing_of_a_person_leaves_in_a_report_or_is_said(
    published: Warehouse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for kind in ("html", "xlsx", "csv"):
        path = tmp_path / f"report.{kind}"
        said = run("health_visit", "2024-03", "--to", str(path)) + run() + run("--json") + caplog.text
        content = texts(path)
        for canary in CANARIES:
            assert canary not in content and canary not in said, (kind, canary)
        assert "AAAAAA AAA AAAA AAA" in content and messages()["deceased_served"]["vi"] in content
        first = path.read_bytes()
        run("health_visit", "2024-03", "--to", str(path))
        assert path.read_bytes() == first


def test_the_page_runs_nothing_and_loads_nothing(published: Warehouse, tmp_path: Path) -> None:
    tags = set()

    class Page(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.add(tag)
            assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]

    path = tmp_path / "report.html"
    run("health_visit", "2024-03", "--to", str(path), "--limit", "1")
    Page().feed(path.read_text("utf-8"))
    assert tags & {"script", "img", "link", "iframe", "a", "form"} == set()
    assert "default-src 'none'" in path.read_text("utf-8") and "1 of 2 rows" in path.read_text("utf-8")
    run("bank_kyc", "2024-03", "--to", str(path))
    assert "Nothing was found." in path.read_text("utf-8")


def test_the_quality_tables_hold_no_values_and_only_quality_officers_read_them(published: Warehouse) -> None:
    views = (
        "quality.identity_finding",
        "quality.identity_finding_row",
        "quality.identity_examples('health_visit', '2024-03-01')",
    )
    stored = str([published.rows(f"select f::text from {view} as f", "quality") for view in views])
    assert [canary for canary in CANARIES if canary in stored] == []
    for view in views:
        for role in ("analyst", "steward", "identified"):
            with database.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from {view}".encode())
    for table in ("build.identity_finding", "vault.int_finding_bearer", "staging.health_visit"):
        with database.connect("quality") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"select * from {table}".encode())
    assert published.rows("select to_regclass('marts.identity_finding')") == [(None,)]


def test_a_month_that_is_not_published_and_a_report_of_everything_are_wrong_usage(
    published: Warehouse, tmp_path: Path
) -> None:
    for arguments, code in ((("health_visit", "2024-02"), "P06-CONFLICT-001"), (("health_visit",), "P06-CONFLICT-002")):
        done = CliRunner().invoke(app, ["conflicts", *arguments, "--to", str(tmp_path / "report.html")])
        assert isinstance(done.exception, P06Error)
        assert (done.exception.code, done.exception.exit_code, list(tmp_path.iterdir())) == (code, 2, [])
    done = CliRunner().invoke(app, ["conflicts", "health_visit", "2024-02"])
    assert isinstance(done.exception, P06Error) and done.exception.code == "P06-CONFLICT-001"


def test_a_month_built_before_there_were_findings_is_not_told_to_be_without(
    published: Warehouse, tmp_path: Path
) -> None:
    with database.connect("builder") as connection:
        connection.execute("drop table build.identity_finding__202403__1")
    for more in ([], ["--to", str(tmp_path / "report.html")]):
        done = CliRunner().invoke(app, ["conflicts", "health_visit", "2024-03", *more])
        assert isinstance(done.exception, P06Error) and done.exception.code == "P06-CONFLICT-003"


def test_every_kind_has_words_and_a_place_in_the_order() -> None:
    models = (settings().dbt_project / "models" / "identity" / "finding").glob("*.sql")
    literals = {word for path in models for word in re.findall(r"'([a-z_]+)'", path.read_text("utf-8"))}
    kinds = {word for word in literals if word in messages()}
    assert kinds == set(conflictfile.KINDS)
    for kind in kinds:
        assert {"vi", "en", "next_vi", "next_en"} <= messages()[kind].keys()
