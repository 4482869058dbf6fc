"""A delivery as a ministry sends it: parts, manifest last; and the truth beside it."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import shutil
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.compute as pc

from p06.contract import Contract
from p06.period import Period
from p06.synth.areas import EARLIEST, REFORM
from p06.synth.dirt import DUPLICATE, QUARANTINED, Mark, Spoilt
from p06.synth.frame import Frame

MANIFEST = "manifest.json"
_CHUNK = 200_000
_SMALL = 200  # rows below which a delivery is one file


@dataclass(frozen=True)
class Shape:
    """How a sender writes its files."""

    parts: int = 1
    gzip: bool = True
    mark: bytes = b""
    end: bytes = b"\n"


SHAPES = {
    "population_register": Shape(parts=2),
    "education_enrolment": Shape(parts=2),
    "social_security_participation": Shape(parts=3),
    "land_parcel": Shape(gzip=False, mark=b"\xef\xbb\xbf", end=b"\r\n"),  # saved by a spreadsheet
}
TRUTH_COLUMNS = ("file", "line", "record", "kind", "outcome", "reason", "match_method")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


class _File:
    """One data file being written: compressed, measured, and counted."""

    def __init__(self, path: Path, shape: Shape, header: bytes) -> None:
        self.name, self._out = path.name, path.open("wb")
        self._pack = zlib.compressobj(1, zlib.DEFLATED, 31) if shape.gzip else None
        self._sum, self.size, self.rows, self.line = hashlib.sha256(), 0, 0, 2
        self.write(shape.mark + header + shape.end)

    def write(self, block: bytes | memoryview) -> None:
        self._put(self._pack.compress(block) if self._pack else block)

    def _put(self, block: bytes | memoryview) -> None:
        self._sum.update(block)
        self.size += self._out.write(block)

    def close(self) -> dict[str, Any]:
        if self._pack:
            self._put(self._pack.flush())
        self._out.close()
        return {"name": self.name, "bytes": self.size, "sha256": self._sum.hexdigest(), "rows": self.rows}


def write(
    folder: Path, contract: Contract, period: Period, revision: int, frame: Frame, spoilt: Spoilt
) -> list[tuple[str, int, int, Mark]]:
    """Write the delivery into ``folder``; each mark with file, line and record (header excluded), in that order."""
    shape = SHAPES.get(contract.source, Shape())
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    size = len(frame)
    header = ",".join(column.physical_name for column in contract.columns).encode()
    parts = shape.parts if size >= _SMALL else 1
    edges = [size * part // parts for part in range(parts + 1)]
    copies: dict[int, list[int]] = {}
    for at, (after, _) in enumerate(spoilt.copies):
        copies.setdefault(after, []).append(at)
    marks: dict[int, list[Mark]] = {}
    for mark in spoilt.marks:
        marks.setdefault(mark.slot, []).append(mark)
    events = np.array(sorted({*spoilt.lines, *copies, *(slot for slot in marks if slot < size)}), np.int64)
    found: list[tuple[str, int, int, Mark]] = []
    files = []
    for part in range(parts):
        name = f"part-{part + 1:04d}.csv" + (".gz" if shape.gzip else "")
        file = _File(folder / name, shape, header)

        def note(slot: int, file: _File = file) -> None:
            found.extend((file.name, file.line, file.rows + 1, mark) for mark in marks.get(slot, ()))

        def record(line: bytes, file: _File = file) -> None:
            file.write(line + shape.end)
            file.rows += 1
            file.line += 1 + line.count(b"\n")

        for start in range(edges[part], edges[part + 1], _CHUNK):
            stop = min(start + _CHUNK, edges[part + 1])
            body, offsets = _lines(frame, contract, start, stop, shape.end)
            row = start
            for event in map(int, events[np.searchsorted(events, start) : np.searchsorted(events, stop)]):
                _copy(file, body, offsets, row - start, event - start)
                note(event)
                line = spoilt.lines.get(event, b"")
                if event not in spoilt.lines:
                    _copy(file, body, offsets, event - start, event + 1 - start)
                elif line is not None:
                    record(line)
                row = event + 1
                for at in copies.get(event, ()):
                    note(size + at)
                    record(spoilt.copies[at][1])
            _copy(file, body, offsets, row - start, stop - start)
        files.append(file.close())
    manifest = {
        "manifest_version": 1,
        "source": contract.source,
        "period": str(period),
        "revision": revision,
        "produced_at": f"{period.shift(1)}-{2 + min(revision, 25):02d}T08:15:00+07:00",
        "admin_code_version": (REFORM if period.first_day >= REFORM else EARLIEST).isoformat(),
        "format": {
            "kind": "csv",
            "compression": "gzip" if shape.gzip else "none",
            "encoding": "utf-8",
            "delimiter": ",",
            "quote": '"',
            "header": True,
        },
        "files": files,
    }
    _write(folder / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    return found


def _lines(frame: Frame, contract: Contract, start: int, stop: int, end: bytes) -> tuple[memoryview, np.ndarray]:
    """The clean lines of some rows: their bytes, and where each begins."""
    columns = [frame.columns[column.name].slice(start, stop - start) for column in contract.columns]
    joined = pc.binary_join_element_wise(*columns, ",", null_handling="replace", null_replacement="")
    joined = pc.binary_join_element_wise(joined, "", end.decode())
    _, offsets, data = joined.buffers()
    return memoryview(data), np.frombuffer(offsets, np.int32, stop - start + 1, joined.offset * 4)


def _copy(file: _File, body: memoryview, offsets: np.ndarray, start: int, stop: int) -> None:
    if stop > start:
        file.write(body[int(offsets[start]) : int(offsets[stop])])
        file.rows += stop - start
        file.line += stop - start


def write_truth(path: Path, found: list[tuple[str, int, int, Mark]]) -> None:
    """One line per record whose outcome is not the plain one, as gzip csv; no value of a person is in it."""
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(TRUTH_COLUMNS)
    for file, line, number, mark in found:
        table.writerow([file, line, number, mark.kind, mark.outcome, mark.reason, mark.method])
    _write(path, gzip.compress(lines.getvalue().encode(), 6, mtime=0))


def tally(folder: Path, found: list[tuple[str, int, int, Mark]], spoilt: Spoilt) -> dict[str, Any]:
    """What a loader must find in the delivery, in numbers."""
    manifest = orjson.loads((folder / MANIFEST).read_bytes())
    marks = [mark for *_, mark in found]
    received = sum(file["rows"] for file in manifest["files"])
    quarantined = sum(mark.outcome == QUARANTINED for mark in marks)
    duplicates = sum(mark.outcome == DUPLICATE for mark in marks)
    return {
        "source": manifest["source"],
        "period": manifest["period"],
        "revision": manifest["revision"],
        "received": received,
        "duplicates": duplicates,
        "quarantined": quarantined,
        "staged": received - quarantined - duplicates,
        "reasons": dict(sorted(Counter(mark.reason for mark in marks if mark.reason).items())),
        "kinds": dict(sorted(Counter(mark.kind for mark in marks).items())),
        "methods": spoilt.methods,
    }
