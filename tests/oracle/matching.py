"""Who is who: the deterministic cascade, row by row, exactly as written."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import date
from functools import cache

from .reading import Areas, Contract, Extract, Row, as_of
from .register import Person, State

TONES = "\u0300\u0301\u0303\u0309\u0323"  # grave, acute, tilde, hook above, dot below
UNMATCHED = ("none", "conflict")


@dataclass(frozen=True)
class Match:
    """Where a row went: its method, the root of the citizen (None unless matched)."""

    method: str
    root: str | None = None


@cache
def normal_name(name: str) -> str:
    """A name in the form in which names are compared.

    Reading: a syllable's tone belongs to the syllable, wherever it was typed; it is noted behind the syllable, so
    that every placement becomes one. The other reading moves only òa, òe, ùy and their like.
    """
    seen = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")  # Cf has no width
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", seen)).strip().lower()
    return re.sub(r"[^\W\d_]+", lambda word: _toneless(word[0]), text)


def _toneless(word: str) -> str:
    letters = unicodedata.normalize("NFD", word)
    tones = [mark for mark in letters if mark in TONES]
    if len(tones) != 1:
        return word
    return (
        unicodedata.normalize("NFC", letters.replace(tones[0], ""))
        + {
            "\u0300": "1",
            "\u0301": "2",
            "\u0303": "3",
            "\u0309": "4",
            "\u0323": "5",
        }[tones[0]]
    )


def match(
    contract: Contract,
    extract: Extract,
    state: State,
    areas: Areas,
    insured: dict[str, list[str]],
) -> dict[tuple[int, int], Match]:
    """The match of every staged row. ``insured``: social-insurance number -> roots of the matched citizens."""
    by_old_id: dict[str, list[Person]] = defaultdict(list)
    for person in state.people.values():
        if person.entry.old_id:
            by_old_id[person.entry.old_id].append(person)

    done: dict[tuple[int, int], Match] = {}
    open_rows: dict[tuple[int, int], Row] = {}
    for place, row in extract.staged.items():
        found = _by_number(contract, row, state, by_old_id)
        if found is None and contract.source == "health_visit":
            found = _by_insurance(contract, row, state, insured)
        if found is None:
            open_rows[place] = row
        else:
            done[place] = found

    # name_birth: unique on both sides
    with_commune = contract.commune_column is not None and contract.commune_compared
    people: dict[Hashable, list[str]] = defaultdict(list)
    for root, person in state.people.items():
        entry = person.entry
        commune = person.commune if with_commune else None
        people[normal_name(entry.full_name), entry.birth_date, entry.sex, commune].append(root)
    values: dict[tuple[int, int], Hashable] = {}
    numbered: set[Hashable] = set()
    for place, row in open_rows.items():
        commune = None
        if with_commune:
            commune, _ = row_area(contract, row, extract.version, extract.period, areas)
        values[place] = (
            normal_name(contract.value(row, "full_name")),
            contract.value(row, "birth_date"),
            contract.value(row, "sex"),
            commune,
        )
        if states_a_number(contract, row):
            numbered.add(values[place])
    for place, row in open_rows.items():
        roots = people.get(values[place], [])
        if not states_a_number(contract, row) and len(roots) == 1 and values[place] not in numbered:
            done[place] = Match("name_birth", roots[0])
        else:
            done[place] = Match("none")
    return done


def states_a_number(contract: Contract, row: Row) -> bool:
    """Whether a row states citizen_id or old_id."""
    return bool(contract.value(row, "citizen_id") or contract.value(row, "old_id"))


def row_area(contract: Contract, row: Row, version: date, period: date, areas: Areas) -> tuple[str | None, str | None]:
    """(commune, province) of a row as of the period; (None, None) where the source has no commune."""
    code = contract.value(row, contract.commune_column) if contract.commune_column else None
    return areas.resolve(code, version, as_of(period)) if code else (None, None)


def agrees(contract: Contract, row: Row, person: Person) -> bool:
    """Whether at least two of normalised full name, birth date and sex agree with the register."""
    entry = person.entry
    same: list[bool] = [
        normal_name(contract.value(row, "full_name")) == normal_name(entry.full_name),
        contract.value(row, "birth_date") == entry.birth_date,
        contract.value(row, "sex") == entry.sex,
    ]
    return sum(same) >= 2


def _by_number(contract: Contract, row: Row, state: State, by_old_id: dict[str, list[Person]]) -> Match | None:
    """id, previous_id, old_id: the first hit decides, for a match or a conflict."""
    citizen_id, old_id = contract.value(row, "citizen_id"), contract.value(row, "old_id")
    # Reading: a hit on an older number of a person is compared with the person's state, as there is no other.
    if citizen_id in state.held:
        method, person = "id", state.people[state.held[citizen_id]]
    elif citizen_id in state.superseded:
        method, person = "previous_id", state.people[state.superseded[citizen_id]]
    elif old_id and len(by_old_id.get(old_id, ())) == 1:
        method, person = "old_id", by_old_id[old_id][0]
    else:
        return None
    return Match(method, person.root) if agrees(contract, row, person) else Match("conflict")


def _by_insurance(contract: Contract, row: Row, state: State, insured: dict[str, list[str]]) -> Match | None:
    card = contract.value(row, "insurance_card_no")
    roots = insured.get(card[-10:], []) if card else []
    if len(roots) == 1 and agrees(contract, row, state.people[roots[0]]):
        return Match("insurance_no", roots[0])
    return None
