"""The synthetic country: the same bytes again, and truth that an independent reading of the files confirms.

The reading below knows nothing of the generator: it takes files apart line by line as the interfaces describe and
judges values with the standard library and the contracts.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pytest

from p06 import codelist, contract
from p06.contract import Column, Contract
from p06.errors import UsageError
from p06.period import Period, parse_range
from p06.synth import SOURCES, correction, generate

CITIZENS = 3000
PERIODS = parse_range("2025-05..2025-07")  # over the reform
SEED = 11
PROMISED = sorted(set(contract.load_all()) - set(SOURCES))  # nobody wrote a generator for them


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("country")
    generate(out, CITIZENS, PERIODS, SEED)
    return out


@pytest.fixture(scope="module")
def promised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("promised")
    generate(out, CITIZENS, PERIODS[1:], SEED, sources=PROMISED)
    return out


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def deliveries(out: Path) -> list[Path]:
    return sorted(path.parent for path in (out / "landing").rglob("manifest.json"))


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


# --- an independent reading -----------------------------------------------------------------------------------------


def split(line: str) -> list[str] | None:
    """The fields of a record; None when a quote is open at its end."""
    fields, at = [], 0
    while True:
        if line[at : at + 1] == '"':
            close = at + 1
            while True:
                close = line.find('"', close)
                if close < 0:
                    return None
                if line[close + 1 : close + 2] != '"':
                    break
                close += 2
            if line[close + 1 : close + 2] not in ("", ","):
                return None
            fields.append(line[at + 1 : close].replace('""', '"'))
            at = close + 1
        else:
            comma = line.find(",", at)
            comma = len(line) if comma < 0 else comma
            fields.append(line[at:comma])
            at = comma
        if at >= len(line):
            return fields
        at += 1


def records(data: bytes, width: int) -> Iterator[tuple[int, bytes, list[str] | str]]:
    """Line number, raw text and fields (or the reason why there are none) of each record after the header."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert lines.pop() == b""
    lines = [line.removesuffix(b"\r") for line in lines]
    at = 1
    while at < len(lines):
        start, raw = at, lines[at]
        text = raw.decode("utf-8", "replace")
        fields = split(text)
        if fields is None:
            for more in range(at + 1, min(at + 4, len(lines))):
                if len(lines[more].split(b",")) == width:
                    break
                joined = split(b"\n".join(lines[at : more + 1]).decode("utf-8", "replace"))
                if joined is not None and len(joined) == width:
                    fields, raw, at = joined, b"\n".join(lines[at : more + 1]), more
                    break
        at += 1
        if b"\0" in raw:
            yield start + 1, raw, "nul_byte"
        elif "�" in text:
            yield start + 1, raw, "encoding"
        elif fields is None:
            yield start + 1, raw, "quote_unclosed"
        elif any('"' in field for field in fields):
            yield start + 1, raw, "quote_stray"
        elif len(fields) != width:
            yield start + 1, raw, "width"
        else:
            yield start + 1, raw, fields


PLACES = {row.code for row in codelist.load("birth_place").entries}


def judge(column: Column, value: str, period: Period, version: date) -> str | None:
    """The reason a value cannot be trusted."""
    if not value:
        return "required_missing" if column.required else None
    if column.kind == "date":
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return "type_date"
        try:
            when = date.fromisoformat(value)
        except ValueError:
            return "type_date"
        return "future_date" if column.not_after_period and when > period.as_of() else None
    if column.kind == "timestamp":
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", value):
            return "type_timestamp"
        return None if datetime.fromisoformat(value).tzinfo else "type_timestamp"
    if column.kind in ("numeric", "integer"):
        shape = r"-?\d+(\.\d+)?" if column.kind == "numeric" else r"-?\d+"
        if not re.fullmatch(shape, value):
            return f"type_{column.kind}"
        number = Decimal(value)
        low = column.minimum is not None and (
            number <= column.minimum if column.minimum_exclusive else number < column.minimum
        )
        return "out_of_range" if low or (column.maximum is not None and number > column.maximum) else None
    if column.kind == "id12":
        if re.fullmatch(r"\d{10,11}|\d\.\d+E\+\d+", value):
            return "lost_leading_zero"
        year = 1900 + int(value[3]) // 2 * 100 + int(value[4:6])
        sound = re.fullmatch(r"\d{12}", value) and value[:3] in PLACES and year <= period.year
        return None if sound else "id_structure"
    if column.values:
        return None if value in column.values else "unknown_code"
    if column.codelist == codelist.COMMUNE:
        return None if value in codelist.commune_codes(version)[0] else "unknown_code"
    if column.codelist:
        return None if value in codelist.load(column.codelist).codes(version) else "unknown_code"
    if column.length and len(value) != column.length:
        return "wrong_length"
    if len(value) > column.max_length:
        return "too_long"
    return None if column.pattern is None or re.fullmatch(column.pattern, value) else "pattern"


