"""memgpt: what each of its tools does, when a turn ends, and what the environment is left with."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.agents.chat import ChatError, ChatReply, ChatRequest, ContextLengthError, ServerError
from memgym.agents.memgpt import MemGPT
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode, Question
from memgym.errors import UsageError
from memgym.evaluation import EpisodeResult, environment_for, play_episode
from tests.episodes import CHUNKS, village
from tests.scripted import ScriptedBackend, prompt_text, scripted_chat

ADA = "Ada Holm opened a bakery in Lund on 3 May 2031."
BEN = "Ben Holm works in Alder Hall."
CLEO = "Cleo Berg sells honey by the gate."
DONE = "Done."
SMALL: dict[str, Any] = {"source_options": {"tokens": 1_000, "chunk_tokens": 300, "questions": 4}}


Reply = str | ChatReply | ChatError
Replies = Iterable[Reply] | Callable[[ChatRequest], Reply]


def call(name: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def append(content: str, label: str = "human") -> str:
    return call("core_memory_append", label=label, content=content)


def exchange(old: str, new: str, label: str = "human") -> str:
    return call("core_memory_replace", label=label, old_content=old, new_content=new)


def store(content: str) -> str:
    return call("archival_memory_insert", content=content)


def say(message: str) -> str:
    return call("send_message", message=message)


def play(
    replies: Replies,
    episode: Episode | None = None,
    *,
    options: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    **environment: Any,
) -> tuple[EpisodeResult, MemAlphaEnv, ScriptedBackend]:
    chat, backend = scripted_chat(replies, **(model or {}))
    agent = MemGPT(chat, **(options or {}))
    env = environment_for(agent, **SMALL, **environment)
    result = play_episode(agent, env, episode or village())
    if env.settings.answer_mode == "reader":  # an empty answer is an invalid call
        assert result.calls == result.valid_calls  # what succeeded on the draft succeeds for good
    return result, env, backend


def one_chunk(text: str = "It rained.", chunks: int = 1) -> Episode:
    question = Question("What was the weather?", ("rain",))
    return Episode("e/0", "e", "accurate_retrieval", (text,) * chunks, (question,))


def told(backend: ScriptedBackend, request: int = -1) -> str:
    """Return the results that the model was shown last before a request."""
    return str(backend.requests[request].messages[-1]["content"])


def core_after(*replies: str, **options: Any) -> tuple[str, str]:
    """Return the core after one chunk, and the results of the last reply but the closing one."""
    _, env, backend = play([*replies, DONE], one_chunk(), **options)
    return env.memory.core, told(backend)


def test_a_village_is_scored_by_what_was_stored() -> None:
    result, env, backend = play([store(ADA), DONE, DONE, store(BEN) + say("stored"), DONE])
    assert env.memory.items("semantic") == {"s1": ADA, "s2": BEN}
    assert list(env.memory.items("episodic").values()) == list(CHUNKS)
    assert env.memory.core == ""
    assert [answer["score"] for answer in result.answers] == [1.0, 1.0, 0.0]
    assert result.calls == 5
    assert len(backend.requests) == 4  # sending a message ends the turn at once
    assert result.usage["agent"].calls == 4


def test_append_adds_lines_to_labelled_blocks() -> None:
    core, results = core_after(
        append("Ada bakes."), append("Ben helps.") + append("Be brief", "persona")
    )
    assert core == "[persona]\nBe brief\n[human]\nAda bakes.\nBen helps."
    assert results == (
        "Results of your calls:\n1. core_memory_append: ok: updated core memory\n"
        "2. core_memory_append: ok: updated core memory"
    )


def test_replace_changes_every_occurrence_in_its_own_block_only() -> None:
    core, _ = core_after(append("Ada, Ada") + append("Ada", "persona"), exchange("Ada", "Eve"))
    assert core == "[persona]\nAda\n[human]\nEve, Eve"


def test_replacing_with_nothing_removes_and_leaves_an_empty_core() -> None:
    core, results = core_after(append("Ada"), exchange("Ada", ""))
    assert core == ""
    assert "1. core_memory_replace: ok: cleared core memory" in results


def test_an_absent_old_text_is_an_error_and_changes_nothing() -> None:
    core, results = core_after(append("Ada bakes."), exchange("ada", "Eve"))
    assert core == "[persona]\n\n[human]\nAda bakes."
    assert "error: the block human does not contain this old_content" in results


def test_too_long_a_block_is_an_error_with_the_limit_and_nothing_is_cut() -> None:
    core, results = core_after(append("Ada bakes."), append("word " * 2_500))
    assert core == "[persona]\n\n[human]\nAda bakes."
    assert "error: the blocks would have 25" in results
    assert "at most 2500 fit" in results


def test_a_capacity_that_would_be_cut_is_refused_here_too() -> None:
    chat, _ = scripted_chat([append("word " * 600), append("Ada bakes."), DONE])
    env = MemAlphaEnv(**SMALL)  # not the agent's own settings: 512 tokens, cut at the end
    play_episode(MemGPT(chat), env, one_chunk())
    assert env.memory.core == "[persona]\n\n[human]\nAda bakes."


def test_what_was_just_stored_is_found_in_the_same_turn_by_its_words() -> None:
    search = call("archival_memory_search", query="Where does Ben work?")
    _, _, backend = play([store(ADA) + store(CLEO) + store(BEN), search, DONE], one_chunk())
    found = f"results 1 to 3 of 3\n- {BEN}\n- {ADA}\n- {CLEO}"
    assert told(backend) == f"Results of your calls:\n1. archival_memory_search: {found}"


def test_archival_pages_hold_ten_results_each() -> None:
    many = "".join(store(f"Fact number {n} of honey.") for n in range(12))
    pages = [call("archival_memory_search", query="honey", page=page) for page in (0, 1, 2)]
    _, _, backend = play([many, *pages, DONE], one_chunk())
    assert told(backend, 2).count("\n- ") == 10
    assert "results 11 to 12 of 12\n- Fact number 10 of honey.\n- Fact" in told(backend, 3)
    assert told(backend, 4).endswith("no results on page 2; there are 12 in all")


def test_the_log_is_searched_as_a_string_whatever_its_case_oldest_first() -> None:
    searches = [
        call("conversation_search", query="HOLM"),
        call("conversation_search", query="Holm L"),
    ]
    replies = [DONE, DONE, *searches, DONE]
    _, _, backend = play(replies)
    assert "results 1 to 2 of 2\n- On 3 May 2031 Ada" in told(backend, 3)
    assert "- Ben Holm works" in told(backend, 3)
    assert "no results on page 0; there are 0 in all" in told(backend, 4)


def test_the_log_shows_a_passage_around_the_match_and_pages_of_ten() -> None:
    chunks = tuple(f"{n} " + "x" * 2_000 + f" needle {n} " + "y" * 2_000 for n in range(12))
    episode = Episode("e/0", "e", "accurate_retrieval", chunks, (Question("?", ("x",)),))
    searches = [call("conversation_search", query="Needle", page=page) for page in (0, 1)]
    _, _, backend = play([*[DONE] * 11, *searches, DONE], episode)
    page = told(backend, 12)
    assert page.count("\n- ") == 10
    assert "xx needle 0 yy" in page
    assert len(page) < 6_100
    assert "results 11 to 12 of 12" in told(backend, 13)


def test_a_result_is_cut_at_6000_characters() -> None:
    search = call("archival_memory_search", query="word")
    _, _, backend = play([store("word " * 2_000), search, DONE], one_chunk())
    line = told(backend).split("archival_memory_search: ")[1]
    assert len(line) == 6_000
    assert "characters)" in line


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_a_turn_takes_at_most_max_steps_replies(steps: int) -> None:
    options = {} if steps == 5 else {"max_steps": steps}
    result, _, backend = play(lambda _: store("Again."), one_chunk(chunks=2), options=options)
    assert len(backend.requests) == 2 * steps
    assert result.calls == 2  # the second chunk and the second insert are exact duplicates


def test_each_chunk_begins_anew_with_the_blocks_and_the_counts_in_view() -> None:
    _, _, backend = play([append("Ada bakes.") + store(ADA), DONE, DONE, DONE])
    last = backend.requests[-1]
    assert [message["role"] for message in last.messages] == ["system", "user"]
    shown = told(backend)
    assert shown.index(CHUNKS[2]) < shown.index("Ada bakes.")
    assert CHUNKS[0] not in shown
    assert shown.endswith("1 archival passages, 3 logged messages.")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ('<tool_call>{"name": "send_message", "arg</tool_call>', "not valid JSON"),
        (call("core_memory_append", label="pets", content="x"), "one of persona, human"),
        (call("core_memory_append", label="human"), 'missing argument "content"'),
        (call("archival_memory_search", query="x", page=-1), "from 0 to 9999"),
        (call("archival_memory_inser", content="x"), 'did you mean "archival_memory_insert"?'),
        (call("new_memory_insert", memory_type="semantic", content="x"), "unknown tool"),
    ],
)
def test_a_wrong_call_is_an_error_that_the_model_sees_next(reply: str, message: str) -> None:
    result, env, backend = play([reply, store(ADA), DONE], one_chunk())
    assert ": error: " in told(backend, 1)
    assert message in told(backend, 1)
    assert list(env.memory.items("semantic").values()) == [ADA]
    assert result.calls == 2


def test_a_chunk_that_does_not_fit_is_shown_shorter_and_logged_whole() -> None:
    text = "The beginning. " + "A word or two. " * 100 + "The end."
    too_long: Reply = ContextLengthError("too long")
    _, env, backend = play([too_long, too_long, DONE], one_chunk(text))
    sizes = [len(prompt_text(request)) for request in backend.requests]
    assert sizes[0] > sizes[1] > sizes[2]
    assert text in prompt_text(backend.requests[0])
    assert list(env.memory.items("episodic").values()) == [text]


def test_the_oldest_calls_leave_a_prompt_that_has_become_too_long() -> None:
    replies: list[Reply] = [
        store("first"),
        store("second"),
        ContextLengthError("too long"),
        store("third"),
        DONE,
    ]
    _, env, backend = play(replies, one_chunk())
    assert list(env.memory.items("semantic").values()) == ["first", "second", "third"]
    assert "first" in prompt_text(backend.requests[2])
    assert "first" not in prompt_text(backend.requests[3])
    assert "second" in prompt_text(backend.requests[3])
    assert "It rained." in prompt_text(backend.requests[3])
    assert "first" not in prompt_text(backend.requests[4])  # gone for good


def test_a_model_that_nothing_fits_keeps_the_log() -> None:
    _, env, _ = play(lambda _: ContextLengthError("too long"))
    assert list(env.memory.items("episodic").values()) == list(CHUNKS)


def test_a_server_that_gave_up_stops_the_episode() -> None:
    with pytest.raises(ServerError):
        play([ServerError("down")])


def test_under_a_budget_the_oldest_messages_make_room() -> None:
    chunks = tuple(f"Piece {n} of a long story about honey and bees." for n in range(6))
    episode = Episode("e/0", "e", "accurate_retrieval", chunks, (Question("?", ("x",)),))
    keep = [store("The bees of Lund sleep in winter, says the keeper of the bees."), DONE]
    _, env, _ = play([*[DONE] * 5, *keep], episode, memory_budget=45)
    assert len(env.memory.items("semantic")) == 1
    kept = list(env.memory.items("episodic").values())
    assert kept == list(chunks[-len(kept) :])
    assert 0 < len(kept) < 6
    assert env.memory.total_tokens <= 45


def test_what_can_never_fit_the_budget_drops_no_message() -> None:
    _, env, backend = play([store("word " * 100), DONE], one_chunk(), memory_budget=20)
    assert list(env.memory.items("episodic").values()) == ["It rained."]
    assert "error: over the memory budget" in told(backend)


def test_it_answers_with_the_message_it_sends_after_searching() -> None:
    replies = [store(ADA), DONE]  # the first question comes after the first chunk
    replies += [call("archival_memory_search", query="bakery"), say("Lund"), DONE, DONE]
    replies += ["<think>Alder?</think>Alder Hall", store("no"), ""]
    result, env, backend = play(replies, answer_mode="agent")
    assert [answer["prediction"] for answer in result.answers] == ["Lund", "Alder Hall", ""]
    assert [answer["score"] for answer in result.answers] == [1.0, 1.0, 0.0]
    assert env.memory.items("semantic") == {"s1": ADA}
    asked = told(backend, 2)
    assert asked.index("1 archival passages, 1 logged") < asked.index("Answer briefly.")
    assert "Where did Ada Holm open a bakery?" in asked
    assert "core_memory_append" not in prompt_text(backend.requests[2])
    assert f"- {ADA}" in told(backend, 3)
    assert 'unknown tool "archival_memory_insert"' in told(backend, 8)


def test_an_answer_that_is_never_sent_is_empty_after_max_steps() -> None:
    def reply(request: Any) -> str:
        asked = "The user asks" in prompt_text(request)
        return call("conversation_search", query="Lund") if asked else DONE

    chat, backend = scripted_chat(reply)
    agent = MemGPT(chat, max_steps=2)
    env = environment_for(agent, answer_mode="agent", **SMALL)
    result = play_episode(agent, env, village())
    assert [answer["prediction"] for answer in result.answers] == ["", "", ""]
    assert len(backend.requests) == 3 + 3 * 2  # no question is asked twice


@pytest.mark.parametrize("tool_format", ["markers", "native"])
def test_other_tool_formats_do_the_same(tool_format: str) -> None:
    def reply(content: str, number: int) -> str | ChatReply:
        arguments = json.dumps({"content": content})
        if tool_format == "markers":
            return f"✿FUNCTION✿: archival_memory_insert\n✿ARGS✿: {arguments}"
        function = {"name": "archival_memory_insert", "arguments": arguments}
        return ChatReply("", ({"id": f"x{number}", "type": "function", "function": function},))

    model = {"tool_format": tool_format}
    _, env, backend = play([reply(ADA, 1), reply(BEN, 2), DONE], one_chunk(), model=model)
    assert list(env.memory.items("semantic").values()) == [ADA, BEN]
    first, last = backend.requests[0], backend.requests[-1]
    names = [tool["function"]["name"] for tool in first.tools]
    assert ("send_message" in names) == (tool_format == "native")
    assert ("✿FUNCTION✿" in prompt_text(first)) == (tool_format == "markers")
    assert "ok: inserted s2" in str(last.messages[-1]["content"])


def test_max_steps_must_be_a_positive_integer() -> None:
    chat, _ = scripted_chat([])
    for wrong in (0, -1, 2.0, True, "3"):
        with pytest.raises(UsageError, match="max_steps must be an integer of at least 1"):
            MemGPT(chat, max_steps=wrong)  # type: ignore[arg-type]


PARTS = st.sampled_from(
    (store("x"), append("\ud83d y"), exchange("y", ""), say(" z"), "<think>", "</think>",
     "<tool_call>", "✿FUNCTION✿: a", "[1]", "{", "\x00", call("conversation_search", query="I"))
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=30), st.lists(PARTS).map("".join)), min_size=1))
def test_any_model_text_completes_the_episode(texts: list[str]) -> None:
    number = iter(range(10_000))
    for mode in ("reader", "agent"):
        result, env, _ = play(lambda _: texts[next(number) % len(texts)], answer_mode=mode)
        assert len(result.answers) == 3
        assert env.memory.counter.count(env.memory.core) <= 2_500
        assert list(env.memory.items("episodic").values()) == list(CHUNKS)
