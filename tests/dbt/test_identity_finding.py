"""Who is who over time: what a row says that cannot be, found by kind, beside the match it got."""

from __future__ import annotations

from datetime import date

from tests.dbt.hand_staged import Row, Warehouse

AN, BE, CHI, DUNG = 1190000001, 1190000002, 1190000003, 1190000004
NOBODYS = 1190000099

AN_SELF: Row = {"full_name": "Nguyễn Văn An", "birth_date": date(1990, 1, 1), "sex": "M"}
BE_SELF: Row = {"full_name": "Trần Thị Bé", "birth_date": date(1985, 5, 5), "sex": "F"}
CHI_SELF: Row = {"full_name": "Lê Thị Chi", "birth_date": date(1950, 3, 3), "sex": "F"}
DUNG_SELF: Row = {"full_name": "Phạm Văn Dũng", "birth_date": date(1970, 7, 7), "sex": "M"}

VISIT: Row = {
    "visit_id": "1", "facility_code": "01001", "admitted_at": "2024-03-10T08:00:00+07:00", "main_diagnosis": "A00",
    "total_amount": 100, "insurance_paid": 100, "patient_paid": 0,
}  # fmt: skip
ACCOUNT: Row = {
    "institution_code": "B1", "customer_ref": "1", "institution_kind": "credit_institution", "channel": "app",
    "biometric_match": "matched", "account_status": "active",
}  # fmt: skip
PUPIL: Row = {
    "student_code": "1", "school_code": "S1", "level": "primary", "school_year": "2023-2024",
    "enrolment_status": "studying", "commune_code": "00001",
}  # fmt: skip

FOUND = (
    "select source, line, kind, other_line from quality.identity_finding_row where period = '{}-01' order by 1, 2, 3"
)


def found(warehouse: Warehouse, period: str = "2024-03", source: str | None = None) -> list[tuple[object, ...]]:
    """(source, line, kind, other line); of one source without its name."""
    rows = warehouse.rows(FOUND.format(period), "quality")
    return rows if source is None else [row[1:] for row in rows if row[0] == source]


def country(warehouse: Warehouse, *more: Row) -> None:
    """An, Bé, Chi and Dũng, all alive in January 2024; Chi and Dũng share an old number."""
    shared = {"old_id": "012345678"}
    warehouse.register(
        "2024-01", {"citizen_id": AN} | AN_SELF, {"citizen_id": BE} | BE_SELF, {"citizen_id": CHI} | CHI_SELF | shared,
        {"citizen_id": DUNG} | DUNG_SELF | shared, *more,
    )  # fmt: skip


def test_a_dead_person_with_visits_a_number_on_two_people_and_a_shared_old_number_each_show(
    warehouse: Warehouse,
) -> None:
    country(warehouse)
    dead = {"citizen_id": BE, "status": "deceased", "death_date": date(2024, 1, 20)} | BE_SELF
    warehouse.register("2024-02", dead)
    warehouse.register("2024-03", {"citizen_id": AN} | AN_SELF)
    warehouse.sector(
        "health_visit",
        "2024-03",
        VISIT | {"citizen_id": BE} | BE_SELF,  # 2: Bé, seven weeks after her death
        VISIT | {"citizen_id": AN} | AN_SELF,  # 3: An
        VISIT | {"citizen_id": AN} | CHI_SELF,  # 4: An's number for Chi, who is neither in name nor in birth date
        VISIT | {"old_id": "012345678"} | DUNG_SELF,  # 5: an old number that Chi and Dũng share
    )
    assert warehouse.build("2024-03") == []
    # the facts: the dead are matched and shown, a number that is somebody else's and one of two people match nobody
    assert warehouse.rows(
        "select match_method, count(citizen_token) from marts.fct_health_visit group by 1 order by 1"
    ) == [
        ("conflict", 0),
        ("id", 2),
        ("none", 0),
    ]
    assert warehouse.rows("select match_method, sum(records)::int from marts.match_summary group by 1 order by 1") == [
        ("conflict", 1),
        ("id", 2),
        ("none", 1),
    ]
    # the month's citizens: Bé died before it and is not one of them
    assert warehouse.rows("select sum(health_visits)::int, count(*) from marts.citizen_month") == [(1, 3)]
    # the findings, row by row, and counted
    assert found(warehouse, source="health_visit") == [
        (2, "deceased_served", None),
        (3, "number_two_people", 4),
        (4, "conflict_all", None),
        (4, "number_two_people", 3),
        (5, "old_number_shared", None),
    ]
    assert warehouse.rows(
        "select kind, records from quality.identity_finding where source = 'health_visit' order by 1", "quality"
    ) == [("conflict_all", 1), ("deceased_served", 1), ("number_two_people", 2), ("old_number_shared", 1)]


