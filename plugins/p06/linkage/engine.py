"""A DuckDB of one's own: in memory, bounded, without network, leaving nothing on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from p06.errors import P06Error

MEMORY_LIMIT = "2GB"


@contextmanager
def engine(threads: int | None = None) -> Iterator[Any]:
    """A DuckDB connection that neither spills to disk, nor reads files, nor downloads extensions.

    Raises P06-LINK-006 when what is done with it does not fit into ``P06_LINKAGE_MEMORY`` (2GB).
    """
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": os.environ.get("P06_LINKAGE_MEMORY", MEMORY_LIMIT),
            "threads": threads or min(os.cpu_count() or 1, 4),
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
            "preserve_insertion_order": False,
        },
    )
    try:
        connection.execute("set enable_progress_bar = false")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        yield connection
    except Exception as error:
        if isinstance(error, duckdb.OutOfMemoryException) or isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise P06Error("P06-LINK-006") from None  # Splink wraps it in an error of its own
        raise
    finally:
        connection.close()
