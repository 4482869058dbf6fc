"""Records as clerks type them: who is meant, what went wrong, what stands in the fields.

Rates are what a field might see, not what a count found: about one record in ten without its number, a few per cent
without tone marks, under one per cent for each misspelling. One clerk in ten is careless and slips four times as
often, so that slips come together, which a model that takes them for independent must survive.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from p06.calibration.country import SEXES, Nation
from p06.linkage.name import plain
from p06.synth import text
from p06.synth.chance import Ints, generator

_CARELESS, _TIMES = 0.1, 4.0
_WITH_COMMUNE, _OLD_TOO = 0.6, 0.15
_OLD_DIGIT, _OLD_OTHER = 0.01, 0.01
NUMBER = {
    "number_missing": 0.08,
    "number_digit": 0.010,
    "number_neighbours": 0.004,
    "number_two_digits": 0.002,
    "old_number_only": 0.03,
    "old_number_digit": 0.003,
    "previous_number": 0.002,
    "number_of_another": 0.002,
}
NAME = {
    "marks_missing": 0.04,
    "tone_slip": 0.012,
    "telex_keys": 0.002,
    "vni_keys": 0.001,
    "given_typed_wrong": 0.006,
    "middle_typed_wrong": 0.005,
    "family_typed_wrong": 0.003,
    "middle_missing": 0.010,
    "initials": 0.004,
    "words_turned": 0.004,
    "other_middle": 0.002,
    "other_given": 0.0005,
}
BIRTH = {"day_and_month_swapped": 0.007, "date_digit": 0.010, "first_of_january": 0.008, "other_date": 0.003}
SEX = {"sex_wrong": 0.005, "sex_unknown": 0.005}
COMMUNE = {"lives_elsewhere": 0.08, "other_province": 0.04}
_NEIGHBOURS = dict(
    zip("qwertyuiopasdfghjklzxcvbnm", "wqewrtyuioaspdfghjkzxcvbnl", strict=True)
)  # a key beside each on a QWERTY keyboard
_TONES = {"\u0309": "\u0303", "\u0303": "\u0309", "\u0301": "\u0300", "\u0300": "\u0301", "\u0323": "\u0301"}
_TELEX = {"\u0300": "f", "\u0301": "s", "\u0309": "r", "\u0303": "x", "\u0323": "j"}
_VNI = {"\u0300": "2", "\u0301": "1", "\u0309": "3", "\u0303": "4", "\u0323": "5"}
_TELEX_VOWELS = {"\u0302": None, "\u0306": "w", "\u031b": "w"}  # circumflex doubles the letter
_VNI_VOWELS = {"\u0302": "6", "\u0306": "8", "\u031b": "7"}


@dataclass
class Records:
    """``table`` as ``link`` takes it; ``person`` is whom each row means; ``kinds`` what went wrong, sorted, joined."""

    table: pa.Table
    person: Ints
    kinds: list[str]


def type_records(nation: Nation, seed: int, share: float = 1.0) -> Records:
    """One record for each person (a share of them), in the person's order."""
    draw = generator(seed, "slips", len(nation))
    person = np.flatnonzero(draw.random(len(nation)) < share)
    size = len(person)
    times = np.where(draw.random(size) < _CARELESS, _TIMES, 1.0)
    listed = [name.lower() for name in nation.names.at(person).text().to_pylist()]
    citizen_id, born, sex = nation.citizen_id[person].copy(), nation.born[person].copy(), nation.sex[person].copy()
    old_id = np.where(draw.random(size) < _OLD_TOO, nation.old_id[person], 0)
    lucky = draw.random(size) / times
    for at in map(int, np.flatnonzero((old_id > 0) & (lucky < _OLD_DIGIT + _OLD_OTHER))):
        old_id[at] = _digit(draw, int(old_id[at]), 9) if lucky[at] < _OLD_DIGIT else draw.integers(10**7, 39 * 10**7)
    commune = np.where(draw.random(size) < _WITH_COMMUNE, nation.commune[person], -1)
    kinds: list[list[str]] = [[] for _ in range(size)]
    absent = ~nation.present[person]
    for at in map(int, np.flatnonzero(absent)):
        kinds[at].append("absent")

    for at, kind in _dealt(draw, NUMBER, times):
        who = person[at]
        if not _renumber(draw, nation, int(who), at, kind, citizen_id, old_id):
            continue
        kinds[at].append(kind)
    for at, kind in _dealt(draw, NAME, times):
        changed = _NAME_SLIPS[kind](listed[at], draw)
        if changed != listed[at] and changed.strip():
            listed[at] = changed
            kinds[at].append(kind)
    for at, kind in _dealt(draw, BIRTH, times):
        wrong = _misdate(int(born[at]), kind, draw)
        if wrong != born[at]:
            born[at] = wrong
            kinds[at].append(kind)
    for at, kind in _dealt(draw, SEX, times):
        sex[at] = 2 if kind == "sex_unknown" else 1 - sex[at]
        kinds[at].append(kind)
    _move(draw, nation, commune, kinds)
    codes = text.blank(text.fixed(np.maximum(commune, 0), 5), commune < 0)
    province = nation.provinces()
    table = pa.table(
        {
            "record": pa.array(np.arange(size), pa.int64()),
            "name": pa.array(listed, pa.string()),
            "birth_date": pa.array(born.astype(np.int32), pa.date32()),
            "sex": text.labels((*SEXES, "U"), sex),
            "commune": codes,
            "province": pa.array([province.get(code) if code else None for code in codes.to_pylist()], pa.string()),
            "citizen_id": pa.array(citizen_id, pa.int64(), mask=citizen_id == 0),
            "old_id": text.blank(text.fixed(old_id, 9), old_id == 0),
        }
    )
    return Records(table, person, ["+".join(sorted(found)) for found in kinds])


