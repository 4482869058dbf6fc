"""Pulling: what lies at an origin becomes an ordinary delivery in landing. Knows nothing of Airflow.

A delivery grows in a hidden folder beside its place, ``.pull-…``, which landing does not see; its manifest is written
last, everything is synced, and one rename shows it. Killed anywhere, the next pull goes on or begins anew; half a
delivery is never seen. What was brought is noted under ``$P06_HOME/pulls``, so that it is not asked for again, even
when landing was emptied since.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from p06 import contract as contracts
from p06 import database, fault, landing, ledger, origins
from p06.contract import Contract
from p06.errors import Busy, P06Error, Refused
from p06.landing import MANIFEST
from p06.origins import MadeFile, Maker, Server
from p06.origins.files import Offer, Stated, Store
from p06.period import Period
from p06.settings import settings

PULLED, UNCHANGED, EMPTY, UNFINISHED = "pulled", "unchanged", "empty", "unfinished"
REFUSED, FAILED, BUSY = "refused", "failed", "busy"
PATIENCE = 5.0  # seconds to wait for another pull of the same period
_EXIT = {FAILED: 1, REFUSED: 4, BUSY: 6}
_STILL_WRITTEN = ("P06-LOAD-002", "P06-PULL-009", "P06-PULL-010", "P06-PULL-012")
_LANDING = "_landing"  # the store of ``P06_LANDING``; no server of a contract can bear this name

Report = Callable[[str], None]


@dataclass(frozen=True)
class PullResult:
    """What became of one delivery of an origin; ``error`` says why it did not come."""

    source: str
    period: str | None
    server: str
    outcome: str
    delivery: str | None = None
    revision: int | None = None
    files: int | None = None
    bytes: int | None = None
    rows: int | None = None
    error: P06Error | None = None

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        shown = {name: value for name, value in self.__dict__.items() if name != "error"}
        if self.error is not None:
            shown["error"] = {"code": self.error.code, "where": {k: str(v) for k, v in self.error.where.items()}}
        return shown


def pull(source: str | None = None, period: Period | None = None, report: Report | None = None) -> list[PullResult]:
    """Bring what is new at the origins the contracts declare; all of them by default.

    Without a period, file origins give what lies there of any, and databases and APIs the last month that has ended.
    The failure of one origin never stops the others. Raises UsageError P06-CONTRACT-002, P06-PULL-001.
    """
    say = report or (lambda _: None)
    chosen = [contracts.load(source)] if source else list(contracts.load_all().values())
    servers = [(one, server) for one in chosen for server in origins.declared(one)]
    if not servers:
        say(f"{source}: no origin is declared in the contract" if source else "no contract declares an origin")
    found: list[PullResult] = []
    for one, server in servers:
        say(f"{one.source}: asking {server.name}")
        of_server = _files(one, server, period) if server.type in origins.FILES else _made(one, server, period)
        for result in of_server:
            say(f"{result.source}/{result.period}/{result.delivery or '…'}: {result.outcome}")
            found.append(result)
    return found


def bring(source: str | None = None, period: str | None = None) -> list[PullResult]:
    """When ``P06_LANDING`` is a URL, bring what is new there into the landing folder; nothing otherwise.

    Raises P06Error P06-PULL-002 .. 007, 015, 016 when the store cannot be asked.
    """
    from p06.origins import files

    url = landing.url()
    if url is None:
        return []
    found: list[PullResult] = []
    with closing(files.by_url(url)) as store:
        for of_source in [source] if source else store.folders(store.root):
            for of_period in [period] if period else store.folders(f"{store.root}/{of_source}"):
                if origins.is_safe(of_source) and origins.is_safe(of_period):
                    below = f"{store.root}/{of_source}/{of_period}"
                    found += _offered(store, below, of_source, of_period, _LANDING)
                else:
                    refused = Refused("P06-PULL-008", **store.where)
                    found.append(PullResult("…", None, _LANDING, REFUSED, error=refused))
    return found


def pull_new(source: str, period: Period, report: Report | None = None) -> list[str]:
    """Pull one source and period; returns the deliveries brought.

    Raises the first failure, so that another try can mend it, and a refusal when nothing came beside it.
    """
    results = pull(source, period, report)
    brought = [str(one.delivery) for one in results if one.outcome == PULLED]
    for one in results:
        if one.error is not None and (one.outcome in (FAILED, BUSY) or (one.outcome == REFUSED and not brought)):
            raise one.error
    return brought


def exit_code(results: Iterable[PullResult]) -> int:
    """0, or the exit code that matters most: failed 1, refused 4, busy 6."""
    found = {_EXIT[result.outcome] for result in results if result.outcome in _EXIT}
    return min(found, default=0)


def _files(contract: Contract, server: Server, period: Period | None) -> Iterator[PullResult]:
    """Everything new at a file origin."""
    from p06.origins import files

    try:
        with closing(files.connect(server)) as store:
            for of_period, below in files.places(server, store, period):
                yield from _offered(store, below, contract.source, str(of_period), server.name)
    except Exception as error:
        yield _failed(contract.source, period, server.name, error)


def _offered(store: Store, below: str, source: str, period: str, server: str) -> Iterator[PullResult]:
    """What is new in one folder of deliveries."""
    try:
        offers = list(store.offers(below, period))
        if not offers:
            return
        with _held(source, period):
            notes = _Notes(source, period, server)
            _sweep(source, period, server, {_hidden(server, offer) for offer in offers})
            for offer in offers:
                if notes.get(offer.name).get("fingerprint") == offer.fingerprint:
                    continue
                try:
                    yield _copy(store, offer, source, notes)
                except Exception as error:
                    yield _failed(source, period, server, error, offer.name)
    except Exception as error:
        yield _failed(source, period, server, error)


def _copy(store: Store, offer: Offer, source: str, notes: _Notes) -> PullResult:
    """One delivery of a file origin, with its sender's own manifest."""
    where = {"delivery": origins.shown(offer.name)}
    if offer.error is not None or not origins.is_safe(offer.name):
        raise offer.error or Refused("P06-PULL-008", **store.where)
    if not offer.written:
        raise P06Error("P06-LOAD-002", **where)
    stated = store.stated(offer, **where)
    place = _place(source, offer.period)
    if (held := _same(place, offer.name, stated)) is not None:
        notes.keep(offer.name, fingerprint=offer.fingerprint, folder=held)
        return PullResult(source, offer.period, notes.server, UNCHANGED, origins.shown(held))
    hidden = place / _hidden(notes.server, offer)
    hidden.mkdir(parents=True, exist_ok=True)
    fault.point("pull.started")
    store.copy(offer, stated, hidden)
    if store.again(offer).fingerprint != offer.fingerprint:
        raise P06Error("P06-PULL-012", **store.where, **where)
    fault.point("pull.copied")
    _seal(hidden, stated.manifest)
    target = place / _free_name(place, offer.name, hidden)
    if target.exists():  # the very same bytes lie there already
        shutil.rmtree(hidden)
    else:
        _show(hidden, target)
    notes.keep(offer.name, fingerprint=offer.fingerprint, folder=target.name)
    size = sum(entry.size for entry in offer.entries if entry.name != MANIFEST)
    return PullResult(
        source, offer.period, notes.server, PULLED, origins.shown(target.name), files=len(offer.entries) - 1, bytes=size
    )


