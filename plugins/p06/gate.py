"""The gates: an extract (gate 1) or a build (gate 2) judged by its suites through Great Expectations.

Numbers are taken from the database in our own read-only session, one scan for all measures of a subject; Great
Expectations decides on them and on the rows themselves. What crashes blocks, and nothing stored or said holds a value.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, cast

import psycopg
from psycopg import sql

from p06 import codelist, database, history, seal, suite
from p06 import contract as contracts
from p06.dimension import Dimension
from p06.errors import P06Error
from p06.memory import only_new_garbage
from p06.period import Period
from p06.profile import Keeper
from p06.suite import Check, Kind, Severity, Suite

if TYPE_CHECKING:
    from p06.contract import Contract

Outcome = Literal["pass", "warnings", "blocked"]

# Counts and shares only: no value of any row is fetched or kept.
RESULT_FORMAT = {
    "result_format": "SUMMARY",
    "partial_unexpected_count": 0,
    "exclude_unexpected_values": True,
    "include_unexpected_rows": False,
}
# Fresh partitions have no statistics yet: a nested loop over 100 thousand rows took six minutes instead of a second,
# a merge fed by the index of 300 thousand citizens three times what hashing them does.
SESSION = ("timezone = 'UTC'", "enable_nestloop = off", "enable_mergejoin = off", "default_transaction_read_only = on")
_EXACT = 10**8  # larger figures are shown with six digits, too few to be anybody's number
_CLASS = re.compile(r"\bpsycopg\.errors\.(\w+)")
# What a check may name as being to blame: reasons, sources, codes; nothing long enough to be somebody's number.
_NAMED = re.compile(r"[a-z][a-z0-9_]{0,40}|[A-Z]{0,3}[0-9]{0,5}")


@dataclass(frozen=True)
class CheckResult:
    """The answer to one check. ``observed`` and ``threshold`` are figures in words, never values of people."""

    source: str | None
    mart: str | None
    check: str
    title_en: str
    title_vi: str
    dimension: Dimension
    severity: Severity
    success: bool
    observed: str | None
    threshold: str | None
    owner: str
    reason: str
    waived_by: str | None = None
    reason_vi: str = ""
    waiver_lapsed: str | None = None  # why a waiver of this check does not cover it

    @property
    def blocks(self) -> bool:
        """Whether this alone stops the extract or the build."""
        return not self.success and self.severity == "block" and self.waived_by is None


@dataclass(frozen=True)
class Verdict:
    """What a gate decided, and every answer it rests on; ``run`` is the name they are stored under."""

    outcome: Outcome
    results: tuple[CheckResult, ...]
    run: str = ""


@dataclass(frozen=True)
class _Answer:
    success: bool
    observed: str | None
    figure: float | None = None  # what a waiver's count is compared with
    crashed: bool = False
    too_low: bool = False  # it failed for being too small


@dataclass(frozen=True)
class _Subject:
    """The rows one suite speaks of, and what the places in its texts stand for."""

    suite: Suite
    places: Mapping[str, str]
    query: str
    limits: Mapping[str, int | None] | None = None  # contract.min_rows, contract.max_rows
    year: int = 0  # of the as-of date
    keeper: Keeper | None = None  # of a build: what published months it is compared with


def judge_extract(contract: Contract, extract_id: str, replay: str | None = None) -> Verdict:
    """Gate 1: one staged extract by itself, its manifest and its contract.

    ``replay`` is the leaf of a replay that would take the place of the extract's rows; it is judged instead of them.
    The extract must be committed. Answers are stored as ``extract:<id>`` (``#2``, ``#3`` … when judged again).
    Raises P06Error P06-GATE-010 when there is no such extract; a suite that cannot be read blocks.
    """
    with database.connect("loader", autocommit=True) as connection:
        row = connection.execute(
            "select period, staging_table, admin_code_version from control.extract"
            " where extract_id = %s and source = %s",
            (extract_id, contract.source),
        ).fetchone()
        if row is None:
            raise P06Error("P06-GATE-010", source=contract.source)
        period, leaf = Period.of(row[0]), str(row[1]).rpartition(".")[2]
        results = _results("source", contract.source, period)
        if not results:
            literal = sql.Literal(extract_id).as_string(connection)
            as_of = period.as_of(contract.cut_off_day)
            failed, counts = _FAILED.format(extract=literal), "control.extract where"
            if replay is not None:
                leaf = replay
                failed = _FAILED_IN_REPLAY.format(
                    quarantine=sql.Identifier("quarantine", leaf).as_string(connection),
                    source=sql.Literal(contract.source).as_string(connection),
                )
                counts = f"control.replay where leaf = {sql.Literal(leaf).as_string(connection)} and"
            told = _EXTRACT.format(
                extract=literal,
                as_of=_day(as_of),
                first_day=_day(contract.first_day(period)),
                failed=failed,
                counts=counts,
            )
            places = {
                "rows": sql.Identifier("staging", leaf).as_string(connection),
                "failed_rows": failed,
                "extract": f"({told})",
                "first_day": _day(contract.first_day(period)),
                "as_of": _day(as_of),
                "year": str(as_of.year),
                "source": sql.Literal(contract.source).as_string(connection),
            }
            asked = suite.load_source(contract.source)
            if "provinces" in suite.places_of(asked.checks):
                places["provinces"] = _provinces(connection, places["rows"], contract.at(period), row[2])
            subject = _Subject(
                asked,
                places,
                year=as_of.year,
                query=f"select * from {places['rows']}",
                limits={"contract.min_rows": contract.min_rows, "contract.max_rows": contract.max_rows},
            )
            results = _judge(connection, "loader", [subject], period)
        return _store(connection, f"extract:{extract_id}", period, results, extract_id=extract_id)


def judge_build(period: Period, build_id: int, state: int | None = None) -> Verdict:
    """Gate 2: every mart of one build, and the register state it will publish (default: the one its row names).

    The fact of a source that is neither pinned for the period nor due is left alone.

    Answers are stored as ``build:<id>`` (``#2`` … when judged again). Raises P06Error P06-GATE-011 when the period
    has no such build; a suite that cannot be read blocks.
    """
    with database.connect("builder", autocommit=True) as connection:
        row = connection.execute(
            "select register_state_after from control.build where build_id = %s and period = %s",
            (build_id, period.first_day),
        ).fetchone()
        if row is None:
            raise P06Error("P06-GATE-011", period=period)
        published = dict(
            connection.execute(
                "select period, build_id from control.published where period = any(%s)",
                ([period.first_day, period.shift(-1).first_day],),
            ).fetchall()
        )
        received = connection.execute(
            "select source from control.build_extract where build_id = %s and period = %s", (build_id, period.first_day)
        ).fetchall()
        results: list[CheckResult] = []
        subjects = []
        keeper = Keeper(connection, period, build_id)
        for mart in suite.marts_of(period, [source for (source,) in received]):
            broken = _results("mart", mart, period)
            results += broken
            if not broken:
                subject = _mart_subject(mart, period, build_id, row[0] if state is None else state, published)
                subjects.append(replace(subject, keeper=keeper))
        if not subjects and not results:
            results.append(_broken("mart", "marts", "suite", suite.SuiteError("P06-GATE-001")))
        results += _judge(connection, "builder", subjects, period)
        return _store(connection, f"build:{build_id}", period, results, build_id=build_id, keeper=keeper)


def source_key(source: str) -> str:
    """Hash of the suite and waivers that decide about a source; gate 1 is asked again when it changed."""
    return suite.key("source", [source])


def marts_key() -> str:
    """Hash of the suites and waivers that decide about a build; a blocked build is tried again when it changed."""
    return suite.key("mart", suite.marts())


# The counts of one extract. `counted` leaves out rows quarantined only because the area list of their time is missing.
_EXTRACT = """
    select
        c.received, c.duplicates, c.quarantined, c.staged, e.produced_at,
        {first_day} as first_day, {as_of} as as_of,
        (select sum((f ->> 'rows')::bigint) from jsonb_array_elements(e.manifest -> 'files') as f) as stated,
        c.quarantined - (
            select count(*) from (
                select from {failed} as f
                group by file_no, line having bool_and(reason = 'area_list_missing')
            ) as only_list
        ) as counted,
        (c.area_codes ->> 'coded')::bigint as area_coded,
        (c.area_codes ->> 'own')::bigint as area_own,
        (c.area_codes ->> 'own_expected')::numeric as area_own_expected,
        (c.area_codes ->> 'other')::bigint as area_other,
        (c.area_codes ->> 'districts')::bigint as area_districts,
        (c.area_codes ->> 'likely')::date as area_likely
    from control.extract as e
    cross join (
        select received, duplicates, quarantined, staged, area_codes from {counts} extract_id = {extract}
    ) as c
    where e.extract_id = {extract}
"""
_FAILED = "(select * from quality.failed_row where extract = {extract})"
_FAILED_IN_REPLAY = """(
    select {source} as source, q.period, q.extract_id as extract, q.file_no::integer, q.line, f.failed as "column", f.reason
    from {quarantine} as q cross join lateral unnest(q.columns, q.reasons) as f (failed, reason)
)"""


def _provinces(connection: psycopg.Connection[Any], rows: str, contract: Contract, version: date) -> str:
    """Rows per province of the list the extract declares, those without a row too: ``province_code``, ``rows``."""
    provinces = codelist.provinces(version)
    counted = dict.fromkeys(provinces.values(), 0)
    area = contract.commune_column
    if area is None and contract.province_column:
        area, provinces = contract.province_column, {code: code for code in counted}
    if area:
        column = sql.Identifier(area).as_string(connection)
        try:
            with connection.transaction():
                found = connection.execute(f"select {column}, count(*) from {rows} group by 1".encode()).fetchall()
        except psycopg.Error:  # whatever is wrong with the rows, the checks that ask of them say so
            return "(select null::text as province_code, 1 / 0 as rows)"
        for code, count in found:
            if code in provinces:
                counted[provinces[code]] += count
    told = ", ".join(
        f"({sql.Literal(code).as_string(connection)}, {int(count)}::bigint)" for code, count in sorted(counted.items())
    )
    return f"(select * from (values {told}) as v (province_code, rows))"


def _day(day: date) -> str:
    return f"date '{day.isoformat()}'"


def _results(kind: Kind, name: str, period: Period) -> list[CheckResult]:
    """One blocking answer when the suite or the waivers cannot be read, nothing otherwise."""
    for check in ("suite", "waivers"):
        try:
            if check == "waivers":
                suite.waivers()
            elif kind == "source":
                suite.load_source(name)
            else:
                suite.load_mart(name)
        except suite.SuiteError as error:
            return [_broken(kind, name, check, error)]
    return []


def _broken(kind: Kind, name: str, check: str, error: P06Error) -> CheckResult:
    return CheckResult(
        source=name if kind == "source" else None,
        mart=name if kind == "mart" else None,
        check=check,
        title_en="The gate's own files can be read",
        title_vi="Đọc được các tệp của cổng",
        dimension="thong_nhat",
        severity="block",
        success=False,
        observed=f"crash: {error.code}",
        threshold=None,
        owner="data-engineering",
        reason=error.what(),
        reason_vi=error.what("vi"),
    )


def _mart_subject(mart: str, period: Period, build_id: int, state: int, published: Mapping[date, int]) -> _Subject:
    """The rows of one mart of the build, and the other tables its checks may look at."""
    asked = suite.load_mart(mart)

    def rows(name: str, day: date, build: int | None) -> str:
        table = sql.Identifier("build", name).as_string(None)
        if build is None:
            return f"select * from {table} where false"
        return f"select * from {table} where period = {_day(day)} and build_id = {int(build)}"

    visible = f"from_state <= {int(state)} and (to_state is null or to_state > {int(state)})"
    people = f"select * from build.dim_citizen where {visible}"
    query = rows(mart, period.first_day, build_id)
    if mart == "dim_citizen":
        # what the newest state changed: earlier states were judged when they were written
        touched = f"select citizen_token from build.dim_citizen where from_state = {int(state)}"
        query = f"{people} and (from_state = {int(state)} or citizen_token in ({touched}))"
    places = {
        "rows": f"({query})",
        "dim_citizen": f"({people})",
        "first_day": _day(period.first_day),
        "as_of": _day(period.as_of()),
        "build_id": str(int(build_id)),
        "state": str(int(state)),
        "source": sql.Literal(asked.of_source).as_string(None),
        "register_form": sql.Literal(_register_form(period)).as_string(None),
    }
    for place in suite.places_of(asked.checks) - set(places):
        when, dot, name = place.rpartition(".")
        day = period.shift(-1).first_day if when == "previous" else period.first_day
        build = published.get(day) if dot else build_id
        places[place] = f"({rows(mart if name == 'rows' else name, day, build)})"
    return _Subject(asked, places, query)


def _register_form(period: Period) -> str | None:
    """What the register's month holds by its contract, None when there is no such contract."""
    forms = (known.register_form(period) for known in contracts.load_all().values() if known.kind == "register")
    return next(forms, None)


def _judge(
    connection: psycopg.Connection[Any], role: str, subjects: Sequence[_Subject], period: Period
) -> list[CheckResult]:
    """The answers of every subject, in the order of the suites."""
    answers: list[dict[str, _Answer]] = []
    try:
        for setting in SESSION:
            connection.execute(f"set {setting}".encode())
        with _Expectations(role, subjects) as expectations, only_new_garbage():
            answers.extend(_answers(connection, expectations, subject) for subject in subjects)
        missing = _crash("no answer")
    except Exception as error:  # whatever breaks a gate closes it
        missing = _crash(_kind_of(error))
    answers += [{}] * (len(subjects) - len(answers))
    return [
        _result(subject, check, given.get(check.id, missing), period)
        for subject, given in zip(subjects, answers, strict=True)
        for check in subject.suite.checks
    ]


def _answers(connection: psycopg.Connection[Any], expectations: _Expectations, subject: _Subject) -> dict[str, _Answer]:
    checks = subject.suite.checks
    numbers, answers = _numbers(connection, subject)
    told, crashed = _compared(subject, numbers)
    answers |= crashed
    excused = {check.id for check in checks if numbers.get(_unless(check.id))}
    days = {check.id: numbers.get(_beside(check.id)) for check in checks if check.day}
    asked = [check for check in checks if check.id not in answers]
    try:
        answers |= expectations.on_rows(subject, [check for check in asked if check.expectation])
        answers |= expectations.on_numbers(subject, [check for check in asked if not check.expectation], numbers)
    except Exception as error:  # whatever breaks a gate closes it
        answers = {check.id: _crash(_kind_of(error)) for check in asked} | answers
    for check in checks:
        answer = answers.get(check.id)
        beside = days.get(check.id) or told.get(check.id)
        if answer and not answer.success and not answer.crashed and check.names:
            beside = _to_blame(connection, subject, check)
        if answer and not answer.success and not answer.crashed and beside:
            answer = answers[check.id] = replace(answer, observed=f"{answer.observed}; {beside}")
        if answer and not answer.success and not answer.crashed and check.id in excused:
            answers[check.id] = replace(answer, success=True)
    return answers


def _compared(
    subject: _Subject, numbers: dict[str, Decimal | bool | date | None]
) -> tuple[dict[str, str | None], dict[str, _Answer]]:
    """Adds the number of every comparison with published months; what is to blame for each, and what crashed."""
    asked = [check for check in subject.suite.checks if check.history]
    if subject.keeper is None or not (asked or subject.suite.profile):
        return {}, {}
    told: dict[str, str | None] = {}
    try:
        now, past = subject.keeper.compare(subject.suite)
        for check in asked:
            assert check.history is not None
            found = history.compare(check.history, now, past)
            numbers[check.id] = None if found.number is None else Decimal(str(min(found.number, 1e9)))
            told[check.id] = found.told(_limits(subject, check)[1])
    except Exception as error:  # whatever breaks a gate closes it
        return told, {check.id: _crash(_kind_of(error)) for check in asked}
    return told, {}


def _to_blame(connection: psycopg.Connection[Any], subject: _Subject, check: Check) -> str | None:
    """The codes a failed check names, the first few; whatever does not look like one is left out."""
    try:
        with connection.transaction():
            text = suite.fill(f"select n from ({check.names}) as named (n)", subject.places)
            found = connection.execute(text.encode()).fetchmany(20)
    except psycopg.Error:
        return None
    return ", ".join(str(name) for (name,) in found if name and _NAMED.fullmatch(str(name))) or None


def _view(subject: _Subject) -> str:
    return f"p06_{subject.suite.kind}_{subject.suite.name}"[:63]


def _unless(check: str) -> str:
    return f"{check} unless"


def _beside(check: str) -> str:
    return f"{check} day"


def _numbers(
    connection: psycopg.Connection[Any], subject: _Subject
) -> tuple[dict[str, Decimal | bool | date | None], dict[str, _Answer]]:
    """Every number and condition the suite asks for: one scan of the rows, one look at the extract, one per query.

    When one of them fails the others are asked alone, so that only the failing check crashes.
    """
    over_rows: dict[str, str] = {}
    over_extract: dict[str, str] = {}
    queries: dict[str, str] = {}
    for check in subject.suite.checks:
        if check.measure:
            over_rows[check.id] = f"({check.measure})::numeric"
        elif check.figure:
            over_extract[check.id] = f"({check.figure})::numeric"
        elif check.sql:
            queries[check.id] = f"select ({check.sql})::numeric"
        if check.day:
            over_extract[_beside(check.id)] = f"({check.day})::date"
        if check.unless:
            (over_extract if check.figure else over_rows)[_unless(check.id)] = f"coalesce(({check.unless}), false)"
    found: dict[str, Decimal | bool | date | None] = {}
    crashed: dict[str, _Answer] = {}
    for names, place in ((over_rows, "rows"), (over_extract, "extract")):
        if names:
            statement = f"select {', '.join(names.values())} from {{{place}}} as r"
            try:
                found |= dict(zip(names, _row(connection, subject, statement), strict=True))
            except psycopg.Error:
                queries |= {name: f"select {text} from {{{place}}} as r" for name, text in names.items()}
    for name, text in queries.items():
        try:
            found[name] = _row(connection, subject, text)[0]
        except psycopg.Error as error:
            crashed[name.partition(" ")[0]] = _crash(_kind_of(error))
    return found, crashed


def _row(connection: psycopg.Connection[Any], subject: _Subject, statement: str) -> tuple[Any, ...]:
    with connection.transaction():
        row = connection.execute(suite.fill(statement, subject.places).encode()).fetchone()
    return tuple(row or (None,))


def _crash(kind: str) -> _Answer:
    return _Answer(False, f"crash: {kind}", crashed=True)


def _kind_of(error: BaseException) -> str:
    """Class and SQLSTATE of an error; its text may hold values and is never shown."""
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} {state}" if state else type(error).__name__


class _Expectations:
    """One silent, ephemeral Great Expectations context on read-only sessions of a role.

    The rows of each subject are a temporary view of every session: of a query Great Expectations would fetch all rows
    to learn its columns.
    """

    def __init__(self, role: str, subjects: Sequence[_Subject]) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        os.environ["TQDM_DISABLE"] = "1"
        import great_expectations
        from sqlalchemy import event

        from p06 import expectation

        for name in ("great_expectations", *logging.root.manager.loggerDict):
            if name.partition(".")[0] == "great_expectations":
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._gx = great_expectations
        self._own = expectation.own()
        context = great_expectations.get_context(mode="ephemeral")
        context.variables.progress_bars = cast(Any, {"globally": False})
        self._data = context.data_sources.add_postgres(
            "warehouse",
            connection_string=database.sqlalchemy_url(role),
            create_temp_table=False,
        )
        self._views = {_view(subject): subject.query for subject in subjects}
        self._engines = [self._data.get_engine(), self._data.get_execution_engine().engine]
        for engine in self._engines:
            engine.dispose()
            event.listen(engine, "connect", self._prepare)

    def __enter__(self) -> _Expectations:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines:
            engine.dispose()

    def _prepare(self, session: Any, _: object) -> None:
        """A new session of Great Expectations: its views, then nothing but reading. A view that cannot be made is
        missed by the suite it belongs to, and by no other."""
        for view, query in self._views.items():
            try:
                session.execute(f"create temporary view {view} as {query}")
                session.commit()
            except psycopg.Error:
                session.rollback()
        for setting in SESSION:
            session.execute(f"set {setting}")
        session.commit()

    def on_rows(self, subject: _Subject, checks: Sequence[Check]) -> dict[str, _Answer]:
        """Expectations asked of the rows themselves."""
        if not checks:
            return {}
        asset = self._data.add_table_asset(f"rows of {subject.suite.name}", table_name=_view(subject))
        return self._ask(asset, {c.id: (str(c.expectation), _kwargs(subject, c)) for c in checks})

    def on_numbers(
        self, subject: _Subject, checks: Sequence[Check], numbers: Mapping[str, Decimal | bool | date | None]
    ) -> dict[str, _Answer]:
        """Numbers already taken, each held against its limits as a one-row table."""
        answers: dict[str, _Answer] = {}
        asked: dict[str, tuple[str, dict[str, Any]]] = {}
        columns = []
        for check in checks:
            low, high = _limits(subject, check)
            number = numbers.get(check.id)
            if number is None:
                answers[check.id] = _Answer(check.if_null == "pass" or check.history is not None, "–")
            elif isinstance(number, date):
                answers[check.id] = _crash("no number")
            elif low is None and high is None:
                answers[check.id] = _Answer(True, _shown(number), float(number))
            else:
                # limits are floats: as a decimal, exactly 3 % would lie above a limit of 0.03
                columns.append(f"{sql.Literal(str(number)).as_string(None)}::float8 as {check.id}")
                limits = {"column": check.id, "min_value": low, "max_value": high}
                asked[check.id] = ("expect_column_max_to_be_between", limits)
        if asked:
            asset = self._data.add_query_asset(f"numbers of {subject.suite.name}", query=f"select {', '.join(columns)}")
            answers |= self._ask(asset, asked)
        return answers

    def _ask(self, asset: Any, asked: Mapping[str, tuple[str, dict[str, Any]]]) -> dict[str, _Answer]:
        if not asked:
            return {}
        expectations, answers = [], {}
        for check, (kind, kwargs) in asked.items():
            try:
                camel = "".join(part.title() for part in kind.split("_"))
                made = self._own.get(kind) or getattr(self._gx.expectations, camel)
                expectations.append(made(**kwargs, meta={"check": check}))
            except Exception as error:  # kwargs the expectation does not take
                answers[check] = _crash(type(error).__name__)
        batch = asset.add_batch_definition("all").get_batch()
        told = batch.validate(
            self._gx.ExpectationSuite(name=asset.name, expectations=expectations), result_format=RESULT_FORMAT
        )
        for result in told.results:
            check = result.expectation_config.meta["check"]
            answer = answers[check] = _answer(result)
            low = asked[check][1].get("min_value")
            if not answer.success and "unexpected_count" not in (result.result or {}) and isinstance(low, int | float):
                answers[check] = replace(answer, too_low=answer.figure is not None and answer.figure < low)
        return answers


def _kwargs(subject: _Subject, check: Check) -> dict[str, Any]:
    """What an expectation is asked with; ``{year}`` stands for the year of the as-of date."""
    return {name: subject.year if value == "{year}" else value for name, value in (check.kwargs or {}).items()}


def _answer(result: Any) -> _Answer:
    """An answer of Great Expectations, reduced to figures."""
    about = result.exception_info or {}
    for part in [about, *(value for value in about.values() if isinstance(value, dict))]:
        if part.get("raised_exception"):
            said = _CLASS.search(f"{part.get('exception_message')} {part.get('exception_traceback')}")
            error = getattr(psycopg.errors, said[1], None) if said else None
            return _crash(f"{said[1]} {error.sqlstate}" if said and error else "GreatExpectationsError")
    figures = result.result or {}
    if "unexpected_count" in figures:
        failing, of = figures["unexpected_count"] or 0, figures.get("element_count") or 0
        share = f" ({100 * failing / of:.3g} %)" if of else ""
        return _Answer(bool(result.success), f"{failing}/{of}{share}", float(failing))
    number = figures.get("observed_value")
    figure = float(number) if isinstance(number, int | float | Decimal) else None
    return _Answer(bool(result.success), _shown(number), figure)


def _shown(number: Any) -> str | None:
    """A figure for people: whole numbers as they are, shares with six digits, nothing long enough to be a number
    of somebody; anything that is not a number is not shown."""
    if number is None or isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        return None
    if abs(number) < _EXACT and number == int(number):
        return str(int(number))
    return f"{float(number):.6g}"


def _limits(subject: _Subject, check: Check) -> tuple[float | None, float | None]:
    named = subject.limits or {}
    low, high = (named.get(limit) if isinstance(limit, str) else limit for limit in (check.min, check.max))
    return low, high


def _result(subject: _Subject, check: Check, answer: _Answer, period: Period) -> CheckResult:
    kind, name = subject.suite.kind, subject.suite.name
    waiver = lapsed = None
    if not answer.success and not answer.crashed:
        waiver = suite.check_waived(kind, name, check.id, period, answer.figure, answer.too_low)
        if waiver is None:
            lapsed = suite.waiver_lapsed(kind, name, check.id, period, answer.figure, answer.too_low)
    return CheckResult(
        source=name if kind == "source" else None,
        mart=name if kind == "mart" else None,
        check=check.id,
        title_en=check.title["en"],
        title_vi=check.title["vi"],
        dimension=check.dimension,
        severity="block" if answer.crashed else check.severity,
        success=answer.success,
        observed=answer.observed,
        threshold=check.threshold(subject.limits or {}),
        owner=check.owner,
        reason=check.reason["en"],
        reason_vi=check.reason["vi"],
        waived_by=waiver.named if waiver else None,
        waiver_lapsed=lapsed,
    )


def outcome(results: Iterable[CheckResult]) -> Outcome:
    """Blocked when one answer blocks; warnings when one that is no mere information failed; else pass."""
    failed = [result for result in results if not result.success]
    if any(result.blocks for result in failed):
        return "blocked"
    return "warnings" if any(result.severity != "info" for result in failed) else "pass"


def _store(
    connection: psycopg.Connection[Any],
    run: str,
    period: Period,
    results: Sequence[CheckResult],
    extract_id: str | None = None,
    build_id: int | None = None,
    keeper: Keeper | None = None,
) -> Verdict:
    """Add the answers to quality.check_result, and a build's profile to quality.profile. No answer is
    changed: a second judgement gets a run of its own."""
    connection.execute("set default_transaction_read_only = off")
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 6))", (run,))
        times = connection.execute(
            "select count(distinct run) from quality.check_result where period = %s and (run = %s or run like %s)",
            (period.first_day, run, f"{run}#%"),
        ).fetchone()
        run = run if not times or not times[0] else f"{run}#{times[0] + 1}"
        connection.cursor().executemany(
            'insert into quality.check_result (period, source, mart, "check", dimension, severity, success, observed,'
            " threshold, run, owner, reason, waived_by, extract_id, build_id, title_en, title_vi, reason_vi,"
            " waiver_lapsed) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    *(period.first_day, r.source, r.mart, r.check, r.dimension, r.severity, r.success, r.observed),
                    *(r.threshold, run, r.owner, r.reason, r.waived_by, extract_id, build_id),
                    *(r.title_en, r.title_vi, r.reason_vi, r.waiver_lapsed),
                )
                for r in results
            ],
        )
        seal.enter(connection, "check_result", [run])
        if keeper is not None:
            keeper.write()
    return Verdict(outcome(results), tuple(results), run)
