"""The published search as a yardstick: everything is built anew at each query.

The released Mem-alpha server tokenises all items of a store, builds rank_bm25's ``BM25Okapi`` on
them, scores the question and sorts. This does the same steps in the same order, in our own words.
``rank_bm25`` is needed only here and in the tests.
"""

import re
from collections.abc import Sequence

from rank_bm25 import BM25Okapi

__all__ = ["published_search"]


def published_search(texts: Sequence[str], query: str, k: int) -> list[tuple[int, float]]:
    """Return (position, score) of the ``k`` best texts, best first, ties by position.

    Raises:
        ZeroDivisionError: no text has a word character (as published).
    """
    okapi = BM25Okapi([_tokenise(text) for text in texts])
    scores = okapi.get_scores(_tokenise(query))
    ranking = sorted(range(len(texts)), key=lambda position: scores[position], reverse=True)
    return [(position, float(scores[position])) for position in ranking[:k]]


def _tokenise(text: str) -> list[str]:
    return re.findall(r"\b\w+\b", text.lower())
