"""A page: its address, its template and what goes into it; and how it becomes HTML."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from p06.period import Period
from p06.site.words import LANGUAGES, Words, guarded

FOLDER = Path(__file__).parent / "templates"
SECTIONS = (
    "overview",
    "deliveries",
    "quality",
    "scorecard",
    "reconciliation",
    "indicators",
    "releases",
    "data",
    "help",
)
STYLE = "style.css"


@dataclass(frozen=True)
class Page:
    """One page of a language. ``address`` is relative to the language's folder; ``trail`` the pages above it.

    ``area`` is the province (``code@first day``) whose officers alone may see it where pages are behind a login.
    """

    address: str
    section: str
    template: str
    title: str
    content: Mapping[str, Any] = field(default_factory=dict)
    trail: tuple[tuple[str, str], ...] = ()  # (address, title)
    area: str | None = None


def address_of(section: str) -> str:
    """Where a section begins."""
    return "index.html" if section == "overview" else f"{section}.html"


def month_address(period: Period) -> str:
    """The page of a month at a glance."""
    return f"months/{period}.html"


def check_address(subject: str, check: str) -> str:
    """The page of a check."""
    return f"quality/{subject}/{check}.html"


def render(page: Page, words: Words, common: Mapping[str, Any]) -> bytes:
    """The page's HTML. Every value is escaped; a name the template does not know raises."""

    def link(address: str) -> str:
        """The way from this page to another of the same language, or to a file of the site when it begins with /."""
        target = address.removeprefix("/") if address.startswith("/") else f"{words.language}/{address}"
        return posixpath.relpath(target, posixpath.dirname(f"{words.language}/{page.address}"))

    shown = {name: getattr(words, name) for name in _SPOKEN}
    html = (
        _environment()
        .get_template(page.template)
        .render(
            page=page,
            language=words.language,
            languages=LANGUAGES,
            sections=SECTIONS,
            address_of=address_of,
            month_address=month_address,
            check_address=check_address,
            link=link,
            **shown,
            **common,
            **page.content,
        )
    )
    return html.encode()


_SPOKEN = (
    "t",
    "named",
    "has",
    "of_code",
    "pair",
    "period",
    "short",
    "month",
    "day",
    "moment",
    "figure",
    "number",
    "percent",
)


def entrance() -> bytes:
    """The page that lets a reader choose a language."""
    spoken = {language: Words(language) for language in LANGUAGES}
    return _environment().get_template("entrance.html").render(spoken=spoken, style=STYLE).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["guarded"] = guarded
    return environment


def style() -> bytes:
    """The one stylesheet."""
    return (FOLDER / STYLE).read_bytes()


def version() -> str:
    """Hash of everything but the warehouse that pages are made of: templates, words and the code beside them."""
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for path in sorted([*package.rglob("*"), *(package.parent / "messages").rglob("*.yaml")]):
        if path.suffix in (".py", ".html", ".css", ".yaml", ".sql"):
            digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()
