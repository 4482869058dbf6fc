"""Gate 1 of the registers that joined after the first six: every check of theirs fails on what it must, and alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from p06 import contract, database, suite
from p06.settings import settings
from tests.integration.test_gate import OWN, Stage, failed

# How a good row number g looks, where the contract and the values of test_gate do not say it.
GOOD = {
    "id_card_issuance": {
        "document": "'card'",
        "age_group": "'14_over'",
        "issued_on": "date '2024-01-10'",
    },
    "eid_account": {
        "account_status": "(array['active', 'active', 'locked', 'closed'])[1 + g % 4]",
        "level": "(array['1', '2'])[1 + g % 2]",
        "health_card_on_app": "(array['no', 'yes'])[1 + g % 2]",
        "registered_on": "date '2022-01-05'",
        "activated_on": "date '2022-02-05'",
        "birth_date": "date '1950-01-05' + g % 18000",
    },
    "organisation_eid": {"account_status": "'active'", "registered_on": "date '2023-01-05'"},
    "health_ebook": {
        "created_on": "date '2022-01-05'",
        "integrated": "(array['no', 'yes'])[1 + g % 2]",
        "integrated_on": "case when g % 2 = 1 then date '2022-02-05' end",
    },
    "health_vaccination": {
        "vaccinated_on": "date '2024-01-10'",
        "verification": "case when g % 20 = 0 then 'unverified' when g % 20 = 1 then 'mismatched' else 'verified' end",
    },
    "social_security_payment": {
        "paid_on": "date '2024-01-10'",
        "amount": "2000000 + g",
        "benefit_kind": "case when g % 4 = 0 and g % 20000 < 10000 then 'pension'"
        " else (array['sickness', 'maternity', 'other'])[1 + g % 3] end",
    },
    "civil_status_event": {
        "event_no": "case when g % 4 > 1 then 'M' || g / 4 else 'E' || g end",
        "subject_no": "case when g % 4 = 3 then 2 else 1 end",
        "event_kind": "case when g % 4 = 0 then 'birth' when g % 4 = 1 then 'death' else 'marriage' end",
        "event_on": "case when g % 4 = 0 then date '1950-01-05' + g % 20000 else date '2024-01-05' end",
        "registered_on": "date '2024-01-10'",
        "digitised": "'yes'",
        "population_basis": "(array['no', 'yes'])[1 + g % 2]",
    },
    "cadre": {
        "birth_date": "date '1965-01-05' + g % 14000",
        "citizen_id": "1000000000 + g % 1000000 + (extract(year from date '1965-01-05' + g % 14000)::bigint % 100)"
        " * 1000000 + (g % 2 + case when date '1965-01-05' + g % 14000 >= '2000-01-01' then 2 else 0 end)"
        " * 100000000::bigint",
        "employment_status": "(array['serving', 'serving', 'serving', 'retired'])[1 + g % 4]",
        "organisation_code": "'A' || g % 40",
        "changed_on": "date '2024-01-08'",
        "synchronised_on": "date '2024-01-10'",
    },
    "party_member": {},
    "judicial_certificate": {
        "certificate_status": "(array['issued', 'requested'])[1 + g % 2]",
        "requested_on": "date '2024-01-05'",
        "issued_on": "case when g % 2 = 0 then date '2024-01-15' end",
    },
    "public_service_dossier": {
        "procedure_code": "'P' || g % 10",
        "procedure_group": "'other'",
        "received_on": "date '2023-12-20'",
        "due_on": "date '2024-01-10'",
        "processed_on": "case when g % 2 = 0 then date '2024-01-05' end",
        "dossier_status": "(array['9', '4'])[1 + g % 2]",
        "updated_at": "timestamptz '2024-01-14 09:00+07' - g % 20 * interval '1 day'",
    },
    "public_service_catalogue": {
        "province_code": "lpad((1 + g % 60)::text, 2, '0')",
        "due": "(array['no', 'yes'])[1 + g % 2]",
        "integrated": "(array['no', 'yes'])[1 + g % 2]",
        "integrated_on": "case when g % 2 = 1 then date '2022-02-05' end",
    },
    "citizen_feedback": {
        "given_on": "date '2024-01-05'",
        "satisfied": "case when g % 10 = 0 then 'no' else 'yes' end",
        "updated_at": "timestamptz '2024-01-14 09:00+07' - g % 20 * interval '1 day'",
    },
    "land_digitisation": {
        "province_code": "lpad((1 + g % 60)::text, 2, '0')",
        "unit_code": "lpad((g % 1000)::text, 3, '0')",
        "unit_level": "'district'",
        "digitisation_status": "(array['completed', 'in_progress', 'not_started'])[1 + g % 3]",
        "parcels_total": "1000",
        "parcels_digitised": "(array[1000, 500, 0])[1 + g % 3]",
    },
}
# What each of their checks must fail on.
SPOILT: dict[tuple[str, str], str] = {
    ("id_card_issuance", "documents_of_the_period"): "update {leaf} set issued_on = '2023-11-20'",
    ("id_card_issuance", "issues_not_later"): "update {leaf} set issued_on = '2024-02-03' where line % 50 = 0",
    ("id_card_issuance", "ages_as_grouped"): "update {leaf} set age_group = 'under_6' where line % 20 = 0",
    ("id_card_issuance", "certificates_rare"): "update {leaf} set document = 'certificate' where line % 10 = 0",
    ("id_card_issuance", "first_issues_of_children"): (
        "update {leaf} set birth_date = '2022-01-03', citizen_id = null, old_id = '123456789', age_group = "
        "'under_6', issue_reason = 'renewal' where line % 100 = 0"
    ),
    ("id_card_issuance", "communes_covered"): "update {leaf} set commune_code = '00001'",
    ("eid_account", "activated_after_registration"): (
        "update {leaf} set activated_on = registered_on - 1 where line % 20 = 0"
    ),
    ("eid_account", "active_accounts_activated"): "update {leaf} set activated_on = null where line % 10 = 0",
    ("eid_account", "dates_not_later"): "update {leaf} set activated_on = '2024-02-03' where line % 50 = 0",
    ("eid_account", "registered_after_birth"): (
        "update {leaf} set birth_date = registered_on + 1, citizen_id = null, old_id = '123456789' where line % 80 = 0"
    ),
    ("eid_account", "levels_covered"): "update {leaf} set level = '2'",
    ("eid_account", "cards_shown_at_level_2"): "update {leaf} set health_card_on_app = 'yes' where line % 3 = 0",
    ("eid_account", "one_account_per_citizen"): (
        "update {leaf} set citizen_id = (select min(citizen_id) from {leaf}), sex = (select sex from {leaf} order "
        "by citizen_id limit 1), birth_date = (select birth_date from {leaf} order by citizen_id limit 1) where "
        "line % 10 = 2"
    ),
    ("eid_account", "communes_covered"): "update {leaf} set commune_code = '00001'",
    ("organisation_eid", "registrations_not_later"): (
        "update {leaf} set registered_on = '2024-02-03' where line % 50 = 0"
    ),
    ("organisation_eid", "kinds_covered"): "update {leaf} set organisation_kind = 'enterprise'",
    ("organisation_eid", "some_active"): "update {leaf} set account_status = 'closed' where line % 3 > 0",
    ("organisation_eid", "registered_since_the_law"): (
        "update {leaf} set registered_on = '1990-01-01' where line % 10 = 0"
    ),
    ("organisation_eid", "communes_covered"): "update {leaf} set commune_code = '00001'",
    ("health_ebook", "integration_dated"): "update {leaf} set integrated_on = null where line % 4 = 0",
    ("health_ebook", "unintegrated_undated"): "update {leaf} set integrated_on = '2024-01-05' where line % 4 = 1",
    ("health_ebook", "integrated_after_creation"): (
        "update {leaf} set integrated_on = created_on - 1 where integrated = 'yes'"
    ),
    ("health_ebook", "dates_not_later"): (
        "update {leaf} set integrated_on = '2024-02-03' where integrated = 'yes' and line % 20 < 2"
    ),
    ("health_ebook", "created_after_birth"): (
        "update {leaf} set birth_date = created_on + 1, citizen_id = null, old_id = '123456789' where line % 80 = 0"
    ),
    ("health_ebook", "one_book_per_citizen"): (
        "update {leaf} set citizen_id = (select min(citizen_id) from {leaf}), sex = (select sex from {leaf} order "
        "by citizen_id limit 1), birth_date = (select birth_date from {leaf} order by citizen_id limit 1) where "
        "line % 10 = 2"
    ),
    ("health_ebook", "facilities_covered"): "update {leaf} set facility_code = '00001'",
    ("health_ebook", "communes_covered"): "update {leaf} set commune_code = '00001'",
    ("health_vaccination", "doses_of_the_period"): "update {leaf} set vaccinated_on = '2023-11-20'",
    ("health_vaccination", "doses_not_later"): "update {leaf} set vaccinated_on = '2024-02-03' where line % 50 = 0",
    ("health_vaccination", "people_born"): (
        "update {leaf} set birth_date = vaccinated_on + 1, citizen_id = null, old_id = '123456789' where line % 80 = 0"
    ),
    ("health_vaccination", "dose_numbers_plausible"): "update {leaf} set dose_no = 2021 where line % 20 = 0",
    ("health_vaccination", "unverified_few"): "update {leaf} set verification = 'unverified' where line % 4 = 0",
    ("health_vaccination", "mismatches_few"): "update {leaf} set verification = 'mismatched' where line % 2 = 0",
    ("health_vaccination", "verified_numbered"): (
        "update {leaf} set citizen_id = null, old_id = '123456789' where line % 10 = 0"
    ),
    ("health_vaccination", "doses_once"): (
        "update {leaf} set citizen_id = (select min(citizen_id) from {leaf}), sex = (select sex from {leaf} order "
        "by citizen_id limit 1), birth_date = (select birth_date from {leaf} order by citizen_id limit 1) where "
        "line % 10 = 2; update {leaf} set vaccine_code = 'V', dose_no = 1"
    ),
    ("health_vaccination", "facilities_covered"): "update {leaf} set facility_code = '00001'",
    ("social_security_payment", "payments_of_the_period"): "update {leaf} set paid_on = '2023-11-20'",
    ("social_security_payment", "payments_not_later"): "update {leaf} set paid_on = '2024-02-03' where line % 50 = 0",
    ("social_security_payment", "people_born"): (
        "update {leaf} set birth_date = paid_on + 1, citizen_id = null, old_id = '123456789' where line % 80 = 0"
    ),
    ("social_security_payment", "kinds_covered"): "update {leaf} set benefit_kind = 'other'",
    ("social_security_payment", "methods_covered"): "update {leaf} set payment_method = 'cash'",
    ("social_security_payment", "amounts_plausible"): "update {leaf} set amount = amount * 1000",
    ("social_security_payment", "amounts_stated"): "update {leaf} set amount = 0 where line % 20 = 0",
    ("social_security_payment", "pensions_of_age"): (
        "update {leaf} set birth_date = '1990-06-01', citizen_id = null, old_id = '123456789' where line % 12 = 1"
    ),
    ("social_security_payment", "paid_once"): (
        "update {leaf} set citizen_id = (select min(citizen_id) from {leaf}), sex = (select sex from {leaf} order "
        "by citizen_id limit 1), birth_date = (select birth_date from {leaf} order by citizen_id limit 1) where "
        "line % 10 = 2; update {leaf} set benefit_kind = 'sickness', amount = 2000000 where line % 10 = 2"
    ),
    ("social_security_payment", "communes_covered"): "update {leaf} set commune_code = '00001'",
    ("civil_status_event", "registered_after_the_event"): (
        "update {leaf} set registered_on = event_on - 1 where line % 20 = 0 and event_kind <> 'birth'"
    ),
    ("civil_status_event", "registrations_not_later"): (
        "update {leaf} set registered_on = '2024-02-03' where line % 50 = 0"
    ),
    ("civil_status_event", "kinds_covered"): "update {leaf} set event_kind = 'death', subject_no = 1",
    ("civil_status_event", "births_on_the_birth_date"): (
        "update {leaf} set event_on = event_on - 1 where event_kind = 'birth' and line % 5 = 0"
    ),
    ("civil_status_event", "others_after_birth"): (
        "update {leaf} set event_on = '1949-01-01' where event_kind <> 'birth' and line % 20 = 0"
    ),
    ("civil_status_event", "basis_numbered"): (
        "update {leaf} set citizen_id = null, old_id = '123456789' where line % 10 = 0"
    ),
    ("civil_status_event", "basis_digitised"): "update {leaf} set digitised = 'no' where line % 10 = 0",
    ("civil_status_event", "spouses_paired"): (
        "update {leaf} set event_no = event_no || 'X' where event_kind = 'marriage' and subject_no = 2 and line % 8 = 4"
    ),
    ("civil_status_event", "births_and_deaths_single"): "update {leaf} set subject_no = 2 where event_kind = 'birth'",
    ("civil_status_event", "communes_covered"): "update {leaf} set commune_code = '00001'",
    ("cadre", "synchronised_after_the_change"): (
        "update {leaf} set synchronised_on = changed_on - 1 where line % 10 = 0"
    ),
    ("cadre", "synchronised_in_time"): (
        "update {leaf} set changed_on = '2024-01-02', synchronised_on = '2024-01-20' where line % 2 = 0"
    ),
    ("cadre", "changes_dated"): "update {leaf} set changed_on = null where line % 10 = 0",
    ("cadre", "dates_not_later"): (
        "update {leaf} set synchronised_on = '2024-02-03', changed_on = '2024-02-03' where line % 50 = 0"
    ),
    ("cadre", "kinds_covered"): "update {leaf} set cadre_kind = 'cadre'",
    ("cadre", "organisations_covered"): "update {leaf} set organisation_code = 'A'",
    ("cadre", "some_serving"): "update {leaf} set employment_status = 'left' where line % 3 > 0",
    ("cadre", "of_working_age"): (
        "update {leaf} set birth_date = '2010-06-01', citizen_id = null, old_id = '123456789' where line % 50 = 0"
    ),
    ("cadre", "one_file_per_citizen"): (
        "update {leaf} set citizen_id = (select min(citizen_id) from {leaf}), sex = (select sex from {leaf} order "
        "by citizen_id limit 1), birth_date = (select birth_date from {leaf} order by citizen_id limit 1) where "
        "line % 10 = 2"
    ),
    ("party_member", "states_covered"): "update {leaf} set card_dossier = 'issued'",
    ("party_member", "members_grown"): (
        "update {leaf} set birth_date = '2010-06-01', citizen_id = null, old_id = '123456789' where line % 50 = 0"
    ),
    ("party_member", "dossiers_begun"): "update {leaf} set card_dossier = 'not_started' where line % 50 > 0",
    ("party_member", "one_dossier_per_citizen"): (
        "update {leaf} set citizen_id = (select min(citizen_id) from {leaf}), sex = (select sex from {leaf} order "
        "by citizen_id limit 1), birth_date = (select birth_date from {leaf} order by citizen_id limit 1) where "
        "line % 10 = 2"
    ),
    ("party_member", "communes_covered"): "update {leaf} set commune_code = '00001'",
    ("judicial_certificate", "requests_of_the_period"): (
        "update {leaf} set requested_on = '2023-11-02', issued_on = case when issued_on is not null then date "
        "'2023-11-20' end"
    ),
    ("judicial_certificate", "issued_dated"): "update {leaf} set issued_on = null where line % 4 = 1",
    ("judicial_certificate", "unissued_undated"): "update {leaf} set issued_on = '2024-01-20' where line % 4 = 0",
    ("judicial_certificate", "issued_after_the_request"): (
        "update {leaf} set issued_on = requested_on - 1 where issued_on is not null"
    ),
    ("judicial_certificate", "dates_not_later"): (
        "update {leaf} set issued_on = '2024-02-03' where issued_on is not null and line % 20 < 2"
    ),
    ("judicial_certificate", "channels_covered"): "update {leaf} set channel = 'app'",
    ("judicial_certificate", "requests_of_the_grown"): (
        "update {leaf} set birth_date = '2015-06-01', citizen_id = null, old_id = '123456789' where line % 20 = 0"
    ),
    ("judicial_certificate", "communes_covered"): "update {leaf} set commune_code = '00001'",
    ("public_service_dossier", "dossiers_of_the_period"): (
        "update {leaf} set received_on = '2023-10-02', processed_on = '2023-10-20', due_on = '2023-10-22', "
        "dossier_status = '10'"
    ),
    ("public_service_dossier", "receipts_not_later"): (
        "update {leaf} set received_on = '2024-01-16', due_on = null, processed_on = null, dossier_status = '2' "
        "where line % 50 = 0"
    ),
    ("public_service_dossier", "processed_after_receipt"): (
        "update {leaf} set processed_on = received_on - 1 where processed_on is not null and line % 4 = 1"
    ),
    ("public_service_dossier", "due_after_receipt"): (
        "update {leaf} set due_on = received_on - 1 where processed_on is null"
    ),
    ("public_service_dossier", "processed_dated"): "update {leaf} set processed_on = null where line % 4 = 1",
    ("public_service_dossier", "pending_undated"): (
        "update {leaf} set processed_on = '2024-01-08' where processed_on is null and line % 10 < 5"
    ),
    ("public_service_dossier", "processed_in_time"): (
        "update {leaf} set due_on = processed_on - 1 where processed_on is not null"
    ),
    ("public_service_dossier", "channels_covered"): "update {leaf} set channel = 'online'",
    ("public_service_dossier", "procedures_covered"): (
        "update {leaf} set procedure_code = 'A', procedure_group = 'other'"
    ),
    ("public_service_dossier", "procedures_in_one_group"): (
        "update {leaf} set procedure_group = 'birth_linked' where line = 9; update {leaf} set procedure_group = "
        "'other' where line <> 9"
    ),
    ("public_service_dossier", "communes_covered"): "update {leaf} set commune_code = '00001'",
    ("public_service_catalogue", "integration_dated"): "update {leaf} set integrated_on = null where line % 4 = 0",
    ("public_service_catalogue", "unintegrated_undated"): (
        "update {leaf} set integrated_on = '2024-01-05' where line % 4 = 1"
    ),
    ("public_service_catalogue", "dates_not_later"): (
        "update {leaf} set integrated_on = '2024-02-03' where integrated = 'yes'"
    ),
    ("public_service_catalogue", "some_due"): "update {leaf} set due = 'no'",
    ("public_service_catalogue", "provinces_covered"): "update {leaf} set province_code = '01'",
    ("citizen_feedback", "answers_of_the_period"): "update {leaf} set given_on = '2023-11-20'",
    ("citizen_feedback", "answers_not_later"): "update {leaf} set given_on = '2024-01-16' where line % 50 = 0",
    ("citizen_feedback", "channels_covered"): "update {leaf} set channel = 'online'",
    ("citizen_feedback", "answers_differ"): "update {leaf} set satisfied = 'yes'",
    ("citizen_feedback", "dossiers_answered_once"): "update {leaf} set dossier_no = 'D' where line % 10 = 0",
    ("citizen_feedback", "communes_covered"): "update {leaf} set commune_code = '00001'",
    ("land_digitisation", "parts_within_the_whole"): (
        "update {leaf} set parcels_digitised = 1001 where digitisation_status = 'in_progress'"
    ),
    ("land_digitisation", "completed_units_complete"): (
        "update {leaf} set parcels_digitised = 9 where digitisation_status = 'completed'"
    ),
    ("land_digitisation", "unstarted_units_empty"): (
        "update {leaf} set parcels_digitised = 9 where digitisation_status = 'not_started'"
    ),
    ("land_digitisation", "codes_as_levels"): (
        "update {leaf} set unit_code = right(unit_code, 5) || '00' where line % 10 = 0"
    ),
    ("land_digitisation", "levels_of_their_time"): (
        "update {leaf} set unit_level = 'commune', unit_code = unit_code || '00'"
    ),
    ("land_digitisation", "levels_not_mixed"): (
        "update {leaf} set unit_level = 'commune', unit_code = unit_code || '00' where line % 10 = 0"
    ),
    ("land_digitisation", "provinces_covered"): "update {leaf} set province_code = '01'",
}
# What a fault of one check shows in a second one as well.
ALSO: dict[tuple[str, str], set[str]] = {}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A warehouse of its own, extracts staged in it as the loader leaves them."""
    patch = pytest.MonkeyPatch()
    patch.setenv("P06_HOME", str(tmp_path_factory.mktemp("registers") / "home"))
    patch.delenv("P06_DATABASE_URL", raising=False)
    settings.cache_clear()
    database.ensure_running()
    try:
        with database.connect("loader", autocommit=True) as connection:
            yield Stage(connection, GOOD)
    finally:
        database.stop()
        patch.undo()
        settings.cache_clear()


