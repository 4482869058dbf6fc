"""Where each row ends: staged, in quarantine with its reasons, or counted as a duplicate; the sums always hold."""

from __future__ import annotations

import gzip
from datetime import date
from typing import Any

import psycopg
import pytest

from p06 import load
from p06.landing import Delivery
from tests.sender import Sender, header, line, visits

Where = dict[tuple[int, int], tuple[str, ...]]  # (file, line) -> reasons

GOOD = line(visit_id="GOOD")


def rows_of(sees: psycopg.Connection[Any], delivery: Delivery) -> tuple[list[tuple[int, int]], Where]:
    """Stage a delivery; returns the places staged and those in quarantine, after checking every sum."""
    done = load.stage(delivery)
    assert done.outcome == "staged"
    assert done.counts is not None
    leaf, counts = _leaf(sees, done.extract_id), done.counts
    staged = sees.execute(f"select file_no, line from staging.{leaf} order by 1, 2").fetchall()
    quarantined = {
        (file, number): tuple(reasons)
        for file, number, reasons in sees.execute(f"select file_no, line, reasons from quarantine.{leaf}").fetchall()
    }
    assert counts.received == counts.duplicates + counts.quarantined + counts.staged
    assert (counts.staged, counts.quarantined) == (len(staged), len(quarantined))
    assert not set(staged) & set(quarantined)
    failed = sees.execute(
        "select file_no, line, array_agg(reason order by reason) from quality.failed_row group by 1, 2"
    ).fetchall()
    assert {(file, number): sorted(reasons) for file, number, reasons in failed} == {
        place: sorted(reasons) for place, reasons in quarantined.items()
    }
    return staged, quarantined


def _leaf(sees: psycopg.Connection[Any], extract_id: str) -> str:
    row = sees.execute("select staging_table from control.extract where extract_id = %s", (extract_id,)).fetchone()
    assert row
    return str(row[0])


VALUES = [
    ("birth_date", "1985-02-30", "type_date"),
    ("birth_date", "now", "type_date"),
    ("birth_date", "infinity", "type_date"),
    ("birth_date", "03/04/1990", "type_date"),
    ("birth_date", "19900403", "type_date"),
    ("birth_date", "1990-4-3", "type_date"),
    ("birth_date", "1990-04-03 ", "type_date"),
    ("birth_date", "2024-02-01", "future_date"),
    ("birth_date", "", "required_missing"),
    ("admitted_at", "2024-01-03 08:15:00+07:00", "type_timestamp"),
    ("admitted_at", "2024-01-03T08:15:00", "type_timestamp"),
    ("admitted_at", "2024-01-03T24:00:00Z", "type_timestamp"),
    ("admitted_at", "2024-02-30T08:15:00Z", "type_timestamp"),
    ("admitted_at", "now", "type_timestamp"),
    ("total_amount", "NaN", "type_numeric"),
    ("total_amount", "infinity", "type_numeric"),
    ("total_amount", "0x1F", "type_numeric"),
    ("total_amount", "1_000", "type_numeric"),
    ("total_amount", "1e2", "type_numeric"),
    ("total_amount", "100.000", "type_numeric"),
    ("total_amount", "1,00", "type_numeric"),
    ("total_amount", " 100.00", "type_numeric"),
    ("total_amount", "-100.00", "out_of_range"),
    ("total_amount", "12345678901234.00", "out_of_range"),
    ("total_amount", "100.01", "cross_field"),
    ("sex", "m", "unknown_code"),
    ("sex", "M ", "unknown_code"),
    ("full_name", "", "required_missing"),
    ("full_name", "x" * 10_001, "too_long"),
    ("facility_code", "1001", "wrong_length"),
    ("insurance_card_no", "DN9010123456789", "pattern"),
    ("citizen_id", "1089000123", "lost_leading_zero"),
    ("citizen_id", "1.23E+11", "lost_leading_zero"),
    ("citizen_id", "003089000123", "id_structure"),
    ("citizen_id", "001399000123", "id_structure"),
    ("citizen_id", "00108900012a", "id_structure"),
    ("citizen_id", "٠٠١٠٨٩٠٠٠١٢٣", "id_structure"),
    ("citizen_id", "0010890001234", "id_structure"),
    ("old_id", "12345678", "wrong_length"),
    ("old_id", "12345678a", "pattern"),
]


