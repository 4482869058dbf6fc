"""The contract: what one sender promises, read from its ODCS v3 file in ``contracts/``.

Everything that depends on the shape of a source (staging tables, casts, rules, dbt sources, DAGs, dictionary,
synthetic data) asks this module; nobody else opens the YAML.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NoReturn, cast, get_args

import yaml

from p06 import codelist
from p06.errors import P06Error, UsageError
from p06.period import Period
from p06.settings import settings

ColumnKind = Literal["text", "code", "enum", "id12", "date", "timestamp", "numeric", "integer"]
Classification = Literal["public", "internal", "basic", "sensitive", "identifier"]
SourceKind = Literal["register", "state", "events"]
RegisterForm = Literal["changes", "snapshot"]
Approval = Literal["always", "on_warnings", "never"]
Deceased = Literal["no", "hold", "listed"]

IDENTITY = ("citizen_id", "old_id", "full_name", "birth_date", "sex")
SUFFIX = ".odcs.yaml"
TEXT_LIMIT = 10_000
CODE_LIMIT = 64
INTEGER_LIMIT = Decimal(2_147_483_647)
ID_DIGITS = 12
HEADER_LIMIT = 200
DEADLINE_DAY = 28  # when the contract states none
MONTHLY = "0 0 1 * *"  # when the contract states no schedule

# Names staging, quarantine and the marts give to columns of their own, and PostgreSQL's system columns.
RESERVED = frozenset(
    {"period", "extract", "extract_id", "attempt_id", "file_no", "line", "line_no", "row_no", "row_hash"}
    | {"raw", "reason", "reasons", "record_key", "citizen_token", "build_id", "release_id"}
    | {"match_method", "match_confidence"}
    | {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
)
# What every fact mart computes itself; a source may send it, but cannot carry it into the mart, except that the column
# `provinceColumn` names is what the mart's province_code is computed from.
MART_RESERVED = frozenset({"province_code", "commune_valid_from"})

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")  # fullmatch
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,250}")
_TYPE = re.compile(r"([a-z0-9]+)(?:\(([^()]*)\))?")
_LOGICAL: dict[str, str] = {
    "text": "string",
    "code": "string",
    "enum": "string",
    "id12": "string",
    "date": "date",
    "timestamp": "timestamp",
    "numeric": "number",
    "integer": "integer",
}


class ContractError(P06Error):
    """A contract file cannot be used as it stands."""


class UnknownSource(UsageError):
    """No contract bears this name (P06-CONTRACT-002)."""


@dataclass(frozen=True)
class Span:
    """The periods something is in force: from ``since`` up to and including ``until``; None is open."""

    since: Period | None = None
    until: Period | None = None

    def __contains__(self, period: Period) -> bool:
        return (self.since is None or self.since <= period) and (self.until is None or period <= self.until)

    def meaning(self) -> list[str | None]:
        """For the contract's hash."""
        return [str(end) if end else None for end in (self.since, self.until)]


