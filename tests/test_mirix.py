"""mirix: who is asked about a chunk, what each manager may do, and what becomes of its calls."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.agents.chat import ChatError, ChatReply, ChatRequest, ContextLengthError, ServerError
from memgym.agents.mirix import MIRIX
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode, Question
from memgym.errors import UsageError
from memgym.evaluation import EpisodeResult, environment_for, play_episode
from tests.episodes import CHUNKS, village
from tests.scripted import ScriptedBackend, prompt_text, scripted_chat

SMALL = {"source_options": {"tokens": 1_000, "chunk_tokens": 300, "questions": 4}}
ALL = "core, episodic, semantic"
DONE = "Done."

Replies = Callable[[ChatRequest], str | ChatReply | ChatError]


class Batches(ScriptedBackend):
    """Notes how many requests came at a time."""

    def __init__(self, replies: Replies) -> None:
        super().__init__(replies)
        self.sizes: list[int] = []

    def generate(self, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatError]:
        self.sizes.append(len(requests))
        return super().generate(requests)


def call(name: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def insert(memory_type: str, content: str) -> str:
    return call("new_memory_insert", memory_type=memory_type, content=content)


def update(memory_type: str, content: str, **memory_id: str) -> str:
    return call("memory_update", memory_type=memory_type, new_content=content, **memory_id)


def part(request: ChatRequest) -> str:
    """Return who is asked: ``router`` or a manager's memory type."""
    if request.choices:
        return "router"
    [name] = [name for name in ALL.split(", ") if f"Your part is {name}" in prompt_text(request)]
    return name


def script(route: str, *replies: str, **managers: str | list[str]) -> Replies:
    """Return a model: what it routes every chunk to, and what each manager says in turn."""
    said = {
        name: iter([text] if isinstance(text, str) else text) for name, text in managers.items()
    }
    return lambda request: (
        route if request.choices else next(said.get(part(request), iter(())), DONE)
    )


def play(
    replies: Replies,
    episode: Episode | None = None,
    *,
    options: dict[str, Any] | None = None,
    **environment: Any,
) -> tuple[EpisodeResult, MemAlphaEnv, Batches]:
    chat, _ = scripted_chat(())
    backend = Batches(replies)
    chat = type(chat)(chat.settings, backend)
    agent = MIRIX(chat, **(options or {}))
    env = environment_for(agent, **SMALL, **environment)
    result = play_episode(agent, env, episode or village())
    return result, env, backend


def one_chunk(text: str = "It rained in Lund.", chunks: int = 1) -> Episode:
    question = Question("What was the weather?", ("rain",))
    return Episode("e/0", "e", "accurate_retrieval", (text,) * chunks, (question,))


def shown(backend: ScriptedBackend, name: str, number: int = 0) -> str:
    """Return what a manager was shown, by the number of its request."""
    requests = [request for request in backend.requests if part(request) == name]
    return prompt_text(requests[number])


def test_a_village_is_scored_by_what_the_managers_wrote() -> None:
    def reply(request: ChatRequest) -> str:
        text = prompt_text(request)
        if request.choices:
            return "none" if CHUNKS[1] in text else "episodic, semantic"
        if part(request) == "episodic":
            return insert("episodic", "3 May 2031: a bakery opens.") if "3 May" in text else DONE
        return insert(
            "semantic", "Ada Holm has a bakery in Lund." if CHUNKS[0] in text else "Ben rests."
        )

    result, env, backend = play(reply)
    assert env.memory.items("episodic") == {"e1": "3 May 2031: a bakery opens."}
    assert env.memory.items("semantic") == {
        "s1": "Ada Holm has a bakery in Lund.",
        "s2": "Ben rests.",
    }
    assert [answer["score"] for answer in result.answers] == [1.0, 0.0, 0.0]
    assert (result.calls, result.valid_calls) == (3, 3)
    assert backend.sizes == [1, 2, 1, 1, 2]  # router, managers; router; router, managers
    assert result.usage["agent"].calls == 7


@pytest.mark.parametrize(
    ("route", "asked"),
    [
        ("none", []),
        ("core", ["core"]),
        ("core, semantic", ["core", "semantic"]),
        (ALL, ["core", "episodic", "semantic"]),
        ("every one of them", []),
    ],
)
def test_only_the_picked_managers_are_asked_all_at_once(route: str, asked: list[str]) -> None:
    result, _, backend = play(script(route), one_chunk())
    assert [part(request) for request in backend.requests] == ["router", *asked]
    assert backend.sizes == ([1, len(asked)] if asked else [1])
    assert result.calls == 0


