"""Every contract of the folder keeps the standard, and the six first ones keep the table of the interface."""

from __future__ import annotations

import copy
import json
import re
import shutil
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from p06 import contract, project
from p06.contract import ContractError, UnknownSource
from p06.errors import messages
from p06.period import Period
from p06.settings import settings

FOLDER = Path(__file__).resolve().parents[2] / "contracts"
FILES = sorted(FOLDER.glob("*.odcs.yaml"))
SOURCES = [path.name.removesuffix(contract.SUFFIX) for path in FILES]
CONTRACTS = contract.load_all(FOLDER)

IDENTITY = "citizen_id id12, old_id code(9), full_name* text, birth_date* date, sex* enum(M,F,U)"
LEVELS = "preschool,primary,lower_secondary,upper_secondary,continuing,college,university"
# The interface's table: columns in order, * for required, ! for a part of the key.
TABLE = {
    "population_register": (
        "register",
        "citizen_id!* id12, old_id code(9), full_name* text, birth_date* date, sex* enum(M,F,U), ethnicity_code code, "
        "residence_commune_code* code(5), status* enum(alive,deceased,emigrated,cancelled), death_date date, "
        "id_card_issued_on date, eid_level* enum(0,1,2), eid_activated_on date, previous_citizen_id id12, "
        "record_op* enum(upsert,remove)",
    ),
    "education_enrolment": (
        "state",
        f"{IDENTITY}, student_code!* text, school_code* text, level* enum({LEVELS}), grade integer, school_year* text, "
        "enrolment_status* enum(studying,transferred,graduated,dropped_out), commune_code* code(5)",
    ),
    "health_visit": (
        "events",
        f"{IDENTITY}, visit_id!* text, facility_code* code(5), insurance_card_no code(15), admitted_at* timestamptz, "
        "discharged_at timestamptz, main_diagnosis* code, total_amount* numeric(15,2), insurance_paid* numeric(15,2), "
        "patient_paid* numeric(15,2)",
    ),
    "social_security_participation": (
        "state",
        f"{IDENTITY}, social_insurance_no!* code(10), insurance_card_no code(15), object_code code(2), "
        "benefit_level integer, participation* enum(compulsory,voluntary,health_only,pension,none), unit_code text, "
        "contribution_amount numeric(15,2), card_valid_from date, card_valid_to date, commune_code* code(5)",
    ),
    "bank_kyc": (
        "state",
        f"{IDENTITY}, institution_code!* text, customer_ref!* text, "
        "institution_kind* enum(credit_institution,payment_intermediary), channel* enum(counter,app,vneid), "
        "biometric_match* enum(matched,mismatched,not_done), matched_at timestamptz, "
        "account_status* enum(active,suspended,closed)",
    ),
    "land_parcel": (
        "state",
        f"{IDENTITY}, parcel_id!* text, holder_no!* integer, commune_code* code(5), map_sheet text, parcel_no text, "
        "land_type* code, area_m2* numeric(18,6), share_percent* numeric(9,6), certificate_serial text, "
        "certificate_issued_on date, data_group* enum(1,2,3)",
    ),
}
MARTS = {
    "population_register": None,
    "education_enrolment": "fct_education_enrolment",
    "health_visit": "fct_health_visit",
    "social_security_participation": "fct_social_security_participation",
    "bank_kyc": "fct_bank_kyc",
    "land_parcel": "fct_land_holding",
}
# (source, column) -> minimum, exclusive, maximum
RANGES = {
    ("education_enrolment", "grade"): (1, False, 12),
    ("health_visit", "total_amount"): (0, False, None),
    ("health_visit", "insurance_paid"): (0, False, None),
    ("health_visit", "patient_paid"): (0, False, None),
    ("social_security_participation", "benefit_level"): (1, False, 5),
    ("social_security_participation", "contribution_amount"): (0, False, None),
    ("land_parcel", "holder_no"): (1, False, 2_147_483_647),
    ("land_parcel", "area_m2"): (0, True, None),
    ("land_parcel", "share_percent"): (0, False, 100),
}
CODELISTS = {
    ("population_register", "ethnicity_code"): "ethnicity",
    ("population_register", "residence_commune_code"): "commune",
    ("education_enrolment", "commune_code"): "commune",
    ("social_security_participation", "object_code"): "insurance_object",
    ("social_security_participation", "commune_code"): "commune",
    ("land_parcel", "commune_code"): "commune",
    ("land_parcel", "land_type"): "land_type",
}


