"""Repeats found in bounded memory against a computation that holds everything: the same rows, whatever the hashes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from p06 import repeats
from p06.repeats import ENTRY, Repeats

Row = tuple[str, str, bool]  # key, content beside it, whether it passed the rules
ROWS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.booleans()), max_size=12)


def found(files: list[list[Row]], hashes: int, piece: int) -> tuple[set[int], list[tuple[int, int, int, bytes]]]:
    """(ordinals removed, conflicts) as ``Repeats`` has them; equal keys have equal hashes, other keys may have them."""
    entries = Repeats()
    try:
        for number, rows in enumerate(files, 1):
            for start in range(0, len(rows), piece):
                some = rows[start : start + piece]
                array = np.zeros(len(some), ENTRY)
                array["hash"] = [ord(key) % hashes - 1 for key, _, _ in some]
                array["file"], array["keyed"] = number, [passed for _, _, passed in some]
                array["line"] = array["record"] = np.arange(start, start + len(some)) + 1
                array["offset"] = np.arange(start, start + len(some))
                entries.add(array)

        def read(file: int, places: Iterable[Any]) -> Iterator[tuple[bytes, dict[str, str]]]:
            for one in places:
                assert (one["file"] == file).all()
                for at in one["offset"].tolist():
                    key, rest, _ = files[file - 1][at]
                    yield f"{key},{rest}".encode(), {"key": key, "rest": rest}

        removed = entries.find(read, lambda f: f"{f['key']}\0{f['rest']}".encode(), lambda f: f["key"].encode())
        conflicts = [(one.ordinal, one.file, one.line, one.raw) for one in entries.conflicts(read)]
        assert [one.record for one in entries.conflicts(read)] == [line for _, _, line, _ in conflicts]
    finally:
        entries.close()
    places = [(number, at + 1) for number, rows in enumerate(files, 1) for at in range(len(rows))]
    assert [(f, n) for _, f, n in removed.tolist()] == [places[ordinal] for ordinal in removed["ordinal"].tolist()]
    return set(removed["ordinal"].tolist()), conflicts


def naive(files: list[list[Row]]) -> tuple[set[int], list[tuple[int, int, int, bytes]]]:
    """The same with everything in sight."""
    rows = [(number, line, row) for number, rows in enumerate(files, 1) for line, row in enumerate(rows, 1)]
    seen: set[tuple[str, str]] = set()
    removed: set[int] = set()
    by_key: dict[str, list[int]] = defaultdict(list)
    for ordinal, (_, _, (key, rest, passed)) in enumerate(rows):
        if (key, rest) in seen:
            removed.add(ordinal)
            continue
        seen.add((key, rest))
        if passed:
            by_key[key].append(ordinal)
    conflicts = sorted(ordinal for places in by_key.values() if len(places) > 1 for ordinal in places)
    return removed, [(o, rows[o][0], rows[o][1], f"{rows[o][2][0]},{rows[o][2][1]}".encode()) for o in conflicts]


@settings(max_examples=300, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))
@example([[("a", "x", True)], [], [("a", "x", False), ("a", "y", True)]], 1, 1, 1)
def test_repeats_are_those_a_plain_comparison_finds(files: list[list[Row]], hashes: int, piece: int, few: int) -> None:
    # Whether a row passed hangs on the whole row, so equal rows agree.
    verdict: dict[tuple[str, str], bool] = {}
    files = [[(k, r, verdict.setdefault((k, r), passed)) for k, r, passed in rows] for rows in files]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_SORTED_AT_ONCE", "_READ_AT_ONCE", "_COMPARED_AT_ONCE"):
            patch.setattr(repeats, name, few)
        assert found(files, hashes, piece) == naive(files)
