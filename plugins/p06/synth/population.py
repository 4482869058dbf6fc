"""A population that lives: people as columns, changed month by month."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date

import numpy as np

from p06.period import Period
from p06.synth import names
from p06.synth.areas import Areas
from p06.synth.chance import Ints, Mask, generator, weighted
from p06.synth.names import Names
from p06.synth.text import NONE

ALIVE, DECEASED, EMIGRATED, CANCELLED = range(4)
STATUSES = ("alive", "deceased", "emigrated", "cancelled")
SECONDS = 86_400
_DAYS_A_YEAR = 365.2425

# People by five-year age group, per thousand, close to the 2024 mid-term census.
_AGES = np.array([76, 84, 80, 72, 68, 74, 86, 84, 74, 66, 60, 53, 46, 36, 22, 12, 8, 5, 2, 1], float)
_CARD_AGES = (14, 25, 40, 60)
_OLD_NUMBERS_END = 2000
_SOME_SIZE = 1000  # people from which every kind of event happens every month
_CHILD_CARDS_FROM = Period(2024, 7)


def day(when: date) -> int:
    """Days since 1970-01-01."""
    return (when - date(1970, 1, 1)).days


def years(days: Ints) -> Ints:
    """The calendar year of each day."""
    return np.asarray(days, np.int64).astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970


def anniversary(days: Ints, age: int) -> Ints:
    """The day someone born on ``days`` turns ``age`` (29 February: 1 March)."""
    born = np.asarray(days, np.int64).astype("datetime64[D]")
    months = born.astype("datetime64[M]")
    within = (born - months.astype("datetime64[D]")).astype(np.int64)
    first = (months + np.timedelta64(age * 12, "M")).astype("datetime64[D]").astype(np.int64)
    return np.asarray(first + within, np.int64)


@dataclass
class People:
    """One row per person, in the order they entered the register. Days since 1970-01-01; ``NONE`` is no day."""

    citizen_id: Ints
    previous_id: Ints  # 0: none
    old_id: Ints  # 0: none
    names: Names
    born: Ints
    sex: Ints  # 0 male, 1 female
    people: Ints
    commune: Ints
    status: Ints
    removed: Mask
    died: Ints
    card: Ints
    eid_level: Ints
    eid_activated: Ints
    updated: Ints  # seconds of local time

    def __len__(self) -> int:
        return len(self.citizen_id)

    def join(self, other: People) -> None:
        """Append people."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            joined = mine.join(theirs) if isinstance(mine, Names) else np.concatenate([mine, theirs])
            setattr(self, item.name, joined)

    @property
    def resident(self) -> Mask:
        """Alive, in the country and in the register."""
        return np.asarray((self.status == ALIVE) & ~self.removed, bool)

    def age(self, on: int) -> Ints:
        """Full years on a day (29 February turns a year older on 1 March)."""
        born, today = self.born.astype("datetime64[D]"), np.int64(on).astype("datetime64[D]")
        months = (today.astype("datetime64[M]") - born.astype("datetime64[M]")).astype(np.int64)
        of_month = (born - born.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
        current = (today - today.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
        return np.asarray((months - (of_month > current)) // 12, np.int64)


def numbers(draw: np.random.Generator, place: Ints, born: Ints, sex: Ints, taken: Ints) -> Ints:
    """New citizen IDs (place, century and sex, year, six random digits) that nobody holds or has held."""
    year = years(born)
    stem = place * 1000 + ((year - 1900) // 100 * 2 + sex) * 100 + year % 100
    found = stem * 1_000_000 + draw.integers(0, 1_000_000, len(stem))
    known = np.sort(taken)
    while True:
        order = np.argsort(found, kind="stable")
        ranked = found[order]
        twice = np.zeros(len(found), bool)
        twice[order[1:]] = ranked[1:] == ranked[:-1]
        if len(known):
            near = np.minimum(np.searchsorted(known, found), len(known) - 1)
            twice |= known[near] == found
        again = np.flatnonzero(twice)
        if not len(again):
            return np.asarray(found, np.int64)
        found[again] = stem[again] * 1_000_000 + draw.integers(0, 1_000_000, len(again))


@dataclass
class Country:
    """The people, and who changed in the period last lived through."""

    seed: int
    areas: Areas
    period: Period
    people: People
    changed: Mask = field(default_factory=lambda: np.zeros(0, bool))
    base: int = 0
    homes: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # where the first people lived, old codes
    landowners: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    newborn: bool = True  # the first month delivers everyone
    recoded: Ints | None = None  # old commune code -> new one, in the month of a reform

    @classmethod
    def found(cls, seed: int, citizens: int, first: Period, areas: Areas) -> Country:
        """The country on the eve of its first period: ``citizens`` people, some dead or gone."""
        draw = generator(seed, "country", first)
        eve = day(first.first_day) - 1
        group = weighted(draw, _AGES, citizens)
        born = eve - ((group * 5 + draw.random(citizens) * 5) * _DAYS_A_YEAR).astype(np.int64)
        year = years(born)
        unknown_day = (year < 1975) & (draw.random(citizens) < 0.04)
        january = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
        born = np.where(unknown_day, january, born)
        sex = (draw.random(citizens) < np.where(year < 1960, 0.55, 0.495)).astype(np.int64)
        people = names.peoples(draw, citizens)
        commune = areas.settle(draw, seed, citizens)
        native = draw.random(citizens) < 0.8
        place = areas.places_of(np.where(native, commune, areas.settle(draw, seed, citizens)))
        person_names = names.draw_names(draw, sex, year, people)
        citizen_id = numbers(draw, place, born, sex, np.zeros(0, np.int64))
        previous = np.zeros(citizens, np.int64)
        again = np.flatnonzero(draw.random(citizens) < 0.003)
        previous[again] = numbers(draw, place[again], born[again], sex[again], citizen_id)
        old = np.zeros(citizens, np.int64)
        holders = np.flatnonzero((year < _OLD_NUMBERS_END) & (draw.random(citizens) < 0.9))
        old[holders] = _old_numbers(draw, len(holders))
        if len(holders) > 1:
            shared = holders[1:][draw.random(len(holders) - 1) < 0.0006]
            old[shared] = old[holders[np.searchsorted(holders, shared) - 1]]
        aged = (eve - born) / _DAYS_A_YEAR
        status = np.where(draw.random(citizens) < 0.002 * np.exp(np.maximum(aged - 40, 0) * 0.07), DECEASED, ALIVE)
        status = np.where((status == ALIVE) & (draw.random(citizens) < 0.006), EMIGRATED, status)
        status = np.where((status == ALIVE) & (draw.random(citizens) < 0.0005), CANCELLED, status)
        since = np.maximum(born + 1, eve - 2500)
        died = np.where(status == DECEASED, eve - (draw.random(citizens) * (eve - since)).astype(np.int64), NONE)
        found = People(
            citizen_id, previous, old, person_names, born, sex, people, commune, status,
            np.zeros(citizens, bool), died,
            np.full(citizens, NONE, np.int64), np.zeros(citizens, np.int64), np.full(citizens, NONE, np.int64),
            np.zeros(citizens, np.int64),
        )  # fmt: skip
        _base_cards(draw, found, eve)
        changed = np.maximum.reduce([born, died, found.card, found.eid_activated, np.full(citizens, eve - 1500)])
        found.updated = changed * SECONDS + draw.integers(7 * 3600, 18 * 3600, citizens)
        country = cls(seed, areas, first.shift(-1), found, np.ones(citizens, bool), citizens)
        country.homes = commune.copy()
        country.landowners = np.flatnonzero((found.status == ALIVE) & (eve - born > 25 * _DAYS_A_YEAR))
        country._reform(first)
        return country

    def _reform(self, period: Period) -> Ints | None:
        """Read everyone's commune in the list of the period; the new code of each old one when the list changed."""
        self.areas, codes = self.areas.on(period.first_day)
        if codes is not None:
            self.people.commune = codes[self.people.commune]
        return codes

    def live(self) -> None:
        """Live through the next month; ``changed`` then marks whose register row is new."""
        self.period = self.period.shift(1)
        people, draw = self.people, generator(self.seed, "life", self.period)
        first, last = day(self.period.first_day), day(self.period.as_of())
        self.recoded = self._reform(self.period)
        size = len(people)
        changed = np.zeros(size, bool)
        self._die(draw, changed, first, last)
        self._leave(draw, changed)
        self._move(draw, changed)
        self._cards(draw, changed, first, last)
        self._accounts(draw, changed, first, last)
        self._renumber(draw, changed)
        people.updated[changed] = (
            draw.integers(first, last + 1, size) * SECONDS + draw.integers(7 * 3600, 18 * 3600, size)
        )[changed]
        births = self._births(draw, first, last)
        people.join(births)
        changed = np.concatenate([changed, np.ones(len(births), bool)])
        self.changed = np.ones(len(people), bool) if self.newborn else changed
        self.newborn = False

    def _some(self, draw: np.random.Generator, who: Mask, rate: float, always: bool = False) -> Ints:
        """A sample of those marked: their number times the rate; ``always`` one at least, in a country of some size."""
        pool = np.flatnonzero(who)
        number = max(int(draw.poisson(len(pool) * rate)), int(always and self.base >= _SOME_SIZE))
        return np.sort(draw.choice(pool, min(number, len(pool)), replace=False))

    def _die(self, draw: np.random.Generator, changed: Mask, first: int, last: int) -> None:
        people = self.people
        aged = (first - people.born) / _DAYS_A_YEAR
        risk = (0.0004 + 0.00007 * np.exp(np.maximum(aged, 0) * 0.085)) / 12
        dying = people.resident & (draw.random(len(people)) < risk)
        if not dying.any() and self.base >= _SOME_SIZE:
            dying[np.argmin(np.where(people.resident, people.born, last))] = True
        who = np.flatnonzero(dying)
        people.status[who] = DECEASED
        late = draw.random(len(who)) < 0.1
        when = draw.integers(first, last + 1, len(who)) - np.where(late, draw.integers(31, 60, len(who)), 0)
        people.died[who] = np.maximum(when, people.born[who])
        changed[who] = True

    def _leave(self, draw: np.random.Generator, changed: Mask) -> None:
        people = self.people
        gone = self._some(draw, people.resident, 0.0001, True)
        people.status[gone] = EMIGRATED
        cancelled = self._some(draw, people.resident, 0.00002)
        people.status[cancelled] = CANCELLED
        changed[gone] = changed[cancelled] = True
        lost = self._some(draw, people.resident & ~changed & (people.previous_id == 0), 0.00005, True)
        people.removed[lost] = True
        changed[lost] = True

    def _move(self, draw: np.random.Generator, changed: Mask) -> None:
        people = self.people
        hosts = np.flatnonzero(people.resident)
        movers = np.unique(draw.choice(hosts, max(int(draw.poisson(len(hosts) * 0.006)), 1)))  # no month without a row
        people.commune[movers] = people.commune[draw.choice(hosts, len(movers))]
        changed[movers] = True

    def _cards(self, draw: np.random.Generator, changed: Mask, first: int, last: int) -> None:
        people = self.people
        lucky, when = draw.random(len(people)), draw.integers(first, last + 1, len(people))
        due = np.zeros(len(people), bool)
        for age in _CARD_AGES:
            birthday = anniversary(people.born, age)
            turns = (birthday >= first) & (birthday <= last) & (lucky < 0.85)
            when = np.where(turns, np.minimum(birthday + (lucky * 20).astype(np.int64), last), when)
            due |= turns
        without = people.card == NONE
        aged = (first - people.born) / _DAYS_A_YEAR
        due |= without & (aged >= _CARD_AGES[0]) & (lucky < 0.06)
        if self.period >= _CHILD_CARDS_FROM:
            due |= without & (aged >= 0.1) & (aged < _CARD_AGES[0]) & (lucky < 0.008)
        due &= people.resident
        people.card[due] = when[due]
        changed |= due

    def _accounts(self, draw: np.random.Generator, changed: Mask, first: int, last: int) -> None:
        people = self.people
        able = people.resident & (people.card != NONE) & (people.card <= last)
        able &= (last - people.born) / _DAYS_A_YEAR >= _CARD_AGES[0]
        lucky, when = draw.random(len(people)), draw.integers(first, last + 1, len(people))
        up = able & (people.eid_level < 2) & (lucky < 0.02)
        fresh = up & (people.eid_level == 0)
        people.eid_activated[fresh] = np.maximum(when, people.card)[fresh]
        people.eid_level[up] = np.where(lucky[up] < 0.017, 2, np.minimum(people.eid_level[up] + 1, 2))
        changed |= up

    def _renumber(self, draw: np.random.Generator, changed: Mask) -> None:
        people = self.people
        who = self._some(draw, people.resident & (people.previous_id == 0), 0.0002, True)
        taken = np.concatenate([people.citizen_id, people.previous_id])
        fresh = numbers(draw, people.citizen_id[who] // 10**9, people.born[who], people.sex[who], taken)
        people.previous_id[who] = people.citizen_id[who]
        people.citizen_id[who] = fresh
        changed[who] = True

    def _births(self, draw: np.random.Generator, first: int, last: int) -> People:
        people = self.people
        aged = (first - people.born) / _DAYS_A_YEAR
        mothers = self._some(draw, people.resident & (people.sex == 1) & (aged >= 18) & (aged < 42), 0.0066, True)
        size = len(mothers)
        born = draw.integers(first, last + 1, size)
        born -= np.where(draw.random(size) < 0.1, draw.integers(31, 60, size), 0)
        sex = (draw.random(size) < 0.473).astype(np.int64)
        group = people.people[mothers]
        fathers = draw.choice(np.flatnonzero(people.resident & (people.sex == 0)), size)
        family = np.where(group == 0, people.names.family[fathers], people.names.family[mothers])
        taken = np.concatenate([people.citizen_id, people.previous_id])
        nothing, no_day = np.zeros(size, np.int64), np.full(size, NONE, np.int64)
        return People(
            numbers(draw, people.citizen_id[mothers] // 10**9, born, sex, taken),
            nothing, nothing.copy(), names.draw_names(draw, sex, years(born), group, family), born, sex, group,
            people.commune[mothers].copy(), nothing.copy(), np.zeros(size, bool), no_day, no_day.copy(),
            nothing.copy(), no_day.copy(),
            np.maximum(born, first) * SECONDS + draw.integers(7 * 3600, 18 * 3600, size),
        )  # fmt: skip


def _old_numbers(draw: np.random.Generator, size: int) -> Ints:
    """Nine-digit numbers of the former identity card, all different."""
    found = np.zeros(0, np.int64)
    while len(found) < size:
        found = np.unique(np.concatenate([found, draw.integers(10_000_000, 390_000_000, size - len(found))]))
    return np.asarray(draw.permutation(found), np.int64)


def _base_cards(draw: np.random.Generator, people: People, eve: int) -> None:
    """Cards and eID accounts as they stand when the country begins."""
    size = len(people)
    aged = (eve - people.born) / _DAYS_A_YEAR
    threshold = anniversary(people.born, _CARD_AGES[0])
    for age in _CARD_AGES[1:]:
        birthday = anniversary(people.born, age)
        threshold = np.where(birthday <= eve, birthday, threshold)
    campaign = min(day(date(2021, 1, 1)), eve - 400)
    start = np.maximum(threshold, campaign)
    issued = start + (draw.random(size) ** 2 * np.maximum(eve - start, 1)).astype(np.int64)
    holds = (aged >= _CARD_AGES[0]) & (draw.random(size) < 0.965) & (people.status != CANCELLED)
    people.card[holds] = np.minimum(issued, eve)[holds]
    dead = (people.status == DECEASED) & (people.card > people.died)
    people.card[dead] = NONE
    level = draw.random(size)
    owns = (people.card != NONE) & (people.status == ALIVE) & (level < 0.72 - np.maximum(aged - 60, 0) * 0.015)
    people.eid_level[owns] = np.where(level[owns] < 0.62, 2, 1)
    wait = (draw.random(size) * np.maximum(eve - people.card, 1)).astype(np.int64)
    people.eid_activated[owns] = (people.card + wait)[owns]
