"""The plan names, for every month that is not up to date, what moved, when, and what follows."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from p06 import backfill, database, digest, plan, publish, release, token
from p06.cli import app
from p06.period import Period
from p06.settings import settings
from p06.synth import generate
from tests.integration.sequence import Months, load_ungated

APRIL, MAY = Period.parse("2025-04"), Period.parse("2025-05")


def owner(statement: str, *values: Any) -> None:
    with psycopg.connect(database.dsn("admin").replace("p06_admin", "postgres", 1), autocommit=True) as connection:
        connection.execute(statement.encode(), values)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Months]:
    months = Months(tmp_path_factory.mktemp("plan"))
    with months.replay.open():
        months.begin()
        for period in months.periods:
            months.replay.publish(period)
    yield months
    months.replay.stop()


@pytest.fixture
def months(released: Months) -> Iterator[Months]:
    """The released months as they are; a test that moves the ledger moves it back."""
    with released.replay.open():
        yield released


def test_nothing_is_told_of_months_that_are_up_to_date(months: Months) -> None:
    assert months.entries() == {}


@pytest.mark.parametrize(
    ("column", "value", "kind", "words"),
    [
        ("replay_number", "1", "replayed", "health_visit of 2025-04 was replayed on 20"),
        ("contract_hash", "'another'", "contract", "the contract of health_visit changed, and revision 1 of 2025-04"),
    ],
)
def test_a_replay_and_another_contract_are_told_apart(
    months: Months, column: str, value: str, kind: str, words: str
) -> None:
    place = "where source = 'health_visit' and period = '2025-04-01'"
    with psycopg.connect(database.dsn("admin").replace("p06_admin", "postgres", 1), autocommit=True) as connection:
        before = connection.execute(f"select {column} from control.extract {place}".encode()).fetchone()
        assert before is not None
        connection.execute(f"update control.extract set {column} = {value} {place}".encode())
        state, kinds, sentence = months.told(APRIL)
        connection.execute(f"update control.extract set {column} = %s {place}".encode(), before)
    assert (state, kinds) == ("stale", [kind])
    assert sentence.startswith(words)
    assert months.entries() == {}


def test_other_area_lists_are_a_reason_of_every_month(
    months: Months, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "contracts"
    shutil.copytree(settings().contracts, changed)
    path = changed / "codelists" / "area_change.csv"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    monkeypatch.setenv("P06_CONTRACTS", str(changed))
    settings.cache_clear()
    assert months.told(MAY)[:2] == ("stale", ["areas"])
    assert months.told(MAY)[2].startswith("the code list area_change changed")


def test_other_models_make_a_month_outdated_and_a_bare_release_leaves_it(
    months: Months, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "dbt_project"
    shutil.copytree(settings().dbt_project, changed)
    path = changed / "models" / "marts" / "population" / "citizen_month.sql"
    path = path if path.exists() else next((changed / "models").rglob("*.sql"))
    path.write_text(path.read_text("utf-8") + "\n-- another\n", encoding="utf-8")
    monkeypatch.setenv("P06_DBT_PROJECT", str(changed))
    settings.cache_clear()
    found = months.entries()
    assert {(month, entry.state) for month, entry in found.items()} == {
        ("2025-04", "outdated"),
        ("2025-05", "outdated"),
    }
    assert "p06 release 2025-04 --rebuild" in found["2025-04"].reasons[0]
    assert "citizen_month" in found["2025-04"].rebuilds
    assert plan.would_build(list(found.values())) == []


def test_a_release_made_while_links_of_nobody_known_were_told_apart_is_up_to_date(months: Months) -> None:
    with database.connect("publisher", autocommit=True) as connection:
        inputs = plan.Ledger(connection).inputs(MAY)
    assert inputs.content["joined_later"] == ""
    told_apart = inputs.content | {"joined_later": token.keyed_digest("links", [])}
    earlier = hashlib.sha256(json.dumps(told_apart, sort_keys=True).encode()).hexdigest()
    place = "where fingerprint = %s"
    owner(f"update control.release set fingerprint = %s {place}", earlier, inputs.fingerprint)
    found = months.entries()
    owner(f"update control.release set fingerprint = %s {place}", inputs.fingerprint, earlier)
    assert found == {}


@pytest.mark.parametrize("kind", ["rollback", "blocked", "failed", "rejected"])
def test_a_held_month_says_what_ends_the_hold(months: Months, kind: str) -> None:
    with database.connect("publisher", autocommit=True) as connection:
        inputs = plan.Ledger(connection).inputs(MAY)
        from p06 import build, gate

        publish.hold(
            connection, MAY, kind, inputs.fingerprint, gate.marts_key(), None, "somebody", "P06-BUILD-001",
            model_hash=build.model_hash(),
        )  # fmt: skip
        state, kinds, sentence = months.told(MAY)
        connection.execute("delete from control.hold")
    assert (state, kinds) == ("held", [f"held_{kind}"])
    assert "until its inputs" in sentence
    assert ("P06-BUILD-001" in sentence) == (kind == "failed")


def test_a_missing_source_and_a_missing_register_month_are_named(months: Months) -> None:
    place = "where source in ('health_visit', 'population_register') and period = '2025-05-01'"
    owner(f"create table public.aside as select * from control.accepted {place}")
    owner(f"delete from control.accepted {place}")
    entry = months.entries()["2025-05"]
    owner("insert into control.accepted select * from public.aside")
    owner("drop table public.aside")
    assert entry.state == "not ready"
    assert set(entry.missing) == {"health_visit", "population_register"}
    assert [cause.kind for cause in entry.causes] == ["withdrawn", "withdrawn", "not_received", "not_received"]
    assert entry.rebuilds == ()
    assert months.entries() == {}


def test_corrections_a_backfill_and_a_later_join_are_told_with_what_follows(months: Months) -> None:
    months.deliver("health_visit", APRIL, 2)
    load_ungated()
    state, kinds, sentence = months.told(APRIL)
    assert (state, kinds) == ("stale", ["corrected"])
    assert sentence.startswith("health_visit of 2025-04 was corrected on 20")
    assert "revision 2 replaces revision 1" in sentence
    entry = months.entries()["2025-04"]
    cause = entry.causes[0].as_dict()
    assert (cause["source"], cause["period"], cause["revision"]) == ("health_visit", "2025-04", 2)
    assert {"extract", "replaces", "at"} <= set(cause)
    assert "fct_health_visit" in entry.rebuilds
    assert "dim_citizen" not in entry.rebuilds
    shown = CliRunner().invoke(app, ["plan"]).stdout.splitlines()
    assert shown[0] == f"2025-04  stale  {sentence}"
    assert shown[1] == "a release would build 1 month: 2025-04"
    assert "fct_health_visit" in shown[2]
    told = json.loads(CliRunner().invoke(app, ["plan", "--json"]).stdout)
    assert [one["causes"][0]["kind"] for one in told] == ["corrected"]
    assert told[0]["causes"][0]["extract"].startswith("health_visit-202504-r2-")
    with backfill._open_in_ledger([APRIL], ["health_visit"], None):
        assert months.told(APRIL)[:2] == ("in backfill", ["corrected", "in_backfill"])
    assert plan.would_build(list(months.entries().values()))[0] == "a release would build 1 month: 2025-04"

    # a register month that joins two numbers of the month before it, and one that only changes
    register = months.folder / "landing" / "population_register" / "2025-05" / "rev-1"
    joined = _joining(months.folder / "joined" / "population_register" / "2025-05" / "rev-2", register, months.folder)
    months.replay.deliver(joined, 2, "rev-2")
    load_ungated()
    state, kinds, sentence = months.told(APRIL)
    assert (state, kinds) == ("stale", ["corrected", "joined_later"])
    assert "the register of 2025-05 now joins numbers" in sentence
    state, kinds, sentence = months.told(MAY)
    assert (state, kinds) == ("stale", ["corrected"])
    assert sentence.startswith("the register of 2025-05 was corrected on 20")
    assert "dim_citizen" in months.entries()["2025-05"].rebuilds
    for month in (APRIL, MAY):
        months.replay.publish(month)
    assert months.entries() == {}


def _joining(target: Path, register: Path, country: Path) -> Path:
    """The register delivery, in which one person of the first month states another's number as the previous one."""
    import gzip
    import hashlib

    shutil.copytree(register, target)
    first = country / "landing" / "population_register" / "2025-04" / "rev-1"
    known = [
        row
        for part in sorted(first.glob("*.gz"))
        for row in gzip.decompress(part.read_bytes()).decode().splitlines()[1:]
        if '"' not in row and row.count(",") == 14
    ]
    mine, other = known[0].split(","), known[1].split(",")
    mine[12] = other[0]
    part = target / "part-0001.csv.gz"
    lines = gzip.decompress(part.read_bytes()).decode().splitlines()
    lines = [line for line in lines if not line.startswith(mine[0])] + [",".join(mine)]
    part.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))
    manifest = json.loads((target / "manifest.json").read_bytes())
    assert len(manifest["files"]) == 1
    manifest["files"][0] |= {
        "bytes": part.stat().st_size,
        "sha256": hashlib.sha256(part.read_bytes()).hexdigest(),
        "rows": len(lines) - 1,
    }
    (target / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return target


def test_what_is_not_due_makes_its_month_stale_when_it_comes_and_can_be_undone(months: Months, tmp_path: Path) -> None:
    """The last test here: what it delivers stays."""
    generate(tmp_path, 60, list(months.periods), 3, "usual", sources=["eid_account"])
    months.replay.deliver(tmp_path / "landing" / "eid_account" / "2025-05" / "rev-1", 1, "rev-1")
    load_ungated()
    assert list(months.entries()) == ["2025-05"]
    state, _, sentence = months.told(MAY)
    assert state == "stale" and sentence.startswith("eid_account")
    rebuilds = months.entries()["2025-05"].rebuilds
    assert "fct_eid_account" in rebuilds and "fct_cadre" not in rebuilds
    months.replay.publish(MAY)
    assert months.entries() == {}
    with database.connect("admin", autocommit=True) as connection:
        rows = {one.mart: one.rows for one in digest.digest(connection, MAY)}
        sums = "select staged, published from marts.reconciliation where source = 'eid_account'"
        assert connection.execute(sums).fetchall() == [(rows["fct_eid_account"], rows["fct_eid_account"])]
        assert rows["fct_eid_account"] > 0 and rows["fct_cadre"] == 0
        release.rollback(MAY)
        rows = {one.mart: one.rows for one in digest.digest(connection, MAY)}
        assert rows["fct_eid_account"] == 0 and rows["fct_bank_kyc"] > 0
