"""Land parcels and who holds them."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa

from p06.synth import text
from p06.synth.areas import REFORM
from p06.synth.chance import Ints, below, serial, share
from p06.synth.frame import Frame, sector_frame
from p06.synth.population import CANCELLED, SECONDS, Country, day
from p06.synth.text import NONE

SOURCE = "land_parcel"
_PER_CITIZEN = 0.43
_TWO_HOLDERS = 0.17
_TYPES = ("ONT", "ODT", "LUC", "LUK", "CLN", "BHK", "NHK", "RSX", "NTS")
_TYPE_LIMITS = np.array([0.27, 0.42, 0.64, 0.70, 0.82, 0.88, 0.92, 0.97])
_EPOCH = 2024 * 12


def land_parcel(country: Country) -> Frame:
    """Month-end state: one row per parcel and holder; the campaign moves parcels towards group 1 month by month."""
    people, period, seed = country.people, country.period, country.seed
    months = period.year * 12 + period.month - _EPOCH
    parcel = np.arange(int(country.base * _PER_CITIZEN))
    parcel = parcel[share(seed, f"{SOURCE} entered", parcel) < 0.92 + 0.002 * months]
    two = share(seed, f"{SOURCE} two", parcel) < _TWO_HOLDERS
    owner = country.landowners
    first_holder = owner[below(seed, f"{SOURCE} first", parcel, len(owner))]
    second_holder = owner[below(seed, f"{SOURCE} second", parcel, len(owner))]
    two &= first_holder != second_holder
    rows = np.repeat(np.arange(len(parcel)), 1 + two)
    second = np.zeros(len(rows), bool)
    second[1:] = rows[1:] == rows[:-1]
    person = np.where(second, second_holder[rows], first_holder[rows])
    there = (people.status[person] != CANCELLED) & ~people.removed[person]
    rows, second, person = rows[there], second[there], person[there]
    shared, parcel, home = two[rows], parcel[rows], first_holder[rows]
    commune = country.homes[home]  # codes of the list before the reform
    if period.first_day >= REFORM:
        commune = country.areas.successor[commune]
    lot = share(seed, f"{SOURCE} type", parcel)
    kind = np.searchsorted(_TYPE_LIMITS, lot)
    big = np.where(kind < 2, 60, 400)
    area = big * 10 + (share(seed, f"{SOURCE} area", parcel) ** 2 * big * 90).astype(np.int64)  # tenths of m2
    cleaned = np.floor((share(seed, f"{SOURCE} clean", parcel) - 0.38) / 0.012).astype(np.int64) + 1  # in which month
    group = np.select([cleaned <= months, share(seed, f"{SOURCE} bad", parcel) < 0.8], [1, 2], 3)
    issued = day(date(2009, 1, 1)) + below(seed, f"{SOURCE} issued", parcel, 5300)
    certified = share(seed, f"{SOURCE} certificate", parcel) < 0.88
    number = below(seed, f"{SOURCE} serial", parcel, 10**6)
    columns = {
        "parcel_id": text.fixed(serial(seed, SOURCE, parcel, 9), 12),
        "holder_no": text.plain(1 + second.astype(np.int64)),
        "commune_code": text.fixed(commune, 5),
        "map_sheet": text.plain(1 + below(seed, f"{SOURCE} sheet", parcel, 120)),
        "parcel_no": text.plain(1 + below(seed, f"{SOURCE} number", parcel, 900)),
        "land_type": text.labels(_TYPES, kind),
        "area_m2": text.glue(text.plain(area // 10), ".", text.fixed(area % 10, 1)),
        "share_percent": text.labels(("100", "50"), shared.astype(np.int64)),
        "certificate_serial": text.blank(text.glue(_letters(parcel), text.fixed(number, 6)), ~certified),
        "certificate_issued_on": text.days(np.where(certified, issued, NONE)),
        "data_group": text.plain(group),
    }
    clock = below(seed, f"{SOURCE} clock", parcel, 9 * 3600) + 8 * 3600
    kept = np.maximum(issued, day(date(2021, 1, 1)) + below(seed, f"{SOURCE} kept", parcel, 1000))
    month = (cleaned + (_EPOCH - 1 - 1970 * 12)).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    campaign = month + below(seed, f"{SOURCE} cleaned on", parcel, 28)
    updated = np.where((cleaned > 0) & (cleaned <= months), np.maximum(kept, campaign), kept)
    return sector_frame(country, SOURCE, person, updated * SECONDS + clock, columns)


def _letters(parcel: Ints) -> pa.Array:
    pairs = [a + b for a in "ABCDĐ" for b in "ABCDEGHKLMNPQRSTUVXY"]
    return text.labels(pairs, parcel % len(pairs))
