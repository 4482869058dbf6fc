"""Removed from the register and back again, in every form; the months arrive first to last, and last to first."""

from __future__ import annotations

from typing import Any

from p06 import database
from tests.dbt.hand_staged import Row, Warehouse, fresh, token

MAI, LAN, CUC, DAO = 1190000001, 1190000002, 1190000004, 1190000005
OTHER: Row = {"citizen_id": LAN}

Months = dict[str, list[Row]]
Spans = list[tuple[str, str | None]]


def removed(citizen: int, **more: Any) -> Row:
    return {"citizen_id": citizen, "record_op": "remove"} | more


def spans(warehouse: Warehouse, citizen: int) -> Spans:
    """(valid_from, valid_to) of a citizen's versions, in order."""
    found = warehouse.rows(
        f"select valid_from::text, valid_to::text from marts.dim_citizen where citizen_token = '{token(citizen)}'"
    )
    return sorted((start[:7], end and end[:7]) for start, end in found)


def held(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    with database.connect("builder") as connection:
        return connection.execute(
            "select h.root_id, h.citizen_id, h.valid_from, h.valid_to from vault.citizen_history h"
            " join control.register_state s on h.from_state <= s.state and (h.to_state is null or h.to_state > s.state)"
            " order by 1, 3"
        ).fetchall()


CASES: dict[str, tuple[Months, int, Spans]] = {
    "back in a later month": (
        {"2024-01": [{"citizen_id": MAI}], "2024-02": [removed(MAI)], "2024-04": [{"citizen_id": MAI}]},
        MAI,
        [("2024-01", "2024-02"), ("2024-04", None)],
    ),
    "removed twice, and back each time": (
        {
            "2024-01": [{"citizen_id": MAI}],
            "2024-02": [removed(MAI)],
            "2024-03": [{"citizen_id": MAI}],
            "2024-04": [removed(MAI)],
            "2024-05": [{"citizen_id": MAI}],
        },
        MAI,
        [("2024-01", "2024-02"), ("2024-03", "2024-04"), ("2024-05", None)],
    ),
    "removed again while removed": (
        {
            "2024-01": [{"citizen_id": MAI}],
            "2024-02": [removed(MAI)],
            "2024-03": [removed(MAI)],
            "2024-04": [{"citizen_id": MAI}],
        },
        MAI,
        [("2024-01", "2024-02"), ("2024-04", None)],
    ),
    "removed before ever being there": (
        {"2024-01": [removed(MAI), OTHER], "2024-03": [{"citizen_id": MAI}]},
        MAI,
        [("2024-03", None)],
    ),
    "the number before removed after it was superseded": (
        {
            "2024-01": [{"citizen_id": CUC, "full_name": "Lê Thị Cúc"}],
            "2024-02": [{"citizen_id": DAO, "previous_citizen_id": CUC, "full_name": "Lê Thị Cúc"}],
            "2024-03": [removed(CUC)],
        },
        CUC,
        [("2024-01", None)],
    ),
    "the number before sent again after it was superseded and the new one removed": (
        {
            "2024-01": [{"citizen_id": CUC}],
            "2024-02": [{"citizen_id": DAO, "previous_citizen_id": CUC}],
            "2024-03": [removed(DAO)],
            "2024-04": [{"citizen_id": CUC}],
        },
        CUC,
        [("2024-01", "2024-03")],
    ),
    "the new number removed and back": (
        {
            "2024-01": [{"citizen_id": CUC}],
            "2024-02": [{"citizen_id": DAO, "previous_citizen_id": CUC}],
            "2024-03": [removed(DAO)],
            "2024-05": [{"citizen_id": DAO, "previous_citizen_id": CUC}],
        },
        CUC,
        [("2024-01", "2024-03"), ("2024-05", None)],
    ),
    "removed, and back under a new number": (
        {
            "2024-01": [{"citizen_id": CUC}],
            "2024-02": [removed(CUC)],
            "2024-04": [{"citizen_id": DAO, "previous_citizen_id": CUC}],
        },
        CUC,
        [("2024-01", "2024-02"), ("2024-04", None)],
    ),
    "removed in the month that supersedes": (
        {
            "2024-01": [{"citizen_id": CUC}],
            "2024-02": [removed(CUC), {"citizen_id": DAO, "previous_citizen_id": CUC}],
        },
        CUC,
        [("2024-01", None)],
    ),
    "a removal that names a number before": (
        {
            "2024-01": [{"citizen_id": CUC}, {"citizen_id": DAO}],
            "2024-02": [removed(DAO, previous_citizen_id=CUC)],
            "2024-03": [{"citizen_id": DAO}],
        },
        CUC,
        [("2024-01", "2024-02"), ("2024-03", None)],
    ),
}


def moved(row: Row, case: int) -> Row:
    """The row about people of the case's own."""
    numbers = {name: row[name] + 100 * case for name in ("citizen_id", "previous_citizen_id") if name in row}
    return row | numbers


def test_a_removal_leaves_a_gap_in_either_order_of_months(warehouse: Warehouse) -> None:
    country: Months = {}
    for case, (months, _, _) in enumerate(CASES.values()):
        for period, rows in months.items():
            country.setdefault(period, []).extend(moved(row, case) for row in rows)
    found = []
    for order in (sorted(country), sorted(country, reverse=True)):
        other = fresh()
        for period in order:
            other.register(period, *country[period])
            other.state(period)
        shown = {name: spans(other, citizen + 100 * case) for case, (name, (_, citizen, _)) in enumerate(CASES.items())}
        assert shown == {name: expected for name, (_, _, expected) in CASES.items()}
        found.append(held(other))
    assert found[0] == found[1]


def test_a_correction_removes_brings_back_and_removes_again(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": MAI}, OTHER)
    warehouse.register("2024-02", {"citizen_id": MAI, "eid_level": "1"}, OTHER)
    warehouse.register("2024-03", OTHER)
    for period in ("2024-01", "2024-02", "2024-03"):
        warehouse.state(period)
    both = [("2024-01", "2024-02"), ("2024-02", None)]
    assert spans(warehouse, MAI) == both
    for told, expected in (
        (removed(MAI), [("2024-01", "2024-02")]),
        ({"citizen_id": MAI, "eid_level": "1"}, both),
        (removed(MAI), [("2024-01", "2024-02")]),
    ):
        warehouse.register("2024-02", told, OTHER)
        warehouse.state("2024-03")
        assert spans(warehouse, MAI) == expected
        assert warehouse.rows("select root_id from vault.int_affected", "builder") == [(MAI,)]
    warehouse.register("2024-03", OTHER, {"citizen_id": MAI})
    warehouse.state("2024-03")
    assert spans(warehouse, MAI) == [("2024-01", "2024-02"), ("2024-03", None)]


def test_a_correction_that_leaves_a_citizen_out_takes_the_row_back(warehouse: Warehouse) -> None:
    warehouse.register("2024-01", {"citizen_id": MAI}, OTHER)
    warehouse.register("2024-02", removed(MAI), OTHER)
    warehouse.state("2024-02")
    assert spans(warehouse, MAI) == [("2024-01", "2024-02")]
    warehouse.register("2024-02", OTHER)
    warehouse.state("2024-02")
    assert spans(warehouse, MAI) == [("2024-01", None)]
    warehouse.register("2024-01", OTHER)
    warehouse.state("2024-02")
    assert spans(warehouse, MAI) == []
