"""The reviewed linkage model: weights, name frequencies and thresholds, read from one versioned JSON file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import fsum
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from p06.errors import P06Error
from p06.linkage.comparison import LEVELS, Evidence
from p06.linkage.name import plain
from p06.settings import settings

FILE = "model.json"
SEXES = ("M", "F")
PARTS = ("family", "middle", "given")


@dataclass(frozen=True)
class Model:
    """What decides a link. Thresholds are match probabilities; ``hash`` is the SHA-256 of the file's content."""

    enabled: bool
    version: str
    hash: str
    link_at: float
    ask_at: float
    population: int
    """How many people the register may hold: the prior odds of a pair are one in so many."""
    evidence: Mapping[str, Mapping[str, Evidence]]
    names: Mapping[str, Mapping[str, Mapping[str, float]]]
    """Part of the name -> sex -> value -> share of the people of that sex; values with tone marks."""
    floors: Mapping[str, float]
    """Part of the name -> the share taken for a value the table lacks: an unknown name is not a rare one."""
    given_near: float
    """How likely two strangers' given names are one keystroke apart."""
    about: Mapping[str, Any]
    """How the file was made and what its evaluation found."""

    @cached_property
    def frequencies(self) -> pa.Table:
        """part, form (toned, plain, initial), sex (M, F, U), value, share; U is the mean of both sexes."""
        rows: list[tuple[str, str, str, str, float]] = []
        for part in PARTS:
            by_sex = {sex: self.names[part][sex] for sex in SEXES}
            values = sorted(set().union(*by_sex.values()))
            by_sex["U"] = {value: fsum(by_sex[sex].get(value, 0.0) for sex in SEXES) / 2 for value in values}
            for form, read in (("toned", str), ("plain", plain), ("initial", lambda value: plain(value)[:1])):
                for sex, shares in by_sex.items():
                    together: dict[str, list[float]] = {}
                    for value in values:
                        together.setdefault(read(value), []).append(shares.get(value, 0.0))
                    floor = self.floors[part]
                    rows += [(part, form, sex, value, max(fsum(found), floor)) for value, found in together.items()]
        columns = list(zip(*sorted(rows), strict=True))
        return pa.table(dict(zip(("part", "form", "sex", "value", "share"), columns, strict=True)))


def load(path: Path | None = None) -> Model:
    """The model in ``path``, by default ``model.json`` in the linkage folder.

    Raises P06-LINK-001 when there is no such file or it is no JSON, P06-LINK-002 when something in it is missing or
    out of range.
    """
    path = path or settings().linkage / FILE
    try:
        content = path.read_bytes()
        stated = orjson.loads(content)
    except (OSError, orjson.JSONDecodeError):
        raise P06Error("P06-LINK-001", file=path.name) from None
    try:
        return read(stated, hashlib.sha256(content).hexdigest())
    except (KeyError, TypeError, ValueError, AttributeError):
        raise P06Error("P06-LINK-002", file=path.name) from None


def read(stated: Mapping[str, Any], hash: str) -> Model:
    """A model from the file's content. Raises KeyError, TypeError, ValueError for what does not fit."""
    evidence = {
        comparison: {
            level: Evidence(float(stated["evidence"][comparison][level]["m"]), float(stated["evidence"][comparison][level]["u"]))
            for level in levels
        }
        for comparison, levels in LEVELS.items()
    }  # fmt: skip
    model = Model(
        enabled=_flag(stated["enabled"]),
        version=str(stated["version"]),
        hash=hash,
        link_at=float(stated["link_at"]),
        ask_at=float(stated["ask_at"]),
        population=int(stated["population"]),
        evidence=evidence,
        names={
            part: {sex: {str(k): float(v) for k, v in stated["names"][part][sex].items()} for sex in SEXES}
            for part in PARTS
        },
        floors={part: float(stated["floors"][part]) for part in PARTS},
        given_near=float(stated["given_near"]),
        about=stated.get("about", {}),
    )
    weights = [weight for levels in evidence.values() for item in levels.values() for weight in (item.m, item.u)]
    shares = [*model.floors.values(), model.given_near]
    if (
        not 0.5 <= model.link_at < 1
        or not 0 < model.ask_at <= model.link_at
        or model.population < 1
        or not all(0 < weight <= 1 for weight in [*weights, *shares])
    ):
        raise ValueError
    return model


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value
