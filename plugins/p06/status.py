"""How things stand: what runs, what waits, what is stale, held or late, and what was published last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from p06 import alert, database, load, manifest, plan, release, stack, watch
from p06.period import Period

_SHOWN = 6  # entries of a line


def look() -> dict[str, Any]:
    """``database`` and ``airflow`` as the stack says, and ``warehouse``: None when the database is not running.

    Nothing is started, fetched or changed.
    """
    found = stack.status()
    return found | {"warehouse": _warehouse() if found["database"]["running"] else None}


def _warehouse() -> dict[str, Any]:
    with database.connect("publisher", autocommit=True) as connection:
        running = _running(connection)
        entries = plan.plan(connection)
        blocked = connection.execute(
            "select extract_id from control.extract where state = 'blocked' order by period, source, extract_id"
        ).fetchall()
        last = connection.execute(
            "select r.release_id, r.published_at, r.gate, p.release_id is not null from control.release as r"
            " left join control.published as p using (release_id) order by r.published_at desc, r.release_id limit 1"
        ).fetchone()
        alerts = alert.waiting(connection)
    late = watch.late(watch.vietnam_day())
    return {
        "running": running,
        "waiting": [manifest.shown(one) for one in load.waiting()],
        "blocked": [name for (name,) in blocked],
        **{
            state.replace(" ", "_"): [
                {"period": str(entry.period), "reasons": list(entry.reasons), "missing": list(entry.missing)}
                for entry in entries
                if entry.state == state
            ]
            for state in ("stale", "outdated", "held", "not ready", "in backfill", "approved")
        },
        "for_approval": [str(entry.period) for entry in entries if entry.state == "waiting"],
        "late": {source: [str(period) for period in months] for source, months in late.items()},
        "alerts_waiting": alerts,
        "last_release": {
            "release_id": last[0], "published_at": last[1].isoformat(timespec="seconds"), "gate": last[2],
            "current": last[3],
        } if last else None,
    }  # fmt: skip


def lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, how it stands) in few lines; what there is nothing to say about is left out."""
    airflow = found["airflow"]["processes"]
    up = [name for name, process in airflow.items() if process["running"]]
    told = [("database", "running" if found["database"]["running"] else "stopped: any command that needs it starts it")]
    if len(up) == len(airflow):
        parts = found["airflow"]
        address = f"{parts['url']} (user {parts['user']}, password in {parts['password_file']})"
        memory = sum(process["memory_mb"] for process in airflow.values())
        told.append(("airflow", f"running at {address}, {memory} MB"))
    else:
        told.append(("airflow", f"runs without {', '.join(sorted(set(airflow) - set(up)))}" if up else "stopped"))
    warehouse = found["warehouse"]
    if warehouse is None:
        return told
    named = {
        name: [entry["period"] for entry in warehouse[name]]
        for name in ("stale", "approved", "held", "outdated", "in_backfill")
    }
    told += [
        ("running", _few(warehouse["running"])),
        ("waiting", _few(warehouse["waiting"])),
        ("blocked", _few(warehouse["blocked"])),
        ("for approval", _few(warehouse["for_approval"])),
        *((name.replace("_", " "), _few(periods)) for name, periods in named.items()),
        ("not ready", _few(f"{e['period']} ({', '.join(e['missing'])})" for e in warehouse["not_ready"])),
        ("late", _few(_by_span(warehouse["late"]))),
        ("alerts", f"{warehouse['alerts_waiting']} to be sent" if warehouse["alerts_waiting"] else ""),
    ]
    last = warehouse["last_release"]
    if last:
        undone = "" if last["current"] else ", not current"
        told.append(("last release", f"{last['release_id']} at {last['published_at']} ({last['gate']}{undone})"))
    else:
        told.append(("last release", "none yet"))
    return [(what, state) for what, state in told if state]


def _few(entries: Iterable[str]) -> str:
    listed = list(entries)
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _by_span(late: Mapping[str, list[str]]) -> list[str]:
    """``months: sources`` for each set of months that some sources miss."""
    spans: dict[str, list[str]] = {}
    for source, missing in late.items():
        spans.setdefault(_span(missing), []).append(source)
    return [f"{span}: {' '.join(sources)}" for span, sources in spans.items()]


def _span(months: list[str]) -> str:
    return months[0] if len(months) == 1 else f"{months[0]}..{months[-1]} ({len(months)})"


def _running(connection: psycopg.Connection[Any]) -> list[str]:
    """Loads and releases whose process lives: it holds the lock its work is done under."""
    loads = connection.execute(_LOADS).fetchall()
    told = [f"load {source} {Period.of(month)}" for source, month in loads]
    if connection.execute(_HELD, {"key": release.LOCK}).fetchone() is not None:
        row = connection.execute(
            "select period, build_id, state from control.build where state in ('running', 'built', 'passed')"
            " and approval is distinct from 'asked'"
            " order by build_id desc limit 1"
        ).fetchone()
        told.append(f"release {Period.of(row[0])} (build {row[1]}, {row[2]})" if row else "release")
    return told


_HELD = """
select from pg_locks as l
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and ((l.classid::bigint << 32) | l.objid::bigint) = %(key)s
limit 1
"""
_LOADS = """
select distinct a.source, a.period
from control.load_attempt as a
inner join pg_locks as l
    on l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and ((l.classid::bigint << 32) | l.objid::bigint)
    = hashtextextended('p06.load|' || a.source || '|' || to_char(a.period, 'YYYY-MM'), 0)
where a.state = 'running'
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
order by 1, 2
"""
