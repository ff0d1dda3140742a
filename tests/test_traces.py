"""Behaviour of traces: what is recorded, how files of them are written and what is refused."""

import copy
import gzip
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memgym.baselines import BASELINES
from memgym.errors import UsageError
from memgym.evaluation import environment_for, play_episode
from memgym.quality import WrittenItem
from memgym.tools import ToolCall
from memgym.traces.file import TraceFile
from memgym.traces.format import encoded, find_trace, read_traces, write_traces
from memgym.traces.public import public
from memgym.traces.recorder import Recorder
from memgym.traces.replay import replay, replay_on
from memgym.traces.schema import FORMAT, check_record
from tests.episodes import village
from tests.traced import OPTIONS, SOURCE, Scripted, record_of, recorded, reread


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return record_of()


def changed(record: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    other = copy.deepcopy(record)
    change(other)
    return other


def packed(line: bytes) -> bytes:
    return gzip.compress(line, mtime=0)


# ---------------------------------------------------------------------- what is recorded


def test_a_record_says_what_happened() -> None:
    record, result = recorded("dated")
    assert record["format"] == FORMAT
    assert record["suite"] is None
    assert record["agent"] == {"name": "dated"}
    assert record["episode"]["id"] == result.episode_id
    assert record["episode"]["source_options"] == OPTIONS
    assert record["episode"]["source"] == SOURCE
    assert record["environment"]["reader_options"] == {"budget_tokens": 1_024, "top_k": 20}
    assert "data" not in record["environment"]
    assert record["seed"] == 3
    assert set(record["versions"]) == {"memgym", "python", "numpy", "gymnasium"}
    assert len(record["steps"]) == result.steps
    assert [step["chunk"] for step in record["steps"]] == list(range(result.steps))
    assert sum(len(step["results"]) for step in record["steps"]) == result.calls
    assert math.fsum(step["reward"] for step in record["steps"]) == pytest.approx(result.reward)
    assert record["score"] == result.score
    assert record["metrics"] == result.metrics
    assert record["memory_digest"] == result.memory_digest
    assert [answer["prediction"] for answer in record["answers"]] == [
        answer["prediction"] for answer in result.answers
    ]
    assert record["answers"][0]["memory_ids"]
    assert record["recorded"] == []


def test_recording_changes_nothing() -> None:
    agent = BASELINES["sentences"]()
    env = environment_for(agent, source=SOURCE, split="test", source_options=OPTIONS)
    plain = play_episode(agent, env, 0, seed=3).record()
    assert recorded()[1].record() == plain


def test_the_same_episode_gives_the_same_bytes_in_another_process(record: dict[str, Any]) -> None:
    script = (
        "import sys; from tests.traced import record_of; from memgym.traces.format import encoded;"
        "sys.stdout.buffer.write(encoded(record_of()))"
    )
    other = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        check=True,
    )
    assert other.stdout == encoded(record)
    assert encoded(record)[4:8] == bytes(4), "no time stands in the gzip header"


def test_the_running_digest_tells_memories_apart() -> None:
    def insert(content: str) -> dict[str, Any]:
        arguments = {"memory_type": "semantic", "content": content}
        return {"name": "new_memory_insert", "arguments": arguments}

    def digests(*actions: Any) -> list[str]:
        return [step["memory"] for step in record_of(Scripted(actions))["steps"]]

    delete = {"name": "memory_delete", "arguments": {"memory_type": "semantic", "memory_id": "s1"}}
    core = {"name": "memory_update", "arguments": {"memory_type": "core", "new_content": "x"}}
    gone = {"name": "memory_delete", "arguments": {"memory_type": "core"}}
    empty = digests()[0]
    assert empty == "0" * 16
    assert digests([insert("a")], [delete])[1] == empty
    assert digests([core], [gone])[1] == empty
    one, other = digests([insert("a")], [insert("b")])[:2]
    assert len({empty, one, other, digests([insert("b")])[0], digests([core])[0]}) == 5
    assert digests([insert("a"), insert("b")])[0] == other


