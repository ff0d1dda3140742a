"""Presets and configuration files of ``memgym train``."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.grpo.presets import PRESET_SUMMARIES, PRESETS, load_config, merge, override
from memgym.agents.grpo.settings import settings_from
from memgym.config_file import toml_text
from memgym.envs.settings import make_settings
from memgym.errors import UsageError
from memgym.rewards import checked_weights
from memgym.tasks.registry import get_source


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_survives_a_file(name: str, tmp_path: Path) -> None:
    settings = settings_from(PRESETS[name], name)
    environment = dict(settings.environment)
    made = make_settings(environment.pop("preset", "default"), environment)
    get_source(made.source)
    assert PRESET_SUMMARIES[name]
    text = toml_text(settings.to_json())
    assert settings_from(tomllib.loads(text), "again") == settings
    (tmp_path / "all.toml").write_text(text, encoding="utf-8")
    assert load_config(tmp_path / "all.toml") == settings


def test_every_summary_has_its_preset() -> None:
    assert PRESET_SUMMARIES.keys() == PRESETS.keys()


def test_the_paper_preset_is_the_published_run() -> None:
    found = settings_from(PRESETS["qwen3-4b-paper"], "paper")
    assert found.policy.model == "Qwen/Qwen3-4B"
    assert (found.rollout.episodes, found.rollout.group_size) == (32, 8)
    assert found.rollout.temperature == 1.0
    assert (found.advantage.kind, found.advantage.scale) == ("paper", "level")
    assert (found.loss.clip_low, found.loss.clip_high, found.loss.dual_clip) == (0.2, 0.2, 3.0)
    assert (found.loss.mean, found.loss.kl_weight) == ("tokens", 0.001)
    assert found.loss.importance_cap == 0.0
    optimizer = found.optimizer
    assert (optimizer.learning_rate, optimizer.weight_decay) == (1e-6, 0.01)
    assert (optimizer.max_gradient_norm, optimizer.schedule) == (1.0, "constant")
    assert optimizer.warmup_steps == int(0.05 * optimizer.steps)
    assert optimizer.steps == 205
    # Minibatches of 32 samples; 10 chunks in an episode.
    assert optimizer.minibatches == found.rollout.episodes * found.rollout.group_size * 10 // 32
    assert found.prompt.max_tokens == 2_048
    assert found.prompt.context_tokens - found.prompt.max_tokens == 4_096
    assert found.prompt.template_options == {"enable_thinking": False}
    assert found.supervised.agents == ()
    environment = found.environment
    assert environment["preset"] == "paper"
    assert (environment["source"], environment["source_options"]) == ("memalpha", {"leaks": True})
    weights = {"correctness": 1.0, "format": 1.0, "compression": 0.05, "content": 0.1}
    assert checked_weights(environment["reward_weights"]) == weights
    reader, judge = environment["reader_options"], environment["content_judge_options"]
    assert (reader["model"], reader["temperature"], reader["max_tokens"]) == (
        "Qwen/Qwen3-32B", 0.7, 2_048,
    )  # fmt: skip
    assert (judge["model"], judge["temperature"]) == ("Qwen/Qwen3-32B", 0.1)


def test_the_tiny_preset_needs_no_data_and_no_other_model() -> None:
    found = settings_from(PRESETS["tiny"], "tiny")
    assert found.environment["source"] == "procedural"
    assert found.environment.get("reader", "verbatim") == "verbatim"
    assert (found.policy.model, found.rollout.engine) == ("tiny", "transformers")
    assert found.supervised.agents


def test_layers_are_merged_at_every_depth() -> None:
    low = {"a": {"b": {"c": 1, "d": 2}, "e": 3}, "f": [1, 2]}
    assert merge(low, {"a": {"b": {"c": 9}}, "f": [3]}) == {
        "a": {"b": {"c": 9, "d": 2}, "e": 3},
        "f": [3],
    }
    assert merge(low, {"a": {"b": {}}}) == {"a": {"b": {}, "e": 3}, "f": [1, 2]}
    assert merge({"a": 1}, {"a": {"b": 2}}) == {"a": {"b": 2}}
    assert low == {"a": {"b": {"c": 1, "d": 2}, "e": 3}, "f": [1, 2]}


def test_merging_leaves_presets_alone() -> None:
    before = json.dumps(PRESETS)
    merged = merge(PRESETS["qwen3-4b-paper"], {"environment": {"reader_options": {"top_k": 3}}})
    merged["prompt"]["template_options"]["more"] = 1
    assert json.dumps(PRESETS) == before


def test_overrides_reach_into_options() -> None:
    assert override("seed", 3) == {"seed": 3}
    path = "environment.source_options.tokens"
    assert override(path, 50) == {"environment": {"source_options": {"tokens": 50}}}
    for wrong in ("", "a.", ".a", "a..b"):
        with pytest.raises(UsageError, match="names no setting"):
            override(wrong, 1)


TOML = 'extends = "tiny"\nseed = 4\n[environment.source_options]\ntokens = 2000\n'
YAML = "extends: tiny\nseed: 4\nenvironment:\n  source_options: {tokens: 2000}\n"
JSON = '{"extends": "tiny", "seed": 4, "environment": {"source_options": {"tokens": 2000}}}'


@pytest.mark.parametrize(
    ("name", "text"), [("a.toml", TOML), ("a.yaml", YAML), ("a.yml", YAML), ("a.json", JSON)]
)
def test_a_file_extends_a_preset(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = load_config(tmp_path / name, [override("optimizer.steps", 7)])
    assert (found.seed, found.optimizer.steps) == (4, 7)
    tiny = PRESETS["tiny"]["environment"]
    assert found.environment["source_options"] == {**tiny["source_options"], "tokens": 2_000}
    assert found.environment["memory_budget"] == tiny["memory_budget"]


def test_a_file_may_stand_alone(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[policy]\nmodel = "here"\n', encoding="utf-8")
    assert load_config(tmp_path / "a.toml") == settings_from({"policy": {"model": "here"}}, "test")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.ini", "", r"a\.ini: a training configuration is a file that ends in \.toml"),
        ("a.toml", 'extends = "tini"', r'extends: unknown preset "tini": did you mean "tiny"'),
        ("a.toml", "extends = 3", "extends: must be a text, got 3"),
        ("a.toml", "[optimiser]", 'unknown key "optimiser": did you mean "optimizer"'),
        ("a.toml", "[optimizer]\nstep = 3", 'a.toml: optimizer has no setting "step": did you'),
        ("a.toml", "[optimizer]\nsteps = -3", r"a\.toml: optimizer\.steps must be at least 0"),
        ("a.toml", "[optimizer]\nsteps =", r"a\.toml, line 2"),
        ("a.json", '{"seed": 1,\n"seed": 2}', r'a\.json: "seed" stands twice in one object'),
        ("a.json", '{"seed": 1,\n', r"a\.json, line 2: Expecting"),
        ("a.json", '{"loss": {"clip_low": NaN}}', "loss.clip_low: must be a finite number"),
        ("a.json", "[1]", "must be a table of keys"),
        ("a.toml", '[supervised.model]\napi_key = "x"', "a key never stands in a file"),
    ],
)
def test_mistakes_are_told_where_they_are(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        load_config(tmp_path / name)


def test_toml_of_awkward_texts() -> None:
    content: dict[str, Any] = {
        "plain": 'quote " back \\ new\nline \x00 \x7f ✿ 😀',
        "table": {"with space": {"inner.key": [1, 2.5, True, "x"]}, "small": 1e-6, "": {}},
    }
    assert tomllib.loads(toml_text(content)) == content
    with pytest.raises(UsageError, match="null has no form in TOML"):
        toml_text({"a": {"b": None}})
