"""A model's weights, counted from a register and from records whose number has already settled whom they mean.

Nothing here asks who a record truly means. **u** (agreement of strangers) is counted on random pairs of citizens; the
frequencies of names take its place for names. **m** (agreement of one person's record and register entry) is counted
on the rows the cascade settled by citizen ID; for the number itself on rows that state an unknown number while their
name, birth date, sex and commune belong to one citizen alone. What no count can give, because it is too rare, is
stated below with its reason.
"""

from __future__ import annotations

from math import fsum
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from p06.calibration import country, slip
from p06.calibration.cascade import Settled, settle
from p06.calibration.evaluation import Evaluation, evaluate
from p06.calibration.slip import Records
from p06.linkage import feature
from p06.linkage.comparison import LEVELS, Evidence
from p06.linkage.engine import engine
from p06.linkage.model import PARTS, SEXES, Model, read
from p06.linkage.name import plain
from p06.linkage.verdict import scorer
from p06.synth.chance import generator

VERSION = "2026-11"
POPULATION = 100_000_000
LINK_AT, ASK_AT = 0.97, 0.05
FLOORS = {"family": 0.0005, "middle": 0.002, "given": 0.001}
"""An unknown name counts as frequent as one in two thousand (five hundred, one thousand) people's."""
_FEWEST_BEARERS = 5  # a name of fewer people could point to one of them
_PAIRS, _PAIRS_A_CITIZEN, _PAIRS_AT_ONCE = 3_000_000, 15, 500_000
_STATED: dict[str, dict[str, Evidence]] = {
    # u by reckoning. Beyond sex and birth year, which are compared by themselves, a number holds a place (three digits,
    # the same for six in ten of one commune) and six random digits: one of them off 54 in a million, two of them 1215.
    # A number that is in the register never comes here, so "same" is for callers who did not ask it.
    "citizen_id": {
        "same": Evidence(0.5, 1e-6),
        "one_digit": Evidence(0.0, 4e-5),
        "same_serial": Evidence(0.0, 1e-6),
        "two_digits": Evidence(0.0, 1.2e-3),
        "other": Evidence(0.0, 0.998),
    },
    # old numbers were given twice now and then: one pair in ten million instead of one in a thousand million
    "old_id": {"same": Evidence(0.0, 1e-7), "one_digit": Evidence(0.0, 2e-7), "other": Evidence(0.0, 1.0)},
    # By chance alone one stranger in 1e12 has the birth date, sex and commune and nearly the name; one person in a
    # hundred has a twin, which is one pair in 1e10 of a nation: beside them chance is one in a hundred.
    "twin": {"alike": Evidence(0.01, 1.0), "other": Evidence(1.0, 1.0)},
}


def train(citizens: int, seed: int, tried: bool = True) -> bytes:
    """The content of a model file, trained on a synthetic country: the same arguments give the same bytes.

    ``tried`` adds what it finds in countries of another seed, one for each crowding.

    Raises UsageError P06-LINK-005 for fewer than a thousand citizens.
    """
    nation = country.found(citizens, seed)
    records = slip.type_records(nation, seed)
    register = nation.register()
    settled = settle(nation, register, records, "cascade")
    stated = count(register, records, settled, seed)
    stated["about"] = {
        "trained_by": f"p06 linkage train --citizens {citizens} --seed {seed}",
        "people": len(nation),
        "rows_settled_by_number": sum(method in ("id", "previous_id") for method in settled.method),
        "pairs_of_strangers": _pairs(register),
    }
    model = read(stated, "")
    crowds = country.CROWDS if tried else ()
    stated["about"]["evaluation"] = [_brief(evaluate(model, citizens, seed + 1, crowd)) for crowd in crowds]
    return orjson.dumps(stated, option=orjson.OPT_INDENT_2) + b"\n"


def _brief(found: Evaluation) -> dict[str, Any]:
    """What the model's file says of a trial on people it was not trained on; no times, which are never the same."""
    return {
        "seed": found.seed,
        "crowd": found.crowd,
        **{score.method: {"precision": round(score.precision, 5), "recall": round(score.recall, 5)} for score in found.scores},
        "linkage": found.linkage.as_dict(),
        "asked": found.asked,
        "asked_right": found.asked_right,
        "wrong_by_kind": found.wrong_by_kind,
    }  # fmt: skip


