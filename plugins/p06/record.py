"""The record of a release: what went into it, how it was judged, what came out, and what that changed.

What a build holds is measured once, when its gate lets it pass; the publishing transaction then only puts together what
is known. Records and the figures of builds outlive the builds' rows.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psycopg
from psycopg import sql

from p06 import digest, marts, seal, suite
from p06.errors import P06Error, UsageError
from p06.footnote import JUDGED
from p06.period import Period
from p06.reason import REGISTER
from p06.settings import settings

Connection = psycopg.Connection[Any]

FORMAT = 1
DIGESTED = 500_000  # rows of a mart up to which its digest is taken: 3 µs a row; of larger ones the rows are counted
_KEY = ("indicator_code", "area_level", "area_code")
_FIGURES = ("numerator", "denominator", "value")
_KINDS = ("changed", "appeared", "gone")


def measure(connection: Connection, build_id: int) -> str:
    """What a build's marts hold, as canonical JSON: rows and digest of each, records by source and match method.

    ``connection`` may read schema build; the build's rows must not change any more.
    """
    found: dict[str, Any] = {}
    for mart in marts.of_a_month():
        rows = _count(connection, mart, build_id)
        of = digest.digest_of_build(connection, mart, build_id) if rows <= DIGESTED else None
        found[mart] = {"rows": rows, "digest": of.checksum if of else None}
    matches: dict[str, dict[str, int]] = {}
    for source, method, records in connection.execute(
        "select source, match_method, sum(records)::bigint from build.match_summary where build_id = %s"
        " group by 1, 2 order by 1, 2",
        (build_id,),
    ).fetchall():
        matches.setdefault(source, {})[method] = records
    return canonical({"marts": found, "matches": matches})


def keep(connection: Connection, build_id: int, measured: str) -> dict[str, Any]:
    """Remember what a build holds, in the transaction that lets it pass, and keep its indicators; returns the figures.

    A release makes them an edition, kept for ever. What they say for the chain, and what the build changes of the release
    readers see, is worked out here and not then; it is entered, so that the chain is held to the end of the transaction.
    """
    said = connection.execute("select control.keep_edition(%s)", (build_id,)).fetchone()  # the build's row is held now
    found = connection.execute(
        "select b.period, (select p.release_id from control.published as p where p.period = b.period)"
        " from control.build as b where b.build_id = %s",
        (build_id,),
    ).fetchone()
    assert found is not None
    period, previous = found
    figures: dict[str, Any] = json.loads(measured) | {"edition": said and said[0]}
    figures["diff"] = _changed(connection, period, build_id, figures, previous)
    kept = connection.execute(
        "insert into control.build_figure (build_id, document, entered) values (%s, %s, true)"
        " on conflict (build_id) do nothing",
        (build_id, canonical(figures)),
    )
    if kept.rowcount:
        seal.enter(connection, "build_figure", [build_id])
    return figures


def forget(connection: Connection, builds: list[int]) -> None:
    """Note that the rows of these builds are dropped; the indicators kept of those no release published go too."""
    with connection.transaction():
        connection.execute("select control.forget_editions(%s::bigint[])", (builds,))
        connection.execute("update control.build set state = 'dropped' where build_id = any(%s)", (builds,))


@dataclass(frozen=True)
class Prepared:
    """What the record of a build's release will say that takes time to find out."""

    build_id: int
    previous: str | None
    figures: dict[str, Any]
    changed: dict[str, Any] | None
    code: dict[str, Any]


def prepare(connection: Connection, build_id: int) -> Prepared:
    """Find out before the publishing transaction what does not change in it (role publisher, autocommit)."""
    row = connection.execute(
        "select b.period, f.document, (select p.release_id from control.published as p where p.period = b.period)"
        " from control.build as b left join control.build_figure as f using (build_id)"
        " where b.build_id = %s and b.state = 'passed'",
        (build_id,),
    ).fetchone()
    if row is None:  # nothing publishes it, and what it holds may change still
        return Prepared(build_id, None, {}, None, _code())
    first_day, measured, previous = row
    figures = json.loads(measured) if measured is not None else {}
    if "edition" not in figures:  # it passed before an upgrade
        with connection.transaction():
            figures = keep(connection, build_id, measured or measure(connection, build_id))
    changed = figures.get("diff")
    if previous != (changed and changed["to"]):  # readers see another release than when it passed
        changed = _changed(connection, first_day, build_id, figures, previous)
    return Prepared(build_id, previous, figures, changed, _code())


