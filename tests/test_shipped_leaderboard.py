"""The check of a pull request with a submission: every file of the shipped leaderboard holds."""

from pathlib import Path

import pytest

from memgym.submissions.isolated import verify

FOLDER = Path(__file__).parent.parent / "leaderboard"
FILES = sorted((FOLDER / "submissions").iterdir())
OWN = "memgym-"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_submission_holds(file: Path) -> None:
    assert file.suffix == ".zip"
    assert not file.is_symlink()
    found = verify(file)
    if not file.name.startswith(OWN):
        return  # the pages are written anew once it is merged
    assert found.reproduced, "make leaderboard"
    assert found.privileged or not found.suspicious
    pages = list((FOLDER / "site" / "submissions").glob(f"*-{found.sha256[:8]}.html"))
    assert len(pages) == 1, "leaderboard/site shows another file: make leaderboard"
    assert f"{100 * found.macro.mean:.1f}" in pages[0].read_text(encoding="utf-8")


def test_no_two_submissions_are_the_same() -> None:
    contents = [file.read_bytes() for file in FILES]
    assert len(set(contents)) == len(contents)


def test_the_baselines_are_all_there() -> None:
    from memgym.baselines import BASELINES

    names = {file.stem.removeprefix(OWN) for file in FILES if file.name.startswith(OWN)}
    assert set(BASELINES) <= names
