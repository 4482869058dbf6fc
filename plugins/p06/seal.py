"""The seal over the ledger: a chain of keyed codes, so that a row changed, removed or slipped in later is noticed.

Whoever writes a row the chain covers enters it in the same transaction (``enter``). An entry holds what the row said and
the HMAC-SHA256, under a key the database never sees, of that and of the entry before it. ``verify`` reads the chain
from its first entry on and compares what was last entered of each row with what the row says now.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg

from p06 import token
from p06.errors import Busy, P06Error, UsageError
from p06.settings import settings

Connection = psycopg.Connection[Any]

BEGIN = "chain"  # the subject of the entry a chain begins with, or begins anew
# What the chain covers, each the name of a kind of row in control.seal_rows.
SUBJECTS = (
    "load_attempt", "extract", "accepted", "check_result", "approval_request", "approval_answer", "build", "build_figure",
    "release", "release_record", "footnote", "pointer_event", "indicator_edition", "steward_decision", "access_log",
)  # fmt: skip
_BEGUN, _ANEW = "begun", "anew"
_HEAD = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was entered. ``key`` names the row; no finding holds what a row says."""

    subject: str
    key: str | None
    what: str  # changed, removed, not entered, entry changed, entry missing, entry slipped in, pointer differs, head differs
    columns: tuple[str, ...] = ()
    entry: int | None = None

    @property
    def sentence(self) -> str:
        """For people."""
        place = f"{self.subject} {self.key}" if self.key is not None else self.subject
        columns = f": {', '.join(self.columns)}" if self.columns else ""
        entry = f" (entry {self.entry})" if self.entry is not None else ""
        return f"{place}: {self.what}{columns}{entry}"


@dataclass(frozen=True)
class Beginning:
    """Where a chain begins or begins anew: from there on rows are as they were found then."""

    entry: int
    at: datetime
    rows: int
    why: str | None
    key_here: bool


@dataclass(frozen=True)
class Verdict:
    """What ``verify`` found. ``head`` is the newest entry as NUMBER:MAC, to be kept elsewhere."""

    entries: int
    rows: int
    head: str | None
    beginnings: tuple[Beginning, ...]
    findings: tuple[Finding, ...] = field(default=())

    @property
    def sound(self) -> bool:
        """Whether nothing differs."""
        return not self.findings

    @property
    def sentence(self) -> str:
        """For people, in a line."""
        count = len(self.findings)
        found = f"{count} finding{'s' * (count > 1)}" if count else "every row is as it was entered"
        return f"{self.entries} entries, {self.rows} rows: {found}"

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "sound": self.sound,
            "entries": self.entries,
            "rows": self.rows,
            "head": self.head,
            "beginnings": [{**one.__dict__, "at": one.at.isoformat()} for one in self.beginnings],
            "findings": [one.__dict__ for one in self.findings],
        }


# Entering, in the transaction that writes the rows.


