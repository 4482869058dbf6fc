"""The outbox of alerts: noted in the transaction of an event, sent afterwards, at least once and as a rule once.

``note`` is all a use case needs. ``send`` is called by the watch, and by commands when their work is done; whoever
cannot be reached is tried again with growing pauses, and holds up nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from p06 import channel, database, fault
from p06.channel import SendFailed
from p06.errors import P06Error
from p06.message import KINDS, TEST, Message, safe
from p06.period import Period

Report = Callable[[str], None]

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=2)
GIVEN_UP = timedelta(days=7)  # an alert nobody could be told of by then is history
BUDGET = 20.0  # seconds one call spends on sending


@dataclass(frozen=True)
class Delivery:
    """One alert on its way to one recipient; of an alert nobody is to hear of, ``recipient`` is None."""

    message: Message
    channel: str | None
    recipient: str | None
    attempts: int
    sent_at: datetime | None
    next_at: datetime | None
    failure: str | None
    given_up: bool
    addressed: bool

    @property
    def state(self) -> str:
        """``sent``, ``waiting``, ``given up``, ``no recipient``, or ``noted``: nobody has looked at it yet."""
        if self.recipient is None:
            return "no recipient" if self.addressed else "noted"
        return "sent" if self.sent_at else "given up" if self.given_up else "waiting"


@dataclass(frozen=True)
class Sent:
    """What one call of ``send`` did: deliveries that left, and (channel, kind of failure) of those that did not."""

    sent: int
    failed: tuple[tuple[str, str], ...]


def note(
    connection: psycopg.Connection[Any],
    kind: str,
    about: str,
    source: str | None = None,
    period: Period | None = None,
    **facts: Any,
) -> None:
    """Write an event into the outbox, in the caller's transaction; the same ``kind`` and ``about`` again changes nothing.

    ``connection`` is the loader's, builder's or publisher's. ``facts`` fill the places of the kind's words in
    ``messages/alert.yaml``: names, codes and counts, or lists of them. What could be a person's is replaced by ``…``.
    Raises KeyError on a kind that is none of ``message.KINDS``.
    """
    if kind not in (*KINDS, TEST):
        raise KeyError(kind)
    connection.execute(
        "insert into control.alert (kind, about, source, period, facts) values (%s, %s, %s, %s, %s)"
        " on conflict (kind, about) do nothing",
        (
            *(kind, about, safe(source), period.first_day if period else None),
            Jsonb({name: safe(value) for name, value in facts.items()}),
        ),
    )


def send(report: Report = lambda text: None, budget: float = BUDGET) -> Sent:
    """Settle who hears of new alerts, then send what is due, oldest first, for at most ``budget`` seconds.

    A delivery is locked while it is under way, so that two senders never send it both; a process killed between the
    receiver's answer and the commit sends it again. A channel that fails is left alone for the rest of the call.
    Raises P06Error P06-ALERT-001 when the configuration cannot be read; everything waits then.
    """
    known = channel.channels()
    sent, failed = 0, []
    down: list[str] = []
    until = time.monotonic() + budget
    with database.connect("publisher", autocommit=True) as connection:
        _address(connection, known)
        while time.monotonic() < until:
            with connection.transaction():
                row = connection.execute(_DUE, {"down": down}).fetchone()
                if row is None:
                    break
                name, recipient, attempts, *rest = row
                message = _message(rest)
                try:
                    if name not in known.known:
                        raise SendFailed("NoSuchChannel")
                    channel.send(known.known[name], recipient, message)
                except SendFailed as error:
                    _postpone(connection, message, name, recipient, attempts, error)
                    failed.append((name, error.kind))
                    down += [] if error.alone else [name]
                    report(str(P06Error("P06-ALERT-002", channel=name, kind=error.kind, alert=message.name)))
                    continue
                fault.point("alert.sent")
                connection.execute(
                    "update control.alert_delivery set sent_at = clock_timestamp(), attempts = attempts + 1,"
                    " failure = null where alert_id = %s and channel = %s and recipient = %s",
                    (message.alert_id, name, recipient),
                )
                sent += 1
    return Sent(sent, tuple(failed))


def outbox(limit: int = 50) -> list[Delivery]:
    """The newest alerts and what became of each, newest first."""
    with database.connect("publisher", autocommit=True) as connection:
        rows = connection.execute(_OUTBOX, {"limit": limit}).fetchall()
    return [Delivery(_message(row[:7]), *row[7:]) for row in rows]


def waiting(connection: psycopg.Connection[Any]) -> int:
    """How many deliveries are on their way, and alerts nobody has looked at yet."""
    row = connection.execute(
        "select (select count(*) from control.alert where addressed_at is null)"
        " + (select count(*) from control.alert_delivery where sent_at is null and given_up_at is null)"
    ).fetchone()
    return int(row[0]) if row else 0


def test(report: Report = lambda text: None) -> Sent:
    """Tell everyone whom any alert could reach that this is a test. Raises P06Error P06-ALERT-003 when that is nobody."""
    if not channel.channels().recipients(TEST, None):
        raise P06Error("P06-ALERT-003")
    with database.connect("publisher") as connection:
        note(connection, TEST, secrets.token_hex(8))
        connection.commit()
    return send(report)


def _address(connection: psycopg.Connection[Any], known: channel.Channels) -> None:
    """One delivery for each recipient of each alert that has none yet; settled once, whatever the file says later."""
    with connection.transaction():
        rows = connection.execute(
            "select alert_id, kind, source from control.alert where addressed_at is null order by alert_id"
            " for update skip locked"
        ).fetchall()
        for alert_id, kind, source in rows:
            for name, recipient in known.recipients(kind, source):
                connection.execute(
                    "insert into control.alert_delivery (alert_id, channel, recipient) values (%s, %s, %s)"
                    " on conflict do nothing",
                    (alert_id, name, recipient),
                )
            connection.execute(
                "update control.alert set addressed_at = clock_timestamp() where alert_id = %s", (alert_id,)
            )


def _postpone(
    connection: psycopg.Connection[Any], message: Message, name: str, recipient: str, attempts: int, error: SendFailed
) -> None:
    pause = min(FIRST_PAUSE * 2 ** min(attempts, 12), LONGEST_PAUSE)
    connection.execute(
        "update control.alert_delivery set attempts = attempts + 1, failure = %(kind)s,"
        " next_at = clock_timestamp() + %(pause)s,"
        " given_up_at = case when clock_timestamp() > %(noted)s + %(end)s then clock_timestamp() end"
        " where alert_id = %(alert)s and channel = %(channel)s and recipient = %(recipient)s",
        {
            "kind": error.kind, "pause": pause, "noted": message.noted_at, "end": GIVEN_UP,
            "alert": message.alert_id, "channel": name, "recipient": recipient,
        },
    )  # fmt: skip


def _message(row: Any) -> Message:
    alert_id, kind, about, source, period, facts, noted_at = row
    return Message(alert_id, kind, about, source, Period.of(period) if period else None, facts, noted_at)


_DUE = """
select d.channel, d.recipient, d.attempts, a.alert_id, a.kind, a.about, a.source, a.period, a.facts, a.noted_at
from control.alert_delivery as d
inner join control.alert as a using (alert_id)
where d.sent_at is null and d.given_up_at is null and d.next_at <= clock_timestamp() and d.channel <> all(%(down)s)
order by d.alert_id, d.channel, d.recipient
limit 1
for update of d skip locked
"""
_OUTBOX = """
select
    a.alert_id, a.kind, a.about, a.source, a.period, a.facts, a.noted_at,
    d.channel, d.recipient, coalesce(d.attempts, 0), d.sent_at, d.next_at, d.failure, d.given_up_at is not null,
    a.addressed_at is not null
from (select * from control.alert order by alert_id desc limit %(limit)s) as a
left join control.alert_delivery as d using (alert_id)
order by a.alert_id desc, d.channel, d.recipient
"""