def reading(folder: Path, terms: Contract) -> tuple[int, dict[tuple[str, int], str], int]:
    """Rows counted, reason of each bad row by file and line, exact duplicates."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    period, version = Period.parse(manifest["period"]), date.fromisoformat(manifest["admin_code_version"])
    names = [column.name for column in terms.columns]
    bad: dict[tuple[str, int], str] = {}
    keys: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    seen: set[bytes] = set()
    rows = duplicates = 0
    for file in manifest["files"]:
        for line, raw, fields in records(unpacked(folder / file["name"]), len(names)):
            rows += 1
            place = file["name"], line
            if isinstance(fields, str):
                bad[place] = fields
                continue
            if raw in seen:
                duplicates += 1
                continue
            seen.add(raw)
            pairs = zip(terms.columns, fields, strict=True)
            reasons = {reason for column, value in pairs if (reason := judge(column, value, period, version))}
            row = dict(zip(names, fields, strict=True))
            for rule in terms.rules:
                try:
                    if Decimal(row[rule.left]) != sum(Decimal(row[name]) for name in rule.right) and not reasons:
                        reasons.add("cross_field")
                except InvalidOperation:
                    assert reasons
            if reasons:
                assert len(reasons) == 1, (place, reasons)
                bad[place] = reasons.pop()
            else:
                keys.setdefault(tuple(row[name] for name in terms.key), []).append(place)
    bad |= {place: "key_conflict" for places in keys.values() if len(places) > 1 for place in places}
    return rows, bad, duplicates


def truth(out: Path, source: str, name: str) -> list[dict[str, str]]:
    text = gzip.decompress((out / "truth" / source / f"{name}.csv.gz").read_bytes()).decode()
    return list(csv.DictReader(text.splitlines()))


# --- claims ---------------------------------------------------------------------------------------------------------


def test_the_same_arguments_give_the_same_bytes(country: Path, tmp_path: Path) -> None:
    generate(tmp_path, CITIZENS, PERIODS, SEED)
    assert content(tmp_path) == content(country)


def test_a_longer_range_leaves_the_earlier_periods_as_they_are(country: Path, tmp_path: Path) -> None:
    generate(tmp_path, CITIZENS, PERIODS[:2], SEED)
    shorter = content(tmp_path)
    shorter.pop("truth/summary.json")
    longer = content(country)
    assert shorter and all(longer[name] == digest for name, digest in shorter.items())


def test_another_seed_gives_other_people(country: Path, tmp_path: Path) -> None:
    generate(tmp_path, CITIZENS, PERIODS[:1], SEED + 1)
    assert not set(content(tmp_path / "landing").values()) & set(content(country / "landing").values())


def test_every_source_delivers_every_period_and_the_manifest_is_true(country: Path) -> None:
    found = deliveries(country)
    assert {path.parent.parent.name for path in found} == set(SOURCES)
    assert len(found) == len(SOURCES) * len(PERIODS)
    for folder in found:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        assert (manifest["source"], manifest["period"]) == (folder.parent.parent.name, folder.parent.name)
        before = manifest["period"] < "2025-07"
        assert manifest["admin_code_version"] == ("2025-03-01" if before else "2025-07-01")
        assert {file["name"] for file in manifest["files"]} == {p.name for p in folder.iterdir()} - {"manifest.json"}
        for file in manifest["files"]:
            data = (folder / file["name"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
            terms = contract.load(manifest["source"])
            text = unpacked(folder / file["name"])
            assert sum(1 for _ in records(text, len(terms.columns))) == file["rows"]
            header = text.split(b"\n", 1)[0].removeprefix(b"\xef\xbb\xbf").decode().strip().split(",")
            assert header == [column.physical_name for column in terms.columns]


@pytest.mark.parametrize("source", SOURCES)
def test_an_independent_reading_finds_exactly_the_injected_defects(country: Path, source: str) -> None:
    found_as_told(country, source, PERIODS)


@pytest.mark.parametrize("source", PROMISED)
def test_what_a_contract_promises_is_delivered_with_exactly_the_injected_defects(promised: Path, source: str) -> None:
    found_as_told(promised, source, PERIODS[1:])


def test_a_state_changes_by_what_comes_to_be(promised: Path) -> None:
    before, after = ({row["account_no"]: row for row in people(promised, "eid_account", at)} for at in PERIODS[1:])
    both = before.keys() & after.keys()
    assert len(both) > 0.9 * len(before) and len(after) > len(before)
    words = ("level", "registered_on", "account_status", "updated_at")
    same = sum(all(before[key][word] == after[key][word] for word in words) for key in both)
    assert same > 0.95 * len(both)


def test_what_the_fourteenth_ends_is_delivered_by_it(promised: Path) -> None:
    days = [row["given_on"] for row in people(promised, "citizen_feedback", PERIODS[2]) if row["given_on"][:3] == "202"]
    assert min(days) >= "2025-06-15" and max(days) <= "2025-07-14"


def test_a_hint_that_makes_no_sense_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = contract.load("cadre")
    column = replace(known.column("cadre_kind"), synthetic={"shares": {"king": 1}})
    spoilt, load = replace(known, columns=(column,)), contract.load
    monkeypatch.setattr(contract, "load", lambda source: spoilt if source == "cadre" else load(source))
    with pytest.raises(UsageError) as failure:
        generate(tmp_path, 50, PERIODS[:1], SEED, sources=["cadre"])
    assert failure.value.code == "P06-SYNTH-008"


def found_as_told(country: Path, source: str, periods: Sequence[Period]) -> None:
    summary = {
        (item["source"], item["period"]): item
        for item in json.loads((country / "truth" / "summary.json").read_text())["deliveries"]
    }
    for period in periods:
        folder = country / "landing" / source / str(period) / "rev-1"
        rows, bad, duplicates = reading(folder, contract.load(source))
        lines = truth(country, source, str(period))
        stated = {
            (line["file"], int(line["line"])): line["reason"] for line in lines if line["outcome"] == "quarantined"
        }
        assert bad == stated
        figures = summary[source, str(period)]
        assert figures["received"] == rows
        assert figures["duplicates"] == duplicates == sum(line["outcome"] == "duplicate" for line in lines)
        assert figures["quarantined"] == len(bad)
        assert figures["staged"] == rows - duplicates - len(bad)
        assert figures["reasons"] == dict(Counter(bad.values()))
        if source != SOURCES[0]:
            assert sum(figures["methods"].values()) == figures["staged"]


def test_the_kinds_of_the_brief_are_all_dealt(country: Path) -> None:
    kinds: Counter[str] = Counter()
    for source in SOURCES:
        for period in PERIODS:
            kinds.update(line["reason"] for line in truth(country, source, str(period)))
    assert set(kinds) - {""} == {
        "width", "quote_stray", "quote_unclosed", "nul_byte", "encoding", "required_missing", "type_date",
        "type_timestamp", "type_numeric", "type_integer", "out_of_range", "too_long", "wrong_length", "pattern",
        "unknown_code", "id_structure", "lost_leading_zero", "future_date", "cross_field", "key_conflict",
    }  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_a_heavy_profile_is_as_exact_as_the_usual_one(tmp_path: Path, seed: int) -> None:
    generate(tmp_path, 2000, PERIODS[:1], seed, defects="heavy")
    for source in SOURCES:
        folder = tmp_path / "landing" / source / str(PERIODS[0]) / "rev-1"
        _, bad, _ = reading(folder, contract.load(source))
        lines = truth(tmp_path, source, str(PERIODS[0]))
        assert bad == {(x["file"], int(x["line"])): x["reason"] for x in lines if x["outcome"] == "quarantined"}


def people(out: Path, source: str, period: Period) -> list[dict[str, str]]:
    folder = out / "landing" / source / str(period) / "rev-1"
    names = [column.name for column in contract.load(source).columns]
    manifest = json.loads((folder / "manifest.json").read_text())
    return [
        dict(zip(names, fields, strict=True))
        for file in manifest["files"]
        for _, _, fields in records(unpacked(folder / file["name"]), len(names))
        if not isinstance(fields, str)
    ]


def plain(name: str) -> str:
    """A name as matching compares it, with tones taken off the vowel they sit on and put at the word's end."""
    words = unicodedata.normalize("NFD", name.lower()).split()
    tones = "\u0300\u0301\u0303\u0309\u0323"
    return " ".join(
        "".join(c for c in word if c not in tones) + "".join(c for c in word if c in tones) for word in words
    )


