"""The words, places and tiles of the pages, without a warehouse."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from p06 import codelist, contract, duty, steward, suite
from p06.errors import P06Error, UsageError
from p06.period import Period
from p06.scorecard import Score
from p06.settings import settings
from p06.site import committee, evidence, figure, indicators, place, provinces, scorecard, subject, withheld
from p06.site import help as help_pages
from p06.site.page import FOLDER, SECTIONS, render
from p06.site.tiles import tiles
from p06.site.words import LANGUAGES, Words, guarded, texts

PACKAGE = FOLDER.parent
KEY = re.compile(r"""\bt\(\s*f?(['"])([a-z_]+(?:\.[a-z_]+)?[a-z_.]*)\1(\s*~|)""")


def used() -> set[str]:
    """Every key that stands whole in a template or a module."""
    found = set()
    for path in [*FOLDER.glob("*.html"), *PACKAGE.glob("*.py"), PACKAGE.parent / "desk.py"]:
        for _, key, goes_on in KEY.findall(path.read_text("utf-8")):
            if not goes_on:
                found.add(key)
    return found


def made() -> set[str]:
    """Keys put together from a value: every value there can be."""
    parts = {f"{section}.name" for section in SECTIONS}
    parts |= {f"dimension.{one}{end}" for one in subject.DIMENSIONS for end in ("", "_about")}
    parts |= {f"severity.{one}{end}" for one in ("block", "warn", "info") for end in ("", "_about")}
    parts |= {f"state.{one}" for one in ("released", "accepted", "blocked", "refused", "staged", "superseded", "none")}
    parts |= {f"state.{one}" for one in ("not_due", "late", "passed", "warned", "waived", "info", "clean", "warnings")}
    parts |= {"state.held", "state.unasked"}
    parts |= {f"{kind}.{one}" for kind in ("hold",) for one in ("rollback", "blocked", "rejected", "failed")}
    parts |= {f"overview.held_{one}" for one in ("rollback", "blocked", "rejected", "failed")}
    parts |= {f"move.{one}" for one in ("publish", "rollback")}
    parts |= {f"method.{one}" for one in ("id", "previous_id", "old_id", "insurance_no", "name_birth", "linked")}
    parts |= {"method.conflict", "method.none"}
    parts |= {f"class.{one}" for one in ("public", "internal", "basic", "sensitive", "identifier")}
    parts |= {
        f"help.{one}{end}"
        for one in ("contract", "period", "extract", "quarantine", "gate", "release")
        for end in ("", "_about")
    }
    parts |= {f"help.sign_{one}" for one in ("passed", "warned", "blocked", "waived", "unasked")}
    parts |= {f"committee.{one}" for one in ("not_received", "withheld", "no_rows", "no_figure")}
    parts |= {f"desk.duty_{one}" for one in duty.KINDS}
    parts |= {f"desk.agrees_{one}" for one in ("yes", "near", "no", "absent")}
    parts |= {f"desk.field_{one}" for one in (*steward.AGREEMENTS, "citizen_id", "old_id")}
    parts |= {f"desk.verdict_{one}" for one in ("accept", "reject", "approve")}
    parts |= {f"desk.done_{one}" for one in ("accept", "reject", "undo", "same", "approve", "stop")}
    states = ("waiting", "approved", "rejected", "expired", "published", "overtaken", "repeated")
    parts |= {f"desk.state_{one}" for one in states}
    models = (settings().dbt_project / "models" / "indicators" / "reported").glob("reported__*.sql")
    counts = {code for path in models for code in re.findall(r"'(\w+)': \['", path.read_text("utf-8"))}
    parts |= {f"count.{one}{end}" for one in counts for end in ("", "_definition")}
    kinds = (
        "id_card_rate",
        "eid_level2_rate",
        "health_insurance_coverage",
        "kyc_biometric_rate",
        "land_clean_rate",
        "match_rate",
        "id_card_under_14_share",
        "service_integration_rate",
        "dossier_processed_rate",
        "dossier_online_rate",
        "satisfaction_rate",
        "civil_status_population_basis_rate",
        "land_unit_digitised_rate",
        "land_parcel_digitised_rate",
        "health_book_integration_rate",
        "party_card_dossier_rate",
        "health_card_on_app_rate",
        "noncash_payment_rate",
    )
    ends = ("", "_definition", "_numerator", "_denominator", "_where")
    return parts | {f"indicator.{kind}{end}" for kind in kinds for end in ends}  # fmt: skip


def test_every_text_of_the_pages_stands_in_both_languages_and_is_used() -> None:
    assert {key for key, words in texts().items() if set(words) != set(LANGUAGES) or not all(words.values())} == set()
    assert (used() | made()) - texts().keys() == set()
    assert texts().keys() - (used() | made()) == set(), "written, but never shown"


def test_both_languages_have_the_same_places_to_fill() -> None:
    def places(text: str) -> set[str]:
        return set(re.findall(r"\{(\w+)\}", text))

    assert [key for key, words in texts().items() if places(words["en"]) != places(words["vi"])] == []


def test_a_missing_text_is_an_error_and_not_a_hole() -> None:
    with pytest.raises(KeyError):
        Words("vi").t("overview.no_such_text")


def test_numbers_and_days_are_written_as_the_language_writes_them() -> None:
    vi, en = Words("vi"), Words("en")
    assert (vi.number(1234567), en.number(1234567)) == ("1.234.567", "1,234,567")
    assert (vi.number(1234.5, 1), en.number(1234.5, 1)) == ("1.234,5", "1,234.5")
    assert (vi.percent(0.8747), en.percent(0.8747)) == ("87,5%", "87.5%")
    assert (vi.month(Period(2025, 8)), en.month(Period(2025, 8))) == ("tháng 8 năm 2025", "August 2025")
    assert (vi.day(date(2025, 10, 9)), en.day(date(2025, 10, 9))) == ("09/10/2025", "9 Oct 2025")
    late = datetime(2025, 10, 9, 20, 30, tzinfo=timezone.utc)
    assert (vi.moment(late), vi.day(late)) == ("03:30 10/10/2025", "10/10/2025")


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ("≥ 0 … ≤ 0", "= 0"),
        ("≥ 1 … ≤ 280000000", "≥ 1 … ≤ 280.000.000"),
        ("0.00594648", "0,005946"),
        ("min_value 1900-01-01, mostly 0.999", "≥ 1900-01-01, mostly 0,999"),
        ("0/4010 (0 %)", "0/4.010 (0 %)"),
        ("1e-06", "0,000001"),
        (None, ""),
    ],
)
def test_figures_of_checks_are_written_so_too(kept: str | None, shown: str) -> None:
    assert Words("vi").figure(kept) == shown


def test_what_somebody_typed_is_shown_without_numbers_of_people() -> None:
    assert (
        guarded("asked for 001089000123 and 001 089 000 123, release 2025-06") == "asked for … and …, release 2025-06"
    )
    assert guarded("a\u202eb\x00c") == "a b c"


@pytest.mark.parametrize(("day", "count"), [(date(2024, 1, 1), 63), (date(2025, 6, 1), 63), (date(2025, 7, 1), 34), (date(2026, 5, 1), 34)])  # fmt: skip
def test_the_map_has_a_tile_of_its_own_for_each_province_in_force(day: date, count: int) -> None:
    provinces = codelist.load(codelist.PROVINCE)
    names = {entry.code: entry.name for entry in provinces.entries if entry.on(day)}
    placed = tiles(day, names)
    assert {tile.code for tile in placed} == set(names) and len(placed) == count
    assert len({(tile.column, tile.row) for tile in placed}) == count
    assert max(tile.column for tile in placed) <= 5


def test_a_province_the_map_does_not_know_stands_below_it() -> None:
    placed = tiles(date(2025, 7, 1), {"01": "Thành phố Hà Nội", "99": "Tỉnh Mới"})
    assert [(tile.code, tile.short) for tile in placed] == [("01", "Hà Nội"), ("99", "Mới")]
    assert placed[1].row > placed[0].row


def test_every_suite_can_be_shown_in_both_languages() -> None:
    found = evidence.Evidence(contract.load_all())
    assert found.suites.keys() == contract.load_all().keys() | set(suite.marts())
    for one in found.suites.values():
        for check in one.checks:
            assert evidence.reason_of(check, "vi") and evidence.reason_of(check, "en")


def test_a_reader_never_sees_half_a_site(tmp_path: Path) -> None:
    """Both files of a site say the same, whenever they are read."""
    to = tmp_path / "site"
    place.show(to, {"a.html": b"0", "vi/b.html": b"0"}, "0")
    torn: list[object] = []
    whole, stop = [0], threading.Event()

    def look() -> None:
        while not stop.is_set():
            try:
                (to / "a.html").read_bytes()  # there is always a page
            except OSError as error:
                torn.append(error)
            shown = to.resolve()
            try:
                one, other = (shown / "a.html").read_bytes(), (shown / "vi" / "b.html").read_bytes()
            except FileNotFoundError:  # overtaken by two newer sites meanwhile
                continue
            whole[0] += 1
            if one != other:
                torn.append((one, other))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(1, 60):
            content = str(number).encode()
            assert place.show(to, {"a.html": content, "vi/b.html": content}, str(number))
    finally:
        stop.set()
        reader.join()
    assert torn == [] and whole[0] > 0
    assert (to / "a.html").read_bytes() == b"59" and place.shown_mark(to) == "59"
    assert len([path for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()]) == place.KEPT


def test_equal_files_are_not_written_again(tmp_path: Path) -> None:
    to = tmp_path / "site"
    assert place.show(to, {"a.html": b"1"}, "first")
    before = (to / "a.html").stat().st_mtime_ns
    assert not place.show(to, {"a.html": b"1"}, "second")
    assert (to / "a.html").stat().st_mtime_ns == before and place.shown_mark(to) == "second"


def test_a_draft_of_a_process_that_died_goes_with_the_next_writing(tmp_path: Path) -> None:
    to = tmp_path / "site"
    place.show(to, {"a.html": b"1"}, "1")
    (tmp_path / ".site-0123456789abcdef.4711.draft").mkdir()
    (tmp_path / ".site-4711.link").symlink_to("nowhere")
    place.show(to, {"a.html": b"2"}, "2")
    assert not list(tmp_path.glob("*.draft")) and not list(tmp_path.glob("*.link"))


def test_what_is_no_site_of_ours_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "full")
    for name in ("file", "full", "elsewhere"):
        with pytest.raises(UsageError, match="P06-SITE-001"):
            place.show(tmp_path / name, {"a.html": b"1"}, "1")
    (tmp_path / "empty").mkdir()
    assert place.show(tmp_path / "empty", {"a.html": b"1"}, "1")


