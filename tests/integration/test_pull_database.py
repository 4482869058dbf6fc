"""A query on somebody's PostgreSQL becomes a delivery: every row, every character, once per state of the data."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from p06 import contract, landing, load, pull
from p06.period import Period
from p06.settings import settings
from tests.integration import origin
from tests.integration.origin import SECRET, command, hidden, visible
from tests.integration.test_server import server as postgres
from tests.sender import VISIT, Sender

JANUARY = Period(2024, 1)
STEPS = ("pull.started", "pull.copying", "pull.copied", "pull.sealed", "pull.landed")
NAME = "p06_health_visit_hospital"
COLUMNS = list(VISIT)
QUERY = (
    "select citizen_id, old_id, full_name, birth_date, sex, visit_id, facility_code, insurance_card_no, admitted_at,"
    " discharged_at, main_diagnosis, total_amount, insurance_paid, patient_paid, updated_at from visit"
    " where admitted_at >= :period_start and admitted_at < :period_end order by visit_id"
)


@pytest.fixture(scope="module")
def ministry() -> Iterator[str]:
    """The second PostgreSQL, a ministry's own; yields its superuser's address."""
    with postgres(18) as address:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"create role reader login password '{SECRET}'")
        yield address


@pytest.fixture
def hospital(ministry: str, sender: Sender, tmp_path: Path) -> Iterator[psycopg.Connection[Any]]:
    """A table of visits at the ministry, declared as the origin of health_visit."""
    before = os.environ.get("P06_CONTRACTS")
    with psycopg.connect(ministry, autocommit=True) as connection:
        connection.execute(
            "create table visit (citizen_id text, old_id text, full_name text, birth_date date, sex char(1),"
            " visit_id text, facility_code text, insurance_card_no text, admitted_at timestamptz,"
            " discharged_at timestamptz, main_diagnosis text, total_amount numeric, insurance_paid numeric,"
            " patient_paid numeric, updated_at timestamptz); grant select on visit to reader"
        )
        use(tmp_path, ministry)
        yield connection
        connection.execute("drop table visit")
    (settings().home / "secrets" / "connections" / f"{NAME}.json").unlink()
    shutil.rmtree(settings().home / "pulls", ignore_errors=True)
    os.environ.pop("P06_CONTRACTS") if before is None else os.environ.update(P06_CONTRACTS=before)
    settings.cache_clear()


def use(tmp_path: Path, ministry: str, query: str = QUERY, **properties: Any) -> None:
    found = psycopg.conninfo.conninfo_to_dict(ministry)
    place = {"host": "127.0.0.1", "port": int(str(found["port"])), "database": "postgres", "schema": "public"}
    origin.declare(tmp_path, {"server": "hospital", "type": "postgresql", **place}, query=query, **properties)
    origin.connection(NAME, {"user": "reader", "password": SECRET})


def fill(hospital: psycopg.Connection[Any], count: int, first: int = 1) -> None:
    hospital.execute(
        "insert into visit select '001089000123', null, 'Nguyễn Văn ' || i, '1989-05-06', 'M', 'V' || lpad(i::text, 6, '0'),"
        " '01001', 'DN4010123456789', '2024-01-03T08:15:00+07', null, 'J20.9', 100.00, 80.00, 20.00,"
        " '2024-01-03T09:00:00.25+07' from generate_series(%s::int, %s::int) as i",
        (first, first + count - 1),
    )


def outcomes(results: list[pull.PullResult]) -> list[tuple[str, int | None, str | None]]:
    return [(one.outcome, one.revision, one.error.code if one.error else None) for one in results]


def delivered() -> tuple[dict[str, Any], list[list[str]]]:
    """Manifest and rows of the one delivery in landing."""
    files = visible()
    manifest = json.loads(next(data for path, data in files.items() if path.endswith("manifest.json")))
    packed = next(data for path, data in files.items() if path.endswith(".csv.gz"))
    [stated] = manifest["files"]
    assert (stated["bytes"], stated["sha256"]) == (len(packed), hashlib.sha256(packed).hexdigest())
    return manifest, list(csv.reader(io.StringIO(gzip.decompress(packed).decode("utf-8"), newline="")))


def test_what_is_staged_equals_what_the_ministry_holds(
    hospital: psycopg.Connection[Any], sees: psycopg.Connection[Any]
) -> None:
    fill(hospital, 12_345)
    [done] = pull.pull("health_visit", JANUARY)
    assert (done.outcome, done.revision, done.rows) == ("pulled", 1, 12_345)
    assert [load.stage(one).outcome for one in load.pending()] == ["staged"]
    of_both = (
        "select md5(string_agg(concat_ws('|', lpad(citizen_id::text, 12, '0'), full_name, birth_date, sex, visit_id,"
        " facility_code, extract(epoch from admitted_at), main_diagnosis, total_amount::numeric(15,2),"
        " extract(epoch from updated_at)), e'\\n' order by visit_id)), count(*) from "
    )
    [leaf] = sees.execute("select 'staging.' || staging_table from control.extract").fetchall()[0]
    assert (
        sees.execute((of_both + leaf).encode()).fetchall() == hospital.execute((of_both + "visit").encode()).fetchall()
    )


def test_text_arrives_character_by_character_and_types_in_the_notation_of_the_interface(
    hospital: psycopg.Connection[Any],
) -> None:
    fill(hospital, 1)
    names = [
        'a "quoted", name',
        "two\nlines",
        "carriage\rreturn",
        "crlf\r\n",
        " padded ",
        "",
        "Trần Thị Hoà",
        "\\N",
        "0012",
    ]
    for number, name in enumerate(names):
        hospital.execute(
            "insert into visit select '001089000123', '000000012', %s, '0988-12-31', 'F', %s, '00007', null,"
            " '2024-01-31T23:59:59.999999+07', null, 'J20.9', 1e12, 0.10, 123456789012345678901234567890.5,"
            " '1899-01-01T00:00:00Z'",
            (name, f"W{number}"),
        )
    pull.pull("health_visit", JANUARY)
    manifest, rows = delivered()
    assert rows[0] == [column.physical_name for column in contract.load("health_visit").columns] == COLUMNS
    assert [row[2] for row in rows[2:]] == names
    assert rows[2][COLUMNS.index("old_id")] == "000000012"
    assert rows[2][COLUMNS.index("birth_date")] == "0988-12-31"
    assert rows[2][COLUMNS.index("discharged_at")] == ""
    assert rows[2][COLUMNS.index("admitted_at")] == "2024-01-31T23:59:59.999999+07:00"
    assert rows[2][COLUMNS.index("total_amount")] == "1000000000000"
    assert rows[2][COLUMNS.index("insurance_paid")] == "0.10"
    assert rows[2][COLUMNS.index("patient_paid")] == "123456789012345678901234567890.5"
    assert rows[2][COLUMNS.index("updated_at")] == "1899-01-01T00:00:00+00:00"  # local mean time had seconds
    assert (manifest["files"][0]["rows"], manifest["revision"]) == (10, 1)
    assert manifest["admin_code_version"] == "2024-01-01"


def test_the_bounds_are_the_months_days_where_the_sender_lives(hospital: psycopg.Connection[Any]) -> None:
    for number, at in enumerate(("2023-12-31T23:59:59+07", "2024-01-01T00:00:00+07", "2024-02-01T00:00:00+07")):
        fill(hospital, 1, number + 1)
        hospital.execute("update visit set admitted_at = %s where visit_id = %s", (at, f"V{number + 1:06d}"))
    pull.pull("health_visit", JANUARY)
    assert [row[COLUMNS.index("visit_id")] for row in delivered()[1][1:]] == ["V000002"]


def test_equal_content_is_not_written_again_and_changed_content_is_the_next_revision(
    hospital: psycopg.Connection[Any], sees: psycopg.Connection[Any]
) -> None:
    fill(hospital, 10)
    assert outcomes(pull.pull("health_visit", JANUARY)) == [("pulled", 1, None)]
    before = visible()
    assert outcomes(pull.pull("health_visit", JANUARY)) == [("unchanged", 1, None)]
    assert (visible(), hidden()) == (before, [])
    assert [one.outcome for one in load.load("health_visit")] == ["accepted"]
    shutil.rmtree(landing.root())  # the ledger knows it, too
    assert outcomes(pull.pull("health_visit", JANUARY)) == [("unchanged", 1, None)]
    fill(hospital, 1, 11)
    assert outcomes(pull.pull("health_visit", JANUARY)) == [("pulled", 2, None)]
    assert [(one.outcome, one.revision, one.staged) for one in load.load("health_visit")] == [("accepted", 2, 11)]
    hospital.execute("delete from visit where visit_id = 'V000011'")  # back to what it was: a third revision
    assert outcomes(pull.pull("health_visit", JANUARY)) == [("pulled", 3, None)]
    assert [(one.outcome, one.staged) for one in load.load("health_visit")] == [("accepted", 10)]


def test_a_month_without_rows_writes_nothing(hospital: psycopg.Connection[Any]) -> None:
    assert outcomes(pull.pull("health_visit", JANUARY)) == [("empty", None, "P06-PULL-025")]
    assert not landing.root().exists() or list(landing.root().rglob("*")) == []


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_next_pull_ends_with_the_same_checksum(
    hospital: psycopg.Connection[Any], step: str
) -> None:
    fill(hospital, 12_000)
    assert outcomes(pull.pull("health_visit", JANUARY)) == [("pulled", 1, None)]
    undisturbed = {path: data for path, data in visible().items() if path.endswith(".gz")}
    shutil.rmtree(landing.root())
    killed = command("pull", "health_visit", "2024-01", P06_FAIL_AT=step)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(hidden()) == (0 if step == "pull.landed" else 1)
    assert outcomes(pull.pull("health_visit", JANUARY)) in ([("pulled", 1, None)], [("unchanged", 1, None)])
    assert {path: data for path, data in visible().items() if path.endswith(".gz")} == undisturbed
    assert hidden() == []


def test_a_backend_that_dies_in_the_middle_leaves_nothing(
    hospital: psycopg.Connection[Any], ministry: str, tmp_path: Path
) -> None:
    fill(hospital, 100)
    killer = QUERY.replace(
        "select citizen_id",
        "select case when visit_id = 'V000090' then (1 / (length(sex) - 1))::text else citizen_id end as citizen_id",
    )
    use(tmp_path, ministry, killer)
    assert outcomes(pull.pull("health_visit", JANUARY)) == [("failed", None, "P06-PULL-020")]
    assert (visible(), hidden()) == ({}, [])


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (("updated_at from", "updated_at at time zone 'UTC' as updated_at from"), "P06-PULL-022", "updated_at"),
        (("facility_code,", "facility_code::int as facility_code,"), "P06-PULL-023", "facility_code"),
        (("select citizen_id", "select citizen_id::bigint as citizen_id"), "P06-PULL-023", "citizen_id"),
        (("full_name,", "to_json(full_name) as full_name,"), None, ""),
        (("full_name,", "array[full_name] as full_name,"), "P06-PULL-023", "full_name"),
        (("full_name,", "full_name::bytea as full_name,"), "P06-PULL-023", "full_name"),
        (("full_name,", "full_name, 1 as more,"), "P06-PULL-021", "more"),
        (("full_name,", ""), "P06-PULL-021", "full_name"),
        (("full_name,", "full_name, full_name,"), "P06-PULL-021", "full_name"),
        (("from visit", "from nowhere"), "P06-PULL-020", "ProgrammingError"),
        ((":period_end", ":another"), "P06-PULL-001", "query"),
    ],
)
def test_a_result_that_does_not_fit_is_refused_by_name(
    hospital: psycopg.Connection[Any],
    ministry: str,
    tmp_path: Path,
    change: tuple[str, str],
    code: str | None,
    told: str,
) -> None:
    fill(hospital, 3)
    use(tmp_path, ministry, QUERY.replace(*change))
    [done] = pull.pull("health_visit", JANUARY)
    assert (done.error.code if done.error else None) == code
    assert told in str(done.error)
    assert hidden() == []
    if code:
        assert visible() == {}


def test_a_query_cannot_write(hospital: psycopg.Connection[Any], ministry: str, tmp_path: Path) -> None:
    fill(hospital, 1)
    hospital.execute("grant delete on visit to reader")
    hospital.execute(
        "create or replace function wipe() returns text language plpgsql as"
        " $$ begin delete from visit; return 'x'; end $$; grant execute on function wipe() to reader"
    )
    use(tmp_path, ministry, QUERY.replace("full_name,", "wipe() as full_name,"))
    assert outcomes(pull.pull("health_visit", JANUARY)) == [("failed", None, "P06-PULL-020")]
    assert hospital.execute("select count(*) from visit").fetchone() == (1,)


def test_memory_stays_bounded_however_many_rows_there_are(
    hospital: psycopg.Connection[Any],
) -> None:
    probe = (
        "import resource, sys; from p06 import pull; from p06.period import Period;"
        " [done] = pull.pull('health_visit', Period(2024, 1));"
        " print(done.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )

    def peak() -> tuple[int, int]:
        said = subprocess.check_output([sys.executable, "-c", probe], text=True, env=os.environ)
        rows, megabytes = said.split()
        return int(rows), int(megabytes)

    fill(hospital, 10_000)
    small = peak()
    fill(hospital, 290_000, 10_001)
    large = peak()
    assert (small[0], large[0]) == (10_000, 300_000)
    assert large[1] < small[1] + 30, (small, large)


def test_no_secret_and_no_row_is_told_or_left(hospital: psycopg.Connection[Any], ministry: str, tmp_path: Path) -> None:
    fill(hospital, 1)
    hospital.execute("update visit set full_name = 'Canary Person', main_diagnosis = 'canary-value'")
    said = ""
    for query in (
        QUERY,
        QUERY.replace("full_name,", "main_diagnosis::int as full_name,"),
        "select :period_start from visit where full_name = 'x'",
    ):
        use(tmp_path, ministry, query)
        for options in ((), ("--json",), ("--debug",)):
            done = command("pull", "health_visit", "2024-01", *options)
            said += done.stdout + done.stderr
    for values in (
        {"user": "reader", "password": SECRET + "-wrong"},
        {"url": f"postgresql+psycopg://reader:{SECRET}@127.0.0.1:1/x"},
        {"url": f"://{SECRET}"},
    ):
        origin.connection(NAME, values)
        done = command("pull", "health_visit", "2024-01", "--debug")
        said += done.stdout + done.stderr
    for code in ("P06-PULL-020", "P06-PULL-021", "P06-PULL-006", "P06-PULL-005", "P06-PULL-004"):
        assert code in said
    left = "".join(p.read_text(errors="replace") for p in (settings().home / "pulls").rglob("*") if p.is_file())
    for word in (SECRET, "canary", "Canary", "reader:"):
        assert word not in said + left
