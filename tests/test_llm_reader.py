"""The reader with a language model: batches, prompts, what does not fit, failures, the cache."""

import copy
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from memgym.agents import frozen_model
from memgym.agents.chat import ChatRequest, ContextLengthError, RefusedError, ServerError
from memgym.agents.chat.store import ReplyStore
from memgym.agents.llm_reader import LLMReader
from memgym.agents.reading import READING_PROMPT
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import QuestionKind
from memgym.errors import UsageError
from memgym.memory import Memory
from memgym.reader import ReaderAnswer, ReaderQuestion, make_reader
from memgym.usage import Usage
from tests.episodes import village
from tests.frozen import serve
from tests.scripted import Reply, prompt_text

CORE = "Notes about a village."
BEES = "Ada keeps bees behind the mill."
BREAD = "Ben bakes rye bread."
SOLD = "On 3 May 2031 Ada sold the bees."
RAIN = "On 4 May 2031 it rained."
DOORS = "Cleo paints doors."
DANCE = "On 5 May 2031 Cleo danced."
RANKED = ("s2", "e2", "s1", "e1", "s3", "e3")  # for a question about Ada


@pytest.fixture(autouse=True)
def _cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MEMGYM_MODEL", raising=False)


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.update("core", CORE)
    for text in (BREAD, BEES, DOORS):
        memory.insert("semantic", text)
    for text in (RAIN, SOLD, DANCE):
        memory.insert("episodic", text)
    return memory


def ask(*questions: str, kind: QuestionKind = "text") -> list[ReaderQuestion]:
    return [ReaderQuestion(question, kind, "Answer briefly.") for question in questions]


def make(**options: Any) -> LLMReader:
    return LLMReader(**{"model": "some-model", **options})


