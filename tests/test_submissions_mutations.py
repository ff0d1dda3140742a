"""One byte of an honest submission is changed: the change is found, or no result is another."""

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from memgym.submissions import Verified
from memgym.submissions.archive import MANIFEST, packed
from memgym.submissions.checking import check_submission
from memgym.submissions.refusal import RefusedError
from tests.submissions import SUITES, Parts, honest

_WORDS = ("name", "contact", "card", "agent_details", "model_size", "memgym", "sha256")
"""What the author says, of which nothing can be computed."""


def results(found: Verified) -> dict[str, Any]:
    """Return everything of a submission but the author's words."""
    return {name: value for name, value in asdict(found).items() if name not in _WORDS}


def verdict(content: bytes, folder: Path) -> dict[str, Any] | None:
    """Return the results of a submission, ``None`` if it is refused."""
    folder.mkdir()
    file = folder / "submission.zip"
    file.write_bytes(content)
    try:
        return results(check_submission(file, folder, suites=SUITES))
    except RefusedError:
        return None


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found = verdict(honest().archive(), tmp_path_factory.mktemp("right") / "x")
    assert found is not None
    return found


def test_flipped_bytes_of_the_file_are_found(right: dict[str, Any], tmp_path: Path) -> None:
    content, rng, refused = honest().archive(), random.Random(7), 0
    for number in range(300):
        place = rng.randrange(len(content))
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.randrange(8)
        found = verdict(bytes(flipped), tmp_path / str(number))
        assert found in (None, right), f"byte {place} changes a result"
        refused += found is None
    assert refused > 290  # some bytes of a zip (its dates) say nothing


def mutants(parts: Parts, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield submissions with one character of one text changed, whose hashes are made to fit."""
    texts = {f"record {n}": json.dumps(record) for n, record in enumerate(parts.records)}
    texts["manifest"] = json.dumps(parts.manifest)
    names = [name for name, text in texts.items() for _ in range(len(text))]
    for _ in range(140):
        # The manifest is short, and its every number counts.
        name = "manifest" if rng.random() < 0.3 else rng.choice(names)
        place, character = rng.randrange(len(texts[name])), chr(rng.randrange(32, 127))
        text = texts[name][:place] + character + texts[name][place + 1 :]
        made = copy.deepcopy(parts)
        try:
            value = json.loads(text)
        except ValueError:
            continue  # seen by any reader of JSON; test_submissions_hostile has such files
        if name != "manifest":
            made.records[int(name.split()[1])] = value
        elif isinstance(value, dict):
            made.manifest = value
        yield f"{name}: {text[max(0, place - 40) : place + 40]}", made.archive()


def test_edits_with_fitting_hashes_are_found(right: dict[str, Any], tmp_path: Path) -> None:
    seen = refused = 0
    for number, (what, content) in enumerate(mutants(honest(), random.Random(11))):
        found = verdict(content, tmp_path / str(number))
        assert found in (None, right), f"a result is changed by {what}"
        seen, refused = seen + 1, refused + (found is None)
    assert seen > 70
    assert refused > seen // 2


def test_every_byte_of_a_short_manifest_matters(right: dict[str, Any], tmp_path: Path) -> None:
    members = honest().members()
    text = members[MANIFEST]
    rng = random.Random(13)
    for number in range(60):
        place = rng.randrange(len(text))
        changed = text[:place] + bytes([rng.randrange(256)]) + text[place + 1 :]
        found = verdict(packed({**members, MANIFEST: changed}), tmp_path / str(number))
        assert found in (None, right), f"byte {place} of the manifest changes a result"
