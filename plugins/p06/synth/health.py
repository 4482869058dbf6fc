"""Visits to hospitals and health stations in the month."""

from __future__ import annotations

import numpy as np

from p06.synth import text
from p06.synth.chance import generator, weighted
from p06.synth.frame import Frame, sector_frame
from p06.synth.population import SECONDS, Country, day
from p06.synth.social_security import insured

SOURCE = "health_visit"
_A_MONTH = 0.165
_INPATIENT = 0.09
_WRITTEN = (
    "I10 90 E11.9 55 J06.9 60 J20.9 40 K29.7 35 M54.5 30 J02.9 30 K21.9 28 E78.5 22 I25.9 20 M17.9 18 H10.9 14 "
    "N39.0 14 A09 20 J18.9 22 J45.9 12 J44.9 14 I63.9 8 I50.9 8 K80.2 6 N20.0 8 B18.1 10 E04.9 8 G44.2 10 H25.9 8 "
    "L30.9 8 O80 14 Z34.9 20 Z00.0 25 S52.5 6 S06.0 6 T14.1 5 C50.9 4 C34.9 4 N18.9 8 D50.9 5 F32.9 4 G47.0 8 "
    "H66.9 7 K02.9 20 K04.0 12 M81.9 6 R51 8 R10.4 8 A90 9 B34.9 12 U07.1 2 Z23 15"
)
_DIAGNOSES = _WRITTEN.split()
_CODES, _WEIGHTS = tuple(_DIAGNOSES[::2]), np.array(_DIAGNOSES[1::2], float)
_COVERED = np.array([0.0, 1.0, 1.0, 0.95, 0.8, 1.0])


def health_visit(country: Country) -> Frame:
    """Events: whoever was admitted in the month; a few are still in hospital at its end."""
    people, period = country.people, country.period
    draw = generator(country.seed, SOURCE, period)
    first, last = day(period.first_day), day(period.as_of())
    alive = np.flatnonzero(people.resident & (people.born <= first))
    age = (first - people.born[alive]) / 365.25
    need = 0.5 + np.where(age < 6, 0.9, 0) + np.clip(age - 30, 0, 50) * 0.03
    count = len(alive)
    person = alive[weighted(draw, need, round(count * _A_MONTH))]
    size = len(person)
    admitted = draw.integers(first, last + 1, size) * SECONDS + draw.integers(6 * 3600, 20 * 3600, size)
    inside = draw.random(size) < _INPATIENT
    stay = np.where(inside, 1 + draw.geometric(0.2, size), 0) * SECONDS + draw.integers(1800, 3 * 3600, size)
    discharged = admitted + stay
    still_in = discharged >= (last + 1) * SECONDS
    facts = insured(country, person)
    total = (np.exp(draw.normal(12.4, 0.8, size)) * np.where(inside, 12, 1)).astype(np.int64) // 100 * 100 + 15_000
    paid = np.where(facts.card, total * _COVERED[facts.benefit], 0).astype(np.int64)
    station = people.commune[person] % 1000
    facility = np.where(draw.random(size) < 0.3, station // 50 * 50, station)  # some go to the area's hospital
    province = people.citizen_id[person] // 10**9
    columns = {
        "visit_id": text.glue(
            text.fixed(np.full(size, period.year * 100 + period.month), 6), text.fixed(draw.permutation(size), 8)
        ),
        "facility_code": text.glue(text.fixed(province, 2), text.fixed(facility, 3)),
        "insurance_card_no": text.blank(facts.card_text, ~facts.card),
        "admitted_at": text.stamps(admitted),
        "discharged_at": text.stamps(np.where(still_in, -1, discharged)),
        "main_diagnosis": text.labels(_CODES, weighted(draw, _WEIGHTS, size)),
        "total_amount": text.money(total),
        "insurance_paid": text.money(paid),
        "patient_paid": text.money(total - paid),
    }
    updated = np.minimum(discharged, (last + 1) * SECONDS - 1) + draw.integers(600, 86_400, size)
    insurance = np.where(facts.card, facts.number, -1)
    return sector_frame(country, SOURCE, person, updated, columns, insurance=insurance)
