"""Both gates on a real database: every shipped check fails on what it must, and on nothing in a normal month."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from sqlalchemy import Engine, event

from p06 import codelist, contract, database, expectation, gate, profile, suite
from p06.period import Period
from p06.settings import settings
from tests.passed import let_pass

SHIPPED = Path(__file__).resolve().parents[2] / "expectations"
# The others are in test_gate_registers.py.
FIRST = ("bank_kyc", "education_enrolment", "health_visit", "land_parcel", "population_register",
         "social_security_participation")  # fmt: skip
JANUARY = Period(2024, 1)
ROWS = 6000
CANARY_ID = 99187654321
CANARY_NAME = "Nguyễn Thị Chim Yến"

# Two communes of each of the 63 provinces.
_BY_PROVINCE: dict[str, list[str]] = {}
for _commune, _province in sorted(codelist.provinces(date(2025, 3, 1)).items()):
    _BY_PROVINCE.setdefault(_province, []).append(_commune)
COMMUNE = f"(array{[code for codes in _BY_PROVINCE.values() for code in codes[:2]]})[1 + g % 126]"

# How a good row number g looks, where the column's kind does not say it.
VALUES = {
    # Hà Nội, sex and birth year as in the columns below
    "citizen_id": "1000000000 + g % 1000000 + (extract(year from date '1950-01-05' + g % 20000)::bigint % 100) * 1000000"
    " + (g % 2 + case when date '1950-01-05' + g % 20000 >= '2000-01-01' then 2 else 0 end) * 100000000::bigint",
    "old_id": "null::text",
    "previous_citizen_id": "null::bigint",
    "full_name": "'Nguyễn Văn ' || chr(97 + g % 26) || chr(97 + g / 26 % 26)",
    "birth_date": "date '1950-01-05' + g % 20000",
    "sex": "(array['M', 'F'])[1 + g % 2]",
    "death_date": "null::date",
    "status": "'alive'",
    "record_op": "'upsert'",
    "enrolment_status": "'studying'",
    "residence_commune_code": COMMUNE,
    "commune_code": COMMUNE,
    "level": "(array['primary', 'lower_secondary', 'upper_secondary', 'university'])[1 + g % 4]",
    "grade": "(array[3, 7, 11, null])[1 + g % 4]",
    "object_code": "'GD'",
    "certificate_serial": "'BA' || g",
    "certificate_issued_on": "date '2020-01-05'",
    "id_card_issued_on": "date '2022-01-05'",
    "facility_code": "lpad((g % 40)::text, 2, '0') || '001'",
    "institution_code": "'B' || g % 20",
    "admitted_at": "timestamptz '2024-01-10 09:00+07'",
    "discharged_at": "timestamptz '2024-01-12 09:00+07'",
    "matched_at": "case when g % 3 < 2 then timestamptz '2024-01-12 09:00+07' end",
    "updated_at": "timestamptz '2024-01-31 23:00+07' - g % 20 * interval '1 day'",
    "total_amount": "300000",
    "insurance_paid": "240000",
    "patient_paid": "60000",
    "social_insurance_no": "lpad(g::text, 10, '0')",
    "insurance_card_no": "'GD401' || lpad(g::text, 10, '0')",
    "card_valid_from": "date '2024-01-01'",
    "card_valid_to": "date '2024-12-31'",
    "area_m2": "120.5",
    "contribution_amount": "300000",
    "share_percent": "100",
}


def first_contracts(folder: Path) -> Path:
    """The contracts of the first sources alone, with every code list."""
    shutil.copytree(SHIPPED.parent / "contracts", folder / "contracts")
    for path in (folder / "contracts").glob("*.odcs.yaml"):
        if path.name.removesuffix(contract.SUFFIX) not in FIRST:
            path.unlink()
    return folder / "contracts"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A warehouse of its own, of the first sources: what is asked of a fact is asked of five, not of nineteen."""
    folder = tmp_path_factory.mktemp("gates") / "home"
    patch = pytest.MonkeyPatch()
    patch.setenv("P06_HOME", str(folder))
    patch.setenv("P06_CONTRACTS", str(first_contracts(folder.parent)))
    patch.delenv("P06_DATABASE_URL", raising=False)
    settings.cache_clear()
    database.ensure_running()
    yield folder
    database.stop()
    patch.undo()
    settings.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own copy of the shipped expectations."""
    shutil.copytree(SHIPPED, tmp_path / "expectations")
    monkeypatch.setenv("P06_EXPECTATIONS", str(tmp_path / "expectations"))
    return tmp_path / "expectations"


def failed(verdict: gate.Verdict) -> set[str]:
    return {result.check for result in verdict.results if not result.success}


def column(known: contract.Column, values: Mapping[str, str] = VALUES) -> str:
    """The SQL of one column of good rows."""
    if known.name in values:
        return values[known.name]
    if known.kind == "enum":
        values = ", ".join(f"'{value}'" for value in known.values)
        return f"(array[{values}])[1 + g % {len(known.values)}]"
    return {
        "integer": "1 + g % 5",
        "numeric": "1",
        "date": "date '2020-01-05'",
        "timestamp": "timestamptz '2024-01-31 23:00+07'",
    }.get(known.kind, f"'{known.name[:3]}' || g")


class Stage:
    """Stages extracts as the loader leaves them: a leaf, a row of the ledger, references of failed rows."""

    def __init__(
        self, connection: psycopg.Connection[Any], values: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self.connection = connection
        self.values = values or {}  # source -> columns whose good rows look another way than VALUES
        self.number = 0

    def extract(
        self,
        source: str,
        rows: int = ROWS,
        change: str = "",
        ledger: str = "",
        failures: str = "",
        blamed: str = "c",
    ) -> str:
        """A good extract, then ``change`` done to its {leaf}, ``ledger`` to its row, ``failures`` added for it."""
        known = contract.load(source)
        self.number += 1
        extract_id = f"{self.number:08x}{source}"
        leaf = f"{source}__202401__{self.number:08x}"
        values = VALUES | self.values.get(source, {})
        columns = ", ".join(f"({column(c, values)})::{c.sql_type} as {c.name}" for c in known.columns)
        self.connection.execute(
            f"create table staging.{leaf} as select date '2024-01-01' as period, '{extract_id}' as extract_id,"
            f" 1::smallint as file_no, g + 1 as line, {columns}, md5(g::text)::uuid as record_key"
            f" from generate_series(1, {rows}) as g"
        )
        if change:
            self.connection.execute(change.format(leaf=f"staging.{leaf}"))
        attempt = self.connection.execute(
            "insert into control.load_attempt (source, period, delivery) values (%s, %s, 'd') returning attempt_id",
            (source, JANUARY.first_day),
        ).fetchone()
        self.connection.execute(
            "insert into control.extract (extract_id, source, period, revision, content_hash, admin_code_version,"
            " produced_at, manifest, delivery, contract_version, contract_hash, received, duplicates, quarantined,"
            " staged, staging_table, quarantine_table, attempt_id) values (%s, %s, %s, 1, 'h', '2025-03-01',"
            " '2024-02-02', %s, 'd', '1', 'h', %s, 0, 0, %s, %s, 'q', %s)",
            [
                extract_id,
                source,
                JANUARY.first_day,
                json.dumps({"files": [{"rows": rows}]}),
                rows,
                rows,
                leaf,
                *(attempt or ()),
            ],
        )
        if ledger:
            self.connection.execute(f"update control.extract set {ledger} where extract_id = '{extract_id}'")
        if failures:
            self.connection.execute(
                'insert into quality.failed_row (source, period, extract, file_no, line, "column", reason)'
                f" select '{source}', '2024-01-01', '{extract_id}', 1, g, '{blamed}', reason from {failures}"
            )
        return extract_id

    def judge(self, source: str, **what: Any) -> gate.Verdict:
        return gate.judge_extract(contract.load(source), self.extract(source, **what))


@pytest.fixture(scope="module")
def stage(home: Path) -> Iterator[Stage]:
    with database.connect("loader", autocommit=True) as connection:
        yield Stage(connection)


@pytest.mark.parametrize("source", FIRST)
def test_a_good_extract_of_each_of_the_first_sources_passes_clean(stage: Stage, source: str) -> None:
    verdict = stage.judge(source)
    assert (verdict.outcome, failed(verdict)) == ("pass", set())
    assert {result.check for result in verdict.results} == {check.id for check in suite.load_source(source).checks}


def quarantined(count: int, reason: str, received: int = ROWS) -> dict[str, str]:
    return {
        "change": "delete from {leaf} where line <= " + str(count + 1),
        "ledger": f"received = {received}, quarantined = {count}, staged = {received - count}",
        "failures": f"generate_series(2, {count + 1}) as g cross join lateral (values ('{reason}')) as r (reason)",
    }


ABSENT = _BY_PROVINCE["24"][:2]
DEAD = "update {leaf} set status = 'deceased'"
SHARED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "manifest_kept": ({"ledger": 'manifest = \'{"files": [{"rows": 9}]}\''}, set()),
    "staging_complete": ({"change": "delete from {leaf} where line = 7"}, set()),
    "quarantined_share": (quarantined(1300, "type"), {"quarantined_few", "no_reason_frequent"}),
    "quarantined_few": (quarantined(400, "r' || g % 3 || '"), set()),
    "leading_zeros_kept": (quarantined(100, "lost_leading_zero"), set()),
    "keys_clear": (quarantined(170, "key_conflict"), set()),
    "codes_listed": (quarantined(170, "unknown_code"), set()),
    "no_reason_frequent": (quarantined(200, "type_date"), set()),
    "updated_in_period": ({"change": "update {leaf} set updated_at = updated_at - interval '31 days'"}, set()),
    "citizen_ids_sound": ({"change": "update {leaf} set citizen_id = 3089000123 where line = 9"}, set()),
    "citizen_ids_damaged": (
        quarantined(250, "r' || g % 3 || '") | {"blamed": "citizen_id"},
        set(),
    ),
    "ids_agree_with_birth": (
        {"change": "update {leaf} set birth_date = birth_date - 400 where line % 10 = 0"},
        set(),
    ),
    "ids_of_others": (
        {"change": "update {leaf} set birth_date = birth_date - 400 where line % 10 < 7"},
        {"ids_agree_with_birth", "ids_agree_everywhere"},
    ),
    "ids_agree_everywhere": (
        # the numbers of one province stand beside other people's days of birth
        {
            "change": "update {leaf} set citizen_id = citizen_id + 37000000000 where line % 40 = 0; update {leaf} set"
            " birth_date = birth_date - 400 where line % 40 = 0"
        },
        set(),
    ),
    "ids_agree_with_sex": ({"change": "update {leaf} set sex = 'F' where line % 10 = 1"}, set()),
    "sexes_not_swapped": (
        {"change": "update {leaf} set sex = case when sex = 'M' then 'F' else 'M' end"},
        {"ids_agree_with_sex"},
    ),
    "birth_dates_kept": (
        {"change": "update {leaf} set birth_date = date_trunc('year', birth_date)"},
        {"birth_dates_not_filled_in"},
    ),
    "births_not_a_day_off": ({"change": "update {leaf} set birth_date = birth_date - 1"}, set()),
    "names_marked": ({"change": "update {leaf} set full_name = 'NGUYEN VAN ' || upper(right(full_name, 2))"}, set()),
    "names_comparable": ({"change": "update {leaf} set full_name = 'X' || line where line % 30 = 0"}, set()),
    "duplicates_few": (
        {
            "change": "delete from {leaf} where line <= 1001",
            "ledger": "duplicates = 1000, staged = 5000",
        },
        set(),
    ),
    "recently_updated": (
        {"change": "update {leaf} set updated_at = updated_at - interval '90 days'"},
        {"updated_in_period"},
    ),
    "changed_at_many_times": ({"change": "update {leaf} set updated_at = '2024-02-01 01:00+07'"}, set()),
    "updated_before_sent": ({"change": "update {leaf} set updated_at = '2024-02-03' where line = 9"}, set()),
    "citizen_id_stated": (
        {"change": "update {leaf} set old_id = '123456789', citizen_id = null where line % 4 = 0"},
        {"matches_numbered"},
    ),
    "some_number_stated": ({"change": "update {leaf} set citizen_id = null where line % 10 = 0"}, set()),
    "birth_dates_plausible": ({"change": "update {leaf} set birth_date = '1899-12-31' where line < 20"}, set()),
    "birth_dates_not_filled_in": (
        {"change": "update {leaf} set birth_date = date_trunc('year', birth_date) where line % 2 = 0"},
        set(),
    ),
    "sex_stated": ({"change": "update {leaf} set sex = 'U' where line % 10 = 0"}, set()),
    "both_sexes_present": (
        {"change": "update {leaf} set sex = 'M', citizen_id = citizen_id - citizen_id / 100000000 % 2 * 100000000"},
        set(),
    ),
}
OWN: dict[tuple[str, str], str] = {
    ("population_register", "communes_covered"): "update {leaf} set residence_commune_code = '00001'",
    (
        "population_register",
        "provinces_present",
    ): f"update {{leaf}} set residence_commune_code = '00001' where residence_commune_code = any(array{ABSENT})",
    ("population_register", "cards_follow_births"): "update {leaf} set id_card_issued_on = birth_date - 1"
    " where line % 10 = 0",
    ("population_register", "accounts_have_cards"): "update {leaf} set id_card_issued_on = null where line % 10 = 0",
    ("population_register", "sexes_even"): "update {leaf} set sex = 'M', citizen_id = citizen_id - 100000000"
    " where line % 10 in (2, 4)",
    (
        "population_register",
        "deaths_of_the_deceased",
    ): "update {leaf} set death_date = '2024-01-02' where line % 10 = 0",
    ("population_register", "living_most"): DEAD + ", death_date = '2024-01-02' where line % 3 > 0",
    ("population_register", "deaths_not_later"): DEAD + ", death_date = '2024-02-02' where line % 10 = 0",
    ("population_register", "cards_seen"): "update {leaf} set id_card_issued_on = null, eid_level = '0'",
    ("population_register", "removals_not_all"): "update {leaf} set record_op = 'remove'",
    ("population_register", "removals_few"): "update {leaf} set record_op = 'remove' where line % 10 = 0",
    ("population_register", "deaths_dated"): DEAD + " where line % 3 = 0",
    ("population_register", "deaths_follow_births"): DEAD + ", death_date = '1949-01-01' where line % 3 = 0",
    ("population_register", "new_numbers_few"): "update {leaf} set previous_citizen_id = 5 where line % 10 = 0",
    ("education_enrolment", "communes_covered"): "update {leaf} set commune_code = '00001'",
    (
        "education_enrolment",
        "provinces_present",
    ): f"update {{leaf}} set commune_code = '00001' where commune_code = any(array{ABSENT})",
    ("education_enrolment", "levels_covered"): "update {leaf} set level = 'primary', grade = 2",
    ("education_enrolment", "grades_fit_levels"): "update {leaf} set grade = 1 where level = 'upper_secondary'",
    ("education_enrolment", "grades_stated"): "update {leaf} set grade = null",
    (
        "education_enrolment",
        "enrolments_once",
    ): "update {leaf} set school_code = 'S' where line < 42; update {leaf} as r"
    " set (citizen_id, birth_date, sex) = (select o.citizen_id, o.birth_date, o.sex from {leaf} as o where o.line ="
    " r.line - 20) where line between 22 and 41",
    ("education_enrolment", "some_studying"): "update {leaf} set enrolment_status = 'graduated'",
    ("health_visit", "admitted_in_the_period"): "update {leaf} set admitted_at = '2023-05-01' where line % 10 = 0",
    (
        "health_visit",
        "visits_of_the_period",
    ): "update {leaf} set admitted_at = '2023-12-05', discharged_at = '2023-12-07'",
    ("health_visit", "admissions_not_later"): "update {leaf} set admitted_at = '2024-02-03', discharged_at = null"
    " where line % 50 = 0",
    ("health_visit", "patients_born"): "update {leaf} set admitted_at = birth_date - 3 where line % 50 = 0",
    ("health_visit", "insured_have_cards"): "update {leaf} set insurance_card_no = null where line % 10 = 0",
    ("health_visit", "cards_sound"): "update {leaf} set insurance_card_no = 'ZZ4' || right(insurance_card_no, 12)"
    " where line % 10 = 0",
    ("health_visit", "discharged_after_admission"): "update {leaf} set discharged_at = '2024-01-01'",
    ("health_visit", "facilities_covered"): "update {leaf} set facility_code = '00001'",
    ("health_visit", "visits_once"): "update {leaf} as r set (citizen_id, birth_date, sex) = (select o.citizen_id,"
    " o.birth_date, o.sex from {leaf} as o where o.line = r.line - 40) where line % 80 = 42",
    ("health_visit", "insurance_pays_part"): "update {leaf} set insurance_paid = total_amount",
    ("health_visit", "amounts_plausible"): "update {leaf} set total_amount = total_amount * 1000, insurance_paid = "
    "insurance_paid * 1000",
    ("social_security_participation", "participation_covered"): "update {leaf} set participation = 'none'",
    ("social_security_participation", "communes_covered"): "update {leaf} set commune_code = '00001'",
    (
        "social_security_participation",
        "provinces_present",
    ): f"update {{leaf}} set commune_code = '00001' where commune_code = any(array{ABSENT})",
    ("social_security_participation", "cards_end_after_they_begin"): "update {leaf} set card_valid_to = '2023-12-31'",
    ("social_security_participation", "cards_sound"): "update {leaf} set insurance_card_no = 'GD403' ||"
    " right(insurance_card_no, 10) where line % 10 = 0",
    ("social_security_participation", "groups_as_on_cards"): "update {leaf} set object_code = 'HN' where line % 10 = 0",
    ("social_security_participation", "contributions_stated"): "update {leaf} set contribution_amount = null",
    ("social_security_participation", "cards_dated"): "update {leaf} set card_valid_from = null",
    ("social_security_participation", "card_ends_in_the_number"): "update {leaf} set social_insurance_no = 'x'",
    ("social_security_participation", "contributions_plausible"): "update {leaf} set contribution_amount ="
    " contribution_amount * 1000",
    ("bank_kyc", "institutions_covered"): "update {leaf} set institution_code = 'B1'",
    ("bank_kyc", "channels_covered"): "update {leaf} set channel = 'app'",
    ("bank_kyc", "matches_dated"): "update {leaf} set matched_at = null",
    ("bank_kyc", "matches_numbered"): "update {leaf} set citizen_id = null, old_id = '123456789'"
    " where biometric_match = 'matched' and line % 8 = 0",
    ("bank_kyc", "undone_undated"): "update {leaf} set matched_at = '2024-01-12' where line % 10 = 0",
    ("bank_kyc", "matches_not_later_than_the_period"): "update {leaf} set matched_at = '2024-02-01'"
    " where matched_at is not null",
    ("land_parcel", "communes_covered"): "update {leaf} set commune_code = '00001'",
    (
        "land_parcel",
        "provinces_present",
    ): f"update {{leaf}} set commune_code = '00001' where commune_code = any(array{ABSENT})",
    ("land_parcel", "groups_covered"): "update {leaf} set data_group = '1'",
    ("land_parcel", "certificates_dated"): "update {leaf} set certificate_issued_on = null where line % 10 = 0",
    ("land_parcel", "certificates_follow_births"): "update {leaf} set certificate_issued_on = birth_date - 1"
    " where line % 10 = 0",
    (
        "land_parcel",
        "clean_parcels_certified",
    ): "update {leaf} set certificate_serial = null, certificate_issued_on = null where data_group = '1'",
    ("land_parcel", "shares_add_up"): "update {leaf} set parcel_id = (line / 2)::text",
    ("land_parcel", "areas_plausible"): "update {leaf} set area_m2 = area_m2 * 1000",
}
# Checks of sources with commune codes: {counts of the extract} -> what fails beside it.
AREAS: dict[str, tuple[dict[str, int], set[str]]] = {
    "area_versions_mixed": ({"other": 301}, {"area_versions_few"}),
    "area_versions_few": ({"other": 7}, set()),
    "area_list_seen": ({"own": 700}, set()),
    "districts_gone": ({"districts": 1, "other": 1}, set()),
}
ELSEWHERE = {"counts_add_up", "rows_present", "volume_in_range"}


@pytest.mark.parametrize("check", sorted(SHARED))
def test_a_shared_check_of_sources_fails_on_what_it_must_and_alone(stage: Stage, check: str) -> None:
    what, besides = SHARED[check]
    verdict = stage.judge("land_parcel" if "sex" in check else "bank_kyc", **what)
    assert failed(verdict) == {check} | besides
    severities = {result.severity for result in verdict.results if result.check == check}
    assert verdict.outcome == ("blocked" if severities == {"block"} else "warnings")


@pytest.mark.parametrize(("source", "check"), sorted(OWN))
def test_a_check_of_one_source_fails_on_what_it_must_and_alone(stage: Stage, source: str, check: str) -> None:
    verdict = stage.judge(source, change=OWN[source, check])
    (severity,) = {asked.severity for asked in suite.load_source(source).checks if asked.id == check}
    # one commune is one province as well, and to remove nearly all is not to remove few
    besides = {"communes_covered": {"provinces_present"}, "removals_not_all": {"removals_few"}}
    assert failed(verdict) == {check} | besides.get(check, set())
    assert verdict.outcome == ("blocked" if severity == "block" else "warnings")


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ("update {leaf} set birth_date = birth_date + 1", False),
        ("update {leaf} set birth_date = birth_date - 1 where line % 3 > 0", False),
        ("update {leaf} set birth_date = birth_date - 1 where line % 10 = 0", True),
        # one person in nine rows, whose number says the year after
        ("update {leaf} set birth_date = '1959-12-31', citizen_id = 1060000001 where line < 11", True),
    ],
)
def test_birth_dates_a_day_off_are_counted_by_citizens_and_from_about_half_of_them_on(
    stage: Stage, change: str, passes: bool
) -> None:
    answers = {result.check: result for result in stage.judge("bank_kyc", change=change).results}
    assert answers["births_not_a_day_off"].success == passes, answers["births_not_a_day_off"].observed


def test_a_failed_check_names_the_province_the_reasons_and_the_column_to_blame(stage: Stage) -> None:
    gone = stage.judge("land_parcel", change=OWN["land_parcel", "provinces_present"])
    listed = stage.judge("bank_kyc", **quarantined(200, "unknown_code") | {"blamed": "channel"})
    told = {r.check: r.observed for r in (*gone.results, *listed.results) if not r.success}
    assert told == {
        "provinces_present": "1; 24",
        "codes_listed": "0.0333333; channel",
        "no_reason_frequent": "0.0333333; unknown_code",
    }


@pytest.mark.parametrize("check", sorted(AREAS))
def test_a_check_of_area_lists_fails_on_what_it_must_and_names_the_other_list(stage: Stage, check: str) -> None:
    counts, besides = AREAS[check]
    told = {"coded": ROWS, "own": 4000, "own_expected": 0.6696, "other": 0, "districts": 0, "likely": "2025-07-01"}
    verdict = stage.judge("land_parcel", ledger=f"area_codes = '{json.dumps(told | counts)}'")
    assert failed(verdict) == {check} | besides
    assert verdict.outcome == ("blocked" if check == "area_versions_mixed" else "warnings")
    observed = next(result.observed for result in verdict.results if result.check == check)
    assert observed is not None and observed.endswith("; 2025-07-01")


def test_a_few_codes_of_another_list_are_chance_and_up_to_fifty_rows_never_stop_a_sender(stage: Stage) -> None:
    told = {"coded": ROWS, "own": 4000, "own_expected": 0.6696, "other": 2, "districts": 0, "likely": "2025-07-01"}
    assert failed(stage.judge("land_parcel", ledger=f"area_codes = '{json.dumps(told)}'")) == set()
    told |= {"coded": 60, "other": 50}
    verdict = stage.judge("land_parcel", rows=60, ledger=f"area_codes = '{json.dumps(told)}'")
    assert (verdict.outcome, failed(verdict)) == ("warnings", {"area_versions_few"})


def test_every_check_of_the_first_sources_has_a_case_here() -> None:
    for source in FIRST:
        known = contract.load(source)
        shipped = {check.id for check in suite.load_source(source).checks}
        areas = AREAS if known.commune_column else {}
        assert shipped == {*SHARED, *ELSEWHERE, *areas, *(check for own, check in OWN if own == source)}


def test_a_count_that_does_not_add_up_is_impossible_in_the_ledger_and_named_by_the_gate(stage: Stage) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        stage.extract("bank_kyc", rows=10, ledger="received = 11")
    with database.connect("admin", autocommit=True) as admin:
        admin.execute("alter table control.extract drop constraint extract_check")
        try:
            verdict = stage.judge("bank_kyc", rows=10, ledger="duplicates = 1")
        finally:
            admin.execute("update control.extract set duplicates = 0 where source = 'bank_kyc' and received = 10")
            admin.execute(
                "alter table control.extract add constraint extract_check"
                " check (received = duplicates + quarantined + staged)"
            )
    assert "counts_add_up" in failed(verdict)
    assert verdict.outcome == "blocked"


def test_an_extract_without_a_good_row_is_blocked(stage: Stage) -> None:
    verdict = stage.judge("bank_kyc", rows=3, **quarantined(3, "type", received=3))
    assert "rows_present" in failed(verdict)
    assert verdict.outcome == "blocked"


def test_the_range_of_the_contract_blocks(stage: Stage) -> None:
    known = contract.load("bank_kyc")
    extract_id = stage.extract("bank_kyc", rows=30)
    assert gate.judge_extract(replace(known, min_rows=30, max_rows=30), extract_id).outcome == "pass"
    low = gate.judge_extract(replace(known, min_rows=31, max_rows=None), extract_id)
    high = gate.judge_extract(replace(known, min_rows=None, max_rows=29), extract_id)
    none = gate.judge_extract(replace(known, min_rows=None, max_rows=None), extract_id)
    assert [(v.outcome, failed(v)) for v in (low, high, none)] == [
        ("blocked", {"volume_in_range"}),
        ("blocked", {"volume_in_range"}),
        ("pass", set()),
    ]
    assert {(r.observed, r.threshold) for r in low.results if r.check == "volume_in_range"} == {("30", "≥ 31")}


def test_a_tiny_extract_with_bad_rows_is_not_blocked(stage: Stage) -> None:
    verdict = stage.judge("bank_kyc", rows=20, **quarantined(12, "type", received=20))
    assert (verdict.outcome, failed(verdict)) == ("warnings", {"quarantined_few", "no_reason_frequent"})


def test_rows_that_wait_for_an_area_list_do_not_count(stage: Stage) -> None:
    assert stage.judge("bank_kyc", **quarantined(3000, "area_list_missing")).outcome == "pass"


def test_answers_are_stored_with_what_they_weigh_and_a_second_judgement_beside_the_first(stage: Stage) -> None:
    extract_id = stage.extract("bank_kyc", change="update {leaf} set channel = 'app'")
    first = gate.judge_extract(contract.load("bank_kyc"), extract_id)
    second = gate.judge_extract(contract.load("bank_kyc"), extract_id)
    assert (first.run, second.run) == (f"extract:{extract_id}", f"extract:{extract_id}#2")
    with database.connect("quality") as reader:
        stored = reader.execute(
            'select source, mart, "check", dimension, severity, success, observed, threshold, owner, extract_id'
            " from quality.check_result where run = %s and not success",
            (first.run,),
        ).fetchall()
        counted = reader.execute(
            "select run, count(*) from quality.check_result where extract_id = %s group by run", (extract_id,)
        ).fetchall()
    assert stored == [
        (
            *("bank_kyc", None, "channels_covered", "du", "warn", False, "1", "≥ 2, unless count(*) < 2000"),
            *("quality-banking", extract_id),
        )
    ]
    assert dict(counted) == {first.run: len(first.results), second.run: len(first.results)}


def ask(folder: Path, source: str, **check: Any) -> None:
    """Add one check to the suite of a source."""
    path = folder / "sources" / f"{source}.yaml"
    stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    title = {"en": "Added", "vi": "Thêm"}
    base = {"id": "added", "title": title, "dimension": "dung", "severity": "warn", "reason": "asked by a test"}
    stated["checks"].append(base | check)
    path.write_text(yaml.safe_dump(stated, allow_unicode=True), encoding="utf-8")


CRASHES: dict[str, dict[str, Any]] = {
    "InvalidTextRepresentation 22P02": {"measure": "count(full_name::int)", "max": 1},
    "UndefinedColumn 42703": {"sql": "select count(nothing) from {rows}", "max": 1},
    "DivisionByZero 22012": {"figure": "received / duplicates", "max": 1},
    "InvalidRegularExpression 2201B": {
        "expectation": "expect_column_values_to_match_regex",
        "kwargs": {"column": "full_name", "regex": "(["},
    },
    "GreatExpectationsError": {
        "expectation": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "nothing"},
    },
    "ValidationError": {"expectation": "expect_column_values_to_not_be_null", "kwargs": {"colunm": "full_name"}},
}


@pytest.mark.parametrize("kind", sorted(CRASHES))
def test_a_check_that_crashes_blocks_alone_and_shows_no_value(
    stage: Stage,
    folder: Path,
    kind: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    ask(folder, "bank_kyc", **CRASHES[kind])
    change = f"update {{leaf}} set citizen_id = {CANARY_ID}, full_name = '{CANARY_NAME}' where line % 2 = 0"
    verdict = stage.judge("bank_kyc", change=change)
    (crashed,) = (result for result in verdict.results if (result.observed or "").startswith("crash"))
    assert (crashed.check, crashed.severity, crashed.observed) == ("added", "block", f"crash: {kind}")
    assert crashed.blocks
    assert verdict.outcome == "blocked"
    said = capfd.readouterr()
    with database.connect("quality") as reader:
        stored = reader.execute("select c::text from quality.check_result as c where run = %s", (verdict.run,))
        everything = [said.out, said.err, caplog.text, repr(verdict), *(text for (text,) in stored)]
    assert len(everything) == 4 + len(verdict.results)
    for text in everything:
        assert str(CANARY_ID) not in text
        assert "Chim Yến" not in text


def test_values_of_failing_rows_never_leave_the_database(
    stage: Stage, folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    failing: list[tuple[str, dict[str, Any]]] = [
        ("expect_column_values_to_be_in_set", {"column": "full_name", "value_set": ["none"]}),
        ("expect_column_values_to_be_between", {"column": "citizen_id", "max_value": 1}),
        ("expect_column_values_to_be_unique", {"column": "full_name"}),
        ("expect_column_values_to_match_regex", {"column": "full_name", "regex": "^none$"}),
        ("expect_compound_columns_to_be_unique", {"column_list": ["citizen_id", "full_name"]}),
        ("expect_column_unique_value_count_to_be_between", {"column": "full_name", "min_value": 10**6}),
        ("expect_column_value_lengths_to_equal", {"column": "full_name", "value": 1}),
        ("expect_column_proportion_of_unique_values_to_be_between", {"column": "full_name", "min_value": 1}),
        ("expect_column_values_to_be_null", {"column": "full_name"}),
    ]
    for number, (kind, kwargs) in enumerate(failing):
        ask(folder, "bank_kyc", id=f"added_{number}", expectation=kind, kwargs=kwargs)
    ask(folder, "bank_kyc", id="added_id", measure="percentile_disc(0.5) within group (order by citizen_id)", max=1)
    change = f"update {{leaf}} set citizen_id = {CANARY_ID}, full_name = '{CANARY_NAME}'"
    verdict = stage.judge("bank_kyc", change=change)
    assert failed(verdict) >= {"added_id", *(f"added_{number}" for number in range(len(failing)))}
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    with database.connect("quality") as reader:
        stored = [str(row) for row in reader.execute("select c::text from quality.check_result as c")]
    for text in [caplog.text, repr(verdict), *stored]:
        assert str(CANARY_ID) not in text
        assert CANARY_NAME not in text


def test_a_suite_made_to_fail_blocks_and_once_mended_passes(stage: Stage, folder: Path) -> None:
    extract_id = stage.extract("bank_kyc", rows=30)
    path = folder / "sources" / "bank_kyc.yaml"
    good = path.read_text(encoding="utf-8")
    key = gate.source_key("bank_kyc")
    ask(folder, "bank_kyc", measure="count(*)", min=31, severity="block")
    blocked = gate.judge_extract(contract.load("bank_kyc"), extract_id)
    assert (blocked.outcome, failed(blocked)) == ("blocked", {"added"})
    assert gate.source_key("bank_kyc") != key
    path.write_text("source: [", encoding="utf-8")
    broken = gate.judge_extract(contract.load("bank_kyc"), extract_id)
    assert (broken.outcome, [r.observed for r in broken.results]) == ("blocked", ["crash: P06-GATE-002"])
    path.unlink()
    missing = gate.judge_extract(contract.load("bank_kyc"), extract_id)
    assert (missing.outcome, [r.observed for r in missing.results]) == ("blocked", ["crash: P06-GATE-001"])
    path.write_text(good, encoding="utf-8")
    assert gate.judge_extract(contract.load("bank_kyc"), extract_id).outcome == "pass"
    assert gate.source_key("bank_kyc") == key


def test_a_waived_block_is_a_warning_that_names_its_waiver_until_it_expires_or_is_exceeded(
    stage: Stage, folder: Path
) -> None:
    extract_id = stage.extract("bank_kyc", **quarantined(1300, "type"))
    text = (
        "waivers:\n- source: bank_kyc\n  check: quarantined_share\n  periods: 2024-01\n  reason: known\n"
        "  owner: quality-banking\n  count: 0.3\n  until: 2999-12-31\n"
    )
    waived = folder / "waivers.yaml"
    waived.write_text(text, encoding="utf-8")
    verdict = gate.judge_extract(contract.load("bank_kyc"), extract_id)
    assert verdict.outcome == "warnings"
    (result,) = (r for r in verdict.results if r.check == "quarantined_share")
    assert (result.success, result.waived_by) == (False, "quality-banking, 2999-12-31: known")
    for change in (("2999-12-31", "2020-12-31"), ("count: 0.3", "count: 0.1"), ("2024-01\n", "2024-02\n")):
        waived.write_text(text.replace(*change), encoding="utf-8")
        assert gate.judge_extract(contract.load("bank_kyc"), extract_id).outcome == "blocked", change
    waived.write_text("waivers: [7]", encoding="utf-8")
    unreadable = gate.judge_extract(contract.load("bank_kyc"), extract_id)
    assert (unreadable.outcome, [r.observed for r in unreadable.results]) == ("blocked", ["crash: P06-GATE-007"])


def test_an_extract_that_was_never_staged_is_named_as_such(home: Path) -> None:
    with pytest.raises(gate.P06Error, match="P06-GATE-010"):
        gate.judge_extract(contract.load("bank_kyc"), "nothing")


def test_a_staging_table_that_is_gone_blocks(stage: Stage) -> None:
    verdict = stage.judge("bank_kyc", rows=10, change="drop table {leaf}")
    assert verdict.outcome == "blocked"
    assert {"UndefinedTable 42P01"} <= {(r.observed or "").removeprefix("crash: ") for r in verdict.results}


# ---------------------------------------------------------------------------------------------------- gate 2

FACTS = {known.mart: known for known in map(contract.load, FIRST) if known.mart}
TOKEN = "md5('citizen' || {g})::uuid"


def token(g: str = "g") -> str:
    return TOKEN.format(g=g)


class Builds:
    """Builds as the project leaves them, in plain tables; each case is a copy of a good one under its own id."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.state = 1
        self.good = self._good()

    def _good(self) -> int:
        run = self.connection.execute
        build = self.new(JANUARY, 1)
        key = f"date '2024-01-01' as period, {build}::bigint as build_id"
        run(
            f"create table build.dim_citizen as select {token()} as citizen_token, date '2023-01-01' as valid_from,"
            " null::date as valid_to, 'M'::text as sex, 1980 as birth_year, '00001'::text as residence_commune_code,"
            " lpad((g % 40)::text, 2, '0') as residence_province_code, 'alive'::text as status, true as has_id_card,"
            " '2'::text as eid_level, 1::bigint as from_state, null::bigint as to_state"
            f" from generate_series(1, {ROWS}) as g"
        )
        run(
            f"create table build.citizen_month as select {key}, g as line_of, {token()} as citizen_token,"
            " lpad((g % 40)::text, 2, '0') as residence_province_code, 'alive'::text as status, 44 as age,"
            " case when g % 2 = 0 then 'M' else 'F' end as sex, '2'::text as eid_level, g % 10 > 0 as has_id_card,"
            " g % 50 > 0 as is_student, g % 50 > 0 and g % 5 in (0, 1, 3) as has_social_insurance,"
            " (g % 50 > 0)::int * 300000::numeric as health_amount, (g % 50 > 0)::int * 120.5 as land_area_m2,"
            " (g % 50 > 0)::int::bigint as health_visits, (g % 50 > 0)::int::bigint as kyc_records"
            f" from generate_series(1, {ROWS}) as g"
        )
        for mart, known in FACTS.items():
            extra = ", ".join(
                f"({column(c)})::{c.sql_type} as {c.name}"
                for c in known.columns
                if c.in_mart and c.codelist != codelist.COMMUNE
            )
            run(
                f"create table build.{mart} as select {key}, g as line_of, md5('{mart}' || g)::uuid as record_key,"
                f" case when g % 50 > 0 then {token()} end as citizen_token,"
                " case when g % 100 = 0 then 'none' when g % 50 = 0 then 'conflict' else 'id' end as match_method,"
                f" lpad((g % 40)::text, 2, '0') as province_code, {extra} from generate_series(1, {ROWS}) as g"
            )
        run(
            f"create table build.match_summary as select {key}, s.source, f.province_code, f.match_method,"
            " count(*) as records from build.fct_bank_kyc as f cross join unnest(%s::text[]) as s (source)"
            " group by s.source, f.province_code, f.match_method",
            ([known.source for known in FACTS.values()],),
        )
        run(
            f"create table build.reconciliation as select {key}, s.source, 1 as revision, {ROWS}::bigint as received,"
            f" 0::bigint as duplicates, 0::bigint as quarantined, {ROWS}::bigint as staged,"
            f" {ROWS - 120}::bigint as matched, 60::bigint as conflicting, 60::bigint as unmatched,"
            f" {ROWS}::bigint as published from unnest(%s::text[]) as s (source)"
            f" union all select {key}, 'population_register', 1, 1000, 0, 0, 1000, null, null, null, null",
            ([known.source for known in FACTS.values()],),
        )
        run(
            f"create table build.scorecard as select {key}, s.source, 'VN'::text as province_code, m.measure, 980 as"
            " numerator, 1000 as denominator from unnest(%s::text[]) as s (source) cross join unnest(array['name_agrees',"
            " 'birth_date_agrees', 'sex_agrees', 'residence_agrees']) as m (measure)",
            ([known.source for known in FACTS.values()],),
        )
        run(
            f"create table build.indicator as select {key}, code as indicator_code, level as area_level,"
            " area as area_code, n * 9 / 10 as numerator, n as denominator, 0.9::numeric as value"
            " from (values ('id_card_rate'), ('match_rate.bank_kyc')) as c (code) cross join ("
            "values ('nation', 'VN', 1000), ('province', '01', 600), ('province', '02', 400)) as a (level, area, n)"
        )
        run(
            f"create table build.identity_finding as select {key}, s.source, 1::smallint as file_no, g::bigint as line,"
            " f.kind from unnest(%s::text[]) as s (source) cross join generate_series(1, 20) as g"
            " cross join unnest(array['deceased_listed', 'number_two_people', 'conflict_all']) as f (kind)",
            ([known.source for known in FACTS.values()],),
        )
        return build

    def new(self, period: Period, state: int) -> int:
        row = self.connection.execute(
            "insert into control.build (period, fingerprint, inputs, model_hash, register_state_before,"
            " register_state_after, host, pid) values (%s, 'f', '{}', 'm', 1, %s, 'h', 1) returning build_id",
            (period.first_day, state),
        ).fetchone()
        return int(row[0]) if row else 0

    def copy(self, *changes: str, period: Period = JANUARY) -> tuple[int, int]:
        """A copy of the good build with changes ({key}: the rows of the copy); its build id and register state."""
        self.state += 1
        build = self.new(period, self.state)
        for (mart,) in self.connection.execute(
            "select table_name from information_schema.columns where table_schema = 'build' and column_name = 'build_id'"
        ).fetchall():
            self.connection.execute(
                f"create temporary table copied as select * from build.{mart} where build_id = {self.good};"
                f" update copied set build_id = {build}, period = '{period.first_day}';"
                f" insert into build.{mart} select * from copied; drop table copied"
            )
        for change in changes:
            self.connection.execute(change.format(key=f"build_id = {build}", state=self.state, until=self.state + 1))
        return build, self.state


