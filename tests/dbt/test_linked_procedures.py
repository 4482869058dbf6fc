"""Births and deaths followed through the registers: every delay and omission is found, in whatever order months come."""

from __future__ import annotations

import uuid
from datetime import date
from typing import Any

from p06 import build, database, plan
from p06.build import ExtractRef
from p06.period import Period
from tests.dbt.hand_staged import Row, Warehouse

# Children by what becomes of them, born on 5 January 2024 and registered the day after; and the dead, likewise.
QUICK, SLOW, NO_CARD, NO_NUMBER, UNKNOWN = 1224000001, 1224000002, 1224000003, 1224000004, 1224000005
BORN, REGISTERED = date(2024, 1, 5), date(2024, 1, 6)
SETTLED, LATE, FORGOTTEN = 1150000001, 1150000002, 1150000003
OLD = date(1950, 3, 8)


def person(number: int, *, born: date = BORN, stated: bool = True) -> Row:
    """Who somebody is, as every source states it."""
    name = f"Nguyễn Thị {chr(65 + number % 26)}"
    return ({"citizen_id": number} if stated else {}) | {"full_name": name, "birth_date": born, "sex": "F"}


def key(*of: object) -> Row:
    """The record's key; a warehouse staged by hand would make it of the line."""
    return {"record_key": uuid.uuid5(uuid.NAMESPACE_OID, repr(of))}


def event(number: int, kind: str, on: date = BORN, *, stated: bool = True, registered: date = REGISTERED) -> Row:
    """A birth or death as it is sent."""
    who = person(number, born=BORN if kind == "birth" else OLD, stated=stated)
    return who | key(number, kind) | {
        "event_no": str(number), "subject_no": 1, "event_kind": kind, "event_on": on, "registered_on": registered,
        "digitised": "yes", "population_basis": "yes", "commune_code": "00001",
    }  # fmt: skip


def card(number: int, since: date) -> Row:
    """The health card of a child under six."""
    return person(number) | {
        "social_insurance_no": str(number), "participation": "health_only", "commune_code": "00001",
        "insurance_card_no": f"TE1010{number:09}"[:15], "object_code": "TE", "card_valid_from": since,
    }  # fmt: skip


def payment(number: int, kind: str, on: date) -> Row:
    """A payment to one of the old."""
    return person(number, born=OLD) | key(number, on) | {
        "payment_id": f"{number} {on}", "benefit_kind": kind, "payment_method": "cash", "paid_on": on, "amount": 100,
        "commune_code": "00001",
    }  # fmt: skip


def registered(number: int, **more: Any) -> Row:
    """A row of the register."""
    return person(number, born=OLD if number < 1200000000 else BORN) | more


JANUARY: dict[str, list[Row]] = {
    "population_register": [registered(QUICK), *(registered(number) for number in (SETTLED, LATE, FORGOTTEN))],
    "civil_status_event": [
        *(event(number, "birth") for number in (QUICK, SLOW, NO_CARD)),
        event(NO_NUMBER, "birth", stated=False),
        event(UNKNOWN, "birth"),
        *(event(number, "death") for number in (SETTLED, LATE, FORGOTTEN)),
        # an old book that is digitised now
        event(1150000009, "death", date(1999, 1, 1), registered=date(1999, 1, 2)),
    ],
    "social_security_participation": [card(QUICK, date(2024, 1, 20))],
    "social_security_payment": [
        payment(SETTLED, "funeral_allowance", date(2024, 1, 30)),
        payment(LATE, "pension", date(2024, 1, 25)),
        payment(FORGOTTEN, "pension", date(2024, 1, 3)),  # before the death
        # the number of somebody dead on the row of somebody else
        payment(FORGOTTEN, "pension", date(2024, 1, 26)) | {"full_name": "Lê Văn Ba", "birth_date": BORN, "sex": "M"},
    ],
}
FEBRUARY: dict[str, list[Row]] = {
    "population_register": [
        registered(SLOW), registered(NO_CARD), registered(SETTLED, status="deceased", death_date=BORN),
    ],
    "social_security_participation": [card(QUICK, date(2024, 1, 20)), card(SLOW, date(2024, 2, 25))],
    "social_security_payment": [payment(FORGOTTEN, "pension", date(2024, 2, 25))],
}  # fmt: skip
MARCH: dict[str, list[Row]] = {
    "population_register": [registered(LATE, status="deceased", death_date=BORN)],
    "social_security_participation": [card(QUICK, date(2024, 1, 20)), card(SLOW, date(2024, 2, 25))],
    "social_security_payment": [
        payment(LATE, "funeral_allowance", date(2024, 3, 10)), payment(FORGOTTEN, "pension", date(2024, 3, 25)),
    ],
}  # fmt: skip
MONTHS = {"2024-01": JANUARY, "2024-02": FEBRUARY, "2024-03": MARCH}
BIRTHS = (
    "select right(b.period::text, 5), number_state, residence_state, health_card_state, days_to_register, days_to_health_card, state"
    " from marts.linked_birth as b order by b.period, b.state, b.number_state, b.days_to_register, b.days_to_health_card"
)
DEATHS = (
    "select right(period::text, 5), deregistration_state, allowance_state, days_to_deregister, days_to_allowance,"
    " payments_after_death, is_still_paid, state from marts.linked_death order by period, state, payments_after_death, is_still_paid, allowance_state"
)
AFTER_DEATH = (
    "select right(period::text, 5), benefit_kind, paid_on::text, died_on::text, known_from, days_after_death"
    " from marts.payment_after_death order by paid_on"
)


