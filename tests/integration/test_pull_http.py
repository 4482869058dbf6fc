"""An API's pages become a delivery: every digit, through every stumble, going on where the last pull was cut off."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from p06 import load, pull
from p06.origins import http as api
from p06.period import Period
from p06.settings import settings
from tests.integration import origin
from tests.integration.origin import SECRET, command, hidden, visible
from tests.sender import VISIT, Sender

JANUARY = Period(2024, 1)
NAME = "p06_health_visit_portal"
# Records as the API writes them: literals no float can hold, and escapes.
RECORDS = [
    f'{{"visit_id":"V{number:04d}","citizen_id":"001089000123","total_amount":{amount},'
    '"full_name":"Nguyễn \\"An\\" \\u0041","discharged_at":null}'
    for number, amount in enumerate(
        ["100.10", "1e2", "0.1000000000000000000000000001", "123456789012345678901234567890", "-0", "1E+2", "3.0"] * 5
    )
]
RECORDS.append(
    '{"visit_id": "twice", "visit_id": "W", "deep": {"of": [1.10, null, true]}, "not": NaN, "half": "\\ud800"}'
)
WRITTEN = [record.replace("\\u0041", "A").replace(": ", ":").replace(", ", ",") for record in RECORDS]


@dataclass
class Ministry:
    """An API on 127.0.0.1, and what a test may do to it."""

    port: int = 0
    records: list[str] = field(default_factory=lambda: list(RECORDS))
    size: int = 4
    snapshot: str = "s1"
    secured: bool = True
    tokens: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # every request for records
    faults: list[Callable[[BaseHTTPRequestHandler], bool]] = field(default_factory=list)  # each used once, in order

    def page(self, start: int, address: str) -> str:
        part = self.records[start : start + self.size]
        further = start + self.size if start + self.size < len(self.records) else None
        link = f'"{address}?from={further}"' if further else "null"
        return (
            f'{{"snapshot": "{self.snapshot}", "total": {len(self.records)}, "next": {link},'
            f' "cursor": {json.dumps(None if further is None else f"c{further}")}, "data": {{"visits": [\n'
            + ",\n".join(part)
            + "\n]}}"
        )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ministry: Ministry

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, text: str, **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        given = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        basic = base64.b64encode(f"ministry:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {basic}" or given["grant_type"] != ["client_credentials"]:
            return self.answer(401, json.dumps({"error": "invalid_client", "error_description": SECRET}))
        self.ministry.tokens.append(f"{SECRET}-token-{len(self.ministry.tokens)}")
        return self.answer(200, json.dumps({"access_token": self.ministry.tokens[-1], "expires_in": 3600}))

    def do_GET(self) -> None:
        self.ministry.asked.append(self.path)
        if self.ministry.faults and self.ministry.faults.pop(0)(self):
            return None
        if (
            self.ministry.secured
            and self.headers.get("Authorization") != f"Bearer {(self.ministry.tokens or ['?'])[-1]}"
        ):
            return self.answer(401, SECRET)
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        start = int(asked.get("from", asked.get("cursor", "c0")[1:]))
        if "page" in asked:
            start = (int(asked["page"]) - 1) * self.ministry.size
        return self.answer(200, self.ministry.page(start, f"http://127.0.0.1:{self.ministry.port}/visits"))


@pytest.fixture
def ministry(sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ministry]:
    before = os.environ.get("P06_CONTRACTS")
    found = Ministry()
    handler = type("Bound", (Handler,), {"ministry": found})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(api, "FIRST_WAIT", 0.01)
    use(tmp_path, found)
    yield found
    server.shutdown()
    server.server_close()
    (settings().home / "secrets" / "connections" / f"{NAME}.json").unlink()
    shutil.rmtree(settings().home / "pulls", ignore_errors=True)
    os.environ.pop("P06_CONTRACTS") if before is None else os.environ.update(P06_CONTRACTS=before)
    settings.cache_clear()


def use(tmp_path: Path, ministry: Ministry, **properties: Any) -> None:
    address = f"http://127.0.0.1:{ministry.port}"
    usual = {
        "records": "data.visits",
        "paging": {"kind": "next", "field": "next"},
        "snapshot": "snapshot",
        "total": "total",
        "parameters": {"since": "{period_start}", "before": "{period_end}"},
        "auth": {"kind": "oauth2", "tokenUrl": f"{address}/token", "scope": "visits.read"},
    }
    server = {"server": "portal", "type": "api", "location": f"{address}/visits"}
    origin.declare(tmp_path, server, **{k: v for k, v in (usual | properties).items() if v is not None})
    origin.connection(NAME, {"client_id": "ministry", "client_secret": SECRET})


def outcomes(results: list[pull.PullResult]) -> list[tuple[str, int | None, str | None]]:
    return [(one.outcome, one.revision, one.error.code if one.error else None) for one in results]


def pulled() -> list[tuple[str, int | None, str | None]]:
    return outcomes(pull.pull("health_visit", JANUARY))


def delivered() -> list[str]:
    """The lines of the highest revision in landing, whose manifest has to fit them."""
    files = visible()
    manifests = [json.loads(data) for path, data in files.items() if path.endswith("manifest.json")]
    manifest = max(manifests, key=lambda one: one["revision"])
    [stated] = manifest["files"]
    [packed] = {data for data in files.values() if hashlib.sha256(data).hexdigest() == stated["sha256"]}
    text = gzip.decompress(packed).decode("utf-8")
    assert manifest["format"] == {"kind": "jsonl", "compression": "gzip", "encoding": "utf-8"}
    assert (stated["name"], stated["bytes"], stated["rows"]) == ("part-0001.jsonl.gz", len(packed), text.count("\n"))
    return text.splitlines()


@pytest.mark.parametrize(
    ("paging", "asked"),
    [
        ({"kind": "next", "field": "next"}, 9),
        ({"kind": "cursor", "field": "cursor", "parameter": "cursor"}, 9),
        ({"kind": "page", "parameter": "page", "first": 1}, 10),  # the tenth is empty and says so
    ],
)
def test_every_record_arrives_with_every_digit(
    ministry: Ministry, tmp_path: Path, paging: dict[str, Any], asked: int
) -> None:
    use(tmp_path, ministry, paging=paging)
    assert pulled() == [("pulled", 1, None)]
    assert delivered() == WRITTEN
    assert len(ministry.asked) == asked
    assert len(ministry.tokens) == 1
    assert "since=2024-01-01&before=2024-02-01" in ministry.asked[0]


def test_what_an_api_serves_is_what_is_staged(ministry: Ministry, sees: psycopg.Connection[Any]) -> None:
    visits = [{**VISIT, "visit_id": f"V{number}", "total_amount": "100.00"} for number in range(9)]
    ministry.records = [json.dumps({name: value or None for name, value in one.items()}) for one in visits]
    ministry.records.append(json.dumps({**VISIT, "visit_id": "BAD", "sex": "X"}))
    assert pulled() == [("pulled", 1, None)]
    [done] = [load.stage(one) for one in load.pending()]
    assert done.counts is not None
    assert (done.counts.received, done.counts.staged, done.reasons) == (10, 9, {"unknown_code": 1})
    [leaf] = sees.execute("select 'staging.' || staging_table from control.extract").fetchall()[0]
    staged = sees.execute(
        f"select lpad(citizen_id::text, 12, '0'), visit_id, full_name, total_amount::text from {leaf} order by visit_id"
    ).fetchall()
    assert staged == [(v["citizen_id"], v["visit_id"], v["full_name"], v["total_amount"]) for v in visits]


def test_page_sizes_do_not_show_in_the_bytes(ministry: Ministry) -> None:
    assert pulled() == [("pulled", 1, None)]
    ministry.size = 11
    assert pulled() == [("unchanged", 1, None)]
    assert hidden() == []


def test_changed_records_are_the_next_revision(ministry: Ministry) -> None:
    assert pulled() == [("pulled", 1, None)]
    ministry.records[3] = ministry.records[3].replace("V0003", "V9999")
    assert pulled() == [("pulled", 2, None)]
    assert "V9999" in delivered()[3]


def status(number: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], bool]:
    def act(handler: Any) -> bool:
        handler.answer(number, SECRET, **headers)
        return True

    return act


def fine(_: BaseHTTPRequestHandler) -> bool:
    return False


def cut(handler: Any) -> bool:
    """Half of an answer, then silence."""
    handler.send_response(200)
    handler.send_header("Content-Length", "10000")
    handler.end_headers()
    handler.wfile.write(b'{"data": {"visits": [')
    handler.wfile.flush()
    handler.connection.close()
    handler.close_connection = True
    return True


def cut_unseen(handler: Any) -> bool:
    """Half of an answer that looks whole: its length is never said."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(b'{"snapshot": "s1", "total": 35, "data": {"visits": [{"visit_id": "V0000"},')
    handler.close_connection = True
    return True


