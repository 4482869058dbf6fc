"""What readers see: stable views over the build tables, made once and only ever extended.

The tables below them are partitioned by period and build, or hold every register state; the views join the pointer, so
that publishing is a change of rows and no view is touched by a build.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from p06 import as_published, codelist, contract, database, fault, lock, project, published_figure
from p06.codelist import CodeListError
from p06.errors import Busy, P06Error
from p06.period import Period
from p06.project import MartColumn, Model
from p06.settings import settings

# Tables that hold every register state, and the schema each lives in.
SYSTEM_VERSIONED = {
    "dim_citizen": "build",
    "citizen_root": "vault",
    "citizen_history": "vault",
    "dim_citizen_identity": "vault",
}
HELD = {"register_row": "vault"}
# Months whose rows point at single records of a sender: quality officers read them, analysts do not.
OF_QUALITY = frozenset({"identity_finding"})
_WHO = (
    MartColumn("citizen_id", "text", "twelve-digit number, the newest held", "số định danh 12 chữ số, số mới nhất"),
    MartColumn("full_name", "text", "full name", "họ và tên"),
    MartColumn("birth_date", "date", "date of birth", "ngày sinh"),
)
_EDITION = (
    MartColumn("release_id", "text", "release the figure was published in", "lần công bố"),
    MartColumn("published_at", "timestamptz", "when that was", "thời điểm công bố"),
)
_FOUND = (
    MartColumn("period", "date", "first day of the month the data speak about", "ngày đầu của tháng dữ liệu"),
    MartColumn("source", "text", "the source", "nguồn dữ liệu"),
    MartColumn("kind", "text", "what was found; a code `p06 explain` knows", "loại phát hiện, tra bằng `p06 explain`"),
    MartColumn("records", "bigint", "rows of the source it was found on", "số dòng"),
)
_OF_EXTRACT = MartColumn("extract", "text", "the extract the row stands in", "bản trích chứa dòng")
_RELEASE = (
    MartColumn("release_id", "text", "name of the release: period and number", "tên lần công bố: kỳ và số thứ tự"),
    MartColumn("period", "date", "first day of its month", "ngày đầu của tháng dữ liệu"),
    MartColumn("build_id", "bigint", "the build it published", "lần dựng được công bố"),
    MartColumn("published_at", "timestamptz", "when that was", "thời điểm công bố"),
    MartColumn("gate", "text", "clean or warnings", "kết quả cổng chất lượng: clean hoặc warnings"),
    MartColumn("approved_by", "text", "who approved it, when that was asked for", "người phê duyệt, nếu cần"),
    MartColumn("current", "boolean", "whether readers see it now", "đang được phục vụ"),
)
_FOOTNOTE = (
    MartColumn("period", "date", "first day of the month the figure speaks about", "ngày đầu của tháng dữ liệu"),
    MartColumn("source", "text", "the source whose check it is, empty when a mart's", "nguồn có phép kiểm, để trống nếu là của kho"),
    MartColumn("mart", "text", "the mart the footnote concerns", "kho mà chú thích nói tới"),
    MartColumn("indicator_code", "text", "the indicator it concerns, empty when the mart as a whole",
               "chỉ tiêu liên quan, để trống nếu là cả kho"),
    MartColumn("check", "text", "name of the check", "tên phép kiểm"),
    MartColumn("dimension", "text", "one of the six words of data quality", "một trong sáu tiêu chí chất lượng dữ liệu"),
    MartColumn("severity", "text", "warn, or block when a waiver let it pass", "warn, hoặc block nếu được miễn trừ"),
    MartColumn("text_en", "text", "the footnote in English", "chú thích bằng tiếng Anh"),
    MartColumn("text_vi", "text", "the footnote in Vietnamese", "chú thích bằng tiếng Việt"),
    MartColumn("observed", "text", "what was found", "kết quả"),
    MartColumn("threshold", "text", "what was asked for", "ngưỡng"),
    MartColumn("waived_by", "text", "owner, end and reason of the waiver, empty when it only warned",
               "người miễn trừ, hạn và lý do; để trống nếu chỉ là cảnh báo"),
    MartColumn("extract_period", "date", "month of the extract the check is about, empty when a mart's",
               "tháng của bản trích được kiểm, để trống nếu là của kho"),
    MartColumn("release_id", "text", "the release that carries it", "lần công bố mang chú thích"),
    MartColumn("number", "integer", "its place among the footnotes of the release", "số thứ tự trong lần công bố"),
)  # fmt: skip
_AREA = (
    MartColumn("level", "text", "province or commune", "cấp: tỉnh hoặc xã"),
    MartColumn("code", "text", "code of the area; codes are used again with other meanings", "mã; mã có thể được dùng lại"),
    MartColumn("valid_from", "date", "first day of validity", "ngày bắt đầu hiệu lực"),
    MartColumn("valid_to", "date", "first day after it, empty while valid", "ngày hết hiệu lực, để trống nếu còn"),
    MartColumn("name", "text", "name", "tên"),
    MartColumn("parent_code", "text", "province of a commune", "tỉnh của xã"),
    MartColumn("district_code", "text", "former district of a commune before July 2025", "huyện cũ, trước tháng 7 năm 2025"),
)  # fmt: skip
_AREA_CHANGE = (
    MartColumn("level", "text", "province or commune", "cấp: tỉnh hoặc xã"),
    MartColumn("old_code", "text", "unit before the change", "đơn vị cũ"),
    MartColumn("new_code", "text", "unit after it", "đơn vị mới"),
    MartColumn("effective_date", "date", "day it took effect", "ngày hiệu lực"),
    MartColumn("kind", "text", "whole, or split over several units", "nhập nguyên (whole) hoặc chia tách (split)"),
    MartColumn("weight", "numeric", "share of the old unit, empty when unknown", "tỷ trọng, để trống nếu chưa biết"),
    MartColumn("is_default", "boolean", "the one successor the old unit is read as", "đơn vị kế thừa mặc định"),
)
_AREA_TODAY = (
    MartColumn("level", "text", "province or commune", "cấp: tỉnh hoặc xã"),
    MartColumn("code", "text", "code of the area while it was valid", "mã khi đơn vị còn hiệu lực"),
    MartColumn("valid_from", "date", "first day of validity; with level and code the key of dim_area",
               "ngày bắt đầu hiệu lực; cùng cấp và mã là khóa của dim_area"),
    MartColumn("valid_to", "date", "first day after it, empty while valid", "ngày hết hiệu lực, để trống nếu còn"),
    MartColumn("name", "text", "name", "tên"),
    MartColumn("today_code", "text", "the unit of the newest list it is read as: itself, or its default successor",
               "đơn vị của danh mục mới nhất thay cho nó: chính nó hoặc đơn vị kế thừa mặc định"),
    MartColumn("today_name", "text", "name of that unit", "tên đơn vị đó"),
    MartColumn("today_province_code", "text", "province of that unit", "tỉnh của đơn vị đó"),
    MartColumn("change", "text", "how it got there: none, whole (merged whole into one) or split",
               "cách chuyển: none (không đổi), whole (nhập nguyên) hoặc split (chia tách)"),
    MartColumn("changed_on", "date", "day of the last change, empty when there was none",
               "ngày thay đổi gần nhất, để trống nếu không có"),
    MartColumn("allocation_quality", "text", "exact, default (it was split and the default successor stands for it) or "
               "unknown (no successor is known)",
               "exact (chính xác), default (đã chia tách, lấy đơn vị mặc định) hoặc unknown (chưa biết)"),
    MartColumn("successors", "integer", "how many units of today hold it or a part of it",
               "số đơn vị hiện nay chứa toàn bộ hoặc một phần đơn vị này"),
    MartColumn("split_predecessors", "integer", "of a unit of today: former units that were split and have a part in it",
               "với đơn vị hiện nay: số đơn vị cũ đã chia tách có một phần nằm trong nó"),
)  # fmt: skip
_RESTATED = (
    MartColumn("today_commune_code", "text", "commune of the newest list the row is counted under",
               "xã theo danh mục mới nhất mà dòng được tính vào"),
    MartColumn("today_province_code", "text", "its province, exact whatever became of the commune",
               "tỉnh của xã đó, luôn chính xác dù xã thay đổi thế nào"),
    MartColumn("allocation_quality", "text", "exact, default (the unit was split, this is the default successor) or unknown",
               "exact (chính xác), default (đơn vị đã chia tách, lấy đơn vị mặc định) hoặc unknown (chưa biết)"),
    MartColumn("successors", "integer", "how many communes of today hold the unit or a part of it",
               "số xã hiện nay chứa toàn bộ hoặc một phần đơn vị này"),
)  # fmt: skip
_LEAF = re.compile(r".+__\d{6}__(\d+)")
_PATIENCE = 5.0  # seconds one detach waits for the readers of its mart, whom it does not hold up
_IN_VAIN = 15.0  # and those of one call that gain nothing: who reads one mart for long often reads all; releases wait


def sync() -> bool:
    """Make or extend the build tables and the views over them, and load the area lists; whether anything changed.

    Nothing readers see is ever dropped or renamed, columns are only added. What a reader holds is tried again. Raises P06Error
    P06-BUILD-005 when a published column would change its type, P06-BUILD-006 when an area list cannot be read, 007 when
    the register of printed figures cannot, Busy
    P06-DB-006 when a view has to change and one reader held it all the time.
    """
    return lock.patiently(_sync, "P06-DB-006")


def _sync() -> bool:
    stamp = _stamp()
    with database.connect("builder") as connection:
        known = dict(connection.execute("select name, sha256 from build.reference_list").fetchall())
        if known.get("marts") == stamp:
            return False
        models = project.models()
        connection.execute(sql.SQL("set local lock_timeout = {}").format(lock.WAIT))
        for name in ("area", "area_change"):
            if known.get(name) != codelist.hash(name):
                _load_areas(connection, name)
        if known.get("area_today") != _both_lists():
            connection.execute(_RESTATE_AREAS)
            _remember(connection, "area_today", _both_lists())
        for name, sha256 in published_figure.load(connection, known).items():
            _remember(connection, name, sha256)
        for model in models.values():
            _extend_table(connection, model)
    with database.connect("admin") as connection:
        connection.execute("set role p06_owner")
        connection.execute(sql.SQL("set local lock_timeout = {}").format(lock.WAIT))
        _edition_table(connection)
        made = {f"view {view[0]}.{view[1]}": _extend_view(connection, *view, known) for view in _views(models)}
        made |= _grant(connection, known)
        made |= as_published.define(connection, of_a_month(), known, restricted())
        # of before migration 0028, and no view's now
        if "release_id" in _columns(connection, "build", "indicator_edition"):
            connection.execute("alter table build.indicator_edition drop column release_id")
    with database.connect("builder") as connection:
        for name, sha256 in {**made, "marts": stamp}.items():
            _remember(connection, name, sha256)
    return True


def of_a_month(period: Period | None = None, received: Container[str] = ()) -> tuple[str, ...]:
    """The marts of a month for the readers of schema marts, by name; of a period, those its build makes.

    A build makes no fact of a source that was neither ``received`` for its period nor is due.
    """
    absent = contract.left_out(period, received) if period else ()
    idle = {contract.load(source).mart for source in absent}
    return tuple(
        sorted(name for name in project.models() if _is_month(name) and name not in OF_QUALITY and name not in idle)
    )


def restricted() -> frozenset[str]:
    """The fact marts that holders of p06_sensitive alone read, as their contracts say."""
    return frozenset(known.mart for known in contract.load_all().values() if known.mart and known.restricted)


def drop_builds(connection: psycopg.Connection[Any], builds: Sequence[int]) -> list[str]:
    """Drop the leaves of these builds (role builder, autocommit); returns the names of the dropped tables.

    A leaf that a transaction uses is left for the next call; readers never wait. That no older snapshot can ask for
    the builds is the caller's to know: a detached leaf is missing from all snapshots.
    """
    leaves = connection.execute(
        "select c.relname, p.relname, i.inhdetachpending from pg_class as c"
        " left join pg_inherits as i on i.inhrelid = c.oid left join pg_class as p on p.oid = i.inhparent"
        " where c.relnamespace = 'build'::regnamespace and c.relkind = 'r' order by i.inhdetachpending desc nulls last, 1"
    ).fetchall()
    dropped = []
    stuck = set()  # a parent takes no other detach until its pending one is finished
    in_vain = 0.0  # what gains something may go on, else leaves pile up faster than they go while readers are many
    for leaf, parent, pending in leaves:
        match = _LEAF.fullmatch(leaf)
        if match is None or int(match[1]) not in builds or parent in stuck:
            continue
        patience = min(_PATIENCE, max(_IN_VAIN - in_vain, 0.1))
        began = time.monotonic()
        try:
            # to finish what is pending locks the leaf while it waits, and snapshots of before it was marked still read it
            connection.execute(
                sql.SQL("set statement_timeout = {}; set lock_timeout = {}").format(
                    int(1000 * patience), lock.WAIT if pending else 0
                )
            )
            if parent is not None:
                detach = sql.SQL("alter table {} detach partition {} {}").format(
                    sql.Identifier("build", parent),
                    sql.Identifier("build", leaf),
                    sql.SQL("finalize" if pending else "concurrently"),
                )
                lock.patiently(partial(connection.execute, detach), "P06-DB-006", patience)
                fault.point("cleanup.detached")
            connection.execute(sql.SQL("drop table {}").format(sql.Identifier("build", leaf)))
            dropped.append(leaf)
            fault.point("cleanup.dropped")
        except (
            psycopg.errors.QueryCanceled,
            psycopg.errors.LockNotAvailable,
            psycopg.errors.ObjectNotInPrerequisiteState,
            Busy,
        ):
            stuck.add(parent)
            in_vain += time.monotonic() - began
        finally:
            connection.execute("reset statement_timeout; reset lock_timeout")
    return dropped


def renew_plans(connection: psycopg.Connection[Any], build_id: int) -> None:
    """Have every session look up anew where the build's leaves hang (role builder), before readers are pointed at it.

    A session that was planning while they were attached took note of that, and kept a plan without them all the same
    (docs/adr/0032). Nothing is changed and no reader waits.
    """
    parents = connection.execute(
        "select distinct p.relname from pg_class as c"
        " cross join pg_partition_ancestors(c.oid) as a inner join pg_class as p on p.oid = a.relid and p.relkind = 'p'"
        " where c.relnamespace = 'build'::regnamespace and c.relkind = 'r' and c.relname ~ %s order by 1",
        (rf"__\d{{6}}__{build_id}$",),
    ).fetchall()
    with connection.transaction():
        connection.execute(sql.SQL("set local lock_timeout = {}").format(lock.WAIT))
        for (parent,) in parents:
            connection.execute(
                sql.SQL("alter table only {} alter column build_id set statistics -1").format(
                    sql.Identifier("build", parent)
                )
            )


def builds_with_leaves(connection: psycopg.Connection[Any]) -> set[int]:
    """The numbers of the builds that still have a leaf in schema build."""
    names = connection.execute(
        "select relname from pg_class where relnamespace = 'build'::regnamespace and relkind = 'r'"
    ).fetchall()
    return {int(match[1]) for (name,) in names if (match := _LEAF.fullmatch(name))}


def _stamp() -> str:
    digest = hashlib.sha256()
    for model in project.models().values():
        digest.update(repr(model).encode())
    digest.update(repr(sorted(restricted())).encode())
    for part in (
        _WHO, _EDITION, _FOUND, _OF_EXTRACT, _RELEASE, _FOOTNOTE, _AREA, _AREA_CHANGE, _AREA_TODAY, _RESTATED, _RESTATE_AREAS,
        _TIMING,
    ):  # fmt: skip
        digest.update(repr(part).encode())
    digest.update(as_published.text().encode())
    digest.update(published_figure.stamp().encode())
    digest.update(_both_lists().encode())
    return digest.hexdigest()


def _both_lists() -> str:
    return f"{codelist.hash('area')} {codelist.hash('area_change')}"


def _remember(connection: psycopg.Connection[Any], name: str, sha256: str) -> None:
    connection.execute(
        "insert into build.reference_list (name, sha256) values (%s, %s)"
        " on conflict (name) do update set sha256 = excluded.sha256",
        (name, sha256),
    )


def _load_areas(connection: psycopg.Connection[Any], name: str) -> None:
    """Replace the content of an area table by the code list's; readers see the old one until the commit."""
    table, columns = ("dim_area", _AREA) if name == "area" else ("area_change", _AREA_CHANGE)
    try:
        if name == "area":
            stated = codelist.areas()
        else:
            text = (settings().codelists / f"{name}.csv").read_text("utf-8-sig")
            stated = list(csv.DictReader(io.StringIO(text), strict=True))
        rows = [[row[column.name] or None for column in columns] for row in stated]
        connection.execute(sql.SQL("delete from {}").format(sql.Identifier("build", table)))
        copy = sql.SQL("copy {} ({}) from stdin").format(
            sql.Identifier("build", table), sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
        )
        with connection.cursor() as cursor, cursor.copy(copy) as stream:
            for row in rows:
                stream.write_row(row)
    except (
        OSError,
        UnicodeError,
        csv.Error,
        KeyError,
        CodeListError,
        psycopg.DataError,
        psycopg.IntegrityError,
    ) as error:
        raise P06Error("P06-BUILD-006", list=name) from error
    _remember(connection, name, codelist.hash(name))


