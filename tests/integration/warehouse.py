"""A warehouse of its own in a folder, driven through the command line as a person would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parents[2]


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
        return kept | {"P06_HOME": str(self.home), "P06_TOKEN_KEY_FILE": str(self.key), "NO_COLOR": "1"} | self.extra

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """The command line in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "p06.cli", *arguments],
            env=self.environment | extra,
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
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
