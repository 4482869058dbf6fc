"""What may happen to six months of six sources before everything is delivered and released; replayed in one process.

A *country* holds, per source and period, the contents its sender sends one after another: the first, corrections of
it, now and then the first again. A *sequence* delivers the last of them and any of the others in any order, some
twice, and releases, rebuilds, rolls back and tidies in between. Whatever the sequence, the same contents win.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
from psycopg import sql

from p06 import build, database, gate, ledger, load, marts, plan, publish, release, staging, watch
from p06 import digest as digests
from p06.errors import UsageError
from p06.period import Period, parse_range
from p06.settings import settings
from p06.synth import SOURCES, correction, generate
from tests.passed import let_pass

MONTHS = parse_range("2025-04..2025-09")  # the reform of July 2025 in the middle
REGISTER = "population_register"
TEMPLATE = "p06_template"
# All but the revision: a published content that is stated again under a higher one is a duplicate without effect, and
# its month keeps the number it was built with.
_RECONCILED = """
select count(*)::integer, md5(string_agg(
    row(period, source, received, duplicates, quarantined, staged, matched, conflicting, unmatched, published)::text,
    ' ' order by period, source
))
from marts.reconciliation
"""
_REVISIONS = 3  # between one content's first revision and the next content's
_REFORM = Period.parse("2025-07")


@dataclass(frozen=True)
class Statement:
    """One delivery: which content of a source and period, under which revision; ``needed`` in every sequence."""

    source: str
    period: Period
    content: int
    revision: int
    needed: bool


@dataclass(frozen=True)
class Step:
    """One thing that happens: statements arrive and are loaded, or one of the operator's commands."""

    act: Literal["deliver", "release", "rebuild", "rollback", "tidy"]
    statements: tuple[Statement, ...] = ()
    which: float | None = None  # of a command: which of the periods it can be given for, 0 to 1; None: all


@dataclass
class Country:
    """A synthetic country and what its senders send: folders by source and period, the winning one last."""

    folder: Path
    contents: dict[tuple[str, Period], list[Path]] = field(default_factory=dict)

    @classmethod
    def found(cls, folder: Path, citizens: int, seed: int, corrected: float = 0.3) -> Country:
        """Generate it; a share of the deliveries is corrected, some twice, some back to the first content.

        The registers are changed by hand beside: numbers joined to others, people renamed, moved, removed, dead.
        """
        chance = random.Random(seed)
        generate(folder, citizens, MONTHS, seed, "usual")
        country = cls(folder)
        for source in SOURCES:
            for period in MONTHS:
                found = [folder / "landing" / source / str(period) / "rev-1"]
                while len(found) < 3 and chance.random() < corrected:
                    made = correction(folder, source, period, len(found) + 1, 0.05, 0.2, 0.5)
                    found.append(made.folder)
                country.contents[source, period] = found
        for period in MONTHS:
            for content in country.contents[REGISTER, period]:
                _stir(content, period, country, chance)
        for found in country.contents.values():
            if len(found) > 1 and chance.random() < 0.15:
                found.append(found[0])
        return country

    def statements(self) -> list[Statement]:
        """Everything its senders may state; each content under two revisions, below those of the next."""
        stated = []
        for (source, period), found in sorted(self.contents.items(), key=lambda item: (item[0][0], str(item[0][1]))):
            for number in range(len(found)):
                first = _REVISIONS * number + 1
                stated.append(Statement(source, period, number, first, False))
                stated.append(Statement(source, period, number, first + 1, number == len(found) - 1))
        return stated

    def in_order(self) -> list[Step]:
        """The plain way: the winning contents, once, month by month, released together."""
        needed = [one for one in self.statements() if one.needed]
        months = [Step("deliver", tuple(one for one in needed if one.period == period)) for period in MONTHS]
        return [*months, Step("release")]

    def sequence(self, seed: int) -> list[Step]:
        """Any way: a seeded order of the statements, repetitions, and commands in between."""
        chance = random.Random(seed)
        stated = self.statements()
        alone = {key for key, found in self.contents.items() if len(found) == 1}
        sent = [one for one in stated if one.needed]
        sent += [
            one
            for one in stated
            if not one.needed and chance.random() < (0.1 if (one.source, one.period) in alone else 0.7)
        ]
        sent += chance.sample(sent, chance.randint(2, 6))
        disorder = chance.choice((0.2, 0.2, 0.2, 0.6, 2.0, 100.0))  # months a delivery is early or late, as a deviation
        delay = chance.choice((0, 2, 4, 6))  # months a correction comes after what it corrects
        sent.sort(
            key=lambda one: (
                MONTHS.index(one.period) + chance.gauss(0, disorder) + delay * (one.content > 0),
                chance.random(),
            )
        )
        steps: list[Step] = []
        while sent:
            size = chance.randint(1, 14)
            steps.append(Step("deliver", tuple(sent[:size])))
            sent = sent[size:]
            act: Any = chance.choices(("", "release", "one", "rebuild", "rollback", "tidy"), (26, 24, 16, 8, 20, 6))[0]
            if act:
                steps.append(
                    Step("release" if act == "one" else act, which=None if act == "release" else chance.random())
                )
        return steps


