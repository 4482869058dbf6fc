"""A sender's own check says what the load says, and needs no database for it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from backports import zstd

from p06 import check, contract, gate, load, returnfile, synth
from p06 import manifest as manifests
from p06.errors import P06Error, Refused, UsageError
from p06.landing import Delivery
from p06.period import Period
from p06.settings import settings
from tests.encoders import encode
from tests.sender import VISIT, Sender, header, line, visits

CANARY = "001089000777"
Places = set[tuple[int, int, int, tuple[str, ...], tuple[str | None, ...]]]


def same_verdict(delivery: Delivery, sees: psycopg.Connection[Any]) -> check.Verdict:
    """Check a delivery, load it, and compare everything both say."""
    said = check.check(delivery.folder, limit=10**9)
    try:
        done = load.stage(delivery)
    except Refused as error:
        assert said.outcome == check.REFUSED
        stated = sorted((one.code, sorted(one.where.items(), key=str)) for one in error.mismatches)
        assert sorted((one.code, sorted(one.where.items(), key=str)) for one in said.mismatches) == stated
        assert stated
        return said
    assert said.outcome != check.REFUSED, said.mismatches
    assert said.heading is not None and done.counts is not None
    assert (said.heading.received, said.heading.duplicates, said.heading.quarantined, said.heading.staged) == (
        done.counts.received, done.counts.duplicates, done.counts.quarantined, done.counts.staged,
    )  # fmt: skip
    assert said.heading.extract_id == done.extract_id
    assert dict(said.findings.reasons) == done.reasons
    rows = sees.execute(
        f"select file_no, line, record_no, reasons, columns, raw from quarantine.{leaf_of(sees, done.extract_id)}"
    ).fetchall()
    held = {(file, at, record, tuple(reasons), tuple(columns)) for file, at, record, reasons, columns, _ in rows}
    assert {(r.file, r.line, r.record, r.reasons, r.columns) for r in said.findings.rows} == held
    assert {(r.file, r.line): r.raw for r in said.findings.rows} == {
        (row[0], row[1]): bytes(row[5])[: returnfile.RAW_LIMIT] for row in rows
    }
    return said


def leaf_of(sees: psycopg.Connection[Any], extract_id: str) -> str:
    row = sees.execute("select quarantine_table from control.extract where extract_id = %s", (extract_id,)).fetchone()
    assert row
    return str(row[0])


def dirty() -> list[str]:
    return [
        *visits(40),
        visits(1, 9)[0],
        line(visit_id="V5", sex="F"),
        line(visit_id="X", sex="?", citizen_id="1089000123"),
        line(visit_id="Y", birth_date="1985-02-30", total_amount="1e2"),
        "a,b",
        line(visit_id="Z") + ",more",
        line(visit_id='Q"R'),
        '"open,' + line(visit_id="W"),
        line(visit_id="N\0"),
        "x,x",
    ]


DELIVERIES: dict[str, Callable[[Sender], Delivery]] = {
    "clean": lambda s: s.rows(visits(20)),
    "dirty": lambda s: s.rows(dirty()),
    "dirty_gzip_in_two_files": lambda s: s.send(
        ["\n".join([header(), *dirty()]) + "\n", "\n".join([header(), *visits(5, 3), *dirty()[40:]]) + "\n"],
        format={"compression": "gzip"},
    ),
    "no_header": lambda s: s.send(["\n".join(dirty()) + "\n"], format={"header": False}),
    "semicolons": lambda s: s.send(
        ["\r\n".join([header(), *visits(3), line(sex="x")]).replace(",", ";")], format={"delimiter": ";"}
    ),
    "nothing_good": lambda s: s.rows(["a,b", "c,d"]),
    "header_renamed": lambda s: s.send([header().replace("sex", "gender") + "\n" + visits(1)[0] + "\n"]),
    "header_twice_wrong": lambda s: s.send([header().replace("sex", "gender") + ",extra\n" + visits(1)[0] + "\n"]),
    "no_header_line": lambda s: s.send(["a,b,c\n1,2,3\n"]),
    "wrong_rows": lambda s: s.rows(visits(3), rows=[4]),
    "wrong_sum": lambda s: s.rows(visits(3), change=lambda m: m["files"][0].update(sha256="0" * 64)),
    "wrong_size": lambda s: s.rows(visits(3), change=lambda m: m["files"][0].update(bytes=1)),
    "wrong_everything": lambda s: s.rows(
        visits(3), change=lambda m: (m.update(revision=0, produced_at="x"), m["files"].append({"name": "../x"}))
    ),
    "file_missing": lambda s: s.rows(visits(1), change=lambda m: m["files"].append(m["files"][0] | {"name": "b.csv"})),
    "not_json": lambda s: s.rows(visits(1), change=lambda m: m.update(period=float("nan"))),
    "future": lambda s: s.rows(visits(1), period="2999-01"),
    "cut_gzip": lambda s: s.send(
        [gzip.compress(("\n".join([header(), *visits(50)]) + "\n").encode())[:-20]], rows=[50],
        format={"compression": "gzip"},
    ),
    "endless_line": lambda s: s.send([header() + "\n" + "x" * (3 << 20)]),
    "no_rows": lambda s: s.rows([]),
    "no_files": lambda s: s.send([]),
}  # fmt: skip


@pytest.mark.parametrize("case", DELIVERIES)
def test_the_check_says_what_the_load_says(sender: Sender, sees: psycopg.Connection[Any], case: str) -> None:
    same_verdict(DELIVERIES[case](sender), sees)


def test_the_check_says_what_the_load_says_of_every_ministry_at_its_worst(
    sender: Sender, sees: psycopg.Connection[Any], tmp_path: Path
) -> None:
    synth.generate(tmp_path / "country", 1500, [Period(2024, 1)], 11, "heavy", lambda _: None)
    shutil.copytree(tmp_path / "country" / "landing", sender.landing)
    outcomes, reasons = set(), set()
    for found in load.pending():
        said = same_verdict(found, sees)
        outcomes.add(said.outcome)
        reasons |= set(said.findings.reasons)
    assert outcomes & {check.LOADABLE, check.BLOCKED}
    assert len(reasons) >= 8, reasons


BLOCKED: dict[str, tuple[Callable[[Sender], Delivery], set[str]]] = {
    "half_in_quarantine": (lambda s: s.rows([*visits(60), *["a,b"] * 60]), {"quarantined_share", "quarantined_few"}),
    "nothing_good": (lambda s: s.rows(["a,b", "c,d"]), {"rows_present"}),
    "a_few_in_quarantine": (lambda s: s.rows([*visits(60), *["a,b"] * 6]), {"quarantined_few"}),
    "sent_twice": (lambda s: s.rows([*visits(40), *visits(40)]), {"duplicates_few"}),
}


@pytest.mark.parametrize("case", BLOCKED)
def test_the_check_says_of_the_counts_what_gate_1_says(sender: Sender, case: str) -> None:
    send, expected = BLOCKED[case]
    delivery = send(sender)
    said = check.check(delivery.folder)
    done = load.stage(delivery)
    judged = gate.judge_extract(contract.load("health_visit"), done.extract_id)
    answers = {answer.check: answer for answer in judged.results if not answer.success}
    assert {one.check.id for one in said.gate} == expected
    assert expected <= set(answers)
    assert {answers[one.check.id].threshold for one in said.gate} == {one.threshold for one in said.gate}
    assert (said.outcome == check.BLOCKED) == (judged.outcome == "blocked")
    assert said.exit_code() == (3 if judged.outcome == "blocked" else 0)
    for language in ("vi", "en"):
        assert all(one.check.title[language] in "\n".join(said.lines()) for one in said.gate)


@pytest.mark.parametrize("kind", ["html", "xlsx"])
def test_the_load_gives_back_the_file_the_check_gave(sender: Sender, tmp_path: Path, kind: str) -> None:
    delivery = sender.rows(dirty())
    said = check.check(delivery.folder)
    assert said.contract is not None and said.heading is not None
    returnfile.write(tmp_path / f"own.{kind}", said.contract, said.heading, said.findings)
    [done] = load.load()
    given = settings().home / "returns" / "health_visit" / "2024-01" / f"{done.extract_id}.{kind}"
    assert given.read_bytes() == (tmp_path / f"own.{kind}").read_bytes()


def run(*arguments: str | Path, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """The command line where no database can be reached or started."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("P06_")}
    environment = kept | {"P06_HOME": str(home), "P06_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"} | more
    return subprocess.run(
        [sys.executable, "-m", "p06.cli", "check", *map(str, arguments)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def outside(tmp_path: Path) -> Sender:
    """A sender on a machine of its own: no landing, no home."""
    return Sender(tmp_path / "desk")


def test_no_database_and_no_home_is_needed(outside: Sender, tmp_path: Path) -> None:
    folder = outside.rows(dirty()).folder
    moved = folder.rename(tmp_path / "anything at all")
    done = run(moved, home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert "received 50 = duplicates 1 + quarantined" in done.stdout and "nhận được 50 = trùng lặp 1" in done.stdout
    assert not (tmp_path / "home").exists(), "not even a token key is made"


def test_the_check_does_not_load_a_database_driver(outside: Sender) -> None:
    probe = (
        "import sys; from pathlib import Path; from p06 import check, returnfile;"
        f" v = check.check(Path({str(outside.rows(dirty()).folder)!r}));"
        " print(v.outcome, sorted({'psycopg', 'sqlalchemy', 'p06.database', 'airflow'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", probe], text=True).strip() == "loadable []"


def test_a_refusal_names_every_mismatch_in_two_languages_and_ends_with_4(outside: Sender, tmp_path: Path) -> None:
    folder = outside.rows(visits(2), rows=[3], revision=0).folder
    done = run(folder, home=tmp_path / "home")
    assert done.returncode == 4
    assert "P06-LOAD-010" in done.stdout and "bị từ chối" in done.stdout and "refused" in done.stdout
    found = json.loads(run(folder, "--json", home=tmp_path / "home").stdout)
    assert [one["code"] for one in found["mismatches"]] == ["P06-LOAD-010"]
    assert all(found["mismatches"][0][name] for name in ("vi", "en", "next_vi", "next_en"))


def test_a_row_in_quarantine_is_no_refusal_unless_asked(outside: Sender, tmp_path: Path) -> None:
    folder = outside.rows([*visits(2), "a,b"]).folder
    assert run(folder, home=tmp_path).returncode == 0
    assert run(folder, "--strict", home=tmp_path).returncode == 4
    clean = outside.rows(visits(2), name="second").folder
    assert run(clean, "--strict", home=tmp_path).returncode == 0


def test_who_stops_reading_the_report_gets_the_return_file(outside: Sender, tmp_path: Path) -> None:
    folder, back = outside.rows(dirty()).folder, tmp_path / "back.csv"
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-u", "-m", "p06.cli", "check", str(folder), "--return", str(back)]
    done = subprocess.run(command, env=os.environ | {"P06_HOME": str(tmp_path)}, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert back.exists(), done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_no_value_is_shown_unless_asked(outside: Sender, tmp_path: Path) -> None:
    folder = outside.rows([line(citizen_id=CANARY, full_name="Lê Thị Canary", birth_date="1985-02-30")]).folder
    for flags in ([], ["--json"]):
        done = run(folder, *flags, "--return", tmp_path / "r.html", home=tmp_path)
        said = done.stdout + done.stderr + (tmp_path / "r.html").read_text()
        assert CANARY not in said and "Canary" not in said and "1985-02-30" not in said
    shown = run(folder, "--show-values", "--return", tmp_path / "r.html", home=tmp_path)
    assert CANARY in shown.stdout and CANARY in (tmp_path / "r.html").read_text()


def test_a_bare_file_is_counted_hashed_and_given_its_manifest(
    sender: Sender, sees: psycopg.Connection[Any], tmp_path: Path
) -> None:
    folder = sender.landing / "health_visit" / "2024-01" / "mine"
    folder.mkdir(parents=True)
    text = "\n".join([header(), *visits(7), line(quote=True, visit_id="L", full_name="Hai\ndòng"), "a,b"]) + "\n"
    (folder / "visits.csv.gz").write_bytes(gzip.compress(text.encode()))
    file = folder / "visits.csv.gz"
    done = run(file, "--source", "health_visit", "--period", "2024-01", "--write-manifest", home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    stated = json.loads((folder / "manifest.json").read_text())
    assert (stated["files"][0]["rows"], stated["files"][0]["bytes"]) == (9, file.stat().st_size)
    assert stated["format"]["compression"] == "gzip"
    said = same_verdict(Delivery("health_visit", "2024-01", "mine", folder), sees)
    assert said.heading is not None
    assert (said.heading.received, said.heading.quarantined) == (9, 1)
    again = run(file, "--source", "health_visit", "--period", "2024-01", "--write-manifest", home=tmp_path / "home")
    assert (again.returncode, "P06-CHECK-003" in again.stderr) == (2, True)
    assert json.loads((folder / "manifest.json").read_text()) == stated


ROWS = [{**VISIT, "visit_id": f"V{number}"} for number in range(5)] + [
    {**VISIT, "visit_id": "X", "birth_date": "1985-02-30"}
]


def as_csv(head: bool = True, **dialect: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, **dialect)
    writer.writerows([*([header().split(",")] if head else []), *(row.values() for row in ROWS)])
    return text.getvalue()


def as_jsonl() -> str:
    return "\n".join(json.dumps({name: value or None for name, value in row.items()}) for row in ROWS)


def as_parquet(*extra: str) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    target = io.BytesIO()
    parquet.write_table(pa.table({name: [row.get(name) or None for row in ROWS] for name in [*VISIT, *extra]}), target)
    return target.getvalue()


def as_xlsx(before: str | None = None, extra: str = "") -> bytes:
    import xlsxwriter

    target = io.BytesIO()
    book = xlsxwriter.Workbook(target)
    if before:
        book.add_worksheet(before).write_string(0, 0, "cover")
    sheet = book.add_worksheet("visits")
    for at, cells in enumerate([[*header().split(","), extra], *(row.values() for row in ROWS)]):
        for place, cell in enumerate(cells):
            if cell:
                sheet.write_string(at, place, cell)
    book.close()
    return target.getvalue()


BARE: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "v.csv": (lambda: as_csv().encode(), []),
    "v.csv.gz": (lambda: gzip.compress(as_csv().encode()), []),
    "v.csv.zst": (lambda: zstd.compress(as_csv().encode()), []),
    "v.csv.zstd": (lambda: zstd.compress(as_csv().encode()), []),
    "v.tsv": (lambda: as_csv(delimiter="\t").encode(), []),
    "tab.txt": (lambda: as_csv(delimiter="\t").encode(), ["--delimiter", "\\t"]),
    "dialect.csv": (lambda: as_csv(delimiter=";", quotechar="'").encode(), ["--delimiter", ";", "--quote", "'"]),
    "escaped.csv": (
        lambda: as_csv(escapechar="\\", doublequote=False).replace("Nguyễn", 'Nguyễn \\"An\\"').encode(),
        ["--escape", "\\"],
    ),
    "bare.csv": (lambda: as_csv(head=False).encode(), ["--no-header"]),
    "wide.csv": (lambda: encode(as_csv(), "utf-16"), ["--encoding", "utf-16"]),
    "old.csv": (lambda: encode(as_csv(), "tcvn3"), ["--encoding", "tcvn3"]),
    "v.jsonl": (lambda: as_jsonl().encode(), []),
    "v.ndjson.gz": (lambda: gzip.compress(as_jsonl().encode()), []),
    "v.parquet": (as_parquet, []),
    "v.xlsx": (as_xlsx, []),
    "second.xlsx": (lambda: as_xlsx("cover"), ["--sheet", "visits"]),
    "any.dat": (lambda: gzip.compress(as_csv().encode()), ["--kind", "csv", "--compression", "gzip"]),
}


@pytest.mark.parametrize("name", BARE)
def test_a_bare_file_of_every_kind_is_given_a_manifest_the_load_accepts(
    sender: Sender, sees: psycopg.Connection[Any], tmp_path: Path, name: str
) -> None:
    content, options = BARE[name]
    folder = sender.landing / "health_visit" / "2024-01" / "mine"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content())
    asked = ("--source", "health_visit", "--period", "2024-01", "--write-manifest", *options)
    done = run(folder / name, *asked, home=tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    said = same_verdict(Delivery("health_visit", "2024-01", "mine", folder), sees)
    assert said.heading is not None
    assert (said.heading.received, said.heading.staged) == (len(ROWS), 5)
    assert dict(said.findings.reasons) == {"type_date": 1}


SOMEBODY = "tran_thi_canary"  # a key of a data row: looks like a column's name, and is a person's
HEADED = "tran thi canary"  # in a header
NAMED_BY_A_PERSON: dict[str, tuple[str, Callable[[], bytes]]] = {
    "csv, added": ("csv", lambda: f"{header()},{HEADED}\n{line()},x\n".encode()),
    "csv, renamed": ("csv", lambda: as_csv().replace('"sex"', f'"{HEADED}"').encode()),
    "csv, twice": ("csv", lambda: f"{header()},{HEADED},{HEADED}\n{line()},x,x\n".encode()),
    "jsonl, first row": ("jsonl", lambda: json.dumps({SOMEBODY: "x", **VISIT}).encode() + b"\n" + as_jsonl().encode()),
    "jsonl, later row": ("jsonl", lambda: as_jsonl().encode() + b"\n" + json.dumps({**VISIT, SOMEBODY: 1}).encode()),
    "parquet": ("parquet", lambda: as_parquet(HEADED)),
    "xlsx": ("xlsx", lambda: as_xlsx(extra=HEADED)),
}


@pytest.mark.parametrize("case", NAMED_BY_A_PERSON)
def test_a_name_in_the_file_that_could_be_a_persons_is_shown_nowhere(
    sender: Sender, sees: psycopg.Connection[Any], tmp_path: Path, case: str
) -> None:
    kind, content = NAMED_BY_A_PERSON[case]
    delivery = sender.send([content()], rows=[2], format={"kind": kind})
    said = same_verdict(delivery, sees)
    shape = "AAAA AAA AAAAAA" if kind != "jsonl" else "AAAA_AAA_AAAAAA"
    shapes = [one for one in said.mismatches if shape in one.where.values()]
    assert shapes and all(one.where["position"] for one in shapes)
    told = [str(sees.execute("select mismatches from control.load_attempt").fetchall()), json.dumps(said.as_dict())]
    for options in (["--json"], ["--return", tmp_path / "r.html"]):
        done = run(delivery.folder, *options, home=tmp_path / "home")
        assert done.returncode == 4
        told += [done.stdout, done.stderr]
    sender.send([content()], rows=[2], format={"kind": kind}, name="again")
    [loaded] = load.load()
    assert loaded.error is not None
    told += [str(loaded.error), str(loaded.as_dict())]
    told += [path.read_text(errors="replace") for path in tmp_path.glob("r.*")]
    assert all(shape in one for one in told if "P06-LOAD-02" in one)
    assert SOMEBODY not in "".join(told) and HEADED not in "".join(told)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--encoding", "latin1"], "P06-LOAD-004"),
        (["--escape", "x"], "P06-LOAD-024"),
        (["--delimiter", "ab"], "P06-LOAD-024"),
        (["--sheet", "visits"], "P06-LOAD-004"),
        (["--compression", "gzip"], "P06-LOAD-019"),
    ],
)
def test_what_no_manifest_may_state_is_refused_and_none_is_written(
    outside: Sender, tmp_path: Path, options: list[str], code: str
) -> None:
    folder = outside.rows(visits(1)).folder
    (folder / "manifest.json").unlink()
    asked = ("--source", "health_visit", "--period", "2024-01", "--write-manifest", "--return", tmp_path / "r.html")
    done = run(folder / "part-0001.csv", *asked, *options, home=tmp_path)
    assert (done.returncode, code in done.stdout, "P06-CHECK-011" in done.stderr) == (4, True, True)
    assert "return file: none" in done.stderr and not (tmp_path / "r.html").exists()
    assert not (folder / "manifest.json").exists()


def test_a_manifest_that_stands_there_is_not_written_again(outside: Sender, tmp_path: Path) -> None:
    folder = outside.rows(visits(1)).folder
    done = run(folder, "--write-manifest", home=tmp_path)
    assert (done.returncode, "P06-CHECK-003" in done.stderr) == (2, True)


def test_an_empty_folder_is_refused_as_one_without_files(outside: Sender) -> None:
    folder = outside.rows(visits(1)).folder
    for path in folder.iterdir():
        path.unlink()
    said = check.check(folder, "health_visit", "2024-01")
    assert (said.outcome, [one.code for one in said.mismatches]) == ("refused", ["P06-LOAD-017"])


@pytest.mark.parametrize("rows", [1, 2, 300])
def test_a_folder_without_manifest_is_judged_as_a_whole(outside: Sender, rows: int) -> None:
    folder = outside.send(["\n".join([header(), *visits(rows)]) + "\n", header() + "\n" + line(visit_id="E")]).folder
    (folder / "manifest.json").unlink()
    said = check.check(folder, "health_visit", "2024-01")
    assert said.document is not None and said.heading is not None
    assert [file["rows"] for file in said.document["files"]] == [rows, 1]
    assert (said.heading.received, said.heading.staged) == (rows + 1, rows + 1)
    check.write_manifest(said)
    stated = check.check(folder)
    assert stated.stated and stated.heading == said.heading


def test_a_file_among_others_is_told_to_stand_alone(outside: Sender) -> None:
    folder = outside.send([header() + "\n" + line(), "other"]).folder
    (folder / "manifest.json").unlink()
    said = check.check(folder / "part-0001.csv", "health_visit", "2024-01")
    assert (said.outcome, [one.code for one in said.warnings]) == ("loadable", ["P06-CHECK-010"])


def test_no_manifest_is_written_for_what_would_be_refused(outside: Sender) -> None:
    folder = outside.send([header().replace("sex", "gender") + "\n" + line()]).folder
    (folder / "manifest.json").unlink()
    said = check.check(folder / "part-0001.csv", "health_visit", "2024-01")
    assert (said.outcome, [one.code for one in said.mismatches]) == ("refused", ["P06-LOAD-027"])
    with pytest.raises(P06Error) as raised:
        check.write_manifest(said)
    assert raised.value.code == "P06-CHECK-011"
    assert not (folder / "manifest.json").exists()


def test_a_link_or_a_pipe_is_refused_and_not_opened(outside: Sender) -> None:
    folder = outside.send([header() + "\n" + line()]).folder
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "pipe.csv")
    (folder / "link.csv").symlink_to(folder / "part-0001.csv")
    for name in ("pipe.csv", "link.csv"):
        said = check.check(folder / name, "health_visit", "2024-01")
        assert (said.outcome, {one.code for one in said.mismatches}) == ("refused", {"P06-LOAD-011"})


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("part-0001.csv", {}, "P06-CHECK-001"),
        ("nowhere.csv", {"source": "health_visit", "period": "2024-01"}, "P06-CHECK-002"),
        ("part-0001.dat", {"source": "health_visit", "period": "2024-01"}, "P06-CHECK-004"),
        ("part-0001.csv", {"source": "tax_return", "period": "2024-01"}, "P06-CONTRACT-002"),
        ("part-0001.csv", {"source": "health_visit", "period": "2024-1"}, "P06-PERIOD-001"),
    ],
)
def test_a_wrong_call_is_told_by_code(outside: Sender, name: str, options: dict[str, str], code: str) -> None:
    folder = outside.rows(visits(1)).folder
    (folder / "part-0001.dat").write_text("")
    with pytest.raises(UsageError) as raised:
        check.check(folder / name, **options)  # type: ignore[arg-type]
    assert raised.value.code == code


