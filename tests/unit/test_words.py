"""What the command line says of itself: the shells it completes in, codes and indicators in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from p06.cli import app
from p06.errors import UsageError
from p06.site.words import texts

P06 = Path(sys.executable).parent / "p06"


def test_bash_completes_commands_after_loading_what_show_completion_prints() -> None:
    """As a person would: the printed lines are loaded, then the function is asked for what follows ``p06 rel``."""
    script = (
        f'PATH="{P06.parent}:$PATH"; eval "$(p06 --show-completion)"; complete -p p06 >/dev/null || exit 3\n'
        'COMP_WORDS=(p06 rel); COMP_CWORD=1; _p06_completion p06; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert (done.returncode, done.stdout.split()) == (0, ["release", "releases"]), done.stderr


def test_an_indicator_is_explained_in_both_languages() -> None:
    for code in ("id_card_rate", "match_rate.health_visit"):
        said = CliRunner().invoke(app, ["explain", code])
        assert said.exit_code == 0 and said.stdout.startswith(code)
        for language in ("vi", "en"):
            assert texts()[f"indicator.{code.partition('.')[0]}_numerator"][language] in said.stdout


@pytest.mark.parametrize("code", ["id_card", "match_rate", "match_rate.nobody", "id_card_rate.health_visit", "word"])
def test_what_is_neither_code_nor_indicator_is_said_so(code: str) -> None:
    done = CliRunner().invoke(app, ["explain", code])
    assert isinstance(done.exception, UsageError) and done.exception.code == "P06-CLI-001"
