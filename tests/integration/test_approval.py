"""Who decides: a month a contract or check asks about waits, and is published by an officer's word alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from p06 import answer, database, plan, publish, release
from p06 import desk as deciding
from p06 import digest as digests
from p06.cli import app
from p06.errors import P06Error, UsageError, Waiting
from p06.period import Period
from p06.settings import settings
from tests.integration.sequence import Months, load_ungated

APRIL, MAY = Period.parse("2025-04"), Period.parse("2025-05")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Months]:
    months = Months(tmp_path_factory.mktemp("approval"))
    yield months
    months.replay.stop()


class Desk:
    """Two loaded months, contracts and suites that can be changed, and the command line."""

    def __init__(self, months: Months, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.months = months
        self.contracts, self.expectations = folder / "contracts", folder / "expectations"
        shutil.copytree(settings().contracts, self.contracts)
        shutil.copytree(settings().expectations, self.expectations)
        patch.setenv("P06_CONTRACTS", str(self.contracts))
        patch.setenv("P06_EXPECTATIONS", str(self.expectations))
        settings.cache_clear()

    def contract_asks(self, source: str, rule: str) -> None:
        path = self.contracts / f"{source}.odcs.yaml"
        text = path.read_text(encoding="utf-8")
        line = f"customProperties:\n  - {{property: approval, value: {rule}}}\n  - {{property: nameVi"
        assert "customProperties:\n  - {property: nameVi" in text
        path.write_text(text.replace("customProperties:\n  - {property: nameVi", line, 1), encoding="utf-8")

    def add_check(self, mart: str, *, severity: str = "warn", asks: bool = False) -> None:
        """A check of a mart that never holds."""
        path = self.expectations / "marts" / f"{mart}.yaml"
        text = (
            "  - id: never_holds\n    title: {en: There are no rows, vi: Không có dòng nào}\n    dimension: du\n"
            f"    severity: {severity}\n    reason: A test\n    measure: count(*)\n    max: 0\n"
            + ("    approval: true\n" if asks else "")
        )
        content = path.read_text(encoding="utf-8")
        path.write_text(content.replace("checks:\n", f"checks:\n{text}\n", 1), encoding="utf-8")

    def run(self, *arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, list(arguments))
        found = done.exit_code if not isinstance(done.exception, P06Error) else done.exception.exit_code
        assert found == code, (arguments, found, done.output, done.exception)
        return done

    def killed(self, step: str, *arguments: str) -> None:
        """The command in a process of its own, ended at a step as by ``kill -9``."""
        command = [sys.executable, "-m", "p06.cli", *arguments]
        done = subprocess.run(command, env=os.environ | {"P06_FAIL_AT": step}, capture_output=True)
        assert done.returncode == -9, (step, done.stdout, done.stderr)

    def read(self, statement: str, role: str = "analyst") -> list[tuple[Any, ...]]:
        with database.connect(role, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def withdraw(self, period: Period, source: str | None = None) -> None:
        """As if a month, or one source of it, had never come."""
        with database.connect("admin", autocommit=True) as connection:
            connection.execute(
                "delete from control.accepted where period = %s and (%s::text is null or source = %s)",
                (period.first_day, source, source),
            )

    def digest(self) -> dict[str, tuple[int, str]]:
        with database.connect("admin", autocommit=True) as connection:
            return {one.mart: (one.rows, one.checksum) for one in digests.digest(connection)}

    def builds(self) -> int:
        return int(self.read("select count(*) from control.build", "publisher")[0][0])

    def told(self, period: Period) -> tuple[str, str]:
        entry = self.months.entries().get(str(period))
        return (entry.state, entry.reasons[0]) if entry else ("up to date", "")


@pytest.fixture
def desk(made: Months, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with made.replay.open():
        made.begin()
        with monkeypatch.context() as patch:
            yield Desk(made, tmp_path, patch)
        settings.cache_clear()


class Killed(BaseException):
    """Stands for the end of the process."""


def _fail_at(step: str) -> Callable[[str], None]:
    def point(name: str) -> None:
        if name == step:
            raise Killed

    return point


def _let_gate_pass(
    monkeypatch: pytest.MonkeyPatch, *warnings: tuple[str, str], waived: tuple[str, str] | None = None
) -> None:
    """Gate 2 without Great Expectations: it passes, and these (mart, check) warn; ``waived`` blocks unless a waiver is there."""
    from p06 import gate, suite

    def judge(period: Period, build_id: int, state: int | None = None) -> gate.Verdict:
        results = tuple(
            gate.CheckResult(
                None, mart, check, check, check, "du", "warn", success, "7", "≤ 0", "owner", "reason"
            )
            for mart, check, success in [("citizen_month", "fine", True), *((*one, False) for one in warnings)]
        )  # fmt: skip
        if waived:
            waiver = suite.check_waived("mart", *waived, period, 7)
            failed = replace(results[0], mart=waived[0], check=waived[1], severity="block", success=False)
            results += (replace(failed, waived_by=waiver and waiver.named),)
        with database.connect("builder", autocommit=True) as connection:
            return gate._store(connection, f"build:{build_id}", period, results, build_id=build_id)

    monkeypatch.setattr("p06.gate.judge_build", judge)


def test_a_month_its_contract_asks_about_waits_and_an_approval_publishes_that_very_build(desk: Desk) -> None:
    desk.contract_asks("bank_kyc", "on_warnings")
    desk.add_check("fct_bank_kyc")
    desk.withdraw(MAY)
    assert [one["outcome"] for one in json.loads(desk.run("release", "--json").stdout)] == ["waiting"]
    assert desk.read("select * from marts.release") == []
    state, sentence = desk.told(APRIL)
    assert state == "waiting" and "contract bank_kyc: on_warnings" in sentence and "p06 approvals" in sentence
    desk.run("release", "2025-04", code=5)
    assert desk.run("release").stdout.startswith("2025-04  waiting")
    assert desk.builds() == 1, "asking does not build again"

    listed = json.loads(desk.run("approvals", "--json").stdout)
    assert [one["period"] for one in listed] == ["2025-04"]
    evidence = {(one.get("mart"), one["check"]): one for one in listed[0]["evidence"]}
    assert evidence["fct_bank_kyc", "never_holds"]["threshold"] == "≤ 0"
    assert int(evidence["fct_bank_kyc", "never_holds"]["observed"]) > 0

    desk.run("approve", "2025-04", "--why", " ", code=2)
    done = desk.run("approve", "2025-04", "--why", "the figures were explained by the bank")
    assert done.stdout == "2025-04  approved  2025-04.1\n"
    assert desk.builds() == 1, "the build that was asked about is published"
    who = answer.who()
    assert desk.read("select release_id, gate, approved_by from marts.release") == [("2025-04.1", "warnings", who)]
    entry = "select period::text, verdict, who, role, via, why, state from quality.approval where verdict is not null"
    assert desk.read(entry, "quality") == [
        ("2025-04-01", "approve", who, "p06_quality", "cli", "the figures were explained by the bank", "published")
    ]
    assert desk.run("approve", "2025-04", "--why", "again").stdout == done.stdout, "the same person again"
    desk.run("reject", "2025-04", "--why", "no", code=2)
    assert desk.months.entries() == {}
    _footnotes_follow_the_pointer(desk)


def test_an_officer_answers_on_the_page_that_shows_the_evidence(desk: Desk) -> None:
    """In Airflow's place this test publishes; the page enters the answer and waits for no build."""
    desk.contract_asks("bank_kyc", "on_warnings")
    desk.add_check("fct_bank_kyc")
    desk.withdraw(MAY)
    desk.run("release", "2025-04", code=5)
    officer, reader = deciding.Caller("officer", "one session"), deciding.Caller("lan", "another")
    [waiting] = answer.pending()
    address = f"desk/approvals/{waiting.request_id}.html"

    def send(caller: deciding.Caller, verdict: str, why: str = "the bank explained it") -> deciding.Reply:
        form = {"token": deciding.token(caller, address), "verdict": verdict, "why": why}
        return deciding.post(caller, "en", address, form)

    shown = deciding.get(officer, "en", address).html.decode()
    assert "There are no rows" in shown and "the contract bank_kyc wants it" in shown and 'value="approve"' in shown
    assert deciding.get(reader, "en", address).status == 403 and send(reader, "approve").status == 403
    assert send(officer, "approve", " ").status == 409 and send(officer, "publish").status == 404
    assert desk.told(APRIL)[0] == "waiting"

    assert send(officer, "approve").go_on == f"{waiting.request_id}.html?done=approve"
    assert send(officer, "approve").status == 409, "answered already"
    assert b'value="approve"' not in deciding.get(officer, "en", address).html
    desk.run("release")
    assert desk.read("select release_id, approved_by from marts.release") == [("2025-04.1", "officer")]
    entry = "select verdict, who, role, via, why from quality.approval where verdict is not null"
    assert desk.read(entry, "quality") == [("approve", "officer", "p06_quality", "page", "the bank explained it")]


