"""Behaviour of runs with a language model: at once, counted, limited, stopped, continued."""

import csv
import gzip
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from memgym.agent import Agent
from memgym.agents.chat import ChatReply, ChatRequest, ModelSettings, RunMeter, ServerError
from memgym.benchmarks.entries import AgentEntry, checked_entries
from memgym.benchmarks.outcome import AgentError, RunStoppedError
from memgym.benchmarks.plan import RunPlan
from memgym.benchmarks.report import footer, tables
from memgym.benchmarks.run_folder import RunFolder
from memgym.benchmarks.runner import run_plan
from memgym.benchmarks.summary import summarise
from memgym.errors import UsageError
from memgym.text import split_sentences
from memgym.usage import Usage
from tests.chat_server import ChatServer
from tests.runs import small_plan
from tests.scripted import ScriptedBackend

SPEC = "tests.keeper:Keeper"
MODEL = ModelSettings("made-up")
CALLS = 5 * 4 + 2 * 8  # of the small plan: episodes of four and of eight chunks

Use = Callable[[Any], ScriptedBackend]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Make every model the given scripted one."""

    def install(replies: Any) -> ScriptedBackend:
        backend = ScriptedBackend(replies)
        monkeypatch.setattr("memgym.agents.chat.chat.open_backend", lambda settings: backend)
        return backend

    return install


def first_sentence(request: ChatRequest) -> str:
    return split_sentences(str(request.messages[0]["content"]).partition("\n")[2])[-1]


def plan(*entries: AgentEntry | str) -> RunPlan:
    return small_plan([*(entries or (AgentEntry(SPEC, model=MODEL),))])


def test_agents_with_and_without_a_model_share_a_table(tmp_path: Path, use: Use) -> None:
    backend = use(first_sentence)
    asked = plan("flat", AgentEntry(SPEC, model=MODEL))
    told: list[tuple[int, int]] = []
    meter = RunMeter()
    store = run_plan(
        asked,
        tmp_path / "run",
        meter=meter,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[0] == (0, 14)
    assert told[-1] == (14, 14)
    assert len(backend.requests) == CALLS == meter.total.calls
    assert {agent for agent, _ in store.records} == {"flat", "keeper"}
    rows = summarise(asked, store.records, store.seconds, store.usage)[0].rows
    assert rows[0].usage == {}
    assert rows[1].usage["agent"] == meter.total
    assert rows[1].memory_tokens > 0
    model_table = tables(summarise(asked, store.records, store.seconds, store.usage)[0])[2]
    assert model_table.rows[1][2] == str(CALLS)
    notes = footer(asked, summarise(asked, store.records, store.seconds), "command")
    assert any("Model of keeper: made-up (openai, greedy" in note for note in notes)


def test_results_do_not_depend_on_how_many_episodes_run_at_a_time(tmp_path: Path, use: Use) -> None:
    use(first_sentence)
    for concurrency in (1, 8):
        run_plan(plan(), tmp_path / str(concurrency), concurrency=concurrency)
    assert_same_results(tmp_path / "1", tmp_path / "8")


def test_episodes_wait_for_the_model_at_the_same_time(tmp_path: Path, use: Use) -> None:
    together = threading.Barrier(4, timeout=20)
    numbers = itertools.count()
    waited: list[int] = []

    def reply(request: ChatRequest) -> str:
        if next(numbers) < 4:
            waited.append(together.wait())
        return first_sentence(request)

    use(reply)
    run_plan(plan(), tmp_path / "run", concurrency=4)
    assert sorted(waited) == [0, 1, 2, 3]


def test_a_stopped_run_goes_on_at_the_call_it_was_at(tmp_path: Path, use: Use) -> None:
    use(first_sentence)
    undisturbed = run_plan(plan(), tmp_path / "undisturbed")

    meter = RunMeter()

    def reply(request: ChatRequest) -> str:
        if meter.total.calls >= 6:
            meter.stop("unplugged")
        return first_sentence(request)

    backend = use(reply)
    with pytest.raises(RunStoppedError, match="unplugged"):
        run_plan(plan(), tmp_path / "run", concurrency=2, meter=meter)
    asked_before = len(backend.requests)
    assert 7 <= asked_before <= 8
    backend = use(first_sentence)
    store = run_plan(plan(), tmp_path / "run", concurrency=2)
    assert len(backend.requests) == CALLS - asked_before, "what was answered is not asked again"
    assert store.usage.keys() == undisturbed.usage.keys()
    total = sum((used["agent"] for used in store.usage.values()), Usage())
    assert total.calls == CALLS, "the whole cost of a resumed run is reported"
    assert_same_results(tmp_path / "run", tmp_path / "undisturbed")


def test_a_success_between_failures_is_a_new_start(tmp_path: Path, use: Use) -> None:
    use(first_sentence)
    run_plan(plan(), tmp_path / "undisturbed")

    def reply(request: ChatRequest) -> str | ServerError:
        # An episode that fails is one call. The third is played, and it has four chunks.
        failing = len(backend.requests) in (1, 2, 7, 8)
        return ServerError("no connection") if failing else first_sentence(request)

    backend = use(reply)
    with pytest.raises(RunStoppedError, match=r"no connection \(4 episodes\)"):
        run_plan(plan(), tmp_path / "run", concurrency=1)
    assert len((tmp_path / "run" / "results.jsonl").read_text().splitlines()) == 3
    use(first_sentence)
    run_plan(plan(), tmp_path / "run")
    assert_same_results(tmp_path / "run", tmp_path / "undisturbed")


class Meeting(Agent):
    """Plays its first chunk only while a language model is asked."""

    name = "meeting"
    place = threading.Barrier(2, timeout=20)
    met: ClassVar[list[int]] = []

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Meet once, then do nothing."""
        if not self.met:
            self.met.append(self.place.wait())
        return ()


