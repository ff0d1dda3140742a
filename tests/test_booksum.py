"""The BookSum builder, on small books in the layout of its repository."""

import json
from pathlib import Path
from typing import Any

import pytest

from memgym.errors import UsageError
from memgym.scoring import contains
from memgym.tasks.booksum import load
from memgym.tasks.source import ListedEpisodes

_SMALL = {"min_tokens": 40, "max_tokens": 120}
_SPLITS = ("train", "validation", "test")


def _story(book: int, chapter: int) -> str:
    tail = "\n\n".join(
        f"Then hour {hour} of day {chapter} in land {book} went by without any news at all."
        for hour in range(8)
    )
    return (
        f"The green lantern{book}x{chapter} hung\nover the _harbour_ of town.[12]\n\n"
        f"[Illustration: a boat]\n\nA blind pilot{book}x{chapter} came ashore.\n\n{tail}\n"
    )


def _summary(book: int, chapter: int) -> str:
    return f"The blind pilot{book}x{chapter} sees a green lantern{book}x{chapter} in the harbour."


def _book(folder: Path, book: int, chapters: int = 9, *, toc: bool = False) -> Path:
    """Write a book whose chapters open with a summary in capitals, or name it in a toc.txt."""
    place = folder / f"{book}-chapters"
    place.mkdir(parents=True)
    lines = []
    for chapter in range(1, chapters + 1):
        summary = _summary(book, chapter)
        head = "" if toc else f"CHAPTER {chapter}.\n\n     {summary.upper()}\n\n"
        (place / f"{chapter}.txt").write_text(head + _story(book, chapter), encoding="utf-8")
        lines.append(f"Part 1|Chapter {chapter}|{summary}|{chapter}.txt")
    if toc:
        (place / "toc.txt").write_text("\n".join(lines), encoding="utf-8")
    return place


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for book in range(8):
        _book(tmp_path / "booksum", book, toc=book % 2 == 1)
    return tmp_path


