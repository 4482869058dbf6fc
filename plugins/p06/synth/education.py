"""Enrolments: who sits where in the school year of the period."""

from __future__ import annotations

from datetime import date

import numpy as np

from p06.synth import text
from p06.synth.chance import below, serial, share
from p06.synth.frame import Frame, sector_frame
from p06.synth.population import SECONDS, Country, day, years

SOURCE = "education_enrolment"
LEVELS = ("preschool", "primary", "lower_secondary", "upper_secondary", "continuing", "college", "university")
STATUSES = ("studying", "transferred", "graduated", "dropped_out")
_SCHOOL_YEAR_BEGINS = 9
# Share of each age in school, ages 3 to 22.
_ENROLLED = np.array([0.8, 0.9, 0.98, *[0.985] * 5, *[0.96] * 4, *[0.86] * 3, *[0.36] * 4, 0.1])


def education_enrolment(country: Country) -> Frame:
    """Month-end state of the enrolments of the current school year; ``updated_at`` says when each last changed."""
    people, period, seed = country.people, country.period, country.seed
    begins = period.year if period.month >= _SCHOOL_YEAR_BEGINS else period.year - 1
    start, last = day(date(begins, _SCHOOL_YEAR_BEGINS, 5)), day(period.as_of())
    everyone = np.arange(len(people))
    age = begins - years(people.born)
    enrolled = np.where((age >= 3) & (age < 3 + len(_ENROLLED)), _ENROLLED[np.clip(age - 3, 0, len(_ENROLLED) - 1)], 0)
    person = np.flatnonzero(people.resident & (share(seed, SOURCE, everyone) < enrolled))
    age = age[person]
    year_key = f"{SOURCE} {begins}"
    course = share(seed, f"{SOURCE} course", person)
    level = np.select(
        [age <= 5, age <= 10, age <= 14, (age <= 17) & (course < 0.9), age <= 17, course < 0.35], [0, 1, 2, 3, 4, 5], 6
    )
    grade = np.where((age >= 6) & (age <= 17), age - 5, -1)
    event = start + below(seed, f"{year_key} event", person, 330)
    lot = share(seed, f"{year_key} lot", person)
    fate = np.select([lot < 0.012, lot < 0.018], [1, 3], 0)
    done = np.isin(level, (5, 6)) & (age >= 21) & (lot > 0.7)
    fate = np.where(done, 2, fate)
    happened = (fate > 0) & (event <= last)
    entered = start - below(seed, f"{year_key} entered", person, 25)
    commune = people.commune[person]
    away = share(seed, f"{SOURCE} away", person) < 0.03
    commune = np.where(away, commune[below(seed, f"{SOURCE} where", person, max(len(person), 1))], commune)
    school = commune * 1000 + below(seed, f"{SOURCE} school", person, 4) + level * 10
    columns = {
        "student_code": text.fixed(serial(seed, SOURCE, person, 10), 10),
        "school_code": text.fixed(school, 8),
        "level": text.labels(LEVELS, level),
        "grade": text.blank(text.plain(grade), grade < 0),
        "school_year": text.labels([f"{begins}-{begins + 1}"], np.zeros(len(person), np.int64)),
        "enrolment_status": text.labels(STATUSES, np.where(happened, fate, 0)),
        "commune_code": text.fixed(commune, 5),
    }
    clock = below(seed, f"{SOURCE} clock", person, 9 * 3600) + 8 * 3600
    updated = np.where(happened, event, entered) * SECONDS + clock
    return sector_frame(country, SOURCE, person, updated, columns, commune=commune)
