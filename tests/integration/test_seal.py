"""The seal over the ledger: a legitimate history verifies, and whatever a superuser changes afterwards is named."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from p06 import build, database, publish, quarantine, record, release, seal, steward
from p06.cli import app
from p06.errors import Busy, P06Error, UsageError
from p06.period import Period
from p06.settings import settings
from tests.faults.scene import forge
from tests.integration.sequence import Months, load_ungated
from tests.passed import let_pass
from tests.sender import superuser

APRIL, MAY = Months.periods
PAIR = {
    "pair": "0123456789abcdef0123", "record": "0123456789abcdef" * 2, "source": "bank_kyc", "verdict": "reject",
    "citizen": "00000000-0000-4000-8000-000000000000", "weight": "0.5", "who": "a steward",
}  # fmt: skip
_ASKED = (
    "with q as (insert into control.approval_request (build_id, period, fingerprint, gate_key, asks, evidence, asked_by,"
    " answer_by) select build_id, period, fingerprint, '', '[]', '[]', 'tests', clock_timestamp() + interval '1 day'"
    " from control.build where build_id = 1 returning request_id, build_id, period, fingerprint)"
    " insert into control.approval_answer (request_id, build_id, period, fingerprint, verdict, who, via)"
    " select request_id, build_id, period, fingerprint, 'approve', 'an officer', 'cli' from q"
)
# what marts.sync made of build.indicator_edition before migration 0028
_AS_IT_WAS = """
set role p06_owner;
alter table build.indicator_edition add column release_id text;
update build.indicator_edition as e set release_id = r.release_id from control.release as r where r.build_id = e.build_id;
alter table build.indicator_edition alter release_id set not null;
do $$
declare
    columns text;
begin
    select string_agg(
        case when attname = 'release_id' then 't.release_id' when attname = 'published_at' then 'r.published_at' else 't.' || attname end,
        ', ' order by attnum
    )
    into columns from pg_attribute where attrelid = 'marts.indicator_edition'::regclass and attnum > 0;
    execute format(
        'create or replace view marts.indicator_edition as select %s from build.indicator_edition as t'
        ' inner join control.release as r on r.release_id = t.release_id', columns
    );
