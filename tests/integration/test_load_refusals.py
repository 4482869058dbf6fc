"""What a delivery is refused for: every mismatch named by code, never a value, and nothing of it kept."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from p06 import landing, load
from p06 import manifest as manifests
from p06.errors import P06Error, Refused
from p06.intake import Intake
from p06.landing import Delivery
from p06.period import Period
from tests.sender import Sender, header, line, visits

CANARY = "079201012345"


def refused(delivery: Delivery) -> list[P06Error]:
    """The mismatches a delivery is refused for."""
    with pytest.raises(Refused) as raised:
        load.stage(delivery)
    assert raised.value.exit_code == 4
    assert CANARY not in str(raised.value) + "".join(map(str, raised.value.mismatches))
    return list(raised.value.mismatches) or [raised.value]


def codes(delivery: Delivery) -> list[str]:
    return sorted(error.code for error in refused(delivery))


def file(**changed: Any) -> Callable[[dict[str, Any]], None]:
    """A manifest whose first file is stated otherwise."""
    return lambda manifest: manifest["files"][0].update(changed)


MANIFESTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "version": (lambda m: m.update(manifest_version=2), "P06-LOAD-005"),
    "source_elsewhere": (lambda m: m.update(source="bank_kyc"), "P06-LOAD-009"),
    "period_elsewhere": (lambda m: m.update(period="2024-02"), "P06-LOAD-009"),
    "period_malformed": (lambda m: m.update(period="2024-13"), "P06-LOAD-007"),
    "revision_zero": (lambda m: m.update(revision=0), "P06-LOAD-010"),
    "revision_text": (lambda m: m.update(revision="1"), "P06-LOAD-010"),
    "produced_at": (lambda m: m.update(produced_at="2024-02-03T08:15:00"), "P06-LOAD-004"),
    "admin_code_version": (lambda m: m.update(admin_code_version="2025-02-30"), "P06-LOAD-004"),
    "no_format": (lambda m: m.pop("format"), "P06-LOAD-004"),
    "kind_unknown": (lambda m: m["format"].update(kind="pdf"), "P06-LOAD-004"),
    "delimiter": (lambda m: m["format"].update(delimiter="1"), "P06-LOAD-024"),
    "quote_is_delimiter": (lambda m: m["format"].update(quote=","), "P06-LOAD-024"),
    "path_in_name": (file(name="../first/part-0001.csv"), "P06-LOAD-011"),
    "absolute_name": (file(name="/etc/passwd"), "P06-LOAD-011"),
    "bytes": (file(bytes=1), "P06-LOAD-014"),
    "checksum": (file(sha256="0" * 64), "P06-LOAD-015"),
    "rows_too_many": (file(rows=3), "P06-LOAD-016"),
    "rows_too_few": (file(rows=1), "P06-LOAD-016"),
    "rows_negative": (file(rows=-1), "P06-LOAD-004"),
    "rows_zero": (file(rows=0), "P06-LOAD-018"),
    "missing_file": (lambda m: m["files"].append(m["files"][0] | {"name": "part-0002.csv"}), "P06-LOAD-012"),
    "same_file_twice": (lambda m: m["files"].append(dict(m["files"][0])), "P06-LOAD-011"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that_does_not_fit_is_refused(sender: Sender, sees: psycopg.Connection[Any], case: str) -> None:
    change, code = MANIFESTS[case]
    found = codes(sender.rows(visits(2), change=change))
    assert code in found
    assert sees.execute("select state, mismatches->0->>'code' is not null from control.load_attempt").fetchall() == [
        ("refused", True)
    ]
    assert sees.execute("select count(*) from control.extract").fetchone() == (0,)


def test_every_mismatch_is_named_not_only_the_first(sender: Sender) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["revision"] = 0
        manifest["files"][0]["bytes"] += 1
        manifest["files"].append({"name": "absent.csv", "bytes": 1, "sha256": "0" * 64, "rows": 1})

    delivery = sender.rows(visits(2), change=change)
    (delivery.folder / "extra.csv").write_text("x")
    assert codes(delivery) == ["P06-LOAD-010", "P06-LOAD-012", "P06-LOAD-013", "P06-LOAD-014"]


def test_an_empty_delivery_is_refused(sender: Sender) -> None:
    assert codes(sender.send([])) == ["P06-LOAD-017"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff\xfe", b"[" * 100_000])
def test_an_unreadable_manifest_is_refused(sender: Sender, text: bytes) -> None:
    delivery = sender.rows(visits(1))
    (delivery.folder / "manifest.json").write_bytes(text)
    assert codes(delivery) == ["P06-LOAD-003"]


def test_a_delivery_without_manifest_waits_and_is_reported(sender: Sender) -> None:
    delivery = sender.rows(visits(1))
    (delivery.folder / "manifest.json").rename(delivery.folder.parent / "kept.json")
    assert load.pending() == []
    assert load.unfinished() == [delivery]
    [result] = load.load()
    assert (result.outcome, result.error and result.error.code) == ("unfinished", "P06-LOAD-002")
    (delivery.folder.parent / "kept.json").rename(delivery.folder / "manifest.json")
    assert [one.place for one in load.pending()] == ["health_visit/2024-01/first"]


def test_an_unknown_source_is_refused(sender: Sender) -> None:
    delivery = sender.rows(visits(1))
    target = sender.landing / "tax_return" / "2024-01" / "first"
    target.parent.mkdir(parents=True)
    delivery.folder.rename(target)
    assert codes(Delivery("tax_return", "2024-01", "first", target)) == ["P06-LOAD-006", "P06-LOAD-009"]
    assert [result.outcome for result in load.load()] == []


@pytest.mark.parametrize(("period", "code"), [("2024-1", "P06-LOAD-007"), ("202401", "P06-LOAD-007")])
def test_a_malformed_period_is_refused(sender: Sender, period: str, code: str) -> None:
    assert code in codes(sender.rows(visits(1), period=period))


def test_a_future_period_is_refused_and_tried_again_later(sender: Sender) -> None:
    delivery = sender.rows(visits(1), period=str(Period.current().shift(1)))
    assert codes(delivery) == ["P06-LOAD-008"]
    assert load.pending() == [delivery]


def test_links_folders_and_hidden_files_are_refused(sender: Sender) -> None:
    delivery = sender.rows(visits(1))
    part = delivery.folder / "part-0001.csv"
    part.rename(delivery.folder.parent / "elsewhere.csv")
    part.symlink_to(delivery.folder.parent / "elsewhere.csv")
    (delivery.folder / "inner").mkdir()
    (delivery.folder / ".hidden").write_text("x")
    assert codes(delivery) == ["P06-LOAD-011", "P06-LOAD-011", "P06-LOAD-013"]


HEADERS: dict[str, tuple[Callable[[str], str], list[str]]] = {
    "missing": (lambda h: h.replace("sex,", ""), ["P06-LOAD-025"]),
    "added": (lambda h: h + ",note", ["P06-LOAD-026"]),
    "renamed": (lambda h: h.replace("full_name", "name"), ["P06-LOAD-027"]),
    "duplicated": (lambda h: h + ",sex", ["P06-LOAD-028"]),
    "several": (lambda h: h.replace("sex,", "").replace("full_name", "name") + ",sexe", ["P06-LOAD-025", "P06-LOAD-026", "P06-LOAD-027"]),
    "other_delimiter": (lambda h: h.replace(",", ";"), ["P06-LOAD-029"]),
    "case": (lambda h: h.replace("full_name", "FULL_NAME"), ["P06-LOAD-027"]),
    "padded": (lambda h: h.replace("full_name", " full_name"), ["P06-LOAD-027"]),
    "none": (lambda h: line(citizen_id=CANARY), ["P06-LOAD-029"]),
    "unclosed": (lambda h: '"' + h, ["P06-LOAD-029"]),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_is_not_the_contracts_is_refused(sender: Sender, case: str) -> None:
    change, expected = HEADERS[case]
    text = "\n".join([change(header()), *visits(2)]) + "\n"
    assert codes(sender.send([text])) == expected


def test_a_header_in_the_second_file_is_checked_too(sender: Sender) -> None:
    good = "\n".join([header(), *visits(1)]) + "\n"
    bad = "\n".join([header().replace("sex", "gender"), *visits(1, 2)]) + "\n"
    [mismatch] = refused(sender.send([good, bad]))
    assert (mismatch.code, mismatch.where["column"], mismatch.where["file"]) == ("P06-LOAD-027", "sex", 2)


def test_of_an_unknown_header_the_shape_alone_is_printed(sender: Sender) -> None:
    [mismatch] = refused(sender.send([f"{header()},{CANARY}\n{line()},x\n"]))
    assert (mismatch.code, mismatch.where["column"], mismatch.where["position"]) == ("P06-LOAD-026", "9" * 12, 16)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda packed: packed[:-10], "P06-LOAD-019"),
        (lambda packed: packed[: len(packed) // 2], "P06-LOAD-019"),
        (lambda packed: packed + b"garbage", "P06-LOAD-019"),
        (lambda packed: packed[:-6] + b"\0\0" + packed[-4:], "P06-LOAD-019"),
        (lambda packed: b"", "P06-LOAD-019"),
        (lambda packed: b"plain text", "P06-LOAD-019"),
    ],
)
def test_a_damaged_gzip_file_is_refused(sender: Sender, damage: Callable[[bytes], bytes], code: str) -> None:
    packed = gzip.compress(("\n".join([header(), *visits(3000)]) + "\n").encode())
    assert code in codes(sender.send([damage(packed)], rows=[3000], format={"compression": "gzip"}))


def test_a_decompression_bomb_is_refused(sender: Sender) -> None:
    bomb = gzip.compress((header() + "\n").encode() + (b"x" * 99_999 + b"\n") * 1000, 9)
    assert codes(sender.send([bomb], rows=[1000], format={"compression": "gzip"})) == ["P06-LOAD-020"]


def test_an_endless_line_is_refused(sender: Sender) -> None:
    text = f"{header()}\n{line()}\n{line(full_name='x' * (3 << 20))}\n"
    assert codes(sender.send([text])) == ["P06-LOAD-031"]


def test_a_refused_delivery_is_not_tried_again_until_its_bytes_change(sender: Sender) -> None:
    delivery = sender.rows(visits(2), change=file(rows=5))
    assert [(one.outcome, one.error and one.error.code) for one in load.load()] == [("refused", "P06-LOAD-001")]
    assert load.load() == []
    manifest = json.loads((delivery.folder / "manifest.json").read_bytes())
    manifest["files"][0]["rows"] = 2
    (delivery.folder / "manifest.json").write_text(json.dumps(manifest))
    assert [one.outcome for one in load.load()] == ["accepted"]


def test_a_refused_delivery_is_tried_again_when_its_file_is_mended_in_the_same_size(sender: Sender) -> None:
    delivery = sender.rows(visits(2))
    path = delivery.folder / "part-0001.csv"
    right = path.read_bytes()
    path.write_bytes(right.replace(b"V1", b"V9"))
    assert [result.outcome for result in load.load()] == ["refused"]
    path.write_bytes(right)
    assert [result.outcome for result in load.load()] == ["accepted"]


@pytest.mark.parametrize("swap", ["before the rows", "after the rows"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_file_replaced_while_it_is_read_is_refused(sender: Sender, swap: str, compression: str) -> None:
    rows = [*visits(2), *visits(2)]
    delivery = sender.rows(rows, format={"compression": compression})
    contract, manifest = manifests.read(delivery)
    [path] = delivery.folder.glob("part-*")
    with Intake(contract, manifest, delivery.folder) as intake:
        assert intake.check_headers() == []
        if swap == "after the rows":
            assert sum(batch.rows for batch in intake.batches()) == 4
        copy = delivery.folder / "copy"
        copy.write_bytes(path.read_bytes())
        copy.rename(path)
        with pytest.raises(Refused) as raised:
            list(intake.batches()) if swap == "before the rows" else intake.duplicates()
        assert [one.code for one in raised.value.mismatches] == ["P06-LOAD-015"]
        with pytest.raises(Refused):
            intake.check_unchanged()


def test_a_file_taken_away_while_it_is_read_is_refused(sender: Sender) -> None:
    delivery = sender.rows(visits(2))
    contract, manifest = manifests.read(delivery)
    (delivery.folder / "part-0001.csv").unlink()
    with Intake(contract, manifest, delivery.folder) as intake:
        assert [one.code for one in intake.check_headers()] == ["P06-LOAD-015"]


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(sender: Sender) -> None:
    delivery = sender.rows(visits(2))
    contract, manifest = manifests.read(delivery)
    path = delivery.folder / "part-0001.csv"
    path.unlink()
    os.mkfifo(path)
    with Intake(contract, manifest, delivery.folder) as intake:
        assert [one.code for one in intake.verify()] == ["P06-LOAD-011"]


@pytest.mark.parametrize("name", [b"\xff\xfe", CANARY.encode()])
def test_the_name_of_a_folder_is_neither_a_hindrance_nor_kept(
    sender: Sender, sees: psycopg.Connection[Any], name: bytes
) -> None:
    delivery = sender.rows(visits(2))
    delivery.folder.rename(delivery.folder.with_name(os.fsdecode(name)))
    odd = name != CANARY.encode()
    assert [result.outcome for result in load.load()] == ["refused" if odd else "accepted"]
    assert load.load() == []
    [(kept, codes_)] = sees.execute("select delivery, mismatches from control.load_attempt").fetchall()
    assert kept.startswith("health_visit/2024-01/…~")
    assert CANARY not in kept
    assert [one["code"] for one in codes_] == (["P06-LOAD-011"] if odd else [])


@pytest.mark.parametrize("level", ["delivery", "period", "source"])
def test_a_folder_that_cannot_be_read_stops_no_other(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    sender.rows([line("population_register")], "population_register")
    bad = sender.rows(visits(2)).folder
    closed = {"delivery": bad, "period": bad.parent, "source": bad.parent.parent}[level]
    listing = Path.iterdir

    def forbidden(folder: Path) -> Iterator[Path]:
        if folder == closed:
            raise PermissionError(13, "not for you")
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", forbidden)
    results = {result.source: (result.outcome, result.error) for result in load.load()}
    assert results["population_register"] == ("accepted", None)
    outcome, error = results["health_visit"]
    assert (outcome, error and error.code) == ("failed", "P06-LOAD-043")


def test_a_folder_taken_away_while_landing_is_listed_stops_no_other(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = sender.rows(visits(2))
    sender.rows(visits(2), period="2024-02")
    listing = landing.deliveries

    def then_gone(*asked: str | None) -> list[Delivery]:
        found = listing(*asked)
        shutil.rmtree(gone.folder, ignore_errors=True)
        return found

    monkeypatch.setattr(landing, "deliveries", then_gone)
    assert [(result.period, result.outcome) for result in load.load()] == [("2024-02", "accepted")]


def test_a_refusal_never_stops_the_other_deliveries(sender: Sender) -> None:
    sender.rows(visits(2), change=file(rows=5), name="bad")
    sender.rows(visits(3), period="2024-02", name="good")
    results = load.load()
    assert [one.outcome for one in results] == ["refused", "accepted"]
    assert load.exit_code(results) == 4
    assert load.load() == []


def test_refusals_leave_no_leaf_behind(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    refused(sender.rows(visits(2), change=file(sha256="0" * 64)))
    assert sees.execute("select count(*) from pg_class where relname like 'health\\_visit\\_\\_%'").fetchone() == (0,)
