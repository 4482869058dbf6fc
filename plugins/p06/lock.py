"""Patience with locks: short waits, tried again, so that nobody queues behind a statement that waits for a reader."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from p06.errors import Busy

T = TypeVar("T")
WAIT = "100ms"  # as long may readers who come later queue behind one try
PATIENCE = 60.0  # seconds until whoever holds the lock is named as the reason


def patiently(work: Callable[[], T], code: str, seconds: float = PATIENCE, **where: Any) -> T:
    """Do ``work``, a transaction that bounds its waits by ``lock_timeout``; again while others hold what it locks.

    Raises Busy with this code and place when that takes longer than ``seconds``.
    """
    until = time.monotonic() + seconds
    pause = 0.05
    while True:
        try:
            return work()
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() + pause > until:
                raise Busy(code, **where) from None
        time.sleep(pause)
        pause = min(2 * pause, 1.0)
