"""Data: what senders promise and what readers see, where it comes from, how to reach it, queries to begin with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from p06.settings import settings
from p06.site import figure, subject
from p06.site.evidence import Evidence
from p06.site.page import Page
from p06.site.words import Words

QUERIES = Path(__file__).parent / "queries"
_COMMENT = re.compile(r"^-- ?(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Query:
    """A query to begin with; its comment says in two languages what it asks."""

    name: str
    en: str
    vi: str
    statement: str


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """The entrance, a page for each source's contract, a page for each view readers see."""
    title = words.t("data.title")
    titles = {name: subject.title(found, words, name) for name in found.contracts}
    yield Page("data.html", "data", "data.html", title,
               {"contracts": list(found.contracts.values()), "titles": titles, "marts": found.marts,
                "lineage": _lineage(found, words), "queries": queries()})  # fmt: skip
    above = (("data.html", title),)
    told = {mart.name for mart in found.marts}  # the views of restricted marts have no page
    for source, known in found.contracts.items():
        values = {"contract": known, "has_page": known.mart in told}
        yield Page(f"data/{source}.html", "data", "source.html", titles[source], values, above)
    for mart in found.marts:
        of = next((name for name, known in found.contracts.items() if known.mart == mart.name), None)
        yield Page(f"data/{mart.name}.html", "data", "mart.html", mart.name,
                   {"mart": mart, "of_source": of, "titles": titles}, above)  # fmt: skip


def queries() -> list[Query]:
    """The sample queries: those of docs/queries where there are any, else those that come with the pages."""
    folder = settings().root / "docs" / "queries"
    paths = sorted(folder.glob("*.sql")) or sorted(QUERIES.glob("*.sql"))
    return [_query(path) for path in paths]


def _query(path: Path) -> Query:
    """Comment lines on top say what is asked: English and Vietnamese on two lines, or on one with ``·`` between."""
    text = path.read_text("utf-8")
    top = re.match(r"(?:--.*\n)*", text)
    head = top[0] if top else ""
    said = [line.strip() for line in _COMMENT.findall(head) if line.strip()]
    if len(said) == 1:
        en, _, vi = said[0].partition(" · ")
    else:
        half = (len(said) + 1) // 2
        en, vi = " ".join(said[:half]), " ".join(said[half:])
    if _vietnamese(en) and not _vietnamese(vi):
        en, vi = vi, en
    return Query(path.stem, _plain(en), _plain(vi), text[len(head) :].strip())


def _plain(text: str) -> str:
    return re.sub(r"^(?:en|vi): ?", "", text)


def _vietnamese(text: str) -> bool:
    return any(one in text for one in "ăâđêôơưáàảãạéèẻẽẹíìỉĩịóòỏõọúùủũụýỳỷỹỵấầẩẫậắằẳẵặếềểễệốồổỗộớờởỡợứừửữự")


def _lineage(found: Evidence, words: Words) -> Markup:
    marts = {mart.name for mart in found.marts}
    sources = [(name, "source") for name in found.contracts]
    facts = [
        (known.mart or "dim_citizen", "fact")
        for known in found.contracts.values()
        if known.mart or known.kind == "register"
    ]
    edges = [
        (name, known.mart or "dim_citizen")
        for name, known in found.contracts.items()
        if known.mart or known.kind == "register"
    ]
    joined = [name for name in ("citizen_month", "reconciliation", "match_summary") if name in marts]
    ends = ["indicator"] if "indicator" in marts else []
    for fact, _ in facts:
        into = ["citizen_month"] if fact == "dim_citizen" else [*joined, *ends]
        edges += [(fact, name) for name in into if name in (*joined, *ends)]
    edges += [(name, end) for name in joined if name == "citizen_month" for end in ends]
    third = [box for name in joined for box in ((name, "mart"), ("", ""))]
    fourth = [*[("", "")] * max(len(facts) - 1, 0), *((name, "mart") for name in ends)]
    columns = [sources, facts, third, fourth]
    return figure.lineage([column for column in columns if column], edges, words)
