"""Trained policies before and after GRPO beside the baselines: played, kept, compared, shown."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memgym.agent import Agent
from memgym.agents.chat import ChatReply, ChatRequest
from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.manifest import write_manifest
from memgym.agents.grpo.metrics import rollout_metrics
from memgym.agents.grpo.policy import Policy, load_policy
from memgym.agents.grpo.rollouts import Job, Rollouts
from memgym.agents.grpo.settings import PolicySettings, TrainSettings, settings_from
from memgym.agents.grpo.stages import Players
from memgym.agents.grpo.updates import Updates
from memgym.benchmarks import grpo_play, grpo_results
from memgym.benchmarks.entries import AgentEntry
from memgym.benchmarks.grpo_page import findings, write_report
from memgym.benchmarks.grpo_play import AgentPlayer, ModelPlayer, Played
from memgym.benchmarks.grpo_results import Block, Report, ReportSettings, Row, compare
from memgym.benchmarks.grpo_runs import changes, variants_in
from memgym.cli.main import main
from memgym.errors import UsageError
from memgym.evaluation import environment_for, play_episode
from memgym.text import split_sentences
from tests.tiny_model import make_tiny_model

AGENTS = ("closed_book", "sentences", "oracle")
ENVIRONMENT = {
    "source": "procedural",
    "source_options": {"tokens": 1_000, "chunk_tokens": 250, "questions": 4},
    "memory_budget": 0.5,
    "reader_options": {"budget_tokens": 128},
    "view_recent": 1,
    "view_relevant": 1,
    "turns_per_chunk": 1,
}


def run_settings(seed: int, **sections: Any) -> TrainSettings:
    """Return settings of a run too small to learn."""
    given: dict[str, Any] = {
        "seed": seed,
        "environment": ENVIRONMENT,
        "prompt": {"instructions": "none", "max_tokens": 24},
        "optimizer": {"steps": 1},
        "evaluation": {"episodes": 3},
    }
    for name, section in sections.items():
        given[name] = {**given.get(name, {}), **section}
    return settings_from(given, "test")


def make_run(path: Path, policy: Policy, settings: TrainSettings) -> RunFolder:
    """Leave a folder as training does."""
    run = RunFolder(path)
    run.begin(settings)
    for model in ("start", "best", "final") if settings.optimizer.steps else ("best", "final"):
        (path / model).mkdir()
        policy.save(path / model)
        write_manifest(path / model, settings)
        # The weights are the same and the models are not: their writers tell them apart by this.
        config = path / model / "generation_config.json"
        told = {**json.loads(config.read_text()), "told": f"{model}/{settings.seed}"}
        config.write_text(json.dumps(told))
    run.finish()
    return run


def _insert(content: str) -> dict[str, Any]:
    arguments = {"memory_type": "semantic", "content": content}
    return {"name": "new_memory_insert", "arguments": arguments}


class WritingEngine:
    """Writes in place of a model: before GRPO one sentence of a chunk, after it more by seed."""

    def __init__(self, policy: Policy, settings: TrainSettings) -> None:
        model, seed = policy.model.generation_config.told.split("/")
        self._sentences = 1 if model == "start" else 3 + int(seed)
        self._running: dict[int, str] = {}

    def start(self, number: int, request: ChatRequest) -> None:
        text = str(request.messages[-1]["content"]).partition("\n")[2]
        chunk = text.partition("\n\nYour memory so far:")[0]
        self._running[number] = "\n".join(
            f"<tool_call>{json.dumps(_insert(sentence))}</tool_call>"
            for sentence in split_sentences(chunk)[: self._sentences]
        )

    def step(self) -> list[tuple[int, ChatReply]]:
        number = max(self._running)  # the last first: order must not matter
        text = self._running.pop(number)
        return [(number, ChatReply(text, token_ids=(1,), prompt_ids=(1,), logprobs=(0.0,)))]

    def drop(self) -> None:
        self._running.clear()

    def load_weights(self, model: Any, version: int) -> None:
        pass


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = tmp_path_factory.mktemp("model")
    make_tiny_model(folder)
    return load_policy(PolicySettings(model=str(folder)))


@pytest.fixture(scope="module")
def runs(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of one variant, and one run that differs from them."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (1, 0):
        make_run(folder / f"base/seed-{seed}", policy, run_settings(seed))
    weights = {"environment": {**ENVIRONMENT, "reward_weights": {"compression": 0.4}}}
    make_run(folder / "beta/seed-0", policy, run_settings(0, **weights))
    return folder


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo_play, "open_engine", WritingEngine)


@pytest.fixture(scope="module")
def report(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo_play, "open_engine", WritingEngine)
        settings = ReportSettings(episodes=4, budgets=(0.5, 0.2), lengths=(1, 2), agents=AGENTS)
        yield compare(variants_in([runs]), tmp_path_factory.mktemp("report"), settings)


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(report, tmp_path_factory.mktemp("page"))


def row(block: Block, name: str) -> Row:
    return next(item for item in block.rows if item.name == name)


# ---------------------------------------------------------------------- runs


def test_runs_that_differ_in_the_seed_alone_are_one_variant(runs: Path) -> None:
    first, second = variants_in([runs])
    assert (first.name, first.seeds) == ("base", (0, 1))
    assert (second.name, second.seeds) == ("environment.reward_weights.compression=0.4", (0,))


def test_the_first_run_that_is_named_gives_the_first_variant(runs: Path) -> None:
    first, second = variants_in([runs / "beta/seed-0", runs])
    assert (first.name, first.seeds) == ("seed-0", (0,))
    assert (second.name, second.seeds) == ("environment.reward_weights.compression=default", (0, 1))


def test_each_seed_may_begin_with_a_model_of_its_own(policy: Policy, tmp_path: Path) -> None:
    warm = {"supervised": {"agents": ["beginner"]}, "optimizer": {"steps": 0}}
    for seed in (0, 1):
        make_run(tmp_path / f"sft-{seed}", policy, run_settings(seed, **warm))
        start = {"policy": {"model": str(tmp_path / f"sft-{seed}/final")}}
        make_run(tmp_path / f"grpo-{seed}", policy, run_settings(seed, **start))
    grpo, warm_up = variants_in([tmp_path])
    assert (grpo.name, grpo.seeds, warm_up.seeds) == ("grpo", (0, 1), (0, 1))
    assert grpo.folders("start") == tuple(tmp_path / f"grpo-{seed}/start" for seed in (0, 1))
    assert warm_up.folders("start") == ()


def test_settings_are_told_apart_by_what_has_changed() -> None:
    first = {"loss": {"clip_low": 0.2, "mean": "tokens"}, "advantage": {"kind": "two_level"}}
    other = {"loss": {"clip_low": 0.1, "mean": "tokens"}, "advantage": {"kind": "paper"}}
    assert changes(first, other) == ["advantage.kind=paper", "loss.clip_low=0.1"]
    assert changes(first, first) == []


def test_what_is_no_finished_run_is_refused(policy: Policy, runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run of memgym train"):
        variants_in([tmp_path])
    RunFolder(tmp_path / "begun").begin(run_settings(0))
    with pytest.raises(UsageError, match="begun has not ended"):
        variants_in([tmp_path])
    make_run(tmp_path / "copy", policy, run_settings(0))
    with pytest.raises(UsageError, match="are the same run"):
        variants_in([runs / "base", tmp_path / "copy"])
    with pytest.raises(UsageError, match='no model "bets": did you mean "best"'):
        ReportSettings(models=("bets",))


# ---------------------------------------------------------------------- what is played


def test_a_model_does_here_what_the_learner_saw_it_do(policy: Policy, runs: Path) -> None:
    run = RunFolder(runs / "base/seed-0")
    settings = run.settings()
    player = ModelPlayer(run.best, settings, "validation")
    here = dict(player.play(player.load(), [2, 0, 1]))
    learner = Players(
        Updates(load_policy(replace(settings.policy, model=str(run.best)))), settings, ""
    )
    learner.take_weights(0)
    judged = learner.judge(range(3), 0)
    learner.close()
    assert [here[index].episode_id for index in range(3)] == [one.episode_id for one in judged]
    assert [here[index].correctness for index in range(3)] == [one.correctness for one in judged]
    assert [here[index].calls for index in range(3)] == [one.calls for one in judged]
    assert sum(here[index].responses for index in range(3)) == rollout_metrics(judged)["samples"]


def test_what_is_counted_is_what_rollouts_count(runs: Path, written: None) -> None:
    run = RunFolder(runs / "base/seed-1")
    player = ModelPlayer(run.best, run.settings(), "test")
    policy = player.load()
    made = grpo_results.Condition(None, 1)
    assert made.environment(run.settings()) == ENVIRONMENT
    engine: Any = WritingEngine(policy, run.settings())
    trajectories = list(
        Rollouts(run.settings(), engine, split="test", temperature=0.0).play(
            [Job(index, 0, index, 0) for index in range(4)]
        )
    )
    wanted = rollout_metrics(trajectories)
    settings = ReportSettings(episodes=4, agents=(), models=("best",))
    [found] = compare(variants_in([run.path]), run.path.parent / "counted", settings).blocks[0].rows
    assert 0 < wanted["r1"] < 1
    assert (found.r1.mean, found.r2, found.r3, found.r4, found.total) == pytest.approx(
        [wanted[name] for name in ("r1", "r2", "r3", "r4", "return")]
    )
    assert found.memory_share == pytest.approx(wanted["memory_share"])
    assert found.calls_per_response == pytest.approx(wanted["calls"])
    assert found.failed_calls == pytest.approx(wanted["failed_call_share"])
    for kind, shares in (("r1", found.abilities), ("cause", found.causes), ("calls", found.calls)):
        assert shares == pytest.approx(
            {name[len(kind) + 1 :]: wanted[name] for name in wanted if name.startswith(f"{kind}/")}
        )


def test_a_baseline_is_played_as_the_benchmark_plays_it(report: Report) -> None:
    agent = AgentEntry("sentences").make()
    env = environment_for(agent, **{**ENVIRONMENT, "memory_budget": 0.2}, split="test")
    played = [play_episode(agent, env, index) for index in range(4)]
    found = row(report.blocks[2], "sentences")
    assert found.r1.mean == pytest.approx(np.mean([item.score for item in played]))
    shares = [item.metrics["memory_share"] for item in played]
    assert found.memory_share == pytest.approx(np.mean(shares))
    calls = sum(item.calls for item in played)
    failed = calls - sum(item.valid_calls for item in played)
    assert found.failed_calls == pytest.approx(failed / calls)
    assert failed > 0


def test_the_step_terms_of_a_baseline_are_those_of_its_return() -> None:
    entry = AgentEntry("sentences", name="sentences")
    environment = {**ENVIRONMENT, "memory_budget": 0.2}
    played = AgentPlayer(entry, environment, "test").play(1)
    env = environment_for(entry.make(), **environment, split="test")
    wanted = play_episode(entry.make(), env, 1).reward
    assert played.format is not None
    assert played.content is not None
    assert 0 < played.format < 1
    total = played.correctness + played.format + 0.05 * played.compression + 0.1 * played.content
    assert total == pytest.approx(wanted)


class Searcher(Agent):
    """Looks into the memory, then writes the first sentence of the chunk, and fails once."""

    name = "searcher"

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Search on the first turn, write on the second."""
        if not observation["feedback"].startswith("ok: search_memory"):
            arguments = {"memory_type": "semantic", "query": "name"}
            return [{"name": "search_memory", "arguments": arguments}]
        return [_insert(split_sentences(observation["chunk"])[0]), {"name": "no_such_tool"}]


