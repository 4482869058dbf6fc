"""A warehouse of its own in a folder, driven through the command line as a person would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parents[2]


@cache
def _zygote(module: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def order(module: str, what: dict[str, Any]) -> int:
    """The answer of the one process of a module that has the heavy libraries imported and forks for every order."""
    zygote = _zygote(module)
    assert zygote.stdin is not None and zygote.stdout is not None
    zygote.stdin.write(json.dumps(what) + "\n")
    zygote.stdin.flush()
    return int(zygote.stdout.readline())


@dataclass
class Warehouse:
    """One P06_HOME with its own embedded server and landing."""

    home: Path
    key: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def landing(self) -> Path:
        return self.home / "landing"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("P06_")}
        return (
            kept
            | {"P06_HOME": str(self.home), "P06_TOKEN_KEY_FILE": str(self.key), "NO_COLOR": "1", "P06_SITE": "off"}
            | self.extra
        )

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """The command line in a process of its own."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            out, err = Path(scratch, "out"), Path(scratch, "err")
            call = {
                "arguments": arguments,
                "environment": self.environment | extra,
                "folder": str(self.home.parent),
                "out": str(out),
                "err": str(err),
            }
            code = order("tests.integration.zygote", call)
            return subprocess.CompletedProcess(
                arguments, code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")
            )

    def must(self, *arguments: str, **extra: str) -> str:
        """Standard output of a command that has to end with 0."""
        done = self.run(*arguments, **extra)
        assert done.returncode == 0, f"{arguments} ended {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.must(*arguments, "--json"))

    def deliver(self, country: Path, periods: Iterable[str], sources: Iterable[str] | None = None) -> None:
        """Copy the deliveries of some periods from a synthetic country's landing, manifests last."""
        for source in sorted((country / "landing").iterdir()):
            if sources is not None and source.name not in sources:
                continue
            for period in periods:
                for delivery in sorted((source / period).iterdir()):
                    self.drop(delivery, source.name, period, delivery.name)

    def drop(self, delivery: Path, source: str, period: str, name: str) -> Path:
        """Copy one delivery folder into landing, manifest last."""
        target = self.landing / source / period / name
        target.mkdir(parents=True)
        files = sorted(delivery.iterdir(), key=lambda path: path.name == "manifest.json")
        for path in files:
            shutil.copyfile(path, target / path.name)
        return target

    def dsn(self, role: str) -> str:
        return self.must("connect", "--role", role, "--dsn").strip()

    def query(self, statement: str, role: str = "admin") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn(role), autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def digest(self) -> dict[str, dict[str, Any]]:
        return dict(self.json("digest"))

    def close(self) -> None:
        self.run("down")


def synthetic_country(folder: Path, citizens: int, periods: str, seed: int) -> Path:
    """The deliveries of a synthetic country with the usual dirt, below ``landing`` in the folder; periods: A..B."""
    maker = Warehouse(folder / "maker", folder / "token.key")
    maker.must("synth", "--out", str(folder), "--citizens", str(citizens), "--periods", periods, "--seed", str(seed))
    return folder