class Replay:
    """One home with one server; each sequence begins with an empty warehouse copied from a template."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.landing = home / "landing"
        self.tally: Counter[str] = Counter()

    @contextmanager
    def open(self) -> Iterator[None]:
        """The environment of this home, its server started and the template made."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("P06_")]:
                patch.delenv(name)
            patch.setenv("P06_HOME", str(self.home))
            settings.cache_clear()
            database.ensure_running()
            with _server() as server:
                known = server.execute("select 1 from pg_database where datname = %s", (TEMPLATE,)).fetchone()
            if known is None:
                marts.sync()
                with database.connect("loader", autocommit=True) as connection:
                    staging.sync(connection)
                with _server() as server:
                    _rename(server, database.WAREHOUSE, TEMPLATE)
            try:
                yield
            finally:
                settings.cache_clear()
        settings.cache_clear()

    def stop(self) -> None:
        """End the server."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("P06_HOME", str(self.home))
            settings.cache_clear()
            database.stop()
        settings.cache_clear()

    def run(self, country: Country, steps: Sequence[Step], gated: bool = True) -> dict[str, tuple[int, str]]:
        """Everything that happens, then the release of what is left; the digest of every mart.

        ``gated`` false: Great Expectations and dbt's data tests are left out (both gates are said to have passed),
        which take two thirds of the time. ``tally`` counts what came of it.
        """
        self.begin()
        self.tally = Counter()
        for step in steps:
            if step.act == "deliver":
                for one in step.statements:
                    self.tally["delivered"] += 1
                    self.deliver(
                        country.contents[one.source, one.period][one.content],
                        one.revision,
                        f"rev-{one.revision}-{self.tally['delivered']}",
                    )
                outcomes = [result.outcome for result in load.load()] if gated else load_ungated()
                assert set(outcomes) <= {load.ACCEPTED, load.DUPLICATE, load.SUPERSEDED}, outcomes
                self.tally.update(outcomes)
            elif step.act == "rollback":
                self._roll_back(step.which)
            elif step.act == "tidy":
                watch.tidy()
            elif step.which is None:
                self._release(None, False, gated)
            elif step.act == "rebuild":
                self._release(_pick(self._released(1), step.which), True, gated)
            else:
                states = [one.period for one in self.plan() if one.state in ("stale", "held")]
                self._release(_pick(states, step.which) or MONTHS[0], False, gated)
        self._release(None, False, gated)
        for entry in self.plan():
            self._release(entry.period, False, gated)  # held by a rollback: only by name
        assert self.plan() == []
        with database.connect("admin", autocommit=True) as connection:
            found = {one.mart: (one.rows, one.checksum) for one in digests.digest(connection)}
            found["reconciliation"] = connection.execute(_RECONCILED).fetchone()
            return found

    def begin(self) -> None:
        """An empty warehouse, an empty landing."""
        with _server() as server:
            server.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(_now())))
            server.execute(
                sql.SQL("create database {} template {}").format(sql.Identifier(_now()), sql.Identifier(TEMPLATE))
            )
            server.execute(  # the right to connect is the database's, not the template's
                "update pg_database set datacl = (select datacl from pg_database where datname = %s) where datname = %s",
                (TEMPLATE, _now()),
            )
        shutil.rmtree(self.landing, ignore_errors=True)

    def deliver(self, content: Path, revision: int, name: str) -> None:
        """Copy a delivery folder (``…/<source>/<period>/<delivery>``) into landing under a revision and a name."""
        folder = self.landing / content.parts[-3] / content.parts[-2] / name
        folder.mkdir(parents=True)
        for path in content.iterdir():
            if path.name != "manifest.json":
                shutil.copyfile(path, folder / path.name)
        manifest = json.loads((content / "manifest.json").read_bytes()) | {"revision": revision}
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    def plan(self) -> list[plan.Entry]:
        """The periods that are not up to date."""
        with database.connect("publisher", autocommit=True) as connection:
            return plan.plan(connection)

    def _release(self, period: Period | None, rebuild: bool, gated: bool) -> None:
        if rebuild and period is None:
            return
        if gated:
            results = release.release([period] if period else (), rebuild)
            outcomes = {result.outcome for result in results}
            assert outcomes <= {"published", "unchanged", "held", "not ready"}, [r.detail for r in results]
            self.tally["built"] += sum(result.outcome == "published" for result in results)
            return
        states = {entry.period: entry.state for entry in self.plan()}
        wanted = [period] if period else sorted(states)
        for one in wanted:
            state = states.get(one)
            if state == "stale" or (state == "held" and period) or (rebuild and state is None and period):
                self.publish(one)

    def publish(self, period: Period) -> None:
        """Build the month and publish it; the gate is said to have passed."""
        with release._alone():
            with database.connect("builder", autocommit=True) as connection:
                spec = release._start(connection, period)
                build.run_models(spec)
                with connection.transaction():
                    release._finish(connection, spec.build_id, "built")
                    release._finish(connection, spec.build_id, "passed", gate.marts_key())
                    let_pass(connection, spec.build_id)
            release.publish_build(spec.build_id)
        self.tally["built"] += 1

    def _released(self, at_least: int) -> list[Period]:
        """The months with so many kept releases, oldest first."""
        found = Counter(one.period for one in self._releases() if one.kept)
        return sorted(period for period, count in found.items() if count >= at_least)

    def _releases(self, period: Period | None = None) -> list[publish.Release]:
        with database.connect("publisher", autocommit=True) as connection:
            return publish.releases(connection, period)

    def _roll_back(self, which: float | None) -> None:
        period = _pick(self._released(2), which)
        if period is None:
            return
        newest = [one for one in self._releases(period) if one.kept][-1]
        forward = not newest.current and int((which or 0) * 1000) % 2 == 0
        try:
            release.rollback(period, newest.release_id if forward else None)
            self.tally["gone forward" if forward else "rolled back"] += 1
        except UsageError:  # it stands at its oldest kept release already
            return


def _pick(periods: Sequence[Period], which: float | None) -> Period | None:
    return periods[int((which or 0) * len(periods))] if periods else None


def load_ungated() -> list[str]:
    """What ``load`` does with all that is pending, gate 1 left out."""
    outcomes = []
    for delivery in load.pending():
        staged = load.stage(delivery)
        outcome = staged.outcome
        if outcome == load.STAGED:
            with database.connect("loader", autocommit=True) as connection:
                one = ledger.extract(connection, staged.extract_id)
                assert one is not None
                ledger.judged(connection, one, gate.source_key(one.source), False)
            outcome = load.accept(staged.extract_id)
        outcomes.append(outcome)
    return outcomes


class Months:
    """Two small months of one country, for what happens step by step."""

    periods = (Period.parse("2025-04"), Period.parse("2025-05"))

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.folder = folder
        self.replay = Replay(folder / "home")
        generate(folder, 60, list(self.periods), 3, "usual")

    def begin(self) -> None:
        """An empty warehouse, then both months delivered and loaded."""
        self.replay.begin()
        for source in SOURCES:
            for period in self.periods:
                self.deliver(source, period)
        load_ungated()

    def deliver(self, source: str, period: Period, revision: int = 1) -> None:
        """The month as first sent, or a correction of it."""
        folder = self.folder / "landing" / source / str(period) / f"rev-{revision}"
        if not folder.exists():
            correction(self.folder, source, period, revision, 0.05, 0.2, 0.5)
        self.replay.deliver(folder, revision, f"rev-{revision}")

    def entries(self) -> dict[str, plan.Entry]:
        """What the plan says, by month."""
        return {str(entry.period): entry for entry in self.replay.plan()}

    def told(self, period: Period) -> tuple[str, list[str], str]:
        """(state, kinds, sentences) of a month."""
        entry = self.entries()[str(period)]
        return entry.state, [cause.kind for cause in entry.causes], "; ".join(entry.reasons)


def _now() -> str:
    return database.WAREHOUSE


@contextmanager
def _server() -> Iterator[psycopg.Connection[Any]]:
    """The embedded server's superuser, beside the warehouse."""
    address = database.dsn("admin", "postgres").replace("p06_admin", "postgres", 1)
    with psycopg.connect(address, autocommit=True) as connection:
        yield connection


