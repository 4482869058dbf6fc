"""What the loader writes in binary is what PostgreSQL reads from the same texts, whatever the kind of column."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st
from psycopg import sql

from p06 import encode, rules
from p06.contract import Column, ColumnKind

NAMES = ("first", "second", "third", "fourth")
LAST_DAY = date(9999, 12, 31)
OFFSETS = ["Z", "+00", "-0000", "+07:00", "+0530", "-03:30", "-11", "+14:00", "-14"]
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)


def column(kind: ColumnKind, precision: int | None = None, scale: int | None = None) -> Column:
    """A column of a kind, all else as usual."""
    return Column(
        name=kind, physical_name=kind, kind=kind, required=False, length=None, max_length=10_000, pattern=None,
        values=("M", "ước") if kind == "enum" else (), codelist=None, minimum=None, minimum_exclusive=False, maximum=None,
        maximum_exclusive=False, precision=precision, scale=scale, not_after_period=False, description_en="",
        description_vi="", classification="internal", in_mart=False,
    )  # fmt: skip


@st.composite
def columns(draw: st.DrawFn) -> tuple[Column, list[str]]:
    """A column and some texts that pass its rules."""
    kind: ColumnKind = draw(
        st.sampled_from(["id12", "code", "text", "enum", "date", "timestamp", "numeric", "numeric", "integer"])
    )
    one = column(kind)
    if kind == "numeric":
        precision = draw(st.integers(1, 38))
        one = column(kind, precision, draw(st.integers(0, precision)))
    pool = {
        "id12": st.integers(0, 999_999).map(lambda n: f"{n % 2}01089{n:06}"),
        "text": WORDS,
        "code": WORDS,
        "enum": st.sampled_from(one.values or ("",)),
        "date": st.dates().map(date.isoformat),
        "timestamp": st.tuples(
            st.one_of(st.dates(), st.sampled_from([date(1, 1, 2), date(1999, 12, 31), date(9999, 12, 30)])),
            st.integers(0, 86_399),
            st.one_of(st.just(""), st.text("0123456789", min_size=1, max_size=6).map(lambda d: "." + d)),
            st.sampled_from(OFFSETS),
        ).map(_moment),
        "numeric": _number(one.precision or 1, one.scale or 0),
        "integer": st.one_of(
            st.integers(-(2**31), 2**31 - 1).map(str), st.sampled_from(["-0", "007", "-0000000000001"])
        ),
    }[kind]
    judge = rules._rule(one, LAST_DAY, None)[0]
    return one, [text for text in draw(st.lists(pool, min_size=1, max_size=10)) if judge(text) is None]


def _moment(parts: tuple[date, int, str, str]) -> str:
    day, seconds, fraction, offset = parts
    return f"{day}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}{offset}"


def _number(precision: int, scale: int) -> st.SearchStrategy[str]:
    """Every number of numeric(p, s), small and large ones alike, some with superfluous zeros."""

    def written(parts: tuple[int, str, str, int]) -> str:
        digits, sign, zeros, cut = parts
        text = f"{digits:0{scale + 1}d}"
        whole, decimals = (text[:-scale], text[-scale:]) if scale else (text, "")
        decimals = decimals[: len(decimals.rstrip("0")) + cut]
        return sign + zeros + whole + ("." + decimals if decimals else "")

    sizes = st.integers(0, precision).flatmap(lambda size: st.integers(0, 10**size - 1))
    return st.tuples(
        st.one_of(sizes, st.sampled_from([0, 10**precision - 1, 10 ** (precision - 1)])),
        st.sampled_from(["", "-"]),
        st.sampled_from(["", "", "0", "000"]),
        st.integers(0, 3),
    ).map(written)


def _compare(sees: psycopg.Connection[Any], chosen: list[tuple[Column, list[str]]], count: int, number: int) -> None:
    order = random.Random(number)
    held = [
        (one, [order.choice(["", *texts] if number % 3 else texts or [""]) for _ in range(count)])
        for one, texts in chosen
    ]
    named = list(zip(NAMES, held, strict=False))
    values = {str(at): rules.texts(texts) for at, (_, texts) in enumerate(held)}
    placed = [Column(**(vars(one) | {"name": str(at)})) for at, (one, _) in enumerate(held)]
    keys = order.randbytes(16 * count) if number % 2 else None
    lines = np.arange(5, 5 + count)
    data = encode.encode(placed, values, 7, lines, keys)
    fixed = "file_no smallint, line bigint" + (", record_key uuid" if keys else "")
    with sees.transaction(force_rollback=True):
        sees.execute("set local timezone = 'UTC'")
        shape = ", ".join([fixed, *(f'"{name}" {one.sql_type}' for name, (one, _) in named)])
        sees.execute(sql.SQL("create temp table encoded ({})").format(sql.SQL(shape)))  # type: ignore[arg-type]
        with sees.cursor().copy("copy encoded from stdin (format binary)") as stream:
            for piece in (encode.HEADER, *encode.slices(data, 1000), encode.TRAILER):
                stream.write(piece)
        shown = [f'"{name}"::text' for name, _ in named]
        extra = ["record_key"] if keys else []
        found = sees.execute("select " + ", ".join(["file_no, line", *extra, *shown]) + " from encoded order by line")
        cast = ", ".join(f"nullif(\"{name}\", '')::{one.sql_type}::text" for name, (one, _) in named)
        arrays = ", ".join("%s::text[]" for _ in named)
        names = ", ".join(f'"{name}"' for name, _ in named)
        expected = sees.execute(
            f"select {cast} from unnest({arrays}) with ordinality as t ({names}, place) order by place",
            [texts for _, texts in held],
        ).fetchall()
        for place, (row, wanted) in enumerate(zip(found.fetchall(), expected, strict=True)):
            assert row[:2] == (7, 5 + place)
            assert not keys or row[2].bytes == keys[16 * place : 16 * place + 16]
            assert row[len(row) - len(wanted) :] == wanted


def _property(sees: psycopg.Connection[Any], number: int, count: int) -> None:
    large = column("numeric", 38, 11)

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(columns(), min_size=1, max_size=4), st.integers(1, 300), st.integers(0, 1 << 16))
    @example([(large, ["123456789012345678901234567.12345678901", "-0.00000000001"])], 3, 1)
    def every(chosen: list[tuple[Column, list[str]]], rows: int, order: int) -> None:
        _compare(sees, chosen, rows, order)

    every()


def test_binary_rows_are_what_postgresql_reads_from_the_texts(sees: psycopg.Connection[Any]) -> None:
    _property(sees, 0, 120)


@pytest.mark.long
@pytest.mark.parametrize("chunk", range(1, 11))
def test_three_thousand_more_blocks(sees: psycopg.Connection[Any], chunk: int) -> None:
    _property(sees, chunk, 300)


def test_a_number_of_38_digits_keeps_every_one(sees: psycopg.Connection[Any]) -> None:
    text = "-99999999999999999999999999999999999999"
    assert Decimal(text) == int(text)
    _compare(sees, [(column("numeric", 38, 0), [text])], 1, 3)


@pytest.mark.parametrize("scale", [0, 4])
def test_a_number_that_fills_64_bits_keeps_its_digits_and_its_sign(sees: psycopg.Connection[Any], scale: int) -> None:
    for digits in (10**19 - 1, 2**63, 2**63 - 1):
        whole, decimals = divmod(digits, 10**scale)
        text = f"{whole}.{decimals:0{scale}}" if scale else str(whole)
        for number in (text, f"-{text}"):
            _compare(sees, [(column("numeric", 19, scale), [number])], 1, 3)
