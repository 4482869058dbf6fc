"""The rule which figure a failed check touches."""

from __future__ import annotations

import re

import pytest

from p06 import contract, footnote, project
from p06.footnote import Finding, figures
from p06.settings import settings

CODES = (
    "id_card_rate",
    "health_insurance_coverage",
    "kyc_biometric_rate",
    "match_rate.bank_kyc",
    "match_rate.health_visit",
)


def _finding(source: str | None = None, mart: str | None = None) -> Finding:
    return Finding(
        source, mart, "check", "du", "warn", "1", "≤ 0", None, None, "There are no rows", "Không có dòng nào"
    )


@pytest.mark.parametrize(
    ("finding", "touched"),
    [
        (
            _finding(source="bank_kyc"),
            [("fct_bank_kyc", None), ("indicator", "kyc_biometric_rate"), ("indicator", "match_rate.bank_kyc")],
        ),
        (
            _finding(source="population_register"),
            [
                ("dim_citizen", None),
                ("citizen_month", None),
                ("indicator", "health_insurance_coverage"),
                ("indicator", "id_card_rate"),
                ("indicator", "match_rate.bank_kyc"),
                ("indicator", "match_rate.health_visit"),
            ],
        ),
        (
            _finding(mart="fct_health_visit"),
            [("fct_health_visit", None), ("indicator", "match_rate.health_visit")],
        ),
        (
            _finding(mart="fct_social_security_participation"),
            [("fct_social_security_participation", None), ("indicator", "health_insurance_coverage")],
        ),
        (_finding(mart="citizen_month"), [("citizen_month", None)]),
        (_finding(mart="indicator"), [("indicator", None)]),
    ],
    ids=lambda value: value.subject if isinstance(value, Finding) else "",
)
def test_a_finding_touches_its_fact_and_what_is_computed_from_it(
    finding: Finding, touched: list[tuple[str, str | None]]
) -> None:
    assert figures(finding, CODES) == touched


def test_a_finding_of_a_mart_of_several_sources_speaks_of_all_of_them() -> None:
    assert footnote.sources_of(_finding(mart="fct_bank_kyc")) == {"bank_kyc"}
    assert footnote.sources_of(_finding(source="bank_kyc")) == {"bank_kyc"}
    assert footnote.sources_of(_finding(mart="citizen_month")) == set(contract.load_all())


def test_every_indicator_says_beside_its_formula_what_it_is_computed_from() -> None:
    folder = settings().dbt_project / "models" / "indicators"
    formulas = {path.stem.removeprefix("indicator__") for path in folder.glob("indicator__*.sql")}
    for path in folder.glob("reported/reported__*.sql"):
        formulas |= set(re.findall(r"'(\w+)': \[none,", path.read_text("utf-8")))
    stated = project.computed_from()
    assert formulas == {name.removesuffix(".*") for name in stated}
    assert {source for sources in stated.values() for source in sources} <= set(contract.load_all())
    assert footnote.computed_from("never_heard_of") == set(contract.load_all())


def test_a_footnote_denies_what_ought_to_be() -> None:
    assert footnote.text(_finding(mart="indicator")) == ("Not met: There are no rows", "Chưa đạt: Không có dòng nào")