@pytest.mark.parametrize("path", FILES, ids=SOURCES)
class TestEveryContract:
    def test_is_valid_by_the_standards_model(self, path: Path) -> None:
        OpenDataContractStandard.from_file(str(path))
        contract.validate(path)

    def test_is_valid_by_the_standards_json_schema(self, path: Path) -> None:
        schema = json.loads((resources.files("open_data_contract_standard") / "schema.json").read_text("utf-8"))
        validator = jsonschema.Draft201909Validator(schema)
        found = [
            f"{list(e.absolute_path)} {e.message}" for e in validator.iter_errors(yaml.safe_load(path.read_text()))
        ]
        assert found == []

    def test_explains_and_classifies_every_column_in_two_languages(self, path: Path) -> None:
        for column in contract.parse(path).columns:
            assert column.description_en != column.description_vi, column.name
            assert re.search(r"[À-ỹĐđ]", column.description_vi), column.name
            assert not re.search(r"[Ạ-ỹĐđ]", column.description_en), column.name
            assert column.classification in {"public", "internal", "basic", "sensitive", "identifier"}

    def test_names_every_enumerated_value_in_two_languages(self, path: Path) -> None:
        for column in yaml.safe_load(path.read_text())["schema"][0]["properties"]:
            for entry in column.get("enum", ()):
                assert entry["label"]
                assert entry["customProperties"][0]["property"] == "labelVi"

    def test_carries_no_identity_and_no_identifier_but_the_code_of_a_unit_into_a_mart(self, path: Path) -> None:
        carried = {column.name: column.classification for column in contract.parse(path).columns if column.in_mart}
        assert not {"citizen_id", "old_id", "previous_citizen_id", "full_name", "birth_date", "sex"} & set(carried)
        assert "identifier" not in carried.values()

    def test_ends_with_a_required_updated_at(self, path: Path) -> None:
        last = contract.parse(path).columns[-1]
        assert (last.name, last.sql_type, last.required) == ("updated_at", "timestamptz", True)

    def test_says_when_it_is_due_and_who_answers_for_it(self, path: Path) -> None:
        found = contract.parse(path)
        assert 1 <= found.deadline_day <= 31
        assert len(found.schedule.split()) == 5
        assert found.owner and found.sector and found.servers and found.legal_basis
        assert found.min_rows == 1 and found.max_rows

    def test_documents_itself_in_two_languages(self, path: Path) -> None:
        found = contract.parse(path)
        text = found.doc_md
        assert found.title_en in text and found.title_vi in text
        assert all(column.description_en in text and column.description_vi in text for column in found.columns)


def test_the_six_sources_are_there() -> None:
    assert set(TABLE) <= set(CONTRACTS)
    assert list(CONTRACTS) == sorted(CONTRACTS)


@pytest.mark.parametrize("source", TABLE)
def test_columns_are_those_of_the_interface(source: str) -> None:
    found = CONTRACTS[source]
    kind, written = TABLE[source]
    columns = [
        f"{c.name}{'!' if c.name in found.key else ''}{'*' if c.required else ''} {c.type_text}" for c in found.columns
    ]
    assert found.kind == kind
    assert columns == [*re.split(r", (?![^()]*\))", written), "updated_at* timestamptz"]
    assert found.mart == MARTS[source]
    assert found.has_identity
    assert found.is_sector_source == (kind != "register")


@pytest.mark.parametrize("source", TABLE)
def test_ranges_and_code_lists_are_those_of_the_interface_and_no_others(source: str) -> None:
    for column in CONTRACTS[source].columns:
        low, exclusive, high = RANGES.get((source, column.name), (None, False, None))
        assert (column.minimum, column.minimum_exclusive) == (None if low is None else Decimal(low), exclusive)
        assert (column.maximum, column.maximum_exclusive) == (None if high is None else Decimal(high), False)
        assert column.codelist == CODELISTS.get((source, column.name))
        assert column.not_after_period == (column.name == "birth_date")


def test_keys_are_in_the_order_of_the_interface() -> None:
    assert CONTRACTS["bank_kyc"].key == ("institution_code", "customer_ref")
    assert CONTRACTS["land_parcel"].key == ("parcel_id", "holder_no")


