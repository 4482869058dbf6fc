"""One small warehouse at each stage of its work, copied anew for every fault; what breaks it, and what must hold after.

Two months of sixty people and six sources. A *stage* is a copy of the database just before a piece of work; *acts* are
what tasks and commands call. An act is run undisturbed once per stage: whatever is broken on the way, the same act
again ends where that one ended.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import yaml
from psycopg import sql

from p06 import database, fault, marts, publish, release
from p06 import digest as digests
from p06.period import Period
from p06.settings import settings
from tests.faults import readers
from tests.faults.readers import Look
from tests.integration.sequence import Months, _server, load_ungated
from tests.integration.warehouse import order
from tests.passed import let_pass

APRIL, MAY = Months.periods
ZYGOTE = "tests.faults.zygote"
SOURCE = "health_visit"
MATCHED = "education_enrolment"  # its rows state communes, which a mended code list can free
OURS = "('p06_loader', 'p06_builder', 'p06_publisher')"


@dataclass(frozen=True)
class Work:
    """What a group of steps is part of: the stage it begins at, and the act."""

    stage: str
    act: str
    arguments: tuple[str, ...] = ()
    surroundings: str = ""  # a variable of the environment the act runs in


WORK = {
    "pull": Work("to pull", "pull", (SOURCE,), "P06_CONTRACTS"),
    "load": Work("delivered", "load", (SOURCE, str(MAY))),
    "replay": Work("to replay", "replay", (MATCHED, str(MAY))),
    "build": Work("loaded", "release", (str(MAY),)),
    "build.linked": Work("loaded", "release", (str(MAY),), "P06_LINKAGE"),
    "gate": Work("built", "gate", ("{build}",)),  # of May
    "publish": Work("passed", "publish", ("{build}",)),
    "rollback": Work("corrected", "rollback", (str(APRIL), f"{APRIL}.1")),
    "cleanup": Work("crowded", "tidy"),
}
# steps broken where their surroundings are built
ELSEWHERE = {
    "pull.page": "tests/integration/test_pull_http.py",
    "approval.asked": "tests/integration/test_approval.py",
    "approval.renewed": "tests/integration/test_approval.py",
    "approval.answered": "tests/integration/test_approval.py",
    "approval.told": "tests/integration/test_approval.py",
    "backup.copied": "tests/integration/test_backup.py",
    "backup.written": "tests/integration/test_backup.py",
    "backup.done": "tests/integration/test_backup.py",
    "restore.started": "tests/integration/test_backup.py",
    "restore.copied": "tests/integration/test_backup.py",
    "restore.recovered": "tests/integration/test_backup.py",
    "restore.moved": "tests/integration/test_backup.py",
    "alert.sent": "tests/integration/test_alerts.py",
}
KILLS = ("self", "session", "backend", "postmaster")


@dataclass
class Outcome:
    """What one fault did: how the broken act ended, how long the same act then took, what readers saw."""

    code: int
    seconds: float
    looks: int
    anomalies: list[str]
    differences: list[str]


@dataclass
class Child:
    """An act under way in a process of its own."""

    pid: int
    out: Path

    def stopped(self, seconds: float = 300.0) -> bool:
        """Wait until it has stopped itself (true) or ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                status = psutil.Process(self.pid).status()
            except psutil.NoSuchProcess:
                return False
            if status == psutil.STATUS_STOPPED:
                return True
            if status == psutil.STATUS_ZOMBIE:
                return False
            time.sleep(0.01)
        return pytest.fail(f"neither stopped nor ended within {seconds:.0f} s")

    def go_on(self) -> None:
        """After a stop."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> int:
        """How it ended; negative: the signal."""
        return order(ZYGOTE, {"wait": self.pid})

    def family(self) -> list[psutil.Process]:
        """Every process of its session that still runs."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    @property
    def said(self) -> str:
        """What it printed."""
        return self.out.read_text("utf-8")


