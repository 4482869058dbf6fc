"""The suites of the gates: what each check asks, how much it weighs and who answers for it.

``expectations/sources/<source>.yaml`` judge an extract, ``expectations/marts/<mart>.yaml`` a build; both may include
lists of ``expectations/shared/``. ``expectations/waivers.yaml`` names what may be missing or fail, and until when.
What a mart's suite compares with earlier months it profiles (``profile``): counts by a few codes, kept per build.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from p06 import contract
from p06.dimension import Dimension
from p06.errors import P06Error
from p06.history import Comparison
from p06.period import Period, months
from p06.settings import settings

Severity = Literal["block", "warn", "info"]
Kind = Literal["source", "mart"]

IDENTITY = frozenset(
    {"citizen_id", "previous_citizen_id", "old_id", "full_name", "birth_date", "death_date", "citizen_token"}
    | {"record_key", "student_code", "visit_id", "insurance_card_no", "social_insurance_no", "customer_ref"}
    | {"certificate_serial", "raw"}
)

# What these observe is a count or a share, whatever the column.
COUNTING = frozenset(
    {"expect_table_row_count_to_be_between", "expect_column_to_exist", "expect_column_values_to_not_be_null"}
    | {"expect_column_values_to_be_null", "expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"}
    | {"expect_column_values_to_be_between", "expect_column_values_to_be_in_set"}
    | {"expect_column_values_to_not_be_in_set", "expect_column_values_to_match_regex"}
    | {"expect_column_value_lengths_to_equal", "expect_column_value_lengths_to_be_between"}
    | {"expect_column_pair_values_a_to_be_greater_than_b", "expect_column_pair_values_to_be_equal"}
    | {"expect_column_proportion_of_non_null_values_to_be_between"}
    | {"expect_column_proportion_of_unique_values_to_be_between", "expect_column_unique_value_count_to_be_between"}
    | {"expect_column_values_to_be_citizen_ids", "expect_column_values_to_be_health_cards"}
    | {"expect_column_values_to_be_comparable_names"}
)
# What these observe comes from the values themselves: never on a column of IDENTITY.
REVEALING = frozenset(
    f"expect_column_{name}_to_be_between" for name in ("min", "max", "mean", "median", "sum", "stdev")
)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PLACE = re.compile(r"\{([^{}]*)\}")
_REVEALED = re.compile(
    r"\b(?:min|max|avg|sum|mode|any_value|string_agg|array_agg|first_value|last_value|percentile_\w+)\s*\(\s*"
    rf"(?:distinct\s+)?(?:\w+\.)?(?:{'|'.join(sorted(IDENTITY))})\b",
    re.IGNORECASE,
)
_IDENTIFYING = re.compile(rf"\b(?:{'|'.join(sorted(IDENTITY))})\b", re.IGNORECASE)
_DAY_OF = re.compile(r"\bextract\s*\(\s*(?:day|month)\s+from\s+\w+\s*\)", re.IGNORECASE)  # shows nobody
_LITERAL = re.compile(r"'[^']*'")
_SOURCE_PLACES = frozenset({"rows", "extract", "failed_rows", "first_day", "as_of", "year", "source", "provinces"})
_MART_PLACES = frozenset({"rows", "first_day", "as_of", "source", "build_id", "state", "register_form"})
_MARTS = re.compile(
    r"(?:(?:previous|released)\.)?(?:rows|fct_\w+|citizen_month|indicator|reconciliation|match_summary)"
)
_CONTRACT_LIMITS = ("contract.min_rows", "contract.max_rows")
_VIETNAM = timezone(timedelta(hours=7))


@dataclass(frozen=True)
class Measure:
    """What a mart's profile counts: rows (or the sum of ``value``) per ``key``, of the rows ``where`` holds.

    ``of`` staged counts the rows of the extract the mart was made of. ``area`` says that the keys are provinces, which
    a later month reads as their successors.
    """

    measure: str
    key: str | None = None
    value: str | None = None
    where: str | None = None
    of: Literal["rows", "staged"] = "rows"
    area: bool = False


@dataclass(frozen=True)
class Check:
    """One question a gate asks. Exactly one of ``expectation``, ``measure``, ``figure``, ``sql``, ``history`` is set.

    ``expectation`` is a Great Expectations type with ``kwargs``, asked of the rows; the next three are SQL giving one
    number that must lie between ``min`` and ``max``: ``measure`` an aggregate over the rows, ``figure`` an expression
    over the extract's counts, ``sql`` a query. ``history`` is a number too, of a comparison with published months
    (``history.Comparison``), and never blocks. ``unless`` is a condition under which the check passes anyway. ``day``,
    beside a ``figure``, gives a day over the extract's counts that is shown with a figure that failed; ``names``, beside
    any number, a query for the reasons, codes or provinces that are to blame. ``approval``: a month in which this warns
    waits for a quality officer.
    """

    id: str
    title: Mapping[str, str]  # {"en": …, "vi": …}
    dimension: Dimension
    severity: Severity
    reason: Mapping[str, str]  # {"en": …, "vi": …}; in the file a plain text stands for both
    owner: str = ""
    expectation: str | None = None
    kwargs: Mapping[str, Any] | None = None
    measure: str | None = None
    figure: str | None = None
    sql: str | None = None
    min: float | str | None = None
    max: float | str | None = None
    unless: str | None = None
    if_null: Literal["pass", "fail"] = "fail"
    day: str | None = None
    approval: bool = False
    names: str | None = None
    history: Comparison | None = None

    def threshold(self, limits: Mapping[str, int | None] | None = None) -> str | None:
        """What must hold, in figures; ``limits`` gives the numbers a contract states for its names."""
        if self.expectation:
            stated = {name: value for name, value in (self.kwargs or {}).items() if not name.startswith("column")}
            said = ", ".join(f"{name} {value}" for name, value in stated.items()) or "100 %"
        else:
            low, high = (
                (limits.get(limit) if limits is not None else limit) if isinstance(limit, str) else limit
                for limit in (self.min, self.max)
            )
            said = " … ".join(
                part for part in (low is not None and f"≥ {low}", high is not None and f"≤ {high}") if part
            )
        return (f"{said or '–'}, unless {self.unless}" if self.unless else said) or None


@dataclass(frozen=True)
class Suite:
    """The checks of one source or mart; ``of_source`` is the source a fact mart is made of."""

    kind: Kind
    name: str
    checks: tuple[Check, ...]
    of_source: str | None = None
    profile: tuple[Measure, ...] = ()


@dataclass(frozen=True)
class Waiver:
    """A known fault let pass: a source that will not come (``check`` is None), or a check that fails.

    ``until`` is the last calendar day (Vietnam) on which it may be used; ``count`` the most rows or the highest
    figure it covers (None: any).
    """

    source: str | None
    mart: str | None
    check: str | None
    periods: frozenset[Period]
    reason: str
    owner: str
    until: date
    count: float | None = None

    def in_force(self, today: date | None = None) -> bool:
        """Whether its end has not passed."""
        return (_today() if today is None else today) <= self.until

    @property
    def named(self) -> str:
        """Owner, end and reason in one line, as shown wherever it was used."""
        return f"{self.owner}, {self.until}: {self.reason}"


class SuiteError(P06Error):
    """A suite or the list of waivers cannot be used as it stands."""


def load_source(source: str) -> Suite:
    """The suite of a source. Raises SuiteError P06-GATE-001 .. 006."""
    return _load("source", source)


def load_mart(mart: str) -> Suite:
    """The suite of a mart. Raises SuiteError P06-GATE-001 .. 006."""
    return _load("mart", mart)


def load_all() -> tuple[Suite, ...]:
    """Every suite: of the sources that have a contract, then of the marts, sorted by name. Raises SuiteError."""
    return (*(load_source(source) for source in sorted(contract.load_all())), *(load_mart(mart) for mart in marts()))


def marts() -> tuple[str, ...]:
    """The marts that have a suite, sorted: those with a file, and the fact mart of every contract; none without any file.

    The fact of a source whose contract is gone is built by nobody: its file waits.
    """
    written = {path.stem: path for path in (settings().expectations / "marts").glob("*.yaml")}
    facts = _facts().keys()
    asked = {mart for mart, path in written.items() if mart in facts or not _waits(path)}
    return tuple(sorted(asked | facts)) if written else ()


def _waits(path: Path) -> bool:
    """Whether a suite is that of a source without a contract; one that cannot be read waits for nothing, and blocks."""
    try:
        stated = _read(path, "P06-GATE-002")
    except SuiteError:
        return False
    source = stated.get("of_source") if isinstance(stated, dict) else None
    return isinstance(source, str) and source not in contract.load_all()


def marts_of(period: Period, received: Container[str]) -> tuple[str, ...]:
    """The marts gate 2 judges in a build of the period: not the facts of sources neither ``received`` nor due."""
    idle = {contract.load(source).mart for source in contract.left_out(period, received)}
    return tuple(mart for mart in marts() if mart not in idle)


def waivers() -> tuple[Waiver, ...]:
    """Every waiver, in force or not. Raises SuiteError P06-GATE-007."""
    path = settings().expectations / "waivers.yaml"
    if not path.exists():
        return ()
    stated = _read(path, "P06-GATE-007")
    if isinstance(stated, dict):
        if set(stated) - {"waivers"}:
            raise SuiteError("P06-GATE-007", file=path.name)
        stated = stated.get("waivers")
    if not isinstance(stated or [], list):
        raise SuiteError("P06-GATE-007", file=path.name)
    return tuple(_waiver(entry, number) for number, entry in enumerate(stated or [], 1))


def source_waived(source: str, period: Period, today: date | None = None) -> Waiver | None:
    """The waiver under which a period may be released without this source, or None."""
    return next(
        (w for w in waivers() if w.check is None and w.source == source and period in w.periods and w.in_force(today)),
        None,
    )


def check_waived(
    kind: Kind, name: str, check: str, period: Period, figure: float | None, too_low: bool = False
) -> Waiver | None:
    """The waiver that covers a failed check: in force, for this period, its count not exceeded.

    Of a figure that is too low (``too_low``) the count is the lowest it covers, otherwise the highest.
    """
    for waiver in _waivers_of(kind, name, check, period):
        if waiver.in_force() and _covers(waiver, figure, too_low):
            return waiver
    return None


def waiver_lapsed(
    kind: Kind, name: str, check: str, period: Period, figure: float | None, too_low: bool = False
) -> str | None:
    """Why the waivers of a failed check do not cover it: the last one ``expired`` or ``exceeded``; None without any."""
    for waiver in reversed(_waivers_of(kind, name, check, period)):
        if not waiver.in_force():
            return f"expired: {waiver.named}"
        if not _covers(waiver, figure, too_low):
            return f"exceeded {waiver.count:g}: {waiver.named}"
    return None


def _waivers_of(kind: Kind, name: str, check: str, period: Period) -> list[Waiver]:
    return [
        waiver
        for waiver in waivers()
        if waiver.check == check
        and (waiver.source if kind == "source" else waiver.mart) == name
        and period in waiver.periods
    ]


def _covers(waiver: Waiver, figure: float | None, too_low: bool) -> bool:
    if waiver.count is None:
        return True
    return figure is not None and (figure >= waiver.count if too_low else figure <= waiver.count)


def key(kind: Kind, names: Iterable[str]) -> str:
    """Hash of the files and waivers that decide about these sources or marts."""
    digest = hashlib.sha256()
    folder = settings().expectations
    names = sorted(names)
    shared = sorted((folder / "shared").glob("*.yaml"))
    for path in [*(folder / f"{kind}s" / f"{name}.yaml" for name in names), *shared]:
        digest.update(f"{path.parent.name}/{path.name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest() if path.exists() else b"absent")
    try:
        decisive = [w for w in waivers() if w.check and (w.source if kind == "source" else w.mart) in names]
        digest.update(repr([_content(waiver) for waiver in decisive]).encode())
    except SuiteError:
        digest.update((folder / "waivers.yaml").read_bytes())
    return digest.hexdigest()


def _content(waiver: Waiver) -> list[Any]:
    values = [getattr(waiver, field.name) for field in fields(waiver)]
    return [sorted(map(str, value)) if isinstance(value, frozenset) else str(value) for value in values]


def _today() -> date:
    """The day a waiver's end is measured against; no figure and no row depends on it."""
    return datetime.now(_VIETNAM).date()


