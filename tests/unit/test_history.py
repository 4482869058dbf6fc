"""Comparisons with earlier months: what is usual passes, what is not stands out and is named."""

from __future__ import annotations

import random

import pytest

from p06.history import Comparison, Past, Profile, compare


def months(*counts: float, key: str = "") -> list[Profile]:
    return [{"rows": {key: count}} for count in counts]


BAND = Comparison("rows", "band", floor=0.03)


def test_without_a_published_month_there_is_nothing_to_compare() -> None:
    for test in ("band", "gone", "drift", "change", "restated", "same"):
        assert compare(Comparison("rows", test), {"rows": {"": 100.0}}, Past()).number is None  # type: ignore[arg-type]


def test_with_one_or_two_months_twice_the_floor_stands_for_the_spread() -> None:
    for past in (months(10_000), months(10_000, 10_000)):
        found = compare(BAND, {"rows": {"": 9_400.0}}, Past(past))
        assert found.number == pytest.approx(1.0)  # 600 off; the floor is 3 %, twice that 600
    assert compare(BAND, {"rows": {"": 9_400.0}}, Past(months(10_000, 10_000, 10_000))).number == pytest.approx(2.0)


def test_a_band_can_wait_for_its_months() -> None:
    waits = Comparison("rows", "band", fewest=3)
    assert compare(waits, {"rows": {"": 200.0}}, Past(months(10_000, 200))).number is None
    assert (compare(waits, {"rows": {"": 100.0}}, Past(months(10_000, 200, 210))).number or 0) > 6


def test_one_odd_month_neither_hides_the_next_nor_makes_an_alarm() -> None:
    past = Past(months(1000, 1010, 990, 5000, 1005, 995, 1000))
    assert compare(BAND, {"rows": {"": 1000.0}}, past).number == 0
    assert (compare(BAND, {"rows": {"": 5000.0}}, past).number or 0) > 100


def test_a_season_that_was_there_last_year_is_no_surprise() -> None:
    past = Past(months(*[1000.0] * 11, 400.0), year_before={"rows": {"": 400.0}})
    assert (compare(BAND, {"rows": {"": 410.0}}, Past(past.months)).number or 0) > 6
    assert (compare(BAND, {"rows": {"": 410.0}}, past).number or 0) < 1


def test_a_steady_growth_stays_within_its_band() -> None:
    grown = [1000 * 1.04**month for month in range(13)]
    assert (compare(BAND, {"rows": {"": grown[-1]}}, Past(months(*grown[:-1]))).number or 9) < 3


def test_chance_in_small_counts_is_no_alarm() -> None:
    draw = random.Random(5)
    drawn = [float(sum(draw.random() < 0.03 for _ in range(1000))) for _ in range(400)]
    worst = max(
        compare(Comparison("rows", "band"), {"rows": {"": drawn[at]}}, Past(months(*drawn[at - 12 : at]))).number or 0
        for at in range(12, 400)
    )
    assert worst < 6


def test_the_worst_province_is_named_with_what_is_usual() -> None:
    past = Past([{"province": {"01": 800.0, "24": 35.0, "27": 40.0}} for _ in range(4)])
    now: Profile = {"province": {"01": 805.0, "27": 39.0}}
    found = compare(Comparison("province", "band"), now, past)
    assert found.told(3) == "24: 0 ← 35"
    gone = compare(Comparison("province", "gone", least=10), now, past)
    assert (gone.number, gone.told(0)) == (1.0, "24: 0 ← 35")


def test_a_share_is_compared_with_shares_and_its_size_says_what_chance_makes() -> None:
    asked = Comparison("outcome", "band", of="rows", floor=0.005, least=50)
    past = Past([{"outcome": {"matched": 970.0, "none": 30.0}, "rows": {"": 1000.0}} for _ in range(5)])
    assert (compare(asked, {"outcome": {"matched": 962.0, "none": 38.0}, "rows": {"": 1000.0}}, past).number or 9) < 2
    found = compare(asked, {"outcome": {"matched": 900.0, "none": 100.0}, "rows": {"": 1000.0}}, past)
    assert (found.number or 0) > 6
    lost = compare(asked, {"outcome": {"none": 1000.0}, "rows": {"": 1000.0}}, past)
    assert lost.keys[0][0] in ("matched", "none")
    assert compare(asked, {"outcome": {"none": 30.0}, "rows": {"": 30.0}}, past).number is None, "too few to tell"