end
$$;
reset role;
update build.reference_list set sha256 = 'before' where name in ('marts', 'view marts.indicator_edition');
"""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Months]:
    """A warehouse with a history: loads, a correction, a duplicate, releases, a rollback, decisions, a look at values."""
    months = Months(tmp_path_factory.mktemp("seal"))
    with months.replay.open():
        months.begin()
        for period in (APRIL, MAY):
            months.replay.publish(period)
        months.deliver("bank_kyc", APRIL, 2)
        months.replay.deliver(months.folder / "landing" / "health_visit" / str(MAY) / "rev-1", 7, "again")
        assert sorted(load_ungated()) == ["accepted", "duplicate"]
        months.replay.publish(APRIL)
        release.rollback(APRIL, why="wrong fees")
        quarantine.unmasked("bank_kyc", APRIL)
        decisions = months.folder / "decisions.jsonl"
        decisions.write_text(json.dumps(PAIR) + "\n")
        assert steward.replay(decisions) == 1
        with superuser() as connection, connection.transaction():
            connection.execute(_ASKED)
            seal.enter_entered(connection)
            connection.execute(
                'insert into control.footnote (release_id, number, period, mart, "check", dimension, severity, text_en,'
                " text_vi) values ('2025-04.1', 1, '2025-04-01', 'indicator', 'c', 'du', 'warn', 'a', 'b')"
            )
            seal.enter(connection, "footnote", ["2025-04.1"])
        yield months
    months.replay.stop()


def verdict() -> seal.Verdict:
    with database.connect("admin", autocommit=True) as connection:
        return seal.verify(connection)


def test_a_legitimate_history_verifies_and_covers_every_kind_of_row(lived: Months) -> None:
    found = verdict()
    assert found.findings == ()
    with superuser() as connection:
        covered = {name for (name,) in connection.execute("select distinct subject from control.seal").fetchall()}
    assert covered == {seal.BEGIN, *seal.SUBJECTS}
    assert settings().signing_key_file.stat().st_mode & 0o777 == 0o600
    assert settings().signing_key_file.read_bytes() != settings().token_key_file.read_bytes()


TAMPERED = {
    "a release approved by another": (
        "update control.release set approved_by = 'x' where release_id = '2025-04.1'",
        "release 2025-04.1: changed: approved_by",
    ),
    "a release that never was": (
        "insert into control.release select '2025-05.9', period, 9, 99, fingerprint, model_hash, gate, approved_by,"
        " register_state_before, register_state_after, published_at, kept from control.release"
        " where release_id = '2025-05.1'",
        "release 2025-05.9: not entered",
    ),
    "a release gone": (
        "delete from control.release where release_id = '2025-05.1'",
        "release 2025-05.1: removed",
    ),
    "a record": (
        "update control.release_record set document = replace(document, '\"gate\"', '\"gates\"')"
        " where release_id = '2025-05.1'",
        "release_record 2025-05.1: changed: document",
    ),
    "who rolled back": (
        "update control.pointer_event set who = 'somebody else' where kind = 'rollback'",
        r"pointer_event \d+: changed: who",
    ),
    "a rollback gone": ("delete from control.pointer_event where kind = 'rollback'", r"pointer_event \d+: removed"),
    "two moves in another order": (
        "update control.pointer_event as e set period = o.period, to_release = o.to_release from control.pointer_event as o"
        " where (e.event_id, o.event_id) in ((1, 2), (2, 1))",
        r"pointer_event 1: changed: .*to_release",
    ),
    "the pointer": (
        "update control.published as p set build_id = r.build_id, release_id = r.release_id from control.release as r"
        " where r.release_id = '2025-04.2' and p.period = r.period",
        "published 2025-04: pointer differs",
    ),
    "the register readers see": (
        "update control.register_state set state = state + 1",
        "register_state: pointer differs",
    ),
    "what an extract held": (
        "update control.extract set quarantined = quarantined + 1, staged = staged - 1 where source = 'land_parcel'",
        "extract land_parcel-.*: changed: quarantined, staged",
    ),
    "the accepted extract": (
        "update control.accepted set extract_id = (select min(extract_id) from control.extract where source = 'bank_kyc'"
        " and state = 'superseded') where source = 'bank_kyc' and period = '2025-04-01'",
        "accepted bank_kyc 2025-04: changed: extract",
    ),
    "an extract no longer accepted": (
        "delete from control.accepted where source = 'land_parcel' and period = '2025-05-01'",
        "accepted land_parcel 2025-05: removed",
    ),
    "a refusal forgotten": (
        "delete from control.load_attempt where state = 'duplicate'",
        r"load_attempt \d+: removed",
    ),
    "a refusal invented": (
        "insert into control.load_attempt (source, period, delivery, state) values ('bank_kyc', '2025-04-01', 'd', 'refused')",
        r"load_attempt \d+: not entered",
    ),
    "an answer of a gate": (
        "update quality.check_result set success = false where run = 'build:1'",
        "check_result build:1: changed: answers",
    ),
    "one more answer of a gate": (
        'insert into quality.check_result (period, mart, "check", dimension, severity, success, run, owner, build_id)'
        " values ('2025-04-01', 'indicator', 'c', 'du', 'warn', true, 'build:1', 'o', 1)",
        "check_result build:1: changed: answers, rows",
    ),
    "what a build read": (
        "delete from control.build_extract where build_id = 1 and source = 'bank_kyc'",
        "build 1: changed: extracts",
    ),
    "a published figure": (
        "update build.indicator_edition set numerator = numerator + 1 where build_id = 1"
        " and indicator_code = 'id_card_rate' and area_level = 'nation'",
        "indicator_edition 2025-04.1: changed: figures",
    ),
    "a published figure gone": (
        "delete from build.indicator_edition where build_id = 1 and area_level = 'nation'",
        "indicator_edition 2025-04.1: changed: figures, rows",
    ),
    "an edition gone": (
        "delete from build.indicator_edition where build_id = 1",
        "indicator_edition 2025-04.1: removed",
    ),
    "a footnote": ("update control.footnote set text_vi = ''", "footnote 2025-04.1: changed: notes"),
    "an approval's question": (
        "update control.approval_request set evidence = '[1]'",
        "approval_request 1: changed: evidence",
    ),
    "who approved": ("update control.approval_answer set who = 'me'", "approval_answer 1: changed: who"),
    "an approval invented": (
        "insert into control.approval_answer (request_id, build_id, period, fingerprint, verdict, who, via)"
        " select request_id + 1, build_id, period, fingerprint, 'approve', 'me', 'cli' from control.approval_answer",
        "approval_answer 2: not entered",
    ),
    "a steward's decision": (
        "update vault.steward_decision set verdict = 'accept'",
        r"steward_decision \d+: changed: verdict",
    ),
    "a steward's decision gone": ("delete from vault.steward_decision", r"steward_decision \d+: removed"),
    "who looked at values": ("update control.access_log set who = 'nobody'", r"access_log \d+: changed: who"),
    "a look at values forgotten": ("delete from control.access_log", r"access_log \d+: removed"),
    "an entry changed": (
        "update control.seal set content = replace(content, '{', '{ ') where entry_no = 9",
        r".*: entry changed \(entry 9\)",
    ),
    "an entry and its row alike": (
        "update control.pointer_event set who = 'x' where event_id = 1; update control.seal set content ="
        " (select r.content from control.seal_rows('pointer_event', '{1}') as r) where subject = 'pointer_event' and key = '1'",
        r"pointer_event 1: entry changed \(entry \d+\)",
    ),
    "an entry gone": ("delete from control.seal where entry_no = 9", "chain 9: entry missing"),
    "the first entry gone": ("delete from control.seal where entry_no = 1", "chain 1: entry missing"),
    "entries in another order": (
        "update control.seal set entry_no = 1000019 - entry_no where entry_no in (9, 10);"
        " update control.seal set entry_no = entry_no - 1000000 where entry_no > 1000000",
        r".*: entry changed \(entry 9\)",
    ),
    "an entry slipped in": (
        "insert into control.seal select max(entry_no) + 1, now(), 'access_log', '99', '{}', min(key_id), '\\x00'"
        " from control.seal",
        r"access_log 99: entry changed",
    ),
    "an entry under another key": (
        "insert into control.seal select max(entry_no) + 1, now(), 'access_log', '99', '{}', 'other', '\\x00'"
        " from control.seal",
        r"access_log 99: entry slipped in",
    ),
    "a chain begun anew by another": (
        "insert into control.seal select max(entry_no) + 1, now(), 'chain', 'anew', '{}', 'other', '\\x00' from control.seal",
        r"chain: entry slipped in",
    ),
    "the whole chain gone": ("delete from control.seal", "chain: entry missing"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_a_superuser_changes_is_named(lived: Months, what: str) -> None:
    statements, finding = TAMPERED[what]
    with superuser() as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "set local session_replication_role = replica"
        )  # no trigger, no foreign key stands in the way
        for statement in statements.split(";"):
            connection.execute(statement.encode())
        found = [one.sentence for one in seal.check(connection).findings]
    assert [one for one in found if re.match(finding, one)], found
    assert verdict().sound


def test_the_command_says_so_with_its_exit_code_and_names_no_content(lived: Months) -> None:
    run = CliRunner().invoke
    assert run(app, ["verify"]).exit_code == 0
    head = run(app, ["verify", "--head"]).stdout.strip()
    assert re.fullmatch(r"[1-9]\d*:[0-9a-f]{64}", head)
    change = "update control.pointer_event set who = {} where kind = 'rollback'"
    with superuser() as connection:
        who = connection.execute("select who from control.pointer_event where kind = 'rollback'").fetchone()
        assert who is not None
        connection.execute(change.format("'mallory'").encode())
        found = run(app, ["verify", "--json"])
        connection.execute("update control.pointer_event set who = %s where kind = 'rollback'", who)
    assert found.exit_code == 1
    told = json.loads(found.stdout)
    assert not told["sound"] and [one["columns"] for one in told["findings"]] == [["who"]]
    assert "mallory" not in found.stdout
    assert run(app, ["verify", "--expect", head]).exit_code == 0


def test_what_is_cut_off_at_the_end_is_noticed_by_whoever_kept_the_head(lived: Months) -> None:
    with superuser() as connection, connection.transaction(force_rollback=True):
        head = seal.check(connection).head
        connection.execute("set local session_replication_role = replica")
        connection.execute("delete from control.footnote")
        connection.execute("delete from control.seal where subject = 'footnote'")
        assert seal.check(connection).sound
        assert [one.sentence for one in seal.check(connection, head).findings] == ["chain: head differs"]
    with database.connect("admin", autocommit=True) as connection, pytest.raises(UsageError, match="P06-SEAL-004"):
        seal.verify(connection, "12")


def test_two_writers_at_once_make_one_chain(lived: Months) -> None:
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(15):
                with database.connect("admin") as connection:
                    connection.execute("insert into control.access_log (purpose, object) values ('both', 'x')")
                    seal.enter_entered(connection)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write) for _ in range(2)]
    before = verdict().entries
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failures
    found = verdict()
    assert found.sound and found.entries == before + 30


def test_a_row_and_its_entry_come_and_go_together(lived: Months) -> None:
    before = verdict()
    with database.connect("admin") as connection:
        connection.execute("insert into control.access_log (purpose, object) values ('undone', 'x')")
        seal.enter_entered(connection)
        connection.rollback()
    with database.connect("admin", autocommit=True) as connection:
        pid = connection.execute("select pg_backend_pid()").fetchone()
        with pytest.raises(psycopg.OperationalError), connection.transaction():
            connection.execute("insert into control.access_log (purpose, object) values ('killed', 'x')")
            seal.enter_entered(connection)
            with superuser() as killer:
                killer.execute("select pg_terminate_backend(%s)", pid)
            connection.execute("select 1")
    assert verdict() == before
    with database.connect("admin", autocommit=True) as connection:
        connection.execute("insert into control.access_log (purpose, object) values ('alone', 'x')")
    assert [(one.subject, one.what) for one in verdict().findings] == [("access_log", "not entered")]
    with superuser() as connection:
        connection.execute("delete from control.access_log where purpose = 'alone'")


def test_nobody_but_the_owner_may_touch_the_chain(lived: Months) -> None:
    for role in ("loader", "builder", "publisher", "steward", "quality", "analyst", "identified", "sensitive"):
        for statement in (
            "select * from control.seal",
            "insert into control.seal values (1, now(), 'a', 'b', 'c', 'd', '')",
            "update control.seal set content = ''",
            "delete from control.seal",
        ):
            with (
                database.connect(role, autocommit=True) as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute(statement.encode())


def test_without_its_key_the_chain_is_neither_continued_nor_begun_again(
    lived: Months, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = verdict()

    def look() -> None:
        quarantine.unmasked("bank_kyc", APRIL)

    for content, code in ((None, "P06-SEAL-001"), (b"no key\n", "P06-SEAL-001"), (b"00" * 32, "P06-SEAL-002")):
        path = tmp_path / "signing.key"
        if content is not None:
            path.write_bytes(content)
        with monkeypatch.context() as patch:
            patch.setenv("P06_SIGNING_KEY_FILE", str(path))
            settings.cache_clear()
            with pytest.raises(P06Error, match=code):
                look()
            with pytest.raises(P06Error, match="P06-SEAL-001"):
                verdict()
        settings.cache_clear()
    assert verdict() == before


def test_a_record_says_what_went_in_and_what_came_out(lived: Months) -> None:
    with database.connect("publisher", autocommit=True) as connection:
        found = record.read(connection, "2025-04.2")
        assert found is not None
        text = connection.execute(
            "select document from control.release_record where release_id = '2025-04.2'"
        ).fetchone()
        assert text == (record.canonical(found),)
        inputs = {one["source"]: one for one in found["inputs"]["extracts"]}
        assert inputs["bank_kyc"]["revision"] == 2 and inputs["bank_kyc"]["contract_version"]
        assert [one["period"] for one in found["inputs"]["register"]] == ["2025-04", "2025-05"]
        assert found["previous"] == found["diff"]["to"] == "2025-04.1"
        assert found["gate"]["checks"]["block"] == {"asked": 1, "failed": 0, "waived": 0}
        assert found["code"]["models"] and found["code"]["version"]
    with database.connect("admin", autocommit=True) as connection:
        from p06.digest import digest_of_release

        held = {one.mart: (one.rows, one.checksum) for one in digest_of_release(connection, APRIL, "2025-04.2")}
    assert {mart: (one["rows"], one["digest"]) for mart, one in found["marts"].items()}.items() <= held.items()


def test_two_releases_are_compared_also_when_their_builds_are_gone(lived: Months) -> None:
    def compare() -> record.Difference:
        with database.connect("publisher", autocommit=True) as connection:
            return record.difference(connection, "2025-04.1", "2025-04.2")

    found = compare()
    assert [source for source, _, _ in found.inputs] == ["bank_kyc"]
    rows = {mart: (old, new, same) for mart, old, new, same in found.marts}
    assert rows["fct_health_visit"][2] is True and rows["fct_bank_kyc"][2] is False
    assert {source for source, *_ in found.matches} == {"bank_kyc"}
    assert {row[0] for row in found.indicators} >= {"kyc_biometric_rate"}
    with superuser() as connection:
        recorded = connection.execute(
            "select document::jsonb -> 'diff' from control.release_record where release_id = '2025-04.2'"
        ).fetchone()
        assert recorded is not None
    told: dict[str, Any] = recorded[0]
    nation = [row for row in found.indicators if row[1] == "nation"]
    assert [one["indicator"] for one in told["indicators"]["nation"]] == [row[0] for row in nation]
    assert sum(told["indicators"][kind] for kind in ("changed", "appeared", "gone")) == len(found.indicators)
    shown = CliRunner().invoke(app, ["diff", "2025-04.1", "2025-04.2"])
    assert shown.exit_code == 0 and "kyc_biometric_rate" in shown.stdout
    with database.connect("builder", autocommit=True) as connection:
        from p06 import marts

        assert marts.drop_builds(connection, [1])
    assert compare() == found


def test_a_database_in_use_begins_its_chain_with_what_it_finds(lived: Months) -> None:
    """As after an upgrade, and as when the key is lost: the rows count as they are, and the first entry says so."""
    key = settings().signing_key_file
    with superuser() as connection:
        connection.execute("delete from control.seal")
        connection.execute("update control.pointer_event set why = 'before there was a chain' where event_id = 1")
        # where there is a key, a chain that was taken away does not come back by itself
        seal.begin(connection)
        with pytest.raises(P06Error, match="P06-SEAL-005"):
            quarantine.unmasked("bank_kyc", APRIL)
        assert next(one.sentence for one in verdict().findings) == "chain: entry missing"
        key.unlink()
        seal.begin(connection)
        made = key.read_bytes()
        key.rename(key.with_name(".signing.key.draft"))  # killed before the key had its name
        seal.begin(connection)
        assert key.read_bytes() == made
    quarantine.unmasked("bank_kyc", APRIL)
    found = verdict()
    assert found.sound and found.beginnings[0].rows == found.rows - 1 > 20
    with database.connect("admin", autocommit=True) as connection:
        seal.begin_anew(connection, "the key was lost")
    later = verdict()
    assert later.sound and [one.why for one in later.beginnings] == [None, "the key was lost"]
    assert [one.key_here for one in later.beginnings] == [True, True]
    with superuser() as connection, connection.transaction(force_rollback=True):
        connection.execute("update control.seal set content = '{}' where entry_no = 5")
        assert [one.entry for one in seal.check(connection).findings] == [5]
    for old in settings().signing_key_file.parent.glob("signing.*.key"):
        old.unlink()
    assert verdict().sound and [one.key_here for one in verdict().beginnings] == [False, True]


def test_a_writer_that_holds_the_chain_too_long_makes_the_others_give_up(
    lived: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    with superuser() as holder:
        holder.execute("alter function control.seal_head() set lock_timeout = '200ms'")
        with holder.transaction():
            holder.execute("select pg_advisory_xact_lock(5255226)")
            with pytest.raises(Busy, match="P06-SEAL-003"):
                quarantine.unmasked("bank_kyc", Period.parse("2025-04"))
        holder.execute("alter function control.seal_head() set lock_timeout = '10s'")
    assert verdict().sound


def _passed(connection: psycopg.Connection[Any]) -> int:
    """A build of May that is said to have passed, of which nothing is kept yet."""
    spec = release._start(connection, MAY)
    build.run_models(spec)
    with connection.transaction():
        release._finish(connection, spec.build_id, "built")
        let_pass(connection, spec.build_id)
    return spec.build_id


def test_a_build_that_passed_before_editions_were_of_builds_is_published_after_the_upgrade(lived: Months) -> None:
    """The table as it was: the release's name in it, read by the view, and nothing kept of a build not published yet."""
    with database.connect("builder", autocommit=True) as connection, release._alone():
        build_id = _passed(connection)
    with superuser() as connection:
        before = connection.execute(
            "select * from marts.indicator_edition order by 1, 2, 3, 4, published_at"
        ).fetchall()
        connection.execute(_AS_IT_WAS)
    name = release.publish_build(build_id)
    with superuser() as connection:
        kept = connection.execute(
            "select * from marts.indicator_edition where release_id <> %s order by 1, 2, 3, 4, published_at", (name,)
        ).fetchall()
        assert kept == before
        new = connection.execute(
            "select (select count(*) from marts.indicator_edition where release_id = %s),"
            " (select count(*) from marts.indicator where period = %s),"
            " (select count(*) from marts.indicator_as_published(clock_timestamp(), %s))",
            (name, MAY.first_day, MAY.first_day),
        ).fetchone()
        assert new is not None and new[0] == new[1] == new[2] > 0
        columns = connection.execute(
            "select count(*) from pg_attribute where attrelid = 'build.indicator_edition'::regclass"
            " and attname = 'release_id' and not attisdropped"
        ).fetchone()
        assert columns == (0,)
    assert verdict().sound


