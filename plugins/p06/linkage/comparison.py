"""What is compared, in levels from strongest to weakest; the first that holds counts.

``_l`` is the citizen, ``_r`` the record. The name is one comparison, not three: a typist who leaves out tone marks
leaves them out everywhere, and three small surprises would count one habit three times. A level that depends on how
the record is written (without any mark, with initials) states its chances among records written so. The frequency of
what agreed takes the place of u (Splink's term frequencies), by the citizen's or the record's value, whichever is more
frequent. The number is compared beyond what sex and birth year already say (its first six digits hold both).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Evidence:
    """How likely a level of agreement is for one and the same person (m) and for two strangers (u).

    Where the frequency of what agreed takes the place of u, u is 1.
    """

    m: float
    u: float


_NAME = {
    # level: (condition, frequency column)
    "full": ("name_l = name_r and not bare_r", "t_full"),
    "bare": ("plain_l = plain_r and bare_r", "t_plain"),
    "tone_slip": ("plain_l = plain_r", "t_plain"),
    "middle_missing": ("middle_r = '' and family_l = family_r and given_l = given_r", "t_ends"),
    "initials": (
        "short_r and given_l = given_r and left(family_l, 1) = left(family_r, 1) and left(middle_l, 1) = left(middle_r, 1)",
        "t_initials",
    ),
    "turned": ("sorted_l = sorted_r", "t_plain"),
    "middle_near": (
        "family_l = family_r and given_l = given_r and middle_l <> '' and middle_r <> '' "
        "and (damerau_levenshtein(middle_l, middle_r) <= 1 or contains(middle_l, middle_r) or contains(middle_r, middle_l))",
        "t_ends",
    ),
    "family_near": (
        "middle_l = middle_r and given_l = given_r and damerau_levenshtein(family_l, family_r) <= 1",
        "t_tail",
    ),
    "given_near": (
        "family_l = family_r and middle_l = middle_r and damerau_levenshtein(given_l, given_r) <= 1",
        "t_near",
    ),
    "middle_differs": ("family_l = family_r and given_l = given_r", "t_ends"),
    "family_differs": ("middle_l = middle_r and given_l = given_r", "t_tail"),
    "near": ("jaro_winkler_similarity(plain_l, plain_r) >= 0.94", "t_given"),
    "given_only": ("given_l = given_r", "t_given"),
    "given_differs": ("family_l = family_r and middle_l = middle_r", "t_head"),
    "other": ("ELSE", None),
}
_BIRTH_DATE = {
    "same": "born_l = born_r and not placeholder_r",
    "same_placeholder": "born_l = born_r",
    "swapped": "born_l = swapped_r",
    "placeholder": "left(born_l, 4) = left(born_r, 4) and placeholder_r",
    "one_digit": "damerau_levenshtein(born_l, born_r) <= 1",
    "same_year": "left(born_l, 4) = left(born_r, 4)",
    "same_day": "right(born_l, 4) = right(born_r, 4)",
    "other": "ELSE",
}
_SEX = {"same": "sex_l = sex_r", "other": "ELSE"}
_COMMUNE = {"same": "commune_l = commune_r", "same_province": "province_l = province_r", "other": "ELSE"}
_CITIZEN_ID = {
    "same": "number_l = number_r",
    "one_digit": "damerau_levenshtein(number_l, number_r) <= 1",
    "same_serial": "right(number_l, 6) = right(number_r, 6)",
    "two_digits": "left(number_l, 6) = left(number_r, 6) and damerau_levenshtein(number_l, number_r) <= 2",
    "other": "ELSE",
}
_OLD_ID = {
    "same": "old_id_l = old_id_r",
    "one_digit": "damerau_levenshtein(old_id_l, old_id_r) <= 1",
    "other": "ELSE",
}
_TWIN = {
    # Two people of one family born on one day, whose given names differ although the record bears marks: a twin whom
    # the register lacks is as likely as a slip of the tone, which chance alone would never say.
    "alike": (
        "born_l = born_r and family_l = family_r and not bare_r and given_toned_l <> given_toned_r "
        "and middle_r <> '' and not short_r"
    ),
    "other": "ELSE",
}
_NULLS = {
    "twin": "born_l is null or born_r is null",
    "name": "name_l is null or name_r is null",
    "birth_date": "born_l is null or born_r is null",
    "sex": "sex_l not in ('M', 'F') or sex_r not in ('M', 'F')",
    "commune": "commune_l is null or commune_r is null",
    "citizen_id": "number_l is null or number_r is null",
    "old_id": "old_id_l is null or old_id_r is null",
}
_CONDITIONS: dict[str, dict[str, tuple[str, str | None]]] = {
    "name": _NAME,
    **{
        comparison: {level: (condition, None) for level, condition in levels.items()}
        for comparison, levels in (
            ("birth_date", _BIRTH_DATE),
            ("sex", _SEX),
            ("commune", _COMMUNE),
            ("citizen_id", _CITIZEN_ID),
            ("old_id", _OLD_ID),
            ("twin", _TWIN),
        )
    },
}
LEVELS = {comparison: tuple(levels) for comparison, levels in _CONDITIONS.items()}
"""Comparison -> its levels, strongest first."""
TERMS = tuple(dict.fromkeys(term for _, term in _NAME.values() if term))
"""The columns that hold what agreed, each beside ``tf_<column>``, its frequency."""


def comparisons(evidence: Mapping[str, Mapping[str, Evidence]]) -> list[dict[str, Any]]:
    """Splink's comparisons with these weights."""
    return [
        {
            "output_column_name": comparison,
            "comparison_levels": [
                {"sql_condition": _NULLS[comparison], "label_for_charts": "not stated", "is_null_level": True},
                *(
                    _level(level, condition, term, evidence[comparison][level])
                    for level, (condition, term) in levels.items()
                ),
            ],
        }
        for comparison, levels in _CONDITIONS.items()
    ]


def _level(level: str, condition: str, term: str | None, evidence: Evidence) -> dict[str, Any]:
    stated = {
        "sql_condition": condition,
        "label_for_charts": level,
        "m_probability": evidence.m,
        "u_probability": evidence.u,
    }
    if term:
        stated |= {"tf_adjustment_column": term, "disable_tf_exact_match_detection": True}
    return stated
