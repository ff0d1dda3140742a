"""What a recorded episode looks like as data, and how it gets into a page."""

import json
import re
from dataclasses import asdict
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.cli.main import main
from memgym.diagnosis import CAUSES
from memgym.errors import UsageError
from memgym.memory import STORES, Memory
from memgym.rewards import REWARD_TERMS
from memgym.traces.format import write_traces
from memgym.traces.replay import episode_of, replayed
from memgym.viewer import page_of, view_of
from memgym.viewer.changes import CORE, MemoryWatch, changed_words
from memgym.viewer.model import memory_after
from tests.viewer_traces import (
    EDITS,
    HOSTILE,
    edited_record,
    insert,
    scripted_record,
    scripted_view,
    write_file,
)

# ---------------------------------------------------------------------- changes


def test_an_edit_is_shown_word_by_word() -> None:
    parts = changed_words("Bees are blue, they say.", "Bees are mostly brown, they say.")
    assert parts == (
        ("=", "Bees are "),
        ("-", "blue"),
        ("+", "mostly brown"),
        ("=", ", they say."),
    )


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("a", "b", (("-", "a"), ("+", "b"))),
        ("same", "same", (("=", "same"),)),
        ("one two", "one two three", (("=", "one two"), ("+", " three"))),
        ("red old car", "blue new car", (("-", "red old"), ("+", "blue new"), ("=", " car"))),
        (
            "猫 犬",
            "猫白 黒犬",
            (("=", "猫"), ("+", "白"), ("=", " "), ("+", "黒"), ("=", "犬")),
        ),
        ("猫は黒い", "猫は白い", (("=", "猫は"), ("-", "黒"), ("+", "白"), ("=", "い"))),
    ],
)
def test_changes_read_well(old: str, new: str, parts: tuple[tuple[str, str], ...]) -> None:
    assert changed_words(old, new) == parts


@given(
    st.text("ab .\n猫é\u0301\U0001f600", max_size=40),
    st.text("ab .\n猫é\u0301\U0001f600", max_size=40),
)
def test_both_texts_can_be_had_from_the_parts(old: str, new: str) -> None:
    parts = changed_words(old, new)
    assert "".join(text for kind, text in parts if kind != "+") == old
    assert "".join(text for kind, text in parts if kind != "-") == new
    assert all(text for _, text in parts)
    assert all(one[0] != other[0] for one, other in pairwise(parts))


def test_texts_of_one_repeated_word_are_compared_in_bounded_work() -> None:
    old, new = "start " + "a b " * 30_000 + "end", "start " + "b a " * 30_000 + "stop end"
    parts = changed_words(old, new)
    assert len(parts) < 10
    assert "".join(text for kind, text in parts if kind != "-") == new


def test_a_watch_tells_what_became_of_each_item() -> None:
    memory, watch = Memory(), MemoryWatch()
    memory.insert("semantic", "one")
    memory.insert("episodic", "two")
    memory.update("core", "the core")
    told = watch.changes(memory, ["s1", "e1", "s1", "s77", "?"])
    assert [(change.kind, change.memory_id) for change in told] == [
        ("inserted", CORE),
        ("inserted", "s1"),
        ("inserted", "e1"),
    ]
    assert watch.changes(memory, ["s1", "e1"]) == ()
    memory.delete("semantic", "s1")
    memory.delete("core")
    memory.update("episodic", "two, too", "e1")
    told = watch.changes(memory, ["s1", "e1"])
    assert [(change.kind, change.memory_id, change.text) for change in told] == [
        ("deleted", CORE, ""),
        ("deleted", "s1", ""),
        ("edited", "e1", "two, too"),
    ]


# ---------------------------------------------------------------------- view


def test_a_view_holds_what_was_done_and_what_it_changed() -> None:
    view = view_of(edited_record())
    assert view.differences == ()
    assert (len(view.chunks), len(view.steps), len(view.questions)) == (4, 4, 3)
    assert [[(c.kind, c.memory_id) for c in step.changes] for step in view.steps] == [
        [("inserted", "core"), ("inserted", "s1"), ("inserted", "e1")],
        [("edited", "s1"), ("inserted", "s2")],
        [("deleted", "s1"), ("inserted", "e2"), ("edited", "e1")],
        [("edited", "core")],
    ]
    refused = view.steps[1].calls[2]
    assert (refused.name, refused.status, refused.target) == ("memory_delete", "error", "s9")
    assert "s1, s2" in refused.message
    assert view.steps[1].action == EDITS[1]
    assert [step.chunk for step in view.steps] == [0, 1, 2, 3]
    assert [step.memory_items for step in view.steps] == [3, 4, 4, 4]
    assert view.steps[-1].terms["correctness"] == view.score == view.metrics["correctness"]
    assert view.reward == pytest.approx(sum(step.reward for step in view.steps))


