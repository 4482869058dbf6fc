"""What a contract may say of its origins, and which names from elsewhere may become names of ours."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from p06 import contract, origins
from p06.contract import Contract
from p06.errors import P06Error, UsageError
from p06.origins import database
from p06.origins.http import _at, _written
from p06.period import Period

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = (ROOT / "docs" / "runbooks" / "origins.md").read_text("utf-8")
SHOWN = [
    server
    for block in re.findall(r"```yaml\n(.*?)```", RUNBOOK, flags=re.DOTALL)
    for server in yaml.safe_load(block)["servers"]
]


def with_servers(tmp_path: Path, servers: list[dict[str, Any]]) -> Path:
    """The shipped contract of health_visit with more servers."""
    document = yaml.safe_load((ROOT / "contracts" / "health_visit.odcs.yaml").read_text("utf-8"))
    document["servers"] += servers
    path = tmp_path / "health_visit.odcs.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    if not (tmp_path / "codelists").exists():
        (tmp_path / "codelists").symlink_to(ROOT / "contracts" / "codelists")
    return path


def of(tmp_path: Path, *servers: dict[str, Any]) -> Contract:
    return contract.parse(with_servers(tmp_path, list(servers)))


def test_every_origin_the_runbook_shows_is_valid_odcs_and_understood(tmp_path: Path) -> None:
    assert [server["type"] for server in SHOWN] == ["local", "s3", "sftp", "postgresql", "api"]
    schema = json.loads(resources.files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8"))
    for servers in (SHOWN[:4], SHOWN[4:]):
        path = with_servers(tmp_path, servers)
        contract.validate(path)
        jsonschema.Draft201909Validator(schema).validate(yaml.safe_load(path.read_text("utf-8")))
        assert [one.name for one in origins.declared(contract.parse(path))] == [one["server"] for one in servers]


def test_a_source_is_made_of_records_in_one_place_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as wrong:
        origins.declared(of(tmp_path, *SHOWN))
    assert (wrong.value.code, wrong.value.where["server"]) == ("P06-PULL-001", "portal")


def test_the_shipped_contracts_are_pushed() -> None:
    assert not any(origins.wanted(one) or origins.declared(one) for one in contract.load_all().values())


@pytest.mark.parametrize(
    ("change", "at"),
    [({"server": "A"}, "server"), ({"server": "a-b"}, "server"), ({"type": "kafka"}, "type"), ({"pull": 1}, "pull")],
)
def test_an_origin_declared_wrongly_says_where(tmp_path: Path, change: dict[str, Any], at: str) -> None:
    pulled = change.pop("pull", True)
    server = {"server": "box", "type": "local", "path": "/box", "format": "csv"} | change
    one = of(tmp_path, server | {"customProperties": [{"property": "pull", "value": pulled}]})
    assert origins.wanted(one)
    with pytest.raises(UsageError) as wrong:
        origins.declared(one)
    assert (wrong.value.code, wrong.value.where["at"]) == ("P06-PULL-001", at)


@pytest.mark.parametrize("name", ["part-0001.csv", "lần gửi 2", "a" * 200, "~x", "-x", "a..b"])
def test_a_plain_name_is_safe(name: str) -> None:
    assert origins.is_safe(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "/a", "a\\b", "a\0", "a\nb", "\x85", "\x7f", "ế" * 67, "a" * 201, "\ud800"],
)
def test_a_name_that_could_lead_elsewhere_is_not(name: str) -> None:
    assert not origins.is_safe(name)


def test_the_bounds_follow_the_cut_off_day(tmp_path: Path) -> None:
    one = of(tmp_path)
    days = {name: str(day) for name, day in origins.bounds(one, Period(2024, 2)).items()}
    assert days == {"period_start": "2024-02-01", "period_end": "2024-03-01", "as_of": "2024-02-29"}
    object.__setattr__(one, "cut_off_day", 25)
    days = {name: str(day) for name, day in origins.bounds(one, Period(2024, 1)).items()}
    assert days == {"period_start": "2023-12-26", "period_end": "2024-01-26", "as_of": "2024-01-25"}


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("https://ministry.example/x", True),
        ("http://127.0.0.1:80/x", True),
        ("http://[::1]/x", True),
        ("http://ministry.example", False),
        ("http://127.0.0.1.ministry.example", False),
        ("http://127.0.0.1@ministry.example", False),
        ("ftp://localhost", False),
        ("", False),
    ],
)
def test_only_tls_and_this_machine_are_private(address: str, private: bool) -> None:
    assert origins.is_private(address) is private


def test_a_place_in_an_answer_is_found_only_in_objects() -> None:
    from p06.origins.http import _Pairs

    document = _Pairs([("a", _Pairs([("b", [1])])), ("c", "text")])
    assert _at(document, "a.b") == [1]
    assert [_at(document, path) for path in ("a.x", "c.x", "a.b.0", "__class__")] == [None] * 4
    assert _at(document, ".") is document
    assert _written(_Pairs([("a", 'quote " and \n'), ("a", None)])) == '{"a":"quote \\" and \\n","a":null}'


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-7, "0.0000001"), (1e22, "10000000000000000000000"), (0.1, "0.1"), (10**30, "1" + "0" * 30), (-0.0, "-0.0")],
)
def test_numbers_are_written_in_plain_notation(value: float, text: str) -> None:
    amount = contract.load("health_visit").column("total_amount")
    assert database._writer(amount, {})(value) == text


def test_a_moment_in_a_column_of_dates_is_a_date_only_at_midnight() -> None:
    import datetime as dt

    write = database._writer(contract.load("health_visit").column("birth_date"), {"source": "health_visit"})
    assert write(dt.datetime(2024, 1, 2)) == "2024-01-02"
    for value in (dt.datetime(2024, 1, 2, 1), dt.datetime(2024, 1, 2, tzinfo=dt.timezone.utc)):
        with pytest.raises(P06Error) as refused:
            write(value)
        assert (refused.value.code, refused.value.where["column"]) == ("P06-PULL-023", "birth_date")
