"""The oracle against the database: every mart, every staged and quarantined row.

Messages name marts, columns, counts and a few examples by token or by file and line, never a person's values. As a
program: ``python -m oracle.compare --dsn DSN --landing FOLDER --periods 2024-01..2024-03`` (with ``tests`` on the
path); it prints the differences and ends 1 when there are any.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from .marts import SECTORS, Oracle, Rows
from .reading import REGISTER, month, next_month
from .register import PUBLISHED

EXAMPLES = 3
TOLERANCE = Decimal("0.000001")
DIM_KEY = ("citizen_id", "valid_from")
MONTH_KEY = ("period", "citizen_id")
INDICATOR_KEY = ("indicator_code", "period", "area_level", "area_code")


def compare(
    connection_admin: psycopg.Connection[Any], landing: Path, periods: Iterable[Any], horizon: Any
) -> list[str]:
    """The differences between the oracle and the database, empty when there are none.

    ``periods``: the released months; ``horizon``: the newest of them; each a ``YYYY-MM``, a date or a thing with
    ``first_day``. Everything in ``landing`` must have been loaded. The connection must see marts, identified,
    staging, quarantine, quality, control and vault, and is only read from.
    """
    oracle = Oracle(Path(landing), [_day(period) for period in periods], _day(horizon))
    return Comparison(connection_admin, oracle).run()


@dataclass
class Report:
    """The differences found so far, told without a person's values: citizens stand by their tokens."""

    token_of: dict[str, str] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def add(self, difference: str) -> None:
        """Note one difference."""
        self.differences.append(difference)

    def _shown(self, key: Sequence[str], values: tuple[Any, ...]) -> str:
        parts = zip(key, values, strict=True)
        return " ".join(self.token_of.get(v, "no token") if name == "citizen_id" else str(v) for name, v in parts)

    def keyed(
        self,
        name: str,
        key: Sequence[str],
        columns: Sequence[str],
        expected: Rows,
        actual: Rows,
        show: Sequence[str] = (),
    ) -> None:
        """Differences of two tables with a key; ``show`` names the columns whose values may be printed."""

        def by_key(rows: Rows) -> dict[tuple[Any, ...], dict[str, Any]]:
            return {tuple(canonical(row[column]) for column in key): row for row in rows}

        mine, theirs = by_key(expected), by_key(actual)
        if len(theirs) != len(actual):
            self.add(f"{name}: {len(actual) - len(theirs)} rows repeat a key ({', '.join(key)})")
        for word, some in (("missing", set(mine) - set(theirs)), ("too many", set(theirs) - set(mine))):
            if some:
                examples = "; ".join(self._shown(key, one) for one in sorted(some, key=str)[:EXAMPLES])
                self.add(f"{name}: {len(some)} rows {word} (of {len(mine)}): {examples}")
        both = sorted(set(mine) & set(theirs), key=str)
        for column in columns:
            other = [one for one in both if not same(mine[one][column], theirs[one][column])]
            if other:
                examples = "; ".join(
                    self._shown(key, one)
                    + (f" is {theirs[one][column]}, should be {mine[one][column]}" if column in show else "")
                    for one in other[:EXAMPLES]
                )
                self.add(f"{name}: {column} differs in {len(other)} of {len(both)} rows: {examples}")

    def multiset(self, name: str, columns: Sequence[str], expected: Rows, actual: Rows) -> None:
        """Differences of two tables without a key: rows too few and too many, and the columns that tell them apart."""
        mine = Counter(tuple(canonical(row[column]) for column in columns) for row in expected)
        theirs = Counter(tuple(canonical(row[column]) for column in columns) for row in actual)
        if mine == theirs:
            return
        missing, surplus = mine - theirs, theirs - mine
        apart = []
        for at, column in enumerate(columns):
            left, right = Counter[Any](), Counter[Any]()
            for row, n in missing.items():
                left[row[at]] += n
            for row, n in surplus.items():
                right[row[at]] += n
            if left != right:
                values = f" {dict(left - right)} -> {dict(right - left)}" if column == "match_method" else ""
                apart.append(f"{column} ({(left - right).total()}){values}")
        shown = [columns.index(column) for column in ("citizen_id", "match_method", "province_code")]
        examples = "; ".join(
            self._shown(("citizen_id", "match_method", "province_code"), tuple(row[at] for at in shown))
            for row in sorted(missing or surplus, key=str)[:EXAMPLES]
        )
        self.add(
            f"{name}: {missing.total()} rows missing, {surplus.total()} too many (of {mine.total()});"
            f" columns apart: {', '.join(apart) or 'only in combination'}; {'missing' if missing else 'surplus'}:"
            f" {examples}"
        )