def staged(out: Path, source: str, period: Period) -> list[tuple[tuple[str, int], dict[str, str]]]:
    """The sound rows of a delivery, with their places."""
    folder, terms = out / "landing" / source / str(period) / "rev-1", contract.load(source)
    _, bad, _ = reading(folder, terms)
    names = [column.name for column in terms.columns]
    rows, seen = [], set()
    for file in json.loads((folder / "manifest.json").read_text())["files"]:
        for line, raw, fields in records(unpacked(folder / file["name"]), len(names)):
            if (file["name"], line) not in bad and raw not in seen:
                seen.add(raw)
                rows.append(((file["name"], line), dict(zip(names, fields, strict=True))))
    return rows


def only(pairs: Iterator[tuple[object, str]]) -> dict[object, str]:
    """Key -> citizen, for keys of exactly one citizen."""
    found: dict[object, set[str]] = {}
    for key, citizen in pairs:
        found.setdefault(key, set()).add(citizen)
    return {key: citizens.pop() for key, citizens in found.items() if len(citizens) == 1}


def test_a_plain_working_of_the_cascade_finds_the_methods_of_the_truth(country: Path) -> None:
    state: dict[str, dict[str, str]] = {}
    successor: dict[str, str] = {}
    with (Path(codelist.settings().codelists) / "area_change.csv").open(encoding="utf-8") as lines:
        for edge in csv.DictReader(lines):
            if edge["level"] == "commune" and edge["is_default"] == "1":
                successor[edge["old_code"]] = edge["new_code"]
    for period in PERIODS:
        if str(period) == "2025-07":
            for row in state.values():
                row["residence_commune_code"] = successor[row["residence_commune_code"]]
        for _, row in staged(country, SOURCES[0], period):
            state.pop(row["previous_citizen_id"], None)
            state[row["citizen_id"]] = row
            if row["record_op"] == "remove":
                del state[row["citizen_id"]]
        previous = {row["previous_citizen_id"]: number for number, row in state.items() if row["previous_citizen_id"]}
        old = only((row["old_id"], number) for number, row in state.items() if row["old_id"])

        def who(row: dict[str, str]) -> tuple[str, str, str]:
            return plain(row["full_name"]), row["birth_date"], row["sex"]

        def agrees(row: dict[str, str], citizen: str, state: dict[str, dict[str, str]] = state) -> bool:
            return sum(a == b for a, b in zip(who(row), who(state[citizen]), strict=True)) >= 2

        cards: dict[object, str] = {}
        for source in (SOURCES[2], *SOURCES[1:2], *SOURCES[3:]):
            with_commune = source in (SOURCES[1], SOURCES[2])
            by_name = only(
                ((*who(row), row["residence_commune_code"] if with_commune else ""), number)
                for number, row in state.items()
            )
            found: dict[tuple[str, int], str] = {}
            hits: dict[tuple[str, int], str] = {}
            waiting, blocked = [], set()
            for place, row in staged(country, source, period):
                number = row["citizen_id"]
                steps = (
                    ("id", number if number in state else None),
                    ("previous_id", previous.get(number)),
                    ("old_id", old.get(row["old_id"])),
                )
                method, citizen = next(((name, hit) for name, hit in steps if hit), ("", None))
                key = (*who(row), row["commune_code"] if with_commune else "")
                if citizen:
                    found[place] = method if agrees(row, citizen) else "conflict"
                    hits[place] = citizen
                    continue
                card = cards.get(row.get("insurance_card_no", "")[-10:]) if source == "health_visit" else None
                if card and agrees(row, card):
                    found[place] = "insurance_no"
                elif number or row["old_id"]:
                    found[place] = "none"
                    blocked.add(key)
                else:
                    waiting.append((place, key))
            for place, key in waiting:
                found[place] = "name_birth" if key in by_name and key not in blocked else "none"
                hits[place] = by_name.get(key, "")
            if source == SOURCES[2]:
                rows = dict(staged(country, source, period))
                good = {place for place, method in found.items() if method not in ("none", "conflict")}
                cards = only((rows[place]["social_insurance_no"], hits[place]) for place in good)
            expected = {
                (line["file"], int(line["line"])): line["match_method"]
                for line in truth(country, source, str(period))
                if line["match_method"]
            }
            assert {place: method for place, method in found.items() if method != "id"} == {
                place: method for place, method in expected.items() if method != "id"
            }


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clean")
    generate(out, CITIZENS, PERIODS, SEED, defects="none")
    return out