def test_the_only_rule_between_columns_is_the_sum_of_the_visit() -> None:
    rules = {source: [(r.kind, r.left, r.right) for r in CONTRACTS[source].rules] for source in TABLE}
    assert rules.pop("health_visit") == [("sum", "total_amount", ("insurance_paid", "patient_paid"))]
    assert not any(rules.values())


@pytest.mark.parametrize(
    ("source", "column", "good", "bad"),
    [
        (
            "health_visit",
            "main_diagnosis",
            ["A09", "J18.9", "J189", "E11.65", "A18.0+", "M01.1*"],
            ["a09", "A9", "A09."],
        ),
        (
            "health_visit",
            "insurance_card_no",
            ["GD4010123456789", "TE1790000000012"],
            ["GD6010123456789", "G14010123456789"],
        ),
        ("education_enrolment", "school_year", ["2024-2025"], ["2024", "2024/2025", "2024-25"]),
        (
            "social_security_participation",
            "social_insurance_no",
            ["0123456789"],
            ["012345678", "01234567a9", "٠١٢٣٤٥٦٧٨٩"],
        ),
        ("bank_kyc", "old_id", ["012345678"], ["12345678", "0123456789"]),
    ],
)
def test_patterns_take_the_good_and_leave_the_bad(source: str, column: str, good: list[str], bad: list[str]) -> None:
    pattern = CONTRACTS[source].column(column).pattern
    assert pattern is not None
    assert [value for value in good if not re.fullmatch(pattern, value)] == []
    assert [value for value in bad if re.fullmatch(pattern, value)] == []


def test_a_twelve_digit_id_is_a_bigint_and_a_nine_digit_one_text() -> None:
    register = CONTRACTS["population_register"]
    assert [register.column(name).sql_type for name in ("citizen_id", "old_id", "birth_date", "sex")] == [
        "bigint",
        "text",
        "date",
        "text",
    ]
    assert CONTRACTS["health_visit"].column("total_amount").sql_type == "numeric(15,2)"


# ---- faults -----------------------------------------------------------------------------------------------------


def write(folder: Path, document: dict[str, Any], name: str = "thing") -> Path:
    path = folder / f"{name}.odcs.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    return path


@pytest.fixture
def document() -> dict[str, Any]:
    """A small sound contract, to be spoilt."""

    def column(name: str, physical: str, logical: str, **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "description": f"The {name}",
            "physicalType": physical,
            "logicalType": logical,
            "classification": "basic",
            "customProperties": [{"property": "descriptionVi", "value": "Mô tả"}],
        } | more

    return {
        "apiVersion": "v3.0.2",
        "kind": "DataContract",
        "id": "thing",
        "version": "1.0.0",
        "status": "active",
        "name": "Things",
        "domain": "other",
        "description": {"purpose": "Things", "customProperties": [{"property": "purposeVi", "value": "Vật"}]},
        "team": {"name": "desk"},
        "customProperties": [{"property": "nameVi", "value": "Vật"}, {"property": "kind", "value": "state"}],
        "schema": [
            {
                "name": "thing",
                "properties": [
                    column("thing_no", "text", "string", required=True, primaryKey=True, primaryKeyPosition=1),
                    column("amount", "numeric(15,2)", "number", logicalTypeOptions={"minimum": 0}),
                    column("part", "numeric(15,2)", "number"),
                ],
            }
        ],
    }


def test_a_small_contract_without_identity_is_read(tmp_path: Path, document: dict[str, Any]) -> None:
    found = contract.parse(write(tmp_path, document))
    assert (found.source, found.key, found.has_identity, found.mart) == ("thing", ("thing_no",), False, None)
    assert (found.due_from, found.cut_off_day, found.min_rows, found.allow_added) == (None, None, None, False)
    assert found.column("amount").minimum == Decimal(0)


