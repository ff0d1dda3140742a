"""Behaviour of runs that are killed, find no room, or are cut off: nothing is lost by it."""

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from memgym.benchmarks import suites
from memgym.benchmarks.run_folder import playing_alone
from memgym.benchmarks.runner import run_plan
from memgym.benchmarks.suites import Suite
from memgym.cli.main import main
from memgym.traces.format import encoded, read_traces
from memgym.traces.replay import episode_of, replay_on
from tests.runs import FACTS, SLOW_AGENT, small_plan

RESULTS, TRACES = "results.jsonl", "traces.jsonl.gz"
ROOT = Path(__file__).parents[1]


def files(folder: Path) -> dict[str, bytes]:
    """Return what must be the same, however often a run was stopped."""
    names = ["run.json", RESULTS, TRACES]
    if (folder / "episodes.csv").exists():
        names += ["episodes.csv"]
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    run_plan(small_plan(), folder)
    return folder


def copy_of(finished: Path, folder: Path) -> Path:
    folder.mkdir()
    for name, content in files(finished).items():
        (folder / name).write_bytes(content)
    return folder


def test_fifty_kills_leave_what_an_undisturbed_run_leaves(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.killing", str(tmp_path), "7", "50"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    counts = json.loads(told.stdout)
    assert counts["killed"] >= 50
    assert counts["folders"] >= 2
    undisturbed = files(tmp_path / "undisturbed")
    assert len(undisturbed) == 4
    for number in range(counts["folders"]):
        folder = tmp_path / f"run-{number}"
        assert files(folder) == undisturbed
        assert not list(folder.glob("*.partial"))


def test_every_result_has_its_trace(finished: Path) -> None:
    results = [json.loads(line) for line in (finished / RESULTS).read_bytes().splitlines()]
    traces = list(read_traces(finished))
    assert len(traces) == len(results) == 21
    for result, trace in zip(results, traces, strict=True):
        assert trace["agent"]["name"] == result["agent"]
        assert trace["episode"]["id"] == result["episode_id"]
        assert trace["suite"]["name"] == "tiny"
        for name in ("score", "reward", "metrics", "memory_digest", "answers", "seed"):
            assert trace[name] == result[name]


def test_traces_of_a_run_are_bit_exact(finished: Path) -> None:
    for trace in read_traces(finished):
        assert replay_on(trace, episode_of(trace)).differences == ()


def test_workers_write_the_same_traces(finished: Path, tmp_path: Path) -> None:
    run_plan(small_plan(), tmp_path / "run", jobs=2)
    assert files(tmp_path / "run") == files(finished)


def test_without_traces_none_are_kept_and_they_can_be_made_later(
    finished: Path, tmp_path: Path
) -> None:
    run_plan(small_plan(), tmp_path / "run", traces=False)
    assert not (tmp_path / "run" / TRACES).exists()
    assert (tmp_path / "run" / RESULTS).read_bytes() == (finished / RESULTS).read_bytes()
    told: list[int] = []
    run_plan(small_plan(), tmp_path / "run", progress=lambda done, total: told.append(done))
    assert told == list(range(22))
    assert files(tmp_path / "run") == files(finished)


def test_files_cut_anywhere_become_whole_again(finished: Path, tmp_path: Path) -> None:
    draw = random.Random("cuts")
    whole = files(finished)
    for number in range(5):
        folder = copy_of(finished, tmp_path / f"cut-{number}")
        for name in (RESULTS, TRACES):
            os.truncate(folder / name, draw.randint(0, len(whole[name])))
        run_plan(small_plan(), folder)
        assert files(folder) == whole


@pytest.mark.parametrize("zeros", [1, 4_096])
def test_zeros_where_the_machine_went_down_become_results(
    finished: Path, tmp_path: Path, zeros: int
) -> None:
    folder = copy_of(finished, tmp_path / "run")
    for name in (RESULTS, TRACES):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2] + bytes(zeros))
    run_plan(small_plan(), folder)
    assert files(folder) == files(finished)


