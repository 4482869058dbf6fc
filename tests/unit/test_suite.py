"""Suites and waivers as files: what is refused, what is inherited, what moves the key."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from p06 import contract, gate, profile, suite
from p06.cli import app
from p06.dimension import DIMENSIONS
from p06.period import Period
from p06.settings import settings

CHECK = """
  - id: rows_present
    title: {en: Rows, vi: Dòng}
    dimension: du
    severity: block
    reason: because
    expectation: expect_table_row_count_to_be_between
    kwargs: {min_value: 1}
"""
VIETNAMESE = re.compile(r"[ăâđêôơưàáảãạằắẳẵặầấẩẫậèéẻẽẹềếểễệìíỉĩịòóỏõọồốổỗộờớởỡợùúủũụừứửữựỳýỷỹỵ]", re.IGNORECASE)
SHIPPED = settings().root / "expectations"
JANUARY = Period(2024, 1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own copy of the shipped expectations."""
    shutil.copytree(SHIPPED, tmp_path / "expectations")
    monkeypatch.setenv("P06_EXPECTATIONS", str(tmp_path / "expectations"))
    return tmp_path / "expectations"


def write_source(folder: Path, checks: str, head: str = "owner: someone\n") -> None:
    (folder / "sources" / "mine.yaml").write_text(f"source: mine\n{head}checks:{checks}", encoding="utf-8")


def refusal(folder: Path, checks: str, head: str = "owner: someone\n") -> suite.SuiteError:
    write_source(folder, checks, head)
    with pytest.raises(suite.SuiteError) as caught:
        suite.load_source("mine")
    return caught.value


@pytest.mark.parametrize("source", sorted(contract.load_all()))
def test_every_source_has_a_suite_whose_checks_say_what_they_weigh(source: str) -> None:
    loaded = suite.load_source(source)
    assert {"counts_add_up", "rows_present", "quarantined_share"} <= {check.id for check in loaded.checks}
    for check in loaded.checks:
        assert check.owner.startswith("quality-")
        assert check.reason
        assert check.title["vi"] != check.title["en"]


LOADED = suite.load_all()


def test_every_suite_is_there_and_no_check_is_named_twice_in_one() -> None:
    assert [loaded.name for loaded in LOADED if loaded.kind == "source"] == sorted(contract.load_all())
    assert [loaded.name for loaded in LOADED if loaded.kind == "mart"] == list(suite.marts())
    for loaded in LOADED:
        assert len({check.id for check in loaded.checks}) == len(loaded.checks) > 0


@pytest.mark.parametrize("loaded", LOADED, ids=[loaded.name for loaded in LOADED])
def test_every_check_says_in_both_languages_what_it_asks_why_how_much_it_weighs_and_who_answers(
    loaded: suite.Suite,
) -> None:
    measures = {measure.measure for measure in profile.measures(loaded)}
    for check in loaded.checks:
        assert check.dimension in DIMENSIONS
        assert check.severity in ("block", "warn", "info")
        assert check.owner == "data-engineering" or check.owner.startswith("quality-")
        for words in (check.title, check.reason):
            assert len(words["en"]) > 10
            assert VIETNAMESE.search(words["vi"]), (check.id, words)
        assert check.threshold({"contract.min_rows": 1, "contract.max_rows": 9}), check.id
        if check.history:
            assert check.severity != "block"
            assert {check.history.of} - {None} <= measures, check.id
            of_contract = check.history.measure in ("code.*", "magnitude.*")
            assert of_contract or check.history.measure in measures, check.id


def test_the_six_words_are_those_of_the_runbook() -> None:
    text = (settings().root / "docs" / "runbooks" / "checks.md").read_text(encoding="utf-8")
    for name, word in DIMENSIONS.items():
        assert f"| {word.vi} · {word.en} | `{name}` | {word.meaning_en} | {', '.join(word.iso)} |" in text


def test_a_reason_in_one_language_stands_for_both_and_half_a_pair_is_refused(folder: Path) -> None:
    write_source(folder, CHECK)
    assert suite.load_source("mine").checks[0].reason == {"en": "because", "vi": "because"}
    assert refusal(folder, CHECK.replace("because", "{en: because}")).where["field"] == "reason"


