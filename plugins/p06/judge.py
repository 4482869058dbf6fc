"""Judges blocks of records by their contract and writes the good rows in the database's own binary form.

Nothing on the good path is done row by row in Python but the keyed hash of the business key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from p06 import encode
from p06 import rules as checks
from p06.area_codes import Counts, Tally
from p06.contract import Contract
from p06.period import Period
from p06.records import Block
from p06.repeats import ENTRY

_KEPT = 16 << 20  # bytes
KEY_BYTES = 16  # of a record key, and of the hash that finds rows of the same key

Sign = Callable[[Iterable[bytes]], bytes]  # KEY_BYTES of each message, one after the other


@dataclass(frozen=True)
class Rejected:
    """One record for quarantine. ``columns[i]`` is what ``reasons[i]`` speaks of, None for the whole row."""

    ordinal: int  # among the sound records of its block, or of all files once found; -1 for others
    file: int
    line: int
    record: int
    raw: bytes
    reasons: tuple[str, ...]
    columns: tuple[str | None, ...]


@dataclass(frozen=True)
class Judged:
    """One block: ``entries`` of its sound records, what is wrong, and the good rows for COPY.

    The ordinals of ``rejected`` count from the block's first sound record, -1 for others.
    """

    entries: Any  # an array of repeats.ENTRY
    rejected: list[Rejected]
    data: Any  # file_no, line, record key if signed, then encode.table_columns; empty without good rows
    rows: int
    areas: Counts | None = None  # to which area lists its commune codes belong


class Judge:
    """The rules of one contract, for one period and one version of the administrative codes."""

    def __init__(self, contract: Contract, period: Period, admin_code_version: date, sign: Sign | None) -> None:
        """``sign`` makes the record key; without it rows carry none."""
        # The C library gives freed memory back to the system at once, and each block would ask for the same pages again
        # (1,500 faults a block of JSON lines, an eighth of its time). A large piece freed once teaches it to keep what
        # is smaller; nothing is written to it, so it takes no memory.
        np.empty(_KEPT, np.uint8)
        self._contract = contract
        self._columns = encode.table_columns(contract.columns)
        self._rules = checks.Rules(contract, period, admin_code_version)
        self._tally = Tally(contract, admin_code_version)
        self._sign = sign

    def judge(self, number: int, block: Block) -> Judged:
        """A block of the file of that number."""
        rejected = [
            Rejected(-1, number, one.line, one.record, one.raw, one.reasons, (None,) * len(one.reasons))
            for one in block.unsound
        ]
        if not len(block):
            return Judged(np.empty(0, ENTRY), rejected, b"", 0)
        wrong = checks.reasons_by_row(self._rules.judge(block.columns, block.failures, len(block)))
        good = np.ones(len(block), np.bool_)
        good[list(wrong)] = False
        keyed, hashes, keys = self._identify(block)
        rows = sorted(wrong)
        for row, raw in zip(rows, block.raws(rows), strict=True):
            reasons, names = wrong[row]
            place = (row, number, int(block.lines[row]), int(block.records[row]))
            rejected.append(Rejected(*place, raw, tuple(reasons), tuple(names)))
        data = self._encoded(number, block, good, keys)
        entries = _entries(number, block, hashes, good & keyed)
        return Judged(entries, rejected, data, int(good.sum()), self._tally.count(block.columns))

    def _identify(self, block: Block) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], bytes]:
        """Of each row: whether its business key is whole, a hash equal rows and rows of one key share, its record key.

        A row without a key is its own key.
        """
        found = checks.key_texts(self._contract, block.columns)
        if found is None:
            whole = np.zeros(len(block), np.bool_)
            texts: list[bytes] = self._rows(block)
        else:
            parts, whole = found
            texts = parts.cast(pa.binary()).to_pylist()
            if not whole.all():
                contents = self._rows(block)
                texts = [key if held else own for key, held, own in zip(texts, whole, contents, strict=True)]
        if self._sign is None:
            return whole, np.fromiter(map(hash, texts), np.int64, len(texts)), b""
        keys = self._sign(texts)
        return whole, np.frombuffer(keys, "<i8")[::2], keys

    def _rows(self, block: Block) -> list[bytes]:
        """One text per row, the same for rows that are equal in all columns."""
        empty = checks.texts([""] * len(block))
        parts = [block.columns.get(column.name, empty) for column in self._contract.columns]
        return checks.join(parts, "\0").cast(pa.binary()).to_pylist()  # type: ignore[no-any-return]

    def _encoded(self, number: int, block: Block, good: npt.NDArray[np.bool_], keys: bytes) -> Any:
        lines, values = block.lines, dict(block.columns)
        signed = keys if self._sign else None
        if not good.all():
            rows = np.flatnonzero(good)
            if not len(rows):
                return b""
            lines = lines[rows]
            values = {name: checks.taking(column, rows) for name, column in values.items()}
            if signed is not None:
                signed = np.frombuffer(signed, np.uint8).reshape(-1, KEY_BYTES)[rows].tobytes()
        return encode.encode(self._columns, values, number, lines, signed)


def _entries(
    number: int, block: Block, hashes: npt.NDArray[np.int64], keyed: npt.NDArray[np.bool_]
) -> npt.NDArray[Any]:
    entries = np.empty(len(block), ENTRY)
    entries["hash"] = hashes
    entries["file"] = number
    entries["keyed"] = keyed
    entries["line"] = block.lines
    entries["record"] = block.records
    entries["offset"] = block.offsets
    entries["length"] = block.lengths
    return entries
