"""Checks of the machine and the configuration, each with the mend."""

from __future__ import annotations

import locale
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from p06.errors import P06Error
from p06.settings import settings

NEEDED_FREE = 3 * 2**30


@dataclass(frozen=True)
class Finding:
    """One check: what was found, and how to mend it."""

    check: str
    state: Literal["good", "note", "bad"]  # note: nothing is broken, and somebody has something left to do
    found: str
    mend: str = ""


def examine() -> list[Finding]:
    """Every finding, good and bad. Starts the embedded server when it is not running."""
    return [*_machine(), *_files(), *_database(), *_airflow()]


def _finding(check: str, good: bool, found: str, mend: str) -> Finding:
    return Finding(check, "good" if good else "bad", found, "" if good else mend)


def _machine() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield _finding("python", (3, 11) <= sys.version_info[:2] < (3, 14), version, "use Python 3.11 to 3.13")
    encoding = locale.getpreferredencoding(False)
    yield _finding("locale", encoding.lower().replace("-", "") == "utf8", encoding, "export LC_ALL=C.UTF-8")
    home = settings().home
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(nearest).free
    room = f"{free // 2**20} MB free of the {NEEDED_FREE // 2**20} MB a month may take"
    yield _finding("disk", free >= NEEDED_FREE, room, "run `p06 clean`, free some space, or set P06_HOME elsewhere")
    yield _finding("home", _takes_files(nearest), str(home), "set P06_HOME to a folder you may write to")


def _takes_files(folder: Path) -> bool:
    """Whether a file can be made there, found out by making one: rights say nothing of a disk mounted for reading."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _files() -> Iterator[Finding]:
    from p06 import contract, suite

    try:
        found = contract.load_all()
        yield _finding("contracts", bool(found), f"{len(found)} contracts", "restore contracts/")
    except P06Error as error:
        yield Finding("contracts", "bad", str(error), error.next_step())
    try:
        for source in contract.load_all():
            suite.load_source(source)
        for mart in suite.marts():
            suite.load_mart(mart)
        suite.waivers()
        yield Finding("suites", "good", "every suite and waiver is well formed")
    except P06Error as error:
        yield Finding("suites", "bad", str(error), error.next_step())
    yield _private("token key", settings().token_key_file, "will be made at the first load")
    yield _private("signing key", settings().signing_key_file, "will be made with the first ledger")
    yield from _origins()
    yield _alerts()
    if "://" not in settings().landing:
        landing = Path(settings().landing)
        found_text = str(landing) if landing.exists() else f"{landing} (will be made)"
        right = not landing.exists() or (landing.is_dir() and os.access(landing, os.R_OK | os.X_OK))
        mend = "grant read access" if landing.is_dir() else "it is no folder: set P06_LANDING to one"
        yield _finding("landing", right, found_text, mend)
    else:
        yield from _landing_store()


def _private(check: str, key: Path, otherwise: str) -> Finding:
    """Whether nobody but its owner can read a key."""
    if not key.exists():
        return Finding(check, "good", otherwise)
    mode = key.stat().st_mode & 0o777
    return _finding(check, mode & 0o077 == 0, oct(mode), f"chmod 600 {key}")


def _landing_store() -> Iterator[Finding]:
    """Whether the connection's file of a landing by URL can be used; its store is not asked."""
    from p06 import credentials

    try:
        credentials.of(credentials.LANDING)
        yield Finding("landing", "good", "a URL; the store is asked at each load")
    except P06Error as error:
        yield Finding("landing", "bad", str(error), error.next_step())


def _alerts() -> Finding:
    """Whether the channels of the alerts are declared well and their secrets' files can be used; nobody is asked."""
    from p06 import channel, credentials

    try:
        found = channel.channels()
        for name in found.known:
            credentials.of(f"p06_alerts_{name}")
        return Finding("alerts", "good", f"{len(found.known)} channels, {len(found.routes)} routes")
    except P06Error as error:
        return Finding("alerts", "bad", str(error), error.next_step())


