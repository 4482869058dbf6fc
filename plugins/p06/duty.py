"""Who sees and decides what on the pages behind Airflow's login: the duties of accounts, each a row of the ledger."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from p06 import codelist, database
from p06.errors import UsageError

Kind = Literal["reader", "steward"]
KINDS: tuple[Kind, ...] = ("reader", "steward")
NATION = "nation"  # what concerns no single province
_ACCOUNT = re.compile(r"[\w.@-]{1,100}")
_WHY_LIMIT = 500
_NUMBER = re.compile(r"\d[\d .-]{7,}\d")  # what could be somebody's number


@dataclass(frozen=True)
class Duty:
    """One duty in force; ``province`` None is the whole nation, ``since`` the first day of the area the code names."""

    account: str
    duty: str
    province: str | None
    since: date | None
    who: str
    why: str | None
    at: datetime

    @property
    def name(self) -> str:
        """The province as it is called."""
        if self.province is None or self.since is None:
            return NATION
        known = codelist.load(codelist.PROVINCE).entry(self.province, self.since)
        return known.name if known else ""


@dataclass(frozen=True)
class Reach:
    """How far an account's duty of one kind goes: the nation, or areas by ``code@first day``."""

    nation: bool = False
    areas: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self.nation or bool(self.areas)

    def holds(self, area: str | None) -> bool:
        """Whether it reaches an area; one that is not known, or of the nation, is for the nation's alone."""
        return self.nation or (area is not None and area in self.areas)


def area(code: str, since: date) -> str:
    """The name of a province's area: a code means another province after a reform."""
    return f"{code}@{since.isoformat()}"


def today(area: str | None) -> str | None:
    """The code of today's province an area belongs to; None for the nation, or when no province of today is it."""
    code, _, since = (area or "").partition("@")
    if not since:
        return None
    with database.connect("quality", autocommit=True) as connection:
        row = connection.execute(
            "select today_code from marts.area_today where level = 'province' and code = %s and valid_from = %s",
            (code, since),
        ).fetchone()
    return str(row[0]) if row and row[0] else None


def is_account(text: str) -> bool:
    """Whether this can be the name of an account, and stand in a command as it is."""
    return _ACCOUNT.fullmatch(text) is not None


def of(account: str, kind: Kind) -> Reach:
    """How far an account's duty goes, as the ledger has it now; nowhere when it has none."""
    with database.connect("quality", autocommit=True) as connection:
        nation = connection.execute(
            "select exists (select from quality.duty where account = %s and duty = %s and province is null)",
            (account, kind),
        ).fetchone()
        rows = connection.execute(
            "select code, valid_from from quality.duty_area where account = %s and duty = %s", (account, kind)
        ).fetchall()
    return Reach(bool(nation and nation[0]), frozenset(area(*row) for row in rows))


def in_force(account: str | None = None) -> list[Duty]:
    """Every duty in force (of an account), by account, duty and province."""
    with database.connect("quality", autocommit=True) as connection:
        rows = connection.execute(
            "select account, duty, province, since, who, why, at from quality.duty"
            " where %(account)s::text is null or account = %(account)s order by 1, 2, 3 nulls first, 4",
            {"account": account},
        ).fetchall()
    return [Duty(*row) for row in rows]


def give(account: str, kind: str, province: str | None = None, why: str | None = None) -> bool:
    """Give a duty for a province in force today, or for the nation; whether it is new.

    Raises UsageError P06-DUTY-001 (account), 002 (duty), 003 (province), 004 (why).
    """
    why = _check(account, kind, why)
    since = _since(province)
    if any((one.duty, one.province, one.since) == (kind, province, since) for one in in_force(account)):
        return False
    _enter([(account, kind, province, since, True, person(), why)])
    return True


def take(account: str, kind: str, province: str | None = None, why: str | None = None) -> bool:
    """Take a duty back, of whichever area the code named when it was given; whether there was one. Raises as ``give``."""
    why = _check(account, kind, why)
    held = [one for one in in_force(account) if (one.duty, one.province) == (kind, province)]
    _enter((account, kind, one.province, one.since, False, person(), why) for one in held)
    return bool(held)


def begin(accounts: Iterable[str]) -> None:
    """Give the accounts of a machine of one's own the nation, once: nothing happens when the book has any entry."""
    with database.connect("admin") as connection:
        connection.execute("set local role p06_owner")
        connection.execute("lock table control.duty_entry in share row exclusive mode")
        if connection.execute("select exists (select from control.duty_entry)").fetchone() == (False,):
            _write(
                connection,
                [(one, kind, None, None, True, person(), "first start") for one in accounts for kind in KINDS],
            )


def reason(text: str) -> str:
    """A reason somebody typed, as it may be kept. Raises UsageError P06-DUTY-004."""
    shown = " ".join(text.split())
    if not 0 < len(shown) <= _WHY_LIMIT or not shown.isprintable() or _NUMBER.search(shown):
        raise UsageError("P06-DUTY-004")
    return shown


def _enter(entries: Iterable[tuple[Any, ...]]) -> None:
    with database.connect("admin") as connection:
        connection.execute("set local role p06_owner")
        _write(connection, list(entries))


def _write(connection: Any, entries: list[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into control.duty_entry (account, duty, province, since, given, who, why)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            entries,
        )


def _check(account: str, kind: str, why: str | None) -> str | None:
    """The reason as it may be kept."""
    if not is_account(account):
        raise UsageError("P06-DUTY-001")
    if kind not in KINDS:
        raise UsageError("P06-DUTY-002")
    return None if why is None else reason(why)


def _since(province: str | None) -> date | None:
    """The first day of the province a code names in the newest list."""
    if province is None:
        return None
    known = [one for one in codelist.load(codelist.PROVINCE).entries if one.code == province]
    newest = max(known, key=lambda one: one.valid_from, default=None)
    if newest is None or newest.valid_to < date(9000, 1, 1):
        raise UsageError("P06-DUTY-003")
    return newest.valid_from


def person() -> str:
    """The account of this machine that runs the command, as the books name it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
