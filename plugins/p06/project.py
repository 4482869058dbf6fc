"""The dbt project as it runs: the checkout's models, and beside them what the contracts say."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from p06 import contract
from p06.contract import IDENTITY, Column, Contract
from p06.errors import P06Error
from p06.settings import settings

PARTS = ("models", "macros", "tests", "seeds")
# What no model is made of: the register of printed figures is read where it is compared, not by a build.
NOT_BUILT = "seeds/"
GENERATED = "generated"

# Where models stand that are there for one source, or a few, and left out with their contracts.
_OF_SOURCES = ("models/staging/", "models/indicators/reported/", "models/identity/linked/", "models/marts/linked/")
_STAGED = re.compile(r"\bstaged(?:_in_window)?\('(\w+)'")
_REF = re.compile(r"\bref\('(\w+)'\)")

# The source whose health card carries the social insurance number that another source is keyed by.
INSURANCE_COLUMN = {"health_visit": "insurance_card_no"}

_SHARED = (
    ("period", "date", "first day of the month the data speak about", "ngày đầu của tháng dữ liệu"),
    ("record_key", "uuid", "stable key of the record, made from its business key with the token key",
     "khóa ổn định của bản ghi, tạo từ khóa nghiệp vụ"),
    ("citizen_token", "uuid", "the citizen's token, empty unless the row is matched",
     "mã thay thế của công dân, để trống nếu chưa khớp"),
    ("match_method", "text", "how the row was matched: id, previous_id, old_id, insurance_no, name_birth, linked, "
     "none or conflict", "cách khớp"),
    ("match_confidence", "numeric(5,4)", "one fixed number per method", "độ tin cậy của cách khớp"),
    ("province_code", "text", "province of the row's commune or the one it states, else of the matched citizen's residence",
     "tỉnh của xã trong dòng hoặc tỉnh nêu trong dòng, nếu không có thì của nơi cư trú"),
)  # fmt: skip
_COMMUNE = (
    ("commune_code", "text", "commune as received", "mã xã như đã nhận"),
    ("commune_valid_from", "date", "first day of the area the code names, in the list it was sent under: with the code "
     "the key of dim_area and area_today", "ngày bắt đầu hiệu lực của xã theo danh mục lúc gửi: cùng mã là khóa của "
     "dim_area và area_today"),
)  # fmt: skip
METHODS = ("id", "previous_id", "old_id", "insurance_no", "name_birth", "linked", "none", "conflict")


@dataclass(frozen=True)
class MartColumn:
    """One published column, with its type and what it means in two languages."""

    name: str
    type: str
    description_en: str
    description_vi: str


@dataclass(frozen=True)
class Model:
    """One model that has a contract: its columns in the order they are published."""

    name: str
    description_en: str
    description_vi: str
    columns: tuple[MartColumn, ...]


def render(folder: Path) -> Path:
    """Write the runnable project below ``folder/project`` and return its path; files that are equal stay untouched.

    Added to the checkout's project: sources, one fact model with its contract and tests per sector contract, and the
    macro ``contracts()``. Raises P06Error P06-BUILD-004 when a contract has no staging model.
    """
    project = folder / "project"
    wanted = _files()
    for path, content in wanted.items():
        target = project / path
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for part in PARTS:
        for stale in [path for path in (project / part).rglob("*") if path.is_file()]:
            if stale.relative_to(project).as_posix() not in wanted:
                stale.unlink()
    return project


def content_hash(part: str | None = None) -> str:
    """SHA-256 over the project's SQL, macros and YAML, generated files included; of the files below one part only.

    Seeds are not of it: what somebody printed changes no month.
    """
    digest = hashlib.sha256()
    for path, content in sorted(_files().items()):
        if path.startswith(NOT_BUILT):
            continue
        if part is None or path.startswith(part) or path.startswith("macros/"):
            digest.update(f"{path}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def models() -> dict[str, Model]:
    """Every model that has a contract, by name: the marts, and the tables the register's states are kept in."""
    return dict(_models(content_hash()))


