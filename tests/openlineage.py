"""Whether an event is what OpenLineage's specification asks for, by the classes its own client generates from it."""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache
from typing import Any

import attr
import jsonschema
from openlineage.client import generated

_FACETS = {"type": "object", "additionalProperties": {"type": "object", "required": ["_producer", "_schemaURL"]}}
_NAMED = {"namespace": {"type": "string", "minLength": 1}, "name": {"type": "string", "minLength": 1}}


def _dataset(own: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["namespace", "name"],
        "properties": {**_NAMED, "facets": _FACETS, own: _FACETS},
        "additionalProperties": False,
    }


ENVELOPE: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["eventTime", "producer", "schemaURL", "run", "job"],
    "additionalProperties": False,
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": {"type": "string", "pattern": "^[a-z]+:"},
        "schemaURL": {"const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"},
        "run": {
            "type": "object",
            "required": ["runId"],
            "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": _FACETS},
        },
        "job": {"type": "object", "required": ["namespace", "name"], "properties": {**_NAMED, "facets": _FACETS}},
        "inputs": {"type": "array", "items": _dataset("inputFacets")},
        "outputs": {"type": "array", "items": _dataset("outputFacets")},
    },
}


@cache
def classes() -> dict[str, Any]:
    """URL of its schema -> the class of a facet."""
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for known in vars(importlib.import_module(f"openlineage.client.generated.{module.name}")).values():
            if isinstance(known, type) and "_get_schema" in vars(known):
                found[known._get_schema()] = known  # type: ignore[attr-defined]
    return found


def check(event: dict[str, Any]) -> None:
    """Raises when the event, or a facet of the specification in it, is not as its schema asks."""
    jsonschema.validate(event, ENVELOPE, format_checker=jsonschema.FormatChecker())
    places = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    for place in places:
        for kind in ("facets", "inputFacets", "outputFacets"):
            for name, facet in place.get(kind, {}).items():
                _facet(name, facet, kind)


def _facet(name: str, facet: dict[str, Any], kind: str) -> None:
    if not facet["_schemaURL"].startswith("https://openlineage.io/"):
        assert re.fullmatch(r"p06_[a-z_]+", name), f"a facet of our own bears our name: {name}"
        return
    known = classes()[facet["_schemaURL"]]
    written = re.sub(r"(Input|Output)?(Dataset|Run|Job)Facet$", "", known.__name__)
    assert name == {"DatasetVersion": "version"}.get(written, written[0].lower() + written[1:])
    _build(known, {key: value for key, value in facet.items() if not key.startswith("_")})


def _build(known: Any, content: dict[str, Any]) -> None:
    """Make the object of a facet; unknown and missing fields raise, and so do those of the objects in its lists."""
    known(**content)
    for field in attr.fields(known):
        inner = re.findall(r"list\[(\w+)\]", str(field.type))
        value = content.get(field.name)
        if inner and isinstance(value, list):
            module = importlib.import_module(known.__module__)
            for one in value:
                if hasattr(module, inner[0]):
                    _build(getattr(module, inner[0]), one)