def _origins() -> Iterator[Finding]:
    """Whether every origin is declared well and its connection's file can be used; nobody is asked."""
    from p06 import contract, landing, origins

    try:
        servers = [server for one in contract.load_all().values() for server in origins.declared(one)]
        for server in servers:
            _ = server.credentials
        yield Finding("origins", "good", f"{len(servers)} origins to pull from")
        if servers:
            nearest = next(folder for folder in (landing.root(), *landing.root().parents) if folder.exists())
            yield _finding(
                "landing takes pulls", _takes_files(nearest), str(nearest), "grant write access: pulls land there"
            )
    except P06Error as error:
        yield Finding("origins", "bad", str(error), error.next_step())


def _database() -> Iterator[Finding]:
    """Whether every role reaches the database, and whether it is this home's own, at the state of this code."""
    from p06 import database

    try:
        for role in database.ROLES:
            with database.connect(role, autocommit=True) as connection:
                row = connection.execute(
                    "select session_user, (select rolsuper or rolbypassrls from pg_roles where rolname = session_user),"
                    " current_setting('server_version'), current_database()"
                ).fetchone()
                assert row is not None
                right = row[0] == f"p06_{role}" and not row[1]
                yield _finding(
                    f"role {role}",
                    right,
                    f"{row[0]} on {row[3]}, PostgreSQL {row[2]}",
                    "the role must not be superuser",
                )
        yield _cluster()
        yield _migrations()
        yield _chain()
        yield _tokens()
        yield _duties()
        yield _logins()
    except P06Error as error:
        yield Finding("database", "bad", str(error), error.next_step())


def _cluster() -> Finding:
    """Whether the embedded server that answers is the one whose data lie in this home, not one of a home copied from."""
    from p06 import database

    if settings().database_url is not None:
        return Finding("database of this home", "good", "a server; its ledger's seal tells whose it is")
    import psycopg

    with psycopg.connect(database.owner_dsn(), autocommit=True) as connection:
        row = connection.execute("show data_directory").fetchone()
    assert row is not None
    answers, own = Path(row[0]).resolve(), (settings().home / "postgres").resolve()
    return _finding(
        "database of this home",
        answers == own,
        f"data in {answers}",
        f"another home's server answers: this one was copied while it ran. Remove {own / 'postmaster.pid'}, then run"
        " `p06 doctor`; restore a backup when the copy is no whole one",
    )


def _migrations() -> Finding:
    """Whether the schema is that of this code: neither behind nor written by a newer one."""
    import psycopg

    from p06 import database

    with psycopg.connect(database.owner_dsn(database.WAREHOUSE), autocommit=True) as connection:
        applied = {name for (name,) in connection.execute("select name from public.p06_migration")}
    known = {path.name for path in settings().migrations.glob("[0-9][0-9][0-9][0-9]_*.sql")}
    ahead, behind = sorted(applied - known), sorted(known - applied)
    if ahead:
        return Finding(
            "migrations", "bad", f"{len(ahead)} unknown to this version: {ahead[-1]}",
            "a newer p06 has used this database: use that version again, or restore a backup of before",
        )  # fmt: skip
    return _finding(
        "migrations", not behind, f"{len(applied)} applied, {len(behind)} to come", "run `p06 status`: it applies them"
    )


def _chain() -> Finding:
    """Whether the ledger goes on with the signing key that is here."""
    from p06 import database, seal

    with database.connect("admin", autocommit=True) as connection:
        of, held = seal.signed_with(connection)
    if of is None:
        return Finding("ledger's key", "good", "no chain yet")
    return _finding(
        "ledger's key", of in held, "the chain's own" if of in held else "the chain goes on with another key",
        P06Error("P06-SEAL-002").next_step() + "; or P06_DATABASE_URL names another warehouse's database",
    )  # fmt: skip


