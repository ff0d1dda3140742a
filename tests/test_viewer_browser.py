"""The page of an episode in a real browser: moving through it, and what everyone can do with it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memgym.viewer import EpisodeView, view_of, write_page
from memgym.viewer.model import memory_after
from tests.accessible import low_contrast, missing_landmarks, nameless, unseen_focus
from tests.browser import PHONE, screenshot
from tests.viewer_traces import EDITS, HOSTILE, insert, scripted_record, scripted_view, update

if TYPE_CHECKING:
    from playwright.sync_api import Page

AGENT = '<img src=x onerror="window.hacked = 5">'


@pytest.fixture(scope="module")
def view() -> EpisodeView:
    return scripted_view(EDITS)


@pytest.fixture(scope="module")
def address(view: EpisodeView, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(view, tmp_path_factory.mktemp("page"))


def written(view: EpisodeView, folder: Path) -> str:
    path = folder / "episode.html"
    write_page(view, path)
    return path.as_uri()


def place(page: "Page") -> int:
    """Return the step that is shown, from 1, once it is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    found = re.match(r"Step (\d+) of", page.locator("#place").inner_text())
    assert found is not None
    return int(found[1])


def shown_memory(page: "Page") -> dict[str, str]:
    """Return the texts that are shown and not crossed out, by id."""
    found: dict[str, str] = page.evaluate(
        """() => Object.fromEntries(
        [...document.querySelectorAll('.item:not([hidden], .deleted)')].map((item) => {
          const text = item.querySelector('.free').cloneNode(true);
          for (const extra of text.querySelectorAll('.aside, .rank, del')) extra.remove();
          return [item.querySelector('.id').textContent || 'core', text.textContent];
        }))"""
    )
    return found


def opened_action(page: "Page") -> str:
    """Open the action of the step and return it; it is filled in a moment after it opens."""
    page.get_by_text("The action as given").click()
    page.locator("#action:not(:empty)").wait_for()
    return page.locator("#action").inner_text()


# ---------------------------------------------------------------------- moving


def test_every_way_to_move_shows_the_right_step(page: "Page", address: str) -> None:
    page.goto(address)
    assert place(page) == 1
    for key, step in (
        ("ArrowRight", 2),
        ("ArrowRight", 3),
        ("ArrowLeft", 2),
        ("End", 4),
        ("ArrowRight", 4),
        ("Home", 1),
        ("ArrowLeft", 1),
        ("Shift+ArrowRight", 4),
        ("Shift+ArrowLeft", 1),
        ("c", 2),
        ("c", 3),
        ("C", 2),
    ):
        page.keyboard.press(key)
        assert place(page) == step, key
    page.get_by_role("slider").focus()
    for key, step in (("ArrowRight", 3), ("Home", 1), ("End", 4), ("Shift+ArrowLeft", 1)):
        page.keyboard.press(key)
        assert place(page) == step, f"{key} on the slider"
    for name, step in (("Next step", 2), ("Last step", 4), ("Previous step", 3), ("First step", 1)):
        page.get_by_role("button", name=name).click()
        assert place(page) == step, name
    assert page.get_by_role("button", name="First step").is_disabled()
    box = page.locator(".chart svg").last.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + 5)
    assert place(page) == 3
    page.get_by_role("button", name="Chunk 2").click()
    assert place(page) == 2
    assert page.locator("[aria-current=step] button").inner_text().startswith("Chunk 2")


def test_the_address_names_the_place(page: "Page", address: str, view: EpisodeView) -> None:
    page.goto(f"{address}#step-3")
    assert place(page) == 3
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**#step-2")
    page.goto(f"{address}#question-2")
    assert place(page) == view.questions[1].step + 1
    assert page.locator("[aria-expanded=true]").inner_text().startswith("2")
    page.goto(f"{address}#step-99999")
    assert place(page) == 4
    page.goto(f"{address}#<script>")
    assert place(page) == 4


def test_memory_is_right_after_every_step_in_any_order(
    page: "Page", address: str, view: EpisodeView
) -> None:
    page.goto(address)
    for step in (1, 2, 3, 4, 2, 4, 1, 3):
        page.locator("#slider").fill(str(step))
        assert place(page) == step
        assert shown_memory(page) == memory_after(view, step - 1)
        now = view.steps[step - 1]
        count = f"after step {step}: {now.memory_items} items, {now.memory_tokens} tokens"
        assert page.locator("#memory-count").inner_text() == count


def test_what_a_step_changed_is_marked(page: "Page", address: str) -> None:
    page.goto(f"{address}#step-2")
    edited = page.locator(".item.edited")
    assert edited.locator(".id").inner_text() == "s1"
    assert edited.locator("del").all_inner_texts() == ["blue"]
    assert edited.locator("ins").all_inner_texts() == ["mostly brown"]
    assert page.locator(".item.inserted .id").all_inner_texts() == ["s2"]
    assert page.locator("#memory-changes").inner_text().split("\n") == ["+1 inserted", "~1 edited"]
    error = page.locator(".call", has_text="error")
    assert "memory_delete s9" in error.inner_text()
    page.keyboard.press("ArrowRight")
    assert place(page) == 3
    assert page.locator(".item.deleted:visible .id").all_inner_texts() == ["s1"]
    page.keyboard.press("ArrowRight")
    assert place(page) == 4
    assert page.locator(".item.deleted:visible").count() == 0
    assert '"About bees and ants."' in opened_action(page)
    screenshot(page, "viewer_edits")