def _made(contract: Contract, server: Server, period: Period | None) -> Iterator[PullResult]:
    """A delivery made of the records an origin holds of one period."""
    month = period or Period.current().shift(-1)
    try:
        with _held(contract.source, str(month)):
            yield _make(contract, server, month)
    except Exception as error:
        yield _failed(contract.source, month, server.name, error)


def _make(contract: Contract, server: Server, period: Period) -> PullResult:
    """Ask for the period's records; what is not the content of the last delivery becomes the next revision."""
    maker = _maker(contract, server)
    place = _place(contract.source, str(period))
    hidden = place / f".pull-{server.name}-{maker.keeps or secrets.token_hex(8)}"
    _sweep(contract.source, str(period), server.name, {hidden.name})
    hidden.mkdir(parents=True, exist_ok=True)
    fault.point("pull.started")
    try:
        made = maker.make(period, hidden)
    except BaseException:
        if maker.keeps is None:
            _drop(hidden)
        raise
    fault.point("pull.copied")
    manifest = _manifest(contract, server, period, made)
    before = _before(contract.source, period)
    top = max((revision for revision, _ in before), default=0)
    figures: dict[str, Any] = {"files": 1, "bytes": made.bytes, "rows": made.rows}
    if not made.rows:
        _drop(hidden)
        error = P06Error("P06-PULL-025", **server.where, period=period)
        return PullResult(contract.source, str(period), server.name, EMPTY, error=error)
    if any(revision == top and _content_of(document) == _content_of(manifest) for revision, document in before):
        _drop(hidden)
        return PullResult(contract.source, str(period), server.name, UNCHANGED, revision=top, **figures)
    manifest["revision"] = top + 1
    _seal(hidden, json.dumps(manifest, ensure_ascii=False, indent=1).encode())
    target = place / f"{server.name}-r{top + 1:04d}-{made.sha256[:12]}"
    _show(hidden, target)
    return PullResult(contract.source, str(period), server.name, PULLED, target.name, revision=top + 1, **figures)


