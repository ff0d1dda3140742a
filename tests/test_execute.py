"""Applying calls to a memory: what each result says."""

import json

import pytest

from memgym.execute import SEARCH_RESULT_CHARACTERS, ToolResult, execute, feedback_line
from memgym.memory import Memory
from memgym.tools import TOOL_NAMES, ToolCall, ToolFault, validate


def run(memory: Memory, name: str, **arguments: object) -> ToolResult:
    call = validate({"name": name, "arguments": arguments, "id": "c1"})
    assert isinstance(call, ToolCall)
    return execute(call, memory, TOOL_NAMES)


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.insert("semantic", "Ada keeps bees.")
    memory.insert("episodic", "Ada sold the bees.")
    return memory


def test_a_search_takes_every_store_in_turn(memory: Memory) -> None:
    result = run(memory, "search_memory", query="bees")
    lines = ["2 found", "[s1] Ada keeps bees.", "[e1] Ada sold the bees."]
    assert (result.status, result.message.splitlines()) == ("ok", lines)
    one = run(memory, "search_memory", query="bees", memory_type="episodic")
    assert one.message.splitlines() == ["1 found", "[e1] Ada sold the bees."]


def test_a_search_skips_disabled_stores() -> None:
    memory = Memory(memory_types=["core", "episodic"])
    memory.insert("episodic", "Ada sold the bees.")
    assert run(memory, "search_memory", query="bees").message == "1 found\n[e1] Ada sold the bees."
    refused = run(memory, "search_memory", query="bees", memory_type="semantic")
    assert refused.status == "error"
    core_only = run(Memory(memory_types=["core"]), "search_memory", query="bees")
    assert core_only.status == "error"
    assert "the core is always visible" in core_only.message


def test_a_search_returns_the_tables_number_of_items_by_default() -> None:
    memory = Memory()
    for number in range(9):
        memory.insert("semantic", f"bees {number}")
    assert run(memory, "search_memory", query="bees").message.startswith("5 found")
    assert run(memory, "search_memory", query="bees", top_k=7).message.startswith("7 found")


@pytest.mark.parametrize("extra", [0, 1])
def test_long_results_are_clipped(extra: int) -> None:
    assert SEARCH_RESULT_CHARACTERS == 500
    memory = Memory()
    text = "bees\n" + "x" * (495 + extra)
    memory.insert("semantic", text)
    _, line = run(memory, "search_memory", query="bees").message.splitlines()
    assert line == "[s1] " + text.replace("\n", " ")[:500] + "…" * extra


def test_a_cut_core_is_flagged_in_the_info() -> None:
    memory = Memory(core_capacity_tokens=3)
    short = run(memory, "memory_update", memory_type="core", new_content="one")
    cut = run(memory, "memory_update", memory_type="core", new_content="one two three four")
    assert (short.to_info()["truncated"], cut.to_info()["truncated"]) == (False, True)
    assert json.loads(json.dumps(cut.to_info())) == {
        "id": "c1",
        "name": "memory_update",
        "status": "ok",
        "message": "updated core memory, cut at 3 of 4 tokens",
        "memory_type": "core",
        "memory_id": "",
        "truncated": True,
    }


def test_feedback_names_status_tool_and_message(memory: Memory) -> None:
    insert = {"memory_type": "semantic", "content": "Ben bakes."}
    assert feedback_line(run(memory, "new_memory_insert", **insert)) == (
        "ok: new_memory_insert: inserted s2"
    )
    again = run(memory, "new_memory_insert", **insert)
    assert feedback_line(again).startswith("skipped: new_memory_insert: s2")
    fault = execute(ToolFault("", "not JSON"), memory, TOOL_NAMES)
    assert feedback_line(fault) == "error: action: not JSON"


def test_a_tool_that_is_not_allowed_now_changes_nothing(memory: Memory) -> None:
    before = memory.digest()
    call = ToolCall("memory_delete", {"memory_type": "semantic", "memory_id": "s1"})
    result = execute(call, memory, ["answer"])
    assert (result.status, memory.digest()) == ("error", before)
    assert "use answer" in result.message
