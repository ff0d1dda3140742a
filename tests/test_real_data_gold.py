"""The scorer on real golds: each is contained in the text it was marked in.

Collected only when MEMGYM_DATA names a folder of real data slices (see conftest).
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from memgym.scoring import contains

pytestmark = pytest.mark.no_cover  # they check data; the code is covered without them


def _golds_in_paragraphs() -> Iterator[tuple[str, str]]:
    for path in sorted(Path(os.environ["MEMGYM_DATA"], "squad").glob("*.json")):
        for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                for item in paragraph["qas"]:
                    for gold in sorted({answer["text"] for answer in item["answers"]}):
                        yield gold, paragraph["context"]


def test_squad_golds_are_contained_in_their_paragraphs() -> None:
    pairs = list(_golds_in_paragraphs())
    # A few annotators marked part of a word ("7" of "1817"): no match on word boundaries is right.
    whole = [
        (gold, text) for gold, text in pairs if re.search(rf"(?<!\w){re.escape(gold)}(?!\w)", text)
    ]
    assert len(whole) > 5_000
    assert len(whole) >= 0.99 * len(pairs)
    assert sum(contains(gold, text) for gold, text in pairs) >= 0.996 * len(pairs)
    missed = [gold for gold, text in whole if not contains(gold, text)]
    assert len(missed) <= 0.002 * len(whole), missed
