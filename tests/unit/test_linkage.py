"""Probabilistic linkage: which slips are linked, which are asked about, and who is never taken for another."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from p06.calibration import country, evaluate, train
from p06.cli import app
from p06.errors import P06Error, UsageError
from p06.linkage import Model, link, load, record_keys
from p06.linkage.engine import engine
from p06.linkage.name import MARKED, duckdb_plain_sql, plain, plain_sql, readable
from p06.settings import settings

PERSON = {
    "name": pa.string(), "birth_date": pa.date32(), "sex": pa.string(), "commune": pa.string(),
    "citizen_id": pa.int64(), "old_id": pa.string(),
}  # fmt: skip
HÙNG = ("đặng trọng hùng", date(1980, 5, 23), "M", "00004", 1_080_123_456, "012345678")
HƯNG = ("đặng trọng hưng", date(1980, 5, 23), "M", "00004", 1_080_654_321, None)  # his twin
LAN = ("bùi thị bích lan", date(1991, 3, 8), "F", "27004", 79_191_111_222, None)
DUCK = ("lương khắc đức", date(1971, 12, 7), "M", "17001", 36_071_333_444, "112233445")
NAM = ("nguyễn văn nam", date(1965, 1, 1), "M", "17002", 40_065_555_666, None)
REGISTER = (HÙNG, HƯNG, LAN, DUCK, NAM)


def table(key: str, people: Any) -> pa.Table:
    rows = [dict(zip((key, *PERSON), (at, *person), strict=True)) for at, person in enumerate(people)]
    return pa.Table.from_pylist(rows, pa.schema([(key, pa.int64()), *PERSON.items()]))


def like(person: tuple[Any, ...], **changed: Any) -> tuple[Any, ...]:
    """A record of the person without numbers, some fields changed."""
    return tuple((dict(zip(PERSON, person, strict=True)) | {"citizen_id": None, "old_id": None} | changed).values())


@pytest.fixture(scope="module")
def model() -> Model:
    return load()


def verdicts(model: Model, *records: tuple[Any, ...], register: Any = REGISTER) -> list[tuple[int, int, str]]:
    found = link(table("record", records), table("root", register), model)
    return [(row["record"], row["root"], row["verdict"]) for row in found.to_pylist()]


SLIPS: tuple[dict[str, Any], ...] = (
    {"name": "bui thi bich lan"},
    {"name": "buif thij bichs lan"},
    {"name": "bu2i thi5 bi1ch lan"},
    {"name": "bùi lan"},
    {"name": "bùi t. b. lan"},
    {"name": "lan bùi thị bích"},
    {"name": "bùi bích lan"},
    {"birth_date": date(1991, 8, 3)},
    {"birth_date": date(1991, 3, 9)},
    {"birth_date": date(1991, 1, 1)},
    {"sex": "U"},
    {"sex": "M"},
    {"commune": "00004", "citizen_id": 79_191_111_223},
    {"commune": None, "citizen_id": 79_191_112_122},
    {"commune": None, "name": "bui thi bich lan", "citizen_id": 79_191_111_292},
    {"name": "bùi thị bích lam", "citizen_id": 79_191_111_221},
)


@pytest.fixture(scope="module")
def candidates(model: Model) -> dict[int, list[int]]:
    """Slip -> the citizens a record of Lan with it is linked to or asked about."""
    found: dict[int, list[int]] = {}
    for record, root, _ in verdicts(model, *(like(LAN, **slip) for slip in SLIPS)):
        found.setdefault(record, []).append(root)
    return found


@pytest.mark.parametrize("slip", range(len(SLIPS)), ids=lambda slip: str(SLIPS[slip]))
def test_a_slip_is_linked_or_asked_about_and_leads_to_nobody_else(candidates: dict[int, list[int]], slip: int) -> None:
    assert candidates[slip] == [2]


def test_one_slip_with_everything_else_agreeing_is_linked(model: Model) -> None:
    slips = ({"name": "luong khac duc"}, {"citizen_id": 36_071_333_445}, {"old_id": "112233454"})
    found = verdicts(model, *(like(DUCK, **slip) for slip in slips))
    assert found == [(0, 3, "link"), (1, 3, "link"), (2, 3, "link")]


def test_a_twin_is_not_taken_for_the_other(model: Model) -> None:
    own, other = verdicts(model, like(HÙNG), like(HƯNG))
    assert (own, other) == ((0, 0, "link"), (1, 1, "link"))


def test_a_record_that_fits_both_twins_is_asked_about_with_both(model: Model) -> None:
    assert verdicts(model, like(HÙNG, name="dang trong hung")) == [(0, 0, "ask"), (0, 1, "ask")]


def test_a_twin_whom_the_register_lacks_is_not_linked_to_the_other(model: Model) -> None:
    assert all(verdict == "ask" for *_, verdict in verdicts(model, like(HƯNG), register=(HÙNG, LAN, DUCK)))
    stated = like(HƯNG, citizen_id=1_080_654_321)
    assert all(verdict == "ask" for *_, verdict in verdicts(model, stated, register=(HÙNG, LAN, DUCK)))


def test_a_frequent_name_and_a_birth_date_do_not_suffice(model: Model) -> None:
    register = (NAM, (*like(NAM, commune="00004")[:4], 1_065_777_888, None))
    assert all(verdict == "ask" for *_, verdict in verdicts(model, like(NAM, commune=None), register=register))
    assert all(verdict == "ask" for *_, verdict in verdicts(model, like(NAM, commune=None), register=(NAM,)))


def test_a_stranger_leads_to_nobody(model: Model) -> None:
    assert verdicts(model, ("tạ quỳnh mai", date(2003, 9, 14), "F", "00004", None, None)) == []


def test_no_more_than_five_citizens_are_asked_about(model: Model) -> None:
    born = [like(LAN, name=f"bùi thị bích {given}") for given in ("lan", "lân", "làn", "lạn", "lán", "lãn", "lản")]
    found = link(table("record", [like(LAN, name="bui thi bich lan")]), table("root", born), model)
    assert found["verdict"].to_pylist() == ["ask"] * 5


def test_rows_in_any_order_and_any_number_of_threads_give_the_same_links(model: Model) -> None:
    nation = country.found(2000, 11)
    register = nation.register()
    from p06.calibration.slip import type_records

    records = type_records(nation, 11).table
    expected = link(records, register, model, threads=1)
    backwards = link(
        records.take(pa.array(range(len(records) - 1, -1, -1))),
        register.take(pa.array(range(len(register) - 1, -1, -1))),
        model,
        threads=2,
    )
    assert backwards.equals(expected)
    assert len(expected) > 1500
    assert max(expected["weight"].to_pylist()) < 1
    links = [row for row in expected.to_pylist() if row["verdict"] == "link"]
    assert len({row["record"] for row in links}) == len(links)
    asked = {row["record"] for row in expected.to_pylist() if row["verdict"] == "ask"}
    assert not asked & {row["record"] for row in links}


def test_a_higher_threshold_links_less_and_asks_more(model: Model) -> None:
    record = like(LAN, name="bùi lan")
    weight = link(table("record", [record]), table("root", REGISTER), model)["weight"][0].as_py()
    assert verdicts(replace(model, link_at=max(weight, 0.5), ask_at=0.01), record) == [(0, 2, "link")]
    assert verdicts(replace(model, link_at=0.99995, ask_at=0.01), record) == [(0, 2, "ask")]
    assert verdicts(replace(model, link_at=0.99995, ask_at=0.99992), record) == []


def test_a_record_shares_a_blocking_key_with_the_citizen_it_is_linked_to(model: Model) -> None:
    keys = record_keys(table("record", [like(LAN, name="buif thij bichs lan")]))["key"].to_pylist()
    assert "a|lan|1991|3|8" in keys
    assert "a|lan|1991|8|3" in keys
    assert "b|bui thi bich lan|1991" in keys


def test_names_lose_their_marks_alike_everywhere() -> None:
    name = "đặng thị ngọc ánh ŭ êban d'or n.v. " + " ".join(MARKED)
    with engine() as connection:
        found = connection.execute(
            f"select {plain_sql('name')}, {duckdb_plain_sql('name')} from (select ? as name)", [name]
        ).fetchall()
    assert found == [(plain(name), plain(name))]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("nguyeenx vawn dduwcs", "nguyen van duc"),
        ("nguye64n va8n d9u7c1", "nguyen van duc"),
        ("nguyễn văn đức", "nguyễn văn đức"),
        ("tran thi nhu quynh", "tran thi nhu quynh"),
        ("n.v. hùng", "n v hùng"),
    ],
)
def test_raw_keys_are_read_as_the_name_they_meant(typed: str, meant: str) -> None:
    assert readable(typed) == meant


def test_the_shipped_model_is_reviewed_before_it_counts(model: Model) -> None:
    assert not model.enabled
    assert 0 < model.ask_at < model.link_at < 1
    evaluated = model.about["evaluation"]
    assert {trial["crowd"] for trial in evaluated} == set(country.CROWDS)
    assert all(trial["linkage"]["precision"] >= 0.999 for trial in evaluated)


def test_a_model_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(P06Error, match="P06-LINK-001"):
        load(tmp_path / "model.json")
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(P06Error, match="P06-LINK-001"):
        load(tmp_path / "model.json")
    stated = orjson.loads((settings().linkage / "model.json").read_bytes())
    for wrong in ({"link_at": 1.5}, {"ask_at": 0.99}, {"enabled": "yes"}, {"evidence": {}}, {"population": 0}):
        (tmp_path / "model.json").write_bytes(orjson.dumps(stated | wrong))
        with pytest.raises(P06Error, match="P06-LINK-002"):
            load(tmp_path / "model.json")


def test_tables_of_another_shape_are_refused_without_a_value(model: Model) -> None:
    records, citizens = table("record", [LAN]), table("root", REGISTER)
    with pytest.raises(P06Error, match="P06-LINK-003"):
        link(records.drop_columns(["sex"]), citizens, model)
    with pytest.raises(P06Error, match="P06-LINK-004"):
        link(pa.concat_tables([records, records]), citizens, model)
    with pytest.raises(P06Error, match="P06-LINK-003") as refused:
        link(records.set_column(5, "citizen_id", pa.array(["twelve"])), citizens, model)
    assert "twelve" not in str(refused.value)


def test_the_engine_reaches_neither_network_nor_disk(tmp_path: Path) -> None:
    import duckdb

    with engine() as connection:
        for command in (
            "install httpfs",
            "load httpfs",
            "set autoinstall_known_extensions = true",
            "select * from 'https://example.org/a.parquet'",
            f"copy (select 1) to '{tmp_path / 'a.csv'}'",
            f"select * from read_csv('{__file__}')",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(command)
        assert connection.execute("select current_setting('temp_directory')").fetchall() == [("",)]


def test_linking_leaves_nothing_on_disk_and_says_nothing(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    verdicts(model, like(LAN))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_memory_that_does_not_suffice_is_an_error_with_a_code(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P06_LINKAGE_MEMORY", "2MB")
    with pytest.raises(P06Error, match="P06-LINK-006"):
        link(table("record", [like(LAN)] * 1), table("root", [LAN] * 20_000), model)


def test_the_same_seed_trains_the_same_file() -> None:
    first = train(1500, 3, tried=False)
    assert train(1500, 3, tried=False) == first
    stated = orjson.loads(first)
    assert stated["enabled"] is False
    assert stated["names"]["family"]["M"]["nguyễn"] > 0.25


def test_an_evaluation_counts_every_record_once(model: Model) -> None:
    found = evaluate(model, 2000, 5)
    for score in found.scores:
        assert score.right + score.wrong == score.matched
    assert found.scores[-1].recall > found.scores[-2].recall
    with pytest.raises(UsageError, match="P06-LINK-005"):
        evaluate(model, 10, 5)
    with pytest.raises(UsageError, match="P06-LINK-007"):
        evaluate(model, 2000, 5, "street")


def test_the_commands_print_the_model_and_what_it_finds() -> None:
    run = CliRunner().invoke
    shown = run(app, ["linkage", "show", "--json"])
    assert shown.exit_code == 0
    assert orjson.loads(shown.stdout)["enabled"] is False
    tried = run(app, ["linkage", "evaluate", "--citizens", "1000", "--seed", "2", "--json"])
    assert tried.exit_code == 0
    assert {score["method"] for score in orjson.loads(tried.stdout)["scores"]} >= {
        "id",
        "cascade",
        "cascade and linkage",
    }
