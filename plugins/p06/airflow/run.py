"""The bridge between a run of Airflow and a use case: the period in, a safe message out."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from p06 import credentials
from p06.airflow import connections
from p06.build import BuildFailed, BuildInterrupted
from p06.errors import GateBlocked, NotReady, P06Error, Refused, UsageError, Waiting
from p06.period import Period

log = logging.getLogger("p06")


class AlreadyTold(AirflowFailException):
    """Fails the task for good; the ledger has noted why, so the failure itself is no news."""


FINAL = (GateBlocked, Refused, NotReady, UsageError, BuildFailed, Waiting)


def period() -> Period:
    """The period of the run under way. Fails the task for good when the run has none."""
    key = getattr(get_current_context()["dag_run"], "partition_key", None)
    try:
        return Period.parse(key or "")
    except UsageError:
        raise AirflowFailException(str(UsageError("P06-STACK-008"))) from None


def asked(name: str) -> bool:
    """A switch a person set when triggering the run."""
    return bool((get_current_context()["params"] or {}).get(name, False))


def nothing_to_do(why: str) -> AirflowSkipException:
    """Ends the task, and what follows it, without a failure and without an asset event."""
    return AirflowSkipException(why)


@contextmanager
def told_safely() -> Iterator[None]:
    """Errors leave a task as code and place only: never a value from the data, never a statement.

    Credentials asked for inside are looked for among Airflow's connections first. What another try cannot mend (a gate
    that blocked, a refused delivery, a model that fails) fails the task at once.
    """
    try:
        with credentials.kept_by(connections.find):
            yield
    except AirflowException:
        raise
    except P06Error as error:
        log.error("%s", error)
        for mismatch in error.mismatches if isinstance(error, Refused) else ():
            log.error("  %s", mismatch)
        log.error("  next: %s", error.next_step())
        if isinstance(error, GateBlocked | Refused):
            raise AlreadyTold(str(error)) from None
        if isinstance(error, FINAL) and not isinstance(error, BuildInterrupted):
            raise AirflowFailException(str(error)) from None
        raise RuntimeError(str(error)) from None
    except Exception as error:
        for frame in traceback.extract_tb(error.__traceback__):
            log.error("  %s:%s %s", frame.filename, frame.lineno, frame.name)
        raise RuntimeError(f"P06-INTERNAL {type(error).__module__}.{type(error).__name__}") from None
