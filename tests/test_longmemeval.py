"""The LongMemEval builder, on small files in the three layouts that it reads."""

import json
from pathlib import Path
from typing import Any

import pytest

from memgym.errors import UsageError
from memgym.scoring import contains, score_answer
from memgym.tasks.histories import ABSTENTION_ANSWERS
from memgym.tasks.longmemeval import load
from memgym.tasks.source import ListedEpisodes

_SMALL = {"min_tokens": 60, "max_tokens": 150}
_TYPES = (
    "single-session-user",
    "single-session-assistant",
    "single-session-preference",
    "multi-session",
    "temporal-reasoning",
    "knowledge-update",
)


def _said(role: str, content: str, answer: bool | None = None) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": role, "content": content}
    return turn if answer is None else {**turn, "has_answer": answer}


def _record(identifier: str = "q1", **changes: Any) -> dict[str, Any]:
    """Return a record of the official layout, its sessions not in the order of their dates."""
    sessions = [
        [
            _said("user", "How do I bake bread?", False),
            _said("assistant", f"Knead the dough {identifier}. Then wait.", False),
        ],
        [
            _said("user", "I bought a kayak. It is called Otter, and it is red.", True),
            _said("assistant", "Otter is a fine name. Wear a vest.", False),
        ],
        [_said("user", "I have sold the red kayak. My new one is called Heron.", True)],
    ]
    record = {
        "question_id": identifier,
        "question_type": "knowledge-update",
        "question": "What is my kayak called?",
        "answer": "Heron",
        "question_date": "2023/06/01 (Thu) 10:00",
        "answer_session_ids": ["a1", "a2"],
        "haystack_dates": [
            "2023/05/20 (Sat) 02:21", "2023/05/02 (Tue) 18:05", "2023/05/30 (Tue) 03:52",
        ],
        "haystack_session_ids": ["f1", "a1", "a2"],
        "haystack_sessions": sessions,
    }  # fmt: skip
    return {**record, **changes}


def _write(folder: Path, records: Any, name: str = "longmemeval_oracle.json") -> Path:
    path = folder / "longmemeval" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records), encoding="utf-8")
    return folder


