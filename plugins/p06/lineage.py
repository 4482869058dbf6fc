"""Lineage: what each load, gate, build and release read and wrote, as OpenLineage events (specification 2-0-2).

By default a line each in ``$P06_HOME/lineage/events-YYYY-MM.jsonl``; the standard ``OPENLINEAGE_…`` variables (or the
file ``OPENLINEAGE_CONFIG`` names) send them elsewhere through OpenLineage's own client, ``OPENLINEAGE_DISABLED=true``
ends them. Datasets are named as the specification's naming page says: ``postgres://HOST:PORT`` and
``DATABASE.SCHEMA.TABLE``, ``file`` and an absolute path. Events hold names, types, counts and codes; never a value of a
row. Whatever fails here is said once and stops nobody.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from p06 import contract, database, marts, project
from p06.contract import Contract
from p06.errors import P06Error
from p06.period import Period
from p06.settings import Settings, settings

if TYPE_CHECKING:
    from p06.build import BuildSpec, ExtractRef
    from p06.gate import CheckResult
    from p06.project import Model

Facets = dict[str, dict[str, Any]]

PRODUCER = "urn:p06"
EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = {
    "schema": "1-2-0/SchemaDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet",
    "dataQualityAssertions": "1-1-0/DataQualityAssertionsDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "nominalTime": "1-0-1/NominalTimeRunFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
}
# What says in the environment that events go elsewhere.
_ELSEWHERE = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")
_TRANSPORT = "OPENLINEAGE__TRANSPORT"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """One dataset of an event. ``own`` are facets of its part in this run: input or output facets."""

    namespace: str
    name: str
    facets: Facets = field(default_factory=dict)
    own: Facets = field(default_factory=dict)


@dataclass
class Run:
    """A run under way: what it has read and written so far."""

    job: str
    run_id: str
    facets: Facets
    inputs: list[Dataset] = field(default_factory=list)
    outputs: list[Dataset] = field(default_factory=list)

    def reads(self, make: Callable[..., Iterable[Dataset]], *arguments: Any) -> None:
        """Add inputs; ``make`` is called with the arguments, and may fail."""
        with _never_in_the_way():
            self.inputs += make(*arguments)

    def writes(self, make: Callable[..., Iterable[Dataset]], *arguments: Any) -> None:
        """Add outputs; ``make`` is called with the arguments, and may fail."""
        with _never_in_the_way():
            self.outputs += make(*arguments)

    def about(self, **facts: Any) -> None:
        """Add to the run's own facet: ids, counts, outcomes."""
        with _never_in_the_way():
            known = self.facets.setdefault("p06_run", {"_producer": PRODUCER, "_schemaURL": f"{PRODUCER}:run:1"})
            known |= {name: str(value) for name, value in facts.items() if value is not None}


@contextmanager
def run(job: str, period: Period | None = None, **facts: Any) -> Iterator[Run]:
    """START now, COMPLETE at the end of the block; FAIL with the error's code when it raises, which it then goes on doing."""
    under_way = Run(job, str(uuid.uuid4()), {})
    if period is not None:
        start = f"{period.first_day.isoformat()}T00:00:00+07:00"
        under_way.facets |= _facet("nominalTime", nominalStartTime=start)
    under_way.about(period=period, **facts)
    _emit("START", under_way)
    try:
        yield under_way
    except BaseException as error:
        aborted = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
        # the text of an error that is not ours may quote a row
        told = (
            str(error)
            if isinstance(error, P06Error)
            else f"P06-INTERNAL {type(error).__module__}.{type(error).__name__}"
        )
        under_way.facets |= _facet("errorMessage", message=told, programmingLanguage="Python")
        _emit("ABORT" if aborted else "FAIL", under_way)
        raise
    _emit("COMPLETE", under_way)


def delivered(known: Contract, version: str) -> list[Dataset]:
    """The folder a source's deliveries come in; the version is the delivery's place."""
    namespace, root = _landing()
    fields = [
        {"name": c.physical_name, "type": c.type_text, "description": f"{c.description_vi} · {c.description_en}"}
        for c in known.columns
    ]
    facets = _facet("schema", fields=fields) | _facet("version", datasetVersion=version)
    return [Dataset(namespace, f"{root}/{known.source}", facets)]


