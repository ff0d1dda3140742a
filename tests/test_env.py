"""MemAlpha-v0: what an episode is, step by step."""

import copy
import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

import memgym
from memgym.baselines import BASELINES
from memgym.baselines.chunks import Verbatim
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.envs.settings import PRESETS, Settings, make_settings
from memgym.episode import Episode, Question
from memgym.errors import UsageError
from memgym.evaluation import play_episode
from tests.episodes import CHUNKS, village

SMALL: dict[str, Any] = {"source_options": {"tokens": 1_000, "chunk_tokens": 300, "questions": 4}}


def make(**settings: Any) -> MemAlphaEnv:
    return MemAlphaEnv(**{**SMALL, **settings})


def begin(
    env: MemAlphaEnv, episode: Episode | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    return env.reset(seed=0, options={"episode": episode or village()})


def insert(content: str, memory_type: str = "semantic") -> dict[str, Any]:
    return {
        "name": "new_memory_insert",
        "arguments": {"memory_type": memory_type, "content": content},
    }


def search(query: str) -> dict[str, Any]:
    return {"name": "search_memory", "arguments": {"query": query}}


def answer(text: str) -> dict[str, Any]:
    return {"name": "answer", "arguments": {"text": text}}


def test_an_episode_from_start_to_end() -> None:
    env = make()
    observation, info = begin(env)
    assert observation["chunk"] == CHUNKS[0]
    assert observation["feedback"] == ""
    assert info["n_chunks"] == info["n_questions"] == 3
    assert (info["source"], info["split"]) == ("village", "test")
    assert info["question_preface"] == "Answer briefly."

    observation, reward, terminated, truncated, info = env.step(
        [insert("On 3 May 2031 Ada Holm opened a bakery in Lund.", "episodic")]
    )
    assert observation["chunk"] == CHUNKS[1]
    assert observation["feedback"] == "ok: new_memory_insert: inserted e1"
    assert "[e1] On 3 May 2031 Ada Holm" in observation["memory"]
    read = sum(map(env.memory.counter.count, CHUNKS[:2]))
    assert observation["progress"] == pytest.approx([1 / 3, info["memory_tokens"] / read])
    assert reward == pytest.approx(1.1 / 3)  # (format 1 + 0.1 content 1) / 3 chunks
    assert (terminated, truncated) == (False, False)

    observation, reward, terminated, _, info = env.step(())  # nothing to store: not punished
    assert reward == pytest.approx(1.1 / 3)
    assert info["n_calls"] == 0

    observation, reward, terminated, _, info = env.step([insert("Ben Holm works in Alder Hall.")])
    assert terminated
    assert observation["chunk"] == ""
    terms = info["reward_terms"]
    assert terms["correctness"] == pytest.approx(2 / 3)
    per_chunk = terms["format"] + 0.1 * terms["content"]
    assert reward == pytest.approx(
        terms["correctness"] + 0.05 * terms["compression"] + per_chunk / 3
    )
    assert [a["score"] for a in info["answers"]] == [1.0, 1.0, 0.0]
    assert [a["cause"] for a in info["answers"]] == ["", "", "not_written"]
    assert info["metrics"]["not_written"] == 1.0
    tokens = env.memory.counter.count
    assert terms["compression"] == 1 - env.memory.total_tokens / sum(map(tokens, CHUNKS))


def test_questions_in_mid_stream_see_the_memory_of_that_moment() -> None:
    env = make()
    begin(env)
    env.step(())
    env.step([insert("Ada Holm opened a bakery in Lund.")])  # too late: it was asked after chunk 0
    *_, info = env.step(())
    first = info["answers"][0]
    assert (first["index"], first["score"], first["cause"]) == (0, 0.0, "not_written")


def test_what_was_deleted_is_diagnosed_as_lost() -> None:
    env = make()
    begin(env)
    env.step(())
    env.step([insert("Ben Holm works in Alder Hall.")])
    delete = {"name": "memory_delete", "arguments": {"memory_type": "semantic", "memory_id": "s1"}}
    *_, info = env.step([delete])
    assert info["answers"][1]["cause"] == "lost"


def test_later_calls_of_a_step_may_use_ids_made_earlier_in_it() -> None:
    env = make()
    begin(env)
    update = {
        "name": "memory_update",
        "arguments": {"memory_type": "semantic", "memory_id": "s1", "new_content": "Ada bakes."},
    }
    *_, info = env.step([insert("Ada keeps bees."), update])
    assert [result["status"] for result in info["tool_results"]] == ["ok", "ok"]
    assert env.memory.items("semantic") == {"s1": "Ada bakes."}


def test_search_keeps_the_chunk_while_turns_remain() -> None:
    env = make(turns_per_chunk=3)
    begin(env)
    for _ in range(2):
        observation, *_, info = env.step([insert("Ada Holm bakes."), search("who bakes")])
        assert observation["chunk"] == CHUNKS[0]
        assert "[s1] Ada Holm bakes." in observation["feedback"]
        assert info["chunk_index"] == 0
    observation, *_ = env.step([search("who bakes")])
    assert observation["chunk"] == CHUNKS[1]


def test_one_turn_disables_the_search_tool() -> None:
    env = make(turns_per_chunk=1)
    begin(env)
    observation, *_, info = env.step([search("who bakes")])
    assert observation["chunk"] == CHUNKS[1]
    assert info["tool_results"][0]["status"] == "error"
    assert "not offered" in observation["feedback"]
    assert "search_memory" not in env.instructions


def test_the_text_form_takes_tool_calls_and_only_text() -> None:
    env = gym.make("MemAlphaText-v0", **SMALL)
    env.reset(seed=0, options={"episode": village()})
    text = f"I keep this.\n<tool_call>\n{json.dumps(insert('Ada bakes in Lund.'))}\n</tool_call>"
    *_, info = env.step(text)
    assert info["tool_results"][0]["message"] == "inserted s1"
    with pytest.raises(TypeError, match="one string of model text"):
        env.step([insert("x")])


@pytest.mark.parametrize(("budget", "tokens"), [(20, 20), (0.5, 30)])
def test_the_memory_budget_refuses_what_does_not_fit(budget: float, tokens: int) -> None:
    env = make(memory_budget=budget)
    begin(env)
    if isinstance(budget, float):
        total = sum(map(env.memory.counter.count, CHUNKS))
        tokens = int(budget * total)
    assert env.memory.budget_tokens == tokens
    *_, info = env.step([insert("word " * 200)])
    assert info["tool_results"][0]["status"] == "error"
    assert "over the memory budget" in info["tool_results"][0]["message"]
    assert env.memory.total_tokens == 0


def test_old_items_come_back_into_view_when_they_are_relevant() -> None:
    env = make(view_recent=2, view_relevant=2)
    begin(env)
    items = [insert("Ben Holm has an office in Alder Hall.")]
    items += [insert(f"Filler number {n} says nothing.") for n in range(40)]
    env.step(items)
    observation, *_ = env.step(())  # the next chunk is about Ben Holm and Alder Hall
    assert "[s1] Ben Holm has an office" in observation["memory"]
    assert "(3 of 41 items)" in observation["memory"] or "(4 of 41 items)" in observation["memory"]
    recency_only = make(preset="paper")
    begin(recency_only)
    recency_only.step(items)
    observation, *_ = recency_only.step(())
    assert "Ben Holm" not in observation["memory"]
    assert "(5 of 41 items)" in observation["memory"]


def test_the_observation_stays_in_its_space_whatever_is_stored() -> None:
    env = make(max_text_characters=1_000, view_item_characters=400)
    observation, _ = begin(env)
    observation, *_ = env.step([insert("y" * n) for n in range(500, 540)])
    assert env.observation_space.contains(observation)
    assert 500 < len(observation["memory"]) <= 1_000
    assert "[s40]" in observation["memory"]  # the newest item is never cut away


def test_a_chunk_too_long_for_the_space_is_a_data_error() -> None:
    episode = Episode("long", "x", "accurate_retrieval", ("z" * 2_000,), (Question("q?", ("a",)),))
    with pytest.raises(UsageError, match="max_text_characters=2000"):
        begin(make(max_text_characters=1_000), episode)


def test_step_needs_a_running_episode() -> None:
    env = make()
    with pytest.raises(ResetNeeded):
        env.step(())
    begin(env)
    for _ in CHUNKS:
        env.step(())
    with pytest.raises(ResetNeeded):
        env.step(())


@pytest.mark.parametrize("action", [3, 2.5, np.zeros(2), object(), b"bytes"])
def test_an_action_of_no_known_form_is_a_programming_error(action: Any) -> None:
    env = make()
    begin(env)
    before = env.memory.digest()
    with pytest.raises(TypeError):
        env.step(action)
    assert env.memory.digest() == before
    assert env.step(())[4]["chunk_index"] == 1  # nothing was consumed


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"episod": 1}, 'did you mean "episode"'),
        ({"episode": 1.5}, "got 1.5"),
        ({"episode": True}, "got True"),
        ({"max_chunks": "3"}, "must be int"),
        ({"max_chunks": True}, "must be int"),
        ({"split": 3}, "must be str"),
        ({"episode": "nonsense"}, "nonsense"),
        ({"split": "tests"}, 'did you mean "test"'),
        ({"max_chunks": -1}, "at least 1"),
    ],
)
def test_reset_options_are_strict(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        make().reset(seed=0, options=options)


def test_reset_options_choose() -> None:
    env = make()
    _, info = env.reset(options={"episode": 3, "split": "test"})
    assert info["split"] == "test"
    assert info["episode_id"].endswith("/3")
    _, again = env.reset(options={"episode": info["episode_id"], "split": "test"})
    assert again["episode_id"] == info["episode_id"]
    _, info = env.reset(options={"max_chunks": 2, "episode": village()})
    assert (info["n_chunks"], info["n_questions"]) == (2, 1)
    assert info["episode_id"] == "village/0#2"


def test_the_same_seed_gives_the_same_episode_and_the_stream_goes_on() -> None:
    one, two = make(), make()
    ids = [one.reset(seed=7)[1]["episode_id"], one.reset()[1]["episode_id"]]
    assert [two.reset(seed=7)[1]["episode_id"], two.reset()[1]["episode_id"]] == ids
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"sorce": "squad"}, 'did you mean "source"'),
        ({"preset": "papers"}, 'did you mean "paper"'),
        ({"source": "procedurel"}, 'did you mean "procedural'),
        ({"split": "dev"}, "Valid: test, train, validation"),
        ({"reader": "verbatin"}, 'did you mean "verbatim"'),
        ({"reader_options": {"budget": 1}}, "budget"),
        ({"reader_options": 3}, "must be of type mapping"),
        ({"turns_per_chunk": 0}, "at least 1"),
        ({"max_calls": True}, "max_calls must be"),
        ({"view_recent": 2.0}, "of type int"),
        ({"answer_mode": "model"}, "Valid: agent, reader"),
        ({"memory_budget": 200.5}, "not a share"),
        ({"memory_budget": -1}, "at least 0"),
        ({"memory_types": "core"}, "must list some of"),
        ({"memory_types": ["cor"]}, "must list some of"),
        ({"memory_types": [["core"]]}, "must list some of"),
        ({"memory_types": True}, "must list some of"),
        ({"memory_types": 3}, "must list some of"),
        ({"reward_weights": {"r1": 1}}, "unknown term"),
        ({"reward_rules": "papr"}, 'did you mean "paper"'),
        ({"token_counter": "gpt"}, "unknown token counter"),
        ({"tokeniser": "x"}, "unknown tokeniser"),
        ({"source_options": {"token": 5}}, 'did you mean "tokens"'),
    ],
)
def test_bad_settings_are_explained(settings: dict[str, Any], hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        make(**settings)


def test_the_paper_preset_holds_the_published_constants() -> None:
    settings = make_settings("paper", {})
    assert (settings.view_recent, settings.view_relevant) == (5, 0)
    assert settings.turns_per_chunk == 1
    assert settings.core_capacity == 512
    assert settings.reader_options == {"budget_tokens": 30_000, "top_k": 20}
    assert settings.token_counter == "o200k_base"
    assert (settings.tokeniser, settings.reward_rules) == ("paper", "paper")
    assert settings.view_item_characters == settings.max_text_characters  # items in full
    assert BASELINES["chunks"].settings == {"reader_options": {"top_k": 2}}
    assert Verbatim.window_tokens == 30_000
    assert make_settings("paper", {"view_recent": 9}).view_recent == 9
    assert set(PRESETS) == {"default", "paper"}
    assert make_settings("default", {}) == Settings()


def test_the_state_can_be_saved_and_branched_from() -> None:
    env = make()
    begin(env)
    env.step([insert("Ada Holm opened a bakery in Lund.")])
    state = json.loads(json.dumps(env.get_state()))
    rest = [[insert("Ben Holm works in Alder Hall.")], [insert("More of it, on 4 May 2031.")]]
    expected = [env.step(action) for action in rest]

    other = make()
    other.reset(seed=5, options={"episode": village()})
    observation = other.set_state(state)
    assert observation["chunk"] == CHUNKS[1]
    for action, (obs, reward, terminated, _, info) in zip(rest, expected, strict=True):
        got = other.step(action)
        assert got[0]["memory"] == obs["memory"]
        assert (got[1], got[2], got[4]) == (reward, terminated, info)
    assert other.np_random.integers(1_000) == env.np_random.integers(1_000)


def test_a_state_names_its_episode_in_the_source() -> None:
    env = make(answer_mode="agent", split="validation")
    env.reset(seed=3, options={"split": "test", "max_chunks": 2})
    env.step(())
    env.step(())
    state = env.get_state()
    other = make(answer_mode="agent", split="validation")
    observation = other.set_state(state)
    assert observation["question"]
    assert other.get_state() == state


def test_a_bad_state_is_refused() -> None:
    env = make()
    with pytest.raises(ResetNeeded):
        env.get_state()
    with pytest.raises(UsageError, match="not an environment state"):
        env.set_state({"version": 1})


def test_a_deep_copy_is_an_independent_branch() -> None:
    env = make()
    begin(env)
    env.step([insert("Ada Holm opened a bakery in Lund.")])
    branch = copy.deepcopy(env)
    branch.step([insert("Only in the branch.")])
    assert len(env.memory) == 1
    assert len(branch.memory) == 2


def test_frames_show_where_the_episode_stands(capsys: pytest.CaptureFixture[str]) -> None:
    env = make(render_mode="ansi")
    begin(env)
    frame = env.render()
    assert frame is not None
    assert "chunk 1 of 3" in frame
    assert CHUNKS[0][:40] in frame
    env.step([insert("Ada bakes."), {"name": "memory_updat", "arguments": {}}])
    frame = env.render()
    assert frame is not None
    assert "✓ new_memory_insert: inserted s1" in frame
    assert "✗ memory_updat" in frame
    assert "[s1] Ada bakes." in frame
    env.step(())
    env.step(())
    assert "end of the episode" in str(env.render())
    human = make(render_mode="human")
    begin(human)
    human.step([insert("x y z")] * 20)
    printed = capsys.readouterr().out
    assert "chunk 2 of 3" in printed
    assert "… and 8 more" in printed
    assert "\x1b" not in printed  # no colours when it is not a terminal
    assert human.render() is None


def test_the_readme_example_and_module_docstring() -> None:
    import doctest

    assert doctest.testmod(memgym).failed == 0


@pytest.mark.no_cover
@pytest.mark.parametrize("max_chunks", [1, 3])
def test_a_drawn_episode_can_be_cut_short_for_every_seed(max_chunks: int) -> None:
    env = MemAlphaEnv(max_chunks=max_chunks)
    for seed in range(40):
        _, info = env.reset(seed=seed)
        assert (info["n_chunks"], info["n_questions"] > 0) == (max_chunks, True)


def test_progress_is_a_share_of_the_budget_if_there_is_one() -> None:
    env = make(memory_budget=50)
    begin(env)
    observation, *_, info = env.step([insert("Ada Holm opened a bakery.")])
    assert observation["progress"][1] == pytest.approx(info["memory_tokens"] / 50)


def test_malformed_json_is_repaired_only_on_request() -> None:
    arguments = '{"memory_type": "semantic", "content": "a b",}'
    text = f'{{"name": "new_memory_insert", "arguments": {arguments}}}'
    for repair, status in (("none", "error"), ("json_repair", "ok")):
        env = make(repair=repair)
        begin(env)
        *_, info = env.step(text)
        assert [result["status"] for result in info["tool_results"]] == [status]


def test_the_action_mask_tells_what_is_legal_now() -> None:
    env = make(answer_mode="agent")
    begin(env)

    def allowed() -> list[str]:
        bits = env.action_mask()["tools"]
        return [name for name, bit in zip(env.tool_names, bits, strict=True) if bit]

    assert "answer" not in allowed()
    assert "new_memory_insert" in allowed()
    env.step([insert("one item here")])
    assert allowed() == ["search_memory", "answer"]
    assert env.action_mask()["memory_ids"] == {"semantic": ["s1"], "episodic": []}
    assert make(memory_types=["semantic"]).action_mask()["core"] is False


def test_instructions_name_the_enabled_memory_types() -> None:
    assert "can be used here: semantic." in make(memory_types=["semantic"]).instructions
    assert "can be used here" not in make().instructions


def test_rendering_needs_an_episode_and_a_mode() -> None:
    with pytest.raises(ResetNeeded):
        make(render_mode="ansi").render()
    env = make()
    begin(env)
    with pytest.warns(UserWarning, match="render mode"):
        assert env.render() is None


def test_an_agent_plays_what_gymnasium_makes() -> None:
    result = play_episode(BASELINES["oracle"](), gym.make("MemAlpha-v0"), village())
    assert result.score == 1.0
    with pytest.raises(UsageError, match="MemAlpha environment"):
        play_episode(BASELINES["oracle"](), gym.make("CartPole-v1"), 0)


def test_the_text_form_has_no_action_mask() -> None:
    with pytest.raises(UsageError, match="any text is an action"):
        gym.make("MemAlphaText-v0", **SMALL).unwrapped.action_mask()  # type: ignore[attr-defined]


def test_a_chunk_that_does_not_fit_ends_the_episode() -> None:
    episode = Episode(
        "long", "x", "accurate_retrieval", ("short", "z" * 2_000), (Question("q?", ("a",)),)
    )
    env = make(max_text_characters=1_000)
    begin(env, episode)
    with pytest.raises(UsageError, match="chunk 1 has 2000 characters"):
        env.step(())
    with pytest.raises(ResetNeeded):
        env.step(())
