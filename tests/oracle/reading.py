"""From a landing folder to the rows that count: deliveries, physical rows, row rules, areas.

Only csv in UTF-8, plain or gzip, is read; anything else raises ValueError, because a wrong oracle is worse than none.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from calendar import monthrange
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
REGISTER = "population_register"
Row = tuple[Any, ...]


# ---------------------------------------------------------------- months


def month(text: str) -> date:
    """The first day of ``YYYY-MM``. Raises ValueError on anything else."""
    if not re.fullmatch(r"\d{4}-\d{2}", text):
        raise ValueError("no month")
    return date(int(text[:4]), int(text[5:]), 1)


def as_of(period: date) -> date:
    """The last day of a month given by its first. Contracts with a cut-off day are not read."""
    return date(period.year, period.month, monthrange(period.year, period.month)[1])


def next_month(period: date) -> date:
    """The first day of the following month."""
    return date(period.year + period.month // 12, period.month % 12 + 1, 1)


# ---------------------------------------------------------------- areas


class Areas:
    """Communes and provinces by day, and what became of them."""

    def __init__(self, folder: Path = CONTRACTS / "codelists") -> None:
        self.rows = _table(folder / "area.csv")
        self.changes = _table(folder / "area_change.csv")
        self.communes: dict[str, list[tuple[date, date, str]]] = defaultdict(list)
        for row in self.rows:
            # Five island districts stand among the communes under three digits: no row can state them.
            if row["level"] == "commune" and len(row["code"]) == 5:
                until = date.fromisoformat(row["valid_to"]) if row["valid_to"] else date.max
                self.communes[row["code"]].append((date.fromisoformat(row["valid_from"]), until, row["parent_code"]))
        self.first_day = min(since for spans in self.communes.values() for since, _, _ in spans)
        self.successor: dict[str, dict[date, dict[str, str]]] = {"commune": {}, "province": {}}
        self.split = {
            (date.fromisoformat(row["effective_date"]), row["old_code"])
            for row in self.changes
            if row["level"] == "commune" and row["kind"] == "split"
        }
        for row in self.changes:
            if row["is_default"] == "1":
                step = self.successor[row["level"]].setdefault(date.fromisoformat(row["effective_date"]), {})
                step[row["old_code"]] = row["new_code"]

    def province(self, commune: str, day: date) -> str | None:
        """The province of a commune on a day (the earliest list before it begins); None for an unknown code."""
        day = max(day, self.first_day)
        for since, until, parent in self.communes.get(commune, ()):
            if since <= day < until:
                return parent
        return None

    def resolve(self, commune: str, version: date, day: date) -> tuple[str, str | None]:
        """(commune, province) that a code sent under a version means on a day: the default successors up to it.

        Reading: a version younger than the day is kept as it is; there is no way back.
        """
        read_on = max(version, self.first_day)
        for effective, step in sorted(self.successor["commune"].items()):
            if version < effective <= day:
                commune = step.get(commune, commune)
                read_on = max(read_on, effective)
        return commune, self.province(commune, read_on)

    def was_split(self, commune: str, version: date, day: date) -> bool:
        """Whether a code sent under a version is, on a day, read as the default successor of a unit that was split."""
        found = False
        for effective, step in sorted(self.successor["commune"].items()):
            if version < effective <= day:
                found = found or (effective, commune) in self.split
                commune = step.get(commune, commune)
        return found

    def province_today(self, province: str, day: date) -> str:
        """Today's province of one in force on a day."""
        for effective, step in sorted(self.successor["province"].items()):
            if day < effective:
                province = step.get(province, province)
        return province


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------- contracts


@dataclass(frozen=True)
class Column:
    """One column of a contract, as far as the rules need it."""

    name: str
    header: str
    kind: str  # id12, code, enum, text, date, timestamptz, integer, numeric
    length: int | None
    scale: int | None
    precision: int | None
    required: bool
    pattern: re.Pattern[str] | None
    values: frozenset[str]
    codelist: str | None
    longest: int
    at_least: Decimal | None
    above: Decimal | None
    at_most: Decimal | None
    below: Decimal | None
    not_after_period: bool
    in_mart: bool