def staged(known: Contract, extract_id: str, rows: int | None = None, quarantined: int | None = None) -> list[Dataset]:
    """Staging of a source, and its quarantine when rows went there."""
    fields = [
        {"name": c.name, "type": c.sql_type, "description": f"{c.description_vi} · {c.description_en}"}
        for c in known.columns
    ]
    version = _facet("version", datasetVersion=extract_id)
    found = [_table("staging", known.source, _facet("schema", fields=fields) | version, _counted(rows))]
    if quarantined is not None:
        found.append(_table("quarantine", known.source, version, _counted(quarantined)))
    return found


def judged_extract(known: Contract, extract_id: str, results: Iterable[CheckResult]) -> list[Dataset]:
    """Staging of a source with gate 1's answers."""
    (dataset,) = staged(known, extract_id)
    return [Dataset(dataset.namespace, dataset.name, dataset.facets, _assertions(results))]


def pinned(spec: BuildSpec) -> list[Dataset]:
    """What a build reads: staging of each source of the period, and of the register with its newest month."""
    read = sorted((*spec.register, *spec.earlier), key=lambda ref: ref.period)
    newest: dict[str, ExtractRef] = {ref.source: ref for ref in read}
    known = contract.load_all()
    return [
        dataset
        for source, ref in sorted((newest | dict(spec.extracts)).items())
        if source in known
        for dataset in staged(known[source], ref.extract_id)
    ]


def built(
    connection: psycopg.Connection[Any], build_id: int, results: Iterable[CheckResult] | None = None
) -> list[Dataset]:
    """The marts of a build, with gate 2's answers where there are any; not the facts it had nothing to do for."""
    answers: dict[str, list[CheckResult]] = {}
    for result in results or ():
        answers.setdefault(result.mart or "", []).append(result)
    rows = connection.execute(
        "select b.period, e.source from control.build as b left join control.build_extract as e"
        " on e.build_id = b.build_id and e.period = b.period where b.build_id = %s",
        (build_id,),
    ).fetchall()
    absent = contract.left_out(Period.of(rows[0][0]), {source for _, source in rows}) if rows else ()
    idle = {contract.load(source).mart for source in absent}
    facts = {known.mart: known for known in contract.load_all().values() if known.mart}
    version = _facet("version", datasetVersion=str(build_id))
    return [
        _table(
            "build",
            one.name,
            _described(one) | version | _column_lineage(facts.get(one.name)),
            _assertions(answers.get(one.name, ())),
        )
        for one in _marts()
        if one.name not in idle
    ]


def published(release_id: str) -> list[Dataset]:
    """The views readers see."""
    version = _facet("version", datasetVersion=release_id)
    return [
        _table("marts", one.name, _described(one) | version) for one in _marts() if one.name not in marts.OF_QUALITY
    ]


def _marts() -> list[Model]:
    """Every mart a build writes, ``dim_citizen`` included; not the tables of the vault."""
    hidden = {name for name, schema in marts.SYSTEM_VERSIONED.items() if schema != "build"} | set(marts.HELD)
    return [model for name, model in sorted(project.models().items()) if name not in hidden]


def _described(model: Model) -> Facets:
    fields = [
        {"name": c.name, "type": c.type, "description": f"{c.description_vi} · {c.description_en}"}
        for c in model.columns
    ]
    return _facet("schema", fields=fields)


def _column_lineage(known: Contract | None) -> Facets:
    """Of a fact: its measures and codes are the source's columns as they are, its keys are made from the business key."""
    if known is None:
        return {}
    namespace, name = _place("staging", known.source)

    def of(kind: str, masking: bool, *columns: str) -> dict[str, Any]:
        how = [{"type": "DIRECT", "subtype": kind, "masking": masking}]
        return {
            "inputFields": [
                {"namespace": namespace, "name": name, "field": column, "transformations": how} for column in columns
            ]
        }

    fields = {column.name: of("IDENTITY", False, column.name) for column in known.measures}
    if known.commune_column:
        fields["commune_code"] = of("IDENTITY", False, known.commune_column)
    if known.province_column:
        fields["province_code"] = of("TRANSFORMATION", False, known.province_column)
    if known.key:
        fields["record_key"] = of("TRANSFORMATION", True, *known.key)
    if known.is_sector_source:
        fields["citizen_token"] = of("TRANSFORMATION", True, *contract.IDENTITY)
    return _facet("columnLineage", fields=fields)


