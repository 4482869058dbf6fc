"""A thousand publications under readers: not one read that is mixed, empty or missing."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from p06 import database, release
from tests.faults import readers
from tests.faults.readers import Look, Reader
from tests.faults.scene import APRIL, Scene, broken_promises, forge, look_at_rest

ROOT = Path(__file__).resolve().parents[2]
PUBLISHES = int(os.environ.get("P06_FAULT_PUBLISHES", "1000"))
LOOKS = int(os.environ.get("P06_FAULT_LOOKS", 100 * PUBLISHES))
AT_MOST = 5400  # seconds


class Crowd:
    """Readers of the four kinds in processes of their own."""

    def __init__(self, address: str) -> None:
        self.readers: list[Reader] = []
        self._processes = [
            (kind, subprocess.Popen(
                [sys.executable, "-m", "tests.faults.readers", address, kind],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            ))
            for kind in readers.KINDS
        ]  # fmt: skip
        for _, process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def looks(self) -> int:
        """How often they have looked until now."""
        found = 0
        for _, process in self._processes:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            found += int(process.stdout.readline())
        return found

    def disperse(self) -> None:
        """End them, and learn what they saw."""
        for kind, process in self._processes:
            told = json.loads(process.communicate()[0])
            reader = Reader("", kind)
            reader.seen = {tuple(one): count for one, count in told["seen"]}
            reader.lost, reader.worst, reader.errors = told["lost"], told["worst"], told["errors"]
            self.readers.append(reader)


@contextmanager
def crowd(address: str) -> Iterator[Crowd]:
    """A crowd that is dispersed at the end."""
    found = Crowd(address)
    try:
        yield found
    finally:
        found.disperse()


def remember(expected: dict[str, Look]) -> None:
    """What stands now is what readers must see under its vector."""
    found = look_at_rest()
    assert expected.setdefault(found[0], found) == found, "a state that came back is another one"


@pytest.mark.long
def test_a_thousand_publications_and_a_hundred_thousand_reads_without_an_anomaly(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Publications, rollbacks and cleanups one after another, until readers have looked often enough as well."""
    scene.stand("corrected")
    expected: dict[str, Look] = {}
    remember(expected)
    sources = {0: 1, 1: 2}  # a kept build with each of the two contents of April
    published, moved_back, took = 0, 0, []
    began = time.monotonic()
    with crowd(database.dsn("analyst")) as gathered:
        while published < PUBLISHES or (gathered.looks() < LOOKS and time.monotonic() - began < AT_MOST):
            content = (published + moved_back) % 2
            build_id = forge(APRIL, sources[content], publish_it=False)
            at = time.perf_counter()
            release.publish_build(build_id)
            took.append(time.perf_counter() - at)
            sources[content] = build_id
            published += 1
            remember(expected)
            if published % 5 == 0:
                release.rollback(APRIL)
                moved_back += 1
                remember(expected)
            if published % 20 == 0:
                release.clean(patience=0.5)
    seconds, found = time.monotonic() - began, gathered.readers
    looks = sum(reader.looks for reader in found)
    wrong = readers.anomalies(found, expected, numbered=True)
    vectors = {one[0] for reader in found for one in reader.seen}
    with capsys.disabled():
        print(
            f"\n{published} publications and {moved_back} rollbacks in {seconds:.0f} s under {looks} looks by"
            f" {len(found)} readers ({sum(reader.lost for reader in found)} lost), who saw {len(vectors)} states;"
            f" anomalies: {len(wrong)}; publish p50 {1000 * statistics.median(took):.0f} ms,"
            f" p99 {1000 * statistics.quantiles(took, n=100)[98]:.0f} ms; slowest look"
            f" {1000 * max(reader.worst for reader in found):.0f} ms"
        )
    assert wrong == []
    assert broken_promises() == []
    assert published >= PUBLISHES
    assert looks >= LOOKS
    assert len(vectors) > published / 4
