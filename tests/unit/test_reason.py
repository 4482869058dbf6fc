"""Each cause of a stale month is a sentence that names source, month, revision and time, and says what follows."""

from __future__ import annotations

from datetime import datetime

from p06 import reason
from p06.reason import Delivered

AT = datetime(2026, 11, 23, 2, 5)
VISITS = Delivered("health_visit-202402-r1-0", "health_visit", "2024-02", 1, AT, AT, "1.2.0")
REGISTER = Delivered("population_register-202401-r2-0", "population_register", "2024-01", 2, AT, AT, "1.0.0")
KNOWN = {one.extract_id: one for one in (VISITS, REGISTER)}


def _told(old: list[object] | None, new: list[object] | None) -> list[tuple[str, str]]:
    return [(one.kind, one.sentence) for one in reason.moved("2024-02", old, new, KNOWN)]


def test_an_arrival_names_its_revision_and_when_it_came() -> None:
    assert _told(None, [VISITS.extract_id, "h", 0]) == [
        (
            "arrived",
            "health_visit of 2024-02 arrived on 2026-11-23 02:05 UTC as revision 1; its facts and the figures of 2024-02"
            " that rest on them are built again",
        )
    ]


def test_a_register_month_before_says_that_every_row_is_matched_again() -> None:
    assert _told(["population_register-202401-r1-0", "h", 0], [REGISTER.extract_id, "h", 0]) == [
        (
            "corrected",
            "the register of 2024-01 was corrected on 2026-11-23 02:05 UTC: revision 2 replaces an earlier one; who is who"
            " in 2024-02 follows the register, so every row is matched again",
        )
    ]


def test_a_replay_under_another_contract_is_both() -> None:
    kinds = [kind for kind, _ in _told([VISITS.extract_id, "h", 0], [VISITS.extract_id, "i", 1])]
    assert kinds == ["contract", "replayed"]


def test_what_is_equal_is_no_cause_and_what_the_ledger_forgot_is_one_without_a_name() -> None:
    assert _told([VISITS.extract_id, "h", 0], [VISITS.extract_id, "h", 0]) == []
    assert _told(["gone", "h", 0], None) == [
        ("withdrawn", "an extract 2024-02 was built from is no longer in the ledger")
    ]


def test_a_first_release_and_numbers_no_longer_joined_have_sentences() -> None:
    assert reason.first("2024-02").sentence == "2024-02 was never released; a release publishes it for the first time"
    assert reason.joined("2024-02", []).sentence.startswith("no later register month now joins")
    assert reason.joined("2024-02", ["2024-03"]).as_dict()["period"] == "2024-03"
    assert reason.not_received("2024-02", "population_register 2024-01").as_dict() == {
        "kind": "not_received",
        "sentence": "population_register of 2024-01 was not received",
        "source": "population_register",
        "period": "2024-01",
    }
