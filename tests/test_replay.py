"""Behaviour of replay: the same bits come out, every change that matters is found and named."""

import copy
import gzip
import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.chat import ChatRequest, RefusedError
from memgym.baselines import BASELINES
from memgym.cli.main import main
from memgym.errors import UsageError
from memgym.evaluation import environment_for, play_episode
from memgym.memory import Memory
from memgym.reader import ReaderAnswer, ReaderQuestion
from memgym.traces.format import decoded, encoded, write_traces
from memgym.traces.recorder import Recorder
from memgym.traces.replay import (
    MOST_DIFFERENCES,
    ReplayReport,
    episode_of,
    replay,
    replay_on,
    replayed,
)
from tests.episodes import village
from tests.scripted import ScriptedBackend, prompt_text
from tests.traced import OPTIONS, SOURCE, record_of, recorded, reread


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return record_of("dated")


def altered(record: dict[str, Any], *path: Any, value: Any) -> dict[str, Any]:
    other = copy.deepcopy(record)
    inner: Any = other
    for key in path[:-1]:
        inner = inner[key]
    assert inner[path[-1]] != value
    inner[path[-1]] = value
    return other


@pytest.mark.parametrize("agent", ["sentences", "dated", "random", "oracle", "flat", "chunks"])
@pytest.mark.parametrize("ability", [
    "accurate-retrieval", "test-time-learning", "long-range-understanding", "conflict-resolution",
])  # fmt: skip
def test_a_replay_is_bit_exact(agent: str, ability: str) -> None:
    record, result = recorded(agent, source=f"procedural-{ability}")
    report = replay(record)
    assert report.differences == ()
    assert (report.score, report.reward) == (result.score, result.reward)
    assert report.memory_digest == result.memory_digest
    assert report.metrics == result.metrics
    assert json.loads(json.dumps(report.answers)) == record["answers"]
    assert report.agent == agent
    assert report.steps == result.steps


def test_the_memory_can_be_looked_at_after_every_step(record: dict[str, Any]) -> None:
    episode = episode_of(record)
    seen = []
    for step in replayed(record, episode):
        assert step.memory.total_tokens == record["steps"][step.index]["memory_tokens"]
        assert step.action == record["steps"][step.index]["action"]
        assert episode.chunks[step.chunk]
        seen.append(step.memory.digest())
    assert seen[-1] == record["memory_digest"]
    assert len(set(seen)) > 1


CHANGES: Sequence[tuple[tuple[Any, ...], Any, str]] = (
    (("steps", 1, "chunk"), 0, "step 1: chunk: recorded 0, recomputed 1"),
    (("steps", 1, "observation"), "0" * 16, 'step 1: observation: recorded "0000000000000000"'),
    (("steps", 0, "results", 0, "status"), "skipped", 'step 0: results[0].status: recorded "ski'),
    (("steps", 0, "results"), [], "step 0: results: recorded 0, recomputed"),
    (("steps", 1, "terms", "format"), 0.25, "step 1: terms.format: recorded 0.25, recomputed 1.0"),
    (("steps", 1, "reward"), 5, "step 1: reward: recorded 5, recomputed"),
    (("steps", 2, "memory"), "f" * 16, 'step 2: memory: recorded "ffffffffffffffff"'),
    (("steps", 2, "memory_tokens"), 1, "step 2: memory_tokens: recorded 1, recomputed"),
    (("steps", 1, "action"), [], "step 1: results: recorded"),
    (("answers", 0, "prediction"), "Lund", 'answers[0].prediction: recorded "Lund"'),
    (("answers", 0, "gold"), ["Lund"], 'answers[0].gold[0]: recorded "Lund"'),
    (("answers", 0, "memory_ids"), ["s77"], "answers[0].memory_ids"),
    (("answers", 1, "index"), 7, "answers[1].index: recorded 7, recomputed 1"),
    (("answers", 1, "failed"), True, "answers[1].failed: recorded true, recomputed false"),
    (("metrics", "correctness"), 0.125, "metrics.correctness: recorded 0.125"),
    (("metrics", "invented"), 1.0, "metrics.invented: recorded 1.0, recomputed nothing"),
    (("score",), 0.125, "score: recorded 0.125, recomputed"),
    (("reward",), 9.5, "reward: recorded 9.5, recomputed"),
    (("memory_digest",), "a" * 64, 'memory_digest: recorded "aaaa'),
    (("episode", "chunks"), 99, "episode.chunks: recorded 99, recomputed"),
    (("environment", "memory_budget"), 20, "step 0: observation"),
    (("environment", "view_item_characters"), 20, "step 1: observation"),
    (("environment", "reader_options", "budget_tokens"), 3, "step 3: terms.correctness"),
    (("environment", "reward_rules"), "paper", "step 0: reward"),
)  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), CHANGES)
def test_a_change_is_found_and_named(
    record: dict[str, Any], path: tuple[Any, ...], value: Any, message: str
) -> None:
    other = copy.deepcopy(record)
    inner: Any = other
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert replay(other).differences[0].startswith(message)


