"""One build: dbt makes every mart of one period beside what readers see, then tests it."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from p06 import codelist, contract, database, fault, marts, project
from p06.errors import P06Error
from p06.period import Period
from p06.settings import settings

if TYPE_CHECKING:
    from p06.linkage import Model
    from p06.steward import Decision

Report = Callable[[str], None]
EARLIEST_AREAS = date(1900, 1, 1)
REGISTER = "population_register"
# What is registered in a month is followed for three more: a build reads these sources' extracts of so many months back.
FOLLOWED = ("civil_status_event", "social_security_payment")
FOLLOWED_MONTHS = 3
HORIZON = "horizon"  # the part of a register state that names the last month it reaches, as YYYYMM

# What a row of vault.register_row is made with; macros that have nothing to do with it stand in other files.
ROW_CODE = (
    "models/identity/register/register_row.sql",
    "models/staging/population/stg_population_register.sql",
    "macros/held_extracts.sql",
    "macros/normalised_name.sql",
)
# What a register state is made with, beside the macros: every model tagged register and all they read.
STATE_CODE = (
    "models/identity/register/",
    "models/identity/int_area_code.sql",
    "models/identity/int_register_input.sql",
    "models/marts/population/",
    "models/staging/population/",
)


class BuildFailed(P06Error):
    """dbt could not build or test the marts; never says more than which model and what kind of failure.

    The same inputs and models would fail again.
    """


class BuildInterrupted(BuildFailed):
    """The database, its connection or the disk gave way, or another session stood in the way: it may well succeed next."""


@dataclass(frozen=True)
class ExtractRef:
    """An accepted extract, pinned: where its rows are and what its manifest and reconciliation say."""

    extract_id: str
    source: str
    period: Period
    leaf: str  # table in schema staging
    revision: int
    admin_code_version: date
    received: int
    duplicates: int
    quarantined: int
    staged: int
    follows: tuple[ExtractRef, ...] = ()  # of a register's snapshot: what tells who was in the register before it

    @property
    def key(self) -> int:
        """A 64-bit name of the extract, of the leaf that holds its rows and how many, and of the code that reads them.

        It is another after a replay, and after a change of that code: the vault then holds the extract anew. Of a
        snapshot the vault holds what changed since the extracts it follows, so that it is named with these.
        """
        name = f"{self.extract_id}|{self.leaf}|{self.staged}|{_row_code()}"
        if self.follows:
            name += "|".join(
                f"|{ref.extract_id}|{ref.leaf}|{ref.staged}|{_area_edition(ref)}" for ref in (self, *self.follows)
            )
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@dataclass(frozen=True)
class BuildSpec:
    """All a build reads. ``extracts`` by sector source; ``register`` is every accepted register extract."""

    build_id: int
    period: Period
    extracts: dict[str, ExtractRef]
    register: tuple[ExtractRef, ...]
    horizon: Period
    state_before: int  # the register state readers see
    state_after: int  # the state this build reads; written ahead when it is another
    model: Model | None = None  # of linkage, when it is enabled
    decisions: tuple[Decision, ...] = ()  # of stewards, about records the extracts hold
    earlier: tuple[ExtractRef, ...] = ()  # of the months before, for what is followed from month to month


@dataclass(frozen=True)
class FailedTest:
    """A dbt test that found rows it should not have found."""

    name: str
    model: str
    failures: int


Read = TypeVar("Read")


def followed(accepted: Mapping[Period, Mapping[str, Read]], period: Period) -> tuple[Read, ...]:
    """The extracts of the months before that a build of the period reads; none while no event is there to follow."""
    window = [period.shift(-back) for back in range(FOLLOWED_MONTHS, 0, -1)]
    events = FOLLOWED[0]
    if not any(events in accepted.get(month, {}) for month in (*window, period)):
        return ()
    return tuple(
        accepted[month][source] for source in FOLLOWED for month in window if source in accepted.get(month, {})
    )


def build(spec: BuildSpec, report: Report = lambda text: None) -> list[FailedTest]:
    """Build every mart of the period, then test it; returns the tests that failed.

    Writes the register state ``state_after`` first when it differs from ``state_before``; the models that keep it are
    left alone otherwise. Raises BuildFailed P06-BUILD-001 (a model), 002 (the project cannot be read), 003 (a test
    could not be run).
    """
    run_models(spec, report)
    return run_tests(spec, report)


def run_models(spec: BuildSpec, report: Report = lambda text: None) -> None:
    """The first half of a build: every model of the period, and the register's next state when it moves."""
    marts.sync()
    moves = spec.state_after != spec.state_before
    with database.connect("builder") as connection:
        variables = _variables(spec, connection, moves)
        if moves:  # their rows go while the models run
            _forget_undone_states(spec, connection)
    idle = _idle(spec) + ([] if moves else ["tag:register"])
    if spec.model is None and not spec.decisions:
        _invoke("run", variables, report, ["--exclude", *idle] if idle else [])
    else:
        _run_linked(spec, variables, report, idle)
    if moves:
        with database.connect("builder") as connection:
            _record_state(spec, connection)