def _dealt(draw: np.random.Generator, rates: dict[str, float], times: np.ndarray) -> list[tuple[int, str]]:
    """Rows and the kind that befalls each, at most one of these kinds a row."""
    lucky = draw.random(len(times)) / times
    limits = np.cumsum(list(rates.values()))
    kinds = list(rates)
    rows = np.flatnonzero(lucky < limits[-1])
    return [(int(row), kinds[int(np.searchsorted(limits, lucky[row], side="right"))]) for row in rows]


def _digit(draw: np.random.Generator, number: int, places: int) -> int:
    """The number with one digit replaced."""
    power = 10 ** int(draw.integers(places))
    digit = number // power % 10
    return int(number + ((digit + int(draw.integers(1, 10))) % 10 - digit) * power)


def _neighbours(draw: np.random.Generator, number: int, places: int) -> int:
    """The number with two neighbouring digits swapped."""
    digits = list(f"{number:0{places}d}")
    at = int(draw.integers(places - 1))
    digits[at], digits[at + 1] = digits[at + 1], digits[at]
    return int("".join(digits))


def _renumber(
    draw: np.random.Generator, nation: Nation, who: int, at: int, kind: str, citizen_id: Ints, old_id: Ints
) -> bool:
    """Change the numbers of row ``at``; whether that was possible."""
    own, old = int(nation.citizen_id[who]), int(nation.old_id[who])
    if kind == "number_missing":
        citizen_id[at], old_id[at] = 0, 0
    elif kind == "number_digit":
        citizen_id[at] = _digit(draw, own, 12)
    elif kind == "number_neighbours":
        citizen_id[at] = _neighbours(draw, own, 12)
    elif kind == "number_two_digits":
        citizen_id[at] = _digit(draw, _digit(draw, own, 12), 12)
    elif kind == "number_of_another":
        citizen_id[at] = nation.citizen_id[int(draw.integers(len(nation)))]
    elif kind == "previous_number":
        if not nation.previous_id[who]:
            return False
        citizen_id[at] = nation.previous_id[who]
    else:
        if not old:
            return False
        citizen_id[at], old_id[at] = 0, old if kind == "old_number_only" else _digit(draw, old, 9)
    return bool(citizen_id[at] != own or kind.startswith("old"))


def _misdate(born: int, kind: str, draw: np.random.Generator) -> int:
    """A wrong birth date, as days since 1970-01-01; the same day when the slip does nothing."""
    stated = str(np.datetime64(born, "D"))
    year, month, day = stated[:4], stated[5:7], stated[8:]
    if kind == "day_and_month_swapped":
        wrong = f"{year}-{day}-{month}"
    elif kind == "first_of_january":
        wrong = f"{year}-01-01"
    elif kind == "other_date":
        return born + int(draw.integers(-2000, 2000))
    else:
        digits = list(year + month + day)
        at = int(draw.integers(2, 8))
        digits[at] = str((int(digits[at]) + int(draw.integers(1, 10))) % 10)
        changed = "".join(digits)
        wrong = f"{changed[:4]}-{changed[4:6]}-{changed[6:]}"
    try:
        return int(np.datetime64(wrong, "D").astype(np.int64))
    except ValueError:
        return born


