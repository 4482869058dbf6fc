"""Seeded chance: a generator per purpose, and shares that depend on nothing but seed, purpose and index."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Shares = NDArray[np.float64]


def _words(path: tuple[object, ...]) -> list[int]:
    text = "/".join(str(part) for part in path)
    return [int.from_bytes(hashlib.sha256(text.encode()).digest()[at : at + 8], "big") for at in (0, 8)]


def generator(seed: int, *path: object) -> np.random.Generator:
    """A generator of its own for each path (source, period, purpose), so that no draw shifts another's."""
    return np.random.Generator(np.random.PCG64([seed, *_words(path)]))


def share(seed: int, purpose: str, index: NDArray[np.integer]) -> Shares:
    """A number in [0, 1) for each index: the same in every period (splitmix64 of seed, purpose, index)."""
    salt = np.uint64(_words((seed, purpose))[0])
    with np.errstate(over="ignore"):
        mixed = (index.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + salt
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def below(seed: int, purpose: str, index: NDArray[np.integer], limit: int) -> Ints:
    """A whole number in [0, limit) for each index."""
    numbers: Ints = (share(seed, purpose, index) * limit).astype(np.int64)
    return numbers


def serial(seed: int, purpose: str, index: NDArray[np.integer], places: int) -> Ints:
    """A different number of so many decimal places for each index below 10**places (an affine bijection)."""
    modulus = 10**places
    step, start = _words((seed, purpose))
    step = step % (modulus // 20) * 10 + 7  # ends in 7: prime to 2 and 5
    return np.asarray((index.astype(np.int64) % modulus * step + start % modulus) % modulus, np.int64)


def weighted(draw: np.random.Generator, weights: NDArray[np.float64], size: int) -> Ints:
    """Indices drawn by weight, with replacement."""
    limits = np.cumsum(weights)
    found = np.searchsorted(limits, draw.random(size) * limits[-1], side="right")
    return np.asarray(np.minimum(found, len(weights) - 1), np.int64)
