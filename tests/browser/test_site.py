"""The pages, from a small real warehouse with hostile rows in it, read as files and in Chromium."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import judge
from tests.integration.warehouse import Warehouse

PERIODS = ("2025-06", "2025-07")
CANARY_ID = "001089099999"
CANARY_NAME = "Hoàng Thị Chim Yến"
PAYLOAD = "<script>alert('canary')</script>"
IMAGE = "<img src=x onerror=alert('canary')>"
LIMIT = 300_000
# One page of each kind; {p} is the newest month, {e} the one before.
KINDS = (
    "index.html", "months/{e}.html", "deliveries.html", "deliveries/health_visit.html", "quality.html",
    "quality/health_visit.html", "quality/health_visit/quarantined_few.html", "quality/citizen_month.html",
    "quality/citizen_month/residence_stated.html", "scorecard.html", "scorecard/{e}.html", "scorecard/health_visit.html",
    "scorecard/{p}/VN.html", "scorecard/{e}/02.html", "reconciliation.html", "indicators.html",
    "indicators/id_card_rate.html", "indicators/id_card_rate/{e}.html", "indicators/id_card_rate/communes-01.html",
    "indicators/match_rate.bank_kyc.html", "releases.html", "releases/{e}.2.html", "data.html", "provinces.html", "provinces/01.html",
    "data/health_visit.html", "data/citizen_month.html", "help.html", "help/codes.html",
)  # fmt: skip


LONGEST = "help/codes.html"


def addresses() -> list[str]:
    """One page of each kind in both languages, and the entrance."""
    kinds = [one.format(p=PERIODS[1], e=PERIODS[0]) for one in KINDS]
    return ["index.html", *(f"{language}/{one}" for language in ("vi", "en") for one in kinds)]


def in_browser() -> list[object]:
    """All of them; the English ones, which have the same markup, and the longest wait for the long proofs."""
    return [
        pytest.param(one, marks=pytest.mark.long if one[:3] == "en/" or one.endswith(LONGEST) else ())
        for one in addresses()
    ]


def spoil(delivery: Path) -> None:
    """Add rows that cannot be trusted, full of what must not be shown, and count them in the manifest."""
    stated = json.loads((delivery / "manifest.json").read_text())
    file = delivery / stated["files"][0]["name"]
    text = gzip.decompress(file.read_bytes()).decode()
    first = next(csv.DictReader(io.StringIO(text)))
    lines = io.StringIO()
    writer = csv.DictWriter(lines, list(first), lineterminator="\n")
    for index, change in enumerate(
        (
            {"citizen_id": CANARY_ID, "full_name": CANARY_NAME, "birth_date": "1989-13-45"},
            {"full_name": PAYLOAD, "birth_date": PAYLOAD, "sex": IMAGE},
            {"citizen_id": PAYLOAD, "full_name": CANARY_NAME},
        )
    ):
        writer.writerow({**first, "visit_id": f"canary-{index}", **change})
    content = gzip.compress((text + lines.getvalue()).encode(), mtime=0)
    file.write_bytes(content)
    stated["files"][0] |= {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": stated["files"][0]["rows"] + 3,
    }
    stated["produced_by"] = f"{PAYLOAD} {CANARY_ID}"
    (delivery / "manifest.json").write_text(json.dumps(stated))


def kept(warehouse: Warehouse) -> Path:
    """Pages that releases keep up to date."""
    return warehouse.home.parent / "kept"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """Two months, the reform of July 2025 between them: spoilt rows, refusals, a rollback with a hostile reason."""
    folder = tmp_path_factory.mktemp("site")
    made = Warehouse(folder / "home", folder / "token.key")
    made.must("synth", "--out", str(folder), "--citizens", "300", "--periods", "..".join(PERIODS), "--seed", "7")
    made.deliver(folder, PERIODS)
    spoil(made.landing / "health_visit" / PERIODS[1] / "rev-1")
    refused = made.drop(
        made.landing / "land_parcel" / PERIODS[1] / "rev-1", "land_parcel", PERIODS[1], f"{IMAGE} {CANARY_ID}"
    )
    stated = json.loads((refused / "manifest.json").read_text())
    name = f"{CANARY_NAME} {CANARY_ID} {IMAGE}.csv"
    (refused / stated["files"][0]["name"]).rename(refused / name)
    stated |= {"revision": 2, "source": "land_parcel"}
    stated["files"][0] |= {"name": name, "sha256": "0" * 64}
    (refused / "manifest.json").write_text(json.dumps(stated))
    shutil.copytree(refused, made.landing / IMAGE / PERIODS[1] / "rev-1")
    assert made.run("load").returncode == 4
    made.must("release", P06_SITE=str(kept(made)))
    assert not kept(made).exists(), "nobody has asked for pages yet"
    made.must("site", P06_SITE=str(kept(made)))
    again = made.run("release", PERIODS[0], "--rebuild", P06_SITE=str(kept(made)))
    assert again.returncode == 0 and "site: " in again.stderr
    assert f"bản {PERIODS[0]}.2" in (kept(made) / "vi" / "months" / f"{PERIODS[0]}.html").read_text("utf-8")
    back = made.run("rollback", PERIODS[0], "--why", f"{PAYLOAD} {CANARY_ID}", P06_SITE=str(kept(made)))
    assert back.returncode == 0 and "site: " in back.stderr
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(warehouse: Warehouse) -> Path:
    """The pages of that warehouse, as the rollback left them."""
    return kept(warehouse)


class Links(HTMLParser):
    """Every address a page names, and the names of its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.elements: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action", "data", "srcset")]
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"], tag


