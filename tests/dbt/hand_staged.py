"""A warehouse of a few people, staged by hand: what dbt builds from it can be checked in the head."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from psycopg import sql

from p06 import build, contract, database, marts
from p06.build import BuildSpec, ExtractRef, FailedTest
from p06.linkage import Model
from p06.period import Period
from p06.steward import Decision
from tests.passed import let_pass

OLD_AREAS, NEW_AREAS = date(2025, 3, 1), date(2025, 7, 1)

Row = dict[str, Any]


def token(citizen_id: int) -> str:
    """Stands for the keyed token of a number."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"test|{citizen_id}".encode()).digest()[:16]))


@dataclass
class Warehouse:
    """Accepted extracts by (source, period), and the builds made from them."""

    accepted: dict[tuple[str, Period], ExtractRef] = field(default_factory=dict)
    newest: Period | None = None
    builds: int = 0

    def register(self, period: str, *rows: Row, areas: date = OLD_AREAS) -> None:
        """Accept a register extract of the month; a second one of the month replaces the first."""
        filled = [
            {"sex": "F", "status": "alive", "eid_level": "0", "record_op": "upsert", "birth_date": date(1990, 5, 20)}
            | {"full_name": f"Nguyễn Thị {chr(65 + row['citizen_id'] % 26)}", "residence_commune_code": "00001"}
            | row
            for row in rows
        ]
        numbers = {row["citizen_id"] for row in filled} | {
            row["previous_citizen_id"] for row in filled if row.get("previous_citizen_id")
        }
        with database.connect("loader") as connection, connection.cursor() as cursor:
            cursor.executemany(
                "insert into vault.citizen_token values (%s, %s) on conflict do nothing",
                [(number, token(number)) for number in sorted(numbers)],
            )
        self.sector("population_register", period, *filled, areas=areas)

    def withdraw(self, source: str, period: str) -> None:
        """Take an accepted extract back, as if it had never come."""
        del self.accepted[source, Period.parse(period)]

    def sector(self, source: str, period: str, *rows: Row, areas: date = OLD_AREAS) -> None:
        """Accept an extract of a source; rows state only the columns that matter."""
        known, month = contract.load(source), Period.parse(period)
        extract_id = hashlib.sha256(repr((source, period, rows, areas, len(self.accepted))).encode()).hexdigest()
        leaf = f"{source}__{period.replace('-', '')}__{extract_id[:8]}"
        types = {"period": "date", "extract_id": "text", "file_no": "smallint", "line": "bigint"}
        types |= {column.name: column.sql_type for column in known.columns} | {"record_key": "uuid"}
        with database.connect("loader") as connection:
            columns = sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in types.items()
            )
            table = sql.Identifier("staging", leaf)
            connection.execute(sql.SQL("drop table if exists {}").format(table))
            connection.execute(sql.SQL("create table {} ({})").format(table, columns))
            for line, row in enumerate(rows, start=2):
                key = uuid.UUID(bytes=hashlib.sha256(f"{source}|{line}".encode()).digest()[:16])
                shared: Row = {"period": month.first_day, "extract_id": extract_id, "file_no": 1, "line": line}
                values = shared | {"record_key": key, "updated_at": "2024-01-01T00:00:00Z"} | row
                connection.execute(
                    sql.SQL("insert into {} ({}) values ({})").format(
                        table,
                        sql.SQL(", ").join(map(sql.Identifier, values)),
                        sql.SQL(", ").join([sql.Placeholder()] * len(values)),
                    ),
                    list(values.values()),
                )
        self.accepted[source, month] = ExtractRef(extract_id, source, month, leaf, 1, areas, len(rows), 0, 0, len(rows))
        self.enter(self.accepted[source, month])

    def build(
        self,
        period: str,
        publish: bool = True,
        test: bool = True,
        model: Model | None = None,
        decisions: tuple[Decision, ...] = (),
        report: build.Report = lambda text: None,
    ) -> list[FailedTest]:
        """Build the month from what is accepted, and point readers at it as a release does."""
        month = Period.parse(period)
        register = tuple(ref for (source, _), ref in sorted(self.accepted.items()) if source == "population_register")
        extracts = {
            source: ref
            for (source, at), ref in self.accepted.items()
            if at == month and source != "population_register"
        }
        horizon = max(month, self.newest or month)
        with database.connect("builder") as connection:
            before = connection.execute("select state from control.register_state").fetchone()[0]  # type: ignore[index]
            current = build.register_is_current(connection, before, register, horizon)
        after = before if current else before + 1
        self.builds += 1
        by_month: dict[Period, dict[str, ExtractRef]] = {}
        for (source, at), ref in self.accepted.items():
            by_month.setdefault(at, {})[source] = ref
        earlier = build.followed(by_month, month)
        spec = BuildSpec(self.builds, month, extracts, register, horizon, before, after, model, decisions, earlier)
        build.run_models(spec, report)
        failed = build.run_tests(spec) if test else []
        if publish:
            self.newest = horizon
            self._publish(spec)
        return failed

    def state(self, period: str, report: build.Report = lambda text: None) -> None:
        """Write the register's state as a build of the month does, and point readers at it; no month is built."""
        month = Period.parse(period)
        horizon = max(month, self.newest or month)
        register = tuple(ref for (source, _), ref in sorted(self.accepted.items()) if source == "population_register")
        with database.connect("builder") as connection:
            before = connection.execute("select state from control.register_state").fetchone()[0]  # type: ignore[index]
            spec = BuildSpec(1, month, {}, register, horizon, before, before + 1)
            variables = build._variables(spec, connection, moves=True)
        build._invoke("run", variables, report, ["--select", "+tag:register"])
        with database.connect("builder") as connection:
            build._record_state(spec, connection)
        self.newest = horizon
        with database.connect("publisher") as connection:
            connection.execute("update control.register_state set state = %s", (spec.state_after,))

    def rows(self, query: str, role: str = "analyst") -> list[tuple[Any, ...]]:
        """What a reader sees."""
        with database.connect(role) as connection:
            return connection.execute(query).fetchall()

    def enter(self, ref: ExtractRef) -> None:
        """Write the extract into the ledger; again changes nothing."""
        with database.connect("loader") as connection:
            attempt = connection.execute(
                "insert into control.load_attempt (source, period, delivery) values (%s, %s, 'd') returning attempt_id",
                (ref.source, ref.period.first_day),
            ).fetchone()
            assert attempt is not None
            connection.execute(
                "insert into control.extract (extract_id, source, period, revision, content_hash, admin_code_version,"
                " produced_at, manifest, delivery, contract_version, contract_hash, received, duplicates, quarantined,"
                " staged, staging_table, quarantine_table, attempt_id) values (%s, %s, %s, 1, %s, %s, '2024-01-01', '{}',"
                " 'd', '1', 'h', %s, 0, 0, %s, %s, 'q', %s) on conflict do nothing",
                (
                    ref.extract_id, ref.source, ref.period.first_day, ref.extract_id, ref.admin_code_version,
                    ref.received, ref.staged, ref.leaf, attempt[0],
                ),
            )  # fmt: skip

    def _publish(self, spec: BuildSpec) -> None:
        release_id = f"{spec.period}.{spec.build_id}"
        with database.connect("builder") as connection:
            connection.execute(
                "insert into control.build (build_id, period, fingerprint, inputs, model_hash, register_state_before,"
                " register_state_after, host, pid) overriding system value values (%s, %s, '', '{}', '', %s, %s, '', 0)",
                (spec.build_id, spec.period.first_day, spec.state_before, spec.state_after),
            )
            connection.cursor().executemany(
                "insert into control.build_extract (build_id, source, period, extract_id) values (%s, %s, %s, %s)",
                [
                    (spec.build_id, ref.source, ref.period.first_day, ref.extract_id)
                    for ref in (*spec.extracts.values(), *spec.register, *spec.earlier)
                ],
            )
            let_pass(connection, spec.build_id)
        with database.connect("publisher") as connection:
            connection.execute(
                "insert into control.release (release_id, period, number, build_id, fingerprint, model_hash, gate,"
                " register_state_before, register_state_after) values (%s, %s, %s, %s, '', '', 'clean', %s, %s)",
                (
                    release_id, spec.period.first_day, spec.build_id, spec.build_id, spec.state_before,
                    spec.state_after,
                ),
            )  # fmt: skip
            connection.execute(
                "insert into control.published values (%s, %s, %s) on conflict (period) do update"
                " set build_id = excluded.build_id, release_id = excluded.release_id",
                (spec.period.first_day, spec.build_id, release_id),
            )
            connection.execute("update control.register_state set state = %s", (spec.state_after,))
            connection.execute(
                "insert into control.pointer_event (period, kind, to_release, who, register_state)"
                " values (%s, 'publish', %s, 'test', %s)",
                (spec.period.first_day, release_id, spec.state_after),
            )


def fresh() -> Warehouse:
    """An empty warehouse in the running database: every build, state and extract forgotten."""
    marts.sync()
    with database.connect("admin") as connection:
        connection.execute("set role p06_owner")
        connection.execute(
            "truncate control.extract, control.accepted, control.build, control.build_extract, control.release,"
            " control.published, control.pointer_event, control.hold, vault.citizen_token,"
            " vault.register_extract, vault.register_state_extract, vault.register_state_code, build.indicator_edition,"
            " control.approval_request, control.approval_answer, control.footnote, quality.check_result, vault.steward_content, vault.steward_decision, vault.steward_queue, control.steward_scan,"
            " control.steward_touch, control.access_log"
            " cascade"
        )
        connection.execute("update control.register_state set state = 0")
    with database.connect("builder") as connection:
        for table in ("build.dim_citizen", "vault.register_row", *(f"vault.{name}" for name in _VAULT)):
            connection.execute(f"truncate {table}")
    with database.connect("builder", autocommit=True) as connection:
        marts.drop_builds(connection, list(range(1, 200)))
    return Warehouse()


_VAULT = ("citizen_root", "citizen_history", "dim_citizen_identity")
