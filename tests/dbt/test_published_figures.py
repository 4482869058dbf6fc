"""The register of printed figures: each verdict follows from the numbers, by a rule a reader can check in the head."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from p06 import marts, published_figure
from p06.cli import app
from p06.errors import P06Error
from p06.settings import settings
from tests.dbt.hand_staged import Row, Warehouse

Register = Callable[..., None]
AN, BE = 1190000001, 1190000002
BASE = {
    "name_en": "a", "name_vi": "b", "printed": "c", "unit": "person", "document": "900", "as_of": "2024-01-31",
    "as_of_is": "stated", "period": "2024-01", "area_level": "nation", "area_code": "VN",
}  # fmt: skip


@pytest.fixture
def register(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Register:
    """Replaces the register of printed figures by the rows given; a row states only what matters."""
    copy = tmp_path / "dbt_project"
    shutil.copytree(settings().dbt_project, copy)
    monkeypatch.setenv("P06_DBT_PROJECT", str(copy))
    path = copy / "seeds" / "published_figure.csv"
    columns = path.read_text("utf-8").splitlines()[0].split(",")

    def write(*rows: Row) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(BASE | row for row in rows)
        marts.sync()

    return write


@pytest.fixture(autouse=True)
def as_shipped(warehouse: Warehouse) -> None:
    """The shipped register, whatever the test before wrote."""
    marts.sync()


@pytest.mark.parametrize(
    ("text", "low", "high", "step"),
    [
        ("72,847", "72847", "72847", "1"),
        ("99.8 %", "99.75", "99.85", "0.1"),
        ("100 %", "99.5", "100.5", "1"),
        ("17.1 M", "17050000", "17150000", "100000"),
        ("> 24,200", "24200", "24300", "1"),
        ("< 15 M", "14000000", "15000000", "1000000"),
        ("~ 75 %", "74", "76", "1"),
    ],
)
def test_a_printed_number_stands_for_all_that_are_printed_so(text: str, low: str, high: str, step: str) -> None:
    found = published_figure.number(text)
    assert (found.low, found.high, found.step) == (Decimal(low), Decimal(high), Decimal(step))


@pytest.mark.parametrize("text", ["", "1.234,5", "72.847,0", "17.1M", "12,34", "-5", "a few"])
def test_what_is_no_printed_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="as reports print it"):
        published_figure.number(text)


# Of rows: what is printed, and rule, verdict and computed value that follow.
RULES: list[tuple[Row, str, str, str | None]] = [
    ({"numerator": "2", "denominator": "3", "percent": "66.67 %"}, "share", "match", "66.666667"),
    ({"numerator": "2", "denominator": "3", "percent": "66.66 %"}, "share", "truncation", "66.666667"),
    ({"numerator": "2", "denominator": "3", "percent": "66.68 %"}, "share", "discrepancy", "66.666667"),
    ({"numerator": "2", "denominator": "3"}, "share", "derived", "66.666667"),
    # 3.3 and 6.4 may be 3.34 and 6.44: 9.78, printed 9.8
    ({"total": "9.8 M", "parts": "3.3 M+6.4 M", "parts_are_all": "yes"}, "sum", "match", "9700000"),
    ({"total": "9.8 M", "parts": "3.3 M+6.2 M", "parts_are_all": "yes"}, "sum", "discrepancy", "9500000"),
    ({"total": "10", "parts": "3+6", "parts_are_all": "yes"}, "sum", "discrepancy", "9"),
    ({"total": "10", "parts": "3+6", "parts_are_all": "no"}, "part_sum", "derived", "9"),
    ({"total": "10", "parts": "5+6", "parts_are_all": "no"}, "part_sum", "discrepancy", "11"),
    ({"parts": "3+6", "parts_are_all": "yes"}, "sum", "derived", "9"),
    # 9.6 give or take 0.1, the root of four times 0.05 squared, and not four times 0.05
    ({"total": "9.8 M", "parts": "2.4 M+2.4 M+2.4 M+2.4 M", "parts_are_all": "yes"}, "sum", "discrepancy", "9600000"),
    # 3.25 and 6.55 would be 9.80, and stay below 9.85
    ({"total": "9.8 M", "parts": "3.3 M+6.6 M", "parts_are_all": "no"}, "part_sum", "derived", "9900000"),
    # half of a rounded half: 15 of 30 may be 14.5 of 30.5 to 15.5 of 29.5
    ({"numerator": "15 M", "denominator": "30 M", "percent": "51 %"}, "share", "match", "50"),
    ({"numerator": "15 M", "denominator": "30 M", "percent": "53 %"}, "share", "discrepancy", "50"),
    # an exact number of a rounded one: 49.2 to 50.8
    ({"numerator": "15,000,000", "denominator": "30 M", "percent": "51 %"}, "share", "match", "50"),
    ({"percent": "60 %", "change": "20 %", "readings": "points|relative"}, "change", "ambiguous", None),
    ({"percent": "60 %", "change": "20 %", "readings": "points"}, "change", "derived", "40"),
    ({"percent": "60 %", "change": "20 %", "readings": "relative"}, "change", "derived", "50"),
    # read either way the month before was 99.9 %, give or take what rounding hides
    ({"percent": "100.0 %", "change": "0.1 %", "readings": "points|relative"}, "change", "derived", None),
    ({"total": "9", "readings": "a|b"}, "reading", "ambiguous", None),
    ({"total": "9", "readings": "a"}, "none", "not_available", None),
    ({"percent": "45.07 %"}, "none", "not_available", None),
]


def test_each_rule_gives_its_verdict(warehouse: Warehouse, register: Register) -> None:
    register(*({"figure_id": f"{number:03}"} | row for number, (row, *_) in enumerate(RULES)))
    found = warehouse.rows(
        "select rule, verdict, computed_value::text from marts.published_comparison where comparison = 'printed' order by figure_id"
    )
    assert found == [tuple(expected) for _, *expected in RULES]


def test_a_printed_figure_is_compared_with_what_the_warehouse_publishes(
    warehouse: Warehouse, register: Register
) -> None:
    card = {"id_card_issued_on": "2020-01-01"}
    # an earlier release of the month said otherwise
    warehouse.register("2024-01", {"citizen_id": AN})
    warehouse.sector(
        "bank_kyc", "2024-01", {"institution_code": "B9", "customer_ref": "9", "institution_kind": "credit_institution"}
    )
    warehouse.build("2024-01", test=False)
    warehouse.register("2024-01", {"citizen_id": AN} | card, {"citizen_id": BE} | card, {"citizen_id": BE + 1})
    files = [
        {"institution_code": name, "customer_ref": str(number), "institution_kind": kind, "channel": "app",
         "biometric_match": "matched", "account_status": "active"}
        for number, (name, kind) in enumerate(
            [("B1", "credit_institution"), ("B1", "credit_institution"), ("B2", "credit_institution"), ("V1", "payment_intermediary")]
        )
    ]  # fmt: skip
    warehouse.sector("bank_kyc", "2024-01", *files)
    assert warehouse.build("2024-01") == []
    rate = {"indicator_code": "id_card_rate"}
    register(
        {"figure_id": "a", "percent": "66.67 %"} | rate,
        {"figure_id": "b", "percent": "66.6 %"} | rate,
        {"figure_id": "c", "percent": "70 %"} | rate,
        {"figure_id": "d", "numerator": "200", "denominator": "300"} | rate,
        {"figure_id": "e", "numerator": "2", "denominator": "3", "area_level": "district", "area_code": "001"} | rate,
        {"figure_id": "f", "percent": "66.67 %", "period": "2024-02"} | rate,
        {"figure_id": "g", "percent": "66.67 %", "area_level": "province", "area_code": "02"} | rate,
        {"figure_id": "h", "total": "4", "indicator_code": "kyc_records"},
        {"figure_id": "i", "total": "3", "indicator_code": "kyc_credit_institutions"},
        {"figure_id": "j", "total": "1", "indicator_code": "kyc_payment_intermediaries"},
        {"figure_id": "k", "total": "1"},
        {"figure_id": "l", "percent": "70 %", "numerator": "2", "denominator": "3"}
        | rate,  # what is printed is compared
    )
    found = warehouse.rows(
        "select figure_id, rule, verdict, computed_value::text, difference::text from marts.published_comparison"
        " where comparison = 'warehouse' order by figure_id"
    )
    assert found == [
        ("a", "indicator", "match", "66.666667", "-0.003333"),
        ("b", "indicator", "truncation", "66.666667", "0.066667"),
        ("c", "indicator", "discrepancy", "66.666667", "-3.333333"),
        ("d", "indicator", "match", "66.666667", "0"),
        ("e", "indicator", "match", "66.666667", "0"),
        ("f", "none", "not_available", None, None),
        ("g", "none", "not_available", None, None),
        ("h", "count", "match", "4", "0"),
        ("i", "count", "discrepancy", "2", "-1"),
        ("j", "count", "match", "1", "0"),
        ("k", "none", "not_available", None, None),
        ("l", "indicator", "discrepancy", "66.666667", "-3.333333"),
    ]
    assert warehouse.rows("select indicator_code, area_level, value, unit from marts.indicator_count order by 1") == [
        ("kyc_credit_institutions", "nation", 2, "institution"), ("kyc_payment_intermediaries", "nation", 1, "institution"),
        ("kyc_records", "nation", 4, "file"),
    ]  # fmt: skip


# The verdicts on the figures of the five reports, as a reader with a pencil comes to them.
REPORTS = {
    "000a": ("match", "99.795879"),
    "001a": ("derived", "59.210526"),
    "001b": ("not_available", None),
    "001b.credit": ("not_available", None),
    "001b.entities": ("derived", "42"),
    "001b.payment": ("not_available", None),
    "001c": ("match", "9800000"),
    "001c.over_6": ("not_available", None),
    "001c.under_6": ("not_available", None),
    "001d": ("not_available", None),
    "001d.dna": ("not_available", None),
    "001e": ("match", "9"),
    "001f": ("derived", "53"),
    "001g": ("match", "14600000"),
    "001h": ("discrepancy", "15.336323"),
    "001i": ("ambiguous", None),
    "001j": ("ambiguous", None),
    "001k": ("derived", "65.390071"),
    "001k.districts": ("discrepancy", "704"),
    "001k.parcels": ("not_available", None),
    "001l": ("derived", "47.826087"),
    "002a": ("truncation", "70.127796"),
    "002b": ("match", "44938"),
    "002b.pending": ("not_available", None),
    "002b.processed": ("not_available", None),
    "002c": ("derived", "71.529663"),
    "002d": ("ambiguous", None),
    "003a": ("match", "24211"),
    "003a.hanoi": ("derived", "21.766965"),
    "003b": ("derived", "54.545455"),
    "003b.all": ("derived", "32"),
    "003c": ("not_available", None),
    "003c.residence": ("not_available", None),
    "003c.stay": ("not_available", None),
    "004a": ("match", "100"),
    "004a.ward": ("derived", "10.510605"),
    "004b": ("not_available", None),
    "004c": ("not_available", None),
    "004c.survey": ("not_available", None),
    "004c.target": ("not_available", None),
}


def test_the_verdicts_on_the_reports_come_out(warehouse: Warehouse) -> None:
    found = warehouse.rows(
        "select figure_id, verdict, computed_value::text from marts.published_comparison where comparison = 'printed'"
    )
    assert {figure: tuple(told) for figure, *told in found} == REPORTS


def test_rounding_alone_hardly_explains_the_share_of_civil_status(warehouse: Warehouse) -> None:
    told = "select computed_low, computed_high, likely_error, printed_low, printed_high, difference from marts.published_comparison where figure_id = '001h' and comparison = 'printed'"
    [(low, high, error, printed_low, printed_high, difference)] = warehouse.rows(told)
    assert (round(low, 3), round(high, 3)) == (Decimal("15.285"), Decimal("15.388"))
    assert low < printed_low < high < printed_high  # only with both numbers at their ends together
    assert Decimal("15.336323") + error < printed_low
    assert round(difference, 2) == Decimal("-0.05")


def test_both_readings_of_a_change_are_told(warehouse: Warehouse) -> None:
    [(low, high)] = warehouse.rows(
        "select computed_low, computed_high from marts.published_comparison where figure_id = '002d' and comparison = 'printed'"
    )
    assert (low, round(high, 2)) == (Decimal("74.12"), Decimal("77.23"))


def test_a_rate_without_a_denominator_stays_a_rate_without_one(warehouse: Warehouse) -> None:
    assert warehouse.rows(
        "select percent, numerator, denominator from marts.published_figure where figure_id = '004c'"
    ) == [(Decimal("45.07"), None, None)]


def test_a_register_that_cannot_be_read_names_the_line(warehouse: Warehouse, register: Register) -> None:
    with pytest.raises(P06Error) as raised:
        register({"figure_id": "a", "total": "9"}, {"figure_id": "b", "total": "nine"})
    assert (raised.value.code, raised.value.where) == (
        "P06-BUILD-007",
        {"file": "seeds/published_figure.csv", "line": 3},
    )
    assert warehouse.rows("select count(*) from marts.published_figure") == [(len(REPORTS),)]


def test_another_printed_figure_makes_no_month_outdated(register: Register) -> None:
    from p06 import build

    before = build.model_hash()
    register({"figure_id": "a", "total": "9"})
    assert build.model_hash() == before


def test_a_change_on_the_month_before_and_the_distance_to_the_target_are_told_in_points(
    warehouse: Warehouse, register: Register
) -> None:
    targets = settings().dbt_project / "seeds" / "indicator_target.csv"
    with targets.open("a", encoding="utf-8") as file:
        file.write("id_card_rate,0.4,2025-12-31,900,,\n")
    marts.sync()
    card = {"id_card_issued_on": "2020-01-01"}
    warehouse.register("2024-01", {"citizen_id": AN} | card, *({"citizen_id": BE + n} for n in range(3)))
    assert warehouse.build("2024-01") == []
    warehouse.register("2024-02", {"citizen_id": BE} | card)
    assert warehouse.build("2024-02") == []
    assert warehouse.rows(
        "select period::text, area_code, value::text, previous_value::text, change_points::text, target_points::text"
        " from marts.indicator_change"
        " where indicator_code = 'id_card_rate' order by 1, 2"
    ) == [
        ("2024-01-01", "01", "0.2500000000", None, None, "-15.000000"),
        ("2024-01-01", "VN", "0.2500000000", None, None, "-15.000000"),
        ("2024-02-01", "01", "0.5000000000", "0.2500000000", "25.000000", "10.000000"),
        ("2024-02-01", "VN", "0.5000000000", "0.2500000000", "25.000000", "10.000000"),
    ]  # fmt: skip


def test_the_command_line_lists_a_report_and_what_becomes_of_it(warehouse: Warehouse) -> None:
    listed = CliRunner().invoke(app, ["figures", "002", "--verdict", "truncation"])
    assert listed.stdout.splitlines()[1:] == [
        "002a\t1,317 of 1,878 services (70.12 %)\tnumbers printed beside it\ttruncation\t70.127796\t0.007796"
    ]
    found = json.loads(CliRunner().invoke(app, ["figures", "--verdict", "ambiguous", "--json"]).stdout)
    assert [one["figure_id"] for one in found] == ["001i", "001j", "002d"]
    assert CliRunner().invoke(app, ["figures", "--verdict", "wrong"]).exit_code == 2