def test_a_province_column_is_the_marts_province_and_no_measure(tmp_path: Path, document: dict[str, Any]) -> None:
    plain = contract.parse(write(tmp_path, document)).hash
    (tmp_path / "codelists").mkdir()
    (tmp_path / "codelists" / "area.csv").touch()
    document["customProperties"].append({"property": "provinceColumn", "value": "province_code"})
    own = [{"property": "codelist", "value": "province"}, {"property": "inMart", "value": True}]
    stated = _first(document) | {"name": "province_code", "physicalType": "code(2)"}
    stated["customProperties"] = [*stated["customProperties"], *own]
    document["schema"][0]["properties"].insert(1, {k: v for k, v in stated.items() if not k.startswith("primaryKey")})
    found = contract.parse(write(tmp_path, document))
    assert (found.province_column, found.commune_column) == ("province_code", None)
    assert "province_code" not in {column.name for column in found.measures}
    assert found.hash != plain
    document["customProperties"].append({"property": "communeColumn", "value": "thing_no"})
    with pytest.raises(contract.ContractError) as failure:
        contract.parse(write(tmp_path, document))
    assert failure.value.code == "P06-CONTRACT-014"


def _first(document: dict[str, Any], index: int = 0) -> dict[str, Any]:
    column: dict[str, Any] = document["schema"][0]["properties"][index]
    return column


def _rule(implementation: Any) -> dict[str, Any]:
    return {"name": "adds_up", "engine": "p06", "type": "custom", "description": "x", "implementation": implementation}


