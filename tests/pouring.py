"""A delivery poured as ``load._pour`` does it, without a database, and what an independent reader expects of it."""

from __future__ import annotations

import faulthandler
import gzip
import hashlib
import io
import json
import re
import signal
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from backports import zstd

from p06 import manifest as manifests
from p06 import staging
from p06.contract import Column
from p06.errors import Refused
from p06.intake import Intake
from p06.landing import Delivery
from tests import reference
from tests.encoders import reads
from tests.oracle import reading as oracle

PERIOD, VERSION = "2024-01", "2025-03-01"
BOM = b"\xef\xbb\xbf"
_WORD = re.compile(rb"[A-Za-z\x80-\xff]+")
Place = tuple[int, int]  # file, line
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Sent:
    """The files of a delivery, as they lie in landing, and how the manifest says they are written."""

    source: str
    marks: reference.Marks
    header: bool
    compression: str
    files: tuple[bytes, ...]


@dataclass
class Poured:
    """Where each record ended; ``refused`` holds the codes instead when the delivery was.

    ``misread``: the number of each file refused for its encoding, and the encoding named.
    """

    refused: tuple[str, ...] = ()
    misread: dict[int, str] = field(default_factory=dict)
    received: int = 0
    staged: dict[Place, dict[str, Any]] = field(default_factory=dict)
    keys: dict[Place, bytes] = field(default_factory=dict)
    quarantined: dict[Place, tuple[bytes, frozenset[str]]] = field(default_factory=dict)
    duplicates: set[Place] = field(default_factory=set)


