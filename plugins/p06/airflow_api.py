"""Airflow's REST API: the few calls this warehouse makes, with a token. Named runs only, by partition key."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from p06.errors import Busy, P06Error, UsageError
from p06.period import Period
from p06.settings import settings

if TYPE_CHECKING:
    import httpx

ACTIVE = ("queued", "running")
ENDED = ("success", "failed")
SERVICE = "p06"  # the account that starts runs
_ACCOUNT = re.compile(r"[\w.@-]{1,100}")
_PAGE = 100
_CONFLICT = 409


@dataclass(frozen=True)
class Run:
    """One DAG run."""

    dag_id: str
    run_id: str
    key: str | None
    state: str
    started: str | None
    ended: str | None

    @property
    def source(self) -> str | None:
        """The source whose load this is."""
        return self.dag_id.removeprefix("load__") if self.dag_id.startswith("load__") else None


@dataclass(frozen=True)
class Question:
    """A task that waits for a person."""

    run_id: str
    task_id: str
    subject: str


@dataclass
class Client:
    """A session with one Airflow. Every call raises P06Error P06-STACK-004 when nobody answers, 005 on a refusal."""

    url: str
    user: str
    password: str = field(repr=False)
    _http: httpx.Client | None = field(default=None, init=False, repr=False)
    _token: str | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Client:
        import httpx

        self._http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._http is not None:
            self._http.close()

    def health(self) -> dict[str, str]:
        """Component -> healthy, unhealthy, or empty when it never reported."""
        found = self._call("GET", "/api/v2/monitor/health", signed=False)
        return {name: str(part.get("status") or "") for name, part in found.items() if isinstance(part, dict)}

    def heartbeats(self) -> dict[str, float]:
        """Component -> when it last reported, in seconds since 1970; only those that are healthy."""
        found = self._call("GET", "/api/v2/monitor/health", signed=False)
        return {
            name: datetime.fromisoformat(part[f"latest_{name}_heartbeat"]).timestamp()
            for name, part in found.items()
            if isinstance(part, dict) and part.get("status") == "healthy" and part.get(f"latest_{name}_heartbeat")
        }

    def dags(self) -> list[dict[str, Any]]:
        """Every DAG Airflow has read."""
        return self._pages("/api/v2/dags", "dags", {})

    def import_errors(self) -> list[dict[str, Any]]:
        """DAG files Airflow could not read."""
        return self._pages("/api/v2/importErrors", "import_errors", {})

    def trigger(self, dag_id: str, period: Period, conf: Mapping[str, Any] | None = None) -> Run:
        """Ask for a run of the DAG for one period."""
        body = {"logical_date": None, "partition_key": str(period), "conf": dict(conf or {})}
        return _run(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body))

    def start(self, dag_id: str) -> Run:
        """Ask for a run now of a DAG that knows no periods."""
        return _run(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None}))

    def pause(self, dag_id: str, paused: bool = True) -> None:
        """Stop a DAG from starting runs by itself, or let it again."""
        self._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": paused})

    def run(self, dag_id: str, run_id: str) -> Run:
        """One run by its id."""
        return _run(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))

    def runs(self, dag_id: str = "~", states: Sequence[str] = ()) -> list[Run]:
        """Runs of a DAG (``~``: of all), oldest first."""
        query: dict[str, Any] = {"order_by": "run_after"}
        if states:
            query["state"] = list(states)
        return [_run(item) for item in self._pages(f"/api/v2/dags/{dag_id}/dagRuns", "dag_runs", query)]

    def active(self) -> set[tuple[str, str]]:
        """(DAG, partition key) of what waits or runs."""
        return {(run.dag_id, run.key) for run in self.runs(states=ACTIVE) if run.key is not None}

    def failed_within(self, span: timedelta) -> set[tuple[str, str]]:
        """(DAG, partition key) of the runs that failed so recently."""
        since = (datetime.now(timezone.utc) - span).isoformat()
        found = self._pages("/api/v2/dags/~/dagRuns", "dag_runs", {"state": ["failed"], "end_date_gte": since})
        return {(run.dag_id, run.key) for run in map(_run, found) if run.key is not None}

    def tasks(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Task -> state in one run."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return {item["task_id"]: str(item["state"]) for item in self._pages(path, "task_instances", {})}

    def questions(self, dag_id: str) -> list[Question]:
        """What a DAG's parked runs wait for a person to answer, oldest first."""
        query = {"response_received": False, "state": ["awaiting_input", "deferred"], "order_by": "created_at"}
        found = self._pages(f"/api/v2/dags/{dag_id}/dagRuns/~/hitlDetails", "hitl_details", query)
        return [
            Question(item["task_instance"]["dag_run_id"], item["task_instance"]["task_id"], item["subject"])
            for item in found
        ]

    def respond(self, dag_id: str, question: Question, option: str) -> bool:
        """Choose an option; whether nobody had answered yet."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{question.run_id}/taskInstances/{question.task_id}/-1/hitlDetails"
        try:
            self._call("PATCH", path, {"chosen_options": [option], "params_input": {}})
        except P06Error as error:
            if error.where.get("status") == _CONFLICT:
                return False
            raise
        return True

    def asset_events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Asset events (of the asset of that name), oldest first, each with ``partition_key`` and ``source_run_id``.

        Airflow 3.3.2 answers 500 while a run made by one of them is still queued.
        """
        events = self._pages("/api/v2/assets/events", "asset_events", {"order_by": "timestamp"})
        return [event for event in events if name is None or event.get("name") == name]

    def backfill(self, dag_id: str, first: Period, last: Period, max_active_runs: int) -> tuple[int, list[Run]]:
        """Start Airflow's own backfill of a range of partitions, completed ones again; returns its id and its runs.

        Raises Busy P06-STACK-011 when one of the same DAG is open.
        """
        before = {run.run_id for run in self._backfill_runs(dag_id)}
        body = {
            "dag_id": dag_id,
            "from_date": f"{first.first_day.isoformat()}T00:00:00Z",
            "to_date": f"{last.as_of().isoformat()}T23:59:59Z",
            "run_backwards": False,
            "dag_run_conf": {},
            "reprocess_behavior": "completed",
            "max_active_runs": max_active_runs,
        }
        try:
            number = int(self._call("POST", "/api/v2/backfills", body)["id"])
        except P06Error as error:
            if error.where.get("status") == _CONFLICT:
                raise Busy("P06-STACK-011", dag=dag_id) from None
            raise
        return number, [run for run in self._backfill_runs(dag_id) if run.run_id not in before]

    def end_backfill(self, number: int) -> None:
        """Close a backfill whose runs have ended; Airflow would notice half a minute later, and refuse another meanwhile."""
        try:
            self._call("PUT", f"/api/v2/backfills/{number}/cancel")
        except P06Error as error:
            if error.where.get("status") != _CONFLICT:
                raise

    def _backfill_runs(self, dag_id: str) -> list[Run]:
        found = self._pages(f"/api/v2/dags/{dag_id}/dagRuns", "dag_runs", {"run_type": ["backfill"]})
        return [_run(item) for item in found]

    def wait(self, runs: Collection[Run], seconds: float) -> list[Run]:
        """The same runs once all have ended. Raises P06Error P06-STACK-006 after so many seconds."""
        until = time.monotonic() + seconds
        open_runs, ended = list(runs), []
        while open_runs:
            current = [self.run(run.dag_id, run.run_id) for run in open_runs]
            ended += [run for run in current if run.state in ENDED]
            open_runs = [run for run in current if run.state not in ENDED]
            if open_runs:
                if time.monotonic() > until:
                    raise P06Error("P06-STACK-006", waiting=" ".join(f"{r.dag_id}/{r.key}" for r in open_runs[:5]))
                time.sleep(1)
        return ended

    def _pages(self, path: str, name: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self._call("GET", path, query={**query, "limit": _PAGE, "offset": len(found)})
            found += page[name]
            if len(found) >= page["total_entries"] or not page[name]:
                return found

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        signed: bool = True,
    ) -> dict[str, Any]:
        import httpx

        assert self._http is not None, "use the client in a with statement"
        try:
            if signed and self._token is None:
                self._token = self._sign_in(self._http)
            headers = {"Authorization": f"Bearer {self._token}"} if signed else {}
            answer = self._http.request(method, path, json=body, params=query, headers=headers)
            if signed and answer.status_code == httpx.codes.UNAUTHORIZED:
                self._token = self._sign_in(self._http)
                headers = {"Authorization": f"Bearer {self._token}"}
                answer = self._http.request(method, path, json=body, params=query, headers=headers)
        except httpx.TransportError as error:
            raise P06Error("P06-STACK-004", kind=type(error).__name__) from None
        if answer.is_error:
            raise P06Error("P06-STACK-005", method=method, path=path, status=answer.status_code)
        return dict(answer.json()) if answer.content else {}

    def _sign_in(self, http: httpx.Client) -> str:
        answer = http.post("/auth/token", json={"username": self.user, "password": self.password})
        if answer.is_error:
            raise P06Error("P06-STACK-005", method="POST", path="/auth/token", status=answer.status_code)
        return str(answer.json()["access_token"])


