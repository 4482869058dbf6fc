"""What stays open is linked by the model or by a steward's decision; what stewards may do, and see."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path

import psycopg
import pytest

from p06 import database, linkage, plan, steward, token
from p06.errors import P06Error
from p06.linkage import Model
from p06.period import Period
from p06.steward import Decision
from tests.dbt import hand_staged
from tests.dbt.hand_staged import Row, Warehouse

AN, BE, CHI = 1190000001, 1190000002, 1190000003
NEW_AN = 1190000991
AN_IS: Row = {"full_name": "Đặng Thị Chim Yến", "birth_date": date(1990, 5, 20), "sex": "F"}
BE_IS: Row = {"full_name": "Trần Văn Sếu", "birth_date": date(1981, 3, 4), "sex": "M"}
CHI_IS: Row = {"full_name": "Lý Thị Vạc", "birth_date": date(1990, 5, 20), "sex": "F"}
FILE: Row = {
    "institution_code": "B1", "institution_kind": "credit_institution", "channel": "app", "biometric_match": "matched",
    "account_status": "active",
}  # fmt: skip
CANARIES = ("Đặng", "Chim", "1990-05-20", "1190000")
METHODS = "select match_method, match_confidence::text from marts.fct_bank_kyc where period = '{}' order by record_key"


def kyc(number: int, *values: Row) -> Row:
    """A customer's file; the last values given count."""
    row = FILE | {"customer_ref": str(number)}
    for more in values:
        row |= more
    return row


@pytest.fixture
def people(warehouse: Warehouse) -> Warehouse:
    """Three citizens in January and February."""
    for month in ("2024-01", "2024-02"):
        warehouse.register(month, {"citizen_id": AN} | AN_IS, {"citizen_id": BE} | BE_IS, {"citizen_id": CHI} | CHI_IS)
    return warehouse


@pytest.fixture
def model() -> Model:
    """The shipped model, enabled."""
    return replace(linkage.load(), enabled=True)


def asking(model: Model) -> Model:
    """A model that asks about everything it would link."""
    return replace(model, link_at=0.999999)


def in_force() -> tuple[Decision, ...]:
    with database.connect("publisher") as connection:
        return steward.in_force(connection)


def touched(warehouse: Warehouse) -> dict[str, frozenset[str]]:
    """Staging leaf -> records decided about, as a plan finds them."""
    leaves = {ref.leaf: ref.source for ref in warehouse.accepted.values() if ref.source == "bank_kyc"}
    with database.connect("publisher") as connection:
        return steward.touches(connection, leaves)


def inputs(warehouse: Warehouse, period: str) -> plan.Inputs:
    """What a release of the month would read, everything staged being accepted."""
    with database.connect("loader") as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into control.accepted (source, period, extract_id, revision_floor) values (%s, %s, %s, 1)"
            " on conflict (source, period) do update set extract_id = excluded.extract_id",
            [(ref.source, ref.period.first_day, ref.extract_id) for ref in warehouse.accepted.values()],
        )
    with database.connect("publisher", autocommit=True) as connection:
        return plan.Ledger(connection).inputs(Period.parse(period))


def test_a_mistyped_number_is_linked_and_a_conflict_never_is(people: Warehouse, model: Model) -> None:
    people.sector(
        "bank_kyc", "2024-01",
        kyc(1, AN_IS, {"citizen_id": AN + 8}),  # one digit off, nobody's number
        kyc(2, AN_IS, {"citizen_id": BE}),  # the number of somebody else
        kyc(3, BE_IS, {"citizen_id": BE}),
        kyc(4, {"full_name": "Ngô Văn Ai", "birth_date": date(1970, 1, 2), "sex": "M", "citizen_id": 1190000777}),
    )  # fmt: skip
    assert people.build("2024-01", model=model) == []
    found = dict(people.rows("select match_method, match_confidence::text from marts.fct_bank_kyc"))
    assert found.keys() == {"linked", "conflict", "id", "none"}
    assert model.link_at <= float(found["linked"]) < 1
    (matched,) = people.rows(
        "select matched, conflicting, unmatched from marts.reconciliation where source = 'bank_kyc'"
    )
    assert matched == (2, 1, 1)
    assert steward.queue() == []
    (linked,) = steward.queue(all_pairs=True)
    assert (linked.proposal, linked.agrees["name"], linked.agrees["number"], linked.rows) == ("link", "yes", "near", 1)


def test_without_a_model_and_decisions_nothing_is_linked_nor_imported(people: Warehouse) -> None:
    people.sector("bank_kyc", "2024-01", kyc(1, AN_IS, {"citizen_id": AN + 8}))
    people.build("2024-01", test=False)
    assert people.rows(METHODS.format("2024-01-01")) == [("none", "0.0000")]
    assert steward.queue(all_pairs=True) == []


