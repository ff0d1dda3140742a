"""The scripted policies: what each one writes, and that all of them play every source."""

from typing import Any

import pytest

from memgym.agent import Agent
from memgym.baselines import BASELINES
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.evaluation import environment_for, play_episode
from memgym.memory import Memory
from tests.episodes import CHUNKS, village

SMALL: dict[str, Any] = {
    "source_options": {"tokens": 2_000, "chunk_tokens": 500, "questions": 8},
    "split": "test",
}


def played(name: str, **settings: Any) -> tuple[Memory, Any]:
    agent = BASELINES[name]()
    env = environment_for(agent, **{**SMALL, **settings})
    result = play_episode(agent, env, village(), seed=1)
    return env.memory, result


def test_the_names_are_the_published_ones() -> None:
    assert list(BASELINES) == [
        *("closed_book", "random", "flat", "verbatim", "chunks", "sentences", "dated", "oracle"),
    ]
    assert [name for name, agent in BASELINES.items() if agent.privileged] == ["oracle"]


def test_closed_book_writes_nothing() -> None:
    memory, result = played("closed_book")
    assert (len(memory), result.score, result.calls) == (0, 0.0, 0)


def test_sentences_are_items_in_reading_order() -> None:
    memory, _ = played("sentences")
    items = list(memory.items("semantic").values())
    assert items[:2] == ["On 3 May 2031 Ada Holm opened a bakery in Lund.", "The weather was fine."]
    assert items[-1].endswith("Sentence: the oven is cold\nLabel: 7")
    assert not memory.items("episodic")


def test_dated_sentences_are_episodic() -> None:
    memory, _ = played("dated")
    assert list(memory.items("episodic").values()) == [
        "On 3 May 2031 Ada Holm opened a bakery in Lund."
    ]
    assert "The weather was fine." in memory.items("semantic").values()


def test_chunks_are_items_and_two_are_read() -> None:
    memory, result = played("chunks")
    assert tuple(memory.items("semantic").values()) == CHUNKS
    assert all(len(answer["memory_ids"]) <= 2 for answer in result.answers)


def test_verbatim_drops_the_oldest_beyond_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memgym.baselines.chunks.Verbatim.window_tokens", 45)
    memory, _ = played("verbatim")
    assert tuple(memory.items("episodic").values()) == CHUNKS[1:]
    memory, _ = played("verbatim", memory_budget=30)
    assert memory.total_tokens <= 30


def test_flat_holds_the_tail_of_the_text() -> None:
    memory, _ = played("flat", core_capacity=12)
    assert memory.counter.count(memory.core) <= 12
    assert "\n".join(CHUNKS).endswith(memory.core)
    assert not memory.items("semantic")


def test_random_makes_valid_calls_that_depend_on_the_seed_alone() -> None:
    agent = BASELINES["random"]()
    env = environment_for(agent, **SMALL)
    one, two, other = (play_episode(agent, env, 0, seed=seed) for seed in (1, 1, 2))
    assert one.record() == two.record()
    assert one.memory_digest != other.memory_digest
    assert one.calls > 0
    skipped = [a for a in (one, other) if a.valid_calls < a.calls * 0.7]
    assert not skipped  # only exact duplicates may be skipped


def test_oracle_writes_the_evidence() -> None:
    memory, result = played("oracle")
    assert result.score == 1.0
    assert set(memory.items("semantic").values()) == {
        "On 3 May 2031 Ada Holm opened a bakery in Lund.",
        "Ben Holm works in Alder Hall.",
        "Sentence: the oven is cold\nLabel: 7",
    }


def test_only_privileged_agents_see_the_golds() -> None:
    class Spy(Agent):
        name = "spy"

        def act(self, observation: Any, info: Any) -> Any:
            assert self.briefing.episode is None
            return ()

    play_episode(Spy(), MemAlphaEnv(**SMALL), 0)


def test_an_agent_may_answer_for_itself() -> None:
    class Answering(Agent):
        name = "answering"

        def act(self, observation: Any, info: Any) -> Any:
            return ()

        def answer(self, observation: Any, info: Any) -> str:
            return "Lund, surely" if "bakery" in observation["question"] else ""

    env = MemAlphaEnv(answer_mode="agent", **SMALL)
    result = play_episode(Answering(), env, village())
    assert [answer["score"] for answer in result.answers] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("name", list(BASELINES))
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_every_baseline_plays_every_ability_twice_with_the_same_bytes(
    name: str, preset: str
) -> None:
    agent = BASELINES[name]()
    env = environment_for(agent, preset=preset, **SMALL)
    for index in range(4):
        record = play_episode(agent, env, index, seed=3).record()
        again = play_episode(BASELINES[name](), env, index, seed=3).record()
        assert record == again
        assert 0.0 <= record["score"] <= 1.0
        causes = sum(
            record["metrics"][c] for c in ("not_written", "lost", "not_retrieved", "misread")
        )
        assert causes == sum(answer["score"] < 1.0 for answer in record["answers"])


def test_settings_of_agent_and_user_are_merged() -> None:
    env = environment_for(BASELINES["chunks"], reader_options={"budget_tokens": 99}, **SMALL)
    assert env.settings.reader_options == {"budget_tokens": 99, "top_k": 2}
    env = environment_for(BASELINES["chunks"], preset="paper", **SMALL)
    assert env.settings.reader_options == {"budget_tokens": 30_000, "top_k": 2}