def computed_from() -> dict[str, list[str]]:
    """Indicator (``x.*``: one per source) -> the sources it is computed from, as the models' YAML states them."""
    return _computed_from(content_hash())


def meta(model: str) -> Mapping[str, Any]:
    """What a model's YAML says of it under ``config.meta``. Raises KeyError."""
    return _metas(content_hash())[model]


@cache
def _metas(content: str) -> dict[str, Mapping[str, Any]]:
    return {
        entry["name"]: entry.get("config", {}).get("meta", {})
        for path, text in _files().items()
        if path.startswith("models/") and path.endswith(".yml")
        for entry in yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)).get("models", ())
    }


@cache
def _computed_from(content: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path, text in _files().items():
        if path.startswith("models/indicators/") and path.endswith(".yml"):
            for entry in yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)).get("models", ()):
                found |= entry.get("config", {}).get("meta", {}).get("computed_from", {})
    return found


def remove(folder: Path) -> None:
    """Forget the rendered project and what dbt kept beside it."""
    shutil.rmtree(folder, ignore_errors=True)


def staging_model(known: Contract) -> tuple[str, str]:
    """Path below the project and text of the staging model a new source begins with."""
    columns = (
        "record_key",
        "file_no",
        "line",
        *(column.name for column in known.columns if column.name != "updated_at"),
    )
    text = "-- one row per accepted row of the period\nselect\n"
    text += ",\n".join(f"    {name}" for name in columns) + f"\nfrom {{{{ staged('{known.source}') }}}}\n"
    return f"models/staging/{known.sector}/stg_{known.source}.sql", text


def _files() -> dict[str, bytes]:
    root = settings().dbt_project
    paths = [root / "dbt_project.yml"]
    for part in PARTS:
        paths += sorted(path for path in (root / part).rglob("*") if path.suffix in (".sql", ".yml", ".csv"))
    stamps = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    contracts = contract.load_all()
    return _rendered(root, stamps, tuple(contracts.values()))


@cache
def _rendered(
    root: Path, stamps: tuple[tuple[Path, int, int], ...], contracts: tuple[Contract, ...]
) -> dict[str, bytes]:
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path, _, _ in stamps}
    files["profiles.yml"] = _PROFILE.encode()
    files = _promised(files, contracts)
    files |= {path: text.encode() for path, text in _generated(files, {known.source: known for known in contracts})}
    return files


def _promised(files: dict[str, bytes], contracts: tuple[Contract, ...]) -> dict[str, bytes]:
    """The files without the models of sources that have no contract here, and of what is made of these alone."""
    sources, facts = {known.source for known in contracts}, {known.mart for known in contracts if known.mart}
    optional = {
        Path(path).stem: text.decode()
        for path, text in files.items()
        if path.startswith(_OF_SOURCES) and path.endswith(".sql")
    }
    gone: set[str] = set()
    while True:
        known = ({Path(path).stem for path in files if path.endswith(".sql")} | facts) - gone
        more = {
            model
            for model, text in optional.items()
            if not (set(_STAGED.findall(text)) <= sources and set(_REF.findall(text)) <= known)
        } - gone
        if not more:
            break
        gone |= more
    if not gone:
        return files
    kept = {path: text for path, text in files.items() if Path(path).stem not in gone or not path.endswith(".sql")}
    return kept | {
        path: _described(text, known)
        for path, text in kept.items()
        if path.startswith("models/") and path.endswith(".yml")
    }


def _described(text: bytes, known: set[str]) -> bytes:
    """A file of descriptions and unit tests without those of models that are not there."""
    document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for part, named in (("models", "name"), ("unit_tests", "model")):
        if part in document:
            document[part] = [
                entry
                for entry in document[part]
                if entry[named] in known and set(_REF.findall(str(entry.get("given")))) <= known
            ]
    return _dump(document).encode()