@pytest.fixture(scope="module")
def builds(home: Path) -> Iterator[Builds]:
    with database.connect("builder", autocommit=True) as connection:
        yield Builds(connection)


def only(folder: Path, mart: str) -> None:
    """Leave one mart's suite in the folder, so that a case costs one suite."""
    for path in (folder / "marts").glob("*.yaml"):
        if path.stem != mart:
            path.unlink()


def test_a_normal_first_month_passes_clean_in_every_mart(builds: Builds) -> None:
    verdict = gate.judge_build(JANUARY, builds.good)
    assert (verdict.outcome, failed(verdict)) == ("pass", set())
    assert {result.mart for result in verdict.results} == set(suite.marts_of(JANUARY, ()))
    assert verdict.run == f"build:{builds.good}"


DIM = (
    "insert into build.dim_citizen select {columns}, {{state}}, {{until}} from build.dim_citizen"
    f" where citizen_token = {token('1')} and from_state = 1"
)


def version(**values: str) -> str:
    """One more version of a citizen, seen in the state of this case alone."""
    names = ("citizen_token", "valid_from", "valid_to", "sex", "birth_year", "residence_commune_code")
    names += ("residence_province_code", "status", "has_id_card", "eid_level")
    return DIM.format(columns=", ".join(values.get(name, name) for name in names))


