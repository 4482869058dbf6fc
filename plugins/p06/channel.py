"""The channels alerts leave by, and who hears of what: ``$P06_HOME/alerts.yaml`` (or the file ``P06_ALERTS`` names).

Secrets stand in no configuration: the channel ``NAME`` asks for the credentials ``p06_alerts_NAME`` (``user`` and
``password`` of a mail server; ``secret`` of a webhook, and its ``url`` when the address itself is a secret).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Literal, NoReturn, cast, get_args
from urllib.parse import urlsplit

import yaml

from p06 import contract, credentials
from p06.errors import P06Error
from p06.message import KINDS, Message
from p06.settings import settings

Security = Literal["starttls", "tls", "none"]

TIMEOUT = 5.0  # seconds a receiver may keep us waiting at each step
SIGNATURE, IDENTITY = "P06-Signature", "P06-Alert-Id"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,250}")
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True)
class Email:
    """A mail server. Without encryption no password is ever sent."""

    name: str
    host: str
    port: int
    security: Security
    sender: str
    ca_file: str | None = None


@dataclass(frozen=True)
class Webhook:
    """An address that takes JSON by POST; plain http only on this machine or where it is said to be meant."""

    name: str
    url: str | None  # None: it is one of the credentials
    insecure: bool = False
    ca_file: str | None = None


@dataclass(frozen=True)
class Route:
    """Who hears of which kinds and sources by one channel. ``contacts``: whoever the source's contract names too."""

    channel: str
    to: tuple[str, ...]
    kinds: frozenset[str]
    sources: frozenset[str] | None  # None: all, and what concerns no single source
    contacts: bool


@dataclass(frozen=True)
class Channels:
    """The file in memory; without one there are none."""

    known: Mapping[str, Email | Webhook]
    routes: tuple[Route, ...] = ()

    def recipients(self, kind: str, source: str | None) -> list[tuple[str, str]]:
        """(channel, recipient) of everyone who is to hear of it, each once; of a webhook the recipient is its name.

        A test goes to everyone.
        """
        found: list[tuple[str, str]] = []
        for route in self.routes:
            if kind != "test" and (
                kind not in route.kinds or (route.sources is not None and source not in route.sources)
            ):
                continue
            if isinstance(self.known[route.channel], Webhook):
                found.append((route.channel, route.channel))
                continue
            found += [(route.channel, address) for address in route.to]
            if route.contacts and source is not None:
                promised = contract.load_all().get(source)
                found += [(route.channel, address) for address in (promised.contacts if promised else ())]
        return list(dict.fromkeys(found))


class SendFailed(Exception):
    """A receiver did not take a message. ``kind`` is a word for the ledger, never what the receiver said.

    ``alone``: this recipient was refused; the channel itself answers.
    """

    def __init__(self, kind: str, alone: bool = False) -> None:
        self.kind = kind
        self.alone = alone
        super().__init__(kind)