def enter(
    connection: Connection, subject: str, keys: Iterable[object], given: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Enter what these rows of one kind say now; call it last, the chain is held from here to the end of the transaction.

    ``given`` is content already known of a key, which saves reading it. Raises what ``enter_all`` raises.
    """
    enter_all(connection, {subject: list(keys)}, {subject: given} if given else {})


def enter_all(
    connection: Connection,
    rows: Mapping[str, Iterable[object]],
    given: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
) -> None:
    """The same for several kinds at once: kind -> keys.

    Raises P06Error P06-SEAL-001 when the key is missing or holds none, 002 when the chain goes on with another key, 005
    when the chain is gone; Busy P06-SEAL-003 when another transaction holds the chain for too long.
    """
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS:
        raise RuntimeError("rows are entered into the chain in the transaction that writes them")
    known = given or {}
    entries: list[tuple[str, str, str]] = []
    for subject, keys in rows.items():
        told = {key: _canonical(content) for key, content in known.get(subject, {}).items()}
        asked = [str(key) for key in keys if str(key) not in told]
        entries += [(subject, key, content) for key, content in told.items()]
        if asked:
            entries += [(subject, key, content) for key, content in _rows(connection, subject, asked)]
    if entries:
        _append(connection, entries)


def enter_entered(connection: Connection) -> None:
    """Enter what functions of the database wrote in this transaction: decisions, approvals, the access log."""
    found: dict[str, list[str]] = {}
    for subject, key in connection.execute("select subject, key from control.seal_entered()").fetchall():
        found.setdefault(subject, []).append(key)
    enter_all(connection, found)


def begin(connection: Connection) -> None:
    """Begin the chain of a database that never had one: every row there is counts as it is found.

    Where there is a key already, only an empty ledger begins one: a chain that was taken away must not come back by
    itself over rows that were changed meanwhile. The key gets its name when the chain is committed.
    """
    path = settings().signing_key_file
    draft = path.with_name(f".{path.name}.draft")
    with connection.transaction():
        head = _head(connection)
        if head.number == 0:
            known = token.read_key(path)
            if known is None:
                if not token.read_key(draft):
                    draft.unlink(missing_ok=True)
                    token.make_key(draft)
                known = token.read_key(draft)
                _begin(connection, head, known or b"", None)
            elif known and not any(_rows(connection, subject, None) for subject in SUBJECTS):
                _begin(connection, head, known, None)
    with connection.transaction():
        head = _head(connection)
        made = token.read_key(draft)
        if made and not path.exists() and head.key_id == _key_id(made):
            draft.replace(path)


def begin_anew(connection: Connection, why: str) -> None:
    """Go on under a new key, from the rows as they are now; the key until now, where it is here, is kept beside it.

    For a key that was lost or is known to others. What was wrong before stays to be read in the old entries.
    """
    path = settings().signing_key_file
    with connection.transaction():
        head = _head(connection)
        held = token.read_key(path)
        if held is not None:
            aside = path.with_name(f"{path.stem}.{_key_id(held) if held else 'unreadable'}{path.suffix}")
            path.replace(aside)
        token.make_key(path)
        _begin(connection, head, _key(), why)


def _rows(connection: Connection, subject: str, keys: Sequence[str] | None) -> list[tuple[str, str]]:
    return connection.execute("select key, content from control.seal_rows(%s, %s::text[])", (subject, keys)).fetchall()


@dataclass(frozen=True)
class _Head:
    number: int
    mac: bytes
    key_id: str | None
    at: datetime


def _head(connection: Connection) -> _Head:
    """The newest entry, the chain held until the transaction ends."""
    try:
        row = connection.execute("select entry_no, mac, key_id, at from control.seal_head()").fetchone()
    except psycopg.errors.LockNotAvailable:
        raise Busy("P06-SEAL-003") from None
    assert row is not None
    return _Head(row[0] or 0, bytes(row[1] or b""), row[2], row[3])


def _append(connection: Connection, entries: list[tuple[str, str, str]]) -> None:
    with connection.transaction():
        head = _head(connection)
        key = _key()
        if head.number == 0:
            raise P06Error("P06-SEAL-005")
        if head.key_id != _key_id(key):
            raise P06Error("P06-SEAL-002")
        _write(connection, head, key, entries)


def _begin(connection: Connection, head: _Head, key: bytes, why: str | None) -> _Head:
    found = [(subject, name, content) for subject in SUBJECTS for name, content in _rows(connection, subject, None)]
    told = _canonical({"rows": len(found), "why": why})
    return _write(connection, head, key, [(BEGIN, _ANEW if head.number else _BEGUN, told), *found])


def _write(connection: Connection, head: _Head, key: bytes, entries: list[tuple[str, str, str]]) -> _Head:
    macs: list[bytes] = []
    last, name = head.mac, _key_id(key)
    for number, (subject, of, content) in enumerate(entries, head.number + 1):
        last = _mac(key, last, number, head.at, subject, of, content)
        macs.append(last)
    if entries:
        connection.execute(
            "select control.seal_append(%s, %s, %s, %s, %s, %s, %s)",
            (head.number + 1, head.at, *(list(column) for column in zip(*entries, strict=True)), name, macs),
        )
    return _Head(head.number + len(entries), last, name, head.at)


def _mac(key: bytes, before: bytes, number: int, at: datetime, subject: str, of: str, content: str) -> bytes:
    when = at.astimezone(timezone.utc).isoformat(timespec="microseconds")
    code = hmac.new(key, b"p06 seal|", "sha256")
    for part in (before, *(text.encode() for text in (str(number), when, subject, of, content))):
        code.update(b"%d:" % len(part) + part)
    return code.digest()


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)


def _key() -> bytes:
    """The signing key, 32 bytes of P06_SIGNING_KEY_FILE. Raises P06Error P06-SEAL-001."""
    found = token.read_key(settings().signing_key_file)
    if not found:
        raise P06Error("P06-SEAL-001")
    return found


def _key_id(key: bytes) -> str:
    return hmac.new(key, b"p06 seal key", "sha256").hexdigest()[:16]


def _keys() -> dict[str, bytes]:
    """The signing key, and those that were given up and kept beside it, by their names."""
    path: Path = settings().signing_key_file
    held = [token.read_key(one) for one in {path, *path.parent.glob(f"{path.stem}.*{path.suffix}")}]
    return {_key_id(key): key for key in held if key}


# Checking.


def signed_with(connection: Connection) -> tuple[str | None, frozenset[str]]:
    """The name of the key the newest entry was signed with (None without a chain), and of the keys held here."""
    row = connection.execute("select key_id from control.seal order by entry_no desc limit 1").fetchone()
    return (row[0] if row else None), frozenset(_keys())


def verify(connection: Connection, expected: str | None = None) -> Verdict:
    """Check every entry of the chain and every row it covers, in one snapshot.

    ``connection`` is the admin's, outside a transaction; ``expected`` a head printed earlier, NUMBER:MAC, which must
    stand in the chain still. Raises UsageError P06-SEAL-004 when it is not of that form, P06Error P06-SEAL-001 when
    the key of the newest entries is not here.
    """
    if expected is not None and not _HEAD.fullmatch(expected):
        raise UsageError("P06-SEAL-004")
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        return check(connection, expected)


def check(connection: Connection, expected: str | None = None) -> Verdict:
    """The same in the transaction of the caller."""
    chain = _Chain(_keys())
    with connection.cursor("seal") as cursor:
        cursor.execute("select entry_no, at, subject, key, content, key_id, mac from control.seal order by entry_no")
        for number, at, subject, key, content, key_id, mac in cursor:
            chain.take(number, at, subject, key, content, key_id, bytes(mac))
    findings = list(chain.findings)
    if chain.beginnings and not chain.beginnings[-1].key_here:
        if not any(one.key_here for one in chain.beginnings):
            raise P06Error("P06-SEAL-001")
        findings.append(Finding(BEGIN, None, "entry slipped in", entry=chain.beginnings[-1].entry))
    if not chain.number:
        findings.append(Finding(BEGIN, None, "entry missing"))
    if expected is not None and expected not in chain.heads(int(expected.partition(":")[0])):
        findings.append(Finding(BEGIN, None, "head differs"))
    rows = 0
    for subject in SUBJECTS:
        present = {key: json.loads(content) for key, content in _rows(connection, subject, None)}
        rows += len(present)
        findings += _compared(subject, chain.latest.get(subject, {}), present)
    findings += _pointers(connection)
    return Verdict(chain.number, rows, chain.head, tuple(chain.beginnings), tuple(findings))


class _Chain:
    """Entries taken in order of their numbers; what is wrong with them, and what each row was last said to say."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self.keys = keys
        self.number = 0
        self.mac = b""
        self.key_id: str | None = None
        self.findings: list[Finding] = []
        self.beginnings: list[Beginning] = []
        self.latest: dict[str, dict[str, tuple[dict[str, Any], int]]] = {}
        self._macs: dict[int, bytes] = {}

    @property
    def head(self) -> str | None:
        """The newest entry."""
        return f"{self.number}:{self.mac.hex()}" if self.number else None

    def heads(self, number: int) -> tuple[str, ...]:
        """The entry of that number, as a head is printed; nothing when there is none."""
        return (f"{number}:{self._macs[number].hex()}",) if number in self._macs else ()

    def take(self, number: int, at: datetime, subject: str, key: str, content: str, key_id: str, mac: bytes) -> None:
        """The next entry there is."""
        told = self._told(content)
        begins = subject == BEGIN and key in (_BEGUN, _ANEW)
        after_gap = number != self.number + 1  # the code before it is gone, so its own cannot be checked
        held = self.keys.get(key_id)
        if after_gap:
            last = number - 1
            span = str(last) if last == self.number + 1 else f"{self.number + 1}..{last}"
            self.findings.append(Finding(BEGIN, span, "entry missing"))
        if not begins and key_id != self.key_id:
            self.findings.append(Finding(subject, key, "entry slipped in", entry=number))
        elif held is not None and not after_gap:
            expected = _mac(held, self.mac, number, at, subject, key, content)
            if not hmac.compare_digest(expected, mac):
                self.findings.append(Finding(subject, key, "entry changed", entry=number))
        if begins:
            self.key_id, self.latest = key_id, {}
            rows, why = (told or {}).get("rows"), (told or {}).get("why")
            self.beginnings.append(
                Beginning(number, at, rows if type(rows) is int else 0, str(why) if why else None, held is not None)
            )
        elif told is not None:
            self.latest.setdefault(subject, {})[key] = (told, number)
        self.number, self.mac = number, mac
        self._macs[number] = mac

    def _told(self, content: str) -> dict[str, Any] | None:
        try:
            told = json.loads(content)
        except ValueError:
            return None
        return told if isinstance(told, dict) else None


def _compared(
    subject: str, entered: Mapping[str, tuple[Mapping[str, Any], int]], present: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    """Rows that say other than was entered of them last, are gone, or were never entered."""
    for key in sorted({*entered, *present}):
        if key not in present:
            yield Finding(subject, key, "removed", entry=entered[key][1])
        elif key not in entered:
            yield Finding(subject, key, "not entered")
        else:
            told, number = entered[key]
            columns = tuple(sorted(name for name in told if told[name] != present[key].get(name)))
            if columns:
                yield Finding(subject, key, "changed", columns, number)


def _pointers(connection: Connection) -> Iterator[Finding]:
    """Where what readers see is not what the last move of a pointer left."""
    for (period,) in connection.execute(_MISPLACED).fetchall():
        yield Finding("published", period, "pointer differs")
    if connection.execute(_MISSTATED).fetchone() == (True,):
        yield Finding("register_state", None, "pointer differs")


_MISPLACED = """
with moved as (
    select distinct on (e.period) e.period, e.to_release, r.build_id
    from control.pointer_event as e
    inner join control.release as r on r.release_id = e.to_release
    order by e.period, e.event_id desc
)
select to_char(coalesce(m.period, p.period), 'YYYY-MM')
from moved as m
full join control.published as p on p.period = m.period
where (p.release_id, p.build_id) is distinct from (m.to_release, m.build_id)
order by 1
"""
_MISSTATED = """
select s.state <> e.register_state
from control.register_state as s
cross join (select n.register_state from control.pointer_event as n order by n.event_id desc limit 1) as e
"""