# Without statistics, which only their owner can take, loops over these tables are 30 times slower than hashing them.
_RESTATE_AREAS = """
set local enable_nestloop = off;
drop table if exists pg_temp.paths;
create temporary table paths on commit drop as
select
    p.*,
    count(*) over (partition by p.level, p.code, p.valid_from) as successors
from build.area_path as p;
analyze pg_temp.paths;

delete from build.area_today;
insert into build.area_today
with
parts as (
    select level, today_code, count(*) as split_units
    from pg_temp.paths
    where successors > 1
    group by level, today_code
)

select
    a.level,
    a.code,
    a.valid_from,
    a.valid_to,
    a.name,
    t.code as today_code,
    t.name as today_name,
    case when a.level = 'province' then t.code else t.parent_code end as today_province_code,
    case when p.changed_on is null then 'none' when p.successors > 1 then 'split' else 'whole' end as change,
    p.changed_on,
    case when t.code is null then 'unknown' when p.successors > 1 then 'default' else 'exact' end as allocation_quality,
    case when t.code is null then 0 else p.successors end as successors,
    case when a.valid_to is null then coalesce(s.split_units, 0) else 0 end as split_predecessors
from build.dim_area as a
inner join pg_temp.paths as p
    on p.level = a.level and p.code = a.code and p.valid_from = a.valid_from and p.is_default
left join build.dim_area as t on t.level = a.level and t.code = p.today_code and t.valid_to is null
left join parts as s on s.level = a.level and s.today_code = a.code;
set local enable_nestloop to default
"""


