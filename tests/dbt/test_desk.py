"""The desk of a steward: which pairs an account sees and decides, what a form must carry, whose name is kept."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from p06 import database, desk, duty, linkage, site, steward
from p06.desk import Caller, Reply
from p06.errors import UsageError
from p06.settings import settings
from p06.site import evidence
from tests.dbt import hand_staged
from tests.dbt.conftest import _settle
from tests.dbt.test_linking import AN, AN_IS, BE, BE_IS, CANARIES, asking, kyc
from tests.sender import superuser

LAN, MINH, NOBODY = Caller("lan", "session of lan"), Caller("minh", "session of minh"), Caller("x", "session of x")
NATION = Caller("mai", "session of mai")
HANOI, SAIGON = "01", "79"


@pytest.fixture(scope="module")
def built(dbt_home: Path) -> Iterator[dict[str, str]]:
    """Two pairs that wait, by the province of the citizen: one in Hà Nội, one in Hồ Chí Minh City."""
    with pytest.MonkeyPatch.context() as patch:
        _settle(patch, dbt_home)
        warehouse = hand_staged.fresh()
        warehouse.register(
            "2024-01", {"citizen_id": AN} | AN_IS, {"citizen_id": BE} | BE_IS | {"residence_commune_code": "26734"}
        )
        warehouse.sector(
            "bank_kyc", "2024-01", kyc(1, AN_IS, {"citizen_id": AN + 8}), kyc(2, BE_IS, {"citizen_id": BE + 70})
        )
        warehouse.build("2024-01", model=asking(replace(linkage.load(), enabled=True)), test=False)
        found = {(area or "").partition("@")[0]: pair for pair, area in steward.provinces().items()}
        assert found.keys() == {HANOI, SAIGON}
        yield found
    settings.cache_clear()


@pytest.fixture
def pairs(built: dict[str, str]) -> Iterator[dict[str, str]]:
    """Nothing decided yet; a steward of each province, and one of the nation."""
    duty.give("lan", "steward", HANOI)
    duty.give("minh", "steward", SAIGON, "acting")
    duty.give("mai", "steward")
    yield built
    with superuser() as connection:
        connection.execute(
            "truncate control.duty_entry, vault.steward_decision, vault.steward_content, control.access_log"
        )


def of(pair: str) -> str:
    return f"desk/pairs/{pair}.html"


def send(caller: Caller, pair: str, verdict: str, why: str = "asked the bank", **other: str) -> Reply:
    form = {"token": desk.token(caller, of(pair)), "verdict": verdict, "why": why} | other
    return desk.post(caller, "vi", of(pair), form)


def test_a_steward_sees_and_decides_the_pairs_of_the_province_and_the_nations_all(pairs: dict[str, str]) -> None:
    for caller, mine in ((LAN, {HANOI}), (MINH, {SAIGON}), (NATION, {HANOI, SAIGON})):
        listed = desk.get(caller, "vi", "desk/pairs.html").html.decode()
        assert {province for province, pair in pairs.items() if pair[:8] in listed} == mine, caller.account
        for province, pair in pairs.items():
            asked = desk.get(caller, "en", of(pair))
            assert asked.status == (200 if province in mine else 403), (caller.account, province)
            if province not in mine:
                assert send(caller, pair, "accept").status == 403
                assert send(caller, pair, "reveal").status == 403
                assert pair[:8] not in asked.html.decode().replace(of(pair), "what was asked for")
    assert desk.get(LAN, "vi", of("0" * 20)).status == 403, "as one of another province"
    assert desk.get(NATION, "vi", of("0" * 20)).status == 404
    assert steward.entries() == []


def test_pairs_of_a_restricted_source_are_the_nations(
    pairs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(settings().contracts, tmp_path / "contracts")
    path = tmp_path / "contracts" / "bank_kyc.odcs.yaml"
    own = "\ncustomProperties:\n"
    path.write_text(
        path.read_text("utf-8").replace(own, f"{own}  - {{property: access, value: restricted}}\n"), "utf-8"
    )
    with monkeypatch.context() as patch:
        patch.setenv("P06_CONTRACTS", str(tmp_path / "contracts"))
        settings.cache_clear()
        asked = [desk.get(caller, "vi", of(pairs[HANOI])).status for caller in (LAN, NATION)]
        sent = send(LAN, pairs[HANOI], "accept").status
        listed = desk.get(LAN, "vi", "desk/pairs.html").html.decode()
    settings.cache_clear()
    assert (asked, sent) == ([403, 200], 403) and pairs[HANOI][:8] not in listed


def test_whoever_has_no_duty_is_refused_everything_but_the_entrance(pairs: dict[str, str]) -> None:
    for address in ("desk/pairs.html", "desk/approvals.html", "desk/approvals/1.html", of(pairs[HANOI])):
        assert desk.get(NOBODY, "vi", address).status == 403, address
    assert send(NOBODY, pairs[HANOI], "accept").status == 403
    assert b"<pre>p06 duties give x steward</pre>" in desk.get(NOBODY, "en", of(pairs[HANOI])).html
    assert b"<pre>P06_OFFICERS=officer,x</pre>" in desk.get(NOBODY, "en", "desk/approvals.html").html
    assert "chưa được giao nhiệm vụ" in desk.get(NOBODY, "vi", "desk/index.html").html.decode()
    assert desk.get(LAN, "vi", "desk/approvals.html").status == 403, "a steward is no officer"
    duty.take("lan", "steward", HANOI)
    assert desk.get(LAN, "vi", "desk/pairs.html").status == 403, "from the next page on"


def test_a_decision_is_entered_under_the_account_with_its_reason_and_taken_back(pairs: dict[str, str]) -> None:
    pair = pairs[HANOI]
    assert b"Accepted." not in desk.get(LAN, "en", of(pair), "accept").html, "nobody did"
    assert send(LAN, pair, "accept").go_on == f"{pair}.html?done=accept"
    assert b"Accepted." in desk.get(LAN, "en", of(pair), "accept").html
    assert send(LAN, pair, "accept").go_on == f"{pair}.html?done=same"
    assert send(LAN, pair, "reject").status == 409, "decided otherwise"
    assert [(one.verdict, one.who, one.why) for one in steward.entries()] == [
        ("accept", "airflow:lan", "asked the bank")
    ]
    assert "airflow:lan" in desk.get(NATION, "en", "desk/pairs.html").html.decode()
    assert send(NATION, pair, "undo", "wrong person").go_on == f"{pair}.html?done=undo"
    assert [one.in_force for one in steward.entries()] == [False, False]


def test_a_decision_needs_a_reason_without_numbers(pairs: dict[str, str]) -> None:
    full_width = "".join(chr(ord(digit) + 0xFEE0) for digit in "001190000009")
    for why in ("", "   ", "x" * 501, "number 001190000009", "001 190 000 009", full_width, "a\x00b", "a\u202eb"):
        assert send(LAN, pairs[HANOI], "accept", why).status == 409, ascii(why)
    assert steward.entries() == []
    duty.give("minh", "reader", SAIGON, " acting \n for\tLan ")
    assert [one.why for one in duty.in_force("minh") if one.duty == "reader"] == ["acting for Lan"], "as it may be kept"


def test_values_are_masked_until_they_are_asked_for_and_that_is_written_down(pairs: dict[str, str]) -> None:
    pair = pairs[HANOI]
    for address in ("desk/index.html", "desk/pairs.html", of(pair)):
        for language in ("vi", "en"):
            shown = desk.get(LAN, language, address).html.decode()
            assert [canary for canary in CANARIES if canary in shown] == []
            assert "<script" not in shown and not re.search(r"[0-9]{9}", re.sub(r"[0-9a-f]{20,}", "", shown))
    revealed = send(LAN, pair, "reveal", "")
    assert revealed.status == 200 and "Đặng Thị Chim Yến" in revealed.html.decode()
    with database.connect("builder", autocommit=True) as connection:
        rows = connection.execute("select purpose from control.access_log where object like 'pair %'").fetchall()
    assert rows == [("steward show for airflow:lan",)]


def test_a_form_counts_only_with_the_token_of_its_account_session_and_address(pairs: dict[str, str]) -> None:
    pair, other = pairs[HANOI], pairs[SAIGON]
    own = desk.token(LAN, of(pair))
    assert own in desk.get(LAN, "vi", of(pair)).html.decode()
    for wrong in ("", "x", "é", own[:-1], desk.token(MINH, of(pair)), desk.token(LAN, of(other)),
                  desk.token(Caller("lan", "another session"), of(pair))):  # fmt: skip
        refused = send(LAN, pair, "accept", token=wrong)
        assert (refused.status, b"P06-DUTY-006" in refused.html) == (403, True), wrong
    assert desk.post(LAN, "vi", of(pair), {"verdict": "accept", "why": "no token"}).status == 403
    assert steward.entries() == []
    assert send(LAN, pair, "accept").status == 303


def test_a_duty_reaches_the_provinces_that_became_one_of_today_and_no_other_of_the_same_code(
    pairs: dict[str, str],
) -> None:
    duty.give("lan", "reader", "15")  # Lào Cai of today; until July 2025 the code was that of Yên Bái
    reach = duty.of("lan", "reader")
    assert {"15@2025-07-01", "10@1900-01-01", "15@1900-01-01"} <= set(reach.areas) and not reach.nation
    duty.give("minh", "reader", "24")  # Bắc Ninh of today; the code was that of Bắc Giang, which became part of it
    assert duty.of("minh", "reader").areas.isdisjoint(reach.areas)
    assert not duty.of("x", "reader") and not duty.Reach().holds(None) and duty.of("mai", "steward").holds(None)
    assert duty.give("lan", "reader", "15") is False
    for province in ("10", "99", "1", "x"):
        with pytest.raises(UsageError, match="P06-DUTY-003"):
            duty.give("lan", "reader", province)


def test_nobody_gives_duties_but_the_owner(pairs: dict[str, str]) -> None:
    entry = "insert into control.duty_entry (account, duty, given, who) values ('x', 'steward', true, 'x')"
    for role in [role for role in database.ROLES if role != "admin"]:
        with (
            database.connect(role, autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(entry)


def test_the_site_says_which_of_its_pages_are_a_provinces(pairs: dict[str, str]) -> None:
    made = dict(site.files(evidence.read()))
    of = json.loads(made[site.AREAS])
    assert (of["vi/provinces/01.html"], of["en/provinces/79.html"]) == ("01@1900-01-01", "79@1900-01-01")
    assert {path for path in made if re.search(r"/provinces/|communes-|-communes\.", path)} == set(of), (
        "every such page, and no other"
    )
    assert "Thành phố Hà Nội" in made["vi/provinces/01.html"].decode()
