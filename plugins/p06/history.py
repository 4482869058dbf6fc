"""Comparisons of one month's profile with the months published before it: bands, gaps, drift.

A profile is, per measure, what a month counted under each key (``{"province": {"01": 812, …}}``). Every comparison
gives one number, small when nothing happened, and the keys it was largest for. Bands are robust: the median of up to
the twelve published months before, and the median absolute deviation as their spread, so that one odd month neither
hides nor makes an alarm. A month that looks like the same month a year before is no surprise either.

Short history: without a published month before there is no number. With one or two the spread is not known and twice
the floor stands for it; from three on it is measured, and the floor is its least value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal, get_args

Test = Literal["band", "gone", "drift", "change", "restated", "same"]
Profile = Mapping[str, Mapping[str, float]]

WINDOW = 12  # published months a band is made of
MEASURED = 3  # months from which the spread is measured
NORMAL = 1.4826  # what makes the median absolute deviation of a normal distribution its standard deviation
NOISE = 3.0  # how many times what chance alone makes is left out of drifts, and of changes of shares


@dataclass(frozen=True)
class Comparison:
    """What a check compares. ``measure`` alone is a count per key, ``measure`` of ``of`` a share per key.

    A ``measure`` that ends in ``*`` stands for every measure whose name begins so; the worst of them counts.

    - band: how many spreads the month lies from the median, of the worst key.
    - gone: how many keys that had ``least`` or more are empty.
    - drift: the population stability index of the keys' shares, less what chance alone makes.
    - change: how far a share moved from the month before, in parts of one (a count: relatively); what chance makes of
      so few is no move.
    - restated: how far it moved from what is published for this month until now.
    - same: in how many of the months the measure is exactly the same (``of`` is its size, and must be ``least``).

    ``floor`` is the least spread: a part of the median for counts, parts of one for shares. Keys with fewer than
    ``least`` (of the count, or of ``of``) are not compared. A band is asked from ``fewest`` published months on.
    Of what is not drawn anew each month, as a population, ``chance`` false leaves the floor of chance out.
    """

    measure: str
    test: Test
    of: str | None = None
    least: float = 20
    floor: float = 0.02
    fewest: int = 1
    chance: bool = True

    @classmethod
    def of_mapping(cls, stated: Mapping[str, Any]) -> Comparison:
        """From a suite. Raises ValueError with the name of the field that is wrong."""
        for field in stated:
            if field not in ("measure", "test", "of", "least", "floor", "fewest", "chance"):
                raise ValueError(str(field))
        for field in ("measure", "of"):
            if not isinstance(stated.get(field, "" if field == "of" else None), str):
                raise ValueError(field)
        if stated.get("test") not in get_args(Test):
            raise ValueError("test")
        for field in ("least", "floor", "fewest"):
            value = stated.get(field, 1)
            if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
                raise ValueError(field)
        if not isinstance(stated.get("chance", True), bool):
            raise ValueError("chance")
        if stated.get("of") and stated["test"] in ("gone", "drift"):
            raise ValueError("of")
        return cls(**stated)


@dataclass(frozen=True)
class Past:
    """What the month is compared with: profiles of published months, oldest first, their keys in today's areas."""

    months: Sequence[Profile] = ()  # up to WINDOW, none of them later than the month itself
    before: Profile | None = None  # of the calendar month before
    year_before: Profile | None = None  # of the same month last year
    released: Profile | None = None  # of this month, as published until now


@dataclass(frozen=True)
class Found:
    """The number of a comparison (None: nothing to compare with) and what it is of each key, the worst first."""

    number: float | None
    keys: tuple[tuple[str, float, float, float], ...] = ()  # key, its number, now, what was usual

    def told(self, limit: float | None, most: int = 3) -> str | None:
        """The keys above a limit, as ``24: 0 ← 35``; counts and shares of many people, never a value of one."""
        worst = [key for key in self.keys if limit is None or key[1] > limit][:most]
        return ", ".join(f"{key}{': ' if key else ''}{_short(now)} ← {_short(usual)}" for key, _, now, usual in worst)