def _read(path: Path, code: str) -> Any:
    try:
        return yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise SuiteError(code, file=path.name, line=mark and mark.line + 1) from None


def _load(kind: Kind, name: str) -> Suite:
    folder = settings().expectations
    path = folder / f"{kind}s" / f"{name}.yaml"
    if kind == "mart" and not path.exists() and name in _facts():
        return _built(kind, name, _plain_fact(_facts()[name]), path.name)
    if not _NAME.fullmatch(name) or not path.exists():
        where: dict[str, Any] = {str(kind): name if _NAME.fullmatch(name) else None}
        raise SuiteError("P06-GATE-001", **where)
    return _built(kind, name, _mapping(_read(path, "P06-GATE-002"), path.name), path.name)


def _facts() -> dict[str, contract.Contract]:
    return {known.mart: known for known in contract.load_all().values() if known.mart}


def _plain_fact(promised: contract.Contract) -> dict[str, Any]:
    """The suite of a fact mart nobody wrote one for: what holds for every fact."""
    owner = f"quality-{promised.sector.replace('_', '-')}"
    include = ["fact", "matched"] if promised.is_sector_source else ["fact"]
    return {"mart": promised.mart, "of_source": promised.source, "owner": owner, "include": include}


def _built(kind: Kind, name: str, stated: dict[str, Any], file: str) -> Suite:
    folder = settings().expectations
    _only(stated, {kind, "owner", "of_source", "include", "change", "checks", "profile"}, file)
    if stated.get(kind) != name or not isinstance(stated.get("owner"), str):
        raise SuiteError("P06-GATE-002", file=file, field=kind if stated.get(kind) != name else "owner")
    raw: dict[str, dict[str, Any]] = {}
    measures: list[Measure] = []
    for part in stated.get("include") or []:
        if not isinstance(part, str) or not _NAME.fullmatch(part) or not (folder / "shared" / f"{part}.yaml").exists():
            raise SuiteError("P06-GATE-002", file=file, field="include")
        shared = _mapping(_read(folder / "shared" / f"{part}.yaml", "P06-GATE-002"), f"{part}.yaml")
        _only(shared, {"checks", "profile"}, f"{part}.yaml")
        _gather(raw, shared.get("checks"), f"{part}.yaml")
        measures += _measures(kind, shared.get("profile"), f"{part}.yaml")
    _gather(raw, stated.get("checks") or [], file)
    for check, changes in _mapping(stated.get("change") or {}, file).items():
        if check not in raw:
            raise SuiteError("P06-GATE-002", file=file, field="change", check=check)
        raw[check] = raw[check] | _mapping(changes, file, check)
    if not raw:
        raise SuiteError("P06-GATE-002", file=file, field="checks")
    checks = tuple(_check(kind, entry, file, str(stated["owner"])) for entry in raw.values())
    measures += _measures(kind, stated.get("profile"), file)
    return Suite(kind, name, checks, stated.get("of_source"), tuple(measures))