@dataclass(frozen=True)
class Contract:
    """What one sender promises."""

    source: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    sums: tuple[tuple[str, tuple[str, ...]], ...]
    mart: str | None
    commune_column: str | None
    commune_compared: bool
    names: tuple[str, ...] = ()
    at: dict[str, int] = field(default_factory=dict, hash=False, compare=False)
    snapshots: tuple[tuple[date, date], ...] = ()  # of a register: first and last months in which it sends everyone

    def sends_everyone(self, period: date) -> bool:
        """Whether a register's extract of the month is the whole register; else what changed in the month."""
        return any(since <= period <= until for since, until in self.snapshots)

    def value(self, row: Row, name: str) -> Any:
        """A column's value in a row; None where the source has no such column."""
        return row[self.at[name]] if name in self.at else None


def contracts(folder: Path = CONTRACTS) -> dict[str, Contract]:
    """The contracts of calendar months by source; a delivery of another one is unknown here."""
    found = {path.name.removesuffix(".odcs.yaml"): _contract(path) for path in sorted(folder.glob("*.odcs.yaml"))}
    return {source: known for source, known in found.items() if known is not None}


def _custom(node: dict[str, Any]) -> dict[str, Any]:
    return {item["property"]: item.get("value") for item in node.get("customProperties", ())}


def _contract(path: Path) -> Contract | None:
    document = yaml.safe_load(path.read_text("utf-8"))
    table, custom = document["schema"][0], _custom(document)
    if custom.get("cutOffDay"):
        return None
    columns = tuple(_column(node) for node in table["properties"])
    keys = sorted((n["primaryKeyPosition"], n["name"]) for n in table["properties"] if n.get("primaryKey"))
    sums = tuple(
        (rule["implementation"]["sum"]["total"], tuple(rule["implementation"]["sum"]["of"]))
        for rule in table.get("quality", ())
        if rule.get("engine") == "p06"
    )
    names = tuple(column.name for column in columns)
    return Contract(
        source=document["id"],
        columns=columns,
        key=tuple(name for _, name in keys),
        sums=sums,
        mart=custom.get("mart"),
        commune_column=custom.get("communeColumn"),
        commune_compared=custom.get("communeCompared", True),
        names=names,
        at={name: at for at, name in enumerate(names)},
        snapshots=_snapshots(custom.get("registerForm")),
    )


def _snapshots(stated: Any) -> tuple[tuple[date, date], ...]:
    forms = stated if isinstance(stated, list) else [{"form": stated}]
    return tuple(
        (
            month(str(form["since"])) if form.get("since") else date.min,
            month(str(form["until"])) if form.get("until") else date.max,
        )
        for form in forms
        if form["form"] == "snapshot"
    )


def _column(node: dict[str, Any]) -> Column:
    options, custom = node.get("logicalTypeOptions") or {}, _custom(node)
    kind, *sizes = re.findall(r"\w+", node["physicalType"])
    number = {name: None if (v := options.get(name)) is None else Decimal(str(v)) for name in _BOUNDS}
    return Column(
        name=node["name"],
        header=node.get("physicalName") or node["name"],
        kind=kind,
        length=int(sizes[0]) if kind == "code" and sizes else None,
        precision=int(sizes[0]) if kind == "numeric" else None,
        scale=int(sizes[1]) if kind == "numeric" else None,
        required=bool(node.get("required")),
        pattern=re.compile(options["pattern"]) if "pattern" in options and kind != "id12" else None,
        values=frozenset(str(item["value"]) for item in node.get("enum", ())),
        codelist=custom.get("codelist"),
        longest=options.get("maxLength", 10_000),
        at_least=number["minimum"],
        above=number["exclusiveMinimum"],
        at_most=number["maximum"],
        below=number["exclusiveMaximum"],
        not_after_period=custom.get("notAfterPeriod", False),
        in_mart=custom.get("inMart", False),
    )


_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


# ---------------------------------------------------------------- physical rows


@dataclass(frozen=True)
class Record:
    """One record of a file: its first physical line (the first line of the file is 1), its fields, what is unsound."""

    line: int
    fields: tuple[str, ...]
    reasons: frozenset[str]


