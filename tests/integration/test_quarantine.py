"""Rows in quarantine: seen masked, given back, closed by a corrected re-send, judged again under mended lists."""

from __future__ import annotations

import csv
import getpass
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from p06 import database, load, plan, quarantine, replay, returnfile
from p06.period import Period
from p06.settings import settings
from tests.integration.warehouse import Warehouse
from tests.sender import Sender, line, visits

MONTH = Period(2024, 1)
CANARY = "001089000777"


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    home = Path(os.environ["P06_HOME"])
    place = {name: os.environ[name] for name in ("P06_LANDING", "P06_CONTRACTS") if name in os.environ}
    return Warehouse(home, home / "secrets" / "token.key", place).run(*arguments, **more)


def returns(source: str = "health_visit", period: str = "2024-01") -> list[str]:
    folder = settings().home / "returns" / source / period
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture(autouse=True)
def _no_returns(sender: Sender) -> Iterator[None]:
    shutil.rmtree(settings().home / "returns", ignore_errors=True)
    yield


def loop() -> list[tuple[int, int, int, int, int]]:
    """(revision, rows, open, corrected, repeated) of each extract of the month."""
    return [(s.revision, s.rows, s.open, s.corrected, s.repeated) for s in quarantine.states("health_visit", MONTH)]


BAD_DATE, BAD_SEX = {"birth_date": "1985-02-30"}, {"sex": "?"}


def test_a_corrected_re_send_closes_its_rows(sender: Sender) -> None:
    sender.rows([*visits(20), line(visit_id="X", **BAD_DATE), line(visit_id="Y", **BAD_SEX), "a,b"])
    load.load()
    assert loop() == [(1, 3, 3, 0, 0)]
    sender.rows([*visits(20), line(visit_id="X"), line(visit_id="Y")], name="second", revision=2)
    load.load()
    assert loop() == [(1, 3, 0, 3, 0)]
    [state] = quarantine.states()
    assert state.closed_at is not None and state.closed_by and "-r2-" in state.closed_by
    assert state.closed_at >= state.opened_at


def test_a_fault_that_is_sent_again_is_repeated_not_corrected(sender: Sender) -> None:
    faulty = [line(visit_id=f"X{number}", **BAD_DATE) for number in range(3)]
    sender.rows([*visits(40), *faulty, line(visit_id="Y", **BAD_SEX), "a,b"])
    load.load()
    # one date and the width are mended, the other rows were touched (another time of change) and are still wrong
    later = {"updated_at": "2024-01-05T09:00:00+07:00"}
    again = [line(visit_id=f"X{number}", **BAD_DATE, **later) for number in range(2)]
    sender.rows([*visits(40), *again, line(visit_id="Y", **BAD_SEX, **later)], name="second", revision=2)
    load.load()
    assert loop() == [(1, 5, 0, 2, 3), (2, 3, 3, 0, 0)]
    sender.rows([*visits(40), line(visit_id="X0")], name="third", revision=3)
    load.load()
    assert loop() == [(1, 5, 0, 2, 3), (2, 3, 0, 3, 0)]


def test_another_fault_in_the_same_row_is_not_the_old_one(sender: Sender) -> None:
    sender.rows([*visits(20), line(visit_id="X", **BAD_DATE)])
    load.load()
    sender.rows([*visits(20), line(visit_id="X", **BAD_SEX)], name="second", revision=2)
    load.load()
    assert loop() == [(1, 1, 0, 1, 0), (2, 1, 1, 0, 0)]


def test_a_re_send_that_is_only_staged_closes_nothing(sender: Sender) -> None:
    sender.rows([*visits(20), "a,b"])
    load.load()
    delivery = sender.rows([*visits(20), line(visit_id="X")], name="second", revision=2)
    done = load.stage(delivery)
    assert loop() == [(1, 1, 1, 0, 0)]
    load.gate_extract(done.extract_id)
    assert loop() == [(1, 1, 1, 0, 0)]
    load.accept(done.extract_id)
    assert loop() == [(1, 1, 0, 1, 0)]