def test_one_decision_meets_the_same_content_in_every_month_and_on_every_row(people: Warehouse, model: Model) -> None:
    wrong = kyc(1, AN_IS, {"citizen_id": AN + 8})
    people.sector("bank_kyc", "2024-01", wrong, wrong | {"customer_ref": "2", "full_name": "ĐẶNG  thị Chim Yến"})
    people.sector("bank_kyc", "2024-02", kyc(3, BE_IS, {"citizen_id": BE}), wrong | {"account_status": "closed"})
    people.build("2024-01", model=asking(model), test=False)
    assert [found for found, _ in people.rows(METHODS.format("2024-01-01"))] == ["none", "none"]
    (asked,) = steward.queue()
    assert (asked.rows, asked.proposal) == (2, "ask")

    steward.decide(asked.pair[:8], "accept")
    assert steward.queue() == []
    assert [len(records) for _, records in sorted(touched(people).items())] == [1, 1]
    assert touched(people) == touched(people)  # the second time nothing is read
    people.build("2024-01", model=asking(model), decisions=in_force(), test=False)
    assert people.rows(METHODS.format("2024-01-01")) == [("linked", asked.weight)] * 2
    people.build("2024-02", decisions=in_force(), test=False)  # the model is off again
    assert people.rows(METHODS.format("2024-02-01")) == [("id", "1.0000"), ("linked", asked.weight)]

    steward.decide(asked.pair, "undone")
    people.build("2024-02", decisions=in_force(), test=False)
    assert [found for found, _ in people.rows(METHODS.format("2024-02-01"))] == ["id", "none"]


def test_a_rejected_pair_is_neither_linked_nor_asked_again(people: Warehouse, model: Model) -> None:
    people.sector("bank_kyc", "2024-01", kyc(1, AN_IS, {"citizen_id": AN + 8}))
    people.build("2024-01", model=model, test=False)
    (linked,) = steward.queue(all_pairs=True)
    steward.decide(linked.pair, "reject")
    touched(people)
    for again in (model, asking(model)):
        people.build("2024-01", model=again, decisions=in_force(), test=False)
        assert [found for found, _ in people.rows(METHODS.format("2024-01-01"))] == ["none"]
        assert steward.queue() == []
        assert [pair.decision for pair in steward.queue(all_pairs=True)] == ["reject"]


def test_a_decision_survives_a_later_join_of_numbers(people: Warehouse, model: Model) -> None:
    """Accepted for number AN, which February says was established anew from an older number."""
    people.sector("bank_kyc", "2024-01", kyc(1, AN_IS, {"citizen_id": AN + 8}))
    people.build("2024-01", model=asking(model), test=False)
    (asked,) = steward.queue()
    steward.decide(asked.pair, "accept")
    touched(people)
    older = AN - 100_000
    people.register("2024-02", {"citizen_id": AN, "previous_citizen_id": older} | AN_IS)
    people.build("2024-02", test=False)
    people.build("2024-01", model=asking(model), decisions=in_force(), test=False)
    assert [found for found, _ in people.rows(METHODS.format("2024-01-01"))] == ["linked"]
    assert people.rows("select distinct citizen_token from marts.fct_bank_kyc") == people.rows(
        f"select citizen_token from vault.citizen_token where citizen_id = {older}", "builder"
    )
    assert steward.queue() == []
    (now,) = steward.queue(all_pairs=True)
    assert (now.decision, now.pair == asked.pair) == ("accept", False)
    assert steward.decide(now.pair, "undone") == (asked.pair, True)


