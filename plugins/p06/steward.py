"""What stewards decide about pairs of a record and a citizen, and the queue they decide from.

A *record* is what a row of a source says about a person; it is named by a keyed HMAC of that content, a *pair* by one
of the record's name and the citizen's number. The same content in another month, or after a rebuild, is the same pair.
"""

from __future__ import annotations

import json
import os
import pwd
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import sql

from p06 import contract, database, duty, seal, token
from p06.errors import P06Error, UsageError
from p06.period import Period

Connection = psycopg.Connection[Any]
Verdict = Literal["accept", "reject"]
Identity = tuple[int | None, str | None, str | None, date | None, str | None, str | None]

AGREEMENTS = ("name", "birth_date", "sex", "commune", "number")
_PAIR = 20  # hexadecimal digits of a pair's name
_AT_ONCE = 20_000


@dataclass(frozen=True)
class Decision:
    """The entry of a pair that is in force; ``citizen`` is the token of the number that was the root when decided."""

    entry: int
    pair: str
    record: str
    source: str
    citizen: UUID
    verdict: Verdict
    weight: str  # of four decimals, as the steward saw it

    @property
    def mark(self) -> str:
        """All of it that a mart can depend on beside the pair."""
        return f"accept {self.weight}" if self.verdict == "accept" else "reject"


@dataclass(frozen=True)
class Pair:
    """One pair of the queue, over the months it stands in; weight and agreements are those of the newest."""

    pair: str
    source: str
    periods: tuple[Period, ...]
    weight: str
    proposal: str
    agrees: dict[str, str]
    rows: int
    decision: str | None

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return self.__dict__ | {"periods": [str(period) for period in self.periods]}


@dataclass(frozen=True)
class Side:
    """One line of a pair shown: what the record says, what the register says, whether they agree."""

    field: str
    record: str | None
    register: str | None
    agrees: str | None


@dataclass(frozen=True)
class Entry:
    """One line of the book of decisions."""

    entry: int
    pair: str
    source: str
    verdict: str
    weight: str
    who: str
    role: str
    why: str | None
    at: datetime
    in_force: bool


# Names of content.


def compared_commune(known: contract.Contract) -> str | None:
    """The column whose commune is compared with the residence; None when the source has none that is."""
    return known.compared_commune


def records(source: str, identities: Iterable[Identity]) -> list[str]:
    """The names of what rows of a source say: (citizen_id, old_id, normalised name, birth date, sex, commune as sent)."""
    signed = token.signer(f"steward record|{source}|".encode())(map(_message, identities))
    return [signed[place : place + token.TOKEN_BYTES].hex() for place in range(0, len(signed), token.TOKEN_BYTES)]


def pairs(of: Iterable[tuple[str, int]]) -> list[str]:
    """The names of pairs of a record's name and a citizen's root number."""
    signed = token.signer(b"steward pair|")(f"{record}|{root:012d}".encode() for record, root in of)
    return [
        signed[place : place + token.TOKEN_BYTES].hex()[:_PAIR] for place in range(0, len(signed), token.TOKEN_BYTES)
    ]


def _message(identity: Identity) -> bytes:
    """The values one after the other, each with its length before it; what is missing is told apart from what is empty."""
    number, *texts = identity
    parts = [None if number is None else f"{number:012d}", *(None if text is None else str(text) for text in texts)]
    return b"".join(b"-" if part is None else b"%d:%b" % (len(part.encode()), part.encode()) for part in parts)


# What builds and plans ask.


def in_force(connection: Connection) -> tuple[Decision, ...]:
    """Every decision in force, by entry."""
    return tuple(
        Decision(*row)
        for row in connection.execute(
            "select entry_id, pair, record, source, citizen_token, verdict, weight::text"
            " from vault.steward_in_force order by entry_id"
        ).fetchall()
    )


