"""What a release says beside its figures: each check that warned or was waived, and the figures it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from p06 import contract, project, suite
from p06.errors import P06Error
from p06.period import Period

INDICATOR = "indicator"
NOT_RECEIVED = "not_received"
_OF_THE_REGISTER = ("dim_citizen", "citizen_month")


@dataclass(frozen=True)
class Finding:
    """A check of a build, or of an extract it reads, that failed without blocking. Figures only, no value of anybody."""

    source: str | None
    mart: str | None
    check: str
    dimension: str
    severity: str
    observed: str | None
    threshold: str | None
    waived_by: str | None
    extract_period: Period | None  # of a source's check: the month of its extract
    title_en: str = ""
    title_vi: str = ""

    @property
    def subject(self) -> str:
        """The source or the mart it speaks of."""
        return self.source or str(self.mart)

    def as_dict(self) -> dict[str, Any]:
        """The fields that have a value, for the ledger and ``--json``."""
        values = self.__dict__ | {"extract_period": str(self.extract_period) if self.extract_period else None}
        return {name: value for name, value in values.items() if value is not None}


def findings(connection: psycopg.Connection[Any], build_id: int) -> tuple[Finding, ...]:
    """What warned or was waived when the build, or an extract it reads up to its period, was last judged; sorted."""
    rows = connection.execute(_FINDINGS, {"build": build_id}).fetchall()
    return tuple(_titled(_finding(*row) for row in rows))


def sources_of(finding: Finding) -> frozenset[str]:
    """The sources whose data a finding speaks of: the one it was found on, the one a fact is made of, else every one."""
    known = contract.load_all()
    if finding.source is not None:
        return frozenset({finding.source})
    return frozenset(name for name, one in known.items() if one.mart == finding.mart) or frozenset(known)


def figures(finding: Finding, indicators: Iterable[str]) -> list[tuple[str, str | None]]:
    """The rule which figures a finding touches, as (mart, indicator or None).

    A source's touches its fact (the register's: the citizens) and the indicators computed from it; a fact's touches the
    fact and the indicators computed from its source; any other mart's touches the mart.
    """
    known = contract.load_all()
    source = finding.source or next((name for name, one in known.items() if one.mart == finding.mart), None)
    if source is None:
        return [(str(finding.mart), None)]
    fact = known[source].mart if source in known else None
    marts = [finding.mart] if finding.mart else [fact] if fact else list(_OF_THE_REGISTER)
    touched = [code for code in sorted(indicators) if source in computed_from(code)]
    return [(str(mart), None) for mart in marts] + [(INDICATOR, code) for code in touched]


def computed_from(indicator: str) -> frozenset[str]:
    """The sources an indicator is computed from, as stated beside its formula; every source when nothing is stated."""
    stated = project.computed_from()
    family, dot, source = indicator.partition(".")
    if indicator in stated:
        return frozenset(stated[indicator])
    if dot and f"{family}.*" in stated:
        return frozenset({source, *stated[f"{family}.*"]})
    return frozenset(contract.load_all())


def write(connection: psycopg.Connection[Any], release_id: str, period: Period, build_id: int) -> int:
    """Write the footnotes of a release, in the transaction that publishes it; returns how many."""
    found = (*findings(connection, build_id), *_not_received(connection, period, build_id))
    if not found:
        return 0
    indicators = [
        code
        for (code,) in connection.execute(
            "select distinct indicator_code from build.indicator where period = %s and build_id = %s",
            (period.first_day, build_id),
        ).fetchall()
    ]
    rows = [(finding, *place) for finding in found for place in figures(finding, indicators)]
    connection.cursor().executemany(
        'insert into control.footnote (release_id, number, period, source, mart, indicator_code, "check", dimension,'
        " severity, text_en, text_vi, observed, threshold, waived_by, extract_period)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (
                release_id, number, period.first_day, one.source, mart, code, one.check, one.dimension, one.severity,
                *text(one), one.observed, one.threshold, one.waived_by,
                one.extract_period.first_day if one.extract_period else None,
            )
            for number, (one, mart, code) in enumerate(rows, 1)
        ],
    )  # fmt: skip
    return len(rows)


def text(finding: Finding) -> tuple[str, str]:
    """The footnote in English and Vietnamese; the check's title says what ought to be, so it is denied."""
    if finding.check == NOT_RECEIVED:
        return f"Not received: {finding.title_en}", f"Chưa nhận được: {finding.title_vi}"
    return f"Not met: {finding.title_en}", f"Chưa đạt: {finding.title_vi}"