def not_made(period: Period, sources: Collection[str]) -> frozenset[str]:
    """The marts beside facts that a build has nothing to put in; ``sources`` has those it reads extracts of, its month's
    and those of months before."""
    idle = set() if FOLLOWED[0] in sources else {"linked_birth", "linked_death"}
    return frozenset(idle | ({"payment_after_death"} if FOLLOWED[1] in contract.left_out(period, sources) else set()))


def write_state(spec: BuildSpec, report: Report = lambda text: None) -> list[FailedTest]:
    """The register's next state alone, for a build whose own was undone; no mart of the month is made.

    Returns the data tests of the register's models that failed.
    """
    marts.sync()
    with database.connect("builder") as connection:
        variables = _variables(spec, connection, moves=True)
        _forget_undone_states(spec, connection)
    _invoke("run", variables, report, ["--select", "+tag:register"])
    with database.connect("builder") as connection:
        _record_state(spec, connection)
        variables = _variables(spec, connection, moves=False)
    tests = ["--select", "tag:register", "--exclude", "test_type:unit"]
    return _failed_tests(_invoke("test", variables, report, tests))


def _idle(spec: BuildSpec) -> list[str]:
    """dbt's selection of the models, and with them the tests, of sources and events the build has nothing to do for."""
    idle = [f"tag:{project.tag(source)}" for source in sorted(contract.left_out(spec.period, spec.extracts))]
    events = any(ref.source == FOLLOWED[0] for ref in (*spec.extracts.values(), *spec.earlier))
    return idle if events else [*idle, "tag:followed"]


def _run_linked(spec: BuildSpec, variables: dict[str, Any], report: Report, idle: list[str]) -> None:
    """The models up to the records still open, then linkage, then the other models."""
    from p06 import linking

    variables = variables | {"linked": True}
    _invoke("run", variables, report, ["--select", linking.BEFORE, *(["--exclude", *idle] if idle else [])])
    leaves = {source: ref.leaf for source, ref in spec.extracts.items()}
    task = linking.Task(spec.build_id, spec.period, spec.state_after, leaves, spec.model, spec.decisions)
    linking.link(task, report)
    fault.point("build.linked")
    _invoke("run", variables, report, ["--exclude", linking.BEFORE, *idle])


def run_tests(spec: BuildSpec, report: Report = lambda text: None) -> list[FailedTest]:
    """The second half of a build: the data tests, each on the rows of this build alone; returns those that failed."""
    with database.connect("builder") as connection:
        variables = _variables(spec, connection, moves=False)
    return _failed_tests(_invoke("test", variables, report, ["--exclude", "test_type:unit", *_idle(spec)]))


