"""The pages inside Airflow: every route of the plugin asks who is there, and serves nothing but the site."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.sender import Sender

from p06 import database, duty, marts
from p06.site.page import style

ROOT = Path(__file__).resolve().parents[2]

# Airflow's own application frame with its login and the plugins it finds; only the table of revoked tokens is made.
_SERVE = """
import json, re, sys
from fastapi import FastAPI
from fastapi.testclient import TestClient
from airflow.api_fastapi.app import init_auth_manager, init_plugins
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.revoked_token import RevokedToken
from airflow import plugins_manager, settings
heavy = sorted({"great_expectations", "dbt", "pandas", "pyarrow", "altair", "vl_convert"} & set(sys.modules))
RevokedToken.__table__.create(settings.engine)
app = FastAPI()
manager = init_auth_manager(app)
init_plugins(app)
mounted = [route for route in app.routes if getattr(route, "path", "") == "/p06"]
from p06 import desk
from p06.airflow import pages
inner = [[route.path, sorted(route.methods)] for route in pages.guarded().routes]
asked, accounts = json.loads(sys.argv[1])
tokens = {name: manager.generate_jwt(SimpleAuthManagerUser(username=name, role=role)) for name, role in accounts.items()}
client = TestClient(app, follow_redirects=False)
def send(method, path, account, headers=None, form=None):
    client.cookies.clear()
    if account is not None:
        client.cookies.set("_token", tokens.get(account, account))
    form = {name: desk.token(desk.Caller(account, tokens[account]), path[8:]) if value == "OWN" else value
            for name, value in (form or {}).items()}
    return client.request(method, path, headers=headers or {}, data=form or None)
answers = []
for one in asked:
    answer = send(*one)
    answers.append([answer.status_code, answer.text, dict(answer.headers)])
# every route there is, each of its methods, by a stranger
strangers = []
client.cookies.clear()
for path, methods in inner:
    for filled in ("vi/desk/index.html", "en/desk/pairs/x.html", "index.html", "vi/provinces/01.html", "none"):
        for method in methods:
            strangers.append([method, path, client.request(method, "/p06/" + filled).status_code])
bearer = client.get("/p06/index.html", headers={"Authorization": "Bearer " + tokens["viewer"]}).status_code
views = [view for plugin in plugins_manager._get_plugins()[0] if plugin.name == "p06" for view in plugin.external_views]
errors = {name: text for name, text in plugins_manager._get_plugins()[1].items() if "p06" in name or "p06" in text}
print(json.dumps({"mounted": len(mounted), "inner": inner, "answers": answers, "strangers": strangers, "views": views,
                  "heavy": heavy, "errors": errors, "bearer": bearer}))
