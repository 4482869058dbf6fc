"""Limits are numbers with a default; a delivery beyond one is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.readers import manifest_of
from tests.sender import Sender, visits

from p06 import contract, header, manifest, readers, workers
from p06.errors import Refused, UsageError
from p06.limits import Limits, limits
from p06.reading import LINES, Reading


@pytest.fixture(autouse=True)
def _fresh() -> object:
    limits.cache_clear()
    yield
    limits.cache_clear()


def test_a_variable_changes_one_limit_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P06_LIMIT_ROWS", "7")
    assert limits() == Limits(rows=7)


@pytest.mark.parametrize("stated", ["", "0", "-1", "1e9", "many", "٣"])
def test_a_limit_that_is_no_whole_number_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, stated: str) -> None:
    monkeypatch.setenv("P06_LIMIT_RATIO", stated)
    with pytest.raises(UsageError, match=r"P06-CONFIG-001 .*P06_LIMIT_RATIO"):
        limits()


@pytest.mark.parametrize("stated", ["", "-1", "two", "1.5", "65"])
def test_a_number_of_workers_that_is_none_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stated: str
) -> None:
    _, found = manifest.read(Sender(tmp_path).rows(visits(2)))
    monkeypatch.setenv("P06_WORKERS", stated)
    with pytest.raises(UsageError, match=r"P06-CONFIG-001 .*P06_WORKERS"):
        workers.worth(found)
    monkeypatch.setenv("P06_WORKERS", "0")
    assert workers.worth(found) == 0


def test_more_rows_than_the_limit_refuse_the_delivery(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("P06_LIMIT_ROWS", "2")
    assert manifest.read(Sender(tmp_path).rows(visits(2), name="two"))
    with pytest.raises(Refused) as refused:
        manifest.read(Sender(tmp_path).rows(visits(3), name="three"))
    assert [one.code for one in refused.value.mismatches] == ["P06-LOAD-049"]


def test_more_columns_than_the_limit_refuse_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P06_LIMIT_COLUMNS", "20")
    names = [column.physical_name for column in contract.load("health_visit").columns]
    assert header.compare(contract.load("health_visit"), names, 1) == []
    found = header.compare(contract.load("health_visit"), [*names, *map(str, range(9))], 1)
    assert [one.code for one in found] == ["P06-LOAD-049"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_lines_set_aside_one_by_one_come_in_blocks_of_bounded_number(tmp_path: Path, kind: str) -> None:
    path, shape = tmp_path / "part", contract.load("health_visit")
    names = ",".join(column.physical_name for column in shape.columns)
    path.write_bytes(names.encode() + b"\n" * 400_000 if kind == "csv" else b"\n" * 400_000)
    stated = manifest_of(kind, path)
    reader = readers.reader(shape, stated, Reading(stated.files[0], path, "none"))
    if kind == "csv":
        assert reader.header() == []
    counts = [len(block.unsound) for block in reader.blocks()]
    assert sum(counts) == reader.seen == (399_999 if kind == "csv" else 400_000)
    assert max(counts) <= 2 * LINES