_FIGURE = (
    "update control.build_figure set document = jsonb_set(document::jsonb, '{}', '{}')::text where build_id = %(build)s"
)
BEFORE_PUBLICATION = {
    "an indicator kept": (
        "update build.indicator_edition set numerator = numerator + 1 where build_id = %(build)s and area_level = 'nation'",
        "indicator_edition {release}: changed: figures",
    ),
    "an indicator added": (
        "insert into build.indicator_edition select * from build.indicator_edition where build_id = %(build)s limit 1",
        "indicator_edition {release}: changed: figures, rows",
    ),
    "every indicator gone": (
        "delete from build.indicator_edition where build_id = %(build)s",
        "indicator_edition {release}: removed",
    ),
    "what they are said to say": (
        _FIGURE.format("{edition,rows}", "1"),
        "build_figure {build}: changed: document",
    ),
    "what the build is said to change": (
        _FIGURE.format("{diff,indicators,changed}", "99"),
        "build_figure {build}: changed: document",
    ),
}


@pytest.fixture(scope="module")
def forged(lived: Months) -> int:
    """A build of May that passed its gate, for transactions that are rolled back."""
    with superuser() as connection:
        shown = connection.execute("select build_id from control.published where period = %s", (MAY.first_day,))
        source = shown.fetchone()
    assert source is not None
    return forge(MAY, source[0], publish_it=False)