def test_stumbles_are_tried_again_and_leave_no_trace(ministry: Ministry) -> None:
    ministry.faults = [status(500), fine, status(503), cut, fine, cut_unseen, status(429, Retry_After="0"), fine]
    assert pulled() == [("pulled", 1, None)]
    assert delivered() == WRITTEN
    assert len(ministry.asked) == 9 + 5

    ministry.asked.clear()
    began = time.monotonic()
    ministry.faults = [status(429, Retry_After="1")]
    assert pulled() == [("unchanged", 1, None)]
    assert time.monotonic() - began >= 1


def test_a_slow_answer_is_given_up_and_asked_for_again(ministry: Ministry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "REQUEST_SECONDS", 0.3)

    def trickle(handler: Any) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(20):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
        handler.close_connection = True
        return True

    ministry.faults = [trickle]
    assert pulled() == [("pulled", 1, None)]
    assert delivered() == WRITTEN


def test_an_expired_token_is_renewed_once(ministry: Ministry) -> None:
    def forget(_: Any) -> bool:
        ministry.tokens.append("another")
        return False

    ministry.faults = [fine, fine, forget]
    assert pulled() == [("pulled", 1, None)]
    assert delivered() == WRITTEN
    assert len(ministry.tokens) == 3
    ministry.secured = True
    origin.connection(NAME, {"client_id": "ministry", "client_secret": "wrong"})
    assert pulled() == [("failed", None, "P06-PULL-035")]