def test_a_folder_that_cannot_be_written_is_named_and_the_old_pages_stay(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(P06Error, match="P06-SITE-00"):
        place.show(tmp_path / "file" / "site", {"a.html": b"1"}, "1")


def shown(period: str, value: float) -> evidence.Figure:
    return evidence.Figure("x", Period.parse(period).first_day, "nation", "VN", int(value * 100), 100, value)


def test_a_trend_is_broken_where_a_month_was_not_published_and_is_drawn_the_same_each_time() -> None:
    figures = [shown(period, value) for period, value in (("2024-12", 0.5), ("2025-02", 0.6), ("2025-03", 0.7))]
    drawn = figure.trend(figures, [], Words("vi"), "Tỷ lệ <b>")
    assert drawn == figure.trend(figures, [], Words("vi"), "Tỷ lệ <b>")
    assert re.findall(r">(\d\d/20\d\d)<", drawn) == ["12/2024", "01/2025", "02/2025", "03/2025"]
    (line,) = re.findall(r'<path d="([^"]*)"[^>]* stroke="#1d4e79" stroke-width="2"', drawn)
    assert line.count("M") == 2, "the line begins again after the gap"
    assert "60%" in drawn and "<b>" not in drawn and "xmlns" not in drawn and "http" not in drawn
    assert "<title>Diễn biến: Tỷ lệ &lt;b&gt;</title><desc>Từ 50,0% kỳ 12/2024 đến 70,0% kỳ 03/2025.</desc>" in drawn


def test_provinces_with_the_same_figure_share_a_rank() -> None:
    day = date(2025, 8, 1)
    values = {"01": 1.0, "04": 0.5, "08": 1.0, "11": 0.5, "12": 0.2}
    figures = [evidence.Figure("id_card_rate", day, "province", code, 1, 1, value) for code, value in values.items()]
    ranked = [(rank, one.area) for rank, one in indicators.ranked(figures)]
    assert ranked == [(1, "01"), (1, "08"), (3, "04"), (3, "11"), (5, "12")]


def test_rows_of_a_source_that_states_nobody_are_shown_and_never_as_unmatched() -> None:
    found = evidence.Evidence(contract.load_all())
    assert not found.is_matched("land_digitisation") and found.is_matched("bank_kyc") and found.is_matched("gone")
    day = date(2025, 8, 1)
    found.provinces = [("01", date(2025, 7, 1), None, "Hà Nội")]
    found.releases = [
        evidence.Release("2025-08.1", day, 1, datetime(2025, 9, 1, tzinfo=timezone.utc), "clean", None, True)
    ]
    found.matched = [("01", "bank_kyc", "id", 3), ("01", "bank_kyc", "none", 1), ("01", "land_digitisation", "none", 7)]
    one = next(one for one in provinces.pages(found, Words("en")) if one.address == "provinces/01.html")
    assert [(rows, open_) for _, rows, open_ in one.content["matched"]] == [(4, (0, 1)), (7, None)]
    html = render(one, Words("en"), {"newest_release": None, "sign": figure.mark}).decode()
    assert "75.00%" in html and "0.00%" not in html
    sum_of_it = evidence.Sum(day, "land_digitisation", 1, 7, 0, 0, 7, None, None, None, 7)
    assert sum_of_it.adds_up and not replace(sum_of_it, published=6).adds_up
    drawn = str(figure.sums(sum_of_it, Words("en"), "land"))
    assert drawn.count("<rect") == 3 and "nmatched" not in drawn


def test_a_province_is_compared_with_the_month_before_where_it_is_the_same_on_every_page() -> None:
    found = evidence.Evidence(contract.load_all())
    june, july = date(2025, 6, 1), date(2025, 7, 1)
    found.provinces = [("01", date(1900, 1, 1), july, "Hà Nội"), ("01", july, None, "Hà Nội"),
                       ("15", date(1900, 1, 1), july, "Yên Bái"), ("15", july, None, "Lào Cai")]  # fmt: skip
    found.changed_provinces = [("15", july)]
    found.releases = [
        evidence.Release("2025-07.1", july, 1, datetime(2025, 9, 1, tzinfo=timezone.utc), "clean", None, True)
    ]
    found.figures = [
        evidence.Figure("id_card_rate", day, "province", code, part, 10, part / 10)
        for day, part in ((june, 5), (july, 8)) for code in ("01", "15")
    ]  # fmt: skip
    of_provinces = {one.address: one.content for one in provinces.pages(found, Words("en"))}
    sheets = {one.address: one.content for one in committee.pages(found, Words("en"))}
    for code, change in (("01", 30), ("15", None)):
        for rows in (of_provinces[f"provinces/{code}.html"]["rows"], sheets[f"scorecard/2025-07/{code}.html"]["rows"]):
            assert [one.change and round(one.change) for one in rows] == [change], code


def test_a_register_nobody_awaits_yet_is_not_missing_on_a_sheet() -> None:
    found = evidence.Evidence(contract.load_all())
    day = date(2025, 8, 1)
    found.provinces = [("01", date(2025, 7, 1), None, "Hà Nội")]
    found.releases = [
        evidence.Release("2025-08.1", day, 1, datetime(2025, 9, 1, tzinfo=timezone.utc), "clean", None, True)
    ]
    found.scores = [Score(day, source, "VN", "matched", 3, 4, 0.75) for source in ("bank_kyc", "cadre")]
    later = date(2025, 9, 1)
    found.refusals = [evidence.Refusal("party_member", day, found.releases[0].published_at, ["P06-LOAD-018"])]
    found.figures = [evidence.Figure("party_card_dossier_rate", later, "nation", "VN", 1, 2, 0.5)]
    due = {name for name, known in found.contracts.items() if known.due_from is None}
    sheet = next(one for one in committee.pages(found, Words("en")) if one.address == "scorecard/2025-08/VN.html")
    assert {source for source, _, _ in sheet.content["sources"]} == due | {"cadre", "party_member"}
    absent = due - {"bank_kyc"} | {"party_member"}
    [missing] = sheet.content["missing"]
    assert missing.startswith("Not received: ") and missing.count(";") == len(absent) - 1
    assert "dossier" in missing, "what was due or refused, and no figure of a later month"
    board = next(one for one in scorecard.pages(found, Words("en")) if one.address == "scorecard.html")
    assert {source for source, _, _ in board.content["rows"]} == due | {"cadre", "party_member"}


@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ({"01": 10, "04": 12}, ""),
        ({"01": 9, "04": 10, "08": 11}, "01 04"),  # one alone is the rest of the sum
        ({"01": 3, "04": 4, "08": 11, "11": 50}, "01 04 08"),  # 7 between them would still be a small number told
        ({"01": 6, "04": 7, "08": 11}, "01 04"),
        ({"01": 1}, "01"),
    ],
)
def test_a_part_of_a_sum_is_withheld_with_another_that_would_tell_it(sizes: dict[str, int], hidden: str) -> None:
    assert withheld.too_small(sizes, 10) == set(hidden.split())


