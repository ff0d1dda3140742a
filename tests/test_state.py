"""Saved states of a running episode: what they restore, and which are refused."""

import copy
import json
from typing import Any

import numpy as np
import pytest

from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode, Evidence, Question
from memgym.errors import UsageError
from tests.episodes import CHUNKS, village

SMALL: dict[str, Any] = {"source_options": {"tokens": 1_000, "chunk_tokens": 300, "questions": 4}}


def make(episode: Episode | None = None, **settings: Any) -> MemAlphaEnv:
    env = MemAlphaEnv(**{**SMALL, **settings})
    env.reset(seed=0, options={"episode": episode or village()})
    return env


def moved(env: MemAlphaEnv, episode: Episode | None = None, **settings: Any) -> MemAlphaEnv:
    """Return another environment that stands where ``env`` does, by way of JSON."""
    other = make(episode, **settings)
    other.set_state(json.loads(json.dumps(env.get_state())))
    return other


def insert(content: str, memory_type: str = "semantic") -> dict[str, Any]:
    arguments = {"memory_type": memory_type, "content": content}
    return {"name": "new_memory_insert", "arguments": arguments}


def delete(memory_id: str) -> dict[str, Any]:
    arguments = {"memory_type": "semantic", "memory_id": memory_id}
    return {"name": "memory_delete", "arguments": arguments}


SEARCH = {"name": "search_memory", "arguments": {"query": "bakery"}}


def standing() -> MemAlphaEnv:
    """Return an environment in the second chunk, with every kind of state in it."""
    env = make()
    env.step([insert("Ada Holm opened a bakery in Lund."), insert("It rained.", "episodic")])
    env.step([SEARCH, delete("s1"), {"name": "memory_updat", "arguments": {}}])
    return env


def test_the_state_is_json_and_comes_back_whole() -> None:
    env = standing()
    state = env.get_state()
    assert state["turn_results"]
    assert state["removed"]
    assert state["answers"]
    assert state["turn"] == 1
    other = moved(env)
    assert json.dumps(other.get_state()) == json.dumps(state)
    assert other.set_state(state)["feedback"] == "\n".join(state["feedback"])
    for action in ([insert("Ben Holm works in Alder Hall.")], ()):
        one, two = env.step(action), other.step(action)
        assert one[0]["memory"] == two[0]["memory"]
        assert one[1:] == two[1:]


def test_turns_used_up_before_the_state_stay_used_up() -> None:
    env = make(turns_per_chunk=2)
    env.step([insert("Ada Holm opened a bakery in Lund.")])
    env.step([SEARCH])
    other = moved(env, turns_per_chunk=2)
    observation, *_ = other.step([SEARCH])
    assert observation["chunk"] == CHUNKS[2]


def test_calls_of_earlier_turns_still_count_for_the_chunk() -> None:
    env = make()
    env.step([insert("Ada Holm opened a bakery in Lund.", "core"), delete("s9"), SEARCH])
    other = moved(env)
    (_, one, _, _, info), (_, two, *_) = env.step(()), other.step(())
    assert one == two
    assert info["reward_terms"]["format"] == pytest.approx(0.5)


def test_what_was_deleted_before_the_state_is_diagnosed_as_lost() -> None:
    env = make()
    env.step([insert("Ben Holm works in Alder Hall.")])
    env.step([delete("s1")])
    other = moved(env)
    answers = other.step(())[4]["answers"]
    (cause,) = [item["cause"] for item in answers if item["question"].startswith("Where does Ben")]
    fresh = make()
    for _ in range(2):
        fresh.step(())
    answers = fresh.step(())[4]["answers"]
    (never,) = [item["cause"] for item in answers if item["question"].startswith("Where does Ben")]
    assert (cause, never) == ("lost", "not_written")


def test_the_feedback_comes_back() -> None:
    env = make()
    env.step([insert("Ada bakes."), {"name": "memory_updat", "arguments": {}}])
    observation = make().set_state(env.get_state())
    assert observation["feedback"].startswith("ok: new_memory_insert: inserted s1\nerror: ")


def test_the_last_calls_are_not_kept_for_the_frame() -> None:
    env = make(render_mode="ansi")
    env.step([insert("Ada bakes.")])
    assert "── calls" in str(env.render())
    other = moved(env, render_mode="ansi")
    assert "── calls" not in str(other.render())
    assert "[s1] Ada bakes." in str(other.render())
    env.set_state(env.get_state())
    assert "── calls" not in str(env.render())


def test_a_state_taken_between_questions_goes_on_with_the_rest() -> None:
    env = make(answer_mode="agent")
    for _ in range(2):
        env.step(())
        if env.get_state()["due"]:
            env.step("Lund")
    env.step(())
    first = env.get_state()
    env.step("Alder Hall")
    state = env.get_state()
    assert (first["due"], state["due"]) == ([1, 2], [2])
    other = moved(env, answer_mode="agent")
    *_, terminated, _, info = other.step("\\boxed{7}")
    assert terminated
    assert [item["score"] for item in info["answers"]] == [1.0, 1.0, 1.0]


def test_the_generator_goes_on_where_it_stood() -> None:
    env = standing()
    other = moved(env)
    assert other.np_random.integers(1 << 40) == env.np_random.integers(1 << 40)


ANSWER = {
    "index": 0, "question": "q", "gold": ["a"], "prediction": "", "score": 0.0, "cause": "",
    "memory_ids": [], "failed": False,
}  # fmt: skip
RESULT = {
    "call": {"name": "", "message": "no", "id": ""}, "status": "error", "message": "no",
    "memory_type": "", "memory_id": "", "removed": "", "truncated": False,
}  # fmt: skip
GOOD_CALL = {"name": "answer", "arguments": {}, "id": "", "repaired": False}
RNG = np.random.default_rng(0).bit_generator.state

