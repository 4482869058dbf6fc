"""The last step of matching: records still open are linked by the model, or because a steward accepted the pair.

Runs between two halves of a build: dbt has found the open records, this writes ``vault.int_linked`` and the queue of
the build, dbt goes on. The same records, citizens, model and decisions give the same rows.
"""

from __future__ import annotations

import io
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg import sql

from p06 import contract, database, steward
from p06.period import Period
from p06.steward import Decision

if TYPE_CHECKING:
    import pyarrow as pa

    from p06.linkage import Model

Connection = psycopg.Connection[Any]
Report = Callable[[str], None]

# The models that have to stand before, as dbt selects them.
BEFORE = "+int_match_name_birth"


@dataclass(frozen=True)
class Task:
    """What a build links: the month, the register state it reads, the staging leaf of each source, and by what."""

    build_id: int
    period: Period
    state: int
    leaves: Mapping[str, str]
    model: Model | None
    decisions: Sequence[Decision]


@dataclass(frozen=True)
class _Open:
    """A record whose numbers and name decided nothing, its values as they are compared, and where its row stands."""

    source: str
    file_no: int
    line: int
    citizen_id: int | None
    old_id: str | None
    name: str | None
    birth_date: date | None
    sex: str | None
    commune_sent: str | None
    commune: str | None

    @property
    def values(self) -> tuple[Any, ...]:
        """What linkage looks at; equal values are looked at once."""
        return self.name, self.birth_date, self.sex, self.commune, self.citizen_id, self.old_id


@dataclass(frozen=True)
class _Citizen:
    """The other side of a pair, in the register as of the period."""

    root: int
    token: UUID
    name: str | None
    birth_date: date | None
    sex: str | None
    commune: str | None
    province: str | None
    citizen_id: int
    old_id: str | None


@dataclass(frozen=True)
class _Proposal:
    root: int
    verdict: str  # ask or link
    weight: str  # four decimals


def link(task: Task, report: Report = lambda text: None) -> None:
    """Fill ``vault.int_linked`` and the queue of the build, both in one transaction; what they held of it is replaced."""
    with database.connect("builder") as connection:
        connection.execute("set local synchronous_commit = off")
        connection.execute("select control.fence(%s)", (task.build_id,))
        rows = _open_rows(connection, task)
        names = _names(rows)
        provinces = _provinces(connection, task.period)
        proposed = _proposals(connection, task.model, rows, provinces) if task.model else {}
        accepted, decided = _decided(connection, task)
        connection.execute("truncate vault.int_linked")
        connection.execute("delete from vault.steward_queue where build_id = %s", (task.build_id,))
        links: list[tuple[Any, ...]] = []
        standing: dict[tuple[str, int], tuple[_Open, _Proposal, list[int]]] = {}
        for row, name in zip(rows, names, strict=True):
            own = accepted.get(name)
            proposals = proposed.get(row.values, [])
            taken = own or _unrejected_link(proposals, name, decided)
            if taken is not None:
                links.append((row.source, row.file_no, row.line, taken.root, taken.weight))
            if own is not None and own.root not in {proposal.root for proposal in proposals}:
                proposals = [*proposals, own]
            for proposal in proposals:
                standing.setdefault((name, proposal.root), (row, proposal, [0]))[2][0] += 1
        _copy(connection, "vault.int_linked", ("source", "file_no", "line", "root_id", "weight"), links)
        connection.execute("analyze vault.int_linked")
        queued = _queued(connection, task, standing, {key: d.pair for key, d in decided.items()}, provinces)
        _copy(connection, "vault.steward_queue", _QUEUE, queued)
    report(f"linkage: {len(rows)} open rows, {len(links)} linked, {len(queued)} pairs")


def _unrejected_link(
    proposals: Sequence[_Proposal], name: str, decided: Mapping[tuple[str, int], Decision]
) -> _Proposal | None:
    """The one the model links without asking, unless a steward rejected it."""
    for proposal in proposals:
        if proposal.verdict == "link":
            decision = decided.get((name, proposal.root))
            return None if decision is not None and decision.verdict == "reject" else proposal
    return None


