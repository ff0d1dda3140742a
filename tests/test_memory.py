"""The memory: ids, totals, duplicates, capacity, budget, snapshots."""

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from memgym.errors import UsageError
from memgym.memory import CORE_CAPACITY_TOKENS, MAX_CONTENT_CHARACTERS, Memory
from memgym.tokens import clean_text, get_counter


def filled() -> Memory:
    memory = Memory()
    memory.update("core", "Ada is a beekeeper.")
    memory.insert("semantic", "Ada keeps bees.")
    memory.insert("semantic", "Ben bakes bread.")
    memory.insert("episodic", "On 3 May 2031 Ada met Ben.")
    return memory


def test_ids_count_up_per_store_and_are_never_reused() -> None:
    memory = filled()
    assert list(memory.items("semantic")) == ["s1", "s2"]
    assert list(memory.items("episodic")) == ["e1"]
    assert memory.delete("semantic", "s2").status == "ok"
    assert memory.insert("semantic", "Cleo sings.").memory_id == "s3"
    memory.delete("semantic", "s3")
    restored = Memory()
    restored.restore(memory.snapshot())
    assert restored.insert("semantic", "Dora dives.").memory_id == "s4"


def test_update_keeps_the_place_and_reports_what_it_replaced() -> None:
    memory = filled()
    result = memory.update("semantic", "Ada keeps goats.", "s1")
    assert (result.status, result.removed) == ("ok", "Ada keeps bees.")
    assert next(iter(memory.items("semantic").items())) == ("s1", "Ada keeps goats.")
    assert memory.insert("semantic", "Ada keeps bees.").memory_id == "s3"


def test_exact_duplicates_are_skipped_and_name_the_holder() -> None:
    memory = filled()
    result = memory.insert("semantic", "Ada keeps bees.")
    assert result.status == "skipped"
    assert "s1" in result.message
    assert memory.insert("episodic", "Ada keeps bees.").status == "ok"  # another store
    result = memory.update("semantic", "Ada keeps bees.", "s2")
    assert result.status == "skipped"
    assert memory.items("semantic")["s2"] == "Ben bakes bread."


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_an_unknown_id_is_an_error_that_lists_valid_ones(operation: str) -> None:
    memory = filled()
    before = memory.digest()
    arguments = ("semantic", "text", "s9") if operation == "update" else ("semantic", "s9")
    result = getattr(memory, operation)(*arguments)
    assert result.status == "error"
    assert '"s9"' in result.message
    assert "s1, s2" in result.message
    assert memory.digest() == before


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("", "empty"),
        (" \n", "empty"),
        (7, "string"),
        ("x" * (MAX_CONTENT_CHARACTERS + 1), "characters"),
    ],
)
@pytest.mark.parametrize("memory_type", ["core", "semantic", "episodic"])
def test_bad_content_is_an_error_and_changes_nothing(
    memory_type: str, content: str, hint: str
) -> None:
    memory = filled()
    before = memory.digest()
    memory_id = {"semantic": "s1", "episodic": "e1"}.get(memory_type, "")
    for result in (
        memory.insert(memory_type, content),
        memory.update(memory_type, content, memory_id),
    ):
        assert result.status == "error"
        assert hint in result.message
    assert memory.digest() == before


def test_an_unknown_type_is_an_error_that_lists_the_types() -> None:
    for result in (
        filled().insert("procedural", "x"),
        filled().update("procedural", "x"),
        filled().delete("procedural"),
    ):
        assert result.status == "error"
        assert "core, semantic, episodic" in result.message


def test_disabled_types_say_what_is_enabled() -> None:
    memory = Memory(memory_types=["semantic"])
    result = memory.insert("core", "x y z")
    assert (result.status, result.message) == (
        "error",
        "core memory is disabled here; use semantic",
    )
    assert memory.insert("semantic", "x y z").status == "ok"


def test_core_insert_only_into_an_empty_core() -> None:
    memory = Memory()
    assert memory.insert("core", "first").status == "ok"
    result = memory.insert("core", "second")
    assert result.status == "error"
    assert "memory_update" in result.message
    assert memory.update("core", "second").removed == "first"
    assert memory.delete("core").removed == "second"
    assert memory.delete("core").status == "skipped"
    assert memory.total_tokens == 0