def _schema(model: str) -> str:
    return SYSTEM_VERSIONED.get(model) or HELD.get(model) or "build"


def _is_month(model: str) -> bool:
    return model not in SYSTEM_VERSIONED and model not in HELD


def _extend_table(connection: psycopg.Connection[Any], model: Model) -> None:
    table = sql.Identifier(_schema(model.name), model.name)
    present = _columns(connection, _schema(model.name), model.name)
    if not present:
        columns: list[sql.Composable] = [
            sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(c.type)) for c in model.columns
        ]
        if _is_month(model.name):
            columns = [sql.SQL("build_id bigint not null"), *columns, sql.SQL("constraint month not null period")]
        elif model.name in SYSTEM_VERSIONED:
            columns += [sql.SQL("from_state bigint not null"), sql.SQL("to_state bigint")]
        statement = sql.SQL("create table {} ({})").format(table, sql.SQL(", ").join(columns))
        if _is_month(model.name):
            statement = sql.SQL("{} partition by list (period)").format(statement)
        connection.execute(statement)
        return
    for column in model.columns:
        if column.name not in present:
            connection.execute(
                sql.SQL("alter table {} add column {} {}").format(
                    table, sql.Identifier(column.name), sql.SQL(column.type)
                )
            )
        elif present[column.name] != _canonical(connection, column.type):
            raise P06Error("P06-BUILD-005", mart=model.name, column=column.name)


