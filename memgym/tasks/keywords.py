"""Keywords of a summary, found by rule: what a good summary of the same text has to mention.

Shared by the sources whose gold is a summary (``booksum``, ``qmsum``) or a long free answer
(``longmemeval``). The published pipeline asks GPT-4.1 for keywords of the reference summary. Here
no model is in the data path, and the rule is stricter: a keyword is a run of words that the
summary and the text both have, so that each one can be found by reading.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

__all__ = ["covering", "extract_keywords", "words_of"]

_MOST_WORDS = 3  # of one keyword
_SHORTEST = 3  # characters of a word that can be (part of) a keyword, digits excepted
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+(?:['’][^\W_]+)*")
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
    added additional agreed agree agrees also asked ask asks author believe believed believes
    chapter claim claimed claims consider considered considers describe described describes
    description discuss discussed discusses discussing discussion explain explained explains
    important mention mentioned mentions point pointed proposed propose proposes provide provided
    reason regarding said show showed shown shows speak spoke state stated states suggest suggested
    suggests summarize summary talk talked talks tell tells thought
    """.split()
)


def words_of(text: str) -> list[str]:
    """Return the words of a text in the form in which keywords are compared.

    Case is folded and apostrophes are dropped; hyphens separate words; a number keeps its points
    and commas.
    """
    return [word.casefold().translate(_APOSTROPHES) for word in _WORD.findall(text)]


def extract_keywords(
    summary: str, text: str, *, without: str = "", most: int = 20
) -> tuple[str, ...]:
    """Return the keywords that a summary shares with the text it sums up.

    The rule: cut the summary into runs of neighbouring words with content (no stop word, no
    punctuation between them); from each run take, from left to right, the longest piece of at most
    three words that the text has too. Of more than ``most`` keywords those are kept that the text
    mentions least often, because they tell most; several words count as rarer than one.

    Args:
        summary: The reference summary.
        text: What is summed up.
        without: Words that give nothing away, such as those of the question; never used.
        most: Number of keywords at most.

    Returns:
        Keywords as the summary writes them (apostrophes and capitals kept), in its order.
    """
    held = _runs_of_text(text)
    banned = set(words_of(without))
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


def _runs_of_text(text: str) -> Counter[str]:
    """Return how often the text has each run of one to three words."""
    words = words_of(text)
    return Counter(
        " ".join(words[start : start + size])
        for size in range(1, _MOST_WORDS + 1)
        for start in range(len(words) - size + 1)
    )


def _content_runs(summary: str, banned: set[str]) -> list[list[tuple[str, str]]]:
    """Return runs of neighbouring content words, each word as written and as compared."""
    runs: list[list[tuple[str, str]]] = [[]]
    end = 0
    for match in _WORD.finditer(summary):
        word = match[0]
        key = word.casefold().translate(_APOSTROPHES)
        if summary[end : match.start()].strip(" -\n\t"):
            runs.append([])
        end = match.end()
        short = len(key) < _SHORTEST and not key[0].isdigit()
        if short or key in _STOP_WORDS or key in banned:
            runs.append([])
        else:
            runs[-1].append((word, key))
    return [run for run in runs if run]


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
    wanted = [f" {' '.join(words_of(keyword))} " for keyword in keywords]
    texts = [f" {' '.join(words_of(passage))} " for passage in passages]
    holds = [{key for key in wanted if key in text} for text in texts]
    left = {key for keys in holds for key in keys}
    chosen: list[int] = []
    while left:
        best = max(range(len(texts)), key=lambda index: (len(holds[index] & left), -index))
        chosen.append(best)
        left -= holds[best]
    return sorted(chosen)