def test_agents_with_and_without_a_model_play_at_the_same_time(tmp_path: Path, use: Use) -> None:
    Meeting.met.clear()
    seen: list[int] = []

    def reply(request: ChatRequest) -> str:
        if not seen:
            seen.append(1)
            Meeting.place.wait()
        return first_sentence(request)

    use(reply)
    asked = plan("tests.test_model_runner:Meeting", AgentEntry(SPEC, model=MODEL))
    store = run_plan(asked, tmp_path / "run", concurrency=1)
    assert len(store.records) == 14


def test_worker_processes_beside_threads_change_no_result(tmp_path: Path, use: Use) -> None:
    use(first_sentence)
    asked = plan("flat", "chunks", AgentEntry(SPEC, model=MODEL))
    for jobs in (1, 2):
        run_plan(asked, tmp_path / str(jobs), jobs=jobs)
    assert_same_results(tmp_path / "1", tmp_path / "2")


def test_a_model_that_cannot_be_opened_is_told_before_anything_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    asked = plan("flat", AgentEntry(SPEC, model=MODEL))
    with pytest.raises(UsageError, match="no server is named"):
        run_plan(asked, tmp_path / "run")
    assert not (tmp_path / "run" / "results.jsonl").exists()


INTERRUPTED = """\
import sys
from pathlib import Path
from memgym.agents.chat import ModelSettings
from memgym.benchmarks.entries import AgentEntry
from memgym.benchmarks.runner import run_plan
from tests.chat_server import ChatServer
from tests.runs import small_plan

entry = AgentEntry("tests.keeper:Keeper", model=ModelSettings("tiny", base_url=sys.argv[2]))
try:
    run_plan(small_plan([entry]), Path(sys.argv[1]), concurrency=3)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_lets_go_of_a_server_that_does_not_answer(tmp_path: Path, use: Use) -> None:
    with ChatServer(seconds=3_600.0) as server:
        with subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, str(tmp_path / "run"), server.base_url],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
        ) as process:  # fmt: skip
            try:
                wait_until(lambda: len(server.bodies) == 3)
                process.send_signal(signal.SIGINT)
                told, _ = process.communicate(timeout=60)
            finally:
                process.kill()
        assert (told, process.returncode) == ("interrupted\n", 0)
        assert len(server.bodies) == 3, "nothing is asked after it"
    use(first_sentence)
    settings = ModelSettings("tiny", base_url="http://127.0.0.1:9/v1")
    assert len(run_plan(plan(AgentEntry(SPEC, model=settings)), tmp_path / "run").records) == 7


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to that")


def assert_same_results(*folders: Path) -> None:
    for name in ("results.jsonl", "run.json"):
        assert len({(folder / name).read_bytes() for folder in folders}) == 1


def test_a_token_limit_stops_cleanly_and_a_higher_one_goes_on(tmp_path: Path, use: Use) -> None:
    backend = use(first_sentence)
    with pytest.raises(RunStoppedError, match=r"limit of 2,000 tokens is reached"):
        run_plan(plan(), tmp_path / "run", concurrency=1, meter=RunMeter(2_000))
    first = len(backend.requests)
    assert 0 < first < CALLS
    run_plan(plan(), tmp_path / "run", concurrency=1)
    assert len(backend.requests) == CALLS


def test_an_episode_without_a_server_is_left_out_and_played_later(tmp_path: Path, use: Use) -> None:
    use(first_sentence)
    run_plan(plan(), tmp_path / "undisturbed")
    broken = [True]

    def reply(request: ChatRequest) -> str | ServerError:
        text = first_sentence(request)
        if broken and broken.pop():
            return ServerError("no connection to the server")
        return text

    use(reply)
    with pytest.raises(RunStoppedError, match="no connection to the server"):
        run_plan(plan(), tmp_path / "run", concurrency=1)
    results = (tmp_path / "run" / "results.jsonl").read_text().splitlines()
    assert len(results) == 6
    assert all("no connection" not in line for line in results)
    run_plan(plan(), tmp_path / "run")
    assert_same_results(tmp_path / "run", tmp_path / "undisturbed")


def test_a_dead_server_ends_the_run_after_a_few_episodes(tmp_path: Path, use: Use) -> None:
    backend = use(lambda request: ServerError("refused"))
    with pytest.raises(RunStoppedError, match=r"refused \(3 episodes\)"):
        run_plan(plan(), tmp_path / "run", concurrency=1)
    assert len(backend.requests) == 3


def test_a_crashing_agent_is_named_and_lets_go_of_the_others(tmp_path: Path, use: Use) -> None:
    backend = use(lambda request: 1 / 0)
    with pytest.raises(AgentError, match='"keeper" raised ZeroDivisionError on episode'):
        run_plan(plan(), tmp_path / "run", concurrency=2)
    assert len(backend.requests) <= 4


def test_after_a_crash_the_other_episodes_ask_nothing_more(tmp_path: Path, use: Use) -> None:
    meter = RunMeter()
    numbers = itertools.count()
    both = threading.Barrier(2, timeout=20)

    def reply(request: ChatRequest) -> str:
        number = next(numbers)
        if number < 2:
            both.wait()
        if number == 0:
            raise KeyError("notes")
        if number == 1:
            for _ in range(1_000):  # this episode has calls left when the other has crashed
                if meter.stopped:
                    break
                time.sleep(0.01)
        return first_sentence(request)

    backend = use(reply)
    with pytest.raises(AgentError, match="KeyError"):
        run_plan(plan(), tmp_path / "run", concurrency=2, meter=meter)
    assert len(backend.requests) == 2


def text_of(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()


def test_usage_is_kept_on_disk_without_prompts_or_servers(tmp_path: Path, use: Use) -> None:
    use(lambda request: ChatReply("note", usage=Usage(1, 10, 4, 3, 0.25, 2)))
    settings = ModelSettings("made-up", base_url="http://10.1.2.3/v1", key_variable="SOME_KEY")
    asked = plan(AgentEntry(SPEC, model=settings))
    store = run_plan(asked, tmp_path / "run")
    with (tmp_path / "run" / "usage.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    assert rows[0]["part"] == "agent"
    again = RunFolder(tmp_path / "run", asked.description(), list(store.records))
    assert again.usage == store.usage
    written = "".join(text_of(p) for p in (tmp_path / "run").iterdir() if p.is_file())
    assert "10.1.2.3" not in written
    assert "SOME_KEY" not in written


def test_a_run_with_another_model_is_another_run(tmp_path: Path, use: Use) -> None:
    use(first_sentence)
    run_plan(plan(), tmp_path / "run")
    for settings in (ModelSettings("other"), ModelSettings("made-up", temperature=0.5)):
        with pytest.raises(UsageError, match="holds another run: its agents"):
            run_plan(plan(AgentEntry(SPEC, model=settings)), tmp_path / "run")
    moved = ModelSettings("made-up", base_url="http://elsewhere/v1", timeout_seconds=9)
    run_plan(plan(AgentEntry(SPEC, model=moved)), tmp_path / "run")


def test_options_reach_the_agent_and_the_description(tmp_path: Path, use: Use) -> None:
    backend = use(first_sentence)
    asked = plan(AgentEntry(SPEC, model=MODEL, options={"times": 2}))
    run_plan(asked, tmp_path / "run")
    assert len(backend.requests) == 2 * CALLS
    [described] = json.loads((tmp_path / "run" / "run.json").read_text())["agents"]
    assert described["options"] == {"times": 2}
    assert described["model"]["model"] == "made-up"


def test_rows_of_one_agent_are_told_apart_by_model_or_name() -> None:
    other = ModelSettings("other")
    names = [
        entry.name
        for entry in checked_entries(
            [
                AgentEntry(SPEC, model=MODEL),
                AgentEntry(SPEC, model=other),
                AgentEntry(SPEC, "mine", model=MODEL, options={"times": 3}),
                AgentEntry("flat", model=MODEL),
            ]
        )
    ]
    assert names == ["keeper (made-up)", "keeper (other)", "mine", "flat"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "no agent is named"),
        ([AgentEntry(SPEC)], "needs a language model: name one with --model"),
        ([AgentEntry(SPEC, model=MODEL, options={"tims": 2})], 'has no option "tims": did you'),
        ([AgentEntry(SPEC, model=MODEL)] * 2, 'are both called "keeper'),
        ([AgentEntry("flat"), AgentEntry("chunks", "flat")], 'are both called "flat"'),
        ([AgentEntry("promt_only", model=MODEL)], 'unknown agent "promt_only"'),
    ],
)
def test_wrong_entries_are_told(entries: list[AgentEntry], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checked_entries(entries)


class Demanding(Agent):
    """Needs an option, and dislikes some values of it."""

    name = "demanding"

    def __init__(self, size: int) -> None:
        self.size = 12 // size

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Do nothing."""
        return ()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (AgentEntry("rag", model=MODEL, options={"top_k": 0}), 'agent "rag": top_k must be'),
        (AgentEntry("tests.test_model_runner:Demanding"), 'needs the option "size"'),
        (
            AgentEntry("tests.test_model_runner:Demanding", options={"size": 0}),
            r"cannot be made: ZeroDivisionError: .* \(test_model_runner.py, line \d+\)",
        ),
    ],
)
def test_options_are_tried_before_anything_is_played(entry: AgentEntry, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checked_entries([AgentEntry("flat"), entry])


def test_agents_that_cannot_answer_are_refused_where_agents_answer() -> None:
    settings = {"answer_mode": "agent"}
    message = 'agent "flat" cannot answer questions itself.*--answer-mode reader'
    with pytest.raises(UsageError, match=message):
        small_plan([AgentEntry(SPEC, model=MODEL), "flat"], settings=settings)
    asked = small_plan([AgentEntry(SPEC, model=MODEL)], settings=settings)
    notes = "\n".join(footer(asked, [], "command"))
    assert "Answers: every agent's own, without a reader (answer mode agent)." in notes
    assert "Reader:" not in notes


def test_the_number_of_episodes_at_a_time_is_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="concurrency must be at least 1"):
        run_plan(plan("flat"), tmp_path / "run", concurrency=0)
