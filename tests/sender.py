"""A sender of small deliveries, and the warehouse they are loaded into."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from p06 import contract, database
from p06.landing import Delivery

VISIT = {
    "citizen_id": "001089000123",
    "old_id": "",
    "full_name": "Nguyễn Văn An",
    "birth_date": "1989-05-06",
    "sex": "M",
    "visit_id": "V1",
    "facility_code": "01001",
    "insurance_card_no": "DN4010123456789",
    "admitted_at": "2024-01-03T08:15:00+07:00",
    "discharged_at": "",
    "main_diagnosis": "J20.9",
    "total_amount": "100.00",
    "insurance_paid": "80.00",
    "patient_paid": "20.00",
    "updated_at": "2024-01-03T09:00:00+07:00",
}
PERSON = {
    "citizen_id": "001089000123",
    "old_id": "",
    "full_name": "Nguyễn Văn An",
    "birth_date": "1989-05-06",
    "sex": "M",
    "ethnicity_code": "01",
    "residence_commune_code": "00001",
    "status": "alive",
    "death_date": "",
    "id_card_issued_on": "",
    "eid_level": "0",
    "eid_activated_on": "",
    "previous_citizen_id": "",
    "record_op": "upsert",
    "updated_at": "2024-01-03T09:00:00+07:00",
}
BASES: dict[str, Mapping[str, str]] = {"health_visit": VISIT, "population_register": PERSON}


def superuser() -> psycopg.Connection[Any]:
    """The embedded server's superuser, in the warehouse."""
    return psycopg.connect(database.dsn("admin").replace("p06_admin", "postgres", 1), autocommit=True)


def line(source: str = "health_visit", quote: bool = False, **values: str) -> str:
    """One row of a source in the contract's order, differing from the usual one by these values."""
    row = {**BASES[source], **values}
    fields = [row[column.name] for column in contract.load(source).columns]
    return ",".join('"' + field.replace('"', '""') + '"' for field in fields) if quote else ",".join(fields)


def visits(count: int, first: int = 1) -> list[str]:
    """Rows with visit ids V<first> and on."""
    before, after = line(visit_id="|").split("|")
    return [f"{before}V{number}{after}" for number in range(first, first + count)]


def header(source: str = "health_visit") -> str:
    """The header of a source's files."""
    return ",".join(column.physical_name for column in contract.load(source).columns)


@dataclass
class Sender:
    """Writes deliveries into a landing as a ministry would."""

    landing: Path

    def send(
        self,
        files: Sequence[str] | Sequence[bytes],
        source: str = "health_visit",
        period: str = "2024-01",
        name: str = "first",
        rows: Sequence[int] | None = None,
        change: Callable[[dict[str, Any]], Any] | None = None,
        **stated: Any,
    ) -> Delivery:
        """One delivery. ``files``: whole contents; ``rows``: records of each (default: lines after the header).

        ``stated`` replaces fields of the manifest, ``change`` may do anything to it before it is written.
        """
        folder = self.landing / source / period / name
        folder.mkdir(parents=True)
        form = {
            "kind": "csv",
            "compression": "none",
            "encoding": "utf-8",
            "delimiter": ",",
            "quote": '"',
            "header": True,
        }
        form |= stated.pop("format", {})
        listed = []
        for number, content in enumerate(files, 1):
            plain = content.encode() if isinstance(content, str) else content
            packed = (
                gzip.compress(plain, mtime=0) if form["compression"] == "gzip" and isinstance(content, str) else plain
            )
            path = folder / f"part-{number:04d}.csv{'.gz' if form['compression'] == 'gzip' else ''}"
            path.write_bytes(packed)
            counted = len(plain.splitlines()) - bool(form["header"])
            listed.append(
                {
                    "name": path.name,
                    "bytes": len(packed),
                    "sha256": hashlib.sha256(packed).hexdigest(),
                    "rows": rows[number - 1] if rows is not None else counted,
                }
            )
        manifest = {
            "manifest_version": 1,
            "source": source,
            "period": period,
            "revision": 1,
            "produced_at": "2024-02-03T08:15:00+07:00",
            "admin_code_version": "2025-03-01",
            "format": form,
            "files": listed,
        } | stated
        if change is not None:
            change(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return Delivery(source, period, name, folder)

    def rows(self, lines: Sequence[str], source: str = "health_visit", **more: Any) -> Delivery:
        """One delivery of one file with these records, each of one line."""
        return self.send(["\n".join([header(source), *lines]) + "\n"], source, **more)


def wipe() -> None:
    """Forget every extract; the parents stay."""
    with superuser() as connection:
        for (table,) in connection.execute(
            "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname in ('staging', 'quarantine') and c.relkind = 'r'"
        ).fetchall():
            connection.execute(f"drop table {table}")
        connection.execute(
            "truncate control.load_attempt, control.extract, control.accepted, quality.failed_row,"
            " quality.check_result, vault.citizen_token, control.quarantine_fault, control.quarantine_state, control.replay,"
            " control.access_log cascade"
        )
