"""What Airflow makes of the DAG files, and what the local stack tells Airflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from p06 import contract

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(contract.load_all())

# Runs in a process of its own: importing Airflow leaves traces, and what parsing imports is part of the claim.
_READ = """
import json, sys, time
from airflow._shared.module_loading.file_discovery import find_path_from_directory
from airflow.dag_processing.dagbag import DagBag
begun = time.monotonic()
bag = DagBag(sys.argv[1])
seconds = time.monotonic() - begun
heavy = sorted(name for name in ("great_expectations", "dbt", "pandas", "pyarrow") if name in sys.modules)
dags = {
    dag.dag_id: {
        "tags": sorted(dag.tags), "doc_md": dag.doc_md, "catchup": dag.catchup, "active": dag.max_active_runs,
        "timetable": type(dag.timetable).__name__, "title": dag.dag_display_name, "about": dag.description,
        "spoken": [task.task_display_name for task in dag.tasks]
        + [f"{outlet.extra['vi']} · {outlet.extra['en']}" for task in dag.tasks for outlet in task.outlets],
        "assets": [asset.name for asset in getattr(getattr(dag.timetable, "asset_condition", None), "objects", [])],
        "tasks": {
            task.task_id: {
                "owner": task.owner, "retries": task.retries, "downstream": sorted(task.downstream_task_ids),
                "outlets": sorted(outlet.name for outlet in task.outlets),
            } for task in dag.tasks
        },
        "schedule": getattr(dag.timetable, "expression", None),
        "key_format": getattr(dag.timetable, "key_format", None),
    } for dag in bag.dags.values()
}
plugins = [path for path in find_path_from_directory(sys.argv[2], ".airflowignore", "glob") if path.endswith(".py")]
print(json.dumps({"plugins": plugins, "errors": bag.import_errors, "seconds": seconds, "heavy": heavy, "dags": dags}))
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAG folder as Airflow reads it."""
    return read_with(tmp_path_factory.mktemp("airflow"))


def read_with(home: Path, **more: str) -> dict[str, Any]:
    env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "P06_HOME": str(home)}
    env["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(ROOT / "plugins")
    env |= more
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(ROOT / "dags"), str(ROOT / "plugins")],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_airflow_installed_is_the_one_that_was_tested() -> None:
    assert version("apache-airflow") == "3.3.2"


def test_every_dag_file_is_read_without_an_error(read: dict[str, Any]) -> None:
    assert read["errors"] == {}
    assert set(read["dags"]) == {f"load__{source}" for source in SOURCES} | {"release", "approval", "watch"}


def test_reading_the_dags_imports_nothing_heavy_and_takes_less_than_two_seconds(read: dict[str, Any]) -> None:
    assert read["heavy"] == []
    assert read["seconds"] < 2


@pytest.mark.parametrize("source", SOURCES)
def test_a_load_says_what_its_contract_says(read: dict[str, Any], source: str) -> None:
    promised, dag = contract.load(source), read["dags"][f"load__{source}"]
    assert dag["tags"] == sorted({"load", "nạp", promised.sector})
    assert dag["doc_md"].strip() == promised.doc_md.strip()
    assert dag["timetable"] == "CronPartitionTimetable"
    assert (dag["schedule"], dag["key_format"]) == (promised.schedule, "%Y-%m")
    assert dag["catchup"] is False
    assert {task["owner"] for task in dag["tasks"].values()} == {promised.owner}
    assert all(task["retries"] >= 1 for task in dag["tasks"].values())


@pytest.mark.parametrize("source", SOURCES)
def test_a_load_stages_gates_and_accepts_and_only_acceptance_is_an_event(read: dict[str, Any], source: str) -> None:
    tasks = read["dags"][f"load__{source}"]["tasks"]
    assert {name: task["downstream"] for name, task in tasks.items()} == {
        "stage": ["gate"],
        "gate": ["accept"],
        "accept": [],
    }
    outlets = {name: task["outlets"] for name, task in tasks.items()}
    assert outlets == {"stage": [], "gate": [], "accept": [f"p06://{source}"]}


def test_a_contract_with_an_origin_is_pulled_before_it_is_staged(tmp_path: Path) -> None:
    folder = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts", folder)
    for source, pulled in (("health_visit", "true"), ("land_parcel", "perhaps")):  # the second is declared wrongly
        path = folder / f"{source}.odcs.yaml"
        text = path.read_text(encoding="utf-8")
        own = f"servers:\n  - {{server: box, type: local, path: /box, format: csv, customProperties: [{{property: pull, value: {pulled}}}]}}\n"
        path.write_text(text.replace("servers:\n", own, 1), encoding="utf-8")
    read = read_with(tmp_path, P06_CONTRACTS=str(folder))
    assert read["errors"] == {}
    for source in ("health_visit", "land_parcel"):
        tasks = read["dags"][f"load__{source}"]["tasks"]
        assert {name: task["downstream"] for name, task in tasks.items()} == {
            "pull": ["stage"],
            "stage": ["gate"],
            "gate": ["accept"],
            "accept": [],
        }
    assert "pull" not in read["dags"]["load__bank_kyc"]["tasks"]


_FIND = """
import json
from p06.airflow import connections
found = connections.find("p06_health_visit_box")
print(json.dumps([repr(found), dict(found.values), connections.find("p06_nobody")]))
"""


def test_an_airflow_connection_keeps_the_credentials_of_an_origin(tmp_path: Path) -> None:
    held = {
        "conn_type": "generic",
        "login": "reader",
        "password": "sesame",
        "port": 5433,
        "extra": {"host_key": "ssh-ed25519 AAAA", "password": "outranked", "number": 1},
    }
    done = subprocess.run(
        [sys.executable, "-c", _FIND],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW_CONN_P06_HEALTH_VISIT_BOX": json.dumps(held)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    shown, values, nobody = json.loads(done.stdout.splitlines()[-1])
    assert shown == "Credentials(name='p06_health_visit_box')"
    assert (values["user"], values["client_id"], values["port"]) == ("reader", "reader", "5433")
    assert (values["password"], values["secret"], values["host_key"]) == ("outranked", "sesame", "ssh-ed25519 AAAA")
    assert "number" not in values
    assert nobody is None


def test_the_release_wakes_on_any_source_and_on_the_sweep_one_at_a_time(read: dict[str, Any]) -> None:
    dag = read["dags"]["release"]
    assert sorted(dag["assets"]) == sorted(f"p06://{name}" for name in [*SOURCES, "sweep"])
    assert dag["timetable"] == "PartitionedAssetTimetable"
    assert dag["active"] == 1
    assert {name: task["downstream"] for name, task in dag["tasks"].items()} == {
        "stale": ["build"],
        "build": ["gate"],
        "gate": ["ask_for_approval", "publish"],
        "publish": [],
        "ask_for_approval": [],
    }
    outlets = {name: task["outlets"] for name, task in dag["tasks"].items() if task["outlets"]}
    assert outlets == {"ask_for_approval": ["p06://question"]}
    assert all(task["retries"] >= 1 and task["owner"] != "airflow" for task in dag["tasks"].values())


def test_what_waits_for_a_person_is_asked_beside_the_releases_of_other_months(read: dict[str, Any]) -> None:
    dag = read["dags"]["approval"]
    assert dag["timetable"] == "PartitionedAssetTimetable"
    assert dag["active"] > 12, "a parked month must not keep the others from being asked about"
    assert {name: task["downstream"] for name, task in dag["tasks"].items()} == {"ask": ["publish"], "publish": []}
    assert all(task["retries"] >= 1 for task in dag["tasks"].values())


def test_the_watch_emits_the_sweep_and_nothing_else(read: dict[str, Any]) -> None:
    dag = read["dags"]["watch"]
    outlets = {name for task in dag["tasks"].values() for name in task["outlets"]}
    assert outlets == {"p06://sweep"}
    assert dag["catchup"] is False and dag["active"] == 1


def test_a_dag_file_holds_no_sql_no_path_and_no_rule() -> None:
    for path in sorted((ROOT / "dags").glob("*.py")):
        text = path.read_text()
        assert len(text.splitlines()) <= 50, path.name
        assert not any(word in text for word in ("select ", "insert ", "landing/", "staging.", "control.")), path.name


def test_airflow_imports_one_plugin_and_nothing_of_the_library(read: dict[str, Any]) -> None:
    assert [Path(path).name for path in read["plugins"]] == ["p06_pages.py"]


def test_the_stack_sends_no_telemetry_and_listens_on_this_machine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from p06 import stack
    from p06.settings import settings

    monkeypatch.setenv("P06_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql+psycopg2://nobody@localhost/airflow")
    settings.cache_clear()
    try:
        env = stack.environment()
    finally:
        settings.cache_clear()
    assert env["DO_NOT_TRACK"] == "1"
    assert env["SCARF_NO_ANALYTICS"] == "true"
    assert env["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert env["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"
    assert env["GX_ANALYTICS_ENABLED"] == "false"
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert env["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert all((tmp_path / "secrets" / name).stat().st_mode & 0o077 == 0 for name in ("airflow.json",))
    assert len(env["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64


def test_what_airflow_shows_is_named_in_vietnamese_and_english(read: dict[str, Any]) -> None:
    for dag_id, dag in read["dags"].items():
        for text in (dag["title"], dag["about"], *dag["spoken"]):
            vi, _, en = text.partition(" · ")
            assert vi and en and vi != en, (dag_id, text)
            assert any(one in vi for one in "ạảãàáâậầấẩẫăắằặẳẵóòọõỏôộổỗồốơờớợởỡéèẻẹẽêếềệểễúùụủũưựữửừứíìịỉĩýỳỷỵỹđ"), text
            assert en.isascii(), text
        assert dag["doc_md"] and len(dag["doc_md"].strip().splitlines()) > 1, dag_id
