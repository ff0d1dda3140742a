"""parse_action: every accepted form gives the same calls, and nothing a policy emits raises."""

import copy
import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memgym.actions import ParsedAction, Repair, parse_action, plain_text
from memgym.errors import UsageError
from memgym.tools import ToolCall, ToolFault

INSERT: dict[str, Any] = {
    "name": "new_memory_insert",
    "arguments": {"memory_type": "semantic", "content": 'Søren said "hi" {twice} <3'},
}
DELETE: dict[str, Any] = {"name": "memory_delete", "arguments": {"memory_type": "core"}}
CALLS = (
    ToolCall(INSERT["name"], INSERT["arguments"]),
    ToolCall("memory_delete", {"memory_type": "core"}),
)


def parse(action: Any, **options: Any) -> tuple[ToolCall | ToolFault, ...]:
    result = parse_action(action, **({"max_calls": 16} | options))
    assert isinstance(result, ParsedAction)
    return result.calls


def one_fault(action: Any, **options: Any) -> ToolFault:
    calls = parse(action, **options)
    assert len(calls) == 1, calls
    assert isinstance(calls[0], ToolFault), calls
    assert calls[0].message
    assert "\n" not in calls[0].message
    return calls[0]


def wire(call: dict[str, Any], call_id: str = "", as_text: bool = True) -> dict[str, Any]:
    arguments = json.dumps(call["arguments"]) if as_text else call["arguments"]
    function = {"name": call["name"], "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def block(call: dict[str, Any]) -> str:
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


def marker(call: dict[str, Any]) -> str:
    return f"✿FUNCTION✿: {call['name']}\n✿ARGS✿: {json.dumps(call['arguments'])}\n"


BOTH = [INSERT, DELETE]
FORMS = {
    "list": BOTH,
    "tuple": tuple(BOTH),
    "calls": list(CALLS),
    "wire, text arguments": [wire(INSERT), wire(DELETE)],
    "wire, object arguments": [wire(INSERT, as_text=False), wire(DELETE, as_text=False)],
    "text arguments": [call | {"arguments": json.dumps(call["arguments"])} for call in BOTH],
    "parameters": [{"name": c["name"], "parameters": c["arguments"]} for c in BOTH],
    "message": {"role": "assistant", "content": None, "tool_calls": [wire(INSERT), wire(DELETE)]},
    "two messages": [{"role": "assistant", "tool_calls": [wire(call)]} for call in BOTH],
    "message, calls and text": {"tool_calls": [wire(c) for c in BOTH], "content": block(DELETE)},
    "old message": [{"role": "assistant", "content": "", "function_call": c} for c in BOTH],
    "message text": {"role": "assistant", "content": block(INSERT) + block(DELETE)},
    "json list": json.dumps(BOTH),
    "json of json": json.dumps(json.dumps(BOTH)),
    "json message": json.dumps({"role": "assistant", "tool_calls": [wire(INSERT), wire(DELETE)]}),
    "hermes": "I will store this.\n" + block(INSERT) + "\n" + block(DELETE),
    "hermes, never closed": f"<tool_call>{json.dumps(INSERT)}\n<tool_call>{json.dumps(DELETE)}",
    "hermes, two in one": f"<tool_call>{json.dumps(INSERT)}\n{json.dumps(DELETE)}</tool_call>",
    "hermes, list": f"<tool_call>{json.dumps(BOTH)}</tool_call>",
    "hermes, fenced": f"<tool_call>\n```json\n{json.dumps(BOTH)}\n```\n</tool_call>",
    "markers": marker(INSERT) + marker(DELETE),
    "markers, imagined result": marker(INSERT) + marker(DELETE) + "✿RESULT✿: ok\n" + marker(DELETE),
    "markers, return": marker(INSERT) + marker(DELETE) + "✿RETURN✿: done",
    "json lines": f"{json.dumps(INSERT)}\n{json.dumps(DELETE)}",
    "prose": f"First {json.dumps(INSERT)}, then [1] {{x}} {json.dumps([DELETE])}. Done.",
    "wire in prose": f"So {json.dumps(wire(INSERT))} and {json.dumps([wire(DELETE)])}!",
    "indented in a fence": f"Calls:\n```json\n{json.dumps(BOTH, indent=2)}\n```\nDone",
    "thinking": f"<think>or {block(DELETE)}?</think>{block(INSERT)}{block(DELETE)}",
    "thinking in the prompt": f"maybe {block(DELETE)} hm</think>{json.dumps(BOTH)}",
    "thinking afterwards": f"{block(INSERT)}{block(DELETE)}<think>and {block(DELETE)}",
}


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_gives_the_same_calls(form: str) -> None:
    before = copy.deepcopy(FORMS[form])
    assert parse(FORMS[form]) == CALLS
    assert parse(FORMS[form], repair="json_repair") == CALLS
    assert FORMS[form] == before


@pytest.mark.parametrize("single", [INSERT, wire(INSERT), CALLS[0], json.dumps(INSERT)])
def test_one_call_stands_for_a_list_of_one(single: Any) -> None:
    assert parse(single) == CALLS[:1]


@pytest.mark.parametrize(
    "nothing",
    [
        None, (), [], "", " \n\t", "[]", '""', '"[]"', "null", "Done", '"Done"', "(nothing)", "42",
        "I kept [1, 2] and {this}.", "```\ncode()\n```", "<think>", "</think>", "</tool_call>",
        f"<think>{block(INSERT)}</think> Done", f"<think>{block(INSERT)}", "✿RESULT✿: ok",
        "✿RETURN✿: Nothing to store.", 'A dog {"name": "Rex", "age": 3} ran.', "\\boxed{17}",
        'Format {name: >10} and {"type": }', {"role": "assistant", "content": "Done"},
        {"role": "assistant", "content": None}, {"role": "assistant", "tool_calls": []},
    ],
)  # fmt: skip
def test_no_call_is_no_fault(nothing: Any) -> None:
    assert parse(nothing) == ()
    assert parse(nothing, repair="json_repair") == ()


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({}, 'without "name"'),
        ("{}", 'without "name"'),
        ('{"foo": 1}', 'without "name"'),
        ('<think>hm</think>{"foo": 1}', 'without "name"'),
        ("[1]", "the number 1"),
        (["Done"], '"Done"'),
        ([[INSERT]], "a list of 1"),
        ([None], "null"),
        ("<tool_call>null</tool_call>", "null"),
        ('<tool_call>"text"</tool_call>', '"text"'),
        ("<tool_call></tool_call>", "not valid JSON at character 0"),
        ('<tool_call>{"name": "answer", arguments', "not valid JSON at character 19"),
        ('Now {"name": "answer", "arguments": {"text": 1,}}', "not valid JSON at character 4"),
        ('{"name": "answer", "arguments": {"text": "cut', "ends inside a string"),
        ("{'name': 'answer', 'arguments': {}}", "not valid JSON at character 1"),
        ('{"name": "answer", "arguments": "{"}', '"arguments": not valid JSON'),
        ({"name": "answer", "arguments": "{} x"}, 'extra text "x"'),
        ({"name": "answer", "arguments": ""}, 'missing argument "text"'),
        ({"name": "answer", "arguments": "[]"}, "a list of 0"),
        ({"name": "answer", "arguments": '"\\"{}\\""'}, "must be an object"),
        ("✿FUNCTION✿: answer", '"✿ARGS✿:" and a JSON object'),
        ("✿FUNCTION✿: answer ✿RETURN✿", '"✿ARGS✿:" and a JSON object'),
        ("✿FUNCTION✿: answer\n✿ARGS✿: {text", "not valid JSON"),
        ("✿FUNCTION✿:\n✿ARGS✿: {}", "unknown tool"),
        ({"tool_calls": "x"}, '"tool_calls" must be a list'),
        ({"role": "assistant", "content": [{"type": "text"}]}, '"content" of a message'),
        ('{"name": "answer", "arguments": {"text": "a", "text": "b"}}', 'key "text" stands twice'),
        ('{"name": "answer", "name": "answer"}', 'key "name" stands twice'),
        ('{"name": "answer", "arguments": {"text": NaN}}', "the number nan"),
        ('{"name": "answer", "arguments": {"text": 1' + "0" * 5000 + "}}", "too many digits"),
    ],
)  # fmt: skip
def test_a_fault_says_what_was_wrong(action: Any, words: str) -> None:
    assert words in one_fault(action).message