COMPARED = """
  - id: volume_steady
    title: {en: Rows, vi: Dòng}
    dimension: du
    severity: warn
    reason: because
    history: {measure: rows, test: band}
    max: 6
"""


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("severity: warn", "severity: block", "severity"),
        ("test: band", "test: guess", "test"),
        ("test: band", "test: band, most: 3", "most"),
        ("test: band", "test: drift, of: all", "of"),
        ("test: band", "test: band, least: -1", "least"),
        ("max: 6", "names: select 1\n    max: 6", "names"),
        ("    max: 6\n", "", "min, max"),
    ],
)
def test_a_malformed_comparison_is_refused_by_name(folder: Path, old: str, new: str, field: str) -> None:
    path = folder / "marts" / "fct_bank_kyc.yaml"
    good = path.read_text(encoding="utf-8")
    path.write_text(good + COMPARED, encoding="utf-8")
    assert suite.load_mart("fct_bank_kyc").checks[-1].id == "volume_steady"
    path.write_text(good + COMPARED.replace(old, new), encoding="utf-8")
    with pytest.raises(suite.SuiteError) as caught:
        suite.load_mart("fct_bank_kyc")
    assert (caught.value.code, caught.value.where["field"]) == ("P06-GATE-002", field)


def test_an_extract_is_never_compared_with_other_months(folder: Path) -> None:
    assert refusal(folder, COMPARED).where["field"] == "expectation, measure, figure or sql"
    assert refusal(folder, CHECK, "owner: someone\nprofile: {rows: {}}\n").where["field"] == "profile"


@pytest.mark.parametrize(
    "entry",
    ["{key: full_name}", "{key: birth_date}", "{key: 'left(citizen_id, 3)'}", "{value: max(citizen_id)}"],
)
def test_a_profile_that_would_keep_an_identity_is_refused(folder: Path, entry: str) -> None:
    path = folder / "marts" / "match_summary.yaml"
    good = path.read_text(encoding="utf-8")
    path.write_text(good + "profile:\n  m: {key: extract(day from birth_date)}\n", encoding="utf-8")
    assert suite.load_mart("match_summary").profile[0].measure == "m"
    path.write_text(good + f"profile:\n  m: {entry}\n", encoding="utf-8")
    with pytest.raises(suite.SuiteError, match="P06-GATE-005"):
        suite.load_mart("match_summary")


def test_names_of_what_is_to_blame_are_never_those_of_people(folder: Path) -> None:
    asked = (
        CHECK.split("    expectation")[0] + "    measure: count(*)\n    max: 1\n    names: select NAMED from {rows}\n"
    )
    assert refusal(folder, asked.replace("NAMED", "full_name")).code == "P06-GATE-005"
    write_source(folder, asked.replace("NAMED", "commune_code"))
    assert suite.load_source("mine").checks[0].names


def test_every_fact_of_a_contract_has_a_suite_and_names_its_source() -> None:
    facts = {known.mart: known.source for known in contract.load_all().values() if known.mart}
    assert facts == {mart: suite.load_mart(mart).of_source for mart in suite.marts() if mart.startswith("fct_")}
    assert set(suite.marts()) - set(facts) == {
        "citizen_month",
        "dim_citizen",
        "identity_finding",
        "indicator",
        "match_summary",
        "reconciliation",
        "scorecard",
    }


def test_comparisons_with_other_periods_never_block() -> None:
    for mart in suite.marts():
        for check in suite.load_mart(mart).checks:
            if check.history or "{previous." in (check.sql or "") or "{released." in (check.sql or ""):
                assert check.severity == "warn", (mart, check.id)


def test_columns_a_source_suite_names_are_columns_of_its_contract() -> None:
    for source, known in contract.load_all().items():
        names = {column.name for column in known.columns}
        for check in suite.load_source(source).checks:
            used = {value for name, value in (check.kwargs or {}).items() if name.startswith("column")}
            assert used <= names, (source, check.id)


def test_a_suite_may_change_a_shared_check_and_inherits_the_rest(folder: Path) -> None:
    head = "owner: someone\ninclude: [extract]\nchange:\n  quarantined_share: {max: 0.01, owner: other}\n"
    (folder / "sources" / "mine.yaml").write_text(f"source: mine\n{head}", encoding="utf-8")
    checks = {check.id: check for check in suite.load_source("mine").checks}
    assert (checks["quarantined_share"].max, checks["quarantined_share"].owner) == (0.01, "other")
    assert (checks["quarantined_share"].severity, checks["rows_present"].owner) == ("block", "someone")


