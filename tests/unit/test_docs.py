"""What the documentation says can be checked: links, commands, codes, variables, files, exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
import yaml

from p06 import contract, suite
from p06.cli import app
from p06.errors import Busy, GateBlocked, NotReady, P06Error, Refused, UsageError, messages
from p06.site.words import texts

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
RUNBOOKS = sorted((DOCS / "runbooks").glob("*.md"))
DECISIONS = sorted((DOCS / "adr").glob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?<![\w./-])(?:\./)?p06 ([a-z][a-z-]*)((?: +[^\n`|)\"#]*)?)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    without_code = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", without_code, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def options_of(command: typer.main.click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("-")}


COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def mentions(text: str) -> list[tuple[str, str]]:
    """(command, what follows it) of each ``p06 COMMAND`` in code."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [hit for code in (*blocks, *inline) for hit in COMMAND.findall(code)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(page.read_text("utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        place, _, anchor = target.partition("#")
        path = (page.parent / place).resolve() if place else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_named_exists_and_has_the_options_shown(page: Path) -> None:
    wrong = []
    for command, rest in mentions(page.read_text("utf-8")):
        known = COMMANDS.get(command)
        below = getattr(known, "commands", {})
        if below and rest.split():
            first = rest.split()[0]
            if first.isalpha() and first not in below and not first.isupper():
                wrong.append(f"{command} {first}")
            known = below.get(first, known)
        if known is None:
            wrong.append(command)
        elif command not in ("airflow", "test"):
            wrong += [
                f"{command} {option}"
                for option in re.findall(r"(?<!\S)--[a-z-]+", rest)
                if option not in options_of(known)
            ]
    assert wrong == []