@pytest.mark.long
def test_what_changed_since_it_was_asked_cannot_be_answered_on_the_page(desk: Desk) -> None:
    desk.contract_asks("bank_kyc", "always")
    desk.withdraw(MAY)
    desk.run("release", "2025-04", code=5)
    officer = deciding.Caller("officer", "one session")
    [waiting] = answer.pending()
    address = f"desk/approvals/{waiting.request_id}.html"
    desk.months.deliver("bank_kyc", APRIL, 2)
    load_ungated()
    assert b'value="approve"' not in deciding.get(officer, "vi", address).html
    form = {"token": deciding.token(officer, address), "verdict": "stop", "why": "x"}
    refused = deciding.post(officer, "vi", address, form)
    assert refused.status == 409 and b"P06-APPROVAL-003" in refused.html
    assert desk.read("select 1 from quality.approval where verdict is not null", "quality") == []


def _footnotes_follow_the_pointer(desk: Desk) -> None:
    """Of a source's fact and of what is computed from the source; those of the release readers see, whichever it is."""
    of_april = (
        "select mart, indicator_code, text_en, text_vi, observed from marts.footnote where period = '2025-04-01' and"
    )
    first = desk.read(f"{of_april} \"check\" = 'never_holds' order by 1, 2")
    assert [row[:4] for row in first] == [
        ("fct_bank_kyc", None, "Not met: There are no rows", "Chưa đạt: Không có dòng nào"),
        ("indicator", "kyc_biometric_rate", "Not met: There are no rows", "Chưa đạt: Không có dòng nào"),
        ("indicator", "match_rate.bank_kyc", "Not met: There are no rows", "Chưa đạt: Không có dòng nào"),
    ]
    rows = desk.read("select count(*)::text from marts.fct_bank_kyc where period = '2025-04-01'")
    assert {(row[4],) for row in first} == set(rows)
    desk.months.deliver("bank_kyc", APRIL, 2)
    load_ungated()
    desk.run("release", "2025-04", code=5)
    together = (
        "select (select count(*)::text from marts.fct_bank_kyc where period = '2025-04-01'), observed, release_id"
        " from marts.footnote where period = '2025-04-01' and indicator_code is null and \"check\" = 'never_holds'"
    )
    before = desk.read(together)
    assert before[0][0] == before[0][1] and before[0][2] == "2025-04.1", "the corrected build waits"
    desk.run("approve", "2025-04", "--why", "a correction")
    after = desk.read(together)
    assert after[0][0] == after[0][1] != before[0][1] and after[0][2] == "2025-04.2"
    release.rollback(APRIL)
    assert desk.read(together) == before


