"""Airflow for real: started by ``p06 up`` in a home of its own, it finds, loads and releases what senders deliver."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import yaml

from p06 import airflow_api, contract
from p06.airflow_api import Client, Run
from p06.period import Period
from p06.synth import SOURCES
from tests.integration.warehouse import ROOT, Warehouse, synthetic_country

JANUARY = Period(2024, 1)


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One month of 500 people."""
    return synthetic_country(tmp_path_factory.mktemp("small"), 500, "2024-01", 11)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, country: Path) -> Iterator[Warehouse]:
    """A warehouse whose stack is up, with January in landing."""
    folder = tmp_path_factory.mktemp("stack")
    warehouse = Warehouse(folder / "home", folder / "token.key")
    warehouse.deliver(country, ["2024-01"])
    try:
        warehouse.must("up")
        yield warehouse
    finally:
        warehouse.close()


def _airflow(warehouse: Warehouse) -> Client:
    passwords = json.loads((warehouse.home / "secrets" / "airflow-users.json").read_bytes())
    port = (warehouse.home / "airflow" / "port").read_text()
    return Client(f"http://127.0.0.1:{port}", "p06", passwords["p06"])


def _until(claim: Callable[[], Any], what: str, seconds: float = 400) -> Any:
    """The first true answer; fails, saying what was awaited, after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = claim()
        if found:
            return found
        time.sleep(1)
    return pytest.fail(f"not within {seconds:.0f} s: {what}")


def _current(warehouse: Warehouse, period: Period) -> str | None:
    rows = warehouse.query(f"select release_id from control.published where period = '{period.first_day}'")
    return str(rows[0][0]) if rows else None


def _events(airflow: Client, source: str) -> list[str]:
    """The partition keys of a source's asset events, once nothing is queued or running."""
    _until(lambda: not airflow.active(), "nothing under way")
    return [event["partition_key"] for event in airflow.asset_events(f"p06://{source}")]


def _ended(airflow: Client, run: Run) -> Run:
    return airflow.wait([run], 180)[0]


