"""The visible part of the memory and how sections share the room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.envs.view import render_memory
from memgym.memory import Memory


def view(memory: Memory, chunk: str = "", **options: int) -> str:
    settings = {"recent": 10, "relevant": 0, "item_characters": 400, "max_characters": 1_000}
    return render_memory(memory, chunk, **{**settings, **options})


def crowded(semantic: int, episodic: int, length: int = 200) -> Memory:
    memory = Memory()
    for number in range(semantic):
        memory.insert("semantic", f"Fact {number}: " + "x" * length)
    for number in range(episodic):
        memory.insert("episodic", f"Event {number}: " + "y" * length)
    return memory


def test_what_fits_is_shown_whole() -> None:
    memory = crowded(2, 1, length=3)
    memory.update("core", "Notes.")
    assert view(memory) == (
        "Core memory (at most 512 tokens):\nNotes.\n\n"
        "Semantic memory (2 of 2 items):\n[s1] Fact 0: xxx\n[s2] Fact 1: xxx\n\n"
        "Episodic memory (1 of 1 items):\n[e1] Event 0: yyy"
    )


def test_an_empty_memory_says_so() -> None:
    shown = view(Memory(memory_types=["core", "episodic"]))
    assert shown == "Core memory (at most 512 tokens):\n(empty)\n\nEpisodic memory: (empty)"


def test_the_first_line_tells_the_budget() -> None:
    memory = Memory(budget_tokens=50)
    memory.insert("semantic", "one two three")
    assert view(memory).splitlines()[0] == "Memory: 3 of 50 tokens used"
    assert "tokens used" not in view(Memory())


def test_the_oldest_items_make_room_and_the_count_is_true() -> None:
    shown = view(crowded(10, 10))
    assert len(shown) <= 1_000
    for store, letter in (("Semantic", "s"), ("Episodic", "e")):
        lines = [line for line in shown.splitlines() if line.startswith(f"[{letter}")]
        assert f"{store} memory ({len(lines)} of 10 items):" in shown
        assert [line.split("]")[0] for line in lines] == [f"[{letter}9", f"[{letter}10"]
        assert "characters)" not in shown  # dropped, not cut


def test_a_small_section_leaves_its_part_to_the_large_one() -> None:
    shown = view(crowded(10, 1, length=100))
    assert "Episodic memory (1 of 1 items):" in shown
    assert shown.count("[s") >= 6
    assert "[s10]" in shown


def test_a_long_core_does_not_push_the_items_out() -> None:
    memory = crowded(3, 3)
    memory.update("core", "core " * 400)
    shown = view(memory)
    assert "[s3] Fact 2" in shown
    assert "[e3] Event 2" in shown


def test_the_newest_item_is_clipped_if_it_alone_is_too_long() -> None:
    shown = view(crowded(3, 3, length=5_000), item_characters=5_000)
    assert "Semantic memory (1 of 3 items):\n[s3] Fact 2: xxx" in shown
    assert "Episodic memory (1 of 3 items):\n[e3] Event 2: yyy" in shown
    assert len(shown) <= 1_000


def test_relevant_items_are_shown_beside_the_recent_ones() -> None:
    memory = Memory()
    memory.insert("semantic", "Ben bakes bread.")
    for number in range(30):
        memory.insert("semantic", f"Filler sentence {number}.")
    shown = view(memory, "Ben sold bread.", recent=2, relevant=1)
    assert [line[:5] for line in shown.splitlines() if line.startswith("[")] == [
        "[s1] ",
        "[s30]",
        "[s31]",
    ]


@pytest.mark.parametrize("budget", [0, 100_000])
@given(
    core=st.integers(0, 300),
    lengths=st.lists(st.tuples(st.booleans(), st.integers(1, 900)), max_size=8),
    room=st.integers(1_000, 3_000),
)
def test_the_newest_of_each_store_is_always_visible(
    budget: int, core: int, lengths: list[tuple[bool, int]], room: int
) -> None:
    memory = Memory(budget_tokens=budget)
    if core:
        memory.update("core", "w " * core)
    for number, (is_event, length) in enumerate(lengths):
        memory.insert("episodic" if is_event else "semantic", f"{number} " + "z" * length)
    shown = view(memory, max_characters=room)
    assert len(shown) <= room
    for store in ("semantic", "episodic"):
        items = memory.items(store)
        lines = [line for line in shown.splitlines() if line.startswith(f"[{store[0]}")]
        assert not items or lines[-1].startswith(f"[{list(items)[-1]}] ")
        assert not items or f"({len(lines)} of {len(items)} items)" in shown
