"""Reads the files of a delivery as blocks of bytes: checksum and decompression on the way, limits kept."""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import stat
import tempfile
import threading
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from p06.errors import P06Error
from p06.manifest import StatedFile

BLOCK = 2 << 20  # bytes handed on at once, decompressed
UNPACKED_LIMIT = 64 << 30  # bytes of one file, decompressed
RATIO_LIMIT = 400  # decompressed bytes per compressed byte, once the file is larger than
RATIO_FROM = 64 << 20
_GZIP = 31  # zlib's window bits for a gzip member
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE)

T = TypeVar("T")


@dataclass
class Reading:
    """One file being read; ``size``, ``sha256`` and ``error`` are known at its end."""

    file: StatedFile
    path: Path
    compression: str
    size: int = 0
    sha256: str = ""
    error: P06Error | None = None
    _code: Any = field(default_factory=hashlib.sha256, repr=False)
    _marks: list[tuple[int, ...]] = field(default_factory=list, repr=False)  # of the file as it was first opened

    def again(self) -> Reading:
        """A fresh reading of the same file; it errs when the file is no longer the one opened first."""
        return Reading(self.file, self.path, self.compression, _marks=self._marks)

    def blocks(self) -> Iterator[bytes]:
        """Decompressed blocks. A file that cannot be decompressed ends early, with ``error`` set; it is hashed whole.

        ``error`` is set, too, when the file was changed or replaced since it was first opened.
        """
        try:
            with self._open() as raw:
                try:
                    yield from self._gunzipped(raw) if self.compression == "gzip" else self._chunks(raw)
                except P06Error as error:
                    self.error = error
                for _ in self._chunks(raw):
                    pass
        except P06Error as error:
            self.error = self.error or error
        self.sha256 = self._code.hexdigest()

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
            if self.compression == "none":
                for offset, length in spans:
                    raw.seek(offset)
                    piece = raw.read(length)
                    if len(piece) < length:
                        raise self._changed()
                    yield piece
                return
            blocks = self._gunzipped(raw)
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

    def _chunks(self, raw: IO[bytes], size: int = BLOCK) -> Iterator[bytes]:
        while chunk := raw.read(size):
            self._code.update(chunk)
            self.size += len(chunk)
            yield chunk

    def _gunzipped(self, raw: IO[bytes]) -> Iterator[bytes]:
        """The members of a gzip file, one after the other. Raises P06Error P06-LOAD-019, P06-LOAD-020."""
        member, packed, unpacked = zlib.decompressobj(_GZIP), 0, 0
        held: list[bytes] = []
        size = 0
        try:
            for chunk in self._chunks(raw, 1 << 18):
                packed += len(chunk)
                while chunk:
                    if member.eof:
                        chunk = chunk.lstrip(b"\0")  # padding after a member is legal
                        if not chunk:
                            break
                        member = zlib.decompressobj(_GZIP)
                    part = member.decompress(chunk, BLOCK)
                    chunk = member.unused_data if member.eof else member.unconsumed_tail
                    unpacked += len(part)
                    if unpacked > UNPACKED_LIMIT or (unpacked > RATIO_FROM and unpacked > RATIO_LIMIT * packed):
                        raise P06Error("P06-LOAD-020", file=self.file.number)
                    held.append(part)
                    size += len(part)
                    if size >= BLOCK:
                        yield b"".join(held)
                        held, size = [], 0
            while not member.eof:
                part = member.decompress(member.unconsumed_tail, BLOCK)
                if not part:
                    raise P06Error("P06-LOAD-019", file=self.file.number)
                held.append(part)
        except zlib.error:
            raise P06Error("P06-LOAD-019", file=self.file.number) from None
        if held:
            yield b"".join(held)


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