ODD_ACTIONS: Sequence[Any] = (
    None,
    "",
    (),
    "no call at all",
    '<tool_call>{"name": "new_memory_insert", "arguments": {"memory_type": "core", "content": "x"}}'
    "</tool_call>",
    {"name": "memory_delete", "arguments": {"memory_type": "semantic", "memory_id": "s9"}},
    [ToolCall("new_memory_insert", {"memory_type": "semantic", "content": "an item"}, "call-1")],
    [{"name": "new_memory_insert", "arguments": {"memory_type": "semantic", "content": math.nan}}],
    [{"name": "memory_update", "arguments": {"memory_id": np.int64(3), "new_content": ("a",)}}],
    [{"name": "search_memory", "arguments": {"query": "x", "top_k": 10**400}}],
    [{"name": "search_memory", "arguments": {"query": "x", "top_k": math.inf}}],
    [{1: 2}, {"name": b"bytes"}, object(), 3, ("tuple",), {"name": "search_memory"}],
    [{"name": "new_memory_insert", "arguments": {"memory_type": "episodic", "content": "\ud800"}}],
    {"role": "assistant", "tool_calls": ({"function": {"name": "memory_delete"}},)},
    "x" * 300_000,
    [{"name": "memory_delete"}] * 600,
    [np.float32(1)] * 600,
    [[[[[[[["deep"]]]]]]]] * 2,
    {
        "name": "new_memory_insert",
        "arguments": {"memory_type": "semantic", "content": "y" * 70_000},
    },
)


@pytest.mark.parametrize("number", range(len(ODD_ACTIONS)))
def test_whatever_a_policy_does_can_be_replayed(number: int) -> None:
    action = ODD_ACTIONS[number]
    first = [{"name": "memory_update", "arguments": {"memory_type": "core", "new_content": "z"}}]
    record = record_of(Scripted([first, action, action]))
    report = replay(record)
    assert report.differences == ()
    assert report.steps == len(record["steps"])


def test_an_action_is_recorded_as_it_was_given_where_json_can_say_it() -> None:
    text = ODD_ACTIONS[4]
    record = record_of(Scripted([text, (ODD_ACTIONS[5],), ODD_ACTIONS[7], [{}] * 300]))
    steps = record["steps"]
    assert steps[0]["action"] == text
    assert steps[1]["action"] == [ODD_ACTIONS[5]]
    assert "action" not in steps[2]
    assert steps[2]["calls"]["taken"][0]["fault"]
    assert steps[3]["action"] == [{}] * 300


def test_endless_nesting_in_an_action_is_cut() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    record = record_of(Scripted([deep]))
    assert "calls" in record["steps"][0]
    assert replay(record).differences == ()


def test_an_agents_own_answers_are_actions_and_are_scored_anew() -> None:
    unused: dict[str, Any] = {"reader": "llm", "reader_options": {"model": "qwen3-4b"}}
    record, result = recorded(Scripted(), answer_mode="agent", preset="paper", **unused)
    assert record["recorded"] == []
    told = record["episode"]
    assert len(record["steps"]) == told["chunks"] + told["questions"]
    report = replay(record)
    assert report.differences == ()
    assert report.score == result.score


@pytest.mark.parametrize("settings", [
    {"memory_budget": 0.2}, {"memory_budget": 60, "preset": "paper"}, {"max_chunks": 3},
    {"turns_per_chunk": 4, "memory_types": ["semantic"]}, {"reward_weights": {"content": 2}},
])  # fmt: skip
@pytest.mark.parametrize("agent", ["random", "oracle"])
def test_every_setting_is_replayed(agent: str, settings: dict[str, Any]) -> None:
    record = record_of(agent, source="procedural-accurate-retrieval", **settings)
    assert replay(record).differences == ()


def test_questions_in_mid_stream_are_replayed() -> None:
    agent = BASELINES["sentences"]()
    recorder = Recorder()
    play_episode(agent, environment_for(agent), village(), observer=recorder)
    assert replay_on(reread(recorder.record), village()).differences == ()


# ---------------------------------------------------------------------- parts with a model


class Choosy:
    """A content judge of a user's own: short items are valid."""

    name = "choosy"

    def judge(self, items: Sequence[WrittenItem], chunk: str, memory: Any) -> list[bool]:
        return [len(item.content) < 60 for item in items]


