"""Processes that help with large files change how long a load takes and nothing else."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from p06 import load, workers
from p06.contract import Contract
from p06.errors import P06Error
from p06.intake import Intake
from p06.manifest import Manifest, read
from tests.sender import Sender, header, line, visits


def _dirty() -> list[str]:
    lines = visits(3000)
    for place in range(0, 3000, 7):
        lines[place] = line(quote=True, visit_id=f"Q{place}", full_name="a\nb" if place % 2 else "c")
    lines[11] = lines[11].replace("Nguyễn", '"Nguyễn')
    lines[13] += ",x"
    lines[15] = line(visit_id="V15", sex="x")
    lines[17] = line(visit_id="V20", full_name="Trần Thị Bé")
    lines[2900] = lines[900]
    return lines


def _found(sees: psycopg.Connection[Any], leaf: str) -> list[Any]:
    staged = "file_no, line, record_key, citizen_id, full_name, visit_id, admitted_at, total_amount"
    return [
        sees.execute(f"select {staged} from staging.{leaf} order by 1, 2").fetchall(),
        sees.execute(f"select file_no, line, record_no, raw, reasons, columns from quarantine.{leaf} order by 1, 2")
        .fetchall(),
    ]  # fmt: skip


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_helped_loads_end_like_others(
    sender: Sender, sees: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    monkeypatch.setattr("p06.reading.BLOCK", 1 << 15)
    monkeypatch.setattr(workers, "LARGE", 0)
    text = "\n".join([header(), *_dirty()]) + "\n"
    found = []
    for revision, count in enumerate((0, 1, 3), 1):
        monkeypatch.setenv("P06_WORKERS", str(count))
        delivery = sender.send(
            [text, "\n".join([header(), *visits(500, 9000)])],
            name=str(revision), revision=revision, rows=[3000, 500], format={"compression": compression},
        )  # fmt: skip
        done = load.stage(delivery)
        [(leaf,)] = sees.execute(
            "select staging_table from control.extract where extract_id = %s", (done.extract_id,)
        ).fetchall()
        found.append([done.counts, done.reasons, *_found(sees, leaf)])
    assert found[0] == found[1] == found[2]
    assert found[0][0].duplicates == 1
    assert len(found[0][3]) == found[0][0].quarantined >= 5


def test_a_register_without_record_keys_finds_its_duplicates_too(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p06.reading.BLOCK", 1 << 12)
    monkeypatch.setattr(workers, "LARGE", 0)
    monkeypatch.setenv("P06_WORKERS", "2")
    people = [line("population_register", citizen_id=f"001089{number:06d}") for number in range(200)]
    done = load.stage(sender.rows([*people, people[3], people[190]], "population_register"))
    assert done.counts is not None
    assert (done.counts.duplicates, done.counts.staged) == (2, 200)


def test_a_dead_helper_fails_the_load_by_name_and_none_outlives_it(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p06.reading.BLOCK", 1 << 12)
    contract, manifest = read(sender.rows(visits(4000)))
    folder = sender.landing / "health_visit" / "2024-01" / "first"
    with Intake(contract, manifest, folder, workers=2) as intake:
        assert intake.check_headers() == []
        batches = intake.batches()
        next(batches)
        helpers = [one for one in psutil.Process().children() if "p06.workers" in one.cmdline()]
        assert len(helpers) == 2
        os.kill(helpers[0].pid, signal.SIGKILL)
        with pytest.raises(P06Error, match="P06-LOAD-050"):
            list(batches)
    assert not any(one.is_running() for one in helpers)


def _many(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> tuple[Contract, Manifest, Path]:
    """A delivery of many blocks."""
    monkeypatch.setattr("p06.reading.BLOCK", 1 << 12)
    contract, manifest = read(sender.rows(visits(4000)))
    return contract, manifest, sender.landing / "health_visit" / "2024-01" / "first"


def test_a_helper_that_errs_tells_the_kind_of_the_error_and_writes_nothing(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    contract, manifest, folder = _many(sender, monkeypatch)
    columns = tuple(  # no number can be compared with this
        replace(one, minimum=Decimal("NaN")) if one.name == "total_amount" else one for one in contract.columns
    )
    with Intake(replace(contract, columns=columns), manifest, folder, workers=2) as intake:
        assert intake.check_headers() == []
        with pytest.raises(P06Error, match=r"P06-LOAD-043 .*decimal\.InvalidOperation"):
            list(intake.batches())
    assert capfd.readouterr() == ("", "")


def test_no_helper_runs_what_lies_in_the_folder_p06_was_called_in(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    contract, manifest, folder = _many(sender, monkeypatch)
    for name in ("numpy", "pyarrow", "p06"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(tmp_path)
    with Intake(contract, manifest, folder, workers=2) as intake:
        assert intake.check_headers() == []
        assert sum(batch.rows for batch in intake.batches()) == 4000
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_is_left_to_the_loader(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    contract, manifest, folder = _many(sender, monkeypatch)
    with Intake(contract, manifest, folder, workers=1) as intake:
        assert intake.check_headers() == []
        batches = intake.batches()
        first = next(batches).rows
        [helper] = [one for one in psutil.Process().children() if "p06.workers" in one.cmdline()]
        os.kill(helper.pid, signal.SIGINT)
        assert first + sum(batch.rows for batch in batches) == 4000
    assert capfd.readouterr() == ("", "")


def test_leaving_early_ends_the_helpers(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p06.reading.BLOCK", 1 << 12)
    contract, manifest = read(sender.rows(visits(4000)))
    folder = sender.landing / "health_visit" / "2024-01" / "first"
    with Intake(contract, manifest, folder, workers=2) as intake:
        assert intake.check_headers() == []
        batches = intake.batches()
        next(batches)
        batches.close()  # type: ignore[attr-defined]
    assert not [one for one in psutil.Process().children() if "p06.workers" in one.cmdline()]
