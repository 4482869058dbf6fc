"""The registers that joined after the first six: their columns, and what holds for every source's three files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from p06 import contract, newsource, project, suite
from p06.cli import app
from p06.contract import ContractError
from p06.errors import UsageError
from p06.period import Period
from p06.settings import settings

CONTRACTS = contract.load_all()
IDENTITY = "citizen_id id12, old_id code(9), full_name* text, birth_date* date, sex* enum(M,F,U), "
YES = "enum(yes,no)"
COMMUNE = "commune_code* code(5)"
# Columns in order, * for required, ! for a part of the key.
TABLE = {
    "id_card_issuance": (
        "identity", "events", IDENTITY + "application_no!* text, document* enum(card,certificate), "
        "issue_reason* enum(first,renewal,replacement,reissue), age_group* enum(under_6,6_to_13,14_over), "
        f"issued_on* date, {COMMUNE}",
    ),
    "eid_account": (
        "identity", "state", IDENTITY + "account_no!* text, level* enum(1,2), registered_on* date, activated_on date, "
        f"account_status* enum(active,locked,closed), health_card_on_app* {YES}, {COMMUNE}",
    ),
    "organisation_eid": (
        "identity", "state", "organisation_code!* text, "
        "organisation_kind* enum(enterprise,cooperative,state_agency,other), registered_on* date, "
        f"account_status* enum(active,locked,closed), {COMMUNE}",
    ),
    "health_ebook": (
        "health", "state", IDENTITY + f"book_no!* text, created_on* date, integrated* {YES}, integrated_on date, "
        f"facility_code code(5), {COMMUNE}",
    ),
    "health_vaccination": (
        "health", "events", IDENTITY + "dose_id!* text, vaccine_code* text, dose_no* integer, vaccinated_on* date, "
        "facility_code* code(5), verification* enum(verified,mismatched,unverified)",
    ),
    "social_security_payment": (
        "social_security", "events", IDENTITY + "payment_id!* text, benefit_kind* enum(pension,sickness,maternity,"
        "unemployment,funeral_allowance,social_assistance,other), payment_method* enum(bank_account,cash,post), "
        f"paid_on* date, amount* numeric(15,2), {COMMUNE}",
    ),
    "civil_status_event": (
        "civil_status", "events", IDENTITY + "event_no!* text, subject_no!* integer, "
        "event_kind* enum(birth,death,marriage), event_on* date, registered_on* date, "
        f"digitised* {YES}, population_basis* {YES}, {COMMUNE}",
    ),
    "cadre": (
        "cadre", "state", IDENTITY + "profile_no!* text, cadre_kind* enum(cadre,civil_servant,public_employee), "
        "organisation_code* text, employment_status* enum(serving,retired,left), changed_on date, synchronised_on date",
    ),
    "party_member": (
        "party", "state",
        IDENTITY + f"member_no!* text, card_dossier* enum(not_started,collected,printed,issued), {COMMUNE}",
    ),
    "judicial_certificate": (
        "judicial", "events", IDENTITY + "certificate_no!* text, certificate_status* enum(requested,issued,refused), "
        f"requested_on* date, issued_on date, channel* enum(app,portal,counter), {COMMUNE}",
    ),
    "public_service_dossier": (
        "public_service", "events", IDENTITY + "dossier_no!* text, procedure_code* text, "
        "procedure_group* enum(birth_linked,death_linked,other), channel* enum(online,counter,post), "
        f"received_on* date, due_on date, processed_on date, dossier_status* code, {COMMUNE}",
    ),
    "public_service_catalogue": (
        "public_service", "state",
        f"province_code!* code(2), service_code!* text, due* {YES}, integrated* {YES}, integrated_on date",
    ),
    "citizen_feedback": (
        "public_service", "events", f"feedback_no!* text, dossier_no text, satisfied* {YES}, "
        f"channel* enum(online,counter,post), given_on* date, {COMMUNE}",
    ),
    "land_digitisation": (
        "land", "state", "province_code!* code(2), unit_code!* text, unit_level* enum(district,commune), "
        "digitisation_status* enum(completed,in_progress,not_started), parcels_total* integer, "
        "parcels_digitised* integer",
    ),
}  # fmt: skip
FIRST = ("bank_kyc", "education_enrolment", "health_visit", "land_parcel", "population_register",
         "social_security_participation")  # fmt: skip
SHIPPED = (*FIRST, *TABLE)
RESTRICTED = {"health_ebook", "health_vaccination", "judicial_certificate", "party_member"}


@pytest.mark.parametrize("source", TABLE)
def test_columns_are_those_agreed(source: str) -> None:
    found = CONTRACTS[source]
    sector, kind, written = TABLE[source]
    columns = [
        f"{c.name}{'!' if c.name in found.key else ''}{'*' if c.required else ''} {c.type_text}" for c in found.columns
    ]
    assert columns == [*re.split(r", (?![^()]*\))", written), "updated_at* timestamptz"]
    assert (found.sector, found.kind, found.mart) == (sector, kind, f"fct_{source}")
    assert found.has_identity == written.startswith(IDENTITY)


def test_nothing_waits_for_them_before_2027_and_the_first_six_are_always_due() -> None:
    assert {CONTRACTS[name].due_from for name in TABLE} == {Period(2027, 1)}
    assert {CONTRACTS[name].due_from for name in FIRST} == {None}


def test_a_period_with_a_cut_off_day_begins_the_day_after_the_one_before() -> None:
    cut = {name for name in SHIPPED if CONTRACTS[name].cut_off_day}
    assert cut == {"public_service_dossier", "citizen_feedback"}
    dossier = CONTRACTS["public_service_dossier"]
    assert dossier.first_day(Period(2024, 9)).isoformat() == "2024-08-15"
    assert Period(2024, 9).as_of(dossier.cut_off_day).isoformat() == "2024-09-14"
    assert CONTRACTS["cadre"].first_day(Period(2024, 9)).isoformat() == "2024-09-01"


def test_a_commune_that_is_no_residence_is_not_compared_with_one() -> None:
    apart = {name for name in SHIPPED if CONTRACTS[name].commune_column and not CONTRACTS[name].compared_commune}
    assert apart == {
        "civil_status_event", "land_parcel", "party_member", "public_service_dossier", "social_security_payment",
    }  # fmt: skip


def test_the_dead_are_a_question_but_where_they_belong() -> None:
    shipped = {name: CONTRACTS[name] for name in SHIPPED if CONTRACTS[name].is_sector_source}
    told = {name: known.service_column or known.deceased for name, known in shipped.items()}
    assert told == {
        "bank_kyc": "hold",
        "cadre": "listed",
        "civil_status_event": "listed",
        "education_enrolment": "no",
        "eid_account": "no",
        "health_ebook": "listed",
        "health_vaccination": "vaccinated_on",
        "health_visit": "admitted_at",
        "id_card_issuance": "issued_on",
        "judicial_certificate": "requested_on",
        "land_parcel": "hold",
        "party_member": "no",
        "public_service_dossier": "received_on",
        "social_security_participation": "no",
        "social_security_payment": "listed",
    }


@pytest.mark.parametrize("source", CONTRACTS)
class TestEverySource:
    def test_rests_on_a_law_and_names_the_protection_of_persons(self, source: str) -> None:
        known = CONTRACTS[source]
        assert "Decree 278/2025 (mandatory sharing of national data)" in known.legal_basis
        assert known.has_identity == any("91/2025/QH15" in basis for basis in known.legal_basis)

    def test_classes_what_names_a_person_and_what_is_sensitive(self, source: str) -> None:
        known = CONTRACTS[source]
        named = {c.name for c in known.columns if c.name in {"citizen_id", "old_id", "full_name", "birth_date"}}
        assert {known.column(name).classification for name in named} <= {"identifier"}
        numbers = {c.name for c in known.columns if c.name in known.key and c.kind == "text" and known.has_identity}
        units = {"institution_code"}  # the code of a bank is not that of a person
        assert {known.column(name).classification for name in numbers - units} <= {"identifier"}
        if known.restricted:
            facts = [c for c in known.measures if c.name not in ("channel", "verification")]
            assert {c.classification for c in facts} == {"sensitive"}

    def test_has_a_staging_model_that_lists_its_columns_in_the_order_of_the_file(self, source: str) -> None:
        known = CONTRACTS[source]
        path, wanted = project.staging_model(known)
        text = (settings().dbt_project / path).read_text("utf-8")
        assert re.fullmatch(r"-- one row per [^\n]+", text.splitlines()[0])
        if known.kind != "register":
            assert text.splitlines()[1:] == wanted.splitlines()[1:]

    def test_is_asked_more_than_what_every_source_is(self, source: str) -> None:
        known = CONTRACTS[source]
        stated = (settings().expectations / "sources" / f"{source}.yaml").read_text("utf-8")
        wanted = {
            "extract",
            *(["identity"] if known.has_identity else []),
            *(["areas"] if known.commune_column else []),
        }
        included = re.search(r"^include: \[(.*)\]$", stated, re.MULTILINE)
        assert included and set(included[1].split(", ")) == wanted
        assert suite.load_source(source).checks[-1].owner == f"quality-{known.sector.replace('_', '-')}"
        assert source not in SHIPPED or stated.count("  - id: ") >= 5

    def test_says_in_two_languages_what_is_unconfirmed(self, source: str) -> None:
        known = CONTRACTS[source]
        for column in known.columns:
            if column.unconfirmed:
                english, vietnamese = column.unconfirmed.split(" · ")
                assert f"(**unconfirmed**: {english})" in known.doc_md
                assert f"(**chưa xác nhận**: {vietnamese})" in known.doc_md


def test_the_marts_of_sensitive_registers_are_restricted() -> None:
    assert {name for name in SHIPPED if CONTRACTS[name].restricted} == RESTRICTED
    assert "role `sensitive` alone" in CONTRACTS["party_member"].doc_md


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("access, value: restricted", "access, value: secret", "P06-CONTRACT-014"),
        ("access, value: restricted", "serviceColumn, value: card_dossier", "P06-CONTRACT-007"),
        ("access, value: restricted", "deceased, value: maybe", "P06-CONTRACT-014"),
        ("communeCompared, value: false", "communeCompared, value: never", "P06-CONTRACT-014"),
        ("no published list was found · ", "no published list was found, ", "P06-CONTRACT-012"),
    ],
)
def test_a_wrong_word_has_its_code(tmp_path: Path, old: str, new: str, code: str) -> None:
    shutil.copytree(settings().contracts, tmp_path / "contracts")
    path = tmp_path / "contracts" / "party_member.odcs.yaml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ContractError) as raised:
        contract.parse(path)
    assert raised.value.code == code


# ---- a new one --------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own copy of what a new source is written into."""
    for name, part in (("P06_CONTRACTS", "contracts"), ("P06_EXPECTATIONS", "expectations")):
        shutil.copytree(settings().root / part, tmp_path / part)
        monkeypatch.setenv(name, str(tmp_path / part))
    shutil.copytree(settings().root / "dbt_project", tmp_path / "dbt_project")
    monkeypatch.setenv("P06_DBT_PROJECT", str(tmp_path / "dbt_project"))
    settings.cache_clear()
    return tmp_path


