"""What matching should find: the cascade of the interfaces, worked out from the country itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from p06.synth.chance import Ints, Mask
from p06.synth.population import Country

METHODS = ("id", "previous_id", "old_id", "insurance_no", "name_birth", "none", "conflict")
ID, PREVIOUS_ID, OLD_ID, INSURANCE_NO, NAME_BIRTH, UNMATCHED, CONFLICT = range(len(METHODS))


@dataclass
class Known:
    """The register as its receiver holds it: what was delivered and not quarantined. One row per person."""

    citizen_id: Ints  # 0: not in the state
    previous_id: Ints
    commune: Ints
    damaged: Mask  # the last row was quarantined: it will be sent again

    @classmethod
    def nothing(cls) -> Known:
        """Before the first delivery."""
        empty = np.zeros(0, np.int64)
        return cls(empty, empty.copy(), empty.copy(), np.zeros(0, bool))

    def receive(self, country: Country, person: Ints, accepted: Mask, damaged: Mask) -> None:
        """Take in a month's register rows: who was in them, whose row was staged, whose was only quarantined."""
        people = country.people
        more = len(people) - len(self.citizen_id)
        for name in ("citizen_id", "previous_id", "commune"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(more, np.int64)]))
        if country.recoded is not None:
            self.commune = country.recoded[self.commune]
        good = person[accepted]
        self.citizen_id[good] = np.where(people.removed[good], 0, people.citizen_id[good])
        self.previous_id[good] = people.previous_id[good]
        self.commune[good] = people.commune[good]
        self.damaged = np.zeros(len(people), bool)
        self.damaged[person[damaged]] = True


@dataclass
class Stated:
    """What rows state about a person: 0 is an empty number, -1 no insurance number or a date of no use."""

    citizen_id: Ints
    old_id: Ints
    name: Ints
    born: Ints
    sex: Ints
    commune: Ints | None
    insurance: Ints | None


class Register:
    """The register's state in one period, ready to be asked."""

    def __init__(self, country: Country, known: Known) -> None:
        people = country.people
        self.name, self.born, self.sex = people.names.key, people.born, people.sex
        self.commune = known.commune
        present = np.flatnonzero(known.citizen_id)
        replaced = present[known.previous_id[present] > 0]
        self.known = known
        self.current = _Index(known.citizen_id[present], present)
        self.previous = _Index(known.previous_id[replaced], replaced)
        old = people.old_id[present]
        self.old = _Index(old[old > 0], present[old > 0])
        self.present = present
        self._by_name: dict[bool, _Index] = {}

    def agrees(self, stated: Stated, rows: Ints, person: Ints) -> Mask:
        """Whether at least two of name, birth date and sex agree."""
        same = (stated.name[rows] == self.name[person]).astype(int)
        same += stated.born[rows] == self.born[person]
        same += stated.sex[rows] == self.sex[person]
        return np.asarray(same >= 2, bool)

    def by_name(self, with_commune: bool) -> _Index:
        """People by name, birth date, sex and perhaps commune."""
        if with_commune not in self._by_name:
            at = self.present
            commune = self.commune[at] if with_commune else None
            self._by_name[with_commune] = _Index(identity_key(self.name[at], self.born[at], self.sex[at], commune), at)
        return self._by_name[with_commune]

    def match(self, stated: Stated, cards: _Index | None) -> tuple[Ints, Ints]:
        """The method of each row, and the person it hits (-1: nobody). ``cards``: insurance number -> person."""
        size = len(stated.citizen_id)
        method, person = np.full(size, UNMATCHED), np.full(size, -1)
        is_open = np.ones(size, bool)

        def step(index: _Index, asked: Ints, wanted: Mask, name: int, stops: bool) -> None:
            rows = np.flatnonzero(is_open & wanted)
            hit = index.find(asked[rows])
            rows, hit = rows[hit >= 0], hit[hit >= 0]
            good = self.agrees(stated, rows, hit)
            method[rows[good]], person[rows[good]] = name, hit[good]
            is_open[rows[good]] = False
            if stops:
                method[rows[~good]] = CONFLICT
                is_open[rows[~good]] = False

        step(self.current, stated.citizen_id, stated.citizen_id > 0, ID, True)
        step(self.previous, stated.citizen_id, stated.citizen_id > 0, PREVIOUS_ID, True)
        step(self.old, stated.old_id, stated.old_id > 0, OLD_ID, True)
        if cards is not None and stated.insurance is not None:
            step(cards, stated.insurance, stated.insurance >= 0, INSURANCE_NO, False)
        key = identity_key(stated.name, stated.born, stated.sex, stated.commune)
        numbered = (stated.citizen_id > 0) | (stated.old_id > 0)
        clear = ~np.isin(key, key[is_open & numbered])
        step(self.by_name(stated.commune is not None), key, ~numbered & clear & (stated.sex < 2), NAME_BIRTH, False)
        return method, person


class _Index:
    """Number -> person, for numbers that belong to exactly one person."""

    def __init__(self, keys: Ints, person: Ints) -> None:
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        single = np.ones(len(keys), bool)
        same = keys[1:] == keys[:-1]
        single[1:] &= ~same
        single[:-1] &= ~same
        self.keys, self.person = keys[single], person[order][single]

    def find(self, asked: Ints) -> Ints:
        """The person of each number, -1 for none."""
        if not len(self.keys):
            return np.full(len(asked), -1)
        at = np.minimum(np.searchsorted(self.keys, asked), len(self.keys) - 1)
        return np.where(self.keys[at] == asked, self.person[at], -1)


def index(keys: Ints, person: Ints) -> _Index:
    """Number -> person, leaving out numbers of several people."""
    return _Index(keys, person)


def identity_key(name: Ints, born: Ints, sex: Ints, commune: Ints | None) -> Ints:
    """Name (26 bits), birth date (16, from 1880), sex (2) and commune (17) as one number."""
    key = (((name << 16) | (born + 33_000 & 0xFFFF)) << 2) | sex
    return np.asarray((key << 17) | (0 if commune is None else commune), np.int64)
