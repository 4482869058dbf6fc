"""The oracle itself, on cases small enough to be answered in the head."""

from __future__ import annotations

import gzip
import hashlib
import json
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from .compare import Report, canonical, same
from .marts import Oracle, Rows, age
from .matching import normal_name
from .reading import REGISTER, Areas, Record, Refused, Rules, _verify, contracts, month, next_month, records

CONTRACTS = contracts()
AREAS = Areas()
JAN, FEB, MAR = date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)
A, B, C = "001089000001", "001190000002", "001201000003"  # Hà Nội: men of 1989 and 2001, a woman of 1990
PHUC_XA = "00001"  # a commune of Hà Nội before the reform, as in the list
AT = "2024-01-05T08:00:00+07:00"

ANYBODY = {"full_name": "Trần An", "birth_date": "1989-05-01", "sex": "M", "updated_at": AT}
USUAL: dict[str, dict[str, str]] = {
    REGISTER: {
        "residence_commune_code": PHUC_XA,
        "status": "alive",
        "eid_level": "0",
        "record_op": "upsert",
    },
    "education_enrolment": {
        "student_code": "S1",
        "school_code": "K1",
        "level": "university",
        "school_year": "2023-2024",
        "enrolment_status": "studying",
        "commune_code": PHUC_XA,
    },
    "health_visit": {
        "visit_id": "V1",
        "facility_code": "01001",
        "admitted_at": AT,
        "main_diagnosis": "I10",
        "total_amount": "100.50",
        "insurance_paid": "100",
        "patient_paid": "0.5",
    },
    "social_security_participation": {
        "social_insurance_no": "1234567890",
        "participation": "compulsory",
        "commune_code": PHUC_XA,
    },
    "bank_kyc": {
        "institution_code": "N1",
        "customer_ref": "R1",
        "institution_kind": "credit_institution",
        "channel": "app",
        "biometric_match": "matched",
        "account_status": "active",
    },
    "land_parcel": {
        "parcel_id": "P1",
        "holder_no": "1",
        "commune_code": PHUC_XA,
        "land_type": "ODT",
        "area_m2": "200",
        "share_percent": "50",
        "data_group": "1",
    },
}


def line(source: str, **stated: str) -> str:
    """One csv line of a source: the usual values, and those stated."""
    values = ANYBODY | USUAL[source] | stated
    return ",".join(values.get(name, "") for name in CONTRACTS[source].names)


def deliver(
    landing: Path,
    source: str,
    period: str,
    *files: list[str],
    revision: int = 1,
    version: str = "2025-03-01",
    folder: str | None = None,
    lies: dict[str, Any] | None = None,
) -> Path:
    """A delivery of files of csv lines, in a folder named by its revision. ``lies`` replace parts of its manifest."""
    place = landing / source / period / (folder or f"rev-{revision}")
    place.mkdir(parents=True)
    entries = []
    for number, lines in enumerate(files, start=1):
        text = "".join(f"{row}\n" for row in [",".join(CONTRACTS[source].names), *lines])
        data = gzip.compress(text.encode())
        (place / f"part-{number}.csv.gz").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        entries.append({"name": f"part-{number}.csv.gz", "bytes": len(data), "sha256": digest, "rows": len(lines)})
    manifest = {
        "manifest_version": 1,
        "source": source,
        "period": period,
        "revision": revision,
        "admin_code_version": version,
        "format": {"kind": "csv", "compression": "gzip", "encoding": "utf-8", "delimiter": ",", "quote": '"'},
        "files": entries,
    }
    (place / "manifest.json").write_text(json.dumps(manifest | (lies or {})))
    return place


def oracle(landing: Path, *periods: str) -> Oracle:
    return Oracle(landing, [month(period) for period in periods], month(periods[-1]))


def methods(found: Oracle, source: str, period: date = JAN) -> list[tuple[str, str | None]]:
    return [(row["match_method"], row["citizen_id"]) for row in found.facts(source, period)]


def value(rows: Rows, code: str, level: str = "nation", area: str = "VN") -> tuple[int, int] | None:
    for row in rows:
        if (row["indicator_code"], row["area_level"], row["area_code"]) == (code, level, area):
            return row["numerator"], row["denominator"]
    return None


# ---------------------------------------------------------------- physical rows


