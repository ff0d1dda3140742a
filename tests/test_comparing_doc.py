"""The page on comparing agents is true: its file and commands run, its tables are complete."""

import csv
import gzip
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from memgym.agents import AGENTS
from memgym.agents.chat import MODEL_PRESETS, close_backends
from memgym.benchmarks import suites
from memgym.benchmarks.suites import Entry, Suite
from memgym.cli.main import main
from tests.chat_server import ChatServer, RawAnswer

PAGE = (Path(__file__).parent.parent / "docs" / "comparing_agents.md").read_text(encoding="utf-8")
ONE = Entry(
    "one",
    "procedural-accurate-retrieval",
    "test",
    1,
    {"tokens": 1_000, "chunk_tokens": 500, "questions": 2},
)


class Serving(ChatServer):
    """Serves several models, as a gateway does."""

    def models(self) -> RawAnswer:
        names = ("Qwen/Qwen3-4B", "Qwen/Qwen3-32B", "m")
        listed = [{"id": name, "owned_by": "vllm"} for name in names]
        return RawAnswer(200, json.dumps({"object": "list", "data": listed}).encode())


def block(language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def commands() -> list[str]:
    return [line for line in block("bash").splitlines() if line.startswith("memgym ")]


@pytest.fixture(name="server")
def _server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """Serve one model in place of all, in an empty folder, with a suite of one short episode."""
    monkeypatch.chdir(tmp_path)
    for name in ("MEMGYM_MODEL", "MEMGYM_BASE_URL", "OPENAI_BASE_URL", "MEMGYM_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))
    mini = Suite("mini", "1", "tiny", (ONE,))
    monkeypatch.setattr(suites, "SUITES", {**suites.SUITES, "mini": mini})
    with Serving() as server:
        local = re.sub(r"http://localhost:800\d/v1", server.base_url, block("toml"))
        Path("comparison.toml").write_text(local, encoding="utf-8")
        yield server
        close_backends()


def run(server: ChatServer, line: str) -> Path:
    """Run a command of the page with this server; return its run folder."""
    words = shlex.split(re.sub(r"http://localhost:800\d/v1", server.base_url, line))
    assert main([*words[1:], "--jobs", "1", "--out", "run"]) == 0
    return Path("run")


@pytest.mark.parametrize("line", commands())
def test_every_command_runs(
    line: str, server: ChatServer, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(server, line)
    played = [json.loads(row) for row in (folder / "results.jsonl").read_text().splitlines()]
    asked = re.search(r"--agents (\S+)", line)
    rows = [row["name"] for row in json.loads((folder / "run.json").read_text())["agents"]]
    assert rows == (asked[1].split(",") if asked else rows)
    assert [row["agent"] for row in played] == rows
    assert server.bodies
    assert "language models" in capsys.readouterr().out


def test_the_file_has_its_rows_and_its_reader(server: ChatServer) -> None:
    folder = run(server, "memgym bench --file comparison.toml")
    told = json.loads((folder / "run.json").read_text())
    rows = {row["name"]: row for row in told["agents"]}
    assert list(rows) == ["sentences", "prompt_only, greedy", "prompt_only, sampled", "rag"]
    assert rows["prompt_only, sampled"]["model"]["temperature"] == 0.7
    assert rows["rag"]["options"] == {"top_k": 5}
    assert told["settings"]["memory_budget"] == 0.25
    assert told["suites"][0]["reader"]["name"] == "llm"
    assert {body["model"] for body in server.bodies} == {"Qwen/Qwen3-4B", "Qwen/Qwen3-32B"}
    readings = [body for body in server.bodies if body["model"] == "Qwen/Qwen3-32B"]
    assert all(body["chat_template_kwargs"] == {"enable_thinking": False} for body in readings)
    text = "".join(_text(path) for path in folder.iterdir() if path.is_file())
    assert server.base_url not in text


def _text(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")


def test_a_second_run_asks_the_reader_nothing(server: ChatServer) -> None:
    line = "memgym bench --suite mini --agents sentences --reader llm --reader-model m"
    line = f"{line} --reader-base-url {server.base_url}"
    run(server, line)
    asked = len(server.bodies)
    assert asked == 2  # questions
    Path("run").rename("first")
    folder = run(server, line)
    assert len(server.bodies) == asked
    with (folder / "usage.csv").open(newline="") as file:
        [used] = csv.DictReader(file)
    assert (used["from_disk"], used["calls"]) == ("2", "2")
    assert int(used["prompt_tokens"]) > 0  # what they once cost


def test_the_limit_stops_and_the_same_command_goes_on(
    server: ChatServer, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "--suite", "mini", "--agents", "mem1", "--model", "m", "--out", "run"]
    words += ["--base-url", server.base_url]
    assert main([*words, "--limit-cost", "1"]) == 1
    assert "the limit of 1 tokens is reached" in capsys.readouterr().err
    before = len(server.bodies)
    assert before == 1
    assert main([*words, "--limit-cost", "1M"]) == 0
    first, *rest = server.bodies
    assert len(rest) > 0
    assert all(body["messages"] != first["messages"] for body in rest)


def test_every_column_of_the_table_is_explained(server: ChatServer) -> None:
    folder = run(server, commands()[0])
    header = next(
        line
        for line in (folder / "summary.md").read_text(encoding="utf-8").splitlines()
        if "tokens in" in line
    )
    for column in header.strip("| ").split(" | ")[1:]:
        assert f"\n| {column} |" in PAGE, column


def test_every_agent_and_preset_is_on_the_page() -> None:
    for name in AGENTS:
        assert f"\n| `{name}` |" in PAGE, name
    for preset in MODEL_PRESETS:
        assert re.search(rf"^\| .*`{preset}`.* \| .*\|$", PAGE, re.MULTILINE), preset
