"""The QMSum builder, on small files in the official layout."""

import json
from pathlib import Path
from typing import Any

import pytest

from memgym.errors import UsageError
from memgym.scoring import contains
from memgym.tasks.qmsum import load
from memgym.tasks.source import ListedEpisodes

_SMALL = {"min_tokens": 40, "max_tokens": 120}


def _turn(speaker: str, content: str) -> dict[str, str]:
    return {"speaker": speaker, "content": content}


def _meeting(number: int, **changes: Any) -> dict[str, Any]:
    turns = [
        _turn("Chair", f"Welcome to meeting {number} , {{vocalsound}} it 's about the budget ."),
        _turn("Designer", "{vocalsound}"),
        _turn("Designer", f"The rubber shell costs twelve Euros in plan {number} ."),
        *(_turn("Chair", f"We talk about the garden gate {n} of the old mill .") for n in range(9)),
        _turn("Designer", "A scroll wheel breaks within months , so push buttons are safer ."),
    ]
    record = {
        "topic_list": [],
        "general_query_list": [
            {
                "query": "Summarize the whole meeting.",
                "answer": "Designer spoke of the budget, a rubber shell and the garden gate.",
            }
        ],
        "specific_query_list": [
            {
                "query": "What did Designer say about the scroll wheel?",
                "answer": "The scroll wheel breaks within months and push buttons are safer.",
                "relevant_text_span": [["12", "12"]],
            }
        ],
        "meeting_transcripts": turns,
    }
    return {**record, **changes}


def _write(path: Path, records: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    path.write_text(lines, encoding="utf-8")
    return path


def _load(data: Path, split: str = "test", **options: Any) -> ListedEpisodes:
    episodes = load(split, {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    _write(tmp_path / "qmsum" / "test.jsonl", [_meeting(1), _meeting(2)])
    return tmp_path


def test_an_episode_is_a_dated_meeting_with_its_queries(data: Path) -> None:
    episodes = _load(data)
    assert (episodes.size, episodes.excluded) == (2, {})
    episode = episodes.episode(0)
    date = episode.metadata["date"]
    assert date != episodes.episode(1).metadata["date"]
    assert (episode.source, episode.ability) == ("qmsum", "long_range_understanding")
    general, specific = episode.questions
    assert general.question == f"In the meeting of {date}: Summarize the whole meeting."
    assert general.kind == specific.kind == "keywords"
    assert general.answers == ("budget", "rubber shell", "garden gate")
    for number, chunk in enumerate(episode.chunks, 1):
        assert chunk.startswith(f"[Meeting of {date}, part {number} of {len(episode.chunks)}]\n")
    for question in episode.questions:
        for gold in question.answers:
            assert any(contains(gold, evidence.text) for evidence in question.evidence)
        for evidence in question.evidence:
            assert evidence.text in episode.chunks[evidence.chunk]


def test_a_specific_query_is_about_its_span_alone(data: Path) -> None:
    question = _load(data).episode(0).questions[1]
    assert question.answers == ("breaks", "months", "push buttons", "safer")
    assert len(question.evidence) == 1
    assert "Designer: A scroll wheel breaks" in question.evidence[0].text


def test_noises_and_blanks_before_punctuation_are_taken_out(data: Path) -> None:
    text = "\n".join(_load(data).episode(0).chunks)
    assert "Chair: Welcome to meeting 1, it's about the budget." in text
    assert "vocalsound" not in text
    assert "Designer: \n" not in text


def test_a_blank_before_a_quoted_word_stays(tmp_path: Path) -> None:
    record = _meeting(1)
    record["meeting_transcripts"][0]["content"] = "The user 'cause of budget 'll pay ."
    _write(tmp_path / "qmsum" / "test.jsonl", [record])
    assert "The user 'cause of budget'll pay." in _load(tmp_path).episode(0).chunks[0]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    record = _meeting(1)
    vague = {"query": "Why?", "answer": "Nobody knows.", "relevant_text_span": [["0", "2"]]}
    outside = {"query": "When?", "answer": "Never.", "relevant_text_span": [[90, 95]]}
    record["specific_query_list"] += [vague, outside, record["specific_query_list"][0]]
    empty = _meeting(2, general_query_list=[], specific_query_list=[vague])
    _write(tmp_path / "qmsum" / "test.jsonl", [record, _meeting(1), empty])
    episodes = _load(tmp_path)
    assert episodes.size == 1
    assert episodes.excluded == {
        "query with fewer than 3 keywords": 2,
        "query whose text span lies outside the meeting": 1,
        "query asked before in the meeting": 1,
        "meeting met before": 1,
        "meeting without a query left": 1,
    }


def test_no_meeting_is_in_two_splits(data: Path) -> None:
    _write(data / "qmsum" / "val.jsonl", [_meeting(2), _meeting(3)])
    _write(data / "qmsum" / "train.jsonl", [_meeting(n) for n in (1, 2, 3, 4)])
    shown = {
        split: {chunk for e in _load(data, split) for chunk in e.chunks}
        for split in ("train", "validation", "test")
    }
    assert len(_load(data, "train").ids) == len(_load(data, "validation").ids) == 1
    assert not shown["train"] & shown["test"]
    assert not shown["validation"] & (shown["train"] | shown["test"])
    asked = [q.question for split in shown for e in _load(data, split) for q in e.questions]
    assert len(set(asked)) == len(asked)


def test_the_date_and_the_episode_do_not_move_when_meetings_are_added(data: Path) -> None:
    before = _load(data).episode(1)
    _write(data / "qmsum" / "test.jsonl", [_meeting(2), *(_meeting(n) for n in range(5, 9))])
    after = _load(data).episode(0)
    assert after.metadata == before.metadata
    assert after.questions[0].question == before.questions[0].question


def test_the_same_data_give_the_same_episodes(data: Path) -> None:
    assert list(_load(data)) == list(_load(data))
    assert _load(data).ids != _load(data, max_keywords=3).ids


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"meeting_transcripts": []}, 'line 1: its "meeting_transcripts" hold no words'),
        ({"meeting_transcripts": [{"speaker": "A"}]}, 'turn 0: missing field "content"'),
        ({"general_query_list": "none"}, 'field "general_query_list" must be list, got str'),
        (
            {"general_query_list": [{"query": " ", "answer": "x"}]},
            "general_query_list 0: its query or answer is empty",
        ),
        (
            {
                "specific_query_list": [
                    {"query": "q", "answer": "a", "relevant_text_span": [["1", "x"]]}
                ]
            },
            '"relevant_text_span" must hold pairs of turn numbers',
        ),
    ],
)
def test_bad_records_are_explained(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    _write(tmp_path / "qmsum" / "test.jsonl", [_meeting(1, **change)])
    with pytest.raises(UsageError, match=message) as caught:
        _load(tmp_path)
    assert "test.jsonl, line 1" in str(caught.value)


def test_a_cut_off_line_is_named(data: Path) -> None:
    path = data / "qmsum" / "test.jsonl"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(UsageError, match=r"test\.jsonl, line 2: not a JSON line"):
        _load(data)


def test_bad_options_and_missing_files_are_explained(data: Path) -> None:
    with pytest.raises(UsageError, match="1 <= min_keywords <= max_keywords, got 5 and 2"):
        _load(data, min_keywords=5, max_keywords=2)
    with pytest.raises(UsageError, match=r"no file train\*\.jsonl in .*qmsum; put there train"):
        _load(data, "train")