def _measures(kind: Kind, stated: Any, file: str) -> list[Measure]:
    """The entries of ``profile``, by name; of a mart alone."""
    found = []
    for name, entry in _mapping(stated or {}, file).items():
        if kind != "mart" or not re.fullmatch(r"[a-z][a-z0-9_.]{0,62}", name):
            raise SuiteError("P06-GATE-002", file=file, field="profile")
        entry = _mapping(entry or {}, file, name)
        _only(entry, {"key", "value", "where", "of", "area"}, file, name)
        for field in ("key", "value", "where"):
            text = entry.get(field)
            if text is not None and not isinstance(text, str):
                raise SuiteError("P06-GATE-002", file=file, check=name, field=field)
            if text and (_REVEALED.search(text) or (field == "key" and shows_identity(text))):
                raise SuiteError("P06-GATE-005", file=file, check=name)
        if entry.get("of", "rows") not in ("rows", "staged") or not isinstance(entry.get("area", False), bool):
            raise SuiteError("P06-GATE-002", file=file, check=name, field="of")
        found.append(Measure(name, **entry))
    return found


def shows_identity(text: str) -> bool:
    """Whether an expression takes a column of IDENTITY as it is; the day or month of a date shows nobody."""
    return bool(_IDENTIFYING.search(_DAY_OF.sub("", _LITERAL.sub("''", text))))