def _generated(files: dict[str, bytes], contracts: dict[str, Contract]) -> Iterator[tuple[str, str]]:
    facts = [known for known in contracts.values() if known.mart]
    present = {Path(path).stem for path in files}
    for known in contracts.values():
        if f"stg_{known.source}" not in present:
            raise P06Error("P06-BUILD-004", source=known.source, file=staging_model(known)[0])
    yield f"macros/{GENERATED}/contracts.sql", _contracts_macro(contracts)
    yield f"models/{GENERATED}/sources.yml", _dump(_sources(contracts))
    for known in facts:
        yield f"models/marts/{known.sector}/{known.mart}.sql", _fact_sql(known)
    yield f"models/marts/{GENERATED}.yml", _dump({"version": 2, "models": [_fact_model(known) for known in facts]})


def _contracts_macro(contracts: dict[str, Contract]) -> str:
    known = {
        name: {
            "source": name,
            "kind": entry.kind,
            "mart": entry.mart,
            "has_identity": entry.has_identity,
            "has_update": any(column.name == "updated_at" for column in entry.columns),
            "optional": [{"name": c.name, "span": _days(c)} for c in entry.columns if _may_be_empty(c)],
            "described": sum(1 for c in entry.columns if c.description_en and c.description_vi),
            "has_legal_basis": bool(entry.legal_basis),
            "matched": entry.is_sector_source,
            "commune_column": entry.commune_column,
            "commune_span": _days(entry.column(entry.commune_column)) if entry.commune_column else None,
            "province_column": entry.province_column,
            "province_span": _days(entry.column(entry.province_column)) if entry.province_column else None,
            "compared_commune": entry.compared_commune,
            "insurance_column": INSURANCE_COLUMN.get(name),
            "service_column": entry.service_column,
            "deceased": entry.deceased,
            "measures": [column.name for column in entry.measures],
            "columns": [{"name": column.name, "type": column.sql_type} for column in entry.columns],
        }
        for name, entry in contracts.items()
    }
    text = json.dumps(known, indent=1).replace(": null", ": none")
    return f"{{# What the contracts say, for models to derive from. #}}\n{{% macro contracts() %}}\n{{% do return({text}) %}}\n{{% endmacro %}}\n"


def tag(source: str) -> str:
    """The tag of the models that say something only of a source's rows: its fact, and whoever else bears it.

    Neither they nor the tests that look at them are run in a build that has nothing to do for the source.
    """
    return f"of_{source}"


def _fact_sql(known: Contract) -> str:
    return (
        f"{{{{ config(indexed=[['citizen_token']], tags=['{tag(known.source)}']) }}}}\n\n"
        f"-- depends on {{{{ ref('stg_{known.source}') }}}}\n{{{{ fact('{known.source}') }}}}\n"
    )


def fact_columns(known: Contract) -> tuple[MartColumn, ...]:
    """The published columns of a source's fact mart: those all facts share, then the contract's measures and codes."""
    shared = [*_SHARED, *_COMMUNE] if known.commune_column else list(_SHARED)
    own = [(c.name, c.sql_type, c.description_en, c.description_vi) for c in known.measures]
    return tuple(MartColumn(*column) for column in (*shared, *own))


def _fact_model(known: Contract) -> dict[str, Any]:
    mart = str(known.mart)
    required = ["period", "record_key", "match_method", "match_confidence"]
    required += [
        area
        for area, name in (("commune_code", known.commune_column), ("province_code", known.province_column))
        if name and (column := known.column(name)).required and not (column.since or column.until)
    ]
    required += [c.name for c in known.measures if c.required and not (c.since or c.until)]
    tests = [
        _test(f"{mart}_has_one_row_per_record", "unique_grain", "a record stands once", columns=["record_key"]),
        _test(f"{mart}_is_complete", "complete", "what the contract requires is there", columns=required),
        _test(
            f"{mart}_names_its_match_method", "one_of", "a known method", column="match_method", values=list(METHODS)
        ),
        _test(
            f"{mart}_has_a_token_when_matched",
            "always_true",
            "a token when matched, and only then",
            condition="(citizen_token is not null) = (match_method not in ('none', 'conflict'))",
        ),
        _test(
            f"{mart}_citizens_are_in_dim_citizen",
            "in_register",
            "each has a version valid in the period",
            column="citizen_token",
        ),
    ]
    tests += [
        _test(
            f"{mart}_has_{column.name}_while_it_is_required",
            "always_true",
            "what the contract requires in the period is there",
            condition=f"{column.name} is not null or not ({_in_force(column)})",
        )
        for column in known.measures
        if column.required and (column.since or column.until)
    ]
    return {
        "name": mart,
        "description": known.description_en,
        "config": {"meta": {"vi": known.description_vi}},
        "data_tests": tests,
        "columns": [_column(column) for column in fact_columns(known)],
    }