def test_a_conflict_says_what_disagrees(warehouse: Warehouse) -> None:
    told = [
        AN_SELF | {"full_name": "Ai Khác", "birth_date": date(1991, 1, 1)},
        AN_SELF | {"full_name": "Ai Khác", "sex": "F"},
        AN_SELF | {"birth_date": date(1991, 1, 1), "sex": "F"},
        BE_SELF,
    ]
    kinds = ["conflict_name_birth", "conflict_name_sex", "conflict_birth_sex", "conflict_all"]
    warehouse.register("2024-03", {"citizen_id": AN, "old_id": "111111111"} | AN_SELF)
    warehouse.sector("bank_kyc", "2024-03", *(ACCOUNT | {"citizen_id": AN} | row for row in told))
    warehouse.sector("education_enrolment", "2024-03", *(PUPIL | {"old_id": "111111111"} | row for row in told))
    warehouse.build("2024-03", test=False)
    for source in ("bank_kyc", "education_enrolment"):
        rows = [row[:2] for row in found(warehouse, source=source) if str(row[1]).startswith("conflict")]
        assert rows == list(zip(range(2, 6), kinds, strict=True))


def test_the_dead_are_found_by_what_the_source_says_of_them(warehouse: Warehouse) -> None:
    def died(citizen: int, day: date) -> Row:
        return {"citizen_id": citizen, "status": "deceased", "death_date": day}

    country(warehouse)
    warehouse.register("2024-02", died(AN, date(2022, 12, 31)) | AN_SELF, died(BE, date(2024, 1, 20)) | BE_SELF)
    warehouse.register("2024-03", died(CHI, date(2024, 2, 29)) | CHI_SELF, died(DUNG, date(2024, 3, 10)) | DUNG_SELF)
    people = [{"citizen_id": AN} | AN_SELF, {"citizen_id": BE} | BE_SELF, {"citizen_id": CHI} | CHI_SELF,
              {"citizen_id": DUNG} | DUNG_SELF]  # fmt: skip
    warehouse.sector("education_enrolment", "2024-03", *(PUPIL | who for who in people))
    warehouse.sector("bank_kyc", "2024-03", *(ACCOUNT | who for who in people))
    warehouse.sector(
        "health_visit",
        "2024-03",
        VISIT | people[2],  # Chi, ten days after her death, whenever that was reported
        VISIT | people[3] | {"admitted_at": "2024-03-10T23:59:59+07:00"},  # Dũng on the day he died
        VISIT | people[3] | {"admitted_at": "2024-03-10T17:00:00Z"},  # midnight in Vietnam
    )
    assert warehouse.build("2024-03") == []
    assert found(warehouse) == [
        ("bank_kyc", 2, "deceased_holder_long", None),
        ("bank_kyc", 3, "deceased_holder", None),
        ("bank_kyc", 4, "death_reported_late", None),
        ("education_enrolment", 2, "deceased_listed", None),
        ("education_enrolment", 3, "deceased_listed", None),
        ("education_enrolment", 4, "death_reported_late", None),
        ("health_visit", 2, "deceased_served", None),
        ("health_visit", 4, "deceased_served", None),
    ]


def test_who_has_left_the_register_is_told_by_how(warehouse: Warehouse) -> None:
    country(warehouse)
    warehouse.register(
        "2024-03",
        {"citizen_id": AN, "status": "emigrated"} | AN_SELF,
        {"citizen_id": BE, "status": "cancelled"} | BE_SELF,
        {"citizen_id": CHI, "record_op": "remove"} | CHI_SELF,
        {"citizen_id": DUNG + 10, "previous_citizen_id": DUNG} | DUNG_SELF,
    )
    people = [{"citizen_id": AN} | AN_SELF, {"citizen_id": BE} | BE_SELF, {"citizen_id": CHI} | CHI_SELF,
              {"citizen_id": DUNG} | DUNG_SELF, {"citizen_id": NOBODYS} | DUNG_SELF]  # fmt: skip
    warehouse.register("2024-02", {"citizen_id": AN} | AN_SELF)
    warehouse.sector("education_enrolment", "2024-03", *(PUPIL | who for who in people))
    warehouse.sector("bank_kyc", "2024-03", ACCOUNT | people[0])
    warehouse.build("2024-03", test=False)
    assert found(warehouse) == [
        ("education_enrolment", 2, "emigrated_listed", None),
        ("education_enrolment", 3, "number_cancelled", None),
        ("education_enrolment", 4, "number_removed", None),
        ("education_enrolment", 5, "previous_number", None),
        ("education_enrolment", 6, "number_unknown", None),
    ]


