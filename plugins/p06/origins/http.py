"""An HTTP API as an origin: pages of JSON records, gathered into one gzip file of JSON lines.

How the API is asked stands in the contract (``records``, ``paging``, ``parameters``, ``auth``, ``snapshot``,
``total``); who asks, in the connection. Each complete page is kept, so that a pull that was cut off goes on behind
it, as long as the API says the same snapshot or total. Numbers are written with the digits they came with: no value
passes through a float.
"""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import hashlib
import json
import logging
import os
import random
import shutil
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from p06 import fault, origins
from p06.contract import Contract
from p06.errors import P06Error
from p06.origins import MadeFile, Server
from p06.period import Period

if TYPE_CHECKING:
    import httpx

FILE = "part-0001.jsonl.gz"
FORMAT = {"kind": "jsonl", "compression": "gzip", "encoding": "utf-8"}
PAGE_BYTES = 16 << 20  # of one answer, decompressed
PAGES = 100_000
BYTES_LIMIT = 64 << 30  # of all pages
TRIES = 6  # of one request
FIRST_WAIT = 0.5  # seconds before the second try; doubled before each further one
LONGEST_WAIT = 300.0  # seconds; an API that wants longer is asked by a later pull
REQUEST_SECONDS = 300.0  # for one whole answer, however slowly it trickles
KEPT_SECONDS = 24 * 3600  # how long pages of an unfinished pull are worth going on with
REDIRECTS = 3
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_STALE = frozenset({400, 404, 409, 410, 422})  # what an API says to a cursor it has forgotten


class _Changed(Exception):
    """The API no longer speaks of the snapshot the pages kept are of."""


class _Literal(str):
    """A number or constant with the very characters it was written with."""


class _Pairs(list[tuple[str, Any]]):
    """An object with its keys in order, also those that stand twice: the load refuses such a row, a dict hides it."""


@dataclass(frozen=True)
class _Progress:
    """What is kept of an unfinished pull, beside its pages."""

    mark: str  # of the question: settings and period
    begun: float  # seconds since the epoch
    pages: int = 0
    records: int = 0
    bytes: int = 0
    next: str | None = None  # address, number or cursor of the page to ask for; None: the first
    done: bool = False
    snapshot: str | None = None
    total: str | None = None


@dataclass(frozen=True)
class Paging:
    """How the API hands out pages: ``none``, ``next`` (a link), ``page`` (a number) or ``cursor``."""

    kind: str
    field: str  # where the next link or cursor stands in an answer
    parameter: str  # by which number or cursor is asked
    first: int


@dataclass(frozen=True)
class Api:
    """The maker of deliveries from an API's records."""

    contract: Contract
    server: Server
    keeps: str | None = field(default="pages", init=False)

    def make(self, period: Period, folder: Path) -> MadeFile:
        """Gather every page and write the records.

        Raises P06Error P06-PULL-002 .. 006, 011, 014, 016, 030 .. 035; UsageError P06-PULL-001.
        """
        (folder / FILE).unlink(missing_ok=True)
        pages = folder / "pages"
        pages.mkdir(exist_ok=True)
        with _Client(self.server) as client:
            gathered = _Gathering(self.server, client, self.contract, period, pages).run()
        made = _join(pages, gathered, folder / FILE, self.server)
        shutil.rmtree(pages)
        return made


