"""Each rule by example, and the promise behind the fast path: what it vouches for, the exact rule accepts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.sender import PERSON, VISIT

from p06 import contract, rules
from p06.errors import UsageError
from p06.period import Period
from p06.rules import Rules

PERIOD, AREAS = Period(2024, 1), date(2025, 3, 1)
SOURCES = sorted(contract.load_all())
COLUMNS = [(source, column.name) for source in SOURCES for column in contract.load(source).columns]
JUDGES = {source: Rules(contract.load(source), PERIOD, AREAS) for source in SOURCES}

GOOD = {
    "text": ["Nguyễn Văn An", "x", " ", "2024-2025"],
    "code": ["123456789", "0123456789", "DN4010123456789", "00001", "J20.9", "01", "DN"],
    "enum": ["M", "F", "1", "alive", "upsert"],
    "id12": ["001089000123", "100089000123", "001389000123", "003089000123", "001224000123", "001225000123"],
    "date": ["1989-05-06", "2000-02-29", "1900-02-29", "2024-01-31", "2024-02-01", "0001-01-01", "0000-01-01", "9999-12-31"],
    "timestamp": [
        "2024-01-03T08:15:00+07:00", "2024-01-03T08:15:00Z", "2024-01-03T08:15:00.5Z", "2024-01-03T24:15:00+07:00",
        "2024-01-03T08:60:00+07:00", "2024-02-30T08:15:00+07:00", "2024-01-03T08:15:00+15:00", "9999-12-31T23:59:59+07:00",
    ],
    "numeric": ["0", "0.0", "100", "100.00", "99.999999", "-1", "1234567890123.45", "1e3", ".5", "5.", "NaN", "00.1"],
    "integer": ["1", "0", "12", "13", "-1", "2147483647", "2147483648", "1.0", "+1", "007"],
}  # fmt: skip
SALT = ["", " ", "0", "9", "-", ".", ":", "Z", "é", "\n", "1e5", "T"]


def near(source: str, name: str) -> st.SearchStrategy[str]:
    """Values like those of a column, right ones and slightly damaged ones."""
    column = contract.load(source).column(name)
    usual = (PERSON if source == "population_register" else VISIT).get(name, "")
    right = st.sampled_from([*GOOD[column.kind], *column.values, usual])
    damaged = st.tuples(right, st.integers(0, 26), st.sampled_from(SALT), st.integers(0, 2)).map(
        lambda made: made[0][: made[1]] + made[2] + made[0][made[1] + made[3] :]
    )
    return st.one_of(right, damaged, st.text(max_size=8))


def judged(source: str, name: str, values: list[str]) -> list[str | None]:
    """The reason of each value, through the vectorised path."""
    column = contract.load(source).column(name)
    judge, vouch = JUDGES[source]._columns[name]
    found: list[str | None] = [None] * len(values)
    for failure in rules._judge_column(column, pa.array(values, pa.string()), judge, vouch):
        for row in failure.rows.tolist():
            assert found[row] is None
            found[row] = failure.reason
    return found


@pytest.mark.parametrize(("source", "name"), COLUMNS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whole_columns_are_judged_like_single_values(source: str, name: str, data: Any) -> None:
    values = data.draw(st.lists(near(source, name), min_size=1, max_size=30))
    assert judged(source, name, values) == [JUDGES[source].value(name, value) for value in values]


@given(st.lists(st.sampled_from(GOOD["date"]), min_size=1), st.integers(0, 3))
@example(["2024-02-01"], 0)
def test_a_column_cut_out_of_a_larger_one_is_judged_alike(values: list[str], cut: int) -> None:
    column = contract.load("health_visit").column("birth_date")
    judge, vouch = JUDGES["health_visit"]._columns["birth_date"]
    whole = pa.array(["1989-05-06"] * cut + values, pa.string())
    found = rules._judge_column(column, whole.slice(cut), judge, vouch)
    wrong = {row for failure in found for row in failure.rows.tolist()}
    assert wrong == {row for row, value in enumerate(values) if judge(value)}


@pytest.mark.parametrize(
    ("year", "reason"), [("024", "id_structure"), ("224", None), ("225", "id_structure"), ("389", "id_structure")]
)
def test_the_birth_year_of_a_number_is_not_after_the_as_of_year(year: str, reason: str | None) -> None:
    number = f"001{year}000123"
    expected = None if 1900 + 100 * (int(year[0]) // 2) + int(year[1:]) <= 2024 else "id_structure"
    assert JUDGES["health_visit"].value("citizen_id", number) == expected
    assert expected == reason or year == "024"


def test_the_period_decides_what_is_in_the_future() -> None:
    of = contract.load("health_visit")
    assert Rules(of, Period(2024, 2), AREAS).value("birth_date", "2024-02-29") is None
    assert Rules(of, Period(2024, 1), AREAS).value("birth_date", "2024-02-29") == "future_date"


def test_an_amount_is_the_sum_of_its_parts_to_the_last_cent() -> None:
    def row(total: str, insurance: str, patient: str) -> dict[str, Any]:
        values = VISIT | {"total_amount": total, "insurance_paid": insurance, "patient_paid": patient}
        return {name: pa.array([value], pa.string()) for name, value in values.items()}

    def reasons(*amounts: str) -> list[str]:
        return [failure.reason for failure in JUDGES["health_visit"].judge(row(*amounts))]

    assert reasons("0.30", "0.10", "0.20") == []
    assert reasons("9999999999999.99", "9999999999999.98", "0.01") == []
    assert reasons("9999999999999.99", "9999999999999.98", "0.02") == ["cross_field"]
    assert reasons("100", "x", "20") == ["type_numeric"]


def test_a_required_column_the_file_lacks_fails_every_row() -> None:
    columns = {name: pa.array([value, value], pa.string()) for name, value in VISIT.items() if name != "sex"}
    [failure] = JUDGES["health_visit"].judge(columns)
    assert (failure.reason, failure.column, failure.rows.tolist()) == ("required_missing", "sex", [0, 1])


def test_numbers_in_keys_are_compared_as_numbers() -> None:
    of = contract.load("land_parcel")
    columns = {"parcel_id": pa.array(["A", "A", "B", ""]), "holder_no": pa.array(["1", "01", "1", "1"])}
    found = rules.key_texts(of, columns)
    assert found is not None
    texts, whole = found
    assert texts.to_pylist()[:3] == ["A\x1f1", "A\x1f1", "B\x1f1"]
    assert whole.tolist() == [True, True, True, False]
    assert rules.key_of(of, {"parcel_id": "A", "holder_no": "01"}) == "A\x1f1"
    assert rules.key_of(of, {"parcel_id": "", "holder_no": "01"}) is None
    assert np.all([rules.number_text(text) == "-1.5" for text in ("-1.5", "-01.50")])


@pytest.mark.parametrize("zeros", [1, 5000])
def test_a_whole_number_may_have_any_count_of_leading_zeros(zeros: int) -> None:
    [(source, name)] = [place for place in COLUMNS if place == ("land_parcel", "holder_no")]
    assert judged(source, name, ["0" * zeros + "1", "9" * zeros + "9" * 11]) == [None, "out_of_range"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0001-01-01T06:59:59+07:00", "type_timestamp"),
        ("0001-01-01T07:00:00+07:00", None),
        ("9999-12-31T23:59:59Z", None),
        ("9999-12-31T17:00:00-07:00", "type_timestamp"),
        ("9999-12-31T16:59:59.999999-07", None),
    ],
)
def test_an_instant_lies_in_the_years_1_to_9999_in_utc_too(text: str, reason: str | None) -> None:
    assert judged("health_visit", "admitted_at", [text]) == [reason]


def test_a_period_is_written_in_plain_digits() -> None:
    assert str(Period.parse("2024-01")) == "2024-01"
    with pytest.raises(UsageError):
        Period.parse("２０２４-01")


def test_sums_of_more_than_28_digits_are_exact() -> None:
    visit = contract.load("health_visit")
    wide = tuple(replace(c, precision=38) if c.kind == "numeric" else c for c in visit.columns)
    judge = Rules(replace(visit, columns=wide), PERIOD, AREAS)
    large = "9" * 35
    sums = [(f"{large}.01", f"{large}.00", "0.01"), (f"{large}.02", f"{large}.00", "0.01")]
    names = ("total_amount", "insurance_paid", "patient_paid")
    columns = {name: pa.array([VISIT[name]] * len(sums), pa.string()) for name in VISIT}
    columns |= {
        name: pa.array(values, pa.string()) for name, values in zip(names, zip(*sums, strict=True), strict=True)
    }
    found = judge.judge(columns)
    assert [(one.rows.tolist(), one.reason) for one in found] == [([1], rules.CROSS_FIELD)]


def test_a_sum_over_columns_of_unlike_scales_is_exact() -> None:
    scales = {"total_amount": 0, "insurance_paid": 0, "patient_paid": 4}
    shape = contract.load("health_visit")
    columns = tuple(replace(one, scale=scales.get(one.name, one.scale)) for one in shape.columns)
    judge = Rules(replace(shape, columns=columns), PERIOD, AREAS)

    def told(total: str, insurance: str, patient: str) -> list[str]:
        row = {**VISIT, "total_amount": total, "insurance_paid": insurance, "patient_paid": patient}
        found = judge.judge({name: pa.array([text], pa.string()) for name, text in row.items()})
        return [one.reason for one in found]

    assert told("900000000000001", "900000000000000", "1") == []
    assert told("900000000000001", "900000000000000", "0.9984") == ["cross_field"]


def test_a_pattern_in_python_s_own_syntax_judges_by_python() -> None:
    shape = contract.load("health_visit")
    columns = tuple(replace(one, pattern="V[0-9]++") if one.name == "visit_id" else one for one in shape.columns)
    judge = Rules(replace(shape, columns=columns), PERIOD, AREAS)
    rows = {name: pa.array([text] * 2, pa.string()) for name, text in VISIT.items()}
    found = judge.judge(rows | {"visit_id": pa.array(["V1", "X1"])})
    assert [(one.reason, one.rows.tolist()) for one in found] == [("pattern", [1])]