@dataclass
class Scene:
    """The warehouse, its stages, and how each act ends undisturbed."""

    months: Months
    made: dict[str, int] = field(default_factory=dict)  # stage -> the build its act is about
    undisturbed: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    expected: dict[str, dict[str, Look]] = field(default_factory=dict)  # of a stage, before and after its act
    count: int = 0

    @property
    def folder(self) -> Path:
        """Where the country, the home and what acts print lie."""
        return self.months.folder

    @contextmanager
    def open(self) -> Iterator[None]:
        """The environment of its home."""
        with self.months.replay.open():
            yield

    # ---- stages ------------------------------------------------------------------------------------------------

    def stand(self, name: str) -> int:
        """Put the warehouse at the stage, made when it is asked for first; returns the build its act is about, or 0."""
        if name not in self.made:
            self.made[name] = self._make(name)
            self._keep(name)
        else:
            self._restore(name)
        return self.made[name]

    def _make(self, name: str) -> int:
        """Each stage begins where another ends."""
        if name == "begun":  # April is published, nothing of May has come
            self.months.replay.begin()
            for source in self._sources():
                self.months.deliver(source, APRIL)
            load_ungated()
            self.months.replay.publish(APRIL)
            readers.prepare(superuser())
            return 0
        if name == "to pull":
            self.stand("begun")
            return 0
        if name == "delivered":
            self.stand("begun")
            for source in self._sources():
                self.months.deliver(source, MAY)
            return 0
        if name == "loaded":
            self.stand("delivered")
            load_ungated()
            return 0
        if name == "to replay":
            self.stand("delivered")
            with short_list(self.folder):
                load_ungated()
            return 0
        if name == "built":
            self.stand("loaded")
            return release.build(MAY)
        if name == "passed":
            self.stand("corrected")
            return forge(APRIL, 1, publish_it=False)
        if name == "corrected":  # April is published a second time, with other rows in every mart
            self.stand("begun")
            for source in self._sources():
                self.months.deliver(source, APRIL, 2)
            load_ungated()
            self.months.replay.publish(APRIL)
            return 0
        assert name == "crowded"  # more releases of April than are kept
        self.stand("corrected")
        for _ in range(publish.KEPT):
            forge(APRIL, 2)
        return 0

    def _sources(self) -> list[str]:
        from p06.synth import SOURCES

        return list(SOURCES)

    def _keep(self, name: str) -> None:
        with _server() as server:
            _end_sessions(server)
            server.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(_stage(name)), sql.Identifier(database.WAREHOUSE)
                )
            )
        shutil.copytree(self.months.replay.landing, self.folder / _stage(name), dirs_exist_ok=True)

    def _restore(self, name: str) -> None:
        with _server() as server:
            _end_sessions(server)
            server.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database.WAREHOUSE))
            )
            server.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(database.WAREHOUSE), sql.Identifier(_stage(name))
                )
            )
            server.execute(  # the right to connect is the database's, not the template's
                "update pg_database set datacl = (select datacl from pg_database where datname = 'p06_template')"
                " where datname = %s",
                (database.WAREHOUSE,),
            )
            # a copied sequence believes its next numbers are in the log already; after a crash it would give them twice
            server.execute("checkpoint")
        shutil.rmtree(self.months.replay.landing, ignore_errors=True)
        shutil.copytree(self.folder / _stage(name), self.months.replay.landing)
        shutil.rmtree(settings().home / "pulls", ignore_errors=True)

    # ---- acts --------------------------------------------------------------------------------------------------

    def start(self, work: Work, build_id: int, **environment: str) -> Child:
        """Begin an act in a process of its own."""
        self.count += 1
        out = self.folder / f"act-{self.count}.txt"
        if work.surroundings:
            environment |= {work.surroundings: str(SURROUNDINGS[work.surroundings](self.folder))}
        wanted = {
            "start": work.act, "arguments": [text.format(build=build_id) for text in work.arguments],
            "environment": dict(os.environ) | environment, "folder": str(self.folder), "out": str(out),
        }  # fmt: skip
        return Child(order(ZYGOTE, wanted), out)

    def run(self, work: Work, build_id: int, **environment: str) -> tuple[int, str]:
        """An act from beginning to end: how it ended and what it said."""
        child = self.start(work, build_id, **environment)
        return child.end(), child.said

    def undisturbed_end(self, work: Work) -> dict[str, Any]:
        """What the warehouse holds after the act, nothing having broken it; run when it is asked for first."""
        known = (work.stage, work.act + work.surroundings)
        if known not in self.undisturbed:
            build_id = self.stand(work.stage)
            seen = {(one := look_at_rest())[0]: one}
            code, said = self.run(work, build_id)
            assert code == 0, said
            seen |= {(one := look_at_rest())[0]: one}
            self.undisturbed[known], self.expected[known[0] + known[1]] = content(), seen
        return self.undisturbed[known]

    def break_at(self, step: str, kill: str) -> Outcome:
        """Break the act at a step, run the same act again, and say what that came to; readers look all the time."""
        work = WORK.get(step) or WORK[step.split(".")[0]]
        wanted = self.undisturbed_end(work)
        build_id = self.stand(work.stage)
        analyst = database.dsn("analyst")
        with readers.watching(analyst) as watching:
            if kill == "self":
                code = self.run(work, build_id, **{fault.VARIABLE: step})[0]
            else:
                child = self.start(work, build_id, **{fault.STOP: step})
                assert child.stopped(), f"{step} was never reached: {child.said}"
                BREAK[kill]()
                child.go_on()
                code = child.end()
            began = time.perf_counter()
            again, said = self.run(work, build_id)
            seconds = time.perf_counter() - began
            _looked_once_more(watching)
        assert again == 0, f"{step} {kill}: the same act again ended {again}: {said}"
        found = content()
        different = [
            f"{part}: {found[part]} instead of {wanted[part]}" for part in wanted if found[part] != wanted[part]
        ]
        return Outcome(
            code, seconds, sum(one.looks for one in watching),
            readers.anomalies(watching, self.expected[work.stage + work.act + work.surroundings]), different + broken_promises(),
        )  # fmt: skip


