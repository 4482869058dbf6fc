"""Deliveries as large as the reports say give back the figures the reports print, and the verdicts on the wrong ones.

Numbers of millions are scaled to thousands, in the deliveries and in the register of printed figures alike.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from p06 import contract, database, staging
from p06.period import Period
from p06.plan import Ledger
from p06.settings import settings
from tests.dbt import hand_staged
from tests.dbt.conftest import _settle
from tests.integration.sequence import load_ungated
from tests.sender import Sender

pytestmark = pytest.mark.long

OLD_LIST, NEW_LIST = "2025-03-01", "2025-07-01"
TAN_LAC, DIEN_BIEN_PHU = "05128", "03127"
PROVINCES = ("01", "02", "04", "06", "08", "10", "11", "12", "14")
Values = dict[str, str]


def person(number: int, born: str = "1980-02-03") -> Values:
    """Somebody whose number says a woman born in 1980 in Hòa Bình."""
    return {"citizen_id": f"017180{number:06}", "full_name": f"Nguyễn Thị {number}", "birth_date": born, "sex": "F"}


def nobody(number: int) -> Values:
    """Somebody the register does not know, without a number."""
    return {"full_name": f"Trần Thị {number}", "birth_date": "1971-07-08", "sex": "F"}


def register() -> Iterator[Values]:
    """72,996 people of Tân Lạc, 72,847 of them with a card."""
    for n in range(72_996):
        yield person(n) | {
            "residence_commune_code": TAN_LAC, "status": "alive", "eid_level": "0", "record_op": "upsert",
            "id_card_issued_on": "2023-01-01" if n < 72_847 else "",
        }  # fmt: skip


def services() -> Iterator[Values]:
    """1,878 services due, 1,317 of them integrated."""
    for n in range(1_878):
        yield {"province_code": "17", "service_code": f"S{n}", "due": "yes", "integrated": "yes" if n < 1_317 else "no"}


def dossiers() -> Iterator[Values]:
    """44,938 dossiers: 32,378 processed and 12,560 pending; 32,144 came online."""
    for n in range(44_938):
        yield nobody(n) | {
            "dossier_no": f"D{n}", "procedure_code": "P1", "procedure_group": "other", "received_on": "2024-09-01",
            "channel": "online" if n < 32_144 else "counter", "dossier_status": "10" if n < 32_378 else "4",
            "commune_code": TAN_LAC,
        }  # fmt: skip


def answers(satisfied: int) -> Iterator[Values]:
    """5,000 answers of citizens."""
    for n in range(5_000):
        yield {"feedback_no": f"F{n}", "satisfied": "yes" if n < satisfied else "no", "channel": "online",
               "given_on": "2024-09-01", "commune_code": TAN_LAC}  # fmt: skip


def customers() -> Iterator[Values]:
    """40.7 thousand customer files of 29 credit institutions and 13 payment intermediaries."""
    for n in range(40_700):
        place = n % 42
        yield nobody(n) | {
            "institution_code": f"I{place}", "customer_ref": f"C{n}", "channel": "app", "biometric_match": "matched",
            "institution_kind": "credit_institution" if place < 29 else "payment_intermediary", "account_status": "active",
        }  # fmt: skip


def cards() -> Iterator[Values]:
    """9.8 thousand cards of children, 3.3 of them under six, and 260 certificates."""
    for n in range(10_060):
        yield nobody(n) | {
            "application_no": f"A{n}", "document": "card" if n < 9_800 else "certificate", "issue_reason": "first",
            "age_group": "under_6" if n < 3_300 else "6_to_13" if n < 9_800 else "14_over", "issued_on": "2024-10-05",
            "commune_code": TAN_LAC,
        }  # fmt: skip


def certificates() -> Iterator[Values]:
    """Judicial records issued in nine provinces, requested in a tenth."""
    for n, commune in enumerate(_commune_of_each(PROVINCES)):
        yield nobody(n) | {
            "certificate_no": f"J{n}", "certificate_status": "issued", "requested_on": "2024-10-01",
            "issued_on": "2024-10-05", "channel": "app", "commune_code": commune,
        }  # fmt: skip
    yield nobody(99) | {
        "certificate_no": "J99", "certificate_status": "requested", "requested_on": "2024-10-01", "channel": "app",
        "commune_code": TAN_LAC,
    }  # fmt: skip


def books() -> Iterator[Values]:
    """15 thousand health books, 14.6 of them integrated."""
    for n in range(15_000):
        yield nobody(n) | {"book_no": f"B{n}", "created_on": "2024-01-05", "integrated": "yes" if n < 14_600 else "no",
                           "commune_code": TAN_LAC}  # fmt: skip


def civil_status() -> Iterator[Values]:
    """111.5 thousand digitised records, 17.1 of them on population basis: 15.34 %, not the 15.39 printed."""
    for n in range(111_500):
        yield nobody(n) | {
            "event_no": f"E{n}", "subject_no": "1", "event_kind": "birth", "event_on": "1971-07-08",
            "registered_on": "1971-07-09", "digitised": "yes", "population_basis": "yes" if n < 17_100 else "no",
            "commune_code": TAN_LAC,
        }  # fmt: skip


def districts() -> Iterator[Values]:
    """461 of 705 districts completed; 46 thousand parcels digitised."""
    for n in range(705):
        done = n < 461
        yield {
            "province_code": PROVINCES[n % 9], "unit_code": f"{n:03}", "unit_level": "district",
            "digitisation_status": "completed" if done else "not_started",
            "parcels_total": "100", "parcels_digitised": "99" if 0 < n < 461 else "460" if n == 0 else "0",
        } | ({"parcels_total": "460"} if n == 0 else {})  # fmt: skip


def cadres() -> Iterator[Values]:
    """2.3 thousand files, 1.1 of them of people the register knows."""
    for n in range(2_300):
        yield (person(n) if n < 1_100 else nobody(n)) | {
            "profile_no": f"H{n}", "cadre_kind": "cadre", "organisation_code": "O1", "employment_status": "serving",
        }  # fmt: skip


def members() -> Iterator[Values]:
    """47,571 members, each with a dossier for the card."""
    for n in range(47_571):
        yield nobody(n) | {"member_no": f"M{n}", "card_dossier": "printed", "commune_code": DIEN_BIEN_PHU}


def organisations() -> Iterator[Values]:
    """1,029 accounts of organisations."""
    for n in range(1_029):
        yield {"organisation_code": f"{n:010}", "organisation_kind": "enterprise", "registered_on": "2025-07-05",
               "account_status": "active", "commune_code": DIEN_BIEN_PHU}  # fmt: skip


def accounts() -> Iterator[Values]:
    """10,000 accounts, 4,507 of them with the health-insurance card."""
    for n in range(10_000):
        yield nobody(n) | {
            "account_no": f"T{n}", "level": "2", "registered_on": "2025-07-05", "activated_on": "2025-07-05",
            "account_status": "active", "health_card_on_app": "yes" if n < 4_507 else "no", "commune_code": DIEN_BIEN_PHU,
        }  # fmt: skip


DELIVERIES: dict[str, dict[str, Callable[[], Iterator[Values]]]] = {
    "2023-05": {"population_register": register},
    "2024-08": {"citizen_feedback": partial(answers, 3_706)},
    "2024-09": {
        "public_service_catalogue": services, "public_service_dossier": dossiers, "citizen_feedback": partial(answers, 4_389),
    },
    "2024-10": {
        "bank_kyc": customers, "id_card_issuance": cards, "judicial_certificate": certificates,
        "health_ebook": books, "civil_status_event": civil_status, "land_digitisation": districts, "cadre": cadres,
    },
    "2025-08": {"party_member": members, "organisation_eid": organisations, "eid_account": accounts},
}  # fmt: skip

# What the warehouse says to each printed figure that it can speak of; shares in per cent.
VERDICTS = {
    "000a": ("match", "99.795879"),
    "001b": ("match", "40700"),
    "001b.credit": ("match", "29"),
    "001b.payment": ("match", "13"),
    "001c": ("match", "9800"),
    "001c.over_6": ("match", "6500"),
    "001c.under_6": ("match", "3300"),
    "001d": ("match", "260"),
    "001e": ("match", "9"),
    "001g": ("match", "14600"),
    "001h": ("discrepancy", "15.336323"),
    "001i": ("match", "111500"),
    "001k": ("match", "65.390071"),
    "001k.parcels": ("match", "46000"),
    "001l": ("match", "47.826087"),
    "002a": ("truncation", "70.127796"),
    "002b": ("match", "44938"),
    "002b.pending": ("match", "12560"),
    "002b.processed": ("match", "32378"),
    "002c": ("match", "71.529663"),
    "002d": ("match", "87.78"),
    "004a": ("match", "100"),
    "004b": ("match", "1029"),
    "004c": ("match", "45.07"),
}


def _commune_of_each(provinces: tuple[str, ...]) -> list[str]:
    import csv

    with (settings().codelists / "area.csv").open(encoding="utf-8-sig", newline="") as file:
        found: dict[str, str] = {}
        for row in csv.DictReader(file):
            if row["level"] == "commune" and row["valid_from"] == OLD_LIST:
                found.setdefault(row["parent_code"], row["code"])
    return [found[province] for province in provinces]


def written(source: str, period: Period, rows: Iterator[Values]) -> str:
    """The rows as one csv of the contract's shape."""
    columns = contract.load(source).at(period).columns
    stated = {"updated_at": f"{period}-10T09:00:00+07:00"}
    lines = [",".join(column.physical_name for column in columns)]
    lines += [",".join((row | stated).get(column.name, "") for column in columns) for row in rows]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hand_staged.Warehouse]:
    """A warehouse that received what the reports tell of, each month built and published."""
    home = tmp_path_factory.mktemp("counts")
    home.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        _settle(patch, home)
        shutil.copytree(settings().dbt_project, home / "dbt_project")
        figures = home / "dbt_project" / "seeds" / "published_figure.csv"
        text = figures.read_text("utf-8")
        assert " M" in text
        figures.write_text(text.replace(" M+", " K+").replace(" M,", " K,"), "utf-8")
        patch.setenv("P06_DBT_PROJECT", str(home / "dbt_project"))
        settings.cache_clear()
        database.ensure_running()
        warehouse = hand_staged.fresh()
        with database.connect("loader", autocommit=True) as connection:
            staging.sync(connection)
        sender = Sender(home / "landing")
        for month, sources in DELIVERIES.items():
            period = Period.parse(month)
            for source, rows in sources.items():
                sender.send(
                    [written(source, period, rows())], source, month, revision=1,
                    admin_code_version=NEW_LIST if month >= "2025-07" else OLD_LIST,
                    produced_at=f"{month}-28T08:15:00+07:00",
                )  # fmt: skip
        assert set(load_ungated()) == {"accepted"}
        with database.connect("publisher", autocommit=True) as connection:
            known = Ledger(connection)
        warehouse.accepted = {(source, at): ref for at, refs in known.accepted.items() for source, ref in refs.items()}
        for month in DELIVERIES:
            assert warehouse.build(month) == []
        yield warehouse
        database.stop()
    settings.cache_clear()