def test_the_documentation_names_every_command() -> None:
    told = {command for page in PAGES for command, _ in mentions(page.read_text("utf-8"))}
    assert set(COMMANDS) - told == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_code_named_has_an_explanation(page: Path) -> None:
    text = page.read_text("utf-8")
    codes = set(re.findall(r"\bP06-[A-Z]+-\d{3}\b", text))
    codes |= set(re.findall(r"p06 explain ([a-z_]+)\b", text))
    indicators = {key.partition(".")[2] for key in texts() if key.startswith("indicator.")}
    assert codes - messages().keys() - indicators == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_holds_a_folder_of_a_machine_or_a_host_to_download_from(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.findall(r"(?<![\w.$}>-])/(?:work|root|home|tmp|Users)/", text) == []
    addresses = re.findall(r"https?://[^\s)`>\"']+", text)
    assert [found for found in addresses if not re.match(r"https?://(?:127\.0\.0\.1|localhost)\b", found)] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_shows_a_citizens_number(page: Path) -> None:
    assert re.findall(r"(?<![0-9a-fA-F.])[0-9]{12}(?![0-9a-fA-F])", page.read_text("utf-8")) == []


def test_the_first_screen_says_what_it_is_in_two_languages_and_shows_both_commands() -> None:
    screen = "\n".join(README.read_text("utf-8").splitlines()[:60])
    assert "./p06 demo" in screen and "./p06 test" in screen
    assert re.search(r"^\*p06 là .+", screen, flags=re.MULTILINE)
    assert "Reconciliation: received = duplicates + quarantined + staged" in screen
    assert "Where to look next" in screen


def test_the_sums_shown_add_up() -> None:
    """Excerpts are real: received = duplicates + quarantined + staged on every line that shows it."""
    shown = re.findall(r"([\d,]+) = +([\d,]+) \+ +([\d,]+) \+ +([\d,]+)", README.read_text("utf-8"))
    assert shown
    for line in shown:
        received, *parts = (int(figure.replace(",", "")) for figure in line)
        assert received == sum(parts), line


def test_the_exit_codes_are_those_of_the_errors() -> None:
    table = dict(re.findall(r"^\| (\d) \| (.+?) \|$", README.read_text("utf-8"), flags=re.MULTILINE))
    told = {P06Error: "failed", UsageError: "wrong usage", GateBlocked: "a gate blocked",
            Refused: "a delivery was refused", NotReady: "not ready", Busy: "another run holds"}  # fmt: skip
    for error, words in told.items():
        assert words in table[str(error.exit_code)]
    assert sorted(table) == ["0", *sorted(str(error.exit_code) for error in told)]


def test_every_variable_named_is_read_somewhere_and_every_variable_read_is_named() -> None:
    readme = README.read_text("utf-8").partition("## Configuration")[2].partition("## Limits")[0]
    told = set(re.findall(r"`(P06_[A-Z_]+)`", readme))
    sources = [ROOT / "p06", *(ROOT / "plugins" / "p06").rglob("*.py")]
    read = set()
    for path in sources:
        text = path.read_text("utf-8")
        read |= set(re.findall(r"(?:environ(?:\.get\(|\[)|number\()\s*\"(P06_[A-Z_]+)\"", text))
        read |= set(re.findall(r"\$\{(P06_[A-Z_]+)[:-]", text))
    assert told == read - {"P06_ROOT"}, "P06_ROOT is for tests"


def test_the_tree_shown_is_the_tree() -> None:
    shown = README.read_text("utf-8").partition("## What is where")[2].partition("```\n")[2].partition("```")[0]
    places = [place for line in shown.splitlines() for place in re.split(r"  +", line)[0].split()]
    places += [place for line in shown.splitlines() for place in re.split(r"  +", line)[:-1]]
    assert len(places) > 10
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_the_index_lists_every_runbook_and_decision() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    assert [path.name for path in (*RUNBOOKS, *DECISIONS) if f"/{path.name})" not in index] == []


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_says_its_context_what_was_decided_and_what_follows_on_one_page(page: Path) -> None:
    text = page.read_text("utf-8")
    number = int(page.name.split("-")[0])
    assert text.startswith(f"# {number}. ")
    assert re.findall(r"^## (\w+)$", text, flags=re.MULTILINE) == ["Context", "Decision", "Consequence"]
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize("page", [page for page in RUNBOOKS if page.name != "server.md"], ids=name)
def test_a_runbook_shows_commands_and_says_when_it_is_done(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "## Done when" in text
    assert re.search(r"^\$ \./p06 ", text, flags=re.MULTILINE)


def test_the_checks_the_runbooks_speak_of_are_in_the_suites() -> None:
    text = (DOCS / "runbooks" / "gate-blocked.md").read_text("utf-8")
    source = {check.id: check for check in suite.load_source("health_visit").checks}
    assert "quarantined_share" in text and source["quarantined_share"].severity == "block"
    assert "quarantined_few" in text and source["quarantined_few"].severity == "warn"
    assert "match_rate" in {check.id for check in suite.load_mart("fct_health_visit").checks}


@pytest.mark.parametrize("page", [README, *RUNBOOKS], ids=name)
def test_every_yaml_shown_is_yaml(page: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL):
        assert isinstance(yaml.safe_load(block), dict)


def test_the_waiver_shown_is_one_the_gate_understands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from p06.settings import settings

    text = (DOCS / "runbooks" / "gate-blocked.md").read_text("utf-8")
    shown = next(block for block in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL) if "waivers:" in block)
    (tmp_path / "waivers.yaml").write_text(shown, "utf-8")
    monkeypatch.setenv("P06_EXPECTATIONS", str(tmp_path))
    settings.cache_clear()
    try:
        (waiver,) = suite.waivers()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert (waiver.source, waiver.check, waiver.count) == ("health_visit", "quarantined_share", 0.3)


def test_the_manifest_shown_has_every_field_a_manifest_needs() -> None:
    import json

    block = re.search(r"```json\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    assert block is not None
    shown = json.loads(block[1])
    assert set(shown) == {
        "manifest_version", "source", "period", "revision", "produced_at", "admin_code_version", "format", "files",
    }  # fmt: skip
    assert {"name", "bytes", "sha256", "rows"} == set(shown["files"][0])
    assert shown["source"] in contract.load_all()