def _grant(connection: psycopg.Connection[Any], known: Mapping[str, str]) -> dict[str, str]:
    """Give the views of each fact mart to whom its contract says; ``access <mart>`` -> what was given.

    A new view in schema marts is every reader's by default, so what a restricted mart gains is taken back here, in the
    transaction that made it.
    """
    closed = restricted()
    given = {}
    for entry in contract.load_all().values():
        if not entry.mart:
            continue
        views = [name for name in (entry.mart, f"{entry.mart}_restated") if _columns(connection, "marts", name)]
        state = f"{'restricted' if entry.mart in closed else 'open'}: {' '.join(views)}"
        given[f"access {entry.mart}"] = state
        before = known.get(f"access {entry.mart}", "open")
        if state == before or (before.startswith("open") and entry.mart not in closed):
            continue
        for view in views:
            for statement in _CLOSE if entry.mart in closed else _OPEN:
                connection.execute(sql.SQL(statement).format(sql.Identifier("marts", view)))
    return given


_READERS = ", ".join(as_published.READERS)  # a steward reads no mart
_CLOSE = (
    f"revoke all on {{}} from {_READERS}",
    f"grant select on {{}} to {as_published.RESTRICTED}",
)
_OPEN = (
    f"revoke all on {{}} from {as_published.RESTRICTED}",
    f"grant select on {{}} to {_READERS}",
)


