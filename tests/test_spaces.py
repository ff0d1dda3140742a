"""UnicodeText and ToolCalls: membership, sampling, serialisation, and real vector environments."""

import copy
import json
import pickle
import string
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces.utils import (
    flatdim,
    flatten,
    flatten_space,
    is_space_dtype_shape_equiv,
    unflatten,
)
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space, create_empty_array, iterate
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.actions import parse_action
from memgym.errors import UsageError
from memgym.spaces import SharedTexts, ToolCalls, UnicodeText
from memgym.tools import TOOL_NAMES, ToolCall, openai_tools

TEXTS = ("plain", "", "é à 你好\n🙂", "x" * 40, "שלום \ud83d lone", "e\u0301")
CALL = {"name": "new_memory_insert", "arguments": {"memory_type": "semantic", "content": "Zürich"}}


# --- UnicodeText --------------------------------------------------------------------------------


def test_any_characters_within_the_bounds_are_in() -> None:
    space = UnicodeText(40)
    assert all(text in space for text in TEXTS)
    assert "x" * 41 not in space
    assert "" not in UnicodeText(40, min_length=1)
    for other in (None, 3, b"plain", ["plain"], np.zeros(2)):
        assert other not in space


@pytest.mark.parametrize(
    "space",
    [
        UnicodeText(0),
        UnicodeText(1),
        UnicodeText(65536),
        UnicodeText(500, min_length=400),
        UnicodeText(3, min_length=3),
    ],
    ids=repr,
)
def test_samples_are_in_the_space_and_seeded(space: UnicodeText) -> None:
    space.seed(7)
    drawn = [space.sample() for _ in range(200)]
    assert all(text in space for text in drawn)
    space.seed(7)
    assert drawn == [space.sample() for _ in range(200)]
    if space.max_length > 100:
        assert len(set(drawn)) > 190
        assert any(not text.isascii() for text in drawn)


@pytest.mark.parametrize("length", [0, 1, 17, 1000, np.int64(30), (12, None)])
def test_a_sample_mask_is_the_wanted_length(length: Any) -> None:
    wanted = length[0] if isinstance(length, tuple) else length
    assert len(UnicodeText(1000, seed=0).sample(mask=length)) == wanted


@pytest.mark.parametrize(
    "options", [{"mask": 11}, {"mask": -1}, {"mask": "x"}, {"probability": 1}, {"mask": (3, "ab")}]
)
def test_bad_sample_options_are_usage_errors(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"UnicodeText\.sample"):
        UnicodeText(10).sample(**options)


def test_equality_is_strict_and_repr_short() -> None:
    space = UnicodeText(9, min_length=2)
    assert space == UnicodeText(9, min_length=2, seed=3)
    assert space not in (UnicodeText(9), UnicodeText(8, min_length=2))
    stock = spaces.Text(9, min_length=2, charset=space.character_set)
    assert space != stock
    assert stock != space
    assert eval(repr(space), {"UnicodeText": UnicodeText}) == space
    assert repr(UnicodeText(65536)) == "UnicodeText(65536)"
    assert isinstance(space, spaces.Text)


@pytest.mark.parametrize("space", [UnicodeText(65536, seed=1), ToolCalls(seed=1)])
def test_spaces_pickle_small_and_keep_their_random_state(space: Any) -> None:
    space.sample()
    data = pickle.dumps(space)
    assert len(data) < 5_000
    for twin in (pickle.loads(data), copy.deepcopy(space)):
        assert twin == space
        assert twin.sample() == copy.deepcopy(space).sample()


def test_texts_survive_json() -> None:
    space = UnicodeText(40)
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(TEXTS)))) == list(TEXTS)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=30))
def test_flattening_loses_nothing(text: str) -> None:
    space = UnicodeText(30)
    flat = flatten(space, text)
    assert isinstance(flat, np.ndarray)
    assert flat in flatten_space(space)
    assert flat.shape == (flatdim(space),)
    assert unflatten(space, flat) == text


def test_flattening_inside_a_dict_with_floats() -> None:
    space: Any = spaces.Dict({"a": UnicodeText(40), "b": spaces.Box(0, 1, (2,), np.float32)})
    for text in TEXTS:
        value = {"a": text, "b": np.array([0.25, 1], np.float32)}
        flat: Any = flatten(space, value)
        assert flat in flatten_space(space)
        assert unflatten(space, flat)["a"] == text