class _Gathering:
    """The pages of one question, from the first or from where an earlier pull was cut off."""

    def __init__(self, server: Server, client: _Client, contract: Contract, period: Period, pages: Path) -> None:
        self.server, self.client, self.pages = server, client, pages
        said = {"period": str(period), **{name: str(day) for name, day in origins.bounds(contract, period).items()}}
        self.address = _filled(server.standard("location"), said)
        if not origins.is_private(self.address):
            raise P06Error("P06-PULL-016", **server.where)
        self.parameters = {name: _filled(str(value), said) for name, value in server.mapping("parameters").items()}
        self.records = server.text("records", ".")
        self.paging = _paging(server)
        self.snapshot = server.text("snapshot", ".")
        self.total = server.text("total", ".")
        question = [self.address, self.parameters, self.records, asdict(self.paging), self.snapshot, self.total]
        self.mark = hashlib.sha256(json.dumps(question).encode()).hexdigest()

    def run(self) -> _Progress:
        """Every page; begins anew once when the API changes under it. Raises P06Error."""
        progress, resumed = self._kept()
        for may_restart in (True, False):
            try:
                return self._gather(progress, resumed)
            except _Changed:
                if not may_restart:
                    break
            except P06Error as error:
                if not (resumed and may_restart and error.code == "P06-PULL-031" and error.where["status"] in _STALE):
                    raise
            progress, resumed = self._anew(), False
        raise P06Error("P06-PULL-034", **self.server.where)

    def _gather(self, progress: _Progress, resumed: bool) -> _Progress:
        if resumed and progress.done:
            self._compare(progress, self._ask(None))
        while not progress.done:
            progress = self._add(progress)
        if progress.total is not None and progress.total != str(progress.records):
            raise _Changed
        return progress

    def _add(self, progress: _Progress) -> _Progress:
        """Ask for the next page and keep it."""
        answer = self._ask(progress.next)
        if progress.pages:
            self._compare(progress, answer)
        lines = [_written(record) for record in self._records(answer)]
        content = "".join(f"{line}\n" for line in lines).encode("utf-8")
        after = self._after(answer, progress, bool(lines))
        step = replace(
            progress,
            pages=progress.pages + 1,
            records=progress.records + len(lines),
            bytes=progress.bytes + len(content),
            next=after,
            done=after is None,
            snapshot=self._scalar(answer, self.snapshot),
            total=self._scalar(answer, self.total),
        )
        if step.pages > PAGES or step.bytes > BYTES_LIMIT:
            raise P06Error("P06-PULL-011", **self.server.where, pages=PAGES, bytes=BYTES_LIMIT)
        with origins.written(self.server.where):
            _keep(self.pages / f"{step.pages:06d}.jsonl", content)
            _keep(self.pages / "progress.json", json.dumps(asdict(step)).encode())
        fault.point("pull.page")
        return step

    def _ask(self, at: str | None) -> Any:
        parameters = dict(self.parameters)
        address = self.address
        if self.paging.kind == "next" and at is not None:
            address, parameters = at, {}
        elif self.paging.kind == "page":
            parameters[self.paging.parameter] = at or str(self.paging.first)
        elif self.paging.kind == "cursor" and at is not None:
            parameters[self.paging.parameter] = at
        return self.client.document(address, parameters)

    def _after(self, answer: Any, progress: _Progress, any_records: bool) -> str | None:
        """What to ask for after this answer; None when it was the last."""
        if self.paging.kind == "none":
            return None
        if self.paging.kind == "page":
            return str(int(progress.next or self.paging.first) + 1) if any_records else None
        found = self._scalar(answer, self.paging.field)
        if found is None:
            return None
        if self.paging.kind == "next":
            found = urljoin(progress.next or self.address, found)
            if _origin(found) != _origin(self.address):
                raise P06Error("P06-PULL-032", **self.server.where)
        if found == progress.next:
            raise P06Error("P06-PULL-030", **self.server.where, at="paging")
        return found

    def _records(self, answer: Any) -> list[Any]:
        found = _at(answer, self.records)
        if type(found) is not list:
            raise P06Error("P06-PULL-030", **self.server.where, at="records")
        return found

    def _scalar(self, answer: Any, path: str) -> str | None:
        """A text or number of the envelope; None when it is not asked for, absent, null or empty."""
        found = None if path == "." else _at(answer, path)
        if found is None or found == "":
            return None
        if not isinstance(found, str):
            raise P06Error("P06-PULL-030", **self.server.where, at=path)
        return str(found)

    def _compare(self, progress: _Progress, answer: Any) -> None:
        """Whether this answer is of the same state as the pages before it. Raises _Changed."""
        if (
            self._scalar(answer, self.snapshot) != progress.snapshot
            or self._scalar(answer, self.total) != progress.total
        ):
            raise _Changed

    def _kept(self) -> tuple[_Progress, bool]:
        """What an earlier pull has left, when it can be gone on with."""
        try:
            found = _Progress(**json.loads((self.pages / "progress.json").read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return self._anew(), False
        fits = found.mark == self.mark and 0 <= time.time() - found.begun < KEPT_SECONDS
        if fits and (found.snapshot or found.total):
            return found, True
        return self._anew(), False

    def _anew(self) -> _Progress:
        for left in self.pages.iterdir():
            left.unlink()
        return _Progress(self.mark, time.time())


class _Client:
    """A session with the API: proves who asks, tries again what may pass, follows nobody elsewhere."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.held = server.credentials
        auth = server.mapping("auth")
        self.kind = auth.get("kind", "none")
        self.auth = auth
        self._token: str | None = None
        self._until = 0.0
        if self.kind not in ("none", "bearer", "oauth2"):
            server.wrong("auth")
        if self.kind == "oauth2":
            address = auth.get("tokenUrl")
            if not isinstance(address, str) or auth.get("method", "basic") not in ("basic", "post"):
                server.wrong("auth")
            if not origins.is_private(address):
                raise P06Error("P06-PULL-016", **server.where)

    def __enter__(self) -> _Client:
        import httpx

        for name in ("httpx", "httpcore"):  # they log addresses, and addresses may hold cursors that are secrets
            logging.getLogger(name).setLevel(logging.WARNING)
        authority = self.server.text("caFile", "") if "caFile" in self.server.properties else None
        with origins.told_safely("P06-PULL-001", **self.server.where, at="caFile"):
            trusted = ssl.create_default_context(cafile=authority)
        self._http = httpx.Client(verify=trusted, trust_env=False, follow_redirects=False, timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def document(self, address: str, parameters: Mapping[str, str]) -> Any:
        """The JSON that stands there. Raises P06Error P06-PULL-006, 011, 030 .. 033, 035."""
        renewed = False

        def answered(tries: int) -> Any:
            nonlocal renewed
            status, body = self._get(address, parameters)
            if status == 401 and self.kind == "oauth2" and not renewed:
                renewed, self._token = True, None
                status, body = self._get(address, parameters)
            if status in (401, 403):
                raise P06Error("P06-PULL-006", **self.server.where, status=status)
            if status != 200:
                raise P06Error("P06-PULL-031", **self.server.where, status=status)
            return self._parsed(body)

        return self._patiently(answered)

    def _parsed(self, body: bytes) -> Any:
        """JSON with numbers as they are written. What cannot be read may be an answer cut off: worth another try."""
        try:
            return json.loads(
                body.decode("utf-8-sig"),
                parse_float=_Literal,
                parse_int=_Literal,
                parse_constant=_Literal,
                object_pairs_hook=_Pairs,
            )
        except (ValueError, RecursionError):
            pass
        raise _Again(P06Error("P06-PULL-030", **self.server.where, at="document"))

    def _get(self, address: str, parameters: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body; redirects are followed to the same origin only."""
        headers = {"Accept": "application/json", **self._proof()}
        given: Mapping[str, str] | None = parameters or None
        for _ in range(REDIRECTS + 1):
            status, body, location = self._exchange("GET", address, params=given, headers=headers)
            if status not in (301, 302, 303, 307, 308):
                return status, body
            further = urljoin(address, location or "")
            if _origin(further) != _origin(address):
                raise P06Error("P06-PULL-032", **self.server.where)
            address, given = further, None
        raise P06Error("P06-PULL-032", **self.server.where)

    def _proof(self) -> dict[str, str]:
        if self.kind == "bearer":
            return {"Authorization": f"Bearer {self.held.need('token')}"}
        if self.kind == "oauth2":
            if self._token is None or time.monotonic() > self._until:
                self._token = self._patiently(self._fresh_token)
            return {"Authorization": f"Bearer {self._token}"}
        return {}

    def _fresh_token(self, tries: int) -> str:
        """OAuth 2.0 client credentials, RFC 6749 §4.4. Raises P06Error P06-PULL-035."""
        who, secret = self.held.need("client_id"), self.held.need("client_secret")
        form = {"grant_type": "client_credentials"}
        if scope := self.auth.get("scope"):
            form["scope"] = str(scope)
        more: dict[str, Any] = {"auth": (who, secret)}
        if self.auth.get("method") == "post":
            form, more = form | {"client_id": who, "client_secret": secret}, {}
        status, body, _ = self._exchange("POST", self.auth["tokenUrl"], data=form, **more)
        answer = None
        with contextlib.suppress(ValueError, RecursionError):
            answer = json.loads(body) if status == 200 else None
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or answer is None:
            raise P06Error("P06-PULL-035", **self.server.where, status=status)
        lasts = answer.get("expires_in", 300)
        self._until = time.monotonic() + max(float(lasts) if isinstance(lasts, int | float) else 300.0, 60.0) - 30.0
        return token

    def _exchange(self, method: str, address: str, **more: Any) -> tuple[int, bytes, str | None]:
        """One request: status, body within its limits, and where a redirect leads. Raises _Again on what may pass."""
        until = time.monotonic() + REQUEST_SECONDS
        body = bytearray()
        too_large = False
        failed: P06Error | None = None
        wait = 0.0
        import httpx

        try:
            with self._http.stream(method, address, **more) as response:
                status, location = response.status_code, response.headers.get("Location")
                if status in _RETRIED:
                    wait = _retry_after(response)
                    failed = P06Error("P06-PULL-033", **self.server.where, status=status)
                else:
                    for block in response.iter_bytes(1 << 16):
                        body += block
                        too_large = len(body) > PAGE_BYTES
                        if too_large:
                            break
                        if time.monotonic() > until:
                            raise httpx.ReadTimeout("too slow")
        except (httpx.TransportError, httpx.DecodingError) as error:
            failed = P06Error("P06-PULL-033", **self.server.where, kind=type(error).__name__)
        except (httpx.InvalidURL, httpx.HTTPError, UnicodeError, ValueError) as error:
            raise P06Error("P06-PULL-030", **self.server.where, kind=type(error).__name__) from None
        if too_large:
            raise P06Error("P06-PULL-011", **self.server.where, bytes=PAGE_BYTES)
        if failed is not None:
            raise _Again(failed, wait)
        return status, bytes(body), location

    def _patiently(self, act: Callable[[int], Any]) -> Any:
        """Try again what may pass, ever later; as late as the API asks for. Raises what the last try raised."""
        for tries in range(1, TRIES + 1):
            try:
                return act(tries)
            except _Again as again:
                failed, wait = again.error, again.wait
            pause = max(wait, FIRST_WAIT * 2 ** (tries - 1) * random.uniform(0.8, 1.2))
            if tries == TRIES or wait > LONGEST_WAIT:
                raise failed
            time.sleep(min(pause, LONGEST_WAIT))
        raise AssertionError  # the last try raises


class _Again(Exception):
    """This try failed in a way that may pass."""

    def __init__(self, error: P06Error, wait: float = 0.0) -> None:
        super().__init__()
        self.error, self.wait = error, wait


def _retry_after(response: httpx.Response) -> float:
    """Seconds the server asks to wait: a number or a date, RFC 9110 §10.2.3; 0 when it says nothing readable."""
    stated = response.headers.get("Retry-After", "").strip()
    if stated.isascii() and stated.isdecimal() and len(stated) < 10:
        return float(stated)
    try:
        return max(float(email.utils.parsedate_to_datetime(stated).timestamp()) - time.time(), 0.0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def _paging(server: Server) -> Paging:
    stated = server.mapping("paging")
    kind, first = stated.get("kind", "none"), stated.get("first", 1)
    found = Paging(str(kind), str(stated.get("field", ".")), str(stated.get("parameter", kind)), 1)
    if kind not in ("none", "next", "page", "cursor") or type(first) is not int:
        server.wrong("paging")
    if kind in ("next", "cursor") and found.field == ".":
        server.wrong("paging")
    return replace(found, first=first)


def _filled(text: str, said: Mapping[str, str]) -> str:
    for name, value in said.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _origin(address: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port, as browsers compare them."""
    try:
        parts = urlsplit(address)
        return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", None, None


def _at(document: Any, path: str) -> Any:
    """What stands at a dotted path of objects; ``.`` is the document itself."""
    for step in path.split(".") if path != "." else ():
        if not isinstance(document, _Pairs):
            return None
        document = dict(document).get(step)
    return document


def _written(value: Any) -> str:
    """A value as JSON on one line, numbers by their own characters, keys in their order."""
    if isinstance(value, _Literal):
        return str.__str__(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, _Pairs):
        return "{" + ",".join(f"{_text(name)}:{_written(inner)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return {True: "true", False: "false", None: "null"}[value]


def _text(value: str) -> str:
    written = json.dumps(value, ensure_ascii=False)
    try:
        written.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair: kept as it was escaped
        return json.dumps(value)
    return written


def _keep(path: Path, content: bytes) -> None:
    """Write a file in one step, for its owner alone."""
    draft = path.with_suffix(".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _join(pages: Path, progress: _Progress, path: Path, server: Server) -> MadeFile:
    """The pages as one file; wherever they were cut, equal records give equal bytes."""
    with origins.written(server.where), path.open("wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as file:
            for block in _blocks(pages, progress.pages):
                file.write(block)
                fault.point("pull.copying")
        raw.flush()
        os.fsync(raw.fileno())
    with path.open("rb") as made:
        checksum = hashlib.file_digest(made, "sha256").hexdigest()
    return MadeFile(FILE, path.stat().st_size, checksum, progress.records, FORMAT)


def _blocks(pages: Path, count: int) -> Iterator[bytes]:
    """Everything the pages hold, in blocks of one size, so that compression does not show where a page ended."""
    held = bytearray()
    for number in range(1, count + 1):
        held += (pages / f"{number:06d}.jsonl").read_bytes()
        while len(held) >= 1 << 20:
            yield bytes(held[: 1 << 20])
            del held[: 1 << 20]
    if held:
        yield bytes(held)
