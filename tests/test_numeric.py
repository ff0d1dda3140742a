"""``MemAlphaNumeric-v0`` plays the same task as the text form, exactly, and suits its learners."""

import copy
import math
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from hypothesis import given, settings
from hypothesis import strategies as st

import memgym  # noqa: F401 - registers the environments
from memgym.envs.features import Featuriser, HashedWords
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.envs.mentions import MENTIONS
from memgym.envs.micro_steps import MEMORY, NEAREST, READING, MicroSteps, Move, joint_moves
from memgym.envs.numeric import MemAlphaNumericEnv
from memgym.envs.numeric_form import NumericForm
from memgym.envs.shaping import EvidencePotential
from memgym.episode import Episode, Question
from memgym.errors import UsageError
from memgym.memory import STORES, Memory, MemoryResult
from memgym.text import split_sentences
from memgym.tokens import get_counter
from tests.episodes import village
from tests.numeric_forms import SMALL, numeric, play

LIMITS: list[dict[str, Any]] = [
    {},
    {"memory_budget": 0.25},
    {"memory_budget": 0.3, "core_capacity": 40, "max_calls": 4},
    {"memory_budget": 60, "core_overflow": "reject"},
    {"memory_types": ["core", "episodic"], "token_counter": "splintr:qwen3"},
]


def steps_of(env: MemAlphaNumericEnv) -> MicroSteps:
    assert env._steps is not None
    return env._steps


# ------------------------------------------------------------------ the same task


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_recorded_calls_give_the_same_in_the_text_form(
    limits: dict[str, Any], seed: int
) -> None:
    env, text = numeric(**limits), MemAlphaEnv(**SMALL, **limits)
    text.reset(seed=seed)
    rewards, calls = 0.0, 0
    for _, reward, terminated, info in play(env, seed, legal=0.8):
        rewards += reward
        if "tool_calls" not in info:
            assert reward == 0.0
            continue
        *_, same_reward, same_end, _, same = text.step(list(info["tool_calls"]))
        assert (reward, terminated) == (same_reward, same_end)
        assert all(result["status"] == "ok" for result in info["tool_results"])
        for name in ("tool_results", "reward_terms", "memory_tokens", "memory_items"):
            assert info[name] == same[name]
        calls += len(info["tool_calls"])
    assert calls > 5
    assert env.text_env.memory.digest() == text.memory.digest()
    assert info["answers"] == same["answers"]
    assert info["metrics"] == same["metrics"]


@pytest.mark.parametrize("actions", ["joint", "multi"])
def test_without_edits_what_is_written_stays(actions: str) -> None:
    env = numeric(edits=False, actions=actions, memory_budget=0.5)
    assert env.observation_space == numeric(actions=actions).observation_space
    held: set[str] = set()
    tools: set[str] = set()
    for _ in range(2):
        for *_, info in play(env, 3, legal=0.7 if actions == "joint" else 0.0):
            for call in info.get("tool_calls", ()):
                tools.add(f"{call['name']} {call['arguments']['memory_type']}")
            items = {text for store in STORES for text in env.text_env.memory.items(store).values()}
            assert held <= items
            held = items
        held = set()
    assert tools == {
        "memory_update core", "new_memory_insert episodic", "new_memory_insert semantic",
    }  # fmt: skip


def test_edits_is_true_or_false() -> None:
    with pytest.raises(UsageError, match="edits must be True or False, got 0"):
        numeric(edits=0)


def tried(memory: Memory, steps: MicroSteps, move: Move) -> MemoryResult | None:
    """Carry a move out on a copy of the memory; ``None`` if there is nothing to carry out."""
    memory = copy.deepcopy(memory)
    if move.operation == "append":
        core = f"{memory.core}\n" if memory.core else ""
        return memory.update("core", core + steps.sentence)
    if move.operation == "insert":
        return memory.insert(move.store, steps.sentence)
    found = steps._similar[move.store]
    if move.slot >= len(found):
        return None
    item = steps._stores[move.store].ids[found[move.slot][0]]
    if move.operation == "update":
        return memory.update(move.store, steps.sentence, item)
    return memory.delete(move.store, item)


