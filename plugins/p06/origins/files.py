"""File origins: a folder, a bucket or an SFTP account in which senders lay down deliveries, manifest last.

Everything goes through fsspec. Names, sizes and kinds of what is listed there are somebody else's words: only plain
files with safe names are taken, links and pipes never, and nothing is believed before its checksum.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from p06 import credentials, fault, origins
from p06.credentials import Credentials
from p06.errors import P06Error, Refused, UsageError
from p06.landing import MANIFEST, MANIFEST_LIMIT
from p06.origins import Server
from p06.period import Period

BLOCK = 1 << 20  # bytes read at once
ENTRY_LIMIT = 33_000  # files of one delivery: those a manifest may state, and a few
BYTES_LIMIT = 1 << 40  # of one delivery
_MARKS = ("ETag", "etag", "VersionId", "mtime", "LastModified", "ino")  # what tells a file from its successor
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One name in a folder of the origin: ``file``, ``directory``, ``link`` or ``other``."""

    name: str
    kind: str
    size: int
    marks: str


@dataclass(frozen=True)
class Offer:
    """A delivery that lies at the origin, and what is in its folder."""

    period: str
    name: str
    path: str
    entries: tuple[Entry, ...]
    error: Refused | None = None  # why nobody looked further

    @property
    def written(self) -> bool:
        """Whether its manifest is there; until then the sender is still writing."""
        return any(entry.name == MANIFEST for entry in self.entries)

    @property
    def fingerprint(self) -> str:
        """Changes whenever something in the folder does, as far as the origin tells."""
        code = hashlib.sha256()
        for entry in self.entries:
            code.update(f"{entry.name}\0{entry.kind}\0{entry.size}\0{entry.marks}\0".encode("utf-8", "surrogateescape"))
        return code.hexdigest()


@dataclass(frozen=True)
class Stated:
    """What a manifest at the origin states of its files: name -> (bytes, sha256)."""

    manifest: bytes
    files: dict[str, tuple[int, str]]