GONE = {"valid_from": "date '2022-01-01'", "valid_to": "date '2022-02-01'"}
FACT, BANK = "fct_land_holding", "fct_bank_kyc"
BUILT: dict[tuple[str, str], str] = {
    ("fact", "record_key_present"): f"update build.{FACT} set record_key = null where {{key}} and province_code = '01'",
    ("fact", "match_methods_known"): f"update build.{FACT} set match_method = 'guess' where {{key}}"
    " and match_method = 'id' and province_code = '01'",
    ("fact", "match_method_present"): f"update build.{FACT} set match_method = null where {{key}}"
    f" and record_key = md5('{FACT}1')::uuid",
    ("fact", "token_when_matched"): f"update build.{FACT} set match_method = 'id' where {{key}}"
    " and match_method = 'none'",
    ("fact", "match_rate"): f"update build.{FACT} set match_method = 'none', citizen_token = null where {{key}}"
    " and province_code < '09'",
    ("fact", "conflicts_few"): f"update build.{FACT} set match_method = 'conflict', citizen_token = null where {{key}}"
    " and province_code < '03'",
    ("fact", "provinces_covered"): f"update build.{FACT} set province_code = '01' where {{key}}",
    ("fact", "province_stated"): f"update build.{FACT} set province_code = null where {{key}} and province_code = '01'",
    ("fact", "provinces_matched"): "update build.match_summary set match_method = 'none' where {key} and source ="
    " 'land_parcel' and province_code = '01'",
    ("fact", "residents_among_them"): f"update build.{FACT} set province_code = case province_code when '01' then '02'"
    " else '01' end where {key} and province_code in ('01', '02')",
    ("fct_education_enrolment", "enrolments_per_pupil"): f"update build.fct_education_enrolment set citizen_token ="
    f" {token('1')} where {{key}} and citizen_token is not null",
    ("fct_health_visit", "visits_per_citizen"): f"update build.fct_health_visit set citizen_token = {token('1')}"
    " where {key} and citizen_token is not null and province_code > '01'",
    ("fct_health_visit", "visits_as_in_citizen_month"): "update build.citizen_month set health_visits = 2 where {key}",
    ("fct_social_security_participation", "one_participation_per_citizen"): (
        "update build.fct_social_security_participation as f set citizen_token = shared.citizen_token from ("
        "select record_key, (min(citizen_token::text) over (partition by left(citizen_token::text, 3)))::uuid as"
        " citizen_token from build.fct_social_security_participation where {key} and citizen_token is not null)"
        " as shared where f.{key} and f.record_key = shared.record_key"
    ),
    ("fct_bank_kyc", "records_as_in_citizen_month"): "update build.citizen_month set kyc_records = 2 where {key}",
    ("fct_land_holding", "shares_in_range"): "update build.fct_land_holding set share_percent = 101 where {key}",
    ("citizen_month", "citizens_present"): "delete from build.citizen_month where {key}",
    ("citizen_month", "citizen_present"): "update build.citizen_month set citizen_token = null where {key}"
    f" and citizen_token = {token('50')}",
    ("citizen_month", "one_row_per_citizen"): "insert into build.citizen_month select * from build.citizen_month"
    f" where {{key}} and citizen_token = {token('50')}",
    ("citizen_month", "statuses_known"): "update build.citizen_month set status = 'emigrated' where {key}"
    f" and citizen_token = {token('1')}",
    ("citizen_month", "status_present"): "update build.citizen_month set status = null where {key}"
    f" and citizen_token = {token('1')}",
    ("citizen_month", "ages_plausible"): "update build.citizen_month set age = 126 where {key}"
    " and residence_province_code = '01'",
    ("citizen_month", "living_as_in_register"): "delete from build.citizen_month where {key}"
    f" and citizen_token = {token('50')}",
    ("citizen_month", "citizens_known"): "update build.citizen_month set citizen_token = md5('stranger')::uuid"
    f" where {{key}} and citizen_token = {token('50')}",
    ("citizen_month", "residence_stated"): "update build.citizen_month set residence_province_code = null where {key}"
    " and residence_province_code = '01'",
    ("citizen_month", "provinces_covered"): "update build.citizen_month set residence_province_code = '01' where {key}",
    ("citizen_month", "deaths_few"): "update build.citizen_month set status = 'deceased' where {key}"
    " and residence_province_code = '01'",
    ("citizen_month", "pupils_as_in_enrolments"): "update build.citizen_month set is_student = false where {key}"
    f" and citizen_token = {token('1')}",
    ("citizen_month", "insured_as_in_participations"): "update build.citizen_month set has_social_insurance = true"
    f" where {{key}} and citizen_token = {token('2')}",
    ("citizen_month", "amounts_as_in_visits"): "update build.citizen_month set health_amount = health_amount + 1"
    f" where {{key}} and citizen_token = {token('1')}",
    ("citizen_month", "areas_as_in_holdings"): "update build.citizen_month set land_area_m2 = land_area_m2 * 2"
    f" where {{key}} and citizen_token = {token('1')}",
    ("indicator", "one_value_per_area"): "insert into build.indicator select * from build.indicator where {key}"
    " and area_level = 'nation' and indicator_code like 'match%'",
    ("indicator", "value_present"): "update build.indicator set value = null where {key} and area_code = '01'",
    ("indicator", "value_is_a_share"): "update build.indicator set value = 1.5, numerator = denominator * 3 / 2"
    " where {key} and area_code = '01'",
    ("indicator", "denominator_positive"): "update build.indicator set denominator = 0, numerator = 0 where {key}"
    " and area_code = '01' and indicator_code like 'match%'",
    ("indicator", "value_is_the_quotient"): "update build.indicator set value = 0.8 where {key} and area_code = '01'",
    ("indicator", "levels_known"): "update build.indicator set area_level = 'district' where {key}"
    " and area_code = '01' and indicator_code like 'match%'",
    ("indicator", "nation_present"): "delete from build.indicator where {key} and area_level = 'nation'"
    " and indicator_code like 'match%'",
    ("indicator", "provinces_add_up"): "delete from build.indicator where {key} and area_code = '01'"
    " and indicator_code = 'id_card_rate'",
    ("reconciliation", "one_row_per_source"): "insert into build.reconciliation select * from build.reconciliation"
    " where {key} and source = 'bank_kyc'",
    ("reconciliation", "source_present"): "update build.reconciliation set source = null where {key}"
    " and source = 'bank_kyc'",
    ("reconciliation", "received_adds_up"): "update build.reconciliation set received = received + 1 where {key}"
    " and source = 'bank_kyc'",
    ("reconciliation", "staged_adds_up"): "update build.reconciliation set matched = matched - 1 where {key}"
    " and source = 'bank_kyc'",
    ("reconciliation", "all_published"): "update build.reconciliation set published = published - 1 where {key}"
    " and source = 'bank_kyc'",
    ("reconciliation", "sectors_complete"): "update build.reconciliation set matched = null where {key}"
    " and source = 'bank_kyc'",
    ("scorecard", "names_and_births_agree"): "update build.scorecard set numerator = 700 where {key} and source ="
    " 'bank_kyc' and measure = 'name_agrees'",
    ("scorecard", "residences_agree"): "update build.scorecard set numerator = 300 where {key} and source ="
    " 'land_parcel' and measure = 'residence_agrees'",
    ("match_summary", "one_row_per_method"): "insert into build.match_summary select period, build_id, source,"
    " province_code, match_method, 0 from build.match_summary where {key} and province_code = '01'",
    ("match_summary", "records_positive"): "insert into build.match_summary select period, build_id, source,"
    " 'x', match_method, 0 from build.match_summary where {key} and province_code = '01'",
    ("match_summary", "records_present"): "insert into build.match_summary select period, build_id, source,"
    " 'x', match_method, null from build.match_summary where {key} and province_code = '01'",
    ("match_summary", "as_reconciled"): "delete from build.match_summary where {key} and province_code = '01'",
    (
        "identity_finding",
        "one_row_per_finding",
    ): "insert into build.identity_finding select * from build.identity_finding"
    " where {key} and source = 'bank_kyc' and kind = 'conflict_all'",
    ("identity_finding", "dead_served_few"): "insert into build.identity_finding select period, build_id, source,"
    " file_no, line + g * 100, kind from build.identity_finding cross join generate_series(1, 6) as g where {key}"
    " and source = 'bank_kyc' and kind = 'deceased_listed'",
    ("identity_finding", "numbers_of_two_people_few"): "insert into build.identity_finding select period, build_id,"
    " source, file_no, line + g * 100, kind from build.identity_finding cross join generate_series(1, 15) as g where"
    " {key} and source = 'bank_kyc' and kind = 'number_two_people'",
    ("identity_finding", "register_speaks_once"): "insert into build.identity_finding select period, build_id,"
    " 'population_register', file_no, line + g * 100, 'register_double' from build.identity_finding cross join"
    " generate_series(1, 4) as g where {key} and source = 'bank_kyc' and kind = 'conflict_all'",
    ("dim_citizen", "citizen_present"): version(**GONE, citizen_token="null::uuid"),
    ("dim_citizen", "first_day_present"): version(valid_from="null::date", valid_to="date '2022-01-01'"),
    ("dim_citizen", "one_version_per_day"): version(valid_from="date '2022-01-01'", valid_to="date '2023-01-02'"),
    ("dim_citizen", "ends_after_it_begins"): version(valid_from="date '2022-01-01'", valid_to="date '2022-01-01'"),
    ("dim_citizen", "statuses_known"): version(**GONE, status="'lost'"),
    ("dim_citizen", "sexes_known"): version(**GONE, sex="'X'"),
    ("dim_citizen", "birth_years_plausible"): version(**GONE, birth_year="1899"),
    ("dim_citizen", "residence_stated"): version(**GONE, residence_province_code="null::text"),
}
# One fault that a second check must see.
ALSO = {
    ("fact", "match_method_present"): {"token_when_matched"},
    ("fact", "provinces_covered"): {"residents_among_them"},
    ("fct_education_enrolment", "enrolments_per_pupil"): {"residents_among_them"},
    ("citizen_month", "citizen_present"): {"citizens_known"},
    **{
        ("citizen_month", check): {"living_as_in_register"}
        for check in ("citizens_present", "deaths_few", "one_row_per_citizen", "status_present", "statuses_known")
    },
    ("match_summary", "one_row_per_method"): {"records_positive"},
}
BUILT_ELSEWHERE = {
    "one_row_per_record",
    "citizens_known",
    "published_as_reconciled",
    "as_in_the_ledger",
    "register_changes_alone",
}


