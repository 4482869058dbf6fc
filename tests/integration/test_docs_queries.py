"""The queries shown in the README and the runbooks run, as the roles they are shown for."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.warehouse import ROOT, Warehouse

SHELL = re.compile(r'psql "\$\(\./p06 connect(?: --role (\w+))? --dsn\)" -c "((?:[^"\\]|\\.)*)"')
REFUSED = "select count(*) from staging.health_visit"  # shown together with its refusal
SAMPLES = sorted((ROOT / "docs" / "queries").glob("*.sql"))
NEW_SOURCE = "fct_civil_status_event"  # exists once somebody has written that contract


def shown() -> list[tuple[str, str]]:
    """(role, statement) of every query in the documentation."""
    found = []
    readme = (ROOT / "README.md").read_text("utf-8")
    analyst, _, rest = readme.partition("## What did not pass")
    for role, text in (("analyst", analyst), ("quality", rest)):
        found += [(role, block) for block in re.findall(r"```sql\n(.*?)```", text, flags=re.DOTALL)]
    found += [("analyst", path.read_text("utf-8")) for path in SAMPLES]
    for page in sorted((ROOT / "docs" / "runbooks").glob("*.md")):
        for role, statement in SHELL.findall(page.read_text("utf-8")):
            found.append((role or "analyst", statement.replace('\\"', '"')))
    return [(role, statement) for role, statement in found if NEW_SOURCE not in statement]


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Role -> address, in a warehouse with every table and view, and no rows."""
    folder: Path = tmp_path_factory.mktemp("docs")
    made = Warehouse(folder / "home", folder / "token.key")
    subprocess.run([sys.executable, "-c", "from p06 import marts; marts.sync()"], env=made.environment, check=True)
    yield {role: made.dsn(role) for role in ("analyst", "quality", "admin")}
    made.close()


def test_queries_are_shown_for_analysts_quality_officers_and_engineers() -> None:
    assert {role for role, _ in shown()} == {"analyst", "quality", "admin"}
    assert len(shown()) >= 10


@pytest.mark.parametrize(("role", "statement"), [one for one in shown() if one[1] != REFUSED])
def test_a_query_shown_runs_as_its_role(addresses: dict[str, str], role: str, statement: str) -> None:
    with psycopg.connect(addresses[role], autocommit=True) as connection:
        assert connection.execute(statement.encode()).description


def test_ten_samples_and_more_say_what_they_tell_in_two_languages() -> None:
    assert len(SAMPLES) >= 10
    index = (ROOT / "docs" / "queries" / "README.md").read_text("utf-8")
    for path in SAMPLES:
        first = path.read_text("utf-8").splitlines()[0]
        vietnamese, dot, english = first.removeprefix("-- ").partition(" · ")
        assert first.startswith("-- ") and dot and not vietnamese.isascii() and english.isascii(), path.name
        assert f"({path.name})" in index


def test_every_view_and_column_readers_see_is_explained_in_two_languages(addresses: dict[str, str]) -> None:
    with psycopg.connect(addresses["admin"], autocommit=True) as connection:
        rows = connection.execute(
            "select format('%s.%s', n.nspname, c.relname), a.attname, coalesce(col_description(c.oid, a.attnum), '')"
            " from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace"
            " inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
            " where n.nspname in ('marts', 'identified') and c.relkind = 'v'"
            " union all select format('%s.%s', n.nspname, c.relname), null, coalesce(obj_description(c.oid), '')"
            " from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname in ('marts', 'identified') and c.relkind = 'v'"
            " union all select format('marts.%s()', proname), null, coalesce(obj_description(oid, 'pg_proc'), '')"
            " from pg_proc where pronamespace = 'marts'::regnamespace"
        ).fetchall()
    assert len(rows) > 100
    lacking = [
        f"{place}.{column or '*'}"
        for place, column, comment in rows
        if [bool(part.strip()) for part in comment.split(" · ")] != [True, True] or comment.isascii()
    ]
    assert lacking == []


def test_the_refusal_shown_is_what_an_analyst_gets(addresses: dict[str, str]) -> None:
    assert REFUSED in [statement for _, statement in shown()]
    with (
        psycopg.connect(addresses["analyst"], autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(REFUSED.encode())
