"""The main job shown on one machine: a synthetic country, Airflow loading and releasing it, and what came out."""

from __future__ import annotations

import csv
import gzip
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from p06 import contract, database, plan, site
from p06.errors import P06Error
from p06.period import Period
from p06.settings import settings

SEED = 7
_PATIENCE = 1500.0  # seconds, for six sources


@dataclass(frozen=True)
class Count:
    """How many defects of a kind were put in, and how many were found where they were put."""

    injected: int
    found: int


def run(citizens: int, periods: Sequence[Period], leave: bool, all_sources: bool = False) -> int:
    """Deliver, let Airflow work, show what came out; 0 when every promise of the demo held.

    Six sources, or with ``all_sources`` every one that has a contract: then the months are shown when each delivery is
    in what was published, whether or not its source is due.
    """
    from p06 import stack, synth

    sources = synth.chosen(synth.ALL if all_sources else None)
    began = time.monotonic()
    say = _stopwatch(began)
    country = settings().home / "demo"
    say(f"a synthetic country of {citizens:,} people, {periods[0]} to {periods[-1]}, seed {SEED}")
    synth.generate(country, citizens, list(periods), SEED, "usual", lambda text: None, sources)
    delivered = _deliver(country / "landing", Path(settings().landing))
    say(f"{delivered} deliveries in landing; starting PostgreSQL and Airflow")
    try:
        stack.up(say)
        say("Airflow is up; it finds the deliveries, loads them, and releases each month when its sources are in")
        runs = _await(periods, sources, say)
        held = _show(periods, country / "truth", runs)
        pages = site.write()
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        print(f"\nfrom an empty home to {len(periods)} published months: {minutes} min {seconds:02d} s")
        _where_to_look(leave, pages)
    finally:
        if leave:
            stack.down(lambda text: None)
    return 0 if held else 1


def found_defects(connection: psycopg.Connection[Any], truth: Path) -> dict[str, Count]:
    """Kind of defect -> how many were injected and found: the right line, with the expected outcome and reason.

    ``connection`` reads staging, quarantine, marts and may create a temporary table; ``truth`` is what synth wrote.
    """
    connection.execute(
        "create temporary table truth (source text, period date, file_no int, line bigint, kind text, outcome text,"
        " reason text, method text)"
    )
    with connection.cursor().copy("copy truth from stdin") as copy:
        for row in _truth_rows(truth):
            copy.write_row(row)
    tally: dict[str, list[int]] = {}
    for (source,) in connection.execute("select distinct source from truth order by 1").fetchall():
        for kind, injected, found in connection.execute(
            _found_query(connection, source), {"source": source}
        ).fetchall():
            entry = tally.setdefault(kind, [0, 0])
            entry[0] += injected
            entry[1] += found
    connection.execute("drop table truth")
    return {kind: Count(*entry) for kind, entry in sorted(tally.items())}


def _truth_rows(truth: Path) -> Iterable[tuple[Any, ...]]:
    for path in sorted(truth.glob("*/*.csv.gz")):
        period = Period.parse(path.name.removesuffix(".csv.gz"))
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                file_no = int(row["file"].removeprefix("part-").partition(".")[0])
                yield (
                    path.parent.name, period.first_day, file_no, int(row["line"]), row["kind"], row["outcome"],
                    row["reason"] or None, row["match_method"] or None,
                )  # fmt: skip


def _found_query(connection: psycopg.Connection[Any], source: str) -> sql.Composed:
    """Counts per kind: injected, and found as expected. A duplicate is found when its line is neither staged nor quarantined."""
    mart = contract.load(source).mart
    method = (
        sql.SQL("left join marts.{mart} f on f.period = s.period and f.record_key = s.record_key").format(
            mart=sql.Identifier(mart)
        )
        if mart
        else sql.SQL("")
    )
    matched = sql.SQL("f.match_method is not distinct from t.method") if mart else sql.SQL("true")
    return sql.SQL(
        """
        select t.kind, count(*), count(*) filter (where case t.outcome
            when 'quarantined' then q.reasons @> array[t.reason] and s.line is null
            when 'duplicate' then q.line is null and s.line is null
            else s.line is not null and q.line is null and (t.method is null or {matched})
        end)
        from truth t
        left join staging.{source} s on s.period = t.period and s.file_no = t.file_no and s.line = t.line
        left join quarantine.{source} q on q.period = t.period and q.file_no = t.file_no and q.line = t.line
        {method}
        where t.source = %(source)s
        group by t.kind
        """
    ).format(source=sql.Identifier(source), matched=matched, method=method)


def _deliver(produced: Path, landing: Path) -> int:
    """Copy what is not in landing yet, each manifest last, as a sender would."""
    count = 0
    for manifest in sorted(produced.glob("*/*/*/manifest.json")):
        target = landing / manifest.parent.relative_to(produced)
        if not (target / "manifest.json").exists():
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted(manifest.parent.iterdir(), key=lambda path: path == manifest):
                shutil.copyfile(path, target / path.name)
        count += 1
    return count


def _await(periods: Sequence[Period], sources: Sequence[str], say: Callable[[str], None]) -> dict[str, dict[str, int]]:
    """Wait until Airflow has published every period with every source's delivery in it; returns Airflow's own run states
    per DAG, by its REST API."""
    from p06 import airflow_api

    deadline = time.monotonic() + _PATIENCE * max(len(sources) / 6, 1)
    told: set[str] = set()
    with database.connect("admin", autocommit=True) as connection:
        while time.monotonic() < deadline:
            for key, text in _news(connection):
                if key not in told:
                    told.add(key)
                    say(text)
            published = {period for (period,) in connection.execute("select period from control.published").fetchall()}
            if {period.first_day for period in periods} <= published and _all_in(connection, periods, sources):
                states = airflow_api.run_states()
                if not any(
                    count for dag in states.values() for state, count in dag.items() if state in ("queued", "running")
                ):
                    return states
            time.sleep(1)
    raise P06Error("P06-DEMO-001")


