"""The local stack: the database and Airflow's processes, each started apart and remembered by pid and start time."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from p06 import airflow_api, database, duty
from p06.errors import Busy, P06Error
from p06.settings import settings

Report = Callable[[str], None]

COMMANDS: dict[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
ADMINISTRATOR, SERVICE = "admin", airflow_api.SERVICE
OWN_DAGS = frozenset({"release", "approval", "watch"})
PATIENCE = 120.0  # seconds until the API must answer and every DAG be read
GRACE = 15.0  # seconds a process has to end by itself


@dataclass(frozen=True)
class Process:
    """One process of the stack. A pid alone may belong to somebody else by now; the start time tells."""

    name: str
    pid: int
    started: float

    def alive(self) -> psutil.Process | None:
        """The running process, or None."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.started) < 1
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def up(report: Report = lambda text: None) -> dict[str, float]:
    """Start what is not running: database, Airflow's metadata, its processes. Returns seconds per step.

    Raises Busy P06-STACK-007, P06Error P06-STACK-001 .. 003.
    """
    with _alone():
        seconds: dict[str, float] = {}
        with _timed(seconds, "database"):
            database.ensure_running()
            if settings().database_url is None:
                duty.begin((ADMINISTRATOR, *airflow_api.officers()))
        readers = _readers()
        env = environment(readers)
        _write_users(readers)
        with _timed(seconds, "migrate"):
            _migrate(env, report)
        running = {process.name: process for process in _recorded() if process.alive()}
        with _timed(seconds, "airflow"):
            # What a killed process left behind would go on taking tasks.
            _end({process: _family(process) for process in _recorded() if process.name not in running})
            for name, arguments in COMMANDS.items():
                if name not in running:
                    running[name] = _start(name, arguments, env)
                    _record(running.values())
                    report(f"started {name} (pid {running[name].pid})")
            _await_health(running.values())
        with airflow_api.connect() as airflow:
            if not airflow.runs("watch", airflow_api.ACTIVE):  # the scheduler may have begun already
                airflow.start("watch")
        report(f"Airflow answers at {url()} after {sum(seconds.values()):.0f} s")
        return seconds


def down(report: Report = lambda text: None) -> None:
    """End what ``up`` started, children included, then the embedded database."""
    with _alone():
        families = {process: _family(process) for process in _recorded()}
        _end(families)
        for process, family in families.items():
            if family:
                report(f"stopped {process.name} (pid {process.pid})")
        _record(())
        if database.stop():
            report("stopped the database")


def status() -> dict[str, Any]:
    """What runs and where; memory in MB of each process with its children."""
    processes: dict[str, Any] = {}
    recorded = {process.name: process for process in _recorded()}
    for name in COMMANDS:
        alive = recorded[name].alive() if name in recorded else None
        processes[name] = (
            {"running": True, "pid": alive.pid, "memory_mb": _memory(alive)} if alive else {"running": False}
        )
    airflow: dict[str, Any] = {"processes": processes}
    if all(part["running"] for part in processes.values()):
        airflow |= {
            "health": _health(),
            "url": url(),
            "user": ADMINISTRATOR,
            "password_file": str(airflow_api.users_file()),
        }
    return {"database": {"running": database.is_running()}, "airflow": airflow}


def is_up() -> bool:
    """Whether every process of Airflow runs and the API answers."""
    running = {process.name for process in _recorded() if process.alive()}
    return running >= set(COMMANDS) and bool(_health())


def url() -> str:
    """Where Airflow's pages are."""
    return airflow_api.local_url()