def _load(data: Path, split: str = "test", **options: Any) -> ListedEpisodes:
    episodes = load(split, {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def _chapters(data: Path, split: str, **options: Any) -> set[str]:
    return {key for e in _load(data, split, **options) for key in e.metadata["chapters"]}


@pytest.mark.parametrize("split", _SPLITS)
def test_every_episode_holds_its_evidence(data: Path, split: str) -> None:
    for episode in _load(data, split):
        assert (episode.source, episode.ability) == ("booksum", "long_range_understanding")
        assert len(episode.questions) == len(episode.metadata["chapters"])
        for question in episode.questions:
            assert question.kind == "keywords"
            assert len(question.answers) == 3
            for gold in question.answers:
                assert any(contains(gold, evidence.text) for evidence in question.evidence)
            for evidence in question.evidence:
                assert evidence.text in episode.chunks[evidence.chunk]


def test_the_summary_is_cut_out_and_the_text_rejoined(data: Path) -> None:
    for episode in _load(data):
        text = "\n".join(episode.chunks)
        assert "SEES" not in text
        assert "CHAPTER" not in text
        assert "hung over the harbour of town." in text
        assert "Illustration" not in text


def test_a_summary_may_stand_without_a_heading(tmp_path: Path) -> None:
    place = _book(tmp_path / "booksum", 7, 4)
    path = place / "4.txt"
    path.write_text(path.read_text().replace("CHAPTER 4.", ""))
    (episodes,) = [e for split in _SPLITS if (e := _maybe(tmp_path, split))]
    assert len(episodes.episode(0).questions) == 4
    assert "SEES" not in "".join(episodes.episode(0).chunks)


def test_questions_name_chapter_and_days(data: Path) -> None:
    episode = _load(data).episode(0)
    question = episode.questions[0]
    first, last = question.question[-25:-1].split(" to ")
    header = question.evidence[0].text
    assert first == "2024-01-01"
    assert header.startswith(f"[Document read on {first}: ")
    assert "Chapter" in header
    assert "Chapter" in question.question
    own = [chunk for chunk in episode.chunks if header.split(", ")[-2] + ", " in chunk]
    assert last in own[-1]
    days = [chunk[18:28] for chunk in episode.chunks]
    assert days == sorted(set(days))


def test_a_toc_gives_order_names_and_summaries(tmp_path: Path) -> None:
    place = _book(tmp_path / "booksum", 7, 4, toc=True)
    lines = (place / "toc.txt").read_text().splitlines()
    (place / "toc.txt").write_text("\n".join(reversed(lines)) + "\n\n")
    found = [e for split in _SPLITS if (e := _maybe(tmp_path, split))]
    (episodes,) = found
    chapters = episodes.episode(0).metadata["chapters"]
    assert chapters == [f"7-chapters/{n}.txt" for n in (4, 3, 2, 1)]
    assert 'Part 1, Chapter 4 of "Book 7"' in episodes.episode(0).questions[0].question


def _maybe(data: Path, split: str, **options: Any) -> ListedEpisodes | None:
    """Return the episodes of a split, or None if no block of this small data fell to it."""
    try:
        return _load(data, split, **options)
    except UsageError as error:
        if "the data give no episode" not in str(error):
            raise
        return None


def test_chapters_without_toc_are_read_in_the_order_of_their_numbers(data: Path) -> None:
    _book(data / "booksum", 50, 12)
    for split in _SPLITS:
        for episode in _load(data, split):
            numbers = [int(Path(key).stem) for key in episode.metadata["chapters"]]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_summary_file_counts_more_than_the_book(tmp_path: Path) -> None:
    _book(tmp_path / "booksum", 7, 4)
    rows = [
        {
            "chapter_path": f"all_chapterized_books/7-chapters/{n}.txt",
            "summary_path": f"finished_summaries/{source}/{n}.txt",
            "book_id": "The Town.chapter 1",
        }
        for n in range(1, 5)
        for source in ("missing", "guide")
    ]
    path = tmp_path / "booksum" / "chapter_alignments.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summaries = tmp_path / "booksum" / "finished_summaries" / "guide"
    summaries.mkdir(parents=True)
    (summaries / "1.txt").write_text(json.dumps({"summary": ["A town.", "News of hour 5."]}))
    (summaries / "2.txt").write_text("Land without news.")
    (episodes,) = [e for split in _SPLITS if (e := _maybe(tmp_path, split))]
    first, second, third, _ = episodes.episode(0).questions
    assert first.answers == ("News", "hour 5")  # the question names the town
    assert second.answers == ("Land", "news")
    assert third.answers == ("blind pilot7x3", "green lantern7x3", "harbour")
    assert 'Chapter 1 of "The Town"' in first.question


def test_a_keyword_file_replaces_the_rule(tmp_path: Path) -> None:
    _book(tmp_path / "booksum", 7, 4)
    path = tmp_path / "keywords.json"
    path.write_text(json.dumps({"7-chapters/2.txt": ["pilot7x2", "nowhere"]}))
    (episodes,) = [e for s in _SPLITS if (e := _maybe(tmp_path, s, keywords=str(path)))]
    (question,) = episodes.episode(0).questions
    assert question.answers == ("pilot7x2", "nowhere")
    assert len(question.evidence) == 2
    assert episodes.excluded == {"chapter that is not in the keyword file": 3}
    path.write_text(json.dumps({"7-chapters/2.txt": "pilot7x2"}))
    with pytest.raises(UsageError, match=r'"7-chapters/2\.txt" must be a list of keywords'):
        _load(tmp_path, keywords=str(path))


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    place = _book(tmp_path / "booksum", 7, 4)
    (place / "2.txt").write_text("CHAPTER 2.\n\nNOBODY KNOWS WHAT THIS IS.\n\nA story.")
    (place / "3.txt").write_text("CHAPTER 3.\n\nAnother story.")
    (place / "5.txt").write_text((place / "1.txt").read_text())
    (episodes,) = [e for split in _SPLITS if (e := _maybe(tmp_path, split))]
    assert len(episodes.episode(0).questions) == 2
    assert "Another story." in "\n".join(episodes.episode(0).chunks)
    assert episodes.excluded == {
        "chapter met before": 1,
        "chapter with fewer than 2 keywords": 1,
        "chapter without a summary": 1,
    }


# --- splits


@pytest.mark.parametrize("chapters", [1, 2, 3, 4])
def test_no_chapter_is_in_two_splits_whatever_the_options(data: Path, chapters: int) -> None:
    assert _chapters(data, "test", chapters=chapters) == _chapters(data, "test")
    found = [_chapters(data, split, chapters=chapters) for split in _SPLITS]
    assert sum(len(keys) for keys in found) == len(set().union(*found)) == 72


def test_added_books_move_no_chapter(data: Path) -> None:
    before = {split: _chapters(data, split) for split in _SPLITS}
    for book in range(100, 104):
        _book(data / "booksum", book)
    for split in _SPLITS:
        assert before[split] <= _chapters(data, split)


def test_an_episode_has_the_wanted_number_of_chapters(data: Path) -> None:
    assert {len(e.metadata["chapters"]) for e in _load(data, chapters=2)} <= {1, 2}
    assert max(len(e.metadata["chapters"]) for e in _load(data)) == 4


def test_the_same_data_give_the_same_episodes(data: Path) -> None:
    assert list(_load(data)) == list(_load(data))
    assert set(_load(data).ids).isdisjoint(_load(data, max_tokens=110).ids)


def test_the_folder_of_the_repository_may_be_given(data: Path) -> None:
    inner = data / "clone" / "all_chapterized_books"
    inner.parent.mkdir()
    (data / "booksum").rename(inner)
    assert _load(data, path=str(inner.parent)).ids == _load(data, path=str(inner)).ids


# --- bad input


def test_bad_files_are_explained(tmp_path: Path) -> None:
    place = _book(tmp_path / "booksum", 7, 4, toc=True)
    (place / "toc.txt").write_text("Part 1|Chapter 1|1.txt")
    with pytest.raises(UsageError, match=r"toc\.txt, line 1: must be part\|chapter\|heading\|file"):
        _load(tmp_path)
    (place / "toc.txt").write_text("|Chapter 1||nowhere.txt")
    with pytest.raises(UsageError, match=r"cannot read .*nowhere\.txt: No such file"):
        _load(tmp_path)
    (place / "toc.txt").unlink()
    (place / "1.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"1\.txt: not a UTF-8 text file"):
        _load(tmp_path)
    (place / "1.txt").write_text("CHAPTER 1.\n\n")
    with pytest.raises(UsageError, match=r"1\.txt: the chapter is empty"):
        _load(tmp_path)


def test_bad_alignments_and_summaries_are_explained(tmp_path: Path) -> None:
    _book(tmp_path / "booksum", 7, 4)
    path = tmp_path / "booksum" / "chapter_alignments.jsonl"
    path.write_text('{"chapter_path": "7-chapters/1.txt"}\n')
    with pytest.raises(UsageError, match=r'alignments\.jsonl, line 1: missing field "book_id"'):
        _load(tmp_path)
    row = {"chapter_path": "7-chapters/1.txt", "summary_path": "s.txt", "book_id": "B"}
    path.write_text(json.dumps(row))
    (tmp_path / "booksum" / "s.txt").write_text('{"name": "cut off"')
    with pytest.raises(UsageError, match=r's\.txt: must be text, or a JSON object with "summary"'):
        _load(tmp_path)


def test_missing_folders_and_bad_options_are_explained(tmp_path: Path) -> None:
    (tmp_path / "booksum").mkdir()
    with pytest.raises(UsageError, match=r"no folder \*-chapters in .*booksum; put there"):
        _load(tmp_path)
    with pytest.raises(UsageError, match="chapters must be from 1 to 4, got 5"):
        _load(tmp_path, chapters=5)
    (tmp_path / "book.zip").write_bytes(b"PK")
    with pytest.raises(UsageError, match=r"book\.zip: must be a folder"):
        _load(tmp_path, path=str(tmp_path / "book.zip"))