def seen(text: str, width: int = 3) -> list[tuple[int, list[str]]]:
    """(line, fields) of sound records, (line, reasons) of the others."""
    return [
        (one.line, sorted(one.reasons) if one.reasons else list(one.fields))
        for one in records(text.encode().decode("latin-1"), width)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b,c\nd,e,f\n", [(1, ["a", "b", "c"]), (2, ["d", "e", "f"])]),
        ("a,b,c\r\nd,e,f", [(1, ["a", "b", "c"]), (2, ["d", "e", "f"])]),
        ('a,"b,""x""",c\n', [(1, ["a", 'b,"x"', "c"])]),
        ('a,"",c\n', [(1, ["a", "", "c"])]),
        ('a,b,"c"\r\n', [(1, ["a", "b", "c"])]),
        ('a,"b\nc",d\ne,f,g\n', [(1, ["a", "b\nc", "d"]), (3, ["e", "f", "g"])]),
        ("a,b\nc,d,e,f\n\ng,h,i\n", [(1, ["width"]), (2, ["width"]), (3, ["width"]), (4, ["g", "h", "i"])]),
        ('a,b"b,c\nd,e,f\n', [(1, ["quote_stray"]), (2, ["d", "e", "f"])]),
        ('a,"b,c\nd,e,f\n', [(1, ["quote_unclosed"]), (2, ["d", "e", "f"])]),
        ('a,"b,c\nd,"e",f\n', [(1, ["quote_unclosed"]), (2, ["d", "e", "f"])]),
        ('a,"b"b,c\nd,e,f\n', [(1, ["quote_unclosed"]), (2, ["d", "e", "f"])]),
        ('a,"b,c\nd,e",f\n', [(1, ["quote_unclosed"]), (2, ["quote_stray"])]),
        ('a,"b,c\nd,e,f\ng",h\n', [(1, ["quote_unclosed"]), (2, ["d", "e", "f"]), (3, ["quote_stray", "width"])]),
        ("a,b\0,c\n", [(1, ["nul_byte"])]),
    ],
)
def test_a_line_is_swallowed_only_by_a_quote_that_closes_properly(
    text: str, expected: list[tuple[int, list[str]]]
) -> None:
    assert seen(text) == expected


def test_bytes_that_are_no_utf8_spoil_their_line_alone() -> None:
    found = list(records(b"a,b\xff,c\nd,\xc4\x91,f\n".decode("latin-1"), 3))
    assert found == [Record(1, found[0].fields, frozenset({"encoding"})), Record(2, ("d", "đ", "f"), frozenset())]


# ---------------------------------------------------------------- row rules


def judged(source: str, version: str = "2025-03-01", **stated: str) -> set[str]:
    rules = Rules(CONTRACTS[source], JAN, date.fromisoformat(version), AREAS)
    return set(rules.check(tuple(line(source, **stated).split(",")))[1])