def test_the_charts_show_the_terms_of_the_step(
    page: "Page", address: str, view: EpisodeView
) -> None:
    page.goto(address)
    for step in (1, 4):
        page.locator("#slider").fill(str(step))
        assert place(page) == step
        names = page.locator(".chart figcaption span").all_inner_texts()
        values = [float(text) for text in page.locator(".chart b").all_inner_texts()]
        now = view.steps[step - 1]
        told = dict(zip(names, values, strict=True))
        assert told["reward"] == pytest.approx(now.reward, abs=1e-3)
        assert told["memory tokens"] == now.memory_tokens
        for term, value in now.terms.items():
            assert told[term] == pytest.approx(value, abs=1e-3)


# ---------------------------------------------------------------------- questions and filters


def test_a_question_shows_its_cause_evidence_and_what_was_retrieved(
    page: "Page", tmp_path: Path
) -> None:
    record = scripted_record([[insert("Nothing much."), insert("The sea is wide.")]])
    view = view_of(record)
    page.goto(written(view, tmp_path))
    place(page)
    page.keyboard.press("w")
    assert place(page) == 4
    asked = next(question for question in view.questions if question.score < 1)
    details = page.locator(".question dl")
    assert asked.cause.replace("_", " ") in details.inner_text()
    assert asked.gold[0] in details.inner_text()
    assert asked.evidence[0].text in details.inner_text()
    ranked = page.locator(".item.retrieved .id").all_inner_texts()
    assert sorted(ranked) == sorted(asked.memory_ids)
    assert ranked
    page.locator("#shown").select_option("retrieved")
    assert page.locator(".item:visible").count() == len(asked.memory_ids)
    page.locator("#shown").select_option("all")
    page.get_by_role(
        "button", name=f"chunk {asked.evidence[0].chunk + 1}", exact=True
    ).first.click()
    assert place(page) == asked.evidence[0].chunk + 1
    marks = page.locator(f".chunk:nth-child({asked.evidence[0].chunk + 1}) mark")
    assert asked.evidence[0].text in marks.all_inner_texts()
    screenshot(page, "viewer_question")
    page.keyboard.press("Escape")
    place(page)
    assert page.locator(".item.retrieved").count() == 0
    assert page.locator(".chunk mark").count() == 0


def test_questions_are_filtered_by_outcome(page: "Page", address: str, view: EpisodeView) -> None:
    page.goto(address)
    page.keyboard.press("q")
    wrong = sum(question.score < 1 for question in view.questions)
    page.locator("#outcome").select_option("wrong")
    assert page.locator(".question:visible").count() == wrong
    page.locator("#outcome").select_option("right")
    assert page.locator(".question:visible").count() == len(view.questions) - wrong
    assert f"{len(view.questions) - wrong} shown" in page.locator("#question-count").inner_text()


def test_the_memory_is_filtered_by_words_and_by_what_changed(page: "Page", address: str) -> None:
    page.goto(f"{address}#step-4")
    place(page)
    page.keyboard.press("/")
    page.keyboard.type("SNOWED")
    assert list(shown_memory(page)) == ["e1"]
    page.keyboard.press("ArrowLeft")
    assert place(page) == 4  # the arrow moved the cursor in the field
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowLeft")
    assert place(page) == 3
    page.locator("#filter").fill("s2")
    assert list(shown_memory(page)) == ["s2"]
    page.locator("#filter").fill("")
    page.locator("#shown").select_option("changed")
    assert sorted(shown_memory(page)) == ["e1", "e2"]


# ---------------------------------------------------------------------- hostile text


def test_hostile_text_shows_as_text(page: "Page", tmp_path: Path) -> None:
    actions: list[Any] = [
        [insert(HOSTILE[0]), insert(HOSTILE[1], "episodic"), insert(HOSTILE[2])],
        [insert(HOSTILE[3]), insert(HOSTILE[4]), update("s1", f"{HOSTILE[0]} {HOSTILE[2]}")],
        [insert(HOSTILE[5]), insert(HOSTILE[6]), insert(HOSTILE[7])],
        f"{HOSTILE[1]} plain reply",
    ]
    record = scripted_record(actions, AGENT)
    record["suite"] = {"name": HOSTILE[0], "version": "1", "hash": "0" * 64, "entry": HOSTILE[2]}
    view = view_of(record)
    page.goto(written(view, tmp_path))
    for step in range(1, 5):
        place(page)
        assert shown_memory(page) == {
            key: text for key, text in memory_after(view, step - 1).items() if text
        }
        page.keyboard.press("ArrowRight")
    assert "plain reply" in opened_action(page)
    page.get_by_role("button", name="About").click()
    assert HOSTILE[0] in page.locator("#facts").inner_text()
    assert AGENT in page.locator("#summary").inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    page.get_by_role("button", name="Close").click()
    page.set_viewport_size({"width": PHONE, "height": 800})
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowRight")
    place(page)
    assert width(page) == PHONE
    screenshot(page, "viewer_hostile_phone")


