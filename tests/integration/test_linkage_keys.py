"""The blocking keys PostgreSQL computes of citizens are those DuckDB computes, so what it fetches is what is compared."""

from __future__ import annotations

from typing import Any

import psycopg
import pyarrow as pa

from p06.calibration import country
from p06.calibration.slip import type_records
from p06.linkage import citizen_keys_sql, link, load, plain_sql, record_keys


def test_citizens_fetched_by_key_give_the_same_links_as_the_whole_register(sees: psycopg.Connection[Any]) -> None:
    nation = country.found(2000, 13)
    register, typed = nation.register().drop_columns(["province"]), type_records(nation, 13, 0.2).table
    records = typed.drop_columns(["province"])
    columns = register.column_names
    sees.execute(
        "create temporary table citizen (root bigint, name text, birth_date date, sex text, commune text, "
        "citizen_id bigint, old_id text)"
    )
    sees.execute("create temporary table wanted (key text)")
    with sees.cursor() as cursor:
        with cursor.copy(f"copy citizen ({', '.join(columns)}) from stdin") as copy:
            for row in zip(*(register[name].to_pylist() for name in columns), strict=True):
                copy.write_row(row)
        with cursor.copy("copy wanted from stdin") as copy:
            for key in record_keys(records)["key"].to_pylist():
                copy.write_row((key,))
    fetched = sees.execute(
        f"""
        with
        plain_citizens as (select *, {plain_sql("name")} as plain from citizen)

        select distinct c.root
        from plain_citizens as c
        cross join unnest({citizen_keys_sql()}) as k (key)
        inner join wanted as w on w.key = k.key
        """
    ).fetchall()
    roots = {root for (root,) in fetched}
    held = register["root"].to_pylist()
    some = register.take(pa.array([at for at, root in enumerate(held) if root in roots]))
    whole = link(records, register, load())
    assert len(some) < len(register)
    assert len(whole) > 300
    assert link(records, some, load()).equals(whole)