def count(register: pa.Table, records: Records, settled: Settled, seed: int) -> dict[str, Any]:
    """The model's content: names, evidence, thresholds; ``enabled`` is false until someone reviewed it."""
    stated: dict[str, Any] = {
        "version": VERSION,
        "enabled": False,
        "population": POPULATION,
        "link_at": LINK_AT,
        "ask_at": ASK_AT,
        "floors": FLOORS,
        "names": _names(register),
    }
    stated["given_near"] = _given_near(stated["names"]["given"])
    flat = {comparison: {level: {"m": 0.5, "u": 0.5} for level in levels} for comparison, levels in LEVELS.items()}
    model = read(stated | {"evidence": flat}, "")
    strangers = _levels_of_strangers(model, register, seed)
    by_number = np.flatnonzero([method in ("id", "previous_id") for method in settled.method])
    own = _levels(model, register, records.table, by_number, settled.root[by_number])
    rows, roots = _sure_without_number(register, records.table, settled)
    numbers = _levels(model, register, records.table, rows, roots)
    evidence = {
        comparison: {
            level: {
                "m": _round(_m(comparison, level, numbers if comparison == "citizen_id" else own)),
                "u": _round(_u(comparison, level, strangers)),
            }
            for level in levels
        }
        for comparison, levels in LEVELS.items()
    }
    return stated | {"evidence": evidence}


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def _names(register: pa.Table) -> dict[str, dict[str, dict[str, float]]]:
    """Shares of each part of the name among the people of each sex; names of a handful of people are left out."""
    counts: dict[str, dict[str, dict[str, int]]] = {part: {sex: {} for sex in SEXES} for part in PARTS}
    people = dict.fromkeys(SEXES, 0)
    for name, sex in zip(register["name"].to_pylist(), register["sex"].to_pylist(), strict=True):
        words = name.split(" ")
        people[sex] += 1
        for part, value in zip(PARTS, (words[0], " ".join(words[1:-1]), words[-1]), strict=True):
            tally = counts[part][sex]
            tally[value] = tally.get(value, 0) + 1
    return {
        part: {
            sex: {
                value: round(number / people[sex], 6)
                for value, number in sorted(counts[part][sex].items())
                if number >= _FEWEST_BEARERS
            }
            for sex in SEXES
        }
        for part in PARTS
    }


def _given_near(given: dict[str, dict[str, float]]) -> float:
    """How likely two strangers of one sex bear given names one keystroke apart."""
    values = sorted({plain(value) for shares in given.values() for value in shares})
    with engine() as connection:
        connection.register("names", pa.table({"name": values}))
        near = connection.sql(
            "select a.name, b.name from names as a, names as b "
            "where a.name <> b.name and damerau_levenshtein(a.name, b.name) <= 1 order by all"
        ).fetchall()
    found = []
    for sex in SEXES:
        together: dict[str, float] = {}
        for value, share in given[sex].items():
            together[plain(value)] = together.get(plain(value), 0.0) + share
        found.append(fsum(together.get(one, 0.0) * together.get(other, 0.0) for one, other in near))
    return _round(max(*found, 0.001))


def _pairs(register: pa.Table) -> int:
    """How many pairs of strangers are counted."""
    return min(_PAIRS, _PAIRS_A_CITIZEN * len(register))


def _levels_of_strangers(model: Model, register: pa.Table, seed: int) -> dict[str, dict[str, int]]:
    """Comparison -> level -> pairs of two different citizens drawn at random."""
    draw = generator(seed, "strangers")
    size = len(register)
    one, other = draw.integers(0, size, _pairs(register)), draw.integers(0, size, _pairs(register))
    other = np.where(one == other, (other + 1) % size, other)
    records = register.rename_columns(["record", *register.column_names[1:]])
    return _count(model, register, records, one, register["root"].to_numpy()[other], register["root"].to_numpy()[one])


def _levels(model: Model, register: pa.Table, records: pa.Table, rows: Any, roots: Any) -> dict[str, dict[str, int]]:
    """Comparison -> level -> pairs of the records in ``rows`` and the citizens ``roots``."""
    return _count(model, register, records, rows, roots, records["record"].to_numpy()[rows])