def accept(warehouse: Warehouse, month: str, *sources: str) -> None:
    """Accept the month's extracts, or those of the sources named."""
    for source, rows in MONTHS[month].items():
        if sources and source not in sources:
            continue
        if source == "population_register":
            warehouse.register(month, *rows)
        else:
            warehouse.sector(source, month, *rows)


def test_every_delay_and_omission_of_a_birth_is_found(warehouse: Warehouse) -> None:
    for month in MONTHS:
        accept(warehouse, month)
        assert warehouse.build(month) == []
    assert warehouse.rows(BIRTHS) == [
        # on 31 January nothing is overdue: 25 days
        ("01-01", "done", "done", "done", 25, 14, "complete"),
        *[("01-01", "waiting", "waiting", "waiting", None, None, "waiting")] * 4,
        # on 29 February: SLOW made it, NO_CARD has none, two are in no register
        ("02-01", "done", "done", "done", 25, 14, "complete"),
        ("02-01", "done", "done", "done", 54, 50, "complete"),
        ("02-01", "done", "done", "overdue", 54, None, "overdue"),
        *[("02-01", "overdue", "overdue", "overdue", None, None, "overdue")] * 2,
        ("03-01", "done", "done", "done", 25, 14, "complete"),
        ("03-01", "done", "done", "done", 54, 50, "complete"),
        ("03-01", "done", "done", "overdue", 54, None, "overdue"),
        *[("03-01", "overdue", "overdue", "overdue", None, None, "overdue")] * 2,
    ]
    assert warehouse.rows(DEATHS) == [
        ("01-01", "waiting", "done", None, 24, 0, False, "waiting"),
        ("01-01", "waiting", "waiting", None, None, 0, False, "waiting"),
        ("01-01", "waiting", "waiting", None, None, 1, True, "waiting"),
        ("02-01", "done", "done", 54, 24, 0, False, "complete"),
        ("02-01", "overdue", "overdue", None, None, 1, False, "overdue"),
        ("02-01", "overdue", "overdue", None, None, 1, True, "overdue"),
        ("03-01", "done", "done", 54, 24, 0, False, "complete"),
        ("03-01", "done", "done", 85, 64, 1, False, "complete"),
        ("03-01", "overdue", "overdue", None, None, 2, True, "overdue"),
    ]
    assert warehouse.rows(AFTER_DEATH) == [
        ("01-01", "pension", "2024-01-25", "2024-01-05", "civil_status", 20),
        ("02-01", "pension", "2024-02-25", "2024-01-05", "civil_status", 51),
        ("03-01", "pension", "2024-03-25", "2024-01-05", "civil_status", 80),
    ]
    assert warehouse.rows(
        "select distinct kind from quality.identity_finding where source = 'civil_status_event'", "quality"
    ) == [("number_unknown",)]  # a death that is registered is no finding, a child the register does not know yet is
    january = (
        "where period = '2024-01-01' and area_level = 'nation' and indicator_code not like 'match_rate%' order by 1"
    )
    assert warehouse.rows(f"select indicator_code, numerator, denominator from marts.indicator {january}") == [
        ("civil_status_population_basis_rate", 9, 9), ("eid_level2_rate", 0, 3), ("health_insurance_coverage", 1, 4),
        ("id_card_rate", 0, 3), ("noncash_payment_rate", 0, 4),
    ]  # fmt: skip
    assert warehouse.rows(f"select indicator_code, value, unit from marts.indicator_count {january}") == [
        ("civil_status_records_digitised", 9, "record"), ("social_security_payments", 4, "payment"),
    ]  # fmt: skip