def _days(column: Column) -> list[str]:
    """The first days of the first and last period the column is in force in."""
    return [
        column.since.first_day.isoformat() if column.since else "0001-01-01",
        column.until.first_day.isoformat() if column.until else "9999-12-01",
    ]


def _may_be_empty(column: Column) -> bool:
    """Whether a sender may leave the column empty; a person's numbers are counted by themselves."""
    return not column.required and column.name not in IDENTITY


def _in_force(column: Column) -> str:
    """SQL: whether the row's period is one the contract's column is in force in."""
    since = [f"period >= date '{column.since.first_day}'"] if column.since else []
    until = [f"period <= date '{column.until.first_day}'"] if column.until else []
    return " and ".join(since + until)


def _test(name: str, kind: str, description: str, **arguments: Any) -> dict[str, Any]:
    return {kind: {"name": name, "description": description, "arguments": arguments}}


def _column(column: MartColumn) -> dict[str, Any]:
    return {
        "name": column.name,
        "data_type": column.type,
        "description": column.description_en,
        "config": {"meta": {"vi": column.description_vi}},
    }


def _sources(contracts: dict[str, Contract]) -> dict[str, Any]:
    staging = [
        {
            "name": known.source,
            "description": known.description_en,
            "config": {"meta": {"vi": known.description_vi, "owner": known.owner}},
            "columns": [
                _column(MartColumn(c.name, c.sql_type, c.description_en, c.description_vi)) for c in known.columns
            ],
        }
        for known in contracts.values()
    ]
    reference = [{"name": "dim_area"}, {"name": "area_change"}, {"name": "area_today"}]
    return {
        "version": 2,
        "sources": [
            {"name": "staging", "schema": "staging", "tables": staging},
            {"name": "vault", "schema": "vault", "tables": [{"name": "citizen_token"}, {"name": "int_linked"}]},
            {"name": "reference", "schema": "build", "tables": reference},
            {"name": "quality", "schema": "quality", "tables": [{"name": "failed_row"}]},
        ],
    }


def _dump(document: dict[str, Any]) -> str:
    return yaml.dump(document, allow_unicode=True, sort_keys=False, width=120)


@cache
def _models(content: str) -> tuple[tuple[str, Model], ...]:
    found = {}
    for path, text in _files().items():
        if not path.startswith("models/") or not path.endswith(".yml"):
            continue
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        for entry in document.get("models", ()):
            columns = tuple(
                MartColumn(c["name"], c["data_type"], c.get("description", ""), c["config"]["meta"]["vi"])
                for c in entry.get("columns", ())
                if "data_type" in c
            )
            if columns:
                vi = entry.get("config", {}).get("meta", {}).get("vi", "")
                found[entry["name"]] = Model(entry["name"], entry.get("description", ""), vi, columns)
    return tuple(sorted(found.items()))


_PROFILE = """\
p06:
  target: build
  outputs:
    build:
      type: postgres
      host: "{{ env_var('P06_DBT_HOST') }}"
      port: "{{ env_var('P06_DBT_PORT') | as_number }}"
      user: "{{ env_var('P06_DBT_USER') }}"
      password: "{{ env_var('DBT_ENV_SECRET_P06_PASSWORD') }}"
      dbname: "{{ env_var('P06_DBT_DBNAME') }}"
      sslmode: "{{ env_var('P06_DBT_SSLMODE') }}"
      schema: build
      threads: 2
      connect_timeout: 10
      keepalives_idle: 60
"""
