"""``answer_mode="agent"``: the agent is asked the questions itself, one per step."""

import gymnasium as gym

from tests.episodes import CHUNKS, village
from tests.test_env import SMALL, answer, begin, insert, make, search


def test_the_agent_can_answer_its_own_questions() -> None:
    env = make(answer_mode="agent", turns_per_chunk=2)
    observation, _ = begin(env)
    assert observation["question"] == ""
    observation, *_ = env.step([insert("Ada Holm opened a bakery in Lund.")])
    assert observation["question"] == "Answer briefly.\n\nWhere did Ada Holm open a bakery?"
    assert observation["chunk"] == ""
    observation, *_, info = env.step([insert("cheating"), search("bakery")])
    assert info["tool_results"][0]["status"] == "error"  # the memory is read-only now
    assert "Where did Ada Holm" in observation["question"]
    observation, *_ = env.step([answer("It was Lund.")])
    assert (observation["question"], observation["chunk"]) == ("", CHUNKS[1])
    env.step(())
    observation, *_ = env.step(())
    assert "Where does Ben Holm work?" in observation["question"]
    observation, *_ = env.step([search("x"), answer("")])  # an empty answer is no answer
    observation, _, terminated, _, info = env.step(())
    assert not terminated
    observation, _, terminated, _, info = env.step([answer(r"\boxed{7}")])
    assert terminated
    assert [a["score"] for a in info["answers"]] == [1.0, 0.0, 1.0]
    assert info["answers"][1]["prediction"] == ""


def test_plain_text_answers_a_question_in_the_text_form() -> None:
    env = gym.make("MemAlphaText-v0", answer_mode="agent", **SMALL)
    env.reset(seed=0, options={"episode": village()})
    env.step("Nothing to keep.")
    env.step("<think>bakery... Lund!</think>It was Lund.")
    env.step("")
    env.step("")
    env.step("Alder Hall")
    *_, info = env.step(r"\boxed{7}")
    assert [a["score"] for a in info["answers"]] == [1.0, 1.0, 1.0]
    assert info["answers"][0]["prediction"] == "It was Lund."


def test_a_call_that_cannot_be_understood_does_not_use_the_question_up() -> None:
    env = make(answer_mode="agent", turns_per_chunk=3)
    begin(env)
    env.step(())
    observation, *_ = env.step([{"name": "answer", "arguments": {"txt": "Lund"}}])
    assert "bakery" in observation["question"]
    assert "text" in observation["feedback"]
    env.step([answer("Lund")])
    env.step(())
    env.step(())
    env.step([answer("")])
    env.step([answer("")])
    observation, *_ = env.step([answer("")])  # the third turn is the last
    assert "oven" in observation["question"]


def test_what_a_search_showed_counts_as_shown() -> None:
    env = make(answer_mode="agent", turns_per_chunk=3, view_recent=0, view_relevant=0)
    begin(env)
    env.step([insert("On 3 May 2031 Ada Holm opened a bakery in Lund.")])
    env.step([search("bakery")])
    env.step([answer("Oslo")])
    env.step(())
    env.step(())
    env.step([answer("x")])
    *_, info = env.step([answer("x")])
    assert info["answers"][0]["cause"] == "misread"