def test_changes_add_up_to_the_memory_after_every_step() -> None:
    record = edited_record()
    view = view_of(record)
    for step in replayed(record, episode_of(record)):
        held = {key: text for store in STORES for key, text in step.memory.items(store).items()}
        assert memory_after(view, step.index) == {CORE: step.memory.core, **held}


def test_questions_stand_where_they_were_asked_with_what_was_retrieved() -> None:
    view = view_of(edited_record())
    for question in view.questions:
        assert question.step == 3
        assert question.cause in CAUSES
        assert question.evidence
        for passage in question.evidence:
            assert passage.text in view.chunks[passage.chunk]
        assert set(question.memory_ids) <= {"s2", "e1", "e2"}


def test_a_cut_episode_shows_what_was_played_of_it() -> None:
    view = scripted_view([[insert("Bees.")]], max_chunks=3)
    assert len(view.chunks) == 3
    assert {question.step for question in view.questions} == {2}
    assert view.id.endswith("#3")


def test_questions_to_the_agent_are_steps_of_their_own() -> None:
    view = scripted_view([[insert("Bees.")]], answer_mode="agent")
    assert [bool(step.question) for step in view.steps] == [False] * 4 + [True] * 3
    for step, question in zip(view.steps[4:], view.questions, strict=True):
        assert question.question in step.question
        assert question.prediction == view.chunks[3].strip()
        assert step.chunk == 3


def test_a_trace_that_claims_too_much_is_shown_as_it_replays() -> None:
    record = edited_record()
    honest = view_of(record)
    record["score"], record["answers"][0]["score"] = 1.0, 1.0
    view = view_of(record)
    assert view.score == honest.score
    assert view.questions == honest.questions
    assert any("score" in line for line in view.differences)


def test_a_trace_that_breaks_off_can_be_seen_as_far_as_it_goes() -> None:
    record = edited_record()
    del record["steps"][2:]
    view = view_of(record)
    assert len(view.steps) == 2
    assert view.differences
    assert page_of(view)


# ---------------------------------------------------------------------- page