def test_iterate_stays_unregistered() -> None:
    for space in (UnicodeText(9), ToolCalls()):
        assert type(space) not in iterate.registry
        batched = batch_space(space, 2)
        assert isinstance(batched, spaces.Tuple)
        actions: Any = ("ab", "cd")
        assert list(iterate(batched, actions)) == ["ab", "cd"]


def test_an_empty_batch_is_in_the_batched_space() -> None:
    space = UnicodeText(9, min_length=3)
    empty = create_empty_array(space, n=2)
    assert empty == ("   ", "   ")
    assert empty in batch_space(space, 2)


def test_only_texts_of_one_length_share_a_layout() -> None:
    space = UnicodeText(9)
    assert is_space_dtype_shape_equiv(space, UnicodeText(9, min_length=3))
    assert not is_space_dtype_shape_equiv(space, UnicodeText(8))
    assert not is_space_dtype_shape_equiv(space, spaces.Text(9, charset=space.character_set))


# --- vector environments ------------------------------------------------------------------------


class EchoEnv(gym.Env[dict[str, Any], Any]):
    """Shows back the text it was given; a reset shows a text drawn from the seeded generator."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, longest: int = 40, shortest: int = 0) -> None:
        self.observation_space = spaces.Dict(
            {"length": spaces.Box(0, 100, (1,), np.int64), "text": UnicodeText(longest)}
        )
        self.action_space = UnicodeText(longest, min_length=shortest)

    def _show(self, text: str) -> dict[str, Any]:
        return {"length": np.array([len(text)], np.int64), "text": text}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        return self._show("é" * int(self.np_random.integers(1, 40))), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        return self._show(action), 0.0, action == "end", False, {}


class CallsEnv(EchoEnv):
    """The same with tool calls as actions, shown back as JSON."""

    def __init__(self) -> None:
        super().__init__(longest=5000)
        self.action_space = ToolCalls()

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        calls = [call.name for call in parse_action(action, max_calls=16).calls]
        return super().step(json.dumps(calls)[:100])


VECTORS: dict[str, Callable[..., VectorEnv[Any, Any, Any]]] = {
    "sync": SyncVectorEnv,
    "shared": AsyncVectorEnv,  # shared memory is the default
    "pipe": lambda env_fns, **options: AsyncVectorEnv(env_fns, shared_memory=False, **options),
}


@pytest.mark.parametrize("kind", list(VECTORS))
def test_vector_environments_give_the_right_strings(kind: str) -> None:
    envs = VECTORS[kind]([EchoEnv, EchoEnv])
    try:
        observation, _ = envs.reset(seed=3)
        alone = [EchoEnv().reset(seed=seed)[0]["text"] for seed in (3, 4)]
        assert observation in envs.observation_space
        assert observation["text"] == tuple(alone)
        seen = [observation]
        for first, second in zip(TEXTS, reversed(TEXTS), strict=True):
            observation, *_ = envs.step((first, second))
            assert observation["text"] == (first, second)
            assert observation["length"].tolist() == [[len(first)], [len(second)]]
            assert observation in envs.observation_space
            seen.append(observation)
        # Earlier observations are not overwritten by later ones.
        assert seen[0]["text"] == tuple(alone)
        assert seen[1]["text"] == (TEXTS[0], TEXTS[-1])
    finally:
        envs.close()


@pytest.mark.parametrize("kind", list(VECTORS))
def test_vector_environments_take_tool_calls_in_every_form(kind: str) -> None:
    envs = VECTORS[kind]([CallsEnv, CallsEnv])
    try:
        envs.reset(seed=0)
        forms: list[Any] = [([CALL], []), [(CALL,), ()], [json.dumps([CALL]), ""]]
        for actions in forms:
            observation, *_ = envs.step(actions)
            assert observation["text"] == ('["new_memory_insert"]', "[]")
        observation, *_ = envs.step(envs.action_space.sample())
        assert observation in envs.observation_space
    finally:
        envs.close()


@pytest.mark.parametrize("kind", list(VECTORS))
def test_environments_with_different_bounds_can_be_batched(kind: str) -> None:
    def env_of(least: int) -> Callable[[], gym.Env[Any, Any]]:
        def make() -> gym.Env[Any, Any]:
            env = EchoEnv()
            env.observation_space["text"] = UnicodeText(40, min_length=least)  # type: ignore[index]
            return env

        return make

    envs = VECTORS[kind]([env_of(0), env_of(1)], observation_mode="different")
    try:
        envs.reset(seed=0)
        observation, *_ = envs.step(("", "你好"))
        assert observation["text"] == ("", "你好")
        assert observation in envs.observation_space
    finally:
        envs.close()


def test_a_live_view_of_shared_memory() -> None:
    envs = AsyncVectorEnv([EchoEnv, EchoEnv], copy=False)
    try:
        observation, _ = envs.reset(seed=0)
        view: Any = observation["text"]
        envs.step(("a", "b"))
        assert isinstance(view, SharedTexts)
        assert isinstance(view, Sequence)
        assert (len(view), view[1], view[0:1], list(view)) == (2, "b", ("a",), ["a", "b"])
        for other, same in ((("a", "b"), True), (["a", "c"], False), (3, False)):
            assert (view == other) is same
        assert repr(view) == "SharedTexts(('a', 'b'))"
        assert copy.deepcopy(view) == ("a", "b")
        with pytest.raises(IndexError):
            view[2]
        envs.step(("c", "d"))
        assert list(view) == ["c", "d"]
    finally:
        envs.close()


def test_an_observation_outside_the_space_is_not_cut_silently() -> None:
    from gymnasium.vector.utils import create_shared_memory, write_to_shared_memory

    space = UnicodeText(5)
    memory = create_shared_memory(space, n=2)
    with pytest.raises(ValueError, match="6 characters is outside"):
        write_to_shared_memory(space, 0, "x" * 6, memory)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be a string, got int"):
        write_to_shared_memory(space, 0, 3, memory)  # type: ignore[arg-type]


@pytest.mark.parametrize("env_type", [EchoEnv, CallsEnv])
def test_the_environment_checker_has_no_complaint(env_type: type[EchoEnv]) -> None:
    check_env(env_type(), skip_render_check=True)


def test_a_flattened_observation_space() -> None:
    env = gym.wrappers.FlattenObservation(EchoEnv())
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space


# --- ToolCalls ----------------------------------------------------------------------------------


def test_members_are_lists_of_valid_calls() -> None:
    space = ToolCalls(max_calls=2)
    for member in ((), [], [CALL], (CALL, CALL), [{**CALL, "id": "c1"}]):
        assert member in space
    unknown = {"name": "insert", "arguments": {}}
    for other in (
        [CALL] * 3, [unknown], [CALL, unknown], CALL, json.dumps([CALL]), "", None, 3, [None],
        [ToolCall("answer", {"text": "x"})], {"name": "answer"}, [{"name": "answer"}], np.zeros(2),
    ):  # fmt: skip
        assert other not in space
    assert [CALL] not in ToolCalls(tools=["answer"])
    long = {"name": "answer", "arguments": {"text": "x" * 21}}
    assert [long] in space
    assert [long] not in ToolCalls(max_characters=20)


@pytest.mark.parametrize(
    "space",
    [
        ToolCalls(),
        ToolCalls(max_calls=1),
        ToolCalls(["answer"]),
        ToolCalls(["memory_delete"]),
        ToolCalls(max_characters=16),
    ],
)
def test_samples_are_members_and_survive_json_and_parsing(space: ToolCalls) -> None:
    space.seed(5)
    drawn = [space.sample() for _ in range(300)]
    space.seed(5)
    assert drawn == [space.sample() for _ in range(300)]
    assert all(action in space for action in drawn)
    assert {len(action) for action in drawn} == set(range(min(space.max_calls, 4) + 1))
    names = {call["name"] for action in drawn for call in action}
    assert names == set(space.tools)
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(drawn)))) == drawn
    for action in drawn:
        parsed = parse_action(action, max_calls=space.max_calls, tools=space.tools)
        assert all(isinstance(call, ToolCall) for call in parsed.calls)
        assert len(parsed.calls) == len(action)
        assert parse_action(json.dumps(action), max_calls=space.max_calls) == parsed


def test_jsonable_copies_share_nothing() -> None:
    space = ToolCalls()
    action = (copy.deepcopy(CALL),)
    (jsonable,) = space.to_jsonable([action])
    jsonable[0]["arguments"].clear()
    assert action == (CALL,)


def test_samples_use_more_than_ascii() -> None:
    drawn = [ToolCalls(["answer"], seed=seed).sample() for seed in range(40)]
    texts = [call["arguments"]["text"] for action in drawn for call in action]
    assert any(not text.isascii() for text in texts)


def test_a_mask_limits_the_tools() -> None:
    space = ToolCalls(seed=0)
    for chosen in range(len(TOOL_NAMES)):
        mask = np.zeros(len(TOOL_NAMES), dtype=np.int8)
        mask[chosen] = 1
        names = {call["name"] for _ in range(30) for call in space.sample(mask={"tools": mask})}
        assert names == {TOOL_NAMES[chosen]}
    assert space.sample(mask={"tools": np.zeros(len(TOOL_NAMES), dtype=np.int8)}) == ()


@settings(max_examples=60, deadline=None)
@given(
    semantic=st.sets(st.integers(1, 30), max_size=3),
    episodic=st.sets(st.integers(1, 30), max_size=3),
    seed=st.integers(0, 1000),
)
def test_a_mask_of_ids_gives_calls_that_can_be_applied(
    semantic: set[int], episodic: set[int], seed: int
) -> None:
    ids = {"semantic": [f"s{n}" for n in semantic], "episodic": [f"e{n}" for n in episodic]}
    before = copy.deepcopy(ids)
    space = ToolCalls(seed=seed)
    for _ in range(20):
        action = space.sample(mask={"memory_ids": ids})
        assert action in space
        left = copy.deepcopy(ids)
        for call in action:
            store = call["arguments"].get("memory_type")
            if call["name"] == "new_memory_insert":
                assert store != "core"
            elif call["name"] == "memory_update" and store != "core":
                assert call["arguments"]["memory_id"] in left[store]
            elif call["name"] == "memory_delete":
                left[store].remove(call["arguments"]["memory_id"])
    assert ids == before


def test_a_mask_without_ids_leaves_nothing_to_delete() -> None:
    space = ToolCalls(["memory_delete"], seed=0)
    mask: dict[str, Any] = {"memory_ids": {"semantic": [], "episodic": []}}
    assert all(space.sample(mask=mask) == () for _ in range(20))
    mask["memory_ids"]["episodic"].append("e1")
    assert any(space.sample(mask=mask) for _ in range(20))
    assert mask == {"memory_ids": {"semantic": [], "episodic": ["e1"]}}


def test_a_mask_without_a_store_or_core_never_names_it() -> None:
    space = ToolCalls(seed=0)
    mask: dict[str, Any] = {"memory_ids": {"episodic": ["e1", "e2"]}, "core": False}
    calls = [call for _ in range(200) for call in space.sample(mask=mask)]
    stores = {call["arguments"].get("memory_type") for call in calls}
    assert stores == {"episodic", None}
    mask = {"memory_ids": {}}
    calls = [call for _ in range(200) for call in space.sample(mask=mask)]
    names = {(call["name"], call["arguments"].get("memory_type")) for call in calls}
    assert names == {("memory_update", "core"), ("search_memory", None), ("answer", None)}


@pytest.mark.parametrize(
    "options",
    [
        {"mask": 3}, {"mask": {"tool": 1}}, {"mask": {"tools": np.ones(2, np.int8)}},
        {"mask": {"memory_ids": ["s1"]}}, {"mask": {"memory_ids": {"core": []}}},
        {"probability": 0.5},
    ],
)  # fmt: skip
def test_bad_masks_are_usage_errors(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"ToolCalls\.sample"):
        ToolCalls().sample(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"tools": ["memory_deletes"]}, {"tools": []}, {"tools": ["answer", "answer"]},
        {"max_calls": 0}, {"max_characters": 3},
    ],
)  # fmt: skip
def test_bad_constructor_arguments_are_usage_errors(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="ToolCalls"):
        ToolCalls(**options)


def test_tool_calls_equality_repr_and_schema() -> None:
    space = ToolCalls(["answer", "memory_delete"], max_calls=3)
    assert space == ToolCalls(("answer", "memory_delete"), max_calls=3, seed=9)
    for other in (ToolCalls(), ToolCalls(space.tools), ToolCalls(space.tools, 3, 100), "x"):
        assert space != other
    assert repr(space) == "ToolCalls(answer, memory_delete; max_calls=3)"
    assert space.openai_tools == openai_tools(["answer", "memory_delete"])
    assert batch_space(space, 2) == spaces.Tuple([space, space])


def test_tool_calls_refuse_to_flatten_and_say_what_to_do() -> None:
    space = ToolCalls()
    assert not space.is_np_flattenable
    attempts: list[Callable[[], Any]] = [
        lambda: flatten_space(space),
        lambda: flatdim(space),
        lambda: flatten(space, ()),
        lambda: unflatten(space, np.zeros(1)),
        lambda: flatten_space(spaces.Dict({"calls": space})),
    ]
    for attempt in attempts:
        with pytest.raises(NotImplementedError, match="numeric form"):
            attempt()


def test_stock_text_would_have_failed_here() -> None:
    """The reason for UnicodeText; when this fails, Gymnasium has been mended."""
    assert "a b" not in spaces.Text(9)
    assert "é" not in spaces.Text(9, charset=string.printable)
