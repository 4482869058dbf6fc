"""The population register in time: who is one person, what was known of them in a month, and the versions of it.

A register sends the rows that changed, or everyone, month by month as its contract says. What it sends as everyone
stands alone: who is not in it is not in the register, whatever earlier months said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from .reading import Areas, Contract, Extract, as_of, next_month


@dataclass(frozen=True)
class Entry:
    """One staged register row."""

    period: date
    version: date
    citizen_id: str
    old_id: str | None
    full_name: str
    birth_date: date
    sex: str
    residence: str  # as sent, to be read under ``version``
    status: str
    death_date: date | None
    id_card_issued_on: date | None
    eid_level: str
    previous: str | None
    removed: bool


@dataclass(frozen=True)
class Person:
    """A citizen's state in a month: the entry of the newest number still held, residence read as of that month."""

    root: str
    entry: Entry
    commune: str
    province: str | None
    has_id_card: bool

    @property
    def published(self) -> tuple[Any, ...]:
        """What ``dim_citizen`` shows, in the order of ``PUBLISHED``."""
        entry = self.entry
        return (
            entry.sex,
            entry.birth_date.year,
            self.commune,
            self.province,
            entry.status,
            self.has_id_card,
            entry.eid_level,
        )


PUBLISHED = (
    "sex",
    "birth_year",
    "residence_commune_code",
    "residence_province_code",
    "status",
    "has_id_card",
    "eid_level",
)


@dataclass
class State:
    """The register as of a month."""

    people: dict[str, Person] = field(default_factory=dict)  # root -> person
    held: dict[str, str] = field(default_factory=dict)  # number in the register -> root
    superseded: dict[str, str] = field(default_factory=dict)  # previous number -> root of a person in the register


@dataclass(frozen=True)
class Version:
    """One row of ``dim_citizen``, and of ``identified.dim_citizen`` with the last state inside it."""

    root: str
    valid_from: date
    valid_to: date | None
    published: tuple[Any, ...]
    last: Person


class Register:
    """All accepted register extracts together."""

    def __init__(self, contract: Contract, extracts: Iterable[Extract], areas: Areas) -> None:
        self.areas, extracts = areas, list(extracts)
        self.entries: dict[str, list[Entry]] = defaultdict(list)  # number -> its rows, oldest first
        self.stated: dict[str, date] = {}  # previous number -> period of the first row that states it
        previous: dict[str, set[str]] = defaultdict(set)
        self.periods: list[date] = []
        self.snapshots = sorted(extract.period for extract in extracts if contract.sends_everyone(extract.period))
        for extract in sorted(extracts, key=lambda extract: extract.period):
            self.periods.append(extract.period)
            for row in extract.staged.values():
                entry = _entry(contract, extract, row)
                self.entries[entry.citizen_id].append(entry)
                previous[entry.citizen_id] |= set()
                # Reading: a removal that names a previous number joins the two as well.
                if entry.previous:
                    previous[entry.citizen_id].add(entry.previous)
                    previous[entry.previous] |= set()
                    self.stated.setdefault(entry.previous, extract.period)
        self.previous = dict(previous)
        self.root: dict[str, str] = {}
        self.numbers: dict[str, list[str]] = {}  # root -> every number of the person
        self._join()
        self._states: dict[date, State] = {}

    def _join(self) -> None:
        """Connected numbers are one person; the root has no previous number (several, or a circle: the smallest)."""
        neighbours: dict[str, set[str]] = defaultdict(set)
        for number, earlier in self.previous.items():
            for other in earlier:
                neighbours[number].add(other)
                neighbours[other].add(number)
        for number in self.previous:
            if number in self.root:
                continue
            together, open_ends = {number}, [number]
            while open_ends:
                for other in neighbours[open_ends.pop()] - together:
                    together.add(other)
                    open_ends.append(other)
            first = [one for one in together if not self.previous[one] - {one}]
            root = min(first or together)
            self.numbers[root] = sorted(together)
            for one in together:
                self.root[one] = root

    def _depth(self, number: str, seen: frozenset[str] = frozenset()) -> int:
        """How many numbers stand before this one in its chain."""
        if number in seen:
            return 0
        return max((1 + self._depth(one, seen | {number}) for one in self.previous[number]), default=0)

    def state(self, period: date) -> State:
        """The register as of a month: rows of later months are unknown, links between numbers are known for ever."""
        if period not in self._states:
            self._states[period] = self._state(period)
        return self._states[period]

    def _state(self, period: date) -> State:
        state = State()
        since = max((month for month in self.snapshots if month <= period), default=date.min)
        for root, numbers in self.numbers.items():
            held: list[Entry] = []
            for number in numbers:
                rows = [entry for entry in self.entries.get(number, ()) if since <= entry.period <= period]
                # Reading: once stated as a previous number, a number has left for good, also if a later row of its
                # own arrives; the other reading would let that row bring it back.
                left = number in self.stated and self.stated[number] <= period
                if rows and not rows[-1].removed and not left:
                    held.append(rows[-1])
            if not held:
                continue
            # Reading: of several numbers held at once the one later in the chain is the newest, then the one that
            # appeared later, then the greater.
            newest = max(
                held,
                key=lambda e: (self._depth(e.citizen_id), self.entries[e.citizen_id][0].period, e.citizen_id),
            )
            state.people[root] = self._person(root, newest, period)
            for entry in held:
                state.held[entry.citizen_id] = root
            for number in numbers:
                if number in self.stated and self.stated[number] <= period:
                    state.superseded[number] = root
        return state

    def _person(self, root: str, entry: Entry, period: date) -> Person:
        commune, province = self.areas.resolve(entry.residence, entry.version, as_of(period))
        # Reading: has_id_card is asked anew each month, so a card dated ahead begins to count when its day comes.
        card = entry.id_card_issued_on is not None and entry.id_card_issued_on <= as_of(period)
        return Person(root, entry, commune, province, card)

    def versions(self, horizon: date) -> list[Version]:
        """``dim_citizen`` up to a month: a version from each month in which something published changed."""
        done: list[Version] = []
        open_: dict[str, Version] = {}
        period = min(self.periods)
        while period <= horizon:
            people = self.state(period).people
            for root in [root for root in open_ if root not in people]:  # a removal leaves a gap
                done.append(_closed(open_.pop(root), period))
            for root, person in people.items():
                version = open_.get(root)
                if version and version.published == person.published:
                    open_[root] = Version(root, version.valid_from, None, version.published, person)
                    continue
                if version:
                    done.append(_closed(version, period))
                open_[root] = Version(root, period, None, person.published, person)
            period = next_month(period)
        return done + list(open_.values())


def _closed(version: Version, period: date) -> Version:
    return Version(version.root, version.valid_from, period, version.published, version.last)


def _entry(contract: Contract, extract: Extract, row: tuple[Any, ...]) -> Entry:
    def get(name: str) -> Any:
        return contract.value(row, name)

    return Entry(
        period=extract.period,
        version=extract.version,
        citizen_id=get("citizen_id"),
        old_id=get("old_id"),
        full_name=get("full_name"),
        birth_date=get("birth_date"),
        sex=get("sex"),
        residence=get("residence_commune_code"),
        status=get("status"),
        death_date=get("death_date"),
        id_card_issued_on=get("id_card_issued_on"),
        eid_level=get("eid_level"),
        previous=get("previous_citizen_id"),
        removed=get("record_op") == "remove",
    )