@dataclass(frozen=True)
class Column:
    """One column of a source. ``name`` is its name in staging, ``physical_name`` its header in the files."""

    name: str
    physical_name: str
    kind: ColumnKind
    required: bool
    length: int | None  # code(n): the exact width in characters
    max_length: int  # characters
    pattern: str | None  # matches the whole value; RE2 syntax, no look-around
    values: tuple[str, ...]  # enum, case-sensitive
    codelist: str | None  # name of a list in contracts/codelists; the last one when it changes over time
    minimum: Decimal | None
    minimum_exclusive: bool
    maximum: Decimal | None
    maximum_exclusive: bool
    precision: int | None
    scale: int | None
    not_after_period: bool  # later than the as-of date is the reason future_date
    description_en: str
    description_vi: str
    classification: Classification
    in_mart: bool  # carried into the fact mart under this name (includes the commune and province columns)
    since: Period | None = None
    until: Period | None = None
    synthetic: Mapping[str, Any] = field(default_factory=dict, compare=False)  # how a synthetic country fills it
    codelists: tuple[tuple[str, Span], ...] = ()  # when it changes over time: each list with its periods
    unconfirmed: str = ""  # what of it no published text confirms, English · Vietnamese; empty when nothing

    def at(self, period: Period) -> Column | None:
        """The column as it is in a period; None when it is not in force then."""
        if period not in Span(self.since, self.until):
            return None
        if not self.codelists:
            return self
        return replace(self, codelist=next((name for name, span in self.codelists if period in span), None))

    @property
    def sql_type(self) -> str:
        """The PostgreSQL type of the staging column; a twelve-digit ID is kept as bigint, other digits as text."""
        if self.kind == "numeric":
            return f"numeric({self.precision},{self.scale})"
        return {"id12": "bigint", "date": "date", "timestamp": "timestamptz", "integer": "integer"}.get(
            self.kind, "text"
        )

    @property
    def type_text(self) -> str:
        """The type as the contract writes it: ``code(5)``, ``enum(M,F,U)``, ``numeric(15,2)``."""
        if self.kind == "enum":
            return f"enum({','.join(self.values)})"
        if self.kind == "numeric":
            return self.sql_type
        if self.kind == "timestamp":
            return "timestamptz"
        return f"{self.kind}({self.length})" if self.length is not None else self.kind

    def meaning(self) -> dict[str, Any]:
        """What changes the meaning of data when it changes; descriptions and classification do not."""
        return {
            "name": self.name,
            "physical_name": self.physical_name,
            "type": self.type_text,
            "required": self.required,
            "max_length": self.max_length,
            "pattern": self.pattern,
            "codelist": self.codelist,
            "minimum": _canonical(self.minimum),
            "minimum_exclusive": self.minimum_exclusive,
            "maximum": _canonical(self.maximum),
            "maximum_exclusive": self.maximum_exclusive,
            "not_after_period": self.not_after_period,
            "in_mart": self.in_mart,
            "since": str(self.since) if self.since else None,
            "until": str(self.until) if self.until else None,
        } | ({"codelists": [[name, *span.meaning()] for name, span in self.codelists]} if self.codelists else {})


@dataclass(frozen=True)
class RowRule:
    """A rule between columns of one row. ``sum``: ``left`` equals the sum of ``right``."""

    name: str
    kind: Literal["sum"]
    left: str
    right: tuple[str, ...]
    description_en: str
    description_vi: str
    span: Span = Span()