def _open_rows(connection: Connection, task: Task) -> list[_Open]:
    """The open records, in order of where they stand; those decided about alone when no model asks for the others."""
    born = sorted(
        {day for (day,) in connection.execute(_BORN, ([d.record for d in task.decisions],)).fetchall() if day}
    )
    everything = task.model is not None
    with connection.cursor(binary=True) as cursor:
        cursor.execute(_OPEN, {"all": everything, "born": born})
        return [_Open(*row) for row in cursor.fetchall()]


# A record decided about has its birth date noted when a plan found it in an extract, before any build reads it.
_BORN = "select birth_date from vault.steward_content where record = any(%s)"
_OPEN = """
select o.source, o.file_no, o.line, o.citizen_id, o.old_id, o.name_norm, o.birth_date, o.sex, r.commune_code, o.commune_code
from vault.int_open_record as o
inner join vault.int_match_id as r on r.source = o.source and r.file_no = o.file_no and r.line = o.line
where (%(all)s or o.birth_date = any(%(born)s::date[]))
    and not exists (
        select from vault.int_match_name_birth_insured as m
        where o.source = 'social_security_participation' and m.file_no = o.file_no and m.line = o.line
    )
    and not exists (
        select from vault.int_match_insurance_no as m where m.source = o.source and m.file_no = o.file_no and m.line = o.line
    )
    and not exists (
        select from vault.int_match_name_birth as m where m.source = o.source and m.file_no = o.file_no and m.line = o.line
    )
order by o.source, o.file_no, o.line
"""


