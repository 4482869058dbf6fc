"""The names a file gives its columns, compared with the contract; for every kind of file the same."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from p06.contract import Contract
from p06.errors import P06Error
from p06.limits import limits
from p06.masking import mask

_SHOWN = 64  # characters of a name's shape
_NAMED = re.compile(r"[a-z][a-z0-9_]{0,62}")


def compare(contract: Contract, names: list[str], file: int) -> list[P06Error]:
    """Name every missing, added, renamed and duplicated column.

    A name the contract does not know is told with its position. In a header that bears most of the contract's names it
    stands as it is when it is written like a column's; else its shape does, see ``shown_name``.
    """
    if len(names) > limits().columns:
        return [_error(file, "P06-LOAD-049", columns=len(names), limit=limits().columns)]
    expected = [column.physical_name for column in contract.columns]
    report = partial(_error, file)
    is_header = 2 * len(set(expected).intersection(names)) > len(expected)

    def told(name: str) -> str | None:
        return name if is_header and _NAMED.fullmatch(name) else shown_name(contract, name)

    found = [
        report("P06-LOAD-028", column=told(name), position=names.index(name, names.index(name) + 1) + 1)
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    missing = [name for name in expected if name not in names]
    added = [(position, name) for position, name in enumerate(names) if name not in expected]
    if len(missing) == len(expected):
        return [report("P06-LOAD-029")]
    renamed = {
        position: expected[position]
        for position, _ in added
        if position < len(expected) and expected[position] in missing
    }
    allowed_missing = {column.physical_name for column in contract.columns if not column.required}
    for position, name in added:
        if position in renamed:
            found.append(report("P06-LOAD-027", column=renamed[position], found=told(name), position=position + 1))
        elif not contract.allow_added:
            found.append(report("P06-LOAD-026", column=told(name), position=position + 1))
    for name in missing:
        if name not in renamed.values() and not (contract.allow_missing and name in allowed_missing):
            found.append(report("P06-LOAD-025", column=name))
    return found


def _error(file: int, code: str, **where: Any) -> P06Error:
    return P06Error(code, file=file, **where)


def shown_name(contract: Contract, name: str) -> str | None:
    """A name as it may stand in a message: the contract's own, in whatever case; of any other the shape.

    A file without a header, a table turned on its side or a key of a data row can bring a person's name here
    (``nguyen_van_a``), and no look at the letters tells it from a column's. None when there is nothing to show.
    """
    own = {column.physical_name.casefold() for column in contract.columns}
    plain = name.strip(" ")
    return (
        plain if plain.isascii() and plain.casefold() in own else mask(name.encode("utf-8", "replace"))[:_SHOWN] or None
    )
