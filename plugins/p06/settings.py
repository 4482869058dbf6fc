"""Where things are: the environment read once, in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The environment variables of the interface, resolved."""

    root: Path
    home: Path
    database_url: str | None
    landing: str
    contracts: Path
    token_key_file: Path
    signing_key_file: Path

    @property
    def dbt_project(self) -> Path:
        """The dbt project of the checkout."""
        return Path(os.environ.get("P06_DBT_PROJECT", self.root / "dbt_project"))

    @property
    def expectations(self) -> Path:
        """The gates' suites."""
        return Path(os.environ.get("P06_EXPECTATIONS", self.root / "expectations"))

    @property
    def linkage(self) -> Path:
        """The reviewed linkage model."""
        return Path(os.environ.get("P06_LINKAGE", self.root / "linkage"))

    @property
    def alerts(self) -> Path:
        """Who is told of what, and how."""
        return Path(os.environ.get("P06_ALERTS", self.home / "alerts.yaml"))

    @property
    def dags(self) -> Path:
        """Airflow's DAG folder."""
        return self.root / "dags"

    @property
    def migrations(self) -> Path:
        """The numbered migrations."""
        return self.root / "ops" / "postgres"

    @property
    def codelists(self) -> Path:
        """The code lists the contracts refer to."""
        return self.contracts / "codelists"


@cache
def settings() -> Settings:
    """Read the environment. Tests that change it call ``settings.cache_clear()``."""
    root = Path(os.environ.get("P06_ROOT", Path(__file__).resolve().parents[2]))
    home = Path(os.environ.get("P06_HOME", root / ".p06")).absolute()
    return Settings(
        root=root,
        home=home,
        database_url=os.environ.get("P06_DATABASE_URL") or None,
        landing=os.environ.get("P06_LANDING") or str(home / "landing"),
        contracts=Path(os.environ.get("P06_CONTRACTS", root / "contracts")).absolute(),
        token_key_file=Path(os.environ.get("P06_TOKEN_KEY_FILE", home / "secrets" / "token.key")).absolute(),
        signing_key_file=Path(os.environ.get("P06_SIGNING_KEY_FILE", home / "secrets" / "signing.key")).absolute(),
    )
