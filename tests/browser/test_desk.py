"""The desk in Chromium: everyone can read it, on a telephone too; forms work without a script and from here alone.

``P06_SCREENSHOTS`` names a folder the pictures are written to.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from p06 import desk, steward
from p06.approval import Question
from p06.desk import Caller
from p06.duty import Duty
from p06.period import Period
from p06.settings import settings
from p06.site import page as pages
from p06.site.words import LANGUAGES, Words
from p06.steward import Entry, Pair, Side
from tests.browser.chromium import judge
from tests.dbt.conftest import dbt_home  # noqa: F401
from tests.dbt.test_desk import HANOI, SAIGON, built, pairs  # noqa: F401

AT = datetime(2026, 3, 4, 5, 6, tzinfo=timezone.utc)
MARCH = Period(2024, 3)
LONG = "Một lý do khá dài để xem dòng chữ có xuống hàng trên điện thoại hay không, kể cả " + "x" * 60
PAIR = Pair(
    "0123456789abcdef0123", "health_visit", (MARCH, MARCH.shift(1)), "0.8405", "ask",
    {"name": "yes", "birth_date": "near", "sex": "yes", "commune": "no", "number": "absent"}, 12, None,
)  # fmt: skip
ENTRY = Entry(1, PAIR.pair, "health_visit", "accept", "0.8405", "airflow:lan", "p06_steward", LONG, AT, True)
SIDES = [
    Side("name", "Đ… T… C… Y…", "Đ… T… C… Y…", "yes"), Side("birth_date", "1990-··-··", "1990-··-··", "near"),
    Side("sex", "F", "F", "yes"), Side("commune", None, "00001", "no"),
    Side("citizen_id", "·········009", "·········001", "absent"), Side("old_id", None, None, None),
]  # fmt: skip
EVIDENCE = {
    "mart": "fct_bank_kyc", "check": "conflicts_few", "title_en": "Few rows contradict the register",
    "title_vi": "Ít dòng mâu thuẫn với dữ liệu dân cư", "observed": "0.00769823", "threshold": "≤ 0.001, unless count(*) < 50",
}  # fmt: skip


def question(state: str, verdict: Any = None) -> Question:
    return Question(
        7, MARCH, 3, "f", "k", ({"contract": "bank_kyc", "approval": "on_warnings"},), (EVIDENCE,), "p06", AT, AT, state,  # type: ignore[arg-type]
        verdict, "lan" if verdict else None, None, "page" if verdict else None, LONG if verdict else None, AT if verdict else None,
    )  # fmt: skip


def views() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(name, address, template, content) of every page of the desk, in each of its states."""
    duties = [Duty("lan", "reader", "01", datetime(2025, 7, 1).date(), "root", None, AT), Duty("lan", "steward", None, None, "root", None, AT)]  # fmt: skip
    titles = {"health_visit": "Lượt khám bệnh, chữa bệnh · Health visits"}
    shared = {
        "source": titles["health_visit"],
        "of_period": MARCH,
        "sides": SIDES,
        "stands": PAIR,
        "entry": None,
        "done": "",
    }
    yield "entrance", "desk/index.html", "desk.html", {"duties": duties, "pairs": 1234, "questions": 1}
    yield "nothing", "desk/index.html", "desk.html", {"duties": [], "pairs": None, "questions": None}
    yield "pairs", "desk/pairs.html", "desk_pairs.html", {"waiting": [PAIR] * 3, "count": 1234, "entries": [ENTRY], "titles": titles}  # fmt: skip
    yield "pair", f"desk/pairs/{PAIR.pair}.html", "desk_pair.html", shared | {"revealed": False}
    yield "decided", f"desk/pairs/{PAIR.pair}.html", "desk_pair.html", shared | {"revealed": True, "entry": ENTRY, "done": "accept"}  # fmt: skip
    yield "approvals", "desk/approvals.html", "desk_approvals.html", {"questions": [question("waiting")], "answered": [question("published", "approve")]}  # fmt: skip
    yield "approval", "desk/approvals/7.html", "desk_approval.html", {"question": question("waiting"), "done": "", "titles": titles}  # fmt: skip
    yield "answered", "desk/approvals/7.html", "desk_approval.html", {"question": question("rejected", "reject"), "done": "stop", "titles": titles}  # fmt: skip
    yield "refused", "desk/refused.html", "desk_refused.html", {"code": "P06-DUTY-005", "what": LONG, "next": LONG, "run": "p06 duties give lan reader --province 01"}  # fmt: skip