def apply(memory: Memory, call: dict[str, Any]) -> MemoryResult:
    given = call["arguments"]
    if call["name"] == "new_memory_insert":
        return memory.insert(given["memory_type"], given["content"])
    if call["name"] == "memory_update":
        return memory.update(given["memory_type"], given["new_content"], given.get("memory_id", ""))
    return memory.delete(given["memory_type"], given["memory_id"])


@pytest.mark.parametrize("limits", LIMITS)
def test_the_mask_is_what_the_memory_would_carry_out(limits: dict[str, Any]) -> None:
    env = numeric(similar_items=2, **limits)
    seen = {True: 0, False: 0}
    memory = Memory()
    for step, (*_, terminated, info) in enumerate(play(env, 3)):
        if terminated:
            break
        steps = steps_of(env)
        if not steps.calls or step % 5:
            memory = copy.deepcopy(env.text_env.memory)
            for call in steps.calls:
                assert apply(memory, call).status == "ok"
            assert memory.total_tokens == steps.total_tokens
        if step % 5:
            continue
        memory = copy.deepcopy(env.text_env.memory)
        for call in steps.calls:
            apply(memory, call)
        room = len(steps.calls) < env.settings.max_calls
        for move, allowed in zip(joint_moves(2), info["action_mask"], strict=True):
            if move.operation == "skip":
                assert allowed
                continue
            result = tried(memory, steps, move)
            carried_out = result is not None and result.status == "ok" and not result.truncated
            assert bool(allowed) == (carried_out and room), (move, result)
            seen[bool(allowed)] += 1
    assert min(seen.values()) > 3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=6))
def test_tokens_of_a_core_that_grows_are_exact(lines: list[str]) -> None:
    form = NumericForm()
    for sentence in [*lines, "/slash", "a\u00a0b", "…", "1", "\u3042"]:
        memory = Memory(core_capacity_tokens=40)
        steps = form.begin(memory, 256)
        for number, text in enumerate([*lines, sentence]):
            if not text.strip():
                continue
            steps.open(text, number, 9)
            while steps.reading:
                core = f"{memory.core}\n{steps.sentence}" if memory.core else steps.sentence
                fits = memory.counter.count(core) <= 40 and bool(steps.sentence.strip())
                assert steps.allowed[3] == fits
                before = len(steps.calls)
                steps.take(3)
                for call in steps.calls[before:]:
                    assert apply(memory, call).status == "ok"
                assert memory.total_tokens == steps.total_tokens


def test_a_slash_after_the_line_break_joins_it_in_one_token() -> None:
    memory = Memory(core_capacity_tokens=5)
    assert memory.counter.count("It rained.\n/slash") == 5
    assert memory.counter.count("It rained.\n") + memory.counter.count("/slash") == 6
    steps = NumericForm().begin(memory, 9)
    steps.open("It rained.\n/slash", 0, 1)
    steps.take(3)
    assert steps.allowed[3]


def test_what_is_not_allowed_skips_the_sentence() -> None:
    env = numeric(memory_budget=1)
    env.reset(seed=0)
    for action in range(1, 8):
        assert not env.action_masks()[action]
        before = steps_of(env)._place
        env.step(action)
        assert steps_of(env)._place == before + 1
        assert steps_of(env).calls == []


# ------------------------------------------------------------------ shaping


@pytest.mark.parametrize("limits", [{}, {"memory_budget": 0.25}])
def test_shaping_leaves_the_return_as_it_is(limits: dict[str, Any]) -> None:
    plain, shaped = numeric(**limits), numeric(shaping=2.0, **limits)
    for seed in range(3):
        hints, total = [], 0.0
        for (_, reward, *_), (_, other, *_) in zip(
            play(plain, seed), play(shaped, seed), strict=True
        ):
            hints.append(other - reward)
            total += other
        assert sum(hints) == pytest.approx(0.0, abs=1e-9)
        assert max(map(abs, hints)) > 0.1


