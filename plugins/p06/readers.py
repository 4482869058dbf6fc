"""Which reader reads which kind of file."""

from __future__ import annotations

from p06.contract import Contract
from p06.manifest import Manifest
from p06.reading import Reading
from p06.records import Reader


def reader(contract: Contract, manifest: Manifest, reading: Reading) -> Reader:
    """The reader of one file of a delivery, by the kind its manifest states."""
    if manifest.format.kind == "jsonl":
        from p06.jsonl_reader import JsonlReader

        return JsonlReader(contract, manifest, reading)
    if manifest.format.kind == "parquet":
        from p06.parquet_reader import ParquetReader

        return ParquetReader(contract, manifest, reading)
    if manifest.format.kind == "xlsx":
        from p06.xlsx_reader import XlsxReader

        return XlsxReader(contract, manifest, reading)
    from p06.csv_reader import CsvReader

    return CsvReader(contract, manifest, reading)
