"""Numbers as the text of a file, whole columns at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NONE = -(2**31)
"""The day that stands for no date."""


def fixed(values: NDArray[np.integer], width: int) -> pa.Array:
    """Numbers as text of exactly ``width`` digits, zero-padded."""
    count = len(values)
    rest = values.astype(np.int64)
    cells = np.empty((count, width), np.uint8)
    for place in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        cells[:, place] = digit + 48
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(cells)))


def plain(values: NDArray[np.integer]) -> pa.Array:
    """Numbers as text without padding."""
    return pa.array(values).cast(pa.string())


def money(values: NDArray[np.integer]) -> pa.Array:
    """Whole amounts with two decimals."""
    return pc.binary_join_element_wise(plain(values), "00", ".")


def days(values: NDArray[np.integer]) -> pa.Array:
    """Days since 1970-01-01 as ISO dates; ``NONE`` is null."""
    return pa.array(values.astype(np.int32), pa.date32(), mask=values == NONE).cast(pa.string())


def stamps(values: NDArray[np.integer]) -> pa.Array:
    """Seconds of local time since 1970-01-01 as ISO timestamps with Viet Nam's offset; below zero is null."""
    local = pa.array(values.astype("datetime64[s]"), mask=values < 0).cast(pa.string())
    return pc.binary_join_element_wise(pc.replace_substring(local, " ", "T"), "+07:00", "")


def labels(table: Sequence[str | None], index: NDArray[np.integer]) -> pa.Array:
    """The table's entry for each index."""
    return pa.array(table, pa.string()).take(pa.array(index))


def blank(values: pa.Array, where: NDArray[np.bool_]) -> pa.Array:
    """Null where told, the value elsewhere."""
    return pc.if_else(pa.array(where), pa.scalar(None, values.type), values)


def glue(*parts: pa.Array | str) -> pa.Array:
    """The parts side by side; null when one is null."""
    return pc.binary_join_element_wise(*parts, "")