def test_a_hint_is_the_share_of_evidence_that_came_or_went() -> None:
    env = numeric(shaping=6.0, similar_items=1)
    env.reset(options={"episode": village()})  # three questions with one piece of evidence each
    _, stored, *_ = env.step(1)
    _, both, *_, info = env.step(4)  # filler takes the place of the evidence
    assert stored == pytest.approx(2.0)
    plain = numeric(similar_items=1)
    plain.reset(options={"episode": village()})
    plain.step(1)
    assert both == pytest.approx(plain.step(4)[1] - 2.0)
    assert info["tool_calls"][1]["name"] == "memory_update"
    assert EvidencePotential(()).rise(["any text"]) == 0.0


def test_room_is_charged_as_it_is_filled_and_given_back_at_the_end() -> None:
    budget = {"memory_budget": 0.5}
    for seed in range(2):
        plain, priced = numeric(**budget), numeric(room_price=3.0, **budget)
        hints = []
        for (_, reward, *_), (_, other, *_) in zip(
            play(plain, seed), play(priced, seed), strict=True
        ):
            hints.append(other - reward)
        assert sum(hints) == pytest.approx(0.0, abs=1e-9)
        assert min(hints[:-1]) < 0 < hints[-1] <= 3.0


@pytest.mark.parametrize("budget", [0.5, 20, 1_000, 1.0])
def test_room_costs_less_the_more_of_the_text_it_holds(budget: float) -> None:
    env = numeric(room_price=3.0, memory_budget=budget)
    env.reset(options={"episode": village()})
    text = env.text_env.episode.count_tokens(get_counter().count)
    limit = env.text_env.memory.budget_tokens
    tokens = steps_of(env)._tokens
    assert tokens <= limit
    price = 3.0 * max(1 - limit / text, 0.0)
    assert env.step(1)[1] == pytest.approx(-price * tokens / text)


def test_without_a_budget_room_costs_nothing() -> None:
    plain, priced = numeric(), numeric(room_price=3.0)
    rewards = [[reward for _, reward, *_ in play(env, 0)] for env in (plain, priced)]
    assert rewards[0] == rewards[1]


def test_a_price_must_be_a_number_of_at_least_0() -> None:
    with pytest.raises(UsageError, match="room_price must be a finite number"):
        numeric(room_price=-1.0)


def test_evidence_held_twice_counts_once() -> None:
    potential = EvidencePotential(village().questions)
    text = "User: Ben Holm works in Alder Hall."
    assert potential.rise([text, text]) == pytest.approx(1 / 3)
    assert potential.rise([text]) == 0.0
    assert potential.rise([]) == pytest.approx(-1 / 3)


# ------------------------------------------------------------------ what is seen


def named(env: MemAlphaNumericEnv, observation: dict[str, Any]) -> dict[str, float]:
    slots = env.form.similar_items
    nearest = ["core", *(f"{s}{k}_{n}" for s in STORES for k in range(slots) for n in NEAREST)]
    names = dict(zip(MEMORY, observation["memory"].tolist(), strict=True))
    names |= dict(zip(nearest, observation["nearest"].tolist(), strict=True))
    seen = zip((*READING, *MENTIONS), observation["sentence"].tolist(), strict=False)
    return names | dict(seen)