@dataclass
class Store:
    """One place of files. ``windows`` reads a part of a file: (path, start, end) -> blocks."""

    system: Any = field(repr=False)
    root: str
    where: dict[str, Any]
    windows: Callable[[str, int, int], Iterator[bytes]] = field(repr=False)

    def close(self) -> None:
        """End the session, if there is one."""
        close = getattr(self.system, "close", None)
        if close is not None:
            close()

    def ensure(self, root: str | None = None) -> Store:
        """This store, once it is known that its place (or ``root``) is there. Raises P06Error P06-PULL-005, 006."""
        with origins.told_safely("P06-PULL-005", **self.where):
            try:
                self.system.ls(root or self.root or "/", detail=True)
            except PermissionError:
                raise P06Error("P06-PULL-006", **self.where) from None
        return self

    def entries(self, path: str) -> tuple[Entry, ...]:
        """What lies in a folder, sorted by name; nothing when there is no such folder.

        Raises P06Error P06-PULL-005, 006, 011.
        """
        with _told(self.where):
            try:
                listed = self.system.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return ()
            found = []
            for item in listed:
                name = str(item["name"])[len(path.rstrip("/")) + 1 :].rstrip("/")
                if not name:  # a bucket's own mark of the folder
                    continue
                kind = "link" if item.get("islink") or "destination" in item else str(item["type"])
                marks = " ".join(f"{mark}={item[mark]}" for mark in _MARKS if mark in item)
                found.append(Entry(name, kind, int(item.get("size") or 0), marks))
                if len(found) > ENTRY_LIMIT:
                    raise Refused("P06-PULL-011", **self.where, entries=ENTRY_LIMIT)
        return tuple(sorted(found, key=lambda entry: entry.name))

    def folders(self, path: str) -> list[str]:
        """Names of the folders in a folder; hidden ones and links are none."""
        return [entry.name for entry in self.entries(path) if entry.kind == "directory" and entry.name[0] != "."]

    def read(self, path: str, size: int) -> bytes:
        """The first bytes of a file."""
        with _told(self.where):
            return b"".join(self.windows(path, 0, size))

    def offers(self, below: str, period: str) -> Iterator[Offer]:
        """The deliveries in a folder of the store, whether written or not."""
        for name in self.folders(below):
            path = f"{below}/{name}"
            try:
                yield Offer(period, name, path, self.entries(path))
            except Refused as error:
                yield Offer(period, name, path, (), error)

    def again(self, offer: Offer) -> Offer:
        """The same delivery as it is now."""
        return Offer(offer.period, offer.name, offer.path, self.entries(offer.path))

    def stated(self, offer: Offer, **where: Any) -> Stated:
        """Read and compare an offer's manifest with its folder, so far as it takes to copy it whole.

        Raises Refused P06-PULL-008 on a name or thing that may not be copied, P06-PULL-011 when it is too large;
        P06Error P06-PULL-009 when files are missing or short, P06-PULL-010 when the manifest is not readable: both
        are how a delivery looks while it is still being written.
        """
        for number, entry in enumerate(offer.entries, 1):
            if entry.kind != "file" or not origins.is_safe(entry.name):
                raise Refused("P06-PULL-008", **self.where, **where, entry=number)
        sizes = {entry.name: entry.size for entry in offer.entries}
        if sum(sizes.values()) > BYTES_LIMIT or sizes[MANIFEST] >= MANIFEST_LIMIT:
            raise Refused("P06-PULL-011", **self.where, **where, bytes=BYTES_LIMIT)
        manifest = self.read(f"{offer.path}/{MANIFEST}", sizes[MANIFEST])
        files = _files(manifest)
        if files is None or len(manifest) != sizes[MANIFEST]:
            raise P06Error("P06-PULL-010", **self.where, **where)
        for number, (name, (size, _)) in enumerate(files.items(), 1):
            if sizes.get(name) != size:
                raise P06Error("P06-PULL-009", **self.where, **where, file=number, stated=size, found=sizes.get(name))
        return Stated(manifest, files)

    def copy(self, offer: Offer, stated: Stated, folder: Path) -> None:
        """Bring every file but the manifest into a folder of ours, each synced to the disk.

        What lies there already is kept: complete files by size and checksum, the beginning of others by going on
        behind it. A file whose bytes do not give the stated checksum is fetched a second time from its first byte; if
        they still do not, it stays as it came and the load will say so. Raises P06Error P06-PULL-005, 006, 012, 014.
        """
        for entry in offer.entries:
            if entry.name == MANIFEST:
                continue
            _, sha256 = stated.files.get(entry.name, (entry.size, None))
            path, target = f"{offer.path}/{entry.name}", folder / entry.name
            if self._fetch(path, entry.size, target, sha256) != sha256 and sha256 is not None:
                target.unlink()
                self._fetch(path, entry.size, target, sha256)

    def _fetch(self, path: str, size: int, target: Path, sha256: str | None) -> str:
        """The checksum of the file once its missing rest has been added."""
        code, have = hashlib.sha256(), 0
        if target.exists() and sha256 is None:
            target.unlink()  # the manifest does not name it, so nothing can tell whether its beginning is right
        with origins.written(self.where), open(target, "ab+", buffering=0) as file:  # noqa: PTH123
            if os.fstat(file.fileno()).st_size > size:
                file.truncate(0)
            file.seek(0)
            while block := file.read(BLOCK):
                code.update(block)
                have += len(block)
            blocks = self.windows(path, have, size) if have < size else iter(())
            while True:
                with _told(self.where):
                    block = next(blocks, b"")
                if not block:
                    break
                _write(file.fileno(), block)
                code.update(block)
                have += len(block)
                fault.point("pull.copying")
            os.fsync(file.fileno())
        if have != size:
            raise P06Error("P06-PULL-012", **self.where)
        return code.hexdigest()


def connect(server: Server) -> Store:
    """Open the place a server names. Raises UsageError P06-PULL-001; P06Error P06-PULL-002 .. 007, 016."""
    held = server.credentials
    if server.type == "local":
        root = Path(server.standard("path"))
        if not root.is_absolute():
            server.wrong("path")
        return _local(str(root), server.where)
    location = server.standard("location")
    if urlsplit(location).scheme != server.type:
        server.wrong("location")
    endpoint = server.standard("endpointUrl") if "endpointUrl" in server.fields else None
    host_key = server.text("hostKey") if "hostKey" in server.properties else None
    return _store(location, held, server.where, endpoint, host_key)


def by_url(url: str) -> Store:
    """Open the place ``P06_LANDING`` names by URL. Raises P06Error P06-PULL-002 .. 007, 015, 016."""
    held = credentials.of(credentials.LANDING)
    return _store(url, held, {"server": "landing"}, held.get("endpoint_url"), None)


def places(server: Server, store: Store, period: Period | None) -> Iterator[tuple[Period, str]]:
    """(period, folder of its deliveries) by the server's ``path``, by default ``<source>/{period}/``.

    Raises UsageError P06-PULL-001.
    """
    pattern = server.text("path", "{source}/{period}/").replace("{source}", server.source).strip("/")
    steps = pattern.split("/")
    place = [number for number, step in enumerate(steps) if "{period}" in step]
    if pattern.count("{period}") != 1 or not all(
        origins.is_safe(step.replace("{period}", "x")) and "{" not in step.replace("{period}", "x") for step in steps
    ):
        server.wrong("path")
    if period is not None:
        yield period, f"{store.root}/{pattern.replace('{period}', str(period))}"
        return
    [at] = place
    before, after = steps[at].split("{period}")
    shape = re.compile(f"{re.escape(before)}([0-9]{{4}}-[0-9]{{2}}){re.escape(after)}")
    for name in store.folders("/".join([store.root, *steps[:at]])):
        if match := shape.fullmatch(name):
            try:
                found = Period.parse(match[1])
            except UsageError:
                continue
            yield found, "/".join([store.root, *steps[:at], name, *steps[at + 1 :]])


