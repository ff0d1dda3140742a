"""``prompt_only``: what the model is shown, what becomes of its replies, and what is left out."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from memgym.agents.chat import ChatReply, ChatRequest, ContextLengthError
from memgym.agents.prompt_only import PromptOnly
from memgym.episode import Episode, Question
from memgym.errors import UsageError
from memgym.evaluation import EpisodeResult, environment_for, play_episode
from memgym.memory import Memory
from memgym.prompts import calling_text, instructions, task_text
from memgym.tokens import get_counter
from memgym.tools import describe_tools, openai_tools
from tests.episodes import CHUNKS, village
from tests.scripted import Reply, ScriptedBackend, prompt_text, scripted_chat

SMALL: dict[str, Any] = {"source_options": {"tokens": 1_000, "chunk_tokens": 300, "questions": 4}}
BAKERY = "On 3 May 2031 Ada Holm opened a bakery in Lund."
WORK = "Ben Holm works in Alder Hall."


def call(content: str, memory_type: str = "semantic") -> dict[str, Any]:
    return {
        "name": "new_memory_insert",
        "arguments": {"memory_type": memory_type, "content": content},
    }


def block(value: object) -> str:
    return f"<tool_call>\n{json.dumps(value)}\n</tool_call>"


def search(query: str) -> str:
    return block({"name": "search_memory", "arguments": {"query": query}})


def played(
    replies: Callable[[ChatRequest], Reply] | list[Reply],
    *,
    episode: Episode | None = None,
    model: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[Memory, EpisodeResult, ScriptedBackend]:
    chat, backend = scripted_chat(replies, **(model or {}))
    agent = PromptOnly(chat)
    env = environment_for(agent, **{**SMALL, **settings})
    result = play_episode(agent, env, episode or village())
    return env.memory, result, backend


# ------------------------------------------------------------------ replies


def test_scripted_calls_give_a_known_memory_and_score() -> None:
    kept = block(call(BAKERY, "episodic"))
    label = call("Sentence: the oven is cold\nLabel: 7")
    memory, result, backend = played(
        [kept, "Done.", "Two things:\n" + block(call(WORK)) + "\n" + block(label)]
    )
    assert list(memory.items("episodic").values()) == [BAKERY]
    assert list(memory.items("semantic").values()) == [WORK, "Sentence: the oven is cold\nLabel: 7"]
    assert result.score == 1.0
    assert (result.calls, result.valid_calls, result.steps) == (3, 3, 3)
    assert len(backend.requests) == 3  # one generation a chunk
    assert result.usage["agent"].calls == 3


def test_malformed_replies_become_error_results_and_the_episode_goes_on() -> None:
    memory, result, _ = played(
        ["<tool_call>{not json}</tool_call>", block({"name": "forget"}), block(call(WORK))]
    )
    assert (result.calls, result.valid_calls) == (3, 1)
    assert list(memory.items("semantic").values()) == [WORK]
    assert result.score == pytest.approx(1 / 3)


def test_complete_calls_of_a_reply_that_was_cut_off_count() -> None:
    half = block(call("half of this is miss"))[:60]
    cut = ChatReply(block(call(BAKERY)) + "\n" + half, finish_reason="length")
    memory, result, _ = played([cut, "", ""])
    assert list(memory.items("semantic").values()) == [BAKERY]
    assert (result.calls, result.valid_calls) == (2, 1)


def test_calls_inside_thinking_are_not_made() -> None:
    thought = f"<think>Maybe {block(call('a plan'))}?</think>{block(call(BAKERY))}"
    endless = f"<think>I could call {block(call('never'))}"
    template = f"opened by the template {block(call('no'))}</think>{block(call(WORK))}"
    memory, result, _ = played([thought, endless, template])
    assert list(memory.items("semantic").values()) == [BAKERY, WORK]
    assert result.calls == 2


def test_the_marker_format_is_taught_and_understood() -> None:
    arguments = json.dumps({"memory_type": "episodic_memory", "content": BAKERY})
    reply = f"✿FUNCTION✿: new_memory_insert\n✿ARGS✿: {arguments}\n✿RESULT✿: made up"
    memory, _, backend = played([reply, "Done.", "Done."], model={"tool_format": "markers"})
    assert list(memory.items("episodic").values()) == [BAKERY]
    system = backend.requests[0].messages[0]["content"]
    assert "✿FUNCTION✿" in system
    assert "<tool_call>" not in system
    assert backend.requests[0].tools == ()


def test_native_calls_go_through_the_schemas() -> None:
    wire = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "new_memory_insert", "arguments": json.dumps(call(WORK)["arguments"])},
    }
    replies: list[Reply] = [
        ChatReply("I keep this.", tool_calls=(wire,), finish_reason="tool_calls"),
        block(call(BAKERY)),  # a server without a tool parser leaves the call in the text
        "Done.",
    ]
    memory, result, backend = played(replies, model={"tool_format": "native"}, turns_per_chunk=1)
    assert list(memory.items("semantic").values()) == [WORK, BAKERY]
    assert result.valid_calls == 2
    names = ["new_memory_insert", "memory_update", "memory_delete"]
    assert list(backend.requests[0].tools) == openai_tools(names)
    assert "memory_delete" not in backend.requests[0].messages[0]["content"]


# ------------------------------------------------------------------ prompts


def test_each_chunk_has_a_fresh_context_with_instructions_chunk_and_memory_in_this_order() -> None:
    _, _, backend = played([block(call(BAKERY)), "Done.", "Done."])
    first, second, _ = backend.requests
    assert [message["role"] for message in second.messages] == ["system", "user"]
    assert first.messages[0] == second.messages[0]
    system = first.messages[0]["content"]
    tools = ["new_memory_insert", "memory_update", "memory_delete", "search_memory"]
    assert system.startswith(task_text(tools) + "\n\n" + calling_text(tools, "hermes"))
    assert "1638 tokens" in system  # 0.8 of the longest reply, 2,048, as published
    user = second.messages[1]["content"]
    assert user.index(CHUNKS[1]) < user.index(f"[s1] {BAKERY}")
    assert CHUNKS[0] not in prompt_text(second)
    assert "inserted s1" not in user  # the results on the chunk before are not told


def test_a_search_is_shown_in_the_next_turns_on_the_same_chunk_only() -> None:
    turns: list[Reply] = [
        block(call(BAKERY)),
        search("bakery"),
        search("weather"),
        "Done.",  # the third turn is the last
        "Done.",
    ]
    memory, result, backend = played(turns)
    shown = [request.messages[1]["content"] for request in backend.requests]
    assert "1 found" not in shown[1]
    assert f"1 found\n[s1] {BAKERY}" in shown[2]
    assert shown[3].count("ok: search_memory") == 2  # what earlier turns found stays in view
    assert "search_memory" not in shown[4]
    assert all(CHUNKS[1] in text for text in shown[1:4])
    assert CHUNKS[2] in shown[4]
    assert len(memory) == 1
    assert result.steps == 5


def test_questions_are_left_to_the_answer_and_do_not_change_the_reading_prompt() -> None:
    reader = played(["", "", ""])[2]
    agent = played(["", "Lund", "", "", "Alder Hall", r"\boxed{7}"], answer_mode="agent")
    assert agent[1].score == 1.0
    assert agent[2].requests[0].messages == reader.requests[0].messages


def test_disabled_memory_types_are_told() -> None:
    _, _, backend = played(["", "", ""], memory_types=["semantic"])
    assert "can be used here: semantic." in backend.requests[0].messages[0]["content"]


def test_braces_in_a_chunk_are_text() -> None:
    _, _, backend = played([""], episode=text_of("{chunk} {0} {"))
    assert "{chunk} {0} {" in prompt_text(backend.requests[0])


# ------------------------------------------------------------------ what does not fit

FILL = "\n".join(map(block, [call("the core", "core"), *(call(f"fact {n}") for n in range(1, 9))]))


def filling(then: Callable[[ChatRequest], Reply]) -> Callable[[ChatRequest], Reply]:
    """Store a core and eight facts at the chunk "fill"; ``then`` replies to the other chunks."""
    return lambda request: FILL if "now:\nfill\n" in prompt_text(request) else then(request)


def too_long(_: ChatRequest) -> Reply:
    return ContextLengthError("too long")


def text_of(*chunks: str) -> Episode:
    asked = Question("Where?", ("Lund",))
    return Episode("e", "e", "accurate_retrieval", chunks, (asked,))


def shown_parts(request: ChatRequest) -> tuple[str, list[str]]:
    """Return the chunk and the ids of the items that a prompt shows."""
    chunk, view = request.messages[1]["content"].split("\n\nYour memory so far:\n")
    return chunk.partition("\n")[2], re.findall(r"^\[(\w+)\]", view, re.MULTILINE)


def test_items_go_first_by_the_published_rule_then_the_end_of_the_chunk() -> None:
    chunk = " ".join(f"word{number}" for number in range(200))
    _, result, backend = played(filling(too_long), episode=text_of("fill", chunk))
    asked = backend.requests[1:]
    shown = [shown_parts(request) for request in asked]
    ids = [f"s{number}" for number in range(1, 9)]
    whole = [items for text, items in shown if text == chunk]
    assert whole == [ids, ids[-5:], ids[-2:], ids[-1:], []]
    assert all("the core" in prompt_text(request) for request in asked)
    count = get_counter().count
    beginnings = [text for text, _ in shown[5:]]
    size = count(chunk)
    assert 32 <= size // 8 < 64  # half of it would be too short to be shown
    assert [count(text) for text in beginnings] == [size // 2, size // 4, size // 8]
    assert all(chunk.startswith(text) for text in beginnings)
    assert (result.steps, result.calls) == (2, 9)  # nothing was called for the second chunk
    assert result.usage["agent"].failures == 8


def test_the_first_prompt_that_fits_is_answered() -> None:
    def fits(request: ChatRequest) -> Reply:
        return too_long(request) if "[s6]" in prompt_text(request) else block(call("kept"))

    memory, _, backend = played(filling(fits), episode=text_of("fill", "chunk"))
    assert shown_parts(backend.requests[-1]) == ("chunk", ["s7", "s8"])
    assert "kept" in memory.items("semantic").values()


def test_a_prompt_that_would_not_be_shorter_is_not_asked() -> None:
    _, result, backend = played(too_long)
    # The memory is empty and the chunks are short: there is nothing to leave out.
    assert len(backend.requests) == 3
    assert (result.calls, result.steps) == (0, 3)


def test_results_of_a_search_are_left_out_before_the_chunk_is_cut() -> None:
    def fits(request: ChatRequest) -> Reply:
        found = "have given so far" in prompt_text(request)
        return too_long(request) if found else search("fact")

    _, _, backend = played(filling(fits), episode=text_of("fill", "chunk"), turns_per_chunk=2)
    last = backend.requests[-1]
    assert shown_parts(last) == ("chunk", [])
    assert "found" not in prompt_text(last)
    assert "the core" in prompt_text(last)
    assert "5 found" in prompt_text(backend.requests[-2])


# ------------------------------------------------------------------ texts


def test_instructions_are_the_task_and_the_tools() -> None:
    tools = ("new_memory_insert", "answer")
    assert instructions(tools) == f"{task_text(tools)}\n\n{describe_tools(tools)}"
    assert "`answer`" in task_text(tools)
    assert "`answer`" not in task_text(("new_memory_insert",))


def test_every_tool_format_is_described_and_an_unknown_one_is_refused() -> None:
    tools = ("memory_delete",)
    assert describe_tools(tools) in calling_text(tools, "hermes")
    assert describe_tools(tools) in calling_text(tools, "markers")
    assert "memory_delete" not in calling_text(tools, "native")
    with pytest.raises(UsageError, match='unknown tool format "herms": did you mean "hermes"'):
        calling_text(tools, "herms")


def test_all_texts_that_a_model_is_shown_can_be_had() -> None:
    _, _, backend = played(["", "", ""])
    system = backend.requests[0].messages[0]["content"]
    for role, text in PromptOnly.prompts.items():
        if role in ("system, task", "system, calls (hermes)"):
            assert text in system
    assert PromptOnly.prompts["user"].partition("{")[0] in prompt_text(backend.requests[0])