def test_an_over_long_core_is_cut_at_capacity_and_flagged() -> None:
    memory = Memory()
    text = "word " * 600 + "end"
    result = memory.update("core", text)
    assert result.status == "ok"
    assert result.truncated
    assert f"cut at {CORE_CAPACITY_TOKENS} of 601 tokens" in result.message
    assert memory.total_tokens == CORE_CAPACITY_TOKENS
    assert memory.core + result.removed == text


def test_an_over_long_core_can_be_rejected() -> None:
    memory = Memory(core_overflow="reject", core_capacity_tokens=5)
    memory.update("core", "short")
    result = memory.update("core", "one two three four five six")
    assert result.status == "error"
    assert "at most 5 tokens, got 6" in result.message
    assert memory.core == "short"


def test_the_budget_counts_everything_and_frees_what_is_deleted() -> None:
    memory = Memory(budget_tokens=10)
    assert memory.insert("semantic", "one two three four").status == "ok"
    assert memory.update("core", "five six seven").status == "ok"
    result = memory.insert("episodic", "eight nine ten eleven")
    assert result.status == "error"
    assert "4 tokens do not fit, 3 of 10 are free" in result.message
    assert (
        memory.update("semantic", "one two three four five six seven eight", "s1").status == "error"
    )
    assert memory.update("semantic", "one", "s1").status == "ok"
    assert memory.insert("episodic", "eight nine ten eleven").status == "ok"
    assert memory.total_tokens == 8


def test_lone_surrogates_are_replaced_before_they_are_stored() -> None:
    memory = Memory()
    memory.insert("semantic", "a \ud83d b")
    memory.update("core", "c \udc00")
    assert memory.items("semantic")["s1"] == "a \ufffd b"
    assert len(memory.digest()) == 64


def test_search_finds_the_item_and_orders_stores_apart() -> None:
    memory = filled()
    for number in range(20):
        memory.insert("semantic", f"Filler sentence {number} about nothing.")
    assert memory.search("who bakes bread", "semantic", 3)[0].memory_id == "s2"
    memory.update("semantic", "Ben grows rye.", "s2")
    assert memory.search("who bakes bread", "semantic", 3)[0].memory_id != "s2"
    memory.delete("semantic", "s2")
    assert all(found.memory_id != "s2" for found in memory.search("Ben rye", "semantic", 50))
    assert memory.search("rye", "episodic", 5)[0].memory_id == "e1"