def test_without_defects_every_row_is_sound_and_matched_by_its_number(clean: Path) -> None:
    for item in json.loads((clean / "truth" / "summary.json").read_text())["deliveries"]:
        assert item["quarantined"] == item["duplicates"] == 0 and item["received"] > 0
        assert item["source"] == SOURCES[0] or item["methods"] == {"id": item["staged"]}
    for source in SOURCES:
        for period in PERIODS:
            folder = clean / "landing" / source / str(period) / "rev-1"
            assert reading(folder, contract.load(source))[1:] == ({}, 0)
            assert truth(clean, source, str(period)) == []


def test_every_number_of_a_sector_is_held_by_a_citizen_with_that_name(clean: Path) -> None:
    held: dict[str, tuple[str, str, str]] = {}
    for period in PERIODS:
        for row in people(clean, SOURCES[0], period):
            held.pop(row["previous_citizen_id"], None)
            held[row["citizen_id"]] = row["full_name"], row["birth_date"], row["sex"]
            if row["record_op"] == "remove":
                del held[row["citizen_id"]]
        for source in SOURCES[1:]:
            for row in people(clean, source, period):
                assert held[row["citizen_id"]] == (row["full_name"], row["birth_date"], row["sex"])


def test_numbers_are_sound_and_names_are_composed(clean: Path) -> None:
    first = people(clean, SOURCES[0], PERIODS[0])
    assert CITIZENS <= len(first) < CITIZENS * 1.01
    assert len({row["citizen_id"] for row in first}) == len(first)
    for row in first:
        number, born = row["citizen_id"], date.fromisoformat(row["birth_date"])
        assert int(number[3]) == (born.year - 1900) // 100 * 2 + (row["sex"] == "F")
        assert int(number[4:6]) == born.year % 100 and number[:3] in PLACES
        assert unicodedata.is_normalized("NFC", row["full_name"])
        assert re.fullmatch(r"[^\W\d_]+( [^\W\d_]+)+", row["full_name"])
    families = Counter(row["full_name"].split()[0] for row in first)
    assert families.most_common(1)[0][0] == "Nguyễn" and 0.25 < families["Nguyễn"] / len(first) < 0.45
    assert len({(row["full_name"]) for row in first}) < len(first)