def test_an_edited_note_changes_what_follows(record: dict[str, Any]) -> None:
    call = record["steps"][0]["action"][0]["arguments"]
    other = altered(
        record, "steps", 0, "action", 0, "arguments", "content", value=call["content"] + " indeed"
    )
    told = replay(other).differences
    assert told[0].startswith("step 0: ")
    assert any(text.startswith("memory_digest: ") for text in told) or len(told) == MOST_DIFFERENCES


def test_missing_and_further_steps_are_told(record: dict[str, Any]) -> None:
    shorter = copy.deepcopy(record)
    del shorter["steps"][-1]
    report = replay(shorter)
    left = len(shorter["steps"])
    assert f"steps: recorded {left}, after which the episode is not over" in report.differences
    assert report.score == 0.0
    longer = copy.deepcopy(record)
    longer["steps"].append(longer["steps"][-1])
    [told] = replay(longer).differences
    assert told == f"steps: recorded {left + 2}, the episode is over after {left + 1}"


def test_an_episode_of_other_content_is_refused(
    record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    for path, value in (
        (("episode", "hash"), "0" * 64),
        (("episode", "id"), "another"),
        (("episode", "source_options", "tokens"), 500),
        (("episode", "index"), 1),
    ):
        other = copy.deepcopy(record)
        inner = other
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        with pytest.raises(UsageError, match=r"another content|no episode"):
            replay(other)
    with pytest.raises(UsageError, match='unknown source "squd"'):
        replay(altered(record, "episode", "source", value="squd"))
    elsewhere = altered(record, "episode", "source", value="squad")
    elsewhere["episode"]["source_options"] = {}
    with pytest.raises(UsageError, match="needs data"):
        replay(elsewhere)


def test_settings_that_are_none_are_refused(record: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="max_calls must be at least 1"):
        replay(altered(record, "environment", "max_calls", value=0))
    with pytest.raises(UsageError, match="memory_types"):
        replay(altered(record, "environment", "memory_types", value="core"))


def test_a_trace_names_no_code_to_run(record: dict[str, Any], tmp_path: Path) -> None:
    """A reader or judge of somebody's own is never imported: what it said is in the record."""
    (tmp_path / "evil_reader.py").write_text("raise SystemExit('imported')")
    other = altered(record, "environment", "reader", value="evil_reader:Reader")
    other["recorded"] = ["reader"]
    assert replay(reread(other)).recorded == ("reader",)


# ---------------------------------------------------------------------- language models


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Any], ScriptedBackend]:
    """Make every model the given scripted one."""
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))

    def install(replies: Any) -> ScriptedBackend:
        backend = ScriptedBackend(replies)
        monkeypatch.setattr("memgym.agents.chat.chat.open_backend", lambda settings: backend)
        return backend

    return install


def played_with_model(agent: str = "sentences", **settings: Any) -> dict[str, Any]:
    player = BASELINES[agent]()
    options = {"model": "made-up", "cache": False, "budget_tokens": 60, "top_k": 3}
    env = environment_for(player, reader="llm", reader_options=options, **settings)
    recorder = Recorder()
    play_episode(player, env, village(), observer=recorder)
    return reread(recorder.record)


def answer_some(request: ChatRequest) -> Any:
    text = prompt_text(request)
    if "oven" in text.splitlines()[-1] or "broken" in text:
        return RefusedError("no")
    return "Lund, I think." if "bakery" in text else ""