def _looked_once_more(watching: list[readers.Reader], seconds: float = 30.0) -> None:
    """Wait until every reader has looked at what stands at the end."""
    before = [one.looks for one in watching]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if all(one.looks > looks + 1 for one, looks in zip(watching, before, strict=True)):
            return
        time.sleep(0.02)


# ---- what breaks ---------------------------------------------------------------------------------------------------


def _end_our_sessions() -> None:
    with _server() as server:
        server.execute(
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = 'p06' and usename in {OURS}".encode()
        )


def _kill_a_backend() -> None:
    """SIGKILL of the session that does the work; the server restarts all others."""
    with _server() as server:
        [(pid,)] = server.execute(
            f"select pid from pg_stat_activity where datname = 'p06' and usename in {OURS}"
            " order by (state <> 'idle') desc, backend_start desc limit 1".encode()
        ).fetchall() or [(None,)]
    if pid is None:  # the act holds no session at this step; any backend's death restarts the server
        with _server() as server:
            [(pid,)] = server.execute("select pg_backend_pid()").fetchall()
            os.kill(pid, signal.SIGKILL)
            return
    os.kill(pid, signal.SIGKILL)


def _kill_the_postmaster() -> None:
    lines = (settings().home / "postgres" / "postmaster.pid").read_text().splitlines()
    os.kill(int(lines[0]), signal.SIGKILL)


BREAK: dict[str, Callable[[], None]] = {
    "session": _end_our_sessions, "backend": _kill_a_backend, "postmaster": _kill_the_postmaster,
}  # fmt: skip


# ---- what must hold ------------------------------------------------------------------------------------------------


def look_at_rest() -> Look:
    """What an analyst sees when nothing happens."""
    with psycopg.connect(database.dsn("analyst"), autocommit=True) as connection:
        return readers.look(connection, "statement")


def content() -> dict[str, Any]:
    """Digest of what readers see, what is staged and quarantined, and where every pointer stands."""
    with psycopg.connect(superuser(), autocommit=True) as connection:
        found: dict[str, Any] = {one.mart: (one.rows, one.checksum) for one in digests.digest(connection)}
        for name, query in LEDGER.items():
            found[name] = connection.execute(query.encode()).fetchall()
        for (table,) in connection.execute(
            "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname in ('staging', 'quarantine') and c.relkind = 'p' order by 1"
        ).fetchall():
            found[table] = connection.execute(
                f"select count(*), sum(hashtextextended(t::text, 0)) from {table} as t".encode()
            ).fetchall()
    found["landing"] = sorted(
        str(path.relative_to(settings().home / "landing")) for path in (settings().home / "landing").rglob("*.csv*")
    )
    return found


