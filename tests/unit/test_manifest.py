"""Manifests: what is part of a delivery's identity, and what may stand in a message."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.sender import Sender, visits

from p06 import manifest
from p06.errors import Refused, messages
from p06.landing import Delivery
from p06.manifest import Manifest


@pytest.fixture
def desk(tmp_path: Path) -> Sender:
    return Sender(tmp_path)


def read(delivery: Delivery) -> Manifest:
    return manifest.read(delivery)[1]


def test_the_content_hash_ignores_folder_names_order_and_revision(desk: Sender) -> None:
    files = ["\n".join(visits(2)), "\n".join(visits(3))]
    first = read(desk.send(files, name="a"))
    second = read(desk.send(files[::-1], name="b", revision=7, produced_at="2024-03-01T00:00:00Z"))
    assert first.content_hash == second.content_hash
    assert first.extract_id == f"health_visit-202401-r1-{first.content_hash[:12]}"
    assert second.extract_id == f"health_visit-202401-r7-{first.content_hash[:12]}"


@pytest.mark.parametrize(
    "stated", [{"admin_code_version": "2025-07-01"}, {"format": {"delimiter": ";"}}, {"format": {"header": False}}]
)
def test_the_content_hash_covers_what_changes_the_meaning(desk: Sender, stated: dict[str, Any]) -> None:
    files = ["\n".join(visits(2))]
    assert read(desk.send(files, name="a")).content_hash != read(desk.send(files, name="b", **stated)).content_hash


def test_the_period_is_part_of_the_content(desk: Sender) -> None:
    files = ["\n".join(visits(2))]
    other = desk.send(files, name="a", period="2024-02")
    assert read(desk.send(files, name="a")).content_hash != read(other).content_hash


@pytest.mark.parametrize("name", ["../x.csv", "/x.csv", "a/b.csv", "a\\b.csv", "..", ".x", "", "x\n.csv", 7, None])
def test_unsafe_file_names_are_refused_and_not_repeated(desk: Sender, name: Any) -> None:
    delivery = desk.send(["\n".join(visits(2))], change=lambda m: m["files"][0].update(name=name))
    with pytest.raises(Refused) as refused:
        manifest.read(delivery)
    assert "P06-LOAD-011" in [one.code for one in refused.value.mismatches]
    assert not any(isinstance(name, str) and len(name) > 2 and name in str(one) for one in refused.value.mismatches)


def test_names_of_files_with_spaces_and_letters_of_any_language_will_do(desk: Sender) -> None:
    delivery = desk.send(["\n".join(visits(2))], change=lambda m: m["files"][0].update(name="tháng 1.csv"))
    (delivery.folder / "part-0001.csv").rename(delivery.folder / "tháng 1.csv")
    assert read(delivery).files[0].name == "tháng 1.csv"


def test_what_could_be_a_number_of_a_person_is_hidden_in_messages(desk: Sender) -> None:
    delivery = desk.send(["x"], name="001089000123")
    assert manifest.shown(delivery) == "health_visit/2024-01/…"


def test_a_changed_byte_count_makes_a_new_state(desk: Sender) -> None:
    delivery = desk.send(["\n".join(visits(2))])
    fresh = Delivery(delivery.source, delivery.period, delivery.name, delivery.folder)
    assert delivery.state == fresh.state
    (delivery.folder / "part-0001.csv").write_text("longer or shorter")
    assert Delivery(delivery.source, delivery.period, delivery.name, delivery.folder).state != fresh.state


def test_a_data_file_written_again_in_the_same_size_makes_a_new_state(desk: Sender) -> None:
    delivery = desk.send(["\n".join(visits(2))])
    path, before = delivery.folder / "part-0001.csv", delivery.state
    path.write_bytes(path.read_bytes().replace(b"V1", b"V9"))
    os.utime(path, ns=(1, 1))
    assert Delivery(delivery.source, delivery.period, delivery.name, delivery.folder).state != before


@pytest.mark.parametrize(
    "text",
    ['"\\ud800"', '{"\\udfff": 1}', "1e999", "-1e999", "NaN", "[" * 50 + "]" * 50, "[" * 90_000 + "]" * 90_000, '"\\u0000"'],
    ids=["half_pair", "half_pair_in_a_key", "inf", "minus_inf", "nan", "deep", "very_deep", "nul"],
)  # fmt: skip
def test_a_manifest_the_ledger_could_not_hold_is_unreadable(desk: Sender, text: str) -> None:
    delivery = desk.send(["\n".join(visits(2))])
    path = delivery.folder / "manifest.json"
    path.write_text(path.read_text().replace("{", '{"more": ' + text + ",", 1))
    with pytest.raises(Refused) as refused:
        manifest.read(delivery)
    assert [one.code for one in refused.value.mismatches] == ["P06-LOAD-003"]


def test_only_the_fields_of_the_interface_are_kept(desk: Sender) -> None:
    def more(document: dict[str, Any]) -> None:
        document["contact"] = document["format"]["by"] = document["files"][0]["of"] = "001089000123"
        document["files"][0]["sha256"] = document["files"][0]["sha256"].upper()

    kept = read(desk.send(["\n".join(visits(2))], name="a", change=more)).document
    assert kept == read(desk.send(["\n".join(visits(2))], name="b")).document


def test_a_folder_that_may_hold_a_number_of_a_person_is_kept_by_its_hash(desk: Sender) -> None:
    plain, one, other = (desk.send(["x"], name=name) for name in ("first", "001089000123", "001089000124"))
    assert manifest.kept(plain) == "health_visit/2024-01/first"
    assert manifest.kept(one).startswith("health_visit/2024-01/…~")
    assert manifest.kept(one) != manifest.kept(other)


def test_every_code_and_reason_is_explained_in_both_languages() -> None:
    found = messages()
    codes = [code for code in found if code.startswith("P06-LOAD-")]
    reasons = {
        value
        for name, value in vars(__import__("p06.rules").rules).items()
        if name.isupper() and isinstance(value, str)
    }
    assert len(codes) > 35
    for code in [*codes, *(reasons - {"birth_place"})]:
        assert all(found[code][language] for language in ("en", "vi", "next_en", "next_vi")), code


def test_a_manifest_may_leave_out_what_has_a_default(desk: Sender) -> None:
    def bare(document: dict[str, Any]) -> None:
        document["format"] = {"kind": "csv", "encoding": "utf-8"}

    delivery = desk.send(["\n".join(visits(2))], change=bare)
    form = read(delivery).format
    assert (form.compression, form.dialect.delimiter, form.dialect.quote, form.header) == ("none", b",", b'"', True)
    assert json.loads((delivery.folder / "manifest.json").read_bytes())["format"] == {
        "kind": "csv",
        "encoding": "utf-8",
    }


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "xlsx"])
def test_every_kind_of_file_is_taken(desk: Sender, kind: str) -> None:
    assert read(desk.send(["x"], rows=[1], format={"kind": kind})).format.kind == kind


def test_the_sheet_of_a_workbook_is_part_of_its_content_when_it_is_named(desk: Sender) -> None:
    first, second, third = (
        read(desk.send(["x"], name=name, rows=[1], format={"kind": "xlsx", **form}))
        for name, form in (("a", {}), ("b", {"sheet": "Dữ liệu"}), ("c", {"sheet": "Khác"}))
    )
    assert [one.format.sheet for one in (first, second, third)] == [None, "Dữ liệu", "Khác"]
    assert len({one.content_hash for one in (first, second, third)}) == 3


@pytest.mark.parametrize("form", [{"sheet": ""}, {"sheet": 1}, {"sheet": "x" * 32}, {"sheet": "x", "kind": "csv"}])
def test_a_sheet_that_cannot_be_is_refused(desk: Sender, form: dict[str, Any]) -> None:
    delivery = desk.send(["x"], rows=[1], format={"kind": "xlsx", **form})
    with pytest.raises(Refused) as refused:
        manifest.read(delivery)
    assert [one.where for one in refused.value.mismatches if one.code == "P06-LOAD-004"] == [{"field": "format.sheet"}]


@pytest.mark.parametrize("code", "\x02\x05\x06\x14\x19\x1e")
@pytest.mark.parametrize("field", ["delimiter", "quote"])
def test_a_letter_of_viscii_separates_nothing(tmp_path: Path, field: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        manifest.read(Sender(tmp_path).rows(visits(1), format={"encoding": "viscii", field: code}))
    assert [(one.code, one.where) for one in refused.value.mismatches] == [("P06-LOAD-024", {"field": field})]
    assert manifest.read(Sender(tmp_path).rows(visits(1), name="other", format={field: code}))