def test_a_record_is_accepted_for_one_citizen_even_when_two_stewards_decide_at_once(
    people: Warehouse, model: Model
) -> None:
    people.register("2024-01", {"citizen_id": AN} | AN_IS, {"citizen_id": CHI} | AN_IS)
    people.sector("bank_kyc", "2024-01", kyc(1, AN_IS))  # one of two namesakes born on one day
    people.build("2024-01", model=replace(asking(model), ask_at=0.0001), test=False)
    pairs = [pair.pair for pair in steward.queue()]
    assert len(pairs) == 2
    for _ in range(5):
        outcomes: list[str] = []
        gate = threading.Barrier(2)

        def decide(pair: str, gate: threading.Barrier = gate, outcomes: list[str] = outcomes) -> None:
            gate.wait()
            try:
                steward.decide(pair, "accept")
                outcomes.append("accepted")
            except P06Error as error:
                outcomes.append(error.code)

        threads = [threading.Thread(target=decide, args=(pair,)) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["P06-STEWARD-004", "accepted"]
        (accepted,) = in_force()
        assert steward.queue() == []  # the other pair is settled by this one
        steward.decide(accepted.pair, "undone")
    assert len(steward.entries()) == 10


def test_decisions_are_refused_clearly(people: Warehouse, model: Model, tmp_path: Path) -> None:
    people.sector("bank_kyc", "2024-01", kyc(1, AN_IS, {"citizen_id": AN + 8}))
    people.build("2024-01", model=asking(model), test=False)
    (asked,) = steward.queue()
    for call, code in (
        (lambda: steward.decide("zzzz", "accept"), "P06-STEWARD-001"),
        (lambda: steward.decide("0" * 20, "accept"), "P06-STEWARD-001"),
        (lambda: steward.decide(asked.pair, "undone"), "P06-STEWARD-005"),
        (lambda: steward.show("0" * 20), "P06-STEWARD-001"),
    ):
        with pytest.raises(P06Error) as refused:
            call()
        assert refused.value.code == code
    assert steward.decide(asked.pair, "accept", "asked the bank") == (asked.pair, True)
    assert steward.decide(asked.pair, "accept") == (asked.pair, False)
    with pytest.raises(P06Error, match="P06-STEWARD-003"):
        steward.decide(asked.pair, "reject")
    file = tmp_path / "decisions.jsonl"
    assert steward.export(file) == 1
    assert steward.replay(file) == 0
    with pytest.raises(P06Error, match="P06-STEWARD-008"):
        steward.export(tmp_path)
    good = file.read_text()
    assert not [canary for canary in CANARIES if canary in good]
    for broken in (
        good + "{}\n",
        good.replace("accept", "maybe"),
        good.replace("bank_kyc", "nobody"),
        "[]\n",
        "\0",
        "[" * 100_000,
    ):
        file.write_text(broken)
        with pytest.raises(P06Error, match="P06-STEWARD-006"):
            steward.replay(file)
    file.write_text(good.replace('"accept"', '"reject"'))
    with pytest.raises(P06Error, match="P06-STEWARD-003"):
        steward.replay(file)
    assert len(steward.entries()) == 1


def test_a_pair_shows_masked_until_it_is_revealed_and_that_is_written_down(people: Warehouse, model: Model) -> None:
    people.sector("bank_kyc", "2024-01", kyc(1, AN_IS, {"citizen_id": AN + 8, "old_id": "012345678"}))
    people.build("2024-01", model=asking(model), test=False)
    (asked,) = steward.queue()
    assert not [canary for canary in CANARIES if canary in json.dumps(asked.as_dict(), ensure_ascii=False)]
    name, source, period, masked = steward.show(asked.pair)
    assert (name, source, str(period)) == (asked.pair, "bank_kyc", "2024-01")
    assert {side.field: (side.record, side.register) for side in masked} == {
        "name": ("Đ… T… C… Y…", "Đ… T… C… Y…"),
        "birth_date": ("1990-··-··", "1990-··-··"),
        "sex": ("F", "F"),
        "commune": (None, "00001"),
        "citizen_id": ("·········009", "·········001"),
        "old_id": ("······678", None),
    }
    log = "select count(*) from control.access_log where object like 'pair %'"
    assert people.rows(log, "builder") == [(0,)]
    revealed = {side.field: (side.record, side.register) for side in steward.show(asked.pair, reveal=True)[3]}
    assert revealed["name"] == ("Đặng Thị Chim Yến",) * 2
    assert revealed["citizen_id"] == ("001190000009", "001190000001")
    assert people.rows(log, "builder") == [(1,)]


def test_each_role_reaches_only_what_it_needs(people: Warehouse, model: Model) -> None:
    people.sector("bank_kyc", "2024-01", kyc(1, AN_IS, {"citizen_id": AN + 8}))
    people.build("2024-01", model=asking(model), test=False)
    everything = (
        "select * from steward.pair", "select * from steward.decision", "select * from vault.steward_queue",
        "select * from vault.steward_decision", "select * from vault.steward_standing", "select * from vault.int_linked",
        "select steward.decide('aaaa', 'accept', 'x')", "select * from steward.side_by_side('aaaa', true, 'x')",
        "select vault.steward_lock()", "select * from marts.citizen_month", "select * from vault.citizen_token",
        "select * from identified.dim_citizen", "select * from control.access_log",
        "update vault.steward_decision set verdict = 'reject'", "delete from vault.steward_decision",
        "insert into vault.steward_decision (pair, record, citizen_token, verdict, weight, who)"
        " values (repeat('a', 20), repeat('a', 32), gen_random_uuid(), 'accept', 1, 'x')",
    )  # fmt: skip
    allowed = {
        "steward": {0, 1, 6, 7},
        "analyst": {9},
        "quality": {9},
        "identified": {9, 11},
        "publisher": {9, 12},
        "loader": {10},
    }
    for role, own in allowed.items():
        for place, statement in enumerate(everything):
            with database.connect(role, autocommit=True) as connection:
                try:
                    connection.execute(statement.encode())
                    denied = False
                except psycopg.errors.InsufficientPrivilege:
                    denied = True
                except psycopg.Error as error:
                    denied = error.sqlstate != "P6S01"  # it was asked, and knows no such pair
            assert denied == (place not in own), (role, statement)


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens as a load makes them."""
    monkeypatch.setattr(hand_staged, "token", lambda number: str(token.citizen_tokens([number])[0][1]))


def test_a_later_link_to_nobody_known_leaves_a_month_as_it_is(keyed: None, people: Warehouse) -> None:
    people.sector("bank_kyc", "2024-01", kyc(1, AN_IS, {"citizen_id": AN}))
    before = inputs(people, "2024-01").fingerprint
    people.register("2024-02", {"citizen_id": NEW_AN, "previous_citizen_id": AN} | AN_IS)  # the person stays AN
    assert inputs(people, "2024-01").fingerprint == before
    people.register("2024-02", {"citizen_id": AN, "previous_citizen_id": AN - 100_000} | AN_IS)
    assert inputs(people, "2024-01").fingerprint != before


def test_a_later_link_that_tells_which_of_two_numbers_is_newer_makes_the_month_stale(
    keyed: None, people: Warehouse
) -> None:
    older, one, other = AN - 100_000, AN + 20, AN + 10
    people.register(
        "2024-01",
        {"citizen_id": older} | AN_IS,
        {"citizen_id": one, "previous_citizen_id": older, "residence_commune_code": "00004"} | AN_IS,
        {"citizen_id": other, "previous_citizen_id": older, "residence_commune_code": "00001"} | AN_IS,
    )
    lives = "select residence_commune_code from marts.citizen_month where period = '2024-01-01'"
    before = inputs(people, "2024-01").fingerprint
    people.build("2024-01", test=False)
    assert people.rows(lives) == [("00004",)]
    people.register("2024-02", {"citizen_id": other, "previous_citizen_id": one} | AN_IS)
    people.build("2024-01", test=False)
    assert people.rows(lives) == [("00001",)]
    assert inputs(people, "2024-01").fingerprint != before


def test_numbers_count_those_before_them_and_circles_are_told_by_their_links() -> None:
    assert plan.depths([(2, 1), (3, 2), (3, 1), (4, 4)]) == {1: 0, 2: 1, 3: 2}
    circle = [(2, 1), (1, 2), (3, 2)]
    assert set(plan.depths(circle)) == {1, 2, 3}
    assert plan.depths(circle) != plan.depths([*circle, (3, 1)])
    assert plan.depths([*circle, (9, 8)])[9] == 1


def test_a_decision_about_a_number_first_heard_of_later_makes_the_month_stale_once_it_leads_to_somebody(
    keyed: None, people: Warehouse, model: Model
) -> None:
    people.sector("bank_kyc", "2024-01", kyc(1, AN_IS, {"citizen_id": AN + 8}))
    people.build("2024-01", model=asking(model), test=False)
    ((record, weight),) = people.rows("select record, weight from vault.steward_queue", "builder")
    with database.connect("steward") as connection:
        connection.execute(
            "select steward.replay(repeat('a', 20), %s, 'bank_kyc', %s, 'accept', %s, 'x')",
            (record, hand_staged.token(NEW_AN), weight),
        )
    people.register("2024-02", {"citizen_id": NEW_AN} | AN_IS)
    unjoined = inputs(people, "2024-01")
    people.build("2024-01", decisions=unjoined.decisions, test=False)
    assert [found for found, _ in people.rows(METHODS.format("2024-01-01"))] == ["none"]

    people.register("2024-03", {"citizen_id": NEW_AN, "previous_citizen_id": AN} | AN_IS)
    joined = inputs(people, "2024-01")
    people.build("2024-01", decisions=joined.decisions, test=False)
    assert [found for found, _ in people.rows(METHODS.format("2024-01-01"))] == ["linked"]
    assert joined.fingerprint != unjoined.fingerprint


def test_the_order_of_a_rejection_and_an_acceptance_of_one_record_is_in_the_fingerprint() -> None:
    def entered(entry: int, pair: str, verdict: steward.Verdict) -> Decision:
        return Decision(entry, pair, "r", "bank_kyc", token.citizen_tokens([AN])[0][1], verdict, "0.9000")

    touched = frozenset({"r"})
    rejected_last = steward.marks((entered(1, "a", "accept"), entered(2, "b", "reject")), touched, False)
    accepted_last = steward.marks((entered(2, "b", "reject"), entered(3, "a", "accept")), touched, False)
    assert rejected_last != accepted_last
    assert rejected_last["a"] == "accept 0.9000"