@pytest.mark.parametrize(
    ("source", "stated", "reasons"),
    [
        (REGISTER, {"citizen_id": A}, set()),
        (REGISTER, {}, {"required_missing"}),
        (REGISTER, {"citizen_id": "101089000001"}, set()),  # born abroad
        (REGISTER, {"citizen_id": "003089000001"}, {"id_structure"}),  # no such province
        (REGISTER, {"citizen_id": "001225000001"}, {"id_structure"}),  # born 2025, after the year of the period
        (REGISTER, {"citizen_id": "1089000001"}, {"lost_leading_zero"}),
        (REGISTER, {"citizen_id": "1.23E+11"}, {"lost_leading_zero"}),
        (REGISTER, {"citizen_id": "123"}, {"id_structure"}),
        (REGISTER, {"citizen_id": A, "old_id": "12345678"}, {"wrong_length"}),
        (REGISTER, {"citizen_id": A, "old_id": "12345678x"}, {"pattern"}),
        (REGISTER, {"citizen_id": A, "sex": "m"}, {"unknown_code"}),
        (REGISTER, {"citizen_id": A, "birth_date": "2024-01-31"}, set()),
        (REGISTER, {"citizen_id": A, "birth_date": "2024-02-01"}, {"future_date"}),
        (REGISTER, {"citizen_id": A, "birth_date": "1985-02-30"}, {"type_date"}),
        (REGISTER, {"citizen_id": A, "birth_date": "19850228"}, {"type_date"}),
        (REGISTER, {"citizen_id": A, "updated_at": "2024-01-05T08:00:00"}, {"type_timestamp"}),
        (REGISTER, {"citizen_id": A, "residence_commune_code": "99999"}, {"unknown_code"}),
        (REGISTER, {"citizen_id": A, "residence_commune_code": "00001 "}, {"unknown_code"}),
        (REGISTER, {"citizen_id": A, "full_name": "x" * 10_001}, {"too_long"}),
        (REGISTER, {"citizen_id": "", "sex": "X"}, {"required_missing", "unknown_code"}),
        ("health_visit", {}, set()),
        ("health_visit", {"total_amount": "100"}, {"cross_field"}),
        ("health_visit", {"total_amount": "100.500"}, {"type_numeric"}),
        ("health_visit", {"total_amount": "1e2"}, {"type_numeric"}),
        ("health_visit", {"total_amount": "-100", "insurance_paid": "-100", "patient_paid": "0"}, {"out_of_range"}),
        ("education_enrolment", {"grade": "13"}, {"out_of_range"}),
        ("education_enrolment", {"grade": "1.0"}, {"type_integer"}),
        ("land_parcel", {"area_m2": "0"}, {"out_of_range"}),
    ],
)
def test_a_row_is_judged_by_its_contract(source: str, stated: dict[str, str], reasons: set[str]) -> None:
    assert judged(source, **stated) == reasons


def test_a_code_missing_from_the_earliest_list_waits_for_an_older_one() -> None:
    assert judged(REGISTER, "2024-09-01", citizen_id=A, residence_commune_code="99999") == {"area_list_missing"}
    assert judged(REGISTER, "2024-09-01", citizen_id=A, residence_commune_code="00001 ") == {"unknown_code"}
    assert judged(REGISTER, "2024-09-01", citizen_id=A) == set()


def test_values_are_typed() -> None:
    rules = Rules(CONTRACTS["health_visit"], JAN, date(2025, 3, 1), AREAS)
    row, _ = rules.check(tuple(line("health_visit").split(",")))
    get = CONTRACTS["health_visit"].value
    assert get(row, "citizen_id") is None
    assert get(row, "birth_date") == date(1989, 5, 1)
    assert get(row, "admitted_at") == datetime(2024, 1, 5, 1, tzinfo=timezone.utc)
    assert get(row, "total_amount") == Decimal("100.5")


# ---------------------------------------------------------------- deliveries


def test_each_row_ends_in_one_place(tmp_path: Path) -> None:
    good, twice = line(REGISTER, citizen_id=A), line(REGISTER, citizen_id=B)
    first = [good, twice, "broken", line(REGISTER, citizen_id=C, eid_level="1")]
    second = [twice, line(REGISTER, citizen_id=C, eid_level="2"), line(REGISTER, citizen_id="123")]
    deliver(tmp_path, REGISTER, "2024-01", first, second)
    found = oracle(tmp_path, "2024-01").extracts[REGISTER, JAN]
    assert (found.received, found.duplicates) == (7, 1)
    assert set(found.staged) == {(1, 2), (1, 3)}
    assert found.quarantined == {
        (1, 4): {"width"},
        (1, 5): {"key_conflict"},
        (2, 3): {"key_conflict"},
        (2, 4): {"id_structure"},
    }


def test_a_bad_row_makes_no_key_conflict_with_a_good_one(tmp_path: Path) -> None:
    deliver(tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=A), line(REGISTER, citizen_id=A, sex="X")])
    found = oracle(tmp_path, "2024-01").extracts[REGISTER, JAN]
    assert set(found.staged) == {(1, 2)} and found.quarantined == {(1, 3): {"unknown_code"}}


def test_the_highest_stated_revision_wins_and_a_refused_one_leaves_it(tmp_path: Path) -> None:
    deliver(tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=A)], revision=2, folder="a")
    deliver(tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=B)], revision=1, folder="b")
    lying = deliver(tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=C)], revision=3, folder="c")
    (lying / "part-1.csv.gz").write_bytes(b"other bytes")
    found = oracle(tmp_path, "2024-01").extracts[REGISTER, JAN]
    assert found.revision == 2 and len(found.staged) == 1