def test_rows_of_an_extract_the_gate_blocked_are_closed_too(sender: Sender) -> None:
    sender.rows([*visits(10), *["a,b"] * 40, *[f"a,{number}" for number in range(40)]])
    assert [one.outcome for one in load.load()] == ["blocked"]
    assert [state[2] for state in loop()] == [80]
    sender.rows(visits(50), name="second", revision=2)
    assert [one.outcome for one in load.load()] == ["accepted"]
    assert [(state[2], state[3]) for state in loop()] == [(0, 80)]


def test_the_same_content_and_an_older_revision_change_nothing(sender: Sender) -> None:
    rows = [*visits(20), "a,b"]
    sender.rows(rows, revision=3)
    load.load()
    sender.rows(rows, name="again", revision=4)
    sender.rows([*visits(20), "c,d,e"], name="older", revision=1)
    load.load()
    assert loop() == [(3, 1, 1, 0, 0)]


@pytest.mark.parametrize("step", ["load.staged", "load.returned", "load.gated", "load.accepting", "load.accepted"])
def test_killed_anywhere_the_loop_is_closed_once_and_whole(
    sender: Sender, sees: psycopg.Connection[Any], step: str
) -> None:
    sender.rows([*visits(30), "a,b", line(visit_id="X", **BAD_SEX)])
    load.load()
    sender.rows([*visits(30), "c,d"], name="second", revision=2)
    killed = run("load", "health_visit", P06_FAIL_AT=step)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    accepted = step == "load.accepted"
    assert loop()[0] == ((1, 2, 0, 1, 1) if accepted else (1, 2, 2, 0, 0)), "open until the very commit that accepts"
    pointer = sees.execute("select extract_id from control.accepted").fetchone()
    assert pointer is not None and ("-r2-" in pointer[0]) == accepted
    assert run("load", "health_visit").returncode == 0
    assert loop() == [(1, 2, 0, 1, 1), (2, 1, 1, 0, 0)]
    assert len(returns()) == 4


def test_a_crash_before_the_return_file_is_mended_by_the_next_load(sender: Sender) -> None:
    sender.rows([*visits(30), "a,b"])
    assert run("load", "health_visit", P06_FAIL_AT="load.staged").returncode == -signal.SIGKILL
    assert returns() == []
    assert run("load", "health_visit").returncode == 0
    assert [Path(name).suffix for name in returns()] == [".html", ".xlsx"]


def test_a_lost_return_file_is_mended_by_an_export(sender: Sender, tmp_path: Path) -> None:
    sender.rows([*visits(30), "a,b"])
    load.load()
    shutil.rmtree(settings().home / "returns")
    assert run("quarantine", "export", "health_visit", "2024-01", "--to", str(tmp_path / "r.html")).returncode == 0
    assert len(returns()) == 2
    [page] = [name for name in returns() if name.endswith(".html")]
    given = settings().home / "returns" / "health_visit" / "2024-01" / page
    assert given.read_bytes() == (tmp_path / "r.html").read_bytes()


def test_a_clean_delivery_gives_nothing_back(sender: Sender) -> None:
    sender.rows(visits(5))
    load.load()
    assert returns() == [] and quarantine.states() == []


def test_a_return_file_that_cannot_be_written_is_told_stops_no_row_and_is_written_later(sender: Sender) -> None:
    sender.rows([*visits(30), "a,b"])
    in_the_way = settings().home / "returns"
    in_the_way.write_text("")
    try:
        failed, accepted = results = load.load()
    finally:
        in_the_way.unlink()
    assert (failed.outcome, failed.error and failed.error.code) == ("failed", "P06-QUAR-005")
    assert (accepted.outcome, load.exit_code(results)) == ("accepted", 1)
    assert load.load() == []
    assert len(returns()) == 2