def _count(
    model: Model, register: pa.Table, records: pa.Table, rows: Any, roots: Any, keys: Any
) -> dict[str, dict[str, int]]:
    pairs = pa.table({"root": pa.array(roots, pa.int64()), "record": pa.array(keys, pa.int64())})
    with engine() as connection:
        connection.register("given_citizen", register)
        connection.register("given_record", records.take(pa.array(np.unique(rows))))
        feature.prepare(connection, model)
        feature.build(connection, "record", "given_record", "record", model)
        feature.build(connection, "citizen", "given_citizen", "root", model)
        score = scorer(connection, model.evidence, 0.5, keep=True)
        total: dict[str, dict[str, int]] = {}
        for part, first in enumerate(range(0, len(pairs), _PAIRS_AT_ONCE)):
            connection.register("given_pair", pairs.slice(first, _PAIRS_AT_ONCE))
            connection.execute(
                f"create table pair_{part} as select distinct 'citizen-__-' || root as join_key_l, "
                "'record-__-' || record as join_key_r, '0' as match_key from given_pair"
            )
            scores = score(f"pair_{part}")
            for name, counts in _tally(connection, scores).items():
                so_far = total.setdefault(name, dict.fromkeys(counts, 0))
                for level, number in counts.items():
                    so_far[level] += number
            connection.execute(f"drop table {scores}")
            connection.execute(f"drop table pair_{part}")
    return total


def _tally(connection: Any, scores: str) -> dict[str, dict[str, int]]:
    """Comparison -> level -> pairs; and of the records written in one way all, and those that agree fully."""
    found: dict[str, dict[str, int]] = {}
    for comparison, levels in LEVELS.items():
        counted = dict(
            connection.sql(f"select gamma_{comparison}, count(*) from {scores} group by all").fetchall()
        )  # Splink numbers the levels from the weakest, 0; nothing stated is -1
        found[comparison] = {level: counted.get(at, 0) for at, level in enumerate(reversed(levels))}
    full = len(LEVELS["name"]) - 1
    for level, condition in _WAYS.items():
        every, agree = connection.sql(
            f"select count(*), count(*) filter (s.gamma_name = {full}) from {scores} as s "
            f"inner join record as r on r.unique_id = s.unique_id_r where {condition}"
        ).fetchall()[0]
        found[f"written {level}"] = {"all": every, "full": agree}
    return found


_WAYS = {
    "bare": "bare",
    "middle_missing": "middle = '' and not bare",
    "initials": "short and not bare",
    "same_placeholder": "placeholder",
    "placeholder": "placeholder",
}
"""Level -> the records it is for: its chances are those among records written so, on both sides of the odds."""


def _m(comparison: str, level: str, own: dict[str, dict[str, int]]) -> float:
    """The share of a person's own pairs at a level."""
    if comparison == "twin" or (comparison, level) == ("citizen_id", "same"):
        return _STATED[comparison][level].m
    return _share(comparison, level, own)


def _u(comparison: str, level: str, strangers: dict[str, dict[str, int]]) -> float:
    """The share of strangers at a level; 1 where the frequency of what agreed stands for it."""
    if comparison in _STATED:
        return _STATED[comparison][level].u
    if comparison == "name" and level != "other":
        return 1.0
    return _share(comparison, level, strangers)


def _share(comparison: str, level: str, counts: dict[str, dict[str, int]]) -> float:
    """Pairs at a level among all that could be, one half added to each count so that nothing is impossible."""
    counted, way = counts[comparison], counts.get(f"written {level}")
    if way is not None:
        every = way["all"] - (way["full"] if comparison == "name" else 0)
        return min((counted[level] + 0.5) / (every + 1), 0.99)
    every = sum(number for other, number in counted.items() if f"written {other}" not in counts)
    return (counted[level] + 0.5) / (every + len(counted) / 2)


def _sure_without_number(register: pa.Table, records: pa.Table, settled: Settled) -> tuple[Any, Any]:
    """Open rows that state a number, whose name, birth date, sex and commune belong to one citizen: rows and roots."""
    with engine() as connection:
        connection.register("citizen", register)
        connection.register("record", records.take(pa.array(np.flatnonzero(settled.open))))
        found = connection.sql(
            """
            select r.record, min(c.root) as root
            from record as r
            inner join citizen as c
                on c.name = r.name and c.birth_date = r.birth_date and c.sex = r.sex and c.commune = r.commune
            where r.citizen_id is not null
            group by r.record
            having count(*) = 1
            order by r.record
            """
        ).to_arrow_table()
    return found["record"].to_numpy(), found["root"].to_numpy()