def channels() -> Channels:
    """What the file says. Raises P06Error P06-ALERT-001 naming the place in it, never its content."""
    path = settings().alerts
    try:
        document = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        return Channels({})
    except (OSError, UnicodeError, ValueError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        raise P06Error("P06-ALERT-001", file=path.name, line=mark.line + 1 if mark else None) from None
    document = _mapping(document, "document", {"channels", "routes"})
    known: dict[str, Email | Webhook] = {}
    stated = document.get("channels")
    for name, entry in (stated if isinstance(stated, dict) else _fail("channels")).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            _fail("channels")
        known[name] = _channel(name, entry, f"channels.{name}")
    routes = document.get("routes", [])
    if not isinstance(routes, list):
        _fail("routes")
    return Channels(known, tuple(_route(entry, known, f"routes[{at}]") for at, entry in enumerate(routes)))


def send(channel: Email | Webhook, recipient: str, message: Message) -> None:
    """Hand one message over; returns when the receiver has taken it. Raises SendFailed."""
    try:
        if isinstance(channel, Email):
            _mail(channel, recipient, message)
        else:
            _post(channel, message)
    except P06Error as error:  # of the credentials
        raise SendFailed(error.code) from None
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as error:
        raise SendFailed(type(error).__name__, alone=True) from None
    except smtplib.SMTPException as error:
        raise SendFailed(type(error).__name__) from None
    except (OSError, ssl.SSLError, UnicodeError) as error:
        raise SendFailed(type(error).__name__) from None


def signature(secret: str, moment: int, body: bytes) -> str:
    """What the header ``P06-Signature`` holds: the moment, and HMAC-SHA-256 over ``moment.body``.

    A receiver computes it again, compares in constant time, and refuses moments that lie far from its own clock.
    """
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def _mail(channel: Email, recipient: str, message: Message) -> None:
    secret = credentials.of(f"p06_alerts_{channel.name}")
    user, password = secret.get("user"), secret.get("password")
    if user is not None and channel.security == "none":
        raise SendFailed("NoPasswordWithoutEncryption")
    context = ssl.create_default_context(cafile=channel.ca_file)
    name = socket.gethostname()
    server: smtplib.SMTP
    if channel.security == "tls":
        server = smtplib.SMTP_SSL(channel.host, channel.port, name, timeout=TIMEOUT, context=context)
    else:
        server = smtplib.SMTP(channel.host, channel.port, name, timeout=TIMEOUT)
    try:
        if channel.security == "starttls":
            server.starttls(context=context)
        if user is not None:
            server.login(user, password or "")
        server.send_message(letter(channel, recipient, message), channel.sender, [recipient])
        with suppress(smtplib.SMTPException, OSError):  # it has the message: a clumsy farewell is no failure
            server.quit()
    finally:
        server.close()


def letter(channel: Email, recipient: str, message: Message) -> EmailMessage:
    """The mail: the same alert has the same Message-ID however often it is sent, so that readers' programs show it once."""
    mail = EmailMessage()
    mail["Subject"] = message.subject
    mail["From"] = channel.sender
    mail["To"] = recipient
    mail["Date"] = format_datetime(message.noted_at)
    mail["Message-ID"] = f"<p06-{message.name}@{channel.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail[IDENTITY] = message.name
    mail.set_content(message.text)
    return mail


def _post(channel: Webhook, message: Message) -> None:
    import httpx

    secret = credentials.of(f"p06_alerts_{channel.name}")
    url = channel.url or secret.need("url")
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and (channel.insecure or parts.hostname in _LOCAL)):
        raise SendFailed("NoPlainHttp")
    body = json.dumps(message.document, ensure_ascii=False, sort_keys=True).encode()
    headers = {"Content-Type": "application/json; charset=utf-8", IDENTITY: message.name, "User-Agent": "p06"}
    key = secret.get("secret")
    if key is not None:
        headers[SIGNATURE] = signature(key, int(time.time()), body)
    verify: Any = ssl.create_default_context(cafile=channel.ca_file) if channel.ca_file else True
    try:
        answer = httpx.post(
            url, content=body, headers=headers, timeout=TIMEOUT, follow_redirects=False, trust_env=False, verify=verify
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SendFailed(type(error).__name__) from None
    if not answer.is_success:
        raise SendFailed(f"HTTP {answer.status_code}")


def _fail(at: str) -> NoReturn:
    raise P06Error("P06-ALERT-001", file=settings().alerts.name, at=at) from None


def _mapping(entry: Any, at: str, allowed: Iterable[str]) -> dict[str, Any]:
    if not isinstance(entry, dict) or not set(entry) <= set(allowed):
        _fail(at)
    return entry


def _text(entry: Mapping[str, Any], name: str, at: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value or not value.isprintable():
        _fail(f"{at}.{name}")
    return value


def _flag(entry: Mapping[str, Any], name: str, at: str) -> bool:
    value = entry.get(name, False)
    return value if isinstance(value, bool) else _fail(f"{at}.{name}")


def _channel(name: str, entry: Any, at: str) -> Email | Webhook:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if kind == "email":
        entry = _mapping(entry, at, {"kind", "host", "port", "security", "sender", "ca_file"})
        security = entry.get("security", "starttls")
        if security not in get_args(Security):
            _fail(f"{at}.security")
        port = entry.get("port", _PORTS[security])
        if type(port) is not int or not 0 < port < 65536:
            _fail(f"{at}.port")
        sender = _text(entry, "sender", at)
        if not _ADDRESS.fullmatch(sender):
            _fail(f"{at}.sender")
        return Email(name, _text(entry, "host", at), port, cast(Security, security), sender, _ca_file(entry, at))
    if kind == "webhook":
        entry = _mapping(entry, at, {"kind", "url", "insecure", "ca_file"})
        url = _text(entry, "url", at) if "url" in entry else None
        return Webhook(name, url, _flag(entry, "insecure", at), _ca_file(entry, at))
    return _fail(f"{at}.kind")


def _ca_file(entry: Mapping[str, Any], at: str) -> str | None:
    if "ca_file" not in entry:
        return None
    path = _text(entry, "ca_file", at)
    return path if Path(path).is_file() else _fail(f"{at}.ca_file")


def _route(entry: Any, known: Mapping[str, Email | Webhook], at: str) -> Route:
    entry = _mapping(entry, at, {"channel", "to", "kinds", "sources", "contacts"})
    channel = _text(entry, "channel", at)
    if channel not in known:
        _fail(f"{at}.channel")
    to, contacts = _names(entry, "to", at), _flag(entry, "contacts", at)
    if isinstance(known[channel], Email):
        if not (to or contacts) or not all(_ADDRESS.fullmatch(address) for address in to):
            _fail(f"{at}.to")
    elif to or contacts:
        _fail(f"{at}.to")
    kinds = _names(entry, "kinds", at) or KINDS
    if not set(kinds) <= set(KINDS):
        _fail(f"{at}.kinds")
    sources = frozenset(_names(entry, "sources", at)) if "sources" in entry else None
    if sources is not None and not sources <= set(contract.load_all()):
        _fail(f"{at}.sources")
    return Route(channel, tuple(to), frozenset(kinds), sources, contacts)


def _names(entry: Mapping[str, Any], name: str, at: str) -> tuple[str, ...]:
    value = entry.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        _fail(f"{at}.{name}")
    return tuple(value)
