"""The marts, each as a list of plain rows. A citizen stands as the root number instead of a token."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from .matching import UNMATCHED, Match, match, row_area
from .reading import REGISTER, Areas, Row, as_of, contracts, read_landing
from .register import PUBLISHED, Person, Register

SECTORS = ("social_security_participation", "education_enrolment", "health_visit", "bank_kyc", "land_parcel")
Rows = list[dict[str, Any]]


class Oracle:
    """Everything the warehouse should show for some released months, the newest of them being the horizon."""

    def __init__(self, landing: Path, periods: Iterable[date], horizon: date) -> None:
        self.contracts = contracts()
        self.areas = Areas()
        self.extracts = read_landing(landing, self.contracts, self.areas)
        self.periods, self.horizon = sorted(periods), horizon
        register = [extract for (source, _), extract in self.extracts.items() if source == REGISTER]
        self.register = Register(self.contracts[REGISTER], register, self.areas)
        self.matches: dict[tuple[str, date], dict[tuple[int, int], Match]] = {}
        for period in self.periods:
            insured: dict[str, list[str]] = defaultdict(list)
            for source in SECTORS:  # social security first: the visits lean on it
                extract = self.extracts.get((source, period))
                if extract is None:
                    continue
                contract = self.contracts[source]
                found = match(contract, extract, self.register.state(period), self.areas, insured)
                self.matches[source, period] = found
                if source == "social_security_participation":
                    for place, one in found.items():
                        if one.root:
                            insured[contract.value(extract.staged[place], "social_insurance_no")].append(one.root)
        self._months = {period: self._citizen_month(period) for period in self.periods}

    # ------------------------------------------------------------ citizens

    def dim_citizen(self) -> Rows:
        """One row per version of a citizen."""
        return [
            {"citizen_id": v.root, "valid_from": v.valid_from, "valid_to": v.valid_to}
            | dict(zip(PUBLISHED, v.published, strict=True))
            for v in self.register.versions(self.horizon)
        ]

    def identified(self) -> Rows:
        """``identified.dim_citizen``: the same rows; number, name (as sent) and birth date of the last state inside."""
        return [
            row
            | {
                "newest_citizen_id": version.last.entry.citizen_id,
                "full_name": version.last.entry.full_name,
                "birth_date": version.last.entry.birth_date,
            }
            for row, version in zip(self.dim_citizen(), self.register.versions(self.horizon), strict=True)
        ]

    # ------------------------------------------------------------ facts

    def facts(self, source: str, period: date) -> Rows:
        """One row per staged row, with its place in the files."""
        contract, extract = self.contracts[source], self.extracts.get((source, period))
        if extract is None:
            return []
        people = self.register.state(period).people
        rows: Rows = []
        for place, staged in extract.staged.items():
            found = self.matches[source, period][place]
            _, province = row_area(contract, staged, extract.version, period, self.areas)
            if contract.commune_column is None and found.root:
                province = people[found.root].province
            row = {
                "file_no": place[0],
                "line": place[1],
                "period": period,
                "citizen_id": found.root,
                "match_method": found.method,
                "province_code": province,
            }
            # Reading: the fact's commune_code is the code as received; province_code is read as of the period.
            for column in contract.columns:
                if column.in_mart:
                    row[column.name] = contract.value(staged, column.name)
            rows.append(row)
        return rows

    # ------------------------------------------------------------ citizen_month

    def citizen_month(self, period: date) -> Rows:
        """One row per citizen alive, or whose death counts in the month."""
        return self._months[period]

    def _counts(self, person: Person, period: date) -> bool:
        entry = person.entry
        if entry.status == "alive":
            return True
        if entry.status != "deceased" or entry.death_date is None:
            return False
        if period <= entry.death_date <= as_of(period):
            return True
        # Reading: "A death reported late counts in the month it is reported": dead before the month began, and the
        # month before the register still knew the citizen as something else. The strict reading drops this case; a
        # wider one also takes people who first appear as deceased (the whole first month).
        if entry.death_date > period:
            return False
        before = self.register.state(_month_before(period)).people.get(person.root)
        return before is not None and before.entry.status != "deceased"

    def _by_citizen(self, source: str, period: date) -> dict[str, list[Row]] | None:
        """Matched staged rows by citizen; None when the source was not received."""
        extract = self.extracts.get((source, period))
        if extract is None:
            return None
        rows: dict[str, list[Row]] = defaultdict(list)
        for place, found in self.matches[source, period].items():
            if found.root:
                rows[found.root].append(extract.staged[place])
        return rows

    def _citizen_month(self, period: date) -> Rows:
        day = as_of(period)
        of = {source: self._by_citizen(source, period) for source in SECTORS}
        result: Rows = []
        for root, person in self.register.state(period).people.items():
            if not self._counts(person, period):
                continue
            entry = person.entry
            on = entry.death_date if entry.status == "deceased" and entry.death_date else day
            row: dict[str, Any] = {
                "period": period,
                "citizen_id": root,
                "residence_province_code": person.province,
                "residence_commune_code": person.commune,
                "is_default_residence": self.areas.was_split(entry.residence, entry.version, day),
                "sex": entry.sex,
                "age": age(entry.birth_date, on),
                "status": entry.status,
                "has_id_card": person.has_id_card,
                "eid_level": entry.eid_level,
            }
            row |= self._education(of, root)
            row |= self._health(of, root)
            row |= self._insurance(of, root, day)
            row |= self._bank(of, root)
            row |= self._land(of, root)
            result.append(row)
        return result

    def _education(self, of: dict[str, dict[str, list[Row]] | None], root: str) -> dict[str, Any]:
        rows, get = of["education_enrolment"], self.contracts["education_enrolment"].value
        if rows is None:
            return {"is_student": None}
        return {"is_student": any(get(row, "enrolment_status") == "studying" for row in rows.get(root, ()))}

    def _health(self, of: dict[str, dict[str, list[Row]] | None], root: str) -> dict[str, Any]:
        rows, get = of["health_visit"], self.contracts["health_visit"].value
        if rows is None:
            return {"health_visits": None, "health_amount": None}
        mine = rows.get(root, [])
        return {
            "health_visits": len(mine),
            "health_amount": sum((get(row, "total_amount") for row in mine), Decimal(0)),
        }

    def _insurance(self, of: dict[str, dict[str, list[Row]] | None], root: str, day: date) -> dict[str, Any]:
        rows, get = of["social_security_participation"], self.contracts["social_security_participation"].value
        if rows is None:
            return {"has_health_insurance": None, "has_social_insurance": None}
        mine = rows.get(root, [])
        # Reading: an empty card_valid_from is open as an empty card_valid_to is.
        return {
            "has_health_insurance": any(
                get(row, "insurance_card_no") is not None
                and (get(row, "card_valid_from") or date.min) <= day <= (get(row, "card_valid_to") or date.max)
                for row in mine
            ),
            "has_social_insurance": any(
                get(row, "participation") in ("compulsory", "voluntary", "pension") for row in mine
            ),
        }

    def _bank(self, of: dict[str, dict[str, list[Row]] | None], root: str) -> dict[str, Any]:
        rows, get = of["bank_kyc"], self.contracts["bank_kyc"].value
        if rows is None:
            return {"kyc_records": None, "kyc_biometric_matched": None}
        mine = rows.get(root, [])
        return {
            "kyc_records": len(mine),
            "kyc_biometric_matched": sum(get(row, "biometric_match") == "matched" for row in mine),
        }

    def _land(self, of: dict[str, dict[str, list[Row]] | None], root: str) -> dict[str, Any]:
        rows, get = of["land_parcel"], self.contracts["land_parcel"].value
        if rows is None:
            return {"land_parcels": None, "land_area_m2": None}
        mine = rows.get(root, [])
        return {
            "land_parcels": len({get(row, "parcel_id") for row in mine}),
            "land_area_m2": sum((get(row, "area_m2") * get(row, "share_percent") / 100 for row in mine), Decimal(0)),
        }

    # ------------------------------------------------------------ indicators

    def indicator(self, period: date) -> Rows:
        """Every code at every level, by the areas in force in the period."""
        return self._indicators(period, today=False)

    def indicator_restated(self, period: date) -> Rows:
        """The same by today's provinces: nation and provinces.

        Reading: communes are not restated, hence not shown.
        """
        return [row for row in self._indicators(period, today=True) if row["area_level"] != "commune"]

    def _indicators(self, period: date, today: bool) -> Rows:
        # (code, level, area) -> the things counted below and above the line
        below: dict[tuple[str, str, str], set[Any]] = defaultdict(set)
        above: dict[tuple[str, str, str], set[Any]] = defaultdict(set)

        def province_of(code: str) -> str:
            return self.areas.province_today(code, as_of(period)) if today else code

        def count(code: str, thing: Any, hit: bool, province: str | None = None, commune: str | None = None) -> None:
            places = [("nation", "VN")]
            if province:
                places.append(("province", province_of(province)))
            if commune:
                places.append(("commune", commune))
            for level, area in places:
                below[code, level, area].add(thing)
                if hit:
                    above[code, level, area].add(thing)

        for row in self.citizen_month(period):
            if row["status"] != "alive":
                continue
            who = row["citizen_id"]
            where = (row["residence_province_code"], row["residence_commune_code"])
            if row["age"] >= 14:
                count("id_card_rate", who, row["has_id_card"], *where)
                count("eid_level2_rate", who, row["eid_level"] == "2", *where)
            if row["has_health_insurance"] is not None:
                count("health_insurance_coverage", who, row["has_health_insurance"], *where)
        for source in SECTORS:
            extract, contract = self.extracts.get((source, period)), self.contracts[source]
            if extract is None:
                continue
            for place, staged in extract.staged.items():
                commune, province = row_area(contract, staged, extract.version, period, self.areas)
                matched = self.matches[source, period][place].method not in UNMATCHED
                count(f"match_rate.{source}", place, matched, province)
                if source == "bank_kyc":
                    count("kyc_biometric_rate", place, contract.value(staged, "biometric_match") == "matched")
                if source == "land_parcel":
                    clean = contract.value(staged, "data_group") == "1"
                    count("land_clean_rate", contract.value(staged, "parcel_id"), clean, province, commune)
        return [
            {
                "indicator_code": code,
                "period": period,
                "area_level": level,
                "area_code": area,
                "numerator": len(above[code, level, area]),
                "denominator": len(things),
                "value": Decimal(len(above[code, level, area])) / len(things),
            }
            for (code, level, area), things in list(below.items())
        ]

    def indicator_commune_restated(self, period: date) -> Rows:
        """The commune indicators by today's communes; what lies there only as a default successor stands apart."""
        below: dict[tuple[str, str, str], set[Any]] = defaultdict(set)
        above: dict[tuple[str, str, str], set[Any]] = defaultdict(set)
        units: dict[tuple[str, str, str], set[str]] = defaultdict(set)

        def count(code: str, thing: Any, hit: bool, sent: str, version: date) -> None:
            today, _ = self.areas.resolve(sent, version, date.max)
            quality = "default" if self.areas.was_split(sent, version, date.max) else "exact"
            below[code, today, quality].add(thing)
            units[code, today, quality].add(self.areas.resolve(sent, version, as_of(period))[0])
            if hit:
                above[code, today, quality].add(thing)

        people = self.register.state(period).people
        for row in self.citizen_month(period):
            if row["status"] != "alive":
                continue
            who, entry = row["citizen_id"], people[row["citizen_id"]].entry
            if row["age"] >= 14:
                count("id_card_rate", who, row["has_id_card"], entry.residence, entry.version)
                count("eid_level2_rate", who, row["eid_level"] == "2", entry.residence, entry.version)
            if row["has_health_insurance"] is not None:
                insured = row["has_health_insurance"]
                count("health_insurance_coverage", who, insured, entry.residence, entry.version)
        parcels, get = self.extracts.get(("land_parcel", period)), self.contracts["land_parcel"].value
        for staged in parcels.staged.values() if parcels else ():
            clean, commune = get(staged, "data_group") == "1", get(staged, "commune_code")
            count("land_clean_rate", get(staged, "parcel_id"), clean, commune, parcels.version)  # type: ignore[union-attr]
        return [
            {
                "indicator_code": key[0],
                "period": period,
                "area_code": key[1],
                "allocation_quality": key[2],
                "units": len(units[key]),
                "numerator": len(above[key]),
                "denominator": len(things),
                "value": Decimal(len(above[key])) / len(things),
            }
            for key, things in list(below.items())
        ]

    # ------------------------------------------------------------ sums

    def match_summary(self, period: date) -> Rows:
        """Records by source, province of the fact and method."""
        rows: Rows = []
        for source in SECTORS:
            counts = Counter((row["province_code"], row["match_method"]) for row in self.facts(source, period))
            rows += [
                {"period": period, "source": source, "province_code": province, "match_method": how, "records": n}
                for (province, how), n in counts.items()
            ]
        return rows

    def reconciliation(self, period: date) -> Rows:
        """One row per source received; the last four are null for the register."""
        rows: Rows = []
        for source in (REGISTER, *SECTORS):
            extract = self.extracts.get((source, period))
            if extract is None:
                continue
            row: dict[str, Any] = {
                "period": period,
                "source": source,
                "revision": extract.revision,
                "received": extract.received,
                "duplicates": extract.duplicates,
                "quarantined": len(extract.quarantined),
                "staged": len(extract.staged),
                "matched": None,
                "conflicting": None,
                "unmatched": None,
                "published": None,
            }
            if source != REGISTER:
                methods = Counter(found.method for found in self.matches[source, period].values())
                row["conflicting"], row["unmatched"] = methods["conflict"], methods["none"]
                row["matched"] = sum(methods.values()) - methods["conflict"] - methods["none"]
                row["published"] = len(self.facts(source, period))
            rows.append(row)
        return rows

    def quarantine_summary(self) -> Rows:
        """Rows by reason of every accepted extract; a row with several reasons counts under each."""
        return [
            {"period": period, "source": source, "reason": reason, "rows": n}
            for (source, period), extract in self.extracts.items()
            for reason, n in Counter(r for reasons in extract.quarantined.values() for r in reasons).items()
        ]

    def dim_area(self) -> Counter[tuple[str, date]]:
        """Number of areas by level and first day."""
        return Counter((row["level"], date.fromisoformat(row["valid_from"])) for row in self.areas.rows)

    def area_change(self) -> Counter[tuple[str, str]]:
        """Number of edges by level and kind."""
        return Counter((row["level"], row["kind"]) for row in self.areas.changes)


def age(born: date, on: date) -> int:
    """Full years on a day; who was born on 29 February turns a year older on 1 March in other years."""
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


def _month_before(period: date) -> date:
    return date(period.year - (period.month == 1), (period.month - 2) % 12 + 1, 1)
