"""Garbage collections that would come at the wrong moment."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_GROWN = 1.25  # as the collector itself waits for a quarter more before it looks at everything
_held = 0  # objects, when everything was last looked at


@contextmanager
def only_new_garbage() -> Iterator[None]:
    """Keep what the process holds by now out of garbage collections; what is made meanwhile is collected as ever.

    dbt and Great Expectations leave so much that a full collection takes 0.15 to 0.5 s. Where one block follows another
    the collector never comes to look at what the earlier ones left, so once the process holds a quarter more than at the
    first, or since the last time, everything is collected before the block begins.
    """
    global _held
    gc.freeze()
    holds = gc.get_freeze_count()
    if _held and holds > _GROWN * _held:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        holds = _held = gc.get_freeze_count()
    _held = _held or holds
    try:
        yield
    finally:
        gc.unfreeze()
