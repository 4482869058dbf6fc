"""Checks of the machine and the configuration, each with the mend."""

from __future__ import annotations

import locale
import os
import shutil
import sys
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
    state: Literal["good", "bad"]
    found: str
    mend: str = ""


def examine() -> list[Finding]:
    """Every finding, good and bad. Starts the embedded server when it is not running."""
    return [*_machine(), *_files(), *_database()]


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
    yield _finding(
        "disk", free >= NEEDED_FREE, f"{free // 2**20} MB free", "free some space, or set P06_HOME elsewhere"
    )
    yield _finding("home", os.access(nearest, os.W_OK), str(home), "set P06_HOME to a folder you may write to")


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
    key = settings().token_key_file
    if key.exists():
        private = key.stat().st_mode & 0o077 == 0
        yield _finding("token key", private, oct(key.stat().st_mode & 0o777), f"chmod 600 {key}")
    else:
        yield Finding("token key", "good", "will be made at the first load")
    yield from _origins()
    yield _alerts()
    if "://" not in settings().landing:
        landing = Path(settings().landing)
        found_text = str(landing) if landing.exists() else f"{landing} (will be made)"
        yield _finding("landing", not landing.exists() or os.access(landing, os.R_OK), found_text, "grant read access")
    else:
        yield from _landing_store()


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
                "landing takes pulls", os.access(nearest, os.W_OK), str(nearest), "grant write access: pulls land there"
            )
    except P06Error as error:
        yield Finding("origins", "bad", str(error), error.next_step())


def _database() -> Iterator[Finding]:
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
    except P06Error as error:
        yield Finding("database", "bad", str(error), error.next_step())
