"""Coverage-guided fuzzing of what reads a delivery (atheris, libFuzzer's options).

    .venv/bin/python tests/fuzz/scanner.py -max_total_time=600 FOLDER tests/fuzz/corpus

New inputs are kept in the first folder; a find is written to ``crash-*`` and ends the run with exit code 77.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(
    include=["p06.scanner", "p06.csv_reader", "p06.repeats", "p06.reading", "p06.manifest", "p06.intake"]
):
    from tests.fuzz.target import Target


def main() -> None:
    """Fuzz until told to stop. An input may take ten seconds and be 500 bytes long.

    atheris keeps the results of numpy's comparisons for ever, some 50 kB an input: rather many short runs than one.
    """
    target = Target()
    try:
        atheris.Setup(["scanner", "-timeout=10", "-max_len=500", "-rss_limit_mb=4096", *sys.argv[1:]], target.examine)
        atheris.Fuzz()
    finally:
        target.close()


if __name__ == "__main__":
    main()