def test_faults_and_calls_keep_their_order_names_and_ids() -> None:
    calls = parse(
        [
            wire(INSERT, "c1"),
            wire({"name": "answer", "arguments": {}}, "c2"),
            {"id": "c3", "function": {"name": "answer", "arguments": "{"}},
            DELETE | {"id": "c4"},
            DELETE | {"id": 5},
        ]
    )
    kinds = [type(call).__name__ for call in calls]
    assert kinds == ["ToolCall", "ToolFault", "ToolFault", "ToolCall", "ToolCall"]
    assert [call.id for call in calls] == ["c1", "c2", "c3", "c4", ""]
    assert calls[1].name == calls[2].name == "answer"
    mixed = parse(
        f"{block(INSERT)}<tool_call>{{oops</tool_call>✿FUNCTION✿: answer\n{block(DELETE)}"
    )
    assert [type(call).__name__ for call in mixed] == ["ToolCall", "ToolFault", "ToolFault"]
    assert mixed[2].name.startswith("answer")


def test_marks_inside_json_strings_are_content() -> None:
    content = (
        'about <think> and </think>, <tool_call>, </tool_call>, ✿FUNCTION✿: and ``` {"name": 1}'
    )
    call = {"name": "new_memory_insert", "arguments": {"memory_type": "core", "content": content}}
    for text in (json.dumps(call), block(call), marker(call), f"So: {json.dumps([call])}"):
        (parsed,) = parse(text)
        assert isinstance(parsed, ToolCall)
        assert parsed.arguments["content"] == content


