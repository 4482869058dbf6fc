"""The people of a trial: a synthetic register with twins, brothers and sisters, and people the register lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from p06 import codelist
from p06.errors import UsageError
from p06.period import Period
from p06.synth import names, text
from p06.synth.areas import Areas
from p06.synth.chance import Ints, Mask, generator
from p06.synth.names import Names
from p06.synth.population import Country, numbers

PERIOD = Period(2025, 7)
"""Communes as of the reform: fewer and larger ones, so the harder case."""
NATION = 100_000_000
CROWDS = ("none", "commune", "day")
"""Where a small country is as crowded as the nation: nowhere, in each commune, on each birth date."""
SEXES = ("M", "F")
_FEWEST = 1000
_TWINS = 0.012  # births with a twin, of all births
_KIN = 0.15  # people with a brother or sister of nearly the same age in the same commune
_ABSENT = 0.03  # people the register lacks (not yet entered, removed, foreigners with a Vietnamese name)
_ABSENT_TWINS = 0.10
_SAME_MIDDLE = {"twin": 0.6, "kin": 0.4}
_LIKE_GIVEN = {"twin": 0.5, "kin": 0.1}


@dataclass
class Nation:
    """People as columns; ``present`` marks those the register holds. Days since 1970-01-01; 0 is no number."""

    citizen_id: Ints
    previous_id: Ints
    old_id: Ints
    names: Names
    born: Ints
    sex: Ints
    commune: Ints
    present: Mask
    kin: list[str]
    """What makes a person easy to mistake: ``twin``, ``kin`` or nothing."""

    def __len__(self) -> int:
        return len(self.citizen_id)

    def name_texts(self) -> list[str]:
        """Normalised full names."""
        return [name.lower() for name in self.names.text().to_pylist()]

    def provinces(self) -> Mapping[str, str]:
        """Province by commune code."""
        return codelist.provinces(PERIOD.first_day)

    def register(self) -> pa.Table:
        """The citizens as ``p06.linkage.link`` takes them; root is the person's place."""
        at = np.flatnonzero(self.present)
        communes = text.fixed(self.commune[at], 5)
        province = self.provinces()
        listed = [name.lower() for name in self.names.at(at).text().to_pylist()]
        return pa.table(
            {
                "root": pa.array(at, pa.int64()),
                "name": pa.array(listed, pa.string()),
                "birth_date": pa.array(self.born[at].astype(np.int32), pa.date32()),
                "sex": text.labels(SEXES, self.sex[at]),
                "commune": communes,
                "province": pa.array([province.get(code) for code in communes.to_pylist()], pa.string()),
                "citizen_id": pa.array(self.citizen_id[at], pa.int64()),
                "old_id": text.blank(text.fixed(self.old_id[at], 9), self.old_id[at] == 0),
            }
        )


def found(citizens: int, seed: int, crowd: str = "none") -> Nation:
    """A nation of ``citizens`` people and their twins and kin. Raises UsageError P06-LINK-005, P06-LINK-007."""
    if citizens < _FEWEST:
        raise UsageError("P06-LINK-005", citizens=citizens)
    if crowd not in CROWDS:
        raise UsageError("P06-LINK-007", crowd=crowd)
    country = Country.found(seed, citizens, PERIOD, Areas.read())
    people, draw = country.people, generator(seed, "trial", citizens, crowd)
    citizen_id, born = people.citizen_id, people.born.copy()
    commune = people.commune
    if crowd == "commune":
        kept = np.unique(commune)
        kept = draw.choice(kept, max(round(len(kept) * citizens / NATION), 1), replace=False)
        commune = draw.choice(kept, citizens)
    if crowd == "day":
        days = np.unique(born)
        kept = draw.choice(days, max(round(len(days) * citizens / NATION), 1), replace=False)
        born = draw.choice(kept, citizens)
        citizen_id = numbers(draw, citizen_id // 10**9, born, people.sex, np.zeros(0, np.int64))
    own_names = people.names
    own_names.respelt[:] = False
    nation = Nation(
        citizen_id, people.previous_id, people.old_id, own_names, born, people.sex, commune,
        np.ones(citizens, bool), [""] * citizens,
    )  # fmt: skip
    for kind, rate in (("twin", _TWINS), ("kin", _KIN)):
        _multiply(nation, draw, kind, rate)
    twins = np.array([kind == "twin" for kind in nation.kin])
    lacking = draw.random(len(nation)) < np.where(twins, _ABSENT_TWINS, _ABSENT)
    nation.present = ~lacking
    return nation


def _multiply(nation: Nation, draw: np.random.Generator, kind: str, rate: float) -> None:
    """Give some people a twin, or a brother or sister: family name, commune and place of birth are the same."""
    size = len(nation)
    first = np.flatnonzero((draw.random(size) < rate) & (np.array(nation.kin) == ""))
    count = len(first)
    sex = np.where(draw.random(count) < 0.6, nation.sex[first], 1 - nation.sex[first])
    born = nation.born[first] + (0 if kind == "twin" else draw.integers(300, 2500, count))
    year = (born.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64)) + 1970
    drawn = names.draw_names(draw, sex, year, np.zeros(count, np.int64), nation.names.family[first])
    drawn.respelt[:] = False
    same = (draw.random(count) < _SAME_MIDDLE[kind]) & (sex == nation.sex[first])
    drawn.middle = np.where(same, nation.names.middle[first], drawn.middle)
    like = (draw.random(count) < _LIKE_GIVEN[kind]) & (sex == nation.sex[first])
    likes = names.alike()
    for at in np.flatnonzero(like):
        choices = likes[int(nation.names.given[first[at]])]
        if choices:
            drawn.given[at] = choices[int(draw.integers(len(choices)))]
    both = (drawn.given == nation.names.given[first]) & (drawn.middle == nation.names.middle[first])
    drawn.given = np.where(both, (drawn.given + 1) % names.GIVEN, drawn.given)
    taken = np.concatenate([nation.citizen_id, nation.previous_id])
    citizen_id = numbers(draw, nation.citizen_id[first] // 10**9, born, sex, taken)
    nothing = np.zeros(count, np.int64)
    for place in first:
        nation.kin[place] = kind
    nation.kin += [kind] * count
    nation.citizen_id = np.concatenate([nation.citizen_id, citizen_id])
    nation.previous_id = np.concatenate([nation.previous_id, nothing])
    nation.old_id = np.concatenate([nation.old_id, nothing])
    nation.names = nation.names.join(drawn)
    nation.born = np.concatenate([nation.born, born])
    nation.sex = np.concatenate([nation.sex, sex])
    nation.commune = np.concatenate([nation.commune, nation.commune[first]])
    nation.present = np.concatenate([nation.present, np.ones(count, bool)])
