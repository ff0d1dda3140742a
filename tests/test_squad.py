"""The SQuAD builder, on small files in the official layout."""

import json
from pathlib import Path
from typing import Any

import pytest

from memgym.episode import Episode
from memgym.errors import UsageError
from memgym.tasks.source import ListedEpisodes
from memgym.tasks.squad import load

_SMALL = {"chunks": 4, "min_tokens": 40, "max_tokens": 120, "min_questions": 1}


def _paragraph(text: str, *questions: tuple[str, str], **extra: Any) -> dict[str, Any]:
    qas = [
        {
            "id": f"id{number}",
            "question": question,
            "answers": [{"text": gold, "answer_start": text.index(gold)}],
        }
        for number, (question, gold) in enumerate(questions)
    ]
    return {"context": text, "qas": qas, **extra}


def _article(number: int, paragraphs: int = 6) -> dict[str, Any]:
    """Return an article about one town; every paragraph has three answerable questions."""
    town = f"Town{number}"
    items = []
    for part in range(paragraphs):
        text = (
            f"The old quarter {part} of {town} was built by Mason{number}x{part}. Its river is "
            f"called Flow{number}x{part}. People there eat bread{number}x{part} in the morning."
        )
        items.append(
            _paragraph(
                text,
                (f"Who built quarter {part} of {town}?", f"Mason{number}x{part}"),
                (f"Which river runs by quarter {part} of {town}?", f"Flow{number}x{part}"),
                (f"What is eaten in quarter {part} of {town}?", f"bread{number}x{part}"),
            )
        )
    return {"title": town, "paragraphs": items}