def read(site: Path) -> dict[str, str]:
    return {
        path.relative_to(site).as_posix(): path.read_text("utf-8-sig") for path in site.rglob("*") if path.is_file()
    }


def test_no_page_holds_a_value_of_a_person_or_an_unescaped_payload(site: Path) -> None:
    for name, text in read(site).items():
        assert CANARY_NAME not in text and "Chim Yến" not in text, name
        assert CANARY_ID not in text, name
        assert "<script" not in text and "<img" not in text, name
        numbers = re.findall(r"(?<![0-9a-zA-Z.,-])[0-9]{9,}(?![0-9a-zA-Z])", text)
        assert numbers == [], name
        assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text), name
    told = (site / "vi" / "releases.html").read_text("utf-8")
    assert "&lt;script&gt;alert(&#39;canary&#39;)&lt;/script&gt; …" in told


def test_no_page_names_an_address_elsewhere_and_every_link_leads_somewhere(site: Path) -> None:
    pages = {name: text for name, text in read(site).items() if name.endswith(".html")}
    for name, text in pages.items():
        links = Links()
        links.feed(text)
        assert not links.elements & {"script", "iframe", "object", "embed", "form", "img", "base"}, name
        for address in links.addresses:
            assert not re.match(r"[a-z]+:|//", address), f"{name}: {address}"
            path, _, anchor = address.partition("#")
            target = (site / name).parent / unquote(path) if path else site / name
            assert target.is_file(), f"{name}: {address}"
            assert not anchor or f'id="{anchor}"' in target.read_text("utf-8"), f"{name}: {address}"
    assert not re.search(r"url\(|@import|https?:", (site / "style.css").read_text("utf-8"))
    assert {name[3:] for name in pages if name.startswith("vi/")} == {name[3:] for name in pages if name[:3] == "en/"}
    assert not set(addresses()) - pages.keys()


def test_equal_content_gives_equal_bytes_and_is_not_written_again(warehouse: Warehouse, site: Path) -> None:
    """The folder is named by its content: pages made again by another process are the ones that are there."""
    before = site.resolve()
    told = json.loads(warehouse.must("site", "--to", str(site), "--json"))
    assert not told["changed"] and site.resolve() == before
    assert told["pages"] == len(list(site.rglob("*.html"))) and told["largest_page"] < LIMIT