@pytest.mark.parametrize("view", list(views()), ids=lambda view: view[0])
def test_a_page_of_the_desk_is_readable_by_everyone_in_both_languages(
    browser: Browser,
    tmp_path: Path,
    view: tuple[str, str, str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, address, template, content = view
    monkeypatch.setattr(desk, "_key", lambda: b"k" * 32)
    (tmp_path / "style.css").write_bytes(pages.style())
    context = browser.new_context(java_script_enabled=True)
    opened = context.new_page()
    asked: list[str] = []
    opened.on("request", lambda one: one.url.startswith("file:") or asked.append(one.url))
    for language in LANGUAGES:
        words = Words(language)
        html = desk._render(
            pages.Page(address, "", template, words.t("desk.title"), content), words, Caller("lan", "s")
        )
        path = tmp_path / language / address
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(html)
        assert b"<script" not in html and not re.search(rb"https?:", html)
        for width, form in ((390, "phone"), (1200, "desktop")):
            opened.set_viewport_size({"width": width, "height": 900})
            opened.goto(path.as_uri())
            assert opened.evaluate("document.documentElement.scrollWidth") <= width, (language, width)
            if folder := os.environ.get("P06_SCREENSHOTS"):
                opened.screenshot(path=f"{folder}/desk-{name}-{language}.{form}.png", full_page=True)
        if language == "vi" or name == "pair":
            judge(opened)
    assert asked == []
    context.close()


# Airflow's application frame with its login and the plugins it finds, on a port of this machine.
_SERVE = """
import json, sys, uvicorn
from fastapi import FastAPI
from airflow.api_fastapi.app import init_auth_manager, init_plugins
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.revoked_token import RevokedToken
from airflow import settings
RevokedToken.__table__.create(settings.engine)
app = FastAPI()
manager = init_auth_manager(app)
init_plugins(app)
print(json.dumps({name: [manager.generate_jwt(SimpleAuthManagerUser(username=name, role="VIEWER"), expiration_time_in_seconds=seconds)
                         for seconds in (3600, 3601)] for name in ("lan", "minh")}), flush=True)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""


@contextmanager
def served(scratch: Path) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """The address, and two sessions of each account."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(scratch / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings().root / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{scratch}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
        "AIRFLOW__API__SECRET_KEY": "y" * 64,
        "P06_SITE": str(scratch / "site"),
    }
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(port)], env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = ""
        while not line.startswith("{"):
            line = process.stdout.readline()
            assert line or process.poll() is None, "it never began"
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                httpx.get(url, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.5)
        yield url, json.loads(line)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def elsewhere(html: str) -> Iterator[str]:
    """A page on another port of this machine: to cookies and their SameSite the same site, and yet another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


def signed_in(browser: Browser, url: str, token: str) -> Page:
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(120_000)
    context.add_cookies([{"name": "_token", "value": token, "url": url, "httpOnly": True, "sameSite": "Lax"}])
    return context.new_page()


@pytest.mark.long
def test_a_steward_decides_in_the_browser_without_a_script_and_from_no_other_page(
    pairs: dict[str, str],  # noqa: F811
    browser: Browser,
    tmp_path: Path,
) -> None:
    shutil.rmtree(tmp_path / "site", ignore_errors=True)
    mine, other = pairs[HANOI], pairs[SAIGON]
    with served(tmp_path) as (url, sessions):
        address = f"{url}/p06/vi/desk/pairs/{mine}.html"
        assert httpx.get(address, trust_env=False).status_code == 401
        lan = signed_in(browser, url, sessions["lan"][0])
        lan.goto(f"{url}/p06/vi/desk/index.html")
        lan.get_by_role("link", name="Các cặp chờ quyết định").click()
        assert mine[:8] in lan.content() and other[:8] not in lan.content()
        answered = lan.goto(f"{url}/p06/vi/desk/pairs/{other}.html")
        assert answered is not None and answered.status == 403

        # a page elsewhere sends the form with a token it was given for the very session: the browser says whence
        lan.goto(address)
        token = lan.locator("input[name=token]").first.get_attribute("value")
        form = (
            f'<form method="post" action="{address}"><input name="token" value="{token}"><input name="why" value="x">'
            '<button name="verdict" value="accept">win a prize</button></form>'
        )
        with elsewhere(form) as there:
            lan.goto(there)
            with lan.expect_navigation() as sent:
                lan.get_by_role("button").click()
            assert sent.value is not None and sent.value.status == 403 and "P06-DUTY-006" in lan.content()
        assert steward.entries() == []

        # a form kept from before somebody signed in anew is refused, and told what to do
        lan.goto(address)
        lan.context.clear_cookies()
        lan.context.add_cookies([{"name": "_token", "value": sessions["lan"][1], "url": url, "sameSite": "Lax"}])
        lan.get_by_label("Lý do").fill("đã hỏi ngân hàng")
        with lan.expect_navigation() as sent:
            lan.get_by_role("button", name="Chấp nhận").click()
        assert sent.value is not None and sent.value.status == 403 and steward.entries() == []

        # opened again it works; without a reason the browser itself does not send it
        lan.goto(address)
        lan.get_by_label("Lý do").fill("đã hỏi ngân hàng")
        lan.get_by_role("button", name="Chấp nhận").click()
        assert "Đã chấp nhận." in lan.content() and lan.url.endswith("?done=accept")
        assert [(one.verdict, one.who, one.why) for one in steward.entries()] == [
            ("accept", "airflow:lan", "đã hỏi ngân hàng")
        ]
        lan.get_by_label("Lý do").fill("nhầm người")
        lan.get_by_role("button", name="Rút lại").click()
        assert [one.verdict for one in steward.entries()] == ["accept", "undone"]
        lan.goto(address)
        lan.get_by_role("button", name="Hiện giá trị").click()
        assert "Đặng Thị Chim Yến" in lan.content()
