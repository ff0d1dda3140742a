"""Content quality of what was written (reward term r4): its judges, and the rules of one of them.

The published term asks a 32B model whether an item is valid for its memory type, seeing the item
alone. A judge here sees the chunk and the memory, too. The default, ``rules``, needs no model: an
item is valid if all of these hold:

- it is not about the memory itself and not a placeholder ("core memory updated", "nothing new");
- it has at least three words (of Chinese, Japanese and Korean, here and below: character pairs);
- it is grounded: three fifths of its content words occur in the chunk or in the text it replaces;
- it selects: at most half of the chunk's words, once the chunk has more than 80 (the core may
  gather more: it is bounded by its capacity);
- an episodic item says when: a date, a clock time, a weekday, a month or a relative day.

The judge ``llm`` asks a model (:mod:`memgym.agents.judges`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from memgym.memory import Memory
from memgym.plugins import make_plugin
from memgym.text import MONTHS
from memgym.tokenise import CJK_CHARACTERS, words_and_bigrams

__all__ = [
    "CONTENT_JUDGES",
    "ContentJudge",
    "ContentRules",
    "RuleJudge",
    "WrittenItem",
    "make_content_judge",
]

_SELF_TALK = re.compile(
    r"\b(?=[cemns])(?:(?:core|semantic|episodic)[ _]memor(?:y|ies)"
    r"|memory (?:has been |was |is )?(?:updated|empty)"
    r"|nothing (?:new|to (?:store|remember|add)))\b",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\W*(?:n/?a|none|todo|placeholder|empty)\W*$", re.IGNORECASE)
# Patterns of a time that begin alike, each under a first character that it can be searched by. In
# ASCII mode a number beside a Chinese character ends at a boundary.
_TIME_IN_DIGITS = re.compile(
    r"\d(?<=\b\d)(?:\d{3}-\d{2}-\d{2}|\d?:\d{2}|\d?(?:st|nd|rd|th)"
    r"|(?<=1)[5-9]\d{2}|(?<=2)[01]\d{2})\b",
    re.IGNORECASE | re.ASCII,
)
_TIME_IN_WORDS = re.compile(
    r"\b(?=[adfjlmnostwy])(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|today|yesterday|tomorrow|tonight"
    r"|(?:last|next|this) (?:week|month|year|night|morning|evening)"
    rf"|{'|'.join(MONTHS)})\b",
    re.IGNORECASE | re.ASCII,
)
_TIME_IN_CJK = re.compile(
    r"[0-9０-９〇一二三四五六七八九十] ?[年月日号號時时点點년월일시]"
    r"|[今昨明][天日]|星期|[周週][一二三四五六日]|曜日|오늘|어제|내일|요일"
)
_MIN_WORDS = 3
_GROUNDED_SHARE = 3 / 5
_SELECTED_SHARE = 1 / 2
_SHORT_CHUNK_WORDS = 80
_FUNCTION_WORD_CHARACTERS = 3
_CJK_PAIR = re.compile(rf"[{CJK_CHARACTERS}]{{2}}")


class ContentRules:
    """The rules for what is written while one chunk is being read.

    Args:
        chunk: The text that was shown; its words are looked up once for all items of the step.
    """

    def __init__(self, chunk: str) -> None:
        words = words_and_bigrams(chunk)
        self._known = frozenset(words)
        self._length = len(words)

    def is_valid(self, memory_type: str, content: str, replaced: str = "") -> bool:
        """Whether a written item passes every rule of this module.

        Args:
            memory_type: ``core``, ``semantic`` or ``episodic``.
            content: The text that was written.
            replaced: The text that an update replaced, ``""`` otherwise.
        """
        words = words_and_bigrams(content)
        if len(words) < _MIN_WORDS or _SELF_TALK.search(content) or _PLACEHOLDER.match(content):
            return False
        if not self._is_grounded(words, replaced):
            return False
        if memory_type == "core":
            return True
        if self._length > _SHORT_CHUNK_WORDS and len(words) > _SELECTED_SHARE * self._length:
            return False
        return memory_type != "episodic" or _says_when(content)

    def _is_grounded(self, words: list[str], replaced: str) -> bool:
        unknown = set(words).difference(self._known)
        if unknown and replaced:
            unknown.difference_update(words_and_bigrams(replaced))
        if not unknown:
            return True
        telling = [word for word in words if _is_telling(word)]
        return sum(word not in unknown for word in telling) >= _GROUNDED_SHARE * len(telling)


def _says_when(content: str) -> bool:
    if _TIME_IN_DIGITS.search(content) or _TIME_IN_WORDS.search(content):
        return True
    return not content.isascii() and _TIME_IN_CJK.search(content) is not None


def _is_telling(word: str) -> bool:
    """Whether a word is a number, or long enough to be no function word."""
    if len(word) > _FUNCTION_WORD_CHARACTERS or word.isdecimal():
        return True
    return not word.isascii() and _CJK_PAIR.match(word) is not None


@dataclass(frozen=True, slots=True)
class WrittenItem:
    """What one successful call has written.

    Attributes:
        memory_type: ``core``, ``semantic`` or ``episodic``.
        content: The text, as the policy wrote it.
        memory_id: Its id in the memory, ``""`` for the core.
        replaced: The text that an update replaced, ``""`` otherwise.
    """

    memory_type: str
    content: str
    memory_id: str = ""
    replaced: str = ""


class ContentJudge(Protocol):
    """Says of the items written while a chunk was being read which are valid."""

    name: str

    def judge(self, items: Sequence[WrittenItem], chunk: str, memory: Memory) -> list[bool]:
        """Return one verdict per item, in order; never raises on anything that was written.

        Args:
            items: At least one.
            chunk: The text that was shown.
            memory: As it is when the chunk is left, the items included. Read only.
        """
        ...


class RuleJudge:
    """Judges by the rules of this module."""

    name = "rules"

    def judge(self, items: Sequence[WrittenItem], chunk: str, memory: Memory) -> list[bool]:
        """Return one verdict per item (see the module)."""
        rules = ContentRules(chunk)
        return [rules.is_valid(item.memory_type, item.content, item.replaced) for item in items]


CONTENT_JUDGES: Mapping[str, type[Any] | str] = {
    "rules": RuleJudge,
    "llm": "memgym.agents.judges:LLMContentJudge",
}


def make_content_judge(name: str, **options: Any) -> ContentJudge:
    """Return the content judge called ``name``, or a user's own, ``package.module:Class``.

    Raises:
        UsageError: no such judge, or an option it does not take.
    """
    judge: ContentJudge = make_plugin(
        "content judge", name, CONTENT_JUDGES, options, method="judge"
    )
    return judge
