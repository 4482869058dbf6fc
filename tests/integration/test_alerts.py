"""Alerts: written with the event, sent at least once, to whoever is to hear of it; nobody's silence holds up the work."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from typer.testing import CliRunner

from p06 import alert, channel, contract, database, doctor, load, message, publish, watch
from p06.cli import app
from p06.errors import P06Error, Refused, messages
from p06.period import Period
from p06.settings import settings
from tests.passed import let_pass
from tests.sender import Sender, visits
from tests.sinks import PASSWORD, USER, MailSink, WebSink, certificate, mail_server, web_server

CANARY = "079201012345"
DUTY, HEALTH, EVERYBODY = "duty@ministry.example", "health@ministry.example", "all@ministry.example"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def mail(pem: Path) -> Iterator[MailSink]:
    with mail_server(pem) as sink:
        yield sink


@pytest.fixture
def web() -> Iterator[WebSink]:
    with web_server() as sink:
        yield sink


@pytest.fixture(autouse=True)
def empty(sender: Sender) -> Iterator[None]:
    with database.connect("admin") as connection:
        connection.execute("set role p06_owner")
        connection.execute("truncate control.alert cascade")
    yield
    settings().alerts.unlink(missing_ok=True)
    shutil.rmtree(settings().home / "secrets" / "connections", ignore_errors=True)


def configure(document: dict[str, Any], **secrets: dict[str, str]) -> None:
    settings().alerts.write_text(yaml.safe_dump(document))
    for name, values in secrets.items():
        path = settings().home / "secrets" / "connections" / f"p06_alerts_{name}.json"
        database.write_secret(path, json.dumps(values).encode())


def by_mail(mail: MailSink, pem: Path, *routes: dict[str, Any], **more: str) -> None:
    stated = {"kind": "email", "host": "127.0.0.1", "port": mail.port, "sender": "p06@ministry.example"}
    given = {"user": USER, "password": PASSWORD} | more
    configure(
        {
            "channels": {"post": stated | {"ca_file": str(pem)}},
            "routes": [{"channel": "post"} | route for route in routes],
        },
        post=given,
    )


def by_web(web: WebSink, **route: Any) -> None:
    configure(
        {"channels": {"chat": {"kind": "webhook", "url": web.url}}, "routes": [{"channel": "chat"} | route]},
        chat={"secret": "pepper"},
    )


def note(kind: str, about: str, *rest: Any, **facts: Any) -> None:
    with database.connect("loader") as connection:
        alert.note(connection, kind, about, *rest, **facts)


def states() -> list[tuple[str, str, int]]:
    return sorted((one.message.kind, one.state, one.attempts) for one in alert.outbox())


def be_due() -> None:
    with database.connect("publisher") as connection:
        connection.execute("update control.alert_delivery set next_at = clock_timestamp()")


def test_a_mail_goes_out_encrypted_with_a_password_in_both_languages(mail: MailSink, pem: Path) -> None:
    by_mail(mail, pem, {"to": [DUTY]})
    note("gate_blocked", "one", "health_visit", Period.parse("2024-03"), what="2024-03", checks=["match_rate"])
    assert alert.send() == alert.Sent(1, ())
    (sent,) = mail.mails
    assert (mail.to, mail.encrypted) == ([DUTY], [True])
    assert sent["Subject"] == "[p06] Cổng chất lượng chặn · Gate blocked: health_visit 2024-03"
    assert sent["Auto-Submitted"] == "auto-generated"
    text = sent.get_content()
    assert "Cổng chất lượng chặn 2024-03: các phép kiểm match_rate" in text
    assert "The gate blocked 2024-03: checks match_rate" in text
    assert text.index("Cổng") < text.index("The gate")
    assert alert.send() == alert.Sent(0, ())


def test_a_webhook_gets_json_whose_signature_the_receiver_can_check(web: WebSink) -> None:
    by_web(web)
    note("released", "2024-03.1", None, Period.parse("2024-03"), release="2024-03.1", gate="clean")
    assert alert.send().sent == 1
    (headers, body), (document,) = web.taken[0], web.documents
    stated = dict(part.split("=", 1) for part in headers["P06-Signature"].split(","))
    expected = hmac.new(b"pepper", f"{stated['t']}.".encode() + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(stated["v1"], expected)
    assert headers["P06-Alert-Id"] == document["id"]
    assert (document["kind"], document["period"], document["source"]) == ("released", "2024-03", None)
    assert document["facts"] == {"release": "2024-03.1", "gate": "clean"}
    assert "đã được công bố" in document["text"]["vi"] and "was published" in document["text"]["en"]


def test_kinds_and_sources_decide_who_hears_of_it_and_the_contract_names_the_sender(
    mail: MailSink, pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "contracts"
    shutil.copytree(settings().contracts, folder)
    path = folder / "health_visit.odcs.yaml"
    stated = "support:\n  - {channel: desk, tool: email, url: mailto:desk@health.example}\nteam:\n"
    path.write_text(path.read_text("utf-8").replace("team:\n", stated, 1), "utf-8")
    contract.validate(path)
    before = contract.load("health_visit").hash
    monkeypatch.setenv("P06_CONTRACTS", str(folder))
    settings.cache_clear()
    assert contract.load("health_visit").hash == before
    by_mail(
        mail, pem, {"to": [DUTY]}, {"to": [HEALTH, DUTY], "sources": ["health_visit"]},
        {"contacts": True, "kinds": ["deadline_missed"]}, {"to": [EVERYBODY], "kinds": ["released"]},
    )  # fmt: skip
    known = channel.channels()
    assert known.recipients("deadline_missed", "health_visit") == [
        ("post", DUTY), ("post", HEALTH), ("post", "desk@health.example"),
    ]  # fmt: skip
    assert known.recipients("deadline_missed", "bank_kyc") == [("post", DUTY)]
    assert known.recipients("released", None) == [("post", DUTY), ("post", EVERYBODY)]


def test_whoever_cannot_be_reached_is_tried_again_later_and_holds_up_nobody(
    mail: MailSink, web: WebSink, pem: Path
) -> None:
    by_mail(mail, pem, {"to": [DUTY, HEALTH]})
    document = yaml.safe_load(settings().alerts.read_text())
    document["channels"]["chat"] = {"kind": "webhook", "url": web.url}
    document["routes"].append({"channel": "chat"})
    settings().alerts.write_text(yaml.safe_dump(document))
    web.status, mail.refuse = 503, {HEALTH}
    for about in ("one", "two"):
        note("task_failed", about, task="release.build", code="P06-BUILD-001")
    assert alert.send() == alert.Sent(
        2, (("chat", "HTTP 503"), ("post", "SMTPRecipientsRefused"), ("post", "SMTPRecipientsRefused"))
    )
    assert mail.to == [DUTY, DUTY] and len(web.taken) == 1, "a channel that is down is asked once"
    assert alert.send() == alert.Sent(0, (("chat", "HTTP 503"),)), "only what was not tried is due"
    pauses = [
        (one.next_at - one.message.noted_at).total_seconds()
        for one in alert.outbox()
        if one.state == "waiting" and one.next_at
    ]
    assert all(55 < pause < 600 for pause in pauses)
    web.status, mail.refuse = 204, set()
    assert alert.send().sent == 0
    be_due()
    assert alert.send() == alert.Sent(4, ())
    assert {one.state for one in alert.outbox()} == {"sent"}


def test_pauses_grow_and_after_a_week_an_alert_is_given_up(web: WebSink) -> None:
    by_web(web)
    web.status = 500
    note("task_failed", "one", task="t", code="c")
    pauses = []
    for _ in range(9):
        be_due()
        alert.send()
        (one,) = alert.outbox()
        assert one.next_at is not None
        pauses.append(round((one.next_at - datetime.now(timezone.utc)).total_seconds() / 60))
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 120, 120]
    with database.connect("admin") as connection:
        connection.execute("set role p06_owner")
        connection.execute("update control.alert set noted_at = noted_at - interval '8 days'")
    be_due()
    alert.send()
    assert states() == [("task_failed", "given up", 10)]


def test_a_sender_killed_before_it_could_note_its_success_sends_it_again_under_the_same_name(web: WebSink) -> None:
    by_web(web)
    note("task_failed", "one", task="t", code="c")
    command = [sys.executable, "-c", "from p06 import alert; print(alert.send().sent)"]
    killed = subprocess.run(command, env=os.environ | {"P06_FAIL_AT": "alert.sent"}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert states() == [("task_failed", "waiting", 0)]
    assert alert.send().sent == 1
    assert len({headers["P06-Alert-Id"] for headers, _ in web.taken}) == 1 and len(web.taken) == 2


def test_two_senders_at_once_send_each_alert_once(web: WebSink) -> None:
    by_web(web)
    for number in range(12):
        note("task_failed", str(number), task="t", code="c")
    command = [sys.executable, "-c", "from p06 import alert; print(alert.send().sent)"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sum(int(process.communicate()[0]) for process in running) == 12
    assert sorted(document["id"] for document in web.documents) == sorted({d["id"] for d in web.documents})


def test_an_event_rolled_back_is_never_told_and_the_same_event_is_told_once(web: WebSink) -> None:
    by_web(web)
    with database.connect("publisher", autocommit=True) as connection:
        with pytest.raises(ZeroDivisionError), connection.transaction():
            alert.note(connection, "released", "2024-03.1")
            raise ZeroDivisionError
        for _ in range(2):
            alert.note(connection, "released", "2024-03.2", release="2024-03.2")
    assert alert.send().sent == 1
    assert [document["facts"] for document in web.documents] == [{"release": "2024-03.2"}]


def test_what_could_be_a_persons_never_reaches_an_alert(mail: MailSink, pem: Path) -> None:
    by_mail(mail, pem, {"to": [DUTY]})
    hostile = ["x\r\nBcc: all@elsewhere.example", CANARY, f"visit-{CANARY}.csv", "a" * 500, "{kind}", "<b>"]
    note(
        "delivery_refused", "one", CANARY, Period.parse("2024-03"), delivery=hostile[0], codes=hostile, more=12345678901
    )
    alert.send()
    (sent,) = mail.mails
    assert CANARY not in sent.as_string() and "12345678901" not in sent.as_string()
    assert sent["Bcc"] is None and mail.to == [DUTY]
    with database.connect("publisher") as connection:
        row = connection.execute("select source, facts::text from control.alert").fetchone()
    assert row is not None and row[0] == "…" and CANARY not in row[1]


def test_without_a_configuration_alerts_are_kept_for_nobody(web: WebSink) -> None:
    note("released", "2024-03.1")
    assert alert.send() == alert.Sent(0, ())
    assert states() == [("released", "no recipient", 0)]
    by_web(web)
    note("released", "2024-03.2")
    assert alert.send().sent == 1, "what was settled before anybody could hear of it is not told late"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("channels: [", "line"),
        ("[]", "document"),
        ("channels: {a: {kind: pigeon}}", "channels.a.kind"),
        ("channels: {a: {kind: email, host: h, sender: nobody}}", "channels.a.sender"),
        ("channels: {a: {kind: email, host: h, sender: a@b.c, security: ssl}}", "channels.a.security"),
        ("channels: {a: {kind: email, host: h, sender: a@b.c, password: x}}", "channels.a"),
        ("channels: {a: {kind: webhook}}\nroutes: [{channel: b}]", "routes[0].channel"),
        ("channels: {a: {kind: webhook}}\nroutes: [{channel: a, kinds: [births]}]", "routes[0].kinds"),
        ("channels: {a: {kind: webhook}}\nroutes: [{channel: a, to: [x@y.z]}]", "routes[0].to"),
        ("channels: {a: {kind: webhook}}\nroutes: [{channel: a, sources: [births]}]", "routes[0].sources"),
    ],
)
def test_a_configuration_that_cannot_be_read_names_its_place_and_nothing_is_lost(
    sender: Sender, text: str, at: str
) -> None:
    note("released", "2024-03.1")
    settings().alerts.write_text(text)
    with pytest.raises(P06Error) as raised:
        alert.send()
    assert raised.value.code == "P06-ALERT-001" and at in str(raised.value)
    assert doctor._alerts().state == "bad"
    assert states() == [("released", "noted", 0)]
    sender.rows(visits(2))
    done = CliRunner().invoke(app, ["load"])
    assert done.exit_code == 0, "a load does not care"


def test_the_configuration_shown_in_the_runbook_is_one_that_works(sender: Sender) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "runbooks" / "alerts.md"
    block = page.read_text("utf-8").partition("```yaml\n")[2].partition("```")[0]
    settings().alerts.write_text(block)
    known = channel.channels()
    assert [type(one).__name__ for one in known.known.values()] == ["Email", "Webhook"]
    assert ("chat", "chat") in known.recipients("released", None)
    assert doctor._alerts().found == "2 channels, 4 routes"
    table = {kind for kind in message.KINDS if f"`{kind}`" in page.read_text("utf-8")}
    assert table == set(message.KINDS)


def test_no_password_leaves_without_encryption_and_no_secret_stands_in_the_outbox(
    mail: MailSink, web: WebSink, pem: Path
) -> None:
    by_mail(mail, pem, {"to": [DUTY]})
    document = yaml.safe_load(settings().alerts.read_text())
    document["channels"]["post"]["security"] = "none"
    settings().alerts.write_text(yaml.safe_dump(document))
    note("released", "one")
    assert alert.send().failed == (("post", "NoPasswordWithoutEncryption"),)
    by_mail(mail, pem, {"to": [DUTY]}, password="wrong")
    be_due()
    assert alert.send().failed == (("post", "SMTPAuthenticationError"),)
    configure(
        {"channels": {"chat": {"kind": "webhook"}}, "routes": [{"channel": "chat"}]},
        chat={"url": "http://a.example/token"},
    )
    note("released", "two")
    assert ("chat", "NoPlainHttp") in alert.send().failed
    with database.connect("publisher") as connection:
        text = str(connection.execute("select * from control.alert_delivery").fetchall())
    assert "wrong" not in text and "token" not in text and PASSWORD not in text


def test_a_certificate_nobody_vouches_for_is_refused(mail: MailSink, pem: Path) -> None:
    by_mail(mail, pem, {"to": [DUTY]})
    document = yaml.safe_load(settings().alerts.read_text())
    del document["channels"]["post"]["ca_file"]
    settings().alerts.write_text(yaml.safe_dump(document))
    note("released", "one")
    assert alert.send().failed == (("post", "SSLCertVerificationError"),)
    assert mail.mails == []


def test_a_refused_delivery_is_told_once_however_often_it_is_looked_at(sender: Sender) -> None:
    bad = sender.rows(visits(2), change=lambda manifest: manifest["files"][0].update(rows=3))
    for _ in range(2):
        with pytest.raises(Refused):
            load.stage(bad)
    (one,) = alert.outbox()
    assert (one.message.kind, one.message.source, str(one.message.period)) == (
        "delivery_refused", "health_visit", "2024-01",
    )  # fmt: skip
    assert one.message.facts == {"delivery": "health_visit/2024-01/first", "codes": ["P06-LOAD-016"]}


def test_a_gate_that_blocks_an_extract_is_told_with_its_checks(sender: Sender) -> None:
    sender.rows([*visits(2), *("x" * 5 for _ in range(80))])
    assert CliRunner().invoke(app, ["load"]).exit_code == 3
    (one,) = alert.outbox()
    assert one.message.kind == "gate_blocked"
    assert "quarantined_share" in one.message.facts["checks"]
    assert one.message.facts["what"].startswith("health_visit-202401-r1-")


def _published(build_id: int, release: str) -> None:
    month = date(2024, 3, 1)
    with database.connect("admin") as connection:
        connection.execute("set role p06_owner")
        connection.execute(
            "insert into control.build (build_id, period, fingerprint, inputs, model_hash, register_state_before,"
            " register_state_after, host, pid, state) overriding system value values (%s, %s, '', '{}', '', 0, 0, '', 0,"
            " 'built')",
            (build_id, month),
        )
    with database.connect("builder") as connection:
        let_pass(connection, build_id)
    with database.connect("admin") as connection:
        connection.execute("set role p06_owner")
        connection.execute(
            "insert into control.release (release_id, period, number, build_id, fingerprint, model_hash, gate,"
            " register_state_before, register_state_after) values (%s, %s, %s, %s, '', '', 'clean', 0, 0)",
            (release, month, int(release.rpartition(".")[2]), build_id),
        )
        connection.execute(
            "insert into control.published values (%s, %s, %s) on conflict (period) do update"
            " set build_id = excluded.build_id, release_id = excluded.release_id",
            (month, build_id, release),
        )
        connection.execute("update control.build set state = 'published' where build_id = %s", (build_id,))


def test_a_rollback_is_told_with_both_releases(sender: Sender) -> None:
    _published(900001, "2024-03.1")
    _published(900002, "2024-03.2")
    try:
        with database.connect("publisher", autocommit=True) as connection:
            publish.rollback(connection, Period.parse("2024-03"), None, "somebody", "CANARY why", "key")
        (one,) = alert.outbox()
        assert one.message.kind == "rolled_back"
        assert one.message.facts == {"release": "2024-03.2", "to": "2024-03.1"}
        assert "CANARY" not in one.message.text
    finally:
        with database.connect("admin") as connection:
            connection.execute("set role p06_owner")
            connection.execute(
                "truncate control.release, control.published, control.pointer_event, control.hold, control.build cascade"
            )


def test_a_deadline_is_a_day_in_vietnam() -> None:
    assert watch.vietnam_day(datetime(2024, 3, 10, 16, 59, tzinfo=timezone.utc)) == date(2024, 3, 10)
    assert watch.vietnam_day(datetime(2024, 3, 10, 17, 0, tzinfo=timezone.utc)) == date(2024, 3, 11)


def test_a_missed_deadline_is_told_once_for_each_month_that_passes(
    sender: Sender, sees: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sender.rows(visits(2))
    assert load.load()[0].outcome == "accepted"
    with database.connect("loader") as connection:  # a month of long ago nobody waited for makes nobody late
        connection.execute(
            "insert into control.accepted (source, period, extract_id, revision_floor)"
            " select 'eid_account', '2022-03-01', extract_id, revision_floor from control.accepted"
        )
    due = contract.load("health_visit").deadline_day
    told: list[tuple[str, Any]] = []
    for today in (date(2024, 3, due), date(2024, 3, due + 1), date(2024, 3, due + 2), date(2024, 4, due + 1)):
        watch.tell(today)
        told = [
            (str(period)[:7], facts["months"])
            for period, facts in sees.execute(
                "select period, facts from control.alert where kind = 'deadline_missed' and source = 'health_visit'"
                " order by alert_id"
            ).fetchall()
        ]
        if today == date(2024, 3, due):
            assert told == [], "the day itself is still in time"
    assert told == [("2024-02", ["2024-02"]), ("2024-03", ["2024-02..2024-03"])]


def test_the_list_and_the_test_of_the_channels(web: WebSink) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["alerts", "test"])
    assert isinstance(done.exception, P06Error) and done.exception.code == "P06-ALERT-003"
    by_web(web, kinds=["released"])
    done = runner.invoke(app, ["alerts", "test"])
    assert done.exit_code == 0 and "sent 1" in done.stdout
    assert web.documents[0]["kind"] == "test"
    (told,) = json.loads(runner.invoke(app, ["alerts", "--json"]).stdout)
    assert (told["state"], told["channel"], told["attempts"]) == ("sent", "chat", 1)
    assert "sent" in runner.invoke(app, ["alerts"]).stdout
    web.status = 500
    assert runner.invoke(app, ["alerts", "test"]).exit_code == 1


def test_every_kind_has_words_in_two_languages_and_no_place_is_left_open() -> None:
    for kind in (*message.KINDS, message.TEST):
        words = messages()[f"alert.{kind}"]
        assert {"en", "vi", "next_en", "next_vi", "title_en", "title_vi"} == set(words)
    with pytest.raises(KeyError), database.connect("loader") as connection:
        alert.note(connection, "births", "one")


@pytest.mark.parametrize("role", ["analyst", "quality", "steward", "identified", "sensitive"])
def test_readers_see_nothing_of_the_outbox(sender: Sender, role: str) -> None:
    for table in ("alert", "alert_delivery"):
        with (
            database.connect(role, autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(f"select * from control.{table}".encode())


_NOTIFY = """
from types import SimpleNamespace as Some
from p06.airflow.notifier import TaskFailed
from p06.airflow.run import AlreadyTold
def fail(error, task):
    TaskFailed()({"exception": error, "dag_run": Some(partition_key="2024-03", run_id="r"),
        "ti": Some(dag_id="load__health_visit", task_id=task, try_number=3)})
fail(RuntimeError("P06-DB-002 cannot be reached (079201012345)"), "stage")
fail(AlreadyTold("P06-LOAD-001 refused"), "gate")
fail(RuntimeError("somebody's name"), "accept")
"""


def test_a_task_of_airflow_that_fails_is_noted_by_its_code_alone(tmp_path: Path) -> None:
    env = os.environ | {"AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", _NOTIFY], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [one.message for one in alert.outbox()]
    assert [one.facts for one in found] == [
        {"task": "load__health_visit.accept", "code": "P06-INTERNAL"},
        {"task": "load__health_visit.stage", "code": "P06-DB-002"},
    ]
    assert {(one.source, str(one.period)) for one in found} == {("health_visit", "2024-03")}
