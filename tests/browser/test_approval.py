"""A quality officer at Airflow's own pages, for real: approves, rejects, lets the time pass; strangers are refused.

``P06_SCREENSHOTS`` names a folder the pictures are written to.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from p06.airflow_api import Client, Question
from p06.period import Period
from p06.synth import correction
from tests.integration.warehouse import ROOT, Warehouse, synthetic_country

pytestmark = pytest.mark.long
JANUARY = Period(2024, 1)
PATIENCE = 900.0


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One month of 300 people."""
    return synthetic_country(tmp_path_factory.mktemp("small"), 300, "2024-01", 11)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, country: Path) -> Iterator[Warehouse]:
    """A warehouse whose stack is up; the contract of the banks asks for an approval of every month."""
    folder = tmp_path_factory.mktemp("approval")
    contracts = folder / "contracts"
    shutil.copytree(ROOT / "contracts", contracts)
    path = contracts / "bank_kyc.odcs.yaml"
    text = path.read_text(encoding="utf-8")
    asks = "\ncustomProperties:\n  - {property: approval, value: always}\n"
    path.write_text(text.replace("\ncustomProperties:\n", asks, 1), encoding="utf-8")
    warehouse = Warehouse(
        folder / "home", folder / "token.key", {"P06_CONTRACTS": str(contracts), "P06_OFFICERS": "lan,minh"}
    )
    warehouse.deliver(country, ["2024-01"])
    try:
        for _ in range(3):  # a busy machine may need longer than `up` is patient; again, it goes on where it was
            if warehouse.run("up").returncode == 0:
                break
        warehouse.must("up")
        yield warehouse
    finally:
        warehouse.close()


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    """An empty page."""
    opened = browser.new_page(viewport={"width": 1280, "height": 1000})
    opened.set_default_timeout(120_000)
    return opened


def _password(warehouse: Warehouse, user: str) -> str:
    return str(json.loads((warehouse.home / "secrets" / "airflow-users.json").read_bytes())[user])


def _url(warehouse: Warehouse) -> str:
    return f"http://127.0.0.1:{(warehouse.home / 'airflow' / 'port').read_text()}"


def _as(warehouse: Warehouse, user: str = "p06") -> Client:
    return Client(_url(warehouse), user, _password(warehouse, user))


def _until(claim: Callable[[], Any], what: str) -> Any:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = claim()
        if found:
            return found
        time.sleep(1)
    return pytest.fail(f"not within {PATIENCE:.0f} s: {what}")


def _parked(warehouse: Warehouse, but: str = "") -> Question:
    """The one question Airflow shows, once its task is parked."""
    with _as(warehouse) as airflow:
        found = _until(
            lambda: [one for one in airflow.questions("approval") if one.run_id != but], "a question in Airflow"
        )
    assert len(found) == 1
    return found[0]  # type: ignore[no-any-return]


def _ended(warehouse: Warehouse, run_id: str) -> tuple[str, dict[str, str]]:
    """The state of an approval's run once it has ended, and of its tasks."""
    with _as(warehouse) as airflow:
        run = airflow.wait([airflow.run("approval", run_id)], PATIENCE)[0]
        return run.state, airflow.tasks("approval", run_id)


