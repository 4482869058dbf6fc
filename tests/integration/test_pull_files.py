"""What senders lay down in a folder, a bucket or an SFTP account arrives in landing as it is, once, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from p06 import fault, landing, load, pull
from p06.errors import UsageError
from p06.period import Period
from p06.settings import settings
from tests.integration import origin
from tests.integration.origin import PLACES, SECRET, Place, command, hidden, visible
from tests.sender import Sender, header, visits

JANUARY = Period(2024, 1)
STEPS = [step for step in fault.PULL if step != "pull.page"]


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, sender: Sender, tmp_path: Path) -> Iterator[Place]:
    """One origin of each kind, declared in the contract of health_visit, with its connection."""
    with PLACES[request.param](tmp_path) as found:
        yield from _declared(found, tmp_path)


@pytest.fixture
def mailbox(sender: Sender, tmp_path: Path) -> Iterator[Place]:
    """The SFTP account alone."""
    with PLACES["sftp"](tmp_path) as found:
        yield from _declared(found, tmp_path)


@pytest.fixture
def outbox(sender: Sender, tmp_path: Path) -> Iterator[Place]:
    """The folder alone."""
    with PLACES["local"](tmp_path) as found:
        yield from _declared(found, tmp_path)


def _declared(found: Place, tmp_path: Path) -> Iterator[Place]:
    before = os.environ.get("P06_CONTRACTS")
    origin.declare(tmp_path, found.server)
    kept = origin.connection(f"p06_health_visit_{found.server['server']}", found.secrets)
    mirror = origin.connection("p06_landing", found.secrets)
    yield found
    for path in (kept, mirror):
        path.unlink(missing_ok=True)
    shutil.rmtree(settings().home / "pulls", ignore_errors=True)
    shutil.rmtree(settings().home / "landing", ignore_errors=True)
    os.environ.pop("P06_CONTRACTS") if before is None else os.environ.update(P06_CONTRACTS=before)
    settings.cache_clear()


@pytest.fixture
def ministry(tmp_path: Path) -> Sender:
    """Writes deliveries somewhere else; a test lays them down at the origin."""
    return Sender(tmp_path / "ministry")


def content(lines: list[str]) -> str:
    return "\n".join([header(), *lines]) + "\n"


def staged(sees: psycopg.Connection[Any]) -> list[Any]:
    return sees.execute(
        "select count(*), md5(string_agg(v::text, ',' order by visit_id)) from staging.health_visit as v"
    ).fetchall()


def outcomes(results: list[pull.PullResult]) -> list[tuple[str, str | None]]:
    return [(one.outcome, one.error.code if one.error else None) for one in results]


def test_a_delivery_at_the_origin_is_loaded_as_if_it_had_been_pushed(
    place: Place, sender: Sender, ministry: Sender, sees: psycopg.Connection[Any]
) -> None:
    sent = place.send(ministry, files=[content(visits(40)), content(visits(30, 41))])
    [done] = pull.pull("health_visit")
    assert (done.outcome, done.files, done.delivery) == ("pulled", 2, "first")
    assert visible() == {f"health_visit/2024-01/first/{name}": data for name, data in sent.items()}
    assert hidden() == []
    assert [result.outcome for result in load.load("health_visit")] == ["accepted"]
    assert staged(sees)[0][0] == 70


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_next_pull_ends_with_the_same_bytes(place: Place, ministry: Sender, step: str) -> None:
    sent = place.send(ministry, files=[content(visits(9_000)), content(visits(30, 9_001))])
    killed = command("pull", "health_visit", "2024-01", P06_FAIL_AT=step)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    whole = {f"health_visit/2024-01/first/{name}": data for name, data in sent.items()}
    assert visible() == (whole if step in ("pull.landed", "pull.noted") else {})
    assert {one.outcome for one in pull.pull("health_visit", JANUARY)} <= {"pulled", "unchanged"}
    assert (visible(), hidden()) == (whole, [])
    assert pull.pull("health_visit") == []


def test_a_file_cut_off_in_the_middle_is_gone_on_with_behind_its_last_byte(place: Place, ministry: Sender) -> None:
    sent = place.send(ministry, files=[content(visits(9_000))])
    assert len(sent["part-0001.csv"]) > 1 << 20
    assert command("pull", "health_visit", P06_FAIL_AT="pull.copying").returncode == -signal.SIGKILL
    [part] = [path for folder in hidden() for path in folder.iterdir()]
    begun = part.stat()
    assert part.read_bytes() == sent["part-0001.csv"][: begun.st_size]
    os.truncate(part, min(begun.st_size, 700_001))
    assert outcomes(pull.pull("health_visit")) == [("pulled", None)]
    [arrived] = landing.root().rglob("part-0001.csv")
    assert arrived.stat().st_ino == begun.st_ino
    assert arrived.read_bytes() == sent["part-0001.csv"]


def test_a_beginning_that_is_not_the_origins_is_thrown_away(place: Place, ministry: Sender) -> None:
    sent = place.send(ministry, files=[content(visits(9_000))])
    assert command("pull", "health_visit", P06_FAIL_AT="pull.copying").returncode == -signal.SIGKILL
    [part] = [path for folder in hidden() for path in folder.iterdir()]
    with part.open("r+b") as file:
        file.write(b"?")
    assert outcomes(pull.pull("health_visit")) == [("pulled", None)]
    assert visible()["health_visit/2024-01/first/part-0001.csv"] == sent["part-0001.csv"]


def test_what_is_still_being_written_is_left_alone(place: Place, ministry: Sender) -> None:
    sent = place.send(ministry, files=[content(visits(5)), content(visits(5, 6))])
    below = "health_visit/2024-01/first"
    place.remove(f"{below}/manifest.json")
    assert outcomes(pull.pull("health_visit")) == [("unfinished", "P06-LOAD-002")]
    place.put(f"{below}/manifest.json", sent["manifest.json"][:200])
    assert outcomes(pull.pull("health_visit")) == [("unfinished", "P06-PULL-010")]
    place.put(f"{below}/manifest.json", sent["manifest.json"])
    place.put(f"{below}/part-0002.csv", sent["part-0002.csv"][:100])
    assert outcomes(pull.pull("health_visit")) == [("unfinished", "P06-PULL-009")]
    place.remove(f"{below}/part-0002.csv")
    assert outcomes(pull.pull("health_visit")) == [("unfinished", "P06-PULL-009")]
    assert (visible(), hidden()) == ({}, [])
    place.put(f"{below}/part-0002.csv", sent["part-0002.csv"])
    assert outcomes(pull.pull("health_visit")) == [("pulled", None)]


def test_nothing_new_at_the_origin_writes_nothing_even_when_landing_was_emptied(place: Place, ministry: Sender) -> None:
    place.send(ministry, files=[content(visits(5))])
    assert outcomes(pull.pull("health_visit")) == [("pulled", None)]
    before = {path: path.stat().st_mtime_ns for path in landing.root().rglob("*")}
    assert pull.pull("health_visit") == []
    assert {path: path.stat().st_mtime_ns for path in landing.root().rglob("*")} == before
    shutil.rmtree(landing.root())
    assert pull.pull("health_visit") == []
    assert visible() == {}


def test_without_its_notes_a_pull_knows_what_lies_in_landing(place: Place, ministry: Sender) -> None:
    place.send(ministry, files=[content(visits(5))])
    pull.pull("health_visit")
    before = {path: path.stat().st_mtime_ns for path in landing.root().rglob("*")}
    shutil.rmtree(settings().home / "pulls")
    assert outcomes(pull.pull("health_visit")) == [("unchanged", None)]
    assert {path: path.stat().st_mtime_ns for path in landing.root().rglob("*")} == before


def test_a_correction_brings_the_senders_own_revision(
    place: Place, ministry: Sender, sees: psycopg.Connection[Any]
) -> None:
    place.send(ministry, files=[content(visits(5))])
    pull.pull("health_visit")
    load.load("health_visit")
    place.send(ministry, files=[content(visits(6))], name="second", revision=2)
    assert outcomes(pull.pull("health_visit", JANUARY)) == [("pulled", None)]
    assert [(one.outcome, one.revision) for one in load.load("health_visit")] == [("accepted", 2)]
    assert staged(sees)[0][0] == 6


def test_a_delivery_changed_in_its_place_lands_beside_the_old_one(place: Place, ministry: Sender) -> None:
    first = place.send(ministry, files=[content(visits(5))])
    pull.pull("health_visit")
    shutil.rmtree(ministry.landing)
    second = place.send(ministry, files=[content(visits(6))], revision=2)
    [done] = pull.pull("health_visit")
    assert done.outcome == "pulled" and done.delivery and done.delivery.startswith("first~")
    shown = visible()
    assert shown["health_visit/2024-01/first/part-0001.csv"] == first["part-0001.csv"]
    assert shown[f"health_visit/2024-01/{done.delivery}/part-0001.csv"] == second["part-0001.csv"]
    assert pull.pull("health_visit") == []


def test_a_delivery_changed_while_it_is_copied_is_left_until_the_next_pull(
    place: Place, ministry: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = place.send(ministry, files=[content(visits(5)), content(visits(5, 6))])

    def meddle(step: str) -> None:
        if step == "pull.copying":
            place.put("health_visit/2024-01/first/part-0001.csv", sent["part-0001.csv"] + b"more")

    with monkeypatch.context() as patch:
        patch.setattr(fault, "point", meddle)
        assert outcomes(pull.pull("health_visit")) == [("unfinished", "P06-PULL-012")]
    assert visible() == {}
    place.put("health_visit/2024-01/first/part-0001.csv", sent["part-0001.csv"])
    assert outcomes(pull.pull("health_visit")) == [("pulled", None)]
    assert hidden() == []


def test_two_pulls_of_one_month_do_not_meet(outbox: Place, ministry: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox.send(ministry, files=[content(visits(5))])
    outbox.send(ministry, files=[content(visits(5))], period="2024-02")
    monkeypatch.setattr(pull, "PATIENCE", 0.2)
    with pull._held("health_visit", "2024-01"):
        found = pull.pull("health_visit")
    assert outcomes(found) == [("busy", "P06-PULL-013"), ("pulled", None)]
    assert pull.exit_code(found) == 6
    assert outcomes(pull.pull("health_visit")) == [("pulled", None)]


def test_a_false_checksum_is_brought_as_it_is_and_refused_by_the_load(place: Place, ministry: Sender) -> None:
    def lie(manifest: dict[str, Any]) -> None:
        manifest["files"][0]["sha256"] = "0" * 64

    place.send(ministry, files=[content(visits(5))], change=lie)
    assert outcomes(pull.pull("health_visit")) == [("pulled", None)]
    [refused] = load.load("health_visit")
    assert refused.outcome == "refused" and refused.error is not None
    assert [one.code for one in refused.error.mismatches] == ["P06-LOAD-015"]  # type: ignore[attr-defined]


def test_the_folder_of_the_deliveries_may_be_a_pattern(place: Place, ministry: Sender, tmp_path: Path) -> None:
    origin.declare(tmp_path, place.server, path="exports/month-{period}/p06/")
    place.send(ministry, "exports/month-2024-01/p06", files=[content(visits(2))])
    place.send(ministry, "exports/month-2024-02/p06", files=[content(visits(2))], period="2024-02")
    place.send(ministry, "exports/elsewhere/p06", files=[content(visits(2))], period="2024-03")
    assert [one.period for one in pull.pull("health_visit", Period(2024, 2))] == ["2024-02"]
    assert [one.period for one in pull.pull("health_visit")] == ["2024-01"]


@pytest.mark.parametrize("name", ["a\x7fb.csv", "x" * 201, ".hidden", "a\\b.csv"])
def test_an_unsafe_name_refuses_the_delivery_and_stops_no_other(place: Place, ministry: Sender, name: str) -> None:
    place.send(ministry, files=[content(visits(2))])
    place.send(ministry, files=[content(visits(3))], name="good")
    place.put(f"health_visit/2024-01/first/{name}", b"x")
    assert sorted(outcomes(pull.pull("health_visit")), key=str) == [("pulled", None), ("refused", "P06-PULL-008")]
    assert {path.split("/")[2] for path in visible()} == {"good"}


def test_a_bucket_cannot_lead_out_of_landing(sender: Sender, ministry: Sender, tmp_path: Path) -> None:
    with PLACES["s3"](tmp_path) as bucket:
        for declared in _declared(bucket, tmp_path):
            sent = declared.send(ministry, files=[content(visits(2))])
            for key in (
                "health_visit/2024-01/../manifest.json",
                "health_visit/2024-01/first/../../../../evil.csv",
                "health_visit/2024-01//absolute/manifest.json",
            ):
                declared.put(key, sent["manifest.json"])
            declared.put("health_visit/2024-01/a\x7fb/manifest.json", sent["manifest.json"])
            found = outcomes(pull.pull("health_visit"))
            assert ("pulled", None) not in found and ("refused", "P06-PULL-008") in found
            assert visible() == {}
            assert not list(tmp_path.rglob("evil.csv"))


@pytest.mark.parametrize("kind", ["local", "sftp"])
def test_links_and_pipes_are_never_followed(kind: str, sender: Sender, ministry: Sender, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("not for landing")
    with PLACES[kind](tmp_path) as found:
        for place in _declared(found, tmp_path):
            place.send(ministry, files=[content(visits(2))])
            place.send(ministry, files=[content(visits(3))], name="second")
            place.send(ministry, files=[content(visits(4))], name="third")
            assert place.folder is not None
            at = place.folder / "health_visit" / "2024-01"
            (at / "first" / "part-0001.csv").unlink()
            (at / "first" / "part-0001.csv").symlink_to(tmp_path / "outside")
            (at / "second" / "part-0001.csv").unlink()
            os.mkfifo(at / "second" / "part-0001.csv")
            shutil.move(at / "third", tmp_path / "third")
            (at / "third").symlink_to(tmp_path / "third")
            assert outcomes(pull.pull("health_visit")) == [("refused", "P06-PULL-008")] * 2
            assert visible() == {}


def test_a_host_that_is_not_the_one_known_is_refused(mailbox: Place, ministry: Sender, tmp_path: Path) -> None:
    mailbox.send(ministry, files=[content(visits(2))])
    unknown = {name: text for name, text in mailbox.secrets.items() if name != "host_key"}
    origin.connection("p06_health_visit_mailbox", unknown)
    assert outcomes(pull.pull("health_visit")) == [("failed", "P06-PULL-007")]
    other = {**unknown, "host_key": (tmp_path / "ssh" / "stranger.pub").read_text()}
    origin.connection("p06_health_visit_mailbox", other)
    assert outcomes(pull.pull("health_visit")) == [("failed", "P06-PULL-007")]
    of_another_kind = {**unknown, "host_key": (tmp_path / "ssh" / "other-kind.pub").read_text()}
    origin.connection("p06_health_visit_mailbox", of_another_kind)
    assert outcomes(pull.pull("health_visit")) == [("failed", "P06-PULL-007")]
    origin.connection("p06_health_visit_mailbox", unknown)
    origin.declare(tmp_path, mailbox.server, hostKey=mailbox.secrets["host_key"])
    assert outcomes(pull.pull("health_visit")) == [("pulled", None)]


def test_a_key_the_host_does_not_know_is_told_without_it(mailbox: Place, tmp_path: Path) -> None:
    stranger = {**mailbox.secrets, "private_key": (tmp_path / "ssh" / "stranger").read_text()}
    origin.connection("p06_health_visit_mailbox", stranger)
    assert outcomes(pull.pull("health_visit")) == [("failed", "P06-PULL-006")]


def test_a_connection_others_may_read_is_not_used(outbox: Place, mailbox: Place) -> None:
    path = origin.connection("p06_health_visit_mailbox", mailbox.secrets)
    path.chmod(0o640)
    [of_mailbox] = [one for one in pull.pull("health_visit") if one.server == "mailbox"]
    assert of_mailbox.error is not None and of_mailbox.error.code == "P06-PULL-002"


def test_no_secret_is_told_or_left_anywhere(place: Place, ministry: Sender, tmp_path: Path) -> None:
    place.send(ministry, files=[content(visits(2))])
    said = ""
    for breakage in ({}, {"location": f"{place.kind}://127.0.0.1:1/nowhere"}, {"path": "/nowhere", "format": "csv"}):
        origin.declare(tmp_path, place.server | {k: v for k, v in breakage.items() if k in place.server})
        for options in ((), ("--json",), ("--debug",)):
            done = command("pull", "health_visit", *options)
            said += done.stdout + done.stderr
    assert "P06-PULL-" in said
    key = place.secrets.get("private_key", SECRET).splitlines()
    left = "".join(path.read_text(errors="replace") for path in [
        *landing.root().rglob("*"), *(settings().home / "pulls").rglob("*")] if path.is_file())  # fmt: skip
    for word in (SECRET, *key[1:-1]):
        assert word not in said + left


def test_a_landing_by_url_is_loaded_as_one_of_this_machine(
    place: Place, ministry: Sender, sees: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P06_LANDING", place.url)
    settings.cache_clear()
    place.send(ministry, files=[content(visits(40))])
    unwritten = place.send(ministry, files=[content(visits(3))], period="2024-02")
    place.remove("health_visit/2024-02/first/manifest.json")
    killed = command("load", "health_visit", P06_FAIL_AT="pull.copied")
    assert killed.returncode == -signal.SIGKILL
    done = command("load", "--json")
    assert done.returncode == 0, done.stderr
    assert sorted(one["outcome"] for one in json.loads(done.stdout)) == ["accepted", "unfinished"]
    assert staged(sees)[0][0] == 40
    assert load.pending() == []
    shutil.rmtree(landing.root())  # settled and tidied away: not fetched again
    assert load.pending() == []
    assert visible() == {}
    place.put("health_visit/2024-02/first/manifest.json", unwritten["manifest.json"])
    assert [one.period for one in load.pending()] == ["2024-02"]


def test_an_origin_declared_wrongly_is_named(outbox: Place, tmp_path: Path) -> None:
    for change, properties, at in (
        ({"type": "custom"}, {}, "type"),
        ({}, {"pull": "yes"}, "pull"),
        ({"path": "relative"}, {}, "path"),
        ({}, {"path": "exports/"}, "path"),
        ({}, {"path": "../{period}/"}, "path"),
        ({"server": "No Name"}, {}, "server"),
    ):
        shutil.rmtree(tmp_path / "contracts")
        origin.declare(tmp_path, outbox.server | change, **properties)
        try:
            wrong = [one.error for one in pull.pull("health_visit", JANUARY)]
        except UsageError as error:
            wrong = [error]
        assert [(one.code, one.where["at"]) for one in wrong if one] == [("P06-PULL-001", at)]