def _write(path: Path, articles: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    _write(tmp_path / "squad" / "train-v1.1.json", [_article(n) for n in range(40)])
    _write(tmp_path / "squad" / "dev-v1.1.json", [_article(n) for n in range(100, 106)])
    return tmp_path


def _load(split: str, data: Path, **options: Any) -> ListedEpisodes:
    episodes = load(split, {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def _articles(episodes: ListedEpisodes) -> set[str]:
    return {title for episode in episodes for title in episode.metadata["articles"]}


def _check(episode: Episode) -> None:
    for question in episode.questions:
        (evidence,) = question.evidence
        assert evidence.text in episode.chunks[evidence.chunk]
        assert question.answers[0] in evidence.text
        assert question.kind == "text"


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_episode_holds_its_evidence(split: str, data: Path) -> None:
    episodes = _load(split, data)
    for episode in episodes:
        _check(episode)
        assert len(episode.chunks) <= 4
        assert episode.id.startswith(f"squad/{split}/")
        assert (episode.source, episode.ability) == ("squad", "accurate_retrieval")
        assert episode.metadata["split"] == split
    assert len({question.question for e in episodes for question in e.questions}) > 10


def test_evidence_is_the_sentence_of_the_answer(data: Path) -> None:
    for episode in _load("test", data):
        for question in episode.questions:
            assert question.evidence[0].text.count(".") == 1


def test_every_short_gold_is_kept_once(tmp_path: Path) -> None:
    text = "In the spring of 1900 the bridge opened. Nobody came."
    paragraph = _paragraph(text, ("When did the bridge open?", "spring of 1900"))
    paragraph["qas"][0]["answers"] += [
        {"text": "1900", "answer_start": text.index("1900")},
        {"text": "In the spring of 1900", "answer_start": 0},
        {"text": "spring of 1900", "answer_start": text.index("spring")},
    ]
    _write(tmp_path / "squad" / "dev.json", [{"title": "Bridge", "paragraphs": [paragraph]}])
    (question,) = _load("test", tmp_path).episode(0).questions
    assert question.answers == ("spring of 1900", "1900")
    (question,) = _load("test", tmp_path, max_answer_words=1).episode(0).questions
    assert question.answers == ("1900",)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    text = "The bridge opened in 1900 after a very long wait of years. Nobody came."
    paragraph = _paragraph(
        text,
        ("When?", "1900"),
        ("When?", "1900"),
        ("After what?", "a very long wait of years"),
        ("Why?", "Nobody"),
    )
    paragraph["qas"][3].update(is_impossible=True, answers=[], plausible_answers=[])
    _write(tmp_path / "squad" / "dev.json", [{"title": "B", "paragraphs": [paragraph] * 2}])
    episodes = _load("test", tmp_path)
    assert [q.question for q in episodes.episode(0).questions] == ["When?"]
    assert episodes.excluded == {
        "paragraph met before": 1,
        "question asked before in the episode": 1,
        "question without a gold of at most 4 words": 1,
        "question without an answer": 1,
    }


def test_a_gold_across_a_sentence_end_keeps_both_sentences(tmp_path: Path) -> None:
    text = "One is here. He wrote for Mr. Fox. Inc. paid him. The end."
    paragraph = _paragraph(text, ("Who paid?", "Fox. Inc."))
    _write(tmp_path / "squad" / "dev.json", [{"title": "F", "paragraphs": [paragraph]}])
    episode = _load("test", tmp_path).episode(0)
    _check(episode)
    assert "One is here" not in episode.questions[0].evidence[0].text
    assert "The end" not in episode.questions[0].evidence[0].text


def test_a_gold_that_ends_its_sentence_takes_no_other_along(tmp_path: Path) -> None:
    text = "In May he founded Fox Inc. Nobody knew of it."
    paragraph = _paragraph(text, ("What did he found?", "Fox Inc."))
    _write(tmp_path / "squad" / "dev.json", [{"title": "F", "paragraphs": [paragraph]}])
    (question,) = _load("test", tmp_path).episode(0).questions
    assert question.evidence[0].text == "In May he founded Fox Inc."


def test_questions_are_drawn_up_to_the_limit_in_reading_order(data: Path) -> None:
    full = _load("test", data).episode(0)
    few = _load("test", data, questions=5).episode(0)
    assert len(few.questions) == 5 < len(full.questions)
    chunks = [question.evidence[0].chunk for question in few.questions]
    assert chunks == sorted(chunks)


def test_an_over_long_paragraph_is_split_and_loses_no_evidence(tmp_path: Path) -> None:
    sentences = [f"Room {i} of the palace holds treasure{i}." for i in range(60)]
    questions = [(f"What does room {i} hold?", f"treasure{i}") for i in range(60)]
    paragraph = _paragraph(" ".join(sentences), *questions)
    _write(tmp_path / "squad" / "dev.json", [{"title": "P", "paragraphs": [paragraph]}])
    episode = _load("test", tmp_path, chunks=50).episode(0)
    _check(episode)
    assert len(episode.questions) == 60
    assert len(episode.chunks) > 3


def test_evidence_longer_than_a_chunk_loses_its_question_and_is_counted(tmp_path: Path) -> None:
    endless = f"The tower {'very ' * 300}slowly leans."
    text = f"Bells ring here. {endless} Nobody comes."
    paragraph = _paragraph(text, ("What leans?", "tower"), ("What rings?", "Bells"))
    _write(tmp_path / "squad" / "dev.json", [{"title": "P", "paragraphs": [paragraph]}])
    for chunks in (1, 4):
        episodes = _load("test", tmp_path, chunks=chunks)
        assert [q.question for e in episodes for q in e.questions] == ["What rings?"]
        assert episodes.excluded["question whose evidence is split between chunks"] == 1


def test_a_paragraph_split_over_two_episodes_loses_nothing(tmp_path: Path) -> None:
    sentences = [f"Room {i} of the palace holds treasure{i}." for i in range(60)]
    questions = [(f"What does room {i} hold?", f"treasure{i}") for i in range(60)]
    paragraph = _paragraph(" ".join(sentences), *questions)
    _write(tmp_path / "squad" / "dev.json", [{"title": "P", "paragraphs": [paragraph]}])
    episodes = _load("test", tmp_path, chunks=2)
    assert episodes.size > 2
    assert sum(len(episode.questions) for episode in episodes) == 60
    assert episodes.excluded == {}
    for episode in episodes:
        _check(episode)


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "squad" / "dev.json").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"cannot read .*dev\.json: Is a directory"):
        _load("test", tmp_path)


def test_a_short_last_group_is_left_out_unless_it_is_all_there_is(data: Path) -> None:
    left_out = 0
    for chunks in range(3, 13):
        episodes = _load("test", data, chunks=chunks)
        assert min(len(episode.chunks) for episode in episodes) * 2 >= chunks
        left_out += sum(n for why, n in episodes.excluded.items() if why.startswith("group of"))
    assert 0 < left_out < 10
    alone = _load("test", data, chunks=10_000)
    assert alone.size == 1
    with pytest.raises(UsageError, match=r"no episode \(1 x group of \d+ chunks with 108 quest"):
        _load("test", data, chunks=10_000, min_questions=109)


# --- splits


def test_no_article_is_in_two_splits(data: Path) -> None:
    train, validation, test = (_articles(_load(s, data)) for s in ("train", "validation", "test"))
    assert train
    assert validation
    assert not train & validation
    assert not (train | validation) & test
    assert test <= {f"Town{n}" for n in range(100, 106)}


def test_added_articles_move_none_to_another_split(data: Path) -> None:
    before = _articles(_load("validation", data))
    _write(
        data / "squad" / "train-v1.1.json",
        [_article(n) for n in [*range(900, 930), *range(40)]],
    )
    after = _articles(_load("validation", data))
    assert {title for title in after if title in {f"Town{n}" for n in range(40)}} == before


def test_a_paragraph_of_the_dev_file_is_never_trained_on(data: Path) -> None:
    moved = _article(100)
    moved["title"] = "Another name"
    _write(data / "squad" / "train-v1.1.json", [moved, *(_article(n) for n in range(40))])
    (data / "squad" / "dev-v1.1.json").rename(data / "squad" / "DEV-v1.1.JSON")
    splits = [_load(split, data) for split in ("train", "validation")]
    assert not any("Town100" in chunk for s in splits for e in s for chunk in e.chunks)
    assert sum(s.excluded.get("paragraph met before", 0) for s in splits) == 6


def test_v1_and_v2_files_beside_each_other_are_read_once(data: Path) -> None:
    alone = [episode.chunks for episode in _load("test", data)]
    _write(data / "squad" / "dev-v2.0.json", [_article(n) for n in range(100, 106)])
    assert [episode.chunks for episode in _load("test", data)] == alone


# --- determinism


def test_the_same_data_give_the_same_episodes(data: Path) -> None:
    assert list(_load("train", data)) == list(_load("train", data))


def test_the_id_names_content_and_options(data: Path) -> None:
    first = _load("test", data)
    assert first.episode(first.ids[0]) == first.episode(0)
    assert first.ids != _load("test", data, questions=5).ids
    one = _load("test", data, path=str(data / "squad" / "dev-v1.1.json"))
    assert one.ids == first.ids


# --- bad input


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"data": [', "not JSON, or cut off"),
        (b"", "not JSON, or cut off"),
        (b"PK\x03\x04\xff\xfe", "not a UTF-8 text file"),
        (b"[]", 'the top level must be an object with a list "data"'),
        (b'{"data": [{}]}', 'article 0: missing field "title"'),
        (b'{"data": [{"title": 3}]}', 'field "title" must be str, got int'),
        (b'{"data": [{"title": "T", "paragraphs": [{}]}]}', 'paragraph 0: missing field "context"'),
        (
            b'{"data": [{"title": "T", "paragraphs": [{"context": " ", "qas": []}]}]}',
            "paragraph 0: its context is empty",
        ),
        (b'{"data": []}', "the data give no episode"),
    ],
)
def test_bad_files_are_explained(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "squad" / "dev.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        _load("test", tmp_path)
    assert "\n" not in str(caught.value)
    assert "squad/test" in str(caught.value) or str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": " "}, "question 0: its question is empty"),
        ({"answers": [{"text": "Mason"}]}, 'question 0: missing field "answer_start"'),
        ({"answers": [{"text": "Mason", "answer_start": 3}]}, '"Mason" does not stand at answer_s'),
        ({"answers": "Mason"}, 'field "answers" must be list, got str'),
    ],
)
def test_bad_questions_are_explained(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    article = _article(1)
    article["paragraphs"][0]["qas"][0].update(change)
    _write(tmp_path / "squad" / "dev.json", [article])
    with pytest.raises(UsageError, match=message):
        _load("test", tmp_path)


@pytest.mark.parametrize("name", ["chunks", "questions", "min_questions", "max_answer_words"])
def test_options_below_one_are_refused(name: str, data: Path) -> None:
    with pytest.raises(UsageError, match=f"{name} must be at least 1, got 0"):
        _load("test", data, **{name: 0})