def _tokens() -> Finding:
    """Whether tokens made here are those this warehouse was built with: one number of the vault is signed again."""
    from p06 import database, token

    with database.connect("builder", autocommit=True) as connection:
        row = connection.execute("select citizen_id, citizen_token from vault.citizen_token limit 1").fetchone()
    if row is None:
        return Finding("tokens", "good", "none yet")
    path = settings().token_key_file
    right = bool(token.read_key(path)) and token.citizen_tokens([row[0]])[0][1] == row[1]
    return _finding(
        "tokens", right, "made with the key that is here" if right else "the warehouse was built with another key",
        f"put the token key of this warehouse back as {path}, or name its file in P06_TOKEN_KEY_FILE; load nothing before",
    )  # fmt: skip


def _duties() -> Finding:
    """Whether anybody behind Airflow's login may open what is a single province's: on a server nobody may until told so."""
    from p06 import airflow_api, duty

    readers = {one.account for one in duty.in_force() if one.duty == "reader"}
    if readers:
        return Finding("duties", "good", f"{len(readers)} accounts read pages of provinces")
    if settings().database_url is None and not airflow_api.port_file().exists():
        return Finding("duties", "good", "none yet; `p06 up` gives its own accounts the nation")
    return Finding(
        "duties", "note", "nobody may open a province's page yet, no administrator either",
        "`p06 duties give admin reader` for every province, or `--province 01` for one",
    )  # fmt: skip


def _logins() -> Finding:
    """Whether the logins of one's own that read the marts keep one state for a whole transaction, as p06's own do."""
    from p06 import database

    with database.connect("admin", autocommit=True) as connection:
        known = connection.execute(_OWN_READERS).fetchall()
    found = [name for name, one_state in known if not one_state]
    if not found:
        return Finding("readers' logins", "good", f"{len(known)} of your own, each transaction sees one state")
    return Finding(
        "readers' logins", "note",
        f"a transaction of {', '.join(found[:3])}{' and others' if found[3:] else ''} may see two releases",
        f"as the server's superuser: alter role {found[0]} set default_transaction_isolation = 'repeatable read'",
    )  # fmt: skip


_OWN_READERS = """
select
    quote_ident(m.rolname),
    coalesce((
        select split_part(c.setting, '=', 2) in ('repeatable read', 'serializable')
        from pg_db_role_setting as s cross join unnest(s.setconfig) as c (setting)
        where s.setrole in (0, m.oid)
            and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
            and starts_with(c.setting, 'default_transaction_isolation=')
        order by s.setrole <> 0 desc, s.setdatabase <> 0 desc
        limit 1
    ), false)
from pg_roles as m
where m.rolcanlogin and not m.rolsuper and not starts_with(m.rolname, 'p06_')
    and exists (
        select from pg_roles as r
        where r.rolname in ('p06_analyst', 'p06_quality', 'p06_identified', 'p06_sensitive')
            and pg_has_role(m.oid, r.oid, 'member')
    )
order by 1
"""


def _airflow() -> Iterator[Finding]:
    """Whether Airflow's metadata are there, and whether its port is its own; nothing is started."""
    from p06 import airflow_api, database, stack

    if not airflow_api.port_file().exists():
        yield Finding("airflow", "good", "never started here; `p06 up` does")
        return
    try:
        revision = stack.metadata_revision()
        yield _finding(
            "airflow's metadata", revision is not None, f"at {revision}" if revision else "no tables in its database",
            "run `p06 up`: it makes them; the history of runs is gone, what was loaded and released is not",
        )  # fmt: skip
    except P06Error:
        yield Finding(
            "airflow's metadata", "bad", f"database {database.AIRFLOW} does not answer",
            "run `p06 up`: it makes the database; on a server of your own see AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        )  # fmt: skip
    taken = stack.port_taken()
    yield _finding(
        "airflow's port", not taken, "another program listens there" if taken else "its own",
        f"end that program, or remove {airflow_api.port_file()}: `p06 up` chooses another port",
    )  # fmt: skip