class Comparison:
    """One comparison: an oracle, a connection and the differences found."""

    def __init__(self, connection: psycopg.Connection[Any], oracle: Oracle) -> None:
        self.connection, self.oracle = connection, oracle
        self.report = Report()
        self.number_of: dict[Any, str] = {}

    def run(self) -> list[str]:
        """Compare everything; a part whose query fails is a difference, the others go on."""
        parts: list[tuple[str, Callable[[], None]]] = [
            ("vault.citizen_token", self._tokens),
            ("control.accepted", self._extracts),
            ("quality.quarantine_summary", self._quarantine_summary),
            ("marts.dim_citizen", self._dim_citizen),
            ("identified.dim_citizen", self._identified),
            ("facts", self._facts),
            ("marts.citizen_month", self._citizen_month),
            ("marts.indicator", self._indicator),
            ("marts.indicator_restated", self._indicator_restated),
            ("marts.indicator_commune_restated", self._indicator_commune_restated),
            ("marts.match_summary", self._match_summary),
            ("marts.reconciliation", self._reconciliation),
            ("areas", self._areas),
        ]
        for name, part in parts:
            try:
                with self.connection.transaction():
                    part()
            except psycopg.Error as error:
                self.report.add(f"{name}: cannot be read ({error.sqlstate}: {type(error).__name__})")
        return self.report.differences

    # ------------------------------------------------------------ the parts

    def _tokens(self) -> None:
        for row in self._select("vault", "citizen_token", ("citizen_id", "citizen_token")):
            number = f"{row['citizen_id']:012d}"
            self.number_of[row["citizen_token"]] = number
            self.report.token_of[number] = str(row["citizen_token"])
        if len(self.number_of) != len(self.report.token_of):
            self.report.add("vault.citizen_token: one token stands for several numbers")
        lacking = set(self.oracle.register.root) - set(self.report.token_of)
        if lacking:
            self.report.add(f"vault.citizen_token: {len(lacking)} numbers of the register have no token")

    def _extracts(self) -> None:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(
                "select e.* from control.accepted a join control.extract e using (extract_id) order by source, period"
            )
            accepted = {(row["source"], row["period"]): row for row in cursor}
        for source, period in sorted(set(self.oracle.extracts) - set(accepted)):
            self.report.add(f"control.accepted: {source} {period:%Y-%m} is missing")
        for source, period in sorted(set(accepted) - set(self.oracle.extracts)):
            self.report.add(f"control.accepted: {source} {period:%Y-%m} should not have been accepted")
        for place, row in accepted.items():
            mine = self.oracle.extracts.get(place)
            if mine is None:
                continue
            name = f"{place[0]} {place[1]:%Y-%m}"
            for column, value in (
                ("revision", mine.revision),
                ("admin_code_version", mine.version),
                ("received", mine.received),
                ("duplicates", mine.duplicates),
                ("quarantined", len(mine.quarantined)),
                ("staged", len(mine.staged)),
            ):
                if row[column] != value:
                    self.report.add(f"control.extract {name}: {column} is {row[column]}, should be {value}")
            self._staged(name, place, row["staging_table"])
            self._quarantined(name, place, row["extract_id"])

    def _staged(self, name: str, place: tuple[str, date], table: str) -> None:
        contract, mine = self.oracle.contracts[place[0]], self.oracle.extracts[place]
        numbers = [column.name for column in contract.columns if column.kind == "id12"]
        actual = self._select("staging", table.rpartition(".")[2], ("file_no", "line", *contract.names))
        for row in actual:
            for column in numbers:
                row[column] = None if row[column] is None else f"{int(row[column]):012d}"
        expected = [
            {"file_no": at[0], "line": at[1]} | dict(zip(contract.names, values, strict=True))
            for at, values in mine.staged.items()
        ]
        self.report.keyed(f"staging {name}", ("file_no", "line"), contract.names, expected, actual)

    def _quarantined(self, name: str, place: tuple[str, date], extract_id: str) -> None:
        actual = self._select(
            "quarantine", place[0], ("file_no", "line", "reasons"), sql.SQL("extract_id = {}").format(extract_id)
        )
        for row in actual:
            row["reasons"] = " ".join(sorted(set(row["reasons"])))
        expected = [
            {"file_no": at[0], "line": at[1], "reasons": " ".join(sorted(reasons))}
            for at, reasons in self.oracle.extracts[place].quarantined.items()
        ]
        self.report.keyed(f"quarantine {name}", ("file_no", "line"), ("reasons",), expected, actual, show=("reasons",))

    def _quarantine_summary(self) -> None:
        key = ("period", "source", "reason")
        actual = self._select("quality", "quarantine_summary", (*key, "rows"))
        self.report.keyed(
            "quality.quarantine_summary", key, ("rows",), self.oracle.quarantine_summary(), actual, ("rows",)
        )

    def _dim_citizen(self) -> None:
        columns = ("valid_to", *PUBLISHED)
        actual = self._citizens(self._select("marts", "dim_citizen", ("citizen_token", "valid_from", *columns)))
        self.report.keyed("marts.dim_citizen", DIM_KEY, columns, self.oracle.dim_citizen(), actual)

    def _identified(self) -> None:
        # Reading: full_name is the name as sent.
        columns = ("valid_to", *PUBLISHED, "newest_citizen_id", "full_name", "birth_date")
        names = ("citizen_token", "citizen_id", "valid_from", *(c for c in columns if c != "newest_citizen_id"))
        actual = self._select("identified", "dim_citizen", names)
        for row in actual:
            row["newest_citizen_id"] = row.pop("citizen_id")
        self.report.keyed("identified.dim_citizen", DIM_KEY, columns, self.oracle.identified(), self._citizens(actual))

    def _facts(self) -> None:
        for source in SECTORS:
            contract = self.oracle.contracts[source]
            measures = [column.name for column in contract.columns if column.in_mart]
            names = ("period", "citizen_token", "match_method", "match_confidence", "province_code", *measures)
            actual = self._citizens(self._select("marts", str(contract.mart), names, self._in_periods()))
            confidences = Counter({(row["match_method"], row["match_confidence"]): 1 for row in actual})
            for method, kinds in Counter(method for method, _ in confidences).items():
                if kinds > 1:
                    self.report.add(f"marts.{contract.mart}: {kinds} values of match_confidence for {method}")
            columns = ("period", "citizen_id", "match_method", "province_code", *measures)
            for period in self.oracle.periods:
                self.report.multiset(
                    f"marts.{contract.mart} {period:%Y-%m}",
                    columns,
                    self.oracle.facts(source, period),
                    [row for row in actual if row["period"] == period],
                )

    def _citizen_month(self) -> None:
        expected = [row for period in self.oracle.periods for row in self.oracle.citizen_month(period)]
        columns = (
            "residence_province_code",
            "residence_commune_code",
            "is_default_residence",
            "sex",
            "age",
            "status",
            "has_id_card",
            "eid_level",
            "is_student",
            "health_visits",
            "health_amount",
            "has_health_insurance",
            "has_social_insurance",
            "kyc_records",
            "kyc_biometric_matched",
            "land_parcels",
            "land_area_m2",
        )
        actual = self._select("marts", "citizen_month", ("period", "citizen_token", *columns), self._in_periods())
        self.report.keyed("marts.citizen_month", MONTH_KEY, columns, expected, self._citizens(actual))

    def _indicator(self) -> None:
        values = ("numerator", "denominator", "value")
        expected = [row for period in self.oracle.periods for row in self.oracle.indicator(period)]
        actual = self._select("marts", "indicator", (*INDICATOR_KEY, *values), self._in_periods())
        self.report.keyed("marts.indicator", INDICATOR_KEY, values, expected, actual, show=values)

    def _indicator_restated(self) -> None:
        values = ("numerator", "denominator", "value")
        expected = [row for period in self.oracle.periods for row in self.oracle.indicator_restated(period)]
        actual = self._select("marts", "indicator_restated", (*INDICATOR_KEY, *values), self._in_periods())
        provinces = [row for row in actual if row["area_level"] != "commune"]
        self.report.keyed("marts.indicator_restated", INDICATOR_KEY, values, expected, provinces, show=values)

    def _indicator_commune_restated(self) -> None:
        key = ("indicator_code", "period", "area_code", "allocation_quality")
        values = ("units", "numerator", "denominator", "value")
        expected = [row for period in self.oracle.periods for row in self.oracle.indicator_commune_restated(period)]
        actual = self._select("marts", "indicator_commune_restated", (*key, *values), self._in_periods())
        self.report.keyed("marts.indicator_commune_restated", key, values, expected, actual, show=values)

    def _match_summary(self) -> None:
        key = ("period", "source", "province_code", "match_method")
        expected = [row for period in self.oracle.periods for row in self.oracle.match_summary(period)]
        actual = self._select("marts", "match_summary", (*key, "records"), self._in_periods())
        actual = [row for row in actual if row["records"]]
        self.report.keyed("marts.match_summary", key, ("records",), expected, actual, show=("records",))

    def _reconciliation(self) -> None:
        values = (
            "revision",
            "received",
            "duplicates",
            "quarantined",
            "staged",
            "matched",
            "conflicting",
            "unmatched",
            "published",
        )
        expected = [row for period in self.oracle.periods for row in self.oracle.reconciliation(period)]
        actual = self._select("marts", "reconciliation", ("period", "source", *values), self._in_periods())
        # Reading: a source not received may have no row or one of nulls.
        actual = [row for row in actual if row["received"] is not None]
        self.report.keyed("marts.reconciliation", ("period", "source"), values, expected, actual, show=values)

    def _areas(self) -> None:
        counted: tuple[tuple[str, Counter[Any], str], ...] = (
            ("dim_area", self.oracle.dim_area(), "valid_from"),
            ("area_change", self.oracle.area_change(), "kind"),
        )
        for view, expected, column in counted:
            rows = self._select("marts", view, ("level", column))
            actual = Counter((row["level"], row[column]) for row in rows if row["level"] != "nation")
            for place in sorted(set(expected) | set(actual), key=str):
                if expected[place] != actual[place]:
                    self.report.add(
                        f"marts.{view}: {actual[place]} rows of {place[0]} {place[1]}, should be {expected[place]}"
                    )

    # ------------------------------------------------------------ tools

    def _in_periods(self) -> sql.Composed:
        return sql.SQL("period = any({}::date[])").format(list(self.oracle.periods))

    def _select(
        self, schema: str, table: str, columns: Sequence[str], where: sql.Composable | None = None
    ) -> list[dict[str, Any]]:
        query = sql.SQL("select {} from {} where {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(schema, table), where or sql.SQL("true")
        )
        with self.connection.cursor(row_factory=dict_row) as cursor:
            rows: list[dict[str, Any]] = cursor.execute(query).fetchall()
            return rows

    def _citizens(self, rows: Rows) -> Rows:
        """The rows with the number behind each token; a token the vault does not know stays itself."""
        for row in rows:
            token = row.pop("citizen_token")
            row["citizen_id"] = None if token is None else self.number_of.get(token, f"unknown {token}")
        return rows


