"""Which reader reads which kind of file."""

from __future__ import annotations

from p06.contract import Contract
from p06.manifest import Manifest
from p06.reading import Reading
from p06.records import Reader


def reader(contract: Contract, manifest: Manifest, reading: Reading) -> Reader:
    """The reader of one file of a delivery, by the kind its manifest states."""
    from p06.csv_reader import CsvReader

    return CsvReader(contract, manifest, reading)