def _edition_table(connection: psycopg.Connection[Any]) -> None:
    """The indicators of every build that passed its gate, and so of every release: the columns of build.indicator.

    control.keep_edition writes it, nobody else.
    """
    wanted = _columns(connection, "build", "indicator")
    if not _columns(connection, "build", "indicator_edition"):
        connection.execute(
            "create table build.indicator_edition (like build.indicator);"
            "create index on build.indicator_edition (indicator_code, period);"
            "create index on build.indicator_edition (build_id);"
            "grant select on build.indicator_edition to p06_builder, p06_publisher"
        )
    present = _columns(connection, "build", "indicator_edition")
    for name, kind in wanted.items():
        if name not in present:
            connection.execute(
                sql.SQL("alter table build.indicator_edition add column {} {}").format(
                    sql.Identifier(name), sql.SQL(kind)
                )
            )


def _columns(connection: psycopg.Connection[Any], schema: str, name: str) -> dict[str, str]:
    return dict(
        connection.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute"
            " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum",
            (f'"{schema}"."{name}"',),
        ).fetchall()
    )


def _canonical(connection: psycopg.Connection[Any], kind: str) -> str:
    name, _, modifier = kind.partition("(")
    row = connection.execute("select format_type(to_regtype(%s)::oid, null)", (name,)).fetchone()
    return f"{row[0] if row else name}({modifier}" if modifier else str(row[0] if row else name)


