"""Credentials: what an origin asks for before it gives anything. By the name of its server, never in a contract.

``p06_<source>_<server>`` names a file ``$P06_HOME/secrets/connections/<name>.json`` (an object of texts, mode 0600),
or whatever a caller's own keeper knows by that name; Airflow's side looks among its connections first. Values are
never shown: an object prints its name only, and no error of this module quotes one.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from p06.errors import P06Error
from p06.settings import settings

LANDING = "p06_landing"  # of the store ``P06_LANDING`` names by URL
_SIZE_LIMIT = 1 << 20  # bytes


@dataclass(frozen=True)
class Credentials:
    """Texts by name: ``user``, ``password``, ``private_key``, ``host_key``, ``token``, …"""

    name: str
    values: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def get(self, field: str) -> str | None:
        """The text of that name; None when there is none or it is empty."""
        return self.values.get(field) or None

    def need(self, field: str) -> str:
        """The text of that name. Raises P06Error P06-PULL-004 naming what is missing."""
        found = self.get(field)
        if found is None:
            raise P06Error("P06-PULL-004", connection=self.name, field=field)
        return found


Find = Callable[[str], Credentials | None]

_keepers: ContextVar[tuple[Find, ...]] = ContextVar("keepers of credentials", default=())


def of(name: str) -> Credentials:
    """What is known by that name; without any values when nobody knows it. Raises P06Error P06-PULL-002, 003."""
    for find in (*_keepers.get(), from_file):
        found = find(name)
        if found is not None:
            return found
    return Credentials(name)


@contextmanager
def kept_by(find: Find) -> Iterator[None]:
    """Inside, this keeper is asked before the files are."""
    token = _keepers.set((find, *_keepers.get()))
    try:
        yield
    finally:
        _keepers.reset(token)


def folder() -> Path:
    """Where the files lie."""
    return settings().home / "secrets" / "connections"


def from_file(name: str) -> Credentials | None:
    """The file of that name. Raises P06Error P06-PULL-002 when others may read it, 003 when it is no object of texts."""
    try:
        descriptor = os.open(folder() / f"{name}.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError:
        raise P06Error("P06-PULL-003", connection=name) from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o177:
            raise P06Error("P06-PULL-002", connection=name, mode=f"{stat.S_IMODE(found.st_mode):04o}")
        content = file.read(_SIZE_LIMIT)
    values = _values(content)
    if values is None:
        raise P06Error("P06-PULL-003", connection=name)
    return Credentials(name, values)


def _values(content: bytes) -> dict[str, str] | None:
    """An object of texts; None for anything else. Called outside of any handler: its errors quote the content."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        return None
    return document
