"""What is fuzzed: bytes from anywhere against naive readers. An exception without a code is a find, and so is an answer
that differs from theirs.

The first byte of an input chooses the part, the second the dialect, the third the width and the size of blocks; digits
do, so that inputs can be read and written by hand.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from p06 import manifest as manifests
from p06 import reading, repeats
from p06.errors import P06Error, Refused
from p06.landing import Delivery
from p06.manifest import StatedFile
from p06.reading import Reading
from p06.scanner import Dialect, Scanner, split, walk
from p06.settings import settings
from tests import pouring, reference
from tests.oracle import reading as oracle
from tests.properties.conftest import gather
from tests.properties.deliveries import DIALECTS, signs

PARTS = 4
SIZES = (1, 2, 3, 5, 8, 13, 64, 200)
BLOCKS = 40  # of one input at most: long inputs in blocks of a byte would take most of the time
_CHUNKS = Reading._chunks


class Target:
    """One folder in which inputs are laid out as deliveries."""

    def __init__(self) -> None:
        base = "/dev/shm" if Path("/dev/shm").is_dir() else None  # memory, where there is such a folder
        self._held = tempfile.TemporaryDirectory(prefix="p06-fuzz-", dir=base)
        self._folder = Path(self._held.name)
        contracts = gather(self._folder / "contracts")
        os.environ |= {"P06_CONTRACTS": str(contracts), "P06_HOME": str(self._folder / "home")}
        settings.cache_clear()
        self._contracts = oracle.contracts(contracts)
        self._areas = oracle.Areas()
        self._count = 0

    def close(self) -> None:
        """Leave nothing behind."""
        self._held.cleanup()

    def examine(self, data: bytes) -> None:
        """Judge one input. Raises AssertionError when it is judged wrongly."""
        if len(data) < 3:
            return
        part, dialect, size, text = data[0] % PARTS, DIALECTS[data[1] % len(DIALECTS)], data[2], data[3:]
        parts: tuple[Callable[[reference.Marks, int, bytes], None], ...]
        parts = (self._scanner, self._delivery, self._manifest, self._packed)
        parts[part](dialect, size, text)

    def _scanner(self, marks: reference.Marks, size: int, text: bytes) -> None:
        width, block = 1 + size % 4, _block(size // 4, text)
        dialect = Dialect(*marks)
        expected = reference.records(text, width, marks)
        assert scan(text, width, max(len(text), 1), dialect) == expected
        assert scan(text, width, block, dialect) == expected
        for _, _, raw, reasons in expected:
            assert reasons or split(raw, dialect) == reference.fields(raw, marks)
        if text:
            head, rest, lines = reference.without_header(text, marks)
            found = walk(text, 0, dialect, None, True)
            assert found is not None and (head is None) == bool(found.reasons)
            assert head is None or (text[: found.end], text[found.next :], found.lines) == (head, rest, lines)

    def _delivery(self, marks: reference.Marks, size: int, text: bytes) -> None:
        source = ("word", "note", "health_visit", "population_register")[size % 4]
        cut = text.find(b"\x1c")
        files = (text,) if cut < 0 else (text[:cut], text[cut + 1 :])
        sent = pouring.Sent(source, marks, False, "none", files)
        contract, sign = self._contracts[source], signs(bool(size & 32))
        expected = pouring.expect(sent, contract, self._areas)
        few, block = (3, _block(size // 4, text)) if size & 64 else (1 << 16, 2 << 20)
        before = repeats._SORTED_AT_ONCE, repeats._READ_AT_ONCE, repeats._COMPARED_AT_ONCE
        repeats._SORTED_AT_ONCE = repeats._READ_AT_ONCE = repeats._COMPARED_AT_ONCE = few
        Reading._chunks = lambda self, raw, size=0: _CHUNKS(self, raw, block)  # type: ignore[method-assign]
        try:
            done = pouring.pour(pouring.put(self._place(), sent, expected.rows), sign)
        finally:
            Reading._chunks = _CHUNKS  # type: ignore[method-assign]
            repeats._SORTED_AT_ONCE, repeats._READ_AT_ONCE, repeats._COMPARED_AT_ONCE = before
        pouring.compare(done, expected, contract, sent, sign)

    def _manifest(self, _: reference.Marks, __: int, text: bytes) -> None:
        folder = self._place() / "word" / "2024-01" / "first"
        folder.mkdir(parents=True)
        (folder / "part").write_bytes(b"x\n")
        (folder / "manifest.json").write_bytes(text)
        try:
            contract, manifest = manifests.read(Delivery("word", "2024-01", "first", folder))
        except Refused as error:
            assert error.mismatches and all(one.what("vi") for one in error.mismatches)
            return
        assert (manifest.source, str(manifest.period), contract.source) == ("word", "2024-01", "word")
        assert [(file.name, file.bytes) for file in manifest.files] == [("part", 2)]
        assert manifest.extract_id.startswith("word-202401-r")

    def _packed(self, _: reference.Marks, size: int, text: bytes) -> None:
        compression = ("gzip", "zstd")[size % 2]
        path = self._place() / "packed"
        path.write_bytes(text)
        expected = pouring.unpacked(text, compression)
        for block in (2 << 20, _block(size // 2, text)):
            one = Reading(StatedFile(1, "packed", len(text), "", 1), path, compression)
            Reading._chunks = lambda self, raw, size=0, block=block: _CHUNKS(self, raw, block)  # type: ignore[method-assign]
            before, reading.BLOCK = reading.BLOCK, block
            try:
                found = b"".join(one.blocks())
            finally:
                Reading._chunks, reading.BLOCK = _CHUNKS, before  # type: ignore[method-assign]
            assert one.size == len(text)
            if one.error is None:
                assert found == expected
            else:
                assert isinstance(one.error, P06Error) and (expected is None or compression == "gzip")

    def _place(self) -> Path:
        """A folder of its own for each input; the last one is taken away."""
        import shutil

        shutil.rmtree(self._folder / f"input-{self._count}", ignore_errors=True)
        self._count += 1
        place = self._folder / f"input-{self._count}"
        place.mkdir()
        return place


MARK = len(pouring.BOM)


def _block(number: int, text: bytes) -> int:
    """Bytes of a block; the first of a real file, two million or all of it, holds a whole byte order mark."""
    return max(SIZES[number % len(SIZES)], len(text) // BLOCKS, MARK if pouring.BOM in text else 1)


def scan(text: bytes, width: int, block: int, dialect: Dialect) -> list[reference.Judged]:
    """(line, record, raw, reasons) of each record, fed in blocks of that many bytes."""
    scanner = Scanner(dialect, width)
    pieces = [text[start : start + block] for start in range(0, len(text), block)] or [b""]
    found: list[reference.Judged] = []
    for number, piece in enumerate(pieces, 1):
        chunk = scanner.feed(piece, number == len(pieces))
        places = zip(chunk.lines.tolist(), chunk.records.tolist(), chunk.raws(range(len(chunk))), strict=True)
        found += [(line, record, raw, ()) for line, record, raw in places]
        found += [(one.line, one.record, one.raw, one.reasons) for one in chunk.unsound]
    assert scanner.seen == len(found)
    return sorted(found)
