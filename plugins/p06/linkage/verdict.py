"""Pairs, their weights, and what follows from them: link, ask a steward, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from p06.errors import P06Error
from p06.linkage import feature
from p06.linkage.blocking import citizen_keys_sql, record_keys_sql
from p06.linkage.comparison import TERMS, comparisons
from p06.linkage.engine import engine
from p06.linkage.model import Model
from p06.linkage.name import duckdb_plain_sql, readable_column

ASKED = 5
"""At most so many citizens are shown to a steward for one record."""
RESULT = pa.schema([("record", pa.int64()), ("root", pa.int64()), ("weight", pa.float64()), ("verdict", pa.string())])
_PERSON = {
    "name": pa.string(), "birth_date": pa.date32(), "sex": pa.string(), "commune": pa.string(),
    "province": pa.string(), "citizen_id": pa.int64(), "old_id": pa.string(),
}  # fmt: skip
_PAIRS_AT_ONCE = 1_000_000
_GRAIN = 10**12  # odds are summed as whole numbers: a sum of floats would depend on the order


def link(records: pa.Table, citizens: pa.Table, model: Model, threads: int | None = None) -> pa.Table:
    """Score records against citizens and keep the pairs worth a verdict.

    ``records``: record int64 (unique), name (normalised), birth_date date32, sex, commune (code as of the period or
    null), citizen_id int64 or null, old_id string or null, and if known province. ``citizens``: root int64 (unique)
    and the same columns. The result has one row per pair: record, root, weight (probability that the two are the same
    person and no other candidate is, four decimals, below 1), verdict ``link`` (at most one a record, the only row
    then) or ``ask`` (at most five a record); sorted by record, weight falling, root. Rows in any order and any number
    of threads give the same table. Raises P06-LINK-003 and 004 for tables of another shape, P06-LINK-006 when memory
    does not suffice.
    """
    records, citizens = _shaped(records, "record"), _shaped(citizens, "root")
    if not len(records) or not len(citizens):
        return RESULT.empty_table()
    with engine(threads) as connection:
        found = [_judge(connection, model, chunk) for chunk in _chunks(connection, records, citizens, model)]
    if not found:
        return RESULT.empty_table()
    return pa.concat_tables(found).sort_by([("record", "ascending"), ("weight", "descending"), ("root", "ascending")])


def _shaped(table: pa.Table, key: str) -> pa.Table:
    """The table with exactly the columns compared, cast; a missing province is unknown."""
    wanted = {key: pa.int64(), **_PERSON}
    if "province" not in table.column_names:
        table = table.append_column("province", pa.nulls(len(table), pa.string()))
    lacking = [name for name in wanted if name not in table.column_names]
    if lacking:
        raise P06Error("P06-LINK-003", table=key, column=lacking[0])
    try:
        shaped = pa.table({name: table[name].cast(kind) for name, kind in wanted.items()})
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise P06Error("P06-LINK-003", table=key) from None
    if pc.count_distinct(shaped[key]).as_py() != len(shaped) or shaped[key].null_count:
        raise P06Error("P06-LINK-004", table=key)
    return shaped


def prepare(connection: Any, records: pa.Table, citizens: pa.Table, model: Model) -> None:
    """Make ``record`` and ``citizen`` (features of those that share a key) and ``pair`` (root, record)."""
    at = records.schema.get_field_index("name")
    connection.register("given_record", records.set_column(at, "name", readable_column(records["name"])))
    connection.register("given_citizen", citizens)
    connection.execute(
        f"""
        create table record_key as
        with plain as (
            select record, {duckdb_plain_sql("name")} as plain, birth_date, commune, citizen_id, old_id from given_record
        )

        select distinct record, hash(key) as key
        from (select record, unnest({record_keys_sql()}) as key from plain)
        where key is not null
        """
    )
    connection.execute(
        f"""
        create table citizen_key as
        with keyed as (
            select root, unnest({citizen_keys_sql()}) as key
            from (select *, {duckdb_plain_sql("name")} as plain from given_citizen)
        )

        select root, hash(key) as key
        from keyed
        where key is not null and hash(key) in (select key from record_key)
        """
    )
    feature.prepare(connection, model)
    connection.execute("create view met_record as select * from given_record")
    connection.execute(
        "create view met_citizen as select * from given_citizen where root in (select root from citizen_key)"
    )
    feature.build(connection, "record", "met_record", "record", model)
    feature.build(connection, "citizen", "met_citizen", "root", model)


def _chunks(connection: Any, records: pa.Table, citizens: pa.Table, model: Model) -> Any:
    """The pairs' scores in parts that fit into memory; a record's pairs are in one part."""
    prepare(connection, records, citizens, model)
    connection.execute(
        f"""
        create table chunk as
        with
        pairs_by_key as (
            select key, count(*) as pairs from citizen_key group by key
        ),

        pairs_by_record as (
            select r.record, sum(p.pairs) as pairs
            from record_key as r
            inner join pairs_by_key as p on p.key = r.key
            group by r.record
        )

        select record, (sum(pairs) over (order by record)) // {_PAIRS_AT_ONCE} as chunk
        from pairs_by_record
        """
    )
    score = scorer(connection, model.evidence, 1 / model.population)
    for (chunk,) in connection.sql("select distinct chunk from chunk order by chunk").fetchall():
        connection.execute(
            f"""
            create table pair_{chunk} as
            select distinct
                'citizen-__-' || c.root as join_key_l,
                'record-__-' || k.record as join_key_r,
                '0' as match_key
            from chunk as h
            inner join record_key as k on k.record = h.record
            inner join citizen_key as c on c.key = k.key
            where h.chunk = {chunk}
            """
        )
        yield score(f"pair_{chunk}")
        connection.execute(f"drop table pair_{chunk}")


def scorer(connection: Any, evidence: Mapping[str, Mapping[str, Any]], prior: float, keep: bool = False) -> Any:
    """A function from a table of pairs to the name of a table of their weights (Splink's, in bits).

    ``keep`` leaves the level of each comparison beside the weight (``gamma_<comparison>``).
    """
    from splink import DuckDBAPI, Linker, SettingsCreator

    api = DuckDBAPI(connection)
    settings = SettingsCreator(
        link_type="link_only",
        comparisons=comparisons(evidence),
        blocking_rules_to_generate_predictions=[],
        probability_two_random_records_match=prior,
        retain_matching_columns=keep,
    )
    tables = [api.register(name, table_name=name) for name in ("citizen", "record")]
    linker = Linker(tables, settings, log_level=None)
    for term in TERMS:
        # the frequencies stand in the tables themselves; Splink asks for a lookup all the same
        connection.execute(f"create table lookup_{term} as select true as {term}, 1.0::double as tf_{term} limit 0")
        lookup = api.register(f"lookup_{term}", table_name=f"lookup_{term}")
        linker.table_management.register_term_frequency_lookup(lookup, term)

    def score(pairs: str) -> str:
        linker.table_management.register_blocked_pairs_for_predict(api.register(pairs, table_name=pairs))
        return str(linker.inference.predict(warning_mode="never").physical_name)

    return score


def _judge(connection: Any, model: Model, scores: str) -> pa.Table:
    """The verdicts on one part's pairs.

    A record is at most one of its candidates or somebody else: the probability of a candidate is its odds over the
    sum of all candidates' and one. A second candidate nearly as good takes half of the first one's, so none of
    them reaches the threshold.
    """
    judged = connection.sql(
        f"""
        with
        candidates as (
            select
                unique_id_r::bigint as record,
                unique_id_l::bigint as root,
                match_weight,
                max(match_weight) over (partition by unique_id_r) as best
            from {scores}
        ),

        parts as (
            select
                record,
                root,
                round(power(2.0, match_weight - best) * {_GRAIN})::hugeint as odds,
                round(power(2.0, least(-best, 60.0)) * {_GRAIN})::hugeint as odds_of_nobody
            from candidates
        ),

        shares as (
            select
                record,
                root,
                odds::double / (sum(odds) over (partition by record) + odds_of_nobody)::double as share
            from parts
        ),

        ranked as (
            select
                record,
                root,
                least(round(share, 4), 0.9999) as weight,
                row_number() over (partition by record order by round(share, 4) desc, root) as place
            from shares
        ),

        verdicts as (
            select
                record,
                root,
                weight,
                place,
                max(weight) over (partition by record) >= {model.link_at!r} as linked
            from ranked
        )

        select record, root, weight, case when linked then 'link' else 'ask' end as verdict
        from verdicts
        where case when linked then place = 1 else weight >= {model.ask_at!r} and place <= {ASKED} end
        """
    ).to_arrow_table()
    connection.execute(f"drop table {scores}")
    return judged.cast(RESULT)
