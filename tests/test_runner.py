"""Behaviour of plans, run folders and the runner: same bytes always, nothing lost after a kill."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memgym.benchmarks.outcome import AgentError
from memgym.benchmarks.plan import RunPlan, make_plan
from memgym.benchmarks.run_folder import RunFolder, playing_alone
from memgym.benchmarks.runner import run_plan
from memgym.benchmarks.suites import Suite, resolve
from memgym.errors import UsageError
from memgym.traces.format import FILE_NAME, read_traces, write_traces
from tests.runs import CRASHING_AGENT, FACTS, SLOW_AGENT, SUITE, small_plan


def results(folder: Path) -> bytes:
    return (folder / "results.jsonl").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a complete run of the small plan."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    run_plan(small_plan(), folder)
    return folder


def half_done(folder: Path, finished: Path, kept: int, tail: bytes = b"") -> Path:
    """Return a folder like one that was killed: some results, and the start of another line."""
    folder.mkdir()
    (folder / "run.json").write_bytes((finished / "run.json").read_bytes())
    lines = results(finished).splitlines(keepends=True)
    (folder / "results.jsonl").write_bytes(b"".join(lines[:kept]) + tail)
    write_traces(folder / FILE_NAME, itertools.islice(read_traces(finished), kept))
    return folder


def test_results_hold_every_agent_and_episode_in_order(finished: Path) -> None:
    keys = [(r["agent"], r["episode_id"]) for r in map(json.loads, results(finished).splitlines())]
    assert keys == [task.key for task in small_plan().tasks()]
    assert len(keys) == 21


def test_results_hold_no_wall_time(finished: Path) -> None:
    record = json.loads(results(finished).splitlines()[0])
    assert not [name for name in record if "second" in name or "time" in name]
    timings = (finished / "timings.csv").read_text().splitlines()
    assert timings[0] == "agent,episode_id,seconds"
    assert len(timings) == 22


def test_two_processes_give_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    run_plan(
        small_plan(),
        tmp_path / "run",
        jobs=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert results(tmp_path / "run") == results(finished)
    assert seen == [(done, 21) for done in range(22)]


def test_run_continues_after_a_half_written_line(finished: Path, tmp_path: Path) -> None:
    folder = half_done(tmp_path / "run", finished, kept=5, tail=b'{"agent": "flat", "epi')
    seen: list[int] = []
    run_plan(small_plan(), folder, progress=lambda done, _: seen.append(done))
    assert seen == list(range(5, 22))
    assert results(folder) == results(finished)


def test_order_of_arrival_does_not_show(finished: Path, tmp_path: Path) -> None:
    folder = half_done(tmp_path / "run", finished, kept=0)
    lines = results(finished).splitlines(keepends=True)
    (folder / "results.jsonl").write_bytes(b"".join(reversed(lines)))
    run_plan(small_plan(), folder)
    assert results(folder) == results(finished)


def test_complete_run_is_not_played_again(finished: Path) -> None:
    seen: list[tuple[int, int]] = []
    run_plan(small_plan(), finished, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(21, 21)]


def test_damaged_line_is_named(finished: Path, tmp_path: Path) -> None:
    folder = half_done(tmp_path / "run", finished, kept=2, tail=b"{}\n")
    with pytest.raises(UsageError, match=r"results\.jsonl, line 3: not a result"):
        run_plan(small_plan(), folder)


def test_result_of_another_run_is_named(finished: Path, tmp_path: Path) -> None:
    foreign = b'{"agent": "flat", "episode_id": "elsewhere/1"}\n'
    folder = half_done(tmp_path / "run", finished, kept=2, tail=foreign)
    with pytest.raises(UsageError, match=r'line 3: "elsewhere/1" is not in this run'):
        run_plan(small_plan(), folder)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (small_plan(seed=1), "its seed is 0, asked for is 1"),
        (small_plan(["flat"]), r'its agents is \["flat", "sentences", "oracle"\], asked for'),
        (small_plan(preset="paper"), 'its preset is "default", asked for is "paper"'),
        (small_plan(settings={"memory_budget": 90}), r"its settings\.memory_budget is null"),
        (small_plan(suite=Suite("tiny", "2", "", SUITE.entries)), r"its suites\[0\]\.version"),
    ],
)
def test_folder_of_another_run_is_refused(finished: Path, other: RunPlan, difference: str) -> None:
    before = results(finished)
    with pytest.raises(UsageError, match=f"holds another run: {difference}.*--out"):
        run_plan(other, finished)
    assert results(finished) == before


def test_changed_code_is_told_in_words(finished: Path, tmp_path: Path) -> None:
    folder = half_done(tmp_path / "run", finished, kept=1)
    description = json.loads((folder / "run.json").read_text())
    description["code"] = "0" * 16
    (folder / "run.json").write_text(json.dumps(description))
    with pytest.raises(UsageError, match="memgym's own files were changed since"):
        run_plan(small_plan(), folder)


def test_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"not empty \(thesis\.tex.*--out"):
        run_plan(small_plan(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_leftover_of_a_kill_before_the_first_file_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "run.json.partial").write_text("{")
    plan = small_plan(["closed_book"], Suite("one", "1", "", (FACTS,)))
    assert len(run_plan(plan, tmp_path).records) == 3


def test_broken_run_json_is_told(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match=r"run\.json is not JSON"):
        run_plan(small_plan(), tmp_path)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot use the run folder .* give another with --out"):
        run_plan(small_plan(), tmp_path / "file" / "run")


def test_timing_is_written_before_its_result(tmp_path: Path) -> None:
    plan = small_plan(["flat"])
    keys = [task.key for task in plan.tasks()]
    store = RunFolder(tmp_path, plan.description(), keys)
    agent, episode_id = keys[0]
    store.append({"agent": agent, "episode_id": episode_id}, 1.5)
    with (tmp_path / "timings.csv").open("a") as file:
        file.write("flat,cut o")
    again = RunFolder(tmp_path, plan.description(), keys)
    assert again.missing == keys[1:]
    assert again.seconds == {keys[0]: 1.5}


def test_appending_after_a_half_written_line_keeps_both_lines_whole(
    finished: Path, tmp_path: Path
) -> None:
    folder = half_done(tmp_path / "run", finished, kept=2, tail=b'{"agent": "flat", "epi')
    plan = small_plan()
    keys = [task.key for task in plan.tasks()]
    store = RunFolder(folder, plan.description(), keys)
    agent, episode_id = keys[2]
    store.append({"agent": agent, "episode_id": episode_id}, 1.0)
    # A second kill here: what was appended must not have joined the half-written line.
    assert list(RunFolder(folder, plan.description(), keys).records) == keys[:3]


def test_surrogates_in_a_prediction_survive(tmp_path: Path) -> None:
    plan = small_plan(["flat"], Suite("one", "1", "", (FACTS,)))
    keys = [task.key for task in plan.tasks()]
    store = RunFolder(tmp_path, plan.description(), keys)
    for agent, episode_id in keys:
        store.append({"agent": agent, "episode_id": episode_id, "prediction": "\ud800é"}, 0.1)
    store.finish()
    assert RunFolder(tmp_path, plan.description(), keys).records[keys[0]]["prediction"] == "\ud800é"


PLAY = """\
import pathlib, sys
from memgym.benchmarks.runner import run_plan
from tests.runs import small_plan
if __name__ == '__main__':
    for folder in sys.argv[1:]:
        seen = []
        run_plan(small_plan(['slow_agent:Slow', 'flat']), pathlib.Path(folder), jobs=2,
                 progress=lambda done, total: seen.append(done))
        print(seen[0])