@pytest.mark.parametrize("lie", [{"source": "bank_kyc"}, {"period": "2024-02"}, {"revision": 0}, {"files": []}])
def test_a_manifest_that_disagrees_is_refused(tmp_path: Path, lie: dict[str, Any]) -> None:
    place = deliver(tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=A)], lies=lie)
    with pytest.raises(Refused):
        _verify(place, CONTRACTS[REGISTER])


def test_an_extra_file_an_empty_delivery_and_a_wrong_row_count_are_refused(tmp_path: Path) -> None:
    extra = deliver(tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=A)])
    assert _verify(extra, CONTRACTS[REGISTER]).manifest["revision"] == 1
    (extra / "more.csv").write_text("")
    empty = deliver(tmp_path, REGISTER, "2024-02", [])
    short = deliver(tmp_path, REGISTER, "2024-03", [line(REGISTER, citizen_id=A)])
    manifest = json.loads((short / "manifest.json").read_text())
    manifest["files"][0]["rows"] = 2
    (short / "manifest.json").write_text(json.dumps(manifest))
    for place in (extra, empty, short):
        with pytest.raises(Refused):
            _verify(place, CONTRACTS[REGISTER])


# ---------------------------------------------------------------- the register


def intervals(found: Oracle) -> list[tuple[str, date, date | None]]:
    return sorted((row["citizen_id"], row["valid_from"], row["valid_to"]) for row in found.dim_citizen())


def test_only_a_published_change_makes_a_version_and_a_removal_a_gap(tmp_path: Path) -> None:
    first = [line(REGISTER, citizen_id=A), line(REGISTER, citizen_id=B), line(REGISTER, citizen_id=C)]
    deliver(tmp_path, REGISTER, "2024-01", first)
    changes = [
        line(REGISTER, citizen_id=A, full_name="Trần Bình"),  # a name is not published
        line(REGISTER, citizen_id=B, eid_level="2"),
        line(REGISTER, citizen_id=C, record_op="remove"),
    ]
    deliver(tmp_path, REGISTER, "2024-02", changes)
    deliver(tmp_path, REGISTER, "2024-03", [line(REGISTER, citizen_id=C)])
    found = oracle(tmp_path, "2024-01", "2024-02", "2024-03")
    assert intervals(found) == [(A, JAN, None), (B, JAN, FEB), (B, FEB, None), (C, JAN, FEB), (C, MAR, None)]
    names = {row["citizen_id"]: row["full_name"] for row in found.identified() if row["valid_to"] is None}
    assert names[A] == "Trần Bình"
    assert [len(found.citizen_month(period)) for period in (JAN, FEB, MAR)] == [3, 2, 3]
    assert intervals(oracle(tmp_path, "2024-01")) == [(A, JAN, None), (B, JAN, None), (C, JAN, None)]


def test_a_new_number_is_the_same_person_for_all_periods(tmp_path: Path) -> None:
    deliver(tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=B)])
    deliver(tmp_path, REGISTER, "2024-02", [line(REGISTER, citizen_id=A, previous_citizen_id=B)])
    for period in ("2024-01", "2024-02"):
        deliver(tmp_path, "bank_kyc", period, [line("bank_kyc", citizen_id=B)])
    found = oracle(tmp_path, "2024-01", "2024-02")
    assert intervals(found) == [(B, JAN, None)]
    assert [row["newest_citizen_id"] for row in found.identified()] == [A]
    assert methods(found, "bank_kyc", JAN) == [("id", B)]
    assert methods(found, "bank_kyc", FEB) == [("previous_id", B)]


def test_a_link_stated_later_names_the_person_in_earlier_months(tmp_path: Path) -> None:
    deliver(tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=A)])
    deliver(tmp_path, REGISTER, "2024-02", [line(REGISTER, citizen_id=A, previous_citizen_id=B)])
    assert intervals(oracle(tmp_path, "2024-01")) == [(B, JAN, None)]


