"""Reward terms: values by hand, and what must not be punished."""

from collections.abc import Sequence

import pytest

from memgym.errors import UsageError
from memgym.execute import ToolResult, execute
from memgym.memory import Memory
from memgym.quality import ContentRules, RuleJudge, WrittenItem
from memgym.rewards import (
    DEFAULT_WEIGHTS,
    checked_weights,
    compression,
    step_terms,
    weighted_sum,
)
from memgym.tools import ToolCall, ToolFault

CHUNK = (
    "On 3 May 2031 Ada Holm opened a bakery in Lund. Her brother Ben Holm paints doors and keeps "
    "bees behind the old mill. The weather was fine and nobody complained about anything at all."
)
TOOLS = ("new_memory_insert", "memory_update", "memory_delete", "search_memory")


def terms_of(
    results: Sequence[ToolResult], memory: Memory, *, rules: str, nothing_to_store: bool
) -> dict[str, float]:
    return step_terms(
        results, CHUNK, memory, rules=rules, judge=RuleJudge(), nothing_to_store=nothing_to_store
    )


def run(memory: Memory, name: str, **arguments: object) -> ToolResult:
    return execute(ToolCall(name, arguments), memory, TOOLS)


def insert(memory: Memory, content: str, memory_type: str = "semantic") -> ToolResult:
    return run(memory, "new_memory_insert", memory_type=memory_type, content=content)


@pytest.mark.parametrize(
    ("memory_type", "content", "valid"),
    [
        ("semantic", "Ben Holm paints doors", True),
        ("episodic", "On 3 May 2031 Ada Holm opened a bakery", True),
        ("episodic", "Ada Holm opened a bakery in Lund", False),  # says no time
        ("semantic", "Ben Holm", False),  # too short
        ("semantic", "Quantum chromodynamics explains hadron masses", False),  # not in the chunk
        ("semantic", "Core memory has been updated with Ben Holm", False),
        ("semantic", "nothing new to remember here", False),
        ("core", "Ada Holm and Ben Holm of Lund", True),
        ("core", "core memory is empty", False),
    ],
)
def test_content_rules(memory_type: str, content: str, valid: bool) -> None:
    assert ContentRules(CHUNK).is_valid(memory_type, content) is valid


def test_copying_a_long_chunk_is_no_selection() -> None:
    chunk = " ".join(f"Fact number {n} stands on its own legs." for n in range(20))
    rules = ContentRules(chunk)
    assert not rules.is_valid("semantic", chunk)
    assert rules.is_valid("semantic", "Fact number 3 stands on its own legs.")
    assert rules.is_valid("core", chunk)


def test_an_update_may_keep_what_it_replaces() -> None:
    content, replaced = "Carl Berg mends clocks; Ben Holm paints doors", "Carl Berg mends clocks"
    assert ContentRules(CHUNK).is_valid("semantic", content, replaced)
    assert not ContentRules("Nothing about it").is_valid("semantic", content)


@pytest.mark.parametrize(
    ("memory_type", "content", "valid"),
    [
        ("semantic", "艾达在隆德开了面包店", True),
        ("semantic", "量子色动力学解释强子质量", False),  # not in the chunk
        ("semantic", "隆德", False),  # too short
        ("episodic", "2031年5月3日艾达开了面包店", True),
        ("episodic", "在2031-05-03艾达在隆德开了一家面包店", True),
        ("episodic", "艾达在隆德开了面包店", False),  # says no time
        ("semantic", "昨日は隆徳でパンを焼いた", False),
    ],
)
def test_content_rules_read_scripts_without_spaces(
    memory_type: str, content: str, valid: bool
) -> None:
    chunk = "2031年5月3日，艾达在隆德开了一家面包店。她的弟弟在老磨坊后面养蜜蜂。"
    assert ContentRules(chunk).is_valid(memory_type, content) is valid


