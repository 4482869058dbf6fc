"""Why a month is not up to date: one cause each, as a sentence for people and as fields for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

REGISTER = "population_register"


@dataclass(frozen=True)
class Delivered:
    """What the ledger says of an extract: its place, the revision it was stated under, and since when it counts."""

    extract_id: str
    source: str
    period: str
    revision: int
    accepted_at: datetime | None
    staged_at: datetime | None
    contract_version: str


@dataclass(frozen=True)
class Reason:
    """One cause. ``source`` and ``period`` are those of the extract that moved, not of the month that is stale."""

    kind: str
    sentence: str
    source: str | None = None
    period: str | None = None
    extract: str | None = None
    replaces: str | None = None
    revision: int | None = None
    at: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields that have a value, for ``--json``."""
        return {name: value for name, value in self.__dict__.items() if value is not None}


def first(period: str) -> Reason:
    """Nothing of the month is published."""
    return Reason("first", f"{period} was never released; a release publishes it for the first time", period=period)


def moved(
    month: str, old: Sequence[Any] | None, new: Sequence[Any] | None, known: Mapping[str, Delivered]
) -> Iterable[Reason]:
    """Why an extract's mark (id, contract hash, replay number) is another, for the month that reads it."""
    if old == new:
        return
    one = known[new[0]] if new is not None else None
    before = known.get(old[0]) if old is not None else None
    there = one or before
    if there is None:  # the ledger forgets no extract; a restored one may
        yield Reason("withdrawn", f"an extract {month} was built from is no longer in the ledger", period=month)
        return
    name, follows = _name(there), _follows(there, month)
    if one is None:
        yield _reason("withdrawn", there, f"{name} is no longer accepted; {follows}")
    elif old is None:
        yield _reason("arrived", one, f"{name} arrived{_on(one.accepted_at)} as revision {one.revision}; {follows}")
    elif old[0] != one.extract_id:
        was = f"revision {before.revision}" if before else "an earlier one"
        yield _reason(
            "corrected",
            one,
            f"{name} was corrected{_on(one.accepted_at)}: revision {one.revision} replaces {was}; {follows}",
            old[0],
        )
    else:
        if new is not None and old[1] != new[1]:
            yield _reason(
                "contract",
                one,
                f"the contract of {one.source} changed, and revision {one.revision} of {one.period} was judged by version"
                f" {one.contract_version}{_on(one.staged_at)}; {follows}",
            )
        if new is not None and old[2] != new[2]:
            yield _reason(
                "replayed",
                one,
                f"{name} was replayed{_on(one.staged_at)}: rows of revision {one.revision} left the quarantine or entered"
                f" it; {follows}",
            )


def joined(month: str, later: Sequence[str]) -> Reason:
    """A register month after this one tells that numbers of it are one person, or no longer tells so."""
    named = f"the register of {', '.join(later)}" if later else "no later register month"
    return Reason(
        "joined_later",
        f"{named} now joins numbers that occur up to {month} into one person, other than when it was released; their"
        " tokens and the persons counted follow",
        source=REGISTER,
        period=later[-1] if later else None,
    )


def areas(month: str, lists: Sequence[str]) -> Reason:
    """The area lists are others than those of the release."""
    return Reason(
        "areas",
        f"the code list {' and '.join(lists)} changed; communes and provinces of {month} are read by the new one",
        period=month,
    )


def linkage(month: str, was_on: bool, is_on: bool) -> Reason:
    """The model of probabilistic linkage is another, or was switched."""
    how = "changed" if was_on and is_on else "was switched on" if is_on else "was switched off"
    return Reason(
        "linkage", f"the linkage model {how}; records of {month} no number settles are matched again", period=month
    )


def decided(month: str, what: str) -> Reason:
    """Stewards decided about records the month holds."""
    return Reason("decided", f"{what} about records of {month}; they are matched again", period=month)


def models(month: str, release: str) -> Reason:
    """The project is another than that of the release."""
    return Reason(
        "models",
        f"the models changed since release {release}; `p06 release {month} --rebuild` builds it again",
        period=month,
    )


def held(month: str, kind: str, why: str | None) -> Reason:
    """Somebody or something stopped the month."""
    what = _HELD[kind] + (f" ({why})" if kind == "failed" and why else "")
    return Reason(f"held_{kind}", what, period=month)


def asked(month: str, kind: str, answer_by: datetime, who: str | None, because: Sequence[str]) -> Reason:
    """A quality officer must let the month pass: ``waiting``, ``approved``, or ``expired``."""
    until = f"{answer_by:%Y-%m-%d %H:%M} UTC"
    what = {
        "waiting": f"waits for approval until {until} ({'; '.join(because)}); `p06 approvals` shows the evidence",
        "approved": f"approved by {who}; a release publishes the build that was approved",
        "expired": f"nobody answered until {until} whether it may be published; `p06 release {month}` asks again",
    }[kind]
    return Reason(kind if kind != "expired" else "held_expired", what, period=month)


def not_received(month: str, missing: str) -> Reason:
    """A due source, or a register month before this one, is missing."""
    source, _, at = missing.partition(" ")
    said = f"{source} of {at or month} was not received"
    return Reason("not_received", said, source=source, period=at or month)


def in_backfill(month: str) -> Reason:
    """A backfill is open in the ledger."""
    return Reason(
        "in_backfill",
        "a backfill from this month or an earlier one is open; its end releases it (had it been killed: `p06 release`)",
        period=month,
    )


_HELD = {
    "rollback": "rolled back; it stays so until its inputs change or the period is named",
    "blocked": "a gate blocked it; it stays so until its inputs, suites or waivers change or the period is named",
    "failed": "its build failed and would fail again; it stays so until its inputs or models change or the period is named",
    "rejected": "it was rejected; it stays so until its inputs, suites or waivers change or the period is named",
}


def _reason(kind: str, one: Delivered, sentence: str, replaces: str | None = None) -> Reason:
    at = one.staged_at if kind in ("contract", "replayed") else one.accepted_at
    return Reason(
        kind,
        sentence,
        one.source,
        one.period,
        one.extract_id,
        replaces,
        one.revision,
        at.isoformat(timespec="seconds") if at and kind != "withdrawn" else None,
    )


def _name(one: Delivered) -> str:
    return f"the register of {one.period}" if one.source == REGISTER else f"{one.source} of {one.period}"


def _follows(one: Delivered, month: str) -> str:
    if one.source == REGISTER:
        return f"who is who in {month} follows the register, so every row is matched again"
    if one.period != month:
        return f"the events of {one.period} are followed up to {month}, so their steps are asked for again"
    return f"its facts and the figures of {month} that rest on them are built again"


def _on(at: datetime | None) -> str:
    return f" on {at:%Y-%m-%d %H:%M} UTC" if at else ""
