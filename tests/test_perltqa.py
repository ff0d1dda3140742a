"""The PerLTQA builder, on small files in the official layout."""

import json
from pathlib import Path
from typing import Any

import pytest

from memgym.errors import UsageError
from memgym.scoring import score_answer
from memgym.tasks.perltqa import load
from memgym.tasks.source import ListedEpisodes
from memgym.text import find_dates

_PEOPLE = [f"Person{number}" for number in range(30)]
_SMALL = {"min_questions": 1}


def _memory(name: str, events: int = 6) -> dict[str, Any]:
    record: dict[str, Any] = {
        "profile": {"Protagonist": name, "Age": 30},
        "profile_description": f"{name} is thirty.",
        "social_relationship": {},
        "events": {},
        "dialogues": {},
    }
    for i in range(events):
        record["events"][f"1_{i}"] = {
            "content": f"{name} went to Harbour{i} by train. "
            f"The ticket cost {i + 20} silver coins.",
            "summary": f"A trip to Harbour{i}",
            "Characters": ["1_0"],
            "Creation Time": f"May {28 - i}, 2022" if i else "a beautiful summer",
            "Last Accessed Time": "",
            "Theme": "travel",
        }
        record["dialogues"][f"1_{i}#{i}"] = {
            "events": f"1_{i}",
            "contents": {
                f"2022-05-{28 - i} 10:00": [
                    f"{name}: I met captain Brown{i} at the old pier.",
                    "Friend: No sign: of the ferry?",
                ]
            },
        }
    return record


def _question(question: str, answer: Any, memory: str) -> dict[str, Any]:
    return {"Question": question, "Answer": answer, "Reference Memory": f"['{memory}']"}


def _asked(name: str, events: int = 6) -> dict[str, Any]:
    return {
        "profile": [_question(f"How old is {name}?", "Thirty.", "Age")],
        "social_relationship": [{"1_0": [_question("Who is it?", "A friend.", "1_0")]}],
        "events": [
            {
                f"1_{i}": [
                    _question(
                        f"What did the ticket to Harbour{i} cost?",
                        f"The ticket cost {i + 20} silver coins.",
                        f"1_{i}",
                    )
                ]
            }
            for i in range(events)
        ],
        "dialogues": [
            {
                f"1_{i}#{i}": [
                    _question(
                        f"Whom did {name} meet at Harbour{i}?",
                        f"{name} met captain Brown{i} at the old pier.",
                        f"1_{i}#{i}",
                    )
                ]
            }
            for i in range(events)
        ],
    }


def _write(data: Path, memory: Any, asked: Any) -> None:
    (data / "perltqa").mkdir(exist_ok=True)
    (data / "perltqa" / "perltmem_en_v2.json").write_text(json.dumps(memory))
    (data / "perltqa" / "perltqa_en_v2.json").write_text(json.dumps(asked))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    memory = {name: _memory(name) for name in [*_PEOPLE, "Nobody asks"]}
    _write(tmp_path, memory, [{name: _asked(name)} for name in _PEOPLE])
    return tmp_path


