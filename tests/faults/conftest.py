"""The warehouse all fault tests share, and the table of what was broken, printed at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.scene import KILLS, Outcome, Scene
from tests.integration.sequence import Months

TABLE = "p06/faults"
pytest.register_assert_rewrite("tests.faults.snapshots")


@pytest.fixture(scope="session")
def home_of_faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The two months, made once; each test puts the warehouse at the stage it needs."""
    months = Months(tmp_path_factory.mktemp("faults"))
    yield Scene(months)
    months.replay.stop()


@pytest.fixture
def scene(home_of_faults: Scene) -> Iterator[Scene]:
    """The warehouse, its home the current one."""
    with home_of_faults.open():
        yield home_of_faults


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Iterator[dict[str, Outcome]]:
    """Outcomes put in here by ``step kill`` stand in the table at the end, those of earlier runs too."""
    noted: dict[str, Outcome] = {}
    yield noted
    cache = getattr(request.config, "cache", None)
    if cache is None:
        return
    kept = cache.get(TABLE, {})
    for name, one in noted.items():
        kept[name] = [one.code, one.seconds, one.looks, len(one.anomalies) + len(one.differences)]
    cache.set(TABLE, kept)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Steps by kills: seconds the same act took afterwards, and anything a reader or the ledger showed that was wrong."""
    cache = getattr(config, "cache", None)
    kept = cache.get(TABLE, {}) if cache is not None else {}
    if not kept or not any("tests/faults" in report.nodeid for report in terminalreporter.stats.get("passed", ())):
        return
    terminalreporter.section("faults: seconds of the same act afterwards")
    terminalreporter.write_line("| step | " + " | ".join(KILLS) + " |")
    terminalreporter.write_line("|---|" + "---:|" * len(KILLS))
    steps = dict.fromkeys(name.split()[0] for name in kept)
    for step in steps:
        cells = [kept.get(f"{step} {kill}") for kill in KILLS]
        shown = [f"{cell[1]:.1f}" + f" ({cell[3]} anomalies)" * bool(cell[3]) if cell else "" for cell in cells]
        terminalreporter.write_line(f"| {step} | " + " | ".join(shown) + " |")
    runs, looks, wrong = len(kept), sum(cell[2] for cell in kept.values()), sum(cell[3] for cell in kept.values())
    slowest = max(cell[1] for cell in kept.values())
    terminalreporter.write_line(f"{runs} runs, {looks} looks, {wrong} anomalies, slowest recovery {slowest:.1f} s")
