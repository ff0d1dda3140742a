"""The leaderboard: who is ahead of whom, which files hold, and pages on which text stays text."""

import os
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from memgym.cli.main import main
from memgym.errors import UsageError
from memgym.leaderboard import OVERALL, Row, contests
from memgym.leaderboard.card import card_html
from memgym.leaderboard.pages import Links, index_page, submission_page
from memgym.leaderboard.scatter import HEIGHT, WIDTH, scatter
from memgym.leaderboard.site import write_site
from memgym.leaderboard.verification import Checked, checked_folder
from memgym.leaderboard.words import compact, model_size, points, size_class, tokens_used
from memgym.submissions.verified import Suspicion, Verified
from tests.submissions import SUITES, honest
from tests.verified_examples import USED, example

SCRIPT = "</title><script>window.planted = 1</script>"
NO_LINKS = Links("", {})


def rows_of(*submissions: Verified) -> dict[str, Row]:
    [contest] = contests(submissions)
    return {row.submission.name: row for row in contest.rows}


# ---------------------------------------------------------------------- standings


def test_rank_counts_those_that_are_ahead_beyond_doubt() -> None:
    rows = rows_of(example("low", 0.2), example("best", 0.8), example("middle", 0.5))
    assert list(rows) == ["best", "middle", "low"]
    assert [row.standings[OVERALL].rank for row in rows.values()] == [1, 2, 3]
    assert not any(row.standings[OVERALL].shared for row in rows.values())
    [to_best, to_low] = rows["middle"].standings[OVERALL].differences
    assert to_best.behind
    assert not to_best.ahead
    assert to_low.ahead
    assert not to_low.behind
    assert to_low.mean == pytest.approx(
        rows["middle"].submission.macro.mean - rows["low"].submission.macro.mean
    )
    assert to_low.low is not None
    assert to_low.high is not None
    assert to_low.low < to_low.mean < to_low.high


def test_what_cannot_be_told_apart_shares_a_rank() -> None:
    rows = rows_of(example("one", 0.5), example("other", 0.502), example("low", 0.1))
    one, other, low = (rows[name].standings[OVERALL] for name in ("one", "other", "low"))
    assert (one.rank, one.shared) == (other.rank, other.shared) == (1, True)
    assert (low.rank, low.shared) == (3, False)


def test_pairs_are_compared_on_the_same_episodes() -> None:
    # Better by a little on every single episode, while episodes differ by much: intervals of the
    # means overlap, that of the difference does not hold 0.
    base = example("base", 0.5)
    spread = [0.1 * (number % 10) for number in range(len(base.episodes))]
    episodes = tuple(
        replace(item, score=score) for item, score in zip(base.episodes, spread, strict=True)
    )
    ahead = tuple(replace(item, score=item.score + 0.01) for item in episodes)
    rows = rows_of(replace(base, episodes=episodes), replace(example("ahead", 0.5), episodes=ahead))
    assert rows["ahead"].standings[OVERALL].rank == 1
    assert rows["base"].standings[OVERALL].rank == 2


def test_who_was_shown_the_answers_is_not_ranked_and_pushes_nobody_down() -> None:
    rows = rows_of(example("oracle", 0.99, privileged=True), example("honest", 0.5))
    assert rows["oracle"].standings[OVERALL].rank is None
    assert rows["honest"].standings[OVERALL].rank == 1
    assert not rows["honest"].standings[OVERALL].shared


def test_each_ability_has_ranks_of_its_own() -> None:
    skills = dict.fromkeys(example("x", 0.5).abilities, 0.5)
    learner = example("learner", {**skills, "test_time_learning": 0.9})
    finder = example("finder", {**skills, "accurate_retrieval": 0.9})
    rows = rows_of(learner, finder)
    assert rows["learner"].standings["test_time_learning"].rank == 1
    assert rows["finder"].standings["test_time_learning"].rank == 2
    assert rows["finder"].standings["accurate_retrieval"].rank == 1


def test_only_what_can_be_compared_is_in_one_contest() -> None:
    found = contests(
        [
            example("a", 0.5),
            example("b", 0.5, suite="mini"),
            example("c", 0.5, suite_hash="cd" * 32),
            example("d", 0.5, track="llm-reader", reader="llm", reader_model="qwen"),
            example("e", 0.5, track="llm-reader", reader="llm", reader_model="other"),
            example("f", 0.5, memory_budget=0.25),
        ]
    )
    named = [[row.submission.name for row in contest.rows] for contest in found]
    assert sorted(map(sorted, named)) == [["a", "f"], ["b"], ["c"], ["d"], ["e"]]
    assert [contest.number for contest in found] == list(range(5))


