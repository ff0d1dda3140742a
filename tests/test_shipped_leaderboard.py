"""The check of a pull request with a submission: every file of the shipped leaderboard holds."""

from pathlib import Path

from memgym.leaderboard.verification import checked_folder
from memgym.submissions.verified import Verified

FOLDER = Path(__file__).parent.parent / "leaderboard"
FILES = sorted((FOLDER / "submissions").iterdir())
OWN = "memgym-"


def test_every_submission_holds_and_no_two_are_the_same_play() -> None:
    """Verify all of them at once, so that each is verified once."""
    assert [file.name for file in FILES if file.suffix != ".zip" or file.is_symlink()] == []
    found = checked_folder(FOLDER / "submissions")
    assert [f"{item.file.name}: {item.reason}" for item in found if not item.verified] == []
    for item in found:
        if item.verified and item.file.name.startswith(OWN):
            check_own(item.verified)  # the pages of others are written once they are merged


def check_own(found: Verified) -> None:
    assert found.reproduced, f"{found.name}: make leaderboard"
    assert found.privileged or not found.suspicious
    pages = list((FOLDER / "site" / "submissions").glob(f"*-{found.sha256[:8]}.html"))
    assert len(pages) == 1, f"leaderboard/site shows another {found.name}: make leaderboard"
    assert f"{100 * found.macro.mean:.1f}" in pages[0].read_text(encoding="utf-8")


def test_the_baselines_are_all_there() -> None:
    from memgym.baselines import BASELINES

    names = {file.stem.removeprefix(OWN) for file in FILES if file.name.startswith(OWN)}
    assert set(BASELINES) <= names
