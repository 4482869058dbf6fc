"""How large a delivery may be; each limit has a default far above any real one, and a variable to change it.

A file beyond a limit is refused whole, so that a mistake or an attack ends soon and in bounded room.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import cache

from p06.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """Each is ``P06_LIMIT_`` and its name in the environment."""

    file_bytes: int = 64 << 30  # of one file, decompressed; 200 million rows of 300 bytes
    sheet_bytes: int = 512 << 20  # of a workbook's parts; a full sheet of 1,048,576 rows and 15 columns has 450 MB
    ratio: int = 400  # decompressed bytes per compressed byte, once a file is larger than 64 MiB
    line_bytes: int = 1 << 20  # of one record, and of one physical line
    files: int = 32_767  # of one delivery
    rows: int = 1_000_000_000  # stated by one manifest
    columns: int = 1_000  # of one file


@cache
def limits() -> Limits:
    """The limits in force. Raises UsageError P06-CONFIG-001 on a variable that is no whole number from 1."""
    found = {}
    for field in fields(Limits):
        stated = number(f"P06_LIMIT_{field.name.upper()}")
        if stated is not None:
            found[field.name] = stated
    return Limits(**found)


def number(variable: str, least: int = 1, most: int | None = None) -> int | None:
    """The whole number a variable of the environment states; None when unset. Raises UsageError P06-CONFIG-001."""
    stated = os.environ.get(variable)
    if stated is None:
        return None
    fits = stated.isascii() and stated.isdigit() and least <= int(stated) and (most is None or int(stated) <= most)
    if not fits:
        raise UsageError("P06-CONFIG-001", variable=variable, least=least, most=most)
    return int(stated)
