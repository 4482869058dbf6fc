"""Exports: a mart as a file somebody takes away, read as an analyst reads it, in one snapshot, a block at a time.

A restricted mart is read as ``sensitive`` when that is asked for with a reason; who took what and why is in the access log.

What is taken away says where it comes from: definitions, footnotes and the release stand beside the rows. Text that a
spreadsheet would take for a formula bears a ``'``, in every kind but parquet, unless it is asked for as it stands.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast, get_args

import psycopg
from psycopg import sql

from p06 import database, duty, seal
from p06.errors import P06Error, UsageError
from p06.period import Period
from p06.returnfile import FORMULAS, FORMULAS_DEFUSED, put, visible, workbook

Format = Literal["csv", "xlsx", "parquet", "package"]
Progress = Callable[[int, int], None]  # rows written, rows there are

SHEET_ROWS = 1_048_575  # beside the header
CELL = 32_767  # characters
BLOCK = 5_000  # rows fetched at a time
GROUP = 65_536  # rows of a row group of parquet
DESCRIPTION = "datapackage.json"
_BOM = "\ufeff".encode()


@dataclass(frozen=True)
class Column:
    """One column of a mart: its PostgreSQL type, and what the view's comment says it means."""

    name: str
    type: str
    description_en: str
    description_vi: str


@dataclass(frozen=True)
class Source:
    """The release a month of the export comes from."""

    release_id: str
    period: Period
    published_at: datetime
    gate: str


@dataclass(frozen=True)
class Mart:
    """What is exported: a view of schema marts, one month of it or all, and where the rows come from."""

    name: str
    description_en: str
    description_vi: str
    columns: tuple[Column, ...]
    period: Period | None
    sources: tuple[Source, ...]
    footnotes: tuple[tuple[str, str], ...]  # Vietnamese, English
    query: sql.Composed  # every column, rows in total order
    rows: int
    restricted: bool = False  # no plain analyst reads it

    @property
    def title(self) -> str:
        """Name, month and release, as a file may be called."""
        parts = [self.name]
        if len(self.sources) == 1:
            parts.append(self.sources[0].release_id)
        elif self.period is not None:
            parts.append(str(self.period))
        return "-".join(parts)

    @property
    def newest(self) -> datetime:
        """When the newest release in it was published; the beginning of time when it has none."""
        return max((source.published_at for source in self.sources), default=datetime(1970, 1, 1, tzinfo=timezone.utc))


@dataclass(frozen=True)
class Written:
    """One file of an export."""

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Exported:
    """What was written."""

    mart: str
    period: Period | None
    releases: tuple[str, ...]
    format: Format
    rows: int
    files: tuple[Written, ...]

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "mart": self.mart,
            "period": str(self.period) if self.period else None,
            "releases": list(self.releases),
            "format": self.format,
            "rows": self.rows,
            "files": [{"path": str(one.path), "bytes": one.bytes, "sha256": one.sha256} for one in self.files],
        }


def kind_of(to: Path, stated: str | None) -> Format:
    """The kind of file asked for, by name or by the ending. Raises UsageError P06-EXPORT-006."""
    kind = stated or to.suffix.lower().removeprefix(".")
    if kind not in get_args(Format):
        raise UsageError("P06-EXPORT-006")
    return cast(Format, kind)


def export(
    mart: str,
    to: Path,
    kind: Format,
    period: Period | None = None,
    release: str | None = None,
    bom: bool = False,
    raw: bool = False,
    progress: Progress = lambda done, of: None,
    purpose: str | None = None,
) -> Exported:
    """Write a mart into a file, or into a folder under a name of its own; a package is a folder.

    ``release`` is a kept release of the month, what readers see by default. ``bom`` marks csv as UTF-8 for
    spreadsheets. ``raw`` leaves text as it stands. ``purpose`` is why a restricted mart is taken: with it the reading role
    is ``sensitive``, and the access log says who took it before a row is read. Nothing is seen at its place before it is
    complete.
    Raises UsageError P06-EXPORT-001 .. 004, 008; UsageError P06-DUTY-004 (purpose); P06Error P06-EXPORT-005, 007; P06Error P06-RELEASE-009, 010 when the release
    is no longer kept.
    """
    why = None if purpose is None else duty.reason(purpose)
    with database.connect("analyst" if why is None else "sensitive") as connection:
        connection.execute("set transaction isolation level repeatable read read only")
        connection.execute("set local statement_timeout = 0")
        try:
            found = _mart(connection, mart, period, release)
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            code = str(error.diag.message_primary or "").partition(" ")[0]
            raise P06Error(code, period=period, release=release) from None
        if why is not None and found.restricted:
            _enter(found, why)
        try:
            files = _write(connection, found, to, kind, bom, raw, progress)
        except OSError as error:
            raise P06Error("P06-EXPORT-005", kind=type(error).__name__) from None
    return Exported(
        mart, found.period, tuple(source.release_id for source in found.sources), kind, found.rows, tuple(files)
    )


