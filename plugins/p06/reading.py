"""Reads the files of a delivery as blocks of bytes: checksum and decompression on the way, limits kept."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import queue
import stat
import tempfile
import threading
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from p06 import encoding
from p06.errors import P06Error
from p06.limits import limits
from p06.manifest import StatedFile

BLOCK = 2 << 20  # bytes handed on at once, decompressed
LINES = 1 << 15  # of one block; one of ordinary rows has half as many
UNPACKED_LIMIT = limits().file_bytes
RATIO_LIMIT = limits().ratio  # once the file is larger than
RATIO_FROM = 64 << 20
_PASSED_OVER = 32 << 20  # bytes a sample looks through for something that is not ASCII
MEMBER_LIMIT = 1 << 21  # members of one file: an empty one costs 25 microseconds; bgzip needs 2^20 for UNPACKED_LIMIT
_GZIP = 31  # zlib's window bits for a gzip member
_NEAR = 1 << 14  # bytes read for records that lie close to each other
_WINDOW_LOG = 27  # zstd's own limit without --long: 128 MiB, and what --ultra writes
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE)

T = TypeVar("T")


@dataclass
class Reading:
    """One file being read; ``size``, ``sha256`` and ``error`` are known at its end."""

    file: StatedFile
    path: Path
    compression: str
    encoding: str = "utf-8"
    size: int = 0
    sha256: str = ""
    error: P06Error | None = None
    _code: Any = field(default_factory=hashlib.sha256, repr=False)
    _marks: list[tuple[int, ...]] = field(default_factory=list, repr=False)  # of the file as it was first opened

    def again(self) -> Reading:
        """A fresh reading of the same file; it errs when the file is no longer the one opened first."""
        return Reading(self.file, self.path, self.compression, self.encoding, _marks=self._marks)

    def blocks(self) -> Iterator[bytes]:
        """Decompressed blocks, in UTF-8. A file that cannot be decompressed ends early, with ``error`` set; it is
        hashed whole.

        ``error`` is set, too, when the file was changed or replaced since it was first opened.
        """
        try:
            with self._open() as raw:
                try:
                    yield from self._text(raw)
                except P06Error as error:
                    self.error = error
                for _ in self._chunks(raw):
                    pass
        except P06Error as error:
            self.error = self.error or error
        self.sha256 = self._code.hexdigest()

    def sample(self, size: int) -> bytes:
        """Up to that many decompressed bytes from the beginning, as they were sent.

        What is ASCII alone is passed over, as far as ``_PASSED_OVER``. Of a file that cannot be read: what can be.
        """
        held, passed = b"", 0
        try:
            with self._open() as raw:
                for block in self._bytes(raw):
                    if held.isascii() and len(held) >= size and passed < _PASSED_OVER:
                        passed += len(held)
                        held = b""
                    held += block
                    if len(held) >= size and not (held.isascii() and passed < _PASSED_OVER):
                        break
        except P06Error:
            pass
        return held[:size]

    def hash(self) -> None:
        """Read the file for its checksum alone."""
        try:
            with self._open() as raw:
                for _ in self._chunks(raw):
                    pass
        except P06Error as error:
            self.error = error
        self.sha256 = self._code.hexdigest()

    def check_unchanged(self) -> None:
        """Look once more whether the file is the one opened first. Raises P06Error P06-LOAD-015."""
        with self._open():
            pass

    def mismatches(self) -> list[P06Error]:
        """Where the file's bytes are not those the manifest states; to be asked at its end."""
        found = [self.error] if self.error else []
        if self.error and self.error.code not in ("P06-LOAD-019", "P06-LOAD-020"):
            return found  # what was read is not the file that was sent
        if self.size != self.file.bytes:
            found.append(P06Error("P06-LOAD-014", file=self.file.number, stated=self.file.bytes, found=self.size))
        elif self.sha256 != self.file.sha256:
            found.append(P06Error("P06-LOAD-015", file=self.file.number))
        return found

    def pieces(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """The decompressed bytes at (offset, length), in ascending order of offset.

        Raises P06Error P06-LOAD-015 when the file is not the one opened first, or ends before them.
        """
        with self._open() as raw:
            if self.compression == "none" and self.encoding == "utf-8":
                near = io.BufferedReader(raw, _NEAR)  # type: ignore[type-var]
                try:
                    for offset, length in spans:
                        near.seek(offset)
                        piece = near.read(length)
                        if len(piece) < length:
                            raise self._changed()
                        yield piece
                finally:
                    near.detach()
                return
            blocks = self._text(raw)
            held, begin = b"", 0
            for offset, length in spans:
                while begin + len(held) < offset + length:
                    keep = held[offset - begin :] if offset < begin + len(held) else b""
                    begin += len(held) - len(keep)
                    more = next(blocks, None)
                    if more is None:
                        raise self._changed()
                    held = keep + more
                yield held[offset - begin : offset - begin + length]

    @contextmanager
    def spooled(self) -> Iterator[IO[bytes]]:
        """The decompressed content as a seekable file, for kinds that are not read from front to end.

        It has been read through once, so that size and checksum are known. A file that cannot be decompressed sets
        ``error`` and gives what came before. Raises P06Error P06-LOAD-015 when the file is not the one opened first.
        """
        if self.compression == "none":
            with self._open() as raw:
                for _ in self._chunks(raw):
                    pass
                self.sha256 = self._code.hexdigest()
                raw.seek(0)
                yield raw
            return
        with tempfile.TemporaryFile(prefix="p06-") as spool:
            for block in self.blocks():
                spool.write(block)
            spool.seek(0)
            yield spool

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """The file, the same one every time and unchanged at the end. Raises P06Error P06-LOAD-011, P06-LOAD-015."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _GONE:
                raise self._changed() from None
            raise
        with os.fdopen(descriptor, "rb", buffering=0) as raw:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise P06Error("P06-LOAD-011", file=self.file.number)
            self._compare(descriptor)
            yield raw
            self._compare(descriptor)

    def _compare(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        marks = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if not self._marks:
            self._marks.append(marks)
        elif self._marks[0] != marks:
            raise self._changed()

    def _changed(self) -> P06Error:
        return P06Error("P06-LOAD-015", file=self.file.number, at="changed while it was read")

    def _chunks(self, raw: IO[bytes], size: int | None = None) -> Iterator[bytes]:
        while chunk := raw.read(size or BLOCK):
            self._code.update(chunk)
            self.size += len(chunk)
            yield chunk

    def _text(self, raw: IO[bytes]) -> Iterator[bytes]:
        """The decompressed bytes, in UTF-8. Raises P06Error P06-LOAD-019, P06-LOAD-020."""
        blocks = self._bytes(raw)
        transcoder = encoding.transcoder(self.encoding)
        if transcoder is None:
            yield from blocks
            return
        for block in blocks:
            yield transcoder.feed(block, False)
        yield transcoder.feed(b"", True)

    def _bytes(self, raw: IO[bytes]) -> Iterator[bytes]:
        return self._chunks(raw) if self.compression == "none" else self._unpacked(raw)

    def _unpacked(self, raw: IO[bytes]) -> Iterator[bytes]:
        """The members of a compressed file, one after the other. Raises P06Error P06-LOAD-019, P06-LOAD-020."""
        make, failure = _UNPACKERS[self.compression]()
        member, members, packed, unpacked = make(), 1, 0, 0
        held: list[bytes] = []
        size = 0
        try:
            for chunk in self._chunks(raw, 1 << 18):
                packed += len(chunk)
                while True:
                    if member.eof:
                        chunk = chunk.lstrip(member.padding)
                        if not chunk:
                            break
                        member, members = make(), members + 1
                    part = member.feed(chunk)
                    chunk = member.rest
                    unpacked += len(part)
                    if (
                        members > MEMBER_LIMIT
                        or unpacked > UNPACKED_LIMIT
                        or (unpacked > RATIO_FROM and unpacked > RATIO_LIMIT * packed)
                    ):
                        raise P06Error("P06-LOAD-020", file=self.file.number)
                    held.append(part)
                    size += len(part)
                    if size >= BLOCK:
                        yield b"".join(held)
                        held, size = [], 0
                    if not member.eof and not member.more:
                        break
            if not member.eof:
                raise P06Error("P06-LOAD-019", file=self.file.number)
        except failure:
            raise P06Error("P06-LOAD-019", file=self.file.number) from None
        if held:
            yield b"".join(held)


class _Gzip:
    """One member of a gzip file."""

    padding = b"\0"  # what may follow a member without being one; gzip itself ignores it

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP)
        self._full = False  # zlib may hold more than fitted into the last part

    def feed(self, data: bytes) -> bytes:
        """At most ``BLOCK`` bytes of what was given so far."""
        part = self._inner.decompress(self._inner.unconsumed_tail + data, BLOCK)
        self._full = len(part) == BLOCK
        return part

    @property
    def eof(self) -> bool:
        """Whether the member is complete."""
        return self._inner.eof

    @property
    def more(self) -> bool:
        """Whether it may have more to give without being given more."""
        return self._full or bool(self._inner.unconsumed_tail)

    @property
    def rest(self) -> bytes:
        """What follows the member."""
        return self._inner.unused_data if self._inner.eof else b""


class _Zstd:
    """One frame of a zstd file."""

    padding = b""  # nothing may: the format knows skippable frames for it

    def __init__(self) -> None:
        from backports import zstd

        self._inner = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})

    def feed(self, data: bytes) -> bytes:
        """At most ``BLOCK`` bytes of what was given so far."""
        return self._inner.decompress(data, BLOCK)

    @property
    def eof(self) -> bool:
        """Whether the frame is complete."""
        return self._inner.eof

    @property
    def more(self) -> bool:
        """Whether it may have more to give without being given more."""
        return not self._inner.needs_input

    @property
    def rest(self) -> bytes:
        """What follows the frame."""
        return self._inner.unused_data if self._inner.eof else b""


def _gzip() -> tuple[Callable[[], Any], type[Exception]]:
    return _Gzip, zlib.error


def _zstd() -> tuple[Callable[[], Any], type[Exception]]:
    from backports import zstd

    return _Zstd, zstd.ZstdError


_UNPACKERS = {"gzip": _gzip, "zstd": _zstd}


def short(block: bytes, whole_lines: bool = False) -> Iterator[bytes]:
    """The block in pieces of not many more than ``LINES`` lines.

    Ordinary rows come in one piece. But two million empty lines, each set aside with its reasons, take two gigabytes.
    """
    lines = block.count(b"\n") + block.count(b"\r")
    size = len(block) if lines <= LINES else max(len(block) * LINES // lines, 1)
    start = 0
    while start < len(block):
        stop = start + size
        if whole_lines:
            stop = block.find(b"\n", stop - 1) + 1 or len(block)
        yield block[start:stop]
        start = stop


def ahead(source: Iterable[T], depth: int = 1) -> Generator[T, None, None]:
    """Run an iterable in a thread of its own, at most ``depth`` items ahead; its exception is raised here.

    Closing this generator ends the thread.
    """
    items: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not stopped.is_set():
            try:
                items.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in source:
                if not put("item", item):
                    break
            else:
                put("end", None)
        except BaseException as error:
            put("error", error)
        finally:
            if isinstance(source, Generator):
                source.close()

    thread = threading.Thread(target=work, name="p06-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = items.get()
            if kind == "item":
                yield value
            elif kind == "error":
                raise value
            else:
                return
    finally:
        stopped.set()
        thread.join()