def test_a_pull_that_was_cut_off_goes_on_behind_its_last_page(ministry: Ministry) -> None:
    ministry.faults = [fine] * 5 + [status(500)] * api.TRIES
    assert pulled() == [("failed", None, "P06-PULL-033")]
    assert visible() == {}
    assert len(hidden()) == 1
    ministry.asked.clear()
    assert pulled() == [("pulled", 1, None)]
    assert (delivered(), hidden()) == (WRITTEN, [])
    assert len(ministry.asked) == 9 - 5


@pytest.mark.parametrize("step", ["pull.started", "pull.page", "pull.copying", "pull.copied", "pull.sealed"])
def test_killed_at_any_step_the_next_pull_ends_with_the_same_checksum(ministry: Ministry, step: str) -> None:
    assert pulled() == [("pulled", 1, None)]
    undisturbed = {path: data for path, data in visible().items() if path.endswith(".gz")}
    shutil.rmtree(settings().home / "pulls")
    shutil.rmtree(Path(os.environ["P06_LANDING"]))
    killed = command("pull", "health_visit", "2024-01", P06_FAIL_AT=step)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert visible() == {}
    ministry.asked.clear()
    assert pulled() == [("pulled", 1, None)]
    assert {path: data for path, data in visible().items() if path.endswith(".gz")} == undisturbed
    assert hidden() == []
    if step == "pull.page":
        assert len(ministry.asked) == 9 - 1


@pytest.mark.parametrize("what", ["snapshot", "total", "forgotten cursor"])
def test_pages_of_another_snapshot_are_thrown_away(ministry: Ministry, what: str) -> None:
    ministry.faults = [fine] * 5 + [status(500)] * api.TRIES
    pulled()
    ministry.asked.clear()
    if what == "snapshot":
        ministry.snapshot = "s2"
    elif what == "total":
        ministry.records = ministry.records[1:]
    else:
        ministry.faults = [status(410)]
    assert pulled() == [("pulled", 1, None)]
    assert delivered() == (WRITTEN[1:] if what == "total" else WRITTEN)
    assert len(ministry.asked) == 9 + 1


def test_without_snapshot_or_total_nothing_is_gone_on_with(ministry: Ministry, tmp_path: Path) -> None:
    use(tmp_path, ministry, snapshot=None, total=None)
    ministry.faults = [fine] * 5 + [status(500)] * api.TRIES
    assert pulled() == [("failed", None, "P06-PULL-033")]
    ministry.asked.clear()
    assert pulled() == [("pulled", 1, None)]
    assert len(ministry.asked) == 9


def test_an_api_that_changes_under_the_pull_is_read_again_and_then_given_up(ministry: Ministry) -> None:
    def change(_: Any) -> bool:
        ministry.snapshot += "x"
        return False

    ministry.faults = [fine, fine, change]
    assert pulled() == [("pulled", 1, None)]
    assert delivered() == WRITTEN
    ministry.faults = [change] * 30
    assert pulled() == [("failed", None, "P06-PULL-034")]


