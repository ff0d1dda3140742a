"""Shared test configuration."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.browser import browser_path, chromium, page

__all__ = ["chromium", "page"]

# Tests on real data slices need a folder of them, tests of pages need a browser; without it they
# are not collected, so that no test is ever reported as skipped.
collect_ignore_glob = [] if os.environ.get("MEMGYM_DATA") else ["test_real_data*.py"]
if browser_path() is None:
    collect_ignore_glob.append("test_*_browser.py")
# Processes that share a model take minutes: they have a make target of their own, which sets this.
if not os.environ.get("MEMGYM_LONG_TESTS"):
    collect_ignore_glob.append("test_grpo_sharded.py")

# A busy machine fails no property: how long an example takes is nobody's claim.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def _cache_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests cache, their subprocesses too, out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMGYM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
