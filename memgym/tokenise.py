"""Text to search terms: the tokenisers that a BM25 index may use.

Not a token *counter*: sizes in tokens come from :mod:`memgym.tokens`.

===========  ========================================================================
name         terms
===========  ========================================================================
``default``  words; runs of Chinese, Japanese and Korean characters become bigrams
``paper``    words only, as the published Mem-alpha search does
===========  ========================================================================
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

__all__ = ["CJK_CHARACTERS", "TOKENISERS", "Tokeniser", "words", "words_and_bigrams"]

Tokeniser = Callable[[str], list[str]]

_WORDS = re.compile(r"\w+")

# Scripts written without spaces between words, by Unicode block: Hangul jamo; iteration mark and
# ideographic zero to the kana, bopomofo, compatibility jamo, ...; ideographs and extension A;
# Hangul syllables; compatibility ideographs; half-width kana and jamo; the ideographic planes.
CJK_CHARACTERS = (
    "\u1100-\u11ff\u3005-\u3007\u3021-\u3029\u3031-\u303c\u3040-\u31bf\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U0001b000-\U0001b16f"
    "\U00020000-\U0003ffff"
)
_HAS_CJK = re.compile(f"[{CJK_CHARACTERS}]")
_SAME_SCRIPT = re.compile(f"[{CJK_CHARACTERS}]+|[^{CJK_CHARACTERS}]+")


def words(text: str) -> list[str]:
    r"""Return the lower-cased runs of word characters (``\w+``) of ``text``, in order.

    Source: the search of the released Mem-alpha memory server. A run of Chinese characters is one
    word here, so only the same whole run can match it.
    """
    return _WORDS.findall(text.lower())


def words_and_bigrams(text: str) -> list[str]:
    """Return :func:`words`, with runs of CJK characters split into overlapping bigrams.

    A run of one character stays that character; a word of both kinds is cut where the script
    changes. Without such characters the result equals that of :func:`words`.

    Example:
        >>> words_and_bigrams("Python程序设计")
        ['python', '程序', '序设', '设计']
    """
    found = words(text)
    if text.isascii() or not _HAS_CJK.search(text):
        return found
    terms: list[str] = []
    for word in found:
        for run in _SAME_SCRIPT.findall(word):
            if len(run) > 1 and _HAS_CJK.match(run):
                terms.extend(run[at : at + 2] for at in range(len(run) - 1))
            else:
                terms.append(run)
    return terms


TOKENISERS: Mapping[str, Tokeniser] = MappingProxyType(
    {"default": words_and_bigrams, "paper": words}
)
