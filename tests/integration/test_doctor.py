"""The doctor finds what is wrong with the configuration, names the mend, and tells no secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from p06 import credentials, doctor
from p06.settings import settings
from tests.sender import Sender

SECRET = "canary-of-a-password"


@pytest.fixture
def by_url(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A landing that is a URL; returns the file of its connection."""
    monkeypatch.setenv("P06_LANDING", "sftp://127.0.0.1:1/outbox")
    settings.cache_clear()
    path = credentials.folder() / f"{credentials.LANDING}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path
    path.unlink(missing_ok=True)
    monkeypatch.undo()
    settings.cache_clear()


def states() -> dict[str, str]:
    return {one.check: one.state for one in doctor.examine()}


def test_a_machine_that_is_right_has_no_bad_finding(sender: Sender) -> None:
    found = states()
    assert {"contracts", "suites", "origins", "landing", "role analyst"} <= set(found)
    assert {state for check, state in found.items() if check != "disk"} == {"good"}


def test_the_connection_of_a_landing_by_url_is_looked_at_and_never_shown(by_url: Path) -> None:
    assert states()["landing"] == "good"
    by_url.write_text('{"password": "' + SECRET)
    by_url.chmod(0o600)
    [broken] = [one for one in doctor.examine() if one.check == "landing"]
    assert broken.state == "bad" and "P06-PULL-003" in broken.found and broken.mend
    by_url.write_text(json.dumps({"password": SECRET}))
    by_url.chmod(0o644)
    [open_to_all] = [one for one in doctor.examine() if one.check == "landing"]
    assert open_to_all.state == "bad" and "P06-PULL-002" in open_to_all.found
    assert SECRET not in str((broken, open_to_all))
    by_url.chmod(0o600)
    assert states()["landing"] == "good"