def _gather(into: dict[str, dict[str, Any]], entries: Any, file: str) -> None:
    if not isinstance(entries, list):
        raise SuiteError("P06-GATE-002", file=file, field="checks")
    for entry in entries:
        identity = _mapping(entry, file).get("id")
        if not isinstance(identity, str) or not _NAME.fullmatch(identity):
            raise SuiteError("P06-GATE-002", file=file, field="id")
        if identity in into:
            raise SuiteError("P06-GATE-003", file=file, check=identity)
        into[identity] = entry


def _check(kind: Kind, entry: dict[str, Any], file: str, owner: str) -> Check:
    name = str(entry["id"])

    def wrong(field: str) -> SuiteError:
        return SuiteError("P06-GATE-002", file=file, check=name, field=field)

    _only(entry, {field.name for field in fields(Check)}, file, name)
    for field, allowed in (("dimension", Dimension), ("severity", Severity)):
        if entry.get(field) not in get_args(allowed):
            raise wrong(field)
    title = entry.get("title")
    if not isinstance(title, dict) or not all(isinstance(title.get(language), str) for language in ("en", "vi")):
        raise wrong("title")
    reason = entry.get("reason")
    if isinstance(reason, str):
        reason = {"en": reason, "vi": reason}
    if not isinstance(reason, dict) or not all(isinstance(reason.get(language), str) for language in ("en", "vi")):
        raise wrong("reason")
    if not isinstance(entry.get("owner", owner), str):
        raise wrong("owner")
    if entry.get("if_null", "fail") not in ("pass", "fail"):
        raise wrong("if_null")
    forms = [form for form in ("expectation", "measure", "figure", "sql", "history") if entry.get(form) is not None]
    if len(forms) != 1 or (kind == "mart" and forms == ["figure"]) or (kind == "source" and forms == ["history"]):
        raise wrong("expectation, measure, figure or sql")
    if entry.get("day") is not None and forms != ["figure"]:
        raise wrong("day")
    asks = entry.get("approval", False)
    if not isinstance(asks, bool) or (asks and entry["severity"] != "warn"):
        raise wrong("approval")
    if entry.get("names") is not None and forms[0] in ("expectation", "history"):
        raise wrong("names")
    for field in (*(form for form in forms if form != "history"), "unless", "day", "names"):
        if entry.get(field) is not None and not isinstance(entry[field], str):
            raise wrong(field)
    comparison = _comparison(entry, file, name) if forms == ["history"] else None
    if forms == ["expectation"]:
        if entry.get("min") is not None or entry.get("max") is not None:
            raise wrong("min, max")
        _judge_expectation(entry, file, name)
    else:
        if entry.get("kwargs") is not None:
            raise wrong("kwargs")
        limits = [entry.get("min"), entry.get("max")]
        if limits == [None, None] or not all(limit is None or _is_limit(limit) for limit in limits):
            raise wrong("min, max")
        if comparison is None:
            _judge_text(kind, str(entry[forms[0]]), file, name)
    for field in ("unless", "day", "names"):
        _judge_text(kind, entry.get(field) or "", file, name)
    if shows_identity(entry.get("names") or ""):
        raise SuiteError("P06-GATE-005", file=file, check=name)
    check = Check(**entry | {"reason": reason, "history": comparison})
    return check if check.owner else replace(check, owner=owner)


