"""Rules of the house that a machine can watch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "plugins" / "p06"
CODE = re.compile(r"\bP06-[A-Z]+-\d{3}\b")
MODULES = sorted(path for path in LIBRARY.rglob("*.py"))


def test_data_flows_down_and_the_library_knows_nothing_of_airflow() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("path", [path for path in MODULES if "airflow" not in path.relative_to(LIBRARY).parts[:-1]])
def test_only_the_airflow_folder_imports_airflow(path: Path) -> None:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module or "")
    assert not [name for name in names if name.split(".")[0] == "airflow"]


def test_every_code_in_the_library_has_words_in_two_languages() -> None:
    words: dict[str, dict[str, str]] = {}
    for path in (LIBRARY / "messages").glob("*.yaml"):
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert not words.keys() & found.keys(), f"{path.name} explains a code again"
        words |= found
    used = {code for path in MODULES for code in CODE.findall(path.read_text(encoding="utf-8"))}
    assert used - words.keys() == set()
    assert {code for code, text in words.items() if not {"en", "vi", "next_en", "next_vi"} <= text.keys()} == set()
    assert {code for code in words if code.startswith("P06-")} - used == set(), "explained, but never used"


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    probe = (
        "import sys, p06.cli; heavy = {'airflow', 'dbt', 'great_expectations', 'pandas', 'pyarrow', 'numpy'};"
        " print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", probe], text=True).strip() == "[]"


def test_the_tree_names_no_download_host_and_no_folder_of_a_machine() -> None:
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    host = re.compile(r"https?://[^\s\"']+\.(?:whl|tar\.gz|tgz|deb)\b|(?<![\w.])/(?:work|root)/")
    found = []
    for name in filter(None, tracked):
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace") if (ROOT / name).is_file() else ""
        found += [name for _ in host.findall(text)]
    assert found == []


def test_the_locks_are_hash_pinned_and_hold_no_address() -> None:
    for name in ("bootstrap.lock", "requirements.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        entries = re.split(r"\n(?=\S)", text.strip())
        assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
