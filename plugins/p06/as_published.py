"""Functions in schema marts that give a mart *as it was published on* a moment, for whoever may read the mart.

Each returns rows of the mart's view, so that it gains the view's columns with it. They run with the rights of the
owner; being stable, they read in the snapshot of the statement that calls them, so that marts of one moment agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

READERS = ("p06_analyst", "p06_quality", "p06_identified")
RESTRICTED = "p06_sensitive"  # who alone reads a restricted mart; it holds an analyst's rights as well
_GONE = "P06-RELEASE-009 the release readers saw then is no longer kept"
_UNDONE = "P06-RELEASE-010 the register readers saw then is no longer kept"


def define(
    connection: psycopg.Connection[Any],
    months: Sequence[str],
    known: Mapping[str, str],
    restricted: Collection[str] = (),
) -> dict[str, str]:
    """Make or replace the functions of the monthly marts and of ``dim_citizen``; role p06_owner, views present.

    Those of ``restricted`` marts are called by RESTRICTED alone.
    Returns ``function marts.<name>`` -> hash of its definition; those that ``known`` has so already are left alone.
    """
    made: dict[str, str] = {}
    for mart in months:
        signature = "(moment timestamptz, month date default null)"
        body = _EDITION if mart == "indicator" else _KEPT
        made |= _define(connection, mart, signature, "(timestamptz, date)", body, known, mart in restricted)
    return made | _define(connection, "dim_citizen", "(moment timestamptz)", "(timestamptz)", _STATE, known)


def text() -> str:
    """What the definitions depend on beside the models."""
    return "".join((_FUNCTION, _EDITION, _KEPT, _STATE, _GONE, _UNDONE, *READERS))


def _define(
    connection: psycopg.Connection[Any],
    mart: str,
    signature: str,
    types: str,
    body: str,
    known: Mapping[str, str],
    restricted: bool = False,
) -> dict[str, str]:
    columns = [
        name
        for (name,) in connection.execute(
            "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped"
            " order by attnum",
            (f'marts."{mart}"',),
        ).fetchall()
    ]
    selected = ", ".join(f"t.{sql.Identifier(name).as_string(connection)}" for name in columns)
    name = sql.Identifier("marts", f"{mart}_as_published").as_string(connection)
    filled = body.format(
        table=sql.Identifier("build", mart).as_string(connection), columns=selected, gone=_GONE, undone=_UNDONE
    )
    view = sql.Identifier("marts", mart).as_string(connection)
    statement = _FUNCTION.format(name=name, signature=signature, view=view, body=filled)
    meaning = f"{statement}{RESTRICTED}" if restricted else statement
    made = {f"function marts.{mart}_as_published": hashlib.sha256(meaning.encode()).hexdigest()}
    if made.items() <= known.items():
        return made
    connection.execute(statement.encode())
    alone = "date" in types
    comment = (
        f"marts.{mart} as readers saw it at a moment"
        + ("; a month as second argument reads that month alone" if alone else "")
        + f" · marts.{mart} như người đọc thấy tại một thời điểm"
        + ("; tham số thứ hai giới hạn một tháng" if alone else "")
    )
    connection.execute(sql.SQL("comment on function {}{} is {}").format(sql.SQL(name), sql.SQL(types), comment))
    readers = ", ".join(READERS)
    if restricted:
        connection.execute(f"revoke execute on function {name}{types} from {readers}".encode())
    connection.execute(f"grant execute on function {name}{types} to {RESTRICTED if restricted else readers}".encode())
    return made


_FUNCTION = """
create or replace function {name}{signature}
returns setof {view}
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
{body}
$function$
"""

# Editions are kept for ever, so any moment has an answer.
_EDITION = """
begin
    return query
    select {columns}
    from control.published_at(moment) as p
    inner join build.indicator_edition as t on t.build_id = p.build_id and t.period = p.period
    where month is null or p.period = month - (extract(day from month)::integer - 1);
end
"""

# Arrays, not a join: with them the planner leaves out every other month and every other build. They are named with their
# block, since a mart may have columns of their names. A build whose first leaf is gone is being dropped, which an older
# snapshot may not see in control.release yet.
_KEPT = """
<<asked>>
declare
    months date[];
    builds bigint[];
    lost text;
begin
    select
        array_agg(p.period),
        array_agg(p.build_id),
        min(p.release_id) filter (
            where not p.kept or pg_partition_root(to_regclass(
                format('build.%%I', format('citizen_month__%%s__%%s', to_char(p.period, 'YYYYMM'), p.build_id))
            )) is null
        )
    into months, builds, lost
    from control.published_at(moment) as p
    where month is null or p.period = month - (extract(day from month)::integer - 1);
    if lost is not null then
        raise exception '{gone} (release %)', lost
        using errcode = 'object_not_in_prerequisite_state',
        hint = 'name a month whose release is kept as second argument (marts.release, p06 releases), or read marts.indicator_as_published';
    end if;
    return query
    select {columns}
    from {table} as t
    where t.period = any(asked.months) and t.build_id = any(asked.builds);
end
""".replace("%%", "%")

_STATE = """
<<asked>>
declare
    seen bigint := control.register_state_at(moment);
begin
    if coalesce(seen, 0) = 0 then
        return;
    end if;
    if seen <> (select s.state from control.register_state as s)
        and not exists (select from vault.register_state_extract as e where e.state = seen) then
        raise exception '{undone}'
        using errcode = 'object_not_in_prerequisite_state',
        hint = 'the months themselves may still be kept: marts.citizen_month_as_published';
    end if;
    return query
    select {columns}
    from {table} as t
    where t.from_state <= asked.seen and (t.to_state is null or t.to_state > asked.seen);
end
"""
