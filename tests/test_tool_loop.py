"""Conversations with tools of an agent's own: what is said back, what is dropped, who is asked."""

import json
from pathlib import Path
from typing import Any

import pytest

from memgym.actions import parse_action
from memgym.agents import AGENTS
from memgym.agents.chat import (
    Chat,
    ChatReply,
    ContextLengthError,
    RefusedError,
    ReplyStore,
    ServerError,
)
from memgym.agents.draft import Draft, writing_tools
from memgym.agents.tool_loop import ToolLoop, ask_together
from memgym.errors import UsageError
from memgym.evaluation import environment_for, play_episode
from memgym.memory import Memory
from memgym.prompts import calling_text
from memgym.tools import Argument, Tool, ToolCall, ToolFault, describe_tools, openai_tools
from tests.episodes import village
from tests.scripted import ScriptedBackend, prompt_text, scripted_chat

PAINT = Tool(
    "paint",
    "Paint the wall.",
    (
        Argument("colour", "choice", "Which.", choices=("red", "blue")),
        Argument("note", "text", "May be empty.", required=False, may_be_blank=True),
        Argument("coats", "integer", "How many.", required=False, maximum=3, default=0),
    ),
)
TABLE = {"paint": PAINT}
OPENING = [{"role": "user", "content": "Paint."}]
SMALL = {"source_options": {"tokens": 1_000, "chunk_tokens": 300, "questions": 4}}


def native(name: str, arguments: str) -> dict[str, Any]:
    return {"id": "x", "type": "function", "function": {"name": name, "arguments": arguments}}


def loop(tool_format: str = "hermes", *more: str) -> ToolLoop:
    openings = [OPENING, *([{"role": "user", "content": text}] for text in more)]
    return ToolLoop(openings, TABLE, tool_format)


def texts(conversation: ToolLoop) -> list[list[str]]:
    return [[str(message["content"]) for message in prompt] for prompt in conversation.prompts()]


def test_a_table_of_ones_own_is_described_and_checked_like_the_environments() -> None:
    assert describe_tools(TABLE, TABLE).splitlines() == [
        "paint(colour, note?, coats?): Paint the wall.",
        "  colour (one of red, blue): Which.",
        "  note: May be empty.",
        "  coats (a whole number from 0 to 3): How many.",
    ]
    [schema] = openai_tools(TABLE, TABLE)
    assert schema["function"]["parameters"]["properties"]["colour"]["enum"] == ["red", "blue"]
    assert calling_text(["paint"], "hermes", TABLE).startswith("Tools:\npaint(colour")
    with pytest.raises(UsageError, match='did you mean "paint"'):
        describe_tools(["pain"], TABLE)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"colour": " RED ", "note": ""}, {"colour": "red", "note": "", "coats": 0}),
        ({"colour": "blue", "coats": "2"}, {"colour": "blue", "coats": 2}),
        ({"colour": "core"}, 'must be one of red, blue; got "core"'),
        ({"colour": "blu"}, 'did you mean "blue"?'),
        ({"colour": "red", "shade": 1}, 'unexpected argument "shade"'),
    ],
)
def test_arguments_are_checked_against_it(arguments: Any, expected: Any) -> None:
    action = {"name": "paint", "arguments": arguments}
    [found] = parse_action(action, max_calls=1, tools=["paint"], table=TABLE).calls
    if isinstance(expected, str):
        assert isinstance(found, ToolFault)
        assert expected in found.message
    else:
        assert found == ToolCall("paint", expected)


def test_results_follow_as_text_in_order() -> None:
    talk = loop()
    block = '<tool_call>{"name": "paint", "arguments": {"colour": "red"}}</tool_call>'
    reply = ChatReply(f"<think>hm</think>{block}<tool_call>{{</tool_call>")
    calls = talk.read(reply)
    assert calls[0] == ToolCall("paint", {"colour": "red", "coats": 0})
    assert isinstance(calls[1], ToolFault)
    talk.add(reply, calls, ["done", "error: what?"])
    [[first, assistant, results], *_] = texts(talk)
    assert first == "Paint."
    assert assistant == f"{block}<tool_call>{{</tool_call>"
    assert results == "Results of your calls:\n1. paint: done\n2. call: error: what?"
    assert talk.options == {"tools": ()}


def test_native_calls_go_back_as_a_server_takes_them() -> None:
    talk = loop("native")
    reply = ChatReply("", (native("paint", '{"colour": "red"}'), native("paint", '{"colour')))
    calls = talk.read(reply)
    assert [type(call) for call in calls] == [ToolCall, ToolFault]
    talk.add(reply, calls, ["done", "error"])
    talk.add(reply, calls, ["done", "error"])
    [_, assistant, one, two, *later] = next(talk.prompts())
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert [message["tool_call_id"] for message in (one, two)] == ids
    assert len(set(ids)) == 2
    assert [message["role"] for message in (one, two)] == ["tool", "tool"]
    arguments = [call["function"]["arguments"] for call in assistant["tool_calls"]]
    assert [json.loads(text) for text in arguments] == [{"colour": "red", "coats": 0}, {}]
    assert not set(ids) & {message.get("tool_call_id") for message in later}
    assert talk.options["tools"][0]["function"]["name"] == "paint"


def test_calls_that_a_native_server_left_in_the_text_are_read_there() -> None:
    talk = loop("native")
    reply = ChatReply('<tool_call>{"name": "paint", "arguments": {"colour": "red"}}</tool_call>')
    calls = talk.read(reply)
    assert calls == (ToolCall("paint", {"colour": "red", "coats": 0}),)
    talk.add(reply, calls, ["done"])
    assert next(talk.prompts())[-1]["role"] == "user"