@pytest.mark.parametrize(("column", "value", "reason"), VALUES)
def test_a_wrong_value_sends_its_row_to_quarantine_with_the_reason(
    sender: Sender, sees: psycopg.Connection[Any], column: str, value: str, reason: str
) -> None:
    bad = line(quote=True, visit_id="BAD", **{column: value})
    staged, quarantined = rows_of(sees, sender.rows([GOOD, bad, line(visit_id="ALSO")]))
    assert staged == [(1, 2), (1, 4)]
    assert quarantined == {(1, 3): (reason,)}
    assert sees.execute('select "column", reason from quality.failed_row').fetchall() == [(column, reason)]


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        ("admitted_at", "2024-01-03T08:15:00Z", "2024-01-03 08:15:00+00"),
        ("admitted_at", "2024-01-03T08:15:00.123456+0700", "2024-01-03 01:15:00.123456+00"),
        ("admitted_at", "2024-01-03T08:15:00+07", "2024-01-03 01:15:00+00"),
        ("birth_date", "2000-02-29", "2000-02-29"),
        ("full_name", 'Trần "Ba", Bốn', 'Trần "Ba", Bốn'),
        ("full_name", "hai\ndòng", "hai\ndòng"),
        ("citizen_id", "100089000123", "100089000123"),
        ("citizen_id", "", None),
        ("facility_code", "00001", "00001"),
    ],
)
def test_a_right_value_is_staged_as_it_was_sent(
    sender: Sender, sees: psycopg.Connection[Any], column: str, value: str, stored: str | None
) -> None:
    delivery = sender.rows([line(quote=True, **{column: value})], rows=[1])
    done = load.stage(delivery)
    sees.execute("set timezone = 'UTC'")
    assert sees.execute(f"select {column}::text from staging.{_leaf(sees, done.extract_id)}").fetchall() == [(stored,)]


PHYSICAL = [
    (GOOD + ",x", ("width",)),
    (GOOD.rpartition(",")[0], ("width",)),
    ("", ("width",)),
    (GOOD.replace("Văn", 'V"ăn'), ("quote_stray",)),
    (GOOD.replace("Nguyễn", '"Nguyễn'), ("quote_unclosed",)),
    (GOOD.replace("Nguyễn Văn An", '"Nguyễn" An'), ("quote_unclosed",)),
    (GOOD.replace("Văn", "V\0n"), ("nul_byte",)),
]


@pytest.mark.parametrize(("bad", "reasons"), PHYSICAL)
def test_a_broken_line_is_cut_out_alone(
    sender: Sender, sees: psycopg.Connection[Any], bad: str, reasons: tuple[str, ...]
) -> None:
    staged, quarantined = rows_of(sees, sender.rows([*visits(2), bad, *visits(2, 3)], rows=[5]))
    assert staged == [(1, 2), (1, 3), (1, 5), (1, 6)]
    assert quarantined == {(1, 4): reasons}
    [(raw,)] = sees.execute(f"select raw from quarantine.health_visit__202401__{_tail(sees)}").fetchall()
    assert raw == bad.encode()


def _tail(sees: psycopg.Connection[Any]) -> str:
    [(leaf,)] = sees.execute("select staging_table from control.extract").fetchall()
    return str(leaf).rpartition("__")[2]


