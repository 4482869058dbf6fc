"""Runs single acts of the library in processes of their own, several at once, without importing the heavy parts again.

Reads one JSON line per order: {"start": act, "arguments": […], "environment": {…}, "folder": …, "out": …} is answered
with the new process's id, {"wait": id} with how it ended (negative: by that signal).
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing.util import _exit_function
from typing import Any, NoReturn

from tests.integration import zygote

SESSION = "p06_fault_child"


def _pull(source: str) -> list[str]:
    from p06 import pull
    from p06.errors import P06Error

    found = pull.pull(source)
    for one in found:
        if isinstance(one.error, P06Error):
            raise one.error
    return [one.outcome for one in found]


def _load(source: str, period: str) -> list[str]:
    from p06 import load
    from p06.period import Period

    results = load.load(source, Period.parse(period))
    for one in results:
        if one.error is not None:
            raise one.error
    return [one.outcome for one in results]


def _replay(source: str, period: str) -> list[str]:
    from p06 import replay
    from p06.period import Period

    results = replay.replay(source, Period.parse(period))
    for one in results:
        if one.error is not None:
            raise one.error
    return [one.outcome for one in results]


def _release(period: str) -> str:
    from p06 import release
    from p06.period import Period

    [result] = release.release([Period.parse(period)])
    if result.error is not None:
        raise result.error
    return result.outcome


def _gate(build_id: str) -> str:
    from p06 import release

    return release.gate(int(build_id))


def _publish(build_id: str) -> str:
    from p06 import release

    return release.publish_build(int(build_id))


def _rollback(period: str, to: str) -> str:
    from p06 import release
    from p06.period import Period

    return release.rollback(Period.parse(period), to).to_release


def _tidy() -> list[str]:
    from p06 import watch
    from p06.errors import Busy

    said: list[str] = []
    done = watch.tidy(said.append)
    if said and not done:  # it waits for the next round
        raise Busy("P06-RELEASE-001")
    return done


ACTS: dict[str, Callable[..., Any]] = {
    "pull": _pull, "load": _load, "replay": _replay, "release": _release, "gate": _gate, "publish": _publish,
    "rollback": _rollback, "tidy": _tidy,
}  # fmt: skip


def serve() -> None:
    """Obey until standard input closes."""
    zygote.preload()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        if order["start"] == "release":
            import dbt.cli.main  # noqa: F401
        child = os.fork()
        if child == 0:
            _become(order)
        print(child, flush=True)


def _become(order: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        sys.argv = ["p06"]
        print(json.dumps(ACTS[order["start"]](*order["arguments"])))
        _exit_function()  # as at the end of a process of its own: dbt's semaphores are given back
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__} {error}" if type(error).__module__ == "p06.errors" else traceback.format_exc())
        code = getattr(error, "exit_code", 1)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
