"""Flags on models, readers and agents, alone and beside a file: what wins, what is refused."""

import argparse
import io
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memgym.agents import AGENTS
from memgym.agents.chat import ModelSettings, close_backends, model_settings
from memgym.benchmarks import suites
from memgym.benchmarks.comparison import Comparison
from memgym.benchmarks.suites import Entry, Suite
from memgym.cli.comparing import asked_for
from memgym.cli.main import _parser, main
from memgym.errors import UsageError
from tests.chat_server import ChatServer, RawAnswer

A, B, C = (f"http://127.0.0.1:{port}/v1" for port in (8001, 8002, 8003))
FILE = f"""\
suites = ["mini"]
model = "small"

[reader]
name = "llm"
model = "big"
top_k = 3

[models.small]
model = "qwen3-4b"
base_url = "{A}"
temperature = 0.5

[models.big]
model = "qwen3-32b"
base_url = "{B}"
timeout_seconds = 9.0
template_options = {{ x = 1 }}

[[agents]]
agent = "rag"
name = "rag5"
options = {{ top_k = 5 }}

[[agents]]
agent = "rag"
model = "big"

[[agents]]
agent = "sentences"
"""
SMALL = model_settings("qwen3-4b", base_url=A, temperature=0.5)
BIG = model_settings("qwen3-32b", base_url=B, timeout_seconds=9.0, template_options={"x": 1})
BIG_READER = {
    "model": "qwen3-32b",
    "base_url": B,
    "model_options": {"timeout_seconds": 9.0, "template_options": {"x": 1}},
}
OWN = """\
from memgym.reader import ReaderAnswer

class Mute:
    name = "mute"

    def __init__(self, model=""):
        self.model = model

    def answer(self, questions, memory):
        return [ReaderAnswer(self.model, (), ()) for _ in questions]

class Plain(Mute):
    def __init__(self):
        super().__init__()
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand in a folder with a comparison file, a reader, and a suite of one short episode."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delitem(sys.modules, "flag_readers", raising=False)
    for name in ("MEMGYM_MODEL", "MEMGYM_BASE_URL", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))
    options = {"tokens": 1_000, "chunk_tokens": 500, "questions": 2}
    one = Entry("one", "procedural-accurate-retrieval", "test", 1, options)
    mini = Suite("mini", "1", "tiny", (one,))
    monkeypatch.setattr(suites, "SUITES", {**suites.SUITES, "mini": mini})
    Path("c.toml").write_text(FILE, encoding="utf-8")
    Path("flag_readers.py").write_text(OWN, encoding="utf-8")
    yield
    close_backends()


def parsed(line: str) -> argparse.Namespace:
    return _parser().parse_args(["bench", *shlex.split(line)])


def asked(line: str) -> Comparison:
    return asked_for(parsed(line))


def models(line: str) -> list[ModelSettings | None]:
    return [entry.model if entry.has_model else None for entry in asked(line).agents]


def reader(line: str) -> Any:
    settings = asked(line).settings
    return settings.get("reader"), settings.get("reader_options")


def test_the_file_alone() -> None:
    assert models("--file c.toml") == [SMALL, BIG, None]
    assert reader("--file c.toml") == ("llm", {**BIG_READER, "top_k": 3})


@pytest.mark.parametrize(
    ("flags", "small", "big"),
    [
        (f"--base-url {C}", {"base_url": C}, {"base_url": C}),
        ("--model-option max_tokens=7", {"max_tokens": 7}, {"max_tokens": 7}),
        ("--model-option temperature=0.9", {"temperature": 0.9}, {"temperature": 0.9}),
        ("--model m", {"model": "m", "template_options": {}}, {"model": "m"}),
        ("--model qwen3-8b", {"model": "Qwen/Qwen3-8B"}, {"model": "Qwen/Qwen3-8B"}),
        (f"--model m --base-url {C}", {"model": "m", "base_url": C, "template_options": {}},
         {"model": "m", "base_url": C}),
    ],
)  # fmt: skip
def test_flags_on_the_model_hold_for_every_row_that_has_one(
    flags: str, small: dict[str, Any], big: dict[str, Any]
) -> None:
    expected = [ModelSettings(**{**vars(SMALL), **small}), ModelSettings(**{**vars(BIG), **big})]
    assert models(f"--file c.toml {flags}") == [*expected, None]
    # What the reader says of itself stays.
    assert reader(f"--file c.toml {flags}") == ("llm", {**BIG_READER, "top_k": 3})


def test_a_table_of_the_file_takes_the_place_of_the_models() -> None:
    assert models("--file c.toml --model big") == [BIG, BIG, None]
    hot = model_settings("qwen3-4b", base_url=A, temperature=0.9)
    assert models("--file c.toml --model small --model-option temperature=0.9")[1] == hot


def test_agents_beside_a_file_keep_their_rows() -> None:
    rows = asked("--file c.toml --agents rag5,flat").agents
    assert [row.spec for row in rows] == ["rag", "flat"]
    assert (rows[0].name, rows[0].model, rows[0].options) == ("rag5", SMALL, {"top_k": 5})
    both = asked("--file c.toml --agents rag").agents
    assert [row.model for row in both] == [BIG]  # its name, before the agent's
    new = asked("--file c.toml --agents mem1,sentences").agents
    assert [row.model if row.has_model else None for row in new] == [SMALL, None]
    assert models("--file c.toml --agents mem1 --model big") == [BIG]


@pytest.mark.parametrize(
    ("flags", "name", "options"),
    [
        ("--reader llm", "llm", {**BIG_READER, "top_k": 3}),
        ("--reader-model m", "llm", {**BIG_READER, "model": "m", "top_k": 3}),
        (f"--reader-base-url {C}", "llm", {**BIG_READER, "base_url": C, "top_k": 3}),
        ("--reader-model small", "llm", {"model": "qwen3-4b", "base_url": A, "top_k": 3}),
        (f"--reader-model small --reader-base-url {C}", "llm",
         {"model": "qwen3-4b", "base_url": C, "top_k": 3}),
        ("--reader verbatim", "verbatim", {}),
        ("--reader flag_readers:Mute --reader-model m", "flag_readers:Mute", {"model": "m"}),
    ],
)  # fmt: skip
def test_flags_on_the_reader_are_merged_key_by_key(
    flags: str, name: str, options: dict[str, Any]
) -> None:
    assert reader(f"--file c.toml {flags}") == (name, options)


PLACE = "--model-option key_variable=MY_KEY --model-option timeout_seconds=5"
TAKEN = {"key_variable": "MY_KEY", "timeout_seconds": 5}


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ("--model m", {"model": "m"}),
        (f"--model m --base-url {A} {PLACE}",
         {"model": "m", "base_url": A, "model_options": TAKEN}),
        ("--model m --backend transformers", {"model": "m", "backend": "transformers"}),
        ("--model m --model-option temperature=0.9 --model-option 'template_options={\"x\": 1}'",
         {"model": "m", "model_options": {"template_options": {"x": 1}}}),
        (f"--model m --base-url {A} --reader-model n", {"model": "n", "base_url": A}),
        (f"--model m --base-url {A} {PLACE} --reader-base-url {B}",
         {"model": "m", "base_url": B}),
        (f"--model m --backend transformers --reader-model n --reader-base-url {B}",
         {"model": "n", "base_url": B}),
    ],
)  # fmt: skip
def test_the_reader_is_where_the_agents_model_is(flags: str, options: dict[str, Any]) -> None:
    assert reader(f"--agents rag --reader llm {flags}") == ("llm", options)


def test_a_reader_of_the_file_without_a_model_takes_that_of_the_flags() -> None:
    open_reader = FILE.replace('model = "big"\ntop_k', "top_k")
    Path("c.toml").write_text(open_reader, encoding="utf-8")
    options = reader("--file c.toml --agents sentences --model big")[1]
    assert options == {**BIG_READER, "top_k": 3}


def test_all_agents_play_where_only_a_model_is_named() -> None:
    assert [entry.spec for entry in asked("--model m").agents] == list(AGENTS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"--base-url {A}", "--base-url is of no use: no agent here has a language model"),
        ("--model-option temperature=0.5", "--model-option temperature is of no use"),
        ("--agents sentences --model m", "--model is of no use"),
        ("--agents sentences --model m --reader llm --model-option temperature=0.5",
         "--model-option temperature is of no use"),
        (f"--agents sentences --reader llm --reader-model m --reader-base-url {A} --base-url {B}",
         "--base-url is of no use"),
        (f"--agents rag --base-url {A}", 'agent "rag" needs a language model'),
        (f"--agents rag --model m --backend vllm --base-url {A}",
         '--base-url names a server, but the model of "rag" is loaded here (backend vllm)'),
        (f"--agents rag --model m --model-option base_url={A}",
         "--model-option base_url: has an option of its own, --base-url"),
        ("--agents rag --model m --model-option temprature=1", 'a model has no setting "temprat'),
        ("--reader verbatim --reader-model m", "the verbatim reader has no model"),
        ("--reader lm", 'unknown reader "lm": did you mean "llm"'),
        ("--agents rag --model m --reader flag_readers:Mut", 'has no "Mut": did you mean "Mute"'),
        ("--file c.toml --reader-model smal", '--reader-model: there is no "smal" in [models]'),
        ("--file c.toml --model smal", 'there is no "smal" in [models]; did you mean "small"'),
        ("--file c.toml --agents sentences --model m", "--model is of no use"),
        ("--file c.toml --model-option top_p=2", 'model setting "top_p" must be above 0'),
        ("--limit-cost many", '"many" is no number of tokens'),
    ],
)  # fmt: skip
def test_what_cannot_be_applied_is_refused(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        asked(line)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def fault(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """Run a command that the user got wrong; return what is said."""
    try:
        code = main(shlex.split(line))
    except SystemExit as ended:
        code = int(ended.code or 0)
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (2, 1), error
    return error.removeprefix("memgym: error: ")


def test_a_reader_without_a_model_is_given_none(capsys: pytest.CaptureFixture[str]) -> None:
    line = "bench --suite mini --agents flat --reader flag_readers:Plain --reader-model m"
    assert 'reader "flag_readers:Plain" has no option "model"' in fault(capsys, line)


def test_no_episode_at_a_time_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--concurrency: must be at least 1" in fault(capsys, "bench --concurrency 0")


@pytest.mark.parametrize("role", ["--agents rag", "--agents flat --reader llm --reader-model tiny"])
def test_a_server_that_is_not_there_is_told_before_anything_is_played(
    role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with ChatServer() as server:
        gone = server.base_url
    flag = "--reader-base-url" if "flat" in role else "--model tiny --base-url"
    message = fault(capsys, f"bench --suite mini {role} {flag} {gone} --out run")
    assert message.startswith(f"no server answers at {gone} (")
    assert not Path("run").exists()
    if "flat" not in role:
        line = f"play --option tokens=2000 --agent rag --model tiny --base-url {gone}"
        assert fault(capsys, line).startswith(f"no server answers at {gone} (")


def test_a_model_that_is_not_served_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with ChatServer(model="tiny") as server:
        line = f"bench --suite mini --agents rag --base-url {server.base_url} --model tinny"
        message = fault(capsys, line)
        assert message.startswith(f'{server.base_url} has no model "tinny": did you mean "tiny"?')
        assert server.bodies == []


class Locked(ChatServer):
    """Wants a key that nobody has."""

    def models(self) -> RawAnswer:
        return RawAnswer.error(401, "no such key")


def test_a_key_that_is_refused_is_told_and_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-4242")
    with Locked() as server:
        line = f"bench --suite mini --agents rag --model tiny --base-url {server.base_url}"
        message = fault(capsys, f"{line} --model-option key_variable=MY_KEY")
    assert "refuses the key (401); check the key in MY_KEY, which is set" in message
    assert "4242" not in message


class Busy(ChatServer):
    """Does not list its models."""

    def models(self) -> RawAnswer:
        return RawAnswer.error(503, "busy")


def test_a_server_that_does_not_list_models_is_asked_all_the_same() -> None:
    with Busy() as server:
        line = f"bench --suite mini --agents mem1 --base-url {server.base_url} --model any"
        assert main([*line.split(), "--jobs", "1", "--out", "run"]) == 0
        assert {body["model"] for body in server.bodies} == {"any"}


def test_a_finished_run_is_shown_without_its_server(capsys: pytest.CaptureFixture[str]) -> None:
    with ChatServer() as server:
        line = f"bench --suite mini --agents rag --model tiny --base-url {server.base_url}"
        words = [*line.split(), "--jobs", "1", "--out", "run"]
        assert main(words) == 0
    capsys.readouterr()
    assert main(words) == 0
    assert "All 1 results were there already." in capsys.readouterr().out


def test_play_ends_in_one_line_when_the_model_says_no(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with ChatServer(lambda body: RawAnswer.error(401, "not you")) as server:
        line = f"play --option tokens=2000 --agent mem1 --model tiny --base-url {server.base_url}"
        assert main(line.split()) == 1
    error = capsys.readouterr().err
    assert "said 401 not you" in error
    assert error.count("\n") == 1


def test_a_reader_in_the_current_folder_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    line = "bench --suite mini --agents flat --reader flag_readers:Mute --reader-model m"
    assert main([*line.split(), "--jobs", "1", "--out", "run"]) == 0
    again = capsys.readouterr().out.split("Again: ")[1]
    assert " ".join(again.split()).startswith(
        "memgym bench --suite mini --agents flat --reader flag_readers:Mute --reader-model m"
    )


def test_a_limit_of_tokens_without_models_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "--suite", "mini", "--agents", "flat", "--jobs", "1", "--limit-cost", "5k"]
    assert main(words) == 0
    assert "the limit of tokens has no effect" in capsys.readouterr().out


def again(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """Run a command and return the one that is told to play the run again."""
    assert main([*shlex.split(line), "--jobs", "1", "--out", "run"]) == 0
    capsys.readouterr()
    for row in Path("run/summary.md").read_text(encoding="utf-8").splitlines():
        if "Again: " in row:
            return row.split("Again: ")[1]
    raise AssertionError("no command is told")


def test_the_command_to_play_again_has_what_matters_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ChatServer() as server:
        line = (
            f"bench --suite mini --agents rag --model tiny --base-url {server.base_url} --reader "
            "llm --model-option key_variable=MY_KEY --model-option timeout_seconds=8 "
            "--model-option tool_format=hermes --model-option "
            "'template_options={\"enable_thinking\": true}'"
        )
        told = again(capsys, line)
        assert told == (
            "memgym bench --suite mini --agents rag --model tiny --reader llm --model-option "
            "tool_format=hermes --model-option 'template_options={\"enable_thinking\": true}' "
            "--seed 0"
        )
        same = [*shlex.split(told)[1:], "--base-url", server.base_url, "--out", "run"]
        assert main(same) == 0
        assert "All 1 results were there already." in capsys.readouterr().out


def test_a_model_of_the_environment_is_named_in_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMGYM_MODEL", "tiny")
    with ChatServer() as server:
        monkeypatch.setenv("MEMGYM_BASE_URL", server.base_url)
        told = again(capsys, "bench --suite mini --agents flat --reader llm")
        assert told == "memgym bench --suite mini --agents flat --model tiny --reader llm --seed 0"
        monkeypatch.delenv("MEMGYM_MODEL")
        assert main([*shlex.split(told)[1:], "--out", "run"]) == 0
        assert "All 1 results were there already." in capsys.readouterr().out


def test_without_use_for_it_the_model_of_the_environment_is_not_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMGYM_MODEL", "tiny")
    told = again(capsys, "bench --suite mini --agents flat")
    assert told == "memgym bench --suite mini --agents flat --seed 0"


def test_flags_beside_a_file_are_in_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with ChatServer() as server:
        local = FILE.replace(A, server.base_url).replace("qwen3-4b", "tiny")
        Path("c.toml").write_text(local, encoding="utf-8")
        line = "bench --file c.toml --agents rag5 --reader-model small --memory-budget 50%"
        told = again(capsys, line)
        assert told == (
            "memgym bench --file c.toml --agents rag5 --memory-budget 50% --reader-model small"
        )
        played = json.loads(Path("run/results.jsonl").read_text(encoding="utf-8"))
        assert played["agent"] == "rag5"
