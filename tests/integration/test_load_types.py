"""What the rules let pass, PostgreSQL takes as it stands: COPY cannot fail on a row that was judged good."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p06 import contract
from tests.unit.test_rules import COLUMNS, JUDGES, near


@pytest.mark.parametrize(("source", "name"), COLUMNS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_value_that_passes_is_valid_input_of_its_column(
    sees: psycopg.Connection[Any], source: str, name: str, data: Any
) -> None:
    values = data.draw(st.lists(near(source, name), min_size=1, max_size=30))
    passed = [value for value in values if value and "\0" not in value and not JUDGES[source].value(name, value)]
    kind = contract.load(source).column(name).sql_type
    refused = sees.execute(
        "select v from unnest(%s::text[]) as v where not pg_input_is_valid(v, %s)", (passed, kind)
    ).fetchall()
    assert refused == []