BAD_ANSWERS: list[tuple[str, Any]] = [
    ("index", 3), ("index", -1), ("index", True), ("question", 3), ("gold", "a"),
    ("gold", [3]), ("prediction", None), ("score", 1.5), ("score", "1"),
    ("score", float("nan")), ("score", True), ("cause", "bad luck"), ("cause", None),
    ("memory_ids", "s1"), ("failed", 0),
]  # fmt: skip
BAD_RESULTS: list[tuple[str, Any]] = [
    ("call", None), ("call", {}), ("call", {**GOOD_CALL, "arguments": []}),
    ("call", {**GOOD_CALL, "id": 3}), ("status", "fine"), ("status", []), ("message", None),
    ("memory_type", 3), ("memory_id", 3), ("removed", None), ("truncated", 1),
]  # fmt: skip

MALFORMED: list[tuple[str, Any]] = [
    ("version", 2),
    ("version", None),
    ("episode_id", 3),
    ("episode_id", None),
    ("split", ["test"]),
    ("split", None),
    ("max_chunks", -1),
    ("max_chunks", "2"),
    ("max_chunks", True),
    ("chunk_index", -1),
    ("chunk_index", 3),
    ("chunk_index", "1"),
    ("chunk_index", 1.0),
    ("chunk_index", True),
    ("turn", -1),
    ("turn", 3),
    ("turn", None),
    ("due", [0]),
    ("due", "1"),
    ("due", [True]),
    ("due", None),
    ("shown", "text"),
    ("shown", [1]),
    ("read_tokens", -1),
    ("read_tokens", 1.5),
    ("memory", None),
    ("memory", {}),
    ("removed", "text"),
    ("removed", [None]),
    ("feedback", "text"),
    ("feedback", [3]),
    ("answers", {}),
    ("answers", ["x"]),
    ("answers", [{**ANSWER, "more": 1}]),
    ("answers", [ANSWER, ANSWER]),
    *(("answers", [{**ANSWER, key: value}]) for key, value in BAD_ANSWERS),
    ("turn_results", "x"),
    ("turn_results", [3]),
    ("turn_results", [{**RESULT, "more": 1}]),
    *(("turn_results", [{**RESULT, key: value}]) for key, value in BAD_RESULTS),
    ("rng", None),
    ("rng", {}),
    ("rng", {**RNG, "bit_generator": "MT19937"}),
    ("rng", {**RNG, "state": {"state": "x", "inc": 1}}),
    ("rng", {**RNG, "state": {"state": -1, "inc": 1}}),
    ("rng", {**RNG, "uinteger": "x"}),
]


@pytest.mark.parametrize(("key", "value"), MALFORMED)
def test_a_malformed_field_is_named_and_nothing_changes(key: str, value: Any) -> None:
    env = standing()
    before = env.get_state()
    memory, episode, last = env.memory, env.episode, env._last
    words = {"version": "not an environment state of version", "memory": "memory snapshot"}
    with pytest.raises(UsageError, match=words.get(key, f'"{key}')):
        env.set_state({**copy.deepcopy(before), key: value})
    assert env.get_state() == before
    assert env.memory is memory
    assert env.episode is episode
    assert env._last is last
    env.step(())


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"episode_id": "village/9"}, "no episode"),
        ({"split": "tset"}, "tset"),
    ],
)
def test_an_unknown_episode_or_split_changes_nothing(change: dict[str, Any], hint: str) -> None:
    env = standing()
    before = env.get_state()
    with pytest.raises(UsageError, match=hint):
        env.set_state({**before, **change})
    assert env.get_state() == before


def test_missing_and_unknown_keys_are_refused() -> None:
    env = standing()
    state = env.get_state()
    for key in state:
        rest = {name: value for name, value in state.items() if name != key}
        with pytest.raises(UsageError, match="not an environment state"):
            env.set_state(rest)
    with pytest.raises(UsageError, match="not an environment state"):
        env.set_state({**state, "more": 1})
    assert env.get_state() == state


def test_a_question_is_not_both_answered_and_due() -> None:
    env = make(answer_mode="agent")
    env.step(())
    state = env.get_state()
    assert state["due"] == [0]
    with pytest.raises(UsageError, match='"answers"'):
        env.set_state({**state, "answers": [ANSWER]})
    with pytest.raises(UsageError, match='"due"'):
        env.set_state({**state, "due": [1]})


def test_a_state_over_this_memorys_budget_is_refused() -> None:
    env = standing()
    small = make(memory_budget=2)
    before = small.get_state()
    with pytest.raises(UsageError, match="over the memory budget"):
        small.set_state(env.get_state())
    assert small.get_state() == before


def test_a_state_of_an_environment_that_was_never_reset_can_be_loaded() -> None:
    env = MemAlphaEnv(**SMALL)
    env.reset(seed=1)
    env.step([insert("Something.")])
    other = MemAlphaEnv(**SMALL, render_mode="ansi")
    observation = other.set_state(env.get_state())
    assert other.get_state() == env.get_state()
    assert "[s1] Something." in observation["memory"]
    assert "chunk 2 of" in str(other.render())


def test_a_cut_episode_bounds_the_chunk_index() -> None:
    episode = Episode(
        "cut", "x", "accurate_retrieval", ("one", "two", "three"),
        (Question("q?", ("one",), evidence=(Evidence(0, "one"),)),),
    )  # fmt: skip
    env = make(episode)
    env.reset(options={"episode": episode, "max_chunks": 2})
    state = env.get_state()
    with pytest.raises(UsageError, match='"chunk_index" must be an integer from 0 to 1, got 2'):
        env.set_state({**state, "chunk_index": 2})