@pytest.mark.parametrize(
    ("old", "new", "code", "field"),
    [
        ("severity: block", "severity: fatal", "P06-GATE-002", "severity"),
        ("dimension: du", "dimension: complete", "P06-GATE-002", "dimension"),
        ("title: {en: Rows, vi: Dòng}", "title: {en: Rows}", "P06-GATE-002", "title"),
        ("reason: because", "reazon: because", "P06-GATE-002", "reazon"),
        ("kwargs: {min_value: 1}", "min: 1", "P06-GATE-002", "min, max"),
        ("kwargs: {min_value: 1}", "sql: select 1", "P06-GATE-002", "expectation, measure, figure or sql"),
        ("table_row_count_to_be_between", "column_most_common_value_to_be_in_set", "P06-GATE-004", None),
        ("table_row_count_to_be_between", "row_values", "P06-GATE-004", None),
    ],
)
def test_a_malformed_check_is_refused_by_name(folder: Path, old: str, new: str, code: str, field: str | None) -> None:
    error = refusal(folder, CHECK.replace(old, new))
    assert (error.code, error.where.get("field"), error.where["check"]) == (code, field, "rows_present")


def test_a_file_that_is_no_yaml_is_refused_with_its_line(folder: Path) -> None:
    error = refusal(folder, "\n  - id: [")
    assert (error.code, error.where["file"]) == ("P06-GATE-002", "mine.yaml")
    assert error.where["line"] is not None


def test_a_suite_without_checks_is_refused(folder: Path) -> None:
    assert refusal(folder, " []").where["field"] == "checks"


def test_a_missing_suite_is_named(folder: Path) -> None:
    with pytest.raises(suite.SuiteError) as caught:
        suite.load_source("nobody")
    assert (caught.value.code, caught.value.where) == ("P06-GATE-001", {"source": "nobody"})


def test_two_checks_with_one_id_are_refused(folder: Path) -> None:
    assert refusal(folder, CHECK + CHECK).code == "P06-GATE-003"


@pytest.mark.parametrize(
    "question",
    [
        "expectation: expect_column_max_to_be_between\n    kwargs: {column: citizen_id, max_value: 1}",
        "expectation: expect_column_mean_to_be_between\n    kwargs: {column: birth_date, max_value: 1}",
        "measure: max(citizen_id)\n    max: 1",
        "sql: select min( r.birth_date) from {rows} as r\n    max: 1",
        "measure: count(*)\n    max: 1\n    unless: string_agg(full_name, ',') > 'a'",
    ],
)
def test_a_check_that_would_show_an_identity_is_refused(folder: Path, question: str) -> None:
    asked = CHECK.split("    expectation")[0] + f"    {question}\n"
    assert refusal(folder, asked).code == "P06-GATE-005"


def test_a_place_the_gate_does_not_know_is_refused(folder: Path) -> None:
    asked = CHECK.split("    expectation")[0] + "    sql: select count(*) from {previous.rows}\n    max: 1\n"
    assert refusal(folder, asked).code == "P06-GATE-006"


def test_no_waiver_is_shipped() -> None:
    assert suite.waivers() == ()


WAIVER = """waivers:
- source: land_parcel
  periods: 2024-01..2024-02
  reason: The system is being replaced
  owner: quality-land
  until: 2024-06-30
"""


def test_a_source_waiver_holds_for_its_periods_until_its_last_day(folder: Path) -> None:
    (folder / "waivers.yaml").write_text(WAIVER, encoding="utf-8")
    last = date(2024, 6, 30)
    held = suite.source_waived("land_parcel", JANUARY, today=last)
    assert held is not None
    assert held.named == "quality-land, 2024-06-30: The system is being replaced"
    assert suite.source_waived("land_parcel", JANUARY.shift(1), today=last)
    assert suite.source_waived("land_parcel", JANUARY.shift(2), today=last) is None
    assert suite.source_waived("bank_kyc", JANUARY, today=last) is None
    assert suite.source_waived("land_parcel", JANUARY, today=date(2024, 7, 1)) is None
    assert suite.source_waived("land_parcel", JANUARY) is None, "by today's calendar it has run out"


def test_a_check_waiver_waives_no_source(folder: Path) -> None:
    text = WAIVER.replace("  periods", "  check: rows_present\n  periods").replace("2024-06-30", "2999-12-31")
    (folder / "waivers.yaml").write_text(text, encoding="utf-8")
    assert suite.source_waived("land_parcel", JANUARY) is None
    assert suite.check_waived("source", "land_parcel", "rows_present", JANUARY, None)
    assert suite.check_waived("mart", "land_parcel", "rows_present", JANUARY, None) is None