def test_an_old_month_that_comes_late_gives_what_it_would_have_given_in_time(warehouse: Warehouse) -> None:
    accept(warehouse, "2024-01", "population_register", "social_security_participation")
    accept(warehouse, "2024-02")
    assert warehouse.build("2024-02", test=False) == []
    assert warehouse.rows(BIRTHS) == []
    accept(warehouse, "2024-01", "civil_status_event", "social_security_payment")
    assert warehouse.build("2024-02", test=False) == []
    late = warehouse.rows(BIRTHS), warehouse.rows(DEATHS)
    assert [row[-1] for row in late[0]] == ["complete"] * 2 + ["overdue"] * 3
    assert [row[-1] for row in late[1]] == ["complete"] + ["overdue"] * 2


def test_a_step_nobody_could_look_at_is_not_done(warehouse: Warehouse) -> None:
    accept(warehouse, "2024-01", "population_register", "civil_status_event")
    # what was told as a death of December is an old book in January, under the same number
    told_before = [event(QUICK, "birth")] * 8 + [event(1150000009, "death", registered=date(2023, 12, 20))]
    warehouse.sector("civil_status_event", "2023-12", *told_before)
    assert warehouse.build("2024-01") == []
    assert warehouse.rows("select distinct health_card_state, state from marts.linked_birth") == [
        ("not_received", "waiting")
    ]
    assert warehouse.rows("select distinct allowance_state, payments_after_death, is_still_paid from marts.linked_death") == [
        ("not_received", None, None)
    ]  # fmt: skip
    assert warehouse.rows("select count(*) from marts.linked_death") == [(3,)], "an event is what was told of it last"


def test_only_months_with_events_to_follow_read_months_before() -> None:
    def ref(source: str, month: str) -> ExtractRef:
        return ExtractRef(f"{source} {month}", source, Period.parse(month), "leaf", 1, BORN, 1, 0, 0, 1)

    accepted: dict[Period, dict[str, ExtractRef]] = {}
    for source, month in [
        ("social_security_payment", "2024-01"), ("social_security_payment", "2024-05"), ("bank_kyc", "2024-05"),
        ("civil_status_event", "2024-06"), ("civil_status_event", "2024-07"),
    ]:  # fmt: skip
        accepted.setdefault(Period.parse(month), {})[source] = ref(source, month)

    def read(month: str) -> list[str]:
        return [one.extract_id for one in build.followed(accepted, Period.parse(month))]

    assert read("2024-05") == []
    assert read("2024-06") == ["social_security_payment 2024-05"]
    assert read("2024-08") == [
        "civil_status_event 2024-06",
        "civil_status_event 2024-07",
        "social_security_payment 2024-05",
    ]
    assert read("2024-10") == ["civil_status_event 2024-07"]
    assert read("2024-11") == []


def test_a_late_month_of_events_is_read_by_the_three_months_after_it_and_by_no_other(warehouse: Warehouse) -> None:
    def contents() -> tuple[dict[str, dict[str, Any]], plan.Ledger]:
        with database.connect("loader") as connection:
            connection.cursor().executemany(
                "insert into control.accepted (source, period, extract_id, revision_floor) values (%s, %s, %s, 1)"
                " on conflict do nothing",
                [(ref.source, ref.period.first_day, ref.extract_id) for ref in warehouse.accepted.values()],
            )
        with database.connect("publisher") as connection:
            ledger = plan.Ledger(connection)
            return {str(period): ledger.inputs(period).content for period in ledger.periods}, ledger

    for month in range(1, 8):
        warehouse.register(f"2024-{month:02}", registered(QUICK))
    first, _ = contents()
    warehouse.sector("civil_status_event", "2024-02", event(QUICK, "birth"))
    second, _ = contents()
    assert [month for month in first if first[month] != second[month]] == ["2024-02", "2024-03", "2024-04", "2024-05"]
    warehouse.sector("social_security_payment", "2024-01", payment(SETTLED, "pension", BORN))
    third, ledger = contents()
    assert [month for month in second if second[month] != third[month]] == ["2024-01", "2024-02", "2024-03", "2024-04"]
    with database.connect("publisher") as connection:
        ledger.connection = connection
        march = Period.parse("2024-03")
        told = [cause.sentence for cause in plan._differences(march, first["2024-03"], second["2024-03"], ledger)]
    assert [sentence.partition("; ")[2] for sentence in told] == [
        "the events of 2024-02 are followed up to 2024-03, so their steps are asked for again"
    ]


