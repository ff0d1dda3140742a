"""The LoCoMo builder, on small conversations in the official layout."""

import json
from pathlib import Path
from typing import Any

import pytest

from memgym.errors import UsageError
from memgym.scoring import score_answer
from memgym.tasks.locomo import load
from memgym.tasks.source import ListedEpisodes

_SMALL = {"min_tokens": 60, "max_tokens": 150}


def _turn(number: str, speaker: str, text: str, **extra: Any) -> dict[str, Any]:
    return {"speaker": speaker, "dia_id": number, "text": text, **extra}


def _sample(**changes: Any) -> dict[str, Any]:
    picture = {"img_url": ["u"], "blip_caption": "a photo of a tabby cat", "query": "cat"}
    conversation = {
        "speaker_a": "Ida",
        "speaker_b": "Tom",
        "session_10": [_turn("D10:1", "Ida", "And now I sing in a choir.")],
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            _turn("D1:1", "Ida", "I went to a pottery class yesterday. It was great!"),
            _turn("D1:2", "Tom", "Nice. Look who moved in!", **picture),
        ],
        "session_2_date_time": "12:09 am on 13 September, 2023",
        "session_2": [
            _turn("D2:1", "Ida", "I also took up chess in July."),
            _turn("D2:2", "Tom", "Our club meets in Bergen. Come along!"),
        ],
        "session_10_date_time": "3:00 pm on 1 October, 2023",
        "session_11_date_time": "3:00 pm on 2 October, 2023",
        "session_11": [],
    }
    sample = {
        "sample_id": "conv-1",
        "conversation": conversation,
        "qa": [_asked("Where does the club meet?", "Bergen", 4, "D2:2")],
        "observation": {},
        "session_summary": {},
        "event_summary": {},
    }
    return {**sample, **changes}


def _asked(question: str, answer: Any, category: int, *evidence: str) -> dict[str, Any]:
    return {
        "question": question,
        "answer": answer,
        "category": category,
        "evidence": list(evidence),
    }


def _write(folder: Path, samples: Any) -> Path:
    path = folder / "locomo" / "locomo10.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(samples), encoding="utf-8")
    return folder