def _comparison(entry: dict[str, Any], file: str, name: str) -> Comparison:
    """What a check compares; it warns or tells, whatever it finds."""
    try:
        comparison = Comparison.of_mapping(_mapping(entry["history"], file, name))
    except ValueError as error:
        field = str(error)
        raise SuiteError(
            "P06-GATE-002", file=file, check=name, field=field if _NAME.fullmatch(field) else "history"
        ) from None
    if entry["severity"] == "block":
        raise SuiteError("P06-GATE-002", file=file, check=name, field="severity")
    return comparison


def _is_limit(limit: Any) -> bool:
    return limit in _CONTRACT_LIMITS or (isinstance(limit, int | float) and not isinstance(limit, bool))


def _judge_expectation(entry: dict[str, Any], file: str, name: str) -> None:
    kind, kwargs = entry["expectation"], entry.get("kwargs")
    if kind not in COUNTING | REVEALING:
        raise SuiteError("P06-GATE-004", file=file, check=name)
    if kwargs is None or not isinstance(kwargs, dict) or set(kwargs) & {"result_format", "catch_exceptions", "meta"}:
        raise SuiteError("P06-GATE-002", file=file, check=name, field="kwargs")
    if kind in REVEALING and kwargs.get("column") in IDENTITY:
        raise SuiteError("P06-GATE-005", file=file, check=name)


