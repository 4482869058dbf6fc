"""The pointer: what readers see. Publishing and rolling back are each one transaction of row changes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg

from p06 import alert, approval, fault, footnote, record, seal
from p06.errors import P06Error, UsageError
from p06.period import Period
from p06.plan import Ledger, moves_history

KEPT = 3
_WAIT = "10s"  # for another's change of a pointer, which no reader waits for


@dataclass(frozen=True)
class Release:
    """One published state of one period."""

    release_id: str
    period: Period
    build_id: int
    published_at: datetime
    gate: str
    approved_by: str | None
    current: bool
    kept: bool


Moved = Literal["untouched", "moved", "stayed"]


@dataclass(frozen=True)
class Rollback:
    """What a rollback moved."""

    period: Period
    from_release: str
    to_release: str
    register: Moved


def publish(connection: psycopg.Connection[Any], build_id: int, who: str, why: str | None = None) -> str:
    """Point readers at a build that passed its gate; returns the release id. Publishing it again changes nothing.

    Raises P06Error P06-RELEASE-002 when the inputs changed since the build started, P06-RELEASE-003 when a newer
    build was published or wrote the register's state, P06-RELEASE-004 when the build has not passed its gate; Waiting
    P06-RELEASE-011 .. 013 when it must be approved and was not. The database refuses the last two by itself as well.
    """
    prepared = record.prepare(connection, build_id)
    with connection.transaction():
        connection.execute(f"set local lock_timeout = '{_WAIT}'")
        connection.execute("select state from control.register_state for update")
        row = connection.execute(
            "select period, fingerprint, model_hash, state from control.build where build_id = %s for update",
            (build_id,),
        ).fetchone()
        if row is None:
            raise P06Error("P06-RELEASE-004", build=build_id)
        first_day, fingerprint, model_hash, state = row
        period = Period.of(first_day)
        if state == "published":
            found = connection.execute("select release_id from control.release where build_id = %s", (build_id,))
            return str(found.fetchone()[0])  # type: ignore[index]
        passed = connection.execute("select control.passed_gate(%s)", (build_id,)).fetchone()
        if state != "passed" or passed is None or not passed[0] or not prepared.figures:  # not when prepared
            raise P06Error("P06-RELEASE-004", build=build_id, state=state)
        approved_by = approval.approver(connection, build_id)
        ledger = Ledger(connection)
        if ledger.inputs(period).fingerprint != fingerprint:
            raise P06Error("P06-RELEASE-002", period=period, build=build_id)
        states = register_states(connection, ledger, period, build_id, approved_by is not None)
        if states is None or overtaken(connection, build_id):
            raise P06Error("P06-RELEASE-003", period=period, build=build_id)
        before, after = states
        fault.point("publish.checked")
        number, previous = _next_number(connection, period)
        release_id = f"{period}.{number}"
        gate = "warnings" if warned(connection, build_id) else "clean"
        connection.execute(
            "insert into control.release (release_id, period, number, build_id, fingerprint, model_hash, gate,"
            " approved_by, register_state_before, register_state_after) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                release_id, first_day, number, build_id, fingerprint, model_hash, gate, approved_by, before, after,
            ),
        )  # fmt: skip
        moved = connection.execute(
            "insert into control.published as p (period, build_id, release_id) values (%s, %s, %s)"
            " on conflict (period) do update set build_id = excluded.build_id, release_id = excluded.release_id"
            " where p.release_id = %s",
            (first_day, build_id, release_id, previous),
        )
        if moved.rowcount != 1:
            raise P06Error("P06-RELEASE-003", period=period, build=build_id)
        connection.execute("update control.register_state set state = %s", (after,))
        footnote.write(connection, release_id, period, build_id)
        _event(connection, period, "publish", previous, release_id, who, why)
        alert.note(connection, "released", release_id, period=period, release=release_id, gate=gate)
        connection.execute(
            "update control.build set state = 'published', ended_at = clock_timestamp() where build_id = %s",
            (build_id,),
        )
        connection.execute("delete from control.hold where period = %s", (first_day,))
        record.write(connection, prepared, release_id, previous)
        fault.point("publish.written")
    fault.point("publish.committed")
    return release_id


def warned(connection: psycopg.Connection[Any], build_id: int) -> bool:
    """Whether a check warned or was waived when the build, or an extract it reads up to its period, was last judged."""
    return bool(footnote.findings(connection, build_id))


def rollback(
    connection: psycopg.Connection[Any], period: Period, to: str | None, who: str, why: str | None, gate_key: str
) -> Rollback:
    """Point readers back at a kept release of the period (the one before the current by default) and hold it there.

    Nothing is held when that is the newest release, and of the very inputs there are now: no build would make another.
    The register's history goes along where it can.
    Raises UsageError P06-RELEASE-005 when the period has no such release, P06-RELEASE-006 when it is no longer kept.
    """
    with connection.transaction():
        connection.execute(f"set local lock_timeout = '{_WAIT}'")
        pointer = connection.execute("select state from control.register_state for update").fetchone()
        known = releases(connection, period)
        current = next((release for release in known if release.current), None)
        if current is None:
            raise UsageError("P06-RELEASE-005", period=period)
        if to is None:
            earlier = [r for r in known if r.kept and r.build_id < current.build_id]
            target = max(earlier, key=lambda r: r.build_id, default=None)
        else:
            target = next((r for r in known if r.release_id == to), None)
        if target is None:
            raise UsageError("P06-RELEASE-005", period=period, release=to)
        if not target.kept:
            raise UsageError("P06-RELEASE-006", period=period, release=to)
        fingerprint, state, register = _register_beside(connection, pointer[0] if pointer else 0, current, target)
        fault.point("rollback.checked")
        moved = connection.execute(
            "update control.published set build_id = %s, release_id = %s where period = %s and release_id = %s",
            (target.build_id, target.release_id, period.first_day, current.release_id),
        )
        if moved.rowcount != 1:
            raise P06Error("P06-RELEASE-003", period=period, build=target.build_id)
        if register == "moved":
            connection.execute("update control.register_state set state = %s", (state,))
        event = _event(connection, period, "rollback", current.release_id, target.release_id, who, why)
        alert.note(
            connection, "rolled_back", str(event), period=period, release=current.release_id, to=target.release_id
        )
        ledger = Ledger(connection)
        inputs = ledger.inputs(period)
        newest = target.build_id == max(release.build_id for release in known) and fingerprint in inputs.known_as
        beside = register != "stayed" and not moves_history(connection, ledger, period)
        if newest and beside and not approval.standing(connection, period):
            connection.execute("delete from control.hold where period = %s", (period.first_day,))
        else:
            hold(connection, period, "rollback", inputs.fingerprint, gate_key, None, who, why)
        seal.enter(connection, "pointer_event", [event])
        fault.point("rollback.written")
    fault.point("rollback.committed")
    return Rollback(period, current.release_id, target.release_id, register)


def _register_beside(
    connection: psycopg.Connection[Any], pointer: int, current: Release, target: Release
) -> tuple[str, int, Moved]:
    """The fingerprint of the target; the register state readers get with it, and what becomes of the one they see.

    Back: the state goes back when the current release was the last to move it. Forward: to the one the target was
    published with, unless a build has written over it since.
    """
    row = connection.execute(
        "select t.fingerprint, c.register_state_before, c.register_state_after, t.register_state_after,"
        " exists (select 1 from control.published as p inner join control.release as r using (release_id)"
        "  where r.period <> c.period and r.register_state_after >= c.register_state_after),"
        " exists (select 1 from vault.register_state_extract as e where e.state = t.register_state_after)"
        " from control.release as c cross join control.release as t where c.release_id = %s and t.release_id = %s",
        (current.release_id, target.release_id),
    ).fetchone()
    assert row is not None
    fingerprint, before, after, published_with, built_on, readable = row
    if target.build_id < current.build_id:
        state, differs, possible = before, after > before, pointer == after and not built_on
    else:
        further = target.build_id > current.build_id and published_with > pointer
        state, differs, possible = published_with, further, readable
    return fingerprint, state, "untouched" if not differs else "moved" if possible else "stayed"


def doom(connection: psycopg.Connection[Any], kept: int) -> list[int]:
    """Mark the builds nobody may go back to any more, beyond ``kept`` releases of each period; all so marked.

    With each stand the transactions open after that (``connection`` is in autocommit): only they can have a snapshot in
    which it is still current, or kept.
    """
    with connection.transaction():
        connection.execute(f"set local lock_timeout = '{_WAIT}'")
        connection.execute("select state from control.register_state for update")  # no pointer moves meanwhile
        doomed = [build_id for (build_id,) in connection.execute(_DOOMED, {"kept": kept}).fetchall()]
        connection.execute("update control.release set kept = false where build_id = any(%s) and kept", (doomed,))
        connection.execute("update control.build set state = 'dropping' where build_id = any(%s)", (doomed,))
    connection.execute(
        "update control.build set open_before = %s where build_id = any(%s) and open_before is null",
        (_open_transactions(connection), doomed),
    )
    return doomed


def unseen(connection: psycopg.Connection[Any], builds: list[int], patience: float) -> list[int]:
    """Those of the marked builds whose earlier transactions have all ended, waited for so many seconds."""
    until = time.monotonic() + patience
    while True:
        found = connection.execute(
            "select build_id from control.build where build_id = any(%s) and not open_before && %s::text[] order by 1",
            (builds, _open_transactions(connection)),
        ).fetchall()
        if len(found) == len(builds) or time.monotonic() > until:
            return [build_id for (build_id,) in found]
        time.sleep(0.1)


def _open_transactions(connection: psycopg.Connection[Any]) -> list[str]:
    """The names of all other transactions open in this database; a name is not used again before a restart."""
    rows = connection.execute(
        "select l.virtualxid from pg_locks as l inner join pg_stat_activity as a using (pid)"
        " where l.locktype = 'virtualxid' and l.pid <> pg_backend_pid() and a.datname = current_database()"
    ).fetchall()
    return [name for (name,) in rows]


def hold(
    connection: psycopg.Connection[Any],
    period: Period,
    kind: str,
    fingerprint: str,
    gate_key: str,
    build_id: int | None,
    who: str,
    why: str | None,
    model_hash: str | None = None,
) -> None:
    """Remember that the period must not be built again by itself with these inputs, suites and waivers (or models)."""
    connection.execute(
        "insert into control.hold (period, kind, fingerprint, gate_key, build_id, who, why, model_hash)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (period) do update set kind = excluded.kind,"
        " fingerprint = excluded.fingerprint, gate_key = excluded.gate_key, build_id = excluded.build_id,"
        " who = excluded.who, why = excluded.why, model_hash = excluded.model_hash, at = clock_timestamp()",
        (period.first_day, kind, fingerprint, gate_key, build_id, who, why, model_hash),
    )


def releases(connection: psycopg.Connection[Any], period: Period | None = None) -> list[Release]:
    """Every release, by period and number."""
    rows = connection.execute(
        "select r.release_id, r.period, r.build_id, r.published_at, r.gate, r.approved_by, p.release_id is not null, r.kept"
        " from control.release r left join control.published p using (release_id)"
        " where %(period)s::date is null or r.period = %(period)s order by r.period, r.number",
        {"period": period.first_day if period else None},
    ).fetchall()
    return [Release(row[0], Period.of(row[1]), *row[2:]) for row in rows]


def newest_released(connection: psycopg.Connection[Any]) -> Period | None:
    """The newest period readers see."""
    row = connection.execute("select max(period) from control.published").fetchone()
    return Period.of(row[0]) if row and row[0] else None


def overtaken(connection: psycopg.Connection[Any], build_id: int) -> bool:
    """Whether readers would go back to an older build by publishing this one, or a rollback after its start be undone."""
    row = connection.execute(
        "select exists (select 1 from control.published as p where p.period = b.period and p.build_id > b.build_id)"
        " or exists (select 1 from control.pointer_event as e where e.period = b.period and e.kind = 'rollback'"
        "  and e.at > b.started_at) from control.build as b where b.build_id = %s",
        (build_id,),
    ).fetchone()
    return row is None or bool(row[0])


def register_states(
    connection: psycopg.Connection[Any], ledger: Ledger, period: Period, build_id: int, waited: bool = True
) -> tuple[int, int] | None:
    """The register states before and after publishing a build now; None when its own was undone.

    The state is the one this build was built on and the one it wrote. While a build ``waited`` for approval, another
    month may have moved the register; its marts hold beside that state when it was written from the very extracts
    accepted now and reaches the month.
    """
    row = connection.execute(
        "select b.register_state_before, b.register_state_after, (select state from control.register_state),"
        " exists (select 1 from control.build as n where n.build_id <> b.build_id"
        "  and n.register_state_after >= b.register_state_after and n.register_state_after > n.register_state_before)"
        " from control.build as b where b.build_id = %s",
        (build_id,),
    ).fetchone()
    assert row is not None
    before, after, pointer, another_wrote = row
    if pointer == before and not (after > before and another_wrote):
        return before, after
    return (pointer, pointer) if waited and not moves_history(connection, ledger, period) else None


def _next_number(connection: psycopg.Connection[Any], period: Period) -> tuple[int, str | None]:
    row = connection.execute(
        "select (select coalesce(max(number), 0) + 1 from control.release where period = %(period)s),"
        " (select release_id from control.published where period = %(period)s)",
        {"period": period.first_day},
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _event(
    connection: psycopg.Connection[Any],
    period: Period,
    kind: str,
    from_release: str | None,
    to_release: str,
    who: str,
    why: str | None,
) -> int:
    row = connection.execute(
        "insert into control.pointer_event (period, kind, from_release, to_release, who, why, register_state)"
        " select %s, %s, %s, %s, %s, %s, s.state from control.register_state as s returning event_id",
        (period.first_day, kind, from_release, to_release, who, why),
    ).fetchone()
    assert row is not None
    return int(row[0])


_DOOMED = """
with ranked as (
    select r.build_id, row_number() over (partition by r.period order by r.number desc) as age
    from control.release as r
    where r.kept
)
select b.build_id
from control.build as b
left join ranked as r using (build_id)
where b.state in ('failed', 'blocked', 'passed', 'built', 'published', 'dropping')
    and not exists (select 1 from control.published as p where p.build_id = b.build_id)
    and case
        when b.state = 'published' then r.age > %(kept)s
        when b.state in ('failed', 'dropping') then true
        else exists (
            select 1 from control.build as n
            where n.period = b.period and n.build_id > b.build_id
                and n.state in ('built', 'passed', 'blocked', 'published')
        )
    end
order by 1
"""