def test_a_chunk_that_took_two_turns_is_paid_once() -> None:
    entry = AgentEntry("tests.test_grpo_report:Searcher", name="searcher")
    environment = {**ENVIRONMENT, "turns_per_chunk": 2}
    played = AgentPlayer(entry, environment, "test").play(0)
    env = environment_for(entry.make(), **environment, split="test")
    wanted = play_episode(entry.make(), env, 0)
    assert (played.responses, played.failed_calls) == (wanted.steps, wanted.steps // 2)
    assert played.format == 0.5
    assert played.content is not None
    total = played.correctness + played.format + 0.05 * played.compression + 0.1 * played.content
    assert total == pytest.approx(wanted.reward)


def test_budget_and_length_are_those_asked_for(report: Report) -> None:
    places = [(block.condition.budget, block.condition.length) for block in report.blocks]
    assert places == [(0.5, 1), (0.5, 2), (0.2, 1), (0.2, 2)]
    for block in report.blocks:
        assert f"questions 4, tokens {1_000 * block.condition.length})" in block.source
        assert f"Memory budget: {block.condition.budget:.0%}" in block.parts[-1].replace(" %", "%")
        # A memory of half the text holds a fifth of it, too; not the other way round.
        shares = [item.memory_share for item in block.rows]
        assert 0.5 * (block.condition.budget or 0) < max(shares) <= (block.condition.budget or 0)
    assert row(report.blocks[0], "sentences").r1.mean != row(report.blocks[2], "sentences").r1.mean
    with pytest.raises(UsageError, match=r"source_options\.tokens"):
        grpo_results.Condition(None, 4).environment(settings_from({}, "test"))


def test_what_was_played_is_not_played_again(
    runs: Path, written: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    settings = ReportSettings(episodes=3, agents=("sentences",))
    variants = variants_in([runs / "base"])

    def go_on() -> Report:
        return compare(
            variants, tmp_path, settings, progress=lambda done, total: told.append((done, total))
        )

    whole = AgentPlayer.play
    stop: Callable[..., Played] = whole

    def killed(player: AgentPlayer, episode: int) -> Played:
        if episode == 2:
            raise KeyboardInterrupt
        return whole(player, episode)

    monkeypatch.setattr(AgentPlayer, "play", killed)
    with pytest.raises(KeyboardInterrupt):
        go_on()
    assert told == [(0, 15), (1, 15), (2, 15)]
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"key": "half a li')
    monkeypatch.setattr(AgentPlayer, "play", stop)
    told.clear()
    first = go_on()
    assert (told[0], told[-1], len(told)) == ((2, 15), (15, 15), 14)
    monkeypatch.setattr(ModelPlayer, "load", killed)
    told.clear()
    assert go_on() == first
    assert told == [(15, 15)]
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 15


def test_another_model_is_played_anew(
    policy: Policy, written: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = ReportSettings(episodes=2, agents=(), models=("best",))
    make_run(tmp_path / "run", policy, run_settings(0))
    before = compare(variants_in([tmp_path / "run"]), tmp_path / "out", settings)
    make_run(tmp_path / "other/run", policy, run_settings(1))
    after = compare(variants_in([tmp_path / "other/run"]), tmp_path / "out", settings)
    assert before.blocks[0].rows[0].memory_share < after.blocks[0].rows[0].memory_share
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 4
    assert after.outdated == 0
    monkeypatch.setattr(grpo_results, "code_digest", lambda: "edited")
    again = compare(variants_in([tmp_path / "run"]), tmp_path / "out", settings)
    assert (again.outdated, again.results) == (2, 2)
    assert "2 of 2 results were played with other versions" in (
        write_report(again, tmp_path / "out").read_text()
    )


# ---------------------------------------------------------------------- what it says


def test_rows_are_means_over_seeds_and_know_each_seed(report: Report) -> None:
    for block in report.blocks:
        assert block.episodes == 4
        assert block.questions == 16
        after = row(block, "base, after GRPO")
        assert after.seeds == (0, 1)
        assert after.r1.mean == pytest.approx(np.mean(after.by_seed))
        assert after.r1.low <= after.r1.mean <= after.r1.high
        assert math.isclose(sum(after.causes.values()), 1)
        assert math.isclose(sum(after.calls.values()), 1)
        oracle = row(block, "oracle")
        assert (oracle.seeds, oracle.by_seed, oracle.privileged) == ((), (), True)


def test_variants_are_weighted_as_they_were_trained(report: Report) -> None:
    [base, beta] = [item for item in report.blocks[0].rows if item.model == "start"]
    assert beta.total - base.total == pytest.approx(0.35 * base.r3)


def test_comparisons_are_over_the_same_episodes(report: Report) -> None:
    block = report.blocks[0]
    found = {(item.first, item.second): item for item in block.comparisons}
    base, before = "base, after GRPO", "base, before GRPO"
    beta = [item.name for item in block.rows if item.model == "best"][1]
    assert [pair for pair in found if pair[0] == base] == [
        (base, other) for other in (before, *AGENTS)
    ]
    assert (beta, base) in found
    gain = found[base, before]
    assert gain.difference.mean == pytest.approx(
        row(block, base).r1.mean - row(block, before).r1.mean
    )
    assert gain.difference.mean > 0
    assert gain.p <= gain.corrected <= 1
    assert 0 < gain.p <= 1


def test_other_environments_are_tables_of_their_own(
    policy: Policy, written: None, tmp_path: Path
) -> None:
    make_run(tmp_path / "all", policy, run_settings(0))
    types = {"environment": {"memory_types": ["semantic"]}}
    make_run(tmp_path / "one", policy, run_settings(0, **types))
    warm = {"supervised": {"agents": ["beginner"]}, "optimizer": {"steps": 0}}
    make_run(tmp_path / "warm", policy, run_settings(0, **warm))
    settings = ReportSettings(episodes=2, agents=("sentences",))
    report = compare(variants_in([tmp_path]), tmp_path / "out", settings)
    first, second = report.blocks
    assert [len(block.variants) for block in report.blocks] == [2, 1]
    assert (first.differs, second.differs) == ("", 'memory_types=["semantic"]')
    assert len([item for item in first.rows if item.variant]) == 3  # no GRPO, nothing before it
    [one, other] = findings(report)
    assert one.startswith("own memory budget: all, after GRPO")
    assert other.startswith('own memory budget, memory_types=["semantic"]: environment.memory')


def test_the_report_tells_everything_beside_its_tables(report: Report, page: Path) -> None:
    text = page.read_text()
    blocks = text.split("\n\n")
    tables = [index for index, part in enumerate(blocks) if part.startswith("|")]
    assert len(tables) == 1 + 2 + 2 + 6 * len(report.blocks)
    for index in tables:
        assert "Reader: verbatim, 128" in blocks[index + 1]
        assert "4 episodes, 16 questions per policy and seed" in blocks[index + 1]
        assert "seeds" in blocks[index + 1]
        heads, _, *rows = blocks[index].splitlines()
        assert {line.replace(r"\|", "").count("|") for line in rows} == {heads.count("|")}
    found = row(report.blocks[0], "base, after GRPO")
    assert f"{100 * found.r1.mean:.1f} [{100 * found.r1.low:.1f}" in text
    kept = 100 * row(report.blocks[1], "oracle").r1.mean / row(report.blocks[0], "oracle").r1.mean
    assert f"; {kept:.0f} % kept" in text
    assert "oracle †" in text
    numbers = json.loads((page.parent / "report.json").read_text())
    assert numbers["blocks"] == json.loads(json.dumps(dataclasses.asdict(report)))["blocks"]
    html = (page.parent / "report.html").read_text()
    assert html.count("<table>") == len(tables)
    assert html.count("<svg") == 3
    assert "src=" not in html
    for name in ("score_of_each_seed", "score_against_length", "score_against_memory"):
        assert (page.parent / f"{name}.png").stat().st_size > 10_000
        assert f"({name}.svg)" in text
    assert "seed 1" in (page.parent / "score_of_each_seed.svg").read_text()


def test_the_command_writes_the_report(
    runs: Path, written: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "report-grpo", str(runs / "base"), "--episodes", "2", "--agents", "sentences",
        "--memory-budget", "25%", "--models", "best", "--out", str(tmp_path), "--jobs", "1",
    ]  # fmt: skip
    assert main(command) == 0
    first = capsys.readouterr().out
    assert "25 % of memory: base, after GRPO" in first
    assert (tmp_path / "report.md").is_file()
    assert main(command) == 0
    assert "All 6 results were there already." in capsys.readouterr().out
    assert main([*command, "--models", "bets"]) == 2
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--length", "0"])
    assert 'did you mean "best"' in capsys.readouterr().err


def test_a_crash_keeps_what_was_played(
    runs: Path,
    written: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def crash(*given: Any) -> Mapping[str, Any]:
        raise RuntimeError("boom")

    command = ["report-grpo", str(runs / "base"), "--episodes", "2", "--out", str(tmp_path)]
    monkeypatch.setattr("memgym.baselines.sentences.Sentences.act", crash)
    assert main([*command, "--agents", "closed_book,sentences", "--jobs", "1"]) == 1
    told = capsys.readouterr().err
    assert "RuntimeError: boom" in told
    assert "2 of 12 results are kept" in told
