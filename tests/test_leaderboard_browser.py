"""The leaderboard in a real browser: sorting, filtering, submissions, and what everyone can use."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memgym.leaderboard import contests
from memgym.leaderboard.pages import FOLDER, Links, index_page, page_name, submission_page
from memgym.submissions.verified import Suspicion, Verified
from tests.accessible import low_contrast, missing_landmarks, nameless, unseen_focus
from tests.browser import PHONE, screenshot
from tests.test_leaderboard import SCRIPT, planted
from tests.verified_examples import USED, example

if TYPE_CHECKING:
    from playwright.sync_api import Page

LEARNER = {
    "accurate_retrieval": 0.3, "test_time_learning": 0.9,
    "long_range_understanding": 0.3, "conflict_resolution": 0.3,
}  # fmt: skip


def submissions() -> list[Verified]:
    return [
        example("oracle", 0.98, privileged=True, memory_tokens=900.0),
        example("sentences", 0.72, memory_tokens=3_700.0, reproduced=True),
        example("dated", 0.722, memory_tokens=3_710.0, reproduced=True),
        example("quarter", 0.5, memory_tokens=1_000.0, memory_budget=0.25),
        example("learner", LEARNER, memory_tokens=2_000.0, model_size=None),
        example("trained 4B", 0.8, memory_tokens=1_500.0, model_size=4 * 10**9, usage=USED),
        example("nothing", 0.02, memory_tokens=0.0),
        example(
            "read by a model", 0.6, memory_tokens=800.0, model_size=32 * 10**9, usage=USED,
            track="llm-reader", reader="llm", reader_model="big-32b",
            suspicious=(Suspicion("written", "episode-3", 2, 1, "Lisbon"),),
        ),
        example("on another suite", 0.4, suite="mini", memory_tokens=12_000.0),
    ]  # fmt: skip


def written(items: list[Verified], folder: Path) -> str:
    groups = contests(items)
    (folder / FOLDER).mkdir()
    (folder / "index.html").write_text(index_page(groups), encoding="utf-8")
    for contest in groups:
        for row in contest.rows:
            page = submission_page(contest, row, Links("", {}))
            (folder / page_name(row)).write_text(page, encoding="utf-8")
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(submissions(), tmp_path_factory.mktemp("site"))


def shown(page: "Page") -> list[str]:
    """Return the names in the table as they are shown, top down."""
    return page.locator("#board tbody tr:visible .who a").all_inner_texts()


def ranks(page: "Page") -> dict[str, str]:
    places = page.locator("#board tbody tr:visible .rank").all_inner_texts()
    return dict(zip(shown(page), places, strict=True))


def choose(page: "Page", label: str, option: str) -> None:
    page.get_by_label(label, exact=True).select_option(option)


def follow(page: "Page", name: str) -> None:
    """Open a page by its link and wait until all of it is there."""
    with page.expect_navigation(wait_until="load"):
        page.get_by_role("link", name=name).first.click()


def test_it_opens_with_the_best_first_and_ties_as_ties(page: "Page", site: str) -> None:
    page.goto(site)
    choose(page, "Suite", "short, version 1")
    choose(page, "Track", "Verbatim reader")
    names = shown(page)
    assert names[:2] == ["oracle", "trained 4B"]
    assert names[-1] == "nothing"
    found = ranks(page)
    assert found["oracle"] == "–"
    assert found["trained 4B"] == "1"
    assert found["sentences"] == found["dated"] == "2 ="
    assert page.locator("#shown").inner_text() == "7 of 9 submissions shown."
    assert "On the same" not in page.locator("main").inner_text()


def test_columns_sort_both_ways(page: "Page", site: str) -> None:
    page.goto(site)
    choose(page, "Suite", "short, version 1")
    head = page.get_by_role("columnheader", name="Memory, tokens")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    up = shown(page)
    assert up[0] == "nothing"
    assert up[-1] == "dated"
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert shown(page) == up[::-1]
    assert page.locator("[aria-sort]").count() == 1
    page.get_by_role("button", name="Learning").click()
    assert shown(page)[:2] == ["oracle", "learner"]
    page.get_by_role("button", name="Submission").click()
    assert shown(page) == sorted(shown(page))
    choose(page, "Sort by", "Score")
    assert shown(page)[0] == "oracle"


def test_filters_by_everything(page: "Page", site: str) -> None:
    page.goto(site)
    choose(page, "Suite", "mini, version 1")
    assert shown(page) == ["on another suite"]
    choose(page, "Suite", "short, version 1")
    assert len(shown(page)) == 8
    choose(page, "Track", "LLM reader")
    assert shown(page) == ["read by a model"]
    choose(page, "Track", "All tracks")
    choose(page, "Model size", "2B to 10B")
    assert shown(page) == ["trained 4B"]
    choose(page, "Model size", "not stated")
    assert shown(page) == ["learner"]
    choose(page, "Model size", "Any size")
    choose(page, "Memory budget", "25 % of the text")
    assert shown(page) == ["quarter"]
    assert ranks(page) == {"quarter": "1"}
    page.get_by_label("Name contains").fill("nobody")
    assert shown(page) == []
    assert page.get_by_text("No submission fits these filters.").is_visible()
    page.get_by_role("button", name="Reset").click()
    page.locator("#board tbody tr:visible").first.wait_for()  # a form is reset a moment later
    page.get_by_label("Name contains").fill("SENT")
    choose(page, "Suite", "short, version 1")
    assert shown(page) == ["sentences"]
    assert ranks(page) == {"sentences": "2 ="}  # a search leaves the ranks alone


def test_an_ability_has_its_own_scores_ranks_and_pictures(page: "Page", site: str) -> None:
    page.goto(site)
    choose(page, "Suite", "short, version 1")
    choose(page, "Track", "Verbatim reader")
    before = page.locator(
        ".scatter:visible a:visible[data-tip^='learner'] .mark"
    ).first.bounding_box()
    choose(page, "Score shown", "Test-time learning")
    assert shown(page)[:2] == ["oracle", "learner"]
    assert ranks(page)["learner"] == "1"
    assert page.locator("#score-title").inner_text() == "Test-time learning"
    after = page.locator(
        ".scatter:visible a:visible[data-tip^='learner'] .mark"
    ).first.bounding_box()
    assert before is not None
    assert after is not None
    assert after["y"] < before["y"]


def test_pictures_follow_the_filters_and_tell_about_points(page: "Page", site: str) -> None:
    page.goto(site)
    choose(page, "Suite", "short, version 1")
    points = (
        page.locator(".pictures:visible").first.locator("figure").first.locator(".point:visible")
    )
    assert points.count() == 7
    choose(page, "Memory budget", "25 % of the text")
    assert points.count() == 1
    points.first.focus()
    tip = page.get_by_role("tooltip")
    assert tip.is_visible()
    assert "quarter: " in tip.inner_text()
    assert "memory 1k tokens" in tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    points.first.locator(".target").hover()
    assert tip.is_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**/submissions/quarter-*.html")


def test_an_address_keeps_what_was_chosen(page: "Page", site: str) -> None:
    page.goto(site)
    choose(page, "Suite", "short, version 1")
    choose(page, "Track", "Verbatim reader")
    page.get_by_role("button", name="LLM tokens per episode").click()
    page.get_by_role("button", name="LLM tokens per episode").click()
    address, names = page.url, shown(page)
    assert names[0] == "trained 4B"
    page.goto("about:blank")
    page.goto(address)
    assert shown(page) == names
    page.goto(f"{site}#suite=nonsense&sort=nonsense&view=<script>")
    assert len(shown(page)) in (1, 8)


def test_a_submission_opens_and_leads_back(page: "Page", site: str) -> None:
    page.goto(site)
    choose(page, "Suite", "short, version 1")
    follow(page, "read by a model")
    assert page.get_by_role("heading", level=1).inner_text() == "read by a model"
    text = page.get_by_role("main").inner_text()
    for words in ("Lisbon", "big-32b", "32B", "What became of the questions", "Keeps everything"):
        assert words in text, words
    page.get_by_text("All 24 episodes").click()
    assert page.get_by_role("cell", name="accurate_retrieval-0").is_visible()
    follow(page, "memgym leaderboard")
    assert page.get_by_role("heading", level=1).inner_text() == "Leaderboard"


def test_the_theme_can_be_chosen_and_stays(page: "Page", site: str) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(site)
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    button = page.get_by_role("button", name="Theme")
    button.click()
    assert button.inner_text() == "Theme: light"
    light = page.evaluate(ground)
    assert light != dark
    follow(page, "on another suite")
    assert page.evaluate(ground) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, PHONE])
def test_everyone_can_use_it(page: "Page", site: str, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(site)
    choose(page, "Suite", "short, version 1")
    for name in ("index", "submission"):
        assert missing_landmarks(page) == []
        assert nameless(page) == []
        assert low_contrast(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        screenshot(page, f"leaderboard-{name}-{scheme}-{width}")
        if name == "index":
            follow(page, "read by a model")


def test_the_keyboard_reaches_everything_and_is_seen(page: "Page", site: str) -> None:
    page.goto(site)
    choose(page, "Suite", "short, version 1")
    page.evaluate("document.activeElement.blur()")
    reached, unseen = unseen_focus(page)
    assert unseen == []
    assert reached[0] == "Skip to the content"
    for name in ("suite", "budget", "search", "Reset", "Rank", "sentences", "Table of submissions"):
        assert name in reached, name
    assert any(name.startswith("sentences: 7") for name in reached)  # a point of a picture
    page.get_by_role("columnheader", name="Rank").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("columnheader", name="Rank").get_attribute("aria-sort") == "ascending"


def test_a_planted_script_shows_as_text_and_runs_nowhere(page: "Page", tmp_path: Path) -> None:
    hostile = planted(example("plain", 0.5))
    items = [
        replace(hostile, usage={}),
        replace(example("other", 0.2), card=f"# {SCRIPT}\n\n{SCRIPT}"),
    ]
    groups = [replace(items[1], **{n: getattr(items[0], n) for n in (
        "suite", "suite_version", "suite_hash", "reader", "reader_model")})]  # fmt: skip
    page.goto(written([items[0], *groups], tmp_path))
    assert page.get_by_role("link", name=SCRIPT).first.is_visible()
    assert page.locator("script").count() == 1
    for path in sorted((tmp_path / FOLDER).iterdir()):
        page.goto(path.as_uri())
        assert SCRIPT in page.locator("main").inner_text()
        assert page.locator("script").count() == 1
        assert page.evaluate("window.planted") is None


def test_without_scripts_everything_is_there(page: "Page", site: str) -> None:
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(site)
    assert plain.locator("#board tbody tr:visible").count() == 9
    assert not plain.locator("#filters").is_visible()
    assert plain.locator(".scatter:visible").count() >= 4
    context.close()