@pytest.mark.parametrize(("mart", "check"), sorted(BUILT))
def test_a_check_of_a_mart_fails_on_what_it_must_and_alone(builds: Builds, folder: Path, mart: str, check: str) -> None:
    judged = FACT if mart == "fact" else mart
    only(folder, judged)
    build, state = builds.copy(BUILT[mart, check])
    verdict = gate.judge_build(JANUARY, build, state)
    known = {c.id: c.severity for c in suite.load_mart(judged).checks}
    besides = ALSO.get((mart, check), set())
    answers = [result for result in verdict.results if result.mart == judged]
    assert {result.check for result in answers if not result.success} == {check} | besides
    blocks = "block" in {known[c] for c in {check} | besides}
    assert any(result.blocks for result in answers) == blocks
    elsewhere = {result.check for result in verdict.results if result.mart != judged and not result.success}
    # a broken reconciliation is seen by the facts it speaks of as well; nothing else is seen anywhere else
    assert elsewhere <= ({"published_as_reconciled"} if judged == "reconciliation" else set())
    assert verdict.outcome == ("blocked" if blocks or elsewhere else "warnings")


def test_every_check_of_every_mart_has_a_case_here() -> None:
    for mart in suite.marts():
        shipped = {check.id for check in suite.load_mart(mart).checks}
        own = {check for of, check in BUILT if of in (mart, "fact" if mart.startswith("fct_") else mart)}
        compared = {check.id for check in suite.load_mart(mart).checks if check.history}
        assert compared <= {check for _, check in COMPARED} | {
            "month_is_new",
            "birth_days_steady",
            "register_in_band",
        }, mart
        assert shipped <= own | compared | BUILT_ELSEWHERE, mart