def test_the_observation_follows_the_memory() -> None:
    env = numeric(observation="dict", memory_budget=30, similar_items=1)
    observation, _ = env.reset(options={"episode": village()})
    seen = named(env, observation)
    count = get_counter().count
    first, second = "On 3 May 2031 Ada Holm opened a bakery in Lund.", "The weather was fine."
    assert not any(seen[name] for name in ("used_of_budget", "semantic_items", "semantic0_held"))
    assert seen["fits"] == seen["fits_core"] == 1.0
    assert seen["tokens"] == pytest.approx(count(first) / 64)

    seen = named(env, env.step(1)[0])
    assert seen["used_of_budget"] == pytest.approx(count(first) / 30)
    assert seen["used_of_read"] == pytest.approx(
        count(first) / count(f"{first} {second}"), abs=0.01
    )
    assert seen["semantic_items"] == pytest.approx(math.log(2) / math.log(1_001))
    assert seen["calls_used"] == pytest.approx(1 / 256)
    assert [seen[f"semantic0_{name}"] for name in NEAREST] == pytest.approx(
        [1.0, 0.0, count(first) / 64, 1.0], abs=1e-6
    )
    assert seen["episodic0_held"] == seen["core"] == 0.0
    assert seen["chunk_read"] == 0.5
    assert seen["episode_read"] == pytest.approx(0.5 / 3)

    observation, _, _, _, info = env.step(3)  # the chunk ends
    assert info["tool_calls"][1]["arguments"] == {"memory_type": "core", "new_content": second}
    seen = named(env, observation)
    assert seen["core_used"] == pytest.approx(count(second) / 512)
    assert seen["calls_used"] == seen["chunk_read"] == 0.0
    assert seen["episode_read"] == pytest.approx(1 / 3)


def test_the_share_of_the_rest_that_fits_is_seen() -> None:
    count = get_counter().count
    episode = village()
    rest = [sum(map(count, split_sentences(chunk))) for chunk in episode.chunks]
    env = numeric(observation="dict", memory_budget=20)
    seen = named(env, env.reset(options={"episode": episode})[0])
    assert seen["room_for_rest"] == pytest.approx(20 / (3 * rest[0]))
    left, read = 20 - steps_of(env)._tokens, steps_of(env)._tokens
    seen = named(env, env.step(1)[0])
    assert seen["room_for_rest"] == pytest.approx(left / (3 * rest[0] - read))
    for _ in range(1, sum(len(split_sentences(chunk)) for chunk in episode.chunks) - 1):
        observation = env.step(0)[0]
    assert named(env, observation)["room_for_rest"] == pytest.approx(
        min(left / steps_of(env)._tokens, 1.0)
    )


@pytest.mark.parametrize("budget", [0, 10_000])
def test_with_room_for_everything_all_of_the_rest_fits(budget: int) -> None:
    env = numeric(observation="dict", memory_budget=budget)
    seen = named(env, env.reset(options={"episode": village()})[0])
    assert seen["room_for_rest"] == 1.0


def test_nothing_seen_depends_on_the_questions() -> None:
    episode = village()
    other = Episode(
        "other/0", "village", "conflict_resolution", episode.chunks,
        (Question("Who keeps bees?", ("Ada",), asked_after=1), *episode.questions[:1]),
        {"question_preface": "Shout."},
    )  # fmt: skip
    seen = []
    for asked in (episode, other):
        env = numeric()
        observation, info = env.reset(options={"episode": asked})
        course = [observation.tolist(), info["action_mask"].tolist()]
        for action in (1, 2, 4, 1, 3):
            observation, *_, info = env.step(action)
            course += [observation.tolist(), info["action_mask"].tolist()]
        seen.append(course)
    assert seen[0] == seen[1]


def test_the_moves_do_what_their_numbers_say() -> None:
    env = numeric(similar_items=2)
    _, info = env.reset(options={"episode": village()})
    calls: list[Any] = []
    # Two inserts; append, update of the episodic item; skip, delete of the semantic one, skip.
    for action in (1, 2, 3, 4 + 2, 8, 0, 0):
        if info["action_mask"].sum() == 0:
            break
        *_, terminated, _, info = env.step(action)
        calls += info.get("tool_calls", ())
        if terminated:
            break
    shown = [(call["name"], call["arguments"].get("memory_id")) for call in calls]
    assert shown == [
        ("new_memory_insert", None), ("new_memory_insert", None), ("memory_update", None),
        ("memory_update", "e1"), ("memory_delete", "s1"),
    ]  # fmt: skip


