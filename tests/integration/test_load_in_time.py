"""A contract that changes: each delivery is judged by the shape of its own period."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from p06 import check, contract, load
from p06.errors import Refused
from p06.period import Period
from p06.settings import settings
from tests.integration.warehouse import ROOT
from tests.sender import VISIT, Sender

OLD = [name for name in VISIT if name not in ("discharged_at", "insurance_paid", "patient_paid")]
NEW = [name for name in VISIT if name != "discharged_at"]


@pytest.fixture
def changing(sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sender:
    """Visits whose shares (and the rule that they add up) begin in 2024-02; the discharge is no longer sent after 2023."""
    folder = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts", folder)
    path = folder / "health_visit.odcs.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    dates = {
        "insurance_paid": ("since", "2024-02"),
        "patient_paid": ("since", "2024-02"),
        "discharged_at": ("until", "2023-12"),
    }
    for column in document["schema"][0]["properties"]:
        if column["name"] in dates:
            name, value = dates[column["name"]]
            column["customProperties"].append({"property": name, "value": value})
    path.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    monkeypatch.setenv("P06_CONTRACTS", str(folder))
    settings.cache_clear()
    return sender


def _text(columns: list[str], **values: str) -> str:
    return ",".join(columns) + "\n" + ",".join((VISIT | values)[name] for name in columns) + "\n"


def test_a_column_is_asked_for_from_its_first_month_on_and_is_empty_before(
    changing: Sender, sees: psycopg.Connection[Any]
) -> None:
    old = changing.send([_text(OLD)], period="2024-01")
    new = changing.send([_text(NEW, admitted_at="2024-02-03T08:15:00+07:00")], period="2024-02")
    wrong = changing.send([_text(NEW, admitted_at="2024-02-03T08:15:00+07:00", patient_paid="1.00", visit_id="V2")],
                          period="2024-02", name="wrong", revision=2)  # fmt: skip
    for delivery in (old, new):
        done = load.stage(delivery)
        assert done.counts is not None and (done.counts.staged, done.counts.quarantined) == (1, 0), delivery.place
        load.gate_extract(done.extract_id)
        assert load.accept(done.extract_id) == "accepted"
    assert sees.execute(
        "select period::text, insurance_paid, patient_paid, discharged_at from staging.health_visit order by 1"
    ).fetchall() == [("2024-01-01", None, None, None), ("2024-02-01", 80, 20, None)]
    assert load.stage(wrong).reasons == {"cross_field": 1}, "the rule of the shares begins with them"
    stored = sees.execute("select period::text, contract_hash from control.extract where revision = 1").fetchall()
    known = contract.load("health_visit")
    assert sorted(stored) == [(f"{month}-01", known.at(Period.parse(month)).hash) for month in ("2024-01", "2024-02")]


@pytest.mark.parametrize(("columns", "period"), [(NEW, "2024-01"), (OLD, "2024-02")])
def test_the_shape_of_another_month_is_refused(changing: Sender, columns: list[str], period: str) -> None:
    with pytest.raises(Refused) as raised:
        load.stage(changing.send([_text(columns)], period=period))
    assert len(raised.value.mismatches) == 2, "each of the two columns is named"


# Yesterday's file: no shares and no rule between them, the facility under another name.
YESTERDAY = ["hospital_code" if name == "facility_code" else name for name in VISIT if not name.endswith("_paid")]


def _change(path: Path) -> None:
    """From 2024 on: hospital_code is facility_code, the shares and their rule begin, diagnoses follow another list."""
    document: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    properties = document["schema"][0]["properties"]
    by_name = {column["name"]: column for column in properties}
    renamed = copy.deepcopy(by_name["facility_code"]) | {"name": "hospital_code"}
    renamed["customProperties"].append({"property": "until", "value": "2023-12"})
    properties.insert(properties.index(by_name["facility_code"]), renamed)
    for name in ("facility_code", "insurance_paid", "patient_paid"):
        by_name[name]["customProperties"].append({"property": "since", "value": "2024-01"})
    lists = [{"list": "old_diagnosis", "until": "2023-12"}, {"list": "new_diagnosis", "since": "2024-01"}]
    by_name["main_diagnosis"]["customProperties"].append({"property": "codelist", "value": lists})
    for name, code in (("old_diagnosis", "A00"), ("new_diagnosis", "J20.9")):
        (path.parent / "codelists" / f"{name}.csv").write_text(f"code\n{code}\n", "utf-8")
    path.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")


def _row(columns: list[str], **values: str) -> str:
    return ",".join((VISIT | {"hospital_code": "01001"} | values)[name] for name in columns) + "\n"


@pytest.fixture
def copied(sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The contract of visits in a folder of its own, unchanged so far."""
    folder = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts", folder)
    monkeypatch.setenv("P06_CONTRACTS", str(folder))
    settings.cache_clear()
    return folder / "health_visit.odcs.yaml"


