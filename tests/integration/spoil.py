"""Deliveries spoilt as a whole: what happens to a file, not to a row.

Lines that are not plain (quotes, another width) are left as they are.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from p06 import codelist

Rows = list[list[str]]
Spoiler = Callable[[Rows, dict[str, int]], Rows]
PROVINCE = "38"  # Thanh Hóa: the third most populous
PAIR = ("01", "79")  # Hà Nội and Hồ Chí Minh City: of nearly one size, so that no count tells one from the other

# Where a source has them: a code that can be shifted, two dates that can be swapped, amounts.
CODES = {
    "education_enrolment": ("level", ["preschool", "primary", "lower_secondary", "upper_secondary"]),
    "health_visit": ("main_diagnosis", list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    "social_security_participation": ("participation", ["compulsory", "voluntary", "health_only", "pension", "none"]),
    "bank_kyc": ("channel", ["counter", "app", "vneid"]),
    "land_parcel": ("data_group", ["1", "2", "3"]),
}
DATES = {
    "health_visit": ("admitted_at", "discharged_at"),
    "social_security_participation": ("card_valid_from", "card_valid_to"),
    "land_parcel": ("birth_date", "certificate_issued_on"),
}
AMOUNTS = {
    "health_visit": ("total_amount", "insurance_paid", "patient_paid"),
    "social_security_participation": ("contribution_amount",),
    "land_parcel": ("area_m2",),
}


def half_gone(rows: Rows, at: dict[str, int]) -> Rows:
    """Every second row is missing."""
    return rows[::2]


def province_gone(rows: Rows, at: dict[str, int]) -> Rows:
    """The rows of one province are missing: by commune, else by the facility's, else by that of the citizen ID."""
    communes = {code for code, of in codelist.provinces(date(2025, 3, 1)).items() if of == PROVINCE}
    if "commune_code" in at:
        return [row for row in rows if row[at["commune_code"]] not in communes]
    if "facility_code" in at:
        return [row for row in rows if not row[at["facility_code"]].startswith(PROVINCE)]
    return [row for row in rows if not row[at["citizen_id"]].startswith("0" + PROVINCE)]


def codes_shifted(rows: Rows, at: dict[str, int]) -> Rows:
    """Every code is the next one of its list."""
    for column, codes in CODES.values():
        if column in at:
            place = at[column]
            for row in rows:
                if column == "main_diagnosis":
                    row[place] = chr(65 + (ord(row[place][0]) - 64) % 26) + row[place][1:]
                elif row[place] in codes:
                    row[place] = codes[(codes.index(row[place]) + 1) % len(codes)]
    return rows


def dates_swapped(rows: Rows, at: dict[str, int]) -> Rows:
    """Two dates stand in each other's place, where both are stated."""
    for first, second in DATES.values():
        if first in at and second in at:
            for row in rows:
                if row[at[first]] and row[at[second]]:
                    row[at[first]], row[at[second]] = row[at[second]], row[at[first]]
    return rows


def amounts_thousandfold(rows: Rows, at: dict[str, int]) -> Rows:
    """Amounts are a thousand times what they were."""
    for columns in AMOUNTS.values():
        for column in columns:
            for row in rows if column in at else []:
                if re.fullmatch(r"[0-9]+(\.[0-9]{1,2})?", row[at[column]]):
                    row[at[column]] = str(Decimal(row[at[column]]) * 1000)
    return rows


def births_first_of_january(rows: Rows, at: dict[str, int]) -> Rows:
    """Of every birth date only the year is left."""
    for row in rows:
        row[at["birth_date"]] = row[at["birth_date"]][:4] + "-01-01"
    return rows


def births_a_day_early(rows: Rows, at: dict[str, int]) -> Rows:
    """Every birth date is the day before: midnight in Vietnam, written in UTC."""
    for row in rows:
        with suppress(ValueError):  # a date that is none stays as it is
            row[at["birth_date"]] = (date.fromisoformat(row[at["birth_date"]]) - timedelta(days=1)).isoformat()
    return rows


def days_and_months_swapped(rows: Rows, at: dict[str, int]) -> Rows:
    """Day and month of birth stand in each other's place, where that is a date still."""
    for row in rows:
        year, month, day = [*row[at["birth_date"]].split("-"), "", ""][:3]
        if day.isdigit() and int(day) <= 12:
            row[at["birth_date"]] = f"{year}-{day}-{month}"
    return rows


def given_names_first(rows: Rows, at: dict[str, int]) -> Rows:
    """The given name stands before the family name."""
    for row in rows:
        *others, given = row[at["full_name"]].split(" ")
        row[at["full_name"]] = " ".join([given, *others])
    return rows


def sexes_swapped(rows: Rows, at: dict[str, int]) -> Rows:
    """M means F and F means M."""
    for row in rows:
        row[at["sex"]] = {"M": "F", "F": "M"}.get(row[at["sex"]], row[at["sex"]])
    return rows


def ids_shifted(rows: Rows, at: dict[str, int]) -> Rows:
    """Numbers stand one row further down than the names they belong to."""
    for column in ("citizen_id", "old_id"):
        values = [row[at[column]] for row in rows]
        for row, value in zip(rows, [*values[-1:], *values[:-1]], strict=True):
            row[at[column]] = value
    return rows