"""
ACCOUNTS = {
    "viewer": "VIEWER",
    "admin": "ADMIN",
    "nobody": None,
    "lan": "VIEWER",
    "minh": "VIEWER",
    "mai": "VIEWER",
    "officer": "USER",
}
Asked = tuple[Any, ...]


def serve(site: Path, scratch: Path, asked: list[Asked]) -> dict[str, Any]:
    """What Airflow answers to (method, path, account, headers, form), and its routes."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    env |= {
        "AIRFLOW_HOME": str(scratch / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{scratch}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
        "AIRFLOW__API__SECRET_KEY": "y" * 64,
        "P06_SITE": str(site),
    }
    done = subprocess.run(
        [sys.executable, "-c", _SERVE, json.dumps([asked, ACCOUNTS])],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


AREAS = {
    "vi/provinces/01.html": "01@2025-07-01", "en/provinces/79.html": "79@2025-07-01",
    "vi/provinces/15.html": "15@1900-01-01", "csv/x-communes.csv": "nation", "csv/x-communes-01.csv": "01@1900-01-01",
}  # fmt: skip


@pytest.fixture
def site(sender: Sender, tmp_path: Path) -> Iterator[Path]:
    """A site with pages for everybody and of provinces, downloads and what nobody may fetch; three readers.

    It has no style: the desk needs one before anything was written, too.
    """
    shown = tmp_path / ".site-1"
    for path, content in (("index.html", "entrance"), ("vi/index.html", "trang"),
                          ("csv/x.csv", "a,b"), (".p06-site", "mark"), ("vi/x.json", "{}"),
                          ("areas.json", json.dumps(AREAS)), *((path, "of a province") for path in AREAS)):  # fmt: skip
        (shown / path).parent.mkdir(parents=True, exist_ok=True)
        (shown / path).write_text(content)
    (tmp_path / "site").symlink_to(shown.name)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key.html").write_text("secret")
    (shown / "vi" / "out.html").symlink_to(tmp_path / "secrets" / "key.html")
    marts.sync()
    duty.give("lan", "reader", "01")
    duty.give("minh", "reader", "15")
    duty.give("mai", "reader")
    yield tmp_path / "site"
    with database.connect("admin") as connection:
        connection.execute("set local role p06_owner")
        connection.execute("truncate control.duty_entry")


FOUND = ("/p06/", "/p06/index.html", "/p06/vi/index.html", "/p06/style.css", "/p06/csv/x.csv")
HIDDEN = (
    "/p06/.p06-site", "/p06/vi/x.json", "/p06/vi/out.html", "/p06/none.html",
    "/p06/%2e%2e/secrets/key.html", "/p06/vi/%2e%2e/%2e%2e/secrets/key.html", "/p06//etc/passwd", "/p06/%2fetc%2fpasswd",
    "/p06/vi%5c..%5cx.html", "/p06/docs", "/p06/redoc", "/p06/openapi.json", "/p06/vi/%00.html",
    f"/p06/vi/{'x' * 300}.html",
)  # fmt: skip


def test_nobody_sees_a_page_without_airflows_login_and_whoever_is_in_sees_the_site_alone(
    site: Path, tmp_path: Path
) -> None:
    strangers: list[Asked] = [("GET", path, None) for path in (*FOUND, *HIDDEN)] + [
        ("GET", "/p06/index.html", "no.to.ken")
    ]
    known: list[Asked] = [("GET", path, account) for path in FOUND for account in ("viewer", "admin")]
    curious: list[Asked] = [("GET", path, "admin") for path in HIDDEN]
    other: list[Asked] = [(method, "/p06/index.html", "admin") for method in ("POST", "PUT", "DELETE", "PATCH")]
    provinces: list[Asked] = [("GET", f"/p06/{path}", account) for account in REACH for path in AREAS]
    forms = [one for one, _ in FORMS]
    asked = [*strangers, *known, *curious, ("GET", "/p06/index.html", "nobody"), *other, *provinces, *forms]
    served = serve(site, tmp_path, asked)
    assert served["errors"] == {} and served["heavy"] == [] and served["mounted"] == 1 and served["bearer"] == 200
    assert served["inner"] == [
        ["/{language}/desk/{path:path}", ["GET"]], ["/{language}/desk/{path:path}", ["POST"]], ["/{path:path}", ["GET"]],
    ]  # fmt: skip
    assert {code for method, path, code in served["strangers"] if method == "GET" or "desk" in path} <= {401, 405}
    assert sum(code == 401 for _, _, code in served["strangers"]) >= 3 * 2, "every route refuses by itself"
    answers = iter(served["answers"])
    got = {one[:3]: next(answers) for one in asked[: -len(forms)]}
    assert {one: got[one][0] for one in strangers[:-1]} == dict.fromkeys(strangers[:-1], 401)
    assert got[strangers[-1]][0] in (401, 403)
    assert {got[one][0] for one in known} == {200} and {got[one][0] for one in curious} == {404}
    assert got["GET", "/p06/style.css", "viewer"][1] == style().decode()
    assert got["GET", "/p06/index.html", "nobody"][0] == 403, "a user without a role"
    assert {got[one][0] for one in other} == {405}
    assert all("secret" not in text and "root:" not in text for _, text, _ in served["answers"])
    for one in known:
        headers = got[one][2]
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert headers["x-content-type-options"] == "nosniff" and "private" in headers["cache-control"]
    assert [(view["href"], view["destination"]) for view in served["views"]] == [
        ("/p06/index.html", "nav"), ("/p06/vi/desk/index.html", "nav"),
    ]  # fmt: skip

    # an officer of a province sees that one, whichever code it had before, and is refused every other
    for account, reached in REACH.items():
        seen = {path for path in AREAS if got["GET", f"/p06/{path}", account][0] == 200}
        refused = {path for path in AREAS if got["GET", f"/p06/{path}", account][0] == 403}
        assert (seen, seen | refused) == (reached, set(AREAS)), account
        assert all("of a province" not in got["GET", f"/p06/{path}", account][1] for path in refused)

    # whoever is refused, an administrator too, is told what gives this account this page; 15 of old is in 15 of today
    for path, province in zip(
        AREAS, (" --province 01", " --province 79", " --province 15", "", " --province 01"), strict=True
    ):
        assert f"<pre>p06 duties give admin reader{province}</pre>" in got["GET", f"/p06/{path}", "admin"][1], path

    # a form counts from a page of this server, in this session, and not otherwise
    for (one, code), (status, text, headers) in zip(FORMS, answers, strict=True):
        assert status == code, (one, status)
        assert ("P06-DUTY-006" in text) == (code == 403), one
        assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "same-origin", one


REACH: dict[str, set[str]] = {
    "viewer": set(), "admin": set(), "mai": set(AREAS), "lan": {"vi/provinces/01.html", "csv/x-communes-01.csv"},
    "minh": {"vi/provinces/15.html"},
}  # fmt: skip
ASKED = "/p06/vi/desk/approvals/7.html"
HERE = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}
FORM = {"token": "OWN", "verdict": "approve", "why": "seen"}
FORMS: list[tuple[Asked, int]] = [
    (("POST", ASKED, "officer", HERE, FORM), 404),  # the token holds; there is no such question
    (("POST", ASKED, "officer", {"origin": "http://testserver"}, FORM), 404),  # an older browser
    (("POST", ASKED, "officer", HERE, FORM | {"token": "x"}), 403),
    (("POST", ASKED, "officer", HERE, {"verdict": "approve", "why": "seen"}), 403),
    (("POST", ASKED, "officer", {}, FORM), 403),
    (("POST", ASKED, "officer", {"origin": "null"}, FORM), 403),
    (("POST", ASKED, "officer", {"origin": "http://[x"}, FORM), 403),
    (("POST", ASKED, "officer", {"origin": "http://elsewhere.example"}, FORM), 403),
    (("POST", ASKED, "officer", {"origin": "http://testserver.elsewhere.example"}, FORM), 403),
    (("POST", ASKED, "officer", HERE | {"sec-fetch-site": "cross-site"}, FORM), 403),
    (("POST", ASKED, "officer", HERE | {"sec-fetch-site": "same-site"}, FORM), 403),
    (("POST", ASKED, "officer", HERE | {"content-type": "text/plain"}, FORM), 415),
    (("POST", ASKED, "officer", HERE, FORM | {"why": "x" * 20_000}), 413),
]
