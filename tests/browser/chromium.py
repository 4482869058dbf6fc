"""Chromium for the proofs of pages, and the judge of their accessibility."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

SWITCHES = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "Chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=SWITCHES.split())
        yield opened
        opened.close()


def judge(page: Page) -> None:
    """axe-core finds nothing against WCAG 2.2 AA or its own advice."""
    found = Axe().run(page, options={"runOnly": STANDARD, "preload": False})
    assert found.violations_count == 0, found.generate_report()
    assert len(found.response["passes"]) > 10, "it looked"
