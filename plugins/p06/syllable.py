"""Whether a word can be a syllable of Vietnamese: onset, rhyme and one tone at most.

Besides the rhymes of Vietnamese there are those in k, l and r of other peoples' names of places and persons, as the
administration writes them (Đắk Lắk, Buôn Hồ, Búk). It is a sieve for whole files, not a spell checker: it takes either
placement of the tone mark and asks nothing of meaning.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_ONSETS = "ngh|ng|nh|gh|gi|kh|ch|ph|qu|th|tr|[bcdđghklmnpqrstvx]"
_RHYMES = (
    "a|ac|ach|ai|am|an|ang|anh|ao|ap|at|au|ay|ă|ăc|ăm|ăn|ăng|ăp|ăt|âc|âm|ân|âng|âp|ât|âu|ây|e|ec|em|en|eng|eo|ep|et|"
    "ê|êch|êm|ên|êng|ênh|êp|êt|êu|i|ia|iêc|iêm|iên|iêng|iêp|iêt|iêu|ich|im|in|ing|inh|ip|it|iu|o|oa|oac|oach|oai|oam|"
    "oan|oang|oanh|oao|oap|oat|oay|oăc|oăm|oăn|oăng|oăt|oc|oe|oen|oeo|oet|oi|om|on|ong|ooc|oong|op|ot|ô|ôc|ôi|ôm|ôn|"
    "ông|ôp|ôt|ơ|ơi|ơm|ơn|ơp|ơt|u|ua|uan|uang|uanh|uât|uân|uâng|uây|uc|uê|uêch|uên|uênh|ui|um|un|ung|uôc|uôi|uôm|uôn|"
    "uông|uôt|uơ|up|ut|uy|uya|uych|uyên|uyêt|uynh|uyp|uyt|uyu|ư|ưa|ưc|ưi|ưm|ưn|ưng|ưt|ưu|ươc|ươi|ươm|ươn|ương|ươp|"
    "ươt|ươu|y|yêm|yên|yêng|yêt|yêu|ăk|ak|âk|ok|ôk|uk|ăl|al|ol|ôl|ar|ăr|êa|iê"
)
_SYLLABLE = re.compile(f"(?:{_ONSETS})?(?:{_RHYMES})")
_BARE_MARKS = str.maketrans("ăâđêôơư", "aadeoou")
_BARE = re.compile(_SYLLABLE.pattern.translate(_BARE_MARKS))
_STOPPED = re.compile(r"(?:[cpt]|ch)\Z")  # codas that bear sắc and nặng alone
_TONES = "\u0300\u0301\u0303\u0309\u0323"
_STOPPED_TONES = "\u0301\u0323"


@lru_cache(maxsize=1 << 14)
def is_syllable(word: str) -> bool:
    """Whether the word, in any letter case and normal form, has the shape of a Vietnamese syllable."""
    letters = unicodedata.normalize("NFD", word.lower())
    tones = [mark for mark in letters if mark in _TONES]
    if len(tones) > 1:
        return False
    bare = unicodedata.normalize("NFC", "".join(mark for mark in letters if mark not in _TONES))
    if not _SYLLABLE.fullmatch(bare):
        return False
    return not _STOPPED.search(bare) or (len(tones) == 1 and tones[0] in _STOPPED_TONES)


@lru_cache(maxsize=1 << 14)
def is_bare_syllable(word: str) -> bool:
    """Whether the lower-case word has the shape of a syllable whose marks were left out (``hien`` for ``hiền``)."""
    return _BARE.fullmatch(word) is not None