def test_a_check_asks_by_itself_and_a_rejected_month_is_held_until_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.add_check("fct_land_holding", asks=True)
    _let_gate_pass(monkeypatch, ("fct_land_holding", "never_holds"))
    desk.run("release", "2025-04", code=5)
    assert json.loads(desk.run("approvals", "--json").stdout)[0]["asks"] == [{"check": "fct_land_holding.never_holds"}]
    assert desk.run("reject", "2025-04", "--why", "the parcels are wrong").stdout.startswith("2025-04  rejected")
    assert desk.told(APRIL) == (
        "held",
        "it was rejected; it stays so until its inputs, suites or waivers change or the period is named",
    )
    assert not plan.wake(APRIL)
    with pytest.raises(Waiting, match="P06-RELEASE-012"):
        release.publish_build(1)
    desk.run("approve", "2025-04", "--why", "after all", code=2)

    # named, it is asked about once more, without another build
    desk.run("release", "2025-04", code=5)
    assert desk.builds() == 1 and desk.told(APRIL)[0] == "waiting"
    desk.run("approve", "2025-04", "--why", "the province explained it")
    told = [(one["state"], one["verdict"]) for one in json.loads(desk.run("approvals", "--all", "--json").stdout)]
    assert told == [("repeated", "reject"), ("published", "approve")]
    assert desk.read("select release_id, build_id from marts.release") == [("2025-04.1", 1)]


