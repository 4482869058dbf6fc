"""Rows of a source that nobody wrote a generator for: what its contract promises, filled with the people of the country.

Everything follows from the contract: types, enumerations, code lists, ranges, patterns, key, period. A contract may
say more in ``synthetic`` (below ``customProperties`` of the document or of a column), where a plain draw would not do:

document: ``perCitizen`` (share of the citizens who have a row), ``ages`` (from, up to and including), ``born`` and
``died`` (share of those who were born or died in the period who have a row beside them), ``perProvince`` (rows in each),
``units`` (true: one row for each district, from July 2025 for each commune).

column: ``shares`` (value: share), ``byAge`` ([[age below, value or shares], …]), ``by`` (column: {value: value or
shares}; the column may be ``who``: newborn, deceased, other), ``where`` (column: values; elsewhere ``otherwise``, or
nothing), ``filled`` (share of an optional column), ``after`` (a date column) with ``days`` (from, to) and ``ahead``
(true: also beyond the period), ``since`` (first day), ``life`` (true: the day of birth or death), ``range`` (from, to),
``partOf`` (a number column), ``distinct`` (so many values), ``within`` (an enumerated column: values of its own for each
of its values), ``unique``.

A state is the same month after month but for what comes to be; events are drawn anew for each period.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from p06 import codelist
from p06.contract import IDENTITY, Column, Contract
from p06.errors import UsageError
from p06.synth import text
from p06.synth.areas import EARLIEST, REFORM
from p06.synth.chance import Ints, Mask, below, serial, share
from p06.synth.frame import Frame, sector_frame
from p06.synth.population import DECEASED, SECONDS, Country, day
from p06.synth.text import NONE

WHO = ("newborn", "deceased", "other")
LEVELS = ("district", "commune")  # of units, before the reform and after
_OF_ROWS = frozenset({"perCitizen", "ages", "born", "died", "perProvince", "units"})
_OF_COLUMNS = frozenset(
    {"shares", "byAge", "by", "where", "otherwise", "filled", "after", "days", "ahead", "since", "life", "range"}
    | {"partOf", "distinct", "within", "unique"}
)
_STATE, _EVENTS, _ALONE = 0.5, 0.05, 0.01  # rows per citizen when nothing is said: states, events, without people
_FEWEST = 20
_PER_PROVINCE = 12
_SINCE, _UNTIL = date(2019, 1, 1), date(2028, 1, 1)  # when what a state tells of came to be, or will
_FILLED = 0.8
_CHANGES = 900  # days from one change of a row of a state to its next, when no date of its own tells
_DAYS = (0, 60)
_DISTINCT = 40
_SERIAL = 10  # digits
_MOST = 1000  # above the least, of a number without an upper bound
_ANY = "ABCDEGHKLMNPQRSTUVXY0123456789"


def frame(country: Country, contract: Contract) -> Frame:
    """The rows of one period. Raises UsageError P06-SYNTH-008 when a ``synthetic`` of the contract makes no sense."""
    return _Rows(country, contract).frame()


class _Rows:
    """Columns of one extract; each is made when it is asked for, so that one may rest on another."""

    def __init__(self, country: Country, contract: Contract) -> None:
        self.country, self.contract = country, contract
        for at, stated, known in (
            (None, contract.synthetic, _OF_ROWS),
            *((column.name, column.synthetic, _OF_COLUMNS) for column in contract.columns),
        ):
            for word in stated:
                if word not in known:
                    raise self._wrong(at, word)
        self.own = contract.synthetic
        self.first = day(contract.first_day(country.period))
        self.last = day(country.period.as_of(contract.cut_off_day))
        events = contract.kind == "events"
        self.purpose = f"{contract.source} {country.period}" if events else contract.source
        self.events = events
        self._cells: dict[str, pa.Array] = {}
        self._days: dict[str, Ints] = {}
        self._picked: dict[str, tuple[list[str], Ints]] = {}
        self._numbers: dict[str, Ints] = {}
        self.index, self.person = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.unit: list[tuple[str, str]] | None = None  # province and code of each row that stands for an area
        self._found()

    def frame(self) -> Frame:
        """All columns of the contract."""
        names = [column.name for column in self.contract.columns]
        columns = {name: self.cell(name) for name in names if name not in IDENTITY and name != "updated_at"}
        if not self.contract.has_identity:
            columns["updated_at"] = text.stamps(self._updated())
            nobody = np.zeros(len(self.index), np.int64)
            return Frame({name: columns[name] for name in names}, nobody, nobody - 1, nobody.copy())
        compared = self.contract.compared_commune
        commune = self._commune() if compared in names else None
        return sector_frame(self.country, self.contract.source, self.person, self._updated(), columns, commune=commune)

    # ---- which rows

    def _found(self) -> None:
        people, seed = self.country.people, self.country.seed
        if self.contract.has_identity:
            everyone = np.arange(len(people))
            rate = float(self.own.get("perCitizen", _EVENTS if self.events else _STATE))
            able, lot = people.resident.copy(), share(seed, self.purpose, everyone)
            if "ages" in self.own:
                low, high = self.own["ages"]
                age = people.age(self.last)
                able &= (age >= low) & (age <= high)
            chosen = able & (lot < rate)
            born = (people.born >= self.first) & (people.born <= self.last) & ~people.removed
            died = (people.status == DECEASED) & (people.died >= self.first) & (people.died <= self.last)
            for word, those in (("born", born), ("died", died)):
                if word in self.own:
                    chosen = np.where(those, share(seed, f"{self.purpose} {word}", everyone) < self.own[word], chosen)
            if able.any() and not chosen.any():  # of few people one: a delivery without a row is refused
                chosen[np.where(able, lot, 2).argmin()] = True
            self._keep(np.flatnonzero(chosen))
        elif self.own.get("units"):
            self.unit = _units(self.country.period.as_of())
            self._keep(np.arange(len(self.unit)))
        elif self.contract.province_column:
            each = int(self.own.get("perProvince", _PER_PROVINCE))
            provinces = sorted(codelist.load(codelist.PROVINCE).codes(self._version()))
            self.unit = [(province, f"{number:05d}") for province in provinces for number in range(each)]
            self._keep(np.arange(len(self.unit)))
        else:
            rate = float(self.own.get("perCitizen", _ALONE))
            self._keep(np.arange(max(int(self.country.base * rate), _FEWEST)))
        begins = next((column for column in self._dates() if not self._after(column)), None)
        if begins is not None and begins.required and not self.events:
            there = self.days(begins.name) <= self.last
            self._keep(self.index[there])

    def _keep(self, index: Ints) -> None:
        self.index = np.asarray(index, np.int64)
        self.person = self.index
        for made in (self._cells, self._days, self._picked, self._numbers):
            made.clear()

    def _draw(self, name: str, word: str = "") -> np.ndarray[Any, np.dtype[np.float64]]:
        return share(self.country.seed, f"{self.purpose} {name} {word}".rstrip(), self.index)

    def _version(self) -> date:
        return max(self.country.areas.version, codelist.load(codelist.PROVINCE).first_day)

    def _wrong(self, column: str | None, word: str) -> UsageError:
        return UsageError("P06-SYNTH-008", source=self.contract.source, column=column, word=word)

    # ---- columns

    def column(self, name: str, by: str) -> Column:
        """A column another one names. Raises UsageError P06-SYNTH-008."""
        try:
            return self.contract.column(name)
        except KeyError:
            raise self._wrong(by, name if re.fullmatch("[a-z_0-9]+", name) else "column") from None

    def cell(self, name: str) -> pa.Array:
        """The text of a column, null where it is empty."""
        if name not in self._cells:
            self._cells[name] = self._made(self.contract.column(name))
        return self._cells[name]

    def _made(self, column: Column) -> pa.Array:
        if column.name == self.contract.commune_column or column.codelist == codelist.COMMUNE:
            return text.fixed(self._commune(), codelist.COMMUNE_WIDTH)
        if column.name == self.contract.province_column and self.unit is not None:
            return self._of_units(0)
        if column.kind == "date":
            return text.days(self.days(column.name))
        if column.kind == "timestamp":
            found = self.days(column.name)
            return text.stamps(np.where(found == NONE, -1, found * SECONDS + self._clock()))
        if column.kind in ("integer", "numeric"):
            return self._blank(column, self._number_text(column))
        if column.kind == "enum" or column.codelist is not None:
            values, chosen = self.picked(column.name)
            return self._blank(column, text.labels(values, chosen))
        return self._blank(column, self._code(column))

    def _blank(self, column: Column, cells: pa.Array) -> pa.Array:
        """Null, or what stands ``otherwise``, where the column is not filled."""
        if "where" in column.synthetic:
            other = column.synthetic.get("otherwise")
            there = self._where(column)
            cells = pc.if_else(pa.array(there), cells, pa.scalar(None if other is None else str(other), pa.string()))
        if column.required:
            return cells
        return text.blank(cells, self._draw(column.name, "filled") >= float(column.synthetic.get("filled", _FILLED)))

    def _where(self, column: Column) -> Mask:
        found = np.ones(len(self.index), bool)
        for name, values in column.synthetic.get("where", {}).items():
            found &= self._is(name, map(str, values), column.name)
        return found

    def _is(self, name: str, values: Iterable[str], by: str) -> Mask:
        if name == "who":
            return np.isin(self._who(), [WHO.index(value) for value in values if value in WHO])
        self.column(name, by)
        # what the cell says in the end, when a condition of its own has changed it
        return np.asarray(pc.is_in(self.cell(name), pa.array(list(values))).to_numpy(zero_copy_only=False), bool)

    def _who(self) -> Ints:
        if not self.contract.has_identity:
            return np.full(len(self.index), 2)
        people = self.country.people
        dead = people.status[self.person] == DECEASED
        young = (people.born[self.person] >= self.first) & (people.born[self.person] <= self.last)
        return np.select([dead, young], [1, 0], 2)

    def picked(self, name: str) -> tuple[list[str], Ints]:
        """The values of an enumeration or code list, and which one each row has."""
        if name not in self._picked:
            self._picked[name] = self._pick(self.contract.column(name))
        return self._picked[name]

    def _pick(self, column: Column) -> tuple[list[str], Ints]:
        values = list(column.values) or sorted(self._listed(column))
        stated, lot = column.synthetic, self._draw(column.name)
        if self.own.get("units") and set(LEVELS) == set(values):
            level = LEVELS[self.country.period.as_of() >= REFORM]
            return values, np.full(len(self.index), values.index(level))
        sibling = next((one for one in self._dates() if one.name == f"{column.name}_on" and not one.required), None)
        if set(values) == {"yes", "no"} and sibling is not None and not {"by", "byAge"} & set(stated):
            return values, np.where(self.days(sibling.name) != NONE, values.index("yes"), values.index("no"))

        def drawn(shares: Any) -> Ints:
            return _weighed(values, shares, lot, lambda word: self._wrong(column.name, word))

        found = drawn(stated.get("shares"))
        for other, mapping in stated.get("by", {}).items():
            for value, shares in mapping.items():
                found = np.where(self._is(other, [str(value)], column.name), drawn(shares), found)
        if "byAge" in stated and self.contract.has_identity:
            age, younger = self._age(), -1
            for limit, shares in stated["byAge"]:
                found = np.where((age > younger) & (age < limit), drawn(shares), found)
                younger = limit - 1
        return values, found

    def _listed(self, column: Column) -> frozenset[str]:
        found = codelist.load(str(column.codelist))
        on = self._version() if column.codelist == codelist.PROVINCE else date(1970, 1, 1) + timedelta(self.last)
        return found.codes(on)

    def _age(self) -> Ints:
        """Full years on the day of the row's first date, else on the last day of the period."""
        people, on = self.country.people, np.full(len(self.index), self.last)
        dates = self._dates()
        if dates and dates[0].required:
            on = self.days(dates[0].name)
        born = people.born[self.person].astype("datetime64[D]")
        today = on.astype("datetime64[D]")
        months = (today.astype("datetime64[M]") - born.astype("datetime64[M]")).astype(np.int64)
        within = [
            (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) for days in (born, today)
        ]
        return np.asarray((months - (within[0] > within[1])) // 12, np.int64)

    # ---- dates

    def _dates(self) -> list[Column]:
        return [
            column
            for column in self.contract.columns
            if column.kind in ("date", "timestamp") and column.name not in IDENTITY and column.name != "updated_at"
        ]

    def _after(self, column: Column) -> str | None:
        """The column of the day this one follows: the one it names, else the date before it."""
        if "after" in column.synthetic:
            return self.column(str(column.synthetic["after"]), column.name).name
        if "since" in column.synthetic:
            return None
        names = [one.name for one in self._dates()]
        place = names.index(column.name)
        return names[place - 1] if place else None

    def days(self, name: str) -> Ints:
        """The days of a date column; ``NONE`` where it is empty."""
        if name not in self._days:
            self._days[name] = self._day(self.contract.column(name))
        return self._days[name]

    def _day(self, column: Column) -> Ints:
        stated, lot, people = column.synthetic, self._draw(column.name), self.country.people
        after = self._after(column)
        if after is not None:
            low, high = stated.get("days", _DAYS)
            before = self.days(after)
            found = before + low + (lot * (high - low + 1)).astype(np.int64)
        else:
            low, high = self.first, self.last
            if not self.events or "since" in stated:
                low = day(date.fromisoformat(str(stated.get("since", _SINCE))))
                high = max(day(_UNTIL), low) if not self.events else self.last
            before = np.zeros(len(self.index), np.int64)
            found = low + (lot * (high - low + 1)).astype(np.int64)
        if self.contract.has_identity:
            found = np.maximum(found, people.born[self.person] + (0 if self.events else 1))
            if stated.get("life"):
                who = self._who()
                found = np.where(
                    who == 0, people.born[self.person], np.where(who == 1, people.died[self.person], found)
                )
        told = "where" in stated
        if after is not None and not stated.get("ahead"):
            found = (
                np.minimum(found, self.last) if column.required or told else np.where(found > self.last, NONE, found)
            )
        elif after is None and not column.required:
            found = np.where(found > self.last, NONE, found)
        found = np.where(before == NONE, NONE, found) if after is not None else found
        if not column.required:
            empty = ~self._where(column) if told else np.zeros(len(self.index), bool)
            empty |= self._draw(column.name, "filled") >= float(stated.get("filled", 1.0 if told else _FILLED))
            found = np.where(empty, NONE, found)
        return np.asarray(found, np.int64)

    def _updated(self) -> Ints:
        """When the row last changed, as seconds of local time: on its last day, else some day up to the last."""
        dates = [np.where(found > self.last, NONE, found) for found in (self.days(one.name) for one in self._dates())]
        lot = self._draw("updated")
        if self.events:
            drawn = self.first + (lot * (self.last - self.first + 1)).astype(np.int64)
        else:  # the same day in every month until the row changes again
            drawn = self.last - (self.last - (lot * _CHANGES).astype(np.int64)) % _CHANGES
        latest = np.maximum.reduce(dates) if dates else drawn
        return np.asarray(np.where(latest == NONE, drawn, latest) * SECONDS + self._clock(), np.int64)

    def _clock(self) -> Ints:
        return below(self.country.seed, f"{self.purpose} clock", self.index, 9 * 3600) + 8 * 3600

    # ---- areas, numbers, codes

    def _commune(self) -> Ints:
        people, seed = self.country.people, self.country.seed
        if not self.contract.has_identity:
            where = below(seed, f"{self.contract.source} where", self.index, max(self.country.base, 1))
            return people.commune[where]
        here = people.commune[self.person]
        if self.contract.compared_commune:
            return here
        away = self._draw("away") < 0.1
        return np.where(away, here[below(seed, f"{self.purpose} where", self.index, max(len(here), 1))], here)

    def _of_units(self, place: int) -> pa.Array:
        assert self.unit is not None
        return text.labels([unit[place] for unit in self.unit], self.index)

    def numbers(self, name: str) -> Ints:
        """A number column, in units of its last decimal."""
        if name not in self._numbers:
            self._numbers[name] = self._number(self.contract.column(name))
        return self._numbers[name]

    def _number(self, column: Column) -> Ints:
        stated, lot, scale = column.synthetic, self._draw(column.name), 10 ** (column.scale or 0)
        if "partOf" in stated:
            whole = self.numbers(self.column(str(stated["partOf"]), column.name).name)
            part = 0.05 + 0.9 * lot
            for other, mapping in stated.get("by", {}).items():
                for value, of_it in mapping.items():
                    part = np.where(self._is(other, [str(value)], column.name), float(of_it), part)
            return np.asarray(np.floor(whole * part), np.int64)
        low = int(column.minimum or 0) + int(column.minimum_exclusive)
        most = low + _MOST if column.maximum is None or column.maximum > 10**9 else int(column.maximum)
        low, high = stated.get("range", (low, most))
        return np.asarray(low * scale + (lot**2 * (high - low + 1)).astype(np.int64) * scale, np.int64)

    def _number_text(self, column: Column) -> pa.Array:
        if column.name in self._summed():
            return self._sum_text(column)
        return _plain(self.numbers(column.name), column)

    def _summed(self) -> Mapping[str, tuple[str, ...]]:
        return {rule.left: rule.right for rule in self.contract.rules}

    def _sum_text(self, column: Column) -> pa.Array:
        parts = [self.contract.column(name) for name in self._summed()[column.name]]
        scale = column.scale or 0
        total = sum(
            (self.numbers(one.name) * 10 ** (scale - (one.scale or 0)) for one in parts),
            np.zeros(len(self.index), np.int64),
        )
        return _plain(total, column)

    def _code(self, column: Column) -> pa.Array:
        """Free text and codes: a number of its own for the key, else one of few values; of the contract's shape."""
        stated, seed = column.synthetic, self.country.seed
        if column.kind == "id12":
            other = below(seed, f"{self.purpose} {column.name}", self.index, len(self.country.people))
            return text.fixed(self.country.people.citizen_id[other], 12)
        if self.unit is not None and column.name in self.contract.key:
            return self._of_units(1) if self.own.get("units") else self._shaped(column, self._within_province(column))
        if stated.get("unique") or column.name == self._serial_key():
            places = min(column.length or _SERIAL, column.max_length, 18)
            since = self.country.period.year * 12 + self.country.period.month - 2020 * 12
            number = self.index + (max(since, 0) * 10 ** min(7, places - 3) if self.events else 0)
            return self._shaped(column, serial(seed, f"{self.contract.source} {column.name}", number, places), places)
        few = int(stated.get("distinct", _DISTINCT))
        chosen = (self._draw(column.name) * few).astype(np.int64)
        if "within" in stated:
            _, group = self.picked(self.column(str(stated["within"]), column.name).name)
            chosen = group * few + chosen
        return self._shaped(column, chosen + 1)

    def _serial_key(self) -> str | None:
        keys = [self.contract.column(name) for name in self.contract.key]
        return next((column.name for column in keys if column.kind in ("text", "code") and not column.codelist), None)

    def _within_province(self, column: Column) -> Ints:
        assert self.unit is not None
        return np.array([int(code) for _, code in self.unit], np.int64)[self.index] + 1

    def _shaped(self, column: Column, number: Ints, places: int | None = None) -> pa.Array:
        if column.pattern is not None:
            return _of_pattern(column.pattern, number)
        if column.length is not None:
            return text.fixed(number % 10**column.length, column.length)
        letters = "".join(part[0] for part in column.name.split("_")).upper()
        return text.glue(letters, text.fixed(number, places or 4))


def _plain(number: Ints, column: Column) -> pa.Array:
    scale = column.scale or 0
    if not scale:
        return text.plain(number)
    return text.glue(text.plain(number // 10**scale), ".", text.fixed(number % 10**scale, scale))


def _weighed(values: list[str], shares: Any, lot: np.ndarray[Any, Any], wrong: Callable[[str], UsageError]) -> Ints:
    """One of the values for each number in [0, 1): by its share; the first ones are the more frequent when none is said."""
    if isinstance(shares, Mapping):
        unknown = [str(name) for name in shares if str(name) not in values]
        if unknown or sum(map(float, shares.values())) <= 0:
            raise wrong("shares")
        stated = {str(name): float(part) for name, part in shares.items()}
        weights = np.array([stated.get(value, 0.0) for value in values])
    elif shares is not None:
        if str(shares) not in values:
            raise wrong("shares")
        weights = np.array([float(value == str(shares)) for value in values])
    else:
        weights = np.arange(len(values), 0, -1, dtype=float)
    limits = np.cumsum(weights) / weights.sum()
    return np.asarray(np.minimum(np.searchsorted(limits, lot, side="right"), len(values) - 1), np.int64)


def _units(on: date) -> list[tuple[str, str]]:
    """Province and code of every district, from the reform on of every commune."""
    if on < REFORM:
        rows = [row for row in codelist.areas() if row["level"] == codelist.COMMUNE and row["district_code"]]
        there = {
            (row["parent_code"], row["district_code"])
            for row in rows
            if row["valid_from"] <= EARLIEST.isoformat() < (row["valid_to"] or "9999")
        }
        return sorted(there)
    return sorted((province, commune) for commune, province in codelist.provinces(on).items())


def _of_pattern(pattern: str, numbers: Ints) -> pa.Array:
    """A text the pattern matches for each number; different ones for different numbers as far as the pattern has room."""
    from re import _parser  # type: ignore[attr-defined]

    tree = _parser.parse(pattern)
    known: dict[int, str] = {}
    for number in np.unique(numbers).tolist():
        left = [number]

        def turn(choices: int, left: list[int] = left) -> int:
            left[0], chosen = divmod(left[0], choices)
            return chosen

        known[number] = "".join(_matching(tree, turn))
    return pa.array([known[number] for number in numbers.tolist()], pa.string())


def _matching(tree: Iterable[Any], turn: Callable[[int], int]) -> Iterable[str]:
    for name, argument in tree:
        word = str(name)
        if word == "LITERAL":
            yield chr(argument)
        elif word == "ANY":
            yield _ANY[turn(len(_ANY))]
        elif word == "IN":
            letters = _letters(argument)
            yield letters[turn(len(letters))]
        elif word == "BRANCH":
            yield from _matching(argument[1][turn(len(argument[1]))], turn)
        elif word == "SUBPATTERN":
            yield from _matching(argument[3], turn)
        elif word in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, part = argument
            for _ in range(least + turn(min(int(most), least + 3) - least + 1)):
                yield from _matching(part, turn)


def _letters(parts: Iterable[Any]) -> str:
    found = ""
    for name, argument in parts:
        word = str(name)
        if word == "LITERAL":
            found += chr(argument)
        elif word == "RANGE":
            found += "".join(map(chr, range(argument[0], argument[1] + 1)))
        elif word == "CATEGORY":
            found += "0123456789" if "DIGIT" in str(argument) else _ANY
        elif word == "NEGATE":
            return _ANY
    return found or _ANY
