"""The measures of the six words as they are defined, without a warehouse."""

from __future__ import annotations

from datetime import date

from p06 import contract, scorecard
from p06.dimension import DIMENSIONS
from p06.scorecard import Score, Verdict


def test_every_measure_is_defined_in_both_languages_under_one_of_the_six_words() -> None:
    known = scorecard.measures()
    assert list(dict.fromkeys(one.word for one in known.values())) == list(DIMENSIONS)
    for one in known.values():
        assert all((one.en, one.vi, one.formula_en, one.formula_vi, one.computed_from)), one.measure
        assert one.en != one.vi and one.formula_en != one.formula_vi, one.measure
        assert one.unit in ("share", "days") and one.direction in ("up", "down"), one.measure
        assert not isinstance(one.target, float) or one.unit == "days" or 0 <= one.target <= 1, one.measure


def test_a_target_is_reached_from_its_good_side_and_a_measure_without_one_is_not_judged() -> None:
    known, visits = scorecard.measures(), contract.load("health_visit")
    assert [known["id_found"].reached(value, visits) for value in (0.97, 0.98, 1.0)] == [False, True, True]
    assert [known["quarantined_rows"].reached(value, visits) for value in (0.0, 0.01, 0.011)] == [True, True, False]
    assert known["fields_filled"].reached(0.1, visits) is None
    delivery = known["days_to_delivery"]
    assert delivery.target_for(visits) == visits.deadline_day
    assert [delivery.reached(days, visits) for days in (10, 11)] == [True, False]
    assert delivery.reached(1, None) is None, "no contract, no day"
    assert known["id_found"].better(0.1) and not known["quarantined_rows"].better(0.1)


def test_a_word_counts_the_measures_at_target_of_those_that_have_one() -> None:
    def score(measure: str, value: float) -> Score:
        return Score(date(2025, 8, 1), "health_visit", "VN", measure, None, 100, value)

    contracts, known = contract.load_all(), scorecard.measures()
    scores = [score("id_found", 0.99), score("matched", 0.5), score("fields_filled", 0.4), score("unheard_of", 0)]
    assert scorecard.verdict(scores, "dung", known, contracts) == Verdict(2, 1, 2)
    assert [
        scorecard.verdict(scores, word, known, contracts).state for word in ("dung", "du", "song")
    ] == ["warned", "info", "none"]  # fmt: skip
    assert [Verdict(2, reached, 2).state for reached in (0, 1, 2)] == ["blocked", "warned", "passed"]