SPOILT: dict[str, tuple[str, Any]] = {
    "another kind of document": ("P06-CONTRACT-003", lambda d: d.update(kind="Thing")),
    "an old standard": ("P06-CONTRACT-003", lambda d: d.update(apiVersion="v2.2.0")),
    "no table": ("P06-CONTRACT-003", lambda d: d.pop("schema")),
    "two tables": ("P06-CONTRACT-003", lambda d: d["schema"].append(d["schema"][0])),
    "no columns": ("P06-CONTRACT-003", lambda d: d["schema"][0].update(properties=[])),
    "an upper-case name": ("P06-CONTRACT-004", lambda d: _first(d).update(name="ThingNo")),
    "a name with SQL": ("P06-CONTRACT-004", lambda d: _first(d).update(name='x"; drop table y')),
    "a name of 64 letters": ("P06-CONTRACT-004", lambda d: _first(d).update(name="x" * 64)),
    "a header with outer spaces": ("P06-CONTRACT-004", lambda d: _first(d).update(physicalName=" Mã")),
    "an unknown kind of source": (
        "P06-CONTRACT-005",
        lambda d: d["customProperties"][1].update(value="snapshot"),
    ),
    "an unknown kind of rule": (
        "P06-CONTRACT-005",
        lambda d: d["schema"][0].update(quality=[_rule({"product": {}})]),
    ),
    "an unknown type": ("P06-CONTRACT-006", lambda d: _first(d).update(physicalType="varchar(10)")),
    "a type that does not fit": ("P06-CONTRACT-006", lambda d: _first(d).update(logicalType="number")),
    "a number without its digits": ("P06-CONTRACT-006", lambda d: _first(d, 1).update(physicalType="numeric")),
    "a rule on a missing column": (
        "P06-CONTRACT-007",
        lambda d: d["schema"][0].update(quality=[_rule({"sum": {"total": "amount", "of": ["part", "gone"]}})]),
    ),
    "a missing commune column": (
        "P06-CONTRACT-007",
        lambda d: d["customProperties"].append({"property": "communeColumn", "value": "commune_code"}),
    ),
    "a province column that is not there": (
        "P06-CONTRACT-007",
        lambda d: d["customProperties"].append({"property": "provinceColumn", "value": "province_code"}),
    ),
    "a province column of another list": (
        "P06-CONTRACT-014",
        lambda d: d["customProperties"].append({"property": "provinceColumn", "value": "thing_no"}),
    ),
    "a missing code list": (
        "P06-CONTRACT-008",
        lambda d: _first(d)["customProperties"].append({"property": "codelist", "value": "colours"}),
    ),
    "a reserved name": ("P06-CONTRACT-009", lambda d: _first(d).update(name="period")),
    "a system column": ("P06-CONTRACT-009", lambda d: _first(d).update(name="ctid")),
    "one name twice": ("P06-CONTRACT-010", lambda d: _first(d, 2).update(name="amount")),
    "one header twice": ("P06-CONTRACT-010", lambda d: _first(d, 2).update(physicalName="amount")),
    "another source than the file": ("P06-CONTRACT-011", lambda d: d["schema"][0].update(name="other")),
    "no Vietnamese": ("P06-CONTRACT-012", lambda d: _first(d).update(customProperties=[])),
    "no English": ("P06-CONTRACT-012", lambda d: _first(d).pop("description")),
    "no classification": ("P06-CONTRACT-012", lambda d: _first(d).pop("classification")),
    "a key that begins at two": ("P06-CONTRACT-013", lambda d: _first(d).update(primaryKeyPosition=2)),
    "a pattern that is none": (
        "P06-CONTRACT-014",
        lambda d: _first(d).update(logicalTypeOptions={"pattern": "[a"}),
    ),
    "a pattern that looks around": (
        "P06-CONTRACT-014",
        lambda d: _first(d).update(logicalTypeOptions={"pattern": "^(?=a).*$"}),
    ),
    "a range upside down": (
        "P06-CONTRACT-014",
        lambda d: _first(d, 1).update(logicalTypeOptions={"minimum": 2, "maximum": 1}),
    ),
    "an enumeration of nothing": ("P06-CONTRACT-014", lambda d: _first(d).update(physicalType="enum")),
    "required in words": ("P06-CONTRACT-014", lambda d: _first(d).update(required="yes please")),
    "a cut-off on day 32": (
        "P06-CONTRACT-014",
        lambda d: d["customProperties"].append({"property": "cutOffDay", "value": 32}),
    ),
    "a due_from that is no period": (
        "P06-CONTRACT-014",
        lambda d: d["customProperties"].append({"property": "dueFrom", "value": "soon"}),
    ),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_fault_in_a_contract_has_its_code(tmp_path: Path, document: dict[str, Any], fault: str) -> None:
    code, spoil = SPOILT[fault]
    spoil(document)
    with pytest.raises(ContractError) as caught:
        contract.parse(write(tmp_path, document))
    assert caught.value.code == code
    assert caught.value.where["file"] == "thing.odcs.yaml"


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n", "\x00", "!!python/object:os.system {}"])
def test_a_file_that_is_no_sound_yaml_has_its_code(tmp_path: Path, text: str) -> None:
    path = tmp_path / "thing.odcs.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ContractError) as caught:
        contract.parse(path)
    assert caught.value.code == "P06-CONTRACT-001"


def test_what_the_standards_model_refuses_is_named_by_its_place(tmp_path: Path, document: dict[str, Any]) -> None:
    document["colour"] = "red"
    with pytest.raises(ContractError) as caught:
        contract.validate(write(tmp_path, document))
    assert (caught.value.code, caught.value.where["at"]) == ("P06-CONTRACT-003", "colour")


def test_an_unknown_source_is_wrong_usage() -> None:
    with pytest.raises(UnknownSource) as caught:
        contract.load("weather")
    assert (caught.value.code, caught.value.exit_code) == ("P06-CONTRACT-002", 2)


def test_an_unknown_source_is_not_repeated_when_it_is_no_name() -> None:
    with pytest.raises(UnknownSource) as caught:
        contract.load("001089000123'; --")
    assert "001089000123" not in str(caught.value)


def test_a_missing_folder_is_not_an_empty_country(tmp_path: Path) -> None:
    with pytest.raises(ContractError) as caught:
        contract.load_all(tmp_path / "nothing")
    assert caught.value.code == "P06-CONTRACT-016"


def test_a_changed_file_is_read_again(tmp_path: Path, document: dict[str, Any]) -> None:
    write(tmp_path, document)
    before = contract.load_all(tmp_path)["thing"]
    document["schema"][0]["properties"].pop()
    write(tmp_path, document)
    assert len(contract.load_all(tmp_path)["thing"].columns) == len(before.columns) - 1


def test_the_hash_follows_meaning_and_not_words(tmp_path: Path, document: dict[str, Any]) -> None:
    before = contract.parse(write(tmp_path, document)).hash
    _first(document)["description"] = "Other words"
    document["slaProperties"] = [{"property": "deadlineDay", "value": 3}]
    assert contract.parse(write(tmp_path, document)).hash == before
    _first(document, 1)["logicalTypeOptions"] = {"exclusiveMinimum": 0}
    assert contract.parse(write(tmp_path, document)).hash != before


def _lasting(item: dict[str, Any], **more: Any) -> None:
    item.setdefault("customProperties", []).extend({"property": name, "value": value} for name, value in more.items())


def _in_time(document: dict[str, Any]) -> None:
    """A column that begins, one that ends, a rule between both and one for a while, and a list that is replaced."""
    table = document["schema"][0]
    _lasting(_first(document, 1), since="2024-02")
    _lasting(_first(document, 2), until="2024-03")
    _lasting(_first(document), codelist=[{"list": "old", "until": "2024-01"}, {"list": "new", "since": "2024-03"}])
    table["quality"] = [
        _rule({"sum": {"total": "amount", "of": ["part"]}}),
        _rule({"sum": {"total": "part", "of": ["part"]}}) | {"name": "for_a_while"},
    ]
    _lasting(table["quality"][0], descriptionVi="x")
    _lasting(table["quality"][1], descriptionVi="x", since="2024-02", until="2024-02")


@pytest.fixture
def in_time(tmp_path: Path, document: dict[str, Any]) -> contract.Contract:
    (tmp_path / "codelists").mkdir()
    for name in ("old", "new"):
        (tmp_path / "codelists" / f"{name}.csv").write_text("code\nA\n", "utf-8")
    _in_time(document)
    return contract.parse(write(tmp_path, document))


@pytest.mark.parametrize(
    ("period", "columns", "rules", "codelist"),
    [
        (Period(2024, 1), ["thing_no", "part"], [], "old"),
        (Period(2024, 2), ["thing_no", "amount", "part"], ["adds_up", "for_a_while"], None),
        (Period(2024, 3), ["thing_no", "amount", "part"], ["adds_up"], "new"),
        (Period(2024, 4), ["thing_no", "amount"], [], "new"),
    ],
)
def test_a_period_has_the_columns_rules_and_code_lists_in_force_in_it(
    in_time: contract.Contract, period: Period, columns: list[str], rules: list[str], codelist: str | None
) -> None:
    found = in_time.at(period)
    assert [column.name for column in found.columns] == columns
    assert [rule.name for rule in found.rules] == rules
    assert found.column("thing_no").codelist == codelist
    assert in_time.at(period) == found
    assert [column.name for column in in_time.columns] == ["thing_no", "amount", "part"]


def test_what_a_contract_says_of_other_months_does_not_change_the_shape_of_a_month(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    (tmp_path / "codelists").mkdir()
    for name in ("old", "new"):
        (tmp_path / "codelists" / f"{name}.csv").write_text("code\nA\n", "utf-8")
    _lasting(_first(document), codelist="old")
    document["schema"][0]["quality"] = [_rule({"sum": {"total": "amount", "of": ["part"]}})]
    _lasting(document["schema"][0]["quality"][0], descriptionVi="x")
    before = contract.parse(write(tmp_path, document))
    assert before.at(Period(2024, 1)).hash == before.hash
    item = _first(document)["customProperties"]
    item[:] = [one for one in item if one["property"] != "codelist"]
    _lasting(_first(document), codelist=[{"list": "old", "until": "2024-12"}, {"list": "new", "since": "2025-01"}])
    _lasting(_first(document, 2), until="2024-12")
    _lasting(document["schema"][0]["quality"][0], until="2024-12")
    added = copy.deepcopy(_first(document, 2)) | {"name": "part_anew"}
    added["customProperties"] = [one for one in added["customProperties"] if one["property"] != "until"]
    _lasting(added, since="2025-01")
    document["schema"][0]["properties"].insert(1, added)
    after = contract.parse(write(tmp_path, document))
    assert after.hash != before.hash
    assert after.at(Period(2024, 12)).hash == before.hash
    assert after.at(Period(2025, 1)).hash not in (before.hash, after.hash)
    assert [column.name for column in after.at(Period(2025, 1)).columns] == ["thing_no", "part_anew", "amount"]


def test_the_dictionary_says_when_columns_rules_and_lists_hold(in_time: contract.Contract) -> None:
    text = in_time.doc_md
    for words in (
        "(từ 2024-02)", "(from 2024-02)", "(to 2024-03)", "list `old` (to 2024-01), list `new` (from 2024-03)",
        "danh mục `old` (đến 2024-01)", "(from 2024-02 to 2024-02)",
    ):  # fmt: skip
        assert words in text


def test_a_contract_without_dates_is_the_same_in_every_period() -> None:
    for known in CONTRACTS.values():
        assert known.at(Period(2024, 1)) is known


def test_what_is_in_force_when_is_part_of_the_meaning(tmp_path: Path, document: dict[str, Any]) -> None:
    before = contract.parse(write(tmp_path, document)).hash
    _lasting(_first(document, 1), since="2024-02")
    assert contract.parse(write(tmp_path, document)).hash != before


@pytest.mark.parametrize(
    "dates",
    [
        {"since": "2024-03", "until": "2024-02"},
        {"since": "soon"},
        {"codelist": [{"list": "area", "until": "2024-03"}, {"list": "area", "since": "2024-03"}]},
        {"codelist": [{"list": "area"}, {"list": "area", "since": "2024-03"}]},
        {"codelist": [{"list": "area", "from": "2024-03"}]},
    ],
)
def test_dates_that_contradict_each_other_have_their_code(
    tmp_path: Path, document: dict[str, Any], dates: dict[str, Any]
) -> None:
    (tmp_path / "codelists").mkdir()
    (tmp_path / "codelists" / "area.csv").write_text("code\nA\n", "utf-8")
    _lasting(_first(document), **dates)
    with pytest.raises(ContractError) as raised:
        contract.parse(write(tmp_path, document))
    assert raised.value.code == "P06-CONTRACT-014"


def test_a_register_says_whether_it_sends_changes_or_everyone_and_since_when(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    months = [Period(2024, month) for month in (1, 2, 3)]

    def forms(stated: Any) -> list[str]:
        own = [item for item in document["customProperties"] if item["property"] != "registerForm"]
        document["customProperties"] = own + ([{"property": "registerForm", "value": stated}] if stated else [])
        return [contract.parse(write(tmp_path, document)).register_form(month) for month in months]

    with pytest.raises(ContractError):  # a state or events have no such form
        forms("snapshot")
    next(item for item in document["customProperties"] if item["property"] == "kind")["value"] = "register"
    assert forms(None) == forms("changes") == ["changes"] * 3
    assert forms("snapshot") == ["snapshot"] * 3
    assert forms([{"form": "snapshot", "since": "2024-02", "until": "2024-02"}]) == ["changes", "snapshot", "changes"]
    before = contract.parse(write(tmp_path, document)).hash
    forms("changes")
    assert contract.parse(write(tmp_path, document)).hash != before
    for wrong in ("whole", [{"form": "snapshot"}, {"form": "changes"}], [{"snapshot": "2024-02"}]):
        with pytest.raises(ContractError) as raised:
            forms(wrong)
        assert raised.value.code == "P06-CONTRACT-014"


def test_a_form_of_later_months_changes_no_hash_before(tmp_path: Path, document: dict[str, Any]) -> None:
    next(item for item in document["customProperties"] if item["property"] == "kind")["value"] = "register"
    before = contract.parse(write(tmp_path, document))
    document["customProperties"].append(
        {"property": "registerForm", "value": [{"form": "snapshot", "since": "2025-01"}]}
    )
    after = contract.parse(write(tmp_path, document))
    assert after.at(Period(2024, 12)).hash == before.at(Period(2024, 12)).hash
    assert after.at(Period(2025, 1)).hash != before.at(Period(2025, 1)).hash
    assert after.at(Period(2025, 1)).register_form(Period(2025, 1)) == "snapshot"


def test_every_code_explains_itself_in_two_languages() -> None:
    codes = {code: text for code, text in messages().items() if code.startswith("P06-CONTRACT-")}
    assert set(codes) == {f"P06-CONTRACT-{number:03d}" for number in range(1, 17)}
    assert all(set(text) == {"en", "vi", "next_en", "next_vi"} and all(text.values()) for text in codes.values())


def test_what_a_contract_says_beside_its_columns_reaches_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(FOLDER, tmp_path / "contracts")
    monkeypatch.setenv("P06_CONTRACTS", str(tmp_path / "contracts"))
    settings.cache_clear()
    try:
        before = project.content_hash()
        path = tmp_path / "contracts" / "land_parcel.odcs.yaml"
        text = path.read_text("utf-8")
        path.write_text(
            text.replace("property: communeCompared, value: false", "property: communeCompared, value: true")
        )
        assert project.content_hash() != before
    finally:
        monkeypatch.undo()
        settings.cache_clear()