def _move(draw: np.random.Generator, nation: Nation, commune: Ints, kinds: list[list[str]]) -> None:
    """Some people's records come from a commune they are not registered in."""
    province = nation.provinces()
    near: dict[str | None, list[int]] = {}
    everywhere = np.unique(nation.commune)
    for code in everywhere:
        near.setdefault(province.get(f"{code:05d}"), []).append(int(code))
    lucky = draw.random(len(commune))
    for at in map(int, np.flatnonzero((commune >= 0) & (lucky < sum(COMMUNE.values())))):
        kind = "lives_elsewhere" if lucky[at] < COMMUNE["lives_elsewhere"] else "other_province"
        choices = near[province.get(f"{int(commune[at]):05d}")] if kind == "lives_elsewhere" else everywhere
        chosen = int(choices[int(draw.integers(len(choices)))])
        if chosen != int(commune[at]):
            commune[at] = chosen
            kinds[at].append(kind)


def _misspell(word: str, draw: np.random.Generator) -> str:
    """A neighbouring key, a key too few, a key twice, or two keys swapped."""
    at = int(draw.integers(len(word)))
    how = int(draw.integers(4))
    letter = word[at]
    if how == 0:
        return word[:at] + _NEIGHBOURS.get(letter, "n") + word[at + 1 :]
    if how == 1 and len(word) > 2:
        return word[:at] + word[at + 1 :]
    if how == 2 or at + 1 == len(word):
        return word[:at] + letter + word[at:]
    return word[:at] + word[at + 1] + letter + word[at + 2 :]


def _word(place: str) -> Callable[[str, np.random.Generator], str]:
    def change(name: str, draw: np.random.Generator) -> str:
        words = name.split(" ")
        if place == "middle" and len(words) < 3:
            return name
        at = {"family": 0, "middle": 1, "given": len(words) - 1}[place]
        words[at] = _misspell(words[at], draw)
        return " ".join(words)

    return change


def _tone(name: str, draw: np.random.Generator) -> str:
    letters = list(unicodedata.normalize("NFD", name))
    marks = [at for at, letter in enumerate(letters) if letter in _TONES]
    if marks:
        at = marks[int(draw.integers(len(marks)))]
        letters[at] = _TONES[letters[at]]
    return unicodedata.normalize("NFC", "".join(letters))


def _keys(
    vowels: dict[str, str | None], tones: dict[str, str], stroke: str
) -> Callable[[str, np.random.Generator], str]:
    def change(name: str, _: np.random.Generator) -> str:
        typed = []
        for word in name.split(" "):
            keys, tone = "", ""
            for letter in unicodedata.normalize("NFD", word.replace("đ", stroke)):
                if letter in tones:
                    tone = tones[letter]
                elif letter in vowels:
                    keys += vowels[letter] or keys[-1]
                else:
                    keys += letter
            typed.append(keys + tone)
        return " ".join(typed)

    return change


def _no_middle(name: str, _: np.random.Generator) -> str:
    words = name.split(" ")
    return f"{words[0]} {words[-1]}"


def _initials(name: str, draw: np.random.Generator) -> str:
    words = name.split(" ")
    whole = 1 if draw.random() < 0.5 else 0  # the family name in full, or its initial too
    return " ".join([*words[:whole], *(f"{word[0]}." for word in words[whole:-1]), words[-1]])


def _turned(name: str, draw: np.random.Generator) -> str:
    words = name.split(" ")
    if draw.random() < 0.5:
        return " ".join([words[-1], *words[:-1]])
    return " ".join([*words[1:], words[0]])


def _other(place: int) -> Callable[[str, np.random.Generator], str]:
    words_known = ("văn", "thị", "ngọc", "minh", "thanh") if place == 1 else ("anh", "hùng", "lan", "hoa", "tuấn")

    def change(name: str, draw: np.random.Generator) -> str:
        words = name.split(" ")
        if place == 1 and len(words) < 3:
            return name
        words[place] = words_known[int(draw.integers(len(words_known)))]
        return " ".join(words)

    return change


_NAME_SLIPS: dict[str, Callable[[str, np.random.Generator], str]] = {
    "marks_missing": lambda name, _: plain(name),
    "tone_slip": _tone,
    "telex_keys": _keys(_TELEX_VOWELS, _TELEX, "dd"),
    "vni_keys": _keys(dict(_VNI_VOWELS), _VNI, "d9"),
    "given_typed_wrong": _word("given"),
    "middle_typed_wrong": _word("middle"),
    "family_typed_wrong": _word("family"),
    "middle_missing": _no_middle,
    "initials": _initials,
    "words_turned": _turned,
    "other_middle": _other(1),
    "other_given": _other(-1),
}
