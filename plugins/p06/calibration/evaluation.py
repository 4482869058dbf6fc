"""What each way of matching finds: precision, recall, F1, the wrong links by kind, and the time it takes."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from p06.calibration import country, slip
from p06.calibration.cascade import NOBODY, Settled, settle
from p06.calibration.country import Nation
from p06.calibration.slip import Records
from p06.linkage import Model, link
from p06.synth.chance import Ints, Mask


@dataclass(frozen=True)
class Score:
    """Counts of one way of matching. A record is found when it is matched to the person it means."""

    method: str
    records: int
    matched: int
    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """Right ones among the matched."""
        return self.right / self.matched if self.matched else 1.0

    @property
    def recall(self) -> float:
        """Right ones among the records of people the register holds."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Counts and shares."""
        return asdict(self) | {name: round(getattr(self, name), 5) for name in ("precision", "recall", "f1")}


@dataclass(frozen=True)
class Evaluation:
    """Every way's score over all records; the linkage's over the records the cascade left open."""

    citizens: int
    seed: int
    crowd: str
    scores: tuple[Score, ...]
    linkage: Score
    asked: int
    """Open records shown to a steward; ``asked_right`` of them with the right person among the candidates."""
    asked_right: int
    wrong_by_kind: dict[str, int]
    open_by_kind: dict[str, tuple[int, int, int]]
    """Kind of slip -> (open records, linked rightly, asked with the right one among them)."""
    cpu_seconds_per_million: float
    open_share: float

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {
            "scores": [score.as_dict() for score in self.scores],
            "linkage": self.linkage.as_dict(),
        }


def evaluate(model: Model, citizens: int, seed: int, crowd: str = "none") -> Evaluation:
    """Try the model on a country and records of a seed. Raises UsageError P06-LINK-005, P06-LINK-007."""
    nation = country.found(citizens, seed, crowd)
    records = slip.type_records(nation, seed)
    register = nation.register()
    scores = []
    for method in ("id", "name_birth", "cascade"):
        settled = settle(nation, register, records, method)
        scores.append(_score(method, nation, records, settled.root))
    return judge(model, nation, records, register, settled, tuple(scores), citizens, seed, crowd)


def judge(
    model: Model,
    nation: Nation,
    records: Records,
    register: pa.Table,
    settled: Settled,
    scores: tuple[Score, ...],
    citizens: int,
    seed: int,
    crowd: str,
) -> Evaluation:
    """Link what the cascade left open, and count."""
    open_rows = np.flatnonzero(settled.open)
    begun = time.process_time()
    found = link(records.table.take(pa.array(open_rows)), register, model)
    seconds = time.process_time() - begun
    record, root = found["record"].to_numpy(), found["root"].to_numpy()
    is_link = np.array([verdict == "link" for verdict in found["verdict"].to_pylist()], bool)
    linked = np.full(len(records.person), NOBODY, np.int64)
    linked[record[is_link]] = root[is_link]
    hit = ~is_link & (root == records.person[record])
    asked, asked_right = np.unique(record[~is_link]), np.unique(record[hit])
    total = np.where(settled.open, linked, settled.root)
    return Evaluation(
        citizens,
        seed,
        crowd,
        (*scores, _score("cascade and linkage", nation, records, total)),
        _score("linkage", nation, records, linked, settled.open),
        len(asked),
        len(asked_right),
        _wrong_by_kind(nation, records, linked),
        _by_kind(nation, records, settled.open, linked, asked_right),
        seconds / len(records.person) * 1e6,
        len(open_rows) / len(records.person),
    )


def _score(method: str, nation: Nation, records: Records, root: Ints, among: Mask | None = None) -> Score:
    chosen = np.ones(len(root), bool) if among is None else among
    matched = chosen & (root >= 0)
    right = matched & (root == records.person)
    missed = chosen & nation.present[records.person] & ~right
    return Score(
        method,
        int(chosen.sum()),
        int(matched.sum()),
        int(right.sum()),
        int((matched & ~right).sum()),
        int(missed.sum()),
    )


def _kinds(nation: Nation, records: Records, row: int) -> str:
    kin = nation.kin[records.person[row]]
    return "+".join(part for part in (kin, records.kinds[row]) if part) or "none"


def _wrong_by_kind(nation: Nation, records: Records, linked: Ints) -> dict[str, int]:
    wrong = np.flatnonzero((linked >= 0) & (linked != records.person))
    return dict(Counter(_kinds(nation, records, int(row)) for row in wrong).most_common())


def _by_kind(
    nation: Nation, records: Records, open_rows: Mask, linked: Ints, asked_right: Ints
) -> dict[str, tuple[int, int, int]]:
    asked = np.zeros(len(linked), bool)
    asked[asked_right] = True
    counts: dict[str, list[int]] = {}
    for row in np.flatnonzero(open_rows & nation.present[records.person]):
        for kind in records.kinds[row].split("+"):
            tally = counts.setdefault(kind or "none", [0, 0, 0])
            tally[0] += 1
            tally[1] += int(linked[row] == records.person[row])
            tally[2] += int(asked[row])
    return {kind: (tally[0], tally[1], tally[2]) for kind, tally in sorted(counts.items())}
