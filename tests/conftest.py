"""Shared test configuration."""

import os

# Tests on real data slices need a folder of them; without it they are not collected, so that no
# test is ever reported as skipped.
collect_ignore_glob = [] if os.environ.get("MEMGYM_DATA") else ["test_real_data*.py"]
