"""Time and size of the pages: a country's history of months, sources, provinces and communes.

The history is made as evidence, the very values ``p06.site.evidence.read`` takes from the warehouse, and not built by
24 releases, which would take hours; reading it is measured apart on a real warehouse (``p06 site`` prints it).
Sources beyond the shipped contracts are copies of them under other names.

    python bench/site.py --months 24 --sources 6
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from p06 import codelist, contract, site
from p06.period import Period, months
from p06.site import evidence, place
from p06.site.evidence import Answer, Arrival, Edition, Evidence, Figure, PointerChange, Refusal, Release, Sum

FIRST = Period(2025, 7)
METHODS = (("id", 0.9), ("old_id", 0.03), ("name_birth", 0.03), ("conflict", 0.01), ("none", 0.03))


def contracts(sources: int) -> dict[str, contract.Contract]:
    """The shipped contracts, and copies of them until there are so many."""
    found = dict(contract.load_all())
    models = [one for one in found.values() if one.is_sector_source]
    for number in range(sources - len(found)):
        like = models[number % len(models)]
        name = f"office_{number + 1:02d}_{like.source}"[:60]
        found[name] = replace(
            like, source=name, mart=f"fct_{name}", title_en=f"{like.title_en}, office {number + 1}",
            title_vi=f"{like.title_vi}, đơn vị {number + 1}", due_from=None,
        )  # fmt: skip
    return dict(list(found.items())[:sources])


def history(count: int, sources: int, seed: int = 7) -> Evidence:
    """So many months of so many sources: corrections, refusals, warnings, a rollback now and then."""
    chance = random.Random(seed)
    found = Evidence(contracts(sources))
    span = list(months(FIRST, FIRST.shift(count - 1)))
    areas = {name: codelist.load(name) for name in (codelist.PROVINCE, codelist.COMMUNE)}
    day = span[-1].first_day
    last = date(9999, 1, 1)
    found.provinces = sorted(
        (one.code, one.valid_from, None if one.valid_to >= last.replace(year=9000) else one.valid_to, one.name)
        for one in areas[codelist.PROVINCE].entries
    )
    found.commune_names = {
        one.code: (one.name, one.parent or "") for one in areas[codelist.COMMUNE].entries if one.on(day)
    }
    provinces = sorted(found.provinces_in(span[-1]))
    codes = ["id_card_rate", "eid_level2_rate", "health_insurance_coverage", "kyc_biometric_rate", "land_clean_rate"]
    codes += [f"match_rate.{one.source}" for one in found.contracts.values() if one.is_sector_source]
    for build, period in enumerate(span, start=1):
        first = period.first_day
        at = datetime.combine(period.shift(1).first_day + timedelta(days=9), datetime.min.time(), timezone.utc)
        release = Release(f"{period}.1", first, build, at, "warnings" if build % 3 else "clean", None, True)
        found.releases.append(release)
        found.changes.append(PointerChange(build, first, "publish", None, release.release_id, "p06", None, at))
        for source, known in found.contracts.items():
            rows = chance.randrange(1_000, 90_000)
            bad, twice = rows // 200, rows // 900
            extract = f"{source}-{first:%Y%m}-r1"
            arrival = Arrival(
                source, first, extract, 1, "accepted", True, at - timedelta(days=chance.randrange(2, 12)), at, at,
                known.version, first, rows, twice, bad, rows - bad - twice,
            )  # fmt: skip
            found.arrivals.append(arrival)
            found.inputs.append((release.release_id, source, first, extract))
            if not chance.randrange(12):
                found.refusals.append(Refusal(source, first, at - timedelta(days=1), ["P06-LOAD-004"]))
            found.reasons += [
                (first, source, reason, bad // 3) for reason in ("id_structure", "invalid_date", "key_conflict")
            ]
            staged = arrival.staged
            counts = [int(staged * share) for _, share in METHODS]
            counts[0] += staged - sum(counts)
            by = dict(zip((name for name, _ in METHODS), counts, strict=True))
            sector = known.is_sector_source
            found.methods += [(first, source, name, number) for name, number in by.items()] if sector else []
            if sector and period == span[-1]:
                found.matched += [(p, source, name, n // len(provinces)) for p in provinces for name, n in by.items()]
            four = (staged - by["conflict"] - by["none"], by["conflict"], by["none"], staged) if sector else (None,) * 4
            found.sums.append(Sum(first, source, 1, rows, twice, bad, staged, *four))
        for judged in found.suites.values():
            of_source = judged.name in found.contracts
            for check in judged.checks:
                fails = not chance.randrange(25)
                found.answers.append(
                    Answer(
                        first, judged.name if of_source else None, None if of_source else judged.name, check.id,
                        check.dimension, check.severity, not fails or check.severity == "block", "0.0123", "≤ 0.01",
                        check.owner, None, None, f"{judged.name}-{first:%Y%m}-r1" if of_source else None,
                        None if of_source else build,
                    )
                )  # fmt: skip
        for code in codes:
            known = found.contracts.get(code.partition(".")[2])
            nation_alone = code == "kyc_biometric_rate" or (known is not None and known.commune_column is None)
            for level, area in [("nation", "VN"), *(("province", one) for one in provinces if not nation_alone)]:
                whole = chance.randrange(10_000, 4_000_000)
                part = int(whole * chance.uniform(0.6, 0.99))
                found.figures.append(Figure(code, first, level, area, part, whole, part / whole))
                if level == "nation":
                    found.editions.append(Edition(code, first, part, whole, part / whole, release.release_id))
    for code in ("id_card_rate", "eid_level2_rate", "health_insurance_coverage", "land_clean_rate"):
        for area in found.commune_names:
            found.communes.append(Figure(code, day, "commune", area, 900, 1_000, 0.9))
    found.failures = [one for one in found.answers if not one.success]
    return found


def main() -> None:
    """Print what was measured as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--sources", type=int, default=6)
    parser.add_argument("--to", type=Path, help="keep the pages there")
    given = parser.parse_args()
    found = history(given.months, given.sources)
    begun = time.process_time(), time.monotonic()
    files = dict(site.files(found))
    made = time.process_time() - begun[0], time.monotonic() - begun[1]
    with tempfile.TemporaryDirectory() as scratch:
        begun = time.process_time(), time.monotonic()
        place.show(given.to or Path(scratch) / "site", files, "bench\n")
        written = time.process_time() - begun[0], time.monotonic() - begun[1]
    pages = {name: len(content) for name, content in files.items() if name.endswith(".html")}
    largest = sorted(pages.items(), key=lambda one: -one[1])[:5]
    print(
        json.dumps(
            {
                "months": given.months, "sources": given.sources, "provinces": len(found.provinces_in(FIRST)),
                "communes": len(found.commune_names), "trend": evidence.TREND, "pages": len(pages),
                "files": len(files), "megabytes": round(sum(map(len, files.values())) / 1e6, 1),
                "largest": [[name, size] for name, size in largest],
                "made_cpu_s": round(made[0], 1), "made_s": round(made[1], 1),
                "written_cpu_s": round(written[0], 1), "written_s": round(written[1], 1),
            },
            indent=1,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
