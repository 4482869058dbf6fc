"""To which area lists the commune codes of a delivery belong."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from p06 import codelist, contract
from p06.area_codes import AreaCodes, Tally
from p06.rules import texts

OLD, NEW = date(2025, 3, 1), date(2025, 7, 1)
OLD_PROVINCES = date(1900, 1, 1)
BOTH, ONLY_OLD, ONLY_NEW, DISTRICT = "00004", "00001", "11948", "019"


def told(version: date, *codes: str, source: str = "land_parcel", column: str = "commune_code") -> AreaCodes:
    tally = Tally(contract.load(source), version)
    halves = [codes[: len(codes) // 2], codes[len(codes) // 2 :]]
    counts = [tally.count({column: texts(half)}) for half in halves if half]
    found = tally.result(sum(counts[1:], counts[0]))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_the_lists_differ_as_the_reform_made_them() -> None:
    old, new = codelist.commune_codes(OLD)[0], codelist.commune_codes(NEW)[0]
    assert (len(old - new), len(new - old), len(old & new)) == (6719, 5, 3316)
    assert told(OLD, BOTH).own_expected == pytest.approx(6719 / 10035)


def test_a_code_that_vanished_belongs_to_the_list_before() -> None:
    found = told(NEW, BOTH, ONLY_OLD, ONLY_OLD, ONLY_NEW, "", "99999")
    assert (found.declared, found.likely) == (NEW, OLD)
    assert (found.coded, found.own, found.other, found.districts) == (5, 1, 2, 0)


def test_a_code_made_by_the_reform_belongs_to_the_list_after() -> None:
    found = told(OLD, *["11948", "19742", "20333", "21548", "26732"], BOTH, ONLY_OLD)
    assert (found.likely, found.coded, found.own, found.other) == (NEW, 7, 1, 5)


def test_a_district_after_july_2025_belongs_to_the_list_before_and_is_merely_wrong_under_it() -> None:
    after, before = told(NEW, DISTRICT, BOTH), told(OLD, DISTRICT, BOTH)
    assert (after.other, after.districts, after.likely) == (1, 1, OLD)
    assert (before.other, before.districts) == (0, 0)


def test_codes_of_both_lists_tell_nothing_but_where_others_are_expected() -> None:
    shared = sorted(codelist.commune_codes(OLD)[0] & codelist.commune_codes(NEW)[0])
    assert not told(NEW, *shared).unlikely
    assert told(OLD, *shared).unlikely and told(OLD, *shared).likely == NEW
    assert not told(OLD, *shared[:199]).unlikely, "one office may send communes of one corner of the country"
    assert not told(OLD, *sorted(codelist.commune_codes(OLD)[0])).unlikely


def test_a_source_without_a_commune_is_known_by_its_provinces(monkeypatch: pytest.MonkeyPatch) -> None:
    known = contract.load("bank_kyc")
    column = replace(known.column("channel"), name="province_code", kind="code", codelist=codelist.PROVINCE)
    monkeypatch.setattr(contract, "load", lambda _: replace(known, columns=(*known.columns, column)))
    found = told(NEW, "01", "02", "02", "75", "", column="province_code")
    assert (found.coded, found.own, found.other, found.districts, found.likely) == (4, 0, 2, 0, OLD_PROVINCES)
    assert told(OLD, "01", "02", column="province_code").own == 1


def test_an_earlier_version_is_held_against_the_earliest_list() -> None:
    assert told(date(2024, 9, 1), BOTH, ONLY_OLD).declared == OLD


def test_a_source_without_communes_is_not_counted() -> None:
    tally = Tally(contract.load("bank_kyc"), NEW)
    assert tally.count({}) is None and tally.result(None) is None


def test_a_slice_is_counted_as_its_values_are() -> None:
    tally = Tally(contract.load("land_parcel"), NEW)
    codes = texts(["99999", ONLY_OLD, BOTH, "", ONLY_OLD, ONLY_NEW])
    for start in range(6):
        whole = tally.count({"commune_code": texts(codes.to_pylist()[start:])})
        assert np.array_equal(tally.count({"commune_code": codes[start:]}), whole)