def test_an_answer_holds_for_its_inputs_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.contract_asks("bank_kyc", "always")
    _let_gate_pass(monkeypatch)
    desk.run("release", "2025-04", code=5)
    first = answer.waiting(APRIL)
    assert first is not None and first.evidence == ()
    desk.months.deliver("bank_kyc", APRIL, 2)
    load_ungated()
    assert desk.told(APRIL)[0] == "stale"
    desk.run("approve", "2025-04", "--why", "too late", code=2)
    answer.enter(first.request_id, "approve", "an officer", "airflow", None)  # who had the page open
    with pytest.raises(P06Error, match="P06-RELEASE-002"):
        release.publish_build(first.build_id)
    desk.run("release", "2025-04", code=5)
    second = answer.waiting(APRIL)
    assert second is not None and second.request_id > first.request_id and second.state == "waiting"
    with pytest.raises(UsageError, match="P06-APPROVAL-002"):
        answer.enter(first.request_id, "reject", "an officer", "airflow", None)


def test_two_months_that_wait_do_not_undo_each_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """May's build undoes the register's history April's wrote: that is written anew, the build is published as it was."""
    desk.contract_asks("bank_kyc", "always")
    _let_gate_pass(monkeypatch)
    assert [one.outcome for one in release.release()] == ["waiting", "waiting"]
    with monkeypatch.context() as patch:
        patch.setattr("p06.fault.point", _fail_at("approval.renewed"))
        with pytest.raises(Killed):
            answer.answer(APRIL, "approve", "fine")
    assert desk.told(APRIL)[0] == "approved"
    desk.run("approve", "2025-04", "--why", "fine")
    desk.run("approve", "2025-05", "--why", "fine")
    assert desk.read("select release_id, build_id, approved_by from marts.release order by 1") == [
        ("2025-04.1", 1, answer.who()),
        ("2025-05.1", 2, answer.who()),
    ]
    assert desk.builds() == 2 and desk.months.entries() == {}
    seen = desk.digest()
    for month in (APRIL, MAY):
        release.release([month], rebuild=True)
        desk.run("approve", str(month), "--why", "the same again")
    assert desk.builds() == 4 and desk.digest() == seen
    release.rollback(APRIL)
    desk.run("approve", "2025-04", "--why", "the same again", code=2)  # and not that it is published