def test_the_population_lives(clean: Path) -> None:
    later = people(clean, SOURCES[0], PERIODS[1])
    first, last = PERIODS[1].first_day.isoformat(), PERIODS[1].as_of().isoformat()
    assert 0.01 * CITIZENS < len(later) < 0.05 * CITIZENS
    assert any(first <= row["birth_date"] <= last for row in later)
    assert any(row["status"] == "deceased" and row["death_date"] <= last for row in later)
    assert any(row["previous_citizen_id"] for row in later)
    assert any(row["record_op"] == "remove" for row in later)
    assert any(row["eid_level"] == "2" and first <= row["updated_at"][:10] <= last for row in later)


def test_state_sources_repeat_most_rows(clean: Path) -> None:
    for source in ("education_enrolment", "social_security_participation", "bank_kyc", "land_parcel"):
        before, after = (
            {tuple(row.values()) for row in people(clean, source, period)} for period in (PERIODS[0], PERIODS[1])
        )
        assert before != after
        assert len(before & after) > 0.9 * len(before)


def test_a_correction_is_a_delivery_of_its_own_with_its_own_truth(country: Path, tmp_path: Path) -> None:
    source, period = "health_visit", PERIODS[1]
    made = correction(country, source, period, into=tmp_path / "a")
    again = correction(country, source, period, into=tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["revision"] == 2 and again.figures == made.figures
    rows, bad, duplicates = reading(made.folder, contract.load(source))
    stated = {
        (line["file"], int(line["line"])): line["reason"]
        for line in truth(country, source, f"{period}.r2")
        if line["outcome"] == "quarantined"
    }
    assert bad == stated and (made.figures["received"], made.figures["duplicates"]) == (rows, duplicates)
    first = country / "landing" / source / str(period) / "rev-1"
    rows_before, bad_before, _ = reading(first, contract.load(source))
    assert rows < rows_before and len(bad) < len(bad_before)


@pytest.mark.parametrize(
    ("citizens", "periods", "seed", "defects", "code"),
    [
        (3, PERIODS, 1, "usual", "P06-SYNTH-001"),
        (100, [PERIODS[0], PERIODS[2]], 1, "usual", "P06-SYNTH-002"),
        (100, PERIODS, 1, "filthy", "P06-SYNTH-003"),
        (100, PERIODS, -1, "usual", "P06-SYNTH-004"),
    ],
)
def test_wrong_wishes_are_refused_by_name(
    tmp_path: Path, citizens: int, periods: list[Period], seed: int, defects: str, code: str
) -> None:
    with pytest.raises(UsageError) as refused:
        generate(tmp_path, citizens, periods, seed, defects)
    assert refused.value.code == code and not list(tmp_path.iterdir())


def test_a_correction_of_what_was_never_made_is_refused(country: Path, tmp_path: Path) -> None:
    for out, source, period, revision, code in (
        (tmp_path, "bank_kyc", PERIODS[0], 2, "P06-SYNTH-005"),
        (country, "bank_kyc", PERIODS[-1].shift(1), 2, "P06-SYNTH-005"),
        (country, "bank_kyc", PERIODS[0], 1, "P06-SYNTH-006"),
    ):
        with pytest.raises(UsageError) as refused:
            correction(out, source, period, revision)
        assert refused.value.code == code


def test_a_handful_of_citizens_is_enough(tmp_path: Path) -> None:
    made = generate(tmp_path, 50, parse_range("2024-01..2024-12"), SEED)
    assert all(item.figures["received"] > 0 for item in made.deliveries)
    made = generate(tmp_path / "promised", 50, PERIODS[:1], SEED, "none", sources=PROMISED)
    assert len(made.deliveries) == len(PROMISED)
    assert [item.figures["source"] for item in made.deliveries if not item.figures["received"]] == []
