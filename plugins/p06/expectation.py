"""Expectations of our own: what Great Expectations has no word for.

Each counts the rows that do not fit, as its column-map expectations do, and shows no value. Great Expectations is
imported on first use: it costs seconds.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from p06 import codelist

BIRTH_PLACES = "birth_place"  # the frozen list of 63 provinces, three digits
INSURANCE_OBJECTS = "insurance_object"
_OTHER_CARD_PLACES = ("97", "98", "99")  # cards of the armed forces and of their families carry no province


@cache
def own() -> dict[str, Any]:
    """Name as in a suite -> class, registered with Great Expectations.

    ``expect_column_values_to_be_citizen_ids`` (``latest_year``): twelve digits kept as a number; the first three a
    province of the frozen list or a country (from 100 on); the birth year, by century digit, not after ``latest_year``.

    ``expect_column_values_to_be_health_cards``: fifteen characters; two letters of the list of insured groups, benefit
    level 1 to 5, a province of the frozen list or one of the armed forces', then the ten digits of social insurance.

    ``expect_column_values_to_be_comparable_names`` (``normalised``): two words of letters or more once in NFC; with
    ``normalised`` also written as names are compared but for letter case: NFC, one space between words, tone marks of
    open oa, oe, uy on the second vowel.
    """
    import sqlalchemy
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine
    from great_expectations.expectations.expectation import ColumnMapExpectation
    from great_expectations.expectations.metrics.map_metric_provider import (
        ColumnMapMetricProvider,
        column_condition_partial,
    )

    def condition(text: str, column: Any, **values: str) -> Any:
        """An SQL condition over a column; ``values`` are our own literals."""
        name = '"' + str(column.name).replace('"', '""') + '"'
        return sqlalchemy.literal_column("(" + text.format(c=name, **values) + ")", sqlalchemy.Boolean())

    class CitizenIds(ColumnMapMetricProvider):
        condition_metric_name = "column_values.citizen_ids"
        condition_value_keys = ("latest_year",)

        @column_condition_partial(engine=SqlAlchemyExecutionEngine)
        def _sqlalchemy(self, column: Any, latest_year: int, **_: Any) -> Any:
            places = ", ".join(str(int(code)) for code in sorted(_codes(BIRTH_PLACES)))
            return condition(CITIZEN_ID, column, places=places, latest=str(int(latest_year)))

    class HealthCards(ColumnMapMetricProvider):
        condition_metric_name = "column_values.health_cards"
        condition_value_keys = ()

        @column_condition_partial(engine=SqlAlchemyExecutionEngine)
        def _sqlalchemy(self, column: Any, **_: Any) -> Any:
            places = {code[-2:] for code in _codes(BIRTH_PLACES)} | set(_OTHER_CARD_PLACES)
            objects = _codes(INSURANCE_OBJECTS)
            return condition(HEALTH_CARD, column, places=_listed(places), objects=_listed(objects))

    class ComparableNames(ColumnMapMetricProvider):
        condition_metric_name = "column_values.comparable_names"
        condition_value_keys = ("normalised",)

        @column_condition_partial(engine=SqlAlchemyExecutionEngine)
        def _sqlalchemy(self, column: Any, normalised: bool = False, **_: Any) -> Any:
            return condition(NORMALISED_NAME if normalised else COMPARABLE_NAME, column)

    class ExpectColumnValuesToBeCitizenIds(ColumnMapExpectation):
        latest_year: int
        map_metric = "column_values.citizen_ids"
        success_keys = ("mostly", "latest_year")

    class ExpectColumnValuesToBeHealthCards(ColumnMapExpectation):
        map_metric = "column_values.health_cards"
        success_keys = ("mostly",)

    class ExpectColumnValuesToBeComparableNames(ColumnMapExpectation):
        normalised: bool = False
        map_metric = "column_values.comparable_names"
        success_keys = ("mostly", "normalised")

    return {
        "expect_column_values_to_be_citizen_ids": ExpectColumnValuesToBeCitizenIds,
        "expect_column_values_to_be_health_cards": ExpectColumnValuesToBeHealthCards,
        "expect_column_values_to_be_comparable_names": ExpectColumnValuesToBeComparableNames,
    }


# PPP G YY SSSSSS as one number: province, century and sex, year, serial
CITIZEN_ID = (
    "{c} between 1000000000 and 999999999999"
    " and ({c} >= 100000000000 or {c} / 1000000000 in ({places}))"
    " and 1900 + {c} / 100000000 % 10 / 2 * 100 + {c} / 1000000 % 100 <= {latest}"
)
HEALTH_CARD = "{c} ~ '^[A-Z]{{2}}[1-5][0-9]{{12}}$' and left({c}, 2) in ({objects}) and substr({c}, 4, 2) in ({places})"
# most names are in that form already; normalising costs five times the look
COMPARABLE_NAME = (
    "case when {c} collate pg_catalog.pg_c_utf8 ~ '^[[:alpha:]]+( [[:alpha:]]+)+$' then true else"
    " normalize({c}, nfc) collate pg_catalog.pg_c_utf8 ~ '^\\s*[[:alpha:]]+([[:space:].’''-]+[[:alpha:]]+)+\\s*$' end"
)
NORMALISED_NAME = (
    "{c} is nfc normalized and {c} collate pg_catalog.pg_c_utf8 ~ '^\\w+( \\w+)+$'"
    " and lower({c} collate pg_catalog.pg_c_utf8) !~ '[òóỏõọ][ae]|[ùúủũụ]y'"
)


def _listed(codes: frozenset[str] | set[str]) -> str:
    return ", ".join("'" + code.replace("'", "''") + "'" for code in sorted(codes))


def _codes(name: str) -> frozenset[str]:
    return frozenset(entry.code for entry in codelist.load(name).entries)