def touches(connection: Connection, leaves: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Staging leaf -> the records decided about that it holds rows of; ``leaves`` gives the source of each.

    Each leaf is read once for each record ever decided about; what was found is kept. A function of the leaves and the
    records alone. The session is the publisher's or the builder's.
    """
    contents = connection.execute("select content_no, record, source, birth_date from vault.steward_content").fetchall()
    if not contents:
        return {}
    names = {number: record for number, record, _, _ in contents}
    scanned = dict(connection.execute("select leaf, scanned_to from control.steward_scan").fetchall())
    held: dict[str, set[int]] = {leaf: set() for leaf in leaves}
    for leaf, number in connection.execute("select leaf, content_no from control.steward_touch").fetchall():
        if leaf in held and number in names:
            held[leaf].add(number)
    newest = max(names)
    fresh: dict[str, dict[int, date]] = {}
    for leaf, source in leaves.items():
        wanted = {
            record: (number, born)
            for number, record, of_source, born in contents
            if of_source == source and number > scanned.get(leaf, 0)
        }
        if wanted:
            fresh[leaf] = _scan(connection, leaf, source, wanted)
            held[leaf] |= fresh[leaf].keys()
    if fresh:
        _remember(fresh, newest)
    return {leaf: frozenset(names[number] for number in numbers) for leaf, numbers in held.items() if numbers}


def _scan(
    connection: Connection, leaf: str, source: str, wanted: Mapping[str, tuple[int, date | None]]
) -> dict[int, date]:
    """Number of each wanted record that the leaf holds -> birth date it states. Reads the rows of its birth dates alone.

    Records that came from another warehouse have no birth date until they are found; for them every row is read.
    """
    commune = compared_commune(contract.load(source))
    born = sorted({day for _, day in wanted.values() if day is not None})
    anywhere = any(day is None for _, day in wanted.values())
    query = sql.SQL(
        "select citizen_id, old_id, vault.normalise_name(full_name), birth_date, sex, {commune} from {leaf} {where}"
    ).format(
        commune=sql.Identifier(commune) if commune else sql.SQL("null"),
        leaf=sql.Identifier("staging", leaf),
        where=sql.SQL("" if anywhere else "where birth_date = any(%(born)s)"),
    )
    found: dict[int, date] = {}
    with connection.transaction(), connection.cursor("steward_scan") as cursor:
        cursor.execute(query, {"born": born})
        while rows := cursor.fetchmany(_AT_ONCE):
            for row, name in zip(rows, records(source, rows), strict=True):
                if name in wanted:
                    found[wanted[name][0]] = row[3]
    return found


def _remember(fresh: Mapping[str, Mapping[int, date]], newest: int) -> None:
    """Keep what was found, in a session of its own: who asks may look at an older snapshot, or fail later."""
    with database.connect("publisher") as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into control.steward_touch (leaf, content_no) values (%s, %s) on conflict do nothing",
            [(leaf, number) for leaf in sorted(fresh) for number in sorted(fresh[leaf])],
        )
        cursor.executemany(
            "insert into control.steward_scan as s (leaf, scanned_to) values (%s, %s)"
            " on conflict (leaf) do update set scanned_to = greatest(s.scanned_to, excluded.scanned_to)",
            [(leaf, newest) for leaf in sorted(fresh)],
        )
        days = {number: day for numbers in fresh.values() for number, day in numbers.items()}
        cursor.executemany(
            "update vault.steward_content set birth_date = %s where content_no = %s and birth_date is null",
            [(days[number], number) for number in sorted(days)],
        )


def forget(connection: Connection) -> None:
    """Forget the queue of builds that are gone, and scans of staging tables that are gone (role builder)."""
    connection.execute(
        "delete from vault.steward_queue where build_id in"
        " (select build_id from control.build where state in ('failed', 'dropping', 'dropped'))"
    )
    for table in ("control.steward_scan", "control.steward_touch"):
        connection.execute(
            sql.SQL("delete from {} where to_regclass(format('staging.%I', leaf)) is null").format(
                sql.Identifier(*table.split("."))
            )
        )


# What stewards ask, as role steward.


def queue(source: str | None = None, period: Period | None = None, all_pairs: bool = False) -> list[Pair]:
    """The pairs that wait for a decision, the likeliest first; also those linked or decided with ``all_pairs``."""
    with database.connect("steward", autocommit=True) as connection:
        rows = connection.execute(
            "select pair, source, period, weight::text, proposal, name, birth_date, sex, commune, number, rows, decision"
            " from steward.pair"
            " where (%(all)s or (proposal = 'ask' and decision is null and not settled_by_another))"
            " and (%(source)s::text is null or source = %(source)s) order by pair, period",
            {"all": all_pairs, "source": source},
        ).fetchall()
    grouped: dict[str, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    found = []
    for name, months in grouped.items():
        newest = months[-1]
        stands_in = tuple(Period.of(row[2]) for row in months)
        if period is None or period in stands_in:
            agrees = dict(zip(AGREEMENTS, newest[5:10], strict=True))
            rows_touched = sum(row[10] for row in months)
            found.append(Pair(name, newest[1], stands_in, newest[3], newest[4], agrees, rows_touched, newest[11]))
    return sorted(found, key=lambda pair: (-float(pair.weight), pair.pair))


def provinces() -> dict[str, str | None]:
    """Standing pair -> area (``code@first day``) of the citizen's residence in its newest month; None when not known.

    Nor has a pair of a restricted source a province: that somebody is in such a register is for the nation's stewards.
    """
    opened = {name for name, known in contract.load_all().items() if not known.restricted}
    with database.connect("steward", autocommit=True) as connection:
        rows = connection.execute(
            "select p.pair, p.province, p.since, s.source from steward.pair_province() as p"
            " inner join (select distinct pair, source from steward.pair) as s on s.pair = p.pair"
        ).fetchall()
    return {
        pair: duty.area(code, since) if code is not None and source in opened else None
        for pair, code, since, source in rows
    }


def show(pair: str, reveal: bool = False, who: str | None = None) -> tuple[str, str, Period, list[Side]]:
    """Pair, source, newest month, and both sides beside each other, masked by the database unless ``reveal``.

    ``who`` asks; by default the account of this machine.
    Revealing is written into the access log in the same transaction. Raises UsageError P06-STEWARD-001, 002, 007.
    """
    with _session() as connection:
        rows = connection.execute(
            "select pair, source, period, field, record_says, register_says, agrees"
            " from steward.side_by_side(%s, %s, %s)",
            (pair, reveal, who or _person()),
        ).fetchall()
    return rows[0][0], rows[0][1], Period.of(rows[0][2]), [Side(*row[3:]) for row in rows]


def decide(
    pair: str, verdict: Literal["accept", "reject", "undone"], why: str | None = None, who: str | None = None
) -> tuple[str, bool]:
    """Enter a decision; the pair's whole name, and whether it is new. ``pair`` may be the beginning of its name.

    ``who`` decides; by default the account of this machine.

    Raises UsageError P06-STEWARD-001 (no such pair), 002 (several), P06Error P06-STEWARD-003 (decided otherwise),
    004 (another citizen is accepted for the record), 005 (nothing to undo).
    """
    with _session() as connection:
        row = connection.execute(
            "select pair, outcome from steward.decide(%s, %s, %s, %s)", (pair, verdict, who or _person(), why)
        ).fetchone()
    assert row is not None
    return row[0], row[1] == "entered"


def entries() -> list[Entry]:
    """The whole book, oldest first."""
    with database.connect("steward", autocommit=True) as connection:
        rows = connection.execute(
            "select entry_id, pair, source, verdict, weight::text, who, role, why, at, in_force"
            " from steward.decision order by entry_id"
        ).fetchall()
    return [Entry(*row) for row in rows]


def export(path: Path) -> int:
    """Write the decisions in force as JSON lines, no values among them; returns how many.

    Raises P06Error P06-STEWARD-008 when the file cannot be written.
    """
    with database.connect("steward", autocommit=True) as connection:
        rows = connection.execute(
            "select pair, record, source, citizen_token::text, verdict, weight::text, who"
            " from steward.decision where in_force order by entry_id"
        ).fetchall()
    text = "".join(json.dumps(dict(zip(_EXPORTED, row, strict=True))) + "\n" for row in rows)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise P06Error("P06-STEWARD-008", kind=type(error).__name__) from None
    return len(rows)


def replay(path: Path) -> int:
    """Enter the decisions of an exported file, all or none; returns how many were not in force already.

    Both warehouses need the same token key. Raises UsageError P06-STEWARD-006 when a line is not a decision,
    P06Error P06-STEWARD-003, 004 when one contradicts a decision in force.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise UsageError("P06-STEWARD-006") from error
    entered = 0
    with _session() as connection:
        for number, line in enumerate(lines, start=1):
            given = _decision(line, number)
            outcome = connection.execute("select steward.replay(%s, %s, %s, %s, %s, %s, %s)", given).fetchone()
            entered += outcome == ("entered",)
    return entered


_EXPORTED = ("pair", "record", "source", "citizen", "verdict", "weight", "who")
_FORM = {
    "pair": r"[0-9a-f]{20}",
    "record": r"[0-9a-f]{32}",
    "source": r"[a-z][a-z0-9_]*",
    "citizen": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "verdict": r"accept|reject",
    "weight": r"0(?:\.[0-9]{1,4})?|1(?:\.0{1,4})?",
    "who": r"[^\x00-\x1f\x7f]{1,100}",
}


def _decision(line: str, number: int) -> tuple[str, ...]:
    try:
        given = json.loads(line)
        values = tuple(given[name] for name in _EXPORTED)
        sound = all(re.fullmatch(_FORM[name], value) for name, value in zip(_EXPORTED, values, strict=True))
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound or given["source"] not in contract.load_all():
        raise UsageError("P06-STEWARD-006", line=number)
    return values


@contextmanager
def _session() -> Iterator[Connection]:
    """One transaction of a steward; what the database refuses gets its code."""
    try:
        with database.connect("steward") as connection:
            yield connection
            seal.enter_entered(connection)
    except psycopg.Error as error:
        if error.sqlstate not in _REFUSED:
            raise
        make, code = _REFUSED[error.sqlstate]
        raise make(code) from None


_REFUSED: dict[str, tuple[Callable[[str], P06Error], str]] = {
    "P6S01": (UsageError, "P06-STEWARD-001"),
    "P6S02": (UsageError, "P06-STEWARD-002"),
    "P6S03": (P06Error, "P06-STEWARD-003"),
    "P6S04": (P06Error, "P06-STEWARD-004"),
    "P6S05": (P06Error, "P06-STEWARD-005"),
    "P6S07": (UsageError, "P06-STEWARD-007"),
}


def _person() -> str:
    """The account of this machine that asks; its number when it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def marks(decisions: Iterable[Decision], touched: frozenset[str], rejected_too: bool) -> dict[str, str]:
    """Pair -> mark of the decisions about records an extract holds.

    Rejections count only where linkage is on, and beside an acceptance of the record: both may speak of one person,
    for whom the later entry counts. So a record's acceptance is marked with the rejections it came after.
    """
    held = [one for one in decisions if one.record in touched]
    accepted = {one.record: one for one in held if one.verdict == "accept"}
    marked = {one.pair: one.mark for one in held if rejected_too or one.record in accepted}
    for record, one in accepted.items():
        earlier = [other.pair for other in held if other.record == record and other.entry < one.entry]
        if earlier:
            marked[one.pair] = " ".join((one.mark, "after", *sorted(earlier)))
    return marked


def told(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Sentences that tell the decisions about an extract (pair -> mark) apart."""
    changed = [after.get(pair, "").split(" ")[0] for pair in {*before, *after} if before.get(pair) != after.get(pair)]
    for verdict, one, several in (
        ("accept", "a steward accepted a pair", "stewards accepted {} pairs"),
        ("reject", "a steward rejected a pair", "stewards rejected {} pairs"),
        ("", "a steward took a decision back", "stewards took {} decisions back"),
    ):
        count = changed.count(verdict)
        if count:
            yield one if count == 1 else several.format(count)