def put(folder: Path, sent: Sent, rows: list[int]) -> Delivery:
    """Write the delivery and a manifest that states its true bytes."""
    home = folder / sent.source / PERIOD / "first"
    home.mkdir(parents=True)
    listed = []
    for number, (content, count) in enumerate(zip(sent.files, rows, strict=True), 1):
        name = f"part-{number}"
        (home / name).write_bytes(content)
        listed.append(
            {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "rows": count}
        )
    delimiter, quote, escape = (mark.decode() for mark in sent.marks)
    form = {"kind": "csv", "compression": sent.compression, "encoding": "utf-8", "header": sent.header}
    form |= {"delimiter": delimiter, "quote": quote} | ({"escape": escape} if escape else {})
    document = {"manifest_version": 1, "source": sent.source, "period": PERIOD, "revision": 1, "files": listed}
    document |= {"produced_at": "2024-02-03T08:15:00+07:00", "admin_code_version": VERSION, "format": form}
    (home / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    return Delivery(sent.source, PERIOD, "first", home)


def pour(delivery: Delivery, sign: Sign) -> Poured:
    """What the load makes of it. Raises what is not a refusal."""
    try:
        return _pour(delivery, sign)
    except Refused as error:
        misread = {one.where["file"]: one.where["likely"] for one in error.mismatches if one.code == "P06-LOAD-044"}
        return Poured(refused=tuple(one.code for one in error.mismatches) or (error.code,), misread=misread)


def _pour(delivery: Delivery, sign: Sign) -> Poured:
    contract, manifest = manifests.read(delivery)
    done = Poured()

    def sign_all(texts: Iterable[bytes]) -> bytes:
        return b"".join(map(sign, texts))

    signs = sign_all if staging.has_record_key(contract) else None

    def once(place: Place, *others: Any) -> Place:
        assert not [other for other in others if place in other], "a record ended in two places"
        return place

    with Intake(contract, manifest, delivery.folder, signs) as intake:
        if headers := intake.check_headers():
            raise Refused("P06-LOAD-001", [*headers, *intake.verify()])
        for batch in intake.batches():
            found = list(_rows(bytes(batch.data), intake.columns, signs is not None))
            assert len(found) == batch.rows
            for place, key, values in found:
                done.staged[once(place, done.staged)] = values
                done.keys[place] = key
        assert len(done.staged) == intake.passed
        removed = intake.duplicates()
        taken = list(zip(removed["file"].tolist(), removed["line"].tolist(), strict=True))
        done.duplicates = set(taken)
        assert len(taken) == len(done.duplicates)
        for one in intake.quarantined(removed):
            place = once((one.file, one.line), done.quarantined, done.staged, done.duplicates)
            done.quarantined[place] = (one.raw, frozenset(one.reasons))
        for one in intake.conflicts(removed):
            taken.append(once((one.file, one.line), done.quarantined, done.duplicates))
            done.quarantined[taken[-1]] = (one.raw, frozenset(one.reasons))
        intake.check_unchanged()
        for place in taken:
            done.staged.pop(place, None)
        done.received = intake.received
        assert done.received == manifest.rows == len(done.staged) + len(done.quarantined) + len(done.duplicates)
    return done


def _rows(data: bytes, columns: tuple[Column, ...], signed: bool) -> Iterator[tuple[Place, bytes, dict[str, Any]]]:
    """Rows of PostgreSQL's binary COPY format, decoded by its manual alone."""
    at = 0
    while at < len(data):
        (count,) = struct.unpack_from(">h", data, at)
        at += 2
        fields: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", data, at)
            at += 4
            assert -1 <= length <= len(data) - at
            fields.append(None if length < 0 else data[at : at + length])
            at += max(length, 0)
        file, line, *rest = fields
        key = (rest.pop(0) or b"") if signed else b""
        place = struct.unpack(">h", file or b"")[0], struct.unpack(">q", line or b"")[0]
        yield place, key, {c.name: decoded(c.kind, v) for c, v in zip(columns, rest, strict=True)}


def decoded(kind: str, value: bytes | None) -> Any:
    """A field of the binary format as a Python value."""
    if value is None:
        return None
    if kind == "id12":
        return struct.unpack(">q", value)[0]
    if kind == "integer":
        return struct.unpack(">i", value)[0]
    if kind == "date":
        return date.fromordinal(date(2000, 1, 1).toordinal() + struct.unpack(">i", value)[0])
    if kind == "timestamp":
        since = timedelta(microseconds=struct.unpack(">q", value)[0])
        return datetime(2000, 1, 1, tzinfo=timezone.utc) + since
    if kind == "numeric":
        return _decimal(value)
    return value.decode()


def _decimal(value: bytes) -> Decimal:
    count, weight, sign, _ = struct.unpack_from(">hhHh", value)
    digits = struct.unpack(f">{count}h", value[8:])
    assert all(0 <= digit < 10_000 for digit in digits) and sign in (0, 0x4000)
    number = sum(digit * 10_000 ** (count - 1 - at) for at, digit in enumerate(digits))
    power = 4 * (weight - count + 1)
    return Decimal(f"{'-' if sign else ''}{number}E{power}")


# ---------------------------------------------------------------- what is expected


@dataclass(frozen=True)
class Expected:
    """What the naive reader makes of the files; ``extract`` is None when the delivery has to be refused."""

    rows: list[int]
    extract: oracle.Extract | None
    raws: dict[Place, bytes]


def expect(sent: Sent, contract: oracle.Contract, areas: oracle.Areas) -> Expected:
    """Read the files one byte at a time and judge each row by itself."""
    width = len(contract.columns)
    names = [column.header for column in contract.columns]
    rows, files, raws, refused = [], [], {}, False
    for number, content in enumerate(sent.files, 1):
        plain = unpacked(content, sent.compression)
        if plain is None:
            refused = True
            rows.append(1)
            continue
        text, begin, order = plain.removeprefix(BOM), 0, list(range(width))
        if sent.header:
            head, text, begin = reference.without_header(text, sent.marks)
            found = [name.decode("utf-8", "replace") for name in reference.fields(head or b"", sent.marks)]
            if head is None or sorted(found) != sorted(names):
                refused = True
                rows.append(1)
                continue
            order = [found.index(name) for name in names]
        records = []
        for line, _, raw, reasons in reference.records(text, width, sent.marks):
            parts = () if reasons else tuple(one.decode() for one in reference.fields(raw, sent.marks))
            values = tuple(parts[at] for at in order) if parts else ()
            records.append(oracle.Record(begin + line, values, frozenset(reasons)))
            raws[number, begin + line] = raw
        rows.append(len(records))
        files.append(records)
    if refused or not any(files):
        return Expected(rows, None, raws)
    manifest = {"admin_code_version": VERSION, "revision": 1}
    return Expected(rows, reference.judge(contract, PERIOD, manifest, files, areas), raws)


def unpacked(content: bytes, compression: str) -> bytes | None:
    """What a file holds; None when it is damaged."""
    try:
        if compression == "gzip":
            return gzip.GzipFile(fileobj=io.BytesIO(content)).read() if content else None
        return zstd.decompress(content) if compression == "zstd" else content
    except (OSError, EOFError, zlib.error, zstd.ZstdError):
        return None


def compare(done: Poured, expected: Expected, contract: oracle.Contract, sent: Sent, sign: Sign) -> None:
    """Every record where it belongs, with the values and reasons it should have."""
    extract = expected.extract
    if extract is None:
        assert done.refused, "a delivery that cannot be trusted was taken"
        return
    if done.refused and set(done.refused) == {"P06-LOAD-044"}:
        for number, likely in done.misread.items():
            plain = unpacked(sent.files[number - 1], sent.compression)
            assert plain is not None and _mostly_foreign(plain, likely)
        return
    assert not done.refused, f"refused: {done.refused}"
    kinds = {column.name: column.kind for column in contract.columns}
    assert done.received == extract.received
    assert {place: reasons for place, (_, reasons) in done.quarantined.items()} == extract.quarantined
    assert {place: raw for place, (raw, _) in done.quarantined.items()} == {
        place: expected.raws[place] for place in extract.quarantined
    }
    assert len(done.duplicates) == extract.duplicates
    assert done.staged.keys() == extract.staged.keys()
    assert done.duplicates == expected.raws.keys() - extract.staged.keys() - extract.quarantined.keys()
    for place, row in extract.staged.items():
        wanted = dict(zip(contract.names, row, strict=True))
        wanted |= {name: int(value) for name, value in wanted.items() if kinds[name] == "id12" and value is not None}
        assert done.staged[place] == wanted
        if contract.key and done.keys[place]:
            text = "\x1f".join(str(wanted[name]) for name in contract.key)
            assert done.keys[place] == sign(text.encode())


def _mostly_foreign(plain: bytes, likely: str) -> bool:
    """Whether a file declared UTF-8 may be refused for the encoding named.

    A quarter of its words beyond ASCII, and five of them, are not UTF-8; as many are written in letters of the other; and
    one line in fifty holds such a word, for a few bad rows stop no delivery.
    """
    words = {word for word in _WORD.findall(plain) if not word.isascii()}
    foreign = {word for word in words if not reads(word, "utf-8")}
    read = {word for word in foreign if reads(word, likely)}
    lines = [set(_WORD.findall(line)) for line in re.split(rb"[\r\n]+", plain) if line]
    holding = sum(not foreign.isdisjoint(line) for line in lines)
    return len(read) >= 5 and 4 * len(read) >= len(words) and 50 * holding >= len(lines)


@contextmanager
def bounded(seconds: int) -> Iterator[None]:
    """Fail what takes longer; end the process with a traceback when even that does not stop it."""

    def late(*_: object) -> None:
        raise TimeoutError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    faulthandler.dump_traceback_later(6 * seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
