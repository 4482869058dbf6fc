"""The three files of a new source: a contract to fill in, the staging model and the suite that go with it.

Whatever is left out is filled with words that say they are still to be written, so that what is written is a whole
valid source at once: it loads, and the conformance tests pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from p06 import codelist, contract, project
from p06.contract import Classification, ContractError, SourceKind
from p06.errors import UsageError
from p06.settings import settings

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FIELD = re.compile(r"(?P<name>[a-z][a-z0-9_]{0,62})(?P<marks>[!*]*)")
_TYPE = re.compile(r"(?P<type>[a-z0-9_]+)(?:\((?P<inner>[^()]*)\))?(?P<words>( +[a-z_0-9.>=<]+)*)")
_LOGICAL = {"id12": "string", "timestamptz": "timestamp", "numeric": "number", "integer": "integer", "date": "date"}
_PERSONS = '      - "Law 91/2025/QH15 and Decree 356/2025 (personal data protection, from 2026-01-01; basis: statutory task)"\n'
_WIDTHS = {codelist.COMMUNE: codelist.COMMUNE_WIDTH, codelist.PROVINCE: 2}
_KINDS = {
    "register": "register: the month's changes",
    "state": "state: everything as it stands at the end of the period",
    "events": "events: what happened in the period",
}


@dataclass(frozen=True)
class Field:
    """One column as a sender names it: ``name[!][*]:type[:English[:Tiếng Việt]]``.

    ``!`` a part of the key (and required), ``*`` required. The type is one of the contract's, ``enum(a=Words=Chữ,b)``
    with or without labels, or the name of a code list (``commune``); after it may stand ``>=N``, ``<=N`` and a
    classification, which is ``basic`` when none is stated and ``identifier`` for a key of text.
    """

    name: str
    type: str  # as the contract writes it, an enumeration without its values
    key: bool = False
    required: bool = False
    classification: Classification = "basic"
    values: tuple[tuple[str, str, str], ...] = ()  # of an enumeration: value, English, Vietnamese
    codelist: str | None = None
    minimum: str | None = None
    maximum: str | None = None
    english: str = ""
    vietnamese: str = ""
    own: tuple[str, ...] = field(default=())  # further custom properties, as YAML

    @classmethod
    def parse(cls, text: str) -> Field:
        """Raises UsageError P06-CLI-012 on what cannot be a column."""
        name, type_text, english, vietnamese = ([part.strip() for part in text.split(":", 3)] + [""] * 3)[:4]
        named, typed = _FIELD.fullmatch(name), _TYPE.fullmatch(type_text)
        if not named or not typed:
            raise UsageError("P06-CLI-012")
        type_, inner, words = typed["type"], typed["inner"], typed["words"].split()
        bounds = {word[:2]: word[2:] for word in words if word[:2] in (">=", "<=")}
        classes = [word for word in words if word[:2] not in (">=", "<=")]
        if len(classes) > 1 or not set(classes) <= set(get_args(Classification)):
            raise UsageError("P06-CLI-012")
        key = "!" in named["marks"]
        listed = type_ if type_ not in {*_LOGICAL, "text", "code", "enum"} else None
        if listed is not None:
            if not codelist.exists(listed):
                raise UsageError("P06-CLI-012")
            type_, inner = "code", str(_WIDTHS[listed]) if listed in _WIDTHS else None
        values = tuple(_labelled(part) for part in (inner or "").split(",")) if type_ == "enum" else ()
        return cls(
            name=named["name"],
            type=type_ if inner is None or values else f"{type_}({inner})",
            key=key,
            required=key or "*" in named["marks"],
            classification=classes[0] if classes else ("identifier" if key and type_ == "text" else "basic"),  # type: ignore[arg-type]
            values=values,
            codelist=listed,
            minimum=bounds.get(">="),
            maximum=bounds.get("<="),
            english=english or named["name"].replace("_", " ").capitalize(),
            vietnamese=vietnamese or f"Cột {named['name']} (chưa mô tả)",
        )

    def yaml(self, position: int) -> str:
        """The column as the contract writes it; ``position`` within the key, when it is a part of it."""
        base = self.type.partition("(")[0]
        size = re.fullmatch(r"code\(([0-9]+)\)", self.type)
        options = {
            "minLength": size[1] if size else None,
            "maxLength": size[1] if size else "64" if self.type == "text" else None,
            "format": "yyyy-MM-dd" if base == "date" else None,
            "timezone": "true" if base == "timestamptz" else None,
            "minimum": self.minimum,
            "maximum": self.maximum,
        }
        stated = [f"          {name}: {value}" for name, value in options.items() if value is not None]
        lines = [
            f"      - name: {self.name}",
            f'        description: "{self.english}"',
            f"        logicalType: {_LOGICAL.get(base, 'string')}",
            f"        physicalType: {self.type}",
            f"        required: {str(self.required).lower()}",
            *(["        primaryKey: true", f"        primaryKeyPosition: {position}"] if self.key else []),
            f"        classification: {self.classification}",
            *(["        logicalTypeOptions:", *stated] if stated else []),
            *(["        enum:"] if self.values else []),
            *(
                f'          - {{value: "{value}", label: "{label}", '
                f'customProperties: [{{property: labelVi, value: "{label_vi}"}}]}}'
                for value, label, label_vi in self.values
            ),
            "        customProperties:",
            f'          - {{property: descriptionVi, value: "{self.vietnamese}"}}',
            *([f"          - {{property: codelist, value: {self.codelist}}}"] if self.codelist else []),
            *(f"          - {one}" for one in self.own),
            *(["          - {property: inMart, value: true}"] if self.published else []),
        ]
        return "\n".join(lines) + "\n"

    @property
    def published(self) -> bool:
        """Whether the fact mart carries it: never an identifier, nor the province, which every mart has of its own."""
        return self.classification != "identifier" and self.name not in contract.MART_RESERVED


def write(
    name: str,
    sector: str,
    kind: SourceKind = "state",
    fields: tuple[Field, ...] = (),
    identity: bool = True,
) -> list[Path]:
    """Write the three files and return their paths, in the order they are filled in.

    Raises UsageError P06-CLI-002 on a name that cannot be an identifier, P06-CLI-003 when the source exists,
    P06-CLI-012 when the contract cannot hold the columns stated; nothing is left behind then.
    """
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(sector):
        raise UsageError("P06-CLI-002")
    agreement = settings().contracts / f"{name}{contract.SUFFIX}"
    suite = settings().expectations / "sources" / f"{name}.yaml"
    if agreement.exists() or suite.exists():
        raise UsageError("P06-CLI-003", source=name)
    if not any(one.key for one in fields):
        fields = (_RECORD_NO, *fields)
    agreement.write_text(_agreement(name, sector, kind, fields, identity), encoding="utf-8")
    try:
        known = contract.parse(agreement)
    except ContractError as error:
        agreement.unlink()
        raise UsageError("P06-CLI-012", column=error.where.get("column"), because=error.code) from None
    path, text = project.staging_model(known)
    model = settings().dbt_project / path
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_text(text, encoding="utf-8")
    include = ["extract", *(["identity"] if identity else []), *(["areas"] if known.commune_column else [])]
    words = {"NAME": name, "OWNER": sector.replace("_", "-"), "INCLUDE": ", ".join(include)}
    suite.write_text(_template("suite.yaml", **words), encoding="utf-8")
    return [agreement, model, suite]


def _agreement(name: str, sector: str, kind: SourceKind, fields: tuple[Field, ...], identity: bool) -> str:
    keys = [one.name for one in fields if one.key]
    commune = next((one.name for one in fields if one.codelist == codelist.COMMUNE), None)
    province = next((one.name for one in fields if one.codelist == codelist.PROVINCE), None)
    columns = _template("identity.yaml") if identity else ""
    columns += "".join(one.yaml(keys.index(one.name) + 1 if one.key else 0) for one in fields)
    areas = f"  - {{property: communeColumn, value: {commune}}}\n" if commune else ""
    areas += f"  - {{property: provinceColumn, value: {province}}}\n" if province and not commune else ""
    return _template(
        "source.odcs.yaml",
        KIND_WORDS=_KINDS[kind],
        KIND=kind,
        AREAS=areas,
        PERSONS=_PERSONS if identity else "",
        COLUMNS=columns,
        NAME=name,
        SECTOR=sector,
    )


def _labelled(part: str) -> tuple[str, str, str]:
    value, english, vietnamese = ([one.strip() for one in part.split("=", 2)] + ["", ""])[:3]
    english = english or value.replace("_", " ").capitalize()
    return value, english, vietnamese or english


def _template(file: str, **words: str) -> str:
    text = (Path(__file__).parent / "templates" / file).read_text(encoding="utf-8")
    for name, value in words.items():
        text = text.replace(f"@{name}@", value)
    return text


_RECORD_NO = Field.parse("record_no!:text:Number of the record at the sender:Số bản ghi của bên gửi")