def test_one_number_on_two_people_needs_another_name_and_another_birth_date(warehouse: Warehouse) -> None:
    warehouse.register("2024-03", {"citizen_id": AN} | AN_SELF)
    number = {"citizen_id": NOBODYS}
    warehouse.sector(
        "bank_kyc",
        "2024-03",
        ACCOUNT | number | BE_SELF,  # 2
        ACCOUNT | number | BE_SELF | {"full_name": "TRẦN THỊ  BÉ"},  # 3: the same person
        ACCOUNT | number | BE_SELF | {"full_name": "Trần Bé"},  # 4: a name written otherwise
        ACCOUNT | number | BE_SELF | {"birth_date": date(1985, 5, 6)},  # 5: a birth date mistyped; not the person of 4
    )
    warehouse.sector(
        "education_enrolment", "2024-03", PUPIL | number | CHI_SELF, PUPIL | {"citizen_id": NOBODYS + 1} | CHI_SELF
    )
    warehouse.build("2024-03", test=False)
    pairs = [row for row in found(warehouse) if row[2] != "number_unknown"]
    assert pairs == [
        ("bank_kyc", 2, "number_other_source", None),
        ("bank_kyc", 3, "number_other_source", None),
        ("bank_kyc", 4, "number_two_people", 5),
        ("bank_kyc", 5, "number_two_people", None),
        ("education_enrolment", 2, "number_other_source", None),
    ]


def test_old_numbers_of_two_people_and_numbers_that_lead_apart(warehouse: Warehouse) -> None:
    warehouse.register(
        "2024-03",
        {"citizen_id": AN, "old_id": "111111111"} | AN_SELF,
        {"citizen_id": BE, "old_id": "222222222"} | BE_SELF,
    )
    warehouse.sector(
        "bank_kyc",
        "2024-03",
        ACCOUNT | {"citizen_id": AN, "old_id": "222222222"} | AN_SELF,  # 2: An, with Bé's old number
        ACCOUNT | {"citizen_id": AN, "old_id": "111111111"} | AN_SELF,
        ACCOUNT | {"old_id": "222222222"} | BE_SELF,  # 4: Bé herself
        ACCOUNT | {"citizen_id": AN, "old_id": "222222222"} | BE_SELF,  # 5: Bé, with An's number
    )
    warehouse.build("2024-03", test=False)
    assert found(warehouse, source="bank_kyc") == [
        (2, "number_two_people", 5),
        (2, "numbers_disagree", None),
        (2, "old_number_two_people", 5),
        (3, "number_two_people", 5),
        (4, "old_number_two_people", 2),
        (5, "conflict_all", None),
        (5, "number_two_people", 2),
        (5, "numbers_disagree", None),
        (5, "old_number_two_people", 2),
    ]


def test_twins_whose_numbers_were_mixed_up(warehouse: Warehouse) -> None:
    born = {"birth_date": date(2015, 9, 9)}
    hoa, huong = {"full_name": "Vũ Thị Hoa", "sex": "F"} | born, {"full_name": "Vũ Thị Hương", "sex": "F"} | born
    hung = {"full_name": "Vũ Văn Hùng", "sex": "M"} | born
    elsewhere = {"full_name": "Vũ Thị Hạnh", "sex": "F", "residence_commune_code": "00004"} | born
    warehouse.register(
        "2024-03",
        {"citizen_id": 1} | hoa,
        {"citizen_id": 2} | huong,
        {"citizen_id": 3} | hung,
        {"citizen_id": 4} | elsewhere,
    )
    warehouse.sector(
        "education_enrolment",
        "2024-03",
        PUPIL | {"citizen_id": 1} | hoa,
        PUPIL | {"citizen_id": 2} | hoa,  # 3: two of three agree: matched, to the sister
        PUPIL | {"citizen_id": 1} | hung,  # 4: only the birth date agrees: a conflict, and the brother
        PUPIL | {"citizen_id": 1, "full_name": "Vũ Thị Hạnh", "sex": "F"} | born,  # 5: lives elsewhere: no twin
    )
    warehouse.build("2024-03", test=False)
    assert found(warehouse, source="education_enrolment") == [
        (3, "twin_number", None),
        (4, "conflict_name_sex", None),
        (4, "twin_number", None),
    ]