def test_the_router_must_choose_one_of_all_sets_of_enabled_memories() -> None:
    _, _, backend = play(script("none"), one_chunk())
    assert backend.requests[0].choices == (
        "none", "core", "episodic", "semantic", "core, episodic", "core, semantic",
        "episodic, semantic", ALL,
    )  # fmt: skip
    _, _, backend = play(script("none"), one_chunk(), memory_types=("semantic", "core"))
    assert backend.requests[0].choices == ("none", "core", "semantic", "core, semantic")


def test_each_manager_is_confined_to_its_own_memory() -> None:
    everywhere = "".join(
        [insert("semantic", "a fact"), insert("episodic", "an event"), update("core", "a core")]
    )
    for route, core, counts in (
        ("semantic", "", (1, 0)),
        ("episodic", "", (0, 1)),
        ("core", "a core", (0, 0)),
    ):
        result, env, backend = play(script(route, **{route: everywhere}), one_chunk())
        assert env.memory.core == core
        assert (len(env.memory.items("semantic")), len(env.memory.items("episodic"))) == counts
        assert (result.calls, result.valid_calls) == (1, 1)
        errors = shown(backend, route, 1).split("Results of your calls:\n")[1]
        assert errors.count("error: ") == 2


def test_a_manager_sees_its_own_related_items_and_no_others() -> None:
    facts = ["The mill of Lund is old.", *(f"Fact {n} about bees." for n in range(8))]
    first = "".join(insert("semantic", fact) for fact in facts)
    model = script(ALL, semantic=[first, DONE], episodic=insert("episodic", "The mill burned."))
    episode = one_chunk("The mill of Lund is closed.", 2)
    _, _, backend = play(model, episode, options={"max_items": 3})
    assert shown(backend, "semantic").endswith("It has 0 items. The 0 most related:")
    items = "It has 9 items. The 3 most related:\n[s1] The mill of Lund is old."
    newest = "[s8] Fact 6 about bees.\n[s9] Fact 7 about bees."
    assert shown(backend, "semantic", 1).endswith(f"{items}\n{newest}")
    assert shown(backend, "episodic", 1).endswith("The 1 most related:\n[e1] The mill burned.")


def test_ten_items_are_shown_unless_said_otherwise() -> None:
    many = "".join(insert("semantic", f"Fact {n} about bees.") for n in range(12))
    _, _, backend = play(script("semantic", semantic=many), one_chunk(chunks=2))
    assert shown(backend, "semantic", 1).count("\n[s") == 10


def test_items_are_updated_and_deleted_by_their_ids() -> None:
    write = insert("semantic", "Ada lives in Lund.") + insert("semantic", "Ben is a baker.")
    change = update("semantic", "Ada lives in Malmö.", memory_id="s1")
    change += call("memory_delete", memory_type="semantic", memory_id="s2")
    _, env, backend = play(script("semantic", semantic=[write, change]), one_chunk(chunks=2))
    assert env.memory.items("semantic") == {"s1": "Ada lives in Malmö."}
    assert len(backend.requests) == 4


def test_an_over_long_core_is_to_be_rewritten_to_half_its_size() -> None:
    replies = [update("core", "word " * 2_501), update("core", "Short.")]
    result, env, backend = play(script("core", core=replies), one_chunk())
    assert "rewrite it to about 1250 tokens" in shown(backend, "core", 1)
    assert "at most 2500 tokens" in shown(backend, "core", 1)
    assert env.memory.core == "Short."
    assert (result.calls, result.valid_calls) == (1, 1)
    assert "Core memory now:\n(empty)" in shown(backend, "core")


def test_a_good_rewrite_gets_no_advice() -> None:
    replies = [update("core", "Fine.") + insert("core", "no"), DONE]
    _, _, backend = play(script("core", core=replies), one_chunk())
    assert "ok: updated core memory\n" in shown(backend, "core", 1)
    assert "rewrite it to" not in shown(backend, "core", 1)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_failing_managers_are_asked_again_up_to_max_steps(steps: int) -> None:
    def reply(request: ChatRequest) -> str:
        if request.choices:
            return ALL
        return "<tool_call>{" if part(request) == "episodic" else DONE

    options = {} if steps == 2 else {"max_steps": steps}
    result, _, backend = play(reply, one_chunk(), options=options)
    assert backend.sizes == [1, 3, *[1] * (steps - 1)]
    assert result.calls == 0


