"""The page of a training run: its curves, warnings and examples, and that it stands alone."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.grpo.charts import chart
from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.page import draw_curves, write_page
from memgym.agents.grpo.settings import settings_from
from memgym.errors import UsageError
from memgym.pictures import Line

EVIL = "<script>alert('x')</script> & \"quoted\""
VOID = {"meta", "path", "br"}


class Checked(HTMLParser):
    """Checks that tags are closed in order, and gathers the text and what is linked."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def row(step: int, **more: Any) -> dict[str, Any]:
    return {
        "stage": "grpo", "step": step, "r1": step / 10, "r2": 0.9, "r3": 0.5, "r4": 0.4,
        "return": 1.5, "memory_share": 0.5, "response_tokens": 40.0, "response_tokens_max": 90,
        "calls/new_memory_insert semantic": 0.7, "cause/not_written": 0.3, "entropy": 0.5,
        "loss": None if step == 2 else 0.1, **more,
    }  # fmt: skip


def trained(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.begin(settings_from({"policy": {"model": EVIL}}, "test"))
    folder.append({"stage": "supervised", "step": 1, "loss": 2.0}, {})
    folder.append({"stage": "supervised", "step": 2, "loss": 1.0}, {})
    folder.append({"stage": "grpo", "step": 0, "validation/r1": 0.35}, {})
    folder.append(row(1), {})
    folder.append(row(2, warnings=[f"the policy hardly writes {EVIL}"]), {})
    folder.append(row(3, **{"validation/r1": 0.7, "calls/memory_update core": 0.2}), {})
    return folder


def side(score: float, answer: str) -> dict[str, Any]:
    return {
        "episode_id": f"procedural/7 {EVIL}",
        "chunks": [{"text": f"Ada lives in Ulm. {EVIL}", "response": f"Done {answer} {EVIL}"}],
        "memory": f"[s1] {answer}{EVIL}",
        "questions": [
            {
                "question": "Where does Ada live?", "answers": ["Ulm", "Ulm city"],
                "answer": answer, "score": score, "cause": "" if score else "not_written",
            }
        ],
        "score": score,
    }  # fmt: skip


def examples(folder: RunFolder) -> None:
    content = {"before": side(0.0, "no idea"), "after": side(1.0, "in Ulm")}
    (folder.path / "examples.json").write_text(json.dumps(content), encoding="utf-8")


def test_the_page_shows_the_run_and_needs_nothing_else(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run")
    examples(folder)
    page = write_page(folder)
    assert page == tmp_path / "run" / "report.html"
    content = page.read_text(encoding="utf-8")
    found = Checked(content)
    assert found.links == []
    assert "http" not in content
    for words in (
        "35.0 % at step 0", "70.0 % at best (step 3)", "r1: answers that are right",
        "validation", "supervised: loss", "new memory insert semantic", "not written",
        "Response length", "before", "after", "Where does Ada live?", "Ulm | Ulm city",
        "✗ (not written) no idea", "✓ in Ulm", "grpo, step 2: the policy hardly writes",
        "0 % of the answers are right before, 100 % after",
    ):  # fmt: skip
        assert words in found.text, words


def test_what_a_model_wrote_is_only_shown(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    examples(folder)
    content = write_page(folder).read_text(encoding="utf-8")
    assert "<script" not in content
    # Warning, settings, episode, memory, chunk, responses: the texts themselves are all there.
    assert content.count("&lt;script&gt;alert(") >= 7


def test_narrow_and_dark_screens_are_thought_of(tmp_path: Path) -> None:
    content = write_page(trained(tmp_path)).read_text(encoding="utf-8")
    assert "width=device-width" in content
    assert "prefers-color-scheme: dark" in content
    fixed = [int(number) for number in re.findall(r"[^-]width:\s*(\d+)px", content)]
    assert all(number < 380 for number in fixed)


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    first = write_page(folder).read_bytes()
    assert write_page(folder).read_bytes() == first


def test_a_run_that_has_hardly_begun(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(settings_from({}, "test"))
    found = Checked(write_page(folder).read_text(encoding="utf-8"))
    assert "Settings" in found.text
    with pytest.raises(UsageError, match="no rollouts to draw"):
        draw_curves(folder)


def test_damaged_examples_are_told(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    (tmp_path / "examples.json").write_text('{"before": {}}')
    with pytest.raises(UsageError, match=r"examples\.json is damaged"):
        write_page(folder)


def test_picture_files(tmp_path: Path) -> None:
    picture = draw_curves(trained(tmp_path))
    assert picture == tmp_path / "curves.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "r1 on validation" in (tmp_path / "curves.svg").read_text(encoding="utf-8")


def points(figure: str) -> list[list[tuple[float, float]]]:
    """Return the points of each line of a chart, in the units of the drawing."""
    return [
        [(float(x), float(y)) for x, y in (pair.split() for pair in path.split("L"))]
        for path in re.findall(
            r'<path class="line[^"]*" style="[^"]*" d="M([^"]*)"><title>', figure
        )
    ]


def test_a_chart_places_points_in_order() -> None:
    (line,) = points(chart("t", [Line("a", [0, 1, 2], [0.0, 1.0, 0.5])]))
    (x0, y0), (x1, y1), (x2, y2) = line
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 < y2 < y0  # up is a smaller coordinate
    assert y0 - y2 == pytest.approx(y2 - y1, abs=0.2)
    assert all(0 <= x <= 420 and 0 <= y <= 240 for x, y in line)


def test_a_chart_of_one_point_of_equal_points_and_of_none() -> None:
    assert "<svg" in chart("t", [Line("a", [3], [0.0])])
    (line,) = points(chart("t", [Line("a", [3, 4], [7.0, 7.0])]))
    assert line[0][1] == line[1][1]
    assert chart("t", [Line("a", [], [])]) == ""
    assert chart("t", [Line("a", [1], [math.nan])]) == ""


def test_points_that_are_not_finite_are_left_out() -> None:
    (line,) = points(chart("t", [Line("a", [0, 1, 2], [0.0, math.inf, 1.0])]))
    assert len(line) == 2


@pytest.mark.parametrize("scale", [1e-6, 0.003, 0.7, 42.0, 9_999.0, 3e7])
def test_ticks_are_few_and_inside(scale: float) -> None:
    figure = chart("t", [Line("a", [0, 50], [scale / 7, scale])])
    heights = [float(y) for y in re.findall(r'class="grid" d="M52 ([\d.]+)H', figure)]
    assert 2 <= len(heights) <= 6
    assert all(10 <= y <= 210 for y in heights)


def test_a_reference_is_dashed_in_the_colour_of_its_line() -> None:
    lines = [Line("a", [0, 1], [0, 1]), Line("b", [0, 1], [1, 0], reference=True)]
    figure = chart("t", [*lines, Line("c", [0, 1], [1, 1])])
    looks = re.findall(r'<path class="([^"]*)" style="stroke:var\(--c(\d)\)" d="M\d+\.', figure)
    assert looks == [("line", "0"), ("line dashed", "0"), ("line", "1")]
