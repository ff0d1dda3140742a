r"""Readers answer the questions from the memory alone; they are frozen and outside the policy.

The embedded default, :class:`VerbatimReader`, needs no model: its answer *is* the retrieved memory
text, cut to a token budget. It measures whether the memory holds and surfaces the answer, not
whether a model would understand it; state it beside every score.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from memgym.bm25 import BM25Index
from memgym.episode import QuestionKind
from memgym.errors import UsageError
from memgym.memory import STORES, Found, Memory
from memgym.plugins import make_plugin
from memgym.text import MONTHS, find_dates, labelled_examples

__all__ = [
    "READERS",
    "Reader",
    "ReaderAnswer",
    "ReaderQuestion",
    "VerbatimReader",
    "check_limits",
    "latest_applicable",
    "make_reader",
    "proper_names",
    "retrieve",
]


@dataclass(frozen=True, slots=True)
class ReaderQuestion:
    """What a reader is told: never the gold."""

    question: str
    kind: QuestionKind
    preface: str = ""


@dataclass(frozen=True, slots=True)
class ReaderAnswer:
    """An answer and what it was made from.

    Attributes:
        text: The answer; ``""`` if there is none.
        shown: Texts the reader had before it, in the order shown (core first, if any).
        memory_ids: Ids of the retrieved items among them.
        failed: Whether the reader broke down (scored 0 and counted as a failure).
    """

    text: str
    shown: tuple[str, ...]
    memory_ids: tuple[str, ...]
    failed: bool = False


class Reader(Protocol):
    """Answers a batch of questions from one memory."""

    name: str

    def answer(self, questions: Sequence[ReaderQuestion], memory: Memory) -> list[ReaderAnswer]:
        """Return one answer per question, in order; never raises on any memory content.

        A reader whose model cannot be reached raises: that says nothing about the memory, so it is
        no answer, and the run is to be resumed.
        """
        ...


def retrieve(memory: Memory, question: str, *, top_k: int, budget_tokens: int) -> list[Found]:
    """Return the items a reader may see for one question.

    BM25 over each store separately with the bare question, ``top_k`` each; the two lists are
    interleaved by rank and cut at ``budget_tokens``. The last item that does not fit whole is cut
    to what is left of the budget.

    The published reader shows both lists whole and lowers ``top_k`` until they fit; the ``paper``
    preset takes over its numbers (20 per store, 30,000 tokens), not that procedure.
    """
    lists = [memory.search(question, name, top_k) for name in STORES]
    left = budget_tokens
    chosen: list[Found] = []
    for found in _interleave(lists):
        tokens = memory.item_tokens(found.memory_type, found.memory_id)
        if tokens > left:
            head = memory.counter.head(found.content, left)
            if head.strip():
                chosen.append(found._replace(content=head))
            break
        chosen.append(found)
        left -= tokens
    return chosen


def _interleave(lists: Sequence[Sequence[Found]]) -> Iterable[Found]:
    for rank in range(max(map(len, lists), default=0)):
        for items in lists:
            if rank < len(items):
                yield items[rank]


def check_limits(**limits: Any) -> None:
    """Raise :class:`UsageError` if an option of a reader is no integer of at least 1."""
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"reader {name} must be an integer of at least 1, got {value!r}")


class VerbatimReader:
    r"""Answers with the retrieved memory text itself.

    ``text``, ``keywords``: core and retrieved items, best first. ``order``: the same items in the
    order in which the memory holds them. ``label``: the vote of the labelled examples in them, as
    ``\boxed{label}`` (see :func:`_vote`). ``state``: the one latest applicable item about the
    subject (see :func:`latest_applicable`).

    Args:
        budget_tokens: Tokens of retrieved text; the core is shown beside it and not counted.
        top_k: Items retrieved per store.

    Raises:
        UsageError: an argument is below 1.
    """

    name = "verbatim"

    def __init__(self, budget_tokens: int = 1_024, top_k: int = 20) -> None:
        check_limits(budget_tokens=budget_tokens, top_k=top_k)
        self.budget_tokens = budget_tokens
        self.top_k = top_k

    def answer(self, questions: Sequence[ReaderQuestion], memory: Memory) -> list[ReaderAnswer]:
        """Return one answer per question (see the class)."""
        return [self._answer_one(question, memory) for question in questions]

    def _answer_one(self, question: ReaderQuestion, memory: Memory) -> ReaderAnswer:
        found = retrieve(
            memory, question.question, top_k=self.top_k, budget_tokens=self.budget_tokens
        )
        if question.kind == "order":
            found.sort(key=lambda item: item.sequence)
        core = (memory.core,) if memory.core else ()
        shown = core + tuple(item.content for item in found)
        if question.kind == "label":
            text = _vote(question.question, [item.content for item in found] + list(core))
        elif question.kind == "state":
            text = latest_applicable(question.question, found) or memory.core
        else:
            text = "\n".join(shown)
        return ReaderAnswer(text, shown, tuple(item.memory_id for item in found))


def _vote(question: str, shown: Sequence[str]) -> str:
    """Return the boxed label that the examples in the shown texts vote for, ``""`` without any.

    The j-th best example of the r-th text votes with weight 1/(r + j - 1), best meaning BM25
    against the question among the examples of that text. So a text of one example votes by its
    rank, and a long one is read by its examples. Ties go to the label met first.
    """
    weights: dict[str, float] = {}
    for rank, text in enumerate(shown, 1):
        for place, label in enumerate(_ranked_labels(question, text)):
            weights[label] = weights.get(label, 0.0) + 1.0 / (rank + place)
    if not weights:
        return ""
    return f"\\boxed{{{max(weights, key=lambda label: weights[label])}}}"


def _ranked_labels(question: str, text: str) -> list[str]:
    examples = labelled_examples(text)
    if len(examples) < 2:
        return [example.label for example in examples]
    index = BM25Index()
    for number, example in enumerate(examples):
        index.insert(str(number), example.text)
    ranking = index.search(question, len(examples))
    return [examples[int(number)].label for number, _ in ranking]


_DULL_WORDS = frozenset(
    # question words, auxiliaries, requests ("will" is left out: it is a first name, too)
    "what when where which who whom whose why how is was were are am be been did does do has had "
    "have can could would should must might shall please tell name give say state list find "
    # prepositions and conjunctions
    "about above across after against along among around as at before behind below beneath beside "
    "besides between beyond by despite during except following for from in inside into near of off "
    "on once onto out outside over past per prior since than through throughout till to toward "
    "towards under until unless up upon versus via while with within without according and but if "
    "nor or so then though although because whether "
    # time
    "today tomorrow yesterday tonight now nowadays currently presently present recently lately "
    "earlier later formerly previously originally initially eventually finally ultimately first "
    "last next still already again ever always "
    "monday tuesday wednesday thursday friday saturday sunday "
    # articles, pronouns, fillers
    "a an the this that these those there here it its he him his she her they them their we us our "
    "you your i my me also exactly given only both all any each every no not yes".split()
) | frozenset(month.lower() for month in MONTHS)
_CAPITALISED = re.compile(r"\b[^\W\d_a-z]\w*(?:['’]\w+)?(?: \d+\b)?")


def proper_names(question: str) -> list[str]:
    """Return the capitalised words of a question that can name its subject.

    Months, weekdays and the words a sentence may begin with ("Before", "Currently") name none. A
    number that follows a name belongs to it ("Garden 8").
    """
    words = [
        match.removesuffix("'s").removesuffix("’s") for match in _CAPITALISED.findall(question)
    ]
    return [word for word in words if word.partition(" ")[0].lower() not in _DULL_WORDS]


def latest_applicable(question: str, found: Sequence[Found]) -> str:
    """Return the text of the item that states what held at the time the question asks about.

    Candidates contain every proper name of the question. If any of them carries a calendar date,
    only dated ones count, an item's date being its first; those later than the question's own date
    are dropped; the latest wins, among equals the one inserted last. ``""`` if there is none.
    """
    names = proper_names(question)
    asked = find_dates(question)
    until = asked[0] if asked else "9999"
    wanted = [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in names]
    candidates = [item for item in found if all(name.search(item.content) for name in wanted)]
    dated = [(dates[0], item) for item in candidates if (dates := find_dates(item.content))]
    if dated:
        dated = [pair for pair in dated if pair[0] <= until]
    else:
        dated = [("", item) for item in candidates]
    if not dated:
        return ""
    return max(dated, key=lambda pair: (pair[0], pair[1].sequence))[1].content


READERS: Mapping[str, type[Any] | str] = {
    "verbatim": VerbatimReader,
    "llm": "memgym.agents.llm_reader:LLMReader",
}


def make_reader(name: str, **options: Any) -> Reader:
    """Return the reader called ``name``, or a user's own, ``package.module:Class``.

    Raises:
        UsageError: no such reader, or an option it does not take.
    """
    reader: Reader = make_plugin("reader", name, READERS, options, method="answer")
    return reader
