"""The page on your own agent is true: its code and commands run, against a real HTTP server."""

import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.chat import close_backends
from memgym.benchmarks import suites
from memgym.benchmarks.suites import Suite
from memgym.cli.main import main
from tests.chat_server import ChatServer
from tests.runs import FACTS

PAGE = Path(__file__).parent.parent / "docs" / "your_own_agent.md"
_BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    found = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    return [code for kind, code in found if kind == language]


def first_line(body: dict[str, Any]) -> str:
    """Stand in for a model that sums up by repeating the first lines of the text."""
    told = str(body["messages"][-1]["content"]).partition("\n")[2]
    return f"<think>\n\n</think>\n\n{told[:300]}"


@pytest.fixture(name="server")
def _server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """Serve a model under the name on the page, and name it in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "my_agents", raising=False)
    Path("my_agents.py").write_text(blocks("python")[0], encoding="utf-8")
    importlib.invalidate_caches()
    mini = Suite("mini", "1", "tiny", (FACTS,))
    monkeypatch.setattr(suites, "SUITES", {**suites.SUITES, "mini": mini})
    with ChatServer(first_line, model="Qwen/Qwen3-4B") as server:
        monkeypatch.setenv("MEMGYM_MODEL", "qwen3-4b")
        monkeypatch.setenv("MEMGYM_BASE_URL", server.base_url)
        yield server
        close_backends()
    sys.modules.pop("my_agents", None)


def test_the_agent_is_short() -> None:
    assert len(blocks("python")[0].splitlines()) <= 25


def test_the_code_runs(server: ChatServer, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    _, playing, without_model = blocks("python")
    exec(compile(playing, PAGE.name, "exec"), namespace)
    score, calls = re.fullmatch(
        r"score (\d\.\d\d), (\d+) calls, \d+ tokens\n", capsys.readouterr().out
    ).groups()  # type: ignore[union-attr]
    assert float(score) > 0
    assert int(calls) == len(server.bodies) == namespace["result"].steps
    asked = server.bodies[0]["messages"][-1]["content"]
    assert asked.startswith("Say in one sentence of at most 20 words")
    kept = namespace["agent"].briefing.memory.items("episodic")["e1"]
    assert kept == asked.partition("\n")[2][:300]
    exec(compile(without_model, PAGE.name, "exec"), namespace)


def test_a_prompt_that_does_not_fit_is_cut(server: ChatServer) -> None:
    server.max_model_len = 800
    from memgym.agents.chat import Chat, model_settings
    from memgym.evaluation import environment_for, play_episode

    Summaries = importlib.import_module("my_agents").Summaries  # noqa: N806
    agent = Summaries(Chat(model_settings()))
    options = {"tokens": 4_000, "chunk_tokens": 2_000, "questions": 2}
    result = play_episode(agent, environment_for(agent, source_options=options), 0)
    assert result.calls == result.valid_calls == result.steps > 1
    assert agent.usage.failures > 0


def test_the_commands_run(server: ChatServer, capsys: pytest.CaptureFixture[str]) -> None:
    [commands] = blocks("bash")
    for line in commands.splitlines():
        words = shlex.split(line.replace("http://localhost:8000/v1", server.base_url))
        assert words.pop(0) == "memgym"
        assert main([*words, "--jobs", "1"] if words[0] == "bench" else words) == 0
    shown = capsys.readouterr().out
    assert "Say in one sentence of at most {words} words" in shown
    assert re.search(r"^ summaries +\d", shown, re.MULTILINE)
    assert re.search(r"^ sentences +\d", shown, re.MULTILINE)
    assert len(server.bodies) > 3