def records(text: str, width: int, delimiter: str = ",", quote: str = '"') -> Iterator[Record]:
    """The records of a file whose bytes were decoded one by one (latin-1), by the rule on quotes of the interfaces."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    starts, start = [], 0
    for line in lines:
        starts.append(start)
        start += len(line) + 1
    at = 0
    while at < len(lines):
        found = _scan(text, starts[at], delimiter, quote)
        last = at
        if found is not None:
            last = at + text.count("\n", starts[at], found.end)
            if last > at and (
                len(found.fields) != width
                or any(_width_alone(line, delimiter, quote) == width for line in lines[at + 1 : last + 1])
            ):
                found = None
        if found is None:  # only the opening line is quarantined, scanning resumes on the next
            # Reading: the opening line is the record's first one, also when an earlier quoted field of the record
            # had closed on a later line. Text after a closing quote ("abc"d) leaves the quote unclosed.
            last = at
            reasons = {"quote_unclosed"}
            fields: tuple[str, ...] = ()
        else:
            fields = found.fields
            reasons = {"quote_stray"} if found.stray else set()
            if len(fields) != width:  # an empty line is a record of width 1
                reasons.add("width")
        raw = text[starts[at] : starts[last] + len(lines[last])]
        if "\0" in raw:
            reasons.add("nul_byte")
        try:
            raw.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            reasons.add("encoding")
        else:
            fields = tuple(value.encode("latin-1").decode("utf-8") for value in fields)
        yield Record(at + 1, fields, frozenset(reasons))
        at = last + 1


@dataclass(frozen=True)
class _Found:
    fields: tuple[str, ...]
    stray: bool
    end: int


def _scan(text: str, start: int, delimiter: str, quote: str) -> _Found | None:
    """The record beginning at a place; None when a quote is not closed as it should be."""
    fields: list[str] = []
    stray = False
    while True:
        if text.startswith(quote, start):
            value, at = "", start + 1
            while True:
                close = text.find(quote, at)
                if close < 0:
                    return None
                if not text.startswith(quote, close + 1):
                    break
                value += text[at : close + 1]
                at = close + 2
            value += text[at:close]
            end = close + 1
            if not _ends_field(text, end, delimiter):
                return None
        else:
            stops = [stop for mark in (delimiter, "\n") if (stop := text.find(mark, start)) >= 0]
            end = min(stops, default=len(text))
            value = text[start:end]
            if value.endswith("\r") and not text.startswith(delimiter, end):
                value = value[:-1]
            stray = stray or quote in value
        fields.append(value)
        if not text.startswith(delimiter, end):
            return _Found(tuple(fields), stray, end + 1 if text.startswith("\r", end) else end)
        start = end + len(delimiter)


def _ends_field(text: str, at: int, delimiter: str) -> bool:
    rest = text[at : at + 2]
    return rest in ("", "\r") or rest.startswith((delimiter, "\n", "\r\n"))


def _width_alone(line: str, delimiter: str, quote: str) -> int:
    """How many fields a physical line has when read as a record by itself; 0 when a quote stays open in it."""
    found = _scan(line, 0, delimiter, quote)
    return len(found.fields) if found else 0


# ---------------------------------------------------------------- row rules

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_WHOLE = re.compile(r"-?[0-9]+")
_SCIENTIFIC = re.compile(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+")


class Rules:
    """The rules for one row of one source in one period, under one administrative version."""

    def __init__(self, contract: Contract, period: date, version: date, areas: Areas, folder: Path = CONTRACTS) -> None:
        self.contract, self.as_of, self.version = contract, as_of(period), version
        lists = folder / "codelists"
        self.birth_places = {row["code"] for row in _table(lists / "birth_place.csv")}
        self.codes: dict[str, set[str]] = {}
        for column in contract.columns:
            if column.codelist == "commune":
                self.codes["commune"] = {code for code in areas.communes if areas.province(code, version)}
            elif column.codelist:
                self.codes[column.codelist] = {row["code"] for row in _table(lists / f"{column.codelist}.csv")}
        self.lists_shipped = version >= areas.first_day

    def check(self, fields: tuple[str, ...]) -> tuple[Row, frozenset[str]]:
        """(typed values, reasons); fields in the contract's order. One reason per column, plus cross-field rules."""
        values: list[Any] = []
        reasons: set[str] = set()
        for column, text in zip(self.contract.columns, fields, strict=True):
            value, reason = self._value(column, text)
            values.append(value)
            if reason:
                reasons.add(reason)
        row = tuple(values)
        for total, parts in self.contract.sums:
            terms = [self.contract.value(row, name) for name in (total, *parts)]
            if None not in terms and terms[0] != sum(terms[1:]):
                reasons.add("cross_field")
        return row, frozenset(reasons)

    def _value(self, column: Column, text: str) -> tuple[Any, str | None]:
        if text == "":
            return None, "required_missing" if column.required else None
        if column.codelist:
            return self._listed(column, text)
        kind = column.kind
        if kind == "id12":
            return self._number(text)
        if kind == "enum":
            return (text, None) if text in column.values else (None, "unknown_code")
        if kind == "date":
            return self._date(column, text)
        if kind == "timestamptz":
            return _timestamp(text)
        if kind in ("integer", "numeric"):
            return _numeric(column, text)
        if column.length is not None and len(text) != column.length:
            return None, "wrong_length"
        if len(text) > column.longest:
            return None, "too_long"
        if column.pattern and not column.pattern.fullmatch(text):
            return None, "pattern"
        return text, None

    def _listed(self, column: Column, text: str) -> tuple[Any, str | None]:
        if text in self.codes[str(column.codelist)]:
            return text, None
        # Reading: only a code of the right form can be waiting for an older list; a padded one is unknown.
        if column.codelist == "commune" and not self.lists_shipped and re.fullmatch("[0-9]{5}", text):
            return None, "area_list_missing"
        return None, "unknown_code"

    def _number(self, text: str) -> tuple[Any, str | None]:
        if not re.fullmatch("[0-9]{12}", text):
            # Reading: ten or eleven digits or scientific notation are Excel's damage, all else is the structure.
            lost = re.fullmatch("[0-9]{10,11}", text) or _SCIENTIFIC.fullmatch(text)
            return None, "lost_leading_zero" if lost else "id_structure"
        place, century, year = text[:3], int(text[3]), int(text[4:6])
        known = place in self.birth_places or int(place) >= 100
        born = 1900 + 100 * (century // 2) + year
        return (text, None) if known and born <= self.as_of.year else (None, "id_structure")

    def _date(self, column: Column, text: str) -> tuple[Any, str | None]:
        try:
            value = date.fromisoformat(text) if _DATE.fullmatch(text) else None
        except ValueError:
            value = None
        if value is None:
            return None, "type_date"
        if column.not_after_period and value > self.as_of:
            return None, "future_date"
        return value, None


def _timestamp(text: str) -> tuple[Any, str | None]:
    # Reading: seconds may be left out and the offset may be Z, +07:00, +0700 or +07, as ISO 8601 allows.
    if not _TIME.fullmatch(text):
        return None, "type_timestamp"
    try:
        return datetime.fromisoformat(text.replace(",", ".")).astimezone(timezone.utc), None
    except (ValueError, OverflowError):
        return None, "type_timestamp"


def _numeric(column: Column, text: str) -> tuple[Any, str | None]:
    whole = column.kind == "integer"
    wrong = "type_integer" if whole else "type_numeric"
    if not (_WHOLE if whole else _NUMBER).fullmatch(text):
        return None, wrong
    if not whole:
        digits, _, decimals = text.lstrip("-").partition(".")
        # Reading: too many decimals or digits do not fit the type; the range is another matter.
        if len(decimals) > (column.scale or 0) or len(digits.lstrip("0")) > (column.precision or 0) - (
            column.scale or 0
        ):
            return None, wrong
    value = Decimal(text)
    if whole and not -(2**31) <= value < 2**31:
        return None, wrong
    if (
        (column.at_least is not None and value < column.at_least)
        or (column.above is not None and value <= column.above)
        or (column.at_most is not None and value > column.at_most)
        or (column.below is not None and value >= column.below)
    ):
        return None, "out_of_range"
    return (int(value) if whole else value), None


# ---------------------------------------------------------------- deliveries


@dataclass
class Extract:
    """The winning delivery of a source and period, and where each of its rows ended."""

    source: str
    period: date
    revision: int
    version: date
    received: int = 0
    duplicates: int = 0
    staged: dict[tuple[int, int], Row] = field(default_factory=dict)  # (file_no, line) -> typed values
    quarantined: dict[tuple[int, int], frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Delivery:
    manifest: dict[str, Any]
    files: list[list[Record]]  # per file, columns in the contract's order


class Refused(Exception):
    """The delivery does not say of itself what is true."""


def read_landing(landing: Path, by_source: dict[str, Contract], areas: Areas) -> dict[tuple[str, date], Extract]:
    """The winning extract of every source and period that has one."""
    winners = {}
    for source, contract in by_source.items():
        for folder in sorted((landing / source).glob("*/")):
            # Reading: of two contents under one revision the first folder by name is taken (the ledger keeps the one
            # that arrived first; files alone cannot tell). Gate 1 is taken as passed.
            sound = []
            for delivery in sorted(folder.glob("*/")):
                try:
                    sound.append(_verify(delivery, contract))
                except Refused:
                    continue
            if sound:
                best = max(sound, key=lambda delivery: delivery.manifest["revision"])  # the first of equals
                period = month(folder.name)
                winners[source, period] = judge(contract, period, best.manifest, best.files, areas)
    return winners


def _verify(folder: Path, contract: Contract) -> _Delivery:
    """Reads a delivery. Raises Refused at the first mismatch with its manifest."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8-sig"))
        named = [entry["name"] for entry in manifest["files"]]
        sound = (
            manifest["source"] == contract.source == folder.parent.parent.name
            and manifest["period"] == folder.parent.name
            and type(manifest["revision"]) is int
            and manifest["revision"] >= 1
            and manifest["manifest_version"] == 1
        )
        shape = manifest["format"]
        month(manifest["period"])
        date.fromisoformat(manifest["admin_code_version"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Refused from None
    if shape["kind"] != "csv" or shape["encoding"].lower() != "utf-8" or shape["compression"] not in ("none", "gzip"):
        raise ValueError("the oracle reads csv in UTF-8 only")
    present = {path.name for path in folder.iterdir()} - {"manifest.json"}
    if not sound or len(set(named)) != len(named) or set(named) != present:
        raise Refused
    files = []
    for entry in manifest["files"]:
        data = (folder / entry["name"]).read_bytes()
        if len(data) != entry["bytes"] or hashlib.sha256(data).hexdigest() != entry["sha256"].lower():
            raise Refused
        if shape["compression"] == "gzip":
            try:
                data = gzip.GzipFile(fileobj=io.BytesIO(data)).read()
            except (OSError, EOFError, zlib.error):
                raise Refused from None
        rows = list(_ordered(data, contract, shape))
        if len(rows) != entry["rows"]:
            raise Refused
        files.append(rows)
    if not any(files):
        raise Refused
    return _Delivery(manifest, files)


def _ordered(data: bytes, contract: Contract, shape: dict[str, Any]) -> Iterator[Record]:
    """The records of a file without its header, columns in the contract's order. Raises Refused on another header."""
    width = len(contract.columns)
    text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    found = records(text, width, shape.get("delimiter", ","), shape.get("quote", '"'))
    if not shape.get("header", True):
        yield from found
        return
    header = next(found, None)
    wanted = [column.header for column in contract.columns]
    if header is None or header.reasons or sorted(header.fields) != sorted(wanted):
        raise Refused
    order = [header.fields.index(name) for name in wanted]
    for record in found:
        if record.reasons:
            yield record
        else:
            yield Record(record.line, tuple(record.fields[at] for at in order), record.reasons)


def judge(
    contract: Contract,
    period: date,
    manifest: dict[str, Any],
    files: list[list[Record]],
    areas: Areas,
    make: Callable[[Contract, date, date, Areas], Rules] = Rules,
) -> Extract:
    """The row rules in their order: sound, exact duplicates, values, key conflicts."""
    version = date.fromisoformat(manifest["admin_code_version"])
    extract = Extract(contract.source, period, manifest["revision"], version)
    rules = make(contract, period, version, areas)
    seen: set[tuple[str, ...]] = set()
    by_key: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for file_no, rows in enumerate(files, start=1):
        for record in rows:
            place = (file_no, record.line)
            extract.received += 1
            if record.reasons:
                extract.quarantined[place] = record.reasons
                continue
            if record.fields in seen:
                extract.duplicates += 1
                continue
            seen.add(record.fields)
            row, reasons = rules.check(record.fields)
            if reasons:
                extract.quarantined[place] = reasons
                continue
            extract.staged[place] = row
            if contract.key:
                # Reading: keys are compared as text; "1" and "01" in a numeric key column are two keys.
                by_key[tuple(record.fields[contract.at[name]] for name in contract.key)].append(place)
    for places in by_key.values():
        if len(places) > 1:
            for place in places:
                del extract.staged[place]
                extract.quarantined[place] = frozenset({"key_conflict"})
    return extract