def test_answers_of_a_model_are_recorded_and_scored_anew(model: Any) -> None:
    backend = model(answer_some)
    record = played_with_model()
    asked = len(backend.requests)
    assert record["recorded"] == ["reader"]
    assert record["models"]["reader"]["model"] == "made-up"
    assert record["usage"]["reader"]["calls"] > 0
    assert set(record["usage"]["reader"]) == {
        "calls", "prompt_tokens", "completion_tokens", "failures",
    }  # fmt: skip
    assert record["environment"]["reader_options"]["budget_tokens"] == 60
    assert {answer["failed"] for answer in record["answers"]} == {True, False}
    report = replay_on(record, village())
    assert report.differences == ()
    assert report.score == record["score"] > 0
    assert len(backend.requests) == asked, "a replay asks nobody"
    lied = altered(record, "answers", 0, "prediction", value="nowhere")
    assert (
        "answers[0].score: recorded 1.0, recomputed 0.0" in replay_on(lied, village()).differences
    )


def test_what_a_model_was_shown_is_retrieved_anew(model: Any) -> None:
    model(lambda request: "I do not know.")
    record = played_with_model()
    assert replay_on(record, village()).differences == ()
    ids = record["answers"][0]["memory_ids"]
    assert ids
    invented = altered(record, "answers", 0, "memory_ids", value=[*ids[:-1], "s99"])
    assert "answers[0].memory_ids: recorded" in replay_on(invented, village()).differences[0]
    causes = {"misread", "not_retrieved", "not_written", "lost"} - {record["answers"][1]["cause"]}
    for cause in sorted(causes):
        other = altered(record, "answers", 1, "cause", value=cause)
        assert replay_on(other, village()).differences, cause


def test_scores_of_a_judge_with_a_model_are_recorded(model: Any) -> None:
    model(lambda request: "correct" if "You check" in prompt_text(request) else "Malmö")
    options = {"model": "made-up", "cache": False}
    record = played_with_model(answer_judge="llm", answer_judge_options=options)
    assert record["recorded"] == ["reader", "answer_judge"]
    assert [answer["score"] for answer in record["answers"]] == [1.0, 0.0, 0.0]
    assert replay_on(record, village()).differences == ()
    # Only free-form answers are the judge's; the others are scored by the table.
    lied = altered(record, "answers", 1, "score", value=1.0)
    assert (
        "answers[1].score: recorded 1.0, recomputed 0.0" in replay_on(lied, village()).differences
    )


class FirstItem:
    """A reader of a user's own, which shows a text that no other reader would."""

    name = "first"

    def answer(self, questions: Sequence[ReaderQuestion], memory: Memory) -> list[ReaderAnswer]:
        items = memory.items("semantic")
        first = next(iter(items), "")
        shown = (items[first][:9],) if first else ()
        return [ReaderAnswer("Lund", shown, (first,) if first else ()) for _ in questions]


def test_a_reader_of_ones_own_is_taken_at_its_word(record: dict[str, Any]) -> None:
    other = record_of(reader="tests.test_replay:FirstItem")
    assert other["recorded"] == ["reader"]
    assert replay(other).differences == ()
    invented = altered(other, "answers", 0, "memory_ids", value=["s500"])
    assert "answers[0].memory_ids" in replay(invented).differences[0]


# ---------------------------------------------------------------------- mutations

RESULTS = ("score", "reward", "metrics", "memory_digest", "answers", "steps")


def outcome(record: dict[str, Any]) -> Any:
    """Return everything in a record that is a result, or has led to one."""
    kept = {name: record[name] for name in RESULTS}
    kept["steps"] = [
        {name: value for name, value in step.items() if name not in ("action", "calls")}
        for step in record["steps"]
    ]
    return kept


def report_outcome(report: ReplayReport) -> tuple[Any, ...]:
    answers = json.loads(json.dumps(report.answers))
    return report.score, report.reward, dict(report.metrics), report.memory_digest, answers


def verdict(line: bytes, original: dict[str, Any]) -> str:
    """Return what becomes of a record that somebody changed."""
    try:
        changed = decoded(line, "changed")
    except UsageError:
        return "refused"
    try:
        report = replay(changed)
    except UsageError:
        return "refused"
    if report.differences:
        return "found"
    assert outcome(changed) == outcome(original)
    recorded_outcome = tuple(
        original[name] for name in ("score", "reward", "metrics", "memory_digest", "answers")
    )
    assert report_outcome(report) == recorded_outcome
    return "harmless"