def _judge_text(kind: Kind, text: str, file: str, name: str) -> None:
    if _REVEALED.search(text):
        raise SuiteError("P06-GATE-005", file=file, check=name)
    for place in _PLACE.findall(text):
        known = _SOURCE_PLACES if kind == "source" else _MART_PLACES
        if place not in known and not (kind == "mart" and (_MARTS.fullmatch(place) or place == "dim_citizen")):
            raise SuiteError("P06-GATE-006", file=file, check=name)


def fill(text: str, places: Mapping[str, str]) -> str:
    """The text with each ``{place}`` replaced."""
    return _PLACE.sub(lambda match: places[match[1]], text)


def places_of(checks: Iterable[Check]) -> set[str]:
    """Every ``{place}`` the checks mention."""
    texts = (
        text for check in checks for text in (check.measure, check.figure, check.sql, check.unless, check.names) if text
    )
    return {place for text in texts for place in _PLACE.findall(text)}


def _waiver(entry: Any, number: int) -> Waiver:
    def wrong(field: str) -> SuiteError:
        return SuiteError("P06-GATE-007", file="waivers.yaml", entry=number, field=field)

    if not isinstance(entry, dict):
        raise wrong("entry")
    unknown = set(entry) - {field.name for field in fields(Waiver)}
    if unknown:
        raise wrong(sorted(map(str, unknown))[0])
    for field in ("source", "mart", "check"):
        value = entry.get(field)
        if value is not None and not (isinstance(value, str) and _NAME.fullmatch(value)):
            raise wrong(field)
    if (entry.get("source") is None) == (entry.get("mart") is None):
        raise wrong("source")
    if entry.get("mart") is not None and entry.get("check") is None:
        raise wrong("check")
    for field in ("reason", "owner"):
        if not isinstance(entry.get(field), str) or not entry[field].strip():
            raise wrong(field)
    until = entry.get("until")
    if not isinstance(until, date) or isinstance(until, datetime):
        raise wrong("until")
    count = entry.get("count")
    if count is not None and (entry.get("check") is None or not _is_limit(count) or isinstance(count, str)):
        raise wrong("count")
    return Waiver(
        source=entry.get("source"),
        mart=entry.get("mart"),
        check=entry.get("check"),
        periods=_periods(entry.get("periods"), wrong("periods")),
        reason=entry["reason"].strip(),
        owner=entry["owner"].strip(),
        until=until,
        count=cast("float | None", count),
    )


def _periods(stated: Any, error: SuiteError) -> frozenset[Period]:
    """``2024-01``, ``2024-01..2024-03`` or a list of these."""
    found: set[Period] = set()
    for part in stated if isinstance(stated, list) else [stated]:
        first, dots, last = part.partition("..") if isinstance(part, str) else ("", "", "")
        try:
            start = Period.parse(first)
            span = list(months(start, Period.parse(last) if dots else start))
        except P06Error:
            raise error from None
        if not span:
            raise error
        found.update(span)
    if not found:
        raise error
    return frozenset(found)


def _mapping(value: Any, file: str, check: str | None = None) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise SuiteError("P06-GATE-002", file=file, check=check)
    return value


def _only(stated: dict[str, Any], allowed: set[str], file: str, check: str | None = None) -> None:
    for field in stated:
        if field not in allowed:
            raise SuiteError("P06-GATE-002", file=file, check=check, field=field if _NAME.fullmatch(field) else None)
