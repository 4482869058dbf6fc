"""A sender's own check: the code and the verdict of the load, without a database."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from p06 import codelist, foretold, landing, returnfile
from p06 import contract as contracts
from p06 import manifest as manifests
from p06.area_codes import AreaCodes
from p06.contract import Contract
from p06.errors import P06Error, Refused, UsageError, messages
from p06.foretold import Foretold
from p06.landing import MANIFEST, Delivery
from p06.manifest import Manifest
from p06.period import Period
from p06.returnfile import Findings, Heading

LOADABLE, BLOCKED, REFUSED = "loadable", "blocked", "refused"
EXAMPLES = 3  # places shown of each reason
_KINDS = {
    "csv": "csv",
    "tsv": "csv",
    "txt": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "xlsx": "xlsx",
}
_COMPRESSIONS = {"gz": "gzip", "gzip": "gzip", "zst": "zstd", "zstd": "zstd"}
_BLOCK = 1 << 20
_ROWS = "P06-LOAD-016"  # the number of records is not the one stated


@dataclass(frozen=True)
class Form:
    """What a file without a manifest does not say by itself; None is guessed from its name."""

    kind: str | None = None
    compression: str | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    quote: str = '"'
    header: bool = True
    revision: int = 1
    admin_code_version: date | None = None
    escape: str | None = None
    sheet: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What the load would say. ``document`` is the manifest, stated or as it would have to be; None if unknown."""

    place: str
    outcome: str
    mismatches: tuple[P06Error, ...] = ()
    warnings: tuple[P06Error, ...] = ()
    contract: Contract | None = None
    heading: Heading | None = None
    findings: Findings = field(default_factory=lambda: Findings((), 0, {}))
    document: dict[str, Any] | None = None
    stated: bool = True  # whether there was a manifest
    folder: Path = Path()
    gate: tuple[Foretold, ...] = ()  # what gate 1 would say of the counts

    def exit_code(self, strict: bool = False) -> int:
        """0, 3 when gate 1 would block it, or 4 when refused; with ``strict`` also when a row would go to quarantine."""
        if self.outcome == REFUSED:
            return 4
        return 3 if self.outcome == BLOCKED else 4 if strict and self.findings.total else 0

    def examples(self, values: bool = False) -> Iterator[dict[str, Any]]:
        """The first places of each reason; the row itself only when asked for."""
        seen: dict[str, int] = {}
        for one in self.findings.rows:
            for reason, column in zip(one.reasons, one.columns, strict=True):
                seen[reason] = seen.get(reason, 0) + 1
                if seen[reason] <= EXAMPLES:
                    place = {
                        "reason": reason,
                        "file": one.file,
                        "line": one.line,
                        "record": one.record,
                        "column": column,
                    }
                    yield place | ({"row": returnfile.shown(one.raw)} if values else {})

    def as_dict(self, values: bool = False) -> dict[str, Any]:
        """For ``--json``."""
        heading = self.heading
        shown: dict[str, Any] = {
            "delivery": self.place,
            "outcome": self.outcome,
            "mismatches": [_said(one) for one in self.mismatches],
            "warnings": [_said(one) for one in self.warnings],
        }
        if heading is not None:
            shown |= {
                "source": heading.source,
                "period": heading.period,
                "revision": heading.revision,
                "extract_id": heading.extract_id,
                "received": heading.received,
                "duplicates": heading.duplicates,
                "quarantined": heading.quarantined,
                "staged": heading.staged,
                "reasons": dict(self.findings.reasons),
                "examples": list(self.examples(values)),
                "gate": [_answered(one) for one in self.gate],
            }
        if not self.stated and self.document is not None:
            shown["manifest"] = self.document
        return shown

    def lines(self, values: bool = False) -> Iterator[str]:
        """The verdict in words, Vietnamese and English."""
        yield self.place
        if self.outcome == REFUSED:
            yield "Kết luận: bị từ chối, không dòng nào được nạp · Verdict: refused, no row would be loaded"
            for one in self.mismatches:
                yield f"  - {one.code}"
                yield f"    vi: {one.what('vi')}. {one.next_step('vi')}"
                yield f"    en: {one.what('en')}. {one.next_step('en')}"
        elif heading := self.heading:
            if self.outcome == BLOCKED:
                yield (
                    "Kết luận: sẽ được nạp nhưng cổng 1 sẽ chặn · Verdict: it would be loaded, and blocked by gate 1"
                )
            else:
                yield "Kết luận: sẽ được nạp · Verdict: it would be loaded"
            yield (
                f"  nhận được {heading.received:,} = trùng lặp {heading.duplicates:,} + bị giữ lại"
                f" {heading.quarantined:,} + đạt {heading.staged:,}"
            )
            yield (
                f"  received {heading.received:,} = duplicates {heading.duplicates:,} + quarantined"
                f" {heading.quarantined:,} + staged {heading.staged:,}"
            )
            examples = list(self.examples(values))
            for reason, count in self.findings.reasons.items():
                said = messages().get(reason, {})
                yield f"  {reason}: {count:,}"
                yield f"    vi: {said.get('vi', '')}. {said.get('next_vi', '')}"
                yield f"    en: {said.get('en', '')}. {said.get('next_en', '')}"
                for place in (place for place in examples if place["reason"] == reason):
                    column = f", cột · column {place['column']}" if place["column"] else ""
                    yield f"    tệp · file {place['file']}, dòng · line {place['line']}{column}"
                    if values:
                        yield f"      {place['row']}"
            for told in self.gate:
                vi, en = ("CHẶN", "BLOCKS") if told.blocks else ("cảnh báo", "warns")
                figure = "–" if told.figure is None else f"{told.figure:.6g}"
                yield f"  cổng 1 · gate 1: {told.check.id} {figure} ({told.threshold})"
                yield f"    vi: {vi}: {told.check.title['vi']}. {told.check.reason['vi']}"
                yield f"    en: {en}: {told.check.title['en']}. {told.check.reason['en']}"
            yield (
                "  Cổng 1 còn xét chính các dòng và số sửa đổi khi nạp, vì cần kho dữ liệu"
                " · Gate 1 also asks of the rows themselves, and the revision is judged, at loading:"
                " both need the warehouse"
            )
        for one in self.warnings:
            yield f"  ! {one.code}"
            yield f"    vi: {one.what('vi')}. {one.next_step('vi')}"
            yield f"    en: {one.what('en')}. {one.next_step('en')}"
        if not self.stated and self.document is not None:
            yield "manifest.json:"
            yield json.dumps(self.document, ensure_ascii=False, indent=1)


