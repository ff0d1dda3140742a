"""The real slices of the folder that MEMGYM_DATA names: no split shares anything with another."""

import itertools
import os
from pathlib import Path

import pytest

from memgym.errors import UsageError
from memgym.tasks.datasets import dataset_names, is_available, open_dataset
from memgym.tasks.overlap import Fingerprint, find_overlaps, fingerprint
from memgym.tasks.registry import get_source, source_names

pytestmark = pytest.mark.no_cover  # they check data; the code is covered without them


def test_no_split_shares_anything_with_another_of_any_source() -> None:
    data = Path(os.environ["MEMGYM_DATA"])
    found: dict[str, Fingerprint] = {}
    empty: list[str] = []
    for name in source_names():
        if get_source(name).needs_data and is_available(name, data):
            for reference in dataset_names(name):
                try:
                    found[reference] = fingerprint(reference, open_dataset(reference, data=data))
                except UsageError as error:  # a slice may lack a split
                    empty.append(f"{reference}: {error}")
    tests = [reference for reference in found if reference.endswith(":test")]
    assert len(tests) >= 9, empty
    assert len(found) >= 25, empty
    for one, other in itertools.combinations(found, 2):
        if one.partition(":")[2] != other.partition(":")[2]:
            shared = find_overlaps(found[one], found[other])
            assert not shared, f"{one} and {other}: {shared[:3]}"
