"""A contract that changes: each delivery is judged by the shape of its own period."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from p06 import contract, load
from p06.errors import Refused
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
    stored = sees.execute("select distinct contract_hash from control.extract").fetchall()
    assert stored == [(contract.load("health_visit").hash,)]


@pytest.mark.parametrize(("columns", "period"), [(NEW, "2024-01"), (OLD, "2024-02")])
def test_the_shape_of_another_month_is_refused(changing: Sender, columns: list[str], period: str) -> None:
    with pytest.raises(Refused) as raised:
        load.stage(changing.send([_text(columns)], period=period))
    assert len(raised.value.mismatches) == 2, "each of the two columns is named"