def write(connection: Connection, prepared: Prepared, release_id: str, previous: str | None) -> None:
    """Write the record of a release and enter it, in the transaction that publishes it; call it last."""
    built = connection.execute(_RELEASE, (release_id,)).fetchone()
    assert built is not None
    period, number, build_id, at, gate, approved_by, fingerprint, model_hash, gate_key, before, after, inputs = built
    changed = prepared.changed
    if previous != prepared.previous:
        changed = _changed(connection, period, build_id, prepared.figures, previous)
    month = Period.of(period)
    event, who, why = connection.execute(  # type: ignore[misc]
        "select event_id, who, why from control.pointer_event where to_release = %s order by event_id desc limit 1",
        (release_id,),
    ).fetchone()
    document = {
        "format": FORMAT,
        "release": release_id,
        "period": str(month),
        "number": number,
        "build": build_id,
        "previous": previous,
        "published_at": at,
        "published_by": who,
        "why": why,
        "fingerprint": fingerprint,
        "inputs": _inputs(connection, build_id, month, inputs) | {"register_state": {"before": before, "after": after}},
        "code": prepared.code | {"models": model_hash, "suites": gate_key},
        "gate": _gate(connection, build_id, month, gate),
        "approvals": _approvals(connection, build_id),
        "approved_by": approved_by,
        "marts": prepared.figures.get("marts", {}),
        "matches": prepared.figures.get("matches", {}),
        "diff": changed,
    }
    edition = prepared.figures.get("edition")  # what a release without figures has not
    connection.execute(
        "insert into control.release_record (release_id, document) values (%s, %s)", (release_id, canonical(document))
    )
    seal.enter_all(
        connection,
        {
            "build": [build_id],
            "release": [release_id],
            "release_record": [release_id],
            "pointer_event": [event],
            "footnote": [release_id],
            "indicator_edition": [],
        },
        {"indicator_edition": {release_id: edition} if edition else {}},
    )


def canonical(document: Mapping[str, Any]) -> str:
    """The one way to write a document down: keys sorted, no blanks, text as it is."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read(connection: Connection, release_id: str) -> dict[str, Any] | None:
    """The record of a release; None of one published before records were kept. Raises UsageError P06-RECORD-001."""
    row = connection.execute(
        "select r.release_id, d.document from control.release as r"
        " left join control.release_record as d using (release_id) where r.release_id = %s",
        (release_id,),
    ).fetchone()
    if row is None:
        raise UsageError("P06-RECORD-001", release=release_id)
    return json.loads(row[1]) if row[1] is not None else None


@dataclass(frozen=True)
class Difference:
    """What tells two releases apart. None stands for what neither the record nor the build's rows tell any more."""

    before: str
    after: str
    marts: tuple[tuple[str, int | None, int | None, bool | None], ...]  # mart, rows, rows, whether digests are equal
    matches: tuple[tuple[str, str, int | None, int | None], ...]  # source, method, records, records
    inputs: tuple[tuple[str, str | None, str | None], ...]  # source or register month, extract, extract
    indicators: tuple[tuple[Any, ...], ...]  # code, level, area, three figures before, three figures after

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "from": self.before,
            "to": self.after,
            "marts": [dict(zip(("mart", "rows_from", "rows_to", "same"), row, strict=True)) for row in self.marts],
            "matches": [dict(zip(("source", "method", "from", "to"), row, strict=True)) for row in self.matches],
            "inputs": [dict(zip(("source", "from", "to"), row, strict=True)) for row in self.inputs],
            "indicators": [
                dict(zip(_KEY, row[:3], strict=True)) | {"from": _three(row[3:6]), "to": _three(row[6:9])}
                for row in self.indicators
            ],
        }


