"""Behaviour of the summaries and tables: right numbers, right marks, nothing cut off."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from memgym.agents.chat import ModelSettings
from memgym.benchmarks.entries import AgentEntry
from memgym.benchmarks.plan import RunPlan, make_plan
from memgym.benchmarks.report import Table, footer, markdown, print_tables, tables, write_reports
from memgym.benchmarks.run_folder import Key
from memgym.benchmarks.runner import run_plan
from memgym.benchmarks.suites import Entry, Suite, resolve
from memgym.benchmarks.summary import SuiteSummary, summarise
from memgym.diagnosis import CAUSES
from memgym.usage import Usage
from tests.runs import AGENTS, FACTS, LABELS, OPTIONS, SUITE, small_plan

Records = dict[Key, dict[str, Any]]


def made_up(plan: RunPlan, scores: dict[str, float]) -> Records:
    """Return results in which each agent has one score on every question, 4 per episode."""
    records: Records = {}
    for task in plan.tasks():
        score = scores[task.entry.name]
        metrics: dict[str, float] = {
            "memory_tokens": 50.0, "input_tokens": 200.0, "memory_share": 0.25, "questions": 4.0,
            "failed": 0.0,
        }  # fmt: skip
        for cause in CAUSES:
            metrics[cause] = 0.0
        if score < 1.0:
            metrics["lost"] = 3.0
            metrics["misread"] = 1.0
        records[task.key] = {
            "agent": task.entry.name, "episode_id": task.episode.id, "source": task.episode.source,
            "split": "test", "ability": task.episode.ability, "score": score, "reward": 1.0,
            "steps": 4, "calls": 9, "valid_calls": 8, "memory_digest": "d",
            "metrics": metrics, "answers": [{"score": score}] * 4,
        }  # fmt: skip
    return records


@pytest.fixture(scope="module")
def plan() -> RunPlan:
    return small_plan()


SCORES = {"flat": 0.25, "sentences": 0.5, "oracle": 1.0}


@pytest.fixture(scope="module")
def summary(plan: RunPlan) -> SuiteSummary:
    seconds = dict.fromkeys([task.key for task in plan.tasks()], 0.5)
    return summarise(plan, made_up(plan, SCORES), seconds)[0]


def column(table: Table, head: str) -> list[str]:
    return [row[table.columns.index(head)] for row in table.rows]


def test_scores_come_by_ability_with_interval_and_macro_mean(summary: SuiteSummary) -> None:
    table = tables(summary)[0]
    assert table.columns == ("agent", "accurate retrieval", "test-time learning", "macro mean")
    assert column(table, "macro mean") == ["25.0 [25–25]", "50.0 [50–50]", "100.0 [100–100]"]


def test_rows_keep_the_given_order_and_mark_the_privileged(summary: SuiteSummary) -> None:
    assert column(tables(summary)[0], "agent") == ["flat", "sentences", "oracle †"]


def test_macro_mean_weighs_abilities_equally(plan: RunPlan) -> None:
    records = made_up(plan, SCORES)
    for task in plan.tasks():
        if task.entry.name == "flat" and task.episode.entry == "labels":
            records[task.key]["answers"] = [{"score": 1.0}] * 4
        if task.entry.name == "flat" and task.episode.entry == "long facts":
            records[task.key]["answers"] = [{"score": 0.75}] * 4
    flat = summarise(plan, records, {})[0].rows[0]
    assert flat.abilities["accurate_retrieval"].mean == pytest.approx((0.25 + 0.75) / 2)
    assert flat.macro.mean == pytest.approx((0.5 + 1.0) / 2)
    assert flat.entries["long facts"].episodes == 2


def test_fates_are_shares_of_all_questions(summary: SuiteSummary) -> None:
    table = tables(summary)[1]
    assert column(table, "memory, % of input") == ["25.0"] * 3
    assert column(table, "lost") == ["75.0", "75.0", "0.0"]
    assert column(table, "misread") == ["25.0", "25.0", "0.0"]
    assert column(table, "seconds") == ["3.5"] * 3
    assert "reader failed" not in table.columns


def test_reader_failures_get_a_column_when_there_are_any(plan: RunPlan) -> None:
    records = made_up(plan, SCORES)
    for task in plan.tasks():
        if task.entry.name == "sentences":
            records[task.key]["metrics"]["failed"] = 1.0
    table = tables(summarise(plan, records, {})[0])[1]
    assert column(table, "reader failed") == ["0.0", "25.0", "0.0"]


def test_unknown_times_are_not_guessed(plan: RunPlan) -> None:
    times = {task.key: 1.0 for task in list(plan.tasks())[1:]}
    table = tables(summarise(plan, made_up(plan, SCORES), times)[0])[1]
    assert column(table, "seconds") == ["?", "7.0", "7.0"]


def test_source_table_only_where_an_ability_has_several(summary: SuiteSummary) -> None:
    by_source = tables(summary)[2]
    assert by_source.columns == ("source (episodes)", "flat", "sentences", "oracle †")
    names = ["facts (3)", "long facts (2)", "labels (2)"]
    assert column(by_source, "source (episodes)") == names
    simple = small_plan(suite=Suite("simple", "1", "", (FACTS, LABELS)))
    assert len(tables(summarise(simple, made_up(simple, SCORES), {})[0])) == 2


def test_entry_of_several_abilities_is_taken_apart() -> None:
    mixed = small_plan(
        suite=Suite("mix", "1", "", (Entry("mix", "procedural", "test", 4, OPTIONS),))
    )
    found = summarise(mixed, made_up(mixed, SCORES), {})[0]
    assert len(found.rows[0].abilities) == 4
    assert "mix: conflict_resolution" in found.rows[0].entries


def test_single_episodes_are_footnoted() -> None:
    entries = (Entry("lone", LABELS.source, "test", 1, OPTIONS), FACTS)
    plan = small_plan(suite=Suite("lone", "1", "", entries))
    summaries = summarise(plan, made_up(plan, SCORES), {})
    notes = "\n".join(footer(plan, summaries, "memgym bench"))
    assert "One episode only in lone" in notes


def test_cell_without_interval_says_so(plan: RunPlan) -> None:
    one = small_plan(
        suite=Suite("one", "1", "", (Entry("lone", LABELS.source, "test", 1, OPTIONS),))
    )
    records = made_up(one, SCORES)
    for record in records.values():
        record["answers"] = record["answers"][:1]
    table = tables(summarise(one, records, {})[0])[0]
    assert column(table, "macro mean")[0] == "25.0 (n=1)"


def test_footer_says_what_is_needed_to_read_and_repeat(summary: SuiteSummary) -> None:
    plan = small_plan(["chunks", "oracle"], seed=4, settings={"memory_budget": 0.25})
    notes = "\n".join(footer(plan, [summary], "memgym bench --seed 4"))
    for part in (
        "7 episodes", "28 questions", summary.suite.content_hash[:10], "Reader: verbatim, 1,024",
        "no model", "25 % of the text",
        "Macro mean of tiny: (accurate retrieval + test-time learning) / 2",
        "2,000 resamples", "chunks (top_k 2)",
        "† is shown the golds", "Seed 4. Again: memgym bench --seed 4",
    ):  # fmt: skip
        assert part in notes


@pytest.mark.parametrize("width", [80, 100])
def test_terminal_tables_fit_and_lose_nothing(summary: SuiteSummary, width: int) -> None:
    console = Console(width=width, file=io.StringIO(), record=True)
    print_tables(console, [summary])
    text = console.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    for table in tables(summary):
        for row in table.rows:
            for word in " ".join(row).split():
                assert word in text


@pytest.mark.parametrize("width", [80, 100])
def test_eight_agents_on_four_abilities_fit(width: int) -> None:
    names = "closed_book,random,flat,verbatim,chunks,sentences,dated,oracle".split(",")
    entries = [
        Entry(f"{ability.replace('-', ' ')} {size}", f"procedural-{ability}", "test", 1, options)
        for ability in (
            "accurate-retrieval", "test-time-learning", "long-range-understanding",
            "conflict-resolution",
        )
        for size, options in (("8k", OPTIONS), ("32k", {**OPTIONS, "tokens": 2_000}))
    ]  # fmt: skip
    plan = small_plan(names, Suite("wide", "1", "", tuple(entries)))
    found = summarise(plan, made_up(plan, dict.fromkeys(names, 1.0)), {})
    console = Console(width=width, file=io.StringIO(), record=True)
    print_tables(console, found)
    text = console.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    assert "[100–100]" in text
    assert all(name in text for name in names)


def with_models(seconds: float = 1.0) -> tuple[RunPlan, SuiteSummary]:
    """Return a run of agents with long names, and large figures."""
    model = ModelSettings("some-model")
    names = ("memagent_per_question", "long_context")
    plan = small_plan([AgentEntry(name, model=model) for name in names])
    records = made_up(plan, dict.fromkeys(names, 1.0))
    agent = Usage(123_456, 123_456_789, 123_456_789, 98_765, 9.5, 34, 5, 61_728)
    reader = Usage(calls=123_456, prompt_tokens=9_000, completion_tokens=999, failures=2)
    usage = {
        key: {"agent": agent, "reader": reader, "answer_judge": Usage(2, 100, 0, 2)}
        for key in records
    }
    return plan, summarise(plan, records, dict.fromkeys(records, seconds), usage)[0]


def test_models_are_counted_by_who_asked_them() -> None:
    table = tables(with_models()[1])[2]
    assert column(table, "calls")[0] == "864k"
    assert column(table, "tokens in")[0] == "864M"
    assert column(table, "cached, %")[0] == "100.0"
    assert column(table, "tokens out")[0] == "691k"
    assert column(table, "reader tokens")[0] == "70.7k"
    assert column(table, "from disk, %")[0] == "25.0"
    assert column(table, "retries / failed")[0] == "238/49"
    assert column(table, "invalid calls, %")[0] == "11.1"


def test_the_table_of_models_fits_with_every_name_in_one_piece() -> None:
    console = Console(width=100, file=io.StringIO(), record=True)
    print_tables(console, [with_models()[1]])
    lines = console.export_text().splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert sum(line.startswith(" memagent_per_question") for line in lines) == 3
    assert sum("238/49" in line for line in lines) == 2


def test_figures_of_models_are_explained() -> None:
    plan, summary = with_models()
    notes = "\n".join(footer(plan, [summary], "command"))
    assert "Seconds of an episode are those of its last attempt." in notes
    assert "reply from disk count as what it once cost" in notes
    plain = "\n".join(footer(small_plan(["flat"]), [summary], "command"))
    assert "Tokens are" not in plain


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0"), (9_999, "9,999"), (9_999.6, "10.0k"), (99_949, "99.9k"), (99_950, "100k"),
        (999_499, "999k"), (999_500, "1.00M"), (99_949_999, "99.9M"), (1.5e9, "1.50G"),
    ],
)  # fmt: skip
def test_large_figures_are_short(plan: RunPlan, count: float, shown: str) -> None:
    usage = {task.key: {"agent": Usage(calls=1)} for task in plan.tasks()}
    first = next(iter(plan.tasks())).key
    usage[first] = {"agent": Usage(calls=1, prompt_tokens=count)}  # type: ignore[arg-type]
    table = tables(summarise(plan, made_up(plan, SCORES), {}, usage)[0])[2]
    assert column(table, "tokens in")[0] == shown


def test_suites_with_other_readers_are_named() -> None:
    other = Suite("wider", "1", "", (LABELS,), {"reader_options": {"budget_tokens": 77}})
    plan = make_plan([resolve(Suite("tiny", "1", "", (FACTS,))), resolve(other)], ["flat"])
    notes = footer(plan, [], "command")
    assert any(note.startswith("tiny: Reader: verbatim, 1,024 ") for note in notes)
    assert any(note.startswith("wider: Reader: verbatim, 77 ") for note in notes)
    assert [item["reader"]["options"] for item in plan.description()["suites"]] == [
        {}, {"budget_tokens": 77},
    ]  # fmt: skip


def test_markdown_holds_every_table_and_note(summary: SuiteSummary) -> None:
    text = markdown([summary], ["Note | one.", "Note two."])
    assert "| agent | accurate retrieval | test-time learning | macro mean |" in text
    assert "|---|---:|---:|---:|" in text
    assert "| oracle † | 100.0 [100–100] | 100.0 [100–100] | 100.0 [100–100] |" in text
    assert text.endswith("- Note | one.\n- Note two.\n")


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_reports_agree_with_a_real_run(plan: RunPlan, tmp_path: Path) -> None:
    store = run_plan(plan, tmp_path)
    summaries = summarise(plan, store.records, store.seconds)
    write_reports(tmp_path, summaries, store.records, ["A note."])

    rows = read_csv(tmp_path / "summary.csv")
    macro = {row["agent"]: float(row["mean"]) for row in rows if row["over"] == "macro"}
    assert list(macro) == list(AGENTS)
    assert macro["oracle"] > macro["flat"]
    assert macro["oracle"] == pytest.approx(summaries[0].rows[2].macro.mean)
    assert {row["privileged"] for row in rows if row["agent"] == "oracle"} == {"1"}
    assert "seconds" not in {row["measure"] for row in rows}

    episodes = read_csv(tmp_path / "episodes.csv")
    assert len(episodes) == 21
    assert {row["entry"] for row in episodes} == {entry.name for entry in SUITE.entries}
    for agent in AGENTS:
        scores = [float(row["score"]) for row in episodes if row["agent"] == agent]
        by_entry = [scores[0:3], scores[3:5], scores[5:7]]
        facts, long_facts, labels = (sum(part) / len(part) for part in by_entry)
        assert macro[agent] == pytest.approx(((facts + long_facts) / 2 + labels) / 2)
    assert "A note." in (tmp_path / "summary.md").read_text(encoding="utf-8")