def _rename(server: psycopg.Connection[Any], old: str, new: str) -> None:
    server.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()", (old,)
    )
    server.execute(sql.SQL("alter database {} rename to {}").format(sql.Identifier(old), sql.Identifier(new)))


def _stir(folder: Path, period: Period, country: Country, chance: random.Random) -> None:
    """Change a register delivery by hand: more joined numbers, moves, deaths, removals and returns than real months have.

    People of the first month are stated again; rows the generator damaged stay as they are, byte by byte (hence latin-1).
    """
    manifest = json.loads((folder / "manifest.json").read_bytes())
    names = [file["name"] for file in manifest["files"]]
    text = "".join(
        part if number == 0 else part.split("\n", 1)[1]
        for number, part in enumerate(gzip.decompress((folder / name).read_bytes()).decode("latin-1") for name in names)
    )
    header, *lines = text.removesuffix("\n").split("\n")
    columns = header.split(",")
    rows = {
        at: dict(zip(columns, line.split(","), strict=True))
        for at, line in enumerate(lines)
        if '"' not in line and line.count(",") == len(columns) - 1
    }
    first = _people(country.contents[REGISTER, MONTHS[0]][0])
    present = {row["citizen_id"] for row in rows.values()}
    communes = [row["residence_commune_code"] for row in rows.values() if row["residence_commune_code"].isdigit()]
    if period < _REFORM:
        communes += [row["residence_commune_code"] for row in first]
    extra = []
    for known in chance.sample(first, min(len(first), chance.randint(3, 9))):
        row = dict(known)
        change = chance.choice(("number", "number", "move", "die", "remove", "rename", "join", "again", "emigrate"))
        if change == "number":
            row |= {"citizen_id": _another(row["citizen_id"], chance), "previous_citizen_id": row["citizen_id"]}
        elif change == "join":
            row |= {"previous_citizen_id": chance.choice(first)["citizen_id"]}
        elif change == "die":
            row |= {"status": "deceased", "death_date": f"{period}-0{chance.randint(1, 9)}"}
        elif change == "remove":
            row |= {"record_op": "remove"}
        elif change == "rename":
            row |= {"full_name": chance.choice(first)["full_name"]}
        elif change == "emigrate":
            row |= {"status": "emigrated"}
        row["residence_commune_code"] = chance.choice(communes)
        if row["citizen_id"] not in present:
            present.add(row["citizen_id"])
            extra.append(",".join(row[name] for name in columns))
    for name in names:
        (folder / name).unlink()
    packed = gzip.compress("\n".join([header, *lines, *extra, ""]).encode("latin-1"), 1, mtime=0)
    (folder / "part-0001.csv.gz").write_bytes(packed)
    manifest["files"] = [
        {
            "name": "part-0001.csv.gz",
            "bytes": len(packed),
            "sha256": hashlib.sha256(packed).hexdigest(),
            "rows": sum(file["rows"] for file in manifest["files"]) + len(extra),
        }
    ]
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def _people(folder: Path) -> list[dict[str, str]]:
    """The sound rows of a register delivery with a plain twelve-digit number, one per number."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    found: dict[str, dict[str, str]] = {}
    for file in manifest["files"]:
        header, *lines = gzip.decompress((folder / file["name"]).read_bytes()).decode("latin-1").split("\n")
        columns = header.split(",")
        for line in lines:
            row = dict(zip(columns, line.split(","), strict=False))
            if '"' not in line and line.count(",") == len(columns) - 1 and len(row["citizen_id"]) == 12:
                found.setdefault(row["citizen_id"], row)
    return [found[number] for number in sorted(found)]


def _another(number: str, chance: random.Random) -> str:
    """A number of the same province, century, sex and year of birth."""
    return f"{number[:6]}{chance.randrange(1_000_000):06d}"