def test_the_reform_gives_a_version_to_whom_it_gives_another_code(tmp_path: Path) -> None:
    step = AREAS.successor["commune"][date(2025, 7, 1)]
    other = next(code for code, new in sorted(step.items()) if code != new and len(code) == 5)
    kept = next(
        code
        for code, new in sorted(step.items())
        if code == new and AREAS.province(code, date(2025, 6, 1)) == AREAS.province(new, date(2025, 7, 1))
    )
    rows = [
        line(REGISTER, citizen_id=A, residence_commune_code=other),
        line(REGISTER, citizen_id=B, residence_commune_code=kept),
    ]
    deliver(tmp_path, REGISTER, "2025-06", rows)
    june, july = date(2025, 6, 1), date(2025, 7, 1)
    assert intervals(oracle(tmp_path, "2025-06")) == [(A, june, None), (B, june, None)]
    found = oracle(tmp_path, "2025-06", "2025-07")
    assert intervals(found) == [(A, june, july), (A, july, None), (B, june, None)]
    assert [row["residence_commune_code"] for row in found.dim_citizen() if row["valid_from"] == july] == [step[other]]


# ---------------------------------------------------------------- matching


def test_names_are_compared_without_the_accidents_of_typing() -> None:
    same_names = ["Nguyễn Thị Hoà", "  nguyễn  thị HÒA ", "Nguyễn Thị Hòa", "nguyê\u0303n thi\u0323 ho\u0300a"]
    assert len({normal_name(name) for name in same_names}) == 1
    assert len({normal_name(name) for name in ("Hoà", "Hoa", "Hoá", "Hoả", "Đa", "Da")}) == 6


def test_two_of_three_decide_between_match_and_conflict(tmp_path: Path) -> None:
    deliver(tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=A, old_id="111111111")])
    rows = [
        {"citizen_id": A, "full_name": "Lê Na"},
        {"citizen_id": A, "full_name": "Lê Na", "sex": "U"},
        {"citizen_id": B, "old_id": "111111111"},
        {"old_id": "111111111", "full_name": "Lê Na", "sex": "F"},
        {"citizen_id": B},
    ]
    lines = [line("bank_kyc", customer_ref=str(n), **row) for n, row in enumerate(rows)]
    deliver(tmp_path, "bank_kyc", "2024-01", lines)
    found = oracle(tmp_path, "2024-01")
    expected = [("id", A), ("conflict", None), ("old_id", A), ("conflict", None), ("none", None)]
    assert methods(found, "bank_kyc") == expected


def test_an_old_number_of_two_citizens_belongs_to_none(tmp_path: Path) -> None:
    people = [line(REGISTER, citizen_id=one, old_id="111111111") for one in (A, B)]
    deliver(tmp_path, REGISTER, "2024-01", people)
    deliver(tmp_path, "bank_kyc", "2024-01", [line("bank_kyc", old_id="111111111")])
    assert methods(oracle(tmp_path, "2024-01"), "bank_kyc") == [("none", None)]


def test_a_visit_follows_the_insurance_number_of_a_matched_participant(tmp_path: Path) -> None:
    deliver(tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=A), line(REGISTER, citizen_id=B)])
    participation = [
        line("social_security_participation", citizen_id=A),
        line("social_security_participation", citizen_id=C, social_insurance_no="9999999999"),  # unmatched
    ]
    deliver(tmp_path, "social_security_participation", "2024-01", participation)
    card = "DN401" + "1234567890"
    rows = [
        {"insurance_card_no": card},
        {"insurance_card_no": card, "full_name": "Lê Na", "sex": "F"},  # disagrees: goes on, no conflict
        {"insurance_card_no": "DN4019999999999"},
    ]
    deliver(
        tmp_path, "health_visit", "2024-01", [line("health_visit", visit_id=str(n), **r) for n, r in enumerate(rows)]
    )
    found = oracle(tmp_path, "2024-01")
    assert methods(found, "health_visit") == [("insurance_no", A), ("none", None), ("none", None)]


def test_a_name_matches_when_it_is_one_citizen_and_nobody_open_bears_a_number(tmp_path: Path) -> None:
    people = [
        line(REGISTER, citizen_id=A),
        line(REGISTER, citizen_id=B, full_name="Lê Na", sex="F"),
        line(REGISTER, citizen_id=C, full_name="Lê Na", sex="F", residence_commune_code="00004"),
    ]
    deliver(tmp_path, REGISTER, "2024-01", people)
    na = {"full_name": "LÊ NA", "sex": "F"}
    deliver(tmp_path, "bank_kyc", "2024-01", [line("bank_kyc"), line("bank_kyc", customer_ref="R2", **na)])
    deliver(tmp_path, "education_enrolment", "2024-01", [line("education_enrolment", **na)])
    plots = [
        line("land_parcel", citizen_id="001089999999"),  # an unknown number with A's name: still open
        line("land_parcel", holder_no="2"),
    ]
    deliver(tmp_path, "land_parcel", "2024-01", plots)
    found = oracle(tmp_path, "2024-01")
    assert methods(found, "bank_kyc") == [("name_birth", A), ("none", None)]
    assert methods(found, "education_enrolment") == [("name_birth", B)]  # the commune tells the two apart
    assert methods(found, "land_parcel") == [("none", None), ("none", None)]


