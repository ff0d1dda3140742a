"""The FactConsolidation builder: layouts, kinds, and the rules that find facts for questions."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from memgym.baselines import BASELINES
from memgym.errors import UsageError
from memgym.evaluation import environment_for, play_episode
from memgym.tasks.fact_chains import FactIndex
from memgym.tasks.factconsolidation import load
from memgym.tasks.source import ListedEpisodes

_SMALL = {"min_tokens": 60, "max_tokens": 150}
_FACTS = (
    "hurling is associated with the sport of Ireland.",
    "The author of The Green Lantern is Ida Holm.",
    "Ida Holm is married to Tom Berg.",
    "Tom Berg is a citizen of Norway.",
    "Ida Holm is a citizen of Chile.",
    "The capital of Norway is Oslo.",
    "The author of The Green Lantern is Max Ray.",
    "Max Ray is married to Eva Lind.",
    "Eva Lind is a citizen of New Zealand.",
    "The capital of New Zealand is Wellington.",
    "hurling is associated with the sport of Ireland's west.",
    "The capital of New Zealand is Port Nicholson.",
    "Eva Lind was born in the city of Norway.",
)
_ASKED = {
    "Who is the author of The Green Lantern?": "Max Ray",
    "What is the capital of New Zealand?": "Port Nicholson",
    "Which country is Tom Berg a citizen of?": "Norway",
    "What is the country of citizenship of the spouse of the author of The Green Lantern?": (
        "New Zealand"
    ),
}


def _context(facts: Any = _FACTS) -> str:
    lines = (f"{number}. {fact}" for number, fact in enumerate(facts))
    return "Here is a list of facts:\n" + "\n".join(lines)


def _row(name: str = "factconsolidation_sh_6k", **changes: Any) -> dict[str, Any]:
    row = {
        "context": _context(),
        "questions": list(_ASKED),
        "answers": [[gold] for gold in _ASKED.values()],
        "metadata": {"source": name, "qa_pair_ids": ["a", "b", "c", "d"]},
    }
    return {**row, **changes}


def _write(folder: Path, rows: Any, name: str = "Conflict_Resolution.json") -> Path:
    path = folder / "factconsolidation" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows), encoding="utf-8")
    return folder


def _load(data: Path, **options: Any) -> ListedEpisodes:
    episodes = load("test", {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


# --- the rules


def test_the_statement_is_the_valid_fact_about_what_the_question_names() -> None:
    facts = FactIndex(_FACTS)
    asked = iter(_ASKED.items())
    assert [facts.statement(*next(asked)) for _ in range(3)] == [6, 11, 3]
    assert facts.statement("Who is the author of The Green Lantern?", "Ida Holm") is None
    assert facts.statement("Which country is Lea Roth a citizen of?", "Norway") is None
    assert facts.statement("Which country is Tom Berg a citizen of?", "Peru") is None


def test_outdated_values_are_those_of_earlier_facts() -> None:
    facts = FactIndex(_FACTS)
    assert facts.outdated(6, "Max Ray") == ("Ida Holm",)
    assert facts.outdated(11, "Port Nicholson") == ("Wellington",)
    assert facts.outdated(3, "Norway") == ()
    assert facts.outdated(10, "Ireland's west") == ("Ireland",)


def test_an_outdated_value_inside_the_fact_is_no_distractor() -> None:
    facts = FactIndex(("Bo is a fan of York.", "Bo is a fan of New York."))
    assert facts.outdated(1, "New York") == ()


def test_a_chain_leads_over_valid_facts_from_the_question_to_the_gold() -> None:
    facts = FactIndex(_FACTS)
    question = list(_ASKED)[3]
    assert facts.chain(question, "New Zealand") == (6, 7, 8)
    assert facts.chain(question, "Chile") == ()  # only the outdated author leads there
    longer = question.replace("country", "capital of the country")
    assert facts.chain(longer, "Port Nicholson") == (6, 7, 8, 11)
    assert facts.chain("Who is the author of The Green Lantern?", "Max Ray") == (6,)
    assert facts.chain("Who wrote it?", "Max Ray") == ()


def test_the_values_of_a_chain_may_differ_in_length() -> None:
    facts = FactIndex(
        (
            "The author of Blue Sea is Ann Mary Poe.",
            "Ann Mary Poe is a citizen of Peru.",
            "The capital of Peru is Lima.",
        )
    )
    question = "What is the capital of the country of the author of Blue Sea?"
    assert facts.chain(question, "Lima") == (0, 1, 2)


def test_a_fact_about_another_name_is_no_start_of_a_chain() -> None:
    facts = FactIndex(
        (
            "The author of Blue Sea is Ann Poe.",
            "Ann Poe is a citizen of Peru.",
            "Mitasbodel is a citizen of Peru.",
            "Katas Mitas is a citizen of Peru.",
        )
    )
    question = "What is the country of citizenship of the author of Blue Sea by Mitas?"
    assert facts.chain(question, "Peru") == (0, 1)


def test_long_lists_are_searched_quickly_enough() -> None:
    rng = random.Random(1)
    facts = [f"Person{i} is married to Person{rng.randrange(9_000)}." for i in range(9_000)]
    index = FactIndex(facts)
    gold = facts[4][:-1].split()[-1]
    assert index.statement("Whom is Person4 married to?", gold) == 4


# --- episodes


def test_single_hop_questions_ask_for_a_state(tmp_path: Path) -> None:
    episodes = _load(_write(tmp_path, [_row()]))
    episode = episodes.episode(0)
    assert (episode.source, episode.ability) == ("factconsolidation", "conflict_resolution")
    assert episode.id.startswith("factconsolidation/test/factconsolidation_sh_6k-")
    author = episode.questions[0]
    assert (author.kind, author.answers, author.distractors) == (
        "state",
        ("Max Ray",),
        ("Ida Holm",),
    )
    (evidence,) = author.evidence
    assert evidence.text == "Fact 6: The author of The Green Lantern is Max Ray."
    assert evidence.text in episode.chunks[evidence.chunk]
    assert {question.kind for question in episode.questions} == {"state"}
    assert episode.metadata["without_evidence"] == 1
    assert "higher number" in episode.metadata["question_preface"]


def test_multi_hop_questions_ask_for_text_with_a_chain(tmp_path: Path) -> None:
    (episode,) = _load(_write(tmp_path, [_row("factconsolidation_mh_6k")]))
    assert {question.kind for question in episode.questions} == {"text"}
    chain = episode.questions[3].evidence
    assert [item.text.split(":")[0] for item in chain] == ["Fact 6", "Fact 7", "Fact 8"]
    assert episode.metadata["without_evidence"] == 0


def test_rows_of_other_names_ask_what_is_found(tmp_path: Path) -> None:
    (episode,) = _load(_write(tmp_path, _row("mine")))
    assert [question.kind for question in episode.questions] == ["state"] * 3 + ["text"]


def test_every_fact_is_shown_once_in_order(tmp_path: Path) -> None:
    episode = _load(_write(tmp_path, [_row()])).episode(0)
    lines = [line for chunk in episode.chunks for line in chunk.splitlines()]
    shown = [line for line in lines if line.startswith("Fact ")]
    assert shown == [f"Fact {number}: {fact}" for number, fact in enumerate(_FACTS)]
    assert len(episode.chunks) > 1
    assert all("the higher number is true" in chunk for chunk in episode.chunks)


def test_the_latest_statement_wins_for_a_policy_that_keeps_all(tmp_path: Path) -> None:
    episode = _load(_write(tmp_path, [_row()]), questions=3).episode(0)
    scores = {}
    for name in ("closed_book", "sentences", "oracle"):
        agent = BASELINES[name]()
        env = environment_for(agent, source="procedural", split="test")
        scores[name] = play_episode(agent, env, episode, seed=0).score
    assert scores == {"closed_book": 0.0, "sentences": 1.0, "oracle": 1.0}


def test_all_layouts_give_the_same_episode(tmp_path: Path) -> None:
    plain = _row("facts_sh_")
    lines = "".join(json.dumps(row) + "\n" for row in [plain])
    asked = "".join(
        json.dumps({"question": question, "answers": gold}) + "\n"
        for question, gold in _ASKED.items()
    )
    layouts: list[dict[str, Any]] = [
        {"rows.json": plain},
        {"rows.json": [plain]},
        {"rows.json": {"data": [plain]}},
        {"rows.jsonl": lines},
        {"facts_sh_.txt": _context(), "facts_sh_.questions.jsonl": asked},
        {"facts_sh_.json": {**plain, "metadata": None}},
    ]
    found = []
    for number, layout in enumerate(layouts):
        for name, content in layout.items():
            _write(tmp_path / str(number), content, name)
        found.append(list(_load(tmp_path / str(number))))
    assert all(episodes == found[0] for episodes in found)


def test_one_row_can_be_chosen_by_name(tmp_path: Path) -> None:
    data = _write(tmp_path, [_row(), _row("factconsolidation_mh_6k")])
    assert _load(data).size == 2
    (episode,) = _load(data, name="factconsolidation_mh_6k")
    assert episode.metadata["name"] == "factconsolidation_mh_6k"
    with pytest.raises(UsageError, match='did you mean "factconsolidation_mh_6k"'):
        _load(data, name="factconsolidation_mh_6")


def test_repetitions_are_counted(tmp_path: Path) -> None:
    twice = _row(questions=["Who?", "Who? "], answers=[["Max Ray"], ["Max Ray"]])
    episodes = _load(_write(tmp_path, [twice, twice]))
    assert episodes.size == 1
    assert episodes.excluded == {"question asked before in the row": 2, "row met before": 1}


def test_questions_are_limited_to_the_first(tmp_path: Path) -> None:
    (episode,) = _load(_write(tmp_path, [_row()]), questions=2)
    assert [question.question for question in episode.questions] == list(_ASKED)[:2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": "Nothing."}, "no numbered facts"),
        ({"context": "1. A fact.\nNo number."}, 'line 2 of the facts: "No number." must look'),
        ({"context": "2. A fact.\n1. A fact."}, "number 1 after 2; numbers must rise"),
        ({"context": "0. A is B. 1. C is D."}, "line 1 of the facts: it holds more than one fact"),
        ({"answers": [["x"]]}, "4 questions and 1 answers"),
        ({"answers": [["x"], [], ["y"], ["z"]]}, "question 1: its answers must be non-empty"),
        ({"questions": ["a", " ", "c", "d"]}, "question 1: it is empty"),
        ({"questions": [], "answers": []}, "it has no questions"),
        ({"questions": None}, 'field "questions" must be list, got NoneType'),
    ],
)
def test_bad_rows_are_explained(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        _load(_write(tmp_path, [_row(), _row(**change)]))
    assert "Conflict_Resolution.json, row 1" in str(caught.value)


def test_missing_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*f\.questions\.jsonl"):
        _load(_write(tmp_path, _context(), "f.txt"))
    empty = tmp_path / "empty"
    (empty / "factconsolidation").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"no \*\.json, \*\.jsonl or \*\.txt in"):
        _load(empty)
    with pytest.raises(UsageError, match="questions must be at least 1, got 0"):
        _load(tmp_path, questions=0)
