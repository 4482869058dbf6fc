"""Whatever a sender sends: each record ends in one place with the values it was sent with, or the delivery is refused."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings

from p06 import repeats
from p06.reading import Reading
from tests import pouring
from tests.oracle import reading as oracle
from tests.properties.deliveries import Case, cases, signs

AREAS = oracle.Areas()
CHUNK = 250
CASE_SECONDS = 20
_CHUNKS = Reading._chunks


@contextmanager
def cut(case: Case) -> Iterator[None]:
    """The pipeline in the small pieces of the case."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reading, "_chunks", lambda self, raw, size=0: _CHUNKS(self, raw, case.block))
        patch.setattr("p06.reading.BLOCK", case.block)
        for name in ("_SORTED_AT_ONCE", "_READ_AT_ONCE", "_COMPARED_AT_ONCE"):
            patch.setattr(repeats, name, case.few)
        yield


def examine(case: Case, promised: dict[str, oracle.Contract]) -> oracle.Extract | None:
    """One case against the naive reader. Raises AssertionError, or whatever the pipeline raised but a refusal."""
    contract, sign = promised[case.sent.source], signs(case.coarse)
    expected = pouring.expect(case.sent, contract, AREAS)
    with tempfile.TemporaryDirectory() as folder, cut(case), pouring.bounded(CASE_SECONDS):
        done = pouring.pour(pouring.put(Path(folder), case.sent, expected.rows), sign)
    pouring.compare(done, expected, contract, case.sent, sign)
    return expected.extract


def _examine_many(promised: dict[str, oracle.Contract], number: int, count: int) -> Counter[str]:
    """As many cases; what they held, by kind."""
    held: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=timedelta(seconds=CASE_SECONDS),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(cases(promised))
    def every(case: Case) -> None:
        extract = examine(case, promised)
        if extract is None:
            held["refused"] += 1
            return
        held.update({"staged": len(extract.staged), "duplicate": extract.duplicates})
        for reasons in extract.quarantined.values():
            held.update(reasons)

    every()
    return held


def test_no_record_is_lost_changed_or_doubled(promised: dict[str, oracle.Contract]) -> None:
    held = _examine_many(promised, 0, 300)
    kinds = {"refused", "staged", "duplicate", "key_conflict", "width", "quote_unclosed", "quote_stray", "nul_byte"}
    assert kinds | {"encoding", "type_date", "unknown_code", "id_structure", "cross_field"} <= held.keys()
    assert min(held[kind] for kind in kinds) > 4, "the sample is hollow"


@pytest.mark.long
@pytest.mark.parametrize("chunk", range(1, 41))
def test_ten_thousand_deliveries(promised: dict[str, oracle.Contract], chunk: int) -> None:
    _examine_many(promised, chunk, CHUNK)