# ---------------------------------------------------------------------- for everyone


def width(page: "Page") -> int:
    """Return how wide the page is, which is more than the window if it must be scrolled."""
    wide: int = page.evaluate("document.documentElement.scrollWidth")
    return wide


@pytest.mark.parametrize("window", [(PHONE, 800), (860, 640), (1280, 900)])
def test_it_fits_every_window(page: "Page", address: str, window: tuple[int, int]) -> None:
    page.set_viewport_size({"width": window[0], "height": window[1]})
    page.goto(f"{address}#question-1")
    place(page)
    assert width(page) <= window[0]
    for name in ("#slider", "#memory-title", "#chunks-tab"):
        box = page.locator(name).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= window[0]
    screenshot(page, f"viewer_{window[0]}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_in_both_themes(page: "Page", address: str, theme: Any) -> None:
    page.emulate_media(color_scheme=theme)
    for where in ("#step-3", "#question-1"):
        page.goto(address + where)
        place(page)
        assert low_contrast(page) == []
        screenshot(page, f"viewer_{theme}{where.replace('#', '_')}")


def test_the_theme_can_be_chosen(page: "Page", address: str) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(address)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.keyboard.press("t")
    assert page.evaluate(ground) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) == light  # what was chosen stays


def test_everything_has_a_name_and_a_place(page: "Page", address: str) -> None:
    for where in ("#step-2", "#question-1"):
        page.goto(address + where)
        place(page)
        assert nameless(page) == []
        assert missing_landmarks(page) == []


def test_the_keyboard_reaches_everything_and_is_seen(page: "Page", address: str) -> None:
    page.goto(address)
    place(page)
    reached, unseen = unseen_focus(page)
    assert unseen == []
    wanted = ["Skip to the memory", "About", "Dark theme", "Keys", "Next step", "Last step", "Step"]
    assert [name for name in reached if name in wanted] == wanted
    assert any(name.startswith("Filter the memory") for name in reached)
    page.locator("#chunks-tab").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "questions-tab"
    assert page.locator("#questions").is_visible()
    assert place(page) == 1


def test_help_and_facts_open_and_close_by_keyboard(page: "Page", address: str) -> None:
    page.goto(address)
    place(page)
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    assert place(page) == 1
    page.get_by_role("button", name="About").click()
    facts = page.get_by_role("dialog", name="About this recording").inner_text()
    assert "versions.memgym" in facts
    assert "procedural-accurate-retrieval" in facts


# ---------------------------------------------------------------------- size

LARGEST_PAGE = 4 * 2**20  # bytes: 2.1 MiB measured
SLOWEST_STEP = 250  # milliseconds until it is drawn, median: 17 measured, one frame
STEP = """async () => {
  const taken = [];
  for (let count = 0; count < 15; count += 1) {
    const start = performance.now();
    for (const key of ['ArrowLeft', 'w']) document.dispatchEvent(new KeyboardEvent('keydown', { key }));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    taken.push(performance.now() - start);
  }
  return taken.sort((one, other) => one - other)[7];
}"""  # noqa: E501


@pytest.fixture(scope="module")
def long_view() -> EpisodeView:
    """Return 200 chunks with 10 notes written on each, 200 questions, and an edit now and then."""
    notes = [
        [insert(f"Note {chunk}.{n}: {'a word or two ' * 5}", kind)
         for n, kind in enumerate(("semantic", "episodic") * 5)]
        for chunk in range(200)
    ]  # fmt: skip
    for chunk in range(4, 200, 5):
        notes[chunk].append(update(f"s{chunk}", f"Note {chunk} was edited."))
    options = {"tokens": 70_000, "chunk_tokens": 350, "questions": 200}
    return scripted_view(notes, source_options=options)


@pytest.mark.parametrize("window", [PHONE, 1280])
def test_it_is_usable_at_full_size(
    page: "Page", long_view: EpisodeView, window: int, tmp_path: Path
) -> None:
    sizes = (len(long_view.chunks), long_view.steps[-1].memory_items, len(long_view.questions))
    assert sizes == (200, 2_000, 200)
    page.set_viewport_size({"width": window, "height": 900})
    address = written(long_view, tmp_path)
    assert (tmp_path / "episode.html").stat().st_size < LARGEST_PAGE
    page.goto(f"{address}#step-200")
    assert place(page) == 200
    assert shown_memory(page) == memory_after(long_view, 199)
    assert page.evaluate(STEP) < SLOWEST_STEP
    page.locator("#memory").scroll_into_view_if_needed()
    page.locator("#filter").fill("Note 77.")
    assert page.locator(".item:visible").count() == 10
    screenshot(page, f"viewer_full_size_{window}", whole=False)