def test_each_step_at_its_edge(warehouse: Warehouse) -> None:
    """Of February: what a day more or less, another kind of card, or another number would have told."""
    day_30, day_31 = date(2024, 1, 30), date(2024, 1, 29)  # before 29 February
    waits, late, before, other, ended, ahead, by_code, by_number, two, apart, twin = range(1224000104, 1224000115)
    cards = {
        before: {"card_valid_from": date(2024, 1, 4)},  # before the birth was registered: no days, not minus two
        other: {"object_code": "HS", "insurance_card_no": "HS1010000000001"},
        ended: {"card_valid_to": date(2024, 2, 28)},
        ahead: {"card_valid_from": date(2024, 3, 1)},
        by_code: {"insurance_card_no": None},
        by_number: {"object_code": None},
    }
    of_two, of_before = {"old_id": "111111111"}, {"old_id": "222222222"}
    births = [
        event(waits, "birth", registered=day_30),
        event(late, "birth", registered=day_31),
        *(event(number, "birth") for number in cards),
        # an old number of two people; one whose owner agrees beside the number of somebody else; a name of two people
        event(two, "birth", stated=False) | of_two,
        event(apart, "birth") | of_before | {"full_name": registered(before)["full_name"], "birth_date": OLD},
        event(twin, "birth", stated=False),
    ]
    unknown, paid, told_twice, first, too_old = range(1150000201, 1150000206)
    deaths = [
        event(number, "death", registered=on)
        for number, on in ((unknown, REGISTERED), (paid, REGISTERED), (told_twice, REGISTERED),
                           (first, date(2023, 11, 1)), (too_old, date(2023, 10, 31)))
    ]  # fmt: skip
    alike = [registered(number, full_name="Hai Người", **of_two) for number in (1224000201, 1224000202)]
    warehouse.register(
        "2024-01", *(registered(number) | (of_before if number == before else {}) for number in cards), *alike,
        registered(apart, full_name="Người Khác", birth_date=BORN, sex="M"),
        registered(twin, full_name="Trùng Tên"), registered(twin + 26, full_name="Trùng Tên"),
        registered(paid), registered(told_twice), registered(first),
    )  # fmt: skip
    # by the register he died five days after the day that civil status has
    warehouse.register("2024-02", registered(paid, status="deceased", death_date=date(2024, 1, 10)))
    births[-1] |= {"full_name": "Trùng Tên"}
    births[-3] |= {"full_name": "Hai Người"}
    warehouse.sector("civil_status_event", "2024-01", *births, *deaths)
    warehouse.sector("social_security_participation", "2024-02",
                     *(card(number, date(2024, 1, 20)) | more for number, more in cards.items()))  # fmt: skip
    warehouse.sector("social_security_payment", "2024-01", *[
        payment(told_twice, "pension", date(2024, 1, 25)),
        payment(told_twice, "pension", BORN),  # on the day itself
        payment(told_twice, "funeral_allowance", date(2024, 1, 26)) | {"amount": 1000},
        payment(unknown, "pension", date(2024, 1, 25)),
    ])  # fmt: skip
    warehouse.sector("social_security_payment", "2024-02", *[
        # the sender uses a number of January again
        payment(told_twice, "pension", date(2024, 2, 25)) | key(told_twice, date(2024, 1, 25)),
        payment(paid, "pension", date(2024, 1, 8)),  # after the one death, before the other
        payment(paid, "pension", date(2024, 1, 10)),
        payment(paid, "pension", date(2024, 2, 20)),
    ])  # fmt: skip
    warehouse.build("2024-02", test=False)

    names = {key(number, kind)["record_key"]: number for kind in ("birth", "death")
             for number in (*range(waits, twin + 1), *range(unknown, too_old + 1))}  # fmt: skip
    told = {
        names[row[0]]: row[1:]
        for row in warehouse.rows("select record_key, number_state, health_card_state, days_to_health_card from marts.linked_birth")
    }  # fmt: skip
    assert told == {
        waits: ("waiting", "waiting", None), late: ("overdue", "overdue", None),
        before: ("done", "done", 0), other: ("done", "overdue", None), ended: ("done", "overdue", None),
        ahead: ("done", "overdue", None), by_code: ("done", "done", 14), by_number: ("done", "done", 14),
        two: ("overdue", "overdue", None), apart: ("overdue", "overdue", None), twin: ("overdue", "overdue", None),
    }  # fmt: skip
    told = {
        names[row[0]]: row[1:]
        for row in warehouse.rows("select record_key, payments_after_death, amount_after_death::int, last_paid_on::text, is_still_paid"
                                  " from marts.linked_death")
    }  # fmt: skip
    assert told == {
        unknown: (1, 100, "2024-01-25", False), paid: (3, 300, "2024-02-20", True),
        told_twice: (2, 200, "2024-02-25", True), first: (0, 0, None, False),
    }  # fmt: skip
    assert warehouse.rows(AFTER_DEATH) == [
        ("02-01", "pension", "2024-02-20", "2024-01-10", "register", 41),
        ("02-01", "pension", "2024-02-25", "2024-01-05", "civil_status", 51),
    ]
