"""Named places where a test ends the process, to prove that the same command finishes the work afterwards."""

from __future__ import annotations

import os
import signal

VARIABLE = "P06_FAIL_AT"

PULL = (
    "pull.started",  # the hidden folder is there, the period is held
    "pull.copying",  # the first bytes of a file or rows of a query are written
    "pull.page",  # a page of an API is kept
    "pull.copied",  # every data file is complete, the manifest is not written
    "pull.sealed",  # the manifest is written, the folder is still hidden
    "pull.landed",  # the delivery can be seen, the pull has not noted it
    "pull.noted",  # the pull will not ask for it again
)
LOAD = (
    "load.started",  # the attempt stands in the ledger
    "load.copy_started",  # the first rows are on their way
    "load.copied",  # every row was sent
    "load.judged",  # duplicates and key conflicts are out, quarantine is written
    "load.reconciled",  # the sums hold, nothing is committed
    "load.staged",  # committed
    "load.returned",  # the return files are written
    "load.gated",  # gate 1 has answered
    "load.accepting",  # the pointer is moved, not committed
    "load.accepted",  # committed
)
REPLAY = (
    "replay.staged",  # the leaf stands beside the accepted one, committed
    "replay.judged",  # gate 1 has answered
    "replay.accepting",  # the leaf is the accepted one, not committed
    "replay.accepted",  # committed
)
RELEASE = (
    "build.started",  # the build and its pins stand in the ledger
    "build.linked",  # what linkage and stewards link is written, where there is any, and half of the models
    "build.built",  # dbt has finished, the ledger does not know
    "build.recorded",  # failed tests and the end of the build are committed
    "gate.judged",  # gate 2 has answered, the ledger does not know
    "gate.recorded",  # committed
    "publish.checked",  # the fingerprint still holds
    "publish.written",  # pointers are moved, not committed
    "publish.committed",
    "approval.asked",  # the question is asked once more, not committed
    "approval.renewed",  # the register's state is written anew for an approved build, the ledger does not know
    "approval.answered",  # an officer's answer is committed, nothing was published for it
    "approval.told",  # the release is published or held, Airflow still shows the question
    "rollback.checked",  # the release to go back to is known
    "rollback.written",  # pointers are moved, not committed
)
BACKUP = (
    "backup.copied",  # the database is copied, nothing else
    "backup.written",  # every part and the manifest are there, not in their place
    "backup.done",
    "restore.started",  # the backup is checked, nothing is copied
    "restore.copied",  # every part is there, the database is not recovered
    "restore.recovered",  # nothing is in its place
    "restore.moved",  # every part is in its place, the mark of a restore under way is not gone
)
STEPS = PULL + LOAD + REPLAY + RELEASE + BACKUP


def point(step: str) -> None:
    """End this process as ``kill -9`` would when the environment names this step. Raises KeyError on an unknown step."""
    if step not in STEPS:
        raise KeyError(step)
    if os.environ.get(VARIABLE) == step:
        os.kill(os.getpid(), signal.SIGKILL)