def marts(connection: psycopg.Connection[Any]) -> list[str]:
    """Every view of schema marts this session may read."""
    rows = connection.execute(
        "select c.relname from pg_class as c where c.relnamespace = 'marts'::regnamespace and c.relkind = 'v'"
        " and has_table_privilege(c.oid, 'select') order by 1"
    ).fetchall()
    return [name for (name,) in rows]


def _enter(mart: Mart, why: str) -> None:
    """Write into the access log who takes a restricted mart away, of which month, and why; kept whatever happens then."""
    of = " ".join(source.release_id for source in mart.sources) or "every month"
    with database.connect("admin") as connection:
        connection.execute(
            "insert into control.access_log (purpose, object) values (%s, %s)",
            (f"export for {duty.person()}: {why}", f"marts.{mart.name} {of}"),
        )
        seal.enter_entered(connection)


def _mart(connection: psycopg.Connection[Any], name: str, period: Period | None, release: str | None) -> Mart:
    known = marts(connection)
    if name not in known:
        if _is_restricted(connection, name):
            raise UsageError("P06-EXPORT-008", mart=name)
        raise UsageError("P06-EXPORT-001", known=" ".join(known))
    columns = _columns(connection, name)
    of_months = "period" in {column.name for column in columns}
    if period is not None and not of_months and name != "dim_citizen":
        raise UsageError("P06-EXPORT-003", mart=name)
    view: sql.Composable = sql.Identifier("marts", name)
    where: sql.SQL | sql.Composed = sql.SQL("")
    sources: tuple[Source, ...]
    if release is not None:
        source = _release(connection, release, period)
        period, sources = source.period, (source,)
        view = _as_published(connection, name, source, of_months)
    else:
        sources = _sources(connection, period) if of_months or name == "dim_citizen" else ()
        if period is not None and not sources:
            raise UsageError("P06-EXPORT-002", period=period)
    if period is not None:
        valid = "valid_from <= {day} and (valid_to is null or valid_to > {day})"
        condition = sql.SQL("where period = {day}" if of_months else f"where {valid}")
        where = condition.format(day=sql.Literal(period.first_day))
    listed = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    plain = sql.SQL(", ").join(_plain(column) for column in columns)
    query = sql.SQL("select {plain} from {view} {where} order by {columns}").format(
        plain=plain, columns=listed, view=view, where=where
    )
    columns = tuple(replace(one, type="text") if one.type.endswith("[]") else one for one in columns)
    count = connection.execute(sql.SQL("select count(*) from {} {}").format(view, where)).fetchone()
    comment = connection.execute("select obj_description(%s::regclass)", (f'marts."{name}"',)).fetchone()
    said = _both(comment[0] if comment else None)
    footnotes = _footnotes(connection, name, period, release, known)
    counted = int(count[0]) if count else 0
    closed = _is_restricted(connection, name)
    return Mart(name, *said, columns, period, sources, footnotes, query, counted, closed)


def _is_restricted(connection: psycopg.Connection[Any], name: str) -> bool:
    """Whether a view of schema marts is there that role sensitive reads and a plain analyst does not."""
    row = connection.execute(
        "select exists (select from pg_class where relnamespace = 'marts'::regnamespace and relkind = 'v'"
        " and relname = %s and has_table_privilege('p06_sensitive', oid, 'select')"
        " and not has_table_privilege('p06_analyst', oid, 'select'))",
        (name,),
    ).fetchone()
    return bool(row and row[0])


