"""The desk: pages for those who decide. Stewards see pairs, quality officers what waits for approval.

It knows nothing of the server before it: an account and its session come in, a page or the way to the next one goes
out. What is decided goes through the same functions as the command line.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from p06 import airflow_api, answer, database, duty, steward
from p06.approval import Question, Verdict
from p06.errors import P06Error, UsageError
from p06.settings import settings
from p06.site import page, subject
from p06.site.evidence import Evidence
from p06.site.figure import mark
from p06.site.page import Page
from p06.site.words import LANGUAGES, Words

SHOWN = 100  # pairs on one page, the likeliest first
_PAIR = re.compile(r"desk/pairs/([0-9a-f]{20})\.html")
_QUESTION = re.compile(r"desk/approvals/([1-9][0-9]{0,15})\.html")
_VERDICTS = {"accept": "accept", "reject": "reject", "undo": "undone"}
_STATUS = {"P06-DB-002": 503, "P06-DUTY-005": 403, "P06-DUTY-006": 403, "P06-STEWARD-001": 404, "P06-APPROVAL-001": 404}


@dataclass(frozen=True)
class Caller:
    """Who asks: the account Airflow knows, and what tells this session from any other."""

    account: str
    session: str

    @property
    def signed(self) -> str:
        """As the books name whoever decides on a page."""
        return f"airflow:{self.account}"


@dataclass(frozen=True)
class Reply:
    """A page with its status, or the address to go on to, relative to the one asked."""

    status: int
    html: bytes = b""
    go_on: str | None = None


def get(caller: Caller, language: str, address: str, done: str = "") -> Reply:
    """A page of the desk; ``done`` names what was decided a moment ago."""
    if language not in LANGUAGES:
        return Reply(404)
    words = Words(language)
    done = done if done in (*_VERDICTS, "approve", "stop", "same") else ""
    try:
        return Reply(200, _render(_page(caller, words, address, done), words, caller))
    except P06Error as error:
        return _refusal(error, words, caller, address)


def post(caller: Caller, language: str, address: str, form: Mapping[str, str]) -> Reply:
    """What a form of the desk asks for: nothing is read before the token says that the form is this session's own."""
    if language not in LANGUAGES:
        return Reply(404)
    words = Words(language)
    try:
        if not hmac.compare_digest(token(caller, address).encode(), form.get("token", "").encode()):
            raise UsageError("P06-DUTY-006")
        verdict, why = form.get("verdict", ""), form.get("why", "")
        if found := _PAIR.fullmatch(address):
            return _decide(caller, words, found[1], verdict, why)
        if found := _QUESTION.fullmatch(address):
            return _answer(caller, int(found[1]), verdict, why)
    except P06Error as error:
        return _refusal(error, words, caller, address)
    return Reply(404)


def token(caller: Caller, address: str) -> str:
    """What a form carries: good for one account, in one session, at one address."""
    said = "\0".join((caller.account, caller.session, address)).encode()
    return hmac.new(_key(), said, hashlib.sha256).hexdigest()


def _key() -> bytes:
    """Read each time: two servers that make it at once both end with the one that stays."""
    path = settings().home / "secrets" / "desk.key"
    if not path.exists():
        database.write_secret(path, secrets.token_bytes(32))
    return path.read_bytes()


def _decide(caller: Caller, words: Words, pair: str, verdict: str, why: str) -> Reply:
    _may_decide(caller, pair)
    if verdict == "reveal":
        return Reply(200, _render(_pair(caller, words, pair, "", reveal=True), words, caller))
    if verdict not in _VERDICTS:
        return Reply(404)
    wanted = cast(Literal["accept", "reject", "undone"], _VERDICTS[verdict])
    _, new = steward.decide(pair, wanted, duty.reason(why), caller.signed)
    return Reply(303, go_on=f"{pair}.html?done={verdict if new else 'same'}")


def _answer(caller: Caller, number: int, verdict: str, why: str) -> Reply:
    _must_approve(caller)
    wanted: Verdict | None = {"approve": "approve", "stop": "reject"}.get(verdict)  # type: ignore[assignment]
    if wanted is None:
        return Reply(404)
    answer.give(number, wanted, caller.account, duty.reason(why))
    return Reply(303, go_on=f"{number}.html?done={verdict}")


def _page(caller: Caller, words: Words, address: str, done: str) -> Page:
    if address == "desk/index.html":
        return _entrance(caller, words)
    if address == "desk/pairs.html":
        return _pairs(caller, words)
    if address == "desk/approvals.html":
        return _approvals(caller, words)
    if found := _PAIR.fullmatch(address):
        _may_decide(caller, found[1])
        return _pair(caller, words, found[1], done)
    if found := _QUESTION.fullmatch(address):
        return _approval(caller, words, int(found[1]), done)
    raise UsageError("P06-STEWARD-001")


def _entrance(caller: Caller, words: Words) -> Page:
    """What this account may do, and how much of it waits."""
    reach = duty.of(caller.account, "steward")
    officer = caller.account in airflow_api.officers()
    content = {
        "duties": duty.in_force(caller.account),
        "pairs": len(_waiting(reach)) if reach else None,
        "questions": len(answer.pending()) if officer else None,
    }
    return Page("desk/index.html", "", "desk.html", words.t("desk.title"), content)


def _pairs(caller: Caller, words: Words) -> Page:
    reach = _must_decide(caller)
    waiting = _waiting(reach)
    entries = [one for one in steward.entries() if one.in_force][::-1]
    if not reach.nation:
        areas = steward.provinces()
        entries = [one for one in entries if reach.holds(areas.get(one.pair))]
    content = {
        "waiting": waiting[:SHOWN],
        "count": len(waiting),
        "entries": entries[:SHOWN],
        "titles": _titles(words),
    }
    return Page("desk/pairs.html", "", "desk_pairs.html", words.t("desk.pairs"), content, _above(words))


