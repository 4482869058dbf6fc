"""The pages inside Airflow: every route of the plugin asks who is there, and serves nothing but the site."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Airflow's own application frame with its login and the plugins it finds; only the table of revoked tokens is made.
_SERVE = """
import json, sys
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
from p06.airflow import pages
inner = [[route.path, sorted(route.methods), len(route.dependant.dependencies)] for route in pages.guarded().routes]
tokens = {role: manager.generate_jwt(SimpleAuthManagerUser(username=role, role=role)) for role in ("VIEWER", "ADMIN")}
tokens["NOBODY"] = manager.generate_jwt(SimpleAuthManagerUser(username="nobody", role=None))
client = TestClient(app)
answers = []
for path, role in json.loads(sys.argv[1]):
    headers = {} if role is None else {"Authorization": "Bearer " + tokens.get(role, role)}
    answer = client.get(path, headers=headers)
    answers.append([answer.status_code, answer.text, dict(answer.headers)])
refused = [client.request(method, "/p06/index.html").status_code for method in ("POST", "PUT", "DELETE", "PATCH")]
views = [view for plugin in plugins_manager._get_plugins()[0] if plugin.name == "p06" for view in plugin.external_views]
errors = {name: text for name, text in plugins_manager._get_plugins()[1].items() if "p06" in name or "p06" in text}
print(json.dumps({"mounted": len(mounted), "inner": inner, "answers": answers, "refused": refused, "views": views,
                  "heavy": heavy, "errors": errors}))
"""


def serve(home: Path, asked: list[tuple[str, str | None]]) -> dict[str, Any]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("P06_", "AIRFLOW"))}
    env |= {
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
        "AIRFLOW__API__SECRET_KEY": "y" * 64,
        "P06_HOME": str(home),
    }
    done = subprocess.run(
        [sys.executable, "-c", _SERVE, json.dumps(asked)],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose site has one page, a style, a download and what nobody may fetch."""
    folder = tmp_path_factory.mktemp("home")
    shown = folder / ".site-1"
    for path, content in (("index.html", "entrance"), ("vi/index.html", "trang"), ("style.css", "a{}"),
                          ("csv/x.csv", "a,b"), (".p06-site", "mark"), ("vi/x.json", "{}")):  # fmt: skip
        (shown / path).parent.mkdir(parents=True, exist_ok=True)
        (shown / path).write_text(content)
    (folder / "site").symlink_to(shown.name)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "key.html").write_text("secret")
    (shown / "vi" / "out.html").symlink_to(folder / "secrets" / "key.html")
    return folder


FOUND = ("/p06/", "/p06/index.html", "/p06/vi/index.html", "/p06/style.css", "/p06/csv/x.csv")
HIDDEN = (
    "/p06/.p06-site", "/p06/vi/x.json", "/p06/vi/out.html", "/p06/none.html",
    "/p06/%2e%2e/secrets/key.html", "/p06/vi/%2e%2e/%2e%2e/secrets/key.html", "/p06//etc/passwd", "/p06/%2fetc%2fpasswd",
    "/p06/vi%5c..%5cx.html", "/p06/docs", "/p06/redoc", "/p06/openapi.json", "/p06/vi/%00.html",
)  # fmt: skip


def test_nobody_sees_a_page_without_airflows_login_and_whoever_is_in_sees_the_site_alone(home: Path) -> None:
    strangers = [(path, None) for path in (*FOUND, *HIDDEN)] + [("/p06/index.html", "not.a.token")]
    known = [(path, role) for path in FOUND for role in ("VIEWER", "ADMIN")]
    curious = [(path, "ADMIN") for path in HIDDEN]
    served = serve(home, [*strangers, *known, *curious, ("/p06/index.html", "NOBODY")])
    assert served["errors"] == {} and served["heavy"] == [] and served["mounted"] == 1
    assert served["inner"] == [["/{path:path}", ["GET"], 1]], "every route of the application, each with its guard"
    codes = [code for code, _, _ in served["answers"]]
    first, second = len(strangers), len(strangers) + len(known)
    assert dict(zip(strangers, codes[: first - 1], strict=False)) == dict.fromkeys(strangers[:-1], 401)
    assert codes[first - 1] in (401, 403)
    assert set(codes[first:second]) == {200}
    assert set(codes[second:-1]) == {404}
    assert codes[-1] == 403, "a user without a role"
    assert all("secret" not in text and "root:" not in text for _, text, _ in served["answers"])
    for _, _, headers in served["answers"][first:second]:
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert headers["x-content-type-options"] == "nosniff" and "private" in headers["cache-control"]
    assert set(served["refused"]) == {405}
    assert [(view["href"], view["destination"]) for view in served["views"]] == [("/p06/index.html", "nav")]