def _plain(column: Column) -> sql.Composable:
    """A column as every format can hold it: a list as one text."""
    name = sql.Identifier(column.name)
    return sql.SQL("array_to_string({0}, ', ') as {0}").format(name) if column.type.endswith("[]") else name


def _columns(connection: psycopg.Connection[Any], name: str) -> tuple[Column, ...]:
    rows = connection.execute(
        "select attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
        (f'marts."{name}"',),
    ).fetchall()
    return tuple(Column(column, kind, *_both(comment)) for column, kind, comment in rows)


def _both(comment: str | None) -> tuple[str, str]:
    """English and Vietnamese of a comment."""
    en, _, vi = (comment or "").partition(" · ")
    return en, vi


def _release(connection: psycopg.Connection[Any], release: str, period: Period | None) -> Source:
    row = connection.execute(
        "select release_id, period, published_at, gate from marts.release where release_id = %s", (release,)
    ).fetchone()
    if row is None or (period is not None and row[1] != period.first_day):
        raise UsageError("P06-EXPORT-002", period=period)
    return Source(row[0], Period.of(row[1]), row[2], row[3])


def _sources(connection: psycopg.Connection[Any], period: Period | None) -> tuple[Source, ...]:
    rows = connection.execute(
        "select release_id, period, published_at, gate from marts.release"
        " where current and (%(day)s::date is null or period = %(day)s) order by period",
        {"day": period.first_day if period else None},
    ).fetchall()
    return tuple(Source(name, Period.of(day), at, gate) for name, day, at, gate in rows)


def _as_published(connection: psycopg.Connection[Any], name: str, source: Source, of_months: bool) -> sql.Composable:
    """The mart as readers saw it when the release was published. Raises UsageError P06-EXPORT-003."""
    types = "timestamptz, date" if of_months else "timestamptz"
    row = connection.execute(
        "select to_regprocedure(%s) is not null", (f'marts."{name}_as_published"({types})',)
    ).fetchone()
    if not row or not row[0]:
        raise UsageError("P06-EXPORT-003", mart=name)
    arguments = [sql.Literal(source.published_at)] + ([sql.Literal(source.period.first_day)] if of_months else [])
    return sql.SQL("{}({}) as kept").format(
        sql.Identifier("marts", f"{name}_as_published"), sql.SQL(", ").join(arguments)
    )


def _footnotes(
    connection: psycopg.Connection[Any], name: str, period: Period | None, release: str | None, known: Iterable[str]
) -> tuple[tuple[str, str], ...]:
    """What the current releases say beside the mart's figures, where the warehouse keeps footnotes."""
    if "footnote" not in known:
        return ()
    rows = connection.execute(
        "select period, coalesce(indicator_code, mart), text_vi, text_en from marts.footnote where (mart = %(mart)s or %(mart)s like mart || '\\_%%')"
        " and (%(day)s::date is null or period = %(day)s) and (%(release)s::text is null or release_id = %(release)s)"
        " order by period, number",
        {"mart": name, "day": period.first_day if period else None, "release": release},
    ).fetchall()
    notes = ((f"{Period.of(day)} {of}: {vi}", f"{Period.of(day)} {of}: {en}") for day, of, vi, en in rows)
    return tuple(dict.fromkeys(notes))


