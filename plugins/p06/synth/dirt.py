"""Senders' typical dirt: which rows it befalls, what the line then is, and what must become of it.

A row gets one defect at most, so that each expected outcome is exact. Rates follow the public figures of 2022-2025:
missing numbers, name and birth-date disagreement, unverified records; far below their worst cases in ``usual``.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from p06.contract import Contract
from p06.period import Period
from p06.synth import outcome
from p06.synth.chance import Ints, Mask, generator
from p06.synth.damage import DAMAGES, EXACT_DUPLICATE, KEY_CONFLICT, Damage, Fields, as_bytes
from p06.synth.frame import SEXES, Frame
from p06.synth.outcome import CONFLICT, ID, METHODS, UNMATCHED, Known, Register, Stated
from p06.synth.population import Country

MATCHED, STAGED, QUARANTINED, DUPLICATE = "matched", "staged", "quarantined", "duplicate"
_SMALL = 300  # rows from which every kind is dealt at least once, within the cap
_RESENT = 0.7  # damaged register rows that the sender repeats, mended, in the same delivery


@dataclass(frozen=True)
class Profile:
    """How dirty: the rate of each row defect, of each identity defect times ``identity``, and the most in a file."""

    damage: float
    identity: float
    cap: float


PROFILES = {"none": Profile(0, 0, 0), "usual": Profile(0.0002, 1, 0.03), "heavy": Profile(0.002, 4, 0.2)}

_DAMAGED_COPIES = {EXACT_DUPLICATE: 2.0, KEY_CONFLICT: 0.5}  # times the rate of other row defects
_REGISTER_HARMLESS = {"name_quoted": 0.002, "name_broken": 0.0003, "empty_quoted": 0.001}
_IDENTITY = {
    "previous_number": 0.5,  # of those who had one
    "old_number_only": 0.010,
    "number_missing": 0.008,
    "number_missing_name_respelt": 0.001,
    "number_typo": 0.005,
    "name_and_birth_disagree": 0.005,
    "number_of_another": 0.002,
    "name_other_tone_place": 0.01,
    "name_upper": 0.01,
    "name_decomposed": 0.01,
    "name_spaces": 0.003,
    "sex_unknown": 0.001,
    "birth_date_differs": 0.002,
    **_REGISTER_HARMLESS,
}


@dataclass(frozen=True)
class Mark:
    """One line of truth: the record it speaks of (a row of the frame, or rows + n for the n-th copy)."""

    slot: int
    kind: str
    outcome: str
    reason: str = ""
    method: str = ""


@dataclass
class Spoilt:
    """A frame after the dirt: lines that differ (None: left out), copies after which row, and the truth."""

    lines: dict[int, bytes | None] = field(default_factory=dict)
    copies: list[tuple[int, bytes]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    quarantined: Mask = field(default_factory=lambda: np.zeros(0, bool))
    accepted: Mask = field(default_factory=lambda: np.zeros(0, bool))
    methods: dict[str, int] = field(default_factory=dict)
    cards: tuple[Ints, Ints] | None = None  # insurance number and person of the matched rows


class Dealer:
    """Deals the defects of one extract. Rows are taken from one shuffled deck, so none is dealt twice."""

    def __init__(
        self, frame: Frame, contract: Contract, country: Country, known: Known, profile: Profile, draw_seed: int
    ) -> None:
        self.frame, self.contract, self.country, self.known, self.profile = frame, contract, country, known, profile
        self.period: Period = country.period
        self.draw = generator(draw_seed, "dirt", contract.source, self.period)
        self.deck = self.draw.permutation(len(frame))
        self.free = np.ones(len(frame), bool)
        self.order = [column.name for column in contract.columns]
        self.spoilt = Spoilt(quarantined=np.zeros(len(frame), bool), accepted=np.zeros(len(frame), bool))
        people, person = country.people, frame.person
        self.stated = Stated(
            frame.citizen_id.copy(),
            frame.old_id.copy(),
            people.names.key[person],
            people.born[person],
            people.sex[person],
            frame.commune,
            frame.insurance,
        )
        self.kinds: dict[int, str] = {}

    def take(self, count: int, where: Mask | None = None) -> Ints:
        """Some rows nobody took yet."""
        able = self.free if where is None else self.free & where
        rows = self.deck[able[self.deck]][:count]
        self.free[rows] = False
        return np.sort(rows)

    def fields(self, rows: Ints) -> list[Fields]:
        """The rows as lists of text, in the file's order."""
        at = pa.array(rows)
        columns = [self.frame.columns[name].take(at).to_pylist() for name in self.order]
        return [[value or "" for value in row] for row in zip(*columns, strict=True)] if columns else []

    def quarantine(self, slot: int, kind: str, reason: str) -> None:
        """Note a row that must not be staged."""
        self.spoilt.marks.append(Mark(slot, kind, QUARANTINED, reason))
        if slot < len(self.frame):
            self.spoilt.quarantined[slot] = True

    def copy(self, after: int, line: bytes) -> int:
        """Add a record after a row; its slot."""
        self.spoilt.copies.append((after, line))
        return len(self.frame) + len(self.spoilt.copies) - 1

    def deal_damage(self) -> None:
        """Row defects, exact duplicates and key conflicts."""
        size = len(self.frame)
        able = [(damage, damage.columns(self.contract)) for damage in DAMAGES]
        kinds: list[tuple[Damage | str, list[int]]] = [(damage, columns) for damage, columns in able if columns]
        kinds += [(EXACT_DUPLICATE, []), *([(KEY_CONFLICT, [])] if self.contract.key else [])]
        cap = int(size * self.profile.cap)
        if not self.profile.damage or not cap:
            return
        counts = {}
        for at, (kind, _) in enumerate(kinds):
            weight = _DAMAGED_COPIES.get(kind, 1.0) if isinstance(kind, str) else 1.0
            counts[at] = max(round(size * self.profile.damage * weight), 1)
        if sum(counts.values()) > cap:  # a tiny extract: one each of some kinds, others in other months
            turn = self.period.year * 12 + self.period.month + zlib.crc32(self.contract.source.encode())
            first = turn * cap % len(kinds)
            counts = {(first + step) % len(kinds): 1 for step in range(min(cap, len(kinds)))}
        for at, count in sorted(counts.items()):
            kind, columns = kinds[at]
            if isinstance(kind, Damage):
                self._damage(kind, columns, count)
            elif kind == EXACT_DUPLICATE:
                self._duplicate(count)
            else:
                self._conflict(count)

    def _damage(self, damage: Damage, columns: list[int], count: int) -> None:
        valid = [self.frame.columns[self.order[at]].is_valid().to_numpy(zero_copy_only=False) for at in columns]
        rows = self.take(count, np.logical_or.reduce(valid))
        for row, fields in zip(rows, self.fields(rows), strict=True):
            mended = as_bytes(fields)
            filled = [at for at in columns if fields[at]]
            at = filled[int(self.draw.integers(len(filled)))]
            damage.spoil(fields, at, self.contract.columns[at], self.contract, self.period, self.draw)
            self.spoilt.lines[int(row)] = as_bytes(fields)
            self.quarantine(int(row), damage.kind, damage.reason)
            if self.contract.kind == "register" and self.draw.random() < _RESENT:
                slot = self.copy(len(self.frame) - 1, mended)
                self.spoilt.marks.append(Mark(slot, "mended_copy", STAGED))
                self.spoilt.accepted[row] = True

    def _duplicate(self, count: int) -> None:
        rows = self.take(count)
        for row, fields in zip(rows, self.fields(rows), strict=True):
            after = int(row) if self.draw.random() < 0.5 else len(self.frame) - 1
            self.spoilt.marks.append(Mark(self.copy(after, as_bytes(fields)), EXACT_DUPLICATE, DUPLICATE))

    def _conflict(self, count: int) -> None:
        rows = self.take(count)
        at = self.order.index("updated_at")
        for row, fields in zip(rows, self.fields(rows), strict=True):
            stamp = fields[at]
            fields[at] = f"{stamp[:14]}{(int(stamp[14:16]) + 7) % 60:02d}{stamp[16:]}"
            after = int(row) if self.draw.random() < 0.5 else len(self.frame) - 1
            slot = self.copy(after, as_bytes(fields))
            self.quarantine(int(row), KEY_CONFLICT, KEY_CONFLICT)
            self.quarantine(slot, KEY_CONFLICT, KEY_CONFLICT)

    def deal_identity(self) -> None:
        """What senders get wrong about people, and lines that only look odd."""
        if not self.profile.identity or not self.contract.has_identity:
            return
        size = len(self.frame)
        people, person = self.country.people, self.frame.person
        where: dict[str, Mask] = {
            "previous_number": people.previous_id[person] > 0,
            "old_number_only": people.old_id[person] > 0,
            "number_missing_name_respelt": people.names.two_spellings[person],
            "name_other_tone_place": people.names.two_spellings[person],
        }
        for kind, rate in (_IDENTITY if self.contract.kind != "register" else _REGISTER_HARMLESS).items():
            able = where.get(kind)
            whole = int((able & self.free).sum()) if kind == "previous_number" and able is not None else size
            count = round(whole * min(rate * self.profile.identity, 0.9))
            rows = self.take(max(count, 1 if size >= _SMALL else 0), able)
            for row, fields in zip(rows, self.fields(rows), strict=True):
                self._mistake(kind, int(row), fields)
                self.spoilt.lines[int(row)] = as_bytes(fields)
                self.kinds[int(row)] = kind

    def _mistake(self, kind: str, row: int, fields: Fields) -> None:
        people, person, stated = self.country.people, int(self.frame.person[row]), self.stated
        place = {name: self.order.index(name) for name in ("citizen_id", "old_id", "full_name", "birth_date", "sex")}
        name = place["full_name"]

        def number(citizen: int, old: int) -> None:
            stated.citizen_id[row], stated.old_id[row] = citizen, old
            fields[place["citizen_id"]] = f"{citizen:012d}" if citizen else ""
            fields[place["old_id"]] = f"{old:09d}" if old else ""

        def born(on: int) -> None:
            stated.born[row] = on
            fields[place["birth_date"]] = str(np.datetime64(on, "D"))

        if kind == "previous_number":
            number(int(people.previous_id[person]), 0)
        elif kind == "old_number_only":
            number(0, int(people.old_id[person]))
        elif kind in ("number_missing", "number_missing_name_respelt"):
            number(0, 0)
        elif kind == "number_typo":
            true = int(people.citizen_id[person])
            places = 10 ** int(self.draw.integers(6))
            digit = true // places % 10
            number(true + ((digit + int(self.draw.integers(1, 10))) % 10 - digit) * places, 0)
        elif kind == "number_of_another":
            number(int(people.citizen_id[int(self.draw.integers(len(people)))]), 0)
        elif kind == "name_and_birth_disagree":
            other = people.names.at(np.array([int(self.draw.integers(len(people)))]))
            if other.key[0] == stated.name[row]:
                other.given = (other.given + 1) % 40
            fields[name], stated.name[row] = other.text()[0].as_py(), other.key[0]
            born(int(people.born[person]) - int(self.draw.integers(200, 4000)))
        elif kind == "birth_date_differs":
            born(int(people.born[person]) - int(self.draw.integers(1, 300)))
        elif kind == "sex_unknown":
            fields[place["sex"]], stated.sex[row] = "U", len(SEXES)
        elif kind == "name_quoted":
            fields[name] = f'"{fields[name]}"'
        elif kind == "name_broken":
            fields[name] = '"' + fields[name].replace(" ", "\n", 1) + '"'
        elif kind == "empty_quoted":
            empty = [at for at, value in enumerate(fields) if not value]
            if empty:
                fields[empty[0]] = '""'
        if kind in ("name_other_tone_place", "number_missing_name_respelt"):
            own = people.names.at(np.array([person]))
            fields[name] = replace(own, respelt=~own.respelt).text()[0].as_py()
        change = _NAMES.get(kind)
        if change is not None:
            fields[name] = change(fields[name])

    def revise(self, revision: int, removed: float, changed: float, repaired: float) -> None:
        """Turn the first delivery into a correction: rows mended, left out, changed."""
        draw = generator(self.country.seed, "revision", self.contract.source, self.period, revision)
        kept = []
        for mark in self.spoilt.marks:
            single = mark.slot < len(self.frame) and mark.kind != KEY_CONFLICT and mark.outcome == QUARANTINED
            if single and not self.spoilt.accepted[mark.slot] and draw.random() < repaired:
                self.spoilt.quarantined[mark.slot] = False
                del self.spoilt.lines[mark.slot]
                kept.append(Mark(mark.slot, "repaired", STAGED))
            else:
                kept.append(mark)
        self.spoilt.marks = kept
        duplicated = {line for _, line in self.spoilt.copies}
        size = len(self.frame)
        for row in self.take(round(size * removed)):
            self.spoilt.lines[int(row)] = None
        rows = self.take(max(round(size * changed), 1))
        for row, fields in zip(rows, self.fields(rows), strict=True):
            if as_bytes(fields) not in duplicated:
                self._restate(fields, draw)
                self.spoilt.lines[int(row)] = as_bytes(fields)
                self.spoilt.marks.append(Mark(int(row), "restated", STAGED))

    def _restate(self, fields: Fields, draw: np.random.Generator) -> None:
        contract, at = self.contract, {name: place for place, name in enumerate(self.order)}
        if contract.kind == "register" and contract.commune_column:
            communes = self.frame.columns[contract.commune_column]
            fields[at[contract.commune_column]] = communes[int(draw.integers(len(communes)))].as_py()
        elif contract.rules:
            for name in (contract.rules[0].left, contract.rules[0].right[-1]):
                whole, cents = fields[at[name]].split(".")
                fields[at[name]] = f"{int(whole) + 5000}.{cents}"
        else:
            for column in [item for item in contract.columns if item.kind == "enum" and item.in_mart][-1:]:
                fields[at[column.name]] = column.values[
                    (column.values.index(fields[at[column.name]]) + 1) % len(column.values)
                ]
        stamp = fields[at["updated_at"]]
        fields[at["updated_at"]] = f"{stamp[:17]}{(int(stamp[17:19]) + 1) % 60:02d}{stamp[19:]}"

    def conclude(self, register: Register | None, cards: tuple[Ints, Ints] | None) -> Spoilt:
        """Work out what matching should make of every row."""
        spoilt, frame = self.spoilt, self.frame
        gone = [row for row, line in spoilt.lines.items() if line is None]
        staged = ~spoilt.quarantined
        staged[gone] = False
        if register is None:
            spoilt.accepted |= staged
            spoilt.marks += [Mark(row, kind, STAGED) for row, kind in self.kinds.items()]
            return spoilt
        if not self.contract.has_identity:
            spoilt.methods = {METHODS[UNMATCHED]: int(staged.sum())}
            spoilt.marks = [
                replace(mark, outcome=_state(UNMATCHED), method=METHODS[UNMATCHED]) if mark.outcome == STAGED else mark
                for mark in spoilt.marks
            ]
            return spoilt
        plain = self.known.citizen_id[frame.person] == frame.citizen_id
        plain[list(self.kinds)] = False
        rows = np.flatnonzero(staged & ~plain)
        stated = Stated(
            self.stated.citizen_id[rows],
            self.stated.old_id[rows],
            self.stated.name[rows],
            self.stated.born[rows],
            self.stated.sex[rows],
            None if self.stated.commune is None else self.stated.commune[rows],
            None if self.stated.insurance is None else self.stated.insurance[rows],
        )
        method = np.full(len(frame), ID)
        person = frame.person.copy()
        method[rows], person[rows] = register.match(stated, None if cards is None else outcome.index(*cards))
        counts = np.bincount(method[staged], minlength=len(METHODS))
        spoilt.methods = {name: int(count) for name, count in zip(METHODS, counts, strict=True) if count}
        for row in rows:
            kind = self.kinds.get(int(row), "register_lacks")
            spoilt.marks.append(Mark(int(row), kind, _state(int(method[row])), method=METHODS[method[row]]))
        spoilt.marks = [
            replace(mark, outcome=_state(int(method[mark.slot])), method=METHODS[method[mark.slot]])
            if mark.outcome == STAGED
            else mark
            for mark in spoilt.marks
        ]
        matched = staged & (method < UNMATCHED)
        if "social_insurance_no" in frame.columns:
            numbers = pc.cast(frame.columns["social_insurance_no"], pa.int64()).to_numpy()
            spoilt.cards = numbers[matched], person[matched]
        return spoilt


def _state(method: int) -> str:
    return {UNMATCHED: "unmatched", CONFLICT: "conflict"}.get(method, MATCHED)


def _decompose(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def _spread(name: str) -> str:
    return f" {name.replace(' ', '  ')} "


_NAMES: dict[str, Callable[[str], str]] = {
    "name_upper": str.upper,
    "name_decomposed": _decompose,
    "name_spaces": _spread,
}