def test_what_stands_there_already_is_left_alone(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    done = warehouse.run("site", "--to", str(tmp_path / "mine"))
    assert done.returncode == 2 and "P06-SITE-001" in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_the_pages_say_what_the_warehouse_says(warehouse: Warehouse, site: Path) -> None:
    (row,) = warehouse.query(
        "select received, quarantined, staged from marts.reconciliation"
        f" where source = 'health_visit' and period = '{PERIODS[1]}-01'",
        "analyst",
    )
    page = (site / "en" / "reconciliation" / f"{PERIODS[1]}.html").read_text("utf-8")
    section = page[page.index('<h2 id="health_visit">') :].partition("</section>")[0]
    assert [f'<td class="n">{number:,}</td>' in section for number in row] == [True] * 3
    vi = (site / "vi" / "deliveries.html").read_text("utf-8")
    assert "bị từ chối" in vi and "1 bản bị từ chối" in vi
    provinces = {
        period: len(
            re.findall(r"<rect ", (site / "vi" / "indicators" / path).read_text("utf-8").partition("</figure>")[0])
        )
        for period, path in ((PERIODS[0], f"id_card_rate/{PERIODS[0]}.html"),)
    }
    assert provinces == {PERIODS[0]: 63}
    newest = (site / "vi" / "indicators" / "id_card_rate.html").read_text("utf-8")
    assert len(re.findall("<rect ", newest[newest.index('class="drawing map"') :].partition("</svg>")[0])) == 34


def test_the_files_to_download_hold_the_figures_of_the_mart(warehouse: Warehouse, site: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((site / "csv" / "id_card_rate.csv").read_text("utf-8-sig"))))
    found = {(row["period"], row["area_level"], row["area_code"], int(row["numerator"]), row["value"]) for row in rows}
    stated = warehouse.query(
        "select to_char(period, 'YYYY-MM'), area_level, area_code, numerator, value::text from marts.indicator"
        " where indicator_code = 'id_card_rate' and area_level <> 'commune'",
        "analyst",
    )
    assert found == set(stated)
    assert {row["area_name"] for row in rows if row["area_level"] == "province"} > {"Thành phố Hà Nội", "Tỉnh Hà Giang"}


def test_the_sample_queries_run_as_an_analyst(warehouse: Warehouse) -> None:
    from p06.site.data import queries

    assert len(queries()) >= 3
    with psycopg.connect(warehouse.dsn("analyst"), autocommit=True) as connection:
        for one in queries():
            assert one.en and one.vi and one.en != one.vi, one.name
            assert connection.execute(one.statement.encode()).fetchall() is not None