def environment(readers: Iterable[str] = ()) -> dict[str, str]:
    """The environment of every Airflow process of this home. Secrets come from 0600 files under the home.

    ``readers`` are accounts beside the administrator's, the officers' and the service's, for whoever lets people sign in.
    """
    home, keys, port = _home(), _secrets(), _port()
    # One driver that speaks both ways; Airflow would look for asyncpg beside psycopg2.
    metadata = "postgresql+psycopg://" + database.airflow_url().partition("://")[2]
    own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings().dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings().root / "plugins"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(max(4, os.cpu_count() or 2)),
        "AIRFLOW__CORE__FERNET_KEY": keys["fernet"],
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": "utc",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            (
                f"{ADMINISTRATOR}:ADMIN",
                *(f"{name}:USER" for name in (SERVICE, *airflow_api.officers())),
                *(f"{name}:VIEWER" for name in readers),
            )
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(airflow_api.users_file()),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": metadata,
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__SECRET_KEY": keys["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # A release is four short tasks, one after the other: at the default of 1 s the pauses between them were a third of it.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
        # A supervisor that misses the end of its task waits this long; the default of 5 s held a slot on every third task.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "P06_ROOT": str(settings().root),
        "P06_HOME": str(settings().home),
        "P06_AIRFLOW_URL": f"http://127.0.0.1:{port}",
        "P06_AIRFLOW_USER": SERVICE,
        "P06_AIRFLOW_PASSWORDS_FILE": str(airflow_api.users_file()),
        "P06_WATCH_EVERY": os.environ.get("P06_WATCH_EVERY", "* * * * *"),
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **WARM, **SILENT, **own}


# dbt and Great Expectations take seconds to import: a fork server does so once, and each task is forked from it.
WARM = {
    "AIRFLOW__SCHEDULER__MP_START_METHOD": "forkserver",
    "AIRFLOW__SCHEDULER__MP_FORKSERVER_PRELOAD": "p06.airflow.preload",
}
SILENT = {
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "true",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "GX_ANALYTICS_ENABLED": "false",
}


def _home() -> Path:
    return settings().home / "airflow"


def _secrets() -> dict[str, str]:
    """The keys all Airflow processes share, made on first use."""
    import base64

    path = settings().home / "secrets" / "airflow.json"
    if not path.exists():
        made = {
            "fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "api": secrets.token_urlsafe(32),
            "jwt": secrets.token_urlsafe(64),
        }
        database.write_secret(path, json.dumps(made).encode())
    return dict(json.loads(path.read_bytes()))


def _readers() -> list[str]:
    """The accounts that have a duty and no other role: Airflow shows them its pages, and lets them start nothing."""
    known = {ADMINISTRATOR, SERVICE, *airflow_api.officers()}
    return sorted({one.account for one in duty.in_force()} - known)


def _write_users(readers: Iterable[str]) -> None:
    """Passwords of the accounts: the administrator's, the officers', the readers', and the one ``watch`` and ``backfill`` use."""
    path = airflow_api.users_file()
    known = json.loads(path.read_bytes()) if path.exists() else {}
    missing = [name for name in (ADMINISTRATOR, SERVICE, *airflow_api.officers(), *readers) if name not in known]
    if missing:
        made = {name: secrets.token_urlsafe(16) for name in missing}
        database.write_secret(path, json.dumps(known | made).encode())


def _port() -> int:
    """A free port of this machine, chosen once and kept, so that bookmarks stay good."""
    path = airflow_api.port_file()
    if path.exists():
        return int(path.read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(str(port))
    return port


def _migrate(env: Mapping[str, str], report: Report) -> None:
    """Bring Airflow's metadata to its version; nothing when the last migration of this very version is in place."""
    mark = _home() / "migrated.json"
    wanted = {"airflow": version("apache-airflow"), "revision": _revision(env)}
    if wanted["revision"] and mark.exists() and json.loads(mark.read_bytes()) == wanted:
        return
    report("preparing Airflow's metadata")
    log = _log("migrate")
    with log.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], env=dict(env), stdout=file, stderr=subprocess.STDOUT
        )
    wanted["revision"] = _revision(env)
    if done.returncode or not wanted["revision"]:
        raise P06Error("P06-STACK-003")
    mark.write_text(json.dumps(wanted))


def _revision(env: Mapping[str, str]) -> str | None:
    """The migration Airflow's metadata stands at."""
    import psycopg

    address = env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    scheme, _, rest = address.partition("://")
    try:
        with psycopg.connect(f"{scheme.partition('+')[0]}://{rest}", connect_timeout=10) as connection:
            row = connection.execute("select version_num from alembic_version").fetchone()
            return str(row[0]) if row else None
    except psycopg.errors.UndefinedTable:
        return None
    except psycopg.OperationalError:
        raise P06Error("P06-STACK-003") from None


def metadata_revision() -> str | None:
    """The migration Airflow's metadata stand at, nothing being made; None without tables.

    Raises P06Error P06-STACK-003 when the database does not answer.
    """
    stated = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN") or database.owner_dsn(database.AIRFLOW)
    return _revision({"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": stated})