@pytest.mark.parametrize("source", sorted(GOOD))
def test_a_good_extract_passes_clean(stage: Stage, source: str) -> None:
    verdict = stage.judge(source)
    assert (verdict.outcome, failed(verdict)) == ("pass", set())


def _fails_alone(stage: Stage, source: str, check: str) -> None:
    verdict = stage.judge(source, change=SPOILT[source, check])
    (severity,) = {asked.severity for asked in suite.load_source(source).checks if asked.id == check}
    besides = {"provinces_present"} if check == "communes_covered" else ALSO.get((source, check), set())
    assert failed(verdict) == {check} | besides
    assert verdict.outcome == ("blocked" if severity == "block" else "warnings")


@pytest.mark.parametrize("source", sorted(GOOD))
def test_the_first_check_of_a_source_fails_on_what_it_must_and_alone(stage: Stage, source: str) -> None:
    _fails_alone(stage, source, next(check for own, check in SPOILT if own == source))


@pytest.mark.long
@pytest.mark.parametrize(("source", "check"), sorted(SPOILT))
def test_a_check_fails_on_what_it_must_and_alone(stage: Stage, source: str, check: str) -> None:
    _fails_alone(stage, source, check)


def test_rows_without_a_number_are_nobody_twice(stage: Stage) -> None:
    verdict = stage.judge("health_ebook", change="update {leaf} set citizen_id = null, old_id = '123456789'")
    assert "one_book_per_citizen" not in failed(verdict)


def test_each_check_of_theirs_has_a_case() -> None:
    assert GOOD.keys() | {source for source, _ in OWN} <= contract.load_all().keys()
    for source in GOOD:
        stated = yaml.safe_load((settings().expectations / "sources" / f"{source}.yaml").read_text("utf-8"))
        assert [check["id"] for check in stated["checks"]] == [check for own, check in SPOILT if own == source]
