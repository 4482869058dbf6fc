"""The words of the pages in two languages, and numbers and days as each language writes them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml
from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent

from p06.errors import messages
from p06.period import Period

LANGUAGES = ("vi", "en")
VIETNAM = timezone(timedelta(hours=7), "Asia/Ho_Chi_Minh")
_FOLDER = Path(__file__).resolve().parents[1] / "messages" / "site"
_DAY = {"vi": "dd/MM/yyyy", "en": "d MMM yyyy"}
_MOMENT = {"vi": "HH:mm dd/MM/yyyy", "en": "d MMM yyyy, HH:mm"}
_MONTH = {"vi": "MM/yyyy", "en": "MMM yyyy"}
_MONTH_IN_FULL = {"vi": "'tháng' M 'năm' yyyy", "en": "MMMM yyyy"}
_NUMBER = re.compile(r"(?<![\w.-])-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.-])")
_DIGITS = re.compile(r"\d[\d .-]{7,}\d")


@cache
def texts() -> dict[str, dict[str, str]]:
    """Key -> {en, vi}, of every file below ``messages/site``; a key is ``file.name``."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(_FOLDER.glob("*.yaml")):
        stated = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        found |= {f"{path.stem}.{name}": words for name, words in stated.items()}
    return found


class Words:
    """What a page says in one language. A key without words raises KeyError: no page has a hole in it."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.number = lru_cache(maxsize=65_536)(self._number)
        self.percent = lru_cache(maxsize=65_536)(self._percent)

    @cached_property
    def locale(self) -> Locale:
        """Babel's rules of the language."""
        return Locale.parse(self.language)

    def t(self, key: str, **values: Any) -> str:
        """The text of a key, ``{name}`` replaced. Raises KeyError."""
        text = texts()[key][self.language]
        return text.format(**values) if values else text

    def named(self, kind: str, code: str, part: str = "") -> str:
        """What a code of the ledger is called (``hold.failed``); one that has no words yet is shown as it is."""
        key = f"{kind}.{code}{part}"
        return self.t(key) if key in texts() else ("" if part else code.replace("_", " "))

    def has(self, key: str) -> bool:
        """Whether there are words for the key."""
        return key in texts()

    def of_code(self, code: str, part: str = "") -> str:
        """What a code of an error or a row's reason means; with ``part`` "next", what to do. The code itself if unknown."""
        known = messages().get(code)
        return known.get(f"{part}_{self.language}" if part else self.language, "") if known else code

    def pair(self, en: str, vi: str) -> str:
        """The one of two texts in this language; the other when it is missing."""
        return (vi or en) if self.language == "vi" else (en or vi)

    def period(self, period: Period) -> str:
        """A month, short: ``08/2025``, ``Aug 2025``."""
        return format_date(period.first_day, _MONTH[self.language], locale=self.locale)

    def short(self, first_day: date) -> str:
        """The month of its first day, short."""
        return self.period(Period.of(first_day))

    def month(self, period: Period) -> str:
        """A month in full: ``tháng 8 năm 2025``, ``August 2025``."""
        return format_date(period.first_day, _MONTH_IN_FULL[self.language], locale=self.locale)

    def day(self, day: date) -> str:
        """A day; of a moment the day in Vietnam."""
        if isinstance(day, datetime):
            day = day.astimezone(VIETNAM).date()
        return format_date(day, _DAY[self.language], locale=self.locale)

    def moment(self, moment: datetime) -> str:
        """A moment in Vietnam's time, to the minute."""
        return format_datetime(moment.astimezone(VIETNAM), _MOMENT[self.language], locale=self.locale)

    def figure(self, text: str | None) -> str:
        """A figure or threshold of a check as the ledger keeps it, its numbers as the language writes them."""
        if not text:
            return ""
        text = re.sub(r"\bmin_value\b", "≥", re.sub(r"\bmax_value\b", "≤", text))
        text = re.sub(r"^≥ (\S+) … ≤ \1$", r"= \1", text)
        return _NUMBER.sub(lambda match: self._shortened(match[0]), text)

    def _shortened(self, text: str) -> str:
        value = float(text)
        if value == int(value) and abs(value) < 1e15:
            return self.number(int(value))
        return format_decimal(float(f"{value:.4g}"), format="#,##0.########", locale=self.locale)

    def _number(self, value: float, decimals: int = 0) -> str:
        pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
        return format_decimal(value, format=pattern, locale=self.locale)

    def _percent(self, share: float, decimals: int = 1) -> str:
        pattern = "#,##0" + ("." + "0" * decimals if decimals else "") + "%"
        return format_percent(share, format=pattern, locale=self.locale)


def guarded(text: str | None) -> str:
    """A text somebody typed: what looks like a number of a person is not repeated, and nothing in it is invisible."""
    shown = "".join(one if one.isprintable() else " " for one in text or "")
    return _DIGITS.sub("…", shown)[:500]