def _maker(contract: Contract, server: Server) -> Maker:
    if server.type in origins.HTTP:
        from p06.origins.http import Api

        return Api(contract, server)
    from p06.origins.database import Database

    return Database(contract, server)


def _manifest(contract: Contract, server: Server, period: Period, made: MadeFile) -> dict[str, Any]:
    """The manifest of a delivery made here, without its revision. Raises UsageError P06-PULL-001."""
    version = server.text("adminCodeVersion", period.first_day.isoformat())
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", version):
        server.wrong("adminCodeVersion")
    return {
        "manifest_version": 1,
        "source": contract.source,
        "period": str(period),
        "revision": 0,
        "produced_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "admin_code_version": version,
        "format": made.format,
        "files": [{"name": made.name, "bytes": made.bytes, "sha256": made.sha256, "rows": made.rows}],
    }


def _before(source: str, period: Period) -> list[tuple[int, dict[str, Any]]]:
    """(revision, manifest) of everything known of a source and period, in landing and in the ledger."""
    found = []
    for delivery in landing.deliveries(source, str(period)):
        try:
            document = json.loads(delivery.manifest or b"")
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict) and type(document.get("revision")) is int:
            found.append((document["revision"], document))
    with database.connect("loader", autocommit=True) as connection:
        return found + ledger.stated(connection, source, period.first_day)


def _content_of(manifest: dict[str, Any]) -> tuple[Any, ...]:
    """What two manifests of one content have in common, whatever their files are called."""
    try:
        sums = sorted(str(file["sha256"]).lower() for file in manifest["files"])
        form = manifest["format"]
        return sums, manifest["admin_code_version"], form["kind"], form.get("compression", "none")
    except (KeyError, TypeError, AttributeError):
        return ()


def _drop(hidden: Path) -> None:
    """Remove a hidden folder, and those above it that were made for it alone."""
    shutil.rmtree(hidden, ignore_errors=True)
    for folder in (hidden.parent, hidden.parent.parent):
        with suppress(OSError):
            folder.rmdir()


def _place(source: str, period: str) -> Path:
    """The folder of a source's deliveries of a period."""
    return landing.root() / source / period


def _hidden(server: str, offer: Offer) -> str:
    """Where a delivery grows: what lies there already is of the same delivery in the same state."""
    code = hashlib.sha256(f"{offer.name}\0{offer.fingerprint}".encode("utf-8", "surrogateescape"))
    return f".pull-{server}-{code.hexdigest()[:16]}"