View = tuple[str, str, str, str, tuple[MartColumn, ...], str, str]


def _views(models: dict[str, Model]) -> Iterable[View]:
    """Schema, name, descriptions, columns, alias of the columns' table, from clause."""
    pointer = "control.register_state as s on t.from_state <= s.state and (t.to_state is null or t.to_state > s.state)"
    for model in models.values():
        if _is_month(model.name) and model.name not in OF_QUALITY:
            source = f"build.{model.name} as t inner join control.published as p using (period, build_id)"
            yield "marts", model.name, model.description_en, model.description_vi, model.columns, "t", source
            if restated := _restated(model):
                yield (
                    "marts", f"{model.name}_restated", f"{model.description_en}, restated to today's communes",
                    f"{model.description_vi}, quy về các xã hiện nay", (*model.columns, *_RESTATED), "t", restated,
                )  # fmt: skip
    citizen = models["dim_citizen"]
    yield (
        "marts", citizen.name, citizen.description_en, citizen.description_vi, citizen.columns, "t",
        f"build.dim_citizen as t inner join {pointer}",
    )  # fmt: skip
    yield (
        "identified", citizen.name, f"{citizen.description_en}, with who they are",
        f"{citizen.description_vi}, kèm danh tính", (*citizen.columns, *_WHO), "t",
        f"build.dim_citizen as t inner join {pointer}"
        " inner join vault.dim_citizen_identity as i on i.citizen_token = t.citizen_token"
        " and i.valid_from = t.valid_from and i.from_state <= s.state and (i.to_state is null or i.to_state > s.state)",
    )  # fmt: skip
    finding = models["identity_finding"]
    published = "build.identity_finding as f inner join control.published as p on p.period = f.period and p.build_id = f.build_id"
    yield (
        "quality", "identity_finding", "How many rows of each source raise a question about who that is",
        "Số dòng của mỗi nguồn có nghi vấn về nhân thân, theo loại", _FOUND, "t",
        f"(select f.period, f.source, f.kind, count(*) as records from {published} group by 1, 2, 3) as t",
    )  # fmt: skip
    yield (
        "quality", "identity_finding_row", finding.description_en, finding.description_vi,
        (*finding.columns, _OF_EXTRACT), "t",
        f"(select f.*, e.extract_id as extract from {published} left join control.build_extract as e"
        " on e.build_id = f.build_id and e.source = f.source and e.period = f.period) as t",
    )  # fmt: skip
    indicator = models["indicator"]
    yield (
        "marts", "indicator_edition", "Every edition of every indicator, for ever",
        "Mọi lần công bố của mọi chỉ tiêu, lưu vĩnh viễn", (*indicator.columns, *_EDITION), "t",
        f"(select {', '.join(f'i.{column.name}' for column in indicator.columns)}, r.release_id, r.published_at"
        " from build.indicator_edition as i inner join control.release as r using (build_id)) as t",
    )  # fmt: skip
    yield (
        "marts", "release", "What was published, and what readers see now", "Các lần công bố và bản đang phục vụ",
        _RELEASE, "t",
        "(select r.*, p.release_id is not null as current from control.release as r"
        " left join control.published as p using (release_id)) as t",
    )  # fmt: skip
    yield (
        "marts", "footnote", "What the current release of each month says beside its figures",
        "Chú thích đi kèm số liệu của bản đang phục vụ của mỗi kỳ", _FOOTNOTE, "t",
        "control.footnote as t inner join control.published as p on p.release_id = t.release_id and p.period = t.period",
    )  # fmt: skip
    yield (
        "marts", "scorecard_timing", "When the data of each source came and were published; measures like those of the scorecard",
        "Dữ liệu của từng nguồn được gửi và công bố khi nào; các số đo cùng dạng với scorecard",
        models["scorecard"].columns, "t", _TIMING,
    )  # fmt: skip
    yield (
        "marts", "dim_area", "Provinces and communes by the days their codes are valid",
        "Tỉnh và xã theo thời gian hiệu lực của mã", _AREA, "t", "build.dim_area as t",
    )  # fmt: skip
    yield (
        "marts", "area_change", "Which unit became which", "Đơn vị cũ chuyển thành đơn vị mới",
        _AREA_CHANGE, "t", "build.area_change as t",
    )  # fmt: skip
    yield (
        "marts", "area_today", "What every area, of whatever day, has become in the newest list",
        "Mỗi đơn vị hành chính, ở bất kỳ thời điểm nào, nay thuộc đơn vị nào theo danh mục mới nhất",
        _AREA_TODAY, "t", "build.area_today as t",
    )  # fmt: skip
    yield from published_figure.views()


