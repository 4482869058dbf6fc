"""Records and citizens as the comparisons see them: parts of names, their frequencies, numbers as text."""

from __future__ import annotations

from typing import Any

from p06.linkage.comparison import TERMS
from p06.linkage.model import PARTS, Model
from p06.linkage.name import duckdb_plain_sql

_SHARES = {
    # what agreed: the forms of (family, middle, given) whose frequencies multiply; None: the part may be anything
    "t_full": ("toned", "toned", "toned"),
    "t_plain": ("plain", "plain", "plain"),
    "t_ends": ("plain", None, "plain"),
    "t_tail": (None, "plain", "plain"),
    "t_head": ("plain", "plain", None),
    "t_near": ("plain", "plain", None),
    "t_given": (None, None, "plain"),
    "t_initials": ("initial", "initial", "plain"),
}
assert tuple(sorted(_SHARES)) == tuple(sorted(TERMS))


def prepare(connection: Any, model: Model) -> None:
    """Put the frequencies of names where ``build`` looks for them."""
    connection.register("given_frequency", model.frequencies)
    connection.execute("create table frequency as select * from given_frequency")
    connection.unregister("given_frequency")


def build(connection: Any, table: str, source: str, key: str, model: Model) -> None:
    """Create ``table`` with the features of ``source`` (``key``, name, birth_date, sex, commune, province, …)."""
    floors = model.floors
    joins, shares = [], {}
    for part in PARTS:
        for form in ("toned", "plain", "initial"):
            if not any(forms[PARTS.index(part)] == form for forms in _SHARES.values()):
                continue
            at = f"{part}_{form}"
            value = {"toned": f"{part}_toned", "plain": part, "initial": f"left({part}, 1)"}[form]
            joins.append(
                f"left join frequency as {at} on {at}.part = '{part}' and {at}.form = '{form}' "
                f"and {at}.sex = p.frequency_sex and {at}.value = p.{value}"
                if form != "initial"
                else f"left join frequency as {at} on {at}.part = '{part}' and {at}.form = 'initial' "
                f"and {at}.sex = p.frequency_sex and {at}.value = left(p.{part}, 1)"
            )
            shares[part, form] = f"coalesce({at}.share, {floors[part]!r})"
    products = {}
    for term, forms in _SHARES.items():
        factors = [shares[part, form] for part, form in zip(PARTS, forms, strict=True) if form]
        if term == "t_near":
            factors.append(repr(model.given_near))
        products[term] = " * ".join(factors)
    terms = ",\n            ".join(f"true as {term}, {product} as tf_{term}" for term, product in products.items())
    toned_rest = "substr(name, length(split_part(name, ' ', 1)) + 2)"
    rest = "substr(plain, length(split_part(plain, ' ', 1)) + 2)"
    connection.execute(
        f"""
        create table {table} as
        with
        plain_names as (
            select *, {duckdb_plain_sql("name")} as plain from {source}
        ),

        parts as (
            select
                *,
                split_part(plain, ' ', 1) as family,
                {_all_but_last(rest)} as middle,
                split_part(plain, ' ', -1) as given,
                split_part(name, ' ', 1) as family_toned,
                {_all_but_last(toned_rest)} as middle_toned,
                split_part(name, ' ', -1) as given_toned,
                case when sex in ('M', 'F') then sex else 'U' end as frequency_sex,
                strftime(birth_date, '%Y%m%d') as born
            from plain_names
        )

        select
            p.{key} as unique_id,
            '{table}' as source_dataset,
            p.name,
            p.plain,
            p.family,
            p.middle,
            p.given,
            p.given_toned,
            p.name = p.plain as bare,
            regexp_matches(p.plain, '(^| )[a-z]( |$)') as short,
            array_to_string(list_sort(string_split(p.plain, ' ')), ' ') as sorted,
            p.born,
            p.born[1:4] || p.born[7:8] || p.born[5:6] as swapped,
            p.born[5:8] = '0101' as placeholder,
            p.sex,
            p.commune,
            p.province,
            lpad(p.citizen_id::varchar, 12, '0') as number,
            p.old_id,
            {terms}
        from parts as p
        {" ".join(joins)}
        """
    )


def _all_but_last(words: str) -> str:
    return f"left({words}, greatest(length({words}) - length(split_part({words}, ' ', -1)) - 1, 0))"