def _write(
    connection: psycopg.Connection[Any], mart: Mart, to: Path, kind: Format, bom: bool, raw: bool, progress: Progress
) -> list[Written]:
    if kind == "package":
        return _package(connection, mart, to, bom, raw, progress)
    path = to / f"{mart.title}.{kind}" if to.is_dir() or not to.suffix else to
    with _draft(path) as draft:
        if kind == "csv":
            _csv(connection, mart, draft, bom, raw, progress)
        elif kind == "xlsx":
            _sheets(connection, mart, draft, raw, progress)
        else:
            _parquet(connection, mart, draft, progress)
        written = _seal(draft, path)
    return [written]


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """A file beside its place, put there when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _seal(draft: Path, path: Path) -> Written:
    with draft.open("rb+") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return Written(path, draft.stat().st_size, digest)


def _check(mart: Mart, rows: int) -> None:
    if rows != mart.rows:
        raise P06Error("P06-EXPORT-007", mart=mart.name, counted=mart.rows, read=rows)


def _csv(connection: psycopg.Connection[Any], mart: Mart, path: Path, bom: bool, raw: bool, progress: Progress) -> None:
    """Comma-separated UTF-8 as the server writes it: null is empty, an empty text is quoted."""
    shown = sql.SQL(", ").join(
        sql.SQL("{} as {}").format(_text(column, raw), sql.Identifier(column.name)) for column in mart.columns
    )
    statement = sql.SQL("copy (select {} from ({}) as t) to stdout (format csv, header)").format(shown, mart.query)
    with path.open("wb") as file, connection.cursor() as cursor:
        if bom:
            file.write(_BOM)
        with cursor.copy(statement) as stream:
            rows = -1  # the header
            for block in stream:
                file.write(block)
                rows += 1  # the server sends one message a row
                if rows % BLOCK == 0:
                    progress(rows, mart.rows)
    _check(mart, rows)
    progress(rows, mart.rows)


def _text(column: Column, raw: bool) -> sql.Composable:
    """A column as text: ISO 8601, ``true`` and ``false``, plain numbers; text defused."""
    name = sql.Identifier("t", column.name)
    if column.type.startswith("timestamp"):
        return sql.SQL("""to_char({} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""").format(name)
    if column.type == "boolean":
        return sql.SQL("case {} when true then 'true' when false then 'false' end").format(name)
    if not _is_text(column.type) or raw:
        return name
    return sql.SQL("case when left({0}, 1) = any({1}) then '''' || {0} else {0} end").format(
        name, sql.Literal(list(FORMULAS))
    )


def _is_text(kind: str) -> bool:
    return kind.startswith(("text", "character"))


def _rows(connection: psycopg.Connection[Any], mart: Mart, progress: Progress) -> Iterator[list[tuple[Any, ...]]]:
    """The rows in blocks, through a cursor of the server."""
    done = 0
    with connection.cursor(name="export") as cursor:
        cursor.execute(mart.query)
        while block := cursor.fetchmany(BLOCK):
            yield block
            done += len(block)
            progress(done, mart.rows)
    _check(mart, done)


def _sheets(connection: psycopg.Connection[Any], mart: Mart, path: Path, raw: bool, progress: Progress) -> None:
    """Sheets: the rows, the notes, the columns. Every text is written as a text, numbers that keep their value as numbers."""
    if mart.rows > SHEET_ROWS:
        raise UsageError("P06-EXPORT-004", rows=mart.rows)
    book, bold = workbook(path, mart.name, str(mart.period or Period.of(mart.newest.date())))
    with closing(book):  # its temporary files go, also when it breaks off
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        page: Any = book.add_worksheet("Dữ liệu · Data")
        page.freeze_panes(1, 0)
        page.set_column(0, len(mart.columns) - 1, 16)
        put(page, 0, [column.name for column in mart.columns], bold)
        last = 0
        for block in _rows(connection, mart, progress):
            for row in block:
                last += 1
                for where, cell in enumerate(row):
                    _cell(page, last, where, cell, day, raw)
        page.autofilter(0, 0, last, len(mart.columns) - 1)
        page = book.add_worksheet("Ghi chú · Notes")
        page.set_column(0, 1, 70)
        for at, (vi, en) in enumerate(_notes(mart, raw)):
            put(page, at, [visible(vi), visible(en)])
        page = book.add_worksheet("Cột · Columns")
        page.set_column(0, 1, 24)
        page.set_column(2, 3, 60)
        put(page, 0, ("Cột · Column", "Kiểu · Type", "Ý nghĩa", "Meaning"), bold)
        for at, column in enumerate(mart.columns, 1):
            put(page, at, (column.name, column.type, column.description_vi, column.description_en))


def _cell(page: Any, row: int, at: int, value: Any, day: Any, raw: bool) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        page.write_boolean(row, at, value)
    elif isinstance(value, int | Decimal) and _exact(value):
        page.write_number(row, at, float(value))
    elif isinstance(value, datetime):
        page.write_string(row, at, value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z"))
    elif isinstance(value, date) and value.year > 1900:  # a sheet knows no earlier days
        page.write_datetime(row, at, value, day)
    else:
        text = str(value)
        text = text if raw or not text.startswith(FORMULAS) else f"'{text}"
        if len(text) > CELL:  # the library would leave the cell empty
            raise UsageError("P06-EXPORT-004", row=row, characters=len(text))
        page.write_string(row, at, text)


def _exact(value: int | Decimal) -> bool:
    """Whether a sheet's number, which has fifteen digits, keeps the value."""
    digits = Decimal(value).normalize().as_tuple().digits
    return Decimal(value).is_finite() and len(digits) <= 15


def _notes(mart: Mart, raw: bool) -> list[tuple[str, str]]:
    """(Vietnamese, English) of what whoever opens the file must know."""
    told = [
        (f"Kho dữ liệu: {mart.name}", f"Mart: {mart.name}"),
        (mart.description_vi, mart.description_en),
        (f"Số dòng: {mart.rows}", f"Rows: {mart.rows}"),
    ]
    for source in mart.sources:
        at = source.published_at.astimezone(timezone.utc).isoformat(timespec="seconds")
        told.append(
            (
                f"Kỳ {source.period}: lần công bố {source.release_id}, {at}, kết quả cổng: {source.gate}",
                f"Period {source.period}: release {source.release_id}, {at}, gate: {source.gate}",
            )
        )
    told += [(f"Chú thích: {vi}", f"Footnote: {en}") for vi, en in mart.footnotes]
    if mart.restricted:
        told.append(
            (
                "Dữ liệu hạn chế: chỉ vai trò sensitive được đọc, việc xuất đã ghi vào nhật ký truy cập. Giữ ở nơi chỉ những người đó mở được.",
                "Restricted: read by role sensitive alone, and the export is in the access log. Keep it where they alone can open it.",
            )
        )
    told += [
        (
            "Ô trống: không có giá trị; ở các cột đếm theo nguồn nghĩa là chưa nhận được nguồn của kỳ.",
            "An empty cell: no value; in columns that count a source, that the month's source was not received.",
        ),
        (
            "Mã số thay cho người (citizen_token) không phải số định danh nhưng vẫn là dữ liệu cá nhân: không chuyển tiếp.",
            "A citizen_token is not the citizen's number, but stands for a person: do not pass rows with it on.",
        ),
    ]
    return told if raw else [*told, FORMULAS_DEFUSED]


def _parquet(connection: psycopg.Connection[Any], mart: Mart, path: Path, progress: Progress) -> None:
    """One row group each 65,536 rows; exact types; where it comes from in the file's own metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = [_arrow(kind) for kind in _exact_types(connection, mart)]
    about = {"p06": json.dumps(_about(mart), ensure_ascii=False)}
    schema = pa.schema(
        [
            pa.field(column.name, kind, metadata={"en": column.description_en, "vi": column.description_vi})
            for column, kind in zip(mart.columns, types, strict=True)
        ],
        metadata=about,
    )

    def table(rows: list[tuple[Any, ...]]) -> Any:
        columns = zip(*rows, strict=True) if rows else [()] * len(types)
        return pa.table(
            [
                pa.array([_value(value, kind) for value in values], kind)
                for values, kind in zip(columns, types, strict=True)
            ],
            schema=schema,
        )

    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        waiting: list[tuple[Any, ...]] = []
        for block in _rows(connection, mart, progress):
            waiting += block
            if len(waiting) >= GROUP:
                writer.write_table(table(waiting))
                waiting = []
        if waiting:
            writer.write_table(table(waiting))


def _exact_types(connection: psycopg.Connection[Any], mart: Mart) -> list[str]:
    """The columns' types; a numeric without bounds gets those its values need, ten decimals at least."""
    kinds = [column.type for column in mart.columns]
    for at, column in enumerate(mart.columns):
        if column.type != "numeric":
            continue
        name = sql.Identifier("t", column.name)
        row = connection.execute(
            sql.SQL("select coalesce(max(scale({0})), 0), coalesce(max(trunc(abs({0}))), 0) from ({1}) as t").format(
                name, mart.query
            )
        ).fetchone()
        assert row is not None
        scale = max(10, row[0])
        kinds[at] = f"numeric({38 if len(str(row[1])) + scale <= 38 else 1000},{scale})"
    return kinds


def _arrow(kind: str) -> Any:
    """The type of parquet for a type of PostgreSQL; what has no exact one there is text."""
    import pyarrow as pa

    known = {
        "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(), "boolean": pa.bool_(), "date": pa.date32(),
        "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    if kind.startswith("numeric("):
        precision, scale = map(int, kind[len("numeric(") : -1].split(","))
        return pa.decimal128(precision, scale) if precision <= 38 else pa.string()
    return known.get(kind, pa.string())


def _value(value: Any, kind: Any) -> Any:
    import pyarrow as pa

    return value if value is None or not pa.types.is_string(kind) or isinstance(value, str) else str(value)


def _package(
    connection: psycopg.Connection[Any], mart: Mart, to: Path, bom: bool, raw: bool, progress: Progress
) -> list[Written]:
    """A folder with the rows as csv and, written last, their description as a data package (Frictionless)."""
    if to.exists() and not (to.is_dir() and (not any(to.iterdir()) or (to / DESCRIPTION).is_file())):
        raise P06Error("P06-EXPORT-005")
    to.mkdir(parents=True, exist_ok=True)
    (to / DESCRIPTION).unlink(missing_ok=True)
    path = to / f"{mart.name}.csv"
    with _draft(path) as draft:
        _csv(connection, mart, draft, bom, raw, progress)
        data = _seal(draft, path)
    with _draft(to / DESCRIPTION) as draft:
        text = json.dumps(_description(mart, data, raw), ensure_ascii=False, indent=2)
        draft.write_text(text + "\n", encoding="utf-8")
        description = _seal(draft, to / DESCRIPTION)
    return [data, description]


def _about(mart: Mart) -> dict[str, Any]:
    """Where the rows come from, for programs."""
    return {
        "mart": mart.name,
        "period": str(mart.period) if mart.period else None,
        "rows": mart.rows,
        "restricted": mart.restricted,
        "releases": [
            {
                "release_id": source.release_id,
                "period": str(source.period),
                "published_at": source.published_at.astimezone(timezone.utc).isoformat(),
                "gate": source.gate,
            }
            for source in mart.sources
        ],
        "footnotes": [{"vi": vi, "en": en} for vi, en in mart.footnotes],
    }


def _description(mart: Mart, data: Written, raw: bool) -> dict[str, Any]:
    return {
        "profile": "tabular-data-package",
        "name": f"p06-{mart.title}".lower(),
        "title": f"{mart.description_vi} · {mart.description_en}",
        "description": "\n".join(f"{vi}\n{en}" for vi, en in _notes(mart, raw)),
        "created": mart.newest.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "sources": [{"title": f"p06 {source.release_id}"} for source in mart.sources] or [{"title": "p06"}],
        "resources": [
            {
                "profile": "tabular-data-resource",
                "name": mart.name,
                "path": data.path.name,
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "bytes": data.bytes,
                "hash": f"sha256:{data.sha256}",
                "dialect": {"delimiter": ",", "quoteChar": '"', "doubleQuote": True, "header": True},
                "schema": {"fields": [_field(column) for column in mart.columns], "missingValues": [""]},
            }
        ],
        "p06": _about(mart) | {"formulas_defused": not raw},
    }


def _field(column: Column) -> Mapping[str, Any]:
    kind = column.type.partition("(")[0]
    known = {
        "smallint": "integer", "integer": "integer", "bigint": "integer", "numeric": "number", "boolean": "boolean",
        "date": "date", "timestamp with time zone": "datetime",
    }  # fmt: skip
    field: dict[str, Any] = {"name": column.name, "type": known.get(kind, "string")}
    if kind == "uuid":
        field["format"] = "uuid"
    if kind == "timestamp with time zone":
        field["format"] = "any"
    return field | {"description": f"{column.description_vi} · {column.description_en}"}