"""


def test_killed_run_continues_to_the_same_bytes_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_agent.py").write_text(SLOW_AGENT)
    (tmp_path / "play.py").write_text(PLAY)
    pids = tmp_path / "pids"
    pids.mkdir()
    monkeypatch.setenv("PID_FOLDER", str(pids))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    process = subprocess.Popen([sys.executable, "play.py", "run"], cwd=tmp_path)
    try:
        wait_for_lines(tmp_path / "run" / "results.jsonl", 3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    # Results may still be in a worker's hands, but none is written once the parent is gone.
    kept = results(tmp_path / "run").count(b"\n")
    assert 3 <= kept < 14
    workers = [int(path.name) for path in pids.iterdir()]
    assert workers
    wait_until_gone(workers)

    continued = subprocess.run(
        [sys.executable, "play.py", "run", "undisturbed"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert continued.stdout.split() == [str(kept), "0"]
    assert results(tmp_path / "run") == results(tmp_path / "undisturbed")


def wait_for_lines(path: Path, count: int) -> None:
    for _ in range(3_000):
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} never got {count} lines")


def wait_until_gone(pids: list[int]) -> None:
    left = list(pids)
    for _ in range(3_000):
        left = [pid for pid in left if is_alive(pid)]
        if not left:
            return
        time.sleep(0.02)
    raise AssertionError(f"workers {left} outlived the run")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # A process that nobody waits for stays in the table as a zombie.
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("jobs", [1, 2])
def test_crashing_agent_is_named_and_the_rest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    (tmp_path / f"crashing_{jobs}.py").write_text(CRASHING_AGENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    plan = small_plan(["flat", f"crashing_{jobs}:Crashing"])
    with pytest.raises(
        AgentError, match='agent "crashing" raised KeyError on episode "proc'
    ) as info:
        run_plan(plan, tmp_path / "run", jobs=jobs)
    assert "chunk number" in str(info.value)
    assert "in act" in str(info.value)
    store = RunFolder(tmp_path / "run", plan.description(), [task.key for task in plan.tasks()])
    assert {agent for agent, _ in store.records} <= {"flat"}
    if jobs == 1:
        assert len(store.records) == 1


def test_jobs_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="jobs must be at least 1, got 0"):
        run_plan(small_plan(), tmp_path / "run", jobs=0)
    assert not (tmp_path / "run").exists()


def test_description_identifies_agents_suite_reader_and_seed() -> None:
    description = small_plan(seed=3).description()
    assert description["seed"] == 3
    assert description["suites"][0]["hash"] == resolve(SUITE).content_hash
    assert [agent["privileged"] for agent in description["agents"]] == [False, False, True]
    [suite] = description["suites"]
    names = [suite[role]["name"] for role in ("reader", "content_judge", "answer_judge")]
    assert names == ["verbatim", "rules", "exact"]
    assert suite["token_counter"] == "o200k_base"
    json.dumps(description, allow_nan=False)


def test_folder_name_follows_the_description() -> None:
    assert small_plan().folder_name() == small_plan().folder_name()
    assert small_plan().folder_name() != small_plan(seed=1).folder_name()
    assert small_plan().folder_name().startswith("tiny-")


def test_edited_agent_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "edited_agent.py"
    file.write_text(CRASHING_AGENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = small_plan(["edited_agent:Crashing"]).folder_name()
    file.write_text(CRASHING_AGENT + "\n# now with another idea\n")
    assert small_plan(["edited_agent:Crashing"]).folder_name() != before


def test_edited_reader_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "edited_reader.py"
    text = "from memgym.reader import VerbatimReader\n\nclass Mine(VerbatimReader):\n    pass\n"
    file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = {"reader": "edited_reader:Mine"}
    before = small_plan(settings=settings).folder_name()
    file.write_text(text + "\n# now with another idea\n")
    assert small_plan(settings=settings).folder_name() != before


def test_a_run_is_played_by_one_process_at_a_time(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from memgym.benchmarks.run_folder import playing_alone\n"
        "with playing_alone(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()\n"
    )
    plan = small_plan(["closed_book"])
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "run")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=r"another process is playing the run in .*--out"):
            run_plan(plan, tmp_path / "run")
        other.kill()
    assert len(run_plan(plan, tmp_path / "run").records) == 7
    assert len(run_plan(plan, tmp_path / "run").records) == 7, "it has let go"


def test_without_locks_a_run_is_played_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    with playing_alone(tmp_path / "run"):
        assert len(run_plan(small_plan(["closed_book"]), tmp_path / "run").records) == 7


def test_preset_is_merged_with_what_the_agent_sets() -> None:
    plan = small_plan(["chunks"], preset="paper")
    settings = json.loads(next(iter(plan.tasks())).settings)
    assert settings["reader_options"]["budget_tokens"] == 30_000
    from memgym.benchmarks.agents import load_agent
    from memgym.evaluation import environment_for

    env = environment_for(load_agent("chunks"), **settings)
    assert env.settings.reader_options == {"budget_tokens": 30_000, "top_k": 2}


@pytest.mark.parametrize(
    ("agents", "message"),
    [
        (["flt"], 'unknown agent "flt": did you mean "flat"'),
        ([], "no agent is named"),
        (["flat", "flat"], 'both called "flat"'),
        (["memgym.baselines.flat:Flt"], 'has no "Flt": did you mean "Flat"'),
        (["memgym.baselines.flat:update"], 'has no class "update"'),
        (["memgym.memory:Memory"], "must be a subclass of memgym.agent.Agent"),
        (["memgym.agent:Agent"], 'needs a class attribute "name" and act'),
        (["no_such_module_here:Agent"], 'cannot import "no_such_module_here"'),
    ],
)
def test_bad_agents_are_explained(agents: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small_plan(agents)


def test_bad_settings_are_explained() -> None:
    with pytest.raises(UsageError, match='no setting "memory_bugdet"'):
        small_plan(settings={"memory_bugdet": 3})
    with pytest.raises(UsageError, match='unknown preset "papr"'):
        small_plan(preset="papr")
    with pytest.raises(UsageError, match='"source" is decided by the suite'):
        small_plan(settings={"source": "squad"})
    with pytest.raises(UsageError, match="each suite once"):
        make_plan([resolve(SUITE), resolve(SUITE)], ["flat"])