def _said(error: P06Error) -> dict[str, Any]:
    where = {name: value if isinstance(value, int | None) else str(value) for name, value in error.where.items()}
    return {"code": error.code, "where": where, "vi": error.what("vi"), "en": error.what("en"),
            "next_vi": error.next_step("vi"), "next_en": error.next_step("en")}  # fmt: skip


def _answered(told: Foretold) -> dict[str, Any]:
    one = told.check
    return {"check": one.id, "severity": one.severity, "figure": told.figure, "threshold": told.threshold,
            "vi": one.title["vi"], "en": one.title["en"], "reason_vi": one.reason["vi"], "reason_en": one.reason["en"]}  # fmt: skip


def check(
    target: Path,
    source: str | None = None,
    period: str | None = None,
    form: Form | None = None,
    limit: int = returnfile.ROW_LIMIT,
) -> Verdict:
    """Judge the folder of a delivery, or files that have no manifest yet.

    What the manifest does not say is said by ``source`` and ``period``, then by the folders above; inside landing the
    folders count, as they do for the load. ``limit`` bounds the rows kept. Raises UsageError P06-CHECK-001, 002, 004
    and those of contracts and periods; P06Error P06-CHECK-005 when something cannot be read.
    """
    try:
        if not target.exists():
            raise UsageError("P06-CHECK-002")
        if target.is_dir() and os.path.lexists(target / MANIFEST):
            return _judged(_stated(target, source, period), limit)
        if source is None or period is None:
            raise UsageError("P06-CHECK-001")
        return _loose(target, contracts.load(source), Period.parse(period), form or Form(), limit)
    except OSError as error:
        raise P06Error("P06-CHECK-005", kind=type(error).__name__) from None