@pytest.fixture(autouse=True)
def _settings_again() -> object:
    yield
    settings.cache_clear()


PERMIT = [
    "permit_no!:text:Number of the permit:Số giấy phép",
    "permit_kind*:enum(new=New=Cấp mới,renewed=Renewed=Gia hạn):Kind of permit:Loại giấy phép",
    "fee:numeric(15,2) >=0 sensitive:Fee paid, in dong:Lệ phí, đồng",
    "issued_on*:date",
    "commune_code*:commune:Commune of the work place:Mã xã nơi làm việc",
]


@pytest.mark.parametrize("identity", [True, False])
def test_the_skeleton_is_a_whole_valid_source_at_once(checkout: Path, identity: bool) -> None:
    options = [part for one in PERMIT for part in ("--column", one)]
    asked = ["new-source", "work_permit", "--sector", "labour_market", "--kind", "events", *options]
    done = CliRunner().invoke(app, asked if identity else [*asked, "--no-identity"])
    assert done.exit_code == 0, done.output
    assert [Path(line).name for line in done.output.split()] == [
        "work_permit.odcs.yaml", "stg_work_permit.sql", "work_permit.yaml",
    ]  # fmt: skip
    contract.validate(checkout / "contracts" / "work_permit.odcs.yaml")
    known = contract.load("work_permit")
    assert (known.kind, known.has_identity, known.key) == ("events", identity, ("permit_no",))
    assert (known.commune_column, known.mart) == ("commune_code", "fct_work_permit")
    assert [column.name for column in known.measures] == ["permit_kind", "fee", "issued_on"]
    assert (known.column("fee").minimum, known.column("fee").classification) == (0, "sensitive")
    assert known.column("commune_code").codelist == "commune"
    assert suite.load_source("work_permit").checks[0].owner == "quality-labour-market"
    assert "fct_work_permit" in project.models() and "fct_work_permit" in suite.marts()
    every = TestEverySource()
    CONTRACTS["work_permit"] = known
    try:
        for claim in dir(every):
            if claim.startswith("test_"):
                getattr(every, claim)("work_permit")
    finally:
        del CONTRACTS["work_permit"]
    # all that is left to be written says so
    text = (checkout / "contracts" / "work_permit.odcs.yaml").read_text("utf-8")
    assert "title to be written" in text and "What one row says." in text