# ---------------------------------------------------------------- marts


def test_a_birthday_on_29_february_is_kept_on_1_march() -> None:
    born = date(2004, 2, 29)
    assert [age(born, day) for day in (date(2023, 2, 28), date(2023, 3, 1), date(2024, 2, 29))] == [18, 19, 20]


def test_a_death_counts_in_its_month_or_in_the_month_it_is_reported(tmp_path: Path) -> None:
    early = line(REGISTER, citizen_id=C, status="deceased", death_date="2019-01-01")  # dead before the first month
    deliver(tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=A), line(REGISTER, citizen_id=B), early])
    dead = {"status": "deceased", "birth_date": "1990-02-20"}
    deliver(tmp_path, REGISTER, "2024-02", [line(REGISTER, citizen_id=A, death_date="2024-02-19", **dead)])
    deliver(tmp_path, REGISTER, "2024-03", [line(REGISTER, citizen_id=B, death_date="2024-01-20", **dead)])
    deliver(tmp_path, REGISTER, "2024-04", [line(REGISTER, citizen_id="001089000009")])
    found = oracle(tmp_path, "2024-01", "2024-02", "2024-03", "2024-04")
    counted = [[row["citizen_id"] for row in found.citizen_month(one)] for one in (JAN, FEB, MAR, next_month(MAR))]
    assert [sorted(people) for people in counted] == [[A, B], [A, B], [B], ["001089000009"]]
    assert [row["age"] for row in found.citizen_month(FEB) if row["citizen_id"] == A] == [33]  # a day before 34
    assert value(found.indicator(FEB), "id_card_rate") == (0, 1)


def test_a_month_of_one_citizen_adds_up(tmp_path: Path) -> None:
    deliver(
        tmp_path, REGISTER, "2024-01", [line(REGISTER, citizen_id=A, eid_level="2", id_card_issued_on="2024-01-31")]
    )
    card = {"insurance_card_no": "DN4011234567890", "card_valid_from": "2024-01-31"}
    deliver(
        tmp_path,
        "social_security_participation",
        "2024-01",
        [line("social_security_participation", citizen_id=A, participation="health_only", **card)],
    )
    deliver(tmp_path, "health_visit", "2024-01", [line("health_visit", visit_id=n, citizen_id=A) for n in "12"])
    deliver(
        tmp_path,
        "bank_kyc",
        "2024-01",
        [line("bank_kyc", citizen_id=A), line("bank_kyc", customer_ref="R2", citizen_id=C, biometric_match="not_done")],
    )
    plots = [
        line("land_parcel", citizen_id=A),
        line("land_parcel", citizen_id=C, holder_no="2"),
        line("land_parcel", citizen_id=A, parcel_id="P2", area_m2="0.5", share_percent="100", data_group="2"),
    ]
    deliver(tmp_path, "land_parcel", "2024-01", plots)
    found = oracle(tmp_path, "2024-01")
    (row,) = found.citizen_month(JAN)
    assert (row["age"], row["has_id_card"], row["residence_province_code"]) == (34, True, "01")
    assert row["is_student"] is None  # not received
    assert (row["health_visits"], row["health_amount"]) == (2, Decimal(201))
    assert (row["has_health_insurance"], row["has_social_insurance"]) == (True, False)
    assert (row["kyc_records"], row["kyc_biometric_matched"]) == (1, 1)
    assert (row["land_parcels"], row["land_area_m2"]) == (2, Decimal("100.5"))

    rows = found.indicator(JAN)
    assert value(rows, "eid_level2_rate", "province", "01") == (1, 1)
    assert value(rows, "health_insurance_coverage", "commune", PHUC_XA) == (1, 1)
    assert value(rows, "kyc_biometric_rate") == (1, 2)
    assert value(rows, "land_clean_rate", "commune", PHUC_XA) == (1, 2)  # two parcels, not three holdings
    assert value(rows, "match_rate.land_parcel", "province", "01") == (2, 3)
    assert value(rows, "match_rate.bank_kyc") == (1, 2)
    assert value(rows, "match_rate.bank_kyc", "province", "01") is None
    assert value(rows, "match_rate.education_enrolment") is None

    summary = {(r["source"], r["province_code"], r["match_method"]): r["records"] for r in found.match_summary(JAN)}
    assert summary["land_parcel", "01", "id"] == 2 and summary["land_parcel", "01", "none"] == 1
    assert summary["bank_kyc", "01", "id"] == 1 and summary["bank_kyc", None, "none"] == 1
    sums = {r["source"]: r for r in found.reconciliation(JAN)}
    assert sums[REGISTER]["published"] is None and sums[REGISTER]["staged"] == 1
    bank = sums["bank_kyc"]
    assert (bank["staged"], bank["matched"], bank["conflicting"], bank["unmatched"], bank["published"]) == (
        2,
        1,
        0,
        1,
        2,
    )


