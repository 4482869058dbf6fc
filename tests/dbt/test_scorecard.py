"""The six words in figures: every measure of one small month, counted in the head."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from p06 import database, scorecard
from p06.period import Period
from tests.dbt.hand_staged import Row, Warehouse
from tests.dbt.test_identity_finding import (
    ACCOUNT,
    AN,
    AN_SELF,
    BE,
    BE_SELF,
    CHI,
    CHI_SELF,
    DUNG,
    DUNG_SELF,
    NOBODYS,
    PUPIL,
    VISIT,
)


def told(warehouse: Warehouse, source: str, area: str = "VN") -> dict[str, tuple[object, ...]]:
    """Measure -> (numerator, denominator), or the days, of the month."""
    rows = warehouse.rows(
        "select measure, unit, numerator::int, denominator::int, value::float from marts.scorecard"
        f" where source = '{source}' and province_code = '{area}' and period = '2024-03-01'"
    )
    return {row[0]: (row[4],) if row[1] == "days" else row[2:4] for row in rows}


EM = 1210000001  # born 2010: the third digit says the century
EM_SELF = {"full_name": "Hoàng Thị Em", "birth_date": date(2010, 6, 6), "sex": "F"}
MARCH = Period.parse("2024-03")


def pupil(day: str, **columns: object) -> Row:
    return PUPIL | {"updated_at": f"{day}T03:00:00Z"} | columns


def month(warehouse: Warehouse) -> None:
    """An, Bé, Chi, Em in commune 00001 of Hà Nội and Dũng in 00700 of Hà Giang; Bé died in January.

    No measure is nought by chance: each has a row it counts and one it does not.
    """
    warehouse.register(
        "2024-01", {"citizen_id": AN} | AN_SELF, {"citizen_id": BE} | BE_SELF, {"citizen_id": CHI} | CHI_SELF,
        {"citizen_id": DUNG, "residence_commune_code": "00700"} | DUNG_SELF, {"citizen_id": EM} | EM_SELF,
    )  # fmt: skip
    gone = {"citizen_id": BE, "status": "deceased", "death_date": date(2024, 1, 20)} | BE_SELF
    warehouse.register("2024-02", gone)
    an = {"updated_at": "2024-03-30T00:00:00Z"} | AN_SELF
    # another An, the same in all, and somebody who is there once
    warehouse.register("2024-03", {"citizen_id": AN} | an, {"citizen_id": AN + 20} | an, {"citizen_id": EM} | EM_SELF)
    warehouse.sector(
        "education_enrolment",
        "2024-03",
        pupil("2024-03-30", citizen_id=AN, **AN_SELF, grade=1),  # 2: all agrees; 1 day old
        pupil("2024-03-29", citizen_id=AN, **AN_SELF | {"full_name": " NGUYỄN  văn An"}),  # 3: the same name
        pupil("2024-03-28", citizen_id=CHI, **CHI_SELF | {"birth_date": date(1951, 3, 3)}),  # 4: another birth year
        pupil("2024-03-21", citizen_id=BE, **BE_SELF),  # 5: dead since January
        pupil("2024-01-01", citizen_id=DUNG, commune_code="00700", **AN_SELF),  # 6: An, with Dũng's number
        pupil("2024-03-31", citizen_id=NOBODYS, commune_code="00700", **DUNG_SELF),  # 7: a number nobody has
        pupil("2024-04-02", **CHI_SELF),  # 8: no number; matched by name; changed after the as-of date
        pupil("2023-11-10", citizen_id=EM, commune_code="00004", **EM_SELF),  # 9: 142 days old, at school elsewhere
        pupil("2024-03-26", citizen_id=EM, commune_code="00700", **AN_SELF),  # 10: An, with Em's number
        pupil("2024-03-27", citizen_id=CHI, **CHI_SELF),  # 11
    )
    # one row came twice; of three in quarantine two have a key in conflict, one of them in two columns
    sent = warehouse.accepted["education_enrolment", MARCH]
    warehouse.accepted["education_enrolment", MARCH] = replace(sent, received=14, duplicates=1, quarantined=3)
    with database.connect("loader") as connection:
        connection.execute("delete from quality.failed_row where extract = %s", (sent.extract_id,))
        connection.cursor().executemany(
            'insert into quality.failed_row (source, period, extract, file_no, line, "column", reason)'
            " values ('education_enrolment', '2024-03-01', %s, 1, %s, %s, %s)",
            [(sent.extract_id, *one) for one in ((20, "student_code", "key_conflict"), (20, "school_code", "key_conflict"),
                                                 (21, "student_code", "key_conflict"), (22, "level", "enum"))],
        )  # fmt: skip
    warehouse.sector(
        "health_visit",
        "2024-03",
        VISIT | {"citizen_id": AN, "updated_at": "2024-03-11T00:00:00+07:00"} | AN_SELF,
        VISIT | {"citizen_id": DUNG, "updated_at": "2024-03-15T23:00:00+07:00"} | DUNG_SELF,
        VISIT | {"citizen_id": BE, "updated_at": "2024-03-12T00:00:00+07:00"} | BE_SELF,  # seven weeks after her death
        VISIT | {"updated_at": "2024-03-13T00:00:00+07:00"} | CHI_SELF,  # without a number
    )
    warehouse.sector("bank_kyc", "2024-03", ACCOUNT | {"citizen_id": NOBODYS} | CHI_SELF)
    book = {"book_no": "B", "created_on": date(2024, 1, 2), "integrated": "no", "commune_code": "00001"}
    warehouse.sector("health_ebook", "2024-03", book | {"citizen_id": BE} | BE_SELF)
    service = {"service_code": "A", "due": "yes", "integrated": "no"}
    warehouse.sector(
        "public_service_catalogue",
        "2024-03",
        service | {"province_code": "01", "integrated": "yes", "integrated_on": date(2024, 2, 1)},
        service | {"province_code": "02"},
        service | {"province_code": "02", "service_code": "B", "integrated_on": date(2024, 2, 1)},
    )
    assert warehouse.build("2024-03") == []


def test_each_measure_is_counted_by_hand_by_province_and_absent_where_a_source_cannot_state_it(
    warehouse: Warehouse,
) -> None:
    month(warehouse)
    schools = told(warehouse, "education_enrolment")
    assert {name: value for name, value in schools.items() if name not in ("communes_named", "columns_described")} == {
        "id_found": (8, 9), "name_agrees": (6, 8), "birth_date_agrees": (5, 8), "sex_agrees": (7, 8),
        "number_fits_birth": (4, 9), "matched": (7, 10), "number_stated": (9, 10), "fields_filled": (1, 10),
        "duplicate_rows": (1, 14), "quarantined_rows": (3, 14), "key_conflicts": (2, 14), "shared_numbers": (2, 9),
        "age_p50": (3.0,), "age_p95": (150.0,), "dead_listed": (1, 10), "codes_current": (10, 10),
        "residence_agrees": (5, 6), "number_elsewhere": (1, 9), "legal_basis_stated": (1, 1),
    }  # fmt: skip
    assert schools["communes_named"][0] == 3
    assert schools["columns_described"][0] == schools["columns_described"][1]
    # a row counts in the province of its commune, else of its citizen
    hanoi, ha_giang = (told(warehouse, "education_enrolment", province) for province in ("01", "02"))
    assert {name: (hanoi[name], ha_giang[name]) for name in ("id_found", "matched", "dead_listed", "age_p50")} == {
        "id_found": ((6, 6), (2, 3)), "matched": ((7, 7), (0, 3)), "dead_listed": ((1, 7), (0, 3)),
        "age_p50": ((3.0,), (5.0,)),
    }  # fmt: skip
    assert (hanoi["communes_named"][0], ha_giang["communes_named"][0]) == (2, 1)
    visits = told(warehouse, "health_visit", "02")
    assert (visits["matched"], visits["entry_p50"]) == ((1, 1), (5.0,))
    visits = told(warehouse, "health_visit", "01")
    assert (visits["matched"], visits["number_stated"]) == ((3, 3), (2, 3)), "who was matched by name lives there too"
    services = [told(warehouse, "public_service_catalogue", area)["fields_filled"] for area in ("01", "02", "VN")]
    assert services == [(1, 1), (1, 2), (2, 3)], "a row that states a province lies there"
    # what a source cannot state is absent, not zero
    visits, accounts = told(warehouse, "health_visit"), told(warehouse, "bank_kyc")
    assert (visits["entry_p50"], visits["entry_p95"], visits["dead_listed"]) == ((2.0,), (5.0,), (1, 4))
    assert not visits.keys() & {"age_p50", "codes_current", "communes_named", "residence_agrees", "register_doubles"}
    assert accounts["id_found"] == (0, 1) and "sex_agrees" not in accounts, "nothing was found to be compared"
    register = told(warehouse, "population_register")
    assert register["register_doubles"] == (2, 3) and not register.keys() & {"matched", "communes_named"}
    books = told(warehouse, "health_ebook")
    assert books["id_found"] == (1, 1) and "dead_listed" not in books, "in it the dead stand as they should"
    assert told(warehouse, "land_parcel") == {}, "it was not received"
    # every definition is measured somewhere; when a source came and was published stands beside it
    made = {row[0] for row in warehouse.rows("select distinct measure from marts.scorecard")}
    assert made == {one.measure for one in scorecard.measures().values() if one.origin == "mart"}
    timed = warehouse.rows("select distinct measure from marts.scorecard_timing where source = 'bank_kyc'")
    assert timed == [("days_to_publication",)], "the extract was never accepted by a ledger here"
    # a code is compared with itself alone: 15 is another province since July 2025
    with database.connect("quality") as connection:
        same = {
            (code, month): scorecard.is_the_same(connection, code, Period.parse(month))
            for code in ("VN", "01", "15")
            for month in ("2025-06", "2025-07", "2025-08")
        }
    assert [key for key, answer in same.items() if not answer] == [("15", "2025-07")]