def test_a_doubled_fact_row_a_stranger_and_a_missing_row_block(builds: Builds, folder: Path) -> None:
    only(folder, BANK)
    first = f"where {{key}} and record_key = md5('{BANK}1')::uuid"
    doubled, _ = builds.copy(f"insert into build.{BANK} select * from build.{BANK} {first}")
    stranger, _ = builds.copy(f"update build.{BANK} set citizen_token = md5('stranger')::uuid {first}")
    missing, _ = builds.copy(f"delete from build.{BANK} {first}")
    dead, _ = builds.copy(f"delete from build.citizen_month where {{key}} and citizen_token = {token('1')}")
    sums = "records_as_in_citizen_month"
    assert failed(gate.judge_build(JANUARY, doubled)) == {"one_row_per_record", "published_as_reconciled", sums}
    assert failed(gate.judge_build(JANUARY, stranger)) == {"citizens_known", sums}
    assert failed(gate.judge_build(JANUARY, missing)) == {"published_as_reconciled", sums}
    assert failed(gate.judge_build(JANUARY, dead)) == set(), "the dead of earlier months are outside citizen_month"


def test_a_citizen_who_stands_twice_is_in_no_total_that_agrees(builds: Builds) -> None:
    build, state = builds.copy(
        f"insert into build.citizen_month select * from build.citizen_month where {{key}}"
        f" and citizen_token = {token('1')}"
    )
    verdict = gate.judge_build(JANUARY, build, state)
    assert failed(verdict) == {
        "one_row_per_citizen",
        "living_as_in_register",
        "pupils_as_in_enrolments",
        "insured_as_in_participations",
        "amounts_as_in_visits",
        "areas_as_in_holdings",
        "records_as_in_citizen_month",
        "visits_as_in_citizen_month",
    }
    assert verdict.outcome == "blocked"