@pytest.mark.parametrize("what", BEFORE_PUBLICATION)
def test_what_is_changed_between_gate_and_publication_is_named(lived: Months, forged: int, what: str) -> None:
    statement, finding = BEFORE_PUBLICATION[what]
    with superuser() as connection, connection.transaction(force_rollback=True):
        record.keep(connection, forged, record.measure(connection, forged))
        connection.execute(statement.encode(), {"build": forged})
        name = publish.publish(connection, forged, "tests")
        found = [one.sentence for one in seal.check(connection).findings]
    assert [one for one in found if one.startswith(finding.format(build=forged, release=name))], found


def test_a_gate_keeps_the_indicators_the_build_has_whatever_stood_there_before(lived: Months, forged: int) -> None:
    with superuser() as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "insert into build.indicator_edition select * from build.indicator where build_id = %s limit 1", (forged,)
        )
        record.keep(connection, forged, record.measure(connection, forged))
        name = publish.publish(connection, forged, "tests")
        different = connection.execute(
            "select count(*) filter (where e.release_id is null), count(*) from marts.indicator as i left join"
            " marts.indicator_edition as e on e.release_id = %s and (e.indicator_code, e.area_level, e.area_code, e.value)"
            " = (i.indicator_code, i.area_level, i.area_code, i.value) where i.period = %s",
            (name, MAY.first_day),
        ).fetchone()
        assert different is not None and different[0] == 0 < different[1]
        assert seal.check(connection).sound