def test_a_trace_without_its_result_is_dropped_and_made_again(
    finished: Path, tmp_path: Path
) -> None:
    folder = copy_of(finished, tmp_path / "run")
    lines = (folder / RESULTS).read_bytes().splitlines(keepends=True)
    (folder / RESULTS).write_bytes(b"".join(lines[:20]))
    traces = list(read_traces(folder))
    # As if the last had been made by another agent's code: what it holds is not believed.
    traces[20]["score"] = 0.125
    (folder / TRACES).write_bytes(b"".join(map(encoded, traces)))
    run_plan(small_plan(), folder)
    assert files(folder) == files(finished)


def test_traces_of_another_run_are_dropped(finished: Path, tmp_path: Path) -> None:
    folder = copy_of(finished, tmp_path / "run")
    [first, *rest] = read_traces(folder)
    first["agent"]["name"] = "somebody else"
    (folder / TRACES).write_bytes(b"".join(map(encoded, [*rest, *rest, first])))
    run_plan(small_plan(), folder)
    assert files(folder) == files(finished)


FULL = """\
import resource, sys
from pathlib import Path
from memgym.benchmarks.runner import run_plan
from memgym.errors import UsageError
from tests.runs import small_plan
for number, size in enumerate(map(int, sys.argv[2:])):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    folder = Path(sys.argv[1]) / f"full-{number}"
    try:
        run_plan(small_plan(), folder)
    except UsageError as error:
        print(error)
    else:
        print("no limit was met")
"""


def test_a_full_disk_is_told_and_nothing_is_lost(finished: Path, tmp_path: Path) -> None:
    """Files can grow to a limit; then every write fails, as on a full disk."""
    whole = files(finished)
    draw = random.Random("full disk")
    largest = max(map(len, whole.values()))
    sizes = [0, *(draw.randint(1_200, largest - 1) for _ in range(3))]
    told = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), *map(str, sizes)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    assert len(told) == len(sizes)
    for number, line in enumerate(told):
        folder = tmp_path / f"full-{number}"
        assert (
            line == f"cannot use the run folder {folder}: File too large; give another with --out"
        )
        run_plan(small_plan(), folder)
        assert files(folder) == whole


def test_a_second_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suites, "SUITES", {"mini": Suite("mini", "1", "tiny", (FACTS,))})
    arguments = ["bench", "--suite", "mini", "--agents", "flat", "--jobs", "1"]
    with playing_alone(tmp_path / "run"):
        assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    assert "another process is playing the run in" in capsys.readouterr().err
    assert not (tmp_path / "run" / RESULTS).exists()
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0


def test_bench_keeps_traces_unless_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suites, "SUITES", {"mini": Suite("mini", "1", "tiny", (FACTS,))})
    arguments = ["bench", "--suite", "mini", "--agents", "flat", "--jobs", "1", "--out"]
    assert main([*arguments, str(tmp_path / "with")]) == 0
    assert main(["replay", str(tmp_path / "with")]) == 0
    assert "OK: 3 traces replayed" in capsys.readouterr().out
    assert main([*arguments, str(tmp_path / "without"), "--no-traces"]) == 0
    assert not (tmp_path / "without" / TRACES).exists()


def test_a_kill_of_workers_loses_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the traces there, in the order in which two workers brought them."""
    (tmp_path / "slow_tracer.py").write_text(SLOW_AGENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PID_FOLDER", str(tmp_path))
    plan = small_plan(["slow_tracer:Slow", "flat"])

    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise StopError

    with pytest.raises(StopError):
        run_plan(plan, tmp_path / "run", jobs=2, progress=stop)
    assert len(gzip.decompress((tmp_path / "run" / TRACES).read_bytes()).splitlines()) == 5
    run_plan(plan, tmp_path / "run", jobs=2)
    run_plan(plan, tmp_path / "undisturbed")
    assert files(tmp_path / "run") == files(tmp_path / "undisturbed")
