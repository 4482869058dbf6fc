"""What an alert says: one event in Vietnamese and English, made of names, codes and counts, never of a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from p06.errors import messages
from p06.period import Period

KINDS = (
    "deadline_missed", "delivery_refused", "gate_blocked", "approval_waiting", "released", "rolled_back", "task_failed",
)  # fmt: skip
TEST = "test"
_LISTED = 8  # names of a list that are told one by one
_LENGTH = 200  # characters of a fact
# Nine digits in a row could be somebody's number; a name of ours never holds them.
_NUMBER = re.compile(r"[0-9]{9}")


@dataclass(frozen=True)
class Message:
    """One alert, as every channel tells it. ``facts`` are safe by ``safe``."""

    alert_id: int
    kind: str
    about: str
    source: str | None
    period: Period | None
    facts: Mapping[str, Any]
    noted_at: datetime

    @property
    def name(self) -> str:
        """The same for the same alert, whoever gets it and however often."""
        return f"{self.alert_id}-{self.kind}"

    @property
    def subject(self) -> str:
        """One line in both languages."""
        words = messages()[f"alert.{self.kind}"]
        about = " ".join(str(part) for part in (self.source, self.period) if part is not None)
        return f"[p06] {words['title_vi']} · {words['title_en']}" + (f": {about}" if about else "")

    def says(self, language: str) -> str:
        """The event in words."""
        shown = {name: _listed(value) for name, value in self.facts.items()}
        shown |= {"source": self.source or "–", "period": str(self.period or "–")}
        return messages()[f"alert.{self.kind}"][language].format_map(_Facts(shown))

    def next_step(self, language: str) -> str:
        """What to do."""
        return messages()[f"alert.{self.kind}"][f"next_{language}"]

    @property
    def text(self) -> str:
        """The body of a mail, Vietnamese first."""
        return (
            f"{self.says('vi')}\n{self.next_step('vi')}\n\n{self.says('en')}\n{self.next_step('en')}\n\n"
            f"p06 · {self.noted_at.isoformat(timespec='seconds')} · {self.name}\n"
        )

    @property
    def document(self) -> dict[str, Any]:
        """The body of a webhook."""
        words = messages()[f"alert.{self.kind}"]
        both = ("vi", "en")
        return {
            "id": self.name,
            "kind": self.kind,
            "source": self.source,
            "period": str(self.period) if self.period else None,
            "noted_at": self.noted_at.isoformat(),
            "title": {language: words[f"title_{language}"] for language in both},
            "text": {language: self.says(language) for language in both},
            "next": {language: self.next_step(language) for language in both},
            "facts": dict(self.facts),
        }


class _Facts(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "–"


def safe(value: Any) -> Any:
    """A fact as it may be told: numbers below a citizen's, short printable texts, lists of these; else ``…``."""
    if isinstance(value, list | tuple):
        return [safe(one) for one in value]
    if value is None or isinstance(value, bool):
        return value
    text = str(value)
    if len(text) > _LENGTH or not text.isprintable() or _NUMBER.search(text):
        return "…"
    return value if isinstance(value, int) else text


def _listed(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    more = len(value) - _LISTED
    return ", ".join(map(str, value[:_LISTED])) + (f" … (+{more})" if more > 0 else "")