def test_bytes_outside_the_encoding_are_quarantined(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    text = (
        "\n".join([header(), *visits(2)]).encode()
        + b"\n"
        + line(visit_id="B").encode().replace(b"An", b"\xe1n")
        + b"\n"
    )
    staged, quarantined = rows_of(sees, sender.send([text], rows=[3]))
    assert (staged, quarantined) == ([(1, 2), (1, 3)], {(1, 4): ("encoding",)})


def test_a_stray_quote_swallows_no_row(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    lines = visits(200)
    lines[50] = lines[50].replace("Nguyễn", '"Nguyễn')
    lines[150] = lines[150].replace("An", 'An"')
    staged, quarantined = rows_of(sees, sender.rows(lines, rows=[200]))
    assert len(staged) == 198
    assert quarantined == {(1, 52): ("quote_unclosed",), (1, 152): ("quote_stray",)}


def test_a_row_may_carry_several_reasons(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    bad = line(birth_date="now", sex="x", total_amount="NaN")
    _, quarantined = rows_of(sees, sender.rows([GOOD, bad]))
    assert quarantined == {(1, 3): ("type_date", "unknown_code", "type_numeric")}
    assert sees.execute("select count(*) from quality.failed_row").fetchone() == (3,)


def test_an_exact_duplicate_is_counted_once_however_it_is_quoted(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    done = load.stage(sender.rows([GOOD, *visits(3), line(quote=True, visit_id="GOOD"), visits(1)[0]]))
    assert done.counts is not None
    assert (done.counts.received, done.counts.duplicates, done.counts.staged) == (6, 2, 4)


def test_duplicates_are_found_over_all_files_and_in_any_order_of_columns(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    first = "\n".join([header(), *visits(3)]) + "\n"
    names = header().split(",")
    turned = [",".join(reversed(names)), *(",".join(reversed(one.split(","))) for one in visits(2, 3))]
    staged, quarantined = rows_of(sees, sender.send([first, "\n".join(turned) + "\n"]))
    assert (staged, quarantined) == ([(1, 2), (1, 3), (1, 4), (2, 3)], {})


def test_an_invalid_row_that_repeats_is_a_duplicate(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    bad = line(visit_id="BAD", sex="x")
    staged, quarantined = rows_of(sees, sender.rows([bad, GOOD, bad, bad]))
    assert (staged, quarantined) == ([(1, 3)], {(1, 2): ("unknown_code",)})


def test_broken_lines_are_no_duplicates_of_each_other(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    staged, quarantined = rows_of(sees, sender.rows(["a,b", GOOD, "a,b"]))
    assert (staged, quarantined) == ([(1, 3)], {(1, 2): ("width",), (1, 4): ("width",)})


def test_all_rows_of_a_conflicting_key_are_quarantined_with_their_text(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    one, other = line(visit_id="K"), line(quote=True, visit_id="K", full_name="Trần Thị Bé")
    staged, quarantined = rows_of(sees, sender.rows([*visits(2), one, visits(1, 3)[0], other]))
    assert staged == [(1, 2), (1, 3), (1, 5)]
    assert quarantined == {(1, 4): ("key_conflict",), (1, 6): ("key_conflict",)}
    raws = sees.execute(f"select raw from quarantine.health_visit__202401__{_tail(sees)} order by line").fetchall()
    assert raws == [(one.encode(),), (other.encode(),)]


def test_a_row_that_fails_its_rules_does_not_take_part_in_key_conflicts(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    staged, quarantined = rows_of(sees, sender.rows([line(visit_id="K"), line(visit_id="K", sex="x")]))
    assert (staged, quarantined) == ([(1, 2)], {(1, 3): ("unknown_code",)})


def test_a_duplicate_of_one_side_of_a_conflict_is_counted_as_duplicate(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    one, other = line(visit_id="K"), line(visit_id="K", sex="F")
    done = load.stage(sender.rows([one, one, other, GOOD]))
    assert done.counts is not None
    assert (done.counts.duplicates, done.counts.quarantined, done.counts.staged) == (1, 2, 1)
    assert done.reasons == {"key_conflict": 2}


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_any_line_end_will_do(sender: Sender, sees: psycopg.Connection[Any], end: str) -> None:
    lines = [header(), *visits(3), line(visit_id="BAD", sex="x"), line(quote=True, visit_id="Q")]
    staged, quarantined = rows_of(sees, sender.send([end.join(lines)], rows=[5]))
    assert (staged, quarantined) == ([(1, 2), (1, 3), (1, 4), (1, 6)], {(1, 5): ("unknown_code",)})


def test_byte_order_mark_other_delimiter_and_no_header(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    text = "\ufeff" + "\n".join(visits(3)).replace(",", ";") + "\n"
    staged, quarantined = rows_of(sees, sender.send([text], format={"header": False, "delimiter": ";", "quote": "'"}))
    assert (staged, quarantined) == ([(1, 1), (1, 2), (1, 3)], {})


@pytest.mark.parametrize("rows", [["\ufeff" + GOOD, line()], [line(), "\ufeff" + GOOD]])
def test_a_mark_before_a_value_is_part_of_it_wherever_the_row_stands(
    sender: Sender, sees: psycopg.Connection[Any], rows: list[str]
) -> None:
    places = [2, 3]
    expected = {(1, places.pop(["\ufeff" in row for row in rows].index(True))): ("id_structure",)}
    assert rows_of(sees, sender.rows(rows)) == ([(1, place) for place in places], expected)


def test_of_two_marks_before_rows_without_header_the_second_belongs_to_the_value(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    text = "\ufeff\ufeff" + GOOD + "\n" + line()
    delivery = sender.send([text], rows=[2], format={"header": False})
    assert rows_of(sees, delivery) == ([(1, 2)], {(1, 1): ("id_structure",)})


def test_a_key_beginning_with_a_mark_is_the_same_key_at_any_place(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    names = header().split(",")
    place = names.index("visit_id")
    found = []
    for number, ids in enumerate([["\ufeffV1", "V1"], ["V1", "\ufeffV1"]], 1):
        lines = [",".join([one, *(f for i, f in enumerate(line().split(",")) if i != place)]) for one in ids]
        first = ",".join(["visit_id", *(name for name in names if name != "visit_id")])
        done = load.stage(sender.send(["\n".join([first, *lines])], name=str(number), revision=number))
        query = f"select visit_id, record_key from staging.{_leaf(sees, done.extract_id)} order by 1"
        found.append(sees.execute(query).fetchall())
    assert found[0] == found[1]
    assert len({key for _, key in found[0]}) == 2


def test_gzip_with_several_members_is_read_whole(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    lines = [header(), *visits(5000)]
    parts = ["\n".join(lines[:3]) + "\n" + lines[3][:20], lines[3][20:] + "\n" + "\n".join(lines[4:]) + "\n"]
    packed = b"".join(gzip.compress(part.encode()) for part in parts) + b"\0" * 512
    staged, quarantined = rows_of(sees, sender.send([packed], rows=[5000], format={"compression": "gzip"}))
    assert (len(staged), quarantined) == (5000, {})


def test_conflicting_keys_are_found_in_compressed_files_too(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    lines = [*visits(3000), line(visit_id="V7", sex="F"), visits(1, 2999)[0]]
    delivery = sender.rows(lines, format={"compression": "gzip"})
    done = load.stage(delivery)
    assert done.counts is not None
    assert (done.counts.duplicates, done.counts.quarantined, done.counts.staged) == (1, 2, 2999)


def test_an_area_code_older_than_every_list_waits_under_its_own_reason(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    lines = [
        line("population_register"),
        line("population_register", citizen_id="001089000124", residence_commune_code="99999"),
    ]
    delivery = sender.rows(lines, "population_register", admin_code_version="2024-01-01")
    _, quarantined = rows_of(sees, delivery)
    assert quarantined == {(1, 3): ("area_list_missing",)}
    later = sender.rows(lines, "population_register", name="later", revision=2)
    assert load.stage(later).reasons == {"unknown_code": 1}


def test_every_number_of_the_register_gets_its_token_once(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    def person(number: str, **more: str) -> str:
        return line("population_register", citizen_id=number, **more)

    load.stage(sender.rows([person("001089000123", previous_citizen_id="001089000999")], "population_register"))
    before = sees.execute("select citizen_id, citizen_token from vault.citizen_token order by 1").fetchall()
    assert [number for number, _ in before] == [1089000123, 1089000999]
    second = sender.rows([person("001089000123"), person("001189000124")], "population_register", period="2024-02")
    load.stage(second)
    after = sees.execute("select citizen_id, citizen_token from vault.citizen_token order by 1").fetchall()
    assert len(after) == 3
    assert set(before) < set(after)
    assert len({name for _, name in after}) == 3


def test_record_keys_depend_on_source_and_key_alone(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    def keys(delivery: Delivery) -> list[Any]:
        done = load.stage(delivery)
        return sees.execute(
            f"select record_key from staging.{_leaf(sees, done.extract_id)} order by visit_id"
        ).fetchall()

    january = keys(sender.rows(visits(3)))
    february = keys(sender.rows([line(visit_id=f"V{n}", sex="F", quote=True) for n in (3, 2, 1)], period="2024-02"))
    assert january == february
    assert len(set(january)) == 3


def test_staged_rows_carry_period_and_extract(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    done = load.stage(sender.rows(visits(2)))
    leaf = _leaf(sees, done.extract_id)
    assert sees.execute(f"select distinct period, extract_id, file_no from staging.{leaf}").fetchall() == [
        (date(2024, 1, 1), done.extract_id, 1)
    ]


def test_a_block_boundary_changes_nothing(
    sender: Sender, sees: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = _mixed()
    whole = rows_of(sees, sender.rows(lines, rows=[len(lines)]))
    monkeypatch.setattr("p06.reading.BLOCK", 4096)
    small = sender.rows(lines, rows=[len(lines)], name="again", revision=2)
    done = load.stage(small)
    leaf = _leaf(sees, done.extract_id)
    assert sees.execute(f"select file_no, line from staging.{leaf} order by 1, 2").fetchall() == whole[0]
    again = sees.execute(f"select file_no, line, reasons from quarantine.{leaf}").fetchall()
    assert {(file, number): tuple(reasons) for file, number, reasons in again} == whole[1]


def _mixed() -> list[str]:
    lines = visits(400)
    for place in range(0, 400, 7):
        lines[place] = line(quote=True, visit_id=f"Q{place}", full_name="a\nb" if place % 2 else "c")
    for place in range(3, 400, 31):
        lines[place] = lines[place].replace("Nguyễn", '"Nguyễn')
    for place in range(5, 400, 37):
        lines[place] += "" if "\n" in lines[place] else ",x"
    return lines