def test_provinces_are_restated_to_those_of_today(tmp_path: Path) -> None:
    day = date(2024, 1, 31)
    ha_giang = min(code for code in AREAS.communes if AREAS.province(code, day) == "02")
    tuyen_quang = min(code for code in AREAS.communes if AREAS.province(code, day) == "08")
    people = [
        line(REGISTER, citizen_id=A, residence_commune_code=ha_giang),
        line(REGISTER, citizen_id=B, residence_commune_code=tuyen_quang, id_card_issued_on="2022-01-01"),
    ]
    deliver(tmp_path, REGISTER, "2024-01", people)
    found = oracle(tmp_path, "2024-01")
    assert value(found.indicator(JAN), "id_card_rate", "province", "08") == (1, 1)
    assert value(found.indicator_restated(JAN), "id_card_rate", "province", "08") == (1, 2)
    assert value(found.indicator_restated(JAN), "id_card_rate", "province", "02") is None


def test_all_areas_and_edges_are_counted() -> None:
    assert sum(row["level"] == "commune" and row["valid_from"] == "2025-07-01" for row in AREAS.rows) == 3321
    assert sum(row["level"] == "province" and row["kind"] == "whole" for row in AREAS.changes) == 63


# ---------------------------------------------------------------- comparing


@pytest.fixture
def report() -> Report:
    return Report({A: "token-a"})


def test_values_compare_whatever_type_they_came_in() -> None:
    assert canonical(Decimal("1.50")) == canonical(1.5) and canonical(100) == canonical(Decimal("1E+2"))
    assert same(Decimal(1) / 3, 0.3333333) and not same(1, 2) and not same(None, 0) and not same(True, 1)


def test_equal_tables_have_no_differences(report: Report) -> None:
    rows = [{"citizen_id": A, "period": JAN, "age": 3}]
    report.keyed("mart", ("period", "citizen_id"), ("age",), rows, rows)
    report.multiset("fact", ("citizen_id", "age"), rows, rows)
    assert report.differences == []


def test_a_difference_names_mart_column_and_token_and_no_number(report: Report) -> None:
    mine = [{"citizen_id": A, "period": JAN, "age": 3}, {"citizen_id": A, "period": FEB, "age": 3}]
    theirs = [{"citizen_id": A, "period": JAN, "age": 4}]
    report.keyed("mart", ("period", "citizen_id"), ("age",), mine, theirs)
    missing, other = report.differences
    assert missing.startswith("mart: 1 rows missing (of 2): 2024-02-01 token-a")
    assert other.startswith("mart: age differs in 1 of 1 rows: 2024-01-01 token-a")
    assert A not in missing + other


def test_facts_are_compared_with_their_numbers_of_rows(report: Report) -> None:
    row = {"citizen_id": A, "match_method": "id", "province_code": "01", "grade": 3}
    columns = tuple(row)
    report.multiset("fact", columns, [row, row], [row, row | {"grade": 4}])
    (difference,) = report.differences
    assert "1 rows missing, 1 too many (of 2); columns apart: grade (1)" in difference and A not in difference