class _Page(HTMLParser):
    """Elements and attributes of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag if tag in ("script", "style", "title") else ""

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside.setdefault(self._open, []).append(data)

    def data(self) -> Any:
        return json.loads(self.inside["script"][0])


def test_a_page_is_alone_and_admits_nothing() -> None:
    page = _Page(page_of(view_of(edited_record())))
    policy = next(str(a["content"]) for _, a in page.tags if "content-security" in str(a).lower())
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "*" not in policy
    addresses = [a[key] for _, a in page.tags for key in ("src", "href", "action") if key in a]
    assert sorted(map(str, addresses)) == ["#memory", "data:,"]
    handlers = [key for _, a in page.tags for key in a if key.startswith("on") or key == "style"]
    assert handlers == []
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", "".join(page.inside["script"][1:]))
    assert "innerHTML" not in "".join(page.inside["script"][1:])


def test_hostile_text_is_data() -> None:
    name = "<script>window.hacked = 4</script>"
    actions = [[insert(text)] for text in HOSTILE[:4]]
    view = scripted_view(actions, name)
    text = page_of(view)
    page = _Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert "img" not in [tag for tag, _ in page.tags]
    assert page.data()["agent"] == name
    assert page.data()["steps"][3]["changes"][0]["parts"] == [["+", view.steps[3].changes[0].text]]
    assert "&lt;script&gt;" in text
    assert "<script>window" not in text


@given(st.text(st.characters(), max_size=30))
def test_any_text_survives_the_way_into_a_page(text: str) -> None:
    from memgym.viewer.self_contained import self_contained_page

    made = self_contained_page(
        '<title>{{title}}</title><script type="application/json">{{data}}</script>',
        title=text,
        style="",
        script="",
        data={"text": text},
    )
    made.encode("utf-8")
    inside = made.partition('json">')[2].removesuffix("</script>")
    assert not set("<>&\u2028\u2029") & set(inside)
    assert json.loads(_Page(made).inside["script"][0]) == {"text": text}


def test_the_same_record_gives_the_same_page() -> None:
    record = json.loads(json.dumps(edited_record()))
    assert page_of(view_of(record)) == page_of(view_of(edited_record()))


def test_the_page_explains_every_term_and_cause() -> None:
    data = _Page(page_of(view_of(edited_record()))).data()
    assert tuple(data["terms"]) == REWARD_TERMS
    assert tuple(data["causes"]) == CAUSES
    assert (
        data["questions"] == json.loads(json.dumps(asdict(view_of(edited_record()))))["questions"]
    )


def test_the_page_grows_with_what_happens_not_with_steps_times_items() -> None:
    def size(chunks: int) -> int:
        options = {"tokens": 100 * chunks, "chunk_tokens": 100, "questions": 3}
        actions = [[insert(f"note {n} {'word ' * 40}")] for n in range(chunks)]
        view = scripted_view(actions, source_options=options)
        return len(page_of(view)) - len(page_of(scripted_view([], source_options=options)))

    assert size(40) < 2.5 * size(20)


# ---------------------------------------------------------------------- command


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    return write_file(tmp_path / "traces.jsonl.gz")


def test_view_writes_the_page_that_is_asked_for(
    traces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", str(traces)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert re.search(
        r"/0 by sentences: score \d\.\d{3}, 4 steps, 3 questions\. Page: \S+\.html", shown
    )
    [page] = Path().glob("*.html")
    assert "sentences" in page.name
    assert main(["view", str(traces.parent), "--agent", "random", "--out", "r.html"]) == 0
    data = _Page(Path("r.html").read_text(encoding="utf-8")).data()
    assert data["agent"] == "random"
    other = data["id"].replace("t1000", "t800")
    assert main(["view", str(traces), "--episode", other, "--out", "o.html"]) == 0
    data = _Page(Path("o.html").read_text(encoding="utf-8")).data()
    assert (data["id"], data["agent"]) == (other, "sentences")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["view", "nothing.gz"], "no file of traces nothing.gz"),
        (["view", "traces.jsonl.gz", "--agent", "nobody"], "holds no trace of nobody; it holds"),
        (["view", "traces.jsonl.gz", "--out", "."], "which is a folder; name a file in it"),
        (["view", "traces.jsonl.gz", "--data", "nowhere"], "--data names nowhere"),
    ],
)
def test_view_says_in_one_line_what_is_wrong(
    traces: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(Path().glob("*.html"))


def test_view_warns_of_a_trace_that_does_not_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    record = edited_record()
    record["reward"] += 1.0
    write_traces("t.gz", [record])
    assert main(["view", "t.gz", "--out", "p.html"]) == 0
    assert "does not replay to what it claims: reward" in capsys.readouterr().err


def test_names_of_a_record_cannot_lead_out_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    write_traces("t.gz", [scripted_record([], "../../out<>:*?\x00/" + "x" * 300)])
    assert main(["view", "t.gz"]) == 0
    assert not list(tmp_path.glob("*.html"))
    [page] = Path().glob("*.html")
    assert len(page.name) < 140


def test_unreadable_data_are_told(tmp_path: Path) -> None:
    record = edited_record()
    record["episode"]["hash"] = "0" * 64
    with pytest.raises(UsageError, match="other data, or with another version"):
        view_of(record)


def test_the_files_of_the_page_are_in_a_wheel(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    names = {path.name for path in (root / "memgym" / "viewer").glob("*.*s")}
    listed = re.search(r'"memgym.viewer" = \[(.*)\]', (root / "pyproject.toml").read_text())
    assert listed is not None
    assert names
    assert all(f'"*{Path(name).suffix}"' in listed[1] for name in [*names, "page.html"])


def test_a_page_is_not_written_over_anything_else(
    traces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = traces.read_bytes()
    assert main(["view", str(traces), "--out", str(traces)]) == 2
    assert "is there and no page" in capsys.readouterr().err
    assert traces.read_bytes() == before
    assert main(["view", str(traces), "--out", "no/page.html"]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_message_moves_no_cursor(traces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", str(traces), "--agent", "\x1b[2Jnobody"]) == 2
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert "nobody" in told
