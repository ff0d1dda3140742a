"""Pictures of runs: the right numbers at the right places, and no label on another."""

import html
import itertools
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text

from memgym import pictures
from memgym.benchmarks.finished import read_run
from memgym.benchmarks.labels import _box, _spread, label_points
from memgym.benchmarks.lengths import length_curves
from memgym.benchmarks.pooled import PooledSuite, pool
from memgym.benchmarks.run_pictures import draw_suite
from memgym.benchmarks.suites import Entry, Suite
from memgym.cli.main import main
from memgym.pictures import Line, draw_lines, figure
from tests.runs import OPTIONS, finished_run

LONG = {**OPTIONS, "tokens": 2_000}
RETRIEVAL, LEARNING = "procedural-accurate-retrieval", "procedural-test-time-learning"
SUITE = Suite(
    "sizes",
    "1",
    "for tests",
    (
        Entry("facts 1k", RETRIEVAL, "test", 2, OPTIONS),
        Entry("labels 1k", LEARNING, "test", 2, OPTIONS),
        Entry("facts 2k", RETRIEVAL, "test", 1, LONG),
        Entry("labels 2k", LEARNING, "test", 1, LONG),
    ),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(
        tmp_path_factory.mktemp("run") / "sizes", ("flat", "sentences", "oracle"), suite=SUITE
    )


@pytest.fixture(scope="module")
def pooled(run: Path) -> PooledSuite:
    return pool([read_run(run)])[0]


@pytest.fixture(scope="module")
def drawn(pooled: PooledSuite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_suite(pooled, folder)
    return folder


KINDS = ("scores", "abilities", "memory", "causes", "length")


def test_every_picture_is_there_as_png_and_svg(drawn: Path) -> None:
    names = {f"sizes_{kind}.{form}" for kind in KINDS for form in ("png", "svg")}
    assert {file.name for file in drawn.iterdir()} == names
    for file in drawn.glob("*.png"):
        assert file.read_bytes().startswith(b"\x89PNG")
    for file in drawn.glob("*.svg"):
        assert ET.parse(file).getroot().tag.endswith("svg")


def test_the_same_run_gives_the_same_bytes(
    run: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(run), "--out", str(tmp_path / "new/folder")]) == 0
    written = sorted(tmp_path.rglob("*.*g"))
    assert [file.read_bytes() for file in written] == [
        (drawn / file.name).read_bytes() for file in written
    ]
    assert len(written) == 10
    assert capsys.readouterr().out.count(".svg") == 5
    text = (drawn / "sizes_scores.svg").read_text(encoding="utf-8")
    assert "<dc:date>" not in text


def texts(path: Path) -> list[str]:
    """Return what is written in an SVG: matplotlib leaves it as comments beside the outlines."""
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    root = ET.parse(path, parser).getroot()
    comments = (item.text or "" for item in root.iter() if not isinstance(item.tag, str))
    return [html.unescape(text).strip() for text in comments]


@pytest.mark.parametrize("kind", KINDS)
def test_every_agent_is_named_and_the_caption_says_what_it_is(drawn: Path, kind: str) -> None:
    written = " ".join(texts(drawn / f"sizes_{kind}.svg"))
    for part in ("flat", "sentences", "oracle †", "6 episodes", "reader verbatim", "%"):
        assert part in written


def test_scores_are_written_beside_the_intervals(drawn: Path, pooled: PooledSuite) -> None:
    written = texts(drawn / "sizes_scores.svg")
    for row in pooled.summary.rows:
        assert any(text.startswith(f"{100 * row.macro.mean:.1f} [") for text in written)


def test_causes_are_written_in_the_bars(drawn: Path, pooled: PooledSuite) -> None:
    written = texts(drawn / "sizes_causes.svg")
    flat = next(row for row in pooled.summary.rows if row.name == "flat")
    assert flat.causes["lost"] > 0.1
    assert f"{100 * flat.causes['lost']:.0f}" in written
    assert {"answered in full", "not written", "lost", "not retrieved", "misread"} <= {*written}


# ---------------------------------------------------------------------- length


def test_a_length_curve_is_over_entries_that_differ_in_length_alone(pooled: PooledSuite) -> None:
    curves = length_curves(pooled)
    assert curves is not None
    assert curves.labels == ("1k", "2k")
    assert curves.episodes == (4, 2)
    assert curves.tokens[0] == pytest.approx(1_000, rel=0.2)
    assert curves.tokens[1] == pytest.approx(2_000, rel=0.2)
    for row in pooled.summary.rows:
        for label, found in zip(curves.labels, curves.scores[row.name], strict=True):
            parts = [row.entries[f"{kind} {label}"].mean for kind in ("facts", "labels")]
            assert found.mean == pytest.approx(sum(parts) / 2)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # 8k has no other length beside it, and "30shot" is none.
    entries = (
        Entry("facts 8k", RETRIEVAL, "test", 2, OPTIONS),
        Entry("labels_30shot", LEARNING, "test", 1, OPTIONS),
        Entry("labels_60shot", LEARNING, "test", 1, LONG),
    )
    folder = tmp_path_factory.mktemp("plain") / "run"
    return finished_run(folder, ("sentences", "oracle"), suite=Suite("plain", "1", "", entries))


def test_without_such_entries_there_is_no_curve(plain: Path) -> None:
    assert length_curves(pool([read_run(plain)])[0]) is None


# ---------------------------------------------------------------------- names


def test_names_of_any_kind_are_shown_as_they_are(plain: Path, tmp_path: Path) -> None:
    name = "mine $x_1$ <b>&amp;</b> \\frac"
    for file in ("run.json", "results.jsonl", "episodes.csv"):
        text = (plain / file).read_text(encoding="utf-8")
        if file == "episodes.csv":
            changed = text.replace(",sentences,", f",{name},")
        else:
            changed = text.replace('"sentences"', json.dumps(name))
        (tmp_path / file).write_text(changed, encoding="utf-8")
    [pooled] = pool([read_run(tmp_path)])
    assert len(draw_suite(pooled, tmp_path)) == 8
    assert name in texts(tmp_path / "plain_scores.svg")


def test_labels_lie_neither_on_each_other_nor_outside() -> None:
    crowd = [(50.0 + 3 * index, 50.0, f"agent number {index}") for index in range(7)]
    edges = [(99.0, 99.0, "at the edge"), (0.5, 0.5, "at the other"), (0.5, 99.0, "at both")]
    with figure(8, 5) as chart:
        axes = chart.add_subplot()
        axes.set(xlim=(0, 100), ylim=(0, 100))
        label_points(chart, axes, [*crowd, *edges], [(75.0, 10.0, 90.0)])
        chart.draw_without_rendering()
        # Of the words alone, without the lines that lead to them.
        boxes: list[Any] = [Text.get_window_extent(text).extents for text in axes.texts]
        frame = axes.get_window_extent().extents
        ends = axes.transData.transform([(75.0, 10.0), (75.0, 90.0)])
        boxes.append((*ends[0], *ends[1]))  # the whisker
    assert len(boxes) == 11
    for one, two in itertools.combinations(boxes, 2):
        beside = one[2] <= two[0] or two[2] <= one[0]
        assert beside or one[3] <= two[1] or two[3] <= one[1]
    for box in boxes:
        assert frame[0] <= box[0]
        assert frame[1] <= box[1]
        assert box[2] <= frame[2]
        assert box[3] <= frame[3]


def test_points_on_each_other_share_a_label() -> None:
    with figure(8, 5) as chart:
        axes = chart.add_subplot()
        label_points(chart, axes, [(0.5, 0.5, "one"), (0.5, 0.5, "two"), (0.1, 0.1, "three")])
        assert [text.get_text() for text in axes.texts] == ["one\ntwo", "three"]


def test_a_label_hangs_beside_its_point() -> None:
    assert _box((100.0, 100.0), (10, 0), (40.0, 8.0), 2.0) == (120.0, 96.0, 160.0, 104.0)
    assert _box((100.0, 100.0), (-10, 10), (40.0, 8.0), 2.0) == (40.0, 120.0, 80.0, 128.0)


def test_ends_keep_their_distance_around_where_they_want_to_be() -> None:
    assert _spread([0.0, 50.0, 100.0], 10.0) == [0.0, 50.0, 100.0]
    assert _spread([50.0, 50.0, 50.0], 10.0) == [40.0, 50.0, 60.0]
    assert _spread([0.0, 2.0, 14.0], 10.0) == pytest.approx([-14 / 3, 16 / 3, 46 / 3])


# ------------------------------------------------------------------ lines


def chart_of(
    lines: list[Line], monkeypatch: pytest.MonkeyPatch, x_ticks: tuple[float, ...] = ()
) -> Any:
    """Return the axes of a line chart."""
    kept: list[Any] = []
    monkeypatch.setattr(pictures, "write_figure", lambda path, chart: kept.append(chart))
    draw_lines(Path("x"), lines, title="t", x_label="x", y_label="y", x_ticks=x_ticks)
    kept[0].canvas.draw()
    return kept[0].axes[0]


def lines_of(count: int, x: tuple[float, ...]) -> list[Line]:
    return [Line(f"line {n}", x, [n, n + 1], [n - 1, n], [n + 2, n + 3]) for n in range(count)]


def test_intervals_of_few_lines_are_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = chart_of(lines_of(3, (0, 5)), monkeypatch)
    assert [type(item).__name__ for item in axes.collections] == ["FillBetweenPolyCollection"] * 3


@pytest.mark.parametrize("ticks", [(), (10.0, 100.0)])
def test_intervals_of_many_lines_are_bars_beside_each_other(
    ticks: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = chart_of(
        [*lines_of(7, (10, 100)), Line("grey", (10, 100), (1, 2), reference=True)],
        monkeypatch,
        ticks,
    )
    assert len(axes.collections) == 7
    places = []
    for number, (points, bars) in enumerate(zip(axes.lines, axes.collections, strict=False)):
        places.append(points.get_xdata())
        assert list(points.get_ydata()) == [number, number + 1]
        for place, (x, y), segment in zip(
            places[-1], [(10, number), (100, number + 1)], bars.get_segments(), strict=True
        ):
            assert place == pytest.approx(x, rel=0.2)
            assert segment.tolist() == [[place, y - 1], [place, y + 2]]
    assert len({tuple(place) for place in places}) == 7
    assert list(places[3]) == [10, 100]  # the middle one stands where it belongs


def test_large_numbers_of_an_axis_are_written_short(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = chart_of([Line("steps", (0, 200_000), (0.1, 0.2))], monkeypatch)
    told = [label.get_text() for label in axes.get_xticklabels()]
    assert {"0", "50k", "200k"} <= set(told)
    axes = chart_of([Line("steps", (0, 20), (0.1, 0.2))], monkeypatch)
    assert not any("k" in label.get_text() for label in axes.get_xticklabels())