def test_without_columns_it_has_a_number_and_the_identity(checkout: Path) -> None:
    newsource.write("work_permit", "labour")
    assert [column.name for column in contract.load("work_permit").columns] == [
        *contract.IDENTITY, "record_no", "updated_at",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "column",
    ["Permit:text", "permit:varchar", "permit:text secret", "permit:enum", "permit", "reason:text", "fee:numeric"],
)
def test_a_column_that_cannot_be_one_leaves_nothing_behind(checkout: Path, column: str) -> None:
    before = sorted(checkout.rglob("*"))
    with pytest.raises(UsageError) as raised:
        newsource.write("work_permit", "labour", "state", (newsource.Field.parse(column),))
    assert raised.value.code == "P06-CLI-012"
    assert sorted(checkout.rglob("*")) == before


def test_a_kind_there_is_not_and_a_source_there_is_are_refused(checkout: Path) -> None:
    for asked, code in ((["work_permit", "--kind", "register"], "P06-CLI-013"), (["cadre"], "P06-CLI-003")):
        done = CliRunner().invoke(app, ["new-source", *asked])
        assert isinstance(done.exception, UsageError) and done.exception.code == code


def test_the_list_of_sources_tells_what_each_cost() -> None:
    told = {one["source"]: one for one in json.loads(CliRunner().invoke(app, ["sources", "--json"]).output)}
    assert set(told) == set(CONTRACTS)
    assert told["party_member"]["access"] == "restricted"
    for source in TABLE:
        assert set(told[source]["lines"]) == {"contract", "model", "suite"}
        assert told[source]["lines"]["model"] < 25
