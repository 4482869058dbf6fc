"""Numbered migrations, each applied once, in order, in one transaction."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import psycopg

from p06 import lock
from p06.errors import P06Error


def apply(connection: psycopg.Connection[Any], folder: Path) -> list[str]:
    """Apply the pending ``NNNN_*.sql`` of the folder; returns their names.

    Raises P06Error P06-DB-004 when an applied migration was changed afterwards, Busy P06-DB-006 when one reader held
    what has to change all the time.
    """
    return lock.patiently(lambda: _apply(connection, folder), "P06-DB-006")


def _apply(connection: psycopg.Connection[Any], folder: Path) -> list[str]:
    done = []
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (0x503037,))
        connection.execute(f"set local lock_timeout = '{lock.WAIT}'")
        connection.execute(
            "create table if not exists public.p06_migration (name text primary key, sha256 text not null)"
        )
        applied = dict(connection.execute("select name, sha256 from public.p06_migration").fetchall())
        for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if path.name in applied:
                if applied[path.name] != digest:
                    raise P06Error("P06-DB-004", migration=path.name)
                continue
            connection.execute(path.read_bytes())
            connection.execute("reset role")
            connection.execute("insert into public.p06_migration values (%s, %s)", (path.name, digest))
            done.append(path.name)
    return done