def test_what_is_shown_is_masked_and_reading_more_is_logged(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    sender.rows([*visits(30), line(visit_id="X", citizen_id=CANARY, **BAD_DATE), line(visit_id="Y", **BAD_SEX)])
    load.load()
    masked = run("quarantine", "show", "health_visit", "2024-01")
    assert masked.returncode == 0 and CANARY not in masked.stdout and "999999999999,,AAAAAA" in masked.stdout
    assert sees.execute("select count(*) from control.access_log").fetchone() == (0,)
    one = json.loads(run("quarantine", "show", "health_visit", "2024-01", "--reason", "type_date", "--json").stdout)
    assert [(row["line"], row["reasons"], row["columns"]) for row in one] == [(32, ["type_date"], ["birth_date"])]
    assert len(json.loads(run("quarantine", "show", "health_visit", "2024-01", "--limit", "1", "--json").stdout)) == 1
    plain = run("quarantine", "show", "health_visit", "2024-01", "--unmask")
    assert CANARY in plain.stdout
    assert sees.execute("select who, purpose, object from control.access_log").fetchall() == [
        ("p06_admin", f"quarantine show for {getpass.getuser()}", "quarantine.health_visit 2024-01")
    ]


def test_what_nobody_could_find_is_told(sender: Sender) -> None:
    sender.rows([*visits(30), line(visit_id="X", **BAD_DATE)])
    load.load()
    none = run("quarantine", "show", "health_visit", "2023-01")
    assert (none.returncode, "no such row" in none.stderr) == (0, True)
    unknown = run("quarantine", "show", "health_visit", "2024-01", "--reason", "type_dat")
    assert (unknown.returncode, "P06-CLI-001" in unknown.stderr) == (2, True)


def test_a_look_at_a_few_rows_takes_them_by_file_and_line_over_all_extracts(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    for revision in (1, 2):
        sender.rows(
            [*visits(3), *(line(visit_id=f"B{n}", **(BAD_DATE if n % 2 else BAD_SEX)) for n in range(6))],
            name=f"r{revision}", revision=revision, period=f"2024-0{revision}",
        )  # fmt: skip
    load.load()
    look = "select period::text, line from quality.quarantined_rows('health_visit', {}, {}, {})"
    of = [sees.execute(look.format(*given).encode()).fetchall() for given in (
        ("null", "null", "8"), ("'2024-02-01'", "'type_date'", "2"), ("null", "'type_date'", "4"), ("null", "null", "0"),
    )]  # fmt: skip
    first, second = "2024-01-01", "2024-02-01"
    assert of[0] == [*((first, at) for at in range(5, 11)), (second, 5), (second, 6)]
    assert of[1] == [(second, 6), (second, 8)]
    assert of[2] == [(first, 6), (first, 8), (first, 10), (second, 6)]
    assert of[3] == []


def test_the_list_names_sums_and_reasons(sender: Sender) -> None:
    sender.rows([*visits(30), line(visit_id="X", **BAD_DATE, **BAD_SEX), line(visit_id="Y", **BAD_SEX)])
    load.load()
    [state] = json.loads(run("quarantine", "list", "--json").stdout)
    assert (state["source"], state["period"], state["revision"]) == ("health_visit", "2024-01", 1)
    assert (state["rows"], state["open"], state["reasons"]) == (2, 2, {"unknown_code": 2, "type_date": 1})
    assert run("quarantine", "list", "health_visit", "2024-02", "--json").stdout.strip() == "[]"
    assert "unknown_code 2, type_date 1" in run("quarantine", "list").stdout
    assert run("quarantine", "list", "tax_return").returncode == 2


@pytest.mark.parametrize("kind", returnfile.KINDS)
def test_an_export_is_masked_and_bounded(sender: Sender, tmp_path: Path, kind: str) -> None:
    sender.rows([*visits(30), line(visit_id="X", citizen_id=CANARY, full_name="=1+1", **BAD_DATE), "-1,b"])
    load.load()
    path = tmp_path / f"r.{kind}"
    done = run("quarantine", "export", "health_visit", "2024-01", "--to", str(path), "--limit", "1")
    assert done.returncode == 0 and "1 of 2 rows" in done.stdout, done.stderr
    assert CANARY.encode() not in path.read_bytes()
    if kind == "csv":
        run("quarantine", "export", "health_visit", "2024-01", "--to", str(path))
        with path.open(encoding="utf-8-sig") as file:
            shapes = [row[-1] for row in csv.reader(file)][1:]
        assert shapes == ["999999999999,,=9+9,9999-99-99,A,A,99999,AA999999999999~,9999-99-99A99:99:99+99:99,,A99.9,"
                          "999.99,99.99,99.99,9999-99-99A99:99:99+99:99", "'-9,A"]  # fmt: skip
    assert run("quarantine", "export", "health_visit", "2024-05", "--to", str(path)).returncode == 2
    assert run("quarantine", "export", "health_visit", "2024-01", "--to", str(tmp_path / "r.pdf")).returncode == 2


def as_role(role: str, statement: str) -> Any:
    with psycopg.connect(database.dsn(role), autocommit=True) as connection:
        try:
            return connection.execute(statement.encode()).fetchall()
        except psycopg.errors.InsufficientPrivilege:
            return "denied"


LOOKS = [
    "select source, line, reasons, shape from quality.quarantined_row",
    "select source, line, reasons, shape from quality.quarantined_rows('health_visit', '2024-01-01')",
    "select source, line, reasons, shape from quality.quarantined_rows('health_visit', '2024-01-01', 'type_date', 5)",
    "select source, rows, open, corrected, repeated from quality.quarantine_state",
]
SECRETS = [
    "select raw from quarantine.health_visit",
    "select raw from quarantine.{leaf}",
    "select * from control.quarantine_fault",
    "select * from control.access_log",
]


def test_quality_sees_the_shape_and_nobody_else_sees_anything(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    sender.rows([*visits(30), line(visit_id="X", citizen_id=CANARY, **BAD_DATE)])
    load.load()
    row = sees.execute("select quarantine_table from control.extract").fetchone()
    assert row
    for look in LOOKS:
        found = as_role("quality", look)
        assert len(found) == 1 and CANARY not in str(found)
        assert as_role("analyst", look) == as_role("identified", look) == "denied"
    for secret in SECRETS:
        for role in ("quality", "analyst", "steward", "identified"):
            assert as_role(role, secret.format(leaf=row[0])) == "denied", (role, secret)
    assert as_role("quality", "select quality.shape('x')") == [("A",)]
    assert as_role("analyst", "select quality.shape('x')") == "denied"
    assert (
        as_role("quality", "insert into control.quarantine_state values ('x', 'x', now(), 1, 1) returning 1")
        == "denied"
    )


@bounded(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
                 st.text("aA9\\0123 \x00é", max_size=60).map(str.encode)))  # fmt: skip
def test_the_database_masks_as_the_return_file_does(sees: psycopg.Connection[Any], raw: bytes) -> None:
    row = sees.execute("select quality.shape(%s)", (raw,)).fetchone()
    assert row == (returnfile.mask(raw),)


# Replay: one person lives in a commune the shipped list does not know yet, for its time is not shipped.
LATER = "99999"
OLD_VERSION = {"source": "population_register", "admin_code_version": "2024-09-01", "period": "2024-01"}


def person(number: int, **more: str) -> str:
    return line("population_register", citizen_id=f"001089{number:06d}", **more)


def people() -> list[str]:
    return [*map(person, range(1, 41)), person(50, residence_commune_code=LATER), person(51, sex="?")]


@pytest.fixture
def lists(sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Contracts of one's own, whose code lists can be mended; returns the list of areas."""
    shutil.copytree(settings().contracts, tmp_path / "contracts")
    monkeypatch.setenv("P06_CONTRACTS", str(tmp_path / "contracts"))
    settings.cache_clear()
    yield tmp_path / "contracts" / "codelists" / "area.csv"
    settings.cache_clear()


def mend(area: Path) -> None:
    """The list of 2024 arrives: what is valid from 2025-03-01 was valid before, and so was one more commune."""
    lines = area.read_text("utf-8").replace(",2025-03-01,", ",2024-01-01,").splitlines()
    known = next(text for text in lines if ",00001," in f",{text}" and "commune" in text)
    area.write_text("\n".join([*lines, known.replace("00001", LATER, 1)]) + "\n", "utf-8")


def content(sees: psycopg.Connection[Any]) -> Any:
    queries = (
        "select count(*), count(distinct citizen_id), bool_and(extract_id like 'population_register-202401-r1-%') from staging.population_register",
        "select file_no, line, reasons from quarantine.population_register order by 1, 2",
        "select line, reason from quality.failed_row order by 1, 2",
        "select received, duplicates, quarantined, staged, replay_number, state from control.extract",
        "select reason, rows from quality.quarantine_summary order by 1",
    )
    return [sees.execute(query.encode()).fetchall() for query in queries]


def test_rows_that_waited_for_a_list_are_staged_once_it_comes(
    sender: Sender, sees: psycopg.Connection[Any], lists: Path
) -> None:
    sender.rows(people(), **OLD_VERSION)  # type: ignore[arg-type]
    assert [one.outcome for one in load.load()] == ["accepted"]
    before = content(sees)
    assert before[3] == [(42, 0, 2, 40, 0, "accepted")]
    with database.connect("publisher", autocommit=True) as connection:
        inputs = plan.Ledger(connection).inputs(MONTH)
    [same] = replay.replay()
    assert (same.outcome, same.error) == ("unchanged", None)
    assert content(sees) == before
    mend(lists)
    done = run("quarantine", "replay", "--json")
    assert done.returncode == 0, done.stderr
    [told] = json.loads(done.stdout)
    assert (told["outcome"], told["before"], told["quarantined"], told["staged"], told["replay_number"]) == (
        "replayed", 2, 1, 41, 1,
    )  # fmt: skip
    after = content(sees)
    assert after[0] == [(41, 41, True)]
    assert after[1] == [(1, 43, ["unknown_code"])]
    assert after[2] == [(43, "unknown_code")]
    assert after[3] == [(42, 0, 1, 41, 1, "accepted")]
    assert after[4] == [("unknown_code", 1)]
    [state] = quarantine.states()
    assert (state.rows, state.open, state.replayed) == (1, 1, 1)
    with database.connect("publisher", autocommit=True) as connection:
        now = plan.Ledger(connection).inputs(MONTH)
    assert now.fingerprint != inputs.fingerprint
    assert {ref.key for ref in now.register} != {ref.key for ref in inputs.register}
    assert [one.outcome for one in replay.replay("population_register", MONTH)] == ["unchanged"]
    assert load.load() == []


FEW = """
  - id: few_rows
    title: {vi: Ít dòng, en: Few rows}
    dimension: sach
    severity: block
    owner: tests
    reason: Forty rows are accepted already, the replay would bring one more.
    measure: count(*)
    max: 40
"""


def test_a_replay_the_gate_blocks_leaves_the_accepted_rows(
    sender: Sender, sees: psycopg.Connection[Any], lists: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender.rows(people(), **OLD_VERSION)  # type: ignore[arg-type]
    load.load()
    before = content(sees)
    mend(lists)
    shutil.copytree(settings().expectations, tmp_path / "expectations")
    suite = tmp_path / "expectations" / "sources" / "population_register.yaml"
    suite.write_text(suite.read_text("utf-8") + FEW, "utf-8")
    monkeypatch.setenv("P06_EXPECTATIONS", str(tmp_path / "expectations"))
    [told] = replay.replay()
    assert (told.outcome, told.error and told.error.code) == ("blocked", "P06-QUAR-004")
    assert replay.exit_code([told]) == 3
    assert content(sees) == before


def test_without_its_files_an_extract_cannot_be_replayed(sender: Sender, lists: Path) -> None:
    delivery = sender.rows(people(), **OLD_VERSION)  # type: ignore[arg-type]
    load.load()
    mend(lists)
    shutil.rmtree(delivery.folder)
    [told] = replay.replay()
    assert (told.outcome, told.error and told.error.code) == ("failed", "P06-QUAR-002")
    assert replay.exit_code([told]) == 1


def test_a_changed_contract_is_no_replay(sender: Sender, lists: Path) -> None:
    sender.rows(people(), **OLD_VERSION)  # type: ignore[arg-type]
    load.load()
    mend(lists)
    path = lists.parent.parent / "population_register.odcs.yaml"
    text = path.read_text("utf-8")
    changed = text.replace("\ncustomProperties:\n", "\ncustomProperties:\n  - {property: cutOffDay, value: 27}\n", 1)
    assert changed != text
    path.write_text(changed, "utf-8")
    [told] = replay.replay()
    assert (told.outcome, told.error and told.error.code) == ("failed", "P06-QUAR-003")