def _releases(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.query("select release_id, approved_by, current from marts.release order by release_id", "analyst")


def _picture(page: Page, name: str) -> None:
    folder = os.environ.get("P06_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@contextmanager
def _signed_in(page: Page, warehouse: Warehouse, user: str) -> Iterator[None]:
    page.context.clear_cookies()
    page.goto(f"{_url(warehouse)}/auth/login")
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(_password(warehouse, user))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/auth/login" not in url)
    yield
    page.context.clear_cookies()


def _open(page: Page, warehouse: Warehouse, question: Question) -> None:
    page.goto(f"{_url(warehouse)}/dags/approval/runs/{question.run_id}/tasks/ask/required_actions")
    page.get_by_text("Duyệt công bố kỳ 2024-01").first.wait_for()


def _correct(warehouse: Warehouse, country: Path, revision: int) -> None:
    made = correction(country, "bank_kyc", JANUARY, revision, 0.05, 0.2, 0.5)
    warehouse.drop(made.folder, "bank_kyc", "2024-01", f"rev-{revision}")


def test_who_is_no_officer_is_refused(running: Warehouse) -> None:
    question = _parked(running)
    path = f"/api/v2/dags/approval/dagRuns/{question.run_id}/taskInstances/ask/-1/hitlDetails"
    said = {"chosen_options": ["Approve"], "params_input": {}}
    assert httpx.patch(_url(running) + path, json=said, trust_env=False).status_code == 401
    with _as(running, "admin") as airflow:
        token = airflow._sign_in(airflow._http)  # type: ignore[arg-type]
    signed = {"Authorization": f"Bearer {token}"}
    assert httpx.patch(_url(running) + path, json=said, headers=signed, trust_env=False).status_code == 403
    assert _releases(running) == []
    assert running.json("plan")[0]["state"] == "waiting"


def test_an_officer_approves_in_the_browser(running: Warehouse, page: Page) -> None:
    question = _parked(running)
    with _signed_in(page, running, "lan"):
        _open(page, running, question)
        assert page.get_by_text("Không có cảnh báo").count() or page.get_by_text("Kết quả").count()
        assert page.get_by_role("button", name="Approve").is_disabled(), "an answer says why"
        page.locator("#element_why").fill("đã đối chiếu với ngân hàng")
        _picture(page, "1-asked")
        page.get_by_role("button", name="Approve").click()
        state, tasks = _ended(running, question.run_id)
        _open(page, running, question)
        _picture(page, "2-approved")
    assert (state, tasks) == ("success", {"ask": "success", "publish": "success"})
    assert _releases(running) == [("2024-01.1", "lan", True)]
    entry = running.query("select verdict, who, role, via, why from quality.approval", "quality")
    assert entry == [("approve", "lan", "p06_quality", "airflow", "đã đối chiếu với ngân hàng")]
    assert running.json("plan") == []


def test_an_officer_rejects_in_the_browser(running: Warehouse, page: Page, country: Path) -> None:
    _correct(running, country, 2)
    question = _parked(running)
    with _signed_in(page, running, "minh"):
        _open(page, running, question)
        page.locator("#element_why").fill("số liệu chưa đúng")
        page.get_by_role("button", name="Reject").click()
        state, tasks = _ended(running, question.run_id)
        _open(page, running, question)
        _picture(page, "3-rejected")
    assert (state, tasks) == ("success", {"ask": "success", "publish": "skipped"})
    assert _releases(running) == [("2024-01.1", "lan", True)]
    held = running.json("plan")[0]
    assert (held["state"], held["causes"][0]["kind"]) == ("held", "held_rejected")


def test_an_answer_at_the_command_line_ends_airflows_question(running: Warehouse) -> None:
    assert running.run("release", "2024-01").returncode == 5  # asks once more
    question = _parked(running)
    running.must("approve", "2024-01", "--why", "after all")
    state, tasks = _ended(running, question.run_id)
    assert (state, tasks) == ("success", {"ask": "success", "publish": "success"})
    assert [(name, current) for name, _, current in _releases(running)] == [("2024-01.1", False), ("2024-01.2", True)]


def test_nobody_answers_in_time(running: Warehouse, page: Page, country: Path) -> None:
    with _as(running) as airflow:
        airflow.pause("watch")
        _until(lambda: not airflow.active(), "nothing under way")
        airflow.pause("release")
    _correct(running, country, 3)
    running.must("load")
    assert running.run("release", "2024-01", P06_APPROVAL_WITHIN="90s").returncode == 5
    with _as(running) as airflow:
        run = airflow.trigger("approval", JANUARY)
    state, tasks = _ended(running, run.run_id)
    assert state == "failed" and tasks["ask"] == "failed" and tasks["publish"] == "upstream_failed"
    held = running.json("plan")[0]
    assert (held["state"], held["causes"][0]["kind"]) == ("held", "held_expired")
    with _signed_in(page, running, "lan"):
        page.goto(f"{_url(running)}/dags/approval/runs/{run.run_id}")
        page.wait_for_timeout(3000)
        _picture(page, "4-out-of-time")
    assert [(name, current) for name, _, current in _releases(running)] == [("2024-01.1", False), ("2024-01.2", True)]


def test_an_officer_approves_on_the_desk_and_airflows_run_publishes(running: Warehouse, page: Page) -> None:
    """The page that shows the evidence takes the answer; Airflow's own question ends by it, and its run publishes."""
    if any(one["state"] == "held" for one in running.json("plan")):
        assert running.run("release", "2024-01").returncode == 5  # asks once more
        with _as(running) as airflow:
            airflow.trigger("approval", JANUARY)
    question = _parked(running)
    before = len(_releases(running))
    with _signed_in(page, running, "minh"):
        page.goto(f"{_url(running)}/p06/en/desk/index.html")
        page.get_by_role("link", name="Approvals").click()
        page.get_by_role("link", name="January 2024").first.click()
        page.get_by_label("Why").fill("seen on the desk")
        assert page.evaluate("document.styleSheets.length") == 1, "there is no site here, and the desk has its style"
        _picture(page, "5-desk")
        page.get_by_role("button", name="Approve").click()
        page.get_by_text("it is published in a moment").wait_for()
    state, tasks = _ended(running, question.run_id)
    assert (state, tasks) == ("success", {"ask": "success", "publish": "success"})
    assert len(_releases(running)) == before + 1 and _releases(running)[-1][1:] == ("minh", True)
    entry = running.query("select verdict, who, via, why from quality.approval order by request_id", "quality")[-1]
    assert entry == ("approve", "minh", "page", "seen on the desk")