def test_drift_is_what_chance_does_not_make() -> None:
    draw = random.Random(3)

    def month(weights: tuple[float, ...], size: int) -> Profile:
        drawn = draw.choices("abcd", weights, k=size)
        return {"code": {key: float(drawn.count(key)) for key in "abcd"}}

    asked, usual = Comparison("code", "drift", least=100), (0.6, 0.3, 0.08, 0.02)
    past = Past([month(usual, 300) for _ in range(6)])
    assert max(compare(asked, month(usual, 300), past).number or 0 for _ in range(100)) < 0.1
    shifted = compare(asked, month((0.02, 0.6, 0.3, 0.08), 300), past)
    assert (shifted.number or 0) > 1
    assert (shifted.told(0.25) or "").startswith("a: ")
    assert (compare(asked, {"code": {"a": 300.0}}, past).number or 0) > 0.25


def test_a_distribution_like_that_of_last_year_is_no_drift() -> None:
    asked = Comparison("code", "drift", least=100)
    summer: Profile = {"code": {"graduated": 400.0, "studying": 600.0}}
    winter: Profile = {"code": {"graduated": 5.0, "studying": 995.0}}
    assert (compare(asked, summer, Past([winter] * 6, before=winter)).number or 0) > 0.25
    assert compare(asked, summer, Past([winter] * 6, before=winter, year_before=summer)).number == 0


def test_the_worst_of_several_measures_counts_and_bears_its_name() -> None:
    past = Past([{"code.sex": {"M": 500.0, "F": 500.0}, "code.level": {"1": 900.0, "2": 100.0}}] * 3)
    now: Profile = {"code.sex": {"M": 500.0, "F": 500.0}, "code.level": {"1": 100.0, "2": 900.0}}
    found = compare(Comparison("code.*", "drift"), now, past)
    assert (found.told(0.25) or "").startswith("code.level 1: 0.1 ← 0.9")


def test_a_move_since_the_month_before_or_the_last_release_is_in_parts_of_one() -> None:
    share = Comparison("numerator", "change", of="denominator", least=100)
    before: Profile = {"numerator": {"id_card_rate": 900.0}, "denominator": {"id_card_rate": 1000.0}}
    now: Profile = {"numerator": {"id_card_rate": 960.0}, "denominator": {"id_card_rate": 1000.0}}
    assert compare(share, now, Past(before=before)).number == pytest.approx(0.06)
    few: Profile = {"numerator": {"id_card_rate": 90.0}, "denominator": {"id_card_rate": 120.0}}
    fewer: Profile = {"numerator": {"id_card_rate": 80.0}, "denominator": {"id_card_rate": 120.0}}
    assert compare(share, fewer, Past(before=few)).number == 0, "chance makes that of so few"
    again = Comparison("numerator", "restated", of="denominator", least=100)
    assert compare(again, fewer, Past(released=few)).number == pytest.approx(1 / 12)
    always = Comparison("numerator", "change", of="denominator", least=100, chance=False)
    assert compare(always, fewer, Past(before=few)).number == pytest.approx(1 / 12)
    count = Comparison("rows", "restated", least=1)
    assert compare(count, {"rows": {"": 80.0}}, Past(released={"rows": {"": 100.0}})).number == pytest.approx(0.2)


def test_the_content_of_an_earlier_month_is_known_again() -> None:
    asked = Comparison("content", "same", of="rows", least=2000)
    past = Past([{"content": {"": 1.5e12}, "rows": {"": 3000.0}}, {"content": {"": 7.0}, "rows": {"": 3000.0}}])
    assert compare(asked, {"content": {"": 1.5e12}, "rows": {"": 3000.0}}, past).number == 1
    assert compare(asked, {"content": {"": 1.6e12}, "rows": {"": 3000.0}}, past).number == 0
    assert compare(asked, {"content": {"": 1.5e12}, "rows": {"": 300.0}}, past).number is None