@dataclass(frozen=True)
class Contract:
    """What one source promises."""

    source: str
    sector: str
    kind: SourceKind
    version: str
    title_en: str
    title_vi: str
    description_en: str
    description_vi: str
    owner: str
    columns: tuple[Column, ...]  # in the order of the file
    key: tuple[str, ...]  # business key, may be empty
    rules: tuple[RowRule, ...]
    mart: str | None
    commune_column: str | None
    has_identity: bool
    cut_off_day: int | None  # None: the calendar month
    deadline_day: int  # day of the following month
    due_from: Period | None  # None: always due
    schedule: str  # cron of the load
    min_rows: int | None  # per extract
    max_rows: int | None
    servers: tuple[dict[str, Any], ...] = field(compare=False)
    allow_added: bool = False
    allow_missing: bool = False
    legal_basis: tuple[str, ...] = ()
    register_forms: tuple[tuple[RegisterForm, Span], ...] = ()  # of a register; in other periods it sends changes
    province_column: str | None = None  # the province of a row that has no commune
    commune_compared: bool = True  # False: the commune says where something is, not where the person lives
    service_column: str | None = None  # when a row is one service on one day: which; nobody is served after death
    deceased: Deceased = "no"  # the dead in it: a question; what they held until the estate is settled; as it should be
    restricted: bool = False  # its mart is read by holders of p06_sensitive alone
    approval: Approval = "never"  # when a month with its data waits for a quality officer before it is published
    synthetic: Mapping[str, Any] = field(default_factory=dict, compare=False)  # which rows a synthetic country has
    contacts: tuple[str, ...] = field(default=(), compare=False)  # addresses of the sender's desk
    desk: tuple[str, str] = field(default=("", ""), compare=False)  # who answers for it, in English and Vietnamese
    hash: str = field(default="", compare=False)

    @property
    def is_sector_source(self) -> bool:
        """Whether its rows are matched against the register."""
        return self.has_identity and self.kind != "register"

    @property
    def compared_commune(self) -> str | None:
        """The column matching compares with the residence, if there is one."""
        return self.commune_column if self.commune_compared else None

    @property
    def measures(self) -> tuple[Column, ...]:
        """The columns a fact mart carries beside those all facts share (commune and province are among these)."""
        return tuple(c for c in self.columns if c.in_mart and c.name not in (self.commune_column, self.province_column))

    def at(self, period: Period) -> Contract:
        """The contract as a delivery of that period is judged: only the columns, rules and code lists in force then.

        A rule falls with any of its columns. The hash is that of the shape: what the contract says of other months
        does not change it. Staging keeps the columns of all periods; those not in force are null.
        """
        dated = [rule.span for rule in self.rules] + [span for _, span in self.register_forms]
        if not any(column.since or column.until or column.codelists for column in self.columns) and all(
            span == Span() for span in dated
        ):
            return self
        columns = tuple(kept for column in self.columns if (kept := column.at(period)))
        names = {column.name for column in columns}
        shape = replace(
            self,
            columns=columns,
            key=tuple(name for name in self.key if name in names),
            rules=tuple(r for r in self.rules if period in r.span and names.issuperset({r.left, *r.right})),
            commune_column=self.commune_column if self.commune_column in names else None,
            province_column=self.province_column if self.province_column in names else None,
            register_forms=tuple((form, Span()) for form, span in self.register_forms if period in span),
        )
        return replace(shape, hash=_hash(_timeless(shape)))

    def is_due(self, period: Period) -> bool:
        """Whether a release of the period waits for this source."""
        return self.due_from is None or self.due_from <= period

    def first_day(self, period: Period) -> date:
        """The first day a period of this source speaks about: with a cut-off day, the day after the one before."""
        if self.cut_off_day is None:
            return period.first_day
        return period.shift(-1).as_of(self.cut_off_day) + timedelta(days=1)

    def register_form(self, period: Period) -> RegisterForm:
        """What a register's extract of the period holds: the rows that changed, or everyone (a snapshot)."""
        return next((form for form, span in self.register_forms if period in span), "changes")

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def doc_md(self) -> str:
        """The contract as Markdown, Vietnamese first, for Airflow and the dictionary."""
        lines = [
            f"# {self.title_vi} · {self.title_en}",
            "",
            self.description_vi,
            "",
            self.description_en,
            "",
            "| | |",
            "|---|---|",
            f"| Nguồn · Source | `{self.source}` ({self.sector}, {self.kind}, {self.version}) |",
            f"| Phụ trách · Owner | {_cell(self.owner)} |",
            f"| Khóa · Key | {', '.join(f'`{name}`' for name in self.key) or '–'} |",
            f"| Kỳ · Period | {self._cut_off()} |",
            f"| Hạn gửi · Due | ngày {self.deadline_day} tháng sau · day {self.deadline_day} of the next month |",
        ]
        if self.legal_basis:
            lines.append(f"| Căn cứ pháp lý · Legal basis | {_cell('; '.join(self.legal_basis))} |")
        if self.restricted:
            lines.append(
                "| Truy cập · Access | hạn chế, chỉ vai trò `sensitive` · restricted, role `sensitive` alone |"
            )
        lines += [
            "",
            "| Cột · Column | Kiểu · Type | Bắt buộc · Required | Phân loại · Class | Mô tả | Description |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| `{_cell(c.physical_name)}` | {_cell(c.type_text)} | {'✓' if c.required else ''} | {c.classification} "
            f"| {_cell(c.description_vi)}{_span_text(c, 'từ', 'đến')}{_lists_text(c, 'danh mục', 'từ', 'đến')}"
            f"{_unconfirmed_text(c, 'chưa xác nhận', 1)} "
            f"| {_cell(c.description_en)}{_span_text(c, 'from', 'to')}{_lists_text(c, 'list', 'from', 'to')}"
            f"{_unconfirmed_text(c, 'unconfirmed', 0)} |"
            for c in self.columns
        ]
        lines += [
            f"\n**{rule.name}**: {rule.description_vi}{_span_text(rule.span, 'từ', 'đến')}"
            f" · {rule.description_en}{_span_text(rule.span, 'from', 'to')}"
            for rule in self.rules
        ]
        return "\n".join(lines) + "\n"

    def _cut_off(self) -> str:
        if self.cut_off_day is None:
            return "tháng dương lịch · calendar month"
        return f"đến ngày {self.cut_off_day} · up to day {self.cut_off_day}"


def load_all(folder: Path | None = None) -> dict[str, Contract]:
    """Every contract of a folder (default: the settings'), sorted by source.

    Raises ContractError P06-CONTRACT-001, 003 .. 016 naming the file and column at fault.
    """
    folder = settings().contracts if folder is None else folder
    if not folder.is_dir():
        raise ContractError("P06-CONTRACT-016", folder=folder.name)
    stamps = []
    for path in sorted([*folder.glob(f"*{SUFFIX}"), *(folder / "codelists").glob("*.csv")]):
        stat = path.stat()
        stamps.append((path, stat.st_mtime_ns, stat.st_size))
    return dict(_load_all(folder, tuple(stamps)))