def test_small_numbers_of_a_restricted_source_stand_on_no_page_and_others_are_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day = date(2025, 8, 1)

    def evident() -> evidence.Evidence:
        """Members by province: 9007 in 01, 9 in 04, 8011 in 08; of 04's communes one has 9, of 08's 8001 and 10."""
        found = evidence.Evidence(contract.load_all())
        found.provinces = [(code, date(2025, 7, 1), None, f"Tỉnh {code}") for code in ("01", "04", "08")]
        found.releases = [
            evidence.Release("2025-08.1", day, 1, datetime(2025, 9, 1, tzinfo=timezone.utc), "clean", None, True)
        ]
        sizes = {"VN": 17027, "01": 9007, "04": 9, "08": 8011, "00001": 9, "00801": 8001, "00802": 10}
        found.commune_names = {"00001": ("Xã Một", "04"), "00801": ("Xã Hai", "08"), "00802": ("Xã Ba", "08")}
        levels = {2: "province", 5: "commune"}
        for code in (
            "party_card_dossier_rate",
            "match_rate.party_member",
            "match_rate.bank_kyc",
            "health_card_on_app_rate",
        ):
            rows = [
                evidence.Figure(code, day, "nation" if area == "VN" else levels[len(area)], area, size, size, 1.0)
                for area, size in sizes.items()
            ]
            found.figures += [one for one in rows if one.level != "commune"]
            found.communes += [one for one in rows if one.level == "commune"]
        for source in ("party_member", "bank_kyc"):
            provinces_of = {area: size for area, size in sizes.items() if len(area) == 2}
            found.scores += [Score(day, source, area, "matched", n, n, 1.0) for area, n in provinces_of.items()]
            found.matched += [(area, source, "id", n) for area, n in provinces_of.items() if area != "VN"]
        return found

    found = evident()
    withheld.withhold(found)
    areas = {code: {one.area for one in (*found.figures, *found.communes) if one.code == code} for code in
             ("party_card_dossier_rate", "match_rate.party_member", "match_rate.bank_kyc", "health_card_on_app_rate")}  # fmt: skip
    everywhere = {"VN", "01", "04", "08", "00001", "00801", "00802"}
    assert areas == {
        "party_card_dossier_rate": {"VN", "01"}, "match_rate.party_member": {"VN", "01"},
        "match_rate.bank_kyc": everywhere, "health_card_on_app_rate": everywhere,
    }  # fmt: skip
    assert [one[:2] for one in found.matched if one[1] == "party_member"] == [("01", "party_member")]
    for language in LANGUAGES:
        words = Words(language)
        made = [*indicators.pages(found, words), *provinces.pages(found, words), *committee.pages(found, words),
                *scorecard.pages(found, words)]  # fmt: skip
        html = {one.address: render(one, words, {"newest_release": None, "sign": figure.mark}).decode() for one in made}
        of_members = {path for path in html if "party" in path}
        assert "indicators/party_card_dossier_rate/communes-08.html" not in html
        for path, text in html.items():
            told = {"fewer than 10", "Fewer than 10", "dưới 10", "Dưới 10"}
            if path in of_members or path in ("provinces/04.html", "provinces/08.html", "scorecard/2025-08/04.html"):
                assert any(one in text for one in told), path
            if path in of_members:
                assert not re.search(r"\b8[.,]?011\b", text) and "Tỉnh 04" in text, path
    csv = {path: content.decode("utf-8-sig") for path, content, _ in indicators.files(found)}
    assert "8011" not in csv["csv/party_card_dossier_rate.csv"] and "8011" in csv["csv/match_rate.bank_kyc.csv"]
    assert "csv/match_rate.party_member-communes.csv" not in csv
    monkeypatch.setenv("P06_SHOWN_FROM", "1")
    found = evident()
    withheld.withhold(found)
    assert (
        found.withheld == []
        and {one.area for one in found.figures} | {one.area for one in found.communes} == everywhere
    )