def test_a_raw_line_break_inside_a_string_is_accepted() -> None:
    (call,) = parse('{"name": "answer", "arguments": {"text": "two\nlines"}}')
    assert call == ToolCall("answer", {"text": "two\nlines"})


def test_escaped_lone_surrogates_become_clean_text() -> None:
    (call,) = parse('{"name": "answer", "arguments": {"text": "a\\ud83d"}}')
    assert call == ToolCall("answer", {"text": "a\ufffd"})


def test_arguments_are_copied() -> None:
    action = copy.deepcopy(BOTH)
    (first, _) = parse(action)
    action[0]["arguments"]["content"] = "changed later"
    assert first == CALLS[0]


def test_calls_beyond_the_limit_are_faults() -> None:
    calls = parse([DELETE] * 5, max_calls=3)
    assert [type(call) for call in calls] == [ToolCall] * 3 + [ToolFault] * 2
    assert isinstance(calls[4], ToolFault)
    assert calls[4].message == "call 5 of 5 was not applied: an action has at most 3"
    many = parse([DELETE] * 1000, max_calls=3)
    assert len(many) == 6
    assert isinstance(many[5], ToolFault)
    assert "of 1000" in many[5].message
    assert len(parse("<tool_call>{</tool_call>" * 50, max_calls=2, repair="json_repair")) == 4


def test_only_the_offered_tools_pass() -> None:
    assert parse(DELETE, tools=("memory_delete",)) == CALLS[1:]
    assert "is not offered here" in one_fault(DELETE, tools=("answer",)).message


def test_too_long_text_is_one_fault() -> None:
    assert "1000000 characters; at most 262144" in one_fault("x" * 1_000_000).message
    assert "at most 20" in one_fault({"role": "a", "content": "x" * 21}, max_characters=20).message
    assert parse("x" * 20, max_characters=20) == ()


@pytest.mark.parametrize("other", [3, 2.5, True, b"[]", {1}, np.zeros(2), object(), iter([])])
def test_other_types_are_programming_errors(other: Any) -> None:
    with pytest.raises(TypeError, match=r"list of tool calls.*got"):
        parse(other)


def test_bad_options_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="max_calls"):
        parse_action([], max_calls=0)
    with pytest.raises(UsageError, match="Valid: none, json_repair"):
        parse([], repair="magic")


def test_a_missing_repair_library_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "json_repair", None)
    with pytest.raises(UsageError, match=r'pip install "memgym\[repair\]"'):
        parse([], repair="json_repair")


# --- repair -------------------------------------------------------------------------------------