LEDGER = {
    "accepted": "select source, period, extract_id, revision_floor from control.accepted order by 1, 2",
    "extracts": "select extract_id, state, received, duplicates, quarantined, staged, replay_number"
    " from control.extract order by 1",
    "releases": "select release_id, kept from control.release order by 1",
    "pointers": "select period, release_id from control.published order by 1",
    "holds": "select period, kind from control.hold order by 1",
    "open attempts": "select count(*) from control.load_attempt where state = 'running'",
    "leaves": "select n.nspname, count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where c.relkind = 'r' and n.nspname in ('staging', 'quarantine') group by 1 order by 1",
}


def broken_promises() -> list[str]:
    """The invariants that do not hold, in words."""
    found = []
    with psycopg.connect(superuser(), autocommit=True) as connection:
        for words, query in PROMISES.items():
            count = connection.execute(query.encode()).fetchone()
            if count != (0,):
                found.append(words)
        for (parent,) in connection.execute(
            "select c.relname from pg_class c where c.relnamespace = 'staging'::regnamespace and c.relkind = 'p'"
        ).fetchall():
            doubled = connection.execute(
                f"select count(*) from (select 1 from staging.{parent} group by period, extract_id, file_no, line"
                " having count(*) > 1) as d".encode()
            ).fetchone()
            if doubled != (0,):
                found.append(f"a row of {parent} is staged twice")
    return found


PROMISES = {
    "manifest rows are not staged + quarantined + duplicates": (
        "select count(*) from control.extract where received <> staged + quarantined + duplicates"
    ),
    "a pointer names a build that is not published": (
        "select count(*) from control.published p left join control.build b using (build_id)"
        " where b.state is distinct from 'published'"
    ),
    "a pointer names a release that is not kept": (
        "select count(*) from control.published p join control.release r using (release_id) where not r.kept"
    ),
    "a detach is left half done": "select count(*) from pg_inherits where inhdetachpending",
    "the register state readers see was never recorded": (
        "select count(*) from control.register_state s where s.state > 0 and not exists"
        " (select from vault.register_state_extract e where e.state = s.state)"
    ),
}


def superuser() -> str:
    """The address of the server's superuser in the warehouse."""
    return database.dsn("admin").replace("p06_admin", "postgres", 1)


def _end_sessions(server: psycopg.Connection[Any]) -> None:
    server.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()",
        (database.WAREHOUSE,),
    )


def _stage(name: str) -> str:
    return "stage_" + name.replace(" ", "_")


def forge(period: Period, source_build: int, publish_it: bool = True) -> int:
    """A new build with the rows of an older one, as if the same extracts had been built again; returns its id.

    Its leaves are made and attached as a build does it. One citizen's digital identity changes with it, so that the
    register's state moves as well.
    """
    with database.connect("builder") as connection:
        before = connection.execute("select state from control.register_state").fetchone()[0]  # type: ignore[index]
        row = connection.execute(
            "insert into control.build (period, fingerprint, inputs, model_hash, gate_key, register_state_before,"
            " register_state_after, state, host, pid) select period, %s, inputs, model_hash, '', %s,"
            " (select greatest(max(register_state_after), %s) + 1 from control.build), 'passed', host, pid"
            " from control.build where build_id = %s returning build_id, register_state_after",
            (_fingerprint(period), before, before, source_build),
        ).fetchone()
        assert row is not None
        build_id, after = row
        month = f"__{period.year:04d}{period.month:02d}"
        for parent, leaf in connection.execute(
            "select p.relname, c.relname from pg_class c join pg_inherits i on i.inhrelid = c.oid join pg_class p"
            " on p.oid = i.inhparent where c.relname like %s and c.relnamespace = 'build'::regnamespace order by 1",
            (f"%\\_\\_{month[2:]}\\_\\_{source_build}",),
        ).fetchall():
            new = f"{leaf.rpartition('__')[0]}__{build_id}"
            columns = [
                name
                for (name,) in connection.execute(
                    "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
                    " and not attisdropped and attname <> 'build_id' order by attnum",
                    (f"build.{leaf}",),
                ).fetchall()
            ]
            connection.execute(
                f"create table build.{new} (like build.{parent});"
                f" insert into build.{new} (build_id, {', '.join(columns)}) select {build_id}, {', '.join(columns)}"
                f" from build.{leaf}; alter table build.{new} alter period set not null, alter build_id set not null,"
                f" add check (period = '{period.first_day}' and build_id = {build_id});"
                f" alter table build.{parent} attach partition build.{new} for values in ({build_id})".encode()
            )
        columns = [
            name
            for (name,) in connection.execute(
                "select attname from pg_attribute where attrelid = 'build.dim_citizen'::regclass and attnum > 0"
                " and not attisdropped and attname not in ('from_state', 'to_state', 'eid_level') order by attnum"
            ).fetchall()
        ]
        connection.execute(f"delete from build.dim_citizen where from_state > {before}".encode())
        connection.execute(f"update build.dim_citizen set to_state = null where to_state > {before}".encode())
        connection.execute(
            f"with one as (select ctid, * from build.dim_citizen where to_state is null order by citizen_token,"
            f" valid_from limit 1), closed as (update build.dim_citizen d set to_state = {after} from one"
            f" where d.ctid = one.ctid) insert into build.dim_citizen ({', '.join(columns)}, eid_level, from_state)"
            f" select {', '.join(columns)}, case eid_level::text when '1' then '2' else '1' end, {after} from one".encode()
        )
        connection.execute(
            "insert into vault.register_state_extract select %s, part, extract_key from vault.register_state_extract"
            " where state = %s",
            (after, before),
        )
        let_pass(connection, int(build_id))
    _planned_anew()
    with database.connect("builder") as connection:
        marts.renew_plans(connection, int(build_id))
    if publish_it:
        release.publish_build(build_id)
    return int(build_id)


