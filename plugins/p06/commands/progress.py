"""Progress of commands: on a terminal a bar once they take longer than two seconds, plain lines otherwise."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import Any

AFTER = 2.0  # seconds


class Bar:
    """A bar on standard error, which appears by itself after two seconds and leaves nothing behind.

    Called with a text it prints a line, and tells it beside the bar. It runs without a known end until ``move`` names
    one.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._shown: Any = None
        self._task: Any = None
        self._state: tuple[int, int | None] = (0, None)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Bar:
        if sys.stderr.isatty():
            self._timer = threading.Timer(AFTER, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._timer = None
            if self._shown is not None:
                self._shown.stop()

    def __call__(self, text: str) -> None:
        """What is being done."""
        with self._lock:
            self._text = text
            if self._shown is not None:
                self._shown.console.print(text, markup=False, highlight=False)
                self._shown.update(self._task, description=text)
                return
        print(text, file=sys.stderr, flush=True)

    def move(self, done: int, of: int) -> None:
        """How far it is."""
        with self._lock:
            self._state = (done, of)
            if self._shown is not None:
                self._shown.update(self._task, completed=done, total=of or None)

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        with self._lock:
            if self._timer is None:
                return
            console = Console(stderr=True)
            self._shown = Progress(
                TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
                console=console, transient=True,
            )  # fmt: skip
            done, of = self._state
            self._task = self._shown.add_task(self._text, total=of, completed=done)
            self._shown.start()
