"""What every reader of a file gives, whatever the file's kind: blocks of sound records as columns of text.

``csv_reader``, ``jsonl_reader``, ``parquet_reader`` and ``xlsx_reader`` each turn one file into ``Block``s; ``intake``
judges them by the contract and knows nothing of kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from p06.errors import P06Error

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Unsound:
    """A record, or a physical line, that cannot be trusted at all; ``raw`` is without its line end."""

    line: int
    record: int
    raw: bytes
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """One reason on some rows of a block, by their index in it. ``column`` is the staging name, None for the row."""

    rows: Ints
    reason: str
    column: str | None


@dataclass(frozen=True)
class Block:
    """Some records of one file, in file order.

    ``columns``: staging name -> ``pa.StringArray`` without nulls, one value per sound record, empty text for null; a
    column the file does not have is absent. ``lines`` and ``records`` place each sound record: the physical line it
    begins on (the file's first is 1; a sheet's row; a parquet file's record number) and its number (the first is 1).
    ``offsets`` and ``lengths`` say where its bytes lie in the decoded stream, or are zeros where a kind has no such
    thing. ``failures`` are reasons only the kind of file can tell (a number in an ID cell); ``raws`` gives the raw text
    of the sound records at these indexes.
    """

    columns: Mapping[str, Any]
    lines: Ints
    records: Ints
    offsets: Ints
    lengths: Ints
    unsound: tuple[Unsound, ...]
    failures: tuple[Failure, ...]
    raws: Callable[[Sequence[int]], list[bytes]]

    def __len__(self) -> int:
        return len(self.lines)


class Reader(Protocol):
    """One file of a delivery. ``header`` first; then ``blocks`` once, to its end; then ``seen`` and ``again``."""

    @property
    def seen(self) -> int:
        """Records found so far, sound or not."""

    def header(self) -> list[P06Error]:
        """Compare names (header, keys, schema) with the contract, reading no further than needed; [] when it fits."""

    def blocks(self) -> Iterator[Block]:
        """The records. Raises Refused when the file as a whole cannot be trusted (``file`` and ``line`` named)."""

    def again(self, places: Iterable[Any]) -> Iterator[tuple[bytes, dict[str, str]]]:
        """Read sound records once more: (raw text, staging name -> text) for each place, in order.

        ``places`` are arrays of ``repeats.ENTRY`` of this file, ascending. Raises P06Error P06-LOAD-015 when the file
        is no longer the one read first.
        """