def _restated(model: Model) -> str | None:
    """The from clause of a mart's rows beside what their commune is today; None for a mart whose rows have no commune."""
    names = {column.name for column in model.columns}
    if "commune_valid_from" in names:
        code, first, quality = "m.commune_code", "m.commune_valid_from", "a.allocation_quality"
    elif "residence_valid_from" in names:
        code, first = "m.residence_commune_code", "m.residence_valid_from"
        quality = (
            "case when m.is_default_residence and a.today_code is not null then 'default' else a.allocation_quality end"
        )
    else:
        return None
    return (
        f"(select m.*, coalesce(a.today_code, {code}) as today_commune_code, a.today_province_code,"
        f" coalesce({quality}, 'unknown') as allocation_quality, a.successors from build.{model.name} as m"
        f" left join build.area_today as a on a.level = 'commune' and a.code = {code} and a.valid_from = {first}) as t"
        " inner join control.published as p using (period, build_id)"
    )


# Days from the last day of the month, in Vietnam. What is late or not depends on when somebody acted, not on the data:
# hence beside the scorecard and not in it.
_TIMING = """(
    with waited as (
        select a.period, a.source, 'days_to_delivery' as measure, min(e.produced_at) as moment
        from control.accepted as a
        inner join control.extract as e on e.source = a.source and e.period = a.period
        group by a.period, a.source
        union all
        select r.period, i.source, 'days_to_publication', min(r.published_at)
        from control.release as r
        inner join control.build_extract as i on i.build_id = r.build_id and i.period = r.period
        group by r.period, i.source
    )
    select
        period, source, 'VN' as province_code, 'dung_chung' as word, measure, null::bigint as numerator, 1::bigint as denominator,
        greatest((moment at time zone interval '7 hours')::date - (period + interval '1 month - 1 day')::date, 0)::numeric(16, 10)
        as value, 'days' as unit
    from waited
) as t"""
_EXPRESSION = {
    ("identified", "citizen_id"): "lpad(i.citizen_id::text, 12, '0')",
    ("identified", "full_name"): "i.full_name",
    ("identified", "birth_date"): "i.birth_date",
    ("marts", "published_at"): "published_at",
}