def test_relevant_brings_back_an_old_item() -> None:
    memory = filled()
    for number in range(50):
        memory.insert("semantic", f"Filler sentence {number} about nothing.")
    assert memory.relevant("Today the baker Ben sold bread.", "semantic", 2)[0] == "s2"


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("searched", [False, True])
def test_copies_are_equal_and_independent(copier: object, searched: bool) -> None:
    memory = filled()
    if searched:
        memory.search("bees", "semantic", 1)
    clone = copier(memory)  # type: ignore[operator]
    assert clone == memory
    clone.insert("semantic", "Only in the clone.")
    assert clone != memory
    assert clone.search("clone", "semantic", 1)[0].memory_id == "s3"
    assert len(memory.items("semantic")) == 2


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"core": 3}, "core"),
        ({"semantic": [["s1"]]}, "rising ids"),
        ({"semantic": [["s2", "a"], ["s1", "b"]]}, "rising ids"),
        ({"semantic": [["e1", "a"]]}, "rising ids"),
        ({"semantic": [["s1", "a"], ["s2", "a"]]}, "twice"),
        ({"semantic": "s1"}, "list"),
        ({"next_number": {"semantic": 1, "episodic": 2}}, "above 2"),
        ({"next_number": {"semantic": 3, "episodic": True}}, "above 1"),
        ({"next_number": {"semantic": 3, "episodic": 2.0}}, "above 1"),
        ({"next_number": {"semantic": 3}}, "must name semantic, episodic"),
        ({"semantic": [["s01", "a"], ["s2", "b"]]}, "rising ids"),
        ({"semantic": [["s" + "9" * 5_000, "a"]]}, "rising ids"),
        ({"semantic": [["s1", " "], ["s2", "b"]]}, "rising ids"),
        ({"semantic": [["s1", "a \ud83d"], ["s2", "b"]]}, r'"semantic" holds the lone surrogate'),
        ({"semantic": [["s\ud83d", "a"], ["s2", "b"]]}, "rising ids"),
        ({"core": "c \udc00"}, r"\"core\" holds the lone surrogate '.udc00'"),
        ({"core": "word " * 600}, "at most 512 fit"),
        ({"core": "x" * (MAX_CONTENT_CHARACTERS + 1)}, "characters, at most"),
        ({"episodic": [["e1", "x" * (MAX_CONTENT_CHARACTERS + 1)]]}, '"episodic": content has'),
        ({"order": ["s1", "s2"]}, "permutation"),
        ({"order": ["s1", "s2", "e1", "e1"]}, "permutation"),
        ({"order": ["s1", "s2", "x1"]}, "permutation"),
        ({"order": ["s1", "s2", "e1", "x1"]}, "permutation"),
        ({"order": ["s1", "s2", 1]}, "permutation"),
        ({"order": ["s2", "s1", "e1"]}, "rising within each store"),
        ({"order": {"s1": 1}}, '"order" must be a list'),
        ({"extra": 1}, "keys"),
    ],
)
def test_a_malformed_snapshot_is_refused_and_changes_nothing(
    change: dict[str, object], hint: str
) -> None:
    memory = filled()
    before = memory.digest()
    with pytest.raises(UsageError, match=hint):
        memory.restore({**memory.snapshot(), **change})
    assert memory.digest() == before


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"memory_types": ["semantic", "episodic"]}, '"core": core memory is disabled here'),
        ({"memory_types": ["core", "semantic"]}, '"episodic": episodic memory is disabled here'),
        ({"budget_tokens": 10}, "over the memory budget of 10"),
        ({"core_capacity_tokens": 3}, "at most 3 fit"),
    ],
)
def test_a_snapshot_that_this_memory_could_not_hold_is_refused(
    settings: dict[str, Any], hint: str
) -> None:
    memory = Memory(**settings)
    memory.insert("semantic", "Kept.")
    before = memory.digest()
    with pytest.raises(UsageError, match=hint):
        memory.restore(filled().snapshot())
    assert memory.digest() == before


def test_a_snapshot_that_just_fits_the_budget_is_restored() -> None:
    memory = Memory(budget_tokens=filled().total_tokens)
    memory.restore(filled().snapshot())
    assert memory == filled()
    assert memory.total_tokens == filled().total_tokens


def test_the_order_of_insertion_runs_across_the_stores_and_survives_updates() -> None:
    memory = Memory()
    for store, text in (("semantic", "bee a"), ("episodic", "bee b"), ("semantic", "bee c")):
        memory.insert(store, text)
    memory.update("semantic", "bee d", "s1")

    def order(held: Memory) -> list[str]:
        found = held.search("bee", "semantic", 5) + held.search("bee", "episodic", 5)
        return [item.memory_id for item in sorted(found, key=lambda item: item.sequence)]

    assert order(memory) == memory.snapshot()["order"] == ["s1", "e1", "s2"]
    memory.delete("episodic", "e1")
    memory.insert("episodic", "bee b")
    assert order(memory) == memory.snapshot()["order"] == ["s1", "s2", "e2"]
    restored = Memory()
    restored.restore(memory.snapshot())
    restored.insert("semantic", "bee e")
    assert order(restored) == ["s1", "s2", "e2", "s3"]