def test_whom_to_ask_is_named_in_the_language_of_the_page() -> None:
    found = evidence.Evidence(contract.load_all())
    for language, desk in (("vi", "Bộ phận dữ liệu đảng viên"), ("en", "party desk")):
        one = next(one for one in help_pages.pages(found, Words(language)) if one.address == "help.html")
        html = render(one, Words(language), {"newest_release": None, "sign": figure.mark}).decode()
        assert f"{desk} <code>party</code>" in html
        heads = [re.findall(r'<th scope="col">([^<]*)<', part) for part in html.split("<thead>")[1:]]
        assert all(len(set(one)) == len(one) for one in heads), "no two columns are called the same"


def test_the_bars_of_a_sum_add_up_on_the_page() -> None:
    one = evidence.Sum(date(2025, 1, 1), "s", 1, 1000, 10, 90, 900, 800, 60, 40, 900)
    drawn = figure.sums(one, Words("en"), "s")
    width = {kind: float(size) for kind, size in re.findall(r'class="part (\w+)"[^>]* width="([\d.]+)"', drawn)}
    assert one.adds_up and width["received"] == figure.WIDTH
    assert round(width["staged"] + width["quarantined"] + width["duplicates"], 1) == width["received"]
    assert (
        round(width["matched"] + width["conflicting"] + width["unmatched"], 1) == width["staged"] == width["published"]
    )
    assert not evidence.Sum(date(2025, 1, 1), "s", 1, 1000, 10, 90, 899, 800, 60, 40, 900).adds_up
