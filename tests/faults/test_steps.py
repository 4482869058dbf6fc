"""Every step of the work has its point of failure, where its name says, and the matrix breaks each."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from p06 import fault
from tests.faults.scene import ELSEWHERE, WORK

LIBRARY = Path(fault.__file__).parent
# which modules may hold the steps of a group
MODULES = {
    "pull": {"pull", "origins.files", "origins.database", "origins.http"},
    "load": {"load", "staging"},
    "replay": {"replay"},
    "build": {"release", "build"},
    "gate": {"release"},
    "publish": {"publish"},
    "rollback": {"publish"},
    "approval": {"release", "answer"},
    "cleanup": {"release", "marts", "staging"},
    "backup": {"backup"},
    "restore": {"backup"},
    "alert": {"alert"},
}
# steps each kind of origin has in its own way, and the answer an officer gives in a terminal or on a page
MANY = {"pull.started", "pull.copied", "pull.copying", "approval.answered"}


def points() -> list[tuple[str, str]]:
    """(step, module) of every call of ``fault.point`` in the library; fails on one that is not a plain word."""
    found = []
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "point"
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "fault"
            ):
                [step] = node.args
                assert isinstance(step, ast.Constant) and isinstance(step.value, str), f"{path}:{node.lineno}"
                found.append((step.value, ".".join(path.relative_to(LIBRARY).with_suffix("").parts)))
    return found


def test_every_step_has_one_point_of_failure_in_its_own_module() -> None:
    found = points()
    counted = Counter(step for step, _ in found)
    assert sorted(counted) == sorted(fault.STEPS)
    assert {step for step, count in counted.items() if count > 1} == MANY
    assert [(step, module) for step, module in found if module not in MODULES[step.split(".")[0]]] == []


def test_every_step_stands_in_the_matrix_or_where_its_surroundings_are_built() -> None:
    assert [step for step in fault.STEPS if step.split(".")[0] not in WORK and step not in ELSEWHERE] == []
    tests = Path(__file__).parents[2]
    for step, place in ELSEWHERE.items():
        text = (tests / place).read_text("utf-8")
        assert f'"{step}"' in text or ("in BACKUP" in text and step in fault.BACKUP), step


def test_an_unknown_step_is_an_error() -> None:
    with pytest.raises(KeyError):
        fault.point("load.nowhere")
