"""Blocking keys: the pairs of record and citizen that are looked at are those that share one of these keys.

A family name says little (Nguyễn is 38 %), so no key rests on it alone:

| key | of a citizen | a record asks besides for |
|---|---|---|
| a | given name, birth date | day and month swapped; the first word as given name |
| b | whole name, birth year | the words turned round |
| c | whole name, birth day and month | |
| d | commune, given name, birth year | |
| e | family and middle name, birth date | |
| f g h | citizen ID: last six, first nine, first six and last three digits | |
| i | old number | |

Names are plain (no marks). One digit off, or two neighbours swapped, leaves one of f, g, h in place except across the
ninth place, where the names remain. The expressions are written in words that PostgreSQL and DuckDB share: the caller
puts ``record_keys`` into a temporary table and joins it with ``unnest(citizen_keys_sql())`` over a query that gives
``plain_sql('name')`` the name ``plain``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from p06.linkage.engine import engine
from p06.linkage.name import duckdb_plain_sql, readable_column


def _year(date: str) -> str:
    return f"cast(extract(year from {date}) as integer)"


def _month(date: str) -> str:
    return f"cast(extract(month from {date}) as integer)"


def _day(date: str) -> str:
    return f"cast(extract(day from {date}) as integer)"


def _key(label: str, *parts: str) -> str:
    """Text of the parts; null when one is null."""
    return " || '|' || ".join([f"'{label}'", *(f"cast({part} as text)" for part in parts)])


def _family(name: str) -> str:
    return f"split_part({name}, ' ', 1)"


def _given(name: str) -> str:
    return f"split_part({name}, ' ', -1)"


def _head(name: str) -> str:
    """Family and middle name: all but the last word."""
    return f"left({name}, greatest(length({name}) - length({_given(name)}) - 1, 0))"


def _rest(name: str) -> str:
    """All but the first word."""
    return f"substr({name}, length({_family(name)}) + 2)"


def _numbers(citizen_id: str, old_id: str) -> Iterator[str]:
    digits = f"lpad(cast({citizen_id} as text), 12, '0')"
    yield _key("f", f"right({digits}, 6)")
    yield _key("g", f"left({digits}, 9)")
    yield _key("h", f"left({digits}, 6)", f"right({digits}, 3)")
    yield _key("i", old_id)


def _citizen_keys(name: str, birth_date: str, commune: str, citizen_id: str, old_id: str) -> list[str]:
    year, month, day = _year(birth_date), _month(birth_date), _day(birth_date)
    return [
        _key("a", _given(name), year, month, day),
        _key("b", name, year),
        _key("c", name, month, day),
        _key("d", commune, _given(name), year),
        _key("e", _head(name), year, month, day),
        *_numbers(citizen_id, old_id),
    ]


def _record_keys(name: str, birth_date: str, commune: str, citizen_id: str, old_id: str) -> list[str]:
    year, month, day = _year(birth_date), _month(birth_date), _day(birth_date)
    middle = _head(_rest(name))
    return [
        *_citizen_keys(name, birth_date, commune, citizen_id, old_id),
        _key("a", _given(name), year, day, month),
        _key("a", _family(name), year, month, day),
        _key("b", f"({_given(name)} || ' ' || {_head(name)})", year),
        _key("b", f"({_rest(name)} || ' ' || {_family(name)})", year),
        _key("b", f"({_given(name)} || ' ' || {middle} || ' ' || {_family(name)})", year),
    ]


def citizen_keys_sql(
    plain: str = "plain",
    birth_date: str = "birth_date",
    commune: str = "commune",
    citizen_id: str = "citizen_id",
    old_id: str = "old_id",
) -> str:
    """An SQL array of text with a citizen's keys, for PostgreSQL and DuckDB; elements can be null.

    The arguments are expressions: ``plain_sql`` of the normalised name (computed once, in a query below), the date, the
    commune's code as of the period, the number as bigint, the old number as text.
    """
    return f"array[{', '.join(_citizen_keys(plain, birth_date, commune, citizen_id, old_id))}]"


def record_keys_sql() -> str:
    """An SQL array with a record's keys, over a table with ``plain`` and the columns of ``link``'s records."""
    return f"array[{', '.join(_record_keys('plain', 'birth_date', 'commune', 'citizen_id', 'old_id'))}]"


def record_keys(records: pa.Table) -> pa.Table:
    """The distinct blocking keys of records as ``link`` takes them: one column ``key`` (text), sorted."""
    with engine() as connection:
        connection.register("given_records", records.set_column(
            records.schema.get_field_index("name"), "name", readable_column(records["name"])
        ))  # fmt: skip
        return connection.sql(
            f"""
            with records as (
                select {duckdb_plain_sql("name")} as plain, birth_date, commune, citizen_id, old_id from given_records
            )

            select distinct key
            from (select unnest({record_keys_sql()}) as key from records)
            where key is not null
            order by key
            """
        ).to_arrow_table()