def _names(rows: Sequence[_Open]) -> list[str]:
    """The name of each row's record."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.source, []).append(place)
    names = [""] * len(rows)
    for source, held in places.items():
        identities = [
            (r.citizen_id, r.old_id, r.name, r.birth_date, r.sex, r.commune_sent) for r in (rows[p] for p in held)
        ]
        for place, name in zip(held, steward.records(source, identities), strict=True):
            names[place] = name
    return names


def _provinces(connection: Connection, period: Period) -> dict[str, str]:
    """Commune as of the period -> its province."""
    return dict(
        connection.execute(
            "select distinct on (area_code) area_code, province_code from build.int_area_code where level = 'commune'"
            " and valid_from <= %(day)s and valid_to > %(day)s and province_code is not null"
            " order by area_code, edition desc, province_code",
            {"day": period.first_day},
        ).fetchall()
    )


def _proposals(
    connection: Connection, model: Model, rows: Sequence[_Open], provinces: Mapping[str, str]
) -> dict[tuple[Any, ...], list[_Proposal]]:
    """Values of a record -> what the model proposes for them, likeliest first."""
    from p06 import linkage

    distinct = list(dict.fromkeys(row.values for row in rows))
    if not distinct:
        return {}
    records = _records(distinct, provinces)
    found: dict[tuple[Any, ...], list[_Proposal]] = {}
    linked = linkage.link(records, _candidates(connection, records), model)
    for record, root, weight, verdict in zip(*(linked[name].to_pylist() for name in _LINKED), strict=True):
        found.setdefault(distinct[record], []).append(_Proposal(root, verdict, f"{weight:.4f}"))
    return found


_LINKED = ("record", "root", "weight", "verdict")


def _records(distinct: Sequence[tuple[Any, ...]], provinces: Mapping[str, str]) -> pa.Table:
    import pyarrow as pa

    columns = dict(zip(_COMPARED, zip(*distinct, strict=True), strict=True))
    columns["province"] = tuple(provinces.get(commune) for commune in columns["commune"])
    arrays = {name: pa.array(columns[name], kind) for name, kind in _types().items()}
    return pa.table({"record": pa.array(range(len(distinct)), pa.int64())} | arrays)


_COMPARED = ("name", "birth_date", "sex", "commune", "citizen_id", "old_id")


def _types() -> dict[str, Any]:
    import pyarrow as pa

    kinds = (pa.string(), pa.date32(), pa.string(), pa.string(), pa.int64(), pa.string(), pa.string())
    return dict(zip((*_COMPARED, "province"), kinds, strict=True))


def _candidates(connection: Connection, records: pa.Table) -> pa.Table:
    """The citizens of the register as of the period who share a blocking key with one of the records."""
    import pyarrow as pa
    from pyarrow import csv

    from p06 import linkage

    connection.execute("create temporary table asked_key (key text) on commit drop")
    with connection.cursor() as cursor, cursor.copy("copy asked_key from stdin") as stream:
        for key in linkage.record_keys(records)["key"].to_pylist():
            stream.write_row((key,))
    connection.execute("analyze asked_key")
    keys = linkage.citizen_keys_sql("b.plain", "b.birth_date", "b.commune", "b.citizen_id", "b.old_id")
    # keys are joined as a set: looked up one citizen at a time, each would read all keys that are asked for
    query = f"""
        copy (
            with
            citizens as (
                select c.root_id as root, c.name_norm as name, c.birth_date, c.sex, c.residence_commune_code as commune,
                    c.citizen_id, c.old_id, c.residence_province_code as province
                from vault.int_register_number as c
                where c.is_newest
            ),

            keyed as (
                select b.root, unnest({keys}) as key
                from (select c.*, {linkage.plain_sql("c.name")} as plain from citizens as c) as b
            )

            select c.root, c.name, c.birth_date, c.sex, c.commune, c.citizen_id, c.old_id, c.province
            from citizens as c
            where c.root in (select k.root from keyed as k where k.key in (select a.key from asked_key as a))
        ) to stdout (format csv)
    """
    received = io.BytesIO()
    with connection.cursor() as cursor, cursor.copy(query.encode()) as stream:
        for block in stream:
            received.write(block)
    received.seek(0)
    types = {"root": pa.int64()} | _types()
    if not received.getbuffer().nbytes:
        return pa.table({name: pa.array([], kind) for name, kind in types.items()})
    return csv.read_csv(
        received,
        csv.ReadOptions(column_names=list(types), use_threads=False),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


def _decided(connection: Connection, task: Task) -> tuple[dict[str, _Proposal], dict[tuple[str, int], Decision]]:
    """Record -> the citizen accepted for it, and (record, root) -> decision, by the roots of the build's register.

    Two numbers decided about may have become one person since: the later entry counts. A record accepted for two who
    are not one person (entered in two warehouses) belongs to neither.
    """
    roots = dict(
        connection.execute(
            "select t.citizen_token, coalesce(c.root_id, t.citizen_id) from vault.citizen_token as t"
            " left join vault.citizen_root as c on c.citizen_id = t.citizen_id and c.from_state <= %(state)s"
            " and (c.to_state is null or c.to_state > %(state)s) where t.citizen_token = any(%(tokens)s)",
            {"state": task.state, "tokens": [decision.citizen for decision in task.decisions]},
        ).fetchall()
    )
    latest: dict[tuple[str, int], Decision] = {}
    for decision in sorted(task.decisions, key=lambda decision: decision.entry):
        if decision.citizen in roots:
            latest[decision.record, roots[decision.citizen]] = decision
    accepted: dict[str, _Proposal] = {}
    times = Counter(record for (record, _), decision in latest.items() if decision.verdict == "accept")
    for (record, root), decision in latest.items():
        if decision.verdict == "accept" and times[record] == 1:
            accepted[record] = _Proposal(root, "link", decision.weight)
    return accepted, latest


# The queue: what agrees, so that a list can be read without any value.

_QUEUE = (
    "build_id", "period", "source", "pair", "record", "root_id", "citizen_token", "proposal", "weight",
    *steward.AGREEMENTS, "rows", "decided_as", "leaf", "commune_column", "file_no", "line", "record_birth_date",
    "register_state",
)  # fmt: skip


def _queued(
    connection: Connection,
    task: Task,
    standing: Mapping[tuple[str, int], tuple[_Open, _Proposal, list[int]]],
    decided: Mapping[tuple[str, int], str],
    provinces: Mapping[str, str],
) -> list[tuple[Any, ...]]:
    """One row per pair of a citizen in the register as of the period, by the pair's name."""
    citizens = _citizens(connection, sorted({root for _, root in standing}))
    communes = {source: steward.compared_commune(contract.load(source)) for source in task.leaves}
    keys = [key for key in standing if key[1] in citizens]
    queued = []
    for key, pair in sorted(zip(keys, steward.pairs(keys), strict=True), key=lambda entry: entry[1]):
        (record, root), (row, proposal, (rows,)) = key, standing[key]
        citizen = citizens[root]
        before = decided.get(key)
        queued.append(
            (
                task.build_id, task.period.first_day, row.source, pair, record, root, citizen.token, proposal.verdict,
                proposal.weight, *agreement(row, citizen, provinces), rows, before if before != pair else None,
                task.leaves[row.source], communes[row.source], row.file_no, row.line, row.birth_date, task.state,
            )
        )  # fmt: skip
    return queued