ANSWER = '"name": "answer", "arguments": '
SLIPS = {
    "trailing comma": f'{{{ANSWER}{{"text": "it"}},}}',
    "single quotes": "{'name': 'answer', 'arguments': {'text': 'it'}}",
    "missing braces": f'{{{ANSWER}{{"text": "it"',
    "missing brace in a block": f'<tool_call>{{{ANSWER}{{"text": "it"}}</tool_call>',
    "fence around a missing brace": f'```json\n{{{ANSWER}{{"text": "it"}}\n```',
    "missing comma": '{"name": "answer" "arguments": {"text": "it"}}',
    "unquoted keys": '<tool_call>{name: "answer", arguments: {text: "it"}}</tool_call>',
    "smart quotes": "{“name”: “answer”, “arguments”: {“text”: “it”}}",
    "marker arguments": "✿FUNCTION✿: answer\n✿ARGS✿: {'text': 'it'}",
    "text arguments": '{"name": "answer", "arguments": "{\'text\': \'it\'}"}',
}


@pytest.mark.parametrize("slip", list(SLIPS))
def test_usual_slips_are_faults_or_repaired(slip: str) -> None:
    one_fault(SLIPS[slip])
    assert parse(SLIPS[slip], repair="json_repair") == (
        ToolCall("answer", {"text": "it"}, repaired=True),
    )


def test_unescaped_quotes_are_repaired() -> None:
    (call,) = parse(f'{{{ANSWER}{{"text": "he said "hi" twice"}}}}', repair="json_repair")
    assert call == ToolCall("answer", {"text": 'he said "hi" twice'}, repaired=True)


def test_a_repaired_list_marks_each_call() -> None:
    calls = parse(
        "[{'name': 'memory_delete', 'arguments': {'memory_type': 'core'}}," * 2, repair="none"
    )
    assert len(calls) == 1
    text = json.dumps([DELETE, DELETE])[:-1] + ",]"
    assert (
        parse(text, repair="json_repair")
        == (ToolCall("memory_delete", {"memory_type": "core"}, repaired=True),) * 2
    )


@pytest.mark.parametrize(
    "cut",
    [
        f'{{{ANSWER}{{"text": "the boat was so',
        f'{{{ANSWER}{{"text": "code f() {{ x }}',
        f'{{{ANSWER}{{"text": "he said "hi" to {{x}}',
        f'{{{ANSWER}{{"text": "he said \\"',
        f'{{{ANSWER}{{"text": "he said "yes" and "',
        f'{{{ANSWER}{{"text": ',
        f'{{{ANSWER}{{"text": "it",',
        "{'name': 'answer', 'arguments': {'text': 'it's so",
        "{name: answer, arguments: {text: the boat was",
        "✿FUNCTION✿: answer\n✿ARGS✿: {'text': 'the boat",
        '{"name": "answer", "arguments": "{\\"text\\": \\"the boat"}',
    ],
)
def test_text_that_breaks_off_is_never_repaired(cut: str) -> None:
    one_fault(cut, repair="json_repair")


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "answer", "arguments": {"text": "a", "text": "b"}}',
        "{'name': 'answer', 'arguments': {'text': 'it's'}}",
        '{"name": "answer", "arguments": "{\\"text\\": \\"a\\", \\"text\\": \\"b\\"}"}',
        "<tool_call>prose</tool_call>",
        "{'name': 'answer', 'arguments': " + "[" * 5_000 + "]" * 5_000 + "}",
        '{"name": "answer", "arguments": {"text": "' + "x" * 65_530 + '"},}',
    ],
)
def test_what_repair_would_have_to_guess_stays_a_fault(text: str) -> None:
    one_fault(text, repair="json_repair")


# --- nothing raises -----------------------------------------------------------------------------


def self_referencing() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    message: dict[str, Any] = {"role": "assistant"}
    message["tool_calls"] = [message, loop]
    arguments: dict[str, Any] = {}
    arguments["text"] = arguments
    return [loop, message, {"name": "answer", "arguments": arguments}]


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no text for you")