def load(source: str) -> Contract:
    """One contract. Raises UnknownSource (P06-CONTRACT-002) when the source has none."""
    try:
        return load_all()[source]
    except KeyError:
        shown = source if _IDENTIFIER.fullmatch(source) else None
        raise UnknownSource("P06-CONTRACT-002", source=shown) from None


def left_out(period: Period, received: Container[str]) -> frozenset[str]:
    """The sources a build of the period has nothing to do for: neither received for it nor due."""
    return frozenset(
        source for source, known in load_all().items() if source not in received and not known.is_due(period)
    )


def parse(path: Path) -> Contract:
    """Read one contract file. Raises ContractError."""
    return _Reader(path).contract()


def validate(path: Path) -> None:
    """Check a file against the standard's own model and against ours; slow to import, so not done on each load.

    Raises ContractError P06-CONTRACT-003 with the place in the file, never its content.
    """
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    try:
        OpenDataContractStandard.model_validate(_document(path))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        at = ".".join(str(step) for step in first["loc"])
        raise ContractError("P06-CONTRACT-003", file=path.name, at=at) from None
    parse(path)


@cache
def _load_all(folder: Path, stamps: tuple[tuple[Path, int, int], ...]) -> tuple[tuple[str, Contract], ...]:
    paths = [path for path, _, _ in stamps if path.name.endswith(SUFFIX)]
    return tuple(sorted((contract.source, contract) for contract in map(parse, paths)))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which a key written twice is an error, not a silent choice of the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if len(keys) != len(set(map(str, keys))):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return cast(dict[Any, Any], super().construct_mapping(node, deep))


def _document(path: Path) -> Any:
    try:
        return yaml.load(path.read_bytes(), Loader=_Loader)
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ContractError("P06-CONTRACT-001", file=path.name, line=mark.line + 1 if mark else None) from None