def _extend_view(
    connection: psycopg.Connection[Any],
    schema: str,
    name: str,
    description_en: str,
    description_vi: str,
    columns: tuple[MartColumn, ...],
    alias: str,
    source: str,
    known: Mapping[str, str],
) -> str:
    """Create the view, or add columns at its end; those it has stay where they are. Returns a hash of its definition.

    Replacing a view waits for everyone who reads it, so a view that is defined so already (``known``) is left alone.
    """
    present = list(_columns(connection, schema, name))
    wanted = [*present, *(column.name for column in columns if column.name not in present)]
    view = sql.Identifier(schema, name)
    selected = [
        sql.SQL("{} as {}").format(
            sql.SQL(_EXPRESSION[schema, column])
            if (schema, column) in _EXPRESSION
            else sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(column)),
            sql.Identifier(column),
        )
        for column in wanted
    ]
    statement = sql.SQL("create or replace view {} as select {} from {}").format(
        view, sql.SQL(", ").join(selected), sql.SQL(source)
    )
    sha256 = hashlib.sha256(statement.as_string(connection).encode()).hexdigest()
    if not present or known.get(f"view {schema}.{name}") != sha256:
        connection.execute(statement)
    if schema == "quality":
        connection.execute(sql.SQL("grant select on {} to p06_quality").format(view))
    connection.execute(sql.SQL("comment on view {} is {}").format(view, f"{description_en} · {description_vi}"))
    for column in columns:
        connection.execute(
            sql.SQL("comment on column {}.{} is {}").format(
                view, sql.Identifier(column.name), f"{column.description_en} · {column.description_vi}"
            )
        )
    return sha256