def canonical(value: Any) -> Any:
    """A value in a form that compares equal whatever type it came in."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float | Decimal):
        number = value if isinstance(value, Decimal) else Decimal(str(value))
        return format(number.normalize(), "f") if number else "0"
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    return str(value)


def same(expected: Any, actual: Any) -> bool:
    """Whether two values are the same, numbers within a millionth."""
    numbers = (int, float, Decimal)
    if (
        isinstance(expected, numbers)
        and isinstance(actual, numbers)
        and not isinstance(expected, bool)
        and not isinstance(actual, bool)
    ):
        return abs(Decimal(str(expected)) - Decimal(str(actual))) <= TOLERANCE
    return bool(canonical(expected) == canonical(actual))


def _day(period: Any) -> date:
    if isinstance(period, str):
        return month(period)
    return period if isinstance(period, date) else period.first_day


def main() -> int:
    """Compare one warehouse from the command line."""
    parser = argparse.ArgumentParser(prog="oracle.compare")
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--landing", type=Path, required=True)
    parser.add_argument("--periods", required=True, help="YYYY-MM..YYYY-MM")
    given = parser.parse_args()
    first, _, last = given.periods.partition("..")
    periods, horizon = [month(first)], month(last or first)
    while periods[-1] < horizon:
        periods.append(next_month(periods[-1]))
    with psycopg.connect(given.dsn) as connection:
        differences = compare(connection, given.landing, periods, horizon)
    for difference in differences:
        print(difference)
    print(f"{len(differences)} differences; register and {len(SECTORS)} sources, {len(periods)} months ({REGISTER})")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