def test_the_order_of_files_does_not_matter() -> None:
    some = [example("a", 0.5), example("b", 0.5), example("c", 0.2)]
    assert index_page(contests(some)) == index_page(contests(some[::-1]))


# ---------------------------------------------------------------------- words


def test_numbers_in_words() -> None:
    assert [compact(number) for number in (0, 7.5, 999, 999_700, 4e9)] == [
        "0", "7.5", "999", "1M", "4B",
    ]  # fmt: skip
    assert points(-0.0123) == "−1.2"
    assert tokens_used(example("a", 0.5, usage=USED)) == 960_000 / 24
    sizes = (None, 0, 600_000_000, 4_000_000_000, 32_000_000_000, 70_000_000_000)
    some = [example("a", 0.5, model_size=size) for size in sizes]
    assert [model_size(item) for item in some] == [
        "not stated", "no model", "600M", "4B", "32B", "70B",
    ]  # fmt: skip
    assert [size_class(item) for item in some] == [
        "not stated", "no model", "to 2B", "2B to 10B", "10B to 40B", "over 40B",
    ]  # fmt: skip


# ---------------------------------------------------------------------- pages


class Elements(HTMLParser):
    """Collects what a browser would make elements and attributes of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def planted(item: Verified) -> Verified:
    """Put a script into every text field of a submission."""
    texts: dict[str, Any] = {
        found.name: SCRIPT
        for found in fields(Verified)
        if isinstance(getattr(item, found.name), str) and found.name not in ("track", "sha256")
    }
    return replace(
        item,
        **texts,
        agent_details={SCRIPT: SCRIPT},
        settings={SCRIPT: SCRIPT},
        entries={SCRIPT: item.macro},
        episodes=tuple(replace(found, id=SCRIPT, entry=SCRIPT) for found in item.episodes),
        suspicious=(Suspicion("written", SCRIPT, 0, 0, SCRIPT),),
        usage={SCRIPT: {"prompt_tokens": 1}},
    )


def test_text_of_a_submission_is_never_html() -> None:
    plain, hostile = example("plain", 0.5), planted(example("plain", 0.5))
    hostile = replace(hostile, memgym=SCRIPT, reader_model="")
    pages = []
    for item in (plain, replace(hostile, usage={})):
        [contest] = contests([item, replace(item, sha256="cd" * 32)])
        pages.append(index_page([contest]))
        pages.append(submission_page(contest, contest.rows[0], NO_LINKS))
    for page in pages:
        found = Elements(page)
        assert found.elements.count("script") == 1
        assert not [name for name, _ in found.attributes if name.startswith("on")]
        assert not [name for name, _ in found.attributes if name == "style"]
    for page in pages[2:]:
        assert "window.planted" in Elements(page).text
        assert "<script>window.planted" not in page


def test_a_page_allows_its_own_style_and_script_and_nothing_else() -> None:
    found = Elements(index_page(contests([example("a", 0.5)])))
    policies = [value or "" for name, value in found.attributes if name == "content"]
    [policy] = [value for value in policies if "src" in value]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    addresses = [value or "" for name, value in found.attributes if name in ("src", "href")]
    assert all(value.startswith(("#", "submissions/", "data:image/svg")) for value in addresses)


@pytest.mark.parametrize(
    "card",
    [
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1)) [b](data:text/html;base64,AAAA) [c](file:///etc/passwd)",
        "[a](//example.org/x) [b](../index.html)",
        "![a](https://example.org/x.png)",
        '<https://example.org/" onclick="alert(1)>',
        "```<script>\nalert(1)\n```",
        "[x]: javascript:alert(1)\n\n[x]",
        "| <script> |\n|---|\n| <svg onload=alert(1)> |",
    ],
)
def test_a_card_can_do_nothing(card: str) -> None:
    found = Elements(card_html(card))
    assert not {"script", "img", "svg", "iframe", "style", "form"} & set(found.elements)
    assert {name for name, _ in found.attributes} <= {"href", "rel", "class", "title"}
    addresses = [value or "" for name, value in found.attributes if name == "href"]
    assert all(value.startswith("https://example.org/") for value in addresses)
    for _, value in found.attributes:
        assert "onclick=" not in (value or "") or "%22" in (value or "")


def test_a_card_is_markdown_below_the_headings_of_the_page() -> None:
    html = card_html("# Mine\n\n*Good* and [here](https://example.org)\n\n| a |\n|---|\n| 1 |\n")
    assert "<h3>Mine</h3>" in html
    assert '<a href="https://example.org" rel="nofollow noopener noreferrer">here</a>' in html
    assert "<td>1</td>" in html
    assert card_html("![A picture](https://example.org/x.png)") == "<p>A picture</p>\n"


def test_a_page_shows_what_was_verified() -> None:
    odd = Suspicion("written", "episode-7", 3, 2, "Lisbon")
    item = example("mine", 0.5, suspicious=(odd,), contact="me@example.org", seed=17)
    [contest] = contests([item, example("other", 0.9)])
    row = next(row for row in contest.rows if row.submission.name == "mine")
    links = Links("../files/mine.zip", {item.episodes[0].id: "../episodes/mine/0.html"})
    text = Elements(submission_page(contest, row, links)).text
    for words in (
        "me@example.org", "behind", "Lisbon", "1 suspicious", "Rank 2 of 2", item.sha256,
        f"{100 * item.macro.mean:.1f}", "Not written", "12.5 %", "Keeps everything",
    ):  # fmt: skip
        assert words in text, words


def test_points_of_a_picture_lie_in_it_and_names_do_not_overlap() -> None:
    some = [
        example(f"agent {n}", 0.1 * n, memory_tokens=1000.0 * 3**n if n else 0.0) for n in range(10)
    ]
    [contest] = contests(some)
    drawn = scatter(contest, OVERALL, lambda item: item.memory_tokens)
    assert drawn.lane > drawn.left
    for point in drawn.points:
        assert drawn.left <= point.x <= drawn.right <= WIDTH
        assert 0 < drawn.top <= point.y <= drawn.bottom < HEIGHT
        assert point.high <= point.y <= point.low
    best_first = [point.y for point in drawn.points]
    assert best_first == sorted(best_first)
    by_memory = sorted(drawn.points, key=lambda point: point.row.submission.memory_tokens)
    assert [point.x for point in by_memory] == sorted(point.x for point in drawn.points)
    assert [point.label for point in drawn.points].count("") <= 3
    same = scatter(contests([example(str(n), 0.5) for n in range(40)])[0], OVERALL, lambda _: 5.0)
    assert 1 <= len([point for point in same.points if point.label]) < 40
    assert not same.lane


# ---------------------------------------------------------------------- files and site


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMGYM_CACHE", str(cache))
    made = tmp_path / "submissions"
    made.mkdir()
    (made / "honest.zip").write_bytes(honest().archive())
    return made


def test_files_are_verified_and_those_that_do_not_hold_are_named(folder: Path) -> None:
    (folder / "again.zip").write_bytes(honest().archive())
    (folder / "link.zip").symlink_to(folder / "honest.zip")
    (folder / "notes.txt").write_text("no submission")
    parts = honest()
    parts.records[0]["answers"][0]["prediction"] += "!"
    (folder / "edited.zip").write_bytes(parts.archive())
    told: list[tuple[int, int]] = []
    found = checked_folder(folder, suites=SUITES, told=lambda *done: told.append(done))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    by_name = {item.file.name: item for item in found}
    verified = by_name["again.zip"].verified
    assert verified is not None
    assert verified.name == "An honest run"
    assert "the same file as again.zip" in by_name["honest.zip"].reason
    assert by_name["link.zip"].reason == "it is no plain file"
    assert by_name["edited.zip"].verified is None
    assert "differs" in by_name["edited.zip"].reason


def test_the_same_episodes_under_other_names_are_a_copy(folder: Path) -> None:
    parts = honest()
    parts.manifest["name"] = "Quite another run"
    parts.manifest["agent"] = "another"
    for record in parts.records:
        record["agent"]["name"] = "another"
    (folder / "renamed.zip").write_bytes(parts.archive())
    first, second = checked_folder(folder, suites=SUITES)
    assert first.verified is not None
    assert second.verified is None
    assert second.reason == "its episodes are those of honest.zip"


def test_what_was_verified_is_known_until_the_file_changes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("MEMGYM_CACHE", str(cache))
    first = checked_folder(folder, suites=SUITES)
    kept = list((cache / "verified").iterdir())
    assert len(kept) == 1
    # What is read is what was kept, and only for these bytes and this code.
    marked = replace(Verified.from_json(kept[0].read_text()), contact="from the cache")
    kept[0].write_text(marked.to_json())
    [again] = checked_folder(folder, suites=SUITES)
    assert again.verified == marked
    monkeypatch.setattr("memgym.leaderboard.verification._code_digest", lambda: "other code")
    assert checked_folder(folder, suites=SUITES) == first
    [other] = set((cache / "verified").iterdir()) - set(kept)
    other.write_text(marked.to_json()[:100])  # as a full disk might leave it
    assert checked_folder(folder, suites=SUITES) == first


def test_the_site_is_whole_and_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    checked = checked_folder(folder, suites=SUITES)
    sites = [tmp_path / "one", tmp_path / "two" / "deep"]
    for site in sites:
        write_site(site, checked, episodes=2)
    names = sorted(path.relative_to(sites[0]) for path in sites[0].rglob("*") if path.is_file())
    slug = f"an-honest-run-{checked[0].verified.sha256[:8]}" if checked[0].verified else ""
    assert [name.as_posix() for name in names] == [
        f"episodes/{slug}/0.html",
        f"episodes/{slug}/2.html",  # one of each ability
        f"files/{slug}.zip",
        "index.html",
        f"submissions/{slug}.html",
    ]
    for name in names:
        assert (sites[0] / name).read_bytes() == (sites[1] / name).read_bytes()
    assert (sites[0] / f"files/{slug}.zip").read_bytes() == (folder / "honest.zip").read_bytes()
    page = (sites[0] / f"submissions/{slug}.html").read_text(encoding="utf-8")
    for address in (f"../episodes/{slug}/0.html", f"../files/{slug}.zip", "../index.html"):
        assert f'href="{address}"' in page


def test_a_site_replaces_a_site_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "site"
    write_site(out, [])
    assert "no verified submission yet" in (out / "index.html").read_text(encoding="utf-8")
    (out / "submissions" / "old.html").write_text("left over")
    write_site(out, [])
    assert sorted(os.listdir(out)) == ["index.html", "submissions"]
    assert os.listdir(out / "submissions") == []
    (out / "CNAME").write_text("mine")
    with pytest.raises(UsageError, match="holds CNAME, which is not of the site"):
        write_site(out, [])
    (out / "CNAME").rename(tmp_path / "CNAME")
    (tmp_path / "site.new").mkdir()
    (tmp_path / "site.new" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"site\.new would be removed"):
        write_site(out, [])
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(UsageError, match="is a symbolic link"):
        write_site(tmp_path / "link", [])
    for name in ("index.html", "thesis.txt"):
        other = tmp_path / f"other {name}"
        other.mkdir()
        (other / name).write_text("mine")
        with pytest.raises(UsageError, match="holds something else than a leaderboard"):
            write_site(other, [Checked(Path("x.zip"), None, "refused")])
        assert (other / name).read_text() == "mine"


def test_the_command_says_what_was_left_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "site"
    # The suite of the tests is not one of memgym's.
    assert main(["leaderboard", "build", str(folder), "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert "honest.zip is left out: this memgym has no suite 'small'" in captured.err
    assert "0 of 1 submissions hold." in captured.out
    assert (out / "index.html").is_file()
    (folder / "honest.zip").rename(folder / "red\x1b[31m\n\u202eed.zip")
    assert main(["leaderboard", "build", str(folder), "--out", str(out)]) == 1
    assert "red\u241b[31m \ufffded.zip is left out" in capsys.readouterr().err
    assert main(["leaderboard", "build", str(tmp_path / "nothing")]) == 2
    assert "no folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["leaderboard", "build", str(tmp_path / "empty"), "--out", str(out)]) == 2
    assert "holds no submissions" in capsys.readouterr().err


def test_a_submission_whose_data_are_not_here_is_left_out_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_data(*given: Any, **named: Any) -> Verified:
        raise UsageError('suite "real": no data folder is named')

    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("memgym.leaderboard.verification.verify", without_data)
    [found] = checked_folder(folder, suites=SUITES)
    assert found.verified is None
    assert "no data folder" in found.reason