class _Reader:
    """One pass over one file; holds where it is, so that each error can say it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.column: str | None = None
        self.province: str | None = None  # the name of the column that states a row's province

    def fail(self, code: str, **where: Any) -> NoReturn:
        raise ContractError(code, file=self.path.name, column=self.column, **where) from None

    def contract(self) -> Contract:
        document = _document(self.path)
        if not isinstance(document, dict):
            self.fail("P06-CONTRACT-003", at="document")
        if document.get("kind") != "DataContract" or not re.fullmatch(r"v3\.\d+\.\d+", str(document.get("apiVersion"))):
            self.fail("P06-CONTRACT-003", at="kind, apiVersion")
        tables = document.get("schema")
        if not isinstance(tables, list) or len(tables) != 1 or not isinstance(tables[0], dict):
            self.fail("P06-CONTRACT-003", at="schema")
        table = tables[0]
        source = self.identifier(table.get("name"), "schema.name")
        if self.path.name != f"{source}{SUFFIX}":
            self.fail("P06-CONTRACT-011", source=source)
        own = self.properties(document, "customProperties")
        about = document.get("description") or {}
        if not isinstance(about, dict):
            self.fail("P06-CONTRACT-003", at="description")
        kind = own.get("kind")
        if kind not in get_args(SourceKind):
            self.fail("P06-CONTRACT-005")
        self.province = own.get("provinceColumn")
        columns = self.columns(table)
        names = {column.name for column in columns}
        mart, commune = own.get("mart"), own.get("communeColumn")
        if commune is not None and commune not in names:
            self.fail("P06-CONTRACT-007", rule="communeColumn")
        if self.province is not None:
            listed = {column.name: column.codelist for column in columns}
            if self.province not in listed:
                self.fail("P06-CONTRACT-007", rule="provinceColumn")
            if commune is not None or listed[self.province] != codelist.PROVINCE:
                self.fail("P06-CONTRACT-014", at="provinceColumn")
        sla = {str(item.get("property")): item for item in self.items(document, "slaProperties")}
        low, high = self.row_range(table)
        team = document.get("team")
        contract = Contract(
            source=source,
            sector=self.identifier(document.get("domain"), "domain"),
            kind=cast(SourceKind, kind),
            version=self.text(document.get("version"), "version"),
            title_en=self.text(document.get("name"), "name"),
            title_vi=self.text(own.get("nameVi"), "nameVi"),
            description_en=self.text(about.get("purpose"), "description.purpose"),
            description_vi=self.text(self.properties(about, "customProperties").get("purposeVi"), "purposeVi"),
            owner=self.text(team.get("name") if isinstance(team, dict) else None, "team.name"),
            columns=columns,
            key=self.key(table),
            rules=self.rules(table, names),
            mart=None if mart is None else self.identifier(mart, "mart"),
            commune_column=commune,
            has_identity=names.issuperset(IDENTITY),
            cut_off_day=self.day(own.get("cutOffDay"), "cutOffDay"),
            deadline_day=self.day(sla.get("deadlineDay", {}).get("value"), "deadlineDay") or DEADLINE_DAY,
            due_from=self.period(own.get("dueFrom")),
            schedule=self.text(sla.get("frequency", {}).get("schedule", MONTHLY), "slaProperties.frequency.schedule"),
            min_rows=low,
            max_rows=high,
            servers=tuple(self.items(document, "servers")),
            allow_added=self.flag(own, "allowAdded"),
            allow_missing=self.flag(own, "allowMissing"),
            legal_basis=self.legal_basis(own.get("legalBasis")),
            register_forms=self.register_forms(own.get("registerForm"), cast(SourceKind, kind)),
            province_column=self.province,
            commune_compared=own.get("communeCompared") is None or self.flag(own, "communeCompared"),
            service_column=self.service_column(own.get("serviceColumn"), columns),
            deceased=self.deceased(own.get("deceased")),
            restricted=self.restricted(own.get("access")),
            synthetic=self.synthetic(own.get("synthetic")),
            approval=self.approval(own.get("approval")),
            contacts=self.contacts(document),
            desk=self.desk(team),
        )
        object.__setattr__(contract, "hash", _hash(contract))
        return contract

    def columns(self, table: dict[str, Any]) -> tuple[Column, ...]:
        found = tuple(self.one_column(item) for item in self.items(table, "properties"))
        self.column = None
        if not found:
            self.fail("P06-CONTRACT-003", at="schema.properties")
        seen: set[str] = set()
        for column in found:
            if column.name in seen or f"header {column.physical_name}" in seen:
                self.column = column.name
                self.fail("P06-CONTRACT-010")
            seen |= {column.name, f"header {column.physical_name}"}
        return found

    def one_column(self, item: dict[str, Any]) -> Column:
        self.column = None
        name = self.identifier(item.get("name"), "schema.properties.name")
        self.column = name
        if name in RESERVED:
            self.fail("P06-CONTRACT-009")
        own = self.properties(item, "customProperties")
        in_mart = self.flag(own, "inMart")
        if in_mart and name in MART_RESERVED and name != self.province:
            self.fail("P06-CONTRACT-009")
        header = item.get("physicalName", name)
        if not isinstance(header, str) or not 0 < len(header) <= HEADER_LIMIT or header != header.strip():
            self.fail("P06-CONTRACT-004", at="physicalName")
        kind, length, precision, scale = self.type_of(item)
        options = item.get("logicalTypeOptions") or {}
        if not isinstance(options, dict):
            self.fail("P06-CONTRACT-003", at="logicalTypeOptions")
        minimum, minimum_exclusive = self.bound(options, "minimum", "exclusiveMinimum", kind)
        maximum, maximum_exclusive = self.bound(options, "maximum", "exclusiveMaximum", kind)
        if kind == "integer":
            minimum = -INTEGER_LIMIT - 1 if minimum is None else minimum
            maximum = INTEGER_LIMIT if maximum is None else maximum
        if minimum is not None and maximum is not None and minimum > maximum:
            self.fail("P06-CONTRACT-014", at="minimum, maximum")
        values = self.values(item, kind)
        span = self.span(own)
        lists = self.codelists(own.get("codelist"))
        classification = item.get("classification")
        if classification not in get_args(Classification):
            self.fail("P06-CONTRACT-012", at="classification")
        return Column(
            name=name,
            physical_name=header,
            kind=kind,
            required=self.flag(item, "required"),
            length=length,
            max_length=self.max_length(options, kind, length, values),
            pattern=None if kind == "id12" else self.pattern(options),  # twelve digits have checks of their own
            values=values,
            codelist=lists[-1][0] if lists else None,
            minimum=minimum,
            minimum_exclusive=minimum_exclusive,
            maximum=maximum,
            maximum_exclusive=maximum_exclusive,
            precision=precision,
            scale=scale,
            not_after_period=self.flag(own, "notAfterPeriod"),
            description_en=self.text(item.get("description"), "description"),
            description_vi=self.text(own.get("descriptionVi"), "descriptionVi"),
            classification=cast(Classification, classification),
            in_mart=in_mart,
            since=span.since,
            until=span.until,
            synthetic=self.synthetic(own.get("synthetic")),
            codelists=lists if any(span != Span() for _, span in lists) else (),
            unconfirmed=self.unconfirmed(own.get("unconfirmed")),
        )

    def type_of(self, item: dict[str, Any]) -> tuple[ColumnKind, int | None, int | None, int | None]:
        written = _TYPE.fullmatch(str(item.get("physicalType")))
        name = "timestamp" if written and written[1] == "timestamptz" else (written[1] if written else "")
        if not written or name not in _LOGICAL or item.get("logicalType") != _LOGICAL[name]:
            self.fail("P06-CONTRACT-006")
        kind = cast(ColumnKind, name)
        numbers = written[2].split(",") if written[2] is not None and kind != "enum" else []
        if not all(number.strip().isdecimal() for number in numbers):
            self.fail("P06-CONTRACT-006")
        sizes = [int(number) for number in numbers]
        if kind == "numeric" and len(sizes) == 2 and 0 < sizes[0] <= 38 and sizes[1] <= sizes[0]:
            return kind, None, sizes[0], sizes[1]
        if kind == "code" and len(sizes) == 1 and 0 < sizes[0] <= CODE_LIMIT:
            return kind, sizes[0], None, None
        if sizes or kind == "numeric":
            self.fail("P06-CONTRACT-006")
        return kind, None, None, None

    def values(self, item: dict[str, Any], kind: ColumnKind) -> tuple[str, ...]:
        values = [entry.get("value") for entry in self.items(item, "enum")]
        good = [value for value in values if isinstance(value, str) and value]
        if (kind == "enum") != bool(values) or len(set(good)) != len(values):
            self.fail("P06-CONTRACT-014", at="enum")
        return tuple(good)

    def max_length(self, options: dict[str, Any], kind: ColumnKind, length: int | None, values: Iterable[str]) -> int:
        if length is not None:
            return length
        if kind == "enum":
            return max(map(len, values))
        if kind == "id12":
            return ID_DIGITS
        default = TEXT_LIMIT if kind == "text" else CODE_LIMIT
        limit = options.get("maxLength", default)
        if not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit <= TEXT_LIMIT:
            self.fail("P06-CONTRACT-014", at="maxLength")
        return limit

    def pattern(self, options: dict[str, Any]) -> str | None:
        written = options.get("pattern")
        if written is None:
            return None
        try:
            bare = str(written).removeprefix("^").removesuffix("$")
            re.compile(bare, re.ASCII)
        except re.error:
            self.fail("P06-CONTRACT-014", at="pattern")
        if re.search(r"\(\?[=!<]|\\[1-9]", bare):
            self.fail("P06-CONTRACT-014", at="pattern")
        return f"(?:{bare})" if "|" in bare else bare

    def bound(self, options: dict[str, Any], closed: str, opened: str, kind: ColumnKind) -> tuple[Decimal | None, bool]:
        if kind not in ("numeric", "integer"):
            return None, False
        value = options.get(opened, options.get(closed))
        if value is None:
            return None, False
        if isinstance(value, bool) or not isinstance(value, int | float) or (opened in options and closed in options):
            self.fail("P06-CONTRACT-014", at=closed)
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            self.fail("P06-CONTRACT-014", at=closed)
        if not number.is_finite():
            self.fail("P06-CONTRACT-014", at=closed)
        return number, opened in options

    def codelists(self, value: Any) -> tuple[tuple[str, Span], ...]:
        """One name, or several as ``{list, since, until}`` in the order of their periods, which do not overlap."""
        return tuple((self.codelist(name), span) for name, span in self.over_time(value, "list", "codelist"))

    def register_forms(self, value: Any, kind: SourceKind) -> tuple[tuple[RegisterForm, Span], ...]:
        """One form, or several as ``{form, since, until}``; only a register has one."""
        found = self.over_time(value, "form", "registerForm")
        if found and (kind != "register" or any(form not in get_args(RegisterForm) for form, _ in found)):
            self.fail("P06-CONTRACT-014", at="registerForm")
        return tuple((cast(RegisterForm, form), span) for form, span in found)

    def over_time(self, value: Any, name: str, at: str) -> list[tuple[Any, Span]]:
        """A value for ever, or several as ``{<name>, since, until}`` in the order of their periods."""
        if value is None:
            return []
        if not isinstance(value, list):
            return [(value, Span())]
        found = []
        for item in value:
            if not isinstance(item, dict) or not set(item) <= {name, "since", "until"}:
                self.fail("P06-CONTRACT-014", at=at)
            found.append((item.get(name), self.span(item)))
        for (_, before), (_, after) in pairwise(found):
            if before.until is None or after.since is None or after.since <= before.until:
                self.fail("P06-CONTRACT-014", at=f"{at} since, until")
        return found

    def span(self, item: dict[str, Any]) -> Span:
        since, until = self.period(item.get("since")), self.period(item.get("until"))
        if since is not None and until is not None and until < since:
            self.fail("P06-CONTRACT-014", at="since, until")
        return Span(since, until)

    def codelist(self, name: Any) -> str:
        checked = self.identifier(name, "codelist")
        if not codelist.exists(checked, self.path.parent / "codelists"):
            self.fail("P06-CONTRACT-008", codelist=checked)
        return checked

    def key(self, table: dict[str, Any]) -> tuple[str, ...]:
        parts = [item for item in self.items(table, "properties") if self.flag(item, "primaryKey")]
        places = [item.get("primaryKeyPosition") for item in parts]
        if sorted(map(str, places)) != sorted(str(place) for place in range(1, len(parts) + 1)):
            self.fail("P06-CONTRACT-013")
        return tuple(str(item["name"]) for item in sorted(parts, key=lambda item: int(item["primaryKeyPosition"])))

    def rules(self, table: dict[str, Any], names: set[str]) -> tuple[RowRule, ...]:
        found = []
        for item in self.items(table, "quality"):
            if item.get("engine") != "p06":
                continue
            name = self.identifier(item.get("name"), "quality.name")
            implementation = item.get("implementation")
            if not isinstance(implementation, dict) or set(implementation) != {"sum"}:
                self.fail("P06-CONTRACT-005", rule=name)
            body = implementation["sum"]
            left, right = (body.get("total"), body.get("of")) if isinstance(body, dict) else (None, None)
            if not isinstance(right, list) or not right or not {left, *map(str, right)} <= names:
                self.fail("P06-CONTRACT-007", rule=name)
            own = self.properties(item, "customProperties")
            found.append(
                RowRule(
                    name=name,
                    span=self.span(own),
                    kind="sum",
                    left=str(left),
                    right=tuple(map(str, right)),
                    description_en=self.text(item.get("description"), "quality.description"),
                    description_vi=self.text(own.get("descriptionVi"), "quality.descriptionVi"),
                )
            )
        return tuple(found)

    def row_range(self, table: dict[str, Any]) -> tuple[int | None, int | None]:
        for item in self.items(table, "quality"):
            if item.get("metric") == "rowCount":
                bounds = item.get("mustBeBetween")
                if (
                    not isinstance(bounds, list)
                    or len(bounds) != 2
                    or not all(type(n) is int for n in bounds)
                    or not 0 < bounds[0] <= bounds[1]
                ):
                    self.fail("P06-CONTRACT-014", at="rowCount")
                return bounds[0], bounds[1]
        return None, None

    def items(self, parent: dict[str, Any], name: str) -> list[dict[str, Any]]:
        value = parent.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fail("P06-CONTRACT-003", at=name)
        return value

    def properties(self, parent: dict[str, Any], name: str) -> dict[str, Any]:
        return {str(item.get("property")): item.get("value") for item in self.items(parent, name)}

    def flag(self, parent: dict[str, Any], name: str) -> bool:
        value = parent.get(name, False)
        if not isinstance(value, bool):
            self.fail("P06-CONTRACT-014", at=name)
        return value

    def identifier(self, value: Any, at: str) -> str:
        if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
            self.fail("P06-CONTRACT-004", at=at)
        return value

    def text(self, value: Any, at: str) -> str:
        if not isinstance(value, str) or not value.strip():
            self.fail("P06-CONTRACT-012", at=at)
        return " ".join(value.split())

    def unconfirmed(self, value: Any) -> str:
        if value is None:
            return ""
        words = self.text(value, "unconfirmed")
        if " · " not in words:
            self.fail("P06-CONTRACT-012", at="unconfirmed")
        return words

    def legal_basis(self, value: Any) -> tuple[str, ...]:
        if value is not None and not isinstance(value, list):
            self.fail("P06-CONTRACT-014", at="legalBasis")
        return tuple(map(str, value or ()))

    def service_column(self, value: Any, columns: tuple[Column, ...]) -> str | None:
        if value is not None and value not in {c.name for c in columns if c.kind in ("date", "timestamp")}:
            self.fail("P06-CONTRACT-007", rule="serviceColumn")
        return None if value is None else str(value)

    def deceased(self, value: Any) -> Deceased:
        if value is None:
            return "no"
        if value not in get_args(Deceased):
            self.fail("P06-CONTRACT-014", at="deceased")
        return cast(Deceased, value)

    def restricted(self, value: Any) -> bool:
        if value not in (None, "restricted"):
            self.fail("P06-CONTRACT-014", at="access")
        return value is not None

    def synthetic(self, value: Any) -> Mapping[str, Any]:
        if value is not None and not isinstance(value, dict):
            self.fail("P06-CONTRACT-014", at="synthetic")
        return value or {}

    def approval(self, value: Any) -> Approval:
        if value is None:
            return "never"
        if value not in get_args(Approval):
            self.fail("P06-CONTRACT-014", at="approval")
        return cast(Approval, value)

    def desk(self, team: Any) -> tuple[str, str]:
        """English and Vietnamese of the team's description, which is ``Vietnamese · English``; empty when it has none."""
        vi, _, en = str(team.get("description") or "" if isinstance(team, dict) else "").partition(" · ")
        return en, vi

    def contacts(self, document: dict[str, Any]) -> tuple[str, ...]:
        """The addresses of ``support``: where its ``url`` is a ``mailto:``."""
        urls = [str(item.get("url", "")) for item in self.items(document, "support")]
        found = tuple(url.removeprefix("mailto:") for url in urls if url.startswith("mailto:"))
        if not all(_ADDRESS.fullmatch(address) for address in found):
            self.fail("P06-CONTRACT-014", at="support.url")
        return found

    def day(self, value: Any, at: str) -> int | None:
        if value is None:
            return None
        if type(value) is not int or not 1 <= value <= 31:
            self.fail("P06-CONTRACT-014", at=at)
        return value

    def period(self, value: Any) -> Period | None:
        if value is None:
            return None
        try:
            return Period.parse(str(value))
        except UsageError:
            self.fail("P06-CONTRACT-014", at="period")