def test_source_and_period_named_beside_a_manifest_must_agree_with_it(outside: Sender) -> None:
    folder = outside.rows(visits(1)).folder
    said = check.check(folder, "bank_kyc", "2024-02")
    assert [one.code for one in said.mismatches] == ["P06-LOAD-009", "P06-LOAD-009"]


def test_the_row_range_of_the_contract_is_asked_about_before_the_gate_does(
    outside: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(settings().contracts, tmp_path / "contracts")
    path = tmp_path / "contracts" / "health_visit.odcs.yaml"
    path.write_text(path.read_text().replace("mustBeBetween: [1, 60000000]", "mustBeBetween: [3, 4]"))
    monkeypatch.setenv("P06_CONTRACTS", str(tmp_path / "contracts"))
    settings.cache_clear()
    try:
        assert contract.load("health_visit").min_rows == 3
        found = {
            rows: [one.code for one in check.check(outside.rows(visits(rows), name=f"d{rows}").folder).warnings]
            for rows in (2, 3, 5)
        }
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert found == {2: ["P06-CHECK-008"], 3: [], 5: ["P06-CHECK-009"]}


def test_the_manifest_reader_is_the_loads(outside: Sender) -> None:
    delivery = outside.rows(visits(1))
    _, manifest = manifests.read(delivery)
    said = check.check(delivery.folder)
    assert said.document == manifest.document