def model_hash() -> str:
    """SHA-256 over the project's SQL, macros and YAML, what the contracts generate included."""
    return project.content_hash()


def register_is_current(
    connection: psycopg.Connection[Any], state: int, register: Iterable[ExtractRef], horizon: Period
) -> bool:
    """Whether a register state was written from exactly these extracts, up to the horizon, by today's models."""
    written = set(
        connection.execute(
            "select part, extract_key from vault.register_state_extract where state = %s", (state,)
        ).fetchall()
    )
    code = connection.execute("select code_hash from vault.register_state_code where state = %s", (state,)).fetchone()
    return code == (_register_code(),) and written == _inputs(_formed(register), horizon)


def forget_states(connection: psycopg.Connection[Any]) -> list[str]:
    """Forget what no register state reads that readers see, a kept release goes back to, or a build under way writes.

    ``connection`` is the builder's; nothing may be building. Returns the ids of the register extracts whose rows left
    ``vault.register_row``: superseded ones, and copies made by code that has changed since. What is needed once more
    is read from staging again.
    """
    with connection.transaction():
        connection.execute(_UNREACHABLE_STATES)
        gone = connection.execute(_UNREAD_EXTRACTS).fetchall()
        keys = [key for key, _ in gone]
        if keys:
            connection.execute("delete from vault.register_row where extract_key = any(%s)", (keys,))
            connection.execute("delete from vault.register_extract where extract_key = any(%s)", (keys,))
    return sorted(extract_id for _, extract_id in gone)


_UNREACHABLE_STATES = """
with reachable as (
    select state from control.register_state
    union
    select unnest(array[register_state_before, register_state_after]) from control.release where kept
    union
    select unnest(array[register_state_before, register_state_after]) from control.build
    where state in ('running', 'built', 'passed', 'blocked')
),
codes as (
    delete from vault.register_state_code where state not in (select r.state from reachable as r)
)
delete from vault.register_state_extract where state not in (select r.state from reachable as r)
"""
_UNREAD_EXTRACTS = """
select e.extract_key, e.extract_id
from vault.register_extract as e
where not exists (
    select 1 from vault.register_state_extract as s where s.extract_key = e.extract_key and s.part in ('rows', 'links')
)
"""


def unit_tests() -> list[str]:
    """Run dbt's unit tests; returns the names of those that failed. Needs the tables of an earlier build."""
    results = _invoke("test", {}, lambda text: None, ["--select", "test_type:unit"], allow_failures=True)
    return [result.node.name for result in results if result.status not in ("pass", "success")]


def _variables(spec: BuildSpec, connection: psycopg.Connection[Any], moves: bool) -> dict[str, Any]:
    """What dbt is told: names, numbers and dates; never a value from the data."""
    received = dict(spec.extracts)
    received |= {ref.source: ref for ref in spec.register if ref.period == spec.period}
    variables: dict[str, Any] = {
        "period": spec.period.first_day.isoformat(),
        "as_of": spec.period.as_of().isoformat(),
        "build_id": spec.build_id,
        "state_before": spec.state_before,
        "state_after": spec.state_after,
        "area_editions": [day.isoformat() for day in _area_editions()],
        "area_lists": _area_lists(connection),
        "register_horizon": spec.horizon.first_day.isoformat(),
        "extracts": {
            name: {
                "leaf": ref.leaf,
                "extract_id": ref.extract_id,
                "revision": ref.revision,
                "received": ref.received,
                "duplicates": ref.duplicates,
                "quarantined": ref.quarantined,
                "staged": ref.staged,
                "area_edition": _area_edition(ref).isoformat(),
            }
            for name, ref in sorted(received.items())
        },
        "left_out": sorted(contract.left_out(spec.period, spec.extracts)),
        "register": [_mark(ref) for ref in _formed(spec.register)],
        "earlier": [
            {
                "source": ref.source,
                "period": ref.period.first_day.isoformat(),
                "leaf": ref.leaf,
                "area_edition": _area_edition(ref).isoformat(),
            }
            for ref in spec.earlier
        ],
        "followed_from": spec.period.shift(-FOLLOWED_MONTHS).first_day.isoformat(),
    }
    return variables | (_register_changes(spec, connection) if moves else {})


