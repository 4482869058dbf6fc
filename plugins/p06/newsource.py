"""The three files of a new source: a contract to fill in, the staging model and the suite that go with it."""

from __future__ import annotations

import re
from pathlib import Path

from p06 import contract, project
from p06.errors import UsageError
from p06.settings import settings

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def write(name: str, sector: str) -> list[Path]:
    """Write the skeletons and return their paths, in the order they are filled in.

    Raises UsageError P06-CLI-002 on a name that cannot be an identifier, P06-CLI-003 when the source exists.
    """
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(sector):
        raise UsageError("P06-CLI-002")
    agreement = settings().contracts / f"{name}.odcs.yaml"
    suite = settings().expectations / "sources" / f"{name}.yaml"
    if agreement.exists() or suite.exists():
        raise UsageError("P06-CLI-003", source=name)
    agreement.write_text(_template("source.odcs.yaml", name, sector), encoding="utf-8")
    path, text = project.staging_model(contract.load(name))
    model = settings().dbt_project / path
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_text(text, encoding="utf-8")
    suite.write_text(_template("suite.yaml", name, sector), encoding="utf-8")
    return [agreement, model, suite]


def _template(file: str, name: str, sector: str) -> str:
    text = (Path(__file__).parent / "templates" / file).read_text(encoding="utf-8")
    return text.replace("NAME", name).replace("SECTOR", sector)