def test_an_answer_holds_for_a_build_made_again_that_asks_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.contract_asks("bank_kyc", "always")
    _let_gate_pass(monkeypatch)
    desk.run("release", "2025-04", code=5)
    answer.enter(1, "approve", "lan", "airflow", "fine")
    desk.run("release", "2025-04", "--rebuild")
    assert desk.read("select build_id, approved_by from marts.release") == [(2, "lan")]
    answers = "select build_id, via, carried_from from control.approval_answer order by answer_id"
    assert desk.read(answers, "publisher") == [(1, "airflow", None), (2, "airflow", 1)]


def test_nobody_answers_in_time_and_nothing_is_published(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.contract_asks("land_parcel", "always")
    _let_gate_pass(monkeypatch)
    monkeypatch.setenv("P06_APPROVAL_WITHIN", "1s")
    desk.run("release", "2025-04", code=5)
    with database.connect("publisher", autocommit=True) as connection:
        connection.execute("select pg_sleep(1.1)")
    state, sentence = desk.told(APRIL)
    assert state == "held" and sentence.startswith("nobody answered until") and "asks again" in sentence
    desk.run("approve", "2025-04", "--why", "late", code=2)
    with pytest.raises(Waiting, match="P06-RELEASE-013"):
        release.publish_build(1)
    assert desk.read("select * from marts.release") == []
    monkeypatch.setenv("P06_APPROVAL_WITHIN", "1 hour")
    with pytest.raises(UsageError, match="P06-APPROVAL-005"):
        release.ask_again(APRIL)
    monkeypatch.setenv("P06_APPROVAL_WITHIN", "1h")
    desk.run("release", "2025-04", code=5)
    desk.run("approve", "2025-04", "--why", "asked again")
    assert desk.read("select release_id, build_id from marts.release") == [("2025-04.1", 1)]


def test_the_database_refuses_what_a_program_forgets(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way round the gate and the answer, tried by the role that publishes; then who may answer."""
    desk.contract_asks("bank_kyc", "always")
    _let_gate_pass(monkeypatch)
    desk.run("release", "2025-04", code=5)
    with database.connect("publisher", autocommit=True) as connection:
        fingerprint = plan.Ledger(connection).inputs(APRIL).fingerprint
        insert = (
            "insert into control.release (release_id, period, number, build_id, fingerprint, model_hash, gate, approved_by,"
            " register_state_before, register_state_after) values ('2025-04.1', '2025-04-01', 1, 1, %s, 'm', 'clean', %s, 0, 1)"
        )

        def refused(code: str, *values: Any) -> None:
            with pytest.raises(psycopg.errors.CheckViolation, match=code):
                connection.execute(insert.encode(), values)

        refused("P06-RELEASE-011", fingerprint, None)
        refused("P06-RELEASE-011", fingerprint, "nobody")
        refused("P06-RELEASE-004", "another", None)
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute("insert into control.published values ('2025-04-01', 1, '2025-04.1')")
        for statement in (
            "insert into control.approval_answer (request_id, build_id, period, fingerprint, verdict, who, via)"
            " values (1, 1, '2025-04-01', 'f', 'approve', 'me', 'cli')",
            "update control.approval_request set answer_by = now()",
            "select quality.answer_approval(1, 'approve', 'me', 'cli', null)",
            "update control.release set approved_by = 'me'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
    for role in ("builder", "loader", "analyst", "steward"):
        with database.connect(role, autocommit=True) as stranger, pytest.raises(psycopg.errors.InsufficientPrivilege):
            stranger.execute("select quality.answer_approval(1, 'approve', 'me', 'cli', null)")
    with database.connect("builder", autocommit=True) as builder:
        # a check that blocks, entered after the gate: no release, whoever approves
        answer.enter(1, "approve", "an officer", "cli", "fine")
        builder.execute(
            'insert into quality.check_result (period, mart, "check", dimension, severity, success, run, owner, build_id)'
            " values ('2025-04-01', 'indicator', 'broken', 'du', 'block', false, 'build:1', 'tests', 1)"
        )
    with pytest.raises(P06Error, match="P06-RELEASE-004"):
        release.publish_build(1)
    with database.connect("publisher", autocommit=True) as connection:
        with pytest.raises(psycopg.errors.CheckViolation, match="P06-RELEASE-004"):
            connection.execute(insert.encode(), (fingerprint, "an officer"))
        assert publish.releases(connection) == []


def test_killed_at_any_moment_the_same_command_finishes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.contract_asks("bank_kyc", "always")
    _let_gate_pass(monkeypatch)
    desk.run("release", "2025-04", code=5)
    reject, approve = ("reject", "2025-04", "--why", "no"), ("approve", "2025-04", "--why", "fine")
    desk.killed("approval.answered", *reject)
    assert desk.told(APRIL)[0] == "held"
    desk.run(*reject)
    desk.killed("approval.asked", "release", "2025-04")
    assert desk.told(APRIL)[0] == "held"
    desk.run("release", "2025-04", code=5)
    for step in ("approval.answered", "publish.checked", "publish.written"):
        desk.killed(step, *approve)
        assert desk.read("select * from marts.release") == [], step
        assert desk.told(APRIL)[0] == "approved", step
    desk.killed("approval.told", *approve)
    assert desk.read("select release_id, build_id from marts.release") == [("2025-04.1", 1)]
    assert desk.run(*approve).stdout == "2025-04  approved  2025-04.1\n"
    answers = "select verdict, count(*) from control.approval_answer group by 1 order by 1"
    assert desk.read(answers, "publisher") == [("approve", 1), ("reject", 1)]


def test_what_was_approved_is_published_by_the_next_release(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.contract_asks("bank_kyc", "always")
    _let_gate_pass(monkeypatch)
    desk.withdraw(MAY)
    desk.run("release")
    question = answer.waiting(APRIL)
    assert question is not None
    answer.enter(question.request_id, "approve", "lan", "airflow", None)
    assert plan.wake(APRIL)
    assert "a release would publish what was approved: 2025-04" in desk.run("plan").stdout
    assert desk.run("release").stdout == "2025-04  published  2025-04.1\n"
    assert desk.read("select build_id, approved_by from marts.release") == [(1, "lan")]
    assert answer.forgotten() == [] and json.loads(desk.run("approvals", "--json").stdout) == []


def test_a_waived_source_is_a_footnote_and_a_default_country_asks_nobody(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    _let_gate_pass(monkeypatch)
    desk.withdraw(APRIL, "land_parcel")
    waiver = (
        "waivers:\n  - source: land_parcel\n    periods: 2025-04\n    reason: The land system is being replaced\n"
        "    owner: quality-land\n    until: 2999-12-31\n"
    )
    (desk.expectations / "waivers.yaml").write_text(waiver, encoding="utf-8")
    assert {one.outcome for one in release.release([APRIL])} == {"published"}
    assert desk.read("select approved_by from marts.release") == [(None,)]
    found = desk.read('select source, mart, indicator_code, "check", text_vi, waived_by from marts.footnote')
    assert found == [
        (
            "land_parcel", "fct_land_holding", None, "not_received", "Chưa nhận được: Thửa đất và người sử dụng đất",
            "quality-land, 2999-12-31: The land system is being replaced",
        )
    ]  # fmt: skip
    assert answer.pending(everything=True) == []


def test_an_answer_given_in_airflow_counts_for_nothing_once_the_suites_have_changed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.contract_asks("bank_kyc", "always")
    _let_gate_pass(monkeypatch)
    desk.run("release", "2025-04", code=5)
    desk.add_check("citizen_month", severity="block")
    answer.enter(1, "approve", "lan", "airflow", "fine")
    with pytest.raises(P06Error, match="P06-RELEASE-002"):
        release.publish_build(1)
    assert desk.read("select release_id from control.release", "publisher") == []


def test_a_month_whose_missing_source_is_no_longer_waived_is_not_published_though_approved(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.contract_asks("bank_kyc", "always")
    _let_gate_pass(monkeypatch)
    desk.withdraw(APRIL, "land_parcel")
    path = desk.expectations / "waivers.yaml"
    waiver = "- {source: land_parcel, periods: 2025-04, reason: A test, owner: q, until: 2999-12-31}"
    path.write_text(f"waivers:\n{waiver}\n", encoding="utf-8")
    desk.run("release", "2025-04", code=5)
    path.write_text("waivers: []\n", encoding="utf-8")
    answer.enter(1, "approve", "lan", "airflow", "fine")
    assert desk.told(APRIL)[0] == "not ready"
    assert [one.outcome for one in release.release([APRIL])] == ["not ready"]


def test_a_waiver_that_ends_while_a_month_waits_lets_it_pass_no_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.contract_asks("bank_kyc", "always")
    _let_gate_pass(monkeypatch, waived=("citizen_month", "never_holds"))
    desk.add_check("citizen_month", severity="block")
    waiver = "{mart: citizen_month, check: never_holds, periods: 2025-04, reason: A test, owner: q, until: 2998-12-31}"
    (desk.expectations / "waivers.yaml").write_text(f"waivers:\n- {waiver}\n", encoding="utf-8")
    desk.run("release", "2025-04", code=5)
    monkeypatch.setattr("p06.suite._today", lambda: date(2999, 1, 1))
    with pytest.raises(UsageError, match="P06-APPROVAL-003"):
        answer.answer(APRIL, "approve", "fine")
    answer.enter(1, "approve", "lan", "airflow", "fine")
    assert desk.told(APRIL)[0] == "stale"
    with pytest.raises(P06Error, match="P06-RELEASE-002"):
        release.publish_build(1)
    assert [one.outcome for one in release.release([APRIL])] == ["blocked"]
    assert desk.told(APRIL)[0] == "held"
    assert desk.read("select release_id from control.release", "publisher") == []


def test_an_approval_does_not_carry_over_to_figures_of_other_models(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.contract_asks("bank_kyc", "always")
    _let_gate_pass(monkeypatch)
    desk.run("release", "2025-04", code=5)
    answer.enter(1, "approve", "lan", "airflow", "fine")
    monkeypatch.setattr("p06.build.model_hash", lambda: "other models")
    assert [one.outcome for one in release.release([APRIL], rebuild=True)] == ["waiting"]
    assert desk.read("select release_id from control.release", "publisher") == []


def test_a_rollback_stands_whatever_is_answered_about_a_build_that_waited_before_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    _let_gate_pass(monkeypatch)
    desk.run("release", "2025-04")
    desk.run("release", "2025-04", "--rebuild")
    desk.contract_asks("bank_kyc", "always")
    desk.run("release", "2025-04", "--rebuild", code=5)
    release.rollback(APRIL)
    builds = desk.builds()
    with pytest.raises(P06Error, match="P06-APPROVAL-003"):
        answer.answer(APRIL, "approve", "fine")
    assert desk.builds() == builds
    assert desk.read("select release_id from marts.release where current") == [("2025-04.1",)]


def test_cleaning_spares_a_build_that_waits_though_a_later_one_failed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.contract_asks("bank_kyc", "always")
    _let_gate_pass(monkeypatch)
    desk.run("release", "2025-04", code=5)
    with monkeypatch.context() as patch:
        patch.setattr("p06.fault.point", _fail_at("build.started"))
        with pytest.raises(Killed):
            release.release([APRIL], rebuild=True)
    assert [name for name in release.clean() if name.endswith("__1")] == []
    assert [(one.request_id, one.state) for one in answer.pending(True)] == [(1, "waiting")]