def difference(connection: Connection, before: str, after: str) -> Difference:
    """Compare two releases (role publisher): what differs, and nothing else, but every mart's rows.

    Of a release whose build is dropped the record and the published indicators tell; of one without a record, what its
    build holds still. Raises UsageError P06-RECORD-001 when there is no such release.
    """
    known = [_figures(connection, name) for name in (before, after)]
    names = sorted({mart for one in known for mart in one.get("marts", {})})
    sizes = [[one.get("marts", {}).get(mart, {}) for mart in names] for one in known]
    return Difference(
        before,
        after,
        tuple(
            (mart, old.get("rows"), new.get("rows"), _same(old.get("digest"), new.get("digest")))
            for mart, old, new in zip(names, *sizes, strict=True)
        ),
        tuple(_moved(known[0].get("matches"), known[1].get("matches"))),
        tuple(_other_inputs(connection, before, after)),
        tuple(connection.execute(_INDICATORS_OF_RELEASES, {"before": before, "after": after}).fetchall()),
    )


def _figures(connection: Connection, release_id: str) -> dict[str, Any]:
    row = connection.execute(
        "select r.build_id, d.document from control.release as r left join control.build_figure as d using (build_id)"
        " where r.release_id = %s",
        (release_id,),
    ).fetchone()
    if row is None:
        raise UsageError("P06-RECORD-001", release=release_id)
    if row[1] is not None:
        return json.loads(row[1])  # type: ignore[no-any-return]
    if row[0] in marts.builds_with_leaves(connection):
        return json.loads(measure(connection, row[0]))  # type: ignore[no-any-return]
    return {}


def _count(connection: Connection, mart: str, build_id: int) -> int:
    row = connection.execute(
        sql.SQL("select count(*) from {} where build_id = %s").format(sql.Identifier("build", mart)), (build_id,)
    ).fetchone()
    assert row is not None
    return int(row[0])


def _changed(
    connection: Connection, first_day: date, build_id: int, figures: Mapping[str, Any], previous: str | None
) -> dict[str, Any] | None:
    """What the build changes of the release readers saw of its period before; None when there was none."""
    if previous is None:
        return None
    earlier = _figures(connection, previous)
    old, new = earlier.get("marts", {}), figures.get("marts", {})
    rows = connection.execute(
        _INDICATORS_OF_BUILD, {"before": previous, "build": build_id, "period": first_day}
    ).fetchall()
    return {
        "to": previous,
        "rows": {
            mart: [old.get(mart, {}).get("rows"), new.get(mart, {}).get("rows")]
            for mart in sorted({*old, *new})
            if old.get(mart) != new.get(mart)
        },
        "matches": [list(row) for row in _moved(earlier.get("matches"), figures.get("matches"))],
        "indicators": dict(zip(_KINDS, rows[0], strict=False))
        | {
            "nation": [
                {"indicator": row[3], "from": _three(row[4:7]), "to": _three(row[7:10])}
                for row in rows
                if row[3] is not None
            ]
        },
    }


def _moved(
    old: Mapping[str, Mapping[str, int]] | None, new: Mapping[str, Mapping[str, int]] | None
) -> Iterable[tuple[str, str, int | None, int | None]]:
    """(source, method, records, records) where they differ; a method nobody matched by has none."""
    if old is None or new is None:
        return
    for source in sorted({*old, *new}):
        before, after = old.get(source), new.get(source)
        for method in sorted({*(before or {}), *(after or {})}):
            counts = tuple(None if side is None else side.get(method, 0) for side in (before, after))
            if counts[0] != counts[1]:
                yield source, method, counts[0], counts[1]


def _other_inputs(connection: Connection, before: str, after: str) -> Iterable[tuple[str, str | None, str | None]]:
    rows = connection.execute(_INPUTS_OF_RELEASES, {"before": before, "after": after, "register": REGISTER}).fetchall()
    yield from rows


def _three(figures: Iterable[Any]) -> dict[str, str | None] | None:
    told = dict(zip(_FIGURES, (None if figure is None else str(figure) for figure in figures), strict=True))
    return told if any(figure is not None for figure in told.values()) else None


def _same(old: str | None, new: str | None) -> bool | None:
    return old == new if old is not None and new is not None else None


