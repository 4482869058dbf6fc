"""Origins: where extracts come from when nobody pushes them. One module a kind; what they share stands here.

A server of the contract is an origin when its customProperties say ``pull: true``. File origins (``local``, ``s3``,
``sftp``) hold deliveries as senders write them, manifest last; a database and an HTTP API hold records, of which a
delivery is made.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

from p06 import credentials
from p06.contract import Contract
from p06.credentials import Credentials
from p06.errors import P06Error, UsageError
from p06.period import Period

FILES = ("local", "s3", "sftp")
DATABASES = ("postgresql", "postgres", "mysql", "sqlserver", "oracle")
HTTP = ("api",)
NAME_LIMIT = 200  # bytes of a name in UTF-8; the file system takes 255, and pulled deliveries may get a suffix

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SAFE_NAME = re.compile(r"[^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]{0,199}")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Server:
    """One origin of one source, as its contract declares it."""

    source: str
    name: str
    type: str
    fields: Mapping[str, Any] = field(repr=False)  # of the standard: host, location, path, …
    properties: Mapping[str, Any] = field(repr=False)  # ours: what stands in customProperties

    @property
    def credentials(self) -> Credentials:
        """What its owner gave us for it. Raises P06Error P06-PULL-002, 003."""
        return credentials.of(f"p06_{self.source}_{self.name}")

    @property
    def where(self) -> dict[str, str]:
        """How errors name it."""
        return {"source": self.source, "server": self.name}

    def text(self, name: str, default: str | None = None) -> str:
        """A setting of ours that is a text. Raises UsageError P06-PULL-001."""
        return self._text(self.properties.get(name, default), name)

    def standard(self, name: str) -> str:
        """A field of the standard that is a text. Raises UsageError P06-PULL-001."""
        return self._text(self.fields.get(name), name)

    def _text(self, value: Any, name: str) -> str:
        if not isinstance(value, str) or not value.strip():
            self.wrong(name)
        return value

    def number(self, name: str, default: int) -> int:
        """A setting that is a whole number from 0. Raises UsageError P06-PULL-001."""
        value = self.properties.get(name, default)
        if type(value) is not int or value < 0:
            self.wrong(name)
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """A setting that has settings of its own; empty when absent. Raises UsageError P06-PULL-001."""
        value = self.properties.get(name, {})
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            self.wrong(name)
        return value

    def wrong(self, at: str) -> NoReturn:
        """This setting cannot be used."""
        raise UsageError("P06-PULL-001", **self.where, at=at)


@dataclass(frozen=True)
class MadeFile:
    """The one data file of a delivery made from records."""

    name: str
    bytes: int
    sha256: str
    rows: int
    format: dict[str, Any]


class Maker(Protocol):
    """An origin of records: writes one data file for a period into a hidden folder, and says what it wrote."""

    @property
    def keeps(self) -> str | None:
        """The name of that folder when what is in it helps the next try; None when each try begins anew."""

    def make(self, period: Period, folder: Path) -> MadeFile:
        """Raises P06Error P06-PULL-…; what was written stays where it is."""


def wanted(contract: Contract) -> bool:
    """Whether a contract names any origin, well declared or not: a DAG must be readable to say what is wrong."""
    return any(_properties(item).get("pull", False) is not False for item in contract.servers)


def _properties(server: Mapping[str, Any]) -> dict[str, Any]:
    stated = server.get("customProperties")
    items = stated if isinstance(stated, list) else []
    return {str(one.get("property")): one.get("value") for one in items if isinstance(one, dict)}


def declared(contract: Contract) -> tuple[Server, ...]:
    """The origins of a contract, in its order. Raises UsageError P06-PULL-001 naming the setting at fault."""
    found: list[Server] = []
    for item in contract.servers:
        properties = _properties(item)
        if properties.get("pull", False) is False:
            continue
        server = Server(contract.source, str(item.get("server")), str(item.get("type")), item, properties)
        if not _IDENTIFIER.fullmatch(server.name) or server.name in {one.name for one in found}:
            raise UsageError("P06-PULL-001", source=contract.source, at="server")
        if properties["pull"] is not True:
            server.wrong("pull")
        if server.type not in (*FILES, *DATABASES, *HTTP):
            server.wrong("type")
        if server.type not in FILES and any(one.type not in FILES for one in found):
            server.wrong("pull")  # each would take the other's delivery for an old state of its own
        found.append(server)
    return tuple(found)


def bounds(contract: Contract, period: Period) -> dict[str, Any]:
    """``period_start``, ``period_end`` (the day after the last) and ``as_of`` (the last day), as dates."""
    from datetime import timedelta

    cut_off = contract.cut_off_day
    start = period.first_day if cut_off is None else period.shift(-1).as_of(cut_off) + timedelta(days=1)
    as_of = period.as_of(cut_off)
    return {"period_start": start, "period_end": as_of + timedelta(days=1), "as_of": as_of}


def is_safe(name: str) -> bool:
    """Whether a name from elsewhere may become a name of ours: one step, plain characters, not hidden, not too long."""
    try:
        return bool(_SAFE_NAME.fullmatch(name)) and len(name.encode()) <= NAME_LIMIT
    except UnicodeEncodeError:
        return False


def shown(name: str) -> str:
    """A name as it may stand in a message: a plain one that cannot hold somebody's number, else an ellipsis."""
    return name if _PLAIN_NAME.fullmatch(name) and not re.search(r"[0-9]{9}", name) else "…"


def is_private(address: str) -> bool:
    """Whether what is said to this URL is read by nobody else: TLS, or this machine."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


@contextmanager
def told_safely(code: str, **where: Any) -> Iterator[None]:
    """Whatever fails inside leaves as this code and the kind of the failure: libraries quote addresses and rows."""
    try:
        yield
    except P06Error:
        raise
    except Exception as error:
        kind = f"{type(error).__module__}.{type(error).__name__}"
        raise P06Error(code, **where, kind=kind) from None


@contextmanager
def written(where: Mapping[str, str]) -> Iterator[None]:
    """What our own disk may raise inside leaves as P06-PULL-014."""
    try:
        yield
    except OSError as error:
        raise P06Error("P06-PULL-014", **where, kind=errno.errorcode.get(error.errno or 0)) from None