def test_a_row_without_a_number_that_several_citizens_fit(warehouse: Warehouse) -> None:
    warehouse.register(
        "2024-03",
        {"citizen_id": AN} | AN_SELF,
        {"citizen_id": AN + 1, "residence_commune_code": "00004"} | AN_SELF,
        {"citizen_id": BE + 1} | BE_SELF,
    )
    warehouse.sector("bank_kyc", "2024-03", ACCOUNT | AN_SELF, ACCOUNT | BE_SELF, ACCOUNT | CHI_SELF)
    warehouse.sector("education_enrolment", "2024-03", PUPIL | AN_SELF)  # the commune decides
    warehouse.build("2024-03", test=False)
    assert found(warehouse) == [("bank_kyc", 2, "several_fit", None)]


def test_what_the_register_gives_twice(warehouse: Warehouse) -> None:
    warehouse.register("2024-02", {"citizen_id": AN, "old_id": "111111111"} | AN_SELF, {"citizen_id": CHI} | CHI_SELF)
    warehouse.register(
        "2024-03",
        # a row that says nothing else is an upsert, in the register's history and here
        {"citizen_id": BE, "old_id": "111111111", "record_op": None} | BE_SELF,  # 2: An's old number
        {"citizen_id": AN + 20, "record_op": None} | AN_SELF,  # 3: another An, same in everything
        {"citizen_id": CHI + 20, "previous_citizen_id": CHI} | CHI_SELF,  # 4
        {"citizen_id": CHI} | CHI_SELF,  # 5: replaced, and sent as alive
        {"citizen_id": CHI + 30, "previous_citizen_id": CHI} | CHI_SELF,  # 6: claims the same number
    )
    assert warehouse.build("2024-03") == []
    assert found(warehouse, source="population_register") == [
        (2, "register_old_number", None),
        (3, "register_double", None),
        (4, "register_previous_twice", None),
        (5, "register_previous_alive", None),
        (6, "register_previous_twice", None),
    ]


def test_a_normal_row_raises_no_question(warehouse: Warehouse) -> None:
    country(warehouse)
    warehouse.register("2024-02", {"citizen_id": AN} | AN_SELF)
    warehouse.register("2024-03", {"citizen_id": AN} | AN_SELF)
    warehouse.sector(
        "bank_kyc", "2024-03", ACCOUNT | {"citizen_id": AN} | AN_SELF, ACCOUNT | BE_SELF,
        ACCOUNT | {"citizen_id": CHI, "old_id": "012345678"} | CHI_SELF, ACCOUNT | AN_SELF | {"full_name": "Ai Khác"},
    )  # fmt: skip
    warehouse.sector("health_visit", "2024-03", VISIT | {"citizen_id": AN} | AN_SELF | {"full_name": "NGUYỄN VĂN AN "})
    warehouse.build("2024-03", test=False)
    assert found(warehouse) == []


def test_the_findings_do_not_depend_on_the_order_of_the_months(warehouse: Warehouse) -> None:
    def sent(period: str) -> None:
        if period == "2024-01":
            country(warehouse)
        elif period == "2024-02":
            gone = {"citizen_id": BE, "status": "deceased", "death_date": date(2024, 1, 20)} | BE_SELF
            warehouse.register(period, gone, {"citizen_id": AN + 20, "previous_citizen_id": AN} | AN_SELF)
        else:
            warehouse.register(period, {"citizen_id": CHI, "record_op": "remove"} | CHI_SELF)
        rows = [{"citizen_id": AN} | AN_SELF, {"citizen_id": BE} | BE_SELF, {"citizen_id": CHI} | CHI_SELF]
        warehouse.sector("bank_kyc", period, *(ACCOUNT | row for row in rows))

    months = ("2024-01", "2024-02", "2024-03")
    for month in months:
        sent(month)
        warehouse.build(month, test=False)
    told = [found(warehouse, month) for month in months]
    assert [len(rows) for rows in told] == [2, 2, 3]
    warehouse.accepted.clear()
    for month in reversed(months):
        sent(month)
    for month in ("2024-02", "2024-03", "2024-01", "2024-02"):
        warehouse.build(month, test=False)
    assert [found(warehouse, month) for month in months] == told