def provinces_swapped(rows: Rows, at: dict[str, int]) -> Rows:
    """Two provinces stand in each other's place: commune for commune, as far as the lists go."""
    known = codelist.provinces(date(2025, 3, 1))
    first, second = (sorted(code for code, of in known.items() if of == province) for province in PAIR)
    most = max(len(first), len(second))
    other = {first[n % len(first)]: second[n % len(second)] for n in range(most)}
    other |= {second[n % len(second)]: first[n % len(first)] for n in range(most)}
    for row in rows:
        row[at["commune_code"]] = other.get(row[at["commune_code"]], row[at["commune_code"]])
    return rows


def names_unmarked(rows: Rows, at: dict[str, int]) -> Rows:
    """Names in capitals, without their marks."""
    for row in rows:
        plain = unicodedata.normalize("NFD", row[at["full_name"]].upper().replace("Đ", "D"))
        row[at["full_name"]] = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return rows


def changed_at_once(rows: Rows, at: dict[str, int]) -> Rows:
    """Every row bears one time: that of a late one, for the very last may be no time at all."""
    times = sorted(row[at["updated_at"]] for row in rows)
    for row in rows:
        row[at["updated_at"]] = times[len(times) * 9 // 10]
    return rows


def ids_sorted_in_a_province(rows: Rows, at: dict[str, int]) -> Rows:
    """The numbers one province gave are sorted, the names beside them are not."""
    theirs = [row for row in rows if row[at["citizen_id"]].startswith("0" + PROVINCE)]
    for row, value in zip(theirs, sorted(row[at["citizen_id"]] for row in theirs), strict=True):
        row[at["citizen_id"]] = value
    return rows


def facility_twice(rows: Rows, at: dict[str, int]) -> Rows:
    """The facility with the most visits sent them again under other numbers."""
    (facility, _), *_ = Counter(row[at["facility_code"]] for row in rows).most_common(1)
    again = [list(row) for row in rows if row[at["facility_code"]] == facility]
    for row in again:
        row[at["visit_id"]] = "9" + row[at["visit_id"]][1:]
    return rows + again


def amounts_zero(rows: Rows, at: dict[str, int]) -> Rows:
    """Amounts are nought."""
    for columns in AMOUNTS.values():
        for column in columns:
            for row in rows if column in at else []:
                row[at[column]] = row[at[column]] and "0"
    return rows


SPOILERS: dict[str, Spoiler] = {
    "half the rows gone": half_gone,
    "a province gone": province_gone,
    "codes shifted": codes_shifted,
    "two dates swapped": dates_swapped,
    "amounts × 1000": amounts_thousandfold,
    "all births 1 January": births_first_of_january,
    "all births a day early": births_a_day_early,
    "days and months swapped": days_and_months_swapped,
    "given names first": given_names_first,
    "sexes swapped": sexes_swapped,
    "IDs shifted against names": ids_shifted,
    "two provinces swapped": provinces_swapped,
    "names without marks": names_unmarked,
    "all changed at once": changed_at_once,
    "IDs of a province sorted": ids_sorted_in_a_province,
    "a facility sent twice": facility_twice,
    "amounts nought": amounts_zero,
}
AGAIN = "last month sent again"
_ONLY: dict[str, Collection[str]] = {
    "two dates swapped": DATES,
    "amounts × 1000": AMOUNTS,
    "two provinces swapped": ("education_enrolment", "social_security_participation", "land_parcel"),
    "a facility sent twice": ("health_visit",),
    "amounts nought": ("health_visit", "social_security_participation"),  # land of no area is quarantined row by row
}


def applies(source: str, defect: str) -> bool:
    """Whether a source has what the defect spoils."""
    return source in _ONLY.get(defect, CODES)


def deliver(delivery: Path, into: Path, period: str, spoiler: Spoiler | None, revision: int) -> None:
    """Write a delivery again below ``into``, spoilt, as a revision of a period; the manifest tells the truth of it."""
    manifest = json.loads((delivery / "manifest.json").read_bytes())
    target = into / f"rev-{revision}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in manifest["files"]:
        content = (delivery / file["name"]).read_bytes()
        if spoiler is not None:
            packed = file["name"].endswith(".gz")
            spoilt, file["rows"] = _spoilt(gzip.decompress(content) if packed else content, spoiler, file["rows"])
            content = gzip.compress(spoilt, 1, mtime=0) if packed else spoilt
        (target / file["name"]).write_bytes(content)
        file |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    year, month = int(period[:4]), int(period[5:])
    produced = f"{year + month // 12}-{month % 12 + 1:02d}-05T08:15:00+07:00"
    manifest |= {"period": period, "revision": revision, "produced_at": produced}
    (target / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def _spoilt(content: bytes, spoiler: Spoiler, stated: int) -> tuple[bytes, int]:
    end = "\r\n" if b"\r\n" in content else "\n"
    text = content.decode("utf-8", "surrogateescape")
    header, *lines = text.split(end)
    names = header.lstrip("\ufeff").split(",")
    plain = [line for line in lines if '"' not in line and line.count(",") == len(names) - 1]
    others = [line for line in lines if line and not ('"' not in line and line.count(",") == len(names) - 1)]
    rows = spoiler([line.split(",") for line in plain], {name: place for place, name in enumerate(names)})
    kept = [*(",".join(row) for row in rows), *others]
    body = end.join([header, *kept]) + end
    return body.encode("utf-8", "surrogateescape"), stated - len(plain) + len(rows)