def _sweep(source: str, period: str, server: str, wanted: set[str]) -> None:
    """Remove hidden folders of this server that no pull will go on in. Called with the period held."""
    place = _place(source, period)
    for left in place.glob(f".pull-{server}-*") if place.is_dir() else ():
        if left.name not in wanted:
            shutil.rmtree(left, ignore_errors=True)


def _seal(hidden: Path, manifest: bytes) -> None:
    """Write the manifest and sync the folder."""
    with (hidden / MANIFEST).open("wb") as file:
        file.write(manifest)
        file.flush()
        os.fsync(file.fileno())
    _sync(hidden)
    fault.point("pull.sealed")


def _show(hidden: Path, target: Path) -> None:
    """Make the delivery visible."""
    hidden.rename(target)
    _sync(target.parent)
    fault.point("pull.landed")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free_name(place: Path, name: str, made: Path) -> str:
    """The delivery's own name; with a mark of its content behind it when another content lies there under it."""
    if not (place / name).exists():
        return name
    content = _content(made)
    return name if _content(place / name) == content else f"{name}~{content[:8]}"


def _content(folder: Path) -> str:
    """sha256 over names and bytes of a delivery's files."""
    code = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        code.update(f"{path.name}\0{_sha256(path)}\0".encode("utf-8", "surrogateescape"))
    return code.hexdigest()


def _same(place: Path, name: str, stated: Stated) -> str | None:
    """The folder in landing, under this name or marked, that holds exactly what the manifest states."""
    for folder in (place / name, *place.glob(f"{_literal(name)}~????????")):
        try:
            held = {path.name: path for path in folder.iterdir()}
            if held.pop(MANIFEST, folder).read_bytes() != stated.manifest or set(held) != set(stated.files):
                continue
            if all(
                path.lstat().st_size == stated.files[one][0] and _sha256(path) == stated.files[one][1]
                for one, path in held.items()
            ):
                return folder.name
        except OSError:
            continue
    return None


def _literal(name: str) -> str:
    import glob

    return glob.escape(name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Notes:
    """What was brought from one server of one source and period: ``{"<delivery>": {fingerprint, folder}}``."""

    def __init__(self, source: str, period: str, server: str) -> None:
        self.server = server
        self._path = _memory(source, period, f"{server}.json")
        try:
            self._known: dict[str, dict[str, str]] = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            self._known = {}

    def get(self, delivery: str) -> dict[str, str]:
        """What is noted of a delivery; nothing when it was never brought."""
        return self._known.get(delivery, {})

    def keep(self, delivery: str, **what: str) -> None:
        """Note a delivery, in one step."""
        self._known[delivery] = what
        draft = self._path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(self._known, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        fault.point("pull.noted")


def _memory(source: str, period: str, name: str) -> Path:
    folder = settings().home / "pulls" / source / period
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / name


@contextmanager
def _held(source: str, period: str) -> Iterator[None]:
    """Hold a source and period against other pulls of this home. Raises Busy P06-PULL-013."""
    with _memory(source, period, "lock").open("w") as lock:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy("P06-PULL-013", source=origins.shown(source), period=origins.shown(period)) from None
                time.sleep(0.1)
        yield


def _failed(
    source: str, period: Period | str | None, server: str, error: Exception, delivery: str | None = None
) -> PullResult:
    """The result of an exception; of one that is not ours only the kind is told, it may quote an address or a row."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        error = P06Error("P06-PULL-014", source=source, server=server, kind=errno.errorcode[error.errno])
    if not isinstance(error, P06Error):
        kind = f"{type(error).__module__}.{type(error).__name__}"
        error = P06Error("P06-PULL-043", source=origins.shown(source), server=server, kind=kind)
    outcome = FAILED
    if error.code in _STILL_WRITTEN:
        outcome = UNFINISHED
    elif isinstance(error, Refused):
        outcome = REFUSED
    elif isinstance(error, Busy):
        outcome = BUSY
    error.__context__ = error.__cause__ = None  # what a library raised quotes addresses
    shown = None if period is None else origins.shown(str(period))
    return PullResult(
        origins.shown(source), shown, server, outcome, origins.shown(delivery) if delivery else None, error=error
    )