def _assertions(results: Iterable[CheckResult]) -> Facets:
    listed = [
        {
            "assertion": result.check,
            "success": result.success,
            "severity": {"block": "error"}.get(result.severity, result.severity),
            "description": f"{result.title_vi} · {result.title_en}",
        }
        | ({"actual": result.observed} if result.observed is not None else {})
        | ({"expected": result.threshold} if result.threshold is not None else {})
        for result in results
    ]
    return _facet("dataQualityAssertions", assertions=listed) if listed else {}


def _counted(rows: int | None) -> Facets:
    return {} if rows is None else _facet("outputStatistics", rowCount=rows)


def _facet(name: str, **content: Any) -> Facets:
    path = FACETS[name]
    url = f"https://openlineage.io/spec/facets/{path}.json#/$defs/{path.rpartition('/')[2]}"
    return {name: {"_producer": PRODUCER, "_schemaURL": url} | content}


def _table(schema: str, name: str, facets: Facets, own: Facets | None = None) -> Dataset:
    return Dataset(*_place(schema, name), facets, own or {})


def _place(schema: str, name: str) -> tuple[str, str]:
    """Namespace and name of a table, as the specification names those of PostgreSQL; a socket is this machine."""
    namespace, warehouse = _warehouse(settings())
    return namespace, f"{warehouse}.{schema}.{name}"


@cache
def _warehouse(_: Settings) -> tuple[str, str]:
    parts = conninfo_to_dict(database.dsn("publisher"))
    host = str(parts.get("host") or "localhost")
    host = "localhost" if host.startswith("/") else host
    return f"postgres://{host}:{parts.get('port') or 5432}", str(parts.get("dbname"))


def _landing() -> tuple[str, str]:
    """Namespace and root of landing; of a URL its place alone, never who asks."""
    landing = settings().landing
    parts = urlsplit(landing)
    if not parts.netloc or parts.scheme == "file":
        return "file", (parts.path if parts.scheme == "file" else str(Path(landing).absolute())).rstrip("/")
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}", parts.path.strip("/")


def _emit(kind: str, one: Run) -> None:
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return
    with _never_in_the_way():
        now = datetime.now(timezone.utc)
        event = {
            "eventType": kind,
            "eventTime": now.isoformat(),
            "producer": PRODUCER,
            "schemaURL": EVENT,
            "run": {"runId": one.run_id, "facets": one.facets},
            "job": {
                "namespace": os.environ.get("OPENLINEAGE_NAMESPACE") or "p06",
                "name": one.job,
                "facets": _facet("jobType", processingType="BATCH", integration="P06", jobType="JOB"),
            },
            "inputs": [_listed(dataset, "inputFacets") for dataset in one.inputs],
            "outputs": [_listed(dataset, "outputFacets") for dataset in one.outputs],
        }
        if _goes_elsewhere(os.environ):
            _client().emit(_as_the_client_knows_it(event))
        else:
            _append(event, now)


def _listed(dataset: Dataset, own: str) -> dict[str, Any]:
    listed: dict[str, Any] = {"namespace": dataset.namespace, "name": dataset.name, "facets": dataset.facets}
    facets = dict(dataset.own)
    return listed | ({own: facets} if facets else {})


def _append(event: Mapping[str, Any], now: datetime) -> None:
    """One line, in one write: lines of processes that write at once do not mix."""
    folder = settings().home / "lineage"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    line = json.dumps(event, ensure_ascii=False).encode() + b"\n"
    path = folder / f"events-{now:%Y-%m}.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _goes_elsewhere(environment: Mapping[str, str]) -> bool:
    return any(environment.get(name) for name in _ELSEWHERE) or any(
        name == _TRANSPORT or name.startswith(f"{_TRANSPORT}__") for name in environment
    )


@cache
def _client() -> Any:
    from openlineage.client import OpenLineageClient

    return OpenLineageClient()


def _as_the_client_knows_it(event: Mapping[str, Any]) -> Any:
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState

    return RunEvent(
        eventType=RunState[event["eventType"]],
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=Run(**event["run"]),
        job=Job(**event["job"]),
        inputs=[InputDataset(**dataset) for dataset in event["inputs"]],
        outputs=[OutputDataset(**dataset) for dataset in event["outputs"]],
    )


_said = False


@contextmanager
def _never_in_the_way() -> Iterator[None]:
    """Errors end here: lineage tells about work, it is not part of it."""
    global _said
    try:
        yield
    except Exception as error:
        if not _said:
            _said = True
            _log.warning("lineage could not be written (%s); the work goes on without", type(error).__name__)