def test_a_total_that_is_not_reached_is_no_delivery(ministry: Ministry) -> None:
    whole = ministry.page
    ministry.page = lambda *at: whole(*at).replace('"total": 36', '"total": 37')  # type: ignore[method-assign]
    assert pulled() == [("failed", None, "P06-PULL-034")]
    assert visible() == {}


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://127.0.0.2:1/visits", "P06-PULL-032"),
        ("http://localhost:{port}/visits", "P06-PULL-032"),
        ("//127.0.0.2/visits", "P06-PULL-032"),
        ("/visits/", None),
    ],
)
def test_redirects_and_links_lead_nowhere_else(ministry: Ministry, location: str, code: str | None) -> None:
    target = location.format(port=ministry.port)
    ministry.faults = [status(307, Location=target)]
    assert pulled()[0][2] == code
    if code is None:
        return
    whole = ministry.page

    def elsewhere(start: int, address: str) -> str:
        return whole(start, target if target.startswith("http") else "http:" + target)

    ministry.page = elsewhere  # type: ignore[method-assign]
    assert pulled()[0][2] == code
    assert visible() == {}


@pytest.mark.parametrize(
    "body", ['{"data": {"visits": {}}}', "[]", "null", "[" * 100_000, '{"data": 3}', '"x"', "\xff"]
)
def test_an_answer_that_is_something_else_is_refused(
    ministry: Ministry, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "TRIES", 2)
    ministry.page = lambda *_: body  # type: ignore[method-assign]
    assert pulled() == [("failed", None, "P06-PULL-030")]
    assert visible() == {}


def test_sizes_are_bounded(ministry: Ministry, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PAGE_BYTES", 400), ("PAGES", 3), ("BYTES_LIMIT", 1000)):
        with monkeypatch.context() as patch:
            patch.setattr(api, name, value)
            assert pulled() == [("failed", None, "P06-PULL-011")]
    assert visible() == {}


def test_a_compressed_bomb_is_cut_off(ministry: Ministry, monkeypatch: pytest.MonkeyPatch) -> None:
    def bomb(handler: Any) -> bool:
        packed = gzip.compress(b" " * (64 << 20))
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        handler.wfile.write(packed)
        return True

    ministry.faults = [bomb]
    assert pulled() == [("failed", None, "P06-PULL-011")]


def test_an_address_without_encryption_is_not_spoken_to(ministry: Ministry, tmp_path: Path) -> None:
    for server, auth in (
        ("http://198.51.100.7/visits", None),
        ("https://198.51.100.7/visits", {"kind": "oauth2", "tokenUrl": "http://198.51.100.7/token"}),
    ):
        declared = {"server": "portal", "type": "api", "location": server}
        origin.declare(tmp_path, declared, **({"auth": auth} if auth else {}))
        assert pulled() == [("failed", None, "P06-PULL-016")]


def test_a_certificate_nobody_vouches_for_is_refused_and_one_of_ones_own_authority_taken(
    ministry: Ministry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl
    import subprocess

    monkeypatch.setattr(api, "TRIES", 1)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *made.split(), *names], check=True, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"ministry": ministry}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ministry.secured, ministry.size = False, 1000
    try:
        declared = {
            "server": "portal",
            "type": "api",
            "location": f"https://127.0.0.1:{server.server_address[1]}/visits",
        }
        origin.declare(tmp_path, declared, records="data.visits")
        assert pulled() == [("failed", None, "P06-PULL-033")]
        origin.declare(tmp_path, declared, records="data.visits", caFile=str(certificate))
        assert pulled() == [("pulled", 1, None)]
    finally:
        server.shutdown()
        server.server_close()


def test_no_secret_and_no_record_is_told_or_left(ministry: Ministry) -> None:
    ministry.records = [record.replace("Nguyễn", "Canary") for record in ministry.records]
    said = ""
    for faults in ([], [status(400)], [status(403)], [cut_unseen, status(404)]):
        ministry.faults = list(faults)
        for options in ((), ("--json",), ("--debug",)):
            done = command("pull", "health_visit", "2024-01", *options)
            said += done.stdout + done.stderr
    origin.connection(NAME, {"client_id": "ministry", "client_secret": f"{SECRET}-wrong"})
    done = command("pull", "health_visit", "2024-01", "--debug")
    said += done.stdout + done.stderr
    for code in ("P06-PULL-031", "P06-PULL-006", "P06-PULL-035"):
        assert code in said
    kept = [path for path in (settings().home / "pulls").rglob("*") if path.is_file()]
    left = "".join(path.read_text(errors="replace") for path in kept)
    for word in (SECRET, "Canary", "001089000123"):
        assert word not in said + left
