"""Bank customers and what became of checking their faces against the chip."""

from __future__ import annotations

import numpy as np

from p06.synth import text
from p06.synth.chance import below, serial, share
from p06.synth.frame import Frame, sector_frame
from p06.synth.population import SECONDS, Country, day

SOURCE = "bank_kyc"
KINDS = ("credit_institution", "payment_intermediary")
CHANNELS = ("counter", "app", "vneid")
MATCHES = ("matched", "mismatched", "not_done")
STATUSES = ("active", "suspended", "closed")
_BANKS, _WALLETS = 29, 13
_PER_ADULT = (0.28, 0.78, 0.95)  # no account, up to one, up to two; else three
_EPOCH = 2024 * 12


def bank_kyc(country: Country) -> Frame:
    """Month-end state of the customer files; more are opened and more are verified each month."""
    people, period, seed = country.people, country.period, country.seed
    last = day(period.as_of())
    adult = np.flatnonzero(people.resident & (people.age(last) >= 18))
    lot = share(seed, SOURCE, adult)
    held = np.searchsorted(np.array(_PER_ADULT), lot)
    person = np.repeat(adult, held)
    account = person * 4 + (np.arange(len(person)) - np.repeat(np.cumsum(held) - held, held))
    months = period.year * 12 + period.month - _EPOCH
    opened = (share(seed, f"{SOURCE} opened", account) * 1000 - 940).astype(np.int64)  # month index of opening
    there = opened <= months
    person, account = person[there], account[there]
    place = below(seed, f"{SOURCE} institution", account, _BANKS + _WALLETS)
    wallet = place >= _BANKS
    number = np.where(wallet, place - _BANKS, place) + 1
    code = text.glue(text.labels(("NH", "TG"), wallet.astype(np.int64)), text.fixed(number, 3))
    lot = share(seed, f"{SOURCE} channel", account)
    channel = np.select([lot < 0.45, lot < 0.9], [0, 1], 2)
    due = share(seed, f"{SOURCE} verified", account) * 60 - 24  # the month in which the check is done
    done = due < months
    opened_on = _month_start(np.maximum(opened[there], -36)) + below(seed, f"{SOURCE} opened on", account, 28)
    matched_on = _month_start(np.floor(due).astype(np.int64)) + below(seed, f"{SOURCE} day", account, 28)
    matched_on = np.minimum(np.maximum(matched_on, opened_on + 1), last)
    wrong = share(seed, f"{SOURCE} wrong", account) < 0.006
    match = np.where(done, np.where(wrong, 1, 0), 2)
    closing = share(seed, f"{SOURCE} closing", account) * 900 - 6
    status = np.where(closing < months, np.where(closing < months - 3, 2, 1), 0)
    clock = below(seed, f"{SOURCE} clock", account, 9 * 3600) + 8 * 3600
    columns = {
        "institution_code": code,
        "customer_ref": text.glue("C", text.fixed(serial(seed, SOURCE, account, 11), 11)),
        "institution_kind": text.labels(KINDS, wallet.astype(np.int64)),
        "channel": text.labels(CHANNELS, channel),
        "biometric_match": text.labels(MATCHES, match),
        "matched_at": text.stamps(np.where(match == 0, matched_on * SECONDS + clock, -1)),
        "account_status": text.labels(STATUSES, status),
    }
    changed = np.maximum(np.where(done, matched_on, 0), opened_on)
    changed = np.where(status > 0, np.maximum(changed, _month_start(np.floor(closing).astype(np.int64) + 1)), changed)
    return sector_frame(country, SOURCE, person, np.minimum(changed, last) * SECONDS + clock, columns)


def _month_start(months: np.ndarray) -> np.ndarray:
    """The first day of the month so many months after 2023-12, as days since 1970-01-01."""
    return (months + (_EPOCH - 1970 * 12 - 1)).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