def test_the_digest_covers_the_order_across_stores() -> None:
    one, two = Memory(), Memory()
    one.insert("semantic", "a")
    one.insert("episodic", "b")
    two.insert("episodic", "b")
    two.insert("semantic", "a")
    assert one.items("semantic") == two.items("semantic")
    assert one.digest() != two.digest()
    one.clear()
    assert one.snapshot()["order"] == []


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"core_overflow": "cut"}, "core_overflow"),
        ({"core_overflow": []}, "core_overflow"),
        ({"core_capacity_tokens": "5"}, "core_capacity_tokens must be an integer"),
        ({"core_capacity_tokens": True}, "core_capacity_tokens must be an integer"),
        ({"budget_tokens": 2.5}, "budget_tokens must be an integer"),
        ({"budget_tokens": None}, "budget_tokens must be an integer"),
        ({"memory_types": "core"}, "memory_types must list"),
        ({"memory_types": None}, "memory_types must list"),
        ({"memory_types": ()}, "memory_types must list"),
        ({"memory_types": [3]}, 'unknown memory type "3"'),
        ({"tokeniser": ["paper"]}, "tokeniser must be a string"),
        ({"counter": 3}, "counter must be a string"),
        ({"core_capacity_tokens": 0}, "at least 1"),
        ({"budget_tokens": -1}, "at least 0"),
        ({"memory_types": ["sematic"]}, 'did you mean "semantic"'),
        ({"tokeniser": "papr"}, 'did you mean "paper"'),
    ],
)
def test_bad_arguments_are_explained(arguments: dict[str, object], hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        Memory(**arguments)  # type: ignore[arg-type]


contents = st.one_of(
    st.sampled_from(["Ada keeps bees.", "Ben bakes.", "你好世界", "one two three", "x" * 50]),
    st.text(max_size=30),
)


class MemoryMachine(RuleBasedStateMachine):
    """Random operations against a plain dictionary model."""

    @initialize(budget=st.sampled_from([0, 40]))
    def start(self, budget: int) -> None:
        self.memory = Memory(budget_tokens=budget, core_capacity_tokens=8)
        self.model: dict[str, dict[str, str]] = {"semantic": {}, "episodic": {}}

    @rule(store=st.sampled_from(["semantic", "episodic"]), content=contents)
    def insert(self, store: str, content: str) -> None:
        result = self.memory.insert(store, content)
        if result.status == "ok":
            assert result.memory_id not in self.model[store]
            self.model[store][result.memory_id] = clean_text(content)

    @rule(
        store=st.sampled_from(["semantic", "episodic"]), number=st.integers(1, 6), content=contents
    )
    def update(self, store: str, number: int, content: str) -> None:
        memory_id = f"{store[0]}{number}"
        result = self.memory.update(store, content, memory_id)
        assert (memory_id in self.model[store]) or result.status == "error"
        if result.status == "ok":
            assert result.removed == self.model[store][memory_id]
            self.model[store][memory_id] = clean_text(content)

    @rule(store=st.sampled_from(["semantic", "episodic"]), number=st.integers(1, 6))
    def delete(self, store: str, number: int) -> None:
        memory_id = f"{store[0]}{number}"
        result = self.memory.delete(store, memory_id)
        assert (result.status == "ok") == (memory_id in self.model[store])
        if result.status == "ok":
            assert result.removed == self.model[store].pop(memory_id)

    @rule(content=contents)
    def core(self, content: str) -> None:
        self.memory.update("core", content)

    @rule()
    def search(self) -> None:
        self.memory.search("Ada bees one", "semantic", 3)

    @rule()
    def round_trip(self) -> None:
        restored = Memory(budget_tokens=self.memory.budget_tokens, core_capacity_tokens=8)
        restored.restore(json.loads(json.dumps(self.memory.snapshot())))
        assert restored == self.memory
        assert restored.digest() == self.memory.digest()
        assert restored.total_tokens == self.memory.total_tokens
        self.memory = restored

    @invariant()
    def totals_and_contents_agree(self) -> None:
        if not hasattr(self, "memory"):
            return
        count = get_counter().count
        total = count(self.memory.core)
        for store, items in self.model.items():
            assert self.memory.items(store) == items  # type: ignore[arg-type]
            total += sum(count(content) for content in items.values())
        assert self.memory.total_tokens == total
        assert count(self.memory.core) <= 8
        assert not self.memory.budget_tokens or total <= self.memory.budget_tokens


TestMemoryMachine = MemoryMachine.TestCase


@given(st.lists(contents, max_size=8))
def test_the_digest_depends_on_content_alone(texts: list[str]) -> None:
    one, two = Memory(), Memory()
    for text in texts:
        one.insert("semantic", text)
        two.search("anything", "semantic", 2)
        two.insert("semantic", text)
    assert one.digest() == two.digest()