def compare(asked: Comparison, now: Profile, past: Past) -> Found:
    """One comparison of a month with its past."""
    if asked.measure.endswith("*"):
        return _worst_of(asked, now, past)
    if asked.test == "drift":
        return _drift(asked, now, past)
    if asked.test == "same":
        return _same(asked, now, past)
    if asked.test == "restated":
        return _moved(asked, now, past.released, 0)
    if asked.test == "change":
        return _moved(asked, now, past.before, NOISE if asked.chance else 0)
    if len(past.months) < max(asked.fewest, 1):
        return Found(None)
    return _gone(asked, now, past) if asked.test == "gone" else _band(asked, now, past)


def _worst_of(asked: Comparison, now: Profile, past: Past) -> Found:
    """The largest number among all measures whose name begins so; its keys bear the measure's name."""
    profiles = [now, *past.months, *(one for one in (past.before, past.year_before, past.released) if one)]
    names = sorted({name for one in profiles for name in one if name.startswith(asked.measure[:-1])})
    found = [(name, compare(replace(asked, measure=name), now, past)) for name in names]
    numbered = [(one.number, name, one) for name, one in found if one.number is not None]
    if not numbered:
        return Found(None)
    number, name, worst = max(numbered, key=lambda one: (one[0], one[1]))
    return Found(number, tuple((f"{name} {key}".strip(), own, at, was) for key, own, at, was in worst.keys))


def _keys_of(asked: Comparison, profiles: Iterable[Profile | None]) -> list[str]:
    """Every key the measure has in any of the profiles, or the measure it is a share of."""
    measures = [asked.measure, *([asked.of] if asked.of else [])]
    keys = _keys(profile.get(name, {}) for profile in profiles if profile for name in measures)
    return [key for key in keys if key] or keys