def connect() -> Client:
    """The Airflow the environment names (``P06_AIRFLOW_URL``, ``_USER``, ``_PASSWORDS_FILE``), else this home's.

    Raises P06Error P06-STACK-004 when there is none.
    """
    try:
        url = os.environ.get("P06_AIRFLOW_URL") or local_url()
        user = os.environ.get("P06_AIRFLOW_USER", SERVICE)
        passwords = json.loads(Path(os.environ.get("P06_AIRFLOW_PASSWORDS_FILE") or users_file()).read_bytes())
        return Client(url, user, passwords[user])
    except (KeyError, FileNotFoundError):
        raise P06Error("P06-STACK-004") from None


def officers() -> tuple[str, ...]:
    """The accounts of Airflow that may answer what waits for approval: ``P06_OFFICERS``, separated by commas.

    Raises UsageError P06-APPROVAL-006 when one is not a plain name, or is the account that starts runs.
    """
    names = tuple(
        dict.fromkeys(filter(None, (name.strip() for name in os.environ.get("P06_OFFICERS", "officer").split(","))))
    )
    if SERVICE in names or not all(_ACCOUNT.fullmatch(name) for name in names):
        raise UsageError("P06-APPROVAL-006", variable="P06_OFFICERS")
    return names


def local_url() -> str:
    """Where this home's Airflow listens. Raises FileNotFoundError when it was never started."""
    return f"http://127.0.0.1:{int(port_file().read_text())}"


def port_file() -> Path:
    """Holds the port this home's Airflow keeps."""
    return settings().home / "airflow" / "port"


def users_file() -> Path:
    """Holds the passwords of this home's Airflow accounts, in clear, for its owner alone."""
    return settings().home / "secrets" / "airflow-users.json"


def run_states() -> dict[str, dict[str, int]]:
    """DAG -> state -> number of runs."""
    counted: dict[str, dict[str, int]] = {}
    with connect() as airflow:
        for run in airflow.runs():
            states = counted.setdefault(run.dag_id, {})
            states[run.state] = states.get(run.state, 0) + 1
    return counted


def _run(item: Mapping[str, Any]) -> Run:
    return Run(
        dag_id=item["dag_id"],
        run_id=item["dag_run_id"],
        key=item.get("partition_key"),
        state=item["state"],
        started=item.get("start_date"),
        ended=item.get("end_date"),
    )
