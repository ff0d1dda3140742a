"""A real browser for tests of pages: the fixture ``page``, and screenshots to look at.

The browser is the system's Chromium, driven by Playwright, which downloads none of its own.
``tests/conftest.py`` collects ``test_*_browser.py`` only where both are there; ``make browser``
says how to get them. Not here: what a page must be like (``tests/accessible.py``).
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

__all__ = ["PHONE", "browser_path", "chromium", "page", "screenshot"]

PHONE = 380
"""Width of a phone's page in CSS pixels."""

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_LOCAL = ("file:", "data:", "blob:", "about:")
_HEIGHT, _WIDTH = 900, 1280
_TIMEOUT = 15_000  # milliseconds until what is looked for is there; a busy machine takes long


def browser_path() -> str | None:
    """Return the Chromium that the tests use; ``None`` where it or Playwright is missing."""
    if importlib.util.find_spec("playwright") is None:
        return None
    return next(filter(None, map(shutil.which, _NAMES)), None)


# One for each file of tests, not for the session: while it is open an event loop runs in this
# thread, in which tests elsewhere could not start their own.
@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """Yield a running browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: "Browser") -> Iterator["Page"]:
    """Yield an empty page; what went wrong in it fails the test at the end.

    That is every error or warning on the console, every uncaught exception, and every request for
    something that is not a file beside the page.
    """
    wrong: list[str] = []

    def heard(message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            wrong.append(f"console: {message.text}")

    def asked(request: "Request") -> None:
        if not request.url.startswith(_LOCAL):
            wrong.append(f"request: {request.url}")

    context = chromium.new_context(viewport={"width": _WIDTH, "height": _HEIGHT}, offline=True)
    context.set_default_timeout(_TIMEOUT)
    opened = context.new_page()
    opened.on("console", heard)
    opened.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
    opened.on("requestfailed", lambda request: wrong.append(f"not found: {request.url}"))
    opened.on("request", asked)
    yield opened
    context.close()
    assert not wrong, "\n".join(wrong)


def screenshot(page: "Page", name: str, *, whole: bool = True) -> None:
    """Keep a picture of the page as ``name.png``, if ``MEMGYM_SCREENSHOTS`` names a folder."""
    folder = os.environ.get("MEMGYM_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=whole)