def _store(url: str, held: Credentials, where: dict[str, Any], endpoint: str | None, host_key: str | None) -> Store:
    parts = urlsplit(url)
    if "::" in url or parts.password or parts.query or parts.fragment:
        raise P06Error("P06-PULL-015", **where)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return _local(unquote(parts.path), where)
    if parts.scheme == "s3":
        return _s3(f"{parts.netloc}{parts.path}".rstrip("/"), held, where, endpoint)
    if parts.scheme == "sftp":
        return _sftp(url, held, where, host_key)
    return _other(url, held, where)


def _local(root: str, where: dict[str, Any]) -> Store:
    from fsspec.implementations.local import LocalFileSystem

    def windows(path: str, start: int, end: int) -> Iterator[bytes]:
        # whoever writes there may put a link in a file's place after it was listed
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            file.seek(start)
            while start < end and (block := file.read(min(BLOCK, end - start))):
                start += len(block)
                yield block

    return Store(LocalFileSystem(), root.rstrip("/"), where, windows).ensure()


def _s3(root: str, held: Credentials, where: dict[str, Any], endpoint: str | None) -> Store:
    if endpoint is not None and not origins.is_private(endpoint):
        raise P06Error("P06-PULL-016", **where)
    with _told(where):
        from s3fs import S3FileSystem

        system = S3FileSystem(
            key=held.need("key"),
            secret=held.need("secret"),
            token=held.get("token"),
            endpoint_url=endpoint,
            client_kwargs={"region_name": held.get("region")} if held.get("region") else {},
            config_kwargs={"connect_timeout": 20, "read_timeout": 60, "retries": {"max_attempts": 4}},
            use_listings_cache=False,
            skip_instance_cache=True,
        )
    return Store(system, root, where, _seeking(system)).ensure(root.partition("/")[0])


def _sftp(url: str, held: Credentials, where: dict[str, Any], host_key: str | None) -> Store:
    from p06.origins.sftp import StrictSFTP

    parts = urlsplit(url)
    if not parts.hostname or (parts.username and parts.username != held.get("user")):
        raise P06Error("P06-PULL-015", **where)
    known = host_key or held.get("host_key")
    if known is None:
        raise P06Error("P06-PULL-007", **where)
    system = StrictSFTP(parts.hostname, parts.port or 22, held, known, **where)
    return Store(system, unquote(parts.path).rstrip("/"), where, system.windows).ensure()


def _other(url: str, held: Credentials, where: dict[str, Any]) -> Store:
    """Whatever else fsspec knows by a package of this environment; the credentials are its storage options."""
    try:
        import fsspec

        system, root = fsspec.url_to_fs(url, **held.values, use_listings_cache=False, skip_instance_cache=True)
    except Exception as error:
        kind = f"{type(error).__module__}.{type(error).__name__}"
        raise P06Error("P06-PULL-015", **where, kind=kind) from None
    return Store(system, str(root).rstrip("/"), where, _seeking(system))


def _seeking(system: Any) -> Callable[[str, int, int], Iterator[bytes]]:
    def windows(path: str, start: int, end: int) -> Iterator[bytes]:
        with system.open(path, "rb", block_size=4 * BLOCK, cache_type="readahead") as file:
            file.seek(start)
            while start < end and (block := file.read(min(BLOCK, end - start))):
                start += len(block)
                yield block

    return windows


@contextmanager
def _told(where: dict[str, Any]) -> Iterator[None]:
    """What the origin's side may raise, without the words of the library: they quote addresses."""
    with origins.told_safely("P06-PULL-005", **where):
        try:
            yield
        except PermissionError:
            raise P06Error("P06-PULL-006", **where) from None
        except FileNotFoundError:
            raise P06Error("P06-PULL-012", **where) from None
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link came into the place of a file
                raise P06Error("P06-PULL-012", **where) from None
            raise


def _write(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def _files(manifest: bytes) -> dict[str, tuple[int, str]] | None:
    """What the manifest states of its files; None when it cannot be read as one. The load judges the rest of it."""
    try:
        files = json.loads(manifest.decode("utf-8-sig"))["files"]
        found = {item["name"]: (item["bytes"], item["sha256"].lower()) for item in files}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    good = all(
        isinstance(name, str) and type(size) is int and size >= 0 and _SHA256.fullmatch(sha256)
        for name, (size, sha256) in found.items()
    )
    return found if good and len(found) == len(files) else None