def test_both_codings_mean_the_same() -> None:
    joint, multi = numeric(), numeric(actions="multi")
    moves = {
        (0, 0, 0): 0, (0, 2, 1): 0, (1, 0, 2): 1, (1, 1, 0): 2, (1, 2, 0): 3, (2, 0, 1): 5,
        (2, 1, 2): 9, (3, 0, 0): 10, (3, 1, 1): 14, (2, 2, 0): 0, (3, 2, 2): 0,
    }  # fmt: skip
    for several, one in moves.items():
        assert multi.form.number(np.array(several)) == joint.form.number(one) == one


def test_the_multi_mask_allows_what_some_decision_needs() -> None:
    env = numeric(actions="multi", similar_items=2, memory_types=["semantic"])
    _, info = env.reset(options={"episode": village()})
    assert info["action_mask"].tolist() == [1, 1, 0, 0, 1, 0, 0, 1, 0]
    *_, info = env.step(np.array([1, 0, 0]))
    assert info["action_mask"].tolist() == [1, 1, 1, 1, 1, 0, 0, 1, 0]
    for _ in range(3):
        *_, info = env.step(np.array([1, 0, 1]))
    assert info["action_mask"].tolist() == [1, 1, 1, 1, 1, 0, 0, 1, 1]
    full = numeric(actions="multi", memory_budget=1)
    _, info = full.reset(seed=0)
    assert info["action_mask"].tolist() == [1, 0, 0, 0, *[1] * 6]  # for skip, the rest is idle


@pytest.mark.parametrize("action", [-1, 16, 1.0, "1", None, [1], np.array([0, 1])])
def test_an_action_outside_the_space_is_named(action: Any) -> None:
    env = numeric()
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"element of Discrete\(16\)"):
        env.step(action)


@pytest.mark.parametrize("action", [[0, 0], [4, 0, 0], [0, 3, 0], [1, 0, 3], 1, [0.0, 0.0, 0.0]])
def test_an_action_outside_the_multi_space_is_named(action: Any) -> None:
    env = numeric(actions="multi")
    env.reset(seed=0)
    with pytest.raises(UsageError, match="element of MultiDiscrete"):
        env.step(action)


# ------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"observation": "vector"}, 'observation: unknown value "vector"'),
        ({"actions": "joined"}, 'actions: .*did you mean "joint"'),
        ({"words": 2}, "words must be an integer"),
        ({"similar_items": 0}, "similar_items must be an integer of at least 1"),
        ({"embeddings": 3}, "embeddings must be the path of a model"),
        ({"shaping": -1.0}, "shaping must be a finite number of at least 0"),
        ({"shaping": math.nan}, "shaping must be a finite number"),
        ({"answer_mode": "agent"}, 'no answer_mode "agent"'),
        ({"memory_budgets": 1}, 'did you mean "memory_budget"'),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        numeric(**arguments)


def test_step_needs_a_running_episode() -> None:
    env = numeric()
    with pytest.raises(ResetNeeded):
        env.step(0)
    with pytest.raises(ResetNeeded):
        env.action_masks()
    for _ in play(env, 0):
        pass
    with pytest.raises(ResetNeeded):
        env.step(0)


def test_reset_options_are_those_of_the_text_form() -> None:
    env = numeric()
    _, info = env.reset(options={"episode": 5, "split": "test", "max_chunks": 2})
    assert (info["split"], info["n_chunks"]) == ("test", 2)
    with pytest.raises(UsageError, match="reset has no option"):
        env.reset(options={"episodes": 5})


def test_frames_name_the_sentence() -> None:
    env = numeric(render_mode="ansi")
    env.reset(options={"episode": village()})
    frame = env.render()
    assert frame is not None
    assert "chunk 1 of 3" in frame
    assert frame.endswith("── sentence\n  On 3 May 2031 Ada Holm opened a bakery in Lund.")


def test_a_chunk_without_a_word_can_only_be_skipped() -> None:
    steps = MicroSteps(Featuriser(HashedWords(32), len), Memory(), similar_items=1, max_calls=9)
    steps.open("  \n ", 0, 1)
    assert steps.allowed == [True] + [False] * 7
    assert np.isfinite(steps.observation()).all()
    steps.take(1)
    assert not steps.reading
    assert (steps.calls, steps.sentence) == ([], "")
