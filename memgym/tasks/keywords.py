"""Keywords of a summary, found by rule: what a good summary of the same text has to mention.

Shared by the sources whose gold is a summary (``booksum``, ``qmsum``) or a long free answer
(``longmemeval``). The published pipeline asks GPT-4.1 for keywords of the reference summary. Here
no model is in the data path, and the rule is stricter: a keyword is a run of words that the
summary and the text both have, so that each one can be found by reading.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

__all__ = ["covering", "extract_keywords", "is_stop_word", "together", "word_spans", "words_of"]

_MOST_WORDS = 3  # of one keyword
_SHORTEST = 3  # characters of a word that can be (part of) a keyword, digits excepted
_WORD = re.compile(r"[^\W_]+(?:(?:['’]|(?<=\d)(?:\.(?=\d)|,(?=\d{3}(?!\d))))[^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s\b")
_APOSTROPHES = str.maketrans("", "", "'’")

# Words without content of their own, among them those that only introduce what somebody did.
_STOP_WORDS = frozenset(
    """
    about above across after again against all almost along already also although always among and
    another any anyone anything are aren arent around away back because been before being below
    between both but came can cannot come comes could couldnt did didnt does doesnt doing done dont
    down during each either else enough even ever every everyone everything few first for from
    further gave get gets give given gives goes going gone got had hadnt has hasnt have havent
    having hers her here herself him himself his how however isnt into its itself just keep last
    least less like made make makes making many may maybe might more most much must myself near
    need never new next nor not nothing now off often once one ones only onto other others our ours
    ourselves out over own perhaps quite rather really said same saw say says second see seem seemed
    seems seen several shall she should shouldnt since some somebody someone something soon still
    such take taken takes than that thats the their theirs them themselves then there therefore
    these they thing things think this those though through thus till together told too took toward
    towards two under unless until upon use used uses using very via want wants was wasnt way well
    went were werent what whatever when whenever where whether which while who whole whom whose why
    will with within without wont would wouldnt yes yet you your yours yourself
    able actually bad case cases different end good kind lot mean means meant nobody number part
    parts people possible possibly set sort specific term terms time times trying work works
    working
    added additional agreed agree agrees also asked ask asks author believe believed believes
    chapter claim claimed claims consider considered considers describe described describes
    description discuss discussed discusses discussing discussion explain explained explains
    important mention mentioned mentions point pointed proposed propose proposes provide provided
    reason regarding said show showed shown shows speak spoke state stated states suggest suggested
    suggests summarize summary talk talked talks tell tells thought
    """.split()
)


def word_spans(text: str) -> list[tuple[str, int, int]]:
    """Return the words of a text with their starts and ends (see :func:`words_of`)."""
    return [
        (match[0].casefold().translate(_APOSTROPHES), *match.span())
        for match in _WORD.finditer(text)
    ]


def words_of(text: str) -> list[str]:
    """Return the words of a text in the form in which keywords are compared.

    Case is folded and apostrophes are dropped; hyphens separate words; a number keeps its points
    and commas.
    """
    return [word for word, _, _ in word_spans(text)]


def extract_keywords(
    summary: str, passages: Sequence[str], *, without: str = "", most: int = 20
) -> tuple[str, ...]:
    """Return the keywords that a summary shares with the text it sums up.

    The rule: cut the summary into runs of neighbouring words with content (no stop word, no
    punctuation between them); from each run take, from left to right, the longest piece of at most
    three words that some passage has too. Of more than ``most`` keywords those are kept that the
    text mentions least often, because they tell most; several words count as rarer than one.

    Args:
        summary: The reference summary.
        passages: What is summed up, in passages (sentences); no keyword reaches over an end.
        without: Words that give nothing away, such as those of the question; never used.
        most: Number of keywords at most.

    Returns:
        Keywords as the summary writes them, in its order; in small letters if all of it is in
        capitals.
    """
    summary = summary.lower() if summary.isupper() else summary
    held = _runs(passages)
    # "Li Lei's" gives "Lei" away, as the scorer reads it.
    banned = {*words_of(without), *words_of(_POSSESSIVE.sub("", without))}
    found: dict[str, str] = {}
    for run in _content_runs(summary, banned):
        keys = [key for _, key in run]
        start = 0
        while start < len(run):
            size = _longest(keys, start, held)
            if size:
                key = " ".join(keys[start : start + size])
                found.setdefault(key, " ".join(word for word, _ in run[start : start + size]))
            start += max(size, 1)
    rarest = sorted(found, key=lambda key: (-key.count(" "), held[key]))[:most]
    return tuple(found[key] for key in found if key in set(rarest))


def _runs(passages: Sequence[str]) -> Counter[str]:
    """Return how often the passages have each run of one to three words."""
    runs: Counter[str] = Counter()
    for passage in passages:
        words = words_of(passage)
        for size in range(1, _MOST_WORDS + 1):
            runs.update(" ".join(words[i : i + size]) for i in range(len(words) - size + 1))
    return runs


def _content_runs(summary: str, banned: set[str]) -> list[list[tuple[str, str]]]:
    """Return runs of neighbouring content words, each word as written and as compared."""
    runs: list[list[tuple[str, str]]] = [[]]
    before = 0
    for key, start, end in word_spans(summary):
        if summary[before:start].strip(" -\n\t"):
            runs.append([])
        before = end
        short = len(key) < _SHORTEST and not key[0].isdigit()
        if short or is_stop_word(key) or key in banned:
            runs.append([])
        else:
            runs[-1].append((summary[start:end], key))
    return [run for run in runs if run]


def is_stop_word(word: str) -> bool:
    """Whether a word, in the form of :func:`words_of`, has no content of its own."""
    return word in _STOP_WORDS


def _longest(keys: Sequence[str], start: int, held: Mapping[str, int]) -> int:
    """Return the length of the longest run from ``start`` that the text has, 0 if none."""
    for size in range(min(_MOST_WORDS, len(keys) - start), 0, -1):
        if " ".join(keys[start : start + size]) in held:
            return size
    return 0


def covering(keywords: Sequence[str], passages: Sequence[str]) -> list[int]:
    """Return indices, in order, of few passages that together hold all keywords that any holds.

    Greedy: again and again the passage with the most keywords not held yet, the earliest of equals.
    """
    holds = _holds(keywords, passages)
    left = {key for keys in holds for key in keys}
    chosen: list[int] = []
    while left:
        best = max(range(len(holds)), key=lambda index: (len(holds[index] & left), -index))
        chosen.append(best)
        left -= holds[best]
    return sorted(chosen)


def together(keywords: Sequence[str], passages: Sequence[str]) -> tuple[str, ...]:
    """Return the keywords that stand with another one in some passage; all if none does.

    A word that a long text has far from all the others is there by accident.
    """
    near = {key for keys in _holds(keywords, passages) if len(keys) > 1 for key in keys}
    return tuple(keyword for keyword in keywords if keyword in near) or tuple(keywords)


def _holds(keywords: Sequence[str], passages: Sequence[str]) -> list[set[str]]:
    """Return which of the keywords each passage holds."""
    forms = {keyword: f" {' '.join(words_of(keyword))} " for keyword in keywords}
    texts = (f" {' '.join(words_of(passage))} " for passage in passages)
    return [{keyword for keyword, form in forms.items() if form in text} for text in texts]
