"""Errors with stable codes. What a code means, and the next step, stands in ``messages/*.yaml`` in two languages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def messages() -> dict[str, dict[str, str]]:
    """Code -> {en, vi, next_en, next_vi}; codes of errors (``P06-LOAD-014``) and reasons of rows (``key_conflict``)."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted((Path(__file__).parent / "messages").glob("*.yaml")):
        found |= yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return found


class P06Error(Exception):
    """An error a person can act on. ``where`` holds names and numbers only, never a value from the data."""

    exit_code = 1

    def __init__(self, code: str, **where: Any) -> None:
        if code not in messages():
            raise KeyError(code)
        self.code = code
        self.where = where
        super().__init__(f"{code} {self.what()}")

    def what(self, language: str = "en") -> str:
        """The message, with the place it speaks of."""
        text = messages()[self.code][language]
        place = ", ".join(f"{name} {value}" for name, value in self.where.items() if value is not None)
        return f"{text} ({place})" if place else text

    def next_step(self, language: str = "en") -> str:
        """The command or action that mends it."""
        return messages()[self.code].get(f"next_{language}", "")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.code, self.where)


def _rebuild(cls: type[P06Error], code: str, where: dict[str, Any]) -> P06Error:
    return cls(code, **where)


class UsageError(P06Error):
    """The command was called wrongly."""

    exit_code = 2


class GateBlocked(P06Error):
    """A gate said no."""

    exit_code = 3


class Refused(P06Error):
    """A delivery was refused whole; ``mismatches`` names each reason as (code, where)."""

    exit_code = 4

    def __init__(self, code: str, mismatches: Sequence[P06Error] = (), **where: Any) -> None:
        super().__init__(code, **where)
        self.mismatches = tuple(mismatches)


class NotReady(P06Error):
    """A due source is missing."""

    exit_code = 5


class Waiting(P06Error):
    """A build waits for a person's answer, or was answered with no."""

    exit_code = 5


class Busy(P06Error):
    """Another run holds the period."""

    exit_code = 6