def _load(split: str, data: Path, **options: Any) -> ListedEpisodes:
    episodes = load(split, {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def _some_test_person(data: Path) -> str:
    return str(_load("test", data).episode(0).metadata["character"])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_episode_holds_its_evidence(split: str, data: Path) -> None:
    for episode in _load(split, data):
        assert (episode.source, episode.ability) == ("perltqa", "accurate_retrieval")
        assert len(episode.chunks) == 6
        assert len(episode.questions) == 12
        for question in episode.questions:
            assert question.kind == "keywords"
            assert question.evidence
            for evidence in question.evidence:
                assert evidence.text in episode.chunks[evidence.chunk]
            joined = " ".join(evidence.text for evidence in question.evidence)
            assert score_answer(question, joined) == 1.0
            assert score_answer(question, question.question) == 0.0


def test_every_character_is_in_one_split(data: Path) -> None:
    found = {
        split: [episode.metadata["character"] for episode in _load(split, data)]
        for split in ("train", "validation", "test")
    }
    assert sorted(name for names in found.values() for name in names) == sorted(_PEOPLE)
    assert len(found["train"]) > len(found["test"]) > 0
    few = {name: _memory(name) for name in found["test"]}
    _write(data, few, [{name: _asked(name)} for name in found["test"]])
    again = _load("test", data)
    assert [episode.metadata["character"] for episode in again] == found["test"]


def test_a_chunk_is_an_event_with_its_date_and_dialogues(data: Path) -> None:
    episode = _load("test", data).episode(0)
    name = episode.metadata["character"]
    assert episode.chunks[0].splitlines() == [
        "[Event of May 23, 2022: A trip to Harbour5]",
        f"{name} went to Harbour5 by train. The ticket cost 25 silver coins.",
        "[Conversation of 2022-05-23 10:00]",
        f"{name}: I met captain Brown5 at the old pier.",
        "Friend: No sign: of the ferry?",
    ]


def test_events_are_told_by_date_and_undated_ones_last(data: Path) -> None:
    chunks = _load("train", data).episode(0).chunks
    dates = [find_dates(chunk.splitlines()[0]) for chunk in chunks]
    assert dates[:-1] == sorted(dates[:-1])
    assert dates[-1] == []
    assert chunks[-1].startswith("[Event of a beautiful summer: A trip to Harbour0]")


def test_gold_is_what_the_answer_adds_to_the_question(data: Path) -> None:
    questions = _load("test", data).episode(0).questions
    golds = {question.question: question.answers for question in questions}
    assert golds["What did the ticket to Harbour3 cost?"] == ("23 silver coins",)
    name = _some_test_person(data)
    assert golds[f"Whom did {name} meet at Harbour3?"] == ("met captain Brown3", "old pier")
    fewer = _load("test", data, keywords=1).episode(0).questions
    assert all(len(question.answers) == 1 for question in fewer)


def test_long_lives_are_cut_into_equal_episodes(data: Path) -> None:
    name = _some_test_person(data)
    _write(data, {name: _memory(name, 11)}, [{name: _asked(name, 11)}])
    episodes = list(_load("test", data, chunks=4))
    assert [len(episode.chunks) for episode in episodes] == [3, 4, 4]
    assert [len(episode.questions) for episode in episodes] == [6, 8, 8]
    chunks = [chunk for episode in episodes for chunk in episode.chunks]
    assert len(set(chunks)) == 11
    for episode in episodes:
        for question in episode.questions:
            assert all(x.text in episode.chunks[x.chunk] for x in question.evidence)


def test_questions_are_drawn_up_to_the_limit(data: Path) -> None:
    asked = {q.question for q in _load("test", data).episode(0).questions}
    few = [q.question for q in _load("test", data, questions=5).episode(0).questions]
    assert len(few) == len(set(few)) == 5
    assert set(few) < asked


def test_what_is_left_out_is_counted(data: Path) -> None:
    name = _some_test_person(data)
    memory, asked = _memory(name), _asked(name)
    memory["events"]["1_9"] = {**memory["events"]["1_1"], "content": " "}
    asked["events"] += [
        {"7_7": [_question("What else happened?", "Nothing.", "7_7")]},
        {
            "1_0": [
                _question(
                    "How was the weather?", "A hurricane stopped every train for nine days.", "1_0"
                ),
                _question("How was the food?", None, "1_0"),
                _question("What did the ticket to Harbour0 cost?", "20 silver coins.", "1_0"),
            ]
        },
    ]
    _write(data, {name: memory}, [{name: asked}, {"Other": _asked("Other")}])
    assert _load("test", data).excluded == {
        "event without text": 1,
        "question on profile": 1,
        "question on a relationship": 1,
        "question without text or without a text answer": 1,
        "question whose event or dialogue is not there": 1,
        "question whose answer the chunk does not hold": 1,
        "question asked before in the episode": 1,
        "character of another split": 1,
    }


def test_a_life_with_few_questions_is_left_out(data: Path) -> None:
    with pytest.raises(UsageError, match=r"perltqa/test: .*x part of a life with 12 questions"):
        _load("test", data, min_questions=13)


def test_the_same_data_give_the_same_episodes(data: Path) -> None:
    first = _load("train", data)
    assert list(first) == list(_load("train", data, path=str(data / "perltqa")))
    assert first.ids != _load("train", data, keywords=2).ids


def test_bad_files_are_explained(data: Path) -> None:
    name = _some_test_person(data)
    good, asked = _memory(name), [{name: _asked(name)}]

    def message(memory: Any, questions: Any) -> str:
        _write(data, memory, questions)
        with pytest.raises(UsageError) as caught:
            _load("test", data)
        return str(caught.value)

    assert "must map characters to their records" in message([name], asked)
    assert "the memory files do not have this character" in message({}, asked)
    assert 'missing field "dialogues"' in message({name: {"events": {}}}, asked)
    undated = {**good, "events": {"1_0": {"content": "Hm.", "summary": ""}}}
    assert 'event "1_0": missing field "Creation Time"' in message({name: undated}, asked)
    spoken = {"x#0": {"events": "1_0", "contents": {"noon": "Hello."}}}
    wrong = message({name: {**good, "dialogues": spoken}}, asked)
    assert '"noon": must be a list of strings' in wrong
    assert 'missing field "social_relationship"' in message({name: good}, [{name: {"profile": []}}])
    unasked = {**_asked(name), "events": [{"1_0": [{"Answer": "A."}]}]}
    place = f'perltqa_en_v2.json, "{name}", "events" 0, "1_0", question 0: missing field "Question"'
    assert place in message({name: good}, [{name: unasked}])
    listed = {**_asked(name), "dialogues": [["1_0#0"]]}
    assert '"dialogues" 0: must map memory ids' in message({name: good}, [{name: listed}])


def test_two_versions_of_the_data_are_refused(data: Path) -> None:
    name = _PEOPLE[0]
    (data / "perltqa" / "perltmem_en.json").write_text(json.dumps([{name: _memory(name)}]))
    with pytest.raises(UsageError, match=rf'"{name}": also in .*; keep one version of the data'):
        _load("train", data)


def test_missing_files_are_named(data: Path) -> None:
    (data / "perltqa" / "perltqa_en_v2.json").unlink()
    with pytest.raises(
        UsageError, match=r"no file perltqa_en\*\.json in .*; put there perltmem_en"
    ):
        _load("train", data)


@pytest.mark.parametrize("name", ["chunks", "questions", "min_questions", "keywords"])
def test_options_below_one_are_refused(name: str, data: Path) -> None:
    with pytest.raises(UsageError, match=f"{name} must be at least 1, got 0"):
        _load("train", data, **{name: 0})