def _mark(ref: ExtractRef) -> dict[str, Any]:
    return {
        "key": ref.key,
        "extract_id": ref.extract_id,
        "leaf": ref.leaf,
        "period": ref.period.first_day.isoformat(),
        "area_edition": _area_edition(ref).isoformat(),
        "follows": [{"leaf": one.leaf, "area_edition": _area_edition(one).isoformat()} for one in ref.follows],
    }


def _formed(register: Iterable[ExtractRef]) -> list[ExtractRef]:
    """The register's extracts, oldest first; a snapshot follows the one before it and the changes since that one."""
    known = contract.load(REGISTER)
    formed: list[ExtractRef] = []
    before: list[ExtractRef] = []
    for ref in sorted(register, key=lambda ref: ref.period):
        is_snapshot = known.register_form(ref.period) == "snapshot"
        formed.append(replace(ref, follows=tuple(before) if is_snapshot else ()))
        before = [ref] if is_snapshot else [*before, ref]
    return formed


def _register_changes(spec: BuildSpec, connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Which register extracts are new to the vault, and which differ from those of the visible state."""
    held = {
        row[0]: row[1:]
        for row in connection.execute("select extract_key, period, area_edition from vault.register_extract").fetchall()
    }
    before = set(
        connection.execute(
            "select part, extract_key from vault.register_state_extract where state = %s", (spec.state_before,)
        ).fetchall()
    )
    formed = _formed(spec.register)
    after = _inputs(formed, spec.horizon)
    known = held | {ref.key: (ref.period.first_day, _area_edition(ref)) for ref in formed}
    periods = {key: period for key, (period, _) in known.items()}
    horizon = _last_month(before, periods)
    alone, pairs = _differing(before, after, known)
    code = connection.execute(
        "select code_hash from vault.register_state_code where state = %s", (spec.state_before,)
    ).fetchone()
    everyone = (
        not (alone or pairs) or code is None or code[0] != _register_code() or _crosses_reform(before, after, periods)
    )
    return {
        "register_new": [_mark(ref) for ref in formed if ref.key not in held],
        "register_changed": [{"key": key, "period": periods[key].isoformat()} for key in alone],
        "register_corrected": [{"key": key, "by": by, "period": periods[key].isoformat()} for key, by in pairs],
        "register_everyone": everyone,
        "register_horizon_before": (horizon or EARLIEST_AREAS).isoformat(),
    }


def _differing(
    before: set[tuple[str, int]], after: set[tuple[str, int]], known: dict[int, tuple[date, date | None]]
) -> tuple[list[int], list[tuple[int, int]]]:
    """The extracts only one of two states reads, and those pairs of a month of which one takes the other's place.

    Of a pair only the rows that differ touch anyone, as long as both are read for the same and under one area list.
    """
    parts: dict[int, tuple[list[str], bool]] = {}
    for part, key in sorted((before ^ after) - {entry for entry in before | after if entry[0] == HORIZON}):
        parts.setdefault(key, ([], (part, key) in after))[0].append(part)
    places: dict[tuple[Any, ...], dict[bool, int]] = {}
    for key, (read_for, is_new) in parts.items():
        places.setdefault((*known[key], *read_for), {})[is_new] = key
    alone: list[int] = []
    pairs: list[tuple[int, int]] = []
    for place, found in places.items():
        if len(found) == 2 and place[1] is not None:
            pairs.append((found[False], found[True]))
        else:
            alone += found.values()
    return sorted(alone), sorted(pairs)


def _inputs(formed: Iterable[ExtractRef], horizon: Period) -> set[tuple[str, int]]:
    """What a register state is made from: links of all extracts, rows up to the horizon, and that month itself.

    A reform, or a card dated ahead, takes effect in a month whether or not it has a register extract of its own.
    """
    keys = {ref.key: ref.period for ref in formed}
    links = {("links", key) for key in keys}
    rows = {("rows", key) for key, period in keys.items() if period <= horizon}
    return links | rows | {(HORIZON, horizon.year * 100 + horizon.month)}


def _crosses_reform(before: set[tuple[str, int]], after: set[tuple[str, int]], periods: dict[int, date]) -> bool:
    """Whether a change of areas takes effect between the last months of two states: it touches everyone."""
    ends = _last_month(before, periods), _last_month(after, periods)
    if ends[0] is None or ends[1] is None:
        return True
    first, last = min(ends[0], ends[1]), max(ends[0], ends[1])
    return any(first < day.replace(day=1) <= last for day in _area_editions())


def _last_month(state: set[tuple[str, int]], periods: dict[int, date]) -> date | None:
    """First day of the last month a register state reaches; None for the state before the first."""
    reached = [date(key // 100, key % 100, 1) for part, key in state if part == HORIZON]
    return max(reached or [periods[key] for part, key in state if part == "rows"], default=None)


def _record_state(spec: BuildSpec, connection: psycopg.Connection[Any]) -> None:
    """Say what the state just written was made from."""
    _forget_undone_states(spec, connection)
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into vault.register_state_extract (state, part, extract_key) values (%s, %s, %s)",
            [(spec.state_after, part, key) for part, key in sorted(_inputs(_formed(spec.register), spec.horizon))],
        )
    connection.execute(
        "insert into vault.register_state_code (state, code_hash) values (%s, %s)", (spec.state_after, _register_code())
    )


def _forget_undone_states(spec: BuildSpec, connection: psycopg.Connection[Any]) -> None:
    """Rows of states above the visible one are of undone builds; nobody may read them as published any more.

    A run that was overtaken while it slept would take the state readers see meanwhile for one of them: it is fenced off.
    """
    connection.execute("select control.fence(%s)", (spec.build_id,))
    connection.execute("delete from vault.register_state_extract where state > %s", (spec.state_before,))
    connection.execute("delete from vault.register_state_code where state > %s", (spec.state_before,))


def _register_code() -> str:
    """What a register state depends on beside its extracts: its models and all they read, and the area lists."""
    parts = [project.content_hash(part) for part in STATE_CODE]
    parts += [codelist.hash("area"), codelist.hash("area_change")]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _row_code() -> str:
    """What a row of ``vault.register_row`` depends on beside its extract: SHA-256 over the files of ``ROW_CODE``."""
    paths = [settings().dbt_project / name for name in ROW_CODE]
    return _content(tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


@cache
def _content(stamps: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in stamps:
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _area_edition(ref: ExtractRef) -> date:
    """The first day of the area list the extract's codes were sent under."""
    return max((day for day in _area_editions() if day <= ref.admin_code_version), default=EARLIEST_AREAS)


def _area_lists(connection: psycopg.Connection[Any]) -> str:
    """Which area lists the reference tables hold."""
    row = connection.execute(
        "select string_agg(sha256, ' ' order by name) from build.reference_list where name in ('area', 'area_change')"
    ).fetchone()
    return row[0] if row and row[0] else ""


def _area_editions() -> tuple[date, ...]:
    return _editions(codelist.hash("area_change"))


@cache
def _editions(content: str) -> tuple[date, ...]:
    import csv

    with (settings().codelists / "area_change.csv").open(encoding="utf-8-sig", newline="") as file:
        return tuple(sorted({date.fromisoformat(row["effective_date"]) for row in csv.DictReader(file)}))


# dbt in this process: parsed once, the manifest kept; what differs between builds are the variables.

_kept: dict[Path, tuple[str, Any]] = {}


def _invoke(
    command: str, variables: dict[str, Any], report: Report, options: Iterable[str], allow_failures: bool = False
) -> list[Any]:
    import json

    folder = settings().home / "dbt"
    with _environment():
        from dbt.cli.main import dbtRunner

        _keep_sessions()
        _name_no_source_of_flags()
        manifest = _manifest(folder)
        runner = dbtRunner(manifest=manifest, callbacks=[_Progress(report)])
        outcome = runner.invoke([command, *_flags(folder), "--vars", json.dumps(variables), "--threads", "2", *options])
    results = getattr(outcome.result, "results", None)
    if results is None:
        said = str(outcome.exception or "")
        failure = BuildInterrupted if _PASSING.search(said) else BuildFailed
        raise failure("P06-BUILD-002", reason=_reason(said)) from None
    broken = [result for result in results if result.status in ("error", "runtime error")]
    if broken and not allow_failures:
        first = broken[0]
        code = "P06-BUILD-003" if command == "test" else "P06-BUILD-001"
        passing = any(_PASSING.search(result.message or "") for result in broken)
        failure = BuildInterrupted if passing else BuildFailed
        raise failure(code, model=first.node.name, reason=_reason(first.message or "")) from None
    return list(results)


@cache
def _keep_sessions() -> None:
    """A thread of dbt keeps its session from one model to the next; dbt opens one for each, and closes all at the end."""
    from dbt.adapters.postgres.connections import PostgresConnectionManager

    close = PostgresConnectionManager.release

    def release(self: Any) -> None:
        connection = self.get_if_exists()
        if connection is None or connection.state != "open" or connection.handle.closed:
            close(self)
            return
        try:
            self.rollback_if_open()
        except Exception:
            self.clear_thread_connection()
            raise

    PostgresConnectionManager.release = release


@cache
def _name_no_source_of_flags() -> None:
    """dbt looks through the whole stack for the module each of its behaviour flags comes from, for a message nobody
    reads: with some thousand modules loaded that was three quarters of the processor time of a small month's build."""
    from dbt_common.behavior_flags import BehaviorFlagRendered

    named: Any = BehaviorFlagRendered
    named._default_source = staticmethod(lambda: "dbt")


def _manifest(folder: Path) -> Any:
    """The parsed project; parsed again when its content changed. Nodes forget what an earlier run compiled."""
    from dbt.cli.main import dbtRunner

    content = project.content_hash()
    if folder not in _kept or _kept[folder][0] != content:
        project.render(folder)
        shutil.rmtree(folder / "target" / "run", ignore_errors=True)
        outcome = dbtRunner().invoke(["parse", *_flags(folder)])
        if not outcome.success:
            raise BuildFailed("P06-BUILD-002", reason=_reason(str(outcome.exception or ""))) from None
        _kept[folder] = (content, outcome.result)
    manifest = _kept[folder][1]
    for node in manifest.nodes.values():
        if node.resource_type != "seed" and hasattr(node, "extra_ctes"):
            node.compiled, node.compiled_code, node.extra_ctes_injected, node.extra_ctes = False, None, False, []
    return manifest


def _flags(folder: Path) -> list[str]:
    return [
        "--project-dir", str(folder / "project"), "--profiles-dir", str(folder / "project"),
        "--target-path", str(folder / "target"), "--log-path", str(folder / "logs"),
        "--log-level", "none", "--log-level-file", "none", "--no-write-json", "--no-populate-cache",
        "--no-send-anonymous-usage-stats", "--no-version-check", "--no-use-colors", "--quiet",
    ]  # fmt: skip


@contextmanager
def _environment() -> Iterator[None]:
    """The builder's address and session settings for dbt's driver, given back afterwards."""
    address = conninfo_to_dict(database.dsn("builder"))
    values = {
        "P06_DBT_HOST": str(address.get("host") or "localhost"),
        "P06_DBT_PORT": str(address.get("port") or 5432),
        "P06_DBT_USER": str(address["user"]),
        "DBT_ENV_SECRET_P06_PASSWORD": str(address.get("password") or ""),
        "P06_DBT_DBNAME": str(address["dbname"]),
        "P06_DBT_SSLMODE": str(address.get("sslmode") or "prefer"),
        "PGOPTIONS": f"-c timezone=UTC -c synchronous_commit=off -c work_mem={_work_memory()}MB"
        " -c random_page_cost=1.1 -c lock_timeout=60s",  # no reader of a mart waits for what a build waits for
        "DO_NOT_TRACK": "1",
    }
    before = {name: os.environ.get(name) for name in values}
    loggers = {name: logging.getLogger(name).level for name in ("", "dbt")}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        for name, level in loggers.items():
            logging.getLogger(name).setLevel(level)


def _work_memory() -> int:
    """Megabytes a sort or hash of a build may take: a sixty-fourth of the machine, at least 32."""
    import psutil

    return int(min(max(psutil.virtual_memory().total // 2**20 // 64, 32), 512))


class _Progress:
    """Tells each finished model and test by name and time."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __call__(self, event: Any) -> None:
        if event.info.name in ("LogModelResult", "LogTestResult"):
            data = event.data
            name = getattr(data.node_info, "node_name", "") or getattr(data, "name", "")
            self.report(f"{name} {data.execution_time:.2f} s")


def _failed_tests(results: Iterable[Any]) -> list[FailedTest]:
    failed = []
    for result in results:
        if result.status == "fail":
            attached = getattr(result.node, "attached_node", None) or ""
            failed.append(FailedTest(result.node.name, attached.split(".")[-1], int(result.failures or 0)))
    return sorted(failed, key=lambda test: test.name)


# Server messages can quote values; only those that cannot are passed on.
_HARMLESS = re.compile(
    r'(?:column "?[\w.]+"? does not exist|relation "[\w.]+" does not exist|syntax error at or near'
    r"|permission denied for \w+ [\w.]+|null value in column \"\w+\" of relation \"\w+\" violates not-null constraint"
    r"|duplicate key value violates unique constraint \"\w+\"|deadlock detected|canceling statement due to [\w ]+"
    r"|could not extend file|No space left on device|server closed the connection unexpectedly|out of memory"
    r"|connection to server|terminating connection due to [\w ]+|division by zero|function [\w.]+\([\w, ]*\) does not exist"
    r"|the build was given up for dead|\w+ \"[\w.]+\" is not partitioned|This model has an enforced contract that failed)"
)

# What PostgreSQL and its driver say of lost connections, full disks, cancelled statements and other sessions (SQLSTATE
# classes 08, 40, 53, 55, 57, 58); dbt hands on the words alone.
_PASSING = re.compile(
    r"terminating connection|connection to server|server closed the connection|connection (?:already )?closed"
    r"|(?:connection|cursor) already closed|no connection to the server|could not connect|could not (?:send|receive) data"
    r"|SSL SYSCALL error|SSL connection has been closed|the database system is|too many (?:clients|connections)"
    r"|remaining connection slots|canceling (?:statement|autovacuum)|deadlock detected|could not serialize"
    r"|lock (?:timeout|not available)|could not obtain lock|tuple concurrently (?:updated|deleted)|out of (?:shared )?memory"
    r"|No space left|given up for dead|[Dd]isk (?:quota|full)|could not (?:extend|write|read|open|fsync|access) (?:file|block|temporary|status)"
    r"|Input/output error|timeout expired|timed out",
)


def _reason(message: str) -> str:
    if message.lstrip().startswith(("Compilation Error", "Parsing Error", "Env var required")):
        return " ".join(message.split())[:400]
    found = _HARMLESS.search(message)
    return found[0] if found else "the database refused it"