@pytest.mark.parametrize("repair", ["none", "json_repair"])
@pytest.mark.parametrize(
    "action",
    [
        *self_referencing(),
        self_referencing(),
        [Hostile()],
        {Hostile(): Hostile()},
        {"name": Hostile(), "arguments": {Hostile(): 1}, "id": Hostile()},
        {"function": {"name": "answer", "arguments": Hostile()}},
        {1: 2, None: 3},
        {"tool_calls": [{"function": {"function": {}}}]},
        {"role": "a", "content": "\ud800<tool_call>{\udc00"},
        "[" * 200_000,
        "{" * 200_000,
        '{"name":' * 30_000,
        '[{"name":[' * 20_000,
        '{"name": "answer", "arguments": ' + "[" * 100_000,
        "<tool_call>" + "[" * 100_000 + "</tool_call>",
        "✿FUNCTION✿" * 10_000,
        "<tool_call>" * 5_000,
        "<think>" * 20_000 + "</think>",
        "</think>" * 20_000,
        "`" * 100_000,
        '{"name": "arguments' + "\"'" * 30_000 + "}",
        [{"name": "answer", "arguments": {"text": float("nan")}}] * 40,
        [np.zeros(3), b"x", 1j, {1, 2}],
    ],
    ids=lambda action: type(action).__name__,
)
def test_hostile_actions_do_not_raise(action: Any, repair: Repair) -> None:
    calls = parse(action, repair=repair)
    assert calls or isinstance(action, str)
    for call in calls:
        assert isinstance(call, ToolFault)
        assert len(call.message) < 1_000


WORDS = st.sampled_from(
    ["<think>", "</think>", "<tool_call>", "</tool_call>", "✿FUNCTION✿: answer", "✿ARGS✿: ",
     "✿RESULT✿", "```json\n", "\n```", '{"name": "answer", ', '"arguments": ', '{"text": "a"}', "}",
     "{", "[", "]", '"', "'", "\\", ",", "\n", "NaN", "1e999", "answer", "“", "\ud800", "é"]
)  # fmt: skip
MODEL_TEXT = st.lists(WORDS | st.text(max_size=4), max_size=20).map("".join)
KEYS = st.sampled_from(["name", "arguments", "function", "tool_calls", "role", "content", "id"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | MODEL_TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(text=MODEL_TEXT, repair=st.sampled_from(["none", "json_repair"]))
@example(text='{"name":"answer","arguments":{"text":"a', repair="json_repair")
def test_no_text_raises(text: str, repair: Repair) -> None:
    for call in parse(text, repair=repair, max_calls=3):
        assert isinstance(call, (ToolCall, ToolFault))
    assert isinstance(plain_text(text), str)


@settings(max_examples=100, deadline=None)
@given(action=st.lists(JSON, max_size=4) | st.dictionaries(KEYS, JSON, max_size=4))
def test_no_json_value_raises_and_none_is_changed(action: Any) -> None:
    before = repr(action)
    calls = parse(action)
    assert len(calls) <= 32
    assert repr(action) == before


CONTENT = st.text(min_size=1, max_size=40).filter(lambda text: bool(text.strip()))


@settings(max_examples=100, deadline=None)
@given(contents=st.lists(CONTENT, min_size=1, max_size=4), thought=st.text(max_size=20))
def test_text_forms_equal_the_object_form(contents: list[str], thought: str) -> None:
    actions = [{"name": "answer", "arguments": {"text": content}} for content in contents]
    expected = parse(actions)
    assert all(isinstance(call, ToolCall) for call in expected)
    thought = thought.replace("<", "").replace("✿", "").replace("{", "")
    assert parse(json.dumps(actions)) == expected
    assert parse(json.dumps(actions, ensure_ascii=False)) == expected
    assert parse(f"<think>{thought}</think>" + "".join(map(block, actions)) + thought) == expected
    assert parse(thought + "".join(map(marker, actions))) == expected
    assert parse([wire(action) for action in actions]) == expected


# --- plain text ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The label is \\boxed{17}.", "The label is \\boxed{17}."),
        ("<think>17? 18?</think>\n\\boxed{17}", "\\boxed{17}"),
        ("was 18 </think>\\boxed{17}", "\\boxed{17}"),
        (f"Paris {block(DELETE)} it is", "Paris  it is"),
        (f"Paris\n```json\n{json.dumps(DELETE)}\n```", "Paris"),
        (marker(DELETE) + "✿RETURN✿: Paris", "Paris"),
        (json.dumps(BOTH), ""),
        ("Keep {this} and [that].", "Keep {this} and [that]."),
        ('{"city": "Paris"}', '{"city": "Paris"}'),
        ("<think>never closed", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_plain_text_is_what_is_left(text: str, plain: str) -> None:
    assert plain_text(text) == plain