def test_verdicts_of_a_judge_of_ones_own_are_taken_from_the_record() -> None:
    record = record_of(content_judge="tests.test_traces:Choosy")
    assert record["recorded"] == ["content_judge"]
    verdicts = [verdict for step in record["steps"] for verdict in step["verdicts"]]
    assert set(verdicts) == {True, False}
    report = replay(record)
    assert report.differences == ()
    assert report.recorded == ("content_judge",)
    step = next(number for number, step in enumerate(record["steps"]) if step["verdicts"])
    lying = changed(record, lambda it: it["steps"][step]["verdicts"].append(True))
    assert replay(lying).differences[0].startswith(f"step {step}: verdicts: recorded")
    flipped = changed(
        record,
        lambda it: it["steps"][step]["verdicts"].__setitem__(
            0, not record["steps"][step]["verdicts"][0]
        ),
    )
    assert f"step {step}: terms.content" in replay(flipped).differences[0]


def test_a_listened_judge_is_put_back() -> None:
    agent = BASELINES["sentences"]()
    env = environment_for(agent, source_options=OPTIONS, content_judge="tests.test_traces:Choosy")
    judge = env.content_judge
    play_episode(agent, env, 0, observer=Recorder())
    assert env.content_judge is judge


# ---------------------------------------------------------------------- secrets and paths


def test_secrets_addresses_and_places_are_left_out() -> None:
    given = {
        "model": "/home/ada/models/qwen3-4b",
        "base_url": "http://10.0.0.7:8000/v1",
        "key_variable": "MY_KEY",
        "api_key": "sk-planted",
        "top_k": 3,
        "order": "rank",
        "url": "http://ada:sk-planted@host/v1",
        "model_options": {"token": "sk-planted", "seed": 1, "folder": "C:\\Users\\ada\\m"},
        "files": ["~/secret/notes.txt", "relative/notes.txt"],
        "tokenizer": "hf:/home/ada/tokenizer.json",
    }
    assert public(given) == {
        "model": "qwen3-4b",
        "top_k": 3,
        "order": "rank",
        "model_options": {"seed": 1, "folder": "m"},
        "files": ["notes.txt", "relative/notes.txt"],
        "tokenizer": "hf:tokenizer.json",
    }


def test_a_planted_key_and_path_reach_no_trace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-in-the-environment")
    folder = tmp_path / "somebodys-home"
    folder.mkdir()
    agent = BASELINES["sentences"]()
    options = {"model": str(folder), "base_url": "http://planted.host:1/v1", "cache": False}
    env = environment_for(
        agent, source_options=OPTIONS, data=str(tmp_path), answer_mode="agent",
        reader="llm", reader_options={**options, "model_options": {"key_variable": "PLANTED"}},
    )  # fmt: skip
    recorder = Recorder(agent={"name": "mine", "options": {"folder": str(folder), "token": "sk-1"}})
    play_episode(agent, env, 0, observer=recorder)
    text = json.dumps(recorder.record)
    for planted in ("sk-", "planted", str(tmp_path), "PLANTED"):
        assert planted not in text
    assert recorder.record["agent"]["options"] == {"folder": "somebodys-home"}


# ---------------------------------------------------------------------- files


def test_a_file_is_read_as_it_was_written(record: dict[str, Any], tmp_path: Path) -> None:
    other = record_of("oracle")
    write_traces(tmp_path / "traces.jsonl.gz", [record, other])
    assert (
        list(read_traces(tmp_path))
        == [record, other]
        == list(read_traces(tmp_path / "traces.jsonl.gz"))
    )
    lines = gzip.decompress((tmp_path / "traces.jsonl.gz").read_bytes()).splitlines()
    assert [json.loads(line) for line in lines] == [record, other]
    assert find_trace(tmp_path) == record
    assert find_trace(tmp_path, agent="oracle") == other
    with pytest.raises(UsageError, match='no trace of episode "x" by flat; it holds "procedural'):
        find_trace(tmp_path, "x", "flat")