def _without_its_last_row(country: Path, source: str, period: str) -> Path:
    """Revision 2 of a delivery: its last file ends one row earlier."""
    original = next((country / "landing" / source / period).iterdir())
    draft = country / "corrections" / f"{source}-{period}"
    draft.mkdir(parents=True)
    manifest = json.loads((original / "manifest.json").read_bytes())
    for entry in manifest["files"]:
        content = (original / entry["name"]).read_bytes()
        if entry is manifest["files"][-1]:
            packed = entry["name"].endswith(".gz")
            lines = (gzip.decompress(content) if packed else content).splitlines(keepends=True)
            content = gzip.compress(b"".join(lines[:-1]), mtime=0) if packed else b"".join(lines[:-1])
            entry["rows"] -= 1
        (draft / entry["name"]).write_bytes(content)
        entry["bytes"], entry["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    manifest["revision"] += 1
    (draft / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return draft


def test_deliveries_found_in_landing_are_loaded_and_released_without_a_hand(running: Warehouse) -> None:
    _until(lambda: _current(running, JANUARY), "January published")
    with _airflow(running) as airflow:
        for source in SOURCES:
            runs = [run for run in airflow.runs(f"load__{source}") if run.key == "2024-01"]
            assert [run.state for run in runs] == ["success"], source
            assert airflow.tasks(runs[0].dag_id, runs[0].run_id) == dict.fromkeys(
                ("stage", "gate", "accept"), "success"
            )
            assert _events(airflow, source) == ["2024-01"], source
        releases = [run for run in airflow.runs("release") if run.key == "2024-01"]
        built = [run for run in releases if airflow.tasks("release", run.run_id).get("publish") == "success"]
        assert len(built) == 1


def test_a_load_with_nothing_pending_ends_quickly_and_is_no_event(running: Warehouse) -> None:
    with _airflow(running) as airflow:
        before = _events(airflow, "bank_kyc")
        run = _ended(airflow, airflow.trigger("load__bank_kyc", JANUARY))
        assert run.state == "success"
        assert set(airflow.tasks(run.dag_id, run.run_id).values()) == {"skipped"}
        assert _events(airflow, "bank_kyc") == before


def test_a_run_without_a_period_fails_at_once_and_says_so(running: Warehouse) -> None:
    with _airflow(running) as airflow:
        run = _ended(airflow, airflow.start("load__bank_kyc"))
        assert run.state == "failed"
        states = airflow.tasks(run.dag_id, run.run_id)
    assert states["stage"] == "failed"
    logs = (running.home / "airflow" / "logs" / "dag_id=load__bank_kyc" / f"run_id={run.run_id}").rglob("*.log")
    texts = [path.read_text() for path in logs]
    assert len(texts) == 1 and "P06-STACK-008" in texts[0]
    (told,) = _until(
        lambda: [one for one in running.json("alerts") if one["kind"] == "task_failed"], "the failure noted", 60
    )
    assert (told["source"], told["facts"]) == (
        "bank_kyc", {"task": "load__bank_kyc.stage", "code": "P06-STACK-008"},
    )  # fmt: skip


def test_a_correction_dropped_into_landing_is_released_without_a_hand(running: Warehouse, country: Path) -> None:
    before = _current(running, JANUARY)
    running.drop(_without_its_last_row(country, "health_visit", "2024-01"), "health_visit", "2024-01", "revision-2")
    _until(lambda: _current(running, JANUARY) not in (before, None), "the corrected January published")
    assert running.json("plan") == []


def test_no_citizen_number_is_in_airflows_database_or_logs(running: Warehouse) -> None:
    """Every column of every table of Airflow's metadata, after real loads and releases; packed columns unpacked."""
    numbers = {
        number
        for source in SOURCES
        for column in contract.load(source).columns
        if column.kind == "id12"
        for (number,) in running.query(
            f"select distinct lpad({column.name}::text, 12, '0') from staging.{source} where {column.name} is not null",
            "loader",
        )
    }
    assert len(numbers) > 500
    address = running.dsn("admin").replace("p06_admin", "postgres").replace("/p06?", "/airflow?")
    content: dict[str, bytes] = {}
    with psycopg.connect(address) as connection:
        for table, column, kind in connection.execute(
            "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public'"
        ).fetchall():
            cell = f'"{column}"' if kind == "bytea" else f'"{column}"::text'
            for (value,) in connection.execute(f'select {cell} from public."{table}"'.encode()).fetchall():
                if value is not None:
                    content[table] = content.get(table, b"") + b"\n" + _plain(value)
    for path in (running.home / "airflow" / "logs").rglob("*.log"):
        content["logs"] = content.get("logs", b"") + path.read_bytes()
    assert b"health_visit-202401-r1-" in content["xcom"], "the tasks' values are read"
    assert {"task_instance", "rendered_task_instance_fields", "log", "dag_run", "logs"} <= set(content)
    found = {
        table
        for table, text in content.items()
        for hit in re.findall(rb"(?<![0-9])[0-9]{12}(?![0-9])", text)
        if hit.decode() in numbers
    }
    assert found == set()


def _plain(value: str | bytes) -> bytes:
    if isinstance(value, str):
        return value.encode()
    try:
        return zlib.decompress(value)
    except zlib.error:
        return bytes(value)


def test_a_backfill_foretold_changes_nothing_and_one_done_releases_the_month_once(
    running: Warehouse, country: Path
) -> None:
    with _airflow(running) as airflow:
        _until(lambda: not airflow.active(), "nothing under way")
        airflow.pause("watch")
    corrected = _without_its_last_row(country, "land_parcel", "2024-01")
    running.drop(corrected, "land_parcel", "2024-01", "revision-2")
    extracts = running.query("select count(*) from control.extract")
    releases = running.query("select count(*) from control.release")[0][0]
    foretold = running.json("backfill", "2024-01", "--source", "land_parcel", "--dry-run")
    assert foretold["pending"] == ["land_parcel 2024-01"]
    assert "fct_land_holding" in foretold["marts"] and list(foretold["releases"]) == ["2024-01"]
    assert running.query("select count(*) from control.extract") == extracts
    assert running.query("select count(*) from control.backfill") == [(0,)]

    done = running.json("backfill", "2024-01", "--source", "land_parcel", "--reason", "parcels came late")
    assert done["through"] == "Airflow" and done["releases"] == {"2024-01": "published"}
    assert running.query("select reason, closed_at is not null from control.backfill") == [("parcels came late", True)]
    assert running.query("select count(*) from control.release") == [(releases + 1,)]


def test_a_release_that_found_nothing_to_do_while_the_backfill_was_open_is_asked_for_again(
    running: Warehouse, country: Path
) -> None:
    """A run whose first task has answered no is under way when the backfill looks for releases: it releases nothing."""
    releases = running.query("select count(*) from control.release")[0][0]
    with _airflow(running) as airflow:
        _until(lambda: not airflow.active(), "nothing under way")
        answered = _ended(airflow, airflow.trigger("release", JANUARY))
        assert airflow.tasks("release", answered.run_id)["stale"] == "success"
        airflow.pause("release")
        airflow._call("PATCH", f"/api/v2/dags/release/dagRuns/{answered.run_id}", {"state": "queued"})
        running.drop(_without_its_last_row(country, "bank_kyc", "2024-01"), "bank_kyc", "2024-01", "revision-2")
        call = [sys.executable, "-m", "p06.cli", "backfill", "2024-01", "--source", "bank_kyc", "--json"]
        backfill = subprocess.Popen(
            call, env=running.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert backfill.stderr is not None
        under_way = any("1 releases under way" in line for line in backfill.stderr)
        airflow.pause("release", False)
        done = json.loads(backfill.communicate(timeout=300)[0])
        assert under_way and backfill.returncode == 0 and done["releases"] == {"2024-01": "published"}
        assert airflow.run("release", answered.run_id).state == "success"
        _until(lambda: not airflow.active(), "nothing under way")
    assert running.query("select count(*) from control.release") == [(releases + 1,)]


def test_every_process_of_the_compose_file_becomes_healthy_as_a_plain_process(running: Warehouse) -> None:
    """Those of the local stack run with the very commands of the file (see test_compose); the triggerer joins them."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    recorded = {entry["name"] for entry in json.loads((running.home / "airflow" / "processes.json").read_bytes())}
    assert recorded == {"api-server", "scheduler", "dag-processor"}
    code = "import json; from p06 import stack; print(json.dumps(stack.environment()))"
    told = subprocess.run([sys.executable, "-c", code], env=running.environment, capture_output=True, check=True)
    log = (running.home / "airflow" / "triggerer.log").open("wb")
    triggerer = subprocess.Popen(
        [sys.executable, "-m", *services["triggerer"]["command"]],
        env=json.loads(told.stdout),
        cwd=running.home,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        port = (running.home / "airflow" / "port").read_text()
        for component in ("metadatabase", "scheduler", "dag_processor", "triggerer"):
            check = [sys.executable, str(ROOT / "ops" / "health.py"), component, f"http://127.0.0.1:{port}"]
            _until(lambda check=check: subprocess.run(check).returncode == 0, f"{component} healthy", 120)
    finally:
        os.killpg(triggerer.pid, signal.SIGTERM)
        triggerer.wait(20)
        log.close()


def test_nothing_listens_beyond_this_machine(running: Warehouse) -> None:
    recorded = json.loads((running.home / "airflow" / "processes.json").read_bytes())
    listening = set()
    for entry in recorded:
        leader = psutil.Process(entry["pid"])
        for process in (leader, *leader.children(recursive=True)):
            listening |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_a_killed_scheduler_is_started_again_and_down_leaves_nothing_behind(running: Warehouse) -> None:
    first = running.json("status")["airflow"]["processes"]
    scheduler = psutil.Process(first["scheduler"]["pid"])
    orphans = scheduler.children(recursive=True)
    scheduler.kill()
    psutil.wait_procs([scheduler], timeout=10)
    assert running.json("status")["airflow"]["processes"]["scheduler"] == {"running": False}
    running.must("up")
    second = running.json("status")["airflow"]["processes"]
    assert second["scheduler"]["pid"] != first["scheduler"]["pid"]
    assert second["api-server"]["pid"] == first["api-server"]["pid"]
    ours = [psutil.Process(part["pid"]) for part in second.values()]
    ours += [child for process in ours for child in process.children(recursive=True)] + orphans
    running.must("down")
    _, left = psutil.wait_procs(ours, timeout=10)
    assert [process.pid for process in left] == []
    assert running.json("status")["database"] == {"running": False}


def test_the_port_and_the_passwords_stay_and_are_for_the_owner_alone(running: Warehouse) -> None:
    secrets = running.home / "secrets"
    assert {path.stat().st_mode & 0o077 for path in secrets.glob("airflow*.json")} == {0}
    assert airflow_api.SERVICE in json.loads((secrets / "airflow-users.json").read_bytes())