def _not_received(connection: psycopg.Connection[Any], period: Period, build_id: int) -> list[Finding]:
    """The sources the month is released without, by the waivers that allow it."""
    present = {
        source
        for (source,) in connection.execute(
            "select source from control.build_extract where build_id = %s and period = %s", (build_id, period.first_day)
        ).fetchall()
    }
    absent = []
    for source, known in contract.load_all().items():
        waiver = None if source in present else suite.source_waived(source, period)
        if waiver is not None and known.is_due(period):
            absent.append(
                Finding(
                    source, None, NOT_RECEIVED, "du", "block", None, None, waiver.named, period,
                    known.title_en, known.title_vi,
                )
            )  # fmt: skip
    return absent


def _finding(source: str | None, mart: str | None, check: str, dimension: str, severity: str, *rest: Any) -> Finding:
    observed, threshold, waived_by, first_day = rest
    month = Period.of(first_day) if first_day else None
    return Finding(source, mart, check, dimension, severity, observed, threshold, waived_by, month)


def _titled(found: Iterable[Finding]) -> Iterator[Finding]:
    """Each with its check's title in two languages; the check's name when its suite no longer has it."""
    titles: dict[tuple[str | None, str | None], dict[str, Any]] = {}
    for finding in found:
        of = (finding.source, finding.mart)
        if of not in titles:
            titles[of] = {check.id: check.title for check in _checks(*of)}
        title = titles[of].get(finding.check, {"en": finding.check, "vi": finding.check})
        yield Finding(**(finding.__dict__ | {"title_en": title["en"], "title_vi": title["vi"]}))


def _checks(source: str | None, mart: str | None) -> Sequence[suite.Check]:
    try:
        return (suite.load_source(source) if source else suite.load_mart(str(mart))).checks
    except P06Error:
        return ()


def asking(finding: Finding) -> bool:
    """Whether the check itself wants a person's answer when it warns."""
    checks = {check.id: check for check in _checks(finding.source, finding.mart)}
    return finding.waived_by is None and finding.check in checks and checks[finding.check].approval


# The answers a build rests on: gate 2's (subject build), dbt's tests (dbt), gate 1's of each extract it reads up to its
# period (subject the extract), and the last judgement of each.
JUDGED = """
with judged as (
    select c.*, null::date as extract_period, split_part(c.run, ':', 1) as subject
    from quality.check_result as c
    where c.build_id = %(build)s and (c.run like 'build:%%' or c.run like 'dbt:%%')
    union all
    select c.*, e.period, c.extract_id
    from control.build as b
    inner join control.build_extract as e
        on e.build_id = b.build_id and (e.period = b.period or e.period < b.period and e.source = 'population_register')
    inner join quality.check_result as c on c.extract_id = e.extract_id
    where b.build_id = %(build)s
),
last_run as (
    -- a replay that was blocked took nobody's place
    select distinct on (j.subject) j.subject, j.run
    from judged as j
    where j.subject in ('build', 'dbt') or not exists (
        select 1 from judged as f
        where f.subject = j.subject and f.run = j.run and not f.success and f.severity = 'block' and f.waived_by is null
    )
    order by j.subject, j.at desc, j.run
)
"""
_FINDINGS = f"""{JUDGED}
select j.source, j.mart, j."check", j.dimension, j.severity, j.observed, j.threshold, j.waived_by, j.extract_period
from judged as j
inner join last_run as l on l.subject = j.subject and l.run = j.run
where not j.success and (j.severity = 'warn' or j.waived_by is not null) and j.subject <> 'dbt'
order by j.source nulls last, j.mart, j.extract_period, j."check"
"""