@pytest.mark.parametrize("header", [True, False])
def test_a_file_of_2023_loads_by_the_shape_of_2023(
    sender: Sender, copied: Path, sees: psycopg.Connection[Any], header: bool
) -> None:
    _change(copied)
    today = list(VISIT)
    later = {"main_diagnosis": "J20.9"}
    old_rows = [_row(YESTERDAY, main_diagnosis="A00"), _row(YESTERDAY, visit_id="V2", **later)]
    new_rows = [
        _row(today),
        _row(today, main_diagnosis="A00", visit_id="V2"),
        _row(today, patient_paid="1.00", visit_id="V3"),
    ]
    for columns, rows, period, reasons in (
        (YESTERDAY, old_rows, "2023-05", {"unknown_code": 1}),
        (today, new_rows, "2024-01", {"cross_field": 1, "unknown_code": 1}),
    ):
        text = "".join([",".join(columns) + "\n"] * header + rows)
        delivery = sender.send([text], period=period, format={"header": header})
        told, done = check.check(delivery.folder), load.stage(delivery)
        assert told.heading is not None and done.counts is not None
        assert (told.heading.staged, dict(told.findings.reasons)) == (1, reasons), "what the sender is told"
        assert (done.counts.staged, done.reasons) == (1, reasons)
        load.gate_extract(done.extract_id)
        assert load.accept(done.extract_id) == "accepted"
    assert sees.execute(
        "select period::text, hospital_code, facility_code, main_diagnosis, insurance_paid from staging.health_visit order by 1"
    ).fetchall() == [("2023-05-01", "01001", None, "A00", None), ("2024-01-01", None, "01001", "J20.9", 80)]
    if header:
        with pytest.raises(Refused):
            load.stage(sender.send([",".join(today) + "\n" + _row(today)], period="2023-06"))


def test_what_is_loaded_stays_as_it_is_when_the_contract_changes_for_later_months(
    sender: Sender, copied: Path, sees: psycopg.Connection[Any]
) -> None:
    today = list(VISIT)
    loaded, waiting = (
        sender.send([",".join(today) + "\n" + _row(today)], period=period) for period in ("2024-01", "2024-02")
    )
    done, staged = load.stage(loaded), load.stage(waiting)
    load.gate_extract(done.extract_id)
    load.accept(done.extract_id)
    before = dict(sees.execute("select extract_id, contract_hash from control.extract").fetchall())
    document: dict[str, Any] = yaml.safe_load(copied.read_text("utf-8"))
    properties = document["schema"][0]["properties"]
    added = copy.deepcopy(next(column for column in properties if column["name"] == "facility_code"))
    added |= {"name": "ward_code"}
    added["customProperties"].append({"property": "since", "value": "2025-01"})
    properties.insert(3, added)
    copied.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    for month in ("2024-01", "2024-02"):
        assert contract.load("health_visit").at(Period.parse(month)).hash in before.values()
    again = load.stage(waiting)
    assert (again.outcome, again.extract_id) == ("staged", staged.extract_id), "it is not read a second time"
    assert load.gate_extract(again.extract_id) != "blocked"
    assert load.accept(again.extract_id) == "accepted"
    assert dict(sees.execute("select extract_id, contract_hash from control.extract").fetchall()) == before
    assert sees.execute("select period::text, ward_code from staging.health_visit order by 1").fetchall() == [
        ("2024-01-01", None), ("2024-02-01", None),
    ]  # fmt: skip
    assert load.load() == [], "nothing is pending"
