"""Comparing finished runs: which may be compared, who is who, and what is said of each pair."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memgym.benchmarks.finished import FinishedRun, read_run
from memgym.benchmarks.paired_report import as_csv, notes, pair, sentence, tables
from memgym.benchmarks.pooled import pool
from memgym.benchmarks.suites import Suite
from memgym.cli.main import _parser, main
from memgym.errors import UsageError
from tests.runs import FACTS, LABELS, LONG_FACTS, finished_run

AGENTS = ("random", "sentences", "oracle")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("base") / "run", AGENTS)


@pytest.fixture(scope="module")
def other_seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("seed") / "seed-1", AGENTS, seed=1)


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "copy"))


def change(folder: Path, **changed: Any) -> None:
    """Change what a run says of itself."""
    file = folder / "run.json"
    described = json.loads(file.read_text(encoding="utf-8"))
    described["suites"][0].update(changed)
    file.write_text(json.dumps(described), encoding="utf-8")


# ---------------------------------------------------------------------- reading


def test_a_finished_run_is_read_without_its_agents_or_data(base: Path) -> None:
    run = read_run(base)
    assert [agent["name"] for agent in run.agents] == list(AGENTS)
    assert [episode.entry for episode in run.suites["tiny"].episodes] == (
        ["facts"] * 3 + ["long facts"] * 2 + ["labels"] * 2
    )
    assert len(run.records) == 21


def test_what_is_no_finished_run_is_refused_with_the_reason(copy: Path) -> None:
    with pytest.raises(UsageError, match=r"it holds no run\.json"):
        read_run(copy.parent)
    results = copy / "results.jsonl"
    lines = results.read_text(encoding="utf-8").splitlines(keepends=True)
    results.write_text("".join(lines[:-2]), encoding="utf-8")
    with pytest.raises(UsageError, match=r'is not finished: 2 results are missing.*"sentences" on'):
        read_run(copy)
    results.write_text("".join(lines[:4]) + "{\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"results\.jsonl, line 5: not a result"):
        read_run(copy)
    (copy / "episodes.csv").unlink()
    with pytest.raises(UsageError, match=r"has no episodes\.csv.*give its command again"):
        read_run(copy)
    (copy / "run.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match=r"run\.json is damaged"):
        read_run(copy)


@pytest.mark.parametrize("score", ["NaN", "1.5", "-Infinity", '"high"', "null"])
def test_scores_that_are_none_are_refused(copy: Path, score: str) -> None:
    results = copy / "results.jsonl"
    first, *rest = results.read_text(encoding="utf-8").splitlines(keepends=True)
    record = json.loads(first)
    record["answers"][0]["score"] = "SCORE"
    changed = json.dumps(record).replace('"SCORE"', score) + "\n"
    results.write_text("".join([changed, *rest]), encoding="utf-8")
    with pytest.raises(UsageError, match=r"results\.jsonl, line 1: not a result"):
        read_run(copy)


# ---------------------------------------------------------------------- comparable?


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"version": "2"}, 'its version is "2", that of .* is "1"'),
        ({"hash": "0" * 64}, 'its hash is "0000.*", that of .* is "'),
        ({"settings": {"memory_budget": 0.25}}, r"its settings\.memory_budget is 0\.25, .*null"),
        ({"reader": {"name": "llm", "options": {}}}, r'its reader\.name is "llm", .*"verbatim"'),
        ({"token_counter": "words"}, 'its token_counter is "words"'),
    ],
)  # fmt: skip
def test_runs_of_other_tests_are_refused_with_the_difference(
    base: Path, copy: Path, changed: dict[str, Any], told: str
) -> None:
    change(copy, **changed)
    with pytest.raises(UsageError, match=f"cannot be compared with .*run on suite tiny: {told}"):
        pool([read_run(base), read_run(copy)])


def test_a_budget_is_a_difference_that_is_told_before_what_follows_from_it(
    base: Path, tmp_path: Path
) -> None:
    limited = finished_run(tmp_path / "limited", ("sentences",), settings={"memory_budget": 0.5})
    with pytest.raises(UsageError, match=r"its settings\.memory_budget is 0\.5, that of"):
        pool([read_run(base), read_run(limited)])


def test_suites_of_one_run_only_have_to_be_left_out(base: Path, tmp_path: Path) -> None:
    two = finished_run(
        tmp_path / "two", ("sentences",), suite=Suite("other", "1", "", (LONG_FACTS, LABELS))
    )
    with pytest.raises(UsageError, match="has no suite tiny: Valid: other"):
        pool([read_run(base), read_run(two)])


# ---------------------------------------------------------------------- who is who


def test_an_agent_with_several_seeds_is_one_method(base: Path, other_seed: Path) -> None:
    [pooled] = pool([read_run(base), read_run(other_seed)])
    assert {method.name: len(method.runs) for method in pooled.methods} == {
        "oracle": 2, "sentences": 2, "random": 2,
    }  # fmt: skip
    alone = [pool([read_run(path)])[0].summary for path in (base, other_seed)]
    scores = [{row.name: row.macro.mean for row in found.rows} for found in alone]
    assert scores[0]["random"] != scores[1]["random"]
    together = {row.name: row.macro.mean for row in pooled.summary.rows}
    assert together["random"] == pytest.approx((scores[0]["random"] + scores[1]["random"]) / 2)
    assert "runs" in tables(pair(pooled))[0].columns


def test_the_same_run_twice_counts_once(base: Path, copy: Path) -> None:
    [pooled] = pool([read_run(base), read_run(copy)])
    assert [len(method.runs) for method in pooled.methods] == [1, 1, 1]


def test_agents_of_one_name_and_other_code_are_told_apart_by_folder(base: Path, copy: Path) -> None:
    file = copy / "run.json"
    described = json.loads(file.read_text(encoding="utf-8"))
    described["agents"][1]["code"] = "changed"
    file.write_text(json.dumps(described), encoding="utf-8")
    runs = [read_run(base), read_run(copy)]
    names = [method.name for method in pool(runs)[0].methods]
    assert sorted(names) == ["oracle", "random", "sentences (copy)", "sentences (run)"]
    [chosen] = pool(runs, agents=["sentences"])
    assert len(chosen.methods) == 2
    with pytest.raises(UsageError, match='no run has the agent "sentence": did you mean "senten'):
        pool(runs, agents=["sentence"])


def test_other_versions_of_memgym_are_said(base: Path, copy: Path) -> None:
    file = copy / "run.json"
    described = json.loads(file.read_text(encoding="utf-8"))
    described["code"] = "0123"
    file.write_text(json.dumps(described), encoding="utf-8")
    [pooled] = pool([read_run(base), read_run(copy)])
    assert len(pooled.methods) == 6
    assert any("different versions of memgym's own files" in note for note in pooled.notes)


# ---------------------------------------------------------------------- what is said


@pytest.fixture(scope="module")
def run(base: Path) -> FinishedRun:
    return read_run(base)


def test_methods_come_best_first_with_the_scores_of_bench(base: Path, run: FinishedRun) -> None:
    [pooled] = pool([run])
    assert [method.name for method in pooled.methods] == ["oracle", "sentences", "random"]
    with (base / "summary.csv").open(encoding="utf-8", newline="") as lines:
        written = {
            row["agent"]: (row["mean"], row["low"], row["high"])
            for row in csv.DictReader(lines)
            if row["over"] == "macro"
        }
    for row in pooled.summary.rows:
        found = (row.macro.mean, row.macro.low, row.macro.high)
        assert tuple(map(repr, found)) == written[row.name]


def test_a_difference_is_that_of_the_macro_means(run: FinishedRun) -> None:
    [pooled] = pool([run])
    paired = pair(pooled)
    scores = {row.name: row.macro.mean for row in pooled.summary.rows}
    assert [(item.first, item.second) for item in paired.macro] == [
        ("oracle", "sentences"), ("oracle", "random"), ("sentences", "random"),
    ]  # fmt: skip
    for item in paired.macro:
        assert item.mean == pytest.approx(scores[item.first] - scores[item.second])
        assert item.low is not None
        assert item.high is not None
        assert item.low <= item.mean <= item.high
        assert item.episodes == 7
    by_ability = np.mean([item.mean for item in paired.abilities if item.first == "sentences"])
    assert by_ability == pytest.approx(paired.macro[2].mean)
    assert len(paired.sources) == 9


def test_everybody_against_one(run: FinishedRun) -> None:
    [pooled] = pool([run])
    found = pair(pooled, "sentences").macro
    assert [(item.first, item.second) for item in found] == [
        ("oracle", "sentences"), ("random", "sentences"),
    ]  # fmt: skip
    with pytest.raises(UsageError, match='there is no "flat" to compare with; there are oracle'):
        pair(pooled, "flat")
    [alone] = pool([run], agents=["oracle"])
    with pytest.raises(UsageError, match="only oracle is there to compare"):
        pair(alone)


def test_a_sentence_says_who_is_better_and_whether_it_may_be_chance(run: FinishedRun) -> None:
    [pooled] = pool([run], agents=["sentences", "random"])
    [found] = pair(pooled).macro
    assert sentence(found).startswith("sentences scores ")
    assert "on 7 episodes" in sentence(found)
    unclear = found.__class__("a", "b", "macro", -0.02, -0.1, 0.1, 0.3, 0.3, 7, 250)
    assert sentence(unclear) == (
        "b scores 2.0 points above a on 7 episodes: not separated (p 0.300); about 250 episodes "
        "like these would show such a difference."
    )
    clear = found.__class__("a", "b", "macro", 0.2, 0.1, 0.3, 0.0001, 0.0002, 7, 5)
    assert "chance hardly makes (p <0.001)" in sentence(clear)


def test_the_csv_has_every_pair_and_measure(run: FinishedRun) -> None:
    paired = pair(pool([run])[0])
    rows = list(csv.DictReader(io.StringIO(as_csv([paired]))))
    assert len(rows) == 3 * (1 + 2 + 3)
    assert {row["measure"] for row in rows} == {"macro", "ability", "source"}
    first = paired.macro[0]
    assert float(rows[0]["difference"]) == first.mean
    assert float(rows[0]["p_corrected"]) == first.corrected


def test_notes_name_reader_formula_and_tests(run: FinishedRun) -> None:
    text = "\n".join(notes([pair(pool([run])[0])]))
    for part in (
        "reader verbatim", "(accurate retrieval + test-time learning) / 2", "sign-flip test",
        "(3 of macro means", "Holm", "80 % of all cases",
    ):  # fmt: skip
        assert part in text


def test_the_command_prints_and_writes(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = [tmp_path / f"pairs.{form}" for form in ("csv", "json", "md")]
    flags = ["--csv", "--json", "--markdown"]
    words = [word for pair in zip(flags, map(str, written), strict=True) for word in pair]
    assert main(["compare", str(base), "--agents", "sentences,random", "--sources", *words]) == 0
    printed = capsys.readouterr().out
    assert "tiny: sentences scores " in printed
    assert all(len(line) <= 100 for line in printed.splitlines())
    assert "differences by source" in printed
    told = json.loads(written[1].read_text(encoding="utf-8"))
    [suite] = told["suites"]
    assert [agent["name"] for agent in suite["agents"]] == ["sentences", "random"]
    assert suite["differences"]["macro"][0]["episodes"] == 7
    assert "**tiny (version 1): differences of macro means, points**" in written[2].read_text()
    texts = [file.read_bytes() for file in written]
    assert str(tmp_path).encode() not in b"".join(texts)
    assert main(["compare", str(base), "--agents", "sentences,random", "--sources", *words]) == 0
    assert [file.read_bytes() for file in written] == texts


def test_the_command_says_what_is_wrong_in_one_line(
    base: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(copy, version="7")
    assert main(["compare", str(base), str(copy)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("memgym: error: ")
    assert error.count("\n") == 1
    assert FACTS.name not in error


# ---------------------------------------------------------------------- docs/statistics.md

PAGE = (Path(__file__).parent.parent / "docs" / "statistics.md").read_text(encoding="utf-8")


def test_the_example_on_the_page_runs(
    base: Path,
    other_seed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(base, tmp_path / "runs/mine")
    shutil.copytree(other_seed, tmp_path / "runs/baselines")
    monkeypatch.chdir(tmp_path)
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(block, "statistics.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.count("tiny ") == 3


def test_the_commands_on_the_page_are_known() -> None:
    [block] = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        words = line.split()[1:]
        assert _parser().parse_args(words).run.__module__ == f"memgym.cli.{words[0]}"
