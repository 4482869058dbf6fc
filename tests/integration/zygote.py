"""Runs the command line in fresh processes that need not import dbt and Great Expectations again.

Reads one JSON line per call from standard input ({arguments, environment, folder, out, err}), forks, runs
``p06.cli.main`` in the child, and answers with the child's exit code (negative: the signal that ended it).
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any, NoReturn

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")


def preload() -> None:
    """Libraries only: the code under test is imported by each child."""
    import great_expectations  # noqa: F401
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401
    import typer.main  # noqa: F401


def serve() -> None:
    """Answer calls until standard input closes."""
    preload()
    print("ready", flush=True)
    for line in sys.stdin:
        call = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(call)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(call: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(call[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        os.environ.clear()
        os.environ.update(call["environment"])
        os.chdir(call["folder"])
        sys.argv = ["p06", *call["arguments"]]
        from p06.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