def test_what_is_no_file_of_traces_is_told(record: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "t.gz"
    with pytest.raises(UsageError, match="no file of traces"):
        list(read_traces(file))
    member = encoded(record)
    for content, message in (
        (b"plain text", "byte 0: not a file of traces, or damaged"),
        (member[:-1], "byte 0: the file breaks off within a record"),
        (member + member[:9], f"byte {len(member):,}: the file breaks off"),
        (member + bytes(5), f"byte {len(member):,}: not a file of traces"),
        (member[:-8] + bytes(8), "byte 0: not a file of traces, or damaged"),
    ):
        file.write_bytes(content)
        with pytest.raises(UsageError, match=message):
            list(read_traces(file))


@pytest.mark.parametrize(("line", "message"), [
    (b"", "must be one line"),
    (b"{}", "must be one line"),
    (b"{}\n{}\n", "must be one line"),
    (b"{\n", "not JSON in UTF-8"),
    (b'{"a": NaN}\n', "NaN is no number of JSON"),
    (b'{"a": -Infinity}\n', "-Infinity is no number of JSON"),
    (b'{"a": 1e999}\n', "1e999 is not finite"),
    (b'{"a": 1, "a": 1}\n', "'a' occurs twice"),
    (b'{"a": "\xff"}\n', "not JSON in UTF-8"),
    (b"[" * 100_000 + b"]" * 100_000 + b"\n", "nested too deeply"),
    (b"1" * 5_000 + b"\n", "not JSON in UTF-8"),
    (b"[]\n", "must be an object, got list"),
    (b'{"format": "memgym-trace/2"}\n', "this memgym reads memgym-trace/1"),
    (b'{"format": "memgym-trace/1"}\n', 'the field "suite" is missing'),
])  # fmt: skip
def test_a_malformed_line_is_refused(line: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.gz").write_bytes(packed(line))
    with pytest.raises(UsageError, match=message) as info:
        list(read_traces(tmp_path / "t.gz"))
    assert "t.gz, record 1" in str(info.value)
    assert "\n" not in str(info.value)


def test_sizes_are_bounded_before_anything_is_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(packed(bytes(50_000_000)))
    assert bomb.stat().st_size < 60_000
    with pytest.raises(UsageError, match="record of more than 1,000,000 bytes"):
        list(read_traces(bomb, max_record_bytes=1_000_000))
    record = record_of()
    write_traces(bomb, [record] * 3)
    size = len(gzip.decompress(encoded(record)))
    with pytest.raises(UsageError, match=f"record 3: the file holds more than {2 * size:,} bytes"):
        list(read_traces(bomb, max_total_bytes=2 * size))
    assert len(list(read_traces(bomb, max_record_bytes=size, max_total_bytes=3 * size))) == 3


def fields_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every field of the format; what is inside of free ones is not."""
    found = [path] if path else []
    free = {"action", "source_options", "agent", "environment"}
    if path and path[-1] in free:
        return found
    if isinstance(value, dict):
        for name, inner in value.items():
            found += fields_in(inner, (*path, name))
    elif isinstance(value, list) and value:
        found += fields_in(value[0], (*path, 0))
    return found


def test_every_field_is_checked(record: dict[str, Any]) -> None:
    """Each is refused when it has another type, and, unless it may have any name, when missing."""
    broken = copy.deepcopy(record)
    check_record(broken, "test")
    paths = fields_in(broken)
    assert len(paths) > 70
    for path in paths:
        inner = broken
        for key in path[:-1]:
            inner = inner[key]
        right = inner[path[-1]]
        for wrong in (object(), math.nan, b"x"):
            inner[path[-1]] = wrong
            with pytest.raises(UsageError, match=r"^test"):
                check_record(broken, "test")
        if isinstance(path[-1], str) and path[0] not in ("metrics", "versions"):
            del inner[path[-1]]
            with pytest.raises(UsageError, match=r"^test.*(is missing|name must be)"):
                check_record(broken, "test")
        inner[path[-1]] = right
    check_record(broken, "test")


@pytest.mark.parametrize(("change", "message"), [
    (lambda r: r.update(extra=1), "unknown field 'extra'"),
    (lambda r: r["steps"][0].update(secret=1), r"steps\[0\]: unknown field 'secret'"),
    (lambda r: r.update(score=1.5), r"score must be a number from 0 to 1, got 1\.5"),
    (lambda r: r.update(score=True), "score must be a finite number, got True"),
    (lambda r: r.update(seed=-1), "seed must be a whole number from 0, got -1"),
    (lambda r: r.update(memory_digest="xyz"), "memory_digest must be 64 hexadecimal digits"),
    (lambda r: r.update(recorded=["reader"]), r"recorded must be \[\], as its environment says"),
    (lambda r: r["environment"].update(data="/x"), "environment: unknown field 'data'"),
    (lambda r: r["environment"].pop("preset_typo", r["environment"].pop("repair")), '"repair" is'),
    (lambda r: r["steps"].clear(), "steps must not be empty"),
    (lambda r: r["steps"][0].update(action=3), r"steps\[0\]\.action must be calls, text or null"),
    (lambda r: r["agent"].clear(), "agent.name must be the agent's name"),
    (lambda r: r["answers"][0].update(cause="fate"), r'cause must be "" or'),
])  # fmt: skip
def test_what_the_schema_does_not_know_is_named(
    record: dict[str, Any], change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_record(changed(record, change), "test")


# ---------------------------------------------------------------------- the file of a run


def members_of(records: Sequence[dict[str, Any]]) -> list[bytes]:
    return [encoded(record) for record in records]


def key_of(record: dict[str, Any]) -> tuple[str, str]:
    return record["agent"]["name"], record["episode"]["id"]


def test_a_file_is_found_again_and_brought_into_order(tmp_path: Path) -> None:
    records = [record_of(agent) for agent in ("sentences", "dated", "oracle")]
    one, two, three = members_of(records)
    keys = [key_of(record) for record in records]
    path = tmp_path / "traces.jsonl.gz"
    file = TraceFile(path)
    for number in (2, 0, 1):
        assert keys[number] not in file
        file.append(keys[number], [one, two, three][number])
        assert keys[number] in file
    assert path.read_bytes() == three + one + two
    TraceFile(path).keep(keys)
    assert path.read_bytes() == one + two + three
    before = path.stat().st_ino
    TraceFile(path).keep(keys)
    assert path.stat().st_ino == before, "what is in order is not written again"
    TraceFile(path).keep([keys[2], keys[0]])
    assert path.read_bytes() == three + one
    assert sorted(item.name for item in tmp_path.iterdir()) == ["traces.jsonl.gz"]


TAILS = [
    b"\x1f", b"\x1f\x8b\x08", bytes(4_096), b"noise", packed(b"{"), packed(b"[]\n"),
    packed(b"{}\n"), packed(b'{"agent":{"name":1},"episode":{"id":2}}\n'), packed(b"[" * 100_000),
]  # fmt: skip


@pytest.mark.parametrize("tail", TAILS)
def test_what_a_kill_left_at_the_end_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    record = record_of()
    path = tmp_path / "traces.jsonl.gz"
    path.write_bytes(encoded(record) + tail)
    file = TraceFile(path)
    assert key_of(record) in file
    assert path.read_bytes() == encoded(record)


def test_half_a_member_is_cut_off_wherever_it_ends(tmp_path: Path) -> None:
    record, other = record_of(), record_of("oracle")
    whole, half = encoded(record), encoded(other)
    path = tmp_path / "traces.jsonl.gz"
    for length in [*range(1, 40), *range(40, len(half), 97), len(half) - 1]:
        path.write_bytes(whole + half[:length])
        file = TraceFile(path)
        assert path.read_bytes() == whole, length
        file.append(key_of(other), half)
        assert path.read_bytes() == whole + half
    assert list(read_traces(path)) == [record, other]


def test_an_option_called_steps_does_not_confuse(tmp_path: Path) -> None:
    record = record_of()
    record["agent"] = {"options": {"a": 1, "steps": [1]}, "name": 'a ","steps": b'}
    path = tmp_path / "traces.jsonl.gz"
    path.write_bytes(encoded(record))
    assert key_of(record) in TraceFile(path)
    assert path.read_bytes() == encoded(record)
