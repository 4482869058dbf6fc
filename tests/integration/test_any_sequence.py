"""Any permutation, repetition and correction of six periods of six sources ends in the same marts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p06 import database
from tests.integration.sequence import MONTHS, Country, Replay
from tests.oracle.compare import compare

COUNTRIES = 10
Marts = dict[str, tuple[int, str]]


class Proof:
    """Countries and what the marts of each must be, worked out once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.replay = Replay(folder / "home")
        self.known: dict[tuple[int, int], tuple[Country, Marts]] = {}

    def country(self, seed: int, citizens: int) -> tuple[Country, Marts]:
        """The country and the digest of its marts when delivered in order, after the oracle agreed."""
        if (seed, citizens) not in self.known:
            country = Country.found(self.folder / f"country-{seed}-{citizens}", citizens, seed)
            expected = self.replay.run(country, country.in_order(), gated=False)
            with database.connect("admin", autocommit=True) as connection:
                assert compare(connection, self.replay.landing, MONTHS, MONTHS[-1]) == []
            self.known[seed, citizens] = country, expected
        return self.known[seed, citizens]

    def holds(self, seed: int, citizens: int, gated: bool) -> None:
        """The claim, for one seed."""
        with self.replay.open():
            country, expected = self.country(seed % COUNTRIES, citizens)
            steps = country.sequence(seed)
            found = self.replay.run(country, steps, gated)
            print(f"seed {seed}, {citizens} citizens: {dict(self.replay.tally)}", flush=True)
            assert found == expected, [step.act for step in steps]


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    folder = tmp_path_factory.mktemp("sequence")
    folder.chmod(0o755)  # the server runs as a user of its own when the tests run as root
    made = Proof(folder)
    yield made
    made.replay.stop()


def test_a_sequence_ends_in_the_marts_of_the_plain_order(proof: Proof) -> None:
    proof.holds(10, 150, gated=False)  # with the gates: the long proofs, and test_end_to_end


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_any_sequence_ends_in_the_marts_of_the_plain_order(proof: Proof, seed: int) -> None:
    proof.holds(seed, 150 + 50 * (seed % COUNTRIES % 4), gated=seed % 11 == 0)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_a_sequence_of_a_hundred_thousand_citizens_ends_in_the_marts_of_the_plain_order(
    proof: Proof, seed: int
) -> None:
    proof.holds(seed * COUNTRIES, 100_000, gated=seed == 0)