def test_a_check_waiver_is_void_once_its_count_is_exceeded(folder: Path) -> None:
    text = WAIVER.replace("  periods", "  check: c\n  count: 3\n  periods").replace("2024-06-30", "2999-12-31")
    (folder / "waivers.yaml").write_text(text, encoding="utf-8")
    assert suite.check_waived("source", "land_parcel", "c", JANUARY, 3)
    assert suite.check_waived("source", "land_parcel", "c", JANUARY, 3.5) is None
    assert suite.check_waived("source", "land_parcel", "c", JANUARY, None) is None


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("until: 2024-06-30", "until: summer", "until"),
        ("  until: 2024-06-30\n", "", "until"),
        ("2024-01..2024-02", "2024-13", "periods"),
        ("2024-01..2024-02", "2024-02..2024-01", "periods"),
        ("reason: The system is being replaced", "reason: ''", "reason"),
        ("owner: quality-land", "owner: 7", "owner"),
        ("source: land_parcel", "mart: fct_land_holding", "check"),
        ("source: land_parcel", "source: '*'", "source"),
        ("owner:", "ownr:", "ownr"),
    ],
)
def test_a_malformed_waiver_is_refused_by_name(folder: Path, old: str, new: str, field: str) -> None:
    (folder / "waivers.yaml").write_text(WAIVER.replace(old, new), encoding="utf-8")
    with pytest.raises(suite.SuiteError) as caught:
        suite.waivers()
    assert (caught.value.code, caught.value.where["field"]) == ("P06-GATE-007", field)


def test_the_key_of_a_source_changes_with_its_suite_and_waivers_and_with_no_other(folder: Path) -> None:
    before = {source: gate.source_key(source) for source in ("health_visit", "land_parcel")}
    path = folder / "sources" / "health_visit.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("50000000", "60000000"), encoding="utf-8")
    assert gate.source_key("health_visit") != before["health_visit"]
    assert gate.source_key("land_parcel") == before["land_parcel"]
    marts = gate.marts_key()
    text = WAIVER.replace("  periods", "  check: rows_present\n  periods")
    (folder / "waivers.yaml").write_text(text, encoding="utf-8")
    assert gate.source_key("land_parcel") != before["land_parcel"]
    assert gate.marts_key() == marts


def test_the_key_of_the_marts_changes_with_a_suite_a_shared_list_and_a_waiver(folder: Path) -> None:
    keys = [gate.marts_key()]
    for name in ("marts/indicator.yaml", "shared/fact.yaml"):
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8").replace("max: 6", "max: 7"), encoding="utf-8")
        keys.append(gate.marts_key())
    (folder / "waivers.yaml").write_text(
        WAIVER.replace("source: land_parcel", "mart: indicator\n  check: change_small"), encoding="utf-8"
    )
    keys.append(gate.marts_key())
    (folder / "marts" / "match_summary.yaml").unlink()
    keys.append(gate.marts_key())
    assert len(set(keys)) == len(keys)


def test_of_a_figure_that_is_too_low_the_count_is_the_lowest_it_covers(folder: Path) -> None:
    text = WAIVER.replace("source: land_parcel", "mart: fct_bank_kyc\n  check: match_rate\n  count: 0.8")
    (folder / "waivers.yaml").write_text(re.sub(r"until: .*", "until: 2999-12-31", text), encoding="utf-8")
    asked = ("mart", "fct_bank_kyc", "match_rate", JANUARY)
    assert suite.check_waived(*asked, 0.85, too_low=True)
    assert suite.check_waived(*asked, 0.2, too_low=True) is None
    assert (suite.waiver_lapsed(*asked, 0.2, too_low=True) or "").startswith("exceeded 0.8: ")
    assert suite.waiver_lapsed(*asked, 0.85, too_low=True) is None


def test_the_list_of_checks_tells_every_field_of_every_check() -> None:
    told = json.loads(CliRunner().invoke(app, ["checks", "--json"], catch_exceptions=False).stdout)
    assert len(told) == sum(len(loaded.checks) for loaded in LOADED)
    assert all(one["reason"]["vi"] and one["title"]["vi"] and one["iso_25012"] and one["owner"] for one in told)
    some = CliRunner().invoke(app, ["checks", "indicator"], catch_exceptions=False).stdout.splitlines()
    assert len(some) == 1 + len(suite.load_mart("indicator").checks)