def _planned_anew() -> None:
    """Wait until no statement runs that was planned before the leaves came; a gate takes longer than any planning."""
    with _server() as server:
        attached = server.execute("select clock_timestamp()").fetchone()
        while server.execute(
            "select 1 from pg_stat_activity where datname = 'p06' and state = 'active' and query_start < %s"
            " and usename = 'p06_analyst'",
            attached,
        ).fetchone():
            time.sleep(0.01)


def _fingerprint(period: Period) -> str:
    from p06 import plan

    with database.connect("publisher", autocommit=True) as connection:
        return plan.Ledger(connection).inputs(period).fingerprint


@contextmanager
def short_list(folder: Path) -> Iterator[None]:
    """Contracts whose commune list lacks communes the enrolments of May name, so that those rows go to quarantine."""
    contracts = folder / "contracts-short"
    if not contracts.exists():
        shutil.copytree(settings().contracts, contracts)
        used = _communes(folder)
        area = contracts / "codelists" / "area.csv"
        lines = area.read_text("utf-8").splitlines(keepends=True)
        area.write_text("".join(line for line in lines if not any(f",{code}," in f",{line}" for code in used)), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("P06_CONTRACTS", str(contracts))
        settings.cache_clear()
        yield
    settings.cache_clear()


def _communes(folder: Path) -> set[str]:
    """One commune code of the enrolments of May."""
    import csv
    import gzip
    import io

    [part, *_] = sorted((folder / "landing" / MATCHED / str(MAY) / "rev-1").glob("*.gz"))
    rows = csv.DictReader(io.StringIO(gzip.decompress(part.read_bytes()).decode("utf-8", "replace")))
    codes = sorted(row["commune_code"] for row in rows if (row.get("commune_code") or "").isdigit())
    return {codes[0]}


def pulled(folder: Path) -> Path:
    """Contracts in which the source of ``pull`` is fetched from a folder that holds its delivery of May."""
    outbox, contracts = folder / "outbox", folder / "contracts-pull"
    if not contracts.exists():
        delivery = folder / "landing" / SOURCE / str(MAY) / "rev-1"
        shutil.copytree(delivery, outbox / SOURCE / str(MAY) / "rev-1")
        shutil.copytree(settings().contracts, contracts)
        path = contracts / f"{SOURCE}.odcs.yaml"
        document = yaml.safe_load(path.read_text("utf-8"))
        document["servers"].append(
            {"server": "outbox", "type": "local", "path": str(outbox), "format": "csv",
             "customProperties": [{"property": "pull", "value": True}]}
        )  # fmt: skip
        path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), "utf-8")
    return contracts


def linked(folder: Path) -> Path:
    """The shipped model of linkage, enabled."""
    target = folder / "linkage-on"
    if not target.exists():
        shutil.copytree(settings().linkage, target)
        model = target / "model.json"
        model.write_text(json.dumps(json.loads(model.read_bytes()) | {"enabled": True}), "utf-8")
    return target


SURROUNDINGS: dict[str, Callable[[Path], Path]] = {"P06_CONTRACTS": pulled, "P06_LINKAGE": linked}
