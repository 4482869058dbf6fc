"""The synthetic country: deliveries as ministries send them, and the truth about every defect put into them.

``OUT/landing/<source>/<period>/<delivery>/`` is laid out as a landing, ``OUT/truth/<source>/<period>.csv.gz`` names
every record whose outcome is not the plain one, ``OUT/truth/summary.json`` holds the sums a loader must arrive at.
Six sources have a generator of their own; any other is filled by what its contract promises.
The same arguments give the same bytes; a longer range of periods leaves the earlier ones as they are. The people are
invented: a number may by chance be that of a living person, which twelve random-looking digits cannot avoid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from p06 import contract as contracts
from p06.errors import UsageError
from p06.period import Period
from p06.synth import bank, delivery, dirt, education, health, land, promised, social_security
from p06.synth.areas import Areas
from p06.synth.chance import Ints
from p06.synth.frame import Frame
from p06.synth.outcome import Known, Register
from p06.synth.population import Country
from p06.synth.register import population_register

REGISTER = "population_register"
SECTORS: dict[str, Callable[[Country], Frame]] = {
    education.SOURCE: education.education_enrolment,
    social_security.SOURCE: social_security.social_security_participation,
    health.SOURCE: health.health_visit,  # after social security: cards lead to people through its matched rows
    bank.SOURCE: bank.bank_kyc,
    land.SOURCE: land.land_parcel,
}
SOURCES = (REGISTER, *SECTORS)
SUMMARY = Path("truth") / "summary.json"
_FEWEST = 50
ALL = "all"


@dataclass(frozen=True)
class Made:
    """One delivery: where it lies and what a loader must find in it (the figures of ``truth/summary.json``)."""

    folder: Path
    figures: dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """Everything one call made. ``rows`` counts records over all deliveries."""

    landing: Path
    truth: Path
    deliveries: tuple[Made, ...]

    @property
    def rows(self) -> int:
        """Records delivered."""
        return sum(made.figures["received"] for made in self.deliveries)


@dataclass(frozen=True)
class Correction:
    """What a re-delivery differs in: shares of rows left out and restated, and of damaged rows mended."""

    source: str
    period: Period
    revision: int
    removed: float
    changed: float
    repaired: float


def chosen(text: str | None) -> tuple[str, ...]:
    """The sources ``all`` or names with commas between stand for, in the order they are made; the first six for None.

    Raises UnknownSource P06-CONTRACT-002.
    """
    if text is None:
        return SOURCES
    names = set(contracts.load_all() if text == ALL else filter(None, (part.strip() for part in text.split(","))))
    for name in names:
        contracts.load(name)
    return (*(name for name in SOURCES if name in names), *sorted(names - set(SOURCES)))


def _silent(_: str) -> None:
    return None


def generate(
    out: Path,
    citizens: int,
    periods: Sequence[Period],
    seed: int,
    defects: str = "usual",
    progress: Callable[[str], None] = _silent,
    sources: Sequence[str] = SOURCES,
) -> Summary:
    """Write the delivery of each of the ``sources`` of every period below ``out``.

    ``periods`` are consecutive months, the first one a full register; ``citizens`` the people the register begins
    with; ``defects`` one of ``dirt.PROFILES``. ``progress`` gets one line per delivery. Raises UsageError
    P06-SYNTH-001 (too few citizens), 002 (periods not consecutive), 003 (unknown profile), 004 (negative seed), 007 (no
    source), 008 (a contract's ``synthetic`` makes no sense); UnknownSource.
    """
    _check(citizens, periods, seed, defects)
    if not sources:
        raise UsageError("P06-SYNTH-007")
    made = []
    for folder, figures in _months(out, citizens, periods, seed, defects, None, sources=sources):
        made.append(Made(folder, figures))
        progress(
            f"{figures['period']} {figures['source']}: {figures['received']:,} rows, "
            f"{figures['quarantined']:,} to quarantine, {figures['duplicates']:,} duplicates"
        )
    arguments = {
        "citizens": citizens,
        "periods": [str(period) for period in periods],
        "seed": seed,
        "defects": defects,
    } | ({"sources": list(sources)} if set(sources) != set(SOURCES) else {})
    _write_summary(out, {"arguments": arguments, "deliveries": [item.figures for item in made]})
    return Summary(out / "landing", out / "truth", tuple(made))


def correction(
    out: Path,
    source: str,
    period: Period,
    revision: int = 2,
    removed: float = 0.01,
    changed: float = 0.02,
    repaired: float = 0.5,
    into: Path | None = None,
) -> Made:
    """Deliver one period of one source again, of a country made by ``generate`` in ``out``.

    Of the first delivery's rows a share is left out, a share restated, and a share of the damaged ones mended. The
    delivery goes below ``out/landing`` or ``into`` (a landing), its truth to ``out/truth/<source>/<period>.r<n>``.
    A corrected register changes what other sources match; their truth is not worked out again. Raises UsageError
    P06-SYNTH-005 when ``out`` holds no such delivery, 006 when the revision is not above 1.
    """
    if revision < 2:
        raise UsageError("P06-SYNTH-006", revision=revision)
    path = out / SUMMARY
    try:
        arguments = orjson.loads(path.read_bytes())["arguments"]
    except (OSError, orjson.JSONDecodeError, KeyError):
        raise UsageError("P06-SYNTH-005", source=source, period=str(period)) from None
    periods = [Period.parse(item) for item in arguments["periods"]]
    sources = arguments.get("sources", SOURCES)
    if source not in sources or period not in periods:
        raise UsageError("P06-SYNTH-005", source=source, period=str(period))
    wish = Correction(source, period, revision, removed, changed, repaired)
    until = periods[: periods.index(period) + 1]
    made = list(
        _months(out, arguments["citizens"], until, arguments["seed"], arguments["defects"], wish, into, sources)
    )
    folder, figures = made[-1]
    summary = orjson.loads(path.read_bytes())
    others = [item for item in summary.get("corrections", ()) if _name(item) != _name(figures)]
    _write_summary(out, summary | {"corrections": [*others, figures]})
    return Made(folder, figures)


def _name(figures: dict[str, Any]) -> tuple[str, str, int]:
    return figures["source"], figures["period"], figures["revision"]


def _write_summary(out: Path, summary: dict[str, Any]) -> None:
    path = out / SUMMARY
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2) + b"\n")


def _check(citizens: int, periods: Sequence[Period], seed: int, defects: str) -> None:
    if citizens < _FEWEST:
        raise UsageError("P06-SYNTH-001", citizens=citizens)
    if not periods or any(later != earlier.shift(1) for earlier, later in pairwise(periods)):
        raise UsageError("P06-SYNTH-002")
    if defects not in dirt.PROFILES:
        raise UsageError("P06-SYNTH-003", profile=defects)
    if seed < 0:
        raise UsageError("P06-SYNTH-004", seed=seed)


def _months(
    out: Path,
    citizens: int,
    periods: Sequence[Period],
    seed: int,
    defects: str,
    wish: Correction | None,
    into: Path | None = None,
    sources: Sequence[str] = SOURCES,
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Live through the months; write every delivery, or with a wish only the one it names.

    The register is lived through whether or not it is among the sources; so is social security, whose cards lead visits
    to people.
    """
    others = [contracts.load(source).source for source in sorted(set(sources) - set(SOURCES))]
    needed = {REGISTER, *sources, *([social_security.SOURCE] if health.SOURCE in sources else [])}
    country = Country.found(seed, citizens, periods[0], Areas.read())
    known = Known.nothing()
    for period in periods:
        country.live()
        register: Register | None = None
        cards: tuple[Ints, Ints] | None = None
        for source in (*(source for source in SOURCES if source in needed), *others):
            asked = wish is not None and (wish.source, wish.period) == (source, period)
            if (
                source != REGISTER
                and wish is not None
                and (period != wish.period or source not in (wish.source, social_security.SOURCE))
            ):
                continue
            contract = contracts.load(source).at(period)
            if source == REGISTER:
                frame = population_register(country, known.damaged)
            elif source in SECTORS:
                frame = SECTORS[source](country)
            else:
                frame = promised.frame(country, contract)
            dealer = dirt.Dealer(frame, contract, country, known, dirt.PROFILES[defects], seed)
            dealer.deal_damage()
            dealer.deal_identity()
            if asked and wish is not None:
                dealer.revise(wish.revision, wish.removed, wish.changed, wish.repaired)
            spoilt = dealer.conclude(register, cards)
            if source == REGISTER:
                damaged = spoilt.quarantined & ~spoilt.accepted
                known.receive(country, frame.person, spoilt.accepted, damaged)
                register = Register(country, known)
            elif source == social_security.SOURCE:
                cards = spoilt.cards
            if (wish is not None and not asked) or source not in sources:
                continue
            revision = wish.revision if wish is not None else 1
            landing = into if into is not None else out / "landing"
            folder = landing / source / str(period) / f"rev-{revision}"
            found = delivery.write(folder, contract, period, revision, frame, spoilt)
            suffix = f".r{revision}" if revision > 1 else ""
            delivery.write_truth(out / "truth" / source / f"{period}{suffix}.csv.gz", found)
            yield folder, delivery.tally(folder, found, spoilt)
            if asked:
                return


__all__ = ["ALL", "SOURCES", "Made", "Summary", "chosen", "correction", "generate"]