@pytest.mark.parametrize("agent", ["dated", "random"])
def test_no_changed_byte_alters_a_result_unnoticed(agent: str) -> None:
    """Each flip is refused, or found, or leaves every result as it was."""
    record = record_of(agent, source_options={**OPTIONS, "tokens": 300})
    line = gzip.decompress(encoded(record))
    assert verdict(line, record) == "harmless"
    draw = random.Random(f"flips of {agent}")
    counts = {"refused": 0, "found": 0, "harmless": 0}
    for _ in range(250):
        place = draw.randrange(len(line) - 1)
        other = draw.choice(b'0123456789abcdefghijklmnopqrstuvwxyz.,:"[]{}-+ \\')
        flipped = line[:place] + bytes([other]) + line[place + 1 :]
        counts[verdict(flipped, record)] += 1
    assert counts["found"] > 100
    assert counts["refused"] > 25


def test_every_digit_of_a_result_counts() -> None:
    """All digits after the steps, where the totals are, one by one."""
    record = record_of("sentences", source_options={"tokens": 300, "questions": 2})
    line = gzip.decompress(encoded(record))
    places = range(line.index(b'"metrics":'), line.index(b'"usage":'))
    digits = [place for place in places if line[place : place + 1].isdigit()]
    assert len(digits) > 60
    for place in digits[::3]:
        other = b"7" if line[place : place + 1] != b"7" else b"4"
        flipped = line[:place] + other + line[place + 1 :]
        assert verdict(flipped, record) != "harmless", line[place - 20 : place + 5]


# ---------------------------------------------------------------------- the command


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_command_says_ok(
    record: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_traces(tmp_path / "traces.jsonl.gz", [record, record_of("oracle")])
    assert main(["replay", str(tmp_path)]) == 0
    assert "OK: 2 traces replayed, nothing differs." in capsys.readouterr().out
    assert main(["replay", str(tmp_path), "--agent", "oracle"]) == 0
    assert "OK: 1 trace replayed" in capsys.readouterr().out
    assert main(["replay", str(tmp_path), "--agent", "flat"]) == 2
    assert "no trace of flat; it holds" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "missing")]) == 2
    assert "no file of traces" in capsys.readouterr().err


def test_the_command_names_what_differs(
    record: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = altered(record, "score", value=0.125)
    other["agent"]["name"] = "evil\x1b[2Jname"
    write_traces(tmp_path / "t.gz", [record, other])
    assert main(["replay", str(tmp_path / "t.gz")]) == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert re.search(
        r"DIFFERENT: procedural/\S+ by evil.\[2Jname\n  score: recorded 0\.125,", shown
    )
    assert "Not OK: of 2 traces, 1 came out otherwise." in shown


def test_the_command_says_what_was_not_computed(
    model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model(lambda request: "Lund")
    player = BASELINES["sentences"]()
    settings = {"source": SOURCE, "split": "test", "source_options": OPTIONS}
    options = {"model": "made-up", "cache": False}
    env = environment_for(player, reader="llm", reader_options=options, **settings)
    recorder = Recorder()
    play_episode(player, env, 0, observer=recorder)
    write_traces(tmp_path / "t.gz", [recorder.record])
    assert main(["replay", str(tmp_path / "t.gz")]) == 0
    told = flat(capsys.readouterr().out)
    assert "Taken from the record, not computed: what these said: reader." in told


# ---------------------------------------------------------------------- the page about it


def test_the_page_on_traces_runs_and_names_every_field(
    record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "traces.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "traces.md", "exec"), {"__name__": "__main__"})
    assert (tmp_path / "traces.jsonl.gz").exists()
    told = {*record, *record["steps"][0], *record["answers"][0], *record["metrics"]}
    told |= {*record["episode"], *record["steps"][0]["results"][0], *record["versions"]}
    told -= {"questions", "not_written", "lost", "not_retrieved", "misread"}
    assert [name for name in sorted(told) if f"`{name}`" not in page] == []