def test_a_reply_has_at_most_32_calls() -> None:
    block = '<tool_call>{"name": "paint", "arguments": {"colour": "red"}}</tool_call>'
    calls = loop().read(ChatReply(block * 40))
    assert sum(isinstance(call, ToolCall) for call in calls) == 32


def test_the_oldest_steps_go_first_then_the_opening_shrinks() -> None:
    talk = loop("hermes", "Pa", "P")
    for number in range(3):
        talk.add(ChatReply(f"say {number}"), (), ())
    shown = [[text for text in prompt if not text.startswith("Res")] for prompt in texts(talk)]
    assert shown == [
        ["Paint.", "say 0", "say 1", "say 2"],
        ["Paint.", "say 1", "say 2"],
        ["Paint.", "say 2"],
        ["Pa", "say 2"],
        ["P", "say 2"],
    ]
    assert [prompt[0] for prompt in texts(talk)] == ["P"]


def test_several_are_asked_in_one_batch_and_only_what_did_not_fit_again() -> None:
    sizes = []

    class Backend(ScriptedBackend):
        def generate(self, requests: Any) -> Any:
            sizes.append(len(requests))
            return super().generate(requests)

    def reply(request: Any) -> Any:
        text = prompt_text(request)
        return ContextLengthError("too long") if len(text) > 2 else f"got {text}"

    chat, _ = scripted_chat(())
    chat = Chat(chat.settings, Backend(reply))
    replies = ask_together(chat, [loop(), loop("hermes", "abc", "Pa"), loop("hermes", "P")])
    assert [reply and reply.text for reply in replies] == [None, "got Pa", "got P"]
    assert sizes == [3, 2, 1]
    assert ask_together(chat, []) == []
    broken, _ = scripted_chat([ServerError("down")])
    with pytest.raises(ServerError):
        ask_together(broken, [loop()])
    refusing, _ = scripted_chat([RefusedError("filtered"), "fine"])
    first, second = ask_together(refusing, [loop(), loop()])
    assert first is None
    assert second is not None
    assert (second.text, refusing.usage.failures) == ("fine", 1)


def test_a_draft_leaves_the_memory_alone_and_keeps_what_succeeds() -> None:
    memory = Memory(core_capacity_tokens=5)
    memory.insert("semantic", "old")
    draft = Draft(memory)
    insert = ToolCall("new_memory_insert", {"memory_type": "semantic", "content": "new"})
    calls: list[ToolCall | ToolFault] = [
        insert,
        insert,
        ToolCall("memory_delete", {"memory_type": "semantic", "memory_id": "s9"}),
        ToolCall("memory_update", {"memory_type": "core", "new_content": "a b c d e f g h"}),
        ToolCall("search_memory", {"query": "old", "top_k": 1}),
        ToolFault("", "unreadable"),
    ]
    statuses = [draft.write(call).status for call in calls]
    assert statuses == ["ok", "skipped", "error", "error", "error", "error"]
    assert draft.calls == [insert.as_dict()]
    assert draft.memory.items("semantic") == {"s1": "old", "s2": "new"}
    assert memory.items("semantic") == {"s1": "old"}
    assert memory.core_overflow == "truncate"


def test_the_tools_of_one_memory_take_no_other() -> None:
    assert list(writing_tools("core")) == ["memory_update"]
    assert [argument.name for argument in writing_tools("core")["memory_update"].arguments] == [
        "memory_type",
        "new_content",
    ]
    assert list(writing_tools("episodic")) == [
        "new_memory_insert",
        "memory_update",
        "memory_delete",
    ]
    for tool in writing_tools("episodic").values():
        assert tool.arguments[0].choices == ("episodic",)


@pytest.mark.parametrize("name", ["memgpt", "mirix"])
def test_a_played_episode_is_replayed_from_its_journal(name: str, tmp_path: Path) -> None:
    def reply(request: Any) -> str:
        if request.choices:
            return "episodic, semantic"
        kind = "episodic" if "Your part is episodic" in prompt_text(request) else "semantic"
        arguments = {"content": f"A fact of {len(prompt_text(request))} characters."}
        if name == "mirix":
            call = {"name": "new_memory_insert", "arguments": {"memory_type": kind, **arguments}}
        else:
            call = {"name": "archival_memory_insert", "arguments": arguments}
        return f"<tool_call>{json.dumps(call)}</tool_call>"

    results = []
    for replies in (reply, ()):  # the second has nothing to say
        template, backend = scripted_chat(replies)
        store = ReplyStore(tmp_path)
        agent = AGENTS[name](Chat(template.settings, backend, store=store))
        results.append(play_episode(agent, environment_for(agent, **SMALL), village()).record())
        store.close()
    assert results[0] == results[1]
    assert results[0]["calls"] > 5


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_a_model_that_refuses_everything_ends_the_episode_and_is_asked_once(
    name: str, tmp_path: Path
) -> None:
    results = []
    for replies in (lambda _: RefusedError("filtered"), ()):  # the second has nothing to say
        template, backend = scripted_chat(replies)
        store = ReplyStore(tmp_path)
        agent = AGENTS[name](Chat(template.settings, backend, store=store))
        env = environment_for(agent, answer_mode="agent", **SMALL)
        results.append(play_episode(agent, env, village()).record())
        assert agent.usage.failures >= 3  # one per question
        assert agent.usage.calls == 0
        store.close()
    assert results[0] == results[1]