def test_counts_that_differ_from_the_ledger_block(builds: Builds, folder: Path, stage: Stage) -> None:
    only(folder, "reconciliation")
    for rows, expected in ((ROWS, set[str]()), (ROWS - 1, {"as_in_the_ledger"})):
        build, _ = builds.copy()
        builds.connection.execute(
            "insert into control.build_extract values (%s, 'bank_kyc', %s, %s)",
            (build, JANUARY.first_day, stage.extract("bank_kyc", rows=rows)),
        )
        assert failed(gate.judge_build(JANUARY, build)) == expected


FEBRUARY = JANUARY.shift(1)
BOTH = "where {key} and citizen_token is not null"
# What a comparison with the months before must see: (mart, check) -> what happened to February.
COMPARED: dict[tuple[str, str], str] = {
    ("fct_bank_kyc", "volume_in_band"): "delete from build.fct_bank_kyc where {key} and line_of % 2 = 0",
    ("fct_bank_kyc", "provinces_in_band"): "delete from build.fct_bank_kyc where {key} and province_code = '07'"
    " and line_of % 4 > 0",
    ("fct_bank_kyc", "provinces_gone"): "delete from build.fct_bank_kyc where {key} and province_code = '07'",
    ("fct_bank_kyc", "match_rate_in_band"): "update build.fct_bank_kyc set match_method = 'none', citizen_token = null"
    " where {key} and line_of % 15 = 0",
    ("fct_bank_kyc", "codes_steady"): "update build.fct_bank_kyc set channel = 'app' where {key}",
    ("fct_health_visit", "amounts_steady"): "update build.fct_health_visit set total_amount = total_amount * 1000"
    " where {key}",
    ("fct_health_visit", "facilities_in_band"): "update build.fct_health_visit set facility_code = '05005' where {key}"
    " and facility_code like '03%' and line_of % 5 > 0",
    ("fct_health_visit", "facilities_gone"): "update build.fct_health_visit set facility_code = '05005' where {key}"
    " and facility_code like '04%'",
    ("fct_bank_kyc", "volume_as_released"): "delete from build.fct_bank_kyc where {key} and line_of % 8 = 0",
    ("citizen_month", "population_in_band"): "delete from build.citizen_month where {key} and line_of % 10 = 0",
    ("citizen_month", "population_steady"): "delete from build.citizen_month where {key} and line_of % 40 = 1",
    ("citizen_month", "population_as_released"): "delete from build.citizen_month where {key} and line_of % 80 = 1",
    ("citizen_month", "provinces_in_band"): "update build.citizen_month set residence_province_code = '01' where {key}"
    " and residence_province_code = '07' and line_of % 9 > 0",
    ("citizen_month", "provinces_gone"): "update build.citizen_month set residence_province_code = '01' where {key}"
    " and residence_province_code = '07'",
    ("citizen_month", "codes_steady"): "update build.citizen_month set sex = 'M' where {key}",
    **{
        ("indicator", check): "update build.indicator set numerator = denominator * 7 / 10, value = 0.7 where {key}"
        for check in ("values_in_band", "change_small", "restatement_small")
    },
    ("indicator", "indicators_gone"): "delete from build.indicator where {key} and indicator_code = 'id_card_rate'",
    ("reconciliation", "quarantine_in_band"): "update build.reconciliation set quarantined = 500, received = received"
    " + 500 where {key} and source = 'bank_kyc'",
    (
        "reconciliation",
        "sources_gone",
    ): "delete from build.reconciliation where {key} and source = 'population_register'",
    (
        "identity_finding",
        "findings_in_band",
    ): "insert into build.identity_finding select f.* from build.identity_finding"
    " as f cross join generate_series(1, 4) where {key} and kind = 'conflict_all'",
}


