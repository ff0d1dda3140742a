"""The HotpotQA builder, on small files in the official layout."""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memgym.errors import UsageError
from memgym.tasks.hotpotqa import load
from memgym.tasks.source import ListedEpisodes

_SMALL = {"tokens": 400, "min_tokens": 40, "max_tokens": 150}


def _article(title: str, fact: str) -> list[Any]:
    return [title, [f"{title} is a place.", f" {fact}", f" Many people have heard of {title}."]]


def _record(number: int, **changes: Any) -> dict[str, Any]:
    """Return a bridge question: a person's birthplace, then that place's river."""
    person, town = f"Person {number}", f"Village {number}"
    record = {
        "_id": f"id{number}",
        "question": f"Which river runs through the birthplace of {person}?",
        "answer": f"River {number}",
        "type": "bridge",
        "level": "easy",
        "supporting_facts": [[person, 1], [town, 1]],
        "context": [
            *[_article(f"Other {number} {k}", "Nothing of note.") for k in range(3)],
            _article(person, f"{person} was born in {town}."),
            _article(town, f"{town} lies on River {number}."),
        ],
    }
    return {**record, **changes}


def _write(path: Path, records: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "hotpotqa"
    _write(folder / "hotpot_train_v1.1.json", [_record(n) for n in range(150)])
    _write(folder / "hotpot_dev_distractor_v1.json", [_record(n) for n in range(500, 540)])
    return tmp_path


def _load(split: str, data: Path, **options: Any) -> ListedEpisodes:
    episodes = load(split, {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def _questions(episodes: ListedEpisodes) -> list[str]:
    return [question.question for episode in episodes for question in episode.questions]


def _text(episodes: ListedEpisodes) -> str:
    return "\n".join(chunk for episode in episodes for chunk in episode.chunks)


@pytest.mark.parametrize("setting", ["evidence", "distractor"])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_question_has_both_its_facts(split: str, setting: str, data: Path) -> None:
    for episode in _load(split, data, setting=setting):
        assert episode.id.startswith(f"hotpotqa/{split}/")
        assert episode.ability == "accurate_retrieval"
        for question in episode.questions:
            first, second = question.evidence
            assert "was born in" in first.text
            assert question.answers[0] in second.text
            for evidence in question.evidence:
                assert evidence.text == evidence.text.strip()
                assert evidence.text in episode.chunks[evidence.chunk]


def test_distractors_are_shown_on_demand_only(data: Path) -> None:
    assert "Other" not in _text(_load("test", data))
    shown = _text(_load("test", data, setting="distractor"))
    assert "Other 500 0\nOther 500 0 is a place. Nothing of note." in shown


def test_episodes_have_about_the_wanted_length(data: Path) -> None:
    few, many = _load("test", data, tokens=300), _load("test", data, tokens=600)
    assert few.size > many.size > 1
    assert len(few.episode(0).questions) < len(many.episode(0).questions)


def test_each_question_is_asked_once(data: Path) -> None:
    questions = _questions(_load("test", data))
    assert len(set(questions)) == len(questions)
    assert len(questions) >= 36


def test_questions_that_share_an_article_come_together(tmp_path: Path) -> None:
    records = [_record(n) for n in range(60)]
    partner = _record(
        0, question="What is the river of Village 0?", supporting_facts=[["Village 0", 1]]
    )
    _write(tmp_path / "hotpotqa" / "hotpot_dev.json", [*records, partner])
    episodes = _load("test", tmp_path)
    assert _questions(episodes)[:1] != [partner["question"]]
    first = episodes.episode(0)
    assert partner["question"] in [question.question for question in first.questions]
    assert sum(chunk.count("Village 0\n") for chunk in first.chunks) == 1


def test_what_cannot_be_asked_is_left_out_and_counted(tmp_path: Path) -> None:
    records = [
        *[_record(n) for n in range(12)],
        _record(20, answer="yes"),
        _record(21, answer="No"),
        _record(22, answer="Not there"),
        _record(23, supporting_facts=[["Village 23", 9]]),
        _record(24, supporting_facts=[["Elsewhere", 0]]),
        _record(25, supporting_facts=[]),
    ]
    _write(tmp_path / "hotpotqa" / "hotpot_dev.json", records)
    episodes = _load("test", tmp_path)
    assert {key: n for key, n in episodes.excluded.items() if "group" not in key} == {
        "question answered by yes or no": 2,
        "gold not in the supporting sentences": 1,
        "supporting sentence not in the record": 3,
    }
    with_yes = _load("test", tmp_path, yes_no=True, tokens=4_000)
    assert {"yes", "No"} <= {q.answers[0] for e in with_yes for q in e.questions}


def test_an_over_long_article_is_split_and_keeps_its_evidence(tmp_path: Path) -> None:
    record = _record(0)
    long = [f" Fact {i} about the village is told here." for i in range(80)]
    record["context"][4] = ["Village 0", ["Village 0 is a place.", *long, " It lies on River 0."]]
    record["supporting_facts"] = [["Person 0", 1], ["Village 0", 81]]
    _write(tmp_path / "hotpotqa" / "hotpot_dev.json", [record])
    (question,) = _load("test", tmp_path).episode(0).questions
    assert [evidence.text for evidence in question.evidence][1] == "It lies on River 0."


def test_a_sentence_longer_than_a_chunk_loses_its_question_and_is_counted(tmp_path: Path) -> None:
    record = _record(0)
    endless = f" It lies {'very ' * 300}near River 0."
    record["context"][4] = ["Village 0", ["Village 0 is a place.", endless]]
    records = [record, *[_record(n) for n in range(1, 4)]]
    _write(tmp_path / "hotpotqa" / "hotpot_dev.json", records)
    episode = _load("test", tmp_path, tokens=2_000).episode(0)
    assert len(episode.questions) == 3
    assert episode.metadata["excluded"] == {"question whose evidence is split between chunks": 1}
    assert "excluded" not in _load("test", tmp_path, max_tokens=999).episode(0).metadata


def test_articles_are_not_shown_in_the_order_of_the_questions(data: Path) -> None:
    shown = re.findall(r"^(?:Person|Village) \d+$", _text(_load("test", data)), re.MULTILINE)
    in_order = [f"{kind} {n}" for n in range(500, 540) for kind in ("Person", "Village")]
    assert set(shown) <= set(in_order)
    partners = sum(one.split()[1] == other.split()[1] for one, other in itertools.pairwise(shown))
    assert partners < len(shown) // 4


def test_a_short_last_group_is_left_out_unless_it_is_all_there_is(data: Path) -> None:
    left_out = 0
    for tokens in range(300, 900, 60):
        episodes = _load("test", data, tokens=tokens)
        sizes = [len(episode.questions) for episode in episodes]  # all records are equally long
        assert min(sizes) * 2 >= max(sizes) - 1
        left_out += len(episodes.excluded)
    assert 0 < left_out < 10
    alone = _load("test", data, tokens=100_000)
    assert alone.size == 1
    assert alone.excluded == {}
    assert len(alone.episode(0).questions) == 40
    assert len(_load("test", data, tokens=100_000, questions=7).episode(0).questions) == 7


# --- splits


def test_no_question_or_article_is_in_two_splits(data: Path) -> None:
    loaded = {s: _load(s, data) for s in ("train", "validation", "test")}
    asked = {split: set(_questions(episodes)) for split, episodes in loaded.items()}
    assert all(asked.values())
    assert not asked["train"] & asked["validation"]
    assert not asked["train"] & asked["test"]
    assert len(asked["train"] | asked["validation"]) > 130


def test_train_shows_no_article_of_another_split(data: Path) -> None:
    folder = data / "hotpotqa"
    train = json.loads((folder / "hotpot_train_v1.1.json").read_text())
    validation = _load("validation", data, tokens=100_000).episode(0)
    number = validation.questions[0].answers[0].removeprefix("River ")
    village = f"Village {number}"
    asks_it = _record(
        900, question="Which river is at it?", answer=f"River {number}",
        supporting_facts=[[village, 1]],
        context=[_article(village, f"{village} lies on River {number}.")],
    )  # fmt: skip
    shows_it = _record(901)
    shows_it["context"].append(_article("Village 500", "Village 500 lies on River 500."))
    _write(folder / "hotpot_train_v1.1.json", [*train, asks_it, shows_it])
    episodes = _load("train", data, setting="distractor", tokens=1_000)
    assert episodes.excluded["question on an article of a held-out split"] == 1
    assert village + " lies" not in _text(episodes)
    assert "Village 500" not in _text(episodes)
    assert shows_it["question"] in _questions(episodes)


def test_added_questions_move_none_to_another_split(data: Path) -> None:
    before = set(_questions(_load("validation", data, tokens=100_000)))
    records = [_record(n) for n in [*range(700, 760), *range(150)]]
    _write(data / "hotpotqa" / "hotpot_train_v1.1.json", records)
    after = set(_questions(_load("validation", data, tokens=100_000)))
    known = {_record(n)["question"] for n in range(150)}
    assert after & known == before


def test_the_same_data_give_the_same_episodes(data: Path) -> None:
    first, again = _load("train", data), _load("train", data)
    assert list(first) == list(again)
    assert first.ids != _load("train", data, setting="distractor").ids


def test_episodes_do_not_depend_on_the_hash_seed(data: Path) -> None:
    code = (
        "import hashlib, sys; from memgym.tasks import load_source; "
        "episodes = load_source('hotpotqa', 'train', {'setting': 'distractor'}, sys.argv[1]); "
        "print(hashlib.sha256(repr(list(episodes)).encode()).hexdigest())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code, str(data)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert len(printed.pop().strip()) == 64


# --- bad input


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[{", "not JSON, or cut off"),
        (b"{}", "the top level must be a list of records"),
        (b"[3]", 'record 0: missing field "question"'),
        (b'[{"question": "Q?"}]', 'record 0: missing field "answer"'),
        (b'[{"question": "Q?", "answer": ""}]', "question or answer is empty"),
        (b'[{"question": "Q?", "answer": "A", "context": {}}]', '"context" must be list, got dict'),
        (
            b'[{"question": "Q?", "answer": "A", "context": [["T", "text"]]}]',
            r'"context" must hold pairs \[title, \[sentence, ...\]\]',
        ),
        (
            b'[{"question": "Q?", "answer": "A", "context": [], "supporting_facts": [["T", "0"]]}]',
            r'"supporting_facts" must hold pairs \[title, index\]',
        ),
        (
            b'[{"question": "Q?", "answer": "A", "context": [], "supporting_facts": [["T", -1]]}]',
            r'"supporting_facts" must hold pairs \[title, index\]',
        ),
    ],
)
def test_bad_files_are_explained(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "hotpotqa" / "hotpot_dev.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        _load("test", tmp_path)
    assert str(path) in str(caught.value)


def test_wrong_options_are_refused(data: Path) -> None:
    with pytest.raises(UsageError, match='unknown value "distracted": did you mean "distractor"'):
        _load("test", data, setting="distracted")
    with pytest.raises(UsageError, match="tokens must be at least 1, got 0"):
        _load("test", data, tokens=0)
    with pytest.raises(UsageError, match=r"no file hotpot_train\*\.json"):
        _load("train", data, path=str(data / "hotpotqa" / "hotpot_dev_distractor_v1.json"))