def _inputs(connection: Connection, build_id: int, period: Period, content: Mapping[str, Any]) -> dict[str, Any]:
    """The extracts a build read, and whatever else its fingerprint stands for."""
    own, register, earlier = [], [], []
    for first_day, source, *told in connection.execute(_EXTRACTS, (build_id,)).fetchall():
        named = {"source": source, **dict(zip(_TOLD, told, strict=True))}
        if source == REGISTER:
            register.append({"period": str(Period.of(first_day)), **named})
        elif Period.of(first_day) != period:  # of months before, for what is followed from month to month
            earlier.append({"period": str(Period.of(first_day)), **named})
        else:
            own.append(named)
    decisions = content.get("decisions")
    return {
        "extracts": own,
        "register": register,
        "area_lists": content.get("reference"),
        "linkage_model": content.get("linkage"),
        "decisions": hashlib.sha256(canonical(decisions).encode()).hexdigest() if decisions else None,
        "joined_later": content.get("joined_later") or None,
        **({"earlier": earlier} if earlier else {}),
    }


def _gate(connection: Connection, build_id: int, period: Period, outcome: str) -> dict[str, Any]:
    """How the build and the extracts it reads were last judged: counts, what failed with its figures, waivers used."""
    counts: dict[str, dict[str, int]] = {}
    failed, waived = [], []
    for row in connection.execute(_JUDGED, {"build": build_id}).fetchall():
        run, first_day, source, mart, check, severity, success, observed, threshold, owner, waived_by = row
        counted = counts.setdefault(severity, {"asked": 0, "failed": 0, "waived": 0})
        counted["asked"] += 1
        if success:
            continue
        told = {
            "subject": source or mart, "period": str(Period.of(first_day)), "run": run, "check": check,
            "severity": severity, "observed": observed, "threshold": threshold, "owner": owner, "waived_by": waived_by,
        }  # fmt: skip
        counted["failed"] += 1
        failed.append(told)
        if waived_by is not None:
            counted["waived"] += 1
            waived.append(_waiver(source, mart, check, Period.of(first_day)) | {"waived_by": waived_by})
    missing = [
        _waiver(one.source, None, None, period)
        for one in _waivers()
        if one.check is None
        and period in one.periods
        and one.in_force()
        and not _received(connection, build_id, one.source)
    ]
    return {"outcome": outcome, "checks": counts, "failed": failed, "waivers": [*waived, *missing]}


def _received(connection: Connection, build_id: int, source: str | None) -> bool:
    return (
        connection.execute(
            "select 1 from control.build_extract as e inner join control.build as b using (build_id)"
            " where e.build_id = %s and e.source = %s and e.period = b.period",
            (build_id, source),
        ).fetchone()
        is not None
    )


def _waiver(source: str | None, mart: str | None, check: str | None, period: Period) -> dict[str, Any]:
    """What the waiver says that speaks of this, as it stands now."""
    told: dict[str, Any] = {"subject": source or mart, "check": check, "period": str(period)}
    for one in _waivers():
        if (one.source, one.mart, one.check) == (source, mart, check) and period in one.periods:
            return told | {"owner": one.owner, "until": one.until.isoformat(), "reason": one.reason}
    return told


def _waivers() -> tuple[suite.Waiver, ...]:
    try:
        return suite.waivers()
    except P06Error:
        return ()


def _approvals(connection: Connection, build_id: int) -> list[dict[str, Any]]:
    """Every question about the build, oldest first, with its answer where there is one."""
    rows = connection.execute(_APPROVALS, (build_id,)).fetchall()
    return [dict(zip(_ANSWERED, row, strict=True)) for row in rows]


@cache
def _code() -> dict[str, Any]:
    """Which code published: version, and commit and whether tracked files differ from it where it runs from a clone."""
    try:
        named = version("p06")
    except PackageNotFoundError:
        named = None
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"version": named, "commit": commit or None, "modified": bool(changed) if changed is not None else None}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(settings().root), *arguments],
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