def test_all_questions_go_out_in_one_batch(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(monkeypatch, ["behind the mill", "rye bread"])
    answers = make().answer(ask("Where does Ada keep bees?", "What does Ben bake?"), memory)
    assert server.sizes == [2]
    assert [answer.text for answer in answers] == ["behind the mill", "rye bread"]
    assert answers[0].shown == (CORE, BEES, SOLD, BREAD, RAIN, DOORS, DANCE)
    assert answers[0].memory_ids == RANKED
    assert not answers[0].failed


def test_the_prompt_shows_core_items_preface_and_question(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(monkeypatch, ["x"])
    make(top_k=1).answer(ask("Where does Ada keep bees?"), memory)
    system, user = server.requests[0].messages
    assert system == {"role": "system", "content": READING_PROMPT}
    assert user["content"] == (
        f"Notes:\nSummary: {CORE}\n1. {BEES}\n2. {SOLD}\n\n"
        "Question: Answer briefly.\nWhere does Ada keep bees?"
    )
    assert (server.requests[0].temperature, server.requests[0].max_tokens) == (0.0, 512)


def test_the_budget_is_that_of_the_verbatim_reader(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, ["x"])
    question = ask("Where does Ada keep bees?")
    options = {"budget_tokens": memory.item_tokens("semantic", "s2") + 3, "top_k": 2}
    (plain,) = make_reader("verbatim", **options).answer(question, memory)
    (answer,) = make(**options).answer(question, memory)
    assert answer.shown == plain.shown
    assert answer.memory_ids == plain.memory_ids == ("s2", "e2")


def test_a_label_is_asked_for_in_a_box(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(monkeypatch, [r"\boxed{7}", "Ada"])
    reader = make()
    (answer,) = reader.answer(ask("the oven is cold", kind="label"), memory)
    reader.answer(ask("the oven is cold"), memory)
    assert answer.text == r"\boxed{7}"
    assert r"\boxed{label}" in prompt_text(server.requests[0])
    assert "boxed" not in prompt_text(server.requests[1])


IN_SEQUENCE = ("s1", "s2", "s3", "e1", "e2", "e3")


@pytest.mark.parametrize(
    ("order", "kind", "ids"),
    [("rank", "text", RANKED), ("sequence", "text", IN_SEQUENCE), ("rank", "order", IN_SEQUENCE)],
)
def test_items_are_shown_by_rank_or_in_sequence(
    monkeypatch: pytest.MonkeyPatch, memory: Memory, order: str, kind: QuestionKind,
    *, ids: tuple[str, ...],
) -> None:  # fmt: skip
    server = serve(monkeypatch, ["x"])
    (answer,) = make(order=order).answer(ask("Where does Ada keep bees?", kind=kind), memory)
    assert answer.memory_ids == ids
    shown = prompt_text(server.requests[0])
    assert ("in the order in which they were written" in shown) == (ids == IN_SEQUENCE)
    places = [shown.index(text) for text in answer.shown]
    assert places == sorted(places)


def test_what_is_dropped_is_the_worst_match_in_either_order(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def three_fit(request: ChatRequest) -> Reply:
        return ContextLengthError("too long") if "4. " in prompt_text(request) else "x"

    serve(monkeypatch, three_fit)
    (answer,) = make(order="sequence").answer(ask("Where does Ada keep bees?"), memory)
    assert answer.memory_ids == ("s1", "s2", "e2")  # the best three of six


def test_only_the_question_that_does_not_fit_is_asked_again(  # B17
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def narrow(request: ChatRequest) -> Reply:
        text = prompt_text(request)
        return ContextLengthError("too long") if "Where" in text and "2. " in text else "mill"

    server = serve(monkeypatch, narrow)
    reader = make()
    one, two = reader.answer(ask("Where does Ada keep bees?", "What does Ben bake?"), memory)
    assert server.sizes == [2, 1, 1]  # six items, three, one
    assert (one.text, one.memory_ids, one.shown, one.failed) == ("mill", ("s2",), (CORE, BEES), 0)
    assert len(two.memory_ids) == 6
    assert (reader.usage.calls, reader.usage.failures) == (2, 2)


def test_a_prompt_that_never_fits_is_a_failure_not_an_answer(  # B16
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: ChatRequest) -> Reply:
        return ContextLengthError("too long: 9 tokens") if "Ada" in prompt_text(request) else "rye"

    for store, memory_id in (("semantic", "s2"), ("episodic", "e2")):
        memory.delete(store, memory_id)  # so that the other question's notes do not name Ada
    server = serve(monkeypatch, refuse)
    lost, fine = make(top_k=1).answer(ask("Where is Ada?", "What does Ben bake?"), memory)
    assert lost == ReaderAnswer("", (), (), failed=True)
    assert (fine.text, fine.failed) == ("rye", False)
    assert server.sizes == [2, 1, 1]  # two items, one, none: then it gives up


@pytest.mark.parametrize("reply", ["", " \n", "<think>Is it the mill", "<think>hm</think>\n"])
def test_a_reply_without_an_answer_is_a_failure(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    serve(monkeypatch, [reply])
    reader = make()
    (answer,) = reader.answer(ask("Where does Ada keep bees?"), memory)
    assert (answer.text, answer.failed) == ("", True)
    assert answer.memory_ids == RANKED
    assert (reader.usage.calls, reader.usage.failures) == (1, 1)


def test_thinking_is_no_part_of_the_answer(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, ["<think>In the church? No.</think>\n\nbehind the mill"])
    (answer,) = make().answer(ask("Where does Ada keep bees?"), memory)
    assert answer.text == "behind the mill"


def test_a_server_that_gave_up_is_no_wrong_answer_and_costs_the_others_nothing(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = ask("Where does Ada keep bees?", "What does Ben bake?", "When did it rain?")
    serve(monkeypatch, ["mill", ServerError("no connection"), "4 May"])
    with pytest.raises(ServerError, match="no connection"):
        make().answer(questions, memory)
    server = serve(monkeypatch, ["rye"])
    answers = make().answer(questions, memory)
    assert [answer.text for answer in answers] == ["mill", "rye", "4 May"]
    assert server.sizes == [1]


def test_a_refused_question_is_a_failure_and_asked_again_by_the_next_run(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = ask("Where does Ada keep bees?", "What does Ben bake?")
    serve(monkeypatch, [RefusedError("filtered"), "rye"])
    reader = make()
    refused, answered = reader.answer(questions, memory)
    assert (refused.text, refused.failed, answered.text) == ("", True, "rye")
    assert reader.usage.failures == 1
    server = serve(monkeypatch, ["mill"])
    assert [answer.text for answer in make().answer(questions, memory)] == ["mill", "rye"]
    assert server.sizes == [1]


def test_threads_that_begin_together_share_one_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    class Slow(ReplyStore):
        def __init__(self, folder: Path) -> None:
            made.append(folder)
            started.wait()
            super().__init__(folder)

    def first() -> None:
        stores.append(frozen_model._store(tmp_path))

    started = threading.Event()
    stores: list[ReplyStore] = []
    monkeypatch.setattr(frozen_model, "ReplyStore", Slow)
    threads = [threading.Thread(target=first) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.set()
    for thread in threads:
        thread.join()
    assert made == [tmp_path]
    assert len({id(store) for store in stores}) == 1


def test_a_second_run_asks_nothing(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, ["mill", "rye"])
    questions = ask("Where does Ada keep bees?", "What does Ben bake?")
    asked = make()
    first = asked.answer(questions, memory)
    server = serve(monkeypatch, ())
    reader = make()
    assert reader.answer(questions, memory) == first
    assert server.sizes == []
    assert reader.usage == asked.usage + Usage(from_disk=2)
    assert asked.usage.tokens > 0


def test_another_model_memory_or_setting_is_asked_anew(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(monkeypatch, lambda request: "mill")
    question = ask("Where does Ada keep bees?")
    make().answer(question, memory)
    make(model="other").answer(question, memory)
    make(max_tokens=100).answer(question, memory)
    make(temperature=0.7).answer(question, memory)
    memory.insert("semantic", "Ada keeps geese.")
    make().answer(question, memory)
    make(cache=False).answer(question, memory)
    assert server.sizes == [1] * 6
    make(temperature=0.7).answer(question, memory)
    assert len(server.sizes) == 7  # the memory is another one, not the seed
    make(temperature=0.7).answer(question, memory)
    assert len(server.sizes) == 7


def test_a_copy_opens_a_line_of_its_own(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda request: "mill")
    reader = make(cache=False)
    reader.answer(ask("Where does Ada keep bees?"), memory)
    other = copy.deepcopy(reader)
    assert (reader.usage.calls, other.usage.calls) == (1, 0)
    assert other.answer(ask("Where does Ada keep bees?"), memory)[0].text == "mill"
    assert (reader.usage.calls, other.usage.calls) == (1, 1)


# ---------------------------------------------------------------------- in the environment


def play(env: MemAlphaEnv) -> dict[str, Any]:
    env.reset(seed=0, options={"episode": village()})
    keep = "Ada Holm opened a bakery in Lund."
    arguments = {"memory_type": "semantic", "content": keep}
    env.step([{"name": "new_memory_insert", "arguments": arguments}])
    env.step(())
    _, _, terminated, _, info = env.step(())
    assert terminated
    return info


def test_an_episode_with_a_model_as_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(request: ChatRequest) -> Reply:
        text = prompt_text(request)
        if "Where did Ada" in text:
            return "Lund"
        return ContextLengthError("too long") if "Where does Ben" in text else r"\boxed{7}"

    server = serve(monkeypatch, reply)
    env = gym.make(
        "MemAlpha-v0",
        reader="llm",
        reader_options={"model": "some-model", "base_url": "http://localhost:1/v1"},
    )
    base = env.unwrapped
    assert isinstance(base, MemAlphaEnv)
    info = play(base)
    # The question in mid-stream alone, then two; one of them again without its item.
    assert server.sizes == [1, 2, 1]
    assert [(a["score"], a["failed"]) for a in info["answers"]] == [(1, 0), (0, 1), (1, 0)]
    assert info["metrics"]["failed"] == 1.0
    assert info["metrics"]["correctness"] == pytest.approx(2 / 3)
    assert isinstance(base.reader, LLMReader)
    assert base.reader.usage.calls == 2
    env.close()


def test_the_spec_of_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda request: "Lund")
    options = {"model": "some-model", "order": "sequence", "model_options": {"top_p": 0.9}}
    env = gym.make("MemAlpha-v0", reader="llm", reader_options=options)
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    base = again.unwrapped
    assert isinstance(base, MemAlphaEnv)
    assert isinstance(base.reader, LLMReader)
    assert (base.reader.settings.top_p, base.reader.order) == (0.9, "sequence")
    assert json.loads(env.spec.to_json())["kwargs"]["reader_options"] == options


def test_a_state_resumes_with_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda request: "Lund")
    settings: dict[str, Any] = {"reader": "llm", "reader_options": {"model": "some-model"}}
    env = MemAlphaEnv(**settings)
    env.reset(seed=0, options={"episode": village()})
    env.step(())
    other = MemAlphaEnv(**settings)
    other.reset(seed=1, options={"episode": village()})
    other.set_state(json.loads(json.dumps(env.get_state())))
    for _ in range(2):
        one, two = env.step(()), other.step(())
    assert one[1:] == two[1:]


# ---------------------------------------------------------------------- choosing it


class FirstItem:
    """A user's own reader."""

    name = "first"

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix

    def answer(self, questions: Sequence[ReaderQuestion], memory: Memory) -> list[ReaderAnswer]:
        return [ReaderAnswer(f"Lund{self.suffix}", (), ()) for _ in questions]


class NoReader:
    """A class that cannot read."""


def test_a_reader_of_ones_own() -> None:
    mine = "tests.test_llm_reader:FirstItem"
    info = play(MemAlphaEnv(reader=mine, reader_options={"suffix": "!"}))
    assert [a["prediction"] for a in info["answers"]] == ["Lund!"] * 3


def test_the_model_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMGYM_MODEL", "qwen3-4b")
    monkeypatch.setenv("MEMGYM_BASE_URL", "http://localhost:1/v1")
    reader = make_reader("llm")
    assert isinstance(reader, LLMReader)
    settings = reader.settings
    assert (settings.model, settings.base_url) == ("Qwen/Qwen3-4B", "http://localhost:1/v1")
    assert settings.template_options == {"enable_thinking": False}  # the preset's


def test_a_preset_does_not_bring_its_temperature() -> None:
    assert make(model="memagent-7b").settings.temperature == 0.0
    assert make(model="memagent-7b").settings.top_p == 0.95


def test_the_default_environment_loads_no_agents() -> None:
    code = (
        "import sys, gymnasium, memgym; gymnasium.make('MemAlpha-v0').reset(seed=0); "
        "print([name for name in sys.modules if name.startswith('memgym.agents')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SECRET = "sk-very-secret"


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("llm", {}, "no model is named"),
        ("llm", {"model": "m", "topk": 3}, 'no option "topk": did you mean "top_k"'),
        ("llm", {"model": "m", "top_k": 0}, "at least 1, got 0"),
        ("llm", {"model": "m", "order": "date"}, '"rank" or "sequence", got \'date\''),
        ("llm", {"model": "m", "cache": 1}, "cache must be true or false"),
        ("llm", {"model": "m", "temperature": -1}, "temperature"),
        ("llm", {"model": "m", "backend": "vlm"}, 'did you mean "vllm"'),
        ("llm", {"model": "m", "model_options": {"temperature": 1}}, "option of its own"),
        ("llm", {"model": "m", "model_options": {"top_q": 1}}, 'did you mean "top_p"'),
        ("llm", {"model": "m", "model_options": 3}, "must be a mapping"),
        ("llm", {"model": "m", "api_key": SECRET}, "set the environment variable OPENAI_API_KEY"),
        (
            "llm",
            {"model": "m", "model_options": {"OPENAI_API_KEY": SECRET}},
            "keys are no settings",
        ),
        ("lm", {}, 'did you mean "llm".*package.module:Class'),
        ("no_such_module:Reader", {}, 'cannot import "no_such_module"'),
        (":Reader", {}, 'cannot import ""'),
        ("tests.test_llm_reader:FirstItm", {}, 'did you mean "FirstItem"'),
        ("tests.test_llm_reader:make", {}, 'no class "make"'),
        ("tests.test_llm_reader:NoReader", {}, r"must have a method answer\(\)"),
        ("tests.test_llm_reader:FirstItem", {}, 'needs the option "suffix"'),
        ("tests.test_llm_reader:FirstItem", {"sufix": ""}, 'did you mean "suffix"'),
    ],
)
def test_bad_readers_are_explained(name: str, options: dict[str, Any], hint: str) -> None:
    with pytest.raises(UsageError, match=hint) as caught:
        MemAlphaEnv(reader=name, reader_options=options)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
