"""The tool table and its validator: what passes, what every fault says, and the three exports."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.errors import UsageError
from memgym.tools import (
    MAX_CHARACTERS,
    MEMORY_TYPES,
    TOOL_NAMES,
    TOOLS,
    ToolCall,
    describe_tools,
    openai_tools,
    show,
    validate,
)


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def faults_of(candidate: Any, **options: Any) -> list[str]:
    result = validate(candidate, **options)
    assert isinstance(result, list), f"unexpectedly valid: {result}"
    assert all("\n" not in fault for fault in result)
    return result


VALID = [
    call("new_memory_insert", memory_type="core", content="Ada lives in Zürich."),
    call("new_memory_insert", memory_type="episodic", content=" leading blank is kept"),
    call("memory_update", memory_type="core", new_content="x"),
    call("memory_update", memory_type="semantic", new_content="x", memory_id="s3"),
    call("memory_delete", memory_type="core"),
    call("memory_delete", memory_type="episodic", memory_id="e1"),
    call("search_memory", query="boat", memory_type="semantic", top_k=20),
    call("answer", text="\\boxed{17}"),
]


@pytest.mark.parametrize("candidate", VALID, ids=lambda c: json.dumps(c)[:60])
def test_a_valid_call_passes_unchanged(candidate: dict[str, Any]) -> None:
    result = validate(candidate)
    assert isinstance(result, ToolCall)
    assert result.as_dict() == candidate
    assert validate(result) == result


def test_the_result_shares_nothing_with_the_input() -> None:
    given_call = call("memory_delete", memory_type="Core_Memory")
    result = validate(given_call)
    assert isinstance(result, ToolCall)
    assert given_call == call("memory_delete", memory_type="Core_Memory")
    result.arguments["memory_type"] = "changed"
    assert given_call["arguments"]["memory_type"] == "Core_Memory"
    copy = result.as_dict()
    copy["arguments"].clear()
    assert result.arguments


@pytest.mark.parametrize("store", MEMORY_TYPES)
@pytest.mark.parametrize("spelling", ["{}", "{}_memory", "  {}_MEMORY ", "{}_Memory"])
def test_memory_type_accepts_suffix_and_any_case(store: str, spelling: str) -> None:
    given_type = spelling.format(store if spelling.islower() else store.capitalize())
    result = validate(call("new_memory_insert", memory_type=given_type, content="x"))
    assert isinstance(result, ToolCall)
    assert result.arguments["memory_type"] == store


@pytest.mark.parametrize("top_k", [7, 7.0, "7"])
def test_top_k_accepts_whole_numbers_however_written(top_k: Any) -> None:
    result = validate(call("search_memory", query="q", top_k=top_k))
    assert isinstance(result, ToolCall)
    assert result.arguments["top_k"] == 7
    assert type(result.arguments["top_k"]) is int


@pytest.mark.parametrize(
    "top_k",
    [0, 21, -3, 2.5, True, "five", "٣", "", [3], float("nan"), float("inf"), 10**6000],
    ids=lambda value: type(value).__name__,
)
def test_top_k_outside_its_range_is_a_fault(top_k: Any) -> None:
    (fault,) = faults_of(call("search_memory", query="q", top_k=top_k))
    assert "a whole number from 1 to 20" in fault


def test_optional_arguments_have_defaults_and_null_means_left_out() -> None:
    for candidate in (
        call("search_memory", query="q"),
        call("search_memory", query="q", memory_type=None, top_k=None),
    ):
        result = validate(candidate)
        assert isinstance(result, ToolCall)
        assert result.arguments == {"query": "q", "top_k": 5}


def test_the_core_has_no_id_so_one_is_dropped() -> None:
    result = validate(call("memory_delete", memory_type="core_memory", memory_id=""))
    assert isinstance(result, ToolCall)
    assert result.arguments == {"memory_type": "core"}


@pytest.mark.parametrize("store", ["semantic", "episodic_memory"])
@pytest.mark.parametrize("name", ["memory_update", "memory_delete"])
def test_items_need_an_id(name: str, store: str) -> None:
    arguments = {"memory_type": store} | ({"new_content": "x"} if "update" in name else {})
    (fault,) = faults_of({"name": name, "arguments": arguments})
    assert 'missing argument "memory_id"' in fault


def test_all_faults_are_listed_at_once() -> None:
    faults = faults_of(
        call("memory_update", memory_type="semantics", new_contents="x", memory_id=3)
    )
    text = "; ".join(faults)
    assert len(faults) == 4
    assert 'got "semantics" (did you mean "semantic"?)' in text
    assert 'missing argument "new_content"' in text
    assert '"memory_id" must be a string, got the number 3' in text
    assert 'unexpected argument "new_contents": did you mean "new_content"? Accepted:' in text


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (call("memory_insert"), ['unknown tool "memory_insert"', "did you mean", "answer"]),
        ({"name": "answer"}, ['missing "arguments"', "text"]),
        ({"name": "answer", "arguments": "x"}, ['"arguments" must be an object', '"x"']),
        ({"name": "answer", "arguments": ["x"]}, ["a list of 1"]),
        ({"arguments": {}}, ['without "name"', "new_memory_insert"]),
        ({"name": ["answer"], "arguments": {}}, ['"name" must be one of', "a list of 1"]),
        ({}, ['without "name"']),
        (None, ["must be an object", "null"]),
        (3.5, ["the number 3.5"]),
        ("answer", ['got "answer"']),
        (call("answer", text=""), ['"text" is empty']),
        (call("answer", text=" \n\u3000"), ['"text" is empty']),
        (call("answer", text=None), ['missing argument "text"']),
        (call("answer", text={"a": 1}), ["an object with 1 keys"]),
        (call("answer", text=b"bytes"), ["a value of type bytes"]),
        (call("search_memory", query="q", memory_type="core"), ["semantic, episodic", '"core"']),
        (call("new_memory_insert", memory_type=1, content="x"), ["core, semantic, episodic"]),
        ({"name": "answer", "arguments": {"text": "x", 3: 4}}, ["unexpected argument the number"]),
    ],
)
def test_a_fault_names_what_was_wrong_and_what_is_right(candidate: Any, words: list[str]) -> None:
    text = "; ".join(faults_of(candidate))
    for word in words:
        assert word in text


def test_many_unexpected_arguments_are_summed_up() -> None:
    faults = faults_of(call("answer", text="x", **{f"extra{n}": n for n in range(1000)}))
    assert len(faults) < 10
    assert faults[-1] == "and 995 more unexpected arguments"


def test_long_values_are_cut_in_messages() -> None:
    for candidate in (
        call("y" * 1_000_000),
        call("new_memory_insert", memory_type="z" * 1_000_000, content="x"),
        call("answer", text="x", **{"k" * 1_000_000: 1}),
    ):
        assert all(len(fault) < 300 for fault in faults_of(candidate))


def test_too_long_content_is_a_fault() -> None:
    longest = call("answer", text="é" * MAX_CHARACTERS)
    assert isinstance(validate(longest), ToolCall)
    (fault,) = faults_of(call("answer", text="é" * (MAX_CHARACTERS + 1)))
    assert "65537 characters; at most 65536" in fault
    assert "3 characters; at most 2" in faults_of(call("answer", text="abc"), max_characters=2)[0]


def test_lone_surrogates_are_replaced() -> None:
    result = validate(call("answer", text="a\ud83d b") | {"id": "\udc00"})
    assert isinstance(result, ToolCall)
    assert result.arguments["text"] == "a\ufffd b"
    assert result.id == "\ufffd"


def test_only_the_offered_tools_pass() -> None:
    offered = ("memory_delete", "answer")
    (fault,) = faults_of(call("search_memory", query="q"), names=offered)
    assert fault == 'the tool "search_memory" is not offered here. Valid: memory_delete, answer'
    assert isinstance(validate(call("answer", text="x"), offered), ToolCall)


class Hostile:
    """An object that fails on every way of turning it into text."""

    def __repr__(self) -> str:
        raise RuntimeError("no text for you")

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        raise RuntimeError("no text for you")


class HostileText(str):
    """A string that fails once it is looked at as a string of its own kind."""

    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError("no text for you")

    __str__ = __repr__


@pytest.mark.parametrize("value", [Hostile(), [Hostile()], {"a": Hostile()}, {Hostile()}])
def test_hostile_objects_are_faults(value: Any) -> None:
    faults_of(value)
    faults_of({"name": value, "arguments": {}})
    faults_of({"name": "answer", "arguments": value})
    faults_of(call("answer", text=value))
    faults_of(call("new_memory_insert", memory_type=value, content=value))
    faults_of({"name": "answer", "arguments": {"text": "x", Hostile(): 1}})


def test_a_subclass_of_str_becomes_a_plain_string() -> None:
    result = validate(call("answer", text=HostileText("fine")))
    assert isinstance(result, ToolCall)
    assert type(result.arguments["text"]) is str


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    name=st.sampled_from(TOOL_NAMES) | JSON,
    arguments=JSON
    | st.dictionaries(
        st.sampled_from(sorted({a.name for tool in TOOLS.values() for a in tool.arguments})),
        JSON | st.sampled_from(["core", "semantic_memory", "s1", "text"]),
    ),
)
def test_no_json_value_raises_and_results_are_stable(name: Any, arguments: Any) -> None:
    result = validate({"name": name, "arguments": arguments})
    if isinstance(result, ToolCall):
        assert validate(result.as_dict()) == result
        assert all(type(value) in (str, int) for value in result.arguments.values())
    else:
        assert result
        assert all(isinstance(fault, str) and fault for fault in result)


@settings(deadline=None)
@given(JSON)
def test_show_is_short_and_on_one_line(value: Any) -> None:
    assert len(show(value)) <= 80
    assert "\n" not in show(value)


def test_openai_schemas_agree_with_the_table() -> None:
    schemas = openai_tools()
    assert json.loads(json.dumps(schemas)) == schemas
    assert [schema["function"]["name"] for schema in schemas] == list(TOOL_NAMES)
    for schema in schemas:
        function = schema["function"]
        tool = TOOLS[function["name"]]
        parameters = function["parameters"]
        assert list(parameters["properties"]) == [a.name for a in tool.arguments]
        assert parameters["required"] == [a.name for a in tool.arguments if a.required]
        assert parameters["additionalProperties"] is False
        assert function["description"] == tool.description
    insert = schemas[0]["function"]["parameters"]["properties"]
    assert insert["memory_type"]["enum"] == ["core", "semantic", "episodic"]
    search = schemas[3]["function"]["parameters"]["properties"]
    assert (search["top_k"]["minimum"], search["top_k"]["maximum"]) == (1, 20)
    assert search["memory_type"]["enum"] == ["semantic", "episodic"]


def test_schemas_are_fresh_objects_in_the_wished_order() -> None:
    names = ["answer", "memory_delete"]
    first = openai_tools(names)
    assert [schema["function"]["name"] for schema in first] == names
    first[1]["function"]["parameters"]["properties"]["memory_type"]["enum"].clear()
    assert openai_tools(names) != first


def test_the_prompt_text_names_every_tool_argument_and_choice() -> None:
    text = describe_tools()
    for tool in TOOLS.values():
        assert tool.description in text
        for argument in tool.arguments:
            assert f"  {argument.name}" in text
            assert all(choice in text for choice in argument.choices)
    assert "memory_delete(memory_type, memory_id?)" in text
    assert "a whole number from 1 to 20" in text
    assert "answer" not in describe_tools(["memory_delete"])


@pytest.mark.parametrize("export", [openai_tools, describe_tools])
def test_an_unknown_tool_name_is_a_usage_error(export: Any) -> None:
    with pytest.raises(UsageError, match='did you mean "memory_delete"'):
        export(["memory_deletes"])
