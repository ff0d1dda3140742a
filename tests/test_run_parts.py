"""Readers and judges with a language model in a run: opened, counted, limited, told apart."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.chat import ChatRequest, ModelSettings, RunMeter
from memgym.benchmarks.entries import AgentEntry
from memgym.benchmarks.outcome import RunStoppedError
from memgym.benchmarks.plan import RunPlan
from memgym.benchmarks.report import footer, tables
from memgym.benchmarks.runner import run_plan
from memgym.benchmarks.summary import summarise
from memgym.errors import UsageError
from memgym.usage import Usage
from tests.frozen import Batches, serve
from tests.runs import small_plan

PARTS = ("reader", "content_judge", "answer_judge")
READER = "some-reader"


@pytest.fixture(autouse=True)
def _cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))


def chosen(**models: str) -> dict[str, Any]:
    """Return settings with a language model as each part."""
    settings: dict[str, Any] = {}
    for part in PARTS:
        settings[part] = "llm"
        settings[f"{part}_options"] = {"model": models.get(part, f"some-{part}")}
    return settings


def plan(**models: str) -> RunPlan:
    keeper = AgentEntry("tests.keeper:Keeper", model=ModelSettings("some-agent"))
    return small_plan(["flat", keeper], settings=chosen(**models))


def reply(request: ChatRequest) -> str:
    return request.choices[0] if request.choices else "Nothing is known of that."


def every_usage(usage: dict[tuple[str, str], dict[str, Usage]]) -> Iterator[Usage]:
    for parts in usage.values():
        yield from parts.values()


def test_all_parts_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = serve(monkeypatch, reply)
    meter = RunMeter()
    store = run_plan(plan(), tmp_path / "run", meter=meter, concurrency=1)
    total = sum(every_usage(store.usage), Usage())
    fresh = total.calls - total.from_disk
    assert meter.total.calls == fresh == len(backend.requests)
    parts = {agent: set(used) for (agent, _), used in store.usage.items()}
    assert parts == {"flat": set(PARTS), "keeper": {"agent", *PARTS}}
    for part in PARTS:
        assert any(used[part].calls for used in store.usage.values()), part
    lines = (tmp_path / "run" / "usage.csv").read_text().splitlines()
    assert len(lines) == 1 + 7 * 3 + 7 * 4
    assert not (tmp_path / "run" / "results.jsonl").read_text().count("some-")


def test_the_table_does_not_depend_on_what_the_cache_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, reply)
    shown = []
    for name in ("first", "second"):
        asked = plan()
        store = run_plan(asked, tmp_path / name, concurrency=1)
        table = tables(summarise(asked, store.records, store.seconds, store.usage)[0])[2]
        disk = table.columns.index("from disk, %")
        shown.append([(*row[:disk], *row[disk + 1 :]) for row in table.rows])
        shares = [float(row[disk]) for row in table.rows]
    assert shown[0] == shown[1]
    assert shares[0] == 100.0, "the second run asked no reader and no judge"
    assert 0 < shares[1] < 100


@pytest.mark.parametrize("part", PARTS)
def test_a_limit_stops_in_every_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    backend = serve(monkeypatch, reply)
    settings = {name: value for name, value in chosen().items() if name.startswith(part)}
    asked = small_plan(["flat"], settings=settings)
    with pytest.raises(RunStoppedError, match="the limit of 1 tokens is reached"):
        run_plan(asked, tmp_path / "run", meter=RunMeter(1), concurrency=1)
    assert len(backend.sizes) == 1, "one batch was on its way when the limit was reached"
    run_plan(asked, tmp_path / "run")
    assert len(backend.sizes) > 1


@pytest.mark.parametrize("part", PARTS)
def test_a_run_with_another_model_in_a_part_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    serve(monkeypatch, reply)
    run_plan(plan(), tmp_path / "run")
    difference = rf"holds another run: its suites\[0\]\.{part}\.model"
    with pytest.raises(UsageError, match=difference):
        run_plan(plan(**{part: "another"}), tmp_path / "run")


def test_a_model_named_by_the_environment_is_part_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    described = []
    for name in ("one", "two"):
        monkeypatch.setenv("MEMGYM_MODEL", name)
        asked = small_plan(["flat"], settings={"answer_judge": "llm", "reader": "llm"})
        described.append(asked.description()["suites"][0])
        assert f"Reader: llm, 1,024 o200k_base tokens of retrieved text, model {name} (" in (
            "\n".join(footer(asked, [], "command"))
        )
    for part in ("reader", "answer_judge"):
        assert [item[part]["model"]["model"] for item in described] == ["one", "two"]
        assert described[0][part]["model"]["code"]
    assert described[0]["content_judge"] == described[1]["content_judge"]


def test_where_a_model_is_and_its_key_stay_out_of_a_run(tmp_path: Path) -> None:
    options = {
        "model": "served", "base_url": "http://10.1.2.3/v1",
        "model_options": {"key_variable": "SOME_KEY", "timeout_seconds": 9.5, "top_p": 0.5},
    }  # fmt: skip
    settings = {"reader": "llm", "reader_options": {**options, "top_k": 3}}
    described = small_plan(["flat"], settings=settings).description()
    text = json.dumps(described)
    for hidden in ("10.1.2.3", "SOME_KEY", "9.5", "key_variable", "timeout_seconds"):
        assert hidden not in text
    reader = described["suites"][0]["reader"]
    assert reader["options"] == {"top_k": 3}
    assert reader["model"]["top_p"] == 0.5
    moved = {**options, "base_url": "http://elsewhere/v1", "top_k": 3}
    again = small_plan(["flat"], settings={**settings, "reader_options": moved})
    assert again.description() == described


def test_reader_and_judges_are_named_below_the_table() -> None:
    notes = footer(plan(), [], "command")
    for part in PARTS:
        title = part.replace("_", " ").capitalize()
        assert any(
            note.startswith(f"{title}: llm") and f"model some-{part} (openai" in note
            for note in notes
        )
    plain = "\n".join(footer(small_plan(["flat"]), [], "command"))
    assert "judge" not in plain


def test_what_an_option_does_to_the_reader_is_told() -> None:
    model = ModelSettings("some-agent")
    entry = AgentEntry("long_context", model=model, options={"window_tokens": 500})
    settings = {"reader": "llm", "reader_options": {"model": READER}}
    asked = small_plan([entry], settings=settings)
    [line] = [note for note in footer(asked, [], "") if note.startswith("Settings of their own")]
    agent_settings = json.loads(next(iter(asked.tasks())).settings)["reader_options"]
    assert f"budget_tokens {agent_settings['budget_tokens']}" in line
    assert agent_settings["budget_tokens"] <= 500


def test_models_of_all_parts_are_opened_before_the_first_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Batches(reply)
    opened: list[str] = []

    def open_backend(settings: ModelSettings) -> Batches:
        if not backend.requests:
            opened.append(settings.model)
        return backend

    monkeypatch.setattr("memgym.agents.chat.chat.open_backend", open_backend)
    with pytest.raises(RunStoppedError):
        run_plan(plan(), tmp_path / "run", meter=RunMeter(1), concurrency=1)
    assert opened[:4] == ["some-agent", *(f"some-{part}" for part in PARTS)]