def port_taken() -> bool:
    """Whether another program listens on the port this home's Airflow keeps."""
    recorded = next((one for one in _recorded() if one.name == "api-server"), None)
    if recorded is not None and recorded.alive():
        return False
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", _port())) == 0


def _start(name: str, arguments: tuple[str, ...], env: Mapping[str, str]) -> Process:
    with _log(name).open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "airflow", *arguments],
            env=dict(env),
            cwd=_home(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Process(name, child.pid, psutil.Process(child.pid).create_time())


def _await_health(processes: Iterable[Process]) -> None:
    """Until the API answers, scheduler and DAG processor have reported since they were started, and the DAGs are read."""
    processes = tuple(processes)
    started = {process.name.replace("-", "_"): process.started for process in processes}
    until = time.monotonic() + PATIENCE
    while True:
        for process in processes:
            if process.alive() is None:
                raise P06Error("P06-STACK-002", process=process.name)
        try:
            with airflow_api.connect() as airflow:
                beats = airflow.heartbeats()
        except P06Error:
            beats = {}
        if all(beats.get(part, 0.0) > started[part] for part in ("scheduler", "dag_processor")) and _dags_read():
            return
        if time.monotonic() > until:
            raise P06Error("P06-STACK-001", seconds=int(PATIENCE))
        time.sleep(0.5)


def _dags_read() -> bool:
    """Whether Airflow knows every DAG. Raises P06Error P06-STACK-010 when it cannot read a file."""
    from p06 import contract

    wanted = {f"load__{source}" for source in contract.load_all()} | OWN_DAGS
    try:
        with airflow_api.connect() as airflow:
            known, broken = {dag["dag_id"] for dag in airflow.dags()}, airflow.import_errors()
    except P06Error:
        return False
    if broken:
        raise P06Error("P06-STACK-010", files=" ".join(sorted({str(item["filename"]) for item in broken})))
    return known >= wanted


def _health() -> dict[str, str]:
    """Component -> state; empty when the API does not answer."""
    try:
        with airflow_api.connect() as airflow:
            return airflow.health()
    except P06Error:
        return {}


def _end(families: Mapping[Process, list[psutil.Process]]) -> None:
    """End processes of ours: ask the leaders, then everything left in their sessions, then insist."""
    left = [member for family in families.values() for member in family]
    leaders = {process.pid for process in families}
    steps = (
        (signal.SIGTERM, GRACE, [m for m in left if m.pid in leaders]),
        (signal.SIGTERM, 3.0, left),
        (signal.SIGKILL, 3.0, left),
    )
    for number, patience, members in steps:
        for member in members:
            _signal(member, number)
        psutil.wait_procs(left, timeout=patience)
        left[:] = [member for member in left if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]
        if not left:
            return


def _family(process: Process) -> list[psutil.Process]:
    """The process, its children and what is left of its session.

    A session id is not given to anybody else while one member lives, so orphans of a killed leader are still ours;
    when the pid now belongs to another process, nothing is.
    """
    leader = process.alive()
    if leader is None and psutil.pid_exists(process.pid) and not _is_zombie(process.pid):
        return []
    found = {} if leader is None else {leader.pid: leader}
    for child in leader.children(recursive=True) if leader else ():
        found[child.pid] = child
    for other in psutil.process_iter():
        try:
            if os.getsid(other.pid) == process.pid and other.create_time() >= process.started - 1:
                found[other.pid] = other
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue
    return list(found.values())


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _memory(process: psutil.Process) -> int:
    """Proportional memory of a process and its children, MB: what forks share is counted once."""
    total = 0
    for member in (process, *process.children(recursive=True)):
        try:
            total += member.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied, AttributeError):
            continue
    return int(total / 2**20)


def _recorded() -> list[Process]:
    try:
        return [Process(**item) for item in json.loads((_home() / "processes.json").read_bytes())]
    except FileNotFoundError:
        return []


def _record(processes: Iterable[Process]) -> None:
    path = _home() / "processes.json"
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps([asdict(process) for process in processes]))
    draft.replace(path)


def _log(name: str) -> Path:
    path = _home() / "logs" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _alone() -> Iterator[None]:
    _home().mkdir(parents=True, exist_ok=True, mode=0o700)
    with (_home() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("P06-STACK-007") from None
        yield


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - begun, 1)