def _load(data: Path, **options: Any) -> ListedEpisodes:
    episodes = load("test", {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def test_sessions_are_dated_chunks_in_the_order_of_time(tmp_path: Path) -> None:
    episode = _load(_write(tmp_path, [_record()])).episode(0)
    assert [chunk.splitlines()[0] for chunk in episode.chunks] == [
        "[Conversation of 2023-05-02 18:05]",
        "[Conversation of 2023-05-20 02:21]",
        "[Conversation of 2023-05-30 03:52]",
    ]
    assert "User: How do I bake bread?\n\nAssistant: Knead the dough q1." in episode.chunks[1]
    assert (episode.source, episode.ability) == ("longmemeval", "accurate_retrieval")
    assert episode.metadata["question_types"] == ["knowledge-update"]
    assert episode.metadata["question_dates"] == ["2023-06-01"]
    assert episode.metadata["question_ids"] == ["q1"]


def test_evidence_is_the_sentence_of_the_marked_turn_that_states_the_gold(tmp_path: Path) -> None:
    (question,) = _load(_write(tmp_path, [_record()])).episode(0).questions
    assert (question.kind, question.answers) == ("text", ("Heron",))
    (evidence,) = question.evidence
    assert (evidence.chunk, evidence.text) == (2, "My new one is called Heron.")


def test_a_gold_in_several_marked_turns_needs_all_of_them(tmp_path: Path) -> None:
    record = _record(question="Which colour had my kayaks?", answer="red")
    (question,) = _load(_write(tmp_path, [record])).episode(0).questions
    assert [evidence.chunk for evidence in question.evidence] == [0, 2]


def test_without_marks_the_closest_sentence_of_the_answer_sessions_counts(tmp_path: Path) -> None:
    record = _record(question="What is the boat called?", answer="Otter")
    for session in record["haystack_sessions"]:
        for turn in session:
            del turn["has_answer"]
    record["haystack_sessions"][0][0]["content"] = "The boat is called Otter."
    (question,) = _load(_write(tmp_path, [record])).episode(0).questions
    assert [e.text for e in question.evidence] == ["It is called Otter, and it is red."]


def test_a_free_gold_is_asked_for_by_its_keywords(tmp_path: Path) -> None:
    record = _record(
        question_type="single-session-preference",
        question="What should I do on the lake?",
        # "called" is marked too, but stands far from the others.
        answer="The user would prefer tips on a red kayak, so called because the old was sold.",
    )
    episode = _load(_write(tmp_path, [record])).episode(0)
    (question,) = episode.questions
    assert (question.kind, question.answers) == ("keywords", ("red kayak", "sold"))
    assert episode.metadata["reference_answers"] == [record["answer"]]  # for a judge
    (evidence,) = question.evidence
    assert all(contains(gold, evidence.text) for gold in question.answers)


@pytest.mark.parametrize("kind", _TYPES)
def test_every_question_type_is_read(kind: str, tmp_path: Path) -> None:
    episode = _load(_write(tmp_path, [_record(question_type=kind)])).episode(0)
    assert episode.metadata["question_types"] == [kind]
    asked = episode.questions[0].question
    assert asked.endswith("(Asked on 2023-06-01.)") == (kind == "temporal-reasoning")


def test_golds_that_have_to_be_worked_out_are_counted(tmp_path: Path) -> None:
    days = _record("q2", question="How many days between?", answer="28 days")
    counted = _record("q3", question="How many?", answer=2, question_type="multi-session")
    counted["haystack_sessions"][1][0]["content"] += " It took 2 weeks."
    stated = _record("q4", question="How many weeks?", answer=2)
    stated["haystack_sessions"][1][0]["content"] += " It took 2 weeks."
    data = _write(tmp_path, [days, counted, stated])
    episodes = _load(data)
    assert [q.answers for e in episodes for q in e.questions] == [("2",)]
    assert episodes.excluded == {
        "question whose gold has to be worked out": 2,
        "history without a question left": 2,
    }
    kept = _load(data, computed=True)
    assert [q.answers for e in kept for q in e.questions] == [("28 days",), ("2",), ("2",)]
    assert kept.excluded == {}
    assert [len(q.evidence) for e in kept for q in e.questions] == [2, 2, 1]


def test_a_second_acceptable_gold_is_a_gold(tmp_path: Path) -> None:
    answer = "Egret. Heron (the new one) is also acceptable."
    (question,) = _load(_write(tmp_path, [_record(answer=answer)])).episode(0).questions
    assert question.answers == ("Egret", "Heron")


def test_abstention_questions_are_counted_or_kept(tmp_path: Path) -> None:
    answer = "You did not mention this information."
    data = _write(tmp_path, [_record(), _record("q2_abs", question="My bike?", answer=answer)])
    episodes = _load(data)
    assert episodes.size == 1
    assert episodes.excluded["abstention question"] == 1
    kept = _load(data, abstention=True)
    question = kept.episode(1).questions[0]
    assert (question.answers, question.evidence) == (ABSTENTION_ANSWERS, ())
    assert score_answer(question, "The bike's name was not mentioned.") == 1.0
    assert score_answer(question, "Your bike is called Otter.") == 0.0


def test_records_with_the_same_haystack_are_one_episode(tmp_path: Path) -> None:
    records = [
        _record(), _record("q2"), _record(),
        {**_record(), "question_id": "q3", "question": "Which colour?", "answer": "red"},
    ]  # fmt: skip
    episodes = _load(_write(tmp_path, records))
    assert [len(episode.questions) for episode in episodes] == [2, 1]
    assert episodes.episode(0).metadata["question_ids"] == ["q1", "q3"]
    assert episodes.excluded == {"question met before": 1}


def test_a_record_may_ask_several_questions(tmp_path: Path) -> None:
    record = _record(
        questions=["What is my kayak called?", "How is bread made?", "Which dough?"],
        answers=["Heron", "Knead the dough", "nobody said"],
        answer_session_ids=[["a1", "a2"], ["f1"], ["f1"]],
    )
    del record["question"], record["answer"]
    data = _write(tmp_path, [record], "longmemeval_s_2.json")
    episodes = _load(data, haystack="s")
    first, second = episodes.episode(0).questions
    assert first.evidence[0].chunk == 2
    assert second.evidence[0].text == "Assistant: Knead the dough q1."
    assert episodes.episode(0).metadata["question_types"] == ["knowledge-update", "unstated"]
    assert episodes.episode(0).metadata["question_ids"] == ["q1", "q1/1"]
    assert episodes.excluded == {"question whose gold has to be worked out": 1}
    with pytest.raises(UsageError, match=r"no file longmemeval_oracle\*\.json"):
        _load(data)


def test_a_flat_conversation_is_cut_where_the_date_changes(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "My kayak is called Heron.", "date": "2023/05/30 (Tue) 03:52"},
        {"role": "assistant", "content": "A good name.", "date": "2023/05/30 (Tue) 03:52"},
        {"role": "user", "content": "I like tea.", "date": "2023/05/02 (Tue) 18:05"},
    ]
    record = {
        "id": "single-q1",
        "question_type": "single-session-user",
        "conversation": turns,
        "questions": [{"id": "x", "question": "My kayak?", "answer": "Heron"}],
    }
    episode = _load(_write(tmp_path, {"source": "s", "data": [record]})).episode(0)
    assert [chunk.splitlines()[0][17:27] for chunk in episode.chunks] == [
        "2023-05-02", "2023-05-30",
    ]  # fmt: skip
    assert episode.questions[0].evidence[0].chunk == 1


def test_several_haystacks_can_be_joined(tmp_path: Path) -> None:
    data = _write(tmp_path, [_record("q1"), _record("q2"), _record("q3", question="Name?")])
    joined = _load(data, join=3)
    assert joined.size == 1
    episode = joined.episode(0)
    # The sessions that two records share are there once; the bread differs.
    assert len(episode.chunks) == 5
    assert [q.question for q in episode.questions] == ["What is my kayak called?", "Name?"]
    assert joined.excluded == {"question met before": 1}


def test_a_sentence_longer_than_a_chunk_is_evidence_part_by_part(tmp_path: Path) -> None:
    record = _record(answer="Heron")
    endless = "very " * 300
    record["haystack_sessions"][2][0]["content"] = f"It is {endless}surely called Heron"
    episode = _load(_write(tmp_path, [record])).episode(0)
    evidence = episode.questions[0].evidence
    assert len(evidence) > 1
    assert all(item.text in episode.chunks[item.chunk] for item in evidence)
    assert "Heron" in evidence[-1].text


def test_sessions_without_turns_are_counted(tmp_path: Path) -> None:
    record = _record()
    record["haystack_sessions"][0] = []
    episodes = _load(_write(tmp_path, [record]))
    assert len(episodes.episode(0).chunks) == 2
    assert episodes.excluded == {"session without turns": 1}


def test_the_same_data_give_the_same_episodes(tmp_path: Path) -> None:
    data = _write(tmp_path, [_record("q1"), _record("q2")])
    assert list(_load(data)) == list(_load(data))
    assert set(_load(data).ids).isdisjoint(_load(data, max_tokens=140).ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": ""}, "question 0: its question is missing or empty"),
        ({"answer": None}, "question 0: its answer is missing or empty"),
        ({"haystack_dates": ["2023/05/20"]}, "3 haystack_sessions, 3 .*ids and 1 haystack_dates"),
        ({"haystack_dates": ["x", "y", "z"]}, "session 0: date 'x' must look like"),
        ({"question_date": "2023/13/20"}, "date '2023/13/20' must look like"),
        ({"haystack_sessions": [{}, [], []]}, "session 0: a session must be a list of turns"),
        ({"haystack_sessions": [[], [], []]}, "none of its haystack_sessions has a turn"),
        ({"haystack_sessions": [[{"role": "user"}]] * 3}, 'turn 0: missing field "content"'),
        ({"answer_session_ids": "a1"}, 'field "answer_session_ids" must be list, got str'),
        ({"questions": ["a", "b"], "answers": ["c"]}, "2 questions, 1 answers, 2 lists of"),
    ],
)
def test_bad_records_are_explained(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    data = _write(tmp_path, [_record("q0"), _record(**change)])
    with pytest.raises(UsageError, match=message) as caught:
        _load(data)
    assert "longmemeval_oracle.json, record 1" in str(caught.value)


def test_bad_files_and_options_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not LongMemEval: the top level must be a list"):
        _load(_write(tmp_path, {"rows": []}))
    path = tmp_path / "longmemeval" / "longmemeval_oracle.json"
    path.write_text('[{"question_id": ')
    with pytest.raises(UsageError, match="not JSON, or cut off"):
        _load(tmp_path)
    with pytest.raises(UsageError, match='unknown value "m"'):
        _load(tmp_path, haystack="m")
    with pytest.raises(UsageError, match="join must be at least 1, got 0"):
        _load(tmp_path, join=0)