def test_analysts_do_not_see_what_the_pages_read_beside_the_marts(warehouse: Warehouse) -> None:
    for view in ("arrival", "refusal", "release_extract", "pointer_change", "held_period"):
        with psycopg.connect(warehouse.dsn("quality"), autocommit=True) as connection:
            connection.execute(f"select * from quality.{view}".encode())
        with (
            psycopg.connect(warehouse.dsn("analyst"), autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(f"select * from quality.{view}".encode())


def test_a_rollback_shows_on_the_pages_and_pages_that_cannot_be_written_never_make_it_fail(
    warehouse: Warehouse, site: Path, tmp_path: Path
) -> None:
    assert f"bản {PERIODS[0]}.1" in (site / "vi" / "months" / f"{PERIODS[0]}.html").read_text("utf-8")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / ".p06-site").write_text("looks like ours, and is not")
    broken = warehouse.run("rollback", PERIODS[0], "--to", f"{PERIODS[0]}.2", P06_SITE=str(tmp_path / "pages"))
    assert broken.returncode == 0 and "P06-SITE-003 P06-SITE-001" in broken.stderr


@pytest.fixture(scope="module")
def opened(browser: Browser) -> Iterator[Page]:
    """A page of a browser that remembers what went wrong or left this machine."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.wrong = []  # type: ignore[attr-defined]
    page.on("request", lambda one: one.url.startswith("file:") or page.wrong.append(one.url))  # type: ignore[attr-defined]
    page.on("console", lambda one: page.wrong.append(one.text))  # type: ignore[attr-defined]
    page.on("pageerror", lambda one: page.wrong.append(str(one)))  # type: ignore[attr-defined]
    page.on("dialog", lambda one: (page.wrong.append(one.message), one.dismiss()))  # type: ignore[attr-defined]
    yield page
    context.close()


@pytest.mark.parametrize("address", in_browser())
def test_a_page_in_a_browser_asks_for_nothing_elsewhere_and_everyone_can_read_it(
    site: Path, opened: Page, address: str
) -> None:
    opened.wrong.clear()  # type: ignore[attr-defined]
    opened.set_viewport_size({"width": 390, "height": 844})
    opened.goto((site / address).as_uri())
    wide = opened.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1] == 390
    keep(opened, address, "phone")
    assert opened.wrong == []  # type: ignore[attr-defined]
    if address.endswith("/index.html"):
        judge(opened)
    opened.set_viewport_size({"width": 1200, "height": 900})
    keep(opened, address, "desktop")
    judge(opened)
    opened.set_viewport_size({"width": 680, "height": 1000})  # what the margins leave of A4
    opened.emulate_media(media="print")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 680
    keep(opened, address, "print")
    if os.environ.get("P06_SCREENSHOTS"):
        opened.pdf(path=shot(address, "a4", "pdf"), prefer_css_page_size=True)
    opened.emulate_media(media="screen")


@pytest.mark.parametrize("area", ["VN", "01"])
def test_a_sheet_of_the_committee_is_one_page_of_paper_and_says_what_the_mart_says(
    warehouse: Warehouse, site: Path, opened: Page, area: str
) -> None:
    for language in ("vi", "en"):
        opened.goto((site / language / "scorecard" / PERIODS[1] / f"{area}.html").as_uri())
        opened.emulate_media(media="print")
        printed = opened.pdf(prefer_css_page_size=True)
        opened.emulate_media(media="screen")
        assert len(re.findall(rb"/Type ?/Page[^s]", printed)) == 1, language
        assert re.findall(rb"/MediaBox ?\[0 0 59[45][.0-9]* 84[12][.0-9]*\]", printed), "A4"
    stated = json.loads(warehouse.must("scorecard", "--province", area, "--json"))
    accurate = [one for one in stated if (one["source"], one["word"]) == ("education_enrolment", "dung")]
    judged = [one["reached"] for one in accurate if one["target"] is not None]
    row = opened.locator("tr", has=opened.locator("a[href$='education_enrolment.html']"))
    shown = row.locator("td").first.inner_text()
    assert judged and shown.split()[0] == f"{sum(judged)}/{len(judged)}"


def test_a_sheet_of_twenty_sources_and_thirty_figures_is_still_one_page_of_paper(
    site: Path, opened: Page, tmp_path: Path
) -> None:
    from datetime import date, datetime, timezone

    from p06.period import Period
    from p06.scorecard import Verdict
    from p06.site import committee, evidence, figure, page
    from p06.site.words import Words

    name = "Tham gia bảo hiểm xã hội, bảo hiểm y tế tự nguyện"
    told = evidence.Figure("x", date(2025, 8, 1), "province", "01", 4567890, 12345678, 0.37)
    release = evidence.Release("2025-08.1", told.period, 1, datetime.now(timezone.utc), "clean", None, True)
    shutil.copy(site / "style.css", tmp_path / "style.css")
    for figures, sources in ((7, 6), (14, 8), (12, 20), (30, 20)):
        content = {
            "of_period": Period(2025, 8), "area": "01", "release": release, "same": False, "any_whole": True,
            "rows": [committee.Row("x", f"Tỷ lệ khớp dân cư: {name}", told, 1.2, 3, 34)] * figures,
            "sources": [("x", name, [committee.Cell(Verdict(6, 4, 6), True)] * 6)] * sources,
            "dimensions": committee.subject.DIMENSIONS, "missing": ["Không có dòng nào của tỉnh: " + "; ".join([name] * 3)] * 4,
            "notes": [f"{name}: số dòng bị cách ly vượt ngưỡng đã đặt, cần xem xét khi dùng số liệu"] * 5,
            "notes_more": 4, "density": committee.density(figures + sources),
        }  # fmt: skip
        shown = page.Page("sheet.html", "scorecard", "committee.html", "Thành phố Hồ Chí Minh: tháng 8", content)
        file = tmp_path / "vi" / "sheet.html"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(page.render(shown, Words("vi"), {"newest_release": release, "sign": figure.mark}))
        opened.goto(file.as_uri())
        opened.emulate_media(media="print")
        printed = opened.pdf(prefer_css_page_size=True)
        opened.emulate_media(media="screen")
        assert len(re.findall(rb"/Type ?/Page[^s]", printed)) == 1, (figures, sources)


@pytest.mark.long
def test_every_page_there_is_fits_a_telephone_a_tablet_and_paper(site: Path, opened: Page) -> None:
    wide = []
    for path in sorted(site.rglob("*.html")):
        opened.set_viewport_size({"width": 390, "height": 844})
        opened.goto(path.as_uri())
        for width, medium in ((390, "screen"), (800, "screen"), (680, "print")):
            opened.set_viewport_size({"width": width, "height": 844})
            opened.emulate_media(media=medium)
            if opened.evaluate("document.documentElement.scrollWidth") > width:
                wide.append((path.relative_to(site).as_posix(), width, medium))
        opened.emulate_media(media="screen")
    assert wide == []


def shot(address: str, form: str, kind: str) -> str:
    name = address.removesuffix(".html").replace("/", "-")
    return str(Path(os.environ["P06_SCREENSHOTS"]) / f"{name}.{form}.{kind}")


def keep(page: Page, address: str, form: str) -> None:
    """A picture of the whole page, when P06_SCREENSHOTS names a folder."""
    if os.environ.get("P06_SCREENSHOTS"):
        page.screenshot(path=shot(address, form, "png"), full_page=True)