def test_an_exact_duplicate_is_no_failure() -> None:
    model = script("semantic", semantic=[insert("semantic", "Once.")] * 2)
    result, _, backend = play(model, one_chunk(chunks=2))
    assert (result.calls, len(backend.requests)) == (1, 4)


def test_all_prompts_of_a_chunk_begin_with_the_chunk() -> None:
    _, _, backend = play(script(ALL), one_chunk())
    texts = [prompt_text(request) for request in backend.requests]
    assert len(texts) == 4
    end = texts[0].index("It rained in Lund.") + len("It rained in Lund.")
    assert len({text[:end] for text in texts}) == 1


def test_only_prompts_that_do_not_fit_are_shortened() -> None:
    text = "The mill of Lund is closed. " + "A word or two. " * 100

    def reply(request: ChatRequest) -> str | ChatError:
        if request.choices:
            return "episodic, semantic"
        if part(request) == "semantic" and len(prompt_text(request)) > 2_500:
            return ContextLengthError("too long")
        return insert(part(request), "The mill of Lund is closed.")

    result, env, backend = play(reply, one_chunk(text, 2), memory_budget=0)
    assert len(env.memory) == 2
    assert [size for size in backend.sizes if size == 2] == [2, 2]
    sizes = [len(prompt_text(r)) for r in backend.requests if part(r) == "semantic"]
    assert sizes[0] > sizes[1]
    assert sum(part(r) == "episodic" for r in backend.requests) == 2
    assert result.usage["agent"].failures > 0


def test_items_are_left_out_before_the_chunk_is_cut() -> None:
    facts = "".join(insert("semantic", f"Fact {n} on the mill of Lund.") for n in range(4))
    prompts: list[str] = []

    def reply(request: ChatRequest) -> str | ChatError:
        text = prompt_text(request)
        if request.choices:
            return "semantic"
        if "It has 0 items" in text:
            return facts
        prompts.append(text)
        return ContextLengthError("too long") if "] Fact" in text else DONE

    play(reply, one_chunk("The mill of Lund is closed.", 2))
    assert [text.count("] Fact") for text in prompts] == [4, 2, 1, 0]
    assert all("The mill of Lund is closed." in text for text in prompts)


def test_what_fits_no_model_writes_nothing() -> None:
    result, env, _ = play(lambda _: ContextLengthError("too long"))
    assert (result.calls, len(env.memory)) == (0, 0)


def test_a_server_that_gave_up_stops_the_episode() -> None:
    model = script(ALL)
    with pytest.raises(ServerError):
        play(lambda request: model(request) if request.choices else ServerError("down"))


def test_it_answers_from_what_it_finds() -> None:
    def reply(request: ChatRequest) -> str:
        text = prompt_text(request)
        if request.choices:
            return "semantic"
        if "This piece has arrived" in text:
            return insert("semantic", "Ada Holm has a bakery in Lund.")
        return "Lund" if "1. Ada Holm has a bakery in Lund." in text else "?"

    result, _, _ = play(reply, answer_mode="agent")
    assert result.answers[0]["prediction"] == "Lund"


@pytest.mark.parametrize("option", ["max_items", "max_steps"])
def test_options_must_be_positive_integers(option: str) -> None:
    chat, _ = scripted_chat(())
    wrong: Any
    for wrong in (0, 1.5, True):
        with pytest.raises(UsageError, match=f"{option} must be an integer of at least 1"):
            MIRIX(chat, **{option: wrong})


PARTS = st.sampled_from(
    (insert("semantic", "x"), update("core", "\ud83d y"), update("semantic", "z", memory_id="s1"),
     "<think>", "</think>", "<tool_call>", "✿FUNCTION✿: a", "[1]", "{", "\x00")
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(("core, semantic", ALL, "x")),
    st.lists(st.one_of(st.text(max_size=30), st.lists(PARTS).map("".join)), min_size=1),
)
def test_any_model_text_completes_the_episode(route: str, texts: list[str]) -> None:
    number = iter(range(10_000))
    model: Replies = lambda request: (  # noqa: E731
        route if request.choices else texts[next(number) % len(texts)]
    )
    result, env, _ = play(model)
    assert len(result.answers) == 3
    assert result.calls == result.valid_calls
    assert env.memory.counter.count(env.memory.core) <= 2_500
