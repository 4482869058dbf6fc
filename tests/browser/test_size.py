"""The pages of a whole country: twenty sources, two years, every province, still small and readable on a telephone."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.site import history
from playwright.sync_api import Browser

from p06 import site
from p06.site import place
from tests.browser.chromium import judge
from tests.browser.test_site import LIMIT

pytestmark = pytest.mark.long
OPENED = (
    "index.html", "months/2026-03.html", "deliveries.html", "deliveries/health_visit.html", "quality.html", "reconciliation.html",
    "indicators.html", "indicators/id_card_rate.html", "provinces.html", "provinces/01.html", "releases.html",
    "releases/2026-03.1.html", "data.html", "help.html",
)  # fmt: skip


def test_twenty_sources_and_two_years_stay_small_and_readable(browser: Browser, tmp_path: Path) -> None:
    files = dict(site.files(history(24, 20)))
    assert {
        name: len(content) for name, content in files.items() if len(content) > LIMIT and name.endswith("html")
    } == {}
    place.show(tmp_path / "site", files, "mark\n")
    opened = browser.new_page()
    wide = []
    for address in OPENED:
        for width in (390, 800, 1200):
            opened.set_viewport_size({"width": width, "height": 900})
            opened.goto((tmp_path / "site" / "vi" / address).as_uri())
            if opened.evaluate("document.documentElement.scrollWidth") > width:
                wide.append((address, width))
        judge(opened)
    assert wide == []