def _all_in(connection: psycopg.Connection[Any], periods: Sequence[Period], sources: Sequence[str]) -> bool:
    """Whether what was published holds a delivery of each source: a month does not wait for those that are not due."""
    delivered = {(source, period) for period in periods for source in sources}
    if all(contract.load(source).is_due(period) for source, period in delivered):
        return True
    accepted = connection.execute("select source, period from control.accepted").fetchall()
    if not delivered <= {(source, Period.of(day)) for source, day in accepted}:
        return False
    return not any(entry.releasable and entry.period in periods for entry in plan.plan(connection))


def _news(connection: psycopg.Connection[Any]) -> Iterable[tuple[str, str]]:
    for source, period, extract_id, rows in connection.execute(
        "select e.source, to_char(e.period, 'YYYY-MM'), e.extract_id, e.staged from control.accepted a"
        " join control.extract e using (extract_id) order by a.accepted_at"
    ).fetchall():
        yield extract_id, f"accepted   {period} {source}: {rows:,} rows staged"
    for release_id, gate in connection.execute(
        "select release_id, gate from control.release order by published_at"
    ).fetchall():
        yield release_id, f"published  {release_id} ({gate})"


def _show(periods: Sequence[Period], truth: Path, runs: dict[str, dict[str, int]]) -> bool:
    """Print what came out; whether all of it is as it must be."""
    with database.connect("admin", autocommit=True) as connection:
        held = _show_sums(connection)
        _show_table(connection, "Matched, by method", _METHODS)
        _show_table(connection, "Indicators, nation", _INDICATORS)
        defects = found_defects(connection, truth)
        print("\nInjected defects, found / injected")
        for kind, count in defects.items():
            print(
                f"  {kind:<28} {count.found:>6} / {count.injected}{'' if count.found == count.injected else '   MISSED'}"
            )
            held = held and count.found == count.injected
        print("\nAirflow's runs, as its REST API tells")
        for dag, states in sorted(runs.items()):
            print(f"  {dag:<38} " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
            held = held and not states.get("failed")
        print("\nPublished")
        published = connection.execute(
            "select to_char(r.period, 'YYYY-MM'), r.release_id, r.gate from control.published p"
            " join control.release r using (release_id) order by 1"
        ).fetchall()
        for period, release_id, gate in published:
            print(f"  {period}  release {release_id}  {gate}")
    return held and {str(period) for period in periods} <= {row[0] for row in published}


def _show_sums(connection: psycopg.Connection[Any]) -> bool:
    print("\nReconciliation: received = duplicates + quarantined + staged")
    adds_up = True
    for row in connection.execute(_SUMS).fetchall():
        period, source, received, duplicates, quarantined, staged, published = row
        good = received == duplicates + quarantined + staged and published in (None, staged)
        adds_up = adds_up and good
        print(
            f"  {period}  {source:<31} {received:>9,} = {duplicates:>5,} + {quarantined:>6,} + {staged:>9,}"
            + ("" if good else "   DOES NOT ADD UP")
        )
    return adds_up


def _show_table(connection: psycopg.Connection[Any], title: str, query: str) -> None:
    cursor = connection.execute(query.encode())
    names = [column.name for column in cursor.description or ()]
    rows = [["" if cell is None else str(cell) for cell in row] for row in cursor.fetchall()]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    print(f"\n{title}")
    for row in (names, *rows):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _where_to_look(leave: bool, pages: site.Written) -> None:
    from p06 import stack

    print("\nWhere to look")
    print(f"  pages      {pages.folder / 'index.html'}   ({pages.pages} pages, for any browser)")
    print("  marts      psql \"$(./p06 connect --dsn)\" -c 'select * from marts.indicator limit 10'")
    print(
        "  releases   ./p06 releases        what is stale   ./p06 plan        a code in words   ./p06 explain key_conflict"
    )
    if not leave:
        airflow = stack.status()["airflow"]
        print(f"  Airflow    {airflow['url']}   user {airflow['user']}, password in {airflow['password_file']}")
        print("  stop it    ./p06 down")


def _stopwatch(began: float) -> Callable[[str], None]:
    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        print(f"{minutes:02d}:{seconds:02d}  {text}", flush=True)

    return say


_SUMS = """
select to_char(period, 'YYYY-MM'), source, received, duplicates, quarantined, staged, published
from marts.reconciliation order by 1, 2
"""
_METHODS = """
select to_char(period, 'YYYY-MM') as period, source,
    sum(records) filter (where match_method = 'id') as id,
    sum(records) filter (where match_method = 'previous_id') as previous_id,
    sum(records) filter (where match_method = 'old_id') as old_id,
    sum(records) filter (where match_method = 'insurance_no') as insurance_no,
    sum(records) filter (where match_method = 'name_birth') as name_birth,
    sum(records) filter (where match_method = 'conflict') as conflict,
    sum(records) filter (where match_method = 'none') as none
from marts.match_summary group by period, source order by 1, 2
"""
_INDICATORS = """
select indicator_code,
    to_char(period, 'YYYY-MM') as period, numerator, denominator, round(value, 4) as value
from marts.indicator where area_level = 'nation' order by 1, 2
"""