def test_a_copied_chinese_chunk_is_no_selection() -> None:
    facts = [f"第{n}号房间里住着一位养蜜蜂的老人。" for n in range(20)]
    rules = ContentRules("".join(facts))
    assert rules.is_valid("semantic", facts[3])
    assert not rules.is_valid("semantic", "".join(facts))


def test_step_terms_by_hand() -> None:
    memory = Memory()
    results = [
        insert(memory, "Ben Holm paints doors"),
        insert(memory, "Ben Holm paints doors"),  # skipped: no success, not valid content
        insert(memory, "Quantum chromodynamics explains hadrons"),
        run(memory, "memory_delete", memory_type="semantic", memory_id="s2"),
    ]
    terms = terms_of(results, memory, rules="default", nothing_to_store=False)
    assert terms == {"format": 3 / 4, "content": pytest.approx(1 / 3)}  # the delete is left out
    terms = terms_of(results, memory, rules="paper", nothing_to_store=False)
    assert terms == {"format": 3 / 4, "content": 1 / 4}  # the delete scores 0 [B20]


@pytest.mark.parametrize(
    ("rules", "nothing_to_store", "value"),
    [("default", True, 1.0), ("default", False, 0.0), ("paper", True, 0.0), ("paper", False, 0.0)],
)
def test_a_step_without_calls(rules: str, nothing_to_store: bool, value: float) -> None:
    terms = terms_of([], Memory(), rules=rules, nothing_to_store=nothing_to_store)
    assert terms == {"format": value, "content": value}


def test_a_lone_legitimate_delete_is_not_punished() -> None:
    memory = Memory()
    insert(memory, "Ben Holm paints doors")
    results = [run(memory, "memory_delete", memory_type="semantic", memory_id="s1")]
    assert terms_of(results, memory, rules="default", nothing_to_store=False) == {
        "format": 1.0,
        "content": 1.0,
    }
    failed = [run(memory, "memory_delete", memory_type="semantic", memory_id="s1")]
    assert terms_of(failed, memory, rules="default", nothing_to_store=False) == {
        "format": 0.0,
        "content": 0.0,
    }


class NeverAsked:
    """A judge that must not be asked."""

    name = "never"

    def judge(self, items: Sequence[WrittenItem], chunk: str, memory: Memory) -> list[bool]:
        raise AssertionError("there is nothing to judge")


def test_a_judge_is_not_asked_about_nothing() -> None:
    memory = Memory()
    results = [insert(memory, "")]
    terms = step_terms(
        results, CHUNK, memory, rules="paper", judge=NeverAsked(), nothing_to_store=False
    )
    assert terms == {"format": 0.0, "content": 0.0}


def test_faults_count_as_failed_calls() -> None:
    fault = execute(ToolFault("memory_updat", 'unknown tool "memory_updat"', ""), Memory(), TOOLS)
    terms = terms_of([fault], Memory(), rules="default", nothing_to_store=True)
    assert terms == {"format": 0.0, "content": 0.0}


def test_compression_and_sum() -> None:
    assert compression(25, 100) == 0.75
    assert compression(150, 100) == -0.5
    assert compression(0, 0) == 0.0
    terms = {"correctness": 0.5, "format": 1.0, "compression": 0.4, "content": 0.5}
    assert weighted_sum(terms, DEFAULT_WEIGHTS) == pytest.approx(0.5 + 1.0 + 0.05 * 0.4 + 0.1 * 0.5)


def test_default_weights_are_the_papers() -> None:
    assert dict(DEFAULT_WEIGHTS) == {
        "correctness": 1.0,
        "format": 1.0,
        "compression": 0.05,
        "content": 0.1,
    }
    assert checked_weights({"content": 2})["content"] == 2.0


@pytest.mark.parametrize(
    ("weights", "hint"),
    [
        ({"contents": 1.0}, 'did you mean "content"'),
        ({"content": "1"}, "finite number"),
        ({"content": float("nan")}, "finite number"),
        ({"content": True}, "finite number"),
    ],
)
def test_bad_weights_are_explained(weights: dict[str, float], hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        checked_weights(weights)