def _pair(caller: Caller, words: Words, pair: str, done: str, reveal: bool = False) -> Page:
    """Both sides beside each other; one that stands no more shows its decision alone."""
    try:
        _, source, period, sides = steward.show(pair, reveal, caller.signed)
    except UsageError as error:
        if error.code != "P06-STEWARD-007":
            raise
        source, period, sides = "", None, []
    entry = next((one for one in reversed(steward.entries()) if one.pair == pair and one.in_force), None)
    if done not in (("same", entry.verdict) if entry else ("same", "undo")):
        done = ""  # an address somebody wrote says what was not done
    stands = next((one for one in steward.queue(all_pairs=True) if one.pair == pair), None)
    content = {
        "source": _titles(words).get(source, source), "of_period": period, "sides": sides,
        "stands": stands, "entry": entry, "revealed": reveal, "done": done,
    }  # fmt: skip
    trail = (*_above(words), ("desk/pairs.html", words.t("desk.pairs")))
    return Page(f"desk/pairs/{pair}.html", "", "desk_pair.html", words.t("desk.pair", name=pair[:8]), content, trail)


def _approvals(caller: Caller, words: Words) -> Page:
    _must_approve(caller)
    content = {"questions": answer.pending(), "answered": _answered()[:SHOWN]}
    return Page("desk/approvals.html", "", "desk_approvals.html", words.t("desk.approvals"), content, _above(words))


def _approval(caller: Caller, words: Words, number: int, done: str) -> Page:
    """The evidence, and the form beside it while the question waits."""
    _must_approve(caller)
    question = next((one for one in answer.pending(everything=True) if one.request_id == number), None)
    if question is None:
        raise UsageError("P06-APPROVAL-001", request=number)
    if done != {"approve": "approve", "reject": "stop"}.get(question.verdict or ""):
        done = ""  # an address somebody wrote says what was not done
    content = {"question": question, "done": done, "titles": _titles(words)}
    title = words.t("desk.approval", month=words.month(question.period))
    trail = (*_above(words), ("desk/approvals.html", words.t("desk.approvals")))
    return Page(f"desk/approvals/{number}.html", "", "desk_approval.html", title, content, trail)


def _answered() -> list[Question]:
    return [one for one in answer.pending(everything=True) if one.verdict and one.state != "approved"][::-1]


def _waiting(reach: duty.Reach) -> list[steward.Pair]:
    found = steward.queue()
    if reach.nation:
        return found
    areas = steward.provinces()
    return [one for one in found if reach.holds(areas.get(one.pair))]


def _must_decide(caller: Caller) -> duty.Reach:
    reach = duty.of(caller.account, "steward")
    if not reach:
        raise UsageError("P06-DUTY-005")
    return reach


def _may_decide(caller: Caller, pair: str) -> None:
    """A pair of another province is refused like one that does not exist: whoever asks learns nothing."""
    reach = _must_decide(caller)
    if not reach.nation and not reach.holds(steward.provinces().get(pair)):
        raise UsageError("P06-DUTY-005")


def _must_approve(caller: Caller) -> None:
    if caller.account not in airflow_api.officers():
        raise UsageError("P06-DUTY-005")


def _above(words: Words) -> tuple[tuple[str, str], ...]:
    return (("desk/index.html", words.t("desk.title")),)


def _titles(words: Words) -> dict[str, str]:
    from p06 import contract

    known = Evidence(contract.load_all())
    return {name: subject.title(known, words, name) for name in known.contracts}


def refused(caller: Caller, path: str, code: str, area: str | None = None) -> Reply:
    """The page that says why not, at the path of the site or the desk that was asked for; in its language, if it has one.

    ``area`` is the province the page is of, as ``duty.area`` names it.
    """
    language, _, address = path.partition("/")
    if language not in LANGUAGES:
        language, address = LANGUAGES[0], f"../{path}"
    return _refusal(UsageError(code), Words(language), caller, address, area)


def _refusal(error: P06Error, words: Words, caller: Caller, address: str, area: str | None = None) -> Reply:
    """It stands at the address that was asked for, so that its links and its style are found from there."""
    status = _STATUS.get(error.code, 409)
    run = _mend(caller, address, area) if error.code == "P06-DUTY-005" else ""
    shown = Page(address, "", "desk_refused.html", words.t("desk.refused"),
                 {"code": error.code, "what": error.what(words.language), "next": error.next_step(words.language),
                  "run": run},
                 _above(words))  # fmt: skip
    return Reply(status, _render(shown, words, caller))


def _mend(caller: Caller, address: str, area: str | None) -> str:
    """What whoever runs the warehouse types for this account to see what it asked for; an administrator is nobody here."""
    if not duty.is_account(caller.account):
        return ""
    if address.startswith("desk/approvals"):
        return f"P06_OFFICERS={','.join([*sorted(airflow_api.officers()), caller.account])}"
    if address.startswith("desk/"):
        return f"p06 duties give {caller.account} steward"
    province = duty.today(area)
    return f"p06 duties give {caller.account} reader" + (f" --province {province}" if province else "")


def _render(one: Page, words: Words, caller: Caller) -> bytes:
    common: dict[str, Any] = {
        "newest_release": None, "sign": mark, "account": caller.account, "token": token(caller, one.address),
    }  # fmt: skip
    return page.render(one, words, common)
