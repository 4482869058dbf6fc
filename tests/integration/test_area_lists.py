"""A delivery that mixes area lists: the sender is told, a few rows warn, more block; nothing else changes."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import pytest

from p06 import check, codelist, load
from p06.landing import Delivery
from tests.sender import Sender, line

OLD, NEW = "2025-03-01", "2025-07-01"
BOTH, VANISHED, NEW_ONLY = "00004", "00001", ["11948", "19742", "20333", "21548", "26732"]
RECEIVED = 1200


def register(sender: Sender, communes: list[str], version: str, name: str = "first") -> Delivery:
    """A register month of as many people, each of a commune in turn."""
    rows = [
        line(
            "population_register",
            citizen_id=f"001089{number:06d}",
            residence_commune_code=communes[number % len(communes)],
        )
        for number in range(RECEIVED)
    ]
    return sender.rows(rows, "population_register", period="2025-07", name=name, admin_code_version=version,
                       produced_at="2025-08-03T08:15:00+07:00")  # fmt: skip


def spread(version: str) -> list[str]:
    """Communes of all parts of the country."""
    return sorted(codelist.commune_codes(date.fromisoformat(version))[0])[::7]


def answers(delivery: Delivery, sees: psycopg.Connection[Any]) -> tuple[str, dict[str, str]]:
    """What gate 1 decides, and what it observes of area lists where it says no."""
    done = load.stage(delivery)
    outcome = load.gate_extract(done.extract_id)
    rows = sees.execute(
        'select "check", observed from quality.check_result where extract_id = %s and not success'
        " and (\"check\" like 'area\\_%%' or \"check\" = 'districts_gone')",
        (done.extract_id,),
    ).fetchall()
    return outcome, dict(rows)


def warned(delivery: Delivery) -> list[tuple[str, Any]]:
    return [
        (one.code, str(one.where["likely"]))
        for one in check.check(delivery.folder).warnings
        if one.code in ("P06-CHECK-012", "P06-CHECK-013")
    ]


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_delivery_of_one_list_is_asked_nothing(sender: Sender, sees: psycopg.Connection[Any], version: str) -> None:
    delivery = register(sender, spread(version), version)
    assert warned(delivery) == []
    assert answers(delivery, sees)[1] == {}


def test_a_twentieth_of_vanished_codes_blocks_and_names_the_list_they_are_of(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    communes = spread(NEW)[:18] + [VANISHED] * 2  # a tenth
    delivery = register(sender, communes, NEW)
    assert warned(delivery) == [("P06-CHECK-012", OLD)]
    outcome, observed = answers(delivery, sees)
    assert (outcome, observed) == (
        "blocked",
        {"area_versions_mixed": f"0.1; {OLD}", "area_versions_few": f"0.1; {OLD}"},
    )
    [(counts,)] = sees.execute("select area_codes from control.extract").fetchall()
    assert (counts["coded"], counts["other"], counts["declared"], counts["likely"]) == (RECEIVED, 120, NEW, OLD)
    assert sees.execute("select distinct reason from quality.failed_row").fetchall() == [("unknown_code",)]


def test_a_few_codes_of_the_list_after_warn(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    delivery = register(sender, spread(OLD)[:295] + NEW_ONLY, OLD)
    assert warned(delivery) == [("P06-CHECK-012", NEW)]
    outcome, observed = answers(delivery, sees)
    assert outcome != "blocked"
    assert observed == {"area_versions_few": f"{20 / RECEIVED:.6g}; {NEW}"}


def test_a_file_of_the_new_list_declared_as_old_shows_by_what_is_missing(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    shared = sorted(codelist.commune_codes(date(2025, 3, 1))[0] & codelist.commune_codes(date(2025, 7, 1))[0])
    delivery = register(sender, shared[::9], OLD)
    assert warned(delivery) == [("P06-CHECK-013", NEW)]
    assert answers(delivery, sees)[1] == {"area_list_seen": f"0; {NEW}"}


def test_a_district_after_july_2025_is_named(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    delivery = register(sender, [BOTH] * 599 + ["019"], NEW)
    outcome, observed = answers(delivery, sees)
    assert (outcome != "blocked", observed) == (True, {"districts_gone": f"2; {OLD}"})


def test_a_file_judged_by_several_processes_is_counted_the_same(
    sender: Sender, sees: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from p06 import workers

    monkeypatch.setattr(workers, "worth", lambda manifest: 2)
    load.stage(register(sender, spread(NEW)[:18] + [VANISHED] * 2, NEW))
    [(counts,)] = sees.execute("select area_codes from control.extract").fetchall()
    assert (counts["coded"], counts["other"]) == (RECEIVED, 120)
