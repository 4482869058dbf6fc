"""Social and health insurance: who takes part in what, and with which card."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from p06.synth import text
from p06.synth.chance import Ints, Mask, below, serial, share
from p06.synth.frame import Frame, sector_frame
from p06.synth.population import SECONDS, Country, day
from p06.synth.text import NONE

SOURCE = "social_security_participation"
PARTICIPATIONS = ("compulsory", "voluntary", "health_only", "pension", "none")
COMPULSORY, VOLUNTARY, HEALTH_ONLY, PENSION, NO_PART = range(5)
OBJECTS = ("TE", "HS", "SV", "DN", "HC", "HT", "GD", "HN", "CN", "DT", "BT")
_BENEFITS = np.array([1, 4, 4, 4, 4, 3, 4, 2, 3, 2, 2])
_WAGES = np.array([4_960_000, 6_500_000, 8_200_000, 11_000_000, 17_500_000])
_RATE = 0.255


@dataclass(frozen=True)
class Insured:
    """What social security knows of some people. ``card`` marks who has a health-insurance card."""

    number: Ints
    participation: Ints
    object: Ints
    benefit: Ints
    card: Mask
    card_text: pa.Array


def insured(country: Country, person: Ints) -> Insured:
    """Numbers, participation and cards: functions of person, age and year alone."""
    people, seed = country.people, country.seed
    age = people.age(day(date(country.period.year, 1, 1)))[person]
    lot = share(seed, f"{SOURCE} part", person)
    working = np.select([lot < 0.40, lot < 0.44, lot < 0.94], [COMPULSORY, VOLUNTARY, HEALTH_ONLY], NO_PART)
    retired = np.where(lot < 0.27, PENSION, HEALTH_ONLY)
    part = np.select([age < 18, age < 60], [HEALTH_ONLY, working], retired)
    need = share(seed, f"{SOURCE} need", person)
    poor = np.select([need < 0.04, need < 0.08, need < 0.14, need < 0.16], [7, 8, 9, 10], 6)
    kind = np.select(
        [age < 6, part == COMPULSORY, part == PENSION, age < 18, (age < 22) & (need > 0.4)],
        [0, np.where(need < 0.2, 4, 3), 5, 1, 2],
        poor,
    )
    number = serial(seed, SOURCE, person, 10)
    benefit = _BENEFITS[kind]
    province = people.citizen_id[person] // 10**9
    card_text = text.glue(
        text.labels(OBJECTS, kind), text.plain(benefit), text.fixed(province, 2), text.fixed(number, 10)
    )
    return Insured(number, part, kind, benefit, part != NO_PART, card_text)


def social_security_participation(country: Country) -> Frame:
    """Month-end state; health cards run by calendar year, so January brings new validity dates."""
    people, period, seed = country.people, country.period, country.seed
    known = share(seed, SOURCE, np.arange(len(people))) < 0.925
    person = np.flatnonzero(people.resident & known)
    facts = insured(country, person)
    no_card = ~facts.card
    january, december = day(date(period.year, 1, 1)), day(date(period.year, 12, 31))
    valid_from = np.where(facts.card, np.maximum(january, people.born[person]), NONE)
    valid_to = np.where(facts.card & (facts.participation == HEALTH_ONLY), december, NONE)
    paying = np.isin(facts.participation, (COMPULSORY, VOLUNTARY))
    wage = _WAGES[below(seed, f"{SOURCE} wage", person, len(_WAGES))]
    amount = (np.where(facts.participation == COMPULSORY, wage, 1_500_000) * _RATE).astype(np.int64)
    commune = people.commune[person]
    unit = text.glue("TH", text.fixed(commune % 100, 2), text.fixed(below(seed, f"{SOURCE} unit", person, 400), 3), "Z")
    columns = {
        "social_insurance_no": text.fixed(facts.number, 10),
        "insurance_card_no": text.blank(facts.card_text, no_card),
        "object_code": text.blank(text.labels(OBJECTS, facts.object), no_card),
        "benefit_level": text.blank(text.plain(facts.benefit), no_card),
        "participation": text.labels(PARTICIPATIONS, facts.participation),
        "unit_code": text.blank(unit, facts.participation != COMPULSORY),
        "contribution_amount": text.blank(text.money(amount), ~paying),
        "card_valid_from": text.days(valid_from),
        "card_valid_to": text.days(valid_to),
        "commune_code": text.fixed(commune, 5),
    }
    changed = np.maximum(np.maximum(january, people.updated[person] // SECONDS), people.born[person])
    clock = below(seed, f"{SOURCE} clock", person, 9 * 3600) + 8 * 3600
    return sector_frame(country, SOURCE, person, changed * SECONDS + clock, columns, commune=commune)
