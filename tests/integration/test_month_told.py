"""One month from landing to its release, and all that tells about it: lineage, alerts, status, the sample queries."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from p06 import contract
from p06.synth import SOURCES
from tests import openlineage
from tests.integration.warehouse import ROOT, Warehouse
from tests.sinks import WebSink, web_server

SAMPLES = sorted((ROOT / "docs" / "queries").glob("*.sql"))
# in a single month nobody has moved, and nobody sends births and deaths
MAY_BE_EMPTY = {"10-moves-between-provinces.sql", "15-births-and-deaths-that-got-stuck.sql"}


@pytest.fixture(scope="module")
def web() -> Iterator[WebSink]:
    with web_server() as sink:
        yield sink


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory, web: WebSink) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("told")
    made = Warehouse(folder / "home", folder / "token.key")
    made.must("synth", "--out", str(folder), "--citizens", "500", "--periods", "2024-01..2024-02", "--seed", "7")
    made.deliver(folder, ["2024-01"])
    (made.home / "alerts.yaml").write_text(
        json.dumps({"channels": {"chat": {"kind": "webhook", "url": web.url}}, "routes": [{"channel": "chat"}]})
    )
    made.must("load")
    made.must("release")
    yield made
    made.close()


def events(warehouse: Warehouse) -> list[dict[str, Any]]:
    lines = [line for path in sorted((warehouse.home / "lineage").glob("*.jsonl")) for line in path.open("rb")]
    return [json.loads(line) for line in lines]


def last(found: list[dict[str, Any]], job: str) -> dict[str, Any]:
    return next(event for event in reversed(found) if event["job"]["name"] == job)


def test_each_step_leaves_events_the_specification_knows(month: Warehouse) -> None:
    found = events(month)
    for event in found:
        openlineage.check(event)
    jobs = {f"{step}.{source}" for step in ("load", "gate") for source in SOURCES} | {"build", "gate.marts", "release"}
    assert {event["job"]["name"] for event in found} == jobs
    runs: dict[str, list[str]] = {}
    for event in found:
        runs.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert all(kinds == ["START", "COMPLETE"] for kinds in runs.values())
    (file,) = (month.home / "lineage").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_datasets_lead_from_the_file_to_the_view_without_a_gap(month: Warehouse) -> None:
    found = events(month)
    edges: dict[str, set[str]] = {}
    for event in found:
        if event["eventType"] == "COMPLETE":
            for output in event["outputs"]:
                edges.setdefault(output["name"], set()).update(one["name"] for one in event["inputs"])
    fact = "p06.marts.fct_health_visit"
    assert "p06.build.fct_health_visit" in edges[fact]
    assert "p06.staging.health_visit" in edges["p06.build.fct_health_visit"]
    assert edges["p06.staging.health_visit"] == {str(month.landing / "health_visit")}
    namespaces = {one["namespace"] for event in found for one in (*event["inputs"], *event["outputs"])}
    assert namespaces == {"file", "postgres://localhost:5432"}
    release = last(found, "release")
    assert release["run"]["facets"]["p06_run"]["release"] == "2024-01.1"
    assert last(found, "build")["run"]["facets"]["nominalTime"]["nominalStartTime"].startswith("2024-01-01T00:00:00")


def test_facets_say_columns_where_they_come_from_counts_and_what_the_gates_found(month: Warehouse) -> None:
    found = events(month)
    load = last(found, "load.health_visit")
    staged, quarantined = load["outputs"]
    counts = {one["name"]: one["outputFacets"]["outputStatistics"]["rowCount"] for one in (staged, quarantined)}
    ((received, duplicates),) = month.query(
        "select received, duplicates from marts.reconciliation where source = 'health_visit'"
    )
    assert sum(counts.values()) == received - duplicates
    known = contract.load("health_visit")
    (delivered,) = load["inputs"]
    assert [field["name"] for field in delivered["facets"]["schema"]["fields"]] == [
        column.physical_name for column in known.columns
    ]
    built = {one["name"]: one for one in last(found, "build")["outputs"]}
    fields = built["p06.build.fct_health_visit"]["facets"]["columnLineage"]["fields"]
    (paid,) = fields["insurance_paid"]["inputFields"]
    assert (paid["name"], paid["field"], paid["transformations"][0]["subtype"]) == (
        "p06.staging.health_visit", "insurance_paid", "IDENTITY",
    )  # fmt: skip
    assert all(one["transformations"][0]["masking"] for one in fields["citizen_token"]["inputFields"])
    (judged,) = last(found, "gate.health_visit")["inputs"]
    told = {one["assertion"]: one for one in judged["inputFacets"]["dataQualityAssertions"]["assertions"]}
    assert told["quarantined_share"]["success"] is True and told["quarantined_share"]["severity"] == "error"
    marts = {one["name"]: one for one in last(found, "gate.marts")["inputs"]}
    assert marts["p06.build.citizen_month"]["inputFacets"]["dataQualityAssertions"]["assertions"]


def test_no_event_and_no_alert_holds_anything_of_a_person(month: Warehouse, web: WebSink) -> None:
    told = json.dumps(events(month), ensure_ascii=False) + json.dumps(web.documents, ensure_ascii=False)
    people = month.query("select distinct citizen_id, full_name from identified.dim_citizen")
    assert len(people) > 400
    assert not [True for number, name in people if number in told or name in told]
    tokens = month.query("select citizen_token::text from marts.citizen_month")
    assert not [True for (one,) in tokens if one in told]


def test_the_release_was_told_when_the_command_ended(month: Warehouse, web: WebSink) -> None:
    assert [
        (one["kind"], one["period"], one["facts"]["release"]) for one in web.documents if one["kind"] == "released"
    ] == [("released", "2024-01", "2024-01.1")]
    assert {one["state"] for one in month.json("alerts")} == {"sent"}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_query_tells_an_analyst_something(month: Warehouse, sample: Path) -> None:
    rows = month.query(sample.read_text("utf-8"), "analyst")
    assert rows or sample.name in MAY_BE_EMPTY
    if sample.name == "07-reconciliation.sql":
        assert all(row[-1] for row in rows)


def test_status_tells_in_few_lines_how_things_stand(month: Warehouse) -> None:
    shown = month.must("status")
    assert re.search(r"^last release\t2024-01\.1 at \S+ \((clean|warnings)\)$", shown, flags=re.MULTILINE)
    assert re.search(r"^late\t2024-02\.\.\d{4}-\d\d \(\d+\): bank_kyc ", shown, flags=re.MULTILINE)
    assert len(shown.splitlines()) <= 8
    waiting = month.landing.parent.parent / "landing" / "health_visit" / "2024-02"
    delivery = month.drop(next(waiting.iterdir()), "health_visit", "2024-02", "next")
    with psycopg.connect(month.dsn("loader"), autocommit=True) as loader:
        loader.execute("select pg_advisory_lock(hashtextextended('p06.load|bank_kyc|2024-02', 0))")
        loader.execute(
            "insert into control.load_attempt (source, period, delivery) values"
            " ('bank_kyc', '2024-02-01', 'd'), ('land_parcel', '2024-02-01', 'of a process that died')"
        )
        found = month.json("status")["warehouse"]
        assert found["running"] == ["load bank_kyc 2024-02"]
        assert found["waiting"] == ["health_visit/2024-02/next"]
    month.must("load", "health_visit")
    assert month.json("status")["warehouse"]["waiting"] == []
    assert [one["period"] for one in month.json("status")["warehouse"]["not_ready"]] == ["2024-02"]
    assert delivery.exists()


def test_a_refused_delivery_is_a_run_that_failed_by_its_code(month: Warehouse) -> None:
    bad = month.landing / "land_parcel" / "2024-02" / "bad"
    bad.mkdir(parents=True)
    (bad / "manifest.json").write_text("{}")
    assert month.run("load", "land_parcel").returncode == 4
    event = last(events(month), "load.land_parcel")
    openlineage.check(event)
    assert event["eventType"] == "FAIL"
    assert event["run"]["facets"]["errorMessage"]["message"].startswith("P06-LOAD-001")


def test_lineage_goes_where_openlineage_is_told_to_or_nowhere_and_never_stops_the_work(
    month: Warehouse, tmp_path: Path
) -> None:
    before = len(events(month))
    elsewhere = {"OPENLINEAGE__TRANSPORT__TYPE": "file", "OPENLINEAGE__TRANSPORT__APPEND": "true"}
    for name, more in {
        "one": elsewhere | {"OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": str(tmp_path / "lineage.log")},
        "two": {"OPENLINEAGE_DISABLED": "true"},
        "three": elsewhere | {"OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": str(tmp_path / "away" / "lineage.log")},
        "four": {"OPENLINEAGE_URL": "http://127.0.0.1:9"},
    }.items():
        folder = month.landing / "bank_kyc" / "2024-03" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
        done = month.run("load", "bank_kyc", **more)
        assert done.returncode == 4, done.stderr
        assert ("lineage could not be written" in done.stderr) == (name in ("three", "four"))
    sent = [json.loads(line) for line in (tmp_path / "lineage.log").read_text().splitlines()]
    assert [(one["eventType"], one["job"]["name"]) for one in sent] == [
        ("START", "load.bank_kyc"), ("FAIL", "load.bank_kyc"),
    ]  # fmt: skip
    assert len(events(month)) == before
    lineage = month.home / "lineage"
    lineage.rename(month.home / "aside")
    lineage.write_text("a file where a folder should be")
    folder = month.landing / "bank_kyc" / "2024-03" / "five"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    assert month.run("load", "bank_kyc").returncode == 4
    lineage.unlink()
    (month.home / "aside").rename(lineage)