def _citizens(connection: Connection, roots: Sequence[int]) -> dict[int, _Citizen]:
    rows = connection.execute(
        "select root_id, citizen_token, name_norm, birth_date, sex, residence_commune_code, residence_province_code,"
        " citizen_id, old_id from vault.int_register_number where is_newest and root_id = any(%s)",
        (list(roots),),
    ).fetchall()
    return {row[0]: _Citizen(*row) for row in rows}


def agreement(row: _Open, citizen: _Citizen, provinces: Mapping[str, str]) -> tuple[str, str, str, str, str]:
    """yes, near, no or absent for name, birth date, sex, commune and number; near is a slip of the pen away.

    A commune is near in the same province; the number is the citizen ID, else the old one.
    """
    numbers = (row.citizen_id, citizen.citizen_id) if row.citizen_id is not None else (row.old_id, citizen.old_id)
    sent, held = (None if number is None else f"{number:0>12}" for number in numbers)
    return (
        _agrees(row.name, citizen.name, _near_name),
        _agrees(row.birth_date, citizen.birth_date, _near_date),
        _agrees(row.sex, citizen.sex, lambda one, other: False),
        _agrees(row.commune, citizen.commune, lambda one, other: provinces.get(one) == citizen.province),
        _agrees(sent, held, _one_slip),
    )


def _agrees(one: Any, other: Any, near: Callable[[Any, Any], bool]) -> str:
    if one is None or other is None:
        return "absent"
    if one == other:
        return "yes"
    return "near" if near(one, other) else "no"


def _near_name(one: str, other: str) -> bool:
    """The same words in another order or without marks, or one slip in the whole."""
    first, second = _plain(one), _plain(other)
    return sorted(first.split()) == sorted(second.split()) or _one_slip(first, second)


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFD", name.replace("đ", "d"))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _near_date(one: date, other: date) -> bool:
    """Day and month swapped, or one slip in the digits, or the same year."""
    swapped = (one.year, one.month, one.day) == (other.year, other.day, other.month)
    return swapped or one.year == other.year or _one_slip(one.isoformat(), other.isoformat())


def _one_slip(one: str, other: str) -> bool:
    """One character changed, missing or added, or two neighbours swapped."""
    if len(one) > len(other):
        one, other = other, one
    start = 0
    while start < len(one) and one[start] == other[start]:
        start += 1
    if len(one) < len(other):
        return len(other) - len(one) == 1 and one[start:] == other[start + 1 :]
    swapped = one[start : start + 2] == other[start : start + 2][::-1] and one[start + 2 :] == other[start + 2 :]
    return swapped or one[start + 1 :] == other[start + 1 :]


def _copy(connection: Connection, table: str, columns: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> None:
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier(*table.split(".")), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as stream:
        for row in rows:
            stream.write_row(row)