def _load(data: Path, **options: Any) -> ListedEpisodes:
    episodes = load("test", {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def test_sessions_are_dated_chunks_in_order(tmp_path: Path) -> None:
    episode = _load(_write(tmp_path, [_sample()])).episode(0)
    assert [chunk.splitlines()[0] for chunk in episode.chunks] == [
        "[Conversation of 2023-05-08 13:56]",
        "[Conversation of 2023-09-13 00:09]",
        "[Conversation of 2023-10-01 15:00]",
    ]
    assert (
        "Tom: Nice. Look who moved in! [shares a picture: a photo of a tabby cat]"
        in (episode.chunks[0])
    )
    assert episode.id.startswith("locomo/test/conv-1-")
    assert (episode.source, episode.ability) == ("locomo", "accurate_retrieval")


def test_evidence_is_the_sentence_of_the_labelled_turn(tmp_path: Path) -> None:
    episode = _load(_write(tmp_path, [_sample()])).episode(0)
    (question,) = episode.questions
    assert (question.kind, question.answers) == ("text", ("Bergen",))
    assert [(e.chunk, e.text) for e in question.evidence] == [(1, "Tom: Our club meets in Bergen.")]
    assert episode.metadata["question_types"] == ["single-hop"]


def test_a_list_of_stated_parts_is_asked_for_part_by_part(tmp_path: Path) -> None:
    qa = [_asked("Which hobbies has Ida?", "pottery, chess, choir", 1, "D1:1; D2:1", "D10:1")]
    (question,) = _load(_write(tmp_path, [_sample(qa=qa)])).episode(0).questions
    assert (question.kind, question.answers) == ("keywords", ("pottery", "chess", "choir"))
    assert [evidence.chunk for evidence in question.evidence] == [0, 1, 2]
    assert score_answer(question, "chess and pottery") == pytest.approx(2 / 3)


def test_a_list_with_a_part_that_is_not_stated_has_to_be_worked_out(tmp_path: Path) -> None:
    qa = [*_sample()["qa"], _asked("Which hobbies?", "pottery, karate", 1, "D1:1", "D2:1")]
    episodes = _load(_write(tmp_path, [_sample(qa=qa)]))
    assert len(episodes.episode(0).questions) == 1
    assert episodes.excluded == {"question whose gold has to be worked out": 1}


def test_only_the_labelled_turns_can_give_the_answer(tmp_path: Path) -> None:
    qa = [*_sample()["qa"], _asked("In which town is it?", "Bergen", 4, "D2:1")]
    episodes = _load(_write(tmp_path, [_sample(qa=qa)]))
    assert len(episodes.episode(0).questions) == 1
    assert episodes.excluded == {"question whose gold has to be worked out": 1}


def test_of_an_open_gold_the_part_before_the_semicolon_counts(tmp_path: Path) -> None:
    qa = [_asked("Would Ida sing?", "choir; since she likes it", 3, "D10:1")]
    (question,) = _load(_write(tmp_path, [_sample(qa=qa)])).episode(0).questions
    assert question.answers == ("choir",)


def test_dates_that_have_to_be_reckoned_are_counted(tmp_path: Path) -> None:
    qa = [
        _asked("When was the pottery class?", "7 May 2023", 2, "D1:1"),
        _asked("When did Ida take up chess?", "July", 2, "D2:1"),
        _asked("How many clubs?", 10, 1, "D2:2"),
    ]
    sample = _sample(qa=qa)
    sample["conversation"]["session_2"][1]["text"] += " We are 10 players."
    data = _write(tmp_path, [sample])
    episodes = _load(data)
    assert [q.answers for q in episodes.episode(0).questions] == [("July",)]
    assert episodes.excluded == {"question whose gold has to be worked out": 2}
    kept = _load(data, computed=True).episode(0)
    assert [q.answers for q in kept.questions] == [("7 May 2023",), ("July",), ("10",)]
    assert all(question.evidence for question in kept.questions)


def test_adversarial_questions_are_counted_or_kept(tmp_path: Path) -> None:
    trap = {
        "question": "What did Tom sing?", "category": 5, "evidence": ["D10:1"],
        "adversarial_answer": "choir",
    }  # fmt: skip
    data = _write(tmp_path, [_sample(qa=[*_sample()["qa"], trap])])
    assert _load(data).excluded == {"abstention question": 1}
    kept = _load(data, abstention=True).episode(0)
    assert kept.metadata["question_types"] == ["single-hop", "adversarial"]
    assert score_answer(kept.questions[1], "This is not mentioned.") == 1.0
    assert score_answer(kept.questions[1], "In a choir.") == 0.0


def test_odd_labels_are_read_or_counted(tmp_path: Path) -> None:
    qa = [
        _asked("Where is the club?", "Bergen", 4, "D:2:02"),
        _asked("Who moved in?", "tabby cat", 4, "D", "D9:9"),
        {"question": "Which month?", "answer": "July", "category": 4},
    ]
    episodes = _load(_write(tmp_path, [_sample(qa=qa)]))
    assert [q.evidence[0].chunk for q in episodes.episode(0).questions] == [1, 0, 1]
    assert episodes.excluded == {"label of a turn that does not exist": 2}


def test_what_gives_no_question_is_counted(tmp_path: Path) -> None:
    qa = _sample()["qa"]
    empty = _sample(sample_id="conv-2", qa=[_asked("When?", "never ever", 2, "D1:1")])
    episodes = _load(_write(tmp_path, [_sample(qa=qa * 2), empty]))
    assert episodes.size == 1
    assert episodes.excluded == {
        "question met before": 1,
        "question whose gold has to be worked out": 1,
        "conversation without a question left": 1,
    }


def test_the_same_data_give_the_same_episodes(tmp_path: Path) -> None:
    data = _write(tmp_path, [_sample()])
    assert list(_load(data)) == list(_load(data))


def _with_turn(**changes: Any) -> dict[str, Any]:
    sample = _sample()
    sample["conversation"]["session_1"][1] = {**_turn("D1:2", "Tom", "Hello."), **changes}
    return sample


def _with_date(date: str) -> dict[str, Any]:
    sample = _sample()
    sample["conversation"]["session_2_date_time"] = date
    return sample


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (_sample(sample_id=3), 'field "sample_id" must be str, got int'),
        (_sample(conversation={}), "its conversation has no session_1"),
        (_sample(qa=[_asked("Q?", "A", 7)]), "question 0: needs a question and a category from 1"),
        (_sample(qa=[_asked("Q?", "", 1)]), "question 0: its answer is missing or empty"),
        (_sample(qa=[_asked("Q?", True, 1)]), "question 0: its answer is missing or empty"),
        (_with_turn(dia_id="D1:1"), 'session 1, turn 1: dia_id "D1:1" occurs twice'),
        (_with_turn(dia_id="one"), 'dia_id "one" must look like "D1:3"'),
        (_with_turn(text=""), "session 1, turn 1: it has neither text nor picture"),
        (_with_date("yesterday"), 'session 2: date "yesterday" must look like'),
        (_with_date("3:00 pm on 40 May, 2023"), "session 2: date"),
    ],
)
def test_bad_records_are_explained(sample: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        _load(_write(tmp_path, [sample]))
    assert "locomo10.json, record 0" in str(caught.value)


def test_bad_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not LoCoMo: the top level must be a list"):
        _load(_write(tmp_path, {}))
    with pytest.raises(UsageError, match="the data give no episode"):
        _load(_write(tmp_path, []))
