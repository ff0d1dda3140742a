"""A trained folder as an agent: ``grpo:folder`` through the benchmark, ``load``, long chunks."""

import copy
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memgym.agents.chat import ChatReply, ChatRequest, ContextLengthError, ServerError
from memgym.agents.grpo.agent import TrainedWriter, in_pieces, model_folder, trained_model
from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.manifest import FILE, read_manifest, write_manifest
from memgym.agents.grpo.policy import Policy
from memgym.agents.grpo.training import train
from memgym.benchmarks.entries import AgentEntry, checked_entries
from memgym.benchmarks.suites import SUITES, Entry, Suite
from memgym.cli.main import main
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode, Question
from memgym.errors import UsageError
from memgym.evaluation import environment_for, play_episode
from memgym.text import split_sentences
from memgym.tokens import get_counter
from tests.grpo_small import ENVIRONMENT, Parrot, insert, small_policy, small_settings
from tests.scripted import prompt_text, scripted_chat


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a run whose policy learned to say what the first validation episode asks for."""
    folder = tmp_path_factory.mktemp("trained")
    untrained = small_policy(vocab_size=1_100, hidden_size=64, initializer_range=0.02)
    tokenizer = copy.deepcopy(untrained.tokenizer)
    tokenizer.add_tokens(insert("|").split("|"))  # few tokens are quickly learned
    Policy(untrained.model, tokenizer).save(folder / "model")
    env = MemAlphaEnv(**ENVIRONMENT, split="validation")
    env.reset(options={"episode": 0})
    golds = " and ".join(question.answers[0] for question in env.episode.questions[:2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parrot, "text", insert(golds))
        settings = small_settings(
            policy={"model": str(folder / "model")},
            prompt={"max_tokens": 40},
            supervised={
                "agents": ["tests.grpo_small:Parrot"], "episodes": 4, "steps": 30,
                "batch_size": 2, "learning_rate": 5e-3,
            },
            optimizer={"steps": 1, "minibatches": 1, "learning_rate": 0.0},
            evaluation={"episodes": 2},
        )  # fmt: skip
        return train(settings, folder / "run")


# ------------------------------------------------------------------ the same as in training


def test_the_benchmark_gives_it_the_scores_that_the_learner_saw(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dict(ENVIRONMENT["source_options"])
    entry = Entry("seen", "procedural-accurate-retrieval", "validation", 2, options)
    monkeypatch.setitem(SUITES, "seen", Suite("seen", "1", "for tests", (entry,)))
    code = main([
        "bench", "--suite", "seen", "--agents", f"grpo:{run.path},sentences", "--jobs", "1",
        "--out", str(tmp_path / "bench"),
    ])  # fmt: skip
    assert code == 0
    lines = (tmp_path / "bench" / "results.jsonl").read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record["agent"] == "grpo"]
    assert len(lines) == 4
    judged = next(row for row in run.rows() if "validation/r1" in row)
    scores = [record["score"] for record in records]
    assert scores[0] > 0.6
    assert sum(scores) / 2 == judged["validation/r1"]
    shares = [record["metrics"]["memory_share"] for record in records]
    assert sum(shares) / 2 == pytest.approx(judged["validation/memory_share"])
    assert sum(record["calls"] for record in records) > 0
    assert str(run.path.parent) not in (tmp_path / "bench" / "run.json").read_text()


def test_load_gives_the_agent_of_a_run_or_of_a_model(run: RunFolder) -> None:
    agents = [TrainedWriter.load(run.path), TrainedWriter.load(run.best)]
    results = []
    for agent in agents:
        env = environment_for(agent, **{**ENVIRONMENT, "split": "validation", "view_recent": 9})
        assert env.settings.view_recent == 1  # that of its training
        results.append(play_episode(agent, env, 0))
    assert results[0].record() == results[1].record()
    assert results[0].score > 0.6


def test_it_is_asked_greedily_as_it_was_trained(run: RunFolder) -> None:
    settings = trained_model(run.best)
    assert (settings.temperature, settings.max_tokens) == (0.0, 40)
    assert settings.backend == "transformers"


# ------------------------------------------------------------------ names and options


def test_tables_call_it_by_its_folder_when_there_are_several(run: RunFolder) -> None:
    entries = checked_entries([
        AgentEntry(f"grpo:{run.path}"), AgentEntry(f"grpo:{run.final}"), AgentEntry("sentences"),
    ])  # fmt: skip
    names = [entry.name for entry in entries]
    assert len(set(names)) == 3
    assert all(name.startswith("grpo") for name in names[:2])
    assert not any(str(run.path) in f"{entry.spec}{entry.name}" for entry in entries)
    assert all(entry.model and entry.model.digest for entry in entries[:2])


@pytest.mark.parametrize("option", ["folder", "chat", "instructions"])
def test_options_are_refused(run: RunFolder, option: str) -> None:
    with pytest.raises(UsageError, match=f'has no option "{option}"'):
        checked_entries([AgentEntry(f"grpo:{run.path}", options={option: "full"})])


@pytest.mark.parametrize("spec", ["grpo:nowhere", "grpo:", "grpo"])
def test_a_folder_without_a_model_is_told(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="memgym train"):
        checked_entries([AgentEntry(spec)])
    with pytest.raises(UsageError, match="memgym train"):
        model_folder(str(tmp_path))


# ------------------------------------------------------------------ the manifest


def changed(**values: Any) -> Callable[[dict[str, Any]], str]:
    return lambda value: json.dumps({**value, **values})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda value: json.dumps(value)[:-9], "is damaged: JSONDecodeError"),
        (lambda value: "[]", "is damaged"),
        (changed(format="memgym policy 9"), 'format "memgym policy 9" is unknown'),
        (changed(prompt={"max_token": 5}), "is damaged: TypeError"),
        (changed(prompt={"max_tokens": "many"}), "max_tokens"),
        (changed(environment={"split": "test"}), "environment setting split"),
        (changed(environment=3), "is damaged"),
        (changed(chunk_tokens=None), "is damaged"),
        (lambda value: json.dumps({"format": value["format"]}), "is damaged: KeyError"),
    ],
)
def test_a_damaged_manifest_is_told(
    damage: Callable[[dict[str, Any]], str], message: str, tmp_path: Path
) -> None:
    write_manifest(tmp_path, small_settings())
    file = tmp_path / FILE
    assert read_manifest(tmp_path).chunk_tokens == 500
    file.write_text(damage(json.loads(file.read_text())), encoding="utf-8")
    with pytest.raises(UsageError, match=message) as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_manifest_keeps_what_the_policy_saw_and_no_more(tmp_path: Path) -> None:
    seen = {"view_recent": 3, "turns_per_chunk": 2, "memory_types": ["semantic"]}
    settings = small_settings(
        environment={**seen, "memory_budget": 0.5, "reader_options": {"budget_tokens": 99}},
        prompt={"template_options": {"enable_thinking": False}},
    )
    write_manifest(tmp_path, settings)
    found = read_manifest(tmp_path)
    assert found.environment == {"view_relevant": 1, **seen}
    assert found.prompt == settings.prompt


# ------------------------------------------------------------------ pieces

WORDS = st.sampled_from(
    "Ada Ben bees. rye! mill, Lund? on 3 May 2031. Dr. [x] a\tb é 🎈".split(" ")
)
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from([" ", "\n", "  ", "\n\n"])), max_size=80).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)


@given(TEXTS, st.integers(1, 40), st.sampled_from(["", "[Conversation of 3 May 2031]\n"]))
@example("[x]\nAda\nAda ", 1, "")
def test_pieces_are_the_chunk_and_nothing_else(text: str, tokens: int, heading: str) -> None:
    counter = get_counter()
    pieces = in_pieces(heading + text, tokens, counter)
    own = re.match(r"\[[^\n]*\]\n(?=\s*\S)", "" if heading else text)
    if own:  # the text has happened to begin with a heading
        heading, text = own[0], text[own.end() :]
    if not text.strip():
        assert pieces == [heading.strip()] * bool(heading)
        return
    assert all(piece.startswith(heading) for piece in pieces)
    bodies = [piece.removeprefix(heading) for piece in pieces]
    assert all(body.strip() for body in bodies)
    assert "".join("".join(bodies).split()) == "".join(text.split())


@given(st.lists(st.sampled_from(["Ada keeps bees.", "It rained.", "Ben bakes rye bread."])))
def test_pieces_are_cut_between_sentences_and_filled(sentences: list[str]) -> None:
    counter = get_counter()
    pieces = in_pieces(" ".join(sentences), 14, counter)
    assert [part for piece in pieces for part in split_sentences(piece)] == sentences
    assert all(counter.count(piece) <= 14 for piece in pieces)
    for piece, following in pairwise(pieces):
        assert counter.count(f"{piece} {split_sentences(following)[0]}") > 10


def test_a_heading_counts_as_part_of_its_piece() -> None:
    counter = get_counter()
    sentences = [f"Ada has {number} bees." for number in range(10, 40)]
    heading = "[Document read on 3 May 2031]\n"
    pieces = in_pieces(heading + " ".join(sentences), 40, counter)
    assert all(25 < counter.count(piece) <= 40 for piece in pieces[:-1])


def test_a_sentence_that_is_also_part_of_another_is_not_cut_there() -> None:
    found = in_pieces("Heavy Rain fell. Rain fell. Snow fell.", 1, get_counter())
    assert found == ["Heavy Rain fell.", "Rain fell.", "Snow fell."]


def test_a_heading_alone_is_a_piece() -> None:
    assert in_pieces("[nothing but this line]", 2, get_counter()) == ["[nothing but this line]"]


LONG = "[Document read on 3 May 2031]\n" + " ".join(f"Fact {n} is here." for n in range(400))


def long_episode() -> Episode:
    asked = Question("Where?", ("Lund",))
    return Episode("e", "e", "accurate_retrieval", (LONG, "Short."), (asked,))


def writer(replies: Callable[[ChatRequest], Any], folder: Path) -> tuple[TrainedWriter, Any]:
    write_manifest(folder, small_settings())
    chat, backend = scripted_chat(replies)
    return TrainedWriter(chat, str(folder)), backend


def test_a_chunk_longer_than_in_training_is_read_in_pieces_beside_the_same_memory(
    tmp_path: Path,
) -> None:
    agent, backend = writer(lambda request: insert(prompt_text(request)[:60]), tmp_path)
    env = environment_for(agent, **ENVIRONMENT)
    result = play_episode(agent, env, long_episode())
    pieces = in_pieces(LONG, 500, get_counter())
    assert len(pieces) > 3
    shown = [prompt_text(request) for request in backend.requests]
    assert len(shown) == len(pieces) + 1
    for piece, prompt in zip(pieces, shown, strict=False):
        assert piece in prompt
        assert prompt.startswith("The piece to read now:\n[Document read on 3 May 2031]\n")
        assert "[s1]" not in prompt
    assert "[s" in shown[-1]  # beside the short chunk is what was written
    assert (result.steps, result.valid_calls) == (2, len(pieces) + 1)


def test_a_piece_that_cannot_be_read_is_left_out_and_a_fault_ends_the_run(tmp_path: Path) -> None:
    numbers = iter(range(100))

    def second_is_too_long(request: ChatRequest) -> Any:
        number = next(numbers)
        return ContextLengthError("too long") if number == 1 else insert(f"fact {number}")

    agent, backend = writer(second_is_too_long, tmp_path)
    env = environment_for(agent, **ENVIRONMENT)
    result = play_episode(agent, env, long_episode())
    assert result.valid_calls == len(backend.requests) - 1

    broken, _ = writer(lambda request: ServerError("gone"), tmp_path)
    with pytest.raises(ServerError, match="gone"):
        play_episode(broken, env, long_episode())


def test_replies_to_pieces_are_one_message(tmp_path: Path) -> None:
    agent, _ = writer(lambda request: ChatReply("kept"), tmp_path)
    env = environment_for(agent, **ENVIRONMENT)
    result = play_episode(agent, env, long_episode())
    assert result.calls == 0
