"""Which extract wins: the highest stated revision, in whatever order deliveries come, however often."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import psycopg
import pytest

from p06 import contract, database, load, staging
from p06.errors import GateBlocked, Refused
from p06.landing import Delivery
from p06.period import Period
from tests.sender import Sender, line, visits


def outcomes() -> list[str]:
    return [result.outcome for result in load.load()]


def shown(sees: psycopg.Connection[Any]) -> list[Any]:
    """What the parent shows: visit ids of the accepted extract."""
    return [one for (one,) in sees.execute("select visit_id from staging.health_visit order by 1").fetchall()]


def test_a_load_run_twice_does_nothing(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    sender.rows(visits(3))
    assert outcomes() == ["accepted"]
    before = sees.execute("select count(*) from control.load_attempt").fetchone()
    assert outcomes() == []
    assert sees.execute("select count(*) from control.load_attempt").fetchone() == before


def test_a_corrected_month_replaces_the_old_one(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    sender.rows(visits(3))
    assert outcomes() == ["accepted"]
    sender.rows(visits(2, 7), name="second", revision=2)
    assert outcomes() == ["accepted"]
    assert shown(sees) == ["V7", "V8"]
    states = sees.execute("select revision, state from control.extract order by 1").fetchall()
    assert states == [(1, "superseded"), (2, "accepted")]
    quarantined = "select count(*) from pg_inherits where inhparent = 'quarantine.health_visit'::regclass"
    assert sees.execute(quarantined).fetchone() == (1,)


def test_an_older_revision_arriving_later_changes_nothing(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    sender.rows(visits(2), name="second", revision=2)
    assert outcomes() == ["accepted"]
    sender.rows(visits(9), name="first", revision=1)
    assert outcomes() == ["superseded"]
    assert shown(sees) == ["V1", "V2"]
    assert outcomes() == []


def test_the_same_content_again_is_a_duplicate_whatever_it_is_called(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    first = sender.rows(visits(2))
    assert outcomes() == ["accepted"]
    again = sender.rows(visits(2), name="again", revision=5)
    (again.folder / "part-0001.csv").rename(again.folder / "other.csv")
    text = (again.folder / "manifest.json").read_text().replace("part-0001.csv", "other.csv")
    (again.folder / "manifest.json").write_text(text)
    assert outcomes() == ["duplicate"]
    assert sees.execute("select revision_floor from control.accepted").fetchone() == (5,)
    sender.rows(visits(3), name="between", revision=3)
    assert outcomes() == ["superseded"]
    assert shown(sees) == ["V1", "V2"]
    assert first.folder.exists()


def test_another_content_under_an_accepted_revision_is_refused(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    sender.rows(visits(2))
    assert outcomes() == ["accepted"]
    with pytest.raises(Refused) as refused:
        load.stage(sender.rows(visits(4), name="other"))
    assert (refused.value.code, refused.value.exit_code) == ("P06-LOAD-030", 4)
    sender.rows(visits(5), name="higher", revision=3)
    assert outcomes() == ["accepted"]
    with pytest.raises(Refused) as refused:
        load.stage(sender.rows(visits(6), name="old"))
    assert refused.value.code == "P06-LOAD-030"
    assert len(shown(sees)) == 5


def test_of_two_contents_staged_under_one_revision_the_second_to_be_accepted_is_refused(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    one, other = (load.stage(sender.rows(visits(n), name=str(n))).extract_id for n in (2, 3))
    for extract_id in (one, other):
        passed(sees, extract_id)
    assert load.accept(one) == "accepted"
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            load.accept(other)
        assert (refused.value.code, refused.value.exit_code) == ("P06-LOAD-030", 4)
    states = sees.execute("select state, mismatches->0->>'code' from control.load_attempt order by attempt_id")
    assert states.fetchall() == [("accepted", None), ("refused", "P06-LOAD-030")]
    assert shown(sees) == ["V1", "V2"]
    assert outcomes() == []


def test_an_attempt_that_ended_after_staging_is_closed_by_the_next(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    delivery = sender.rows(visits(2))
    assert load.stage(delivery).extract_id == load.stage(delivery).extract_id
    assert outcomes() == ["accepted"]
    states = sees.execute("select state from control.load_attempt order by attempt_id").fetchall()
    assert states == [("failed",), ("failed",), ("accepted",)]


def test_a_duplicate_whose_bytes_are_damaged_is_refused(sender: Sender) -> None:
    sender.rows(visits(2))
    assert outcomes() == ["accepted"]
    again = sender.rows(visits(2), name="again")
    path = again.folder / "part-0001.csv"
    path.write_bytes(path.read_bytes().replace(b"Nguy", b"nguy"))
    with pytest.raises(Refused) as refused:
        load.stage(again)
    assert [one.code for one in refused.value.mismatches] == ["P06-LOAD-015"]


def test_a_duplicate_that_states_another_row_count_is_refused(sender: Sender) -> None:
    sender.rows(visits(2))
    assert outcomes() == ["accepted"]
    with pytest.raises(Refused) as refused:
        load.stage(sender.rows(visits(2), name="again", rows=[3]))
    assert [one.code for one in refused.value.mismatches] == ["P06-LOAD-016"]


def test_what_is_staged_already_is_refused_when_it_states_another_row_count(sender: Sender) -> None:
    load.stage(sender.rows(visits(3)))
    with pytest.raises(Refused) as refused:
        load.stage(sender.rows(visits(3), rows=[4], name="again"))
    assert [one.code for one in refused.value.mismatches] == ["P06-LOAD-016"]


def test_any_order_of_deliveries_ends_in_the_same_rows(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    contents = {"a": (visits(2), 1), "b": (visits(3), 2), "c": (visits(4), 4), "a again": (visits(2), 3)}
    ends = set()
    for number, order in enumerate(permutations(contents)):
        period = str(Period(2020, 1).shift(number))
        for name in order:
            lines, revision = contents[name]
            delivery = sender.rows(lines, period=period, name=name.replace(" ", "-"), revision=revision)
            done = load.stage(delivery)
            if done.outcome == "staged":
                passed(sees, done.extract_id)
                load.accept(done.extract_id)
        ends.add(tuple(
            one for (one,) in sees.execute(
                "select visit_id from staging.health_visit where period = %s order by 1", (f"{period}-01",)
            ).fetchall()
        ))  # fmt: skip
    assert ends == {("V1", "V2", "V3", "V4")}


def passed(sees: psycopg.Connection[Any], extract_id: str) -> None:
    """Write down that gate 1 let an extract pass."""
    sees.execute("update control.extract set gate_key = 'test' where extract_id = %s", (extract_id,))


def test_an_extract_is_not_accepted_before_its_gate(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    done = load.stage(sender.rows(visits(2)))
    with pytest.raises(GateBlocked) as blocked:
        load.accept(done.extract_id)
    assert blocked.value.code == "P06-LOAD-037"
    assert shown(sees) == []


def test_a_blocked_extract_is_gated_again_when_the_suite_changed(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    done = load.stage(sender.rows(visits(2)))
    sees.execute("update control.extract set state = 'blocked', gate_key = 'an older suite'")
    sees.execute("update control.load_attempt set state = 'blocked'")
    assert load.pending() == []
    assert [(result.extract_id, result.outcome) for result in load.load()] == [(done.extract_id, "accepted")]


def test_a_blocked_extract_rests_while_suite_and_waivers_stay(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    from p06 import gate

    load.stage(sender.rows(visits(2)))
    sees.execute("update control.extract set state = 'blocked', gate_key = %s", (gate.source_key("health_visit"),))
    sees.execute("update control.load_attempt set state = 'blocked'")
    assert outcomes() == []


def test_staging_gating_and_accepting_work_apart(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    sender.rows(visits(2), name="a", revision=1)
    sender.rows(visits(3), name="b", revision=2)
    extracts = load.stage_pending("health_visit", Period(2024, 1))
    assert [one.split("-")[2] for one in extracts] == ["r1", "r2"]
    assert load.stage_pending("health_visit", Period(2024, 1)) == extracts
    assert load.gate_many(extracts) == extracts
    assert load.accept_many(extracts) == extracts
    assert load.accept_many(extracts) == [extracts[1]]
    assert len(shown(sees)) == 3
    assert load.pending() == []


def test_a_contract_that_changed_lets_a_refused_delivery_be_read_again(
    sender: Sender, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from p06.settings import settings

    sender.send(["x\n"])
    assert outcomes() == ["refused"]
    assert outcomes() == []
    folder = tmp_path / "contracts"
    shutil.copytree(settings().contracts, folder)
    path = folder / "health_visit.odcs.yaml"
    path.write_text(path.read_text().replace("required: false", "required: true", 1))
    monkeypatch.setenv("P06_CONTRACTS", str(folder))
    settings.cache_clear()
    assert outcomes() == ["refused"]


def test_leaves_nobody_needs_are_dropped_and_no_others(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    sender.rows(visits(2))
    sender.rows(visits(3), name="b", revision=2)
    assert outcomes() == ["accepted", "accepted"]
    [(old,)] = sees.execute("select staging_table from control.extract where state = 'superseded'").fetchall()
    with database.connect("loader", autocommit=True) as connection:
        connection.execute("create table staging.health_visit__202401__00000000 (n int)")
        unneeded = ["staging.health_visit__202401__00000000", f"staging.{old}"]
        assert sorted(staging.drop_orphans(connection)) == sorted(unneeded)
        assert staging.drop_orphans(connection) == []
    assert len(shown(sees)) == 3
    assert sees.execute(f"select count(*) from quarantine.{old}").fetchone() == (0,)


def test_parents_follow_the_contracts_and_cost_nothing_when_they_fit(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    for source in contract.load_all():
        sees.execute(f"drop table if exists staging.{source}, quarantine.{source}")
    with database.connect("loader", autocommit=True) as connection:
        changed = staging.sync(connection)
        assert len(changed) == 2 * len(contract.load_all())
        assert staging.sync(connection) == []


def test_the_ledger_keeps_the_manifest_as_it_was_sent(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    delivery: Delivery = sender.rows([line()])
    load.stage(delivery)
    [(kept,)] = sees.execute("select manifest from control.extract").fetchall()
    assert kept == json.loads((delivery.folder / "manifest.json").read_bytes())