_RELEASE = """
select r.period, r.number, r.build_id, to_char(r.published_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), r.gate,
    r.approved_by, r.fingerprint, r.model_hash, b.gate_key, r.register_state_before, r.register_state_after, b.inputs
from control.release as r
inner join control.build as b on b.build_id = r.build_id
where r.release_id = %s
"""
_TOLD = (
    "extract", "revision", "content_hash", "contract_version", "contract_hash", "replay", "received", "duplicates",
    "quarantined", "staged",
)  # fmt: skip
_EXTRACTS = """
select x.period, x.source, e.extract_id, coalesce(a.revision_floor, e.revision), e.content_hash, e.contract_version,
    e.contract_hash, e.replay_number, e.received, e.duplicates, e.quarantined, e.staged
from control.build_extract as x
inner join control.extract as e on e.extract_id = x.extract_id
left join control.accepted as a on a.extract_id = e.extract_id
inner join control.build as b on b.build_id = x.build_id
where x.build_id = %s
order by x.period, x.source
"""
_JUDGED = f"""{JUDGED}
select
    j.run, j.period, j.source, j.mart, j."check", j.severity, j.success, j.observed, j.threshold, j.owner, j.waived_by
from judged as j
inner join last_run as l on l.subject = j.subject and l.run = j.run
order by j.period, j.source, j.mart, j."check", j.run
"""
_ANSWERED = ("request", "asks", "asked_by", "asked_at", "answer_by", "verdict", "who", "role", "via", "why", "at")
_APPROVALS = """
select
    q.request_id, q.asks, q.asked_by, to_char(q.asked_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    to_char(q.answer_by at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    a.verdict, a.who, a.role, a.via, a.why, to_char(a.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
from control.approval_request as q
left join control.approval_answer as a on a.request_id = q.request_id
where q.build_id = %s
order by q.request_id
"""
_DIFFERING = """
select
    coalesce(n.indicator_code, o.indicator_code),
    coalesce(n.area_level, o.area_level),
    coalesce(n.area_code, o.area_code),
    o.numerator, o.denominator, o.value, n.numerator, n.denominator, n.value
from o
full join n using (indicator_code, area_level, area_code)
where (o.numerator, o.denominator, o.value) is distinct from (n.numerator, n.denominator, n.value)
order by case coalesce(n.area_level, o.area_level) when 'nation' then 1 when 'province' then 2 else 3 end, 1, 2, 3
"""
_EDITION = """
    select i.* from build.indicator_edition as i
    inner join control.release as r using (build_id) where r.release_id = %({})s
"""
_INDICATORS_OF_RELEASES = f"with o as ({_EDITION.format('before')}), n as ({_EDITION.format('after')}) {_DIFFERING}"
_INDICATORS_OF_BUILD = f"""
with o as ({_EDITION.format("before")}),
n as (select * from build.indicator where period = %(period)s and build_id = %(build)s),
differing (indicator_code, area_level, area_code, was_numerator, was_denominator, was_value, numerator, denominator, value) as (
    {_DIFFERING}
),
counted as (
    select
        count(*) filter (where was_denominator is not null and denominator is not null) as changed,
        count(*) filter (where was_denominator is null) as appeared,
        count(*) filter (where was_denominator is not null and denominator is null) as gone
    from differing
)
select c.changed, c.appeared, c.gone, d.indicator_code, d.was_numerator, d.was_denominator, d.was_value, d.numerator, d.denominator, d.value
from counted as c
left join differing as d on d.area_level = 'nation'
order by d.indicator_code, d.area_code
"""
_INPUTS_OF_RELEASES = """
with read as (
    select
        r.release_id,
        case when x.source = %(register)s or x.period <> r.period then concat_ws(' ', x.source, to_char(x.period, 'YYYY-MM')) else x.source end
            as source,
        concat_ws(' ', x.extract_id, case when e.replay_number > 0 then concat('replay ', e.replay_number) end) as extract
    from control.release as r
    inner join control.build_extract as x on x.build_id = r.build_id
    inner join control.extract as e on e.extract_id = x.extract_id
    where r.release_id in (%(before)s, %(after)s)
),
o as (select * from read where release_id = %(before)s),
n as (select * from read where release_id = %(after)s)
select coalesce(o.source, n.source), o.extract, n.extract
from o
full join n on n.source = o.source
where o.extract is distinct from n.extract
order by 1
"""