@pytest.fixture(scope="module")
def published(builds: Builds) -> Iterator[None]:
    """January and February as readers see them; comparisons of February have one month before it."""
    same, _ = builds.copy(period=FEBRUARY)
    publish = (
        "with r as (insert into control.release (release_id, period, number, build_id, fingerprint, model_hash, gate,"
        " register_state_before, register_state_after) values ({id}, {period}, 1, {build}, 'f', 'm', 'clean', 1, 1))"
        " insert into control.published values ({period}, {build}, {id})"
    )
    with database.connect("admin", autocommit=True) as admin:
        with database.connect("builder") as builder:
            let_pass(builder, builds.good, same)
        for period, build in ((JANUARY, builds.good), (FEBRUARY, same)):
            values = {"id": f"'{period}-r1'", "period": f"date '{period.first_day}'", "build": build}
            admin.execute(publish.format(**values))
        yield
        admin.execute("delete from control.published; delete from control.release")


def test_what_moved_since_the_months_before_or_the_last_release_warns_and_never_blocks(
    builds: Builds, published: None
) -> None:
    build, state = builds.copy(*COMPARED.values(), period=FEBRUARY)
    answers = {(r.mart, r.check): r for r in gate.judge_build(FEBRUARY, build, state).results}
    for asked in COMPARED:
        assert (answers[asked].success, answers[asked].severity) == (False, "warn"), asked


