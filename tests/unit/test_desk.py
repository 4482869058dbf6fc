"""The desk's page that says why not: it is found where it is shown, without a warehouse."""

from __future__ import annotations

import posixpath
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from p06 import desk
from p06.approval import Question
from p06.period import Period
from p06.settings import settings
from p06.site.figure import mark
from p06.site.page import Page, render
from p06.site.words import LANGUAGES, Words


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("vi/provinces/01.html", "en/provinces/01.html"),
        ("en/indicators/id_card_rate/communes-01.html", "vi/indicators/id_card_rate/communes-01.html"),
        ("vi/desk/pairs.html", "en/desk/pairs.html"),
        ("vi/desk/pairs/00000000000000000000.html", "en/desk/pairs/00000000000000000000.html"),
        ("csv/id_card_rate-communes.csv", "csv/id_card_rate-communes.csv"),
    ],
)
def test_a_refusal_finds_its_style_and_the_desk_from_wherever_it_is_shown(
    path: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P06_HOME", str(tmp_path))
    settings.cache_clear()
    html = desk.refused(desk.Caller("lan", "session"), path, "P06-DUTY-005").html.decode()
    settings.cache_clear()
    language = path[:2] if path[2] == "/" else "vi"
    found = {posixpath.normpath(f"{posixpath.dirname(path)}/{way}") for way in re.findall(r'href="([^"#]+)"', html)}
    assert {"style.css", f"{language}/index.html", f"{language}/desk/index.html", other} <= found


def test_why_a_month_waits_is_said_in_the_language_of_the_page() -> None:
    day = datetime(2024, 4, 1, tzinfo=timezone.utc)
    asks = ({"contract": "bank_kyc", "approval": "on_warnings"}, {"check": "conflicts_few"})
    waits = Question(7, Period(2024, 3), 3, "f", "k", asks, (), "p06", day, day, "waiting")
    content = {"questions": [waits], "answered": []}
    said = {}
    for language in LANGUAGES:
        one = Page("desk/approvals.html", "", "desk_approvals.html", "approvals", content)
        html = render(one, Words(language), {"newest_release": None, "sign": mark, "account": "lan"}).decode()
        assert "bank_kyc" in html and "conflicts_few" in html
        said[language] = html
    assert "yêu cầu duyệt" in said["vi"] and "on_warnings" not in said["vi"] and "when there are warnings" in said["en"]
