"""``p06 explain``: a code or an indicator in words, in two languages."""

from __future__ import annotations

from typing import Annotated

import typer

from p06.commands.printing import show_json
from p06.errors import UsageError, messages

_PARTS = ("definition", "numerator", "denominator", "where")


def explain(
    code: Annotated[
        str, typer.Argument(metavar="CODE|INDICATOR", help="A code like P06-LOAD-014, a row's reason, or an indicator.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """A code in words, and what to do; or what an indicator counts. In two languages.

    Giải thích một mã và việc cần làm, hoặc ý nghĩa của một chỉ tiêu.
    """
    known = messages()
    if code not in known:
        _indicator(code, as_json)
        return
    text = known[code]
    if as_json:
        show_json({"code": code, **text})
        return
    print(
        f"{code}\n  vi: {text['vi']}\n      {text.get('next_vi', '')}\n  en: {text['en']}\n      {text.get('next_en', '')}"
    )


def _indicator(code: str, as_json: bool) -> None:
    """Raises UsageError P06-CLI-001 when there is no such indicator either."""
    from p06 import contract
    from p06.site import indicators
    from p06.site.evidence import Evidence
    from p06.site.words import LANGUAGES, Words

    found = Evidence(contract.load_all())
    kind, dot, source = code.partition(".")
    known = Words("en").has(f"indicator.{kind}_definition") and (not dot or source in found.contracts)
    if not known or (kind == "match_rate") != bool(dot):
        raise UsageError("P06-CLI-001", given=code if code.replace("_", "").replace("-", "").isalnum() else None)
    said = {language: indicators.meaning(found, Words(language), code).__dict__ for language in LANGUAGES}
    if as_json:
        show_json({"code": code, **said})
        return
    print(code)
    for language, parts in said.items():
        words = Words(language)
        titles = (words.t("indicators.definition"), words.t("word.numerator"), words.t("word.denominator"))
        print(f"  {language}: {parts['name']}")
        for title, part in zip((*titles, words.t("indicators.where")), _PARTS, strict=True):
            print(f"      {title}: {parts[part]}")