def write_manifest(verdict: Verdict) -> Path:
    """Write the manifest a check found out beside its files. Raises Refused P06-CHECK-011; UsageError P06-CHECK-003."""
    if verdict.stated:
        raise UsageError("P06-CHECK-003")
    if verdict.document is None or verdict.outcome == REFUSED:
        raise Refused("P06-CHECK-011")
    path = verdict.folder / MANIFEST
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("x", encoding="utf-8") as file:
            file.write(json.dumps(verdict.document, ensure_ascii=False, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename this fails when the file is there already
    except FileExistsError:
        raise UsageError("P06-CHECK-003") from None
    except OSError as error:
        raise P06Error("P06-CHECK-005", kind=type(error).__name__) from None
    finally:
        draft.unlink(missing_ok=True)
    return path


def _stated(folder: Path, source: str | None, period: str | None) -> Delivery:
    """A folder with a manifest as the delivery the load would see."""
    folder = folder.resolve()
    try:
        parts = folder.relative_to(landing.root().resolve()).parts
    except (ValueError, P06Error):
        parts = ()
    if len(parts) == 3:
        return Delivery(source or parts[0], period or parts[1], parts[2], folder)
    said = _said_by(Delivery("", "", "", folder).manifest)
    above = [folder.parent.parent.name, folder.parent.name]
    return Delivery(
        source or said.get("source") or above[0], period or said.get("period") or above[1], folder.name, folder
    )


def _said_by(manifest: bytes | None) -> dict[str, str]:
    """Source and period of a manifest, as far as they can be read; the real reading follows."""
    try:
        document = json.loads((manifest or b"").decode("utf-8-sig"))
        return {name: document[name] for name in ("source", "period") if isinstance(document.get(name), str)}
    except (ValueError, AttributeError, RecursionError):
        return {}


def _judged(delivery: Delivery, limit: int, stated: bool = True) -> Verdict:
    """The verdict on a delivery whose manifest is known: what ``load.stage`` does, but for the database."""
    place = manifests.shown(delivery)
    try:
        contract, manifest = manifests.read(delivery)
        heading, findings, areas = _poured(contract, manifest, delivery.folder, limit)
        stated_rows = sum(file.rows for file in manifest.files)
        counts = foretold.Counts(
            heading.received, heading.duplicates, heading.quarantined, heading.staged, stated_rows,
            heading.quarantined - findings.waiting, manifest.produced_at, areas,
        )  # fmt: skip
        gate = foretold.foretell(contract, manifest.period, counts)
    except Refused as error:
        document = delivery.document if isinstance(delivery, _Loose) else None
        return Verdict(place, REFUSED, error.mismatches or (error,), stated=stated, document=document)
    outcome = BLOCKED if any(one.blocks for one in gate) else LOADABLE
    return Verdict(
        place, outcome, (), (*_range(contract, heading.staged), *_other_list(areas)), contract, heading, findings,
        manifest.document, stated, delivery.folder, gate,
    )  # fmt: skip


def _poured(
    contract: Contract, manifest: Manifest, folder: Path, limit: int
) -> tuple[Heading, Findings, AreaCodes | None]:
    """Every row through the intake, the good ones nowhere. Raises Refused as the load does."""
    from p06 import workers
    from p06.intake import Intake

    with Intake(contract, manifest, folder, workers=workers.worth(manifest)) as intake:
        if headers := intake.check_headers():
            raise Refused("P06-LOAD-001", [*headers, *intake.verify()])
        for _ in intake.batches():
            pass
        duplicates = intake.duplicates()
        findings = returnfile.collect(chain(intake.quarantined(duplicates), intake.conflicts(duplicates)), limit)
        intake.check_unchanged()
        heading = Heading.of(contract, manifest, intake.received, len(duplicates), findings.total)
        return heading, findings, intake.area_codes


def _range(contract: Contract, staged: int) -> Iterator[P06Error]:
    """What gate 1 will ask about the number of rows, since the contract states it."""
    if contract.min_rows is not None and staged < contract.min_rows:
        yield P06Error("P06-CHECK-008", staged=staged, expected=contract.min_rows)
    if contract.max_rows is not None and staged > contract.max_rows:
        yield P06Error("P06-CHECK-009", staged=staged, expected=contract.max_rows)


def _other_list(areas: AreaCodes | None) -> Iterator[P06Error]:
    """What gate 1 will ask about the list the commune codes were made with."""
    if areas is None:
        return
    if areas.other:
        share = f"{100 * areas.other / areas.coded:.3g} %"
        yield P06Error(
            "P06-CHECK-012", rows=areas.other, share=share, likely=areas.likely, declared=areas.declared,
            districts=areas.districts or None,
        )  # fmt: skip
    if areas.unlikely:
        yield P06Error("P06-CHECK-013", rows=areas.coded, likely=areas.likely, declared=areas.declared)


@dataclass(frozen=True)
class _Loose(Delivery):
    """Files that have no manifest yet, and the one they would need."""

    names: tuple[str, ...] = ()
    document: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def entries(self) -> tuple[tuple[str, int, bool], ...]:
        """These files alone, whatever stands beside them."""
        paths = [self.folder / name for name in self.names]
        return tuple((path.name, path.lstat().st_size, path.is_file() and not path.is_symlink()) for path in paths)

    @cached_property
    def manifest(self) -> bytes | None:
        """The document as it would be written."""
        return json.dumps(self.document).encode()


def _loose(target: Path, contract: Contract, period: Period, form: Form, limit: int) -> Verdict:
    """The verdict on files without a manifest: what can be counted is counted."""
    folder = target.resolve() if target.is_dir() else target.parent.resolve()
    beside = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
    names = tuple(name for name in beside if not name.startswith(".")) if target.is_dir() else (target.name,)
    kind, compression = _kind(names[0], form) if names else (form.kind or "csv", "none")
    document: dict[str, Any] = {
        "manifest_version": manifests.VERSION,
        "source": contract.source,
        "period": str(period),
        "revision": form.revision,
        "produced_at": _moment(folder / name for name in names),
        "admin_code_version": (form.admin_code_version or _areas(period.as_of(contract.cut_off_day))).isoformat(),
        "format": {"kind": kind, "compression": compression, "encoding": form.encoding},
        "files": [_measured(folder / name) for name in names],
    }
    if kind == "csv":
        delimiter = form.delimiter or ("\t" if any(".tsv" in name.lower() for name in names) else ",")
        document["format"] |= {"delimiter": delimiter, "quote": form.quote, "header": form.header}
        document["format"] |= {"escape": form.escape} if form.escape is not None else {}
    document["format"] |= {"sheet": form.sheet} if form.sheet is not None else {}
    name = folder.name if target.is_dir() else target.stem
    delivery = _Loose(contract.source, str(period), name, folder, names, document)
    try:
        rows = _counted(delivery)
    except Refused as error:
        return Verdict(manifests.shown(delivery), REFUSED, error.mismatches or (error,), stated=False)
    files = [file | {"rows": rows.get(at, file["rows"])} for at, file in enumerate(document["files"], 1)]
    verdict = _judged(replace(delivery, document=document | {"files": files}), limit, stated=False)
    if beside != list(names) and verdict.outcome != REFUSED:
        verdict = replace(verdict, warnings=(*verdict.warnings, P06Error("P06-CHECK-010")))
    return verdict


def _counted(delivery: _Loose) -> dict[int, int]:
    """The records of each file that holds another number than one, by reading them as the load would.

    One record is stated of each file; what the intake finds different is the number. Raises Refused when they cannot
    be counted.
    """
    from p06.intake import Intake

    contract, manifest = manifests.read(delivery)
    with Intake(contract, manifest, delivery.folder) as intake:
        if headers := intake.check_headers():
            raise Refused("P06-LOAD-001", headers)
        try:
            for _ in intake.batches():
                pass
        except Refused as error:
            others = [one for one in error.mismatches if one.code != _ROWS]
            if others or not error.mismatches:
                raise Refused("P06-LOAD-001", others or [error]) from None
            return {one.where["file"]: one.where["found"] for one in error.mismatches}
    return {}


def _kind(name: str, form: Form) -> tuple[str, str]:
    """(kind, compression) of a file by its name, or as stated. Raises UsageError P06-CHECK-004."""
    endings = name.lower().split(".")[1:]
    compression = _COMPRESSIONS.get(endings[-1]) if endings else None
    rest = endings[:-1] if compression else endings
    kind = form.kind or (_KINDS.get(rest[-1]) if rest else None)
    if kind is None:
        raise UsageError("P06-CHECK-004")
    return kind, form.compression or compression or "none"


def _moment(paths: Iterator[Path]) -> str:
    """When the newest of the files was written, ISO 8601."""
    newest = max((path.stat().st_mtime for path in paths), default=0.0)
    return datetime.fromtimestamp(int(newest), timezone.utc).isoformat()


def _areas(as_of: date) -> date:
    """The version of the list of communes on a day; the earliest one shipped for days before it."""
    communes = codelist.load(codelist.COMMUNE)
    return communes.edition(max(as_of, communes.first_day))


def _measured(path: Path) -> dict[str, Any]:
    """The file as a manifest states it, one record for now; what is no plain file is not opened, and refused later."""
    code, size = hashlib.sha256(), 0
    if path.is_file() and not path.is_symlink():
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                code.update(block)
                size += len(block)
    return {"name": path.name, "bytes": size, "sha256": code.hexdigest(), "rows": 1}
