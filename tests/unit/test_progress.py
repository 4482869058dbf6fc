"""Progress: plain lines where nobody watches, a bar on a terminal once something takes longer than two seconds."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

_WORK = """
import sys, time
from p06.commands.progress import Bar
with Bar("counting") as bar:
    bar("first [bold]step[/bold]")
    bar.move(1, 4)
    begun = time.monotonic()
    while sys.argv[1] == "long" and bar._shown is None and time.monotonic() < begun + 60:
        time.sleep(0.05)
    early = time.monotonic() < begun + 1.8
    time.sleep(0.5 if sys.argv[1] == "long" else 0)
    bar.move(2, 4)
    bar("second step")
print("result", early)
"""


def _on_a_terminal(length: str) -> str:
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.Popen([sys.executable, "-c", _WORK, length], stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(ours)
    assert done.wait() == 0
    return shown.decode()


def test_a_terminal_shows_a_bar_after_two_seconds_and_each_line_all_the_same() -> None:
    shown = _on_a_terminal("long")
    assert "25%" in shown and "━" in shown
    assert "first [bold]step[/bold]" in shown and "second step" in shown and "result False" in shown


def test_what_is_quick_shows_no_bar() -> None:
    shown = _on_a_terminal("short")
    assert shown.replace("\r", "").splitlines() == ["first [bold]step[/bold]", "second step", "result True"]


def test_without_a_terminal_there_are_plain_lines() -> None:
    done = subprocess.run([sys.executable, "-c", _WORK, "short"], capture_output=True, text=True, check=True)
    assert (done.stderr.splitlines(), done.stdout) == (["first [bold]step[/bold]", "second step"], "result True\n")
