"""The population register: everyone in the first month, whoever changed in the months after."""

from __future__ import annotations

import numpy as np

from p06.synth import text
from p06.synth.chance import Mask
from p06.synth.frame import NOTHING, SEXES, Frame
from p06.synth.names import PEOPLES
from p06.synth.population import STATUSES, Country


def population_register(country: Country, resend: Mask) -> Frame:
    """The month's changes, and the rows of the month before that had been damaged, sent again."""
    people = country.people
    again = np.zeros(len(people), bool)
    again[: len(resend)] = resend
    person = np.flatnonzero(country.changed | again)
    old_id, previous = people.old_id[person], people.previous_id[person]
    columns = {
        "citizen_id": text.fixed(people.citizen_id[person], 12),
        "old_id": text.blank(text.fixed(old_id, 9), old_id == NOTHING),
        "full_name": people.names.at(person).text(),
        "birth_date": text.days(people.born[person]),
        "sex": text.labels(SEXES, people.sex[person]),
        "ethnicity_code": text.labels(PEOPLES, people.people[person]),
        "residence_commune_code": text.fixed(people.commune[person], 5),
        "status": text.labels(STATUSES, people.status[person]),
        "death_date": text.days(people.died[person]),
        "id_card_issued_on": text.days(people.card[person]),
        "eid_level": text.plain(people.eid_level[person]),
        "eid_activated_on": text.days(people.eid_activated[person]),
        "previous_citizen_id": text.blank(text.fixed(previous, 12), previous == NOTHING),
        "record_op": text.labels(("upsert", "remove"), people.removed[person].astype(np.int64)),
        "updated_at": text.stamps(people.updated[person]),
    }
    return Frame(columns, person, people.citizen_id[person], old_id)