def _hash(contract: Contract) -> str:
    """The content that changes what the data mean: columns, key and rules; not words, dates or thresholds."""
    content = {
        "source": contract.source,
        "kind": contract.kind,
        "columns": [column.meaning() for column in contract.columns],
        "key": contract.key,
        "rules": [_meaning(rule) for rule in contract.rules],
        "mart": contract.mart,
        "commune_column": contract.commune_column,
        "cut_off_day": contract.cut_off_day,
    } | (
        {"register_forms": [[form, *span.meaning()] for form, span in contract.register_forms]}
        if contract.register_forms
        else {}
    )
    if contract.province_column:
        content["province_column"] = contract.province_column
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _timeless(contract: Contract) -> Contract:
    """The shape of a period as a contract without dates would state it."""
    return replace(
        contract,
        columns=tuple(replace(column, since=None, until=None, codelists=()) for column in contract.columns),
        rules=tuple(replace(rule, span=Span()) for rule in contract.rules),
    )


def _meaning(rule: RowRule) -> tuple[Any, ...]:
    stated = (rule.name, rule.kind, rule.left, rule.right)
    return stated if rule.span == Span() else (*stated, rule.span.meaning())


def _canonical(number: Decimal | None) -> str | None:
    return None if number is None else format(number.normalize(), "f")


def _span_text(dated: Column | Span, since: str, until: str) -> str:
    """When a column or rule is in force, for the dictionary; empty when it always is."""
    told = [f"{word} {end}" for word, end in ((since, dated.since), (until, dated.until)) if end]
    return f" ({' '.join(told)})" if told else ""


def _lists_text(column: Column, word: str, since: str, until: str) -> str:
    """Which code list holds when, for the dictionary; empty when one always does."""
    told = [f"{word} `{name}`{_span_text(span, since, until)}" for name, span in column.codelists]
    return f"; {', '.join(told)}" if told else ""


def _unconfirmed_text(column: Column, word: str, language: int) -> str:
    """What of a column no published text confirms, for the dictionary; English is language 0."""
    return f" (**{word}**: {_cell(column.unconfirmed.split(' · ', 1)[language])})" if column.unconfirmed else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def files(folder: Path | None = None) -> Iterator[Path]:
    """The contract files of a folder, sorted."""
    yield from sorted((settings().contracts if folder is None else folder).glob(f"*{SUFFIX}"))