def _figures(asked: Comparison, profile: Profile | None, keys: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Per key the figure and what it rests on: counts on themselves, shares on their denominator.

    A denominator without keys is that of every key. A key that was not counted is 0; a share of nothing is left out.
    """
    if profile is None:
        return {}
    counts = profile.get(asked.measure, {})
    if asked.of is None:
        return {key: (counts.get(key, 0.0), counts.get(key, 0.0)) for key in keys}
    whole = profile.get(asked.of, {})
    of = {key: whole.get("" if set(whole) <= {""} else key, 0.0) for key in keys}
    return {key: (counts.get(key, 0.0) / of[key], of[key]) for key in keys if of[key] > 0}


def _band(asked: Comparison, now: Profile, past: Past) -> Found:
    keys = _keys_of(asked, [now, *past.months])
    present, before = _figures(asked, now, keys), [_figures(asked, month, keys) for month in past.months]
    last_year = _figures(asked, past.year_before, keys)
    found = []
    for key in keys:
        known = [month[key] for month in before if key in month]
        if not known or key not in present:
            continue
        values = [value for value, _ in known]
        usual, (value, weight) = median(values), present[key]
        if asked.of is None:
            if usual < asked.least:
                continue
            least = max(asked.floor * usual, math.sqrt(usual) if asked.chance else 0)
        else:
            if weight < asked.least:
                continue
            chance = math.sqrt(max(usual * (1 - usual), 0) / min(weight, median(of for _, of in known)))
            least = max(asked.floor, chance if asked.chance else 0)
        if len(values) < MEASURED:
            spread = 2 * least
        else:
            spread = max(NORMAL * median(abs(one - usual) for one in values), least)
        distance = abs(value - usual)
        if key in last_year:
            distance = min(distance, abs(value - last_year[key][0]))
        found.append((key, distance / spread if spread else math.inf * (distance > 0), value, usual))
    return _worst(found)


def _gone(asked: Comparison, now: Profile, past: Past) -> Found:
    keys = _keys_of(asked, past.months)
    present, before = _figures(asked, now, keys), [_figures(asked, month, keys) for month in past.months]
    usual = {key: median(month[key][0] for month in before) for key in keys}
    gone = [key for key in keys if key and usual[key] >= asked.least and not present[key][0]]
    return Found(float(len(gone)), tuple((key, math.inf, 0.0, usual[key]) for key in gone))


def _drift(asked: Comparison, now: Profile, past: Past) -> Found:
    """The smallest index against the mean of the months, the month before, and the same month last year."""
    present = now.get(asked.measure, {})
    references = [(_mean([month.get(asked.measure, {}) for month in past.months]), len(past.months))]
    references += [(dict(month.get(asked.measure, {})), 1) for month in (past.before, past.year_before) if month]
    found = [
        _index(present, reference, months) for reference, months in references if sum(reference.values()) >= asked.least
    ]
    if sum(present.values()) < asked.least or not found:
        return Found(None)
    return min(found, key=lambda one: one.number or 0)


def _same(asked: Comparison, now: Profile, past: Past) -> Found:
    months, content = [month for month in past.months if asked.measure in month], now.get(asked.measure)
    if not months or content is None or sum(now.get(asked.of or asked.measure, {}).values()) < asked.least:
        return Found(None)
    return Found(float(sum(month[asked.measure] == content for month in months)))


def _mean(months: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of the months' shares, in the size of a mean month."""
    sized = [(month, sum(month.values())) for month in months if sum(month.values())]
    size = sum(total for _, total in sized) / len(sized) if sized else 0
    return {
        key: size * sum(month.get(key, 0) / total for month, total in sized) / len(sized)
        for key in _keys(month for month, _ in sized)
    }


def _index(present: Mapping[str, float], reference: Mapping[str, float], months: int) -> Found:
    """The population stability index, less what chance makes in samples of these sizes."""
    keys = _keys([present, reference])
    size, of = sum(present.values()), sum(reference.values())
    found = []
    for key in keys:
        at, was = present.get(key, 0), reference.get(key, 0)
        share, usual = (at + 0.5) / (size + 0.5 * len(keys)), (was + 0.5) / (of + 0.5 * len(keys))
        found.append((key, (share - usual) * math.log(share / usual), at / size if size else 0.0, was / of))
    chance = NOISE * (len(keys) - 1) * (1 / max(size, 1) + 1 / max(of * months, 1))
    ordered = sorted(found, key=lambda one: (-one[1], one[0]))
    total = max(sum(one[1] for one in found) - chance, 0.0)
    return Found(total, tuple((key, math.inf, at, was) for key, _, at, was in ordered))


def _moved(asked: Comparison, now: Profile, earlier: Profile | None, noise: float) -> Found:
    keys = _keys_of(asked, [now, earlier])
    present, before = _figures(asked, now, keys), _figures(asked, earlier, keys)
    found = []
    for key in keys:
        if key not in present or key not in before:
            continue
        (value, weight), (was, rested) = present[key], before[key]
        if asked.of is None:
            if max(weight, rested) >= asked.least:
                found.append((key, abs(value / was - 1) if was else 1.0, value, was))
        elif min(weight, rested) >= asked.least:
            pooled = (value * weight + was * rested) / (weight + rested)
            chance = noise * math.sqrt(max(pooled * (1 - pooled), 0) * (1 / weight + 1 / rested))
            found.append((key, abs(value - was) if abs(value - was) > chance else 0.0, value, was))
    return _worst(found)


def _worst(found: Iterable[tuple[str, float, float, float]]) -> Found:
    ordered = sorted(found, key=lambda one: (-one[1], one[0]))
    return Found(ordered[0][1] if ordered else None, tuple(ordered))


def _keys(months: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({key for month in months for key in month})


def _short(number: float) -> str:
    return str(int(number)) if number == int(number) and abs(number) < 10**8 else f"{number:.4g}"
