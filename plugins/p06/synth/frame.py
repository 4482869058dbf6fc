"""One source's rows of one period, as columns of text, with what the senders know about the people in them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from p06.synth import text
from p06.synth.chance import Ints, share
from p06.synth.population import Country

NOTHING = 0
SEXES = ("M", "F")
_BOTH_NUMBERS = 0.15


@dataclass
class Frame:
    """Rows before any defect. ``columns`` holds text by column name; null is an empty field.

    ``citizen_id`` and ``old_id`` are the numbers each row states (0: none); ``commune`` and ``insurance`` what
    matching compares besides (None: the source has it not; insurance -1: the row has none).
    """

    columns: dict[str, pa.Array]
    person: Ints
    citizen_id: Ints
    old_id: Ints
    commune: Ints | None = None
    insurance: Ints | None = None

    def __len__(self) -> int:
        return len(self.person)


def sector_frame(
    country: Country,
    source: str,
    person: Ints,
    updated: Ints,
    columns: dict[str, pa.Array],
    commune: Ints | None = None,
    insurance: Ints | None = None,
) -> Frame:
    """A sector's rows: who they speak of, as the register knows them, beside the sector's own columns."""
    people = country.people
    citizen_id = people.citizen_id[person]
    both = share(country.seed, f"{source} old number", person) < _BOTH_NUMBERS
    old_id = people.old_id[person] * both
    identity = {
        "citizen_id": text.fixed(citizen_id, 12),
        "old_id": text.blank(text.fixed(old_id, 9), old_id == NOTHING),
        "full_name": people.names.at(person).text(),
        "birth_date": text.days(people.born[person]),
        "sex": text.labels(SEXES, people.sex[person]),
        "updated_at": text.stamps(updated),
    }
    return Frame({**identity, **columns}, person, citizen_id, old_id, commune, insurance)