def test_no_row_of_the_deliveries_was_quarantined(reported: hand_staged.Warehouse) -> None:
    assert reported.rows("select sum(quarantined), sum(duplicates) from marts.reconciliation") == [(0, 0)]


def test_the_warehouse_reproduces_what_the_reports_print_and_tells_what_is_wrong(
    reported: hand_staged.Warehouse,
) -> None:
    found = reported.rows(
        "select figure_id, verdict, computed_value::text from marts.published_comparison"
        " where comparison = 'warehouse' and verdict <> 'not_available'"
    )
    assert {figure: tuple(told) for figure, *told in found} == VERDICTS


def test_satisfaction_rose_in_points_as_one_of_the_two_readings_says(reported: hand_staged.Warehouse) -> None:
    [(points,)] = reported.rows(
        "select change_points::text from marts.indicator_change where indicator_code = 'satisfaction_rate'"
        " and area_level = 'nation' and period = '2024-09-01'"
    )
    assert points == "13.660000"


def test_the_target_stands_beside_the_rate(reported: hand_staged.Warehouse) -> None:
    assert reported.rows(
        "select target::text, target_points::text from marts.indicator_change"
        " where indicator_code = 'health_card_on_app_rate' and area_level = 'nation'"
    ) == [("0.80", "-34.930000")]