def test_a_register_of_everybody_read_as_changes_is_warned_of_and_one_announced_is_not(
    builds: Builds, folder: Path, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(folder, "reconciliation")
    whole = f"update build.reconciliation set received = {ROWS}, staged = {ROWS} where {{key}}"
    build, state = builds.copy(whole + " and source = 'population_register'", period=FEBRUARY)
    told = {r.check: r.observed for r in gate.judge_build(FEBRUARY, build, state).results if not r.success}
    assert told["register_changes_alone"] == "1"
    shutil.copytree(settings().contracts, folder.parent / "announced")
    known = folder.parent / "announced" / f"population_register{contract.SUFFIX}"
    kind = "  - {property: kind, value: register}\n"
    assert kind in known.read_text()
    known.write_text(known.read_text().replace(kind, kind + "  - {property: registerForm, value: snapshot}\n"))
    monkeypatch.setenv("P06_CONTRACTS", str(known.parent))
    settings.cache_clear()
    again = gate.judge_build(FEBRUARY, build, state)
    monkeypatch.undo()
    settings.cache_clear()
    (answer,) = (r for r in again.results if r.check == "register_changes_alone")
    assert (answer.success, answer.observed) == (True, "–")


def test_a_month_that_left_a_source_out_tells_nothing_of_what_is_usual(
    builds: Builds, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P06_CONTRACTS", str(settings().root / "contracts"))  # all of them, also those not due
    settings.cache_clear()
    try:
        with database.connect("publisher") as connection:
            keeper = profile.Keeper(connection, FEBRUARY, builds.good)
            months = {name: [at for at, _ in keeper._published(name)] for name in ("bank_kyc", "eid_account", None)}
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert months == {"bank_kyc": [JANUARY, FEBRUARY], "eid_account": [], None: [JANUARY, FEBRUARY]}


def test_a_month_like_the_one_before_it_passes_clean(builds: Builds, published: None) -> None:
    build, state = builds.copy(period=FEBRUARY)
    assert failed(gate.judge_build(FEBRUARY, build, state)) == set()


def test_a_province_that_is_gone_is_named_with_what_it_usually_has(
    builds: Builds, folder: Path, published: None
) -> None:
    only(folder, "fct_bank_kyc")
    build, state = builds.copy(COMPARED["fct_bank_kyc", "provinces_gone"], period=FEBRUARY)
    answers = {r.check: r for r in gate.judge_build(FEBRUARY, build, state).results if r.mart == "fct_bank_kyc"}
    assert answers["provinces_gone"].observed == "1; 07: 0 ← 150"


def test_history_is_read_from_the_profiles_kept_and_not_from_the_months_themselves(
    builds: Builds, folder: Path, published: None
) -> None:
    only(folder, "fct_bank_kyc")
    build, state = builds.copy(COMPARED["fct_bank_kyc", "volume_in_band"], period=FEBRUARY)
    told = {r.check: r.observed for r in gate.judge_build(FEBRUARY, build, state).results}
    january = f"from build.{BANK} where build_id = {builds.good}"
    builds.connection.execute(f"create temporary table kept as select * {january}; delete {january}")
    try:
        again = {r.check: r.observed for r in gate.judge_build(FEBRUARY, build, state).results}
    finally:
        builds.connection.execute(f"insert into build.{BANK} select * from kept; drop table kept")
    assert again == told
    with database.connect("quality") as reader:
        kept = reader.execute(
            "select key, value::int from quality.profile where mart = %s and build_id = %s and measure in ('rows', '#')"
            " order by measure",
            (BANK, build),
        ).fetchall()
    asked = profile.measures(suite.load_mart(BANK))
    assert kept == [(profile.definition(asked), 1), ("", ROWS // 2)]


def test_a_profile_taken_by_another_definition_is_taken_again(builds: Builds, folder: Path, published: None) -> None:
    only(folder, "fct_bank_kyc")
    build, state = builds.copy(period=FEBRUARY)
    gate.judge_build(FEBRUARY, build, state)
    path = folder / "marts" / "fct_bank_kyc.yaml"
    text = path.read_text(encoding="utf-8").replace("checks:", "profile:\n  kinds: {key: institution_kind}\nchecks:", 1)
    path.write_text(
        text + "\n  - {id: kinds, title: {en: Kinds, vi: Loại}, dimension: dung, severity: warn, reason: asked,"
        " history: {measure: kinds, test: drift}, max: 0.1}\n",
        encoding="utf-8",
    )
    answers = {r.check: r for r in gate.judge_build(FEBRUARY, build, state).results}
    assert (answers["kinds"].success, answers["kinds"].observed) == (True, "0")


def test_a_profile_that_cannot_be_taken_closes_the_gate(builds: Builds, folder: Path) -> None:
    only(folder, "fct_bank_kyc")
    path = folder / "marts" / "fct_bank_kyc.yaml"
    text = path.read_text(encoding="utf-8").replace("checks:", "profile:\n  odd: {key: nothing}\nchecks:", 1)
    path.write_text(text, encoding="utf-8")
    verdict = gate.judge_build(JANUARY, builds.good)
    assert verdict.outcome == "blocked"
    crashed = {r.check for r in verdict.results if r.mart == BANK and not r.success}
    assert crashed == {check.id for check in suite.load_mart(BANK).checks if check.history}
    assert {r.observed for r in verdict.results if r.check in crashed and r.mart == BANK} == {
        "crash: UndefinedColumn 42703"
    }


def test_a_waiver_of_a_mart_lets_pass_until_it_is_exceeded_or_expires_and_every_use_is_kept(
    builds: Builds, folder: Path
) -> None:
    only(folder, "citizen_month")
    build, state = builds.copy(
        "update build.citizen_month set status = 'emigrated' where {key} and residence_province_code = '01'"
    )
    text = (
        "waivers:\n- mart: citizen_month\n  check: statuses_known\n  periods: 2024-01\n  reason: known\n"
        "  owner: quality-population\n  count: 150\n  until: 2999-12-31\n"
        "- mart: citizen_month\n  check: living_as_in_register\n  periods: 2024-01\n  reason: known\n"
        "  owner: quality-population\n  count: -150\n  until: 2999-12-31\n"
    )
    told = {}
    for name, changed in {
        "in force": text,
        "exceeded": text.replace(" 150", " 149"),
        "expired": text.replace("2999", "2020"),
    }.items():
        (folder / "waivers.yaml").write_text(changed, encoding="utf-8")
        verdict = gate.judge_build(JANUARY, build, state)
        with database.connect("quality") as reader:
            told[name] = (
                verdict.outcome,
                *reader.execute(
                    'select success, waived_by, waiver_lapsed from quality.check_result where run = %s and "check" = %s',
                    (verdict.run, "statuses_known"),
                ).fetchone(),
            )  # type: ignore[misc]
    assert told == {
        "in force": ("warnings", False, "quality-population, 2999-12-31: known", None),
        "exceeded": ("blocked", False, None, "exceeded 149: quality-population, 2999-12-31: known"),
        "expired": ("blocked", False, None, "expired: quality-population, 2020-12-31: known"),
    }


def test_a_waiver_of_a_figure_that_is_too_low_ends_below_its_count(builds: Builds, folder: Path) -> None:
    only(folder, "fct_bank_kyc")
    path = folder / "marts" / "fct_bank_kyc.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "\nchange:\n  match_rate: {severity: block}\n", encoding="utf-8")
    build, state = builds.copy(
        f"update build.{BANK} set match_method = 'none', citizen_token = null where {{key}} and line_of % 5 = 0"
    )
    for count, outcome in ((0.7, "warnings"), (0.85, "blocked")):
        (folder / "waivers.yaml").write_text(
            "waivers:\n- mart: fct_bank_kyc\n  check: match_rate\n  periods: 2024-01\n  reason: known\n"
            f"  owner: quality-banking\n  count: {count}\n  until: 2999-12-31\n",
            encoding="utf-8",
        )
        verdict = gate.judge_build(JANUARY, build, state)
        (answer,) = (r for r in verdict.results if r.mart == BANK and r.check == "match_rate")
        assert answer.blocks == (outcome == "blocked"), count


OWN_EXPECTATIONS: dict[str, tuple[str, dict[str, Any], list[Any], list[Any]]] = {
    "citizen_ids": (
        "bigint",
        {"latest_year": 2024},
        # Hà Nội 1989, HCMC 2001, Ninh Bình 1953, Bắc Ninh 2004, Cà Mau 1999, a country, nothing stated
        [1089000123, 79201012345, 37153000001, 27304000017, 96199123456, 123089000123, None],
        # born 2099, no province 003, next year, a digit too few, a digit too many, nought
        [96399123456, 3089000123, 79225012345, 108900012, 1001089000123, 0],
    ),
    "health_cards": (
        "text",
        {},
        ["DN4010123456789", "TE1790123456789", "HN2970123456789", None],
        ["ZZ4010123456789", "DN6010123456789", "DN4030123456789", "dn4010123456789", "DN401012345678", ""],
    ),
    "comparable_names": (
        "text",
        {},
        ["Nguyễn Văn An", "HOÀNG THỊ BÌNH", "  Lê   Thuỷ ", "Y’Bhăm Niê-Kdăm", "Nguyê\u0303n Văn An", None],
        ["Nguyễn", "Nguyễn Văn 7", "N/A", "Không rõ (1)", "Nguy?n V?n An", ""],
    ),
    "normalised_names": (
        "text",
        {"normalised": True},
        ["Nguyễn Văn An", "HOÀNG THỊ BÌNH", "Lê Thuỷ", None],
        ["Lê Thủy", "  Lê   Thuỷ ", "Nguyê\u0303n Văn An", "Nguyễn"],
    ),
}


@pytest.mark.parametrize("kind", sorted(OWN_EXPECTATIONS))
def test_an_expectation_of_our_own_fails_on_what_it_must_and_passes_what_it_must(
    stage: Stage, folder: Path, kind: str
) -> None:
    sql_type, kwargs, good, bad = OWN_EXPECTATIONS[kind]
    name = "expect_column_values_to_be_" + kind.replace("normalised", "comparable")
    assert name in expectation.own() and name in suite.COUNTING
    column = {"bigint": "previous_citizen_id", "text": "full_name"}[sql_type]
    path = folder / "sources" / "population_register.yaml"
    stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    asked = {
        "title": {"en": "Added", "vi": "Thêm"},
        "dimension": "dung",
        "severity": "info",
        "reason": "asked by a test",
    }
    stated["checks"] = [asked | {"id": "added", "expectation": name, "kwargs": kwargs | {"column": column}}]
    path.write_text(yaml.safe_dump(stated | {"include": []}, allow_unicode=True), encoding="utf-8")
    observed = []
    for values in (good, bad, *([value] for value in bad)):
        extract_id = stage.extract("population_register", rows=len(values))
        leaf = f"staging.population_register__202401__{stage.number:08x}"
        for line, value in enumerate(values, 2):
            stage.connection.execute(f"update {leaf} set {column} = %s where line = %s".encode(), (value, line))
        (result,) = gate.judge_extract(contract.load("population_register"), extract_id).results
        observed.append((result.observed or "").partition(" ")[0])
    assert observed == [f"0/{len(good)}", f"{len(bad)}/{len(bad)}", *["1/1"] * len(bad)]


def test_without_a_month_before_comparisons_pass_and_show_no_figure(builds: Builds) -> None:
    answers = {r.check: r for r in gate.judge_build(JANUARY, builds.good).results}
    assert (answers["population_steady"].success, answers["population_steady"].observed) == (True, "–")


def test_a_mart_that_is_gone_and_a_suite_that_cannot_be_read_block(builds: Builds, folder: Path) -> None:
    good = (folder / "marts" / "fct_land_holding.yaml").read_text(encoding="utf-8")
    only(folder, "match_summary")
    (folder / "marts" / "fct_nothing.yaml").write_text(
        good.replace("fct_land_holding", "fct_nothing"), encoding="utf-8"
    )
    gone = gate.judge_build(JANUARY, builds.good)
    assert gone.outcome == "blocked"
    assert {r.mart for r in gone.results if r.blocks} == {"fct_nothing"}
    (folder / "marts" / "fct_nothing.yaml").write_text("mart: other\n", encoding="utf-8")
    broken = gate.judge_build(JANUARY, builds.good)
    assert [(r.mart, r.check, r.observed) for r in broken.results if r.blocks] == [
        ("fct_nothing", "suite", "crash: P06-GATE-002")
    ]
    shutil.rmtree(folder / "marts")
    assert gate.judge_build(JANUARY, builds.good).outcome == "blocked", "no suite at all is no pass"


def test_a_build_of_another_period_is_not_judged(builds: Builds) -> None:
    with pytest.raises(gate.P06Error, match="P06-GATE-011"):
        gate.judge_build(JANUARY.shift(5), builds.good)


def test_gates_write_nothing_into_the_checkout_and_send_no_telemetry(stage: Stage) -> None:
    before = {path for path in SHIPPED.parent.iterdir() if not path.name.startswith(".")}
    stage.judge("bank_kyc", rows=10)
    assert {path for path in SHIPPED.parent.iterdir() if not path.name.startswith(".")} == before
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


def test_rows_stay_in_the_database_and_figures_alone_come_out(builds: Builds, folder: Path) -> None:
    fetched: list[int] = []

    def count(_: object, cursor: Any, *__: object) -> None:
        fetched.append(cursor.rowcount)

    event.listen(Engine, "after_cursor_execute", count)
    try:
        only(folder, FACT)
        gate.judge_build(JANUARY, builds.good)
    finally:
        event.remove(Engine, "after_cursor_execute", count)
    assert len(fetched) > 5
    assert max(fetched) < 100