def test_nothing_is_kept_of_a_build_that_has_not_passed(lived: Months, forged: int) -> None:
    with superuser() as connection, connection.transaction(force_rollback=True):
        connection.execute("update control.build set state = 'built' where build_id = %s", (forged,))
        with pytest.raises(P06Error, match="P06-RELEASE-004"):
            publish.publish(connection, forged, "tests")
        kept = connection.execute(
            "select (select count(*) from build.indicator_edition where build_id = %(build)s),"
            " (select count(*) from control.build_figure where build_id = %(build)s)",
            {"build": forged},
        ).fetchone()
        assert kept == (0, 0)


def test_the_indicators_of_a_build_nobody_published_are_seen_by_nobody_and_go_with_it(lived: Months) -> None:
    def kept(build_id: int) -> tuple[int, int]:
        with superuser() as connection:
            row = connection.execute(
                "select (select count(*) from build.indicator_edition where build_id = %(build)s), (select count(*)"
                " from marts.indicator_edition as e inner join control.release as r using (release_id)"
                " where r.build_id = %(build)s)",
                {"build": build_id},
            ).fetchone()
            assert row is not None
            return row[0], row[1]

    with superuser() as connection:
        published = [build_id for (build_id,) in connection.execute("select build_id from control.release").fetchall()]
    before = {build_id: kept(build_id) for build_id in published}
    assert all(stored == seen > 0 for stored, seen in before.values())
    with database.connect("builder", autocommit=True) as connection, release._alone():
        build_id = _passed(connection)
        with connection.transaction():
            record.keep(connection, build_id, record.measure(connection, build_id))
        stored, seen = kept(build_id)
        assert stored > 0 and seen == 0 and verdict().sound
        connection.execute("update control.build set state = 'failed' where build_id = %s", (build_id,))
    release.clean()
    assert kept(build_id) == (0, 0)
    assert {build_id: kept(build_id) for build_id in published} == before
